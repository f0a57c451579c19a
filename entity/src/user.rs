//! Users: the people behind keys and memberships.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{OrganizationId, UserId};
use crate::role::{BlockLevel, EmailConfirmation, PlatformRole};
use crate::value::ModelAccess;

/// One user.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UserId,
    /// The id that the caller chose; unique among users.
    pub external_id: Option<String>,
    /// The organization that manages the user; null for the platform.
    pub organization_id: Option<OrganizationId>,
    /// E-mail address as it was given; null when unknown.
    pub email: Option<String>,
    /// The address in lower case; unique among those that the platform confirmed, and among those
    /// that an organization did.
    #[serde(skip)]
    pub email_key: Option<String>,
    /// Who says that the address is the user's; null for an address that nobody has confirmed.
    /// Others name a user by a confirmed address alone.
    pub email_confirmed_by: Option<EmailConfirmation>,
    /// Display name; null while the user is known by an address only.
    pub name: Option<String>,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// What the user may do on the platform.
    pub platform_role: PlatformRole,
    /// Which models may be called, of those that the parents allow.
    #[sea_orm(column_type = "JsonBinary")]
    pub model_access: ModelAccess,
    /// Who blocked it; null when it is not blocked.
    pub blocked_by: Option<BlockLevel>,
    /// Free data of the owner, a JSON object.
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
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
    /// The organization that manages the user.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "organization_id", to = "id", on_delete = "Restrict")]
    pub organization: BelongsTo<Option<super::organization::Entity>>,
    /// The organizations that the user belongs to.
    #[serde(skip)]
    #[sea_orm(has_many)]
    pub organization_memberships: HasMany<super::organization_membership::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
