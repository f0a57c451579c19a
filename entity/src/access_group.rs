//! Access groups: sets of models under a name that lists of models may use.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::AccessGroupId;

/// One access group.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "access_groups")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AccessGroupId,
    /// The id that the caller chose; unique.
    #[sea_orm(unique)]
    pub external_id: Option<String>,
    /// The name by which lists of models use it; unique.
    #[sea_orm(unique)]
    pub name: String,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// What it is for; null for nothing said.
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
}

impl ActiveModelBehavior for ActiveModel {}
