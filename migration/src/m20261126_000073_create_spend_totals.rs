//! What was ever spent in each scope.

use sea_orm_migration::prelude::*;

use crate::columns::{uuid, word};
use crate::m20261126_000072_create_usage_daily::counter;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("spend_totals")
                    .col(uuid("scope_id"))
                    .col(word("scope_kind"))
                    .col(counter("requests"))
                    .col(counter("input_tokens"))
                    .col(counter("output_tokens"))
                    .col(counter("spent"))
                    .primary_key(Index::create().col("scope_id").col("scope_kind"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("spend_totals").to_owned()).await
    }
}
