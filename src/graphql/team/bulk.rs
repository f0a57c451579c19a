//! The root field that changes many members of a team at once.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{TeamMembership, UserRefInput};
use crate::authz::{Permission, Reference};
use crate::domain::membership as domain;
use crate::domain::user::UserReference;
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::value::{Cascade, ModelAccessInput, TeamRole, change};

/// A change of one of several members. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberChangeInput {
    /// The member.
    user: UserRefInput,
    /// What the user is to be. Needs the permission `TEAM_MEMBER_ROLE_UPDATE`.
    role: Option<TeamRole>,
    /// Which models the member may call; null for all that the team allows.
    model_access: MaybeUndefined<ModelAccessInput>,
    /// The budgets that the member is to have, all of them; null for none.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// What happens to the member's keys that would exceed the new limits; refused by default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the membership has changed since.
    expected_version: Option<i32>,
}

impl From<TeamMemberChangeInput> for (UserReference, domain::Update) {
    fn from(input: TeamMemberChangeInput) -> Self {
        let update = domain::Update {
            role: input.role.map(Into::into),
            model_access: change(input.model_access, Into::into),
            budgets: change(input.budgets, entries),
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        (input.user.into(), update)
    }
}

/// Members to be changed, each in its own way.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberBulkUpdateInput {
    /// The team, by id or external id.
    team_id: ID,
    /// The changes; 1 to 100, each of another member. All are made, or none.
    members: Vec<TeamMemberChangeInput>,
}

/// The memberships as they are now.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMemberBulkUpdatePayload {
    /// The memberships, in the order of the input.
    memberships: Vec<TeamMembership>,
}

/// Changes many members.
#[derive(Default)]
pub struct TeamMemberBulkMutation;

/// Changes many members.
#[Object]
impl TeamMemberBulkMutation {
    /// Updates members of a team as `teamMemberUpdate` does: all, or none; new admins first. An error
    /// names the member that it is about in `field`, such as `input.members.3.modelAccess`.
    #[graphql(directive = requires::apply(Permission::TeamMemberLimitUpdate))]
    async fn team_member_bulk_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The changes.")] input: TeamMemberBulkUpdateInput,
    ) -> Option<ApiResult<TeamMemberBulkUpdatePayload>> {
        let reference = Reference::parse(&input.team_id);
        let items: Vec<_> = input.members.into_iter().map(Into::into).collect();
        mutate(ctx, (reference, items), |tx, (reference, items)| {
            Box::pin(async move {
                let memberships = domain::update_many(tx, &reference, items).await?;
                Ok(TeamMemberBulkUpdatePayload {
                    memberships: memberships.into_iter().map(Into::into).collect(),
                })
            })
        })
        .await
    }
}
