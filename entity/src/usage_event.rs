//! Usage events: the ledger. A row never changes; a correction is a row of its own.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{
    ApiKeyId, EndUserId, OrganizationId, ProjectId, TeamId, TeamMembershipId, UsageEventId, UserId,
};
use crate::role::{CostSource, UsageKind};
use crate::value::{Ids, Usd, Words};

/// One event: what one call used, or a correction of that.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "usage_events")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UsageEventId,
    /// What kind of entry it is.
    pub kind: UsageKind,
    /// The key of the gateway that reported it.
    pub gateway_id: ApiKeyId,
    /// The gateway's id of the call; unique for the gateway.
    pub request_id: String,
    /// The first 128 bits of the SHA-256 of what was reported.
    #[serde(skip)]
    pub payload_hash: Uuid,
    /// The key that called.
    pub api_key_id: ApiKeyId,
    /// The organization that was charged.
    pub organization_id: Option<OrganizationId>,
    /// The team that was charged.
    pub team_id: Option<TeamId>,
    /// The member that was charged.
    pub team_membership_id: Option<TeamMembershipId>,
    /// The project that was charged.
    pub project_id: Option<ProjectId>,
    /// The user that was charged.
    pub user_id: Option<UserId>,
    /// The end user that was charged; null for one that nobody made.
    pub end_user_id: Option<EndUserId>,
    /// The end user's id as the call named it.
    pub end_user: Option<String>,
    /// The labels of the call, its key, its project and its team, in the order of the alphabet.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Words,
    /// Those of them that were charged.
    pub tag_ids: Ids,
    /// The model's public name; empty for a call of a route without a model.
    pub model: String,
    /// The provider; null when nobody named it.
    pub provider: Option<String>,
    /// All tokens in, those from and to a cache included.
    pub input_tokens: i64,
    /// Those read from a cache.
    pub cache_read_tokens: i64,
    /// Those written to a cache.
    pub cache_write_tokens: i64,
    /// All tokens out, those of reasoning included.
    pub output_tokens: i64,
    /// Those of reasoning.
    pub reasoning_tokens: i64,
    /// What the call cost; below zero only for a correction.
    pub cost: Usd,
    /// Where the cost comes from.
    pub cost_source: CostSource,
    /// The price that was used: a model's id, or an entry of the price table.
    pub price_ref: Option<String>,
    /// When the call was let through: the windows of this instant are charged.
    pub authorized_at: DateTimeUtc,
    /// When the call was made; its day is that of the roll-up.
    pub occurred_at: DateTimeUtc,
    /// When the event was recorded.
    pub recorded_at: DateTimeUtc,
    /// The windows that were charged.
    pub window_ids: Ids,
    /// The event that a correction corrects.
    pub corrects_id: Option<UsageEventId>,
    /// Why, for a correction.
    pub reason: Option<String>,
}

impl Model {
    /// The model's public name; none for a call of a route without a model.
    pub fn model_name(&self) -> Option<&str> {
        Some(self.model.as_str()).filter(|name| !name.is_empty())
    }
}

impl ActiveModelBehavior for ActiveModel {}
