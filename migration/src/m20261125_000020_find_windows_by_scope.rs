//! An index by which a scope that ceases to be finds what it has counted.

use sea_orm_migration::prelude::*;

use crate::columns::index;

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_index(index("budget_windows", &["scope_id"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let name = "budget_windows_scope_id_idx";
        manager.drop_index(Index::drop().name(name).table("budget_windows").to_owned()).await
    }
}
