//! Which transaction made a change, so that readers of the change log miss none that commits late.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::index;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column =
            ColumnDef::new("transaction_id").big_integer().not_null().default(0).take();
        manager
            .alter_table(Table::alter().table("change_log").add_column(&mut column).to_owned())
            .await?;
        // SQLite has one writer, which commits in the order of revisions.
        if manager.get_database_backend() == DbBackend::Postgres {
            let sql = "ALTER TABLE change_log ALTER COLUMN transaction_id \
                       SET DEFAULT (pg_current_xact_id()::text::bigint)";
            manager.get_connection().execute_unprepared(sql).await?;
        }
        manager.create_index(index("change_log", &["transaction_id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = "change_log_transaction_id_idx";
        manager.drop_index(Index::drop().name(name).table("change_log").to_owned()).await?;
        manager
            .alter_table(
                Table::alter().table("change_log").drop_column("transaction_id").to_owned(),
            )
            .await?;
        Ok(())
    }
}
