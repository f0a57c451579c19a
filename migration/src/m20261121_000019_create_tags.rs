//! Tags.

use sea_orm_migration::prelude::*;

use crate::columns::{
    id, index, references, stamps, string, string_null, unique, unique_without, uuid_null,
};

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
                        .table("tags")
                        .col(id())
                        .col(uuid_null("organization_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(string_null("description"))
                        .foreign_key(&mut references(
                            "tags",
                            "organization_id",
                            "organizations",
                            ForeignKeyAction::Restrict,
                        )),
                )
                .to_owned(),
            )
            .await?;
        for step in [
            unique("tags", &["organization_id", "name"]),
            unique_without("tags", &["name"], &["organization_id"]),
            index("tags", &["search_text", "id"]),
        ] {
            manager.create_index(step).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("tags").to_owned()).await?;
        Ok(())
    }
}
