//! The root fields that change models.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::llm_model;
use serde_json::Value;

use super::Model;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::llm_model as domain;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::scalar::{BigInt, Usd};
use crate::graphql::value::{change, same};

/// A new model.
#[derive(Clone, Debug, InputObject)]
pub struct ModelCreateInput {
    /// The public name, by which calls ask for it; 1 to 128 characters. Several models may share it.
    /// A `*` in a model of the platform stands for any text.
    name: String,
    /// An id of your own, unique within the team or the platform.
    external_id: Option<String>,
    /// The team that is to own it, by id or external id; the platform by default. The name is granted
    /// to the team, if its list does not have it.
    team_id: Option<ID>,
    /// The provider, such as `openai`; 1 to 128 characters.
    provider: String,
    /// The name that the provider knows it by; the public name by default.
    provider_model: Option<String>,
    /// Where it is reached, an `https://` URL without query; the provider's own address by default.
    /// Its host must be among the `allowedHosts` of the credential.
    api_base: Option<String>,
    /// The provider's region.
    region: Option<String>,
    /// The most requests that it takes in a minute; no limit by default.
    requests_per_minute: Option<BigInt>,
    /// The most tokens that it takes in a minute; no limit by default.
    tokens_per_minute: Option<BigInt>,
    /// What a million tokens in cost, in US dollars.
    input_price: Option<Usd>,
    /// What a million tokens out cost, in US dollars.
    output_price: Option<Usd>,
    /// Further parameters of calls, a JSON object; keys with null are left out. Secrets are refused:
    /// they go into a credential.
    params: Option<Value>,
    /// Free data about the model, a JSON object without secrets.
    info: Option<Value>,
    /// The credential that it sends, by id or external id; none by default. Needs the permission
    /// `CREDENTIAL_UPDATE`.
    credential_id: Option<ID>,
}

/// A change of a model. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct ModelUpdateInput {
    /// The model, by id or external id.
    id: ID,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// The new public name; null is refused. What was granted to the team follows.
    name: MaybeUndefined<String>,
    /// The new provider; null is refused.
    provider: MaybeUndefined<String>,
    /// The provider's new name for it; null is refused.
    provider_model: MaybeUndefined<String>,
    /// Where it is reached; null for the provider's own address. While the model sends a credential,
    /// this, the provider, the region and the parameters need the permission `CREDENTIAL_UPDATE`.
    api_base: MaybeUndefined<String>,
    /// The provider's region; null for none.
    region: MaybeUndefined<String>,
    /// The most requests that it takes in a minute; null for no limit.
    requests_per_minute: MaybeUndefined<BigInt>,
    /// The most tokens that it takes in a minute; null for no limit.
    tokens_per_minute: MaybeUndefined<BigInt>,
    /// What a million tokens in cost, in US dollars; null for not set.
    input_price: MaybeUndefined<Usd>,
    /// What a million tokens out cost, in US dollars; null for not set.
    output_price: MaybeUndefined<Usd>,
    /// Keys to merge into the parameters: a key with null is deleted. Null clears all.
    params: MaybeUndefined<Value>,
    /// Keys to merge into the free data: a key with null is deleted. Null clears all.
    info: MaybeUndefined<Value>,
    /// The credential that it sends, by id or external id; null for none.
    credential_id: MaybeUndefined<ID>,
    /// The version that you saw; `CONFLICT` when the model has changed since.
    expected_version: Option<i32>,
}

/// Models to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct ModelDeleteInput {
    /// The models, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one model.
    expected_version: Option<i32>,
}

/// A model.
#[derive(Clone, Debug, InputObject)]
pub struct ModelIdInput {
    /// The model, by id or external id.
    id: ID,
}

/// The model that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelCreatePayload {
    /// The model.
    model: Model,
}

/// The model as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelUpdatePayload {
    /// The model.
    model: Model,
}

/// The model as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelBlockPayload {
    /// The model.
    model: Model,
}

/// The model as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelUnblockPayload {
    /// The model.
    model: Model,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelDeletePayload {
    /// The ids of the models.
    deleted_ids: Vec<ID>,
}

/// Changes models.
#[derive(Default)]
pub struct ModelMutation;

/// Changes models.
#[Object]
impl ModelMutation {
    /// Creates a model, of the platform or of a team.
    #[graphql(directive = requires::apply(Permission::ModelCreate))]
    async fn model_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new model.")] input: ModelCreateInput,
    ) -> Option<ApiResult<ModelCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            team: input.team_id.map(|id| Reference::parse(&id)),
            name: input.name,
            provider: input.provider,
            provider_model: input.provider_model,
            api_base: input.api_base,
            region: input.region,
            requests_per_minute: input.requests_per_minute.map(|amount| amount.0),
            tokens_per_minute: input.tokens_per_minute.map(|amount| amount.0),
            input_price: input.input_price.map(|price| price.0),
            output_price: input.output_price.map(|price| price.0),
            params: input.params,
            info: input.info,
            credential: input.credential_id.map(|id| Reference::parse(&id)),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let model = domain::create(tx, input).await?;
                Ok(ModelCreatePayload { model: model.into() })
            })
        })
        .await
    }

    /// Updates a model. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::ModelUpdate))]
    async fn model_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: ModelUpdateInput,
    ) -> Option<ApiResult<ModelUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            name: same(input.name),
            provider: same(input.provider),
            provider_model: same(input.provider_model),
            api_base: same(input.api_base),
            region: same(input.region),
            requests_per_minute: change(input.requests_per_minute, |amount| amount.0),
            tokens_per_minute: change(input.tokens_per_minute, |amount| amount.0),
            input_price: change(input.input_price, |price| price.0),
            output_price: change(input.output_price, |price| price.0),
            params: same(input.params),
            info: same(input.info),
            credential: change(input.credential_id, |id| Reference::parse(&id)),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let model = domain::update(tx, &reference, input).await?;
                Ok(ModelUpdatePayload { model: model.into() })
            })
        })
        .await
    }

    /// Blocks a model: no call is sent to it. Blocking it again changes nothing.
    #[graphql(directive = requires::apply(Permission::ModelBlock))]
    async fn model_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model.")] input: ModelIdInput,
    ) -> Option<ApiResult<ModelBlockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::ModelBlock;
                let model = authorize::<llm_model::Model>(tx, permission, &reference, "input.id");
                let model = domain::block(tx, model.await?).await?;
                Ok(ModelBlockPayload { model: model.into() })
            })
        })
        .await
    }

    /// Unblocks a model. What a higher level blocked, a lower level cannot unblock.
    #[graphql(directive = requires::apply(Permission::ModelBlock))]
    async fn model_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model.")] input: ModelIdInput,
    ) -> Option<ApiResult<ModelUnblockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::ModelBlock;
                let model = authorize::<llm_model::Model>(tx, permission, &reference, "input.id");
                let model = domain::unblock(tx, model.await?).await?;
                Ok(ModelUnblockPayload { model: model.into() })
            })
        })
        .await
    }

    /// Deletes models: all, or none. Names that were granted to teams because of them are withdrawn
    /// from the teams, and from the lists of their members and keys.
    #[graphql(directive = requires::apply(Permission::ModelDelete))]
    async fn model_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The models.")] input: ModelDeleteInput,
    ) -> Option<ApiResult<ModelDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let ids = domain::delete(tx, &references, input.expected_version).await?;
                let deleted_ids = ids.iter().map(|id| ID(id.to_string())).collect();
                Ok(ModelDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
