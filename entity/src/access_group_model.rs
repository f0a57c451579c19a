//! Which models stand in which access group.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{AccessGroupId, AccessGroupModelId};

/// One model name in one access group.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "access_group_models")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AccessGroupModelId,
    /// The group.
    pub access_group_id: AccessGroupId,
    /// The public name of models; `*` stands for any text.
    pub model_name: String,
    /// The group.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "access_group_id", to = "id", on_delete = "Cascade")]
    pub access_group: BelongsTo<super::access_group::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
