//! The root fields that change organizations and who belongs to them.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::organization;
use serde_json::Value;

use super::member::OrganizationMemberInput;
use super::{Organization, OrganizationMembership};
use crate::authz::{Permission, Reference, authorize};
use crate::domain::user::UserReference;
use crate::domain::{organization as domain, organization_membership as membership};
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::team::{UserRefInput, count};
use crate::graphql::value::{Cascade, ModelAccessInput, OrganizationRole, change, same};

/// A new organization.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationCreateInput {
    /// The display name; 1 to 200 characters.
    name: String,
    /// An id of your own, unique among organizations; 1 to 128 characters without spaces.
    external_id: Option<String>,
    /// Free data, a JSON object; empty by default.
    metadata: Option<Value>,
    /// Which models the organization's teams may call; all by default.
    model_access: Option<ModelAccessInput>,
    /// Budgets of the organization, at most 20.
    #[graphql(default)]
    budgets: Vec<ScopeBudgetInput>,
}

/// A change of an organization. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationUpdateInput {
    /// The organization, by id or external id.
    id: ID,
    /// The new external id; null for none. Needs the permission `ORGANIZATION_LIMIT_UPDATE`.
    external_id: MaybeUndefined<String>,
    /// The new display name; null is refused.
    name: MaybeUndefined<String>,
    /// Keys to merge into the metadata: a key with null is deleted. Null clears all.
    metadata: MaybeUndefined<Value>,
    /// Which models the organization's teams may call; null for all. Needs the permission
    /// `ORGANIZATION_LIMIT_UPDATE`.
    model_access: MaybeUndefined<ModelAccessInput>,
    /// The budgets that the organization is to have, all of them: those that are not listed are
    /// taken off. Null for none. Needs the permission `ORGANIZATION_LIMIT_UPDATE`.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// What happens to teams, members and keys that would exceed the new limits; refused by
    /// default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the organization has changed since.
    expected_version: Option<i32>,
}

/// Organizations to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationDeleteInput {
    /// The organizations, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one organization.
    expected_version: Option<i32>,
}

/// Members to be added to an organization.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationMemberAddInput {
    /// The organization, by id or external id.
    organization_id: ID,
    /// The members; 1 to 500. All are added, or none.
    members: Vec<OrganizationMemberInput>,
}

/// A change of a membership.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationMemberUpdateInput {
    /// The organization, by id or external id.
    organization_id: ID,
    /// The member.
    user: UserRefInput,
    /// What the user is to be.
    role: OrganizationRole,
    /// The version that you saw; `CONFLICT` when the membership has changed since.
    expected_version: Option<i32>,
}

/// A member to be removed.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationMemberRemoveInput {
    /// The organization, by id or external id.
    organization_id: ID,
    /// The member.
    user: UserRefInput,
    /// The version of the membership that you saw.
    expected_version: Option<i32>,
}

/// The organization that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct OrganizationCreatePayload {
    /// The organization.
    organization: Organization,
}

/// The organization as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct OrganizationUpdatePayload {
    /// The organization.
    organization: Organization,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct OrganizationDeletePayload {
    /// The ids of the organizations.
    deleted_ids: Vec<ID>,
    /// The number of teams that went with them.
    deleted_team_count: i32,
    /// The number of team memberships that went with them.
    deleted_membership_count: i32,
    /// The number of keys that went with them.
    deleted_api_key_count: i32,
    /// The number of end users that went with them, those of their teams among them.
    deleted_end_user_count: i32,
    /// The number of tags that went with them.
    deleted_tag_count: i32,
    /// The number of users whom they managed and the platform manages now.
    released_user_count: i32,
}

/// The memberships that were made.
#[derive(Clone, Debug, SimpleObject)]
pub struct OrganizationMemberAddPayload {
    /// The organization.
    organization: Organization,
    /// The memberships, in the order of the input.
    memberships: Vec<OrganizationMembership>,
}

/// The membership as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct OrganizationMemberUpdatePayload {
    /// The membership.
    membership: OrganizationMembership,
}

/// What was removed.
#[derive(Clone, Debug, SimpleObject)]
pub struct OrganizationMemberRemovePayload {
    /// The id of the membership.
    deleted_id: ID,
    /// The number of the member's memberships in the organization's teams that went with it.
    deleted_team_membership_count: i32,
    /// The number of the member's keys in these teams that were deleted.
    deleted_api_key_count: i32,
}

/// Changes organizations.
#[derive(Default)]
pub struct OrganizationMutation;

