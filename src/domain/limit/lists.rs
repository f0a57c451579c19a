//! Lists of models below a scope whose own list became narrower, or that came under another one.

use std::collections::BTreeMap;

use entity::id::{ProjectId, TeamId, UserId};
use entity::role::EntityKind;
use entity::value::{ModelAccess, ModelAccessMode};
use entity::{api_key, llm_model, project, team, team_membership};
use sea_orm::sea_query::{ExprTrait, LockType};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::audit::{AuditAction, Event, Subject};
use crate::db::Tx;
use crate::domain::scope::{Place, Scope, descendants};
use crate::domain::{Cascade, llm_model as models, model_access};
use crate::error::Result;

/// Locks the rows below a scope whose model access is narrowed, before any budget is locked.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "limits hold whoever asks, and are not shown")]
pub(crate) async fn lock_below(tx: &Tx, place: &Place, access: &ModelAccess) -> Result<()> {
    if access.mode == ModelAccessMode::All {
        return Ok(());
    }
    let rows = descendants(place.scope.kind, &[place.scope.id]);
    macro_rules! lock {
        ($table:ident, $condition:expr) => {
            if let Some(condition) = $condition {
                let select = $table::Entity::find().filter(condition);
                let select = select.order_by_asc($table::Column::Id).lock(LockType::Update);
                select.all(tx.db()).await?;
            }
        };
    }
    lock!(team, rows.teams);
    lock!(project, rows.projects);
    lock!(team_membership, rows.memberships);
    lock!(api_key, rows.keys);
    lock!(
        llm_model,
        rows.models.map(|of_teams| of_teams.and(llm_model::Column::IsGranted.eq(true)))
    );
    Ok(())
}

/// The lists of scopes that were narrowed on the way down: what is below them lies within them too.
#[derive(Default)]
struct Narrowed {
    teams: BTreeMap<TeamId, ModelAccess>,
    projects: BTreeMap<ProjectId, ModelAccess>,
    members: BTreeMap<(TeamId, UserId), ModelAccess>,
}

impl Narrowed {
    /// The narrowed lists above a key.
    fn above_key(&self, key: &api_key::Model) -> impl Iterator<Item = &ModelAccess> {
        let team = key.team_id.and_then(|id| self.teams.get(&id));
        let project = key.project_id.and_then(|id| self.projects.get(&id));
        let member = key.team_id.zip(key.user_id).and_then(|both| self.members.get(&both));
        team.into_iter().chain(project).chain(member)
    }
}

/// Compares the lists of all that is below a scope with lists that hold above it, and lowers or notes
/// those that exceed them. What lies below something that is lowered is lowered with it: a name
/// that the scope above still allows may have been allowed between the two by a pattern that is gone.
pub(super) async fn check_access_below(
    tx: &mut Tx,
    place: &Place,
    allowed: &[&ModelAccess],
    cascade: Cascade,
    breaches: &mut Vec<String>,
) -> Result<()> {
    if allowed.iter().all(|access| access.mode == ModelAccessMode::All) {
        return Ok(());
    }
    let rows = descendants(place.scope.kind, &[place.scope.id]);
    let mut narrowed = Narrowed::default();
    macro_rules! narrow {
        ($table:ident, $condition:expr, $scope:path, $action:ident, $subject:expr,
         above: |$child:ident| $above:expr, note: |$lowered:ident| $note:expr) => {
            if let Some(condition) = $condition {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "limits hold whoever asks, and are not shown"
                )]
                let select = $table::Entity::find().filter(condition);
                let select = select.order_by_asc($table::Column::Id).lock(LockType::Update);
                for $child in select.all(tx.db()).await? {
                    let mut access = $child.model_access.clone();
                    let above: Vec<&ModelAccess> = $above;
                    for allowed in allowed.iter().copied().chain(above) {
                        if !model_access::excess(&access, allowed).is_empty() {
                            access = model_access::clamped(&access, allowed);
                        }
                    }
                    if access == $child.model_access {
                        continue;
                    }
                    if cascade == Cascade::Refuse {
                        breaches.push($scope($child.id).to_string());
                        continue;
                    }
                    let mut $lowered = $child.clone();
                    $lowered.model_access = access;
                    $lowered.version += 1;
                    $lowered.updated_at = tx.now();
                    $lowered.updated_by = tx.by();
                    tx.update(&$lowered).await?;
                    let subject = $subject(&$child);
                    tx.record(Event::changed(AuditAction::$action, subject, &$child, &$lowered));
                    $note;
                }
            }
        };
    }
    let organization = place.organization;
    let of_member = |row: &team_membership::Model| {
        Subject::new(EntityKind::TeamMembership, row.id, organization, Some(row.team_id))
    };
    let of_key = |row: &api_key::Model| Subject::api_key(row, organization);
    narrow!(
        team, rows.teams, Scope::team, TeamUpdated, Subject::team,
        above: |child| Vec::new(),
        note: |lowered| {
            models::forget_grants(tx, &lowered).await?;
            narrowed.teams.insert(lowered.id, lowered.model_access);
        }
    );
    narrow!(
        project, rows.projects, Scope::project, ProjectUpdated, Subject::project,
        above: |child| narrowed.teams.get(&child.team_id).into_iter().collect(),
        note: |lowered| drop(narrowed.projects.insert(lowered.id, lowered.model_access))
    );
    narrow!(
        team_membership, rows.memberships, Scope::membership, TeamMemberUpdated, of_member,
        above: |child| narrowed.teams.get(&child.team_id).into_iter().collect(),
        note: |lowered| {
            narrowed.members.insert((lowered.team_id, lowered.user_id), lowered.model_access);
        }
    );
    narrow!(
        api_key, rows.keys, Scope::api_key, ApiKeyUpdated, of_key,
        above: |child| narrowed.above_key(&child).collect(),
        note: |lowered| drop(lowered)
    );
    Ok(())
}
