//! Models: deployments at providers, of which several may share a name.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{CredentialId, ModelId, TeamId};
use crate::role::BlockLevel;
use crate::value::Usd;

/// One model.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "models")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ModelId,
    /// The team that owns it; null for a model of the platform.
    pub team_id: Option<TeamId>,
    /// The credential that is sent; null for none.
    pub credential_id: Option<CredentialId>,
    /// The id that the caller chose; unique within the team or the platform.
    pub external_id: Option<String>,
    /// The public name, by which calls ask for it.
    pub name: String,
    /// What searches look at: names and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// The provider.
    pub provider: String,
    /// The name that the provider knows it by.
    pub provider_model: String,
    /// Where it is reached; null for the provider's own address.
    pub api_base: Option<String>,
    /// The provider's region.
    pub region: Option<String>,
    /// The most requests that it takes in a minute; null for no limit.
    pub requests_per_minute: Option<i64>,
    /// The most tokens that it takes in a minute; null for no limit.
    pub tokens_per_minute: Option<i64>,
    /// What a million tokens in cost.
    pub input_price: Option<Usd>,
    /// What a million tokens out cost.
    pub output_price: Option<Usd>,
    /// Further parameters of calls, a JSON object without secrets.
    #[sea_orm(column_type = "JsonBinary")]
    pub params: Json,
    /// Free data about it, a JSON object.
    #[sea_orm(column_type = "JsonBinary")]
    pub info: Json,
    /// Whether its name stands in the list of its team because of it.
    pub is_granted: bool,
    /// Who blocked it; null when it is not blocked.
    pub blocked_by: Option<BlockLevel>,
    /// Grows by one with every change; the optimistic lock.
    pub version: i32,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// Who made it: the id of a user or key, or `bootstrap`.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: DateTimeUtc,
    /// Who changed it last.
    pub updated_by: String,
    /// The team.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "team_id", to = "id", on_delete = "Cascade")]
    pub team: BelongsTo<Option<super::team::Entity>>,
    /// The credential.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "credential_id", to = "id", on_delete = "Restrict")]
    pub credential: BelongsTo<Option<super::credential::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
