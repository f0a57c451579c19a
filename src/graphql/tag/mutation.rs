//! The root fields that change tags.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::tag;

use super::Tag;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::tag as domain;
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::value::{change, same};

/// A new tag.
#[derive(Clone, Debug, InputObject)]
pub struct TagCreateInput {
    /// The label; 1 to 128 characters, unique within its organization or the platform.
    name: String,
    /// The organization whose calls it labels, by id or external id; the whole platform by default.
    organization_id: Option<ID>,
    /// What it is for; at most 2,000 characters.
    description: Option<String>,
    /// Budgets of all calls that carry the tag, at most 20.
    #[graphql(default)]
    budgets: Vec<ScopeBudgetInput>,
}

/// A change of a tag. What is left out stays; null clears. The name never changes, for keys and
/// calls carry it.
#[derive(Clone, Debug, InputObject)]
pub struct TagUpdateInput {
    /// The tag, by id or name.
    id: ID,
    /// What it is for; null for nothing.
    description: MaybeUndefined<String>,
    /// The budgets that it is to have, all of them; null for none.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// The version that you saw; `CONFLICT` when the tag has changed since.
    expected_version: Option<i32>,
}

/// Tags to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct TagDeleteInput {
    /// The tags, by id or name; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one tag.
    expected_version: Option<i32>,
}

/// The tag that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct TagCreatePayload {
    /// The tag.
    tag: Tag,
}

/// The tag as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct TagUpdatePayload {
    /// The tag.
    tag: Tag,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct TagDeletePayload {
    /// The ids of the tags.
    deleted_ids: Vec<ID>,
}

/// Changes tags.
#[derive(Default)]
pub struct TagMutation;

/// Changes tags.
#[Object]
impl TagMutation {
    /// Creates a tag. Any text may be a tag of a key or a call; a tag that is created has budgets.
    #[graphql(directive = requires::apply(Permission::TagCreate))]
    async fn tag_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new tag.")] input: TagCreateInput,
    ) -> Option<ApiResult<TagCreatePayload>> {
        let input = domain::Create {
            name: input.name,
            organization: input.organization_id.map(|id| Reference::parse(&id)),
            description: input.description,
            budgets: entries(input.budgets),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let tag = domain::create(tx, input).await?;
                Ok(TagCreatePayload { tag: tag.into() })
            })
        })
        .await
    }

    /// Updates a tag. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::TagUpdate))]
    async fn tag_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: TagUpdateInput,
    ) -> Option<ApiResult<TagUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            description: same(input.description),
            budgets: change(input.budgets, entries),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let tag =
                    authorize::<tag::Model>(tx, Permission::TagUpdate, &reference, "input.id");
                let tag = domain::update(tx, tag.await?, input).await?;
                Ok(TagUpdatePayload { tag: tag.into() })
            })
        })
        .await
    }

    /// Deletes tags with their budgets: all, or none. Keys and teams keep the label.
    #[graphql(directive = requires::apply(Permission::TagDelete))]
    async fn tag_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The tags.")] input: TagDeleteInput,
    ) -> Option<ApiResult<TagDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let deleted = domain::delete(tx, &references, input.expected_version).await?;
                let deleted_ids = deleted.iter().map(|id| ID(id.to_string())).collect();
                Ok(TagDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
