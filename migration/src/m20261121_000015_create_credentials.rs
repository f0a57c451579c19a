//! Credentials and their values.

use sea_orm_migration::prelude::*;

use crate::columns::{
    id, index, instant, json, references, stamps, string, string_null, unique, unique_without,
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
                        .table("credentials")
                        .col(id())
                        .col(uuid_null("team_id"))
                        .col(string_null("external_id"))
                        .col(string("name"))
                        .col(string("search_text"))
                        .col(json("allowed_hosts"))
                        .foreign_key(&mut references(
                            "credentials",
                            "team_id",
                            "teams",
                            ForeignKeyAction::Cascade,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("credentials", &["team_id", "external_id"])).await?;
        manager.create_index(unique_without("credentials", &["external_id"], &["team_id"])).await?;
        manager.create_index(index("credentials", &["search_text", "id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("credential_values")
                    .col(id())
                    .col(uuid("credential_id"))
                    .col(string("name"))
                    .col(string_null("reference"))
                    .col(word_null("sealed"))
                    .col(string_null("kek_id"))
                    .col(string_null("hint"))
                    .col(string_null("fingerprint"))
                    .col(instant("updated_at"))
                    .foreign_key(&mut references(
                        "credential_values",
                        "credential_id",
                        "credentials",
                        ForeignKeyAction::Cascade,
                    ))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("credential_values", &["credential_id", "name"])).await?;
        manager.create_index(index("credential_values", &["kek_id", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("credential_values").to_owned()).await?;
        manager.drop_table(Table::drop().table("credentials").to_owned()).await?;
        Ok(())
    }
}
