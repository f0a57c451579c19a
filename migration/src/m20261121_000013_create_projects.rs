//! Projects.

use sea_orm_migration::prelude::*;

use crate::columns::{
    id, index, json, json_null, references, stamps, string, string_null, unique, unique_without,
    uuid, uuid_null, word_null,
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
                        .table("projects")
                        .col(id())
                        .col(uuid("team_id"))
                        .col(uuid_null("organization_id"))
                        .col(string_null("external_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(word_null("description"))
                        .col(json("model_access"))
                        .col(json("metadata"))
                        .col(json("tags"))
                        .col(word_null("blocked_by"))
                        .col(json_null("object_permissions"))
                        .foreign_key(&mut references(
                            "projects",
                            "team_id",
                            "teams",
                            ForeignKeyAction::Restrict,
                        ))
                        .foreign_key(&mut references(
                            "projects",
                            "organization_id",
                            "organizations",
                            ForeignKeyAction::Restrict,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("projects", &["organization_id", "external_id"])).await?;
        manager
            .create_index(unique_without("projects", &["external_id"], &["organization_id"]))
            .await?;
        manager.create_index(index("projects", &["team_id", "id"])).await?;
        manager.create_index(index("projects", &["team_id", "search_text", "id"])).await?;
        manager.create_index(index("projects", &["search_text", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("projects").to_owned()).await?;
        Ok(())
    }
}
