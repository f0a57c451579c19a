//! Budgets in force on scopes, with the counters of their current windows.

use std::collections::BTreeMap;

use entity::value::Usd;
use entity::{budget, budget_assignment};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter,
    QueryOrder, QueryTrait,
};

use super::visible_scopes;
use crate::db::Reader;
use crate::domain::scope::Scope;
use crate::error::Result;

/// A budget in force, with the counters of its current window.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The assignment.
    pub assignment: budget_assignment::Model,
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
    let mut by_kind: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for scope in scopes {
        by_kind.entry(scope.kind).or_default().push(scope.id);
    }
    let any = by_kind.into_iter().fold(Condition::any(), |any, (kind, ids)| {
        any.add(
            budget_assignment::Column::ScopeKind
                .eq(kind)
                .and(budget_assignment::Column::ScopeId.is_in(ids)),
        )
    });
    let mut select = budget_assignment::Entity::find()
        .find_also_related(budget::Entity)
        .filter(any)
        .filter(visible_scopes(reader.actor()))
        .order_by_asc(budget_assignment::Column::Id);
    let window = |column: &'static str| ("budget_windows", column);
    let assigned = |column: &'static str| ("budget_assignments", column);
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
    let query = QueryTrait::query(&mut select);
    query.join(JoinType::LeftJoin, "budget_windows", current);
    query.expr_as(Expr::col(window("spent")), "spent");
    query.expr_as(Expr::col(window("reserved")), "reserved");
    let rows = reader.db().query_all(query).await?;
    rows.iter()
        .map(|row| {
            Ok(InForce {
                assignment: budget_assignment::Model::from_query_result(row, "A_")?,
                budget: budget::Model::from_query_result(row, "B_")?,
                spent: row.try_get::<Option<Usd>>("", "spent")?.unwrap_or_default(),
                reserved: row.try_get::<Option<Usd>>("", "reserved")?.unwrap_or_default(),
            })
        })
        .collect()
}
