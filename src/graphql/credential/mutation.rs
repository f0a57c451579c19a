//! The root fields that store and change credentials.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::credential;

use super::Credential;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::credential as domain;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::value::same;
use crate::sealing::Plain;

/// A value of a credential.
#[derive(Clone, InputObject)]
pub struct CredentialValueInput {
    /// The name, such as `api_key`; 1 to 64 letters, digits, and the characters `_`, `-` and `.`.
    name: String,
    /// The secret, at most 16,384 bytes; it is never shown again. `os.environ/NAME` refers to what a
    /// gateway has in its environment, in credentials of the platform alone. Null removes the value.
    /// Masked and sealed texts are refused.
    value: Option<String>,
}

impl std::fmt::Debug for CredentialValueInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialValueInput").field("name", &self.name).finish_non_exhaustive()
    }
}

fn plain(values: Vec<CredentialValueInput>) -> Vec<(String, Option<Plain>)> {
    values.into_iter().map(|value| (value.name, value.value.map(Plain::new))).collect()
}

/// A new credential.
#[derive(Clone, Debug, InputObject)]
pub struct CredentialCreateInput {
    /// The display name; 1 to 200 characters.
    name: String,
    /// An id of your own, unique within the team or the platform.
    external_id: Option<String>,
    /// The team that it is to belong to, by id or external id; the platform by default.
    team_id: Option<ID>,
    /// The hosts to which models may send it by an `apiBase`, such as `api.example.com` or
    /// `*.openai.azure.com`, without port; at most 50. None by default: the provider's own hosts
    /// alone.
    #[graphql(default)]
    allowed_hosts: Vec<String>,
    /// The values; 1 to 20.
    values: Vec<CredentialValueInput>,
}

/// A change of a credential. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct CredentialUpdateInput {
    /// The credential, by id or external id.
    id: ID,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// The new display name; null is refused.
    name: MaybeUndefined<String>,
    /// The hosts to which models may send it, all of them; null for none.
    allowed_hosts: MaybeUndefined<Vec<String>>,
    /// The values to be set or removed; those that are not named keep their secrets.
    #[graphql(default)]
    values: Vec<CredentialValueInput>,
    /// The version that you saw; `CONFLICT` when the credential has changed since.
    expected_version: Option<i32>,
}

/// Credentials to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct CredentialDeleteInput {
    /// The credentials, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one credential.
    expected_version: Option<i32>,
}

/// The credential that was stored.
#[derive(Clone, Debug, SimpleObject)]
pub struct CredentialCreatePayload {
    /// The credential.
    credential: Credential,
}

/// The credential as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct CredentialUpdatePayload {
    /// The credential.
    credential: Credential,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct CredentialDeletePayload {
    /// The ids of the credentials.
    deleted_ids: Vec<ID>,
}

/// Changes credentials.
#[derive(Default)]
pub struct CredentialMutation;

/// Changes credentials.
#[Object]
impl CredentialMutation {
    /// Stores a credential.
    #[graphql(directive = requires::apply(Permission::CredentialCreate))]
    async fn credential_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new credential.")] input: CredentialCreateInput,
    ) -> Option<ApiResult<CredentialCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            team: input.team_id.map(|id| Reference::parse(&id)),
            name: input.name,
            allowed_hosts: input.allowed_hosts,
            values: plain(input.values),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let credential = domain::create(tx, input).await?;
                Ok(CredentialCreatePayload { credential: credential.into() })
            })
        })
        .await
    }

    /// Updates a credential. Fields and values left out stay as they are; null clears.
    #[graphql(directive = requires::apply(Permission::CredentialUpdate))]
    async fn credential_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: CredentialUpdateInput,
    ) -> Option<ApiResult<CredentialUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            name: same(input.name),
            allowed_hosts: same(input.allowed_hosts),
            values: plain(input.values),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::CredentialUpdate;
                let credential =
                    authorize::<credential::Model>(tx, permission, &reference, "input.id").await?;
                let credential = domain::update(tx, credential, input).await?;
                Ok(CredentialUpdatePayload { credential: credential.into() })
            })
        })
        .await
    }

    /// Deletes credentials with their secrets: all, or none. Refused while models use one.
    #[graphql(directive = requires::apply(Permission::CredentialDelete))]
    async fn credential_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credentials.")] input: CredentialDeleteInput,
    ) -> Option<ApiResult<CredentialDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let ids = domain::delete(tx, &references, input.expected_version).await?;
                let deleted_ids = ids.iter().map(|id| ID(id.to_string())).collect();
                Ok(CredentialDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
