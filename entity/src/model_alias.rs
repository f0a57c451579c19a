//! Model aliases: other names for models within a scope.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::ModelAliasId;
use crate::role::ScopeKind;

/// One alias in one scope.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "model_aliases")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ModelAliasId,
    /// The kind of scope.
    pub scope_kind: ScopeKind,
    /// The scope.
    pub scope_id: Uuid,
    /// The name that callers use.
    pub alias: String,
    /// The name of the model that is meant.
    pub target: String,
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
