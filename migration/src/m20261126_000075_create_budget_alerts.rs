//! Warnings that windows of budgets raise, each once in a window.

use sea_orm_migration::prelude::*;

use crate::columns::{amount, id, index, instant, unique, uuid, word};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("budget_alerts")
                    .col(id())
                    .col(uuid("budget_window_id"))
                    .col(uuid("budget_id"))
                    .col(uuid("scope_id"))
                    .col(word("threshold"))
                    .col(amount("spent"))
                    .col(amount("threshold_spend"))
                    .col(instant("raised_at"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("budget_alerts", &["budget_window_id", "threshold"])).await?;
        manager.create_index(index("budget_alerts", &["budget_id"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("budget_alerts").to_owned()).await
    }
}
