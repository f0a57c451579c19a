//! Deleting keys, by themselves and with what they hung on.

use entity::id::{ApiKeyId, Id, OrganizationId, TeamId, UserId};
use entity::role::ScopeKind;
use entity::{api_key, api_key_secret};
use sea_orm::sea_query::{LockType, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::organization_of;
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::{limit, model_alias};
use crate::error::Result;

/// Deletes keys: all, or none.
///
/// # Errors
/// `NotFound` for the first key that the caller may not see.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Vec<ApiKeyId>> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let mut keys: Vec<api_key::Model> = Vec::new();
    lock_named(tx, references).await?;
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let key =
            authorize::<api_key::Model>(tx, Permission::ApiKeyDelete, reference, &field).await?;
        field::expect_version(expected_version, key.version)?;
        if keys.iter().all(|known| known.id != key.id) {
            keys.push(key.into_inner());
        }
    }
    let ids = keys.iter().map(|key| key.id).collect();
    remove_each(tx, keys).await?;
    Ok(ids)
}

/// Locks keys that the caller names and may see, in the order of their ids.
async fn lock_named(tx: &Tx, references: &[Reference]) -> Result<()> {
    let named = Condition::any()
        .add(api_key::Column::Id.is_in(references.iter().filter_map(Reference::id::<ApiKeyId>)))
        .add(api_key::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)));
    let select = super::visible_to(tx.actor()).filter(named).order_by_asc(api_key::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// Deletes keys that stand in different places.
pub(crate) async fn remove_each(tx: &mut Tx, keys: Vec<api_key::Model>) -> Result<u64> {
    let mut gone = 0;
    for key in keys {
        let organization = organization_of(tx, &key).await?;
        gone += remove_all(tx, vec![key], organization).await?;
    }
    Ok(gone)
}

/// Locks keys that are to go, in the order of their ids.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "of teams and users that the caller may delete")]
pub(crate) async fn lock(tx: &Tx, condition: SimpleExpr) -> Result<()> {
    let rows = api_key::Entity::find().filter(condition);
    rows.order_by_asc(api_key::Column::Id).lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// The keys of a team, or of one of its members, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may change")]
pub(crate) async fn of_team(
    tx: &Tx,
    team: TeamId,
    user: Option<UserId>,
) -> Result<Vec<api_key::Model>> {
    let mut select = api_key::Entity::find().filter(api_key::Column::TeamId.eq(team));
    if let Some(user) = user {
        select = select.filter(api_key::Column::UserId.eq(user));
    }
    Ok(select.order_by_asc(api_key::Column::Id).lock(LockType::Update).all(tx.db()).await?)
}

/// The keys of a user, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a user that the caller may delete")]
pub(crate) async fn of_user(tx: &Tx, user: UserId) -> Result<Vec<api_key::Model>> {
    let select = api_key::Entity::find().filter(api_key::Column::UserId.eq(user));
    Ok(select.order_by_asc(api_key::Column::Id).lock(LockType::Update).all(tx.db()).await?)
}

/// Deletes keys with their secrets and budgets.
pub(crate) async fn remove_all(
    tx: &mut Tx,
    keys: Vec<api_key::Model>,
    organization: Option<OrganizationId>,
) -> Result<u64> {
    let ids: Vec<_> = keys.iter().map(|key| key.id.uuid()).collect();
    let team = keys.first().and_then(|key| key.team_id);
    limit::forget_scopes(tx, ScopeKind::ApiKey, &ids, team).await?;
    for chunk in ids.chunks(500) {
        model_alias::forget(tx, ScopeKind::ApiKey, chunk).await?;
        let gone = api_key_secret::Column::ApiKeyId.is_in(chunk.iter().copied());
        api_key_secret::Entity::delete_many().filter(gone).exec(tx.db()).await?;
        let gone = api_key::Column::Id.is_in(chunk.iter().copied());
        api_key::Entity::delete_many().filter(gone).exec(tx.db()).await?;
    }
    for key in &keys {
        let subject = Subject::api_key(key, organization);
        tx.record(Event::gone(AuditAction::ApiKeyDeleted, subject, key));
    }
    Ok(keys.len() as u64)
}
