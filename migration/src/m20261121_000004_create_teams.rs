//! Teams.

use sea_orm_migration::prelude::*;

use crate::columns::{
    flag, id, index, json, json_null, references, stamps, string, string_null, unique,
    unique_without, uuid_null, word_null,
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
                        .table("teams")
                        .col(id())
                        .col(uuid_null("organization_id"))
                        .col(string_null("external_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(json("metadata"))
                        .col(json("tags"))
                        .col(json("model_access"))
                        .col(json("member_model_access"))
                        .col(word_null("blocked_by"))
                        .col(flag("is_joinable"))
                        .col(json("member_permissions"))
                        .col(json_null("router_settings"))
                        .col(json("guardrails"))
                        .foreign_key(&mut references(
                            "teams",
                            "organization_id",
                            "organizations",
                            ForeignKeyAction::Restrict,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("teams", &["organization_id", "external_id"])).await?;
        manager
            .create_index(unique_without("teams", &["external_id"], &["organization_id"]))
            .await?;
        manager.create_index(index("teams", &["search_text", "id"])).await?;
        manager.create_index(index("teams", &["organization_id", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("teams").to_owned()).await?;
        Ok(())
    }
}
