//! Access groups and the models in them.

use sea_orm_migration::prelude::*;

use crate::columns::{id, index, references, stamps, string, string_null, unique, uuid};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                stamps(
                    Table::create()
                        .table("access_groups")
                        .col(id())
                        .col(string_null("external_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(string_null("description")),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("access_groups", &["external_id"])).await?;
        manager.create_index(unique("access_groups", &["name"])).await?;
        manager.create_index(index("access_groups", &["search_text", "id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("access_group_models")
                    .col(id())
                    .col(uuid("access_group_id"))
                    .col(string("model_name"))
                    .foreign_key(&mut references(
                        "access_group_models",
                        "access_group_id",
                        "access_groups",
                        ForeignKeyAction::Cascade,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("access_group_models", &["access_group_id", "model_name"]))
            .await?;
        manager.create_index(index("access_group_models", &["model_name"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("access_group_models").to_owned()).await?;
        manager.drop_table(Table::drop().table("access_groups").to_owned()).await?;
        Ok(())
    }
}
