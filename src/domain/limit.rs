//! Limits within limits: a child never exceeds its parent, from whichever side it is changed.
//!
//! The rules (DESIGN 3): a child's models lie within its parent's list; a child's cap is at most
//! the parent's cap of the same or a longer period; rates likewise. A budget with a model pattern
//! is compared with parents that have the same pattern or none. They are checked on what a
//! transaction has written, before it commits, with the rows above and their budgets locked against
//! writers. In which order, `docs/adr/0018-one-order-of-locks.md` says.

mod lists;
mod tier;

use lists::check_access_below;
pub(crate) use lists::lock_below;
pub(crate) use tier::{check_tier, lock_above_tier};

use entity::id::TeamId;
use entity::role::ScopeKind;
use entity::value::ModelAccess;
use entity::{
    api_key, budget, budget_assignment, budget_window, organization, project, team,
    team_membership, user,
};
use sea_orm::sea_query::{
    Condition, Expr, ExprTrait, LockType, Query, SelectStatement, SimpleExpr,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::budget::window::increase_of;
use super::period::Period;
use super::scope::{Place, Scope, by_kind, descendants};
use super::{Cascade, NAMED, model_access};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, policy};
use crate::db::Tx;
use crate::error::{Error, Result};

/// The most scopes of which one statement speaks: SQLite binds at most 32,766 values.
const SCOPES: usize = 1_000;

/// A budget in force on a scope.
#[derive(Clone, Debug)]
pub struct Held {
    /// The assignment.
    pub assignment: budget_assignment::Model,
    /// The budget.
    pub budget: budget::Model,
}

impl Held {
    /// The scope on which the budget is in force.
    pub fn scope(&self) -> Scope {
        scope_of(&self.assignment)
    }
}

/// The scope of an assignment.
pub(crate) fn scope_of(assignment: &budget_assignment::Model) -> Scope {
    Scope { kind: assignment.scope_kind, id: assignment.scope_id }
}

/// One limit of a child that exceeds a limit of a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The input field of the limit.
    pub field: &'static str,
    /// Both numbers, for people who may read the parent's budgets.
    pub message: String,
}

/// What people are told who may not read the budgets of the scope above.
const MORE_THAN_ABOVE: &str = "this is more than the scope above allows";

/// The limits of a child's budget that exceed those of a parent's.
pub fn excess(child: &budget::Model, parent: &budget::Model) -> Vec<Excess> {
    if parent.model_pattern.is_some() && parent.model_pattern != child.model_pattern {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let (Some(own), Some(above)) = (child.max_spend, parent.max_spend)
        && own > above
        && lasts_at_least(parent, child)
    {
        let message = format!("{own} is more than the {above} of the scope above");
        found.push(Excess { field: "maxSpend", message });
    }
    for (field, own, above) in [
        ("requestsPerMinute", child.requests_per_minute, parent.requests_per_minute),
        ("tokensPerMinute", child.tokens_per_minute, parent.tokens_per_minute),
        ("maxParallelRequests", child.max_parallel_requests, parent.max_parallel_requests),
    ] {
        if let (Some(own), Some(above)) = (own, above)
            && own > above
        {
            let message = format!("{own} is more than the {above} of the scope above");
            found.push(Excess { field, message });
        }
    }
    found
}

/// Whether a parent's window lasts at least as long as a child's. A budget without a period never
/// ends, so it lasts longest.
pub(crate) fn lasts_at_least(parent: &budget::Model, child: &budget::Model) -> bool {
    match (period(parent), period(child)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(parent), Some(child)) => parent.is_at_least_as_long_as(&child),
    }
}

/// The period of a stored budget.
pub fn period(budget: &budget::Model) -> Option<Period> {
    budget.period.as_deref().and_then(|text| text.parse().ok())
}

/// Lowers a child's budget to a parent's.
pub(crate) fn clamp(child: &mut budget::Model, parent: &budget::Model) {
    for excess in excess(child, parent) {
        match excess.field {
            "maxSpend" => {
                child.max_spend = parent.max_spend;
                if child.soft_spend >= child.max_spend {
                    child.soft_spend = None;
                }
            }
            "requestsPerMinute" => child.requests_per_minute = parent.requests_per_minute,
            "tokensPerMinute" => child.tokens_per_minute = parent.tokens_per_minute,
            _ => child.max_parallel_requests = parent.max_parallel_requests,
        }
    }
}

