//! The root field that moves teams between organizations.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::Team;
use crate::authz::{Permission, Reference};
use crate::domain::team as domain;
use crate::error::Error;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::value::Cascade;

/// A team, and where it is to go.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMoveInput {
    /// The team, by id or external id.
    id: ID,
    /// The organization into which it goes, by id or external id; null for none. Must be given.
    organization_id: MaybeUndefined<ID>,
    /// What happens to the team, its members and its keys if they exceed the limits there; refused
    /// by default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the team has changed since.
    expected_version: Option<i32>,
}

/// The team as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMovePayload {
    /// The team.
    team: Team,
}

/// Moves teams.
#[derive(Default)]
pub struct TeamMoveMutation;

/// Moves teams.
#[Object]
impl TeamMoveMutation {
    /// Moves a team into an organization, or out of it, with its members, keys and own budgets.
    /// `CONFLICT` with the ids of what is in the way: members who do not belong to the new
    /// organization, budgets of the old one, and whatever exceeds the limits of the new one.
    #[graphql(directive = requires::apply(Permission::TeamMove))]
    async fn team_move(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team.")] input: TeamMoveInput,
    ) -> Option<ApiResult<TeamMovePayload>> {
        let organization = match &input.organization_id {
            MaybeUndefined::Undefined => {
                let message = "say into which organization, or null for none";
                return Some(Err(Error::input("input.organizationId", message).into()));
            }
            MaybeUndefined::Null => None,
            MaybeUndefined::Value(id) => Some(Reference::parse(id)),
        };
        let input = domain::Move {
            team: Reference::parse(&input.id),
            organization,
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let team = domain::relocate(tx, input).await?;
                Ok(TeamMovePayload { team: team.into() })
            })
        })
        .await
    }
}
