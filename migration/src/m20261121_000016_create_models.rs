//! Models.

use sea_orm_migration::prelude::*;

use crate::columns::{
    amount_null, flag, id, index, json, references, stamps, string, string_null, unique,
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
                        .table("models")
                        .col(id())
                        .col(uuid_null("team_id"))
                        .col(uuid_null("credential_id"))
                        .col(string_null("external_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(string("provider"))
                        .col(string("provider_model"))
                        .col(string_null("api_base"))
                        .col(string_null("region"))
                        .col(amount_null("requests_per_minute"))
                        .col(amount_null("tokens_per_minute"))
                        .col(amount_null("input_price"))
                        .col(amount_null("output_price"))
                        .col(json("params"))
                        .col(json("info"))
                        .col(flag("is_granted"))
                        .col(word_null("blocked_by"))
                        .foreign_key(&mut references(
                            "models",
                            "team_id",
                            "teams",
                            ForeignKeyAction::Cascade,
                        ))
                        .foreign_key(&mut references(
                            "models",
                            "credential_id",
                            "credentials",
                            ForeignKeyAction::Restrict,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("models", &["team_id", "external_id"])).await?;
        manager.create_index(unique_without("models", &["external_id"], &["team_id"])).await?;
        manager.create_index(index("models", &["search_text", "id"])).await?;
        manager.create_index(index("models", &["name", "id"])).await?;
        manager.create_index(index("models", &["credential_id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("models").to_owned()).await?;
        Ok(())
    }
}