/// Changes organizations.
#[Object]
impl OrganizationMutation {
    /// Creates an organization.
    #[graphql(directive = requires::apply(Permission::OrganizationCreate))]
    async fn organization_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new organization.")] input: OrganizationCreateInput,
    ) -> Option<ApiResult<OrganizationCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            name: input.name,
            metadata: input.metadata,
            model_access: input.model_access.map(Into::into),
            budgets: entries(input.budgets),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let organization = domain::create(tx, input).await?;
                Ok(OrganizationCreatePayload { organization: organization.into() })
            })
        })
        .await
    }

    /// Updates an organization. Fields left out keep their value; null clears. Its own admins
    /// change name and metadata.
    #[graphql(directive = requires::apply(Permission::OrganizationUpdate))]
    async fn organization_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: OrganizationUpdateInput,
    ) -> Option<ApiResult<OrganizationUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            name: same(input.name),
            metadata: same(input.metadata),
            model_access: change(input.model_access, Into::into),
            budgets: change(input.budgets, entries),
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::OrganizationUpdate;
                let row = authorize::<organization::Model>(tx, permission, &reference, "input.id");
                let organization = domain::update(tx, row.await?, input).await?;
                Ok(OrganizationUpdatePayload { organization: organization.into() })
            })
        })
        .await
    }

    /// Deletes organizations with their teams, memberships, keys and budgets: all, or none. The
    /// users whom they managed stay, and are managed by the platform.
    #[graphql(directive = requires::apply(Permission::OrganizationDelete))]
    async fn organization_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The organizations.")] input: OrganizationDeleteInput,
    ) -> Option<ApiResult<OrganizationDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let deleted = domain::delete(tx, &references, input.expected_version).await?;
                Ok(OrganizationDeletePayload {
                    deleted_ids: deleted.ids.iter().map(|id| ID(id.to_string())).collect(),
                    deleted_team_count: count(deleted.teams.ids.len() as u64),
                    deleted_membership_count: count(deleted.teams.memberships),
                    deleted_api_key_count: count(deleted.teams.api_keys),
                    deleted_end_user_count: count(deleted.end_users + deleted.teams.end_users),
                    deleted_tag_count: count(deleted.tags),
                    released_user_count: count(deleted.released_users),
                })
            })
        })
        .await
    }

    /// Adds members to an organization: all, or none. People who run or watch the platform are
    /// added by its admins alone.
    #[graphql(directive = requires::apply(Permission::OrganizationMemberAdd))]
    async fn organization_member_add(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The members.")] input: OrganizationMemberAddInput,
    ) -> Option<ApiResult<OrganizationMemberAddPayload>> {
        let reference = Reference::parse(&input.organization_id);
        let members: Vec<membership::Add> = input.members.into_iter().map(Into::into).collect();
        mutate(ctx, (reference, members), |tx, (reference, members)| {
            Box::pin(async move {
                let (permission, field) =
                    (Permission::OrganizationMemberAdd, "input.organizationId");
                let organization =
                    authorize::<organization::Model>(tx, permission, &reference, field).await?;
                let row = (*organization).clone();
                let memberships = membership::add(tx, organization, members).await?;
                Ok(OrganizationMemberAddPayload {
                    organization: row.into(),
                    memberships: memberships.into_iter().map(Into::into).collect(),
                })
            })
        })
        .await
    }

    /// Makes a member an admin of the organization, or an admin a member. `CONFLICT` when you are
    /// the organization's last admin; admins of the platform may leave it without one.
    #[graphql(directive = requires::apply(Permission::OrganizationMemberUpdate))]
    async fn organization_member_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: OrganizationMemberUpdateInput,
    ) -> Option<ApiResult<OrganizationMemberUpdatePayload>> {
        let reference = Reference::parse(&input.organization_id);
        let user = UserReference::from(input.user);
        let change = (input.role.into(), input.expected_version);
        mutate(ctx, (reference, user, change), |tx, (reference, user, (role, version))| {
            Box::pin(async move {
                let permission = Permission::OrganizationMemberUpdate;
                let member =
                    membership::authorize_member(tx, permission, &reference, &user, false).await?;
                let membership = membership::update(tx, member, role, version).await?;
                Ok(OrganizationMemberUpdatePayload { membership: membership.into() })
            })
        })
        .await
    }

    /// Removes a member from an organization and from its teams, with the budgets and keys that the
    /// member has there. A user whom the organization manages is managed by the platform then.
    #[graphql(directive = requires::apply(Permission::OrganizationMemberRemove))]
    async fn organization_member_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member.")] input: OrganizationMemberRemoveInput,
    ) -> Option<ApiResult<OrganizationMemberRemovePayload>> {
        let reference = Reference::parse(&input.organization_id);
        let user = UserReference::from(input.user);
        let version = input.expected_version;
        mutate(ctx, (reference, user, version), |tx, (reference, user, version)| {
            Box::pin(async move {
                let permission = Permission::OrganizationMemberRemove;
                let member =
                    membership::authorize_member(tx, permission, &reference, &user, true).await?;
                let removed = membership::remove(tx, member, version).await?;
                Ok(OrganizationMemberRemovePayload {
                    deleted_id: ID(removed.membership.id.to_string()),
                    deleted_team_membership_count: count(removed.team_memberships),
                    deleted_api_key_count: count(removed.api_keys),
                })
            })
        })
        .await
    }
}
