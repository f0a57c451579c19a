//! Moving a project to another team: rights on both, every limit anew, and its keys only when the
//! caller says so (REFERENCE C-P1, C-P7; SECURITY 2, case 4).

use std::collections::{BTreeMap, BTreeSet};

use entity::id::{Id, OrganizationId, TeamId, UserId};
use entity::role::ScopeKind;
use entity::{api_key, budget, project, team, team_membership};
use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::stamp;
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Placement, Reference, authorize, authorize_at};
use crate::db::Tx;
use crate::domain::NAMED;
use crate::domain::limit::{self, Held};
use crate::domain::scope::{Place, Scope};
use crate::domain::{budget as budgets, field, membership};
use crate::error::{Error, Result};

/// The most keys that one move carries along.
pub const CARRIED: usize = 1_000;

/// What happens to the keys of a project that moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeysOnMove {
    /// The move is refused while there are any.
    #[default]
    Refuse,
    /// They move along, provided that their owners are members of the other team.
    Carry,
}

/// A project that was moved.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The project.
    pub project: project::Model,
    /// The number of keys that moved along.
    pub api_keys: u64,
}

/// Moves a project to another team.
///
/// # Errors
/// [`Error::NotFound`] for a project or a team that the caller may not see; [`Error::Forbidden`]
/// without the right over either; [`Error::Conflict`] for a stale version and for what cannot come
/// along; [`Error::LimitExceeded`] for limits of the other team.
pub async fn move_to(
    tx: &mut Tx,
    reference: &Reference,
    target: &Reference,
    keys: KeysOnMove,
    expected_version: Option<i32>,
) -> Result<Moved> {
    let (project, team) = authorize_both(tx, reference, target).await?;
    field::expect_version(expected_version, project.version)?;
    if project.team_id == team.id {
        tx.nothing_changed();
        return Ok(Moved { project, api_keys: 0 });
    }
    let carried = Carried::find(tx, &project, &team, keys).await?;
    let mut after = project.clone();
    after.team_id = team.id;
    after.organization_id = team.organization_id;
    stamp(tx, &mut after);
    tx.update(&after).await.map_err(taken)?;
    // The old team's people read what left, the new team's people what came.
    tx.record(Event::gone(AuditAction::ProjectMoved, Subject::project(&project), &project));
    tx.record(Event::made(AuditAction::ProjectMoved, Subject::project(&after), &after));
    let moved = carried.move_along(tx, &project, &after).await?;
    carried.take_budgets_along(tx, &project, &after).await?;
    let place = Place::project(&team, &after);
    limit::check_above(tx, &place, &after.model_access, "input").await.map_err(at_team)?;
    carried.check_above(tx, &team, &moved).await?;
    Ok(Moved { project: after, api_keys: moved.len() as u64 })
}

/// Locks both teams with what is above them, then the project, and proves the right over both.
async fn authorize_both(
    tx: &Tx,
    reference: &Reference,
    target: &Reference,
) -> Result<(project::Model, team::Model)> {
    let seen = super::seen(tx, reference).await?;
    let seen_target = crate::domain::team::seen(tx, target).await?;
    let teams = seen.iter().map(|project| project.team_id);
    let teams: Vec<_> = teams.chain(seen_target.iter().map(|team| team.id)).collect();
    crate::domain::team::lock_all_shared(tx, &teams).await?;
    let permission = Permission::ProjectMove;
    let project = authorize::<project::Model>(tx, permission, reference, "input.id").await?;
    let project = project.into_inner();
    if seen.is_none_or(|seen| seen.team_id != project.team_id) {
        return Err(Error::Moved);
    }
    let team = crate::domain::team::find_shared(tx, target, "input.teamId").await?;
    if seen_target.is_none_or(|seen| seen.organization_id != team.organization_id) {
        return Err(Error::Moved);
    }
    authorize_at(tx, permission, Placement::team(team.organization_id, team.id))?;
    Ok((project, team))
}

/// An external id that is taken in the other organization.
fn taken(error: Error) -> Error {
    match error {
        Error::AlreadyExists { message, .. } => {
            Error::AlreadyExists { field: "input.teamId".to_owned(), message }
        }
        other => other,
    }
}

