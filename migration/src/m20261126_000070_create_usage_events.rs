//! Usage events: what calls used and cost, in what they were charged to, and the corrections.
//!
//! Dimensions have no foreign keys: usage outlives what it speaks of. The indexes are those that
//! lists of events begin with; every further one is paid for by every event.

use sea_orm_migration::prelude::*;

use crate::columns::{
    amount, id, index, instant, json, string, string_null, unique, uuid, uuid_null, word,
};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let correction = Expr::col("kind").eq("CORRECTION");
        manager
            .create_table(
                Table::create()
                    .table("usage_events")
                    .col(id())
                    .col(word("kind"))
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
                    .col(string_null("end_user"))
                    .col(json("tags"))
                    .col(ColumnDef::new("tag_ids").blob().not_null())
                    .col(string("model"))
                    .col(string_null("provider"))
                    .col(amount("input_tokens"))
                    .col(amount("cache_read_tokens"))
                    .col(amount("cache_write_tokens"))
                    .col(amount("output_tokens"))
                    .col(amount("reasoning_tokens"))
                    .col(
                        ColumnDef::new("cost")
                            .big_integer()
                            .not_null()
                            .check(Expr::col("cost").gte(0).or(correction.clone())),
                    )
                    .col(word("cost_source"))
                    .col(string_null("price_ref"))
                    .col(instant("authorized_at"))
                    .col(instant("occurred_at"))
                    .col(instant("recorded_at"))
                    .col(ColumnDef::new("window_ids").blob().not_null())
                    .col(uuid_null("corrects_id"))
                    .col(string_null("reason"))
                    .check(correction.eq(Expr::col("corrects_id").is_not_null()))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("usage_events", &["gateway_id", "request_id"])).await?;
        for owner in ["organization_id", "team_id", "user_id", "api_key_id"] {
            manager.create_index(index("usage_events", &[owner, "id"])).await?;
        }
        let mut corrections = index("usage_events", &["corrects_id"]);
        corrections.and_where(Expr::col("corrects_id").is_not_null());
        manager.create_index(corrections).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("usage_events").to_owned()).await
    }
}
