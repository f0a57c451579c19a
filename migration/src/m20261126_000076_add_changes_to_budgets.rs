//! Changes of a budget that do not hold at once, or not for ever: a period that changes at the next
//! boundary, and more to spend until an instant.

use sea_orm_migration::prelude::*;

use crate::columns::{amount_null, instant_null, string_null};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMNS: [&str; 6] = [
    "former_period",
    "former_time_zone",
    "former_anchor_at",
    "period_changes_at",
    "temporary_increase",
    "temporary_increase_ends_at",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            let mut column = match name {
                "former_period" | "former_time_zone" => string_null(name),
                "temporary_increase" => amount_null(name),
                _ => instant_null(name),
            };
            let mut alter = Table::alter();
            manager.alter_table(alter.table("budgets").add_column(&mut column).take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS.into_iter().rev() {
            let mut alter = Table::alter();
            manager.alter_table(alter.table("budgets").drop_column(name).take()).await?;
        }
        Ok(())
    }
}
