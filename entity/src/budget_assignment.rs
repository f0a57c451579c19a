//! Assignments of budgets to scopes.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{BudgetAssignmentId, BudgetId};
use crate::role::{Counting, ScopeKind};

/// One budget in force on one scope.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "budget_assignments")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BudgetAssignmentId,
    /// The budget.
    pub budget_id: BudgetId,
    /// The kind of scope.
    pub scope_kind: ScopeKind,
    /// The scope.
    pub scope_id: Uuid,
    /// Whether the scope counts for itself or draws on the common pot.
    pub counting: Counting,
    /// When it was assigned.
    pub created_at: DateTimeUtc,
    /// Who assigned it.
    pub created_by: String,
    /// The budget.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "budget_id", to = "id", on_delete = "Cascade")]
    pub budget: BelongsTo<super::budget::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
