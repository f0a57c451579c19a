//! What was ever spent in each scope.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::role::ScopeKind;
use crate::value::Usd;

/// The totals of one scope.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "spend_totals")]
pub struct Model {
    /// The scope.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope_id: Uuid,
    /// Its kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope_kind: ScopeKind,
    /// The number of calls.
    pub requests: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// What was spent, corrections included.
    pub spent: Usd,
}

impl ActiveModelBehavior for ActiveModel {}