/// The budgets in force on scopes, locked against changes.
///
/// # Errors
/// What the database answers.
pub async fn held_by(tx: &Tx, scopes: &[Scope]) -> Result<Vec<Held>> {
    let mut found = Vec::new();
    for chunk in scopes.chunks(SCOPES) {
        found.extend(held(tx, on(chunk), LockType::Share).await?);
    }
    Ok(found)
}

/// The budgets in force on scopes whose budgets are about to change: see [`held_for_change`].
pub(crate) async fn held_by_for_change(tx: &Tx, scopes: &[Scope]) -> Result<Vec<Held>> {
    let mut found = Vec::new();
    for chunk in scopes.chunks(SCOPES) {
        found.extend(held_for_change(tx, on(chunk)).await?);
    }
    Ok(found)
}

/// The assignments of budgets to scopes.
pub(super) fn on(scopes: &[Scope]) -> Condition {
    by_kind(scopes).into_iter().fold(Condition::any(), |any, (kind, ids)| {
        any.add(
            budget_assignment::Column::ScopeKind
                .eq(kind)
                .and(budget_assignment::Column::ScopeId.is_in(ids)),
        )
    })
}

/// Budgets that scopes own are locked for the change, so that nobody attaches one that ceases to
/// be; those that stand alone, which only their own commands change, against changes.
async fn held_for_change(tx: &Tx, condition: Condition) -> Result<Vec<Held>> {
    let owner = budget::Column::OwnerKind;
    let with = |owner: SimpleExpr| Condition::all().add(condition.clone()).add(owner);
    let mut found = held(tx, with(owner.is_not_null()), LockType::Update).await?;
    found.extend(held(tx, with(owner.is_null()), LockType::Share).await?);
    found.sort_unstable_by_key(|held| held.assignment.id);
    Ok(found)
}

/// Assignments with their budgets. The budgets are locked, in the order of their ids; what a scope
/// has is guarded by the lock of the scope.
async fn held(tx: &Tx, condition: Condition, lock: LockType) -> Result<Vec<Held>> {
    let mut select = super::budget::assignments_of_all()
        .filter(condition)
        .order_by_asc(budget::Column::Id)
        .order_by_asc(budget_assignment::Column::Id);
    QueryTrait::query(&mut select).lock_with_tables(lock, ["budgets"]);
    let rows = select.all(tx.db()).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(assignment, budget)| Some(Held { assignment, budget: budget? }))
        .collect())
}

/// The model access of scopes. Users, projects, teams and organizations are locked against writers.
async fn access_of(tx: &Tx, scope: Scope) -> Result<Option<ModelAccess>> {
    macro_rules! access {
        ($table:ident) => {
            $table::Entity::find()
                .filter($table::Column::Id.eq(scope.id))
                .lock(LockType::Share)
                .one(tx.db())
                .await?
                .map(|row| row.model_access)
        };
    }
    #[expect(clippy::disallowed_methods, reason = "limits hold whoever asks, and are not shown")]
    Ok(match scope.kind {
        ScopeKind::Organization => access!(organization),
        ScopeKind::Team => access!(team),
        ScopeKind::TeamMembership => access!(team_membership),
        ScopeKind::Project => access!(project),
        ScopeKind::User => access!(user),
        ScopeKind::ApiKey => access!(api_key),
        ScopeKind::Platform
        | ScopeKind::EndUser
        | ScopeKind::Tag
        | ScopeKind::TeamMemberDefault
        | ScopeKind::TeamDefault
        | ScopeKind::UserDefault
        | ScopeKind::EndUserDefault
        | ScopeKind::ApiKeyDefault => None,
    })
}

