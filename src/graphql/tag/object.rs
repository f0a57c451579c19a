//! The object `Tag`.

use async_graphql::{Context, ID, Object};
use entity::tag;

use crate::domain::scope::Scope;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::BudgetsOf;
use crate::graphql::organization::Organization;
use crate::graphql::scalar::Instant;
use crate::graphql::usage::{Spend, spend_of};

/// A label of keys, teams and calls, with budgets for all that carries it.
#[derive(Clone, Debug)]
pub struct Tag(pub(crate) tag::Model);

impl From<tag::Model> for Tag {
    fn from(row: tag::Model) -> Self {
        Self(row)
    }
}

impl async_graphql::TypeName for Tag {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Tag".into()
    }
}

/// A label of keys, teams and calls, with budgets for all that carries it.
#[Object]
impl Tag {
    /// The tag's id, `tag_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The label; unique within its organization or the platform. It never changes.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The organization whose calls it labels; null for the calls of the whole platform.
    async fn organization(&self, ctx: &Context<'_>) -> Option<ApiResult<Organization>> {
        let id = self.0.organization_id?;
        match ctx.loader().load_one(id).await {
            Ok(row) => row.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// What it is for; null when nobody has said.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The budgets in force on it; all must pass; at most 20.
    async fn budgets(&self, ctx: &Context<'_>) -> ApiResult<Vec<BudgetAssignment>> {
        let rows = ctx.loader().load_one(BudgetsOf(Scope::tag(self.0.id))).await;
        rows.map_err(ApiError::from)
            .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect())
    }

    /// What was spent by calls that carry it, whatever its budgets are; null when it could not be
    /// read.
    async fn spend(&self) -> Option<Spend> {
        Some(spend_of(Scope::tag(self.0.id)))
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the tag was made.
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
