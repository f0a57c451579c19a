//! Users.

use sea_orm_migration::prelude::*;

use crate::columns::{
    id, index, json, references, stamps, string, string_null, unique, uuid_null, word, word_null,
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
                        .table("users")
                        .col(id())
                        .col(string_null("external_id"))
                        .col(uuid_null("organization_id"))
                        .col(string_null("email"))
                        .col(string_null("email_key"))
                        .col(word_null("email_confirmed_by"))
                        .col(string_null("name"))
                        .col(string("search_text"))
                        .col(word("platform_role"))
                        .col(json("model_access"))
                        .col(word_null("blocked_by"))
                        .col(json("metadata"))
                        .foreign_key(&mut references(
                            "users",
                            "organization_id",
                            "organizations",
                            ForeignKeyAction::Restrict,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("users", &["external_id"])).await?;
        let confirmed_by = |word: &'static str| Expr::col("email_confirmed_by").eq(word);
        let mut everybodys = unique("users", &["email_key"]);
        everybodys.and_where(confirmed_by("PLATFORM"));
        manager.create_index(everybodys).await?;
        let mut organizations = unique("users", &["organization_id", "email_key"]);
        organizations.and_where(confirmed_by("ORGANIZATION"));
        manager.create_index(organizations).await?;
        manager.create_index(index("users", &["email_key"])).await?;
        manager.create_index(index("users", &["organization_id"])).await?;
        manager.create_index(index("users", &["search_text", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("users").to_owned()).await?;
        Ok(())
    }
}
