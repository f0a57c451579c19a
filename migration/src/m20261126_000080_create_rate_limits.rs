//! What several replicas share of rate limits: minutes, requests at once, and who takes part.

use sea_orm_migration::prelude::*;

use crate::columns::{flag, id, index, instant, uuid};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let windows = Table::create()
            .table("rate_limit_windows")
            .col(id())
            .col(ColumnDef::new("entries").blob().not_null())
            .col(instant("ends_at"))
            .to_owned();
        let leases = Table::create()
            .table("parallel_leases")
            .col(uuid("lease_id"))
            .col(uuid("limit_id"))
            .col(instant("ends_at"))
            .primary_key(Index::create().col("lease_id").col("limit_id"))
            .to_owned();
        let replicas = Table::create()
            .table("replicas")
            .col(id())
            .col(instant("seen_at"))
            .col(flag("counts_alone"))
            .to_owned();
        for table in [windows, leases, replicas] {
            manager.create_table(table).await?;
        }
        for step in [
            index("rate_limit_windows", &["ends_at"]),
            index("parallel_leases", &["limit_id", "ends_at"]),
            index("parallel_leases", &["ends_at"]),
        ] {
            manager.create_index(step).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["replicas", "parallel_leases", "rate_limit_windows"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
