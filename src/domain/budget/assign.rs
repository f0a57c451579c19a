//! Giving scopes their budgets: making, attaching, editing by fork, and taking off.

use std::collections::{BTreeMap, BTreeSet};

use entity::id::{BudgetAssignmentId, BudgetId, Id, TeamId};
use entity::role::Counting;
use entity::{budget, budget_assignment, budget_window};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    BUDGETS_PER_SCOPE, Limits, LimitsChange, apply_change, assignments_of_all, check_limits,
    remove, row, stamp, visible_to,
};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Reference;
use crate::db::Tx;
use crate::domain::field::{Faults, search_text};
use crate::domain::limit::{self, Held};
use crate::domain::scope::{Place, Scope};
use crate::error::{Error, Result};

/// One entry of the list of budgets that a scope is to have.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A new budget of the scope's own.
    Create(Limits),
    /// A budget that exists, here or elsewhere; one that the scope has stays as it is.
    Attach {
        /// Which.
        budget: Reference,
        /// How it counts; none for what it was, or `EACH`.
        counting: Option<Counting>,
    },
    /// A budget that new things of the kind start with, whether or not the caller may see it.
    Default(Box<budget::Model>),
    /// A budget that the scope has, changed for this scope alone.
    Edit {
        /// Which.
        budget: Reference,
        /// How.
        change: LimitsChange,
    },
}

/// The budgets that one scope is to have.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The scope, with its place.
    pub place: Place,
    /// All of its budgets.
    pub entries: Vec<Entry>,
    /// The path of the input that has the list.
    pub field: String,
}

/// New rows, to be inserted together.
#[derive(Debug, Default)]
struct Made {
    budgets: Vec<budget::Model>,
    assignments: Vec<budget_assignment::Model>,
}

/// Gives a scope exactly these budgets: makes new ones, attaches, edits, and takes off the rest.
///
/// # Errors
/// Faults in the input; a budget that the caller may not see, or that belongs to another
/// organization, is missing.
pub async fn assign(tx: &mut Tx, place: &Place, entries: Vec<Entry>, field: &str) -> Result<()> {
    let wanted = Wanted { place: place.clone(), entries, field: field.to_owned() };
    assign_all(tx, vec![wanted]).await
}

/// The same for many scopes, in as many statements as for one, as long as nothing is taken off.
///
/// # Errors
/// Those of [`assign`].
pub async fn assign_all(tx: &mut Tx, wanted: Vec<Wanted>) -> Result<()> {
    for scope in &wanted {
        check_entries(&scope.entries, &scope.field)?;
    }
    let above: BTreeSet<Scope> =
        wanted.iter().flat_map(|wanted| wanted.place.ancestors.iter().copied()).collect();
    // Budgets of scopes above are locked before those of scopes below.
    limit::held_by(tx, &above.into_iter().collect::<Vec<_>>()).await?;
    let scopes: Vec<_> = wanted.iter().map(|wanted| wanted.place.scope).collect();
    let mut current: BTreeMap<Scope, Vec<Held>> = BTreeMap::new();
    for held in limit::held_by_for_change(tx, &scopes).await? {
        current.entry(held.scope()).or_default().push(held);
    }
    let attachable = attachable(tx, &wanted).await?;
    let mut made = Made::default();
    for wanted in wanted {
        let current = current.remove(&wanted.place.scope).unwrap_or_default();
        assign_one(tx, wanted, &current, &attachable, &mut made).await?;
    }
    tx.insert_all(&made.budgets).await?;
    tx.insert_all(&made.assignments).await
}

