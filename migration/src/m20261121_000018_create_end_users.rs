//! End users.

use sea_orm_migration::prelude::*;

use crate::columns::{
    id, index, references, stamps, string, string_null, unique, unique_without, uuid_null,
    word_null,
};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let parent =
            |column, table| references("end_users", column, table, ForeignKeyAction::Restrict);
        manager
            .create_table(
                stamps(
                    Table::create()
                        .table("end_users")
                        .col(id())
                        .col(uuid_null("organization_id"))
                        .col(uuid_null("team_id"))
                        .col(string("external_id"))
                        .col(string_null("name"))
                        .col(string("search_text"))
                        .col(string_null("default_model"))
                        .col(word_null("region"))
                        .col(word_null("blocked_by"))
                        .foreign_key(&mut parent("organization_id", "organizations"))
                        .foreign_key(&mut parent("team_id", "teams"))
                        .check(
                            Expr::col("organization_id")
                                .is_null()
                                .or(Expr::col("team_id").is_null()),
                        ),
                )
                .to_owned(),
            )
            .await?;
        for step in [
            unique("end_users", &["team_id", "external_id"]),
            unique("end_users", &["organization_id", "external_id"]),
            unique_without("end_users", &["external_id"], &["team_id", "organization_id"]),
            index("end_users", &["external_id"]),
            index("end_users", &["search_text", "id"]),
        ] {
            manager.create_index(step).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("end_users").to_owned()).await?;
        Ok(())
    }
}
