//! The counters of windows: locked in the order of their ids, tested, moved and written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::id::{BudgetId, BudgetWindowId, Id};
use entity::value::Usd;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use uuid::Uuid;

use super::alert::{self, Alert};
use super::post::overflow;
use super::reservation::CallName;
use super::{Charge, Shortage};
use crate::db::bulk::{Bulk, clock_of, locking};
use crate::domain::access::room::has_room;
use crate::error::{Error, Result};

/// A window that is locked by this transaction.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub(super) budget: BudgetId,
    counter: Uuid,
    spent: Usd,
    reserved: Usd,
    raised: i32,
    max: Option<Usd>,
    soft: Option<Usd>,
    /// The newest window of the same counter, if that is another one.
    pub(super) newer: Option<BudgetWindowId>,
    changed: bool,
}

/// Calls of which somebody else may have told something that could not be seen before the windows were
/// locked. Who reserves a call and who settles it see nothing of each other until one of them commits;
/// but they meet at the locks of the windows, and whoever comes second looks again.
#[derive(Debug, Default)]
pub(super) struct Meanwhile<'a> {
    /// Those for which something is held from now on, and that nobody should have settled.
    pub(super) held: Vec<&'a CallName>,
    /// Those that are settled, and for which nothing should be held.
    pub(super) settled: Vec<&'a CallName>,
}

impl Meanwhile<'_> {
    /// The calls as rows of a statement.
    fn rows(&self) -> Bulk {
        let all = || self.held.iter().chain(&self.settled);
        let held = self.held.iter().map(|_| 1).chain(self.settled.iter().map(|_| 0));
        Bulk::new()
            .uuid("gateway", all().map(|name| name.0.uuid()))
            .text("request", all().map(|name| name.1.clone()))
            .int("held", held)
    }
}

/// The windows that are locked.
#[derive(Debug, Default)]
pub(super) struct Counters(BTreeMap<BudgetWindowId, Counter>);

impl Counters {
    /// Locks windows, in the order of their ids; those of budgets that are no more are left out.
    pub(super) async fn lock(
        db: &impl ConnectionTrait,
        ids: impl Iterator<Item = BudgetWindowId>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let backend = db.get_database_backend();
        let rest = format!(
            "SELECT w.id, w.budget_id, w.scope_id, w.spent, w.reserved, w.raised, b.max_spend, \
             b.soft_spend, b.temporary_increase, b.temporary_increase_ends_at, \
             (SELECT n.id FROM budget_windows n WHERE n.budget_id = w.budget_id \
             AND n.scope_id = w.scope_id AND n.starts_at > w.starts_at \
             ORDER BY n.starts_at DESC LIMIT 1) AS newer \
             FROM v JOIN budget_windows w ON w.id = v.id JOIN budgets b ON b.id = w.budget_id \
             ORDER BY w.id {}",
            locking(backend, "w")
        );
        let statement = Bulk::new().uuid("id", ids.map(Id::uuid)).statement(backend, &rest);
        let rows = db.query_all_raw(statement).await?;
        let counters = rows.iter().map(|row| {
            let id = BudgetWindowId::from_uuid(row.try_get("", "id")?);
            Ok((id, Counter::read(row, now)?))
        });
        Ok(Self(counters.collect::<Result<_>>()?))
    }

    /// A window that is locked.
    pub(super) fn get(&self, id: BudgetWindowId) -> Option<&Counter> {
        self.0.get(&id)
    }

    /// Adds to what was spent; corrections take away.
    pub(super) fn spend(&mut self, id: BudgetWindowId, amount: Usd) -> Result<()> {
        let Some(counter) = self.0.get_mut(&id) else { return Ok(()) };
        counter.spent = counter.spent.checked_add(amount).ok_or_else(overflow)?;
        counter.changed = true;
        Ok(())
    }

    /// Lets go of what was held.
    pub(super) fn let_go(&mut self, id: BudgetWindowId, amount: Usd) {
        let Some(counter) = self.0.get_mut(&id) else { return };
        if counter.reserved < amount {
            tracing::error!(window = %id, held = %counter.reserved, "less is held than was reserved");
        }
        counter.reserved = counter.reserved.remaining_after(amount);
        counter.changed = true;
    }

