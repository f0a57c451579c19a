//! The daily roll-up of usage.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{ApiKeyId, EndUserId, OrganizationId, ProjectId, TeamId, UsageDayId, UserId};
use crate::value::{Usd, Words};

/// What was used on one day, with one combination of dimensions.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "usage_daily")]
pub struct Model {
    /// Primary key: the first 128 bits of the SHA-256 of the dimensions.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UsageDayId,
    /// The day, in UTC.
    pub day: Date,
    /// The key.
    pub api_key_id: ApiKeyId,
    /// The organization.
    pub organization_id: Option<OrganizationId>,
    /// The team.
    pub team_id: Option<TeamId>,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// The user.
    pub user_id: Option<UserId>,
    /// The end user; null for one that nobody made.
    pub end_user_id: Option<EndUserId>,
    /// The end user's id as calls named it.
    pub end_user: Option<String>,
    /// The labels, in the order of the alphabet.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Words,
    /// The model's public name; empty for calls of routes without a model.
    pub model: String,
    /// The provider.
    pub provider: Option<String>,
    /// The number of calls.
    pub requests: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Those read from a cache.
    pub cache_read_tokens: i64,
    /// Those written to a cache.
    pub cache_write_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// Those of reasoning.
    pub reasoning_tokens: i64,
    /// What it cost, corrections included.
    pub spent: Usd,
}

impl ActiveModelBehavior for ActiveModel {}
