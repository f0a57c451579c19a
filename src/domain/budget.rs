//! Budgets: one concept of limit for every scope.
//!
//! A budget stands alone (a named tier or pot that many scopes use) or is owned by the scope that
//! made it inline. Editing a budget through a scope never changes what another scope has: a budget
//! that others use, or that the scope does not own, is forked (REFERENCE M-UPD-8, C-T12).

mod assign;
mod in_force;
pub mod window;

pub use assign::{Entry, Wanted, assign, assign_all, check_entries, defaults};
pub(crate) use assign::{
    add, fitting_defaults, hand_over, next_users, replace_limits, used_beside,
};
pub use in_force::{InForce, in_force};
pub use window::Increase;

use chrono::{DateTime, Utc};
use entity::id::{BudgetId, Id, OrganizationId};
use entity::role::ScopeKind;
use entity::value::Usd;
use entity::{budget, budget_assignment};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
    SelectTwo,
};

use super::field::{self, Faults, search_text};
use super::limit;
use super::period::Period;
use super::scope::places;
use super::{Cascade, Change, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, authorize, authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

/// The most budgets on one scope.
pub const BUDGETS_PER_SCOPE: usize = 20;

/// The most budgets that one call gives to the members that it adds.
pub const BUDGETS_PER_CALL: usize = 1_000;

/// The limits of a new budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// The most that may be spent in a window.
    pub max_spend: Option<Usd>,
    /// The spend at which a warning is due.
    pub soft_spend: Option<Usd>,
    /// The length of a window; none for one without end.
    pub period: Option<String>,
    /// The IANA time zone of the windows; UTC when none is given.
    pub time_zone: Option<String>,
    /// The most requests in a minute.
    pub requests_per_minute: Option<i64>,
    /// The most tokens in a minute.
    pub tokens_per_minute: Option<i64>,
    /// The most requests at once.
    pub max_parallel_requests: Option<i64>,
    /// The models whose calls count.
    pub model_pattern: Option<String>,
    /// More to spend for some time.
    pub temporary_increase: Option<Increase>,
}

/// A change of a budget's limits.
#[derive(Clone, Debug, Default)]
pub struct LimitsChange {
    /// See [`Limits::max_spend`].
    pub max_spend: Change<Usd>,
    /// See [`Limits::soft_spend`].
    pub soft_spend: Change<Usd>,
    /// See [`Limits::period`].
    pub period: Change<String>,
    /// See [`Limits::time_zone`].
    pub time_zone: Change<String>,
    /// See [`Limits::requests_per_minute`].
    pub requests_per_minute: Change<i64>,
    /// See [`Limits::tokens_per_minute`].
    pub tokens_per_minute: Change<i64>,
    /// See [`Limits::max_parallel_requests`].
    pub max_parallel_requests: Change<i64>,
    /// See [`Limits::model_pattern`].
    pub model_pattern: Change<String>,
    /// See [`Limits::temporary_increase`].
    pub temporary_increase: Change<Increase>,
}

/// A new budget that stands alone.
#[derive(Clone, Debug)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// The organization it belongs to; none for the platform.
    pub organization: Option<Reference>,
    /// Its name.
    pub name: String,
    /// Its limits.
    pub limits: Limits,
}

/// A change of a budget that stands alone.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new name.
    pub name: Change<String>,
    /// The new external id.
    pub external_id: Change<String>,
    /// The new limits.
    pub limits: LimitsChange,
    /// What happens to scopes below those that use it.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which budgets a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only those of these organizations.
    pub organization_ids: Option<Vec<OrganizationId>>,
    /// Only those that stand alone, or only those made inline.
    pub is_standalone: Option<bool>,
}

/// The budgets that a caller may see: those of organizations that it runs, and those in force on
/// scopes that it may look into.
#[expect(clippy::disallowed_methods, reason = "this is where reads of budgets begin")]
pub fn visible_to(actor: &Actor) -> Select<budget::Entity> {
    let select = budget::Entity::find();
    if actor.sees_all() {
        return select;
    }
    let assigned = Query::select()
        .column("budget_id")
        .from("budget_assignments")
        .cond_where(visible_scopes(actor))
        .to_owned();
    select.filter(
        Condition::any()
            .add(reach::in_administered_organizations(actor, ("budgets", "organization_id")))
            .add(Expr::col(("budgets", "id")).in_subquery(assigned)),
    )
}