    /// Holds an amount in all of these windows, or in none.
    ///
    /// # Errors
    /// The windows without room: those in which all is spent or held, or that the amount would take
    /// beyond what may be spent.
    pub(super) fn hold(
        &mut self,
        charges: &[Charge],
        ids: &[Option<BudgetWindowId>],
        amount: Usd,
    ) -> Result<(), Vec<Shortage>> {
        let mut shortages = Vec::new();
        for (charge, id) in charges.iter().zip(ids) {
            let Some(counter) = id.and_then(|id| self.0.get(&id)) else { continue };
            let Some(max) = counter.max else { continue };
            if !has_room(max, counter.spent, counter.reserved, amount) {
                let (spent, reserved) = (counter.spent, counter.reserved);
                shortages.push(Shortage { charge: charge.clone(), spent, reserved, max });
            }
        }
        if !shortages.is_empty() {
            return Err(shortages);
        }
        for id in ids.iter().flatten() {
            if let Some(counter) = self.0.get_mut(id) {
                counter.reserved =
                    counter.reserved.checked_add(amount).unwrap_or(Usd::from_nanos(i64::MAX));
                counter.changed = true;
            }
        }
        Ok(())
    }

    /// Writes what changed, and tells which warnings are due.
    ///
    /// # Errors
    /// [`Error::Moved`] when somebody else was faster with one of the calls.
    pub(super) async fn write(
        self,
        db: &impl ConnectionTrait,
        meanwhile: &Meanwhile<'_>,
    ) -> Result<Vec<Alert>> {
        let mut alerts = Vec::new();
        let mut changed: Vec<_> = self.0.into_iter().filter(|(_, row)| row.changed).collect();
        if changed.is_empty() {
            return Ok(alerts);
        }
        for (id, row) in &mut changed {
            let (marks, due) = alert::due(row.raised, row.spent, row.soft, row.max);
            row.raised = marks;
            alerts.extend(due.into_iter().map(|(threshold, at)| Alert {
                window: *id,
                budget: row.budget,
                counter: row.counter,
                threshold,
                spent: row.spent,
                at,
            }));
        }
        let backend = db.get_database_backend();
        let update = format!(
            "UPDATE budget_windows SET spent = v.spent, reserved = v.reserved, raised = v.raised, \
             updated_at = {} FROM v WHERE budget_windows.id = v.id",
            clock_of(backend)
        );
        let rows = Bulk::new()
            .uuid("id", changed.iter().map(|(id, _)| id.uuid()))
            .big_int("spent", changed.iter().map(|(_, row)| row.spent.nanos()))
            .big_int("reserved", changed.iter().map(|(_, row)| row.reserved.nanos()))
            .int("raised", changed.iter().map(|(_, row)| row.raised));
        // SQLite has one writer.
        let is_alone = meanwhile.held.is_empty() && meanwhile.settled.is_empty();
        if is_alone || backend == DbBackend::Sqlite {
            db.execute_raw(rows.statement(backend, &update)).await?;
            return Ok(alerts);
        }
        let rest = format!(
            "{update} RETURNING EXISTS (SELECT 1 FROM calls c JOIN usage_events e \
             ON e.gateway_id = c.gateway AND e.request_id = c.request WHERE c.held = 1) \
             OR EXISTS (SELECT 1 FROM calls c JOIN reservations r \
             ON r.gateway_id = c.gateway AND r.request_id = c.request WHERE c.held = 0) AS is_crossed"
        );
        let statement = rows.beside("calls", meanwhile.rows()).statement(backend, &rest);
        let row = db.query_all_raw(statement).await?.into_iter().next();
        match row.map(|row| row.try_get::<bool>("", "is_crossed")).transpose()? {
            Some(true) => Err(Error::Moved),
            Some(false) | None => Ok(alerts),
        }
    }
}

impl Counter {
    fn read(row: &QueryResult, now: DateTime<Utc>) -> Result<Self> {
        let ends_at: Option<DateTime<Utc>> = row.try_get("", "temporary_increase_ends_at")?;
        let increase: Option<Usd> = row.try_get("", "temporary_increase")?;
        let increase = increase.filter(|_| ends_at.is_some_and(|end| now < end));
        let most = Usd::from_nanos(i64::MAX);
        let max: Option<Usd> = row.try_get("", "max_spend")?;
        let newer: Option<Uuid> = row.try_get("", "newer")?;
        Ok(Self {
            budget: BudgetId::from_uuid(row.try_get("", "budget_id")?),
            counter: row.try_get("", "scope_id")?,
            spent: row.try_get("", "spent")?,
            reserved: row.try_get("", "reserved")?,
            raised: row.try_get("", "raised")?,
            max: max.map(|max| max.checked_add(increase.unwrap_or_default()).unwrap_or(most)),
            soft: row.try_get("", "soft_spend")?,
            newer: newer.map(BudgetWindowId::from_uuid),
            changed: false,
        })
    }
}
