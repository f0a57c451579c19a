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
}

impl ActiveModelBehavior for ActiveModel {}
