//! The rows of windows: found by budget, counter and start, and made on first use.
//!
//! A window's id never changes, though a budget that is forked takes its windows along; so ids are
//! remembered, until a row turns out to be another budget's or no more. A window that is new makes
//! its row in a statement of its own: a row without spend changes nothing, whatever becomes of the
//! call. None is made for a budget that is not in force any more where a call was judged by it: what
//! is in force there now takes its place.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use entity::id::{BudgetId, BudgetWindowId, Id};
use moka::sync::Cache;
use sea_orm::{ActiveEnum, ConnectionTrait};
use uuid::Uuid;

use super::attribution::{bound, stored, wanted};
use super::{Charge, charges};
use crate::db::Deployment;
use crate::db::bulk::{Bulk, keeping, sharing};
use crate::db::unit::{RETRIES, jitter};
use crate::domain::access::facts::BoundBudget;
use crate::domain::scope::Scope;
use crate::error::Result;

/// What names a window.
type Name = (BudgetId, Uuid, DateTime<Utc>);

/// The ids that are remembered; a window that is not is looked up.
const REMEMBERED: u64 = 200_000;

/// A call with what it is charged to, as far as that was known when it was judged.
#[derive(Clone, Debug)]
pub(super) struct Charged<'a> {
    model: Option<&'a str>,
    at: DateTime<Utc>,
    charges: Vec<Charge>,
    /// The rows of the charges; none where a budget is no more.
    windows: Vec<Option<BudgetWindowId>>,
}

/// Finds and makes the rows of windows. Clones share what they remember.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    deployment: Deployment,
    ids: Cache<Name, BudgetWindowId>,
}

impl Windows {
    pub(super) fn new(deployment: &Deployment) -> Self {
        Self { deployment: deployment.clone(), ids: Cache::new(REMEMBERED) }
    }

    /// Finds the rows of what calls are charged to. Where a budget is not in force any more, the call
    /// is charged to what is.
    pub(super) async fn place(&self, calls: &mut [Charged<'_>]) -> Result<()> {
        self.find_all(calls).await?;
        let lost: BTreeSet<_> = calls.iter().flat_map(Charged::lost).map(wanted).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let bound = bound(self.deployment.database.accounting(), &lost).await?;
        for call in &mut *calls {
            call.renew(&bound);
        }
        self.find_all(calls).await
    }

    async fn find_all(&self, calls: &mut [Charged<'_>]) -> Result<()> {
        let charges: Vec<_> = calls.iter().map(|call| call.charges.as_slice()).collect();
        let windows = self.of(&charges).await?;
        for (call, windows) in calls.iter_mut().zip(windows) {
            call.windows = windows;
        }
        Ok(())
    }

    /// The rows of charges, made where they are not there yet. A budget that is no more has none, nor
    /// has one that is not in force any more.
    pub(super) async fn of(
        &self,
        charges: &[&[Charge]],
    ) -> Result<Vec<Vec<Option<BudgetWindowId>>>> {
        let all = charges.iter().flat_map(|charges| charges.iter());
        let mut missing: BTreeMap<Name, &Charge> = BTreeMap::new();
        let mut known: BTreeMap<Name, BudgetWindowId> = BTreeMap::new();
        for charge in all {
            let name = (charge.budget, charge.counter, charge.starts_at);
            match self.ids.get(&name) {
                Some(id) => drop(known.insert(name, id)),
                None => drop(missing.insert(name, charge)),
            }
        }
        if !missing.is_empty() {
            let mut found = self.find(missing.keys()).await?;
            missing.retain(|name, _| !found.contains_key(name));
            if !missing.is_empty() {
                self.make(&missing).await?;
                found.extend(self.find(missing.keys()).await?);
            }
            for (name, id) in &found {
                self.ids.insert(*name, *id);
            }
            known.extend(found);
        }
        let id = |charge: &Charge| {
            known.get(&(charge.budget, charge.counter, charge.starts_at)).copied()
        };
        Ok(charges.iter().map(|charges| charges.iter().map(id).collect()).collect())
    }

    /// Forgets the row of a charge, and returns it.
    pub(super) fn forget(&self, charge: &Charge) -> Option<BudgetWindowId> {
        self.ids.remove(&(charge.budget, charge.counter, charge.starts_at))
    }

    /// Those rows, of some that are not their charges' budgets', in which the charges count all the
    /// same: a fork took them along, and the scope does not have the budget any more. Who charges it
    /// speaks of a moment ago.
    pub(super) async fn moved(
        &self,
        stale: &[(Charge, BudgetWindowId)],
    ) -> Result<HashSet<(BudgetId, BudgetWindowId)>> {
        let db = self.deployment.database.accounting();
        let statement = Bulk::new()
            .uuid("budget", stale.iter().map(|(charge, _)| charge.budget.uuid()))
            .uuid("counter", stale.iter().map(|(charge, _)| charge.counter))
            .text("kind", stale.iter().map(|(charge, _)| charge.scope.kind.to_value()))
            .uuid("scope", stale.iter().map(|(charge, _)| charge.scope.id))
            .uuid("row_id", stale.iter().map(|(_, row)| row.uuid()))
            .statement(
                db.get_database_backend(),
                "SELECT v.budget, v.row_id FROM v JOIN budget_windows w ON w.id = v.row_id \
                 AND w.scope_id = v.counter WHERE NOT EXISTS (SELECT 1 FROM budget_assignments a \
                 WHERE a.budget_id = v.budget AND a.scope_kind = v.kind AND a.scope_id = v.scope)",
            );
        let rows = db.query_all_raw(statement).await?;
        let moved = rows.iter().map(|row| {
            let budget = BudgetId::from_uuid(row.try_get("", "budget")?);
            Ok((budget, BudgetWindowId::from_uuid(row.try_get("", "row_id")?)))
        });
        moved.collect()
    }

    async fn find(
        &self,
        names: impl Iterator<Item = &Name> + Clone,
    ) -> Result<BTreeMap<Name, BudgetWindowId>> {
        let db = self.deployment.database.accounting();
        let statement = Bulk::new()
            .uuid("budget", names.clone().map(|name| name.0.uuid()))
            .uuid("counter", names.clone().map(|name| name.1))
            .instant("start", names.map(|name| name.2))
            .statement(
                db.get_database_backend(),
                "SELECT w.id, w.budget_id, w.scope_id, w.starts_at FROM v JOIN budget_windows w \
                 ON w.budget_id = v.budget AND w.scope_id = v.counter AND w.starts_at = v.start",
            );
        let rows = db.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                let budget = BudgetId::from_uuid(row.try_get("", "budget_id")?);
                let name = (budget, row.try_get("", "scope_id")?, row.try_get("", "starts_at")?);
                Ok((name, BudgetWindowId::from_uuid(row.try_get("", "id")?)))
            })
            .collect()
    }

