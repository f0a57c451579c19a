//! Projects: parts of a team, with keys and limits of their own.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{OrganizationId, ProjectId, TeamId};
use crate::role::BlockLevel;
use crate::value::{ModelAccess, Words};

/// One project.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "projects")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ProjectId,
    /// The team to which it belongs.
    pub team_id: TeamId,
    /// The organization of that team, within which external ids are unique; null for none.
    pub organization_id: Option<OrganizationId>,
    /// The id that the caller chose; unique within the organization.
    pub external_id: Option<String>,
    /// Display name; not unique.
    pub name: String,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// What the project is about; null for nothing said.
    #[sea_orm(column_type = "Text", nullable)]
    pub description: Option<String>,
    /// Which models may be called, of those that the parents allow.
    #[sea_orm(column_type = "JsonBinary")]
    pub model_access: ModelAccess,
    /// Free data of the owner, a JSON object.
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    /// Labels.
    #[sea_orm(column_type = "JsonBinary")]
    pub tags: Words,
    /// Who blocked it; null when it is not blocked.
    pub blocked_by: Option<BlockLevel>,
    /// What a gateway lets calls of the project reach; preserved as given, null for none.
    #[sea_orm(column_type = "JsonBinary")]
    pub object_permissions: Option<Json>,
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
    #[sea_orm(belongs_to, from = "team_id", to = "id", on_delete = "Restrict")]
    pub team: BelongsTo<super::team::Entity>,
    /// The organization.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "organization_id", to = "id", on_delete = "Restrict")]
    pub organization: BelongsTo<Option<super::organization::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
