//! The root fields that change access groups.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::access_group;

use super::AccessGroup;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::access_group as domain;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::value::{Cascade, same};

/// A new access group.
#[derive(Clone, Debug, InputObject)]
pub struct AccessGroupCreateInput {
    /// The name by which lists of models use it, unique; 1 to 128 characters. It never changes.
    name: String,
    /// An id of your own, unique among access groups.
    external_id: Option<String>,
    /// What it is for; at most 2,000 characters.
    description: Option<String>,
    /// The public names of its models, where `*` stands for any text; at most 500.
    #[graphql(default)]
    models: Vec<String>,
}

/// A change of an access group. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct AccessGroupUpdateInput {
    /// The group, by id or external id.
    id: ID,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// What it is for; null for nothing.
    description: MaybeUndefined<String>,
    /// The public names of its models, all of them; null for none.
    models: MaybeUndefined<Vec<String>>,
    /// The version that you saw; `CONFLICT` when the group has changed since.
    expected_version: Option<i32>,
}

/// Access groups to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct AccessGroupDeleteInput {
    /// The groups, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// What happens to lists of models that have the names of the groups, and to the bounds of the
    /// settings: by default the deletion is refused; with `CLAMP` the names are taken off, and a list
    /// that is left empty allows nothing.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw, when you delete one group.
    expected_version: Option<i32>,
}

/// The group that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessGroupCreatePayload {
    /// The group.
    access_group: AccessGroup,
}

/// The group as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessGroupUpdatePayload {
    /// The group.
    access_group: AccessGroup,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessGroupDeletePayload {
    /// The ids of the groups.
    deleted_ids: Vec<ID>,
}

/// Changes access groups.
#[derive(Default)]
pub struct AccessGroupMutation;

/// Changes access groups.
#[Object]
impl AccessGroupMutation {
    /// Creates an access group.
    #[graphql(directive = requires::apply(Permission::AccessGroupCreate))]
    async fn access_group_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new group.")] input: AccessGroupCreateInput,
    ) -> Option<ApiResult<AccessGroupCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            name: input.name,
            description: input.description,
            models: input.models,
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let group = domain::create(tx, input).await?;
                Ok(AccessGroupCreatePayload { access_group: group.into() })
            })
        })
        .await
    }

    /// Updates an access group. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::AccessGroupUpdate))]
    async fn access_group_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: AccessGroupUpdateInput,
    ) -> Option<ApiResult<AccessGroupUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            description: same(input.description),
            models: same(input.models),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::AccessGroupUpdate;
                let group =
                    authorize::<access_group::Model>(tx, permission, &reference, "input.id")
                        .await?;
                let group = domain::update(tx, group, input).await?;
                Ok(AccessGroupUpdatePayload { access_group: group.into() })
            })
        })
        .await
    }

    /// Deletes access groups: all, or none; `CONFLICT` with the `ids` of what lists them, unless
    /// `cascade` takes their names off.
    #[graphql(directive = requires::apply(Permission::AccessGroupDelete))]
    async fn access_group_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The groups.")] input: AccessGroupDeleteInput,
    ) -> Option<ApiResult<AccessGroupDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let cascade = input.cascade.into();
                let ids = domain::delete(tx, &references, cascade, input.expected_version).await?;
                let deleted_ids = ids.iter().map(|id| ID(id.to_string())).collect();
                Ok(AccessGroupDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
