//! Moving a team into an organization, or out of it: every rule that holds between the two is
//! checked again.

use std::collections::{BTreeMap, BTreeSet};

use entity::id::{BudgetId, OrganizationId};
use entity::role::ScopeKind;
use entity::{budget, budget_assignment, organization, team};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{named, stamp, still_under, visible_to};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Authorized, Permission, Reference, authorize};
use crate::db::Tx;
use crate::domain::field;
use crate::domain::limit::{self, scope_of};
use crate::domain::model_access::{clamped, excess};
use crate::domain::scope::{Place, Scope, places};
use crate::domain::{Cascade, llm_model, organization as organizations, organization_membership};
use crate::error::{Error, Result};

/// The most objects that an error names, or of which one statement speaks.
const NAMED: usize = 20;
const ROWS: usize = 500;

/// Where a team is to go.
#[derive(Clone, Debug)]
pub struct Move {
    /// The team.
    pub team: Reference,
    /// The new organization; none for the platform itself.
    pub organization: Option<Reference>,
    /// What happens to the team, its members and its keys if they exceed the limits there.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Moves a team, with its members, keys and own budgets (REFERENCE T-UPD-12, C-T16).
///
/// # Errors
/// [`Error::Conflict`] for a stale version, for members who do not belong to the new organization,
/// for budgets that stay behind, and for limits that would be exceeded, with the ids of what is in
/// the way; [`Error::AlreadyExists`] when a team there has the team's external id.
pub async fn relocate(tx: &mut Tx, input: Move) -> Result<team::Model> {
    let (team, organization) = lock(tx, &input).await?;
    let before = team.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    after.organization_id = organization.as_ref().map(|organization| organization.id);
    if after.organization_id == before.organization_id {
        tx.nothing_changed();
        return Ok(before);
    }
    let mut breaches = Vec::new();
    if let Some(organization) = &organization {
        require_members(tx, organization.id, &before).await?;
        if !excess(&after.model_access, &organization.model_access).is_empty() {
            match input.cascade {
                Cascade::Refuse => breaches.push(before.id.to_string()),
                Cascade::Clamp => {
                    after.model_access = clamped(&after.model_access, &organization.model_access);
                }
            }
        }
    }
    stamp(tx, &mut after);
    tx.update(&after).await.map_err(taken)?;
    for place in [&before, &after] {
        if place.organization_id.is_some() {
            let subject = Subject::team(place);
            tx.record(Event::changed(AuditAction::TeamMoved, subject, &before, &after));
        }
    }
    let place = Place::team(&after);
    if let Some(organization) = &organization {
        limit::lock_below(tx, &place, &organization.model_access).await?;
        if after.model_access != before.model_access {
            llm_model::forget_grants(tx, &after).await?;
        }
        // Budgets of scopes above are locked before those of scopes below.
        limit::held_by(tx, &[Scope::organization(organization.id)]).await?;
    }
    let following = crate::domain::project::follow_team(tx, &after, after.organization_id);
    following.await.map_err(taken_by_project)?;
    take_budgets_along(tx, &before, &after).await?;
    if let Some(organization) = &organization {
        let parent = Scope::organization(organization.id);
        let allowed = [&organization.model_access, &after.model_access];
        limit::check_under(tx, &place, parent, allowed, input.cascade, breaches).await?;
    }
    Ok(after)
}

/// Locks both organizations, in the order of their ids, and then the team.
async fn lock(
    tx: &Tx,
    input: &Move,
) -> Result<(Authorized<team::Model>, Option<organization::Model>)> {
    let mut ids: Vec<OrganizationId> = Vec::new();
    if let Some(teams) = named(visible_to(tx.actor()), &input.team) {
        let teams = teams.limit(2).all(tx.db()).await?;
        ids.extend(teams.iter().filter_map(|team| team.organization_id));
    }
    let to = match &input.organization {
        Some(reference) => Some(organizations::id_of(tx, reference, "input.organizationId").await?),
        None => None,
    };
    ids.extend(to);
    let locked = organizations::lock_each(tx, ids).await?;
    let permission = Permission::TeamMove;
    let team = authorize::<team::Model>(tx, permission, &input.team, "input.id").await?;
    still_under(&team, &locked.iter().map(|row| row.id).collect::<Vec<_>>())?;
    let organization = locked.into_iter().find(|row| Some(row.id) == to);
    if to.is_some() && organization.is_none() {
        return Err(Error::Moved);
    }
    Ok((team, organization))
}

/// The members of a team that comes into an organization belong to it.
async fn require_members(tx: &Tx, id: OrganizationId, team: &team::Model) -> Result<()> {
    let strangers = organization_membership::strangers_to(tx, id, team.id).await?;
    if strangers.is_empty() {
        return Ok(());
    }
    Err(Error::Conflict {
        message: format!(
            "{} member(s) of the team do not belong to the organization: add them there first, or \
             remove them here",
            strangers.len()
        ),
        ids: strangers.iter().take(NAMED).map(ToString::to_string).collect(),
    })
}

/// A taken external id is not a field of this input.
fn taken(error: Error) -> Error {
    match error {
        Error::AlreadyExists { .. } => Error::AlreadyExists {
            field: "input.organizationId".to_owned(),
            message: "a team there has the external id of this team".to_owned(),
        },
        other => other,
    }
}

/// As [`taken`], for a project of the team.
fn taken_by_project(error: Error) -> Error {
    match error {
        Error::AlreadyExists { .. } => Error::AlreadyExists {
            field: "input.organizationId".to_owned(),
            message: "a project there has the external id of a project of this team".to_owned(),
        },
        other => other,
    }
}

/// The budgets that scopes of the team own go with it. Those of the organization that it leaves,
/// and those that somebody outside of the team uses too, stay behind: they have to be taken off
/// first.
async fn take_budgets_along(tx: &mut Tx, before: &team::Model, after: &team::Model) -> Result<()> {
    let held = limit::held_within_for_change(tx, before.id).await?;
    let budgets: BTreeMap<BudgetId, budget::Model> =
        held.into_iter().map(|held| (held.budget.id, held.budget)).collect();
    let outside = used_outside(tx, before, budgets.keys().copied().collect()).await?;
    let owners: Vec<_> = budgets.values().filter_map(owner).collect();
    let owners = places(tx, &owners).await?;
    let (mut own, mut staying) = (Vec::new(), Vec::new());
    for budget in budgets.into_values() {
        let place = owner(&budget).and_then(|owner| owners.get(&owner));
        let is_own = place.is_some_and(|place| place.team == Some(before.id));
        if is_own && !outside.contains(&budget.id) {
            own.push(budget);
        } else if is_own || budget.organization_id.is_some() {
            staying.push(budget.id.to_string());
        }
    }
    if !staying.is_empty() {
        let message = format!(
            "{} budget(s) in force on the team or below belong to what it leaves: take them off first",
            staying.len()
        );
        staying.truncate(NAMED);
        return Err(Error::Conflict { message, ids: staying });
    }
    adopt(tx, after, own).await
}

fn owner(budget: &budget::Model) -> Option<Scope> {
    let (kind, id): (ScopeKind, _) = budget.owner_kind.zip(budget.owner_id)?;
    Some(Scope { kind, id })
}

/// The budgets among these that are in force on some scope outside of the team.
async fn used_outside(
    tx: &Tx,
    team: &team::Model,
    ids: Vec<BudgetId>,
) -> Result<BTreeSet<BudgetId>> {
    let mut users = Vec::new();
    for chunk in ids.chunks(ROWS) {
        let select = crate::domain::budget::assignments_of_all()
            .filter(budget_assignment::Column::BudgetId.is_in(chunk.iter().copied()))
            .filter(budget::Column::OwnerKind.is_not_null());
        users.extend(select.all(tx.db()).await?.into_iter().map(|(assignment, _)| assignment));
    }
    let scopes: Vec<_> = users.iter().map(scope_of).collect();
    let places = places(tx, &scopes).await?;
    let is_outside =
        |scope: &Scope| places.get(scope).is_none_or(|place| place.team != Some(team.id));
    let used = users.iter().zip(&scopes).filter(|(_, scope)| is_outside(scope));
    Ok(used.map(|(assignment, _)| assignment.budget_id).collect())
}

/// Puts budgets into the organization to which the team came.
async fn adopt(tx: &mut Tx, team: &team::Model, budgets: Vec<budget::Model>) -> Result<()> {
    for chunk in budgets.chunks(ROWS) {
        budget::Entity::update_many()
            .col_expr(budget::Column::OrganizationId, Expr::val(team.organization_id))
            .col_expr(budget::Column::Version, Expr::col("version").add(1))
            .col_expr(budget::Column::UpdatedAt, Expr::val(tx.now()))
            .col_expr(budget::Column::UpdatedBy, Expr::val(tx.by()))
            .filter(budget::Column::Id.is_in(chunk.iter().map(|budget| budget.id)))
            .exec(tx.db())
            .await?;
    }
    for before in budgets {
        let mut after = before.clone();
        after.organization_id = team.organization_id;
        after.version += 1;
        after.updated_at = tx.now();
        after.updated_by = tx.by();
        let subject = Subject::budget(&after, Some(team.id));
        tx.record(Event::changed(AuditAction::BudgetUpdated, subject, &before, &after));
    }
    Ok(())
}
