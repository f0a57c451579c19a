//! Indexes for what callers name by an id of their own: those that keep such ids unique begin with
//! what is above the row, or hold only the rows that have nothing above them.

use sea_orm_migration::prelude::*;

use crate::columns::index;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const TABLES: [&str; 6] = ["teams", "projects", "api_keys", "budgets", "credentials", "models"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let mut named = index(table, &["external_id"]);
            named.and_where(Expr::col("external_id").is_not_null());
            manager.create_index(named).await?;
        }
        manager.create_index(index("tags", &["name"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let names = TABLES.map(|table| (table, format!("{table}_external_id_idx")));
        for (table, name) in names.into_iter().chain([("tags", "tags_name_idx".to_owned())]) {
            manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
        }
        Ok(())
    }
}
