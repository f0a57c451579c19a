//! Deleting projects, by themselves and with their team.

use std::collections::BTreeMap;

use entity::id::{Id, ProjectId, TeamId};
use entity::role::ScopeKind;
use entity::{api_key, project};
use sea_orm::sea_query::{LockType, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::{NAMED, limit};
use crate::error::{Error, Result};

/// Deletes projects that have no keys, with their budgets: all, or none.
///
/// # Errors
/// `NotFound` for the first project that the caller may not see; [`Error::Conflict`] with the
/// projects that keys are attached to, and nothing is deleted (REFERENCE P-DEL-2, C-P13).
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Vec<ProjectId>> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let mut projects: Vec<project::Model> = Vec::new();
    lock_named(tx, references).await?;
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let project =
            authorize::<project::Model>(tx, Permission::ProjectDelete, reference, &field).await?;
        field::expect_version(expected_version, project.version)?;
        if projects.iter().all(|known| known.id != project.id) {
            projects.push(project.into_inner());
        }
    }
    let ids: Vec<_> = projects.iter().map(|project| project.id).collect();
    refuse_attached(tx, &ids).await?;
    for project in projects {
        remove(tx, project).await?;
    }
    Ok(ids)
}

/// Locks projects that the caller names and may see, in the order of their ids. Nobody attaches a
/// key to them from here on.
async fn lock_named(tx: &Tx, references: &[Reference]) -> Result<()> {
    let select = super::visible_to(tx.actor()).filter(super::any_of(references));
    select.order_by_asc(project::Column::Id).lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "of projects that the caller may delete")]
async fn refuse_attached(tx: &Tx, ids: &[ProjectId]) -> Result<()> {
    let attached = api_key::Column::ProjectId;
    let select = api_key::Entity::find().filter(attached.is_in(ids.iter().copied()));
    let counts: BTreeMap<ProjectId, u64> =
        crate::db::page::counts(tx.db(), select, attached).await?;
    let keys: u64 = counts.values().sum();
    if keys == 0 {
        return Ok(());
    }
    let projects = counts.len();
    let named = counts.keys().take(NAMED).map(ToString::to_string).collect();
    Err(Error::Conflict {
        message: format!(
            "{keys} key(s) are attached to {projects} of these projects: detach or delete them first"
        ),
        ids: named,
    })
}

async fn remove(tx: &mut Tx, project: project::Model) -> Result<()> {
    let team = Some(project.team_id);
    limit::forget_scopes(tx, ScopeKind::Project, &[project.id.uuid()], team).await?;
    let gone = project::Column::Id.eq(project.id);
    project::Entity::delete_many().filter(gone).exec(tx.db()).await?;
    tx.record(Event::gone(AuditAction::ProjectDeleted, Subject::project(&project), &project));
    Ok(())
}

/// Locks projects that are to go, in the order of their ids.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "of teams that the caller may delete")]
pub(crate) async fn lock(tx: &Tx, condition: SimpleExpr) -> Result<()> {
    let rows = project::Entity::find().filter(condition);
    rows.order_by_asc(project::Column::Id).lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// The projects of a team, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may change")]
pub(super) async fn of_team(tx: &Tx, team: TeamId) -> Result<Vec<project::Model>> {
    let rows = project::Entity::find().filter(project::Column::TeamId.eq(team));
    Ok(rows.order_by_asc(project::Column::Id).lock(LockType::Update).all(tx.db()).await?)
}

/// Deletes the projects of a team whose keys are gone, and returns their number.
///
/// # Errors
/// What the database answers.
pub(crate) async fn remove_of_team(tx: &mut Tx, team: TeamId) -> Result<u64> {
    let projects = of_team(tx, team).await?;
    let count = projects.len() as u64;
    for project in projects {
        remove(tx, project).await?;
    }
    Ok(count)
}
