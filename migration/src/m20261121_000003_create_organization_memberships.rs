//! Memberships of users in organizations.

use sea_orm_migration::prelude::*;

use crate::columns::{id, index, references, stamps, unique, uuid, word};

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
                        .table("organization_memberships")
                        .col(id())
                        .col(uuid("organization_id"))
                        .col(uuid("user_id"))
                        .col(word("role"))
                        .foreign_key(&mut references(
                            "organization_memberships",
                            "organization_id",
                            "organizations",
                            ForeignKeyAction::Cascade,
                        ))
                        .foreign_key(&mut references(
                            "organization_memberships",
                            "user_id",
                            "users",
                            ForeignKeyAction::Cascade,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("organization_memberships", &["organization_id", "user_id"]))
            .await?;
        manager.create_index(index("organization_memberships", &["user_id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("organization_memberships").to_owned()).await?;
        Ok(())
    }
}
