//! The root fields that change the model aliases of keys.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::api_key;

use super::ApiKey;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::api_key as domain;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;

/// A model alias to be set.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyModelAliasSetInput {
    /// The key, by id or external id.
    api_key_id: ID,
    /// The name that callers use; 1 to 128 characters. An alias that is there gets the new target.
    alias: String,
    /// The name of the model that is meant; 1 to 128 characters.
    target: String,
}

/// A model alias to be removed.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyModelAliasRemoveInput {
    /// The key, by id or external id.
    api_key_id: ID,
    /// The alias.
    alias: String,
}

/// The key with its alias.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyModelAliasSetPayload {
    /// The key.
    api_key: ApiKey,
}

/// The key without the alias.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyModelAliasRemovePayload {
    /// The key.
    api_key: ApiKey,
}

/// Changes the model aliases of keys.
#[derive(Default)]
pub struct ApiKeyModelAliasMutation;

/// Changes the model aliases of keys.
#[Object]
impl ApiKeyModelAliasMutation {
    /// Sets a model alias of a key; its other aliases stay. It opens no model: what is meant must be
    /// allowed by every list above the key. An alias of the key's team is followed first.
    #[graphql(directive = requires::apply(Permission::ApiKeyUpdate))]
    async fn api_key_model_alias_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The alias.")] input: ApiKeyModelAliasSetInput,
    ) -> Option<ApiResult<ApiKeyModelAliasSetPayload>> {
        let reference = Reference::parse(&input.api_key_id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::ApiKeyUpdate;
                let field = "input.apiKeyId";
                let key = authorize::<api_key::Model>(tx, permission, &reference, field).await?;
                domain::set_alias(tx, &key, input.alias, input.target).await?;
                Ok(ApiKeyModelAliasSetPayload { api_key: key.into_inner().into() })
            })
        })
        .await
    }

    /// Removes a model alias of a key.
    #[graphql(directive = requires::apply(Permission::ApiKeyUpdate))]
    async fn api_key_model_alias_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The alias.")] input: ApiKeyModelAliasRemoveInput,
    ) -> Option<ApiResult<ApiKeyModelAliasRemovePayload>> {
        let reference = Reference::parse(&input.api_key_id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::ApiKeyUpdate;
                let field = "input.apiKeyId";
                let key = authorize::<api_key::Model>(tx, permission, &reference, field).await?;
                domain::remove_alias(tx, &key, &input.alias).await?;
                Ok(ApiKeyModelAliasRemovePayload { api_key: key.into_inner().into() })
            })
        })
        .await
    }
}
