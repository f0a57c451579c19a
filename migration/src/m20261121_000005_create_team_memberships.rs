//! Memberships of users in teams: one row per member.

use sea_orm_migration::prelude::*;

use crate::columns::{id, index, json, references, stamps, unique, uuid, word};

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
                        .table("team_memberships")
                        .col(id())
                        .col(uuid("team_id"))
                        .col(uuid("user_id"))
                        .col(word("role"))
                        .col(json("model_access"))
                        .foreign_key(&mut references(
                            "team_memberships",
                            "team_id",
                            "teams",
                            ForeignKeyAction::Cascade,
                        ))
                        .foreign_key(&mut references(
                            "team_memberships",
                            "user_id",
                            "users",
                            ForeignKeyAction::Cascade,
                        )),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("team_memberships", &["team_id", "user_id"])).await?;
        manager.create_index(index("team_memberships", &["team_id", "id"])).await?;
        manager.create_index(index("team_memberships", &["user_id", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("team_memberships").to_owned()).await?;
        Ok(())
    }
}
