//! Credentials of providers, without their values.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{CredentialId, TeamId};
use crate::value::Words;

/// One credential.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "credentials")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CredentialId,
    /// The team that it belongs to; null for one of the platform.
    pub team_id: Option<TeamId>,
    /// The id that the caller chose; unique within the team or the platform.
    pub external_id: Option<String>,
    /// Display name.
    pub name: String,
    /// What searches look at: name and ids in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// The hosts to which it may be sent beside the provider's own.
    #[sea_orm(column_type = "JsonBinary")]
    pub allowed_hosts: Words,
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
}

impl ActiveModelBehavior for ActiveModel {}