/// The assignments whose scopes the caller may look into.
pub fn visible_scopes(actor: &Actor) -> Condition {
    visible_scopes_of(actor, "budget_assignments")
}

/// The rows of a table with the columns `scope_kind` and `scope_id` whose scopes the caller may look
/// into.
pub(crate) fn visible_scopes_of(actor: &Actor, table: &'static str) -> Condition {
    if actor.sees_all() {
        return Condition::all();
    }
    let ids = |table: &'static str, condition: Condition| -> SelectStatement {
        Query::select().column((table, "id")).from(table).cond_where(condition).to_owned()
    };
    let in_teams = |table: &'static str| {
        let of_organizations = reach::teams_of_administered_organizations(actor);
        Condition::any()
            .add(reach::in_administered_teams(actor, (table, "team_id")))
            .add(Expr::col((table, "team_id")).in_subquery(of_organizations))
    };
    let is = |kind: ScopeKind| Expr::col((table, "scope_kind")).eq(kind);
    let scope = |kind: ScopeKind, ids: SelectStatement| {
        is(kind).and(Expr::col((table, "scope_id")).in_subquery(ids))
    };
    let visible_teams = Condition::any()
        .add(reach::in_administered_teams(actor, ("teams", "id")))
        .add(reach::in_administered_organizations(actor, ("teams", "organization_id")));
    // A key that belongs to a team sees nothing of its owner elsewhere.
    let bound_to = actor.bound_to();
    let itself = actor.user_id().filter(|_| bound_to.is_none());
    let own = |table: &'static str| match actor.user_id() {
        Some(user) => {
            let own = Condition::all()
                .add(Expr::col((table, "user_id")).eq(user))
                .add_option(bound_to.map(|team| Expr::col((table, "team_id")).eq(team)));
            in_teams(table).add(own)
        }
        None => in_teams(table),
    };
    let mut keys = own("api_keys");
    if let Some(key) = actor.key_id() {
        keys = keys.add(Expr::col(("api_keys", "id")).eq(key));
    }
    Condition::any()
        .add(
            is(ScopeKind::Organization)
                .and(reach::in_administered_organizations(actor, (table, "scope_id"))),
        )
        .add(scope(ScopeKind::TeamMemberDefault, ids("teams", visible_teams.clone())))
        .add(scope(ScopeKind::Team, ids("teams", visible_teams)))
        .add(scope(ScopeKind::Project, ids("projects", in_teams("projects"))))
        .add(scope(ScopeKind::TeamMembership, ids("team_memberships", own("team_memberships"))))
        .add(scope(ScopeKind::ApiKey, ids("api_keys", keys)))
        .add(scope(ScopeKind::EndUser, ids("end_users", super::end_user::in_reach(actor))))
        .add(scope(ScopeKind::Tag, ids("tags", Condition::all().add(super::tag::in_reach(actor)))))
        .add(
            is(ScopeKind::User).and(
                Expr::col((table, "scope_id"))
                    .is_in(itself.map(Id::uuid).into_iter().collect::<Vec<_>>()),
            ),
        )
}

/// All assignments with their budgets, for checks that hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "limits hold whoever asks, and are not shown")]
pub(crate) fn assignments_of_all() -> SelectTwo<budget_assignment::Entity, budget::Entity> {
    budget_assignment::Entity::find().inner_join(budget::Entity).select_also(budget::Entity)
}

fn filtered(select: Select<budget::Entity>, filter: &Filter) -> Select<budget::Entity> {
    let mut select = select;
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("budgets", search));
    }
    if let Some(ids) = &filter.organization_ids {
        select = select.filter(budget::Column::OrganizationId.is_in(ids.iter().copied()));
    }
    if let Some(standalone) = filter.is_standalone {
        let owner = budget::Column::OwnerKind;
        select = select.filter(if standalone { owner.is_null() } else { owner.is_not_null() });
    }
    select
}

/// A page of the budgets that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<budget::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    let select = page.apply(select, ("budgets", "search_text"), ("budgets", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many budgets [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The budget of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<budget::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