    /// Makes rows, in the order of their names, so that two that make the same ones do not wait for
    /// each other. A budget that was deleted meanwhile gets none, and neither does one that is not in
    /// force any more on the scope that counts. Whoever takes it off, or forks it, is waited for, or
    /// finds the row.
    async fn make(&self, charges: &BTreeMap<Name, &Charge>) -> Result<()> {
        for attempt in 1..=RETRIES {
            match self.try_make(charges).await {
                Err(error) if error.is_transient() => tokio::time::sleep(jitter(attempt)).await,
                outcome => return outcome,
            }
        }
        self.try_make(charges).await
    }

    async fn try_make(&self, charges: &BTreeMap<Name, &Charge>) -> Result<()> {
        let db = self.deployment.database.accounting();
        let backend = db.get_database_backend();
        let now = self.deployment.clock.now();
        let assigned: Vec<_> =
            charges.values().map(|charge| stored(&wanted(charge.scope))).collect();
        let rest = format!(
            ", kept AS (SELECT v.* FROM v JOIN budgets b ON b.id = v.budget \
             ORDER BY v.budget, v.counter, v.start {}) \
             INSERT INTO budget_windows (id, budget_id, scope_id, starts_at, ends_at, spent, reserved, \
             raised, updated_at) SELECT k.id, k.budget, k.counter, k.start, k.finish, 0, 0, 0, k.made \
             FROM kept k WHERE k.counter = k.budget OR EXISTS (SELECT 1 FROM budget_assignments a \
             WHERE a.budget_id = k.budget AND a.scope_kind = k.kind AND a.scope_id = k.scope {}) \
             ON CONFLICT DO NOTHING",
            keeping(backend, "b"),
            sharing(backend, "a")
        );
        let statement = Bulk::new()
            .uuid("id", charges.keys().map(|_| self.deployment.clock.id::<BudgetWindowId>().uuid()))
            .uuid("budget", charges.keys().map(|name| name.0.uuid()))
            .uuid("counter", charges.keys().map(|name| name.1))
            .text("kind", assigned.iter().map(|scope| scope.kind.to_value()))
            .uuid("scope", assigned.iter().map(|scope| scope.id))
            .instant("start", charges.keys().map(|name| name.2))
            .instant_or_null("finish", charges.values().map(|charge| charge.ends_at))
            .instant("made", charges.keys().map(|_| now))
            .statement(backend, &rest);
        db.execute_raw(statement).await?;
        Ok(())
    }
}

impl<'a> Charged<'a> {
    pub(super) fn new(model: Option<&'a str>, at: DateTime<Utc>, charges: Vec<Charge>) -> Self {
        Self { model, at, charges, windows: Vec::new() }
    }

    /// What it is charged to.
    pub(super) fn parts(self) -> (Vec<Charge>, Vec<Option<BudgetWindowId>>) {
        (self.charges, self.windows)
    }

    /// The scopes of the charges without a row.
    fn lost(&self) -> impl Iterator<Item = Scope> {
        let both = self.charges.iter().zip(&self.windows);
        both.filter(|(_, window)| window.is_none()).map(|(charge, _)| charge.scope)
    }

    /// Puts what is in force in the place of charges without a row.
    fn renew(&mut self, bound: &BTreeMap<Scope, Vec<BoundBudget>>) {
        let mut lost: Vec<_> = self.lost().collect();
        lost.dedup();
        let budgets = lost.iter().filter_map(|scope| bound.get(&wanted(*scope))).flatten();
        for charge in charges(budgets, self.model, self.at) {
            let name = (charge.budget, charge.counter);
            if self.charges.iter().any(|other| (other.budget, other.counter) == name) {
                continue;
            }
            let both = self.charges.iter().zip(&self.windows);
            let is_lost = |(other, window): (&Charge, &Option<BudgetWindowId>)| {
                window.is_none() && other.scope == charge.scope && !bound_to(bound, other)
            };
            let place = both.map(is_lost).position(|is_lost| is_lost);
            match place {
                Some(place) => self.charges[place] = charge,
                None => self.charges.push(charge),
            }
        }
    }
}

/// Whether a charge is one of what is in force.
fn bound_to(bound: &BTreeMap<Scope, Vec<BoundBudget>>, charge: &Charge) -> bool {
    let here = bound.get(&wanted(charge.scope)).map(Vec::as_slice).unwrap_or_default();
    here.iter().any(|bound| bound.budget.id == charge.budget && bound.counter == charge.counter)
}
