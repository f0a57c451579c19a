//! Requests at once: the places that calls under way hold of their limits.

use sea_orm::entity::prelude::*;

/// One place of one limit, held by one call.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "parallel_leases")]
pub struct Model {
    /// The call.
    #[sea_orm(primary_key, auto_increment = false)]
    pub lease_id: Uuid,
    /// A digest of what names the counter: budget, scope and kind of limit.
    #[sea_orm(primary_key, auto_increment = false)]
    pub limit_id: Uuid,
    /// When the place is free again unless the call is said to go on.
    pub ends_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
