//! The root fields that change users.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::user;
use serde_json::Value;

use super::User;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::user as domain;
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::team::count;
use crate::graphql::value::{Cascade, ModelAccessInput, PlatformRole, change, same};

/// A new user. It needs an e-mail address, a name or an external id.
#[derive(Clone, Debug, InputObject)]
pub struct UserCreateInput {
    /// An id of your own, unique among users. Needs the permission `USER_LIMIT_UPDATE`.
    external_id: Option<String>,
    /// The organization that is to manage the user, by id or external id; the user belongs to it.
    /// Organization admins must give theirs. The platform manages the user by default.
    organization_id: Option<ID>,
    /// The e-mail address; unique among confirmed ones, whatever its case.
    email: Option<String>,
    /// The display name; 1 to 200 characters.
    name: Option<String>,
    /// What the user may do on the platform; `USER` by default. `ADMIN` and `VIEWER` need the
    /// permission `USER_LIMIT_UPDATE`.
    platform_role: Option<PlatformRole>,
    /// Which models the user's personal keys may call; all by default. Needs the permission
    /// `USER_LIMIT_UPDATE`.
    model_access: Option<ModelAccessInput>,
    /// Budgets of the user, at most 20; those of the settings' `userDefaults` by default. They need
    /// the permission `USER_LIMIT_UPDATE`.
    budgets: Option<Vec<ScopeBudgetInput>>,
    /// Free data, a JSON object; empty by default.
    metadata: Option<Value>,
}

/// A change of a user. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct UserUpdateInput {
    /// The user, by id or external id.
    id: ID,
    /// The new external id. Needs the permission `USER_LIMIT_UPDATE`.
    external_id: MaybeUndefined<String>,
    /// The new e-mail address; null for none. An address is confirmed when an admin gives it, and
    /// not when users give their own.
    email: MaybeUndefined<String>,
    /// The new display name; null for none.
    name: MaybeUndefined<String>,
    /// What the user may do on the platform. Needs the permission `USER_LIMIT_UPDATE`.
    platform_role: Option<PlatformRole>,
    /// Which models the user's personal keys may call; null for all. Needs the permission
    /// `USER_LIMIT_UPDATE`.
    model_access: MaybeUndefined<ModelAccessInput>,
    /// The budgets that the user is to have, all of them; null for none. Needs the permission
    /// `USER_LIMIT_UPDATE`.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// Keys to merge into the metadata: a key with null is deleted. Null clears all.
    metadata: MaybeUndefined<Value>,
    /// What happens to personal keys that would exceed the new limits; refused by default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the user has changed since.
    expected_version: Option<i32>,
}

/// Users to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct UserDeleteInput {
    /// The users, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one user.
    expected_version: Option<i32>,
}

/// A user.
#[derive(Clone, Debug, InputObject)]
pub struct UserIdInput {
    /// The user, by id or external id.
    id: ID,
}

/// The user that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserCreatePayload {
    /// The user.
    user: User,
}

/// The user as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserUpdatePayload {
    /// The user.
    user: User,
}

/// The user as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserBlockPayload {
    /// The user.
    user: User,
}

/// The user as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserUnblockPayload {
    /// The user.
    user: User,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserDeletePayload {
    /// The ids of the users.
    deleted_ids: Vec<ID>,
    /// The number of memberships that went with them.
    deleted_membership_count: i32,
    /// The number of keys that went with them.
    deleted_api_key_count: i32,
}

/// Changes users.
#[derive(Default)]
pub struct UserMutation;

/// Changes users.
#[Object]
impl UserMutation {
    /// Creates a user. Organization admins create users of their organization.
    #[graphql(directive = requires::apply(Permission::UserCreate))]
    async fn user_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new user.")] input: UserCreateInput,
    ) -> Option<ApiResult<UserCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            organization: input.organization_id.map(|id| Reference::parse(&id)),
            email: input.email,
            name: input.name,
            platform_role: input.platform_role.map(Into::into),
            model_access: input.model_access.map(Into::into),
            budgets: input.budgets.map(entries),
            metadata: input.metadata,
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let user = domain::create(tx, input).await?;
                Ok(UserCreatePayload { user: user.into() })
            })
        })
        .await
    }

    /// Updates a user. Fields left out keep their value; null clears. Everybody may change their
    /// own name, address and metadata.
    #[graphql(directive = requires::apply(Permission::UserUpdate))]
    async fn user_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: UserUpdateInput,
    ) -> Option<ApiResult<UserUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            email: same(input.email),
            name: same(input.name),
            platform_role: input.platform_role.map(Into::into),
            model_access: change(input.model_access, Into::into),
            budgets: change(input.budgets, entries),
            metadata: same(input.metadata),
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let user =
                    authorize::<user::Model>(tx, Permission::UserUpdate, &reference, "input.id");
                let user = domain::update(tx, user.await?, input).await?;
                Ok(UserUpdatePayload { user: user.into() })
            })
        })
        .await
    }

    /// Blocks a user: every key of its is refused. Blocking it again changes nothing.
    #[graphql(directive = requires::apply(Permission::UserBlock))]
    async fn user_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user.")] input: UserIdInput,
    ) -> Option<ApiResult<UserBlockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let user =
                    authorize::<user::Model>(tx, Permission::UserBlock, &reference, "input.id");
                let user = domain::block(tx, user.await?).await?;
                Ok(UserBlockPayload { user: user.into() })
            })
        })
        .await
    }

    /// Unblocks a user. What a higher level blocked, a lower level cannot unblock.
    #[graphql(directive = requires::apply(Permission::UserBlock))]
    async fn user_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user.")] input: UserIdInput,
    ) -> Option<ApiResult<UserUnblockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let user =
                    authorize::<user::Model>(tx, Permission::UserBlock, &reference, "input.id");
                let user = domain::unblock(tx, user.await?).await?;
                Ok(UserUnblockPayload { user: user.into() })
            })
        })
        .await
    }

    /// Deletes users with their memberships, keys and budgets: all, or none.
    #[graphql(directive = requires::apply(Permission::UserDelete))]
    async fn user_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The users.")] input: UserDeleteInput,
    ) -> Option<ApiResult<UserDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let deleted = domain::delete(tx, &references, input.expected_version).await?;
                Ok(UserDeletePayload {
                    deleted_ids: deleted.ids.iter().map(|id| ID(id.to_string())).collect(),
                    deleted_membership_count: count(deleted.memberships),
                    deleted_api_key_count: count(deleted.api_keys),
                })
            })
        })
        .await
    }
}
