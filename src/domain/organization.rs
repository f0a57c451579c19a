//! Organizations, as far as teams and budgets hang on them: who sees them, and how they are named.

use entity::id::{Id, OrganizationId};
use entity::{organization, team};
use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};

use crate::authz::{Actor, Placement, Reference, Resource};
use crate::db::{Reader, Tx};
use crate::error::{Error, Result};

/// The organizations that a caller may see: those it belongs to, by itself or through a team.
#[expect(clippy::disallowed_methods, reason = "this is where reads of organizations begin")]
pub fn visible_to(actor: &Actor) -> Select<organization::Entity> {
    let select = organization::Entity::find();
    if actor.sees_all() {
        return select;
    }
    select.filter(super::reach::in_known_organizations(actor, ("organizations", "id")))
}

fn named(
    select: Select<organization::Entity>,
    reference: &Reference,
) -> Option<Select<organization::Entity>> {
    let condition = match (reference.id::<OrganizationId>(), reference.external()) {
        (Some(id), _) => organization::Column::Id.eq(id),
        (None, Some(external)) => organization::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for organization::Model {
    const NOUN: &'static str = "organization";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::organization(Some(self.id)))
    }
}

/// The organizations of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[OrganizationId]) -> Result<Vec<organization::Model>> {
    let select = visible_to(reader.actor())
        .filter(organization::Column::Id.is_in(ids.iter().map(|id| id.uuid())));
    Ok(select.all(reader.db()).await?)
}

/// The organization in which something is to be made, locked against changes of its limits.
///
/// # Errors
/// [`Error::NotFound`] when there is none, or the caller may not see it.
pub(crate) async fn find_place(
    tx: &Tx,
    reference: Option<&Reference>,
) -> Result<Option<OrganizationId>> {
    let Some(reference) = reference else { return Ok(None) };
    let missing = || Error::NotFound {
        noun: organization::Model::NOUN,
        field: Some("input.organizationId".to_owned()),
    };
    let select = named(visible_to(tx.actor()), reference).ok_or_else(missing)?;
    let found = select.lock(LockType::Share).one(tx.db()).await?;
    Ok(Some(found.ok_or_else(missing)?.id))
}

/// Locks the organizations of teams against changes of their limits.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above a row that the caller may see")]
pub(crate) async fn lock_of_teams(tx: &Tx, teams: Select<team::Entity>) -> Result<()> {
    let ids = teams.select_only().column(team::Column::OrganizationId).into_query();
    let select = organization::Entity::find()
        .filter(Expr::col(("organizations", "id")).in_subquery(ids))
        .order_by_asc(organization::Column::Id);
    select.lock(LockType::Share).all(tx.db()).await?;
    Ok(())
}

/// The ids of the organizations of references, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn ids_of(reader: &Reader, references: &[Reference]) -> Result<Vec<OrganizationId>> {
    let ids: Vec<_> = references.iter().filter_map(Reference::id::<OrganizationId>).collect();
    let external: Vec<_> = references.iter().filter_map(Reference::external).collect();
    let select = visible_to(reader.actor()).filter(
        organization::Column::Id
            .is_in(ids.iter().map(|id| id.uuid()))
            .or(organization::Column::ExternalId.is_in(external)),
    );
    Ok(select.all(reader.db()).await?.into_iter().map(|row| row.id).collect())
}
