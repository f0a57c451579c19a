//! Reservations: what is held for calls under way. Settled, given up or out of time, a row is gone.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{
    ApiKeyId, EndUserId, OrganizationId, ProjectId, ReservationId, TeamId, TeamMembershipId, UserId,
};
use crate::value::{Ids, Usd};

/// What is held for one call.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "reservations")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReservationId,
    /// The key of the gateway that asked.
    pub gateway_id: ApiKeyId,
    /// The gateway's id of the call; unique for the gateway.
    pub request_id: String,
    /// The first 128 bits of the SHA-256 of what was asked.
    #[serde(skip)]
    pub payload_hash: Uuid,
    /// The key that calls.
    pub api_key_id: ApiKeyId,
    /// The organization that will be charged.
    pub organization_id: Option<OrganizationId>,
    /// The team that will be charged.
    pub team_id: Option<TeamId>,
    /// The member that will be charged.
    pub team_membership_id: Option<TeamMembershipId>,
    /// The project that will be charged.
    pub project_id: Option<ProjectId>,
    /// The user that will be charged.
    pub user_id: Option<UserId>,
    /// The end user that will be charged.
    pub end_user_id: Option<EndUserId>,
    /// The tags that will be charged.
    pub tag_ids: Ids,
    /// What is held, in each of the windows.
    pub amount: Usd,
    /// The windows in which it is held.
    pub window_ids: Ids,
    /// The tokens that the call was counted with against limits of tokens a minute.
    pub tokens: i64,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// From when on it does not count any more.
    pub expires_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
