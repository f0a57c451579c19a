//! End users: the customers on whose behalf gateways call models.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{EndUserId, OrganizationId, TeamId};
use crate::role::{BlockLevel, EndUserRegion};

/// One end user.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "end_users")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EndUserId,
    /// The organization that it belongs to; null for one of a team or of the platform.
    pub organization_id: Option<OrganizationId>,
    /// The team that it belongs to; null for one of an organization or of the platform.
    pub team_id: Option<TeamId>,
    /// The id by which calls name it; unique where it belongs.
    pub external_id: String,
    /// Display name.
    pub name: Option<String>,
    /// What searches look at: name and external id in lower case.
    #[serde(skip)]
    pub search_text: String,
    /// The model of calls that name none.
    pub default_model: Option<String>,
    /// Where its calls may be answered; null for anywhere.
    pub region: Option<EndUserRegion>,
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
    /// The organization that it belongs to.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "organization_id", to = "id", on_delete = "Restrict")]
    pub organization: BelongsTo<Option<super::organization::Entity>>,
    /// The team that it belongs to.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "team_id", to = "id", on_delete = "Restrict")]
    pub team: BelongsTo<Option<super::team::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
