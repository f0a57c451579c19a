//! The root fields that change end users.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::end_user;

use super::EndUser;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::end_user as domain;
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::value::{EndUserRegion, change, same};

/// A new end user. It belongs to a team, to an organization, or to the platform.
#[derive(Clone, Debug, InputObject)]
pub struct EndUserCreateInput {
    /// The id by which calls name it; 1 to 128 characters without spaces, unique in its place.
    external_id: String,
    /// The organization that it is to belong to, by id or external id; goes without `teamId`.
    organization_id: Option<ID>,
    /// The team that it is to belong to, by id or external id; goes without `organizationId`.
    team_id: Option<ID>,
    /// The display name; 1 to 200 characters.
    name: Option<String>,
    /// The model of calls on its behalf that name none; 1 to 128 characters.
    default_model: Option<String>,
    /// Where calls on its behalf may be answered; anywhere by default.
    region: Option<EndUserRegion>,
    /// Budgets of the end user, at most 20; those of the settings' `endUserDefaults` by default.
    budgets: Option<Vec<ScopeBudgetInput>>,
}

/// A change of an end user. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct EndUserUpdateInput {
    /// The end user, by id or external id.
    id: ID,
    /// The new id by which calls name it.
    external_id: MaybeUndefined<String>,
    /// The new display name; null for none.
    name: MaybeUndefined<String>,
    /// The model of calls on its behalf that name none; null for no such model.
    default_model: MaybeUndefined<String>,
    /// Where calls on its behalf may be answered; null for anywhere.
    region: MaybeUndefined<EndUserRegion>,
    /// The budgets that it is to have, all of them; null for none.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// The version that you saw; `CONFLICT` when the end user has changed since.
    expected_version: Option<i32>,
}

/// End users to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct EndUserDeleteInput {
    /// The end users, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one end user.
    expected_version: Option<i32>,
}

/// An end user.
#[derive(Clone, Debug, InputObject)]
pub struct EndUserIdInput {
    /// The end user, by id or external id.
    id: ID,
}

/// The end user that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct EndUserCreatePayload {
    /// The end user.
    end_user: EndUser,
}

/// The end user as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct EndUserUpdatePayload {
    /// The end user.
    end_user: EndUser,
}

/// The end user as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct EndUserBlockPayload {
    /// The end user.
    end_user: EndUser,
}

/// The end user as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct EndUserUnblockPayload {
    /// The end user.
    end_user: EndUser,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct EndUserDeletePayload {
    /// The ids of the end users.
    deleted_ids: Vec<ID>,
}

/// Changes end users.
#[derive(Default)]
pub struct EndUserMutation;

/// Changes end users.
#[Object]
impl EndUserMutation {
    /// Creates an end user.
    #[graphql(directive = requires::apply(Permission::EndUserCreate))]
    async fn end_user_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new end user.")] input: EndUserCreateInput,
    ) -> Option<ApiResult<EndUserCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            organization: input.organization_id.map(|id| Reference::parse(&id)),
            team: input.team_id.map(|id| Reference::parse(&id)),
            name: input.name,
            default_model: input.default_model,
            region: input.region.map(Into::into),
            budgets: input.budgets.map(entries),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let end_user = domain::create(tx, input).await?;
                Ok(EndUserCreatePayload { end_user: end_user.into() })
            })
        })
        .await
    }

    /// Updates an end user. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::EndUserUpdate))]
    async fn end_user_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: EndUserUpdateInput,
    ) -> Option<ApiResult<EndUserUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            name: same(input.name),
            default_model: same(input.default_model),
            region: change(input.region, Into::into),
            budgets: change(input.budgets, entries),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::EndUserUpdate;
                let row = authorize::<end_user::Model>(tx, permission, &reference, "input.id");
                let end_user = domain::update(tx, row.await?, input).await?;
                Ok(EndUserUpdatePayload { end_user: end_user.into() })
            })
        })
        .await
    }

    /// Blocks an end user: every call on its behalf is refused. Blocking it again changes nothing.
    #[graphql(directive = requires::apply(Permission::EndUserBlock))]
    async fn end_user_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The end user.")] input: EndUserIdInput,
    ) -> Option<ApiResult<EndUserBlockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::EndUserBlock;
                let row = authorize::<end_user::Model>(tx, permission, &reference, "input.id");
                let end_user = domain::block(tx, row.await?).await?;
                Ok(EndUserBlockPayload { end_user: end_user.into() })
            })
        })
        .await
    }

    /// Unblocks an end user. What a higher level blocked, a lower level cannot unblock.
    #[graphql(directive = requires::apply(Permission::EndUserBlock))]
    async fn end_user_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The end user.")] input: EndUserIdInput,
    ) -> Option<ApiResult<EndUserUnblockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::EndUserBlock;
                let row = authorize::<end_user::Model>(tx, permission, &reference, "input.id");
                let end_user = domain::unblock(tx, row.await?).await?;
                Ok(EndUserUnblockPayload { end_user: end_user.into() })
            })
        })
        .await
    }

    /// Deletes end users with their budgets: all, or none.
    #[graphql(directive = requires::apply(Permission::EndUserDelete))]
    async fn end_user_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The end users.")] input: EndUserDeleteInput,
    ) -> Option<ApiResult<EndUserDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let deleted = domain::delete(tx, &references, input.expected_version).await?;
                let deleted_ids = deleted.ids.iter().map(|id| ID(id.to_string())).collect();
                Ok(EndUserDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
