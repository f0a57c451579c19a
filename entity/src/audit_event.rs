//! Audit events: who did what, when, from where; never changed.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{AuditEventId, OrganizationId, TeamId};
use crate::role::{ActorKind, EntityKind};

/// One audit event.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AuditEventId,
    /// When it happened.
    pub occurred_at: DateTimeUtc,
    /// What happened.
    pub action: String,
    /// What kind of credential acted.
    pub actor_kind: ActorKind,
    /// The user or key that acted; null for the bootstrap admin key.
    pub actor_id: Option<String>,
    /// The key that was presented; null for the bootstrap admin key.
    pub actor_key_id: Option<String>,
    /// On whose behalf the actor said it acted; a claim, not a fact.
    pub on_behalf_of: Option<String>,
    /// The request in which it happened.
    pub request_id: String,
    /// The address the request came from.
    pub address: Option<String>,
    /// The kind of object that it happened to.
    pub subject_kind: EntityKind,
    /// The object.
    pub subject_id: Option<Uuid>,
    /// The organization in which it happened; null for the platform.
    pub organization_id: Option<OrganizationId>,
    /// The team in which it happened; null for none.
    pub team_id: Option<TeamId>,
    /// The object before; null when it was made.
    #[sea_orm(column_type = "JsonBinary")]
    pub before: Option<Json>,
    /// The object after; null when it was deleted.
    #[sea_orm(column_type = "JsonBinary")]
    pub after: Option<Json>,
}

impl ActiveModelBehavior for ActiveModel {}