/// The part of a model access that all scopes above a place allow too.
///
/// # Errors
/// What the database answers.
pub(crate) async fn common_with_above(
    tx: &Tx,
    place: &Place,
    mut access: ModelAccess,
) -> Result<ModelAccess> {
    for ancestor in &place.ancestors {
        if let Some(above) = access_of(tx, *ancestor).await? {
            access = model_access::common(&access, &above);
        }
    }
    Ok(access)
}

/// Which models a new member of a team may call: what the team chose, as far as the team and its
/// organization allow it still.
///
/// # Errors
/// What the database answers.
pub(crate) async fn access_of_new_member(tx: &Tx, team: &team::Model) -> Result<ModelAccess> {
    let mut access = team.member_model_access.clone();
    for above in Place::member_default(team).ancestors {
        if let Some(above) = access_of(tx, above).await? {
            access = model_access::clamped(&access, &above);
        }
    }
    Ok(access)
}

/// Checks the limits of a new or changed scope against the scopes above it.
///
/// # Errors
/// [`Error::LimitExceeded`] with the path of the field, below `field`.
pub async fn check_above(tx: &Tx, place: &Place, access: &ModelAccess, field: &str) -> Result<()> {
    check_many_above(tx, place, &[(place.scope, access, field.to_owned())]).await
}

/// Checks many scopes that have the same scopes above them as the place of one of them, and that the
/// access groups which they list exist.
///
/// # Errors
/// [`Error::LimitExceeded`] for the first that exceeds a limit; [`Error::NotFound`] for a group.
pub async fn check_many_above(
    tx: &Tx,
    place: &Place,
    children: &[(Scope, &ModelAccess, String)],
) -> Result<()> {
    check_limits_above(tx, place, children).await?;
    let lists = children.iter().map(|(_, list, field)| (*list, format!("{field}.modelAccess")));
    super::access_group::check_listed(tx, lists).await
}

/// Errors give the numbers of a scope above to those alone who may read its budgets (SECURITY 2,
/// case 5).
async fn check_limits_above(
    tx: &Tx,
    place: &Place,
    children: &[(Scope, &ModelAccess, String)],
) -> Result<()> {
    let ancestors = &place.ancestors;
    if ancestors.is_empty() {
        return Ok(());
    }
    let parents = held_by(tx, ancestors).await?;
    if !parents.is_empty() {
        let scopes: Vec<_> = children.iter().map(|(scope, ..)| *scope).collect();
        for own in held_by(tx, &scopes).await? {
            let field = children.iter().find(|(scope, ..)| *scope == own.scope());
            let field = field.map_or("input", |(_, _, field)| field.as_str());
            for parent in &parents {
                if let Some(excess) = excess(&own.budget, &parent.budget).into_iter().next() {
                    let path = format!("{field}.budgets.{}", excess.field);
                    let above = place.placement_of(parent.scope());
                    let readable = policy::allows(tx.actor(), Permission::BudgetRead, &above);
                    let message =
                        if readable { excess.message } else { MORE_THAN_ABOVE.to_owned() };
                    return Err(Error::limit(path, message));
                }
            }
        }
    }
    if children.iter().all(|(_, access, _)| access.mode != entity::value::ModelAccessMode::List) {
        return Ok(());
    }
    for ancestor in ancestors {
        let Some(above) = access_of(tx, *ancestor).await? else { continue };
        for (_, access, field) in children {
            if let Some(model) = model_access::excess(access, &above).first() {
                return Err(Error::limit(
                    format!("{field}.modelAccess"),
                    format!("the scope above does not allow {model}"),
                ));
            }
        }
    }
    Ok(())
}

/// Checks the scopes below a scope against its limits as they are now, and lowers them if asked to.
///
/// # Errors
/// [`Error::Conflict`] with the children that would exceed it, unless they are to be clamped.
pub async fn check_below(
    tx: &mut Tx,
    place: &Place,
    access: &ModelAccess,
    cascade: Cascade,
) -> Result<()> {
    let mut breaches = Vec::new();
    check_access_below(tx, place, &[access], cascade, &mut breaches).await?;
    let own = held_by(tx, &[place.scope]).await?;
    if !own.is_empty() {
        let children = held_below(tx, below(&[place.scope]), cascade).await?;
        fit(tx, place, &own, children, cascade, &mut breaches).await?;
    }
    refuse(breaches)
}

