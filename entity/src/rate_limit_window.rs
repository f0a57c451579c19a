//! Minutes of rate limits: what the replicas have leased of each counter, and when.

use sea_orm::entity::prelude::*;

/// The last minute of one counter.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rate_limit_windows")]
pub struct Model {
    /// A digest of what names the counter: budget, scope and kind of limit.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Instants and amounts, in nanoseconds since 1970 and eight bytes each.
    #[sea_orm(column_type = "Blob")]
    pub entries: Vec<u8>,
    /// When the row counts no more.
    pub ends_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