async fn assign_one(
    tx: &mut Tx,
    wanted: Wanted,
    current: &[Held],
    attachable: &[budget::Model],
    made: &mut Made,
) -> Result<()> {
    let Wanted { place, entries, field } = wanted;
    let place = &place;
    let mut kept: Vec<BudgetId> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let path = format!("{field}.budgets.{index}");
        match entry {
            Entry::Create(limits) => {
                let id = create_inline(tx, place, limits, made);
                listed(&mut kept, id, &path)?;
            }
            Entry::Attach { budget, counting } => {
                let budget = find_attachable(attachable, place, &budget, &path)?;
                listed(&mut kept, budget.id, &path)?;
                let held = current.iter().find(|held| held.budget.id == budget.id);
                match (held, counting) {
                    (Some(held), Some(counting)) if held.assignment.counting != counting => {
                        recount(tx, place, held, counting).await?;
                    }
                    (Some(_), _) => {}
                    (None, counting) => {
                        attach(tx, place, budget, counting.unwrap_or(Counting::Each), made);
                    }
                }
            }
            Entry::Default(budget) => {
                listed(&mut kept, budget.id, &path)?;
                attach(tx, place, &budget, Counting::Each, made);
            }
            Entry::Edit { budget, change } => {
                let wanted = |held: &&Held| {
                    budget.id::<BudgetId>() == Some(held.budget.id)
                        || budget.external().is_some_and(|external| {
                            held.budget.external_id.as_deref() == Some(external)
                        })
                };
                let held = current.iter().find(wanted).ok_or_else(|| Error::NotFound {
                    noun: "budget",
                    field: Some(format!("{path}.edit.budgetId")),
                })?;
                let mut after = held.budget.clone();
                let mut faults = Faults::default();
                let limits = format!("{path}.edit.limits");
                apply_change(&mut faults, &limits, &mut after, change, tx.now());
                faults.finish()?;
                listed(&mut kept, held.budget.id, &path)?;
                let id = replace_limits(tx, place, held, after).await?;
                // A fork has an id of its own.
                kept.push(id);
            }
        }
    }
    for held in current.iter().filter(|held| !kept.contains(&held.budget.id)) {
        detach(tx, place, held).await?;
    }
    Ok(())
}

/// Notes a budget of the list; each may stand there once.
fn listed(kept: &mut Vec<BudgetId>, id: BudgetId, path: &str) -> Result<()> {
    if kept.contains(&id) {
        return Err(Error::input(path, "this budget is listed twice"));
    }
    kept.push(id);
    Ok(())
}

/// What a new thing starts with when the input leaves its budgets out: those of a scope of
/// defaults, each with counters of its own.
///
/// # Errors
/// What the database answers.
pub async fn defaults(tx: &Tx, scope: Scope) -> Result<Vec<Entry>> {
    let held = limit::held_by(tx, &[scope]).await?;
    Ok(held.into_iter().map(|held| Entry::Default(Box::new(held.budget))).collect())
}

/// The same for a scope with others above it: a default that is more than those allow, or more than a
/// budget that bounds the new thing, is lowered to that.
///
/// # Errors
/// What the database answers.
pub(crate) async fn fitting_defaults(
    tx: &Tx,
    scope: Scope,
    ancestors: &[Scope],
    bound: Option<&budget::Model>,
) -> Result<Vec<Entry>> {
    let above = limit::held_by(tx, ancestors).await?;
    let held = limit::held_by(tx, &[scope]).await?;
    let fit = |held: Held| {
        let mut lowered = held.budget.clone();
        for parent in above.iter().map(|held| &held.budget).chain(bound) {
            limit::clamp(&mut lowered, parent);
        }
        if lowered == held.budget {
            Entry::Default(Box::new(held.budget))
        } else {
            Entry::Create(Limits::from(&lowered))
        }
    };
    Ok(held.into_iter().map(fit).collect())
}

/// Gives a scope one more budget of its own.
///
/// # Errors
/// What the database answers.
pub(crate) async fn add(tx: &mut Tx, place: &Place, limits: Limits) -> Result<()> {
    let mut made = Made::default();
    create_inline(tx, place, limits, &mut made);
    tx.insert_all(&made.budgets).await?;
    tx.insert_all(&made.assignments).await
}

/// Checks the entries of a list of budgets as far as that needs no database.
///
/// # Errors
/// [`Error::BadInput`].
pub fn check_entries(entries: &[Entry], field: &str) -> Result<()> {
    let mut faults = Faults::default();
    if entries.len() > BUDGETS_PER_SCOPE {
        faults.add(format!("{field}.budgets"), format!("give at most {BUDGETS_PER_SCOPE} budgets"));
    }
    for (index, entry) in entries.iter().enumerate() {
        if let Entry::Create(limits) = entry {
            check_limits(&mut faults, &format!("{field}.budgets.{index}.create"), limits);
        }
    }
    faults.finish()
}

