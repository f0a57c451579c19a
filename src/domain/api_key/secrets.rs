//! Giving keys new secrets, and ending old ones.

use chrono::{DateTime, Utc};
use entity::id::ApiKeyId;
use entity::{api_key, api_key_secret};
use sea_orm::sea_query::IntoCondition;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{WithSecret, bounds, check_own_key, check_pots_of, organization_of};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Authorized;
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::period;
use crate::error::{Error, Result};
use crate::secret::{PEPPER_ID, Secret};

pub(super) fn secret_row(tx: &Tx, key: &api_key::Model, secret: &Secret) -> api_key_secret::Model {
    api_key_secret::Model {
        id: tx.id(),
        api_key_id: key.id,
        digest: secret.digest(tx.pepper()),
        pepper_id: PEPPER_ID,
        hint: secret.hint(),
        not_after: None,
        created_at: tx.now(),
    }
}

/// Gives a key a new secret. The old one stays valid for the grace that is asked for, at most the
/// deployment's; older ones end at once.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for an expired key and a stale version;
/// [`Error::LimitExceeded`] when the caller's own key is more limited than this one, or the settings
/// allow the caller less, who would hold its secret.
pub async fn rotate(
    tx: &mut Tx,
    key: Authorized<api_key::Model>,
    grace: Option<String>,
    expected_version: Option<i32>,
) -> Result<WithSecret> {
    bounds::check_taken_over(tx, &key).await?;
    let before = key.into_inner();
    field::expect_version(expected_version, before.version)?;
    if tx.actor().key_id() == Some(before.id) && tx.actor().secret_ends_at().is_some() {
        return Err(Error::conflict(
            "the secret that you use was rotated out: rotate with the current one",
        ));
    }
    if tx.actor().key_id() != Some(before.id) {
        let checked = match check_own_key(tx, &before).await {
            Ok(()) => check_pots_of(tx, &before).await,
            Err(error) => Err(error),
        };
        checked.map_err(|error| match error {
            Error::LimitExceeded { .. } => {
                Error::limit("input.id", "the key that you use is limited more than this")
            }
            other => other,
        })?;
    }
    let now = tx.now();
    if before.expires_at.is_some_and(|at| at <= now) {
        return Err(Error::conflict("the key has expired: give it a later expiresAt first"));
    }
    let mut faults = Faults::default();
    let until = match grace.as_deref() {
        None | Some("0s" | "PT0S" | "P0D") => now,
        Some(text) => match period::parse_duration(text).map(|span| span.after(now)) {
            Ok(Some(until)) => until,
            Ok(None) => now,
            Err(error) => {
                faults.add("input.gracePeriod", error.to_string());
                now
            }
        },
    };
    let longest = chrono::TimeDelta::from_std(tx.rules().max_rotation_grace).unwrap_or_default();
    if until > now + longest {
        let days = longest.num_days();
        faults.add(
            "input.gracePeriod",
            format!("the old secret may stay valid for at most {days} days"),
        );
    }
    faults.finish()?;
    end_old_secrets(tx, before.id, until).await?;
    let secret = Secret::generate(before.kind);
    tx.insert(&secret_row(tx, &before, &secret)).await?;
    let mut after = before.clone();
    after.version += 1;
    after.updated_at = now;
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::api_key(&after, organization_of(tx, &after).await?);
    let image = |key: &api_key::Model, hint: Option<String>| {
        serde_json::json!({
            "id": key.id, "version": key.version, "hint": hint, "oldSecretValidUntil": until,
        })
    };
    let event = Event::changed(
        AuditAction::ApiKeyRotated,
        subject,
        &image(&before, None),
        &image(&after, Some(secret.hint())),
    );
    tx.record(event);
    Ok(WithSecret { api_key: after, secret })
}

/// Lets the current secret live until the end of its grace, and deletes older ones.
#[expect(clippy::disallowed_methods, reason = "of a key that the caller may rotate")]
async fn end_old_secrets(tx: &Tx, key: ApiKeyId, until: DateTime<Utc>) -> Result<()> {
    let secrets = api_key_secret::Entity::find()
        .filter(api_key_secret::Column::ApiKeyId.eq(key))
        .order_by_desc(api_key_secret::Column::CreatedAt)
        .order_by_desc(api_key_secret::Column::Id)
        .all(tx.db())
        .await?;
    let current = secrets.into_iter().find(|secret| secret.not_after.is_none());
    let mut others = api_key_secret::Column::ApiKeyId.eq(key).into_condition();
    if let Some(mut current) = current
        && until > tx.now()
    {
        current.not_after = Some(until);
        tx.update(&current).await?;
        others = others.add(api_key_secret::Column::Id.ne(current.id));
    }
    api_key_secret::Entity::delete_many().filter(others).exec(tx.db()).await?;
    Ok(())
}
