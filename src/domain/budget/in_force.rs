//! Budgets in force on scopes, with the counters of their current windows.

use chrono::{DateTime, Utc};
use entity::id::BudgetAssignmentId;
use entity::role::Counting;
use entity::value::Usd;
use entity::{budget, budget_assignment};
use sea_orm::sea_query::{
    CaseStatement, Expr, ExprTrait, Order, Query, SelectStatement, SimpleExpr,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter,
    QueryOrder, QueryResult, QueryTrait,
};

use super::visible_scopes;
use super::window::{BudgetWindow, window_at};
use crate::db::{Reader, among};
use crate::domain::scope::{Scope, by_kind};
use crate::error::Result;

/// A budget in force, with the counters of its current window.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The assignment's id.
    pub id: BudgetAssignmentId,
    /// Where it is in force.
    pub scope: Scope,
    /// How the scope counts.
    pub counting: Counting,
    /// The budget.
    pub budget: budget::Model,
    /// The current window.
    pub window: BudgetWindow,
    /// What was spent in it.
    pub spent: Usd,
    /// What is held in it for calls under way.
    pub reserved: Usd,
    /// The thresholds that were reached in it, one bit each.
    pub raised: i32,
}

/// The budgets in force on scopes, with the counters of their current windows, in one statement.
/// Only scopes that the caller may look into are answered.
///
/// # Errors
/// What the database answers.
#[expect(
    clippy::disallowed_methods,
    reason = "filtered by the scopes that the caller may look into"
)]
pub async fn in_force(reader: &Reader, scopes: &[Scope]) -> Result<Vec<InForce>> {
    let window = |column: &'static str| ("budget_windows", column);
    let assigned = |column: &'static str| ("budget_assignments", column);
    let any = by_kind(scopes).into_iter().fold(Condition::any(), |any, (kind, ids)| {
        let kind = budget_assignment::Column::ScopeKind.eq(kind);
        any.add(kind.and(among(reader.db(), assigned("scope_id"), ids)))
    });
    let mut select = budget::Entity::find()
        .filter(any)
        .filter(visible_scopes(reader.actor()))
        .order_by_asc(budget_assignment::Column::Id);
    let newest = Expr::col(window("id")).eq(SimpleExpr::from(newest_window()));
    let of_budget = Expr::col(assigned("budget_id")).equals(("budgets", "id"));
    let query = QueryTrait::query(&mut select);
    query.join(JoinType::InnerJoin, "budget_assignments", of_budget);
    query.join(JoinType::LeftJoin, "budget_windows", newest);
    query.expr_as(Expr::col(assigned("id")), "assignment_id");
    query.columns(["scope_kind", "scope_id", "counting"].map(assigned));
    query.columns(["starts_at", "ends_at", "spent", "reserved", "raised"].map(window));
    let rows = reader.db().query_all(query).await?;
    rows.iter().map(|row| read(row, reader.now())).collect()
}

/// The newest window of an assignment's counter. Windows never go back, whatever the clock does, so
/// that the newest one is the current one unless it has ended.
fn newest_window() -> SelectStatement {
    let assigned = |column: &'static str| Expr::col(("budget_assignments", column));
    let counter = CaseStatement::new()
        .case(assigned("counting").eq(Counting::Shared), assigned("budget_id"))
        .finally(assigned("scope_id"));
    Query::select()
        .column(("newest", "id"))
        .from_as("budget_windows", "newest")
        .and_where(Expr::col(("newest", "budget_id")).equals(("budget_assignments", "budget_id")))
        .and_where(Expr::col(("newest", "scope_id")).eq(counter))
        .order_by(("newest", "starts_at"), Order::Desc)
        .limit(1)
        .to_owned()
}

fn read(row: &QueryResult, now: DateTime<Utc>) -> Result<InForce> {
    let budget = budget::Model::from_query_result(row, "")?;
    let scope = Scope { kind: row.try_get("", "scope_kind")?, id: row.try_get("", "scope_id")? };
    let current = window_at(&budget, now);
    let newest: Option<DateTime<Utc>> = row.try_get("", "starts_at")?;
    let counts = newest.is_some_and(|starts_at| starts_at >= current.starts_at);
    let amount = |column: &str| -> Result<Usd> {
        Ok(row.try_get::<Option<Usd>>("", column)?.filter(|_| counts).unwrap_or_default())
    };
    let window = match newest {
        // The clock went back: the window goes on that was reached.
        Some(starts_at) if starts_at > current.starts_at => {
            BudgetWindow { starts_at, ends_at: row.try_get("", "ends_at")? }
        }
        _ => current,
    };
    Ok(InForce {
        id: row.try_get("", "assignment_id")?,
        scope,
        counting: row.try_get("", "counting")?,
        window,
        spent: amount("spent")?,
        reserved: amount("reserved")?,
        raised: row.try_get::<Option<i32>>("", "raised")?.filter(|_| counts).unwrap_or_default(),
        budget,
    })
}