fn create_inline(tx: &mut Tx, place: &Place, limits: Limits, made: &mut Made) -> BudgetId {
    let mut row = row(tx, limits, place.organization);
    row.owner_kind = Some(place.scope.kind);
    row.owner_id = Some(place.scope.id);
    let subject = Subject::budget(&row, place.team);
    tx.record(Event::made(AuditAction::BudgetCreated, subject, &row));
    attach(tx, place, &row, Counting::Each, made);
    let id = row.id;
    made.budgets.push(row);
    id
}

/// The budgets that are to be attached, as far as the caller may see them, locked against changes.
async fn attachable(tx: &Tx, wanted: &[Wanted]) -> Result<Vec<budget::Model>> {
    let (mut ids, mut external) = (BTreeSet::new(), BTreeSet::new());
    for entry in wanted.iter().flat_map(|wanted| &wanted.entries) {
        if let Entry::Attach { budget, .. } = entry {
            match budget.id::<BudgetId>() {
                Some(id) => drop(ids.insert(id)),
                None => external.extend(budget.external()),
            }
        }
    }
    if ids.is_empty() && external.is_empty() {
        return Ok(Vec::new());
    }
    let named = Condition::any()
        .add(budget::Column::Id.is_in(ids))
        .add(budget::Column::ExternalId.is_in(external));
    let select = visible_to(tx.actor()).filter(named).order_by_asc(budget::Column::Id);
    Ok(select.lock(LockType::Share).all(tx.db()).await?)
}

fn find_attachable<'a>(
    attachable: &'a [budget::Model],
    place: &Place,
    reference: &Reference,
    path: &str,
) -> Result<&'a budget::Model> {
    let missing =
        || Error::NotFound { noun: "budget", field: Some(format!("{path}.attach.budgetId")) };
    let named = |budget: &&budget::Model| match reference.id::<BudgetId>() {
        Some(id) => budget.id == id,
        None => {
            reference.external().is_some() && budget.external_id.as_deref() == reference.external()
        }
    };
    let found = crate::domain::at_most_one(attachable.iter().filter(named).collect())?;
    found
        .filter(|budget| {
            budget.organization_id.is_none() || budget.organization_id == place.organization
        })
        .ok_or_else(missing)
}

fn attach(tx: &mut Tx, place: &Place, budget: &budget::Model, counting: Counting, made: &mut Made) {
    let assignment = budget_assignment::Model {
        id: tx.id::<BudgetAssignmentId>(),
        budget_id: budget.id,
        scope_kind: place.scope.kind,
        scope_id: place.scope.id,
        counting,
        created_at: tx.now(),
        created_by: tx.by(),
    };
    let subject = Subject::budget(budget, place.team);
    tx.record(Event::made(AuditAction::BudgetAssigned, subject, &assignment));
    made.assignments.push(assignment);
}

/// Lets a budget count otherwise on a scope that has it.
async fn recount(tx: &mut Tx, place: &Place, held: &Held, counting: Counting) -> Result<()> {
    let mut assignment = held.assignment.clone();
    assignment.counting = counting;
    tx.update(&assignment).await?;
    let subject = Subject::budget(&held.budget, place.team);
    tx.record(Event::changed(AuditAction::BudgetAssigned, subject, &held.assignment, &assignment));
    Ok(())
}

/// Takes a budget off a scope; one that belongs to a scope and that nobody else uses is deleted, and
/// one that others use is theirs then. Its row is locked for the change, so that nobody attaches it
/// meanwhile.
async fn detach(tx: &mut Tx, place: &Place, held: &Held) -> Result<()> {
    budget_assignment::Entity::delete_many()
        .filter(budget_assignment::Column::Id.eq(held.assignment.id))
        .exec(tx.db())
        .await?;
    let subject = Subject::budget(&held.budget, place.team);
    tx.record(Event::gone(AuditAction::BudgetUnassigned, subject, &held.assignment));
    if held.budget.owner_kind.is_none() {
        return Ok(());
    }
    let mut users = next_users(tx, [held.budget.id].into_iter()).await?;
    if let Some(next) = users.remove(&held.budget.id) {
        return hand_over(tx, held, next, place.team).await;
    }
    remove(tx, &held.budget).await?;
    tx.record(Event::gone(AuditAction::BudgetDeleted, subject, &held.budget));
    Ok(())
}