/// Checks a scope that comes under another one, with all that lies below it, against the limits
/// there, and lowers them if asked to. `allowed` are the lists of models above what is below, the
/// scope's own among them; `breaches` are those that were found before.
///
/// # Errors
/// [`Error::Conflict`] with the scopes that would exceed them, unless they are to be clamped.
pub(crate) async fn check_under(
    tx: &mut Tx,
    place: &Place,
    parent: Scope,
    allowed: [&ModelAccess; 2],
    cascade: Cascade,
    mut breaches: Vec<String>,
) -> Result<()> {
    check_access_below(tx, place, &allowed, cascade, &mut breaches).await?;
    let parents = held_by(tx, &[parent]).await?;
    if !parents.is_empty() {
        let children = held_below(tx, within(place.scope), cascade).await?;
        fit(tx, place, &parents, children, cascade, &mut breaches).await?;
    }
    refuse(breaches)
}

/// The budgets in force on a team, below it and on its end users, those that scopes own locked for
/// a change.
///
/// # Errors
/// What the database answers.
pub(crate) async fn held_within_for_change(tx: &Tx, team: TeamId) -> Result<Vec<Held>> {
    let end_users: SelectStatement = Query::select()
        .column(("end_users", "id"))
        .from("end_users")
        .and_where(Expr::col(("end_users", "team_id")).eq(team))
        .to_owned();
    let theirs = budget_assignment::Column::ScopeKind
        .eq(ScopeKind::EndUser)
        .and(Expr::col(("budget_assignments", "scope_id")).in_subquery(end_users));
    let any = Condition::any().add(within(Scope::team(team))).add(theirs);
    held_for_change(tx, any).await
}

/// Compares budgets with those of a scope above, and lowers or notes those that exceed them.
async fn fit(
    tx: &mut Tx,
    place: &Place,
    parents: &[Held],
    children: Vec<Held>,
    cascade: Cascade,
    breaches: &mut Vec<String>,
) -> Result<()> {
    for child in children {
        let exceeds = |parent: &Held| !excess(&child.budget, &parent.budget).is_empty();
        if !parents.iter().any(exceeds) {
            continue;
        }
        if cascade == Cascade::Refuse {
            breaches.push(child.scope().to_string());
            continue;
        }
        let mut lowered = child.budget.clone();
        for parent in parents {
            clamp(&mut lowered, &parent.budget);
        }
        super::budget::replace_limits(tx, place, &child, lowered).await?;
    }
    Ok(())
}

/// Names the scopes that exceed new limits above them.
fn refuse(mut breaches: Vec<String>) -> Result<()> {
    breaches.sort();
    breaches.dedup();
    if breaches.is_empty() {
        return Ok(());
    }
    let count = breaches.len();
    breaches.truncate(NAMED);
    Err(Error::Conflict {
        message: format!(
            "{count} scope(s) below would exceed the new limits; lower them first, or say cascade: CLAMP"
        ),
        ids: breaches,
    })
}

/// The budgets of scopes below: to be compared, or to be lowered.
async fn held_below(tx: &Tx, below: Condition, cascade: Cascade) -> Result<Vec<Held>> {
    match cascade {
        Cascade::Refuse => held(tx, below, LockType::Share).await,
        Cascade::Clamp => held_for_change(tx, below).await,
    }
}

/// The assignments of budgets to a scope and to scopes below it.
fn within(scope: Scope) -> Condition {
    Condition::any().add(on(&[scope])).add(below(&[scope]))
}

