//! The limits of the key with which a caller asks: what it makes, widens or takes over has no more.

use entity::api_key;
use entity::role::{ApiKeyKind, Counting};
use entity::value::ModelAccess;

use crate::db::Tx;
use crate::domain::limit::{self, Held};
use crate::domain::scope::Scope;
use crate::domain::{budget, model_access, user};
use crate::error::{Error, Result};

/// What a limited key makes, widens or takes over has at most the limits of that key; what is left
/// out counts as more (SECURITY 2, cases 7 and 9).
pub(super) async fn check_own_key(tx: &Tx, row: &api_key::Model) -> Result<()> {
    let Some(own) = limited_by(tx, row).await? else { return Ok(()) };
    if !model_access::is_within(&row.model_access, &own.model_access) {
        return Err(Error::limit(
            "input.modelAccess",
            "the key that you use is limited: list models that it may call",
        ));
    }
    if let Some(routes) = &own.allowed_routes {
        let within = row
            .allowed_routes
            .as_ref()
            .is_some_and(|given| given.0.iter().all(|route| routes.0.contains(route)));
        if !within {
            return Err(Error::limit(
                "input.allowedRoutes",
                "the key that you use is limited: list routes that it has itself",
            ));
        }
    }
    let ends = tx.actor().ends_at();
    if ends.is_some() && row.expires_at.is_none_or(|at| Some(at) > ends) {
        return Err(Error::limit(
            "input.expiresAt",
            "the key that you use expires: the other key must not outlive it",
        ));
    }
    if own.project_id.is_some() && row.project_id != own.project_id {
        return Err(Error::limit(
            "input.projectId",
            "the key that you use belongs to a project: the other key must belong to it too",
        ));
    }
    if !own.tags.0.iter().all(|tag| row.tags.0.contains(tag)) {
        return Err(Error::limit(
            "input.tags",
            "the other key must carry the tags of the key that you use",
        ));
    }
    Ok(())
}

/// The key whose limits bind what the caller does to another key. Platform admins are exempt
/// (REFERENCE T-NEW-4), but not where they would get a key of their own or one with power over the
/// platform: that would outlive the one that made it.
pub(super) async fn limited_by<'tx>(
    tx: &'tx Tx,
    row: &api_key::Model,
) -> Result<Option<&'tx api_key::Model>> {
    let Some(own) = tx.actor().key() else { return Ok(None) };
    let exempt = tx.actor().is_platform_admin()
        && match (row.kind, row.user_id) {
            (ApiKeyKind::Admin | ApiKeyKind::Gateway, _) => false,
            (ApiKeyKind::User, Some(user)) if row.team_id.is_none() => {
                !user::is_exalted(tx, user).await?
            }
            _ => true,
        };
    Ok((!exempt).then_some(own))
}

/// A key with limits of its own does not give away the platform: what it gave would be without them.
///
/// # Errors
/// [`Error::LimitExceeded`] at the field that asks for a role.
pub(crate) async fn may_exalt(tx: &Tx, field: &str) -> Result<()> {
    let Some(own) = tx.actor().key() else { return Ok(()) };
    let limited = tx.actor().ends_at().is_some()
        || own.model_access != ModelAccess::default()
        || own.allowed_routes.is_some()
        || !own.tags.0.is_empty()
        || !limit::held_by(tx, &[Scope::api_key(own.id)]).await?.is_empty();
    if !limited {
        return Ok(());
    }
    let message = "the key that you use is limited: give such a role with a key that is not";
    Err(Error::limit(field, message))
}

/// A key with budgets of its own gives nothing to others that would count anew: whoever holds it
/// could spend its budget many times over. What it makes counts into the same pots.
///
/// # Errors
/// [`Error::LimitExceeded`].
pub(crate) async fn check_pots(tx: &Tx, entries: &[budget::Entry]) -> Result<()> {
    let Some(own) = tx.actor().key() else { return Ok(()) };
    let own = limit::held_by(tx, &[Scope::api_key(own.id)]).await?;
    let shared = |own: &Held| {
        own.assignment.counting == Counting::Shared
            && entries.iter().any(|entry| {
                matches!(entry, budget::Entry::Attach { budget, counting: Some(Counting::Shared) }
                    if budget.id() == Some(own.budget.id))
            })
    };
    if own.iter().all(shared) { Ok(()) } else { Err(spends_anew()) }
}

/// As [`check_pots`], for a key that has its budgets.
pub(super) async fn check_pots_of(tx: &Tx, row: &api_key::Model) -> Result<()> {
    let Some(own) = limited_by(tx, row).await? else { return Ok(()) };
    let own = limit::held_by(tx, &[Scope::api_key(own.id)]).await?;
    if own.is_empty() {
        return Ok(());
    }
    let given = limit::held_by(tx, &[Scope::api_key(row.id)]).await?;
    let shared = |own: &Held| {
        own.assignment.counting == Counting::Shared
            && given.iter().any(|given| {
                given.budget.id == own.budget.id && given.assignment.counting == Counting::Shared
            })
    };
    if own.iter().all(shared) { Ok(()) } else { Err(spends_anew()) }
}

fn spends_anew() -> Error {
    Error::limit(
        "input.budgets",
        "the key that you use has a budget: attach that budget here, counted as SHARED in both \
         places, or use a key without a budget of its own",
    )
}
