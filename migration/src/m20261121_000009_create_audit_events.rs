//! Audit events. They keep ids without foreign keys, for they outlive what they speak of.

use sea_orm_migration::prelude::*;

use crate::columns::{id, index, instant, json_null, string, string_null, uuid_null, word};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("audit_events")
                    .col(id())
                    .col(instant("occurred_at"))
                    .col(string("action"))
                    .col(word("actor_kind"))
                    .col(string_null("actor_id"))
                    .col(string_null("actor_key_id"))
                    .col(string_null("on_behalf_of"))
                    .col(string("request_id"))
                    .col(string_null("address"))
                    .col(word("subject_kind"))
                    .col(uuid_null("subject_id"))
                    .col(uuid_null("organization_id"))
                    .col(uuid_null("team_id"))
                    .col(json_null("before"))
                    .col(json_null("after"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("audit_events", &["organization_id", "id"])).await?;
        manager.create_index(index("audit_events", &["team_id", "id"])).await?;
        manager.create_index(index("audit_events", &["subject_id", "id"])).await?;
        manager.create_index(index("audit_events", &["actor_id", "id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("audit_events").to_owned()).await?;
        Ok(())
    }
}
