//! Which project a key belongs to.

use sea_orm_migration::prelude::*;

use crate::columns::{index, uuid_null};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes the key to another table with the column, and not afterwards.
        let mut project = uuid_null("project_id");
        project.extra(
            "REFERENCES projects (id) ON DELETE RESTRICT \
             CHECK (project_id IS NULL OR team_id IS NOT NULL)",
        );
        manager
            .alter_table(Table::alter().table("api_keys").add_column(&mut project).to_owned())
            .await?;
        manager.create_index(index("api_keys", &["project_id", "id"])).await?;
        manager.create_index(index("api_keys", &["project_id", "search_text", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["api_keys_project_id_id_idx", "api_keys_project_id_search_text_id_idx"] {
            manager.drop_index(Index::drop().name(name).table("api_keys").to_owned()).await?;
        }
        manager
            .alter_table(Table::alter().table("api_keys").drop_column("project_id").to_owned())
            .await?;
        Ok(())
    }
}
