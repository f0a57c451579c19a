//! Made-up budgets: plain values, the rows that they stand for, and what these have counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::budget;
use entity::id::{BudgetId, Id};
use entity::role::ScopeKind;
use entity::value::Usd;
use tollkeep::domain::access::{BoundBudget, Counted, Counters};
use tollkeep::domain::budget::window::window_at;
use tollkeep::domain::scope::Scope;
use uuid::Uuid;

use super::spec::{Dice, NAMES, Spec};

/// The longest window, in seconds.
pub(crate) const LONGEST: i64 = 9;

/// What is spent and what is held.
type Count = (i64, i64);

/// One budget.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// Where it is in force.
    pub(crate) on: Vec<Scope>,
    /// Whether it is one pot for all of these scopes; else each counts by itself.
    pub(crate) is_shared: bool,
    pub(crate) max: Option<i64>,
    /// How much more may be spent for some time, and in how many seconds that is over.
    pub(crate) increase: Option<(i64, i64)>,
    /// How many seconds a window lasts; none for one without end.
    pub(crate) period: Option<i64>,
    /// How many seconds ago the first window began.
    pub(crate) age: i64,
    /// What the window before counts, the current one and the next: of each scope, or of the pot.
    pub(crate) counts: Vec<[Count; 3]>,
    pub(crate) pattern: Option<&'static str>,
    /// Requests and tokens in a minute, and requests at once.
    pub(crate) rates: [Option<i64>; 3],
}

impl Budget {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let mut on = Vec::new();
        for _ in 0..dice.pick(&[1, 1, 2, 3]) {
            let scope = Spec::scope(dice.pick(&[
                ScopeKind::ApiKey,
                ScopeKind::TeamMembership,
                ScopeKind::Project,
                ScopeKind::Team,
                ScopeKind::Organization,
                ScopeKind::User,
                ScopeKind::Tag,
                ScopeKind::EndUser,
                ScopeKind::Platform,
            ]));
            let is_own = scope.kind == ScopeKind::Tag && dice.one_in(2);
            let scope = if is_own { Spec::own_tag() } else { scope };
            if !on.contains(&scope) {
                on.push(scope);
            }
        }
        let is_shared = dice.one_in(2);
        let count = |dice: &mut Dice| (dice.number(8), dice.number(4));
        let counters = if is_shared { 1 } else { on.len() };
        Self {
            is_shared,
            max: dice.maybe(6, |dice| {
                let span = dice.pick(&[1, 20, 20, 40, 40, 40]);
                dice.number(span)
            }),
            increase: if dice.one_in(4) {
                Some((1 + dice.number(8), dice.number(LONGEST + 5) - 2))
            } else {
                None
            },
            period: dice.maybe(6, |dice| 1 + dice.number(LONGEST)),
            age: dice.number(100),
            counts: (0..counters).map(|_| [count(dice), count(dice), count(dice)]).collect(),
            pattern: if dice.one_in(3) { Some(dice.pick(NAMES)) } else { None },
            rates: std::array::from_fn(|_| dice.one_in(8).then_some(7)),
            on,
        }
    }

    /// What it counts now on a scope.
    pub(crate) fn counted(&self, scope: Scope) -> Count {
        self.counts[self.place(scope)][1]
    }

    fn place(&self, scope: Scope) -> usize {
        if self.is_shared { 0 } else { self.on.iter().position(|one| *one == scope).unwrap() }
    }

    /// The row, in force on its scopes, and its windows.
    pub(super) fn build(
        &self,
        at: usize,
        now: DateTime<Utc>,
        fixed: &mut Fixed,
    ) -> Vec<BoundBudget> {
        let row = Arc::new(self.row(at, now));
        let counter = |scope: Scope| if self.is_shared { row.id.uuid() } else { scope.id };
        let bind = |scope: &Scope| {
            let counter = counter(*scope);
            let current = window_at(&row, now).starts_at;
            for (window, (spent, reserved)) in (-1..).zip(self.counts[self.place(*scope)]) {
                let starts_at = current + TimeDelta::seconds(window * self.period.unwrap_or(1));
                let sums = (Usd::from_nanos(spent), Usd::from_nanos(reserved));
                fixed.0.insert((row.id, counter, starts_at), sums);
            }
            BoundBudget { scope: *scope, counter, budget: Arc::clone(&row) }
        };
        self.on.iter().map(bind).collect()
    }

    fn row(&self, at: usize, now: DateTime<Utc>) -> budget::Model {
        let made = now - TimeDelta::seconds(self.age);
        budget::Model {
            id: budget_id(at),
            organization_id: None,
            external_id: None,
            name: None,
            search_text: String::new(),
            owner_kind: None,
            owner_id: None,
            max_spend: self.max.map(Usd::from_nanos),
            soft_spend: None,
            period: self.period.map(|seconds| format!("PT{seconds}S")),
            time_zone: "UTC".to_owned(),
            anchor_at: made,
            former_period: None,
            former_time_zone: None,
            former_anchor_at: None,
            period_changes_at: None,
            temporary_increase: self.increase.map(|(more, _)| Usd::from_nanos(more)),
            temporary_increase_ends_at: self
                .increase
                .map(|(_, seconds)| now + TimeDelta::seconds(seconds)),
            requests_per_minute: self.rates[0],
            tokens_per_minute: self.rates[1],
            max_parallel_requests: self.rates[2],
            model_pattern: self.pattern.map(str::to_owned),
            version: 1,
            created_at: made,
            created_by: String::new(),
            updated_at: made,
            updated_by: String::new(),
        }
    }
}

/// The id of a budget by its place in the world.
pub(crate) fn budget_id(at: usize) -> BudgetId {
    Id::from_uuid(Uuid::from_u128(1_000 + at as u128))
}

/// What windows count, by budget, counter and start.
#[derive(Default)]
pub(crate) struct Fixed(BTreeMap<(BudgetId, Uuid, DateTime<Utc>), (Usd, Usd)>);

impl Counters for Fixed {
    fn of(&self, bound: &BoundBudget, at: DateTime<Utc>) -> Counted {
        let window = window_at(&bound.budget, at);
        let found = self.0.get(&(bound.budget.id, bound.counter, window.starts_at));
        let (spent, reserved) = found.copied().unwrap_or_default();
        Counted { spent, reserved, resets_at: window.ends_at }
    }
}
