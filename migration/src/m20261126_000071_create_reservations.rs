//! Reservations: what is held for calls under way. A row goes when its call is settled, given up or
//! out of time, so that the table holds what is held and nothing else.

use sea_orm_migration::prelude::*;

use crate::columns::{amount, id, index, instant, string, unique, uuid, uuid_null};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("reservations")
                    .col(id())
                    .col(uuid("gateway_id"))
                    .col(string("request_id"))
                    .col(uuid("payload_hash"))
                    .col(uuid("api_key_id"))
                    .col(uuid_null("organization_id"))
                    .col(uuid_null("team_id"))
                    .col(uuid_null("team_membership_id"))
                    .col(uuid_null("project_id"))
                    .col(uuid_null("user_id"))
                    .col(uuid_null("end_user_id"))
                    .col(ColumnDef::new("tag_ids").blob().not_null())
                    .col(amount("amount"))
                    .col(ColumnDef::new("window_ids").blob().not_null())
                    .col(amount("tokens"))
                    .col(instant("created_at"))
                    .col(instant("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("reservations", &["gateway_id", "request_id"])).await?;
        manager.create_index(index("reservations", &["expires_at"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("reservations").to_owned()).await
    }
}