/// The assignments of budgets to scopes below scopes.
fn below(scopes: &[Scope]) -> Condition {
    let mut any = Condition::any();
    for (kind, ids) in by_kind(scopes) {
        let descendants = descendants(kind, &ids);
        for (kind, table, rows) in [
            (ScopeKind::Team, "teams", descendants.teams),
            (ScopeKind::Project, "projects", descendants.projects),
            (ScopeKind::TeamMembership, "team_memberships", descendants.memberships),
            (ScopeKind::ApiKey, "api_keys", descendants.keys),
            (ScopeKind::TeamMemberDefault, "teams", descendants.member_defaults),
        ] {
            if let Some(rows) = rows {
                let ids: SelectStatement =
                    Query::select().column((table, "id")).from(table).and_where(rows).to_owned();
                any = any.add(
                    budget_assignment::Column::ScopeKind
                        .eq(kind)
                        .and(Expr::col(("budget_assignments", "scope_id")).in_subquery(ids)),
                );
            }
        }
    }
    if any.is_empty() { any.add(Expr::val(1).eq(0)) } else { any }
}

/// Whether every budget of `old` is still there in `new`, counts as it did and is as tight or
/// tighter: what an owner may do to an own key (SECURITY 3, footnote 5). Another budget with the
/// same numbers would begin to count anew.
pub fn only_narrows(old: &[Held], new: &[Held]) -> bool {
    old.iter().all(|old| {
        new.iter().any(|new| {
            let (was, is) = (&old.budget, &new.budget);
            let counts_on = was.id == is.id && old.assignment.counting == new.assignment.counting;
            let tighter = |was: Option<i64>, is: Option<i64>| match (was, is) {
                (None, _) => true,
                (Some(was), Some(is)) => is <= was,
                (Some(_), None) => false,
            };
            let no_more_for_some_time = match (increase_of(was), increase_of(is)) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(was), Some(is)) => is.amount <= was.amount && is.ends_at <= was.ends_at,
            };
            counts_on
                && no_more_for_some_time
                && was.period == is.period
                && was.time_zone == is.time_zone
                && was.model_pattern == is.model_pattern
                && tighter(
                    was.max_spend.map(entity::value::Usd::nanos),
                    is.max_spend.map(entity::value::Usd::nanos),
                )
                && tighter(was.requests_per_minute, is.requests_per_minute)
                && tighter(was.tokens_per_minute, is.tokens_per_minute)
                && tighter(was.max_parallel_requests, is.max_parallel_requests)
        })
    })
}

/// Removes the budgets of scopes that cease to be: assignments, the budgets that they own and nobody
/// else uses, and what they have counted of budgets that stay.
///
/// # Errors
/// What the database answers.
pub async fn forget_scopes(
    tx: &mut Tx,
    kind: ScopeKind,
    ids: &[Uuid],
    team: Option<TeamId>,
) -> Result<()> {
    for chunk in ids.chunks(500) {
        let gone = budget_assignment::Column::ScopeKind
            .eq(kind)
            .and(budget_assignment::Column::ScopeId.is_in(chunk.iter().copied()));
        let held = held_for_change(tx, Condition::all().add(gone.clone())).await?;
        let counted = budget_window::Column::ScopeId.is_in(chunk.iter().copied());
        budget_window::Entity::delete_many().filter(counted).exec(tx.db()).await?;
        if held.is_empty() {
            continue;
        }
        budget_assignment::Entity::delete_many().filter(gone).exec(tx.db()).await?;
        let owned = held.iter().filter(|held| held.budget.owner_kind.is_some());
        let next = super::budget::next_users(tx, owned.map(|held| held.budget.id)).await?;
        let mut orphans: Vec<budget::Model> = Vec::new();
        for held in held {
            let subject = Subject::budget(&held.budget, team);
            tx.record(Event::gone(AuditAction::BudgetUnassigned, subject, &held.assignment));
            let is_known = orphans.iter().any(|known| known.id == held.budget.id);
            match next.get(&held.budget.id) {
                Some(next) => super::budget::hand_over(tx, &held, *next, team).await?,
                None if held.budget.owner_kind.is_none() || is_known => {}
                None => orphans.push(held.budget),
            }
        }
        let ids = orphans.iter().map(|budget| budget.id);
        budget::Entity::delete_many().filter(budget::Column::Id.is_in(ids)).exec(tx.db()).await?;
        for budget in orphans {
            let subject = Subject::budget(&budget, team);
            tx.record(Event::gone(AuditAction::BudgetDeleted, subject, &budget));
        }
    }
    Ok(())
}
