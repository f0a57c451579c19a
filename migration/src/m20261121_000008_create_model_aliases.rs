//! Model aliases.

use sea_orm_migration::prelude::*;

use crate::columns::{id, stamps, string, unique, uuid, word};

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
                        .table("model_aliases")
                        .col(id())
                        .col(word("scope_kind"))
                        .col(uuid("scope_id"))
                        .col(string("alias"))
                        .col(string("target")),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("model_aliases", &["scope_kind", "scope_id", "alias"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("model_aliases").to_owned()).await?;
        Ok(())
    }
}
