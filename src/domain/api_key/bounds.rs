//! The bounds that the settings set to keys, by what the caller is over them.
//!
//! They hold whenever somebody who does not run the platform makes a key, gives one more than it
//! had, or takes over its secret. What is left out is the bound, so that absent never means more
//! (SECURITY 2, cases 7 and 9). Keys that exist keep what they have.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::key_bounds::KeyBound;
use entity::role::{ApiKeyKind, ScopeKind};
use entity::value::{ModelAccess, PlatformSettings};
use entity::{api_key, budget, budget_assignment};
use sea_orm::{ColumnTrait, QueryFilter};

use crate::authz::{Authorized, Placement, Resource, Role, policy};
use crate::db::Tx;
use crate::domain::budget::Limits;
use crate::domain::limit::{self, Held};
use crate::domain::scope::{Place, Scope};
use crate::domain::{NAMED, budget as budgets, model_access, period, settings};
use crate::error::{Error, Result};

/// The bound that the caller has over keys at a place; none for admins of the platform.
pub(super) fn of(tx: &Tx, settings: PlatformSettings, place: &Placement) -> Option<KeyBound> {
    let roles = policy::roles_over(tx.actor(), place);
    let bounds = settings.key_bounds;
    if roles.contains(&Role::PlatformAdmin) {
        None
    } else if roles.contains(&Role::OrganizationAdmin) {
        Some(bounds.organization_admin)
    } else if roles.contains(&Role::TeamAdmin) {
        Some(bounds.team_admin)
    } else if place.teams.is_empty() {
        Some(bounds.user)
    } else {
        Some(bounds.team_member)
    }
}

/// The bound that the caller has over a key.
pub(super) async fn over(tx: &Tx, key: &Authorized<api_key::Model>) -> Result<Option<KeyBound>> {
    if tx.actor().is_platform_admin() {
        return Ok(None);
    }
    let place = key.placement(tx).await?;
    Ok(of(tx, settings::current(tx).await?, &place))
}

/// Refuses kinds of keys that the settings leave to others.
pub(super) fn check_kind(bound: &KeyBound, kind: ApiKeyKind, in_team: bool) -> Result<()> {
    if bound.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind)) {
        return Ok(());
    }
    if kind == ApiKeyKind::User && !in_team {
        let message = "the settings allow keys in teams only: say in which team";
        return Err(Error::limit("input.teamId", message));
    }
    Err(Error::limit("input.kind", "the settings leave keys of this kind to those above"))
}

/// The end of a key's life as it is asked for, or the latest that the bound allows.
pub(super) fn end(
    tx: &Tx,
    bound: &KeyBound,
    asked: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>> {
    let latest = latest_end(tx, bound);
    if let (Some(at), Some(latest), Some(text)) = (asked, latest, &bound.max_lifetime)
        && at > latest
    {
        let message = format!("the settings allow you keys that live for at most {text}");
        return Err(Error::limit("input.expiresAt", message));
    }
    Ok(asked.or(latest))
}

fn latest_end(tx: &Tx, bound: &KeyBound) -> Option<DateTime<Utc>> {
    let span = period::parse_duration(bound.max_lifetime.as_deref()?).ok()?;
    span.after(tx.now())
}

/// The models of a key at a place as they are asked for, or those that both the bound and the scopes
/// above allow.
pub(super) async fn models(
    tx: &Tx,
    bound: &KeyBound,
    place: &Place,
    asked: Option<ModelAccess>,
) -> Result<ModelAccess> {
    let Some(most) = &bound.model_access else { return Ok(asked.unwrap_or_default()) };
    match asked {
        None => limit::common_with_above(tx, place, most.clone()).await,
        Some(asked) if model_access::is_within(&asked, most) => Ok(asked),
        Some(_) => Err(Error::limit(
            "input.modelAccess",
            "this is more than the settings allow you: list fewer models, or leave this out",
        )),
    }
}

/// Whether a key lives longer than it did.
pub(super) fn is_longer(before: Option<DateTime<Utc>>, after: Option<DateTime<Utc>>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    }
}

/// Holds a change of a key against the bound where it gives the key more than it had.
pub(super) async fn fit(
    tx: &Tx,
    bound: &KeyBound,
    before: &api_key::Model,
    after: &mut api_key::Model,
    clears_models: bool,
) -> Result<()> {
    if is_longer(before.expires_at, after.expires_at) {
        after.expires_at = end(tx, bound, after.expires_at)?;
    }
    if !model_access::is_within(&after.model_access, &before.model_access) {
        let place = super::place(tx, after).await?;
        let asked = (!clears_models).then(|| after.model_access.clone());
        after.model_access = models(tx, bound, &place, asked).await?;
    }
    Ok(())
}

/// Checks the budgets of a key, and gives it one with the limits of the bound that none of them sets.
pub(super) async fn complete(tx: &mut Tx, bound: &KeyBound, place: &Place) -> Result<()> {
    let Some(most) = most(tx, bound) else { return Ok(()) };
    let above = limit::held_by(tx, &place.ancestors).await?;
    let own = limit::held_by(tx, &[place.scope]).await?;
    for own in &own {
        if let Some(excess) = limit::excess(&own.budget, &most).first() {
            let field = format!("input.budgets.{}", excess.field);
            return Err(Error::limit(field, at_most(excess.field, &most)));
        }
    }
    let Some(missing) = missing(&most, &own) else { return Ok(()) };
    let mut row = budgets::row(tx, missing, place.organization);
    for parent in &above {
        limit::clamp(&mut row, &parent.budget);
    }
    if own.len() >= budgets::BUDGETS_PER_SCOPE {
        let message = "the settings demand a budget beside these: give one fewer";
        return Err(Error::limit("input.budgets", message));
    }
    budgets::add(tx, place, Limits::from(&row)).await
}

