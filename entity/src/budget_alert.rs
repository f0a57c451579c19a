//! Warnings that windows of budgets raised; never changed.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{BudgetAlertId, BudgetId, BudgetWindowId};
use crate::role::BudgetThreshold;
use crate::value::Usd;

/// One warning.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "budget_alerts")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BudgetAlertId,
    /// The window that raised it, which does so once for each threshold.
    pub budget_window_id: BudgetWindowId,
    /// The budget.
    pub budget_id: BudgetId,
    /// The scope that counts; the budget itself for a common pot.
    pub scope_id: Uuid,
    /// What was reached.
    pub threshold: BudgetThreshold,
    /// What was spent then.
    pub spent: Usd,
    /// The spend at which it is raised.
    pub threshold_spend: Usd,
    /// When it was raised.
    pub raised_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
