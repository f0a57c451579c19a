//! What budgets have counted: one counter in memory for each budget and each scope that counts by
//! itself, shared by all entries that are held against it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::budget_window;
use entity::id::BudgetId;
use entity::value::Usd;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::db::bulk::clock_before;
use crate::domain::access::{self, BoundBudget, Counted};
use crate::domain::budget::window::window_at;
use crate::error::Result;

/// The fewest counters at which those that nobody holds are looked for.
const CROWD: usize = 1_000;

/// The most counters that one statement reads: it binds two values for each.
const READ: usize = 5_000;

/// What counts: a budget, for a scope or for itself.
type Name = (BudgetId, Uuid);

fn name(bound: &BoundBudget) -> Name {
    (bound.budget.id, bound.counter)
}

/// What a budget has counted in its windows.
#[derive(Debug)]
pub(super) struct Counter {
    name: Name,
    windows: RwLock<Vec<Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    starts_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
    spent: Usd,
    reserved: Usd,
}

impl From<budget_window::Model> for Window {
    fn from(row: budget_window::Model) -> Self {
        let budget_window::Model { starts_at, ends_at, spent, reserved, .. } = row;
        Self { starts_at, ends_at, spent, reserved }
    }
}

impl Counter {
    /// What was counted in the window that holds an instant. A window that nobody has made counts
    /// nothing. Windows never go back, whatever the clock does: a newer one goes on that was reached.
    fn at(&self, bound: &BoundBudget, at: DateTime<Utc>) -> Counted {
        let current = window_at(&bound.budget, at);
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        let newest = windows.iter().max_by_key(|window| window.starts_at);
        match newest.filter(|window| window.starts_at >= current.starts_at) {
            None => Counted { resets_at: current.ends_at, ..Counted::default() },
            Some(window) => Counted {
                spent: window.spent,
                reserved: window.reserved,
                resets_at: if window.starts_at == current.starts_at {
                    current.ends_at
                } else {
                    window.ends_at
                },
            },
        }
    }

    /// Takes over what a window counts now; those that have ended go.
    fn set(&self, window: Window, now: DateTime<Utc>) {
        let mut windows = self.windows.write().unwrap_or_else(PoisonError::into_inner);
        match windows.iter_mut().find(|known| known.starts_at == window.starts_at) {
            Some(known) => *known = window,
            None => windows.push(window),
        }
        windows.retain(|window| window.ends_at.is_none_or(|end| now < end));
    }
}

/// The counters that somebody holds.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counters: HashMap<Name, Weak<Counter>>,
    crowded: usize,
}

/// How long before the last look something may have been counted that was not to be seen then: the
/// clock is asked before a commit.
const LATE: Duration = Duration::from_secs(5);

impl State {
    fn counter(&mut self, name: Name) -> Arc<Counter> {
        if let Some(counter) = self.counters.get(&name).and_then(Weak::upgrade) {
            return counter;
        }
        if self.counters.len() >= self.crowded.max(CROWD) {
            self.counters.retain(|_, counter| counter.strong_count() > 0);
            self.crowded = self.counters.len() * 2;
        }
        let counter = Arc::new(Counter { name, windows: RwLock::default() });
        self.counters.insert(name, Arc::downgrade(&counter));
        counter
    }
}

/// Counters that were just read.
#[derive(Debug)]
pub(super) struct Found(HashMap<Name, Arc<Counter>>);

impl Found {
    /// The counters of budgets, of those that have a cap.
    pub(super) fn of(&self, budgets: &[BoundBudget]) -> Box<[Arc<Counter>]> {
        budgets.iter().filter_map(|bound| self.0.get(&name(bound)).cloned()).collect()
    }
}

impl Counters {
    /// Reads the counters of budgets that have a cap: those of the windows that have not ended.
    ///
    /// # Errors
    /// What the database answers.
    #[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
    pub(super) async fn read(
        &self,
        db: &impl ConnectionTrait,
        budgets: impl IntoIterator<Item = &BoundBudget>,
        now: DateTime<Utc>,
    ) -> Result<Found> {
        use budget_window::Column;
        let capped = budgets.into_iter().filter(|bound| bound.budget.max_spend.is_some());
        let names: BTreeSet<Name> = capped.map(name).collect();
        let mut windows: HashMap<Name, Vec<Window>> = HashMap::new();
        let names: Vec<_> = names.into_iter().collect();
        for chunk in names.chunks(READ) {
            let ids: BTreeSet<_> = chunk.iter().map(|(budget, _)| *budget).collect();
            let counters: BTreeSet<_> = chunk.iter().map(|(_, counter)| *counter).collect();
            let current =
                Condition::any().add(Column::EndsAt.is_null()).add(Column::EndsAt.gt(now));
            let select = budget_window::Entity::find()
                .filter(Column::BudgetId.is_in(ids))
                .filter(Column::ScopeId.is_in(counters))
                .filter(current);
            for row in select.all(db).await? {
                windows.entry((row.budget_id, row.scope_id)).or_default().push(row.into());
            }
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = names.into_iter().map(|name| {
            let counter = state.counter(name);
            let read = windows.remove(&name).unwrap_or_default();
            *counter.windows.write().unwrap_or_else(PoisonError::into_inner) = read;
            (name, counter)
        });
        Ok(Found(found.collect()))
    }

    /// Reads what has been counted since the last look, which was so long ago.
    ///
    /// # Errors
    /// What the database answers.
    #[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
    pub(super) async fn refresh(
        &self,
        db: &impl ConnectionTrait,
        last: Duration,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let ago = u32::try_from((last + LATE).as_millis()).unwrap_or(u32::MAX);
        let since = Expr::cust(clock_before(db.get_database_backend(), ago));
        let select = budget_window::Entity::find()
            .filter(Expr::col(budget_window::Column::UpdatedAt).gte(since));
        let rows = select.all(db).await?;
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let name = (row.budget_id, row.scope_id);
            if let Some(counter) = state.counters.get(&name).and_then(Weak::upgrade) {
                counter.set(row.into(), now);
            }
        }
        Ok(())
    }
}

/// The counters of one call.
#[derive(Debug, Default)]
pub(super) struct CallCounters<'a>(Vec<&'a [Arc<Counter>]>);

/// Counters that say nothing, for calls that the ledger judges: a cap of 0 refuses all the same.
#[derive(Debug)]
pub(super) struct Untold;

impl access::Counters for Untold {
    fn of(&self, bound: &BoundBudget, at: DateTime<Utc>) -> Counted {
        Counted { resets_at: window_at(&bound.budget, at).ends_at, ..Counted::default() }
    }
}

impl<'a> CallCounters<'a> {
    pub(super) fn add(&mut self, counters: &'a [Arc<Counter>]) {
        self.0.push(counters);
    }
}

impl access::Counters for CallCounters<'_> {
    fn of(&self, bound: &BoundBudget, at: DateTime<Utc>) -> Counted {
        let wanted = name(bound);
        let counter = self.0.iter().flat_map(|part| part.iter()).find(|one| one.name == wanted);
        // A counter that nobody has read counts as full: rather no call than one that is not counted.
        counter.map_or_else(
            || Counted { spent: Usd::from_nanos(i64::MAX), ..Counted::default() },
            |counter| counter.at(bound, at),
        )
    }
}
