//! Replicas: the processes that share this database.

use sea_orm::entity::prelude::*;

use crate::id::ReplicaId;

/// One process.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "replicas")]
pub struct Model {
    /// Primary key, new with every start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReplicaId,
    /// Its last heartbeat.
    pub seen_at: DateTimeUtc,
    /// Whether it counts rate limits without the store that the replicas share.
    pub counts_alone: bool,
}

impl ActiveModelBehavior for ActiveModel {}
