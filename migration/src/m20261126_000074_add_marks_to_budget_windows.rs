//! What those who follow windows need: when a window was last written, and which warnings it raised.

use sea_orm_migration::prelude::*;

use crate::columns::index;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ColumnDef::new("raised").integer().not_null().default(0).take(),
            ColumnDef::new("updated_at")
                .timestamp_with_time_zone()
                .not_null()
                .default("1970-01-01T00:00:00+00:00")
                .take(),
        ];
        for mut column in columns {
            let mut alter = Table::alter();
            manager
                .alter_table(alter.table("budget_windows").add_column(&mut column).take())
                .await?;
        }
        manager.create_index(index("budget_windows", &["updated_at"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = "budget_windows_updated_at_idx";
        manager.drop_index(Index::drop().name(name).table("budget_windows").to_owned()).await?;
        for column in ["updated_at", "raised"] {
            let mut alter = Table::alter();
            manager.alter_table(alter.table("budget_windows").drop_column(column).take()).await?;
        }
        Ok(())
    }
}
