//! The object `Model`.

use async_graphql::{Context, ID, Object, TypeName};
use entity::llm_model;
use serde_json::Value;

use crate::authz::{Permission, Placement, policy};
use crate::graphql::context::ContextExt;
use crate::graphql::credential::Credential;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::GroupsWith;
use crate::graphql::scalar::{BigInt, Instant, Usd};
use crate::graphql::team::Team;
use crate::graphql::value::BlockLevel;

/// A deployment at a provider behind a public name. Several may share a name: gateways choose among
/// them.
#[derive(Clone, Debug)]
pub struct Model(pub(crate) llm_model::Model);

impl From<llm_model::Model> for Model {
    fn from(row: llm_model::Model) -> Self {
        Self(row)
    }
}

impl TypeName for Model {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Model".into()
    }
}

impl Model {
    /// Whether the caller may see where the model is reached: for those who look after it.
    async fn shows_details(&self, ctx: &Context<'_>) -> ApiResult<bool> {
        let place = match self.0.team_id {
            None => Placement::platform(),
            Some(id) => match ctx.loader().load_one(id).await? {
                Some(team) => Placement::team(team.organization_id, id),
                None => Placement::team(None, id),
            },
        };
        Ok(policy::allows(ctx.session().actor(), Permission::ModelDetailRead, &place))
    }

    async fn detail<T>(&self, ctx: &Context<'_>, value: Option<T>) -> Option<ApiResult<T>> {
        let value = value?;
        match self.shows_details(ctx).await {
            Ok(shows) => shows.then_some(Ok(value)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A deployment at a provider behind a public name. Several may share a name: gateways choose among
/// them.
#[Object]
impl Model {
    /// The model's id, `model_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose; unique within the team or the platform. Null when none was
    /// chosen.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The public name, by which calls ask for it; `*` in a model of the platform stands for any
    /// text.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The team that owns it; null for a model of the platform.
    async fn team(&self, ctx: &Context<'_>) -> Option<ApiResult<Team>> {
        match ctx.loader().load_one(self.0.team_id?).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The provider, such as `openai`.
    async fn provider(&self) -> &str {
        &self.0.provider
    }

    /// The name that the provider knows it by.
    async fn provider_model(&self) -> &str {
        &self.0.provider_model
    }

    /// Where it is reached. Null for the provider's own address, or when you may not read it: it is
    /// for those who look after the model.
    async fn api_base(&self, ctx: &Context<'_>) -> Option<ApiResult<&str>> {
        self.detail(ctx, self.0.api_base.as_deref()).await
    }

    /// The provider's region. Null for none, or when you may not read it.
    async fn region(&self, ctx: &Context<'_>) -> Option<ApiResult<&str>> {
        self.detail(ctx, self.0.region.as_deref()).await
    }

    /// The most requests that it takes in a minute. Null for no limit, or when you may not read it.
    async fn requests_per_minute(&self, ctx: &Context<'_>) -> Option<ApiResult<BigInt>> {
        self.detail(ctx, self.0.requests_per_minute.map(BigInt)).await
    }

    /// The most tokens that it takes in a minute. Null for no limit, or when you may not read it.
    async fn tokens_per_minute(&self, ctx: &Context<'_>) -> Option<ApiResult<BigInt>> {
        self.detail(ctx, self.0.tokens_per_minute.map(BigInt)).await
    }

    /// What a million tokens in cost, in US dollars; null when it is not set.
    async fn input_price(&self) -> Option<Usd> {
        self.0.input_price.map(Usd)
    }

    /// What a million tokens out cost, in US dollars; null when it is not set.
    async fn output_price(&self) -> Option<Usd> {
        self.0.output_price.map(Usd)
    }

    /// Further parameters of calls, without secrets. Null when you may not read them.
    async fn params(&self, ctx: &Context<'_>) -> Option<ApiResult<&Value>> {
        self.detail(ctx, Some(&self.0.params)).await
    }

    /// Free data about the model.
    async fn info(&self) -> &Value {
        &self.0.info
    }

    /// The credential that it sends. Null for none, or when you may not see it.
    async fn credential(&self, ctx: &Context<'_>) -> Option<ApiResult<Credential>> {
        match ctx.loader().load_one(self.0.credential_id?).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The names of the access groups that list the model by its very name.
    async fn access_groups(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<String>>> {
        let groups = ctx.loader().load_one(GroupsWith(self.0.name.clone())).await;
        Some(groups.map_err(ApiError::from).map(Option::unwrap_or_default))
    }

    /// Whether no call is sent to it.
    async fn is_blocked(&self) -> bool {
        self.0.blocked_by.is_some()
    }

    /// Who blocked it; null when it is not blocked.
    async fn blocked_by(&self) -> Option<BlockLevel> {
        self.0.blocked_by.map(Into::into)
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it was made.
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
