//! API keys and the digests of their secrets.

use sea_orm_migration::prelude::*;

use crate::columns::{
    id, index, instant, instant_null, json, json_null, references, stamps, string, string_null,
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
                    .table("api_keys")
                    .col(id())
                    .col(word("kind"))
                    .col(uuid_null("user_id"))
                    .col(uuid_null("team_id"))
                    .col(string_null("external_id"))
                    .col(string_null("name"))
                    .col(string("search_text"))
                    .col(json("model_access"))
                    .col(json_null("allowed_routes"))
                    .col(json("tags"))
                    .col(json("metadata"))
                    .col(word_null("blocked_by"))
                    .col(instant_null("expires_at"))
                    .col(instant_null("last_used_at"))
                    .foreign_key(&mut references("api_keys", "user_id", "users", ForeignKeyAction::Cascade))
                    .foreign_key(&mut references("api_keys", "team_id", "teams", ForeignKeyAction::Cascade))
                    .check(Expr::cust("(kind = 'USER' AND user_id IS NOT NULL) OR (kind = 'SERVICE' AND user_id IS NULL AND team_id IS NOT NULL) OR (kind IN ('GATEWAY', 'ADMIN') AND user_id IS NULL AND team_id IS NULL)"))
)
                .to_owned(),
            )
            .await?;
        manager.create_index(unique("api_keys", &["team_id", "external_id"])).await?;
        manager
            .create_index(unique_without("api_keys", &["user_id", "external_id"], &["team_id"]))
            .await?;
        manager
            .create_index(unique_without("api_keys", &["external_id"], &["team_id", "user_id"]))
            .await?;
        manager.create_index(index("api_keys", &["team_id", "id"])).await?;
        manager.create_index(index("api_keys", &["team_id", "search_text", "id"])).await?;
        manager.create_index(index("api_keys", &["user_id", "id"])).await?;
        manager.create_index(index("api_keys", &["user_id", "search_text", "id"])).await?;
        manager.create_index(index("api_keys", &["search_text", "id"])).await?;
        manager.create_index(index("api_keys", &["expires_at"])).await?;
        manager
            .create_table(
                Table::create()
                    .table("api_key_secrets")
                    .col(id())
                    .col(uuid("api_key_id"))
                    .col(ColumnDef::new("digest").var_binary(32).not_null())
                    .col(ColumnDef::new("pepper_id").integer().not_null())
                    .col(string("hint"))
                    .col(instant_null("not_after"))
                    .col(instant("created_at"))
                    .foreign_key(&mut references(
                        "api_key_secrets",
                        "api_key_id",
                        "api_keys",
                        ForeignKeyAction::Cascade,
                    ))
                    .to_owned(),
            )
            .await?;
        manager.create_index(unique("api_key_secrets", &["digest"])).await?;
        manager.create_index(index("api_key_secrets", &["api_key_id"])).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("api_key_secrets").to_owned()).await?;
        manager.drop_table(Table::drop().table("api_keys").to_owned()).await?;
        Ok(())
    }
}
