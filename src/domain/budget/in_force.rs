//! Budgets in force on scopes, with the counters of their current windows.

use entity::id::BudgetAssignmentId;
use entity::role::Counting;
use entity::value::Usd;
use entity::{budget, budget_assignment};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter,
    QueryOrder, QueryTrait,
};

use super::visible_scopes;
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
    /// What was spent in the current window.
    pub spent: Usd,
    /// What is held in it for calls under way.
    pub reserved: Usd,
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
    let now = reader.now();
    let current = Condition::all()
        .add(Expr::col(window("budget_id")).equals(assigned("budget_id")))
        .add(
            Condition::any()
                .add(Expr::col(window("scope_id")).equals(assigned("scope_id")))
                .add(Expr::col(window("scope_id")).equals(assigned("budget_id"))),
        )
        .add(Expr::col(window("starts_at")).lte(now))
        .add(
            Condition::any()
                .add(Expr::col(window("ends_at")).is_null())
                .add(Expr::col(window("ends_at")).gt(now)),
        );
    let of_budget = Expr::col(assigned("budget_id")).equals(("budgets", "id"));
    let query = QueryTrait::query(&mut select);
    query.join(JoinType::InnerJoin, "budget_assignments", of_budget);
    query.join(JoinType::LeftJoin, "budget_windows", current);
    query.expr_as(Expr::col(assigned("id")), "assignment_id");
    query.columns(["scope_kind", "scope_id", "counting"].map(assigned));
    query.columns(["spent", "reserved"].map(window));
    let rows = reader.db().query_all(query).await?;
    rows.iter()
        .map(|row| {
            let scope =
                Scope { kind: row.try_get("", "scope_kind")?, id: row.try_get("", "scope_id")? };
            Ok(InForce {
                id: row.try_get("", "assignment_id")?,
                scope,
                counting: row.try_get("", "counting")?,
                budget: budget::Model::from_query_result(row, "")?,
                spent: row.try_get::<Option<Usd>>("", "spent")?.unwrap_or_default(),
                reserved: row.try_get::<Option<Usd>>("", "reserved")?.unwrap_or_default(),
            })
        })
        .collect()
}