/// The limits of a bound as a budget; none when it has none.
pub(super) fn most(tx: &Tx, bound: &KeyBound) -> Option<budget::Model> {
    let limits = Limits {
        max_spend: bound.max_spend,
        soft_spend: None,
        period: bound.period.clone(),
        time_zone: bound.time_zone.clone(),
        requests_per_minute: bound.requests_per_minute,
        tokens_per_minute: bound.tokens_per_minute,
        max_parallel_requests: bound.max_parallel_requests,
        model_pattern: None,
        temporary_increase: None,
    };
    limits.are_some().then(|| budgets::row(tx, limits, None))
}

fn at_most(field: &str, most: &budget::Model) -> String {
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let amount = match field {
        "maxSpend" => match (&most.max_spend, &most.period) {
            (Some(spend), Some(period)) => format!("{spend} for {period}"),
            (Some(spend), None) => format!("{spend} in all"),
            (None, _) => String::new(),
        },
        "requestsPerMinute" => number(most.requests_per_minute),
        "tokensPerMinute" => number(most.tokens_per_minute),
        _ => number(most.max_parallel_requests),
    };
    format!("the settings allow you at most {amount}")
}

/// The limits of a bound that no budget for all models sets; none when all of them are set.
fn missing(most: &budget::Model, own: &[Held]) -> Option<Limits> {
    let set = |is_set: &dyn Fn(&budget::Model) -> bool| {
        own.iter().any(|own| own.budget.model_pattern.is_none() && is_set(&own.budget))
    };
    let open = |limit: Option<i64>, of: fn(&budget::Model) -> Option<i64>| {
        limit.filter(|most| !set(&|own| of(own).is_some_and(|own| own <= *most)))
    };
    let spend = most.max_spend.filter(|limit| {
        !set(&|own| {
            own.max_spend.is_some_and(|own| own <= *limit) && limit::lasts_at_least(own, most)
        })
    });
    let missing = Limits {
        period: spend.and_then(|_| most.period.clone()),
        time_zone: spend.map(|_| most.time_zone.clone()),
        max_spend: spend,
        requests_per_minute: open(most.requests_per_minute, |own| own.requests_per_minute),
        tokens_per_minute: open(most.tokens_per_minute, |own| own.tokens_per_minute),
        max_parallel_requests: open(most.max_parallel_requests, |own| own.max_parallel_requests),
        ..Limits::default()
    };
    missing.are_some().then_some(missing)
}

fn is_within(most: &budget::Model, own: &[Held]) -> bool {
    let exceeds = |own: &Held| !limit::excess(&own.budget, most).is_empty();
    !own.iter().any(exceeds) && missing(most, own).is_none()
}

/// Refuses to show the secret of somebody else's key to a caller who may not make such a key.
pub(super) async fn check_taken_over(tx: &Tx, key: &Authorized<api_key::Model>) -> Result<()> {
    let own = tx.actor().key_id() == Some(key.id)
        || (key.user_id.is_some() && key.user_id == tx.actor().user_id());
    if own {
        return Ok(());
    }
    let Some(bound) = over(tx, key).await? else { return Ok(()) };
    let kind = check_kind(&bound, key.kind, key.team_id.is_some()).is_ok();
    let lifetime = match (&bound.max_lifetime, latest_end(tx, &bound)) {
        (None, _) | (_, None) => true,
        (Some(_), Some(latest)) => key.expires_at.is_some_and(|at| at <= latest),
    };
    let models = &bound.model_access;
    let models =
        models.as_ref().is_none_or(|most| model_access::is_within(&key.model_access, most));
    let budgets = match most(tx, &bound) {
        Some(most) => is_within(&most, &limit::held_by(tx, &[Scope::api_key(key.id)]).await?),
        None => true,
    };
    if kind && lifetime && models && budgets {
        return Ok(());
    }
    Err(Error::limit(
        "input.id",
        "this key has more than the settings allow you: lower it first, or ask somebody above",
    ))
}

/// The keys that use a budget which stands alone, as far as the settings bind the caller.
///
/// # Errors
/// What the database answers.
pub(crate) async fn users_of(tx: &Tx, budget: &budget::Model) -> Result<Vec<Scope>> {
    if tx.actor().is_platform_admin() {
        return Ok(Vec::new());
    }
    let users = budgets::assignments_of_all()
        .filter(budget_assignment::Column::BudgetId.eq(budget.id))
        .filter(budget_assignment::Column::ScopeKind.eq(ScopeKind::ApiKey));
    Ok(users.all(tx.db()).await?.iter().map(|(row, _)| limit::scope_of(row)).collect())
}

/// Checks keys whose budget somebody raised or took away against the bound of that person.
///
/// # Errors
/// [`Error::Conflict`] with the keys that would have more than that, at most 20.
pub(crate) async fn check_users(tx: &Tx, changed: &budget::Model, keys: &[Scope]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let place = Placement::organization(changed.organization_id);
    let Some(bound) = of(tx, settings::current(tx).await?, &place) else { return Ok(()) };
    let Some(most) = most(tx, &bound) else { return Ok(()) };
    let mut held: BTreeMap<Scope, Vec<Held>> = keys.iter().map(|key| (*key, Vec::new())).collect();
    for own in limit::held_by(tx, keys).await? {
        held.entry(own.scope()).or_default().push(own);
    }
    let beyond = held.iter().filter(|(_, own)| !is_within(&most, own));
    let ids: Vec<_> = beyond.map(|(key, _)| key.to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(Error::Conflict {
        message: format!(
            "{} key(s) would have more than the settings allow you to give; change their budgets first",
            ids.len()
        ),
        ids: ids.into_iter().take(NAMED).collect(),
    })
}