/// The next scope that uses each of the budgets.
pub(crate) async fn next_users(
    tx: &Tx,
    budgets: impl Iterator<Item = BudgetId>,
) -> Result<BTreeMap<BudgetId, Scope>> {
    let users = assignments_of_all()
        .filter(budget_assignment::Column::BudgetId.is_in(budgets))
        .order_by_desc(budget_assignment::Column::Id);
    let users = users.all(tx.db()).await?;
    Ok(users.iter().map(|(row, _)| (row.budget_id, limit::scope_of(row))).collect())
}

/// Gives a budget whose owner has it no more to the next scope that uses it.
pub(crate) async fn hand_over(
    tx: &mut Tx,
    held: &Held,
    next: Scope,
    team: Option<TeamId>,
) -> Result<()> {
    let before = &held.budget;
    if !is_owner(before, held.scope()) {
        return Ok(());
    }
    let mut after = before.clone();
    after.owner_kind = Some(next.kind);
    after.owner_id = Some(next.id);
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::budget(&after, team);
    tx.record(Event::changed(AuditAction::BudgetUpdated, subject, before, &after));
    Ok(())
}

fn is_owner(budget: &budget::Model, scope: Scope) -> bool {
    budget.owner_kind == Some(scope.kind) && budget.owner_id == Some(scope.id)
}

/// The budgets among those held that are in force on other scopes too.
pub(crate) async fn used_beside(
    tx: &Tx,
    held: &[Held],
    scopes: &[Scope],
) -> Result<BTreeSet<BudgetId>> {
    let ids: BTreeSet<_> = held.iter().map(|held| held.budget.id).collect();
    let users = assignments_of_all().filter(budget_assignment::Column::BudgetId.is_in(ids));
    let users = users.all(tx.db()).await?;
    let elsewhere = users.iter().filter(|(row, _)| !scopes.contains(&limit::scope_of(row)));
    Ok(elsewhere.map(|(row, _)| row.budget_id).collect())
}

/// Gives one scope a budget with other limits: in place when some scope made it and this one alone
/// has it, else as a fork that takes the scope's counters along. The period is not touched unless it
/// changes.
pub(crate) async fn replace_limits(
    tx: &mut Tx,
    place: &Place,
    held: &Held,
    mut after: budget::Model,
) -> Result<BudgetId> {
    let before = &held.budget;
    if after == *before {
        return Ok(before.id);
    }
    let scope = held.scope();
    let users = assignments_of_all().filter(budget_assignment::Column::BudgetId.eq(before.id));
    if is_owner(before, scope) && users.limit(2).all(tx.db()).await?.len() < 2 {
        stamp(tx, &mut after);
        tx.update(&after).await?;
        let subject = Subject::budget(&after, place.team);
        tx.record(Event::changed(AuditAction::BudgetUpdated, subject, before, &after));
        return Ok(after.id);
    }
    after.id = tx.id();
    after.external_id = None;
    after.owner_kind = Some(scope.kind);
    after.owner_id = Some(scope.id);
    after.organization_id = place.organization;
    after.search_text = search_text(&[after.name.as_deref()]);
    stamp(tx, &mut after);
    after.version = 1;
    // It goes on in place of the other one: its windows are worked out from when that was made.
    after.created_at = before.created_at;
    after.created_by = tx.by();
    tx.insert(&after).await?;
    let mut assignment = held.assignment.clone();
    assignment.budget_id = after.id;
    assignment.counting = Counting::Each;
    tx.update(&assignment).await?;
    budget_window::Entity::update_many()
        .col_expr(budget_window::Column::BudgetId, Expr::val(after.id.uuid()))
        .filter(budget_window::Column::BudgetId.eq(before.id))
        .filter(budget_window::Column::ScopeId.eq(scope.id))
        .exec(tx.db())
        .await?;
    let subject = Subject::budget(&after, place.team);
    tx.record(Event::made(AuditAction::BudgetCreated, subject, &after));
    let subject = Subject::budget(before, place.team);
    tx.record(Event::changed(AuditAction::BudgetAssigned, subject, &held.assignment, &assignment));
    if is_owner(before, scope)
        && let Some(next) = next_users(tx, [before.id].into_iter()).await?.remove(&before.id)
    {
        hand_over(tx, held, next, place.team).await?;
    }
    Ok(after.id)
}
