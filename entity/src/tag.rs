//! Tags: labels of keys, teams and calls, as places that have budgets.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{OrganizationId, TagId};

/// One tag.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "tags")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TagId,
    /// The organization whose calls it labels; null for all calls of the platform.
    pub organization_id: Option<OrganizationId>,
    /// The label; unique where it belongs.
    pub name: String,
    /// What searches look at: the name in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// What it is for.
    pub description: Option<String>,
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
    /// The organization whose calls it labels.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "organization_id", to = "id", on_delete = "Restrict")]
    pub organization: BelongsTo<Option<super::organization::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
