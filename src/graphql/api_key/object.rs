//! The object `ApiKey`.

use async_graphql::{Context, ID, Object, TypeName};
use entity::api_key;
use serde_json::Value;

use crate::authz::{Permission, Placement, policy};
use crate::domain::scope::Scope;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::connection::{self, Connection};
use crate::graphql::context::ContextExt;
use crate::graphql::effective_model::{self, EffectiveModel};
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{AliasesOf, BudgetsOf, EffectiveBudgetsOf, SecretsOf};
use crate::graphql::model_alias::ModelAlias;
use crate::graphql::project::Project;
use crate::graphql::scalar::Instant;
use crate::graphql::team::Team;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::user::User;
use crate::graphql::value::{ApiKeyKind, BlockLevel, ModelAccess};

/// What a caller presents. Its id never changes, whatever secrets it has had.
#[derive(Clone, Debug)]
pub struct ApiKey(pub(crate) api_key::Model);

impl From<api_key::Model> for ApiKey {
    fn from(row: api_key::Model) -> Self {
        Self(row)
    }
}

impl TypeName for ApiKey {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "ApiKey".into()
    }
}

impl ApiKey {
    /// Whether the caller may do this to the key.
    async fn may(&self, ctx: &Context<'_>, permission: Permission) -> ApiResult<bool> {
        let place = match self.0.team_id {
            Some(id) => {
                let team = ctx.loader().load_one(id).await?;
                Placement::team(team.and_then(|team| team.organization_id), id)
            }
            None => Placement::platform(),
        };
        let place = Placement { key: Some(self.0.id), ..place }.owned_by(self.0.user_id);
        Ok(policy::allows(ctx.session().actor(), permission, &place))
    }
}

/// What a caller presents. Its id never changes, whatever secrets it has had.
#[Object]
impl ApiKey {
    /// The key's id, `key_` and 32 hexadecimal digits. It is no secret.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose; unique within the team, or else for the owner. Null when none
    /// was chosen.
    fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The display name; null for none.
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Who the key stands for.
    fn kind(&self) -> ApiKeyKind {
        self.0.kind.into()
    }

    /// The owner; null for a key without a person.
    async fn user(&self, ctx: &Context<'_>) -> Option<ApiResult<User>> {
        match ctx.loader().load_one(self.0.user_id?).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The team that is charged; null for a key outside of any team.
    async fn team(&self, ctx: &Context<'_>) -> Option<ApiResult<Team>> {
        match ctx.loader().load_one(self.0.team_id?).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The project of the team to which the key belongs; null for none.
    async fn project(&self, ctx: &Context<'_>) -> Option<ApiResult<Project>> {
        match ctx.loader().load_one(self.0.project_id?).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The last four characters of the current secret.
    async fn hint(&self, ctx: &Context<'_>) -> Option<ApiResult<String>> {
        let secrets = match ctx.loader().load_one(SecretsOf(self.0.id)).await {
            Ok(secrets) => secrets.unwrap_or_default(),
            Err(error) => return Some(Err(error.into())),
        };
        let current = secrets.into_iter().rfind(|secret| secret.not_after.is_none());
        current.map(|secret| Ok(secret.hint))
    }

    /// Until when the secret before the current one is valid; null when only the current one is.
    async fn previous_secret_valid_until(&self, ctx: &Context<'_>) -> Option<ApiResult<Instant>> {
        let secrets = match ctx.loader().load_one(SecretsOf(self.0.id)).await {
            Ok(secrets) => secrets.unwrap_or_default(),
            Err(error) => return Some(Err(error.into())),
        };
        let now = ctx.reader().now();
        secrets
            .into_iter()
            .filter_map(|secret| secret.not_after)
            .filter(|at| *at > now)
            .max()
            .map(|at| Ok(at.into()))
    }

    /// Which models the key may call, of those that the scopes above allow.
    fn model_access(&self) -> ModelAccess {
        self.0.model_access.clone().into()
    }

    /// Other names for models, in the order of the alphabet; at most 200. An alias of the key's team
    /// is followed first.
    async fn model_aliases(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<ModelAlias>>> {
        let rows = ctx.loader().load_one(AliasesOf(Scope::api_key(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// The models that the key may call, by name: what the catalogue has of what the key and every scope
    /// above it allow, with the team's own models and the aliases of team and key.
    async fn effective_models(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<EffectiveModel>>> {
        let request = connection::request(first, after, last, before);
        Some(effective_model::page(ctx, Scope::api_key(self.0.id), &request).await)
    }

    /// What the key may be used for: `llm`, `management`, `management:read`, and paths that begin
    /// with `/`. Null for all that its kind allows.
    fn allowed_routes(&self) -> Option<&[String]> {
        self.0.allowed_routes.as_ref().map(|routes| routes.0.as_slice())
    }

    /// Labels.
    fn tags(&self) -> &[String] {
        &self.0.tags.0
    }

    /// Free data.
    fn metadata(&self) -> &Value {
        &self.0.metadata
    }

    /// The budgets in force on the key; all must pass; at most 20. Null when you may not read them.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        match self.may(ctx, Permission::BudgetRead).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        }
        let rows = ctx.loader().load_one(BudgetsOf(Scope::api_key(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// The budgets that every call of the key is held against, in the order of judgement: of the key, of
    /// its owner as a member of the team, of its project, team, organization and owner, of the tags that
    /// these carry, and of the platform. Those that you may not see are left out. A call may be held
    /// against more: those of its end user and of the tags that it brings. Null when you may not read
    /// the key's own.
    async fn effective_budgets(
        &self,
        ctx: &Context<'_>,
    ) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        match self.may(ctx, Permission::BudgetRead).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        }
        let rows = ctx.loader().load_one(EffectiveBudgetsOf(self.0.id)).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// What the key spent, whatever its budgets are. Null when you may not read it.
    async fn spend(&self, ctx: &Context<'_>) -> Option<ApiResult<Spend>> {
        match self.may(ctx, Permission::SpendRead).await {
            Ok(true) => Some(Ok(spend_of(Scope::api_key(self.0.id)))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the key is refused because somebody blocked it. Its owner or its team may be blocked
    /// as well.
    fn is_blocked(&self) -> bool {
        self.0.blocked_by.is_some()
    }

    /// Who blocked the key; null when it is not blocked.
    fn blocked_by(&self) -> Option<BlockLevel> {
        self.0.blocked_by.map(Into::into)
    }

    /// Whether the key is refused because its time has come.
    fn is_expired(&self, ctx: &Context<'_>) -> bool {
        self.0.expires_at.is_some_and(|at| at <= ctx.reader().now())
    }

    /// The instant from which the key is refused; null for never.
    fn expires_at(&self) -> Option<Instant> {
        self.0.expires_at.map(Instant)
    }

    /// The last use; behind by up to a minute; null for never.
    fn last_used_at(&self) -> Option<Instant> {
        self.0.last_used_at.map(Instant)
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// When the key was made.
    fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}
