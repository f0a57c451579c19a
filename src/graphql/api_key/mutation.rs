//! The root fields that change keys.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::api_key;
use serde_json::Value;

use super::ApiKey;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::api_key as domain;
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::model_alias::{ModelAliasInput, pairs};
use crate::graphql::scalar::{Duration, Instant};
use crate::graphql::value::{ApiKeyKind, ModelAccessInput, change, same};

/// A new key. If the key that you use is limited, the new one must have limits within those.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyCreateInput {
    /// Who the key stands for; a person by default. `SERVICE` needs a team; `GATEWAY` and `ADMIN`
    /// are for platform admins.
    #[graphql(default_with = "ApiKeyKind::User")]
    kind: ApiKeyKind,
    /// The owner, by id or external id; yourself by default. For the kind `USER` alone.
    user_id: Option<ID>,
    /// The team that is charged, by id or external id. The owner must be its member.
    team_id: Option<ID>,
    /// The project of that team to which the key is to belong, by id or external id. Without
    /// `teamId` it tells the team as well.
    project_id: Option<ID>,
    /// An id of your own, unique within the team, or else for the owner.
    external_id: Option<String>,
    /// The display name; 1 to 200 characters.
    name: Option<String>,
    /// Which models the key may call; all that the scopes above allow by default.
    model_access: Option<ModelAccessInput>,
    /// Other names for models, at most 200. They open no model that a list keeps shut.
    #[graphql(default)]
    model_aliases: Vec<ModelAliasInput>,
    /// What the key may be used for: `llm`, `management`, `management:read`, and paths that begin
    /// with `/`. All that its kind allows by default; an empty list is refused.
    allowed_routes: Option<Vec<String>>,
    /// Labels, at most 50.
    #[graphql(default)]
    tags: Vec<String>,
    /// Free data, a JSON object; empty by default.
    metadata: Option<Value>,
    /// The instant from which the key is refused; never by default.
    expires_at: Option<Instant>,
    /// The time after which the key is refused; instead of `expiresAt`.
    expires_in: Option<Duration>,
    /// Budgets of the key, at most 20.
    #[graphql(default)]
    budgets: Vec<ScopeBudgetInput>,
    /// A secret of your own: `sk-` and letters, digits, `-` and `_`, 32 to 200 in all. For platform
    /// admins; a random one by default.
    secret: Option<String>,
}

/// A change of a key. What is left out stays; null clears. Owners may only narrow their keys.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyUpdateInput {
    /// The key, by id or external id.
    id: ID,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// The new display name; null for none.
    name: MaybeUndefined<String>,
    /// Which models the key may call; null for all that the scopes above allow.
    model_access: MaybeUndefined<ModelAccessInput>,
    /// The project of the key's team to which it is to belong, by id or external id; null for none.
    /// Needs the permission `API_KEY_LIMIT_UPDATE`.
    project_id: MaybeUndefined<ID>,
    /// What the key may be used for; null for all that its kind allows.
    allowed_routes: MaybeUndefined<Vec<String>>,
    /// The new labels; null for none.
    tags: MaybeUndefined<Vec<String>>,
    /// Keys to merge into the metadata: a key with null is deleted. Null clears all.
    metadata: MaybeUndefined<Value>,
    /// The instant from which the key is refused; null for never.
    expires_at: MaybeUndefined<Instant>,
    /// The budgets that the key is to have, all of them; null for none.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// The version that you saw; `CONFLICT` when the key has changed since.
    expected_version: Option<i32>,
}

impl ApiKeyUpdateInput {
    pub(super) fn into_domain(self) -> (Reference, domain::Update) {
        let update = domain::Update {
            external_id: same(self.external_id),
            name: same(self.name),
            model_access: change(self.model_access, Into::into),
            project: change(self.project_id, |id| Reference::parse(&id)),
            allowed_routes: same(self.allowed_routes),
            tags: same(self.tags),
            metadata: same(self.metadata),
            expires_at: change(self.expires_at, Into::into),
            budgets: change(self.budgets, entries),
            expected_version: self.expected_version,
        };
        (Reference::parse(&self.id), update)
    }
}

/// A key that is to have a new secret.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyRotateInput {
    /// The key, by id or external id.
    id: ID,
    /// How long the old secret stays valid; not at all by default; at most 7 days unless the
    /// deployment says otherwise. A secret before the old one ends at once.
    grace_period: Option<Duration>,
    /// The version that you saw; `CONFLICT` when the key has changed since.
    expected_version: Option<i32>,
}

/// A key.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyIdInput {
    /// The key, by id or external id.
    id: ID,
}

/// Keys to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyDeleteInput {
    /// The keys, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one key.
    expected_version: Option<i32>,
}

/// The key that was made, with its secret.
#[derive(Clone, SimpleObject)]
pub struct ApiKeyCreatePayload {
    /// The key.
    api_key: ApiKey,
    /// The secret. It is shown here once, and cannot be read again.
    secret: String,
}

