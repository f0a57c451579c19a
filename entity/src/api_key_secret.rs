//! Secrets of API keys: only keyed digests.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{ApiKeyId, ApiKeySecretId};
use crate::value::Digest;

/// One secret of one key.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "api_key_secrets")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApiKeySecretId,
    /// The key.
    pub api_key_id: ApiKeyId,
    /// The keyed digest of the secret.
    #[serde(skip)]
    #[sea_orm(column_type = "VarBinary(StringLen::N(32))", unique)]
    pub digest: Digest,
    /// Which pepper keyed the digest.
    pub pepper_id: i32,
    /// The last four characters of the secret.
    pub hint: String,
    /// The instant from which the secret is refused; null while it is the current one.
    pub not_after: Option<DateTimeUtc>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// The api key.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "api_key_id", to = "id", on_delete = "Cascade")]
    pub api_key: BelongsTo<super::api_key::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
