//! Organizations.

use sea_orm_migration::prelude::*;

use crate::columns::{id, index, json, stamps, string, string_null, unique};

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
                        .table("organizations")
                        .col(id())
                        .col(string_null("external_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(json("metadata"))
                        .col(json("model_access")),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("organizations", &["external_id"])).await?;
        manager.create_index(index("organizations", &["search_text", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("organizations").to_owned()).await?;
        Ok(())
    }
}
