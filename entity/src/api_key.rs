//! API keys: what callers present, without their secrets.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{ApiKeyId, ProjectId, TeamId, UserId};
use crate::role::{ApiKeyKind, BlockLevel};
use crate::value::{ModelAccess, Words};

/// One API key.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApiKeyId,
    /// Who the key stands for.
    pub kind: ApiKeyKind,
    /// The owner; null for a key without a person.
    pub user_id: Option<UserId>,
    /// The team that is charged; null for a personal key.
    pub team_id: Option<TeamId>,
    /// The project of that team to which it belongs; null for none.
    pub project_id: Option<ProjectId>,
    /// The id that the caller chose; unique within the team or the owner.
    pub external_id: Option<String>,
    /// Display name; null for none.
    pub name: Option<String>,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// Which models may be called, of those that the parents allow.
    #[sea_orm(column_type = "JsonBinary")]
    pub model_access: ModelAccess,
    /// What the key may be used for; null for all that its kind allows.
    #[sea_orm(column_type = "JsonBinary")]
    pub allowed_routes: Option<Words>,
    /// Labels.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Words,
    /// Free data of the owner, a JSON object.
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    /// Who blocked it; null when it is not blocked.
    pub blocked_by: Option<BlockLevel>,
    /// The instant from which the key is refused; null for never.
    pub expires_at: Option<DateTimeUtc>,
    /// The last use that was noted; behind by up to a minute.
    pub last_used_at: Option<DateTimeUtc>,
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
    /// The user.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "user_id", to = "id", on_delete = "Cascade")]
    pub user: BelongsTo<Option<super::user::Entity>>,
    /// The team.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "team_id", to = "id", on_delete = "Cascade")]
    pub team: BelongsTo<Option<super::team::Entity>>,
    /// The project.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "project_id", to = "id", on_delete = "Restrict")]
    pub project: BelongsTo<Option<super::project::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
