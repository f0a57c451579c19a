//! Deleting teams with everything that hangs on them.

use entity::id::TeamId;
use entity::role::ScopeKind;
use entity::{api_key, end_user, project, team, team_membership};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::{limit, membership, model_alias};
use crate::error::Result;

/// What went with deleted teams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The teams.
    pub ids: Vec<TeamId>,
    /// Their members.
    pub memberships: u64,
    /// Their projects.
    pub projects: u64,
    /// Their keys.
    pub api_keys: u64,
    /// Their end users.
    pub end_users: u64,
}

/// Deletes teams with everything that hangs on them: all, or none.
///
/// # Errors
/// `NotFound` for the first team that the caller may not see, and nothing is deleted
/// (REFERENCE T-DEL-2; SECURITY 2, case 21).
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
    let mut teams: Vec<team::Model> = Vec::new();
    lock_named(tx, references).await?;
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let team = authorize::<team::Model>(tx, Permission::TeamDelete, reference, &field).await?;
        field::expect_version(expected_version, team.version)?;
        if teams.iter().all(|known| known.id != team.id) {
            teams.push(team.into_inner());
        }
    }
    let ids: Vec<_> = teams.iter().map(|team| team.id).collect();
    let own = project::Column::TeamId.is_in(ids.iter().copied());
    crate::domain::project::lock(tx, own).await?;
    membership::lock(tx, team_membership::Column::TeamId.is_in(ids.iter().copied())).await?;
    crate::domain::api_key::lock(tx, api_key::Column::TeamId.is_in(ids.iter().copied())).await?;
    crate::domain::llm_model::lock_of_teams(tx, &ids).await?;
    crate::domain::credential::lock_of_teams(tx, &ids).await?;
    let mut deleted = Deleted::default();
    for team in teams {
        remove(tx, team, &mut deleted).await?;
    }
    Ok(deleted)
}

/// Locks teams that the caller names and may see, in the order of their ids.
async fn lock_named(tx: &Tx, references: &[Reference]) -> Result<()> {
    let named = Condition::any()
        .add(team::Column::Id.is_in(references.iter().filter_map(Reference::id::<TeamId>)))
        .add(team::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)));
    let select = super::visible_to(tx.actor()).filter(named).order_by_asc(team::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// Deletes a team whose members and keys are locked.
pub(crate) async fn remove(tx: &mut Tx, team: team::Model, deleted: &mut Deleted) -> Result<()> {
    let keys = crate::domain::api_key::of_team(tx, team.id, None).await?;
    deleted.api_keys += crate::domain::api_key::remove_all(tx, keys, team.organization_id).await?;
    deleted.projects += crate::domain::project::remove_of_team(tx, team.id).await?;
    let members = membership::of_team_for_update(tx, team.id).await?;
    let ids: Vec<_> = members.iter().map(|member| entity::id::Id::uuid(member.id)).collect();
    crate::domain::llm_model::remove_of_team(tx, &team).await?;
    crate::domain::credential::remove_of_team(tx, team.id).await?;
    limit::forget_scopes(tx, ScopeKind::TeamMembership, &ids, Some(team.id)).await?;
    team_membership::Entity::delete_many()
        .filter(team_membership::Column::TeamId.eq(team.id))
        .exec(tx.db())
        .await?;
    for member in &members {
        let subject = Subject::membership(&team, member);
        tx.record(Event::gone(AuditAction::TeamMemberRemoved, subject, member));
    }
    deleted.memberships += members.len() as u64;
    deleted.end_users += crate::domain::end_user::remove_all(
        tx,
        end_user::Column::TeamId.eq(team.id),
        team.organization_id,
    )
    .await?;
    let id = entity::id::Id::uuid(team.id);
    limit::forget_scopes(tx, ScopeKind::TeamMemberDefault, &[id], Some(team.id)).await?;
    limit::forget_scopes(tx, ScopeKind::Team, &[id], Some(team.id)).await?;
    model_alias::forget(tx, ScopeKind::Team, &[id]).await?;
    team::Entity::delete_many().filter(team::Column::Id.eq(team.id)).exec(tx.db()).await?;
    tx.record(Event::gone(AuditAction::TeamDeleted, Subject::team(&team), &team));
    deleted.ids.push(team.id);
    Ok(())
}
