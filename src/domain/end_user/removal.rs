//! Deleting end users, with their budgets.

use entity::end_user;
use entity::id::{EndUserId, Id, OrganizationId};
use entity::role::ScopeKind;
use sea_orm::sea_query::{LockType, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::visible_to;
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, Resource, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::limit;
use crate::error::Result;

/// The end users that were deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Their ids.
    pub ids: Vec<EndUserId>,
}

/// Deletes end users: all, or none.
///
/// # Errors
/// `NotFound` for the first that the caller may not see.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Deleted> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    lock_named(tx, references).await?;
    let mut found: Vec<(end_user::Model, Option<OrganizationId>)> = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let row =
            authorize::<end_user::Model>(tx, Permission::EndUserDelete, reference, &field).await?;
        field::expect_version(expected_version, row.version)?;
        if found.iter().all(|(known, _)| known.id != row.id) {
            let organization = row.placement(tx).await?.organizations.first().copied();
            found.push((row.into_inner(), organization));
        }
    }
    let mut deleted = Deleted::default();
    for (row, organization) in found {
        deleted.ids.push(row.id);
        remove(tx, vec![row], organization).await?;
    }
    Ok(deleted)
}

/// Locks end users that the caller names and may see, in the order of their ids.
async fn lock_named(tx: &Tx, references: &[Reference]) -> Result<()> {
    let named = Condition::any()
        .add(end_user::Column::Id.is_in(references.iter().filter_map(Reference::id::<EndUserId>)))
        .add(end_user::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)));
    let select = visible_to(tx.actor()).filter(named).order_by_asc(end_user::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// Removes the end users of a place that ceases to be, and returns their number.
#[expect(clippy::disallowed_methods, reason = "of a place that the caller may delete")]
pub(crate) async fn remove_all(
    tx: &mut Tx,
    of_place: SimpleExpr,
    organization: Option<OrganizationId>,
) -> Result<u64> {
    let select = end_user::Entity::find().filter(of_place).order_by_asc(end_user::Column::Id);
    let rows = select.lock(LockType::Update).all(tx.db()).await?;
    let count = rows.len() as u64;
    remove(tx, rows, organization).await?;
    Ok(count)
}

async fn remove(
    tx: &mut Tx,
    rows: Vec<end_user::Model>,
    organization: Option<OrganizationId>,
) -> Result<()> {
    for chunk in rows.chunks(500) {
        let ids: Vec<_> = chunk.iter().map(|row| row.id.uuid()).collect();
        let team = chunk.first().and_then(|row| row.team_id);
        limit::forget_scopes(tx, ScopeKind::EndUser, &ids, team).await?;
        end_user::Entity::delete_many()
            .filter(end_user::Column::Id.is_in(ids))
            .exec(tx.db())
            .await?;
    }
    for row in &rows {
        let subject = Subject::end_user(row, organization);
        tx.record(Event::gone(AuditAction::EndUserDeleted, subject, row));
    }
    Ok(())
}
