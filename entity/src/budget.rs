//! Budgets: one concept of limit for every scope.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{BudgetId, OrganizationId};
use crate::role::ScopeKind;
use crate::value::Usd;

/// One budget.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "budgets")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BudgetId,
    /// The organization that the budget belongs to; null for one of the platform.
    pub organization_id: Option<OrganizationId>,
    /// The id that the caller chose; unique within the organization.
    pub external_id: Option<String>,
    /// Display name; null for a budget made inline.
    pub name: Option<String>,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// The kind of scope that owns a budget made inline; null for one that stands alone.
    pub owner_kind: Option<ScopeKind>,
    /// The scope that owns it.
    pub owner_id: Option<Uuid>,
    /// The most that may be spent in a window; null for no cap, 0 for nothing.
    pub max_spend: Option<Usd>,
    /// The spend at which a warning is due; null for none.
    pub soft_spend: Option<Usd>,
    /// The length of a window in canonical text; null for one window without end.
    pub period: Option<String>,
    /// The IANA time zone in which windows begin.
    pub time_zone: String,
    /// The instant from which windows of odd lengths are counted.
    pub anchor_at: DateTimeUtc,
    /// The period that held, or holds still, before the last change of the period.
    pub former_period: Option<String>,
    /// The time zone of that.
    pub former_time_zone: Option<String>,
    /// The anchor of that.
    pub former_anchor_at: Option<DateTimeUtc>,
    /// From when on the period, its time zone and its anchor hold; null for ever since.
    pub period_changes_at: Option<DateTimeUtc>,
    /// What may be spent beyond `max_spend` for some time; null for nothing.
    pub temporary_increase: Option<Usd>,
    /// The instant from which that is over.
    pub temporary_increase_ends_at: Option<DateTimeUtc>,
    /// The most requests in a minute; null for no cap.
    pub requests_per_minute: Option<i64>,
    /// The most tokens in a minute; null for no cap.
    pub tokens_per_minute: Option<i64>,
    /// The most requests at once; null for no cap.
    pub max_parallel_requests: Option<i64>,
    /// Only calls of models with this name count; `*` stands for any text; null for all.
    pub model_pattern: Option<String>,
    /// Grows by one with every change; the optimistic lock.
    pub version: i32,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// Who made it: the id of a user or key, or `bootstrap`.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: DateTimeUtc,
    /// Who changed it last.
    pub updated_by: String,
    /// The organization.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "organization_id", to = "id", on_delete = "Restrict")]
    pub organization: BelongsTo<Option<super::organization::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
