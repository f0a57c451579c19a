//! The object `EndUser`.

use async_graphql::{Context, ID, Object};
use entity::end_user;

use crate::domain::scope::Scope;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::BudgetsOf;
use crate::graphql::organization::Organization;
use crate::graphql::scalar::Instant;
use crate::graphql::team::Team;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::value::{BlockLevel, EndUserRegion};

/// A customer on whose behalf gateways call models. Calls name it by its external id.
#[derive(Clone, Debug)]
pub struct EndUser(pub(crate) end_user::Model);

impl From<end_user::Model> for EndUser {
    fn from(row: end_user::Model) -> Self {
        Self(row)
    }
}

impl async_graphql::TypeName for EndUser {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "EndUser".into()
    }
}

/// A customer on whose behalf gateways call models. Calls name it by its external id.
#[Object]
impl EndUser {
    /// The end user's id, `enduser_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id by which calls name it; unique within its team, its organization or the platform.
    async fn external_id(&self) -> &str {
        &self.0.external_id
    }

    /// The organization that it belongs to; null for one of a team or of the platform.
    async fn organization(&self, ctx: &Context<'_>) -> Option<ApiResult<Organization>> {
        let id = self.0.organization_id?;
        match ctx.loader().load_one(id).await {
            Ok(row) => row.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The team that it belongs to; null for one of an organization or of the platform.
    async fn team(&self, ctx: &Context<'_>) -> Option<ApiResult<Team>> {
        let id = self.0.team_id?;
        match ctx.loader().load_one(id).await {
            Ok(row) => row.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The display name; null when none was given.
    async fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The model of calls on its behalf that name none; null for no such model.
    async fn default_model(&self) -> Option<&str> {
        self.0.default_model.as_deref()
    }

    /// Where calls on its behalf may be answered; null for anywhere.
    async fn region(&self) -> Option<EndUserRegion> {
        self.0.region.map(Into::into)
    }

    /// Whether every call on its behalf is refused.
    async fn is_blocked(&self) -> bool {
        self.0.blocked_by.is_some()
    }

    /// Who blocked it; null when it is not blocked.
    async fn blocked_by(&self) -> Option<BlockLevel> {
        self.0.blocked_by.map(Into::into)
    }

    /// The budgets in force on it; all must pass; at most 20.
    async fn budgets(&self, ctx: &Context<'_>) -> ApiResult<Vec<BudgetAssignment>> {
        let rows = ctx.loader().load_one(BudgetsOf(Scope::end_user(self.0.id))).await;
        rows.map_err(ApiError::from)
            .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect())
    }

    /// What was spent on its behalf, whatever its budgets are; null when it could not be read.
    async fn spend(&self) -> Option<Spend> {
        Some(spend_of(Scope::end_user(self.0.id)))
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the end user was made.
    async fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    async fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    async fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}