/// A limit of the other team.
fn at_team(error: Error) -> Error {
    match error {
        Error::LimitExceeded { message, .. } => Error::limit("input.teamId", message),
        other => other,
    }
}

fn in_the_way(message: String, ids: impl IntoIterator<Item = String>) -> Error {
    Error::Conflict { message, ids: ids.into_iter().take(NAMED).collect() }
}

/// The keys that move along, and what their owners are in the other team.
struct Carried {
    keys: Vec<api_key::Model>,
    members: BTreeMap<UserId, team_membership::Model>,
}

impl Carried {
    async fn find(
        tx: &Tx,
        project: &project::Model,
        team: &team::Model,
        wish: KeysOnMove,
    ) -> Result<Self> {
        let keys = keys_of(tx, project, None).await?;
        let count = keys.len();
        if wish == KeysOnMove::Refuse && count > 0 {
            let message = format!(
                "{count} key(s) are attached to the project: detach them first, or say apiKeys: CARRY"
            );
            return Err(in_the_way(message, keys.iter().map(|key| key.id.to_string())));
        }
        if count > CARRIED {
            let message = format!("the project has {count} keys; a move carries {CARRIED} at most");
            return Err(in_the_way(message, Vec::new()));
        }
        let owners: BTreeSet<_> = keys.iter().filter_map(|key| key.user_id).collect();
        let members = membership::of_users_in_team(tx, team.id, &owners).await?;
        let strangers: Vec<_> =
            owners.iter().filter(|owner| !members.contains_key(owner)).collect();
        if !strangers.is_empty() {
            let count = strangers.len();
            let message = format!("{count} owner(s) of keys are not members of the other team");
            return Err(in_the_way(message, strangers.iter().map(ToString::to_string)));
        }
        // The project is locked, so that no key has come since; some may have gone.
        let keys = keys_of(tx, project, Some(LockType::Update)).await?;
        refuse_taken(tx, &keys, team.id).await?;
        Ok(Self { keys, members })
    }

