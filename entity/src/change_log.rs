//! The change log: which object changed, in order; caches follow it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::role::EntityKind;

/// One change.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "change_log")]
pub struct Model {
    /// Grows with every change.
    #[sea_orm(primary_key)]
    pub revision: i64,
    /// The kind of object.
    pub entity_kind: EntityKind,
    /// The object.
    pub entity_id: Uuid,
    /// When it changed.
    pub occurred_at: DateTimeUtc,
    /// The transaction of PostgreSQL that changed it; 0 on SQLite.
    pub transaction_id: i64,
}

impl ActiveModelBehavior for ActiveModel {}