fn named(select: Select<budget::Entity>, reference: &Reference) -> Option<Select<budget::Entity>> {
    let condition = match (reference.id::<BudgetId>(), reference.external()) {
        (Some(id), _) => budget::Column::Id.eq(id),
        (None, Some(external)) => budget::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for budget::Model {
    const NOUN: &'static str = "budget";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::organization(self.organization_id))
    }
}

/// Makes a budget that stands alone.
///
/// # Errors
/// Faults in the input, and what [`authorize_at`] refuses.
pub async fn create(tx: &mut Tx, input: Create) -> Result<budget::Model> {
    let organization = super::organization::find_place(tx, input.organization.as_ref()).await?;
    authorize_at(tx, Permission::BudgetCreate, Placement::organization(organization))?;
    let mut faults = Faults::default();
    faults.name("input.name", &input.name);
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    let limits = input.limits;
    check_limits(&mut faults, "input.limits", &limits);
    faults.finish()?;
    let mut row = row(tx, limits, organization);
    row.search_text = search_text(&[Some(&input.name), input.external_id.as_deref()]);
    row.name = Some(input.name);
    row.external_id = input.external_id;
    tx.insert(&row).await?;
    tx.record(Event::made(AuditAction::BudgetCreated, Subject::budget(&row, None), &row));
    Ok(row)
}

/// Finds a budget whose limits are to change, as [`authorize`] does, and locks the budgets above
/// the scopes that use it first.
///
/// # Errors
/// Those of [`authorize`].
pub async fn authorize_limits(
    tx: &Tx,
    permission: Permission,
    reference: &Reference,
    field: &str,
) -> Result<Authorized<budget::Model>> {
    if let Some(select) = named(visible_to(tx.actor()), reference)
        && let Some(row) = super::at_most_one(select.limit(2).all(tx.db()).await?)?
    {
        limit::lock_above_tier(tx, row.id).await?;
    }
    authorize(tx, permission, reference, field).await
}

/// Changes a budget that stands alone, for every scope that uses it.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version, for a budget that a scope owns,
/// and for scopes below that would exceed it.
pub async fn update(
    tx: &mut Tx,
    budget: Authorized<budget::Model>,
    input: Update,
) -> Result<budget::Model> {
    let before = budget.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    if before.owner_kind.is_some() {
        return Err(Error::conflict(
            "this budget belongs to one scope: change it through that scope",
        ));
    }
    let mut after = before.clone();
    let mut faults = Faults::default();
    match input.name {
        Change::Keep => {}
        Change::Clear => faults.add("input.name", "a budget that stands alone needs a name"),
        Change::Set(name) => {
            faults.name("input.name", &name);
            after.name = Some(name);
        }
    }
    if let Change::Set(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    input.external_id.apply(&mut after.external_id);
    apply_change(&mut faults, "input.limits", &mut after, input.limits, tx.now());
    faults.finish()?;
    after.search_text = search_text(&[after.name.as_deref(), after.external_id.as_deref()]);
    if after == before {
        tx.nothing_changed();
        return Ok(before);
    }
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::budget(&after, None);
    tx.record(Event::changed(AuditAction::BudgetUpdated, subject, &before, &after));
    if Limits::from(&after) != Limits::from(&before) {
        limit::check_tier(tx, &after, input.cascade).await?;
    }
    if !Limits::from(&after).is_within(&before) {
        let keys = super::api_key::users_of_budget(tx, &after).await?;
        super::api_key::check_users_of_budget(tx, &after, &keys).await?;
    }
    Ok(after)
}

/// Deletes a budget that stands alone, and takes it off every scope that uses it.
///
/// # Errors
/// [`Error::Conflict`] for a stale version, and for a budget that a scope owns.
pub async fn delete(
    tx: &mut Tx,
    budget: Authorized<budget::Model>,
    expected_version: Option<i32>,
) -> Result<u64> {
    let row = budget.into_inner();
    field::expect_version(expected_version, row.version)?;
    if row.owner_kind.is_some() {
        return Err(Error::conflict(
            "this budget belongs to one scope: take it off through that scope",
        ));
    }
    let keys = super::api_key::users_of_budget(tx, &row).await?;
    let gone = budget_assignment::Column::BudgetId.eq(row.id);
    let users = assignments_of_all().filter(gone.clone()).all(tx.db()).await?;
    let users: Vec<_> = users.into_iter().map(|(assignment, _)| assignment).collect();
    budget_assignment::Entity::delete_many().filter(gone).exec(tx.db()).await?;
    record_unassigned(tx, &row, &users).await?;
    remove(tx, &row).await?;
    tx.record(Event::gone(AuditAction::BudgetDeleted, Subject::budget(&row, None), &row));
    super::api_key::check_users_of_budget(tx, &row, &keys).await?;
    Ok(users.len() as u64)
}

/// Records that a budget was taken off scopes, each event in the team in which the scope stands.
async fn record_unassigned(
    tx: &mut Tx,
    budget: &budget::Model,
    gone: &[budget_assignment::Model],
) -> Result<()> {
    let scopes: Vec<_> = gone.iter().map(limit::scope_of).collect();
    let places = places(tx, &scopes).await?;
    for (assignment, scope) in gone.iter().zip(&scopes) {
        let team = places.get(scope).and_then(|place| place.team);
        let subject = Subject::budget(budget, team);
        tx.record(Event::gone(AuditAction::BudgetUnassigned, subject, assignment));
    }
    Ok(())
}

async fn remove(tx: &Tx, row: &budget::Model) -> Result<()> {
    budget::Entity::delete_many().filter(budget::Column::Id.eq(row.id)).exec(tx.db()).await?;
    Ok(())
}

/// A new budget, not yet stored.
pub(crate) fn row(tx: &Tx, limits: Limits, organization: Option<OrganizationId>) -> budget::Model {
    let period = limits.period.and_then(|text| text.parse::<Period>().ok());
    budget::Model {
        id: tx.id(),
        organization_id: organization,
        external_id: None,
        name: None,
        search_text: String::new(),
        owner_kind: None,
        owner_id: None,
        max_spend: limits.max_spend,
        soft_spend: limits.soft_spend,
        period: period.map(|period| period.to_string()),
        time_zone: limits.time_zone.unwrap_or_else(|| "UTC".to_owned()),
        anchor_at: tx.now(),
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        max_parallel_requests: limits.max_parallel_requests,
        model_pattern: limits.model_pattern,
        former_period: None,
        former_time_zone: None,
        former_anchor_at: None,
        period_changes_at: None,
        temporary_increase: limits.temporary_increase.map(|increase| increase.amount),
        temporary_increase_ends_at: limits.temporary_increase.map(|increase| increase.ends_at),
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    }
}

fn stamp(tx: &Tx, row: &mut budget::Model) {
    row.version += 1;
    row.updated_at = tx.now();
    row.updated_by = tx.by();
}

/// The rules of a budget's limits: nothing negative, soft below hard, a period and a time zone that
/// exist, at least one limit (REFERENCE T-NEW-23, F4; SECURITY 2, case 28).
pub(super) fn check_limits(faults: &mut Faults, field: &str, limits: &Limits) {
    check_amounts(faults, field, limits);
    if !limits.are_some() {
        faults.add(field, "a budget needs at least one limit");
    }
}

/// The rules of [`check_limits`] for the limits that there are.
pub(crate) fn check_amounts(faults: &mut Faults, field: &str, limits: &Limits) {
    for (name, amount) in [("maxSpend", limits.max_spend), ("softSpend", limits.soft_spend)] {
        if amount.is_some_and(|amount| amount < Usd::ZERO) {
            faults.add(format!("{field}.{name}"), "this may not be negative");
        }
    }
    if let (Some(soft), Some(max)) = (limits.soft_spend, limits.max_spend)
        && soft >= max
    {
        faults.add(format!("{field}.softSpend"), "this must be less than maxSpend");
    }
    let rates = [
        ("requestsPerMinute", limits.requests_per_minute),
        ("tokensPerMinute", limits.tokens_per_minute),
        ("maxParallelRequests", limits.max_parallel_requests),
    ];
    for (name, rate) in rates {
        if rate.is_some_and(|rate| rate < 0) {
            faults.add(format!("{field}.{name}"), "this may not be negative");
        }
    }
    if let Some(text) = &limits.period
        && let Err(error) = text.parse::<Period>()
    {
        faults.add(format!("{field}.period"), error.to_string());
    }
    if let Some(zone) = &limits.time_zone
        && zone.parse::<chrono_tz::Tz>().is_err()
    {
        faults.add(format!("{field}.timeZone"), "write an IANA time zone such as Europe/Berlin");
    }
    if let Some(pattern) = &limits.model_pattern {
        faults.word(&format!("{field}.modelPattern"), pattern);
    }
    window::check_increase(faults, field, limits.temporary_increase, limits.max_spend);
}

fn apply_change(
    faults: &mut Faults,
    field: &str,
    row: &mut budget::Model,
    change: LimitsChange,
    now: DateTime<Utc>,
) {
    let before = row.clone();
    change.max_spend.apply(&mut row.max_spend);
    change.soft_spend.apply(&mut row.soft_spend);
    change.requests_per_minute.apply(&mut row.requests_per_minute);
    change.tokens_per_minute.apply(&mut row.tokens_per_minute);
    change.max_parallel_requests.apply(&mut row.max_parallel_requests);
    change.model_pattern.apply(&mut row.model_pattern);
    let mut time_zone = Some(row.time_zone.clone());
    change.time_zone.apply(&mut time_zone);
    let mut period = row.period.clone();
    change.period.apply(&mut period);
    let mut temporary_increase = window::increase_of(row);
    change.temporary_increase.apply(&mut temporary_increase);
    let limits = Limits {
        max_spend: row.max_spend,
        soft_spend: row.soft_spend,
        period,
        time_zone,
        requests_per_minute: row.requests_per_minute,
        tokens_per_minute: row.tokens_per_minute,
        max_parallel_requests: row.max_parallel_requests,
        model_pattern: row.model_pattern.clone(),
        temporary_increase,
    };
    check_limits(faults, field, &limits);
    let period = limits.period.and_then(|text| text.parse::<Period>().ok());
    row.period = period.map(|period| period.to_string());
    row.time_zone = limits.time_zone.unwrap_or_else(|| "UTC".to_owned());
    row.temporary_increase = temporary_increase.map(|increase| increase.amount);
    row.temporary_increase_ends_at = temporary_increase.map(|increase| increase.ends_at);
    window::schedule(&before, row, now);
}

impl From<&budget::Model> for Limits {
    fn from(row: &budget::Model) -> Self {
        Self {
            max_spend: row.max_spend,
            soft_spend: row.soft_spend,
            period: row.period.clone(),
            time_zone: Some(row.time_zone.clone()),
            requests_per_minute: row.requests_per_minute,
            tokens_per_minute: row.tokens_per_minute,
            max_parallel_requests: row.max_parallel_requests,
            model_pattern: row.model_pattern.clone(),
            temporary_increase: window::increase_of(row),
        }
    }
}

impl Limits {
    /// Whether there is any limit.
    pub(crate) fn are_some(&self) -> bool {
        self.max_spend.is_some()
            || self.soft_spend.is_some()
            || self.requests_per_minute.is_some()
            || self.tokens_per_minute.is_some()
            || self.max_parallel_requests.is_some()
    }

    /// Whether these limits are at most those of a budget, for the same or a longer period, and
    /// none of them is missing.
    pub(crate) fn is_within(&self, own: &budget::Model) -> bool {
        let at_most = |given: Option<i64>, own: Option<i64>| match (given, own) {
            (_, None) => true,
            (Some(given), Some(own)) => given <= own,
            (None, Some(_)) => false,
        };
        let given_period = self.period.as_deref().and_then(|text| text.parse::<Period>().ok());
        let long_enough = match (given_period, limit::period(own)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(given), Some(own)) => given.is_at_least_as_long_as(&own),
        };
        let same_models = self.model_pattern.is_none() || self.model_pattern == own.model_pattern;
        self.temporary_increase.is_none()
            && at_most(self.max_spend.map(Usd::nanos), own.max_spend.map(Usd::nanos))
            && at_most(self.requests_per_minute, own.requests_per_minute)
            && at_most(self.tokens_per_minute, own.tokens_per_minute)
            && at_most(self.max_parallel_requests, own.max_parallel_requests)
            && long_enough
            && same_models
    }
}
