//! Windows: what was spent of a budget between two instants.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{BudgetId, BudgetWindowId};
use crate::value::Usd;

/// The counters of one budget for one scope, or for the common pot, in one window.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "budget_windows")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BudgetWindowId,
    /// The budget.
    pub budget_id: BudgetId,
    /// The scope that counts; the budget itself for a common pot.
    pub scope_id: Uuid,
    /// The first instant of the window.
    pub starts_at: DateTimeUtc,
    /// The first instant after it; null for a window without end.
    pub ends_at: Option<DateTimeUtc>,
    /// What was spent.
    pub spent: Usd,
    /// What is held for calls under way.
    pub reserved: Usd,
    /// The thresholds that were reached, one bit each: see the ledger.
    pub raised: i32,
    /// When the counters were last written, by the database's own clock; those who follow windows
    /// look for what is new here.
    pub updated_at: DateTimeUtc,
    /// The budget.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "budget_id", to = "id", on_delete = "Cascade")]
    pub budget: BelongsTo<super::budget::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
