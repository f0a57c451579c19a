//! The rows of windows: found by budget, counter and start, and made on first use.
//!
//! A window's id never changes, though a budget that is forked takes its windows along; so ids are
//! remembered, until a row turns out to be another budget's or no more. A window that is new makes
//! its row in a statement of its own: a row without spend changes nothing, whatever becomes of the
//! call.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use entity::budget_window;
use entity::id::{BudgetId, BudgetWindowId, Id};
use entity::value::Usd;
use moka::sync::Cache;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveEnum, ActiveModelTrait, DbErr, EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::Charge;
use crate::db::Deployment;
use crate::db::bulk::Bulk;
use crate::error::{Error, Result};
use sea_orm::ConnectionTrait;

/// What names a window.
type Name = (BudgetId, Uuid, DateTime<Utc>);

/// The ids that are remembered; a window that is not is looked up.
const REMEMBERED: u64 = 200_000;

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

    /// The rows of charges, made where they are not there yet. A budget that is no more has none.
    pub(super) async fn of(
        &self,
        charges: &[&[Charge]],
    ) -> Result<Vec<Vec<Option<BudgetWindowId>>>> {
        let all = charges.iter().flat_map(|charges| charges.iter());
        let mut missing: BTreeMap<Name, Option<DateTime<Utc>>> = BTreeMap::new();
        let mut known: BTreeMap<Name, BudgetWindowId> = BTreeMap::new();
        for charge in all {
            let name = (charge.budget, charge.counter, charge.starts_at);
            match self.ids.get(&name) {
                Some(id) => drop(known.insert(name, id)),
                None => drop(missing.insert(name, charge.ends_at)),
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
        let db = self.deployment.database.writing();
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
        let db = self.deployment.database.writing();
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
    /// each other. A budget that was deleted meanwhile gets none: the others are made one by one.
    async fn make(&self, windows: &BTreeMap<Name, Option<DateTime<Utc>>>) -> Result<()> {
        let rows: Vec<_> = windows
            .iter()
            .map(|((budget, counter, starts_at), ends_at)| budget_window::Model {
                id: self.deployment.clock.id(),
                budget_id: *budget,
                scope_id: *counter,
                starts_at: *starts_at,
                ends_at: *ends_at,
                spent: Usd::ZERO,
                reserved: Usd::ZERO,
                raised: 0,
                updated_at: self.deployment.clock.now(),
            })
            .collect();
        for chunk in rows.chunks(500) {
            match self.insert(chunk.to_vec()).await {
                Err(error) if is_gone(&error) => {
                    for row in chunk {
                        match self.insert(vec![row.clone()]).await {
                            Err(error) if !is_gone(&error) => return Err(error),
                            _ => {}
                        }
                    }
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    async fn insert(&self, rows: Vec<budget_window::Model>) -> Result<()> {
        let rows = rows.into_iter().map(|row| row.into_active_model().reset_all());
        let insert = budget_window::Entity::insert_many(rows)
            .on_conflict(OnConflict::new().do_nothing().to_owned());
        match insert.exec_without_returning(self.deployment.database.writing()).await {
            Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a row was refused because its budget is no more.
fn is_gone(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    matches!(crate::error::database_code(error).as_deref(), Some("23503" | "787"))
}
