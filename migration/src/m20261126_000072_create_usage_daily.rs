//! The daily roll-up of usage, from which charts are drawn. A row's id is made of its dimensions, so
//! that one primary key finds the row to add to.

use sea_orm_migration::prelude::*;

use crate::columns::{amount, id, index, json, string, string_null, uuid, uuid_null};

/// The step.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("usage_daily")
                    .col(id())
                    .col(ColumnDef::new("day").date().not_null())
                    .col(uuid("api_key_id"))
                    .col(uuid_null("organization_id"))
                    .col(uuid_null("team_id"))
                    .col(uuid_null("project_id"))
                    .col(uuid_null("user_id"))
                    .col(uuid_null("end_user_id"))
                    .col(string_null("end_user"))
                    .col(json("tags"))
                    .col(string("model"))
                    .col(string_null("provider"))
                    .col(counter("requests"))
                    .col(counter("input_tokens"))
                    .col(counter("cache_read_tokens"))
                    .col(counter("cache_write_tokens"))
                    .col(counter("output_tokens"))
                    .col(counter("reasoning_tokens"))
                    .col(counter("spent"))
                    .to_owned(),
            )
            .await?;
        manager.create_index(index("usage_daily", &["day"])).await?;
        for owner in ["organization_id", "team_id", "user_id", "api_key_id"] {
            manager.create_index(index("usage_daily", &[owner, "day"])).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("usage_daily").to_owned()).await
    }
}

/// A sum of whole numbers. SQLite makes a floating-point number of a sum that does not fit, which
/// is larger than every whole number and so refused.
pub(crate) fn counter(name: &'static str) -> ColumnDef {
    let mut column = amount(name);
    column.check(Expr::col(name).gte(0).and(Expr::col(name).lte(i64::MAX))).take()
}
