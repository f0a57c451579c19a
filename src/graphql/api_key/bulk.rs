//! The root field that changes many keys at once.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::ApiKey;
use super::mutation::ApiKeyUpdateInput;
use crate::authz::Permission;
use crate::domain::api_key as domain;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;

/// Keys to be changed, each in its own way.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyBulkUpdateInput {
    /// The changes; 1 to 100, each of another key. All are made, or none.
    keys: Vec<ApiKeyUpdateInput>,
}

/// The keys as they are now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyBulkUpdatePayload {
    /// The keys, in the order of the input.
    api_keys: Vec<ApiKey>,
}

/// Changes many keys.
#[derive(Default)]
pub struct ApiKeyBulkMutation;

/// Changes many keys.
#[Object]
impl ApiKeyBulkMutation {
    /// Updates keys as `apiKeyUpdate` does: all, or none. An error names the key that it is about
    /// in `field`, such as `input.keys.3.name`.
    #[graphql(directive = requires::apply(Permission::ApiKeyUpdate))]
    async fn api_key_bulk_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The changes.")] input: ApiKeyBulkUpdateInput,
    ) -> Option<ApiResult<ApiKeyBulkUpdatePayload>> {
        let items: Vec<_> = input.keys.into_iter().map(ApiKeyUpdateInput::into_domain).collect();
        mutate(ctx, items, |tx, items| {
            Box::pin(async move {
                let keys = domain::update_many(tx, items).await?;
                Ok(ApiKeyBulkUpdatePayload { api_keys: keys.into_iter().map(Into::into).collect() })
            })
        })
        .await
    }
}