/// The key with its new secret.
#[derive(Clone, SimpleObject)]
pub struct ApiKeyRotatePayload {
    /// The key.
    api_key: ApiKey,
    /// The new secret. It is shown here once, and cannot be read again.
    secret: String,
}

/// The key as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyUpdatePayload {
    /// The key.
    api_key: ApiKey,
}

/// The key as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyBlockPayload {
    /// The key.
    api_key: ApiKey,
}

/// The key as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyUnblockPayload {
    /// The key.
    api_key: ApiKey,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyDeletePayload {
    /// The ids of the keys.
    deleted_ids: Vec<ID>,
}

/// Changes keys.
#[derive(Default)]
pub struct ApiKeyMutation;

/// Changes keys.
#[Object]
impl ApiKeyMutation {
    /// Creates a key for yourself, for somebody in a team, for a team as such, for a gateway or for
    /// the administration. The secret is in the answer, and nowhere else.
    #[graphql(directive = requires::apply(Permission::ApiKeyCreate))]
    async fn api_key_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new key.")] input: ApiKeyCreateInput,
    ) -> Option<ApiResult<ApiKeyCreatePayload>> {
        let input = domain::Create {
            kind: input.kind.into(),
            user: input.user_id.map(|id| Reference::parse(&id)),
            team: input.team_id.map(|id| Reference::parse(&id)),
            project: input.project_id.map(|id| Reference::parse(&id)),
            external_id: input.external_id,
            name: input.name,
            model_access: input.model_access.map(Into::into),
            model_aliases: pairs(input.model_aliases),
            allowed_routes: input.allowed_routes,
            tags: input.tags,
            metadata: input.metadata,
            expires_at: input.expires_at.map(Into::into),
            expires_in: input.expires_in.map(|duration| duration.0),
            budgets: entries(input.budgets),
            secret: input.secret,
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let made = domain::create(tx, input).await?;
                let secret = made.secret.expose().to_owned();
                Ok(ApiKeyCreatePayload { api_key: made.api_key.into(), secret })
            })
        })
        .await
    }

    /// Updates a key. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::ApiKeyUpdate))]
    async fn api_key_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: ApiKeyUpdateInput,
    ) -> Option<ApiResult<ApiKeyUpdatePayload>> {
        mutate(ctx, input.into_domain(), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::ApiKeyUpdate;
                let project = input.project.value();
                let key = domain::authorize_limits(tx, permission, &reference, project, "input.id");
                let key = key.await?;
                let api_key = domain::update(tx, key, input).await?;
                Ok(ApiKeyUpdatePayload { api_key: api_key.into() })
            })
        })
        .await
    }

    /// Gives a key a new secret, which is in the answer and nowhere else. The id stays.
    #[graphql(directive = requires::apply(Permission::ApiKeyRotate))]
    async fn api_key_rotate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ApiKeyRotateInput,
    ) -> Option<ApiResult<ApiKeyRotatePayload>> {
        let reference = Reference::parse(&input.id);
        let grace = input.grace_period.map(|duration| duration.0);
        let version = input.expected_version;
        mutate(ctx, (reference, grace, version), |tx, (reference, grace, version)| {
            Box::pin(async move {
                let permission = Permission::ApiKeyRotate;
                let key =
                    authorize::<api_key::Model>(tx, permission, &reference, "input.id").await?;
                let made = domain::rotate(tx, key, grace, version).await?;
                let secret = made.secret.expose().to_owned();
                Ok(ApiKeyRotatePayload { api_key: made.api_key.into(), secret })
            })
        })
        .await
    }

    /// Blocks a key: it is refused at once. Blocking it again changes nothing.
    #[graphql(directive = requires::apply(Permission::ApiKeyBlock))]
    async fn api_key_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ApiKeyIdInput,
    ) -> Option<ApiResult<ApiKeyBlockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::ApiKeyBlock;
                let key =
                    authorize::<api_key::Model>(tx, permission, &reference, "input.id").await?;
                let api_key = domain::block(tx, key).await?;
                Ok(ApiKeyBlockPayload { api_key: api_key.into() })
            })
        })
        .await
    }

    /// Unblocks a key. What a higher level blocked, a lower level cannot unblock.
    #[graphql(directive = requires::apply(Permission::ApiKeyBlock))]
    async fn api_key_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ApiKeyIdInput,
    ) -> Option<ApiResult<ApiKeyUnblockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::ApiKeyBlock;
                let key =
                    authorize::<api_key::Model>(tx, permission, &reference, "input.id").await?;
                let api_key = domain::unblock(tx, key).await?;
                Ok(ApiKeyUnblockPayload { api_key: api_key.into() })
            })
        })
        .await
    }

    /// Deletes keys: all, or none. They are refused at once.
    #[graphql(directive = requires::apply(Permission::ApiKeyDelete))]
    async fn api_key_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The keys.")] input: ApiKeyDeleteInput,
    ) -> Option<ApiResult<ApiKeyDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let ids = domain::delete(tx, &references, input.expected_version).await?;
                let deleted_ids = ids.iter().map(|id| ID(id.to_string())).collect();
                Ok(ApiKeyDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