    /// Moves the keys, and returns them as they are now.
    async fn move_along(
        &self,
        tx: &mut Tx,
        from: &project::Model,
        to: &project::Model,
    ) -> Result<Vec<api_key::Model>> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let (now, by) = (tx.now(), tx.by());
        let mut moved = self.keys.clone();
        for key in &mut moved {
            key.team_id = Some(to.team_id);
            key.version += 1;
            key.updated_at = now;
            key.updated_by.clone_from(&by);
        }
        api_key::Entity::update_many()
            .col_expr(api_key::Column::TeamId, Expr::val(to.team_id.uuid()))
            .col_expr(api_key::Column::Version, Expr::col(api_key::Column::Version).add(1))
            .col_expr(api_key::Column::UpdatedAt, Expr::val(now))
            .col_expr(api_key::Column::UpdatedBy, Expr::val(by))
            .filter(api_key::Column::ProjectId.eq(to.id))
            .exec(tx.db())
            .await?;
        for (before, after) in self.keys.iter().zip(&moved) {
            let subject = Subject::api_key(before, from.organization_id);
            tx.record(Event::gone(AuditAction::ApiKeyMoved, subject, before));
            let subject = Subject::api_key(after, to.organization_id);
            tx.record(Event::made(AuditAction::ApiKeyMoved, subject, after));
        }
        Ok(moved)
    }

    /// Locks the budgets above and those of the project and its keys, and takes those that they own
    /// to the other organization. A budget of the old organization cannot stay in force.
    async fn take_budgets_along(
        &self,
        tx: &mut Tx,
        from: &project::Model,
        to: &project::Model,
    ) -> Result<()> {
        let above = to.organization_id.map(Scope::organization).into_iter();
        let above = above.chain([Scope::team(to.team_id)]);
        let members = self.members.values().map(|member| Scope::membership(member.id));
        limit::held_by(tx, &above.chain(members).collect::<Vec<_>>()).await?;
        if from.organization_id == to.organization_id {
            return Ok(());
        }
        let own: Vec<_> = [Scope::project(to.id)]
            .into_iter()
            .chain(self.keys.iter().map(|key| Scope::api_key(key.id)))
            .collect();
        let held = limit::held_by_for_change(tx, &own).await?;
        let shared = budgets::used_beside(tx, &held, &own).await?;
        let is_own = |held: &Held| {
            let owner = held.budget.owner_kind.zip(held.budget.owner_id);
            let owner = owner.map(|(kind, id): (ScopeKind, uuid::Uuid)| Scope { kind, id });
            owner.is_some_and(|owner| own.contains(&owner)) && !shared.contains(&held.budget.id)
        };
        let left: BTreeSet<_> = held
            .iter()
            .filter(|held| !is_own(held) && held.budget.organization_id != to.organization_id)
            .filter(|held| {
                held.budget.owner_kind.is_some() || held.budget.organization_id.is_some()
            })
            .map(|held| held.budget.id)
            .collect();
        if !left.is_empty() {
            let message = "budgets of the present organization are in force on the project or its \
                           keys: take them off first";
            return Err(in_the_way(message.to_owned(), left.iter().map(ToString::to_string)));
        }
        let mut done = BTreeSet::new();
        for held in held.iter().filter(|held| is_own(held)) {
            if done.insert(held.budget.id) {
                follow(tx, &held.budget, to.organization_id, to.team_id).await?;
            }
        }
        Ok(())
    }

    /// Checks the keys against the limits of their new places, those of one owner together.
    async fn check_above(
        &self,
        tx: &Tx,
        team: &team::Model,
        moved: &[api_key::Model],
    ) -> Result<()> {
        let mut by_owner: BTreeMap<Option<UserId>, Vec<&api_key::Model>> = BTreeMap::new();
        for key in moved {
            by_owner.entry(key.user_id).or_default().push(key);
        }
        let mut beyond = Vec::new();
        for (owner, keys) in by_owner {
            let Some(first) = keys.first() else { continue };
            let member = owner.and_then(|owner| self.members.get(&owner));
            let place = Place::api_key(first, Some(team), member);
            let children: Vec<_> = keys
                .iter()
                .map(|key| (Scope::api_key(key.id), &key.model_access, key.id.to_string()))
                .collect();
            match limit::check_many_above(tx, &place, &children).await {
                Err(Error::LimitExceeded { field, .. }) => {
                    beyond.extend(field.split('.').next().map(str::to_owned));
                }
                outcome => outcome?,
            }
        }
        if beyond.is_empty() {
            return Ok(());
        }
        let message = "keys would exceed the limits of the other team: lower or detach them first";
        Err(in_the_way(message.to_owned(), beyond))
    }
}

async fn follow(
    tx: &mut Tx,
    before: &budget::Model,
    organization: Option<OrganizationId>,
    team: TeamId,
) -> Result<()> {
    let mut after = before.clone();
    after.organization_id = organization;
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::budget(&after, Some(team));
    tx.record(Event::changed(AuditAction::BudgetUpdated, subject, before, &after));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "of a project that the caller may move")]
async fn keys_of(
    tx: &Tx,
    project: &project::Model,
    lock: Option<LockType>,
) -> Result<Vec<api_key::Model>> {
    let mut select = api_key::Entity::find()
        .filter(api_key::Column::ProjectId.eq(project.id))
        .order_by_asc(api_key::Column::Id);
    if let Some(lock) = lock {
        select = select.lock(lock);
    }
    Ok(select.all(tx.db()).await?)
}

/// A key's external id is unique in its team.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may move projects to")]
async fn refuse_taken(tx: &Tx, keys: &[api_key::Model], team: TeamId) -> Result<()> {
    let wanted: Vec<_> = keys.iter().filter_map(|key| key.external_id.clone()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let taken = api_key::Entity::find()
        .filter(api_key::Column::TeamId.eq(team))
        .filter(api_key::Column::ExternalId.is_in(wanted))
        .all(tx.db())
        .await?;
    let clashes: Vec<_> = keys
        .iter()
        .filter(|key| {
            key.external_id.is_some() && taken.iter().any(|row| row.external_id == key.external_id)
        })
        .map(|key| key.id.to_string())
        .collect();
    if clashes.is_empty() {
        return Ok(());
    }
    let count = clashes.len();
    let message = format!("the external ids of {count} key(s) are taken in the other team");
    Err(in_the_way(message, clashes))
}
