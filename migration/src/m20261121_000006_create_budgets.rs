//! Budgets, their assignments to scopes, and the windows in which they count.

use sea_orm_migration::prelude::*;

use crate::columns::{
    amount, amount_null, id, index, instant, instant_null, references, stamps, string, string_null,
    unique, unique_without, uuid, uuid_null, word, word_null,
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
                        .table("budgets")
                        .col(id())
                        .col(uuid_null("organization_id"))
                        .col(string_null("external_id"))
                        .col(string_null("name"))
                        .col(string("search_text"))
                        .col(word_null("owner_kind"))
                        .col(uuid_null("owner_id"))
                        .col(amount_null("max_spend"))
                        .col(amount_null("soft_spend"))
                        .col(string_null("period"))
                        .col(string("time_zone"))
                        .col(instant("anchor_at"))
                        .col(amount_null("requests_per_minute"))
                        .col(amount_null("tokens_per_minute"))
                        .col(amount_null("max_parallel_requests"))
                        .col(string_null("model_pattern"))
                        .foreign_key(&mut references(
                            "budgets",
                            "organization_id",
                            "organizations",
                            ForeignKeyAction::Restrict,
                        ))
                        .check(Expr::col("soft_spend").lt(Expr::col("max_spend"))),
                )
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("budgets", &["organization_id", "external_id"])).await?;
        manager
            .create_index(unique_without("budgets", &["external_id"], &["organization_id"]))
            .await?;
        manager.create_index(index("budgets", &["owner_kind", "owner_id"])).await?;
        manager.create_index(index("budgets", &["search_text", "id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("budget_assignments")
                    .col(id())
                    .col(uuid("budget_id"))
                    .col(word("scope_kind"))
                    .col(uuid("scope_id"))
                    .col(word("counting"))
                    .col(instant("created_at"))
                    .col(string("created_by"))
                    .foreign_key(&mut references(
                        "budget_assignments",
                        "budget_id",
                        "budgets",
                        ForeignKeyAction::Cascade,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("budget_assignments", &["budget_id", "scope_kind", "scope_id"]))
            .await?;
        manager.create_index(index("budget_assignments", &["scope_kind", "scope_id"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("budget_windows")
                    .col(id())
                    .col(uuid("budget_id"))
                    .col(uuid("scope_id"))
                    .col(instant("starts_at"))
                    .col(instant_null("ends_at"))
                    .col(amount("spent"))
                    .col(amount("reserved"))
                    .foreign_key(&mut references(
                        "budget_windows",
                        "budget_id",
                        "budgets",
                        ForeignKeyAction::Cascade,
                    ))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(unique("budget_windows", &["budget_id", "scope_id", "starts_at"]))
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("budget_windows").to_owned()).await?;
        manager.drop_table(Table::drop().table("budget_assignments").to_owned()).await?;
        manager.drop_table(Table::drop().table("budgets").to_owned()).await?;
        Ok(())
    }
}
