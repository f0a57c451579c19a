//! Teams: the groups of people that share keys, models and budgets.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{OrganizationId, TeamId};
use crate::role::BlockLevel;
use crate::value::{MemberPermissions, ModelAccess, Words};

/// One team.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "teams")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TeamId,
    /// The organization above; null when the team stands under the platform itself.
    pub organization_id: Option<OrganizationId>,
    /// The id that the caller chose; unique within the organization.
    pub external_id: Option<String>,
    /// Display name; not unique.
    pub name: String,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// Free data of the owner, a JSON object.
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    /// Labels.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Words,
    /// Which models may be called, of those that the parents allow.
    #[sea_orm(column_type = "JsonBinary")]
    pub model_access: ModelAccess,
    /// Which models new members may call.
    #[sea_orm(column_type = "JsonBinary")]
    pub member_model_access: ModelAccess,
    /// Who blocked it; null when it is not blocked.
    pub blocked_by: Option<BlockLevel>,
    /// Whether any user may join as a plain member.
    pub is_joinable: bool,
    /// What plain members may do beside their role.
    #[sea_orm(column_type = "JsonBinary")]
    pub member_permissions: MemberPermissions,
    /// Settings that a gateway applies to calls of the team; preserved as given.
    #[sea_orm(column_type = "JsonBinary")]
    pub router_settings: Option<Json>,
    /// Names of guardrails that a gateway applies to calls of the team.
    #[sea_orm(column_type = "JsonBinary")]
    pub guardrails: Words,
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
    /// The organization.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "organization_id", to = "id", on_delete = "Restrict")]
    pub organization: BelongsTo<Option<super::organization::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
