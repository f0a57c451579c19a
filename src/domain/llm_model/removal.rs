//! Deleting models, by themselves and with their teams.

use std::collections::BTreeMap;

use entity::id::{ModelId, TeamId};
use entity::{llm_model, team};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{is_granted, visible_to};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::scope::Place;
use crate::domain::{limit, team as teams};
use crate::error::Result;

/// Deletes models: all, or none. Names that were granted to teams because of them are withdrawn
/// (REFERENCE MD-DEL-3, C-M7).
///
/// # Errors
/// `NotFound` for the first model that the caller may not see.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Vec<ModelId>> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let named = Condition::any()
        .add(llm_model::Column::Id.is_in(references.iter().filter_map(Reference::id::<ModelId>)))
        .add(
            llm_model::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)),
        );
    let select =
        || visible_to(tx.actor()).filter(named.clone()).order_by_asc(llm_model::Column::Id);
    let mut owners: Vec<_> =
        select().all(tx.db()).await?.into_iter().filter_map(|row| row.team_id).collect();
    owners.sort_unstable();
    owners.dedup();
    let owners = teams::lock_each(tx, &owners).await?;
    for team in &owners {
        limit::lock_below(tx, &Place::team(team), &team.model_access).await?;
    }
    select().lock(LockType::Update).all(tx.db()).await?;
    let mut rows: Vec<llm_model::Model> = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let row =
            authorize::<llm_model::Model>(tx, Permission::ModelDelete, reference, &field).await?;
        field::expect_version(expected_version, row.version)?;
        if rows.iter().all(|known| known.id != row.id) {
            rows.push(row.into_inner());
        }
    }
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut owners: BTreeMap<_, _> = owners.into_iter().map(|team| (team.id, team)).collect();
    for row in &rows {
        let owner = row.team_id.and_then(|id| owners.get(&id));
        remove(tx, row, owner).await?;
    }
    for row in rows.iter().filter(|row| row.is_granted) {
        let Some(team) = row.team_id.and_then(|id| owners.remove(&id)) else { continue };
        let team = if is_granted(tx, team.id, &row.name, &ids).await? {
            team
        } else {
            teams::withdraw_models(tx, team, std::slice::from_ref(&row.name)).await?
        };
        owners.insert(team.id, team);
    }
    Ok(ids)
}

async fn remove(tx: &mut Tx, row: &llm_model::Model, team: Option<&team::Model>) -> Result<()> {
    llm_model::Entity::delete_many().filter(llm_model::Column::Id.eq(row.id)).exec(tx.db()).await?;
    let subject = Subject::model(row, team.and_then(|team| team.organization_id));
    tx.record(Event::gone(AuditAction::ModelDeleted, subject, row));
    Ok(())
}

/// Locks the models of teams, in the order of their ids.
#[expect(clippy::disallowed_methods, reason = "of teams that the caller may delete")]
pub(crate) async fn lock_of_teams(tx: &Tx, teams: &[TeamId]) -> Result<Vec<llm_model::Model>> {
    let select = llm_model::Entity::find()
        .filter(llm_model::Column::TeamId.is_in(teams.iter().copied()))
        .order_by_asc(llm_model::Column::Id);
    Ok(select.lock(LockType::Update).all(tx.db()).await?)
}

/// Deletes the models of a team that is being deleted.
pub(crate) async fn remove_of_team(tx: &mut Tx, team: &team::Model) -> Result<()> {
    for row in lock_of_teams(tx, &[team.id]).await? {
        remove(tx, &row, Some(team)).await?;
    }
    Ok(())
}
