//! The root fields that change teams.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::team;
use entity::team_membership;
use serde_json::Value;

use super::{Team, TeamMemberDefaultsInput, TeamMemberInput, TeamMembership, UserRefInput};
use crate::authz::{Permission, Reference, authorize};
use crate::domain::user::UserReference;
use crate::domain::{membership, model_alias, team as domain};
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::model_alias::{ModelAliasInput, pairs};
use crate::graphql::value::{
    Cascade, ModelAccessInput, TeamMemberPermission, TeamRole, change, same,
};

/// A new team.
#[derive(Clone, Debug, InputObject)]
pub struct TeamCreateInput {
    /// The display name; 1 to 200 characters.
    name: String,
    /// An id of your own, unique within the organization; 1 to 128 characters without spaces.
    external_id: Option<String>,
    /// The organization above the team, by id or external id; none by default.
    organization_id: Option<ID>,
    /// Free data, a JSON object; empty by default.
    metadata: Option<Value>,
    /// Labels, at most 50.
    #[graphql(default)]
    tags: Vec<String>,
    /// Which models the team may call; all that its organization allows by default.
    model_access: Option<ModelAccessInput>,
    /// Other names for models, at most 200.
    #[graphql(default)]
    model_aliases: Vec<ModelAliasInput>,
    /// Budgets of the team, at most 20; those of the settings' `teamDefaults` by default, and none for
    /// an empty list. All must fit into the organization's.
    budgets: Option<Vec<ScopeBudgetInput>>,
    /// What new members start with; no budgets and all models of the team by default.
    member_defaults: Option<TeamMemberDefaultsInput>,
    /// Members, at most 500, with at most 1,000 budgets in all. You become an admin of the team unless you list yourself otherwise.
    #[graphql(default)]
    members: Vec<TeamMemberInput>,
    /// Whether anybody may join; as the settings' `teamsAreJoinable` says by default.
    is_joinable: Option<bool>,
    /// What plain members may do; nothing more by default.
    #[graphql(default)]
    member_permissions: Vec<TeamMemberPermission>,
    /// Settings that a gateway applies to the team's calls, a JSON object.
    router_settings: Option<Value>,
    /// Names of guardrails that a gateway applies to the team's calls, at most 50.
    #[graphql(default)]
    guardrails: Vec<String>,
}

/// A change of a team. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct TeamUpdateInput {
    /// The team, by id or external id.
    id: ID,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// The new display name; null is refused.
    name: MaybeUndefined<String>,
    /// Keys to merge into the metadata: a key with null is deleted. Null clears all.
    metadata: MaybeUndefined<Value>,
    /// The new labels; null for none.
    tags: MaybeUndefined<Vec<String>>,
    /// Which models the team may call; null for all that its organization allows. Needs the
    /// permission `TEAM_LIMIT_UPDATE`.
    model_access: MaybeUndefined<ModelAccessInput>,
    /// The budgets that the team is to have, all of them: those that are not listed are taken off.
    /// Null for none. Needs the permission `TEAM_LIMIT_UPDATE`.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// What new members start with; members who are there keep what they have. Needs the permission
    /// `TEAM_MEMBER_LIMIT_UPDATE`.
    member_defaults: Option<TeamMemberDefaultsInput>,
    /// Whether anybody may join; null for no.
    is_joinable: MaybeUndefined<bool>,
    /// What plain members may do; null for nothing more.
    member_permissions: MaybeUndefined<Vec<TeamMemberPermission>>,
    /// Settings for gateways, replaced as a whole; null for none.
    router_settings: MaybeUndefined<Value>,
    /// Names of guardrails; null for none.
    guardrails: MaybeUndefined<Vec<String>>,
    /// What happens to members, projects and keys that would exceed the new limits; refused by
    /// default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the team has changed since.
    expected_version: Option<i32>,
}

/// Teams to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct TeamDeleteInput {
    /// The teams, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one team.
    expected_version: Option<i32>,
}

/// A team.
#[derive(Clone, Debug, InputObject)]
pub struct TeamRefInput {
    /// The team, by id or external id.
    id: ID,
}

/// A team to be joined.
#[derive(Clone, Debug, InputObject)]
pub struct TeamJoinInput {
    /// The team, by id or external id.
    team_id: ID,
}

/// Members to be added to a team.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberAddInput {
    /// The team, by id or external id.
    team_id: ID,
    /// The members; 1 to 500, with at most 1,000 budgets in all. All are added, or none.
    members: Vec<TeamMemberInput>,
}

/// A change of a membership. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberUpdateInput {
    /// The team, by id or external id.
    team_id: ID,
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

/// A member to be removed.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberRemoveInput {
    /// The team, by id or external id.
    team_id: ID,
    /// The member; you may remove yourself.
    user: UserRefInput,
    /// The version of the membership that you saw.
    expected_version: Option<i32>,
}

/// Models of a team.
#[derive(Clone, Debug, InputObject)]
pub struct TeamModelInput {
    /// The team, by id or external id.
    team_id: ID,
    /// Names of models, where `*` stands for any text; 1 to 500.
    models: Vec<String>,
    /// What happens to members, projects and keys that list models which are removed; refused by
    /// default.
    #[graphql(default)]
    cascade: Cascade,
}

/// A model alias to be set.
#[derive(Clone, Debug, InputObject)]
pub struct TeamModelAliasSetInput {
    /// The team, by id or external id.
    team_id: ID,
    /// The name that callers use; 1 to 128 characters.
    alias: String,
    /// The name of the model that is meant; 1 to 128 characters.
    target: String,
}

/// A model alias to be removed.
#[derive(Clone, Debug, InputObject)]
pub struct TeamModelAliasRemoveInput {
    /// The team, by id or external id.
    team_id: ID,
    /// The alias.
    alias: String,
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $(#[$fdoc:meta])* $field:ident: $type:ty })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, SimpleObject)]
        pub struct $name {
            $(#[$fdoc])*
            $field: $type,
        }
    )*};
}

payloads! {
    /// The team that was made.
    TeamCreatePayload {
        /// The team.
        team: Team
    }
    /// The team as it is now.
    TeamUpdatePayload {
        /// The team.
        team: Team
    }
    /// The team as it is now.
    TeamBlockPayload {
        /// The team.
        team: Team
    }
    /// The team as it is now.
    TeamUnblockPayload {
        /// The team.
        team: Team
    }
    /// The membership that was made.
    TeamJoinPayload {
        /// The membership.
        membership: TeamMembership
    }
    /// The membership as it is now.
    TeamMemberUpdatePayload {
        /// The membership.
        membership: TeamMembership
    }
    /// The team as it is now.
    TeamModelAddPayload {
        /// The team.
        team: Team
    }
    /// The team as it is now.
    TeamModelRemovePayload {
        /// The team.
        team: Team
    }
    /// The team as it is now.
    TeamModelAliasSetPayload {
        /// The team.
        team: Team
    }
    /// The team as it is now.
    TeamModelAliasRemovePayload {
        /// The team.
        team: Team
    }
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamDeletePayload {
    /// The ids of the teams.
    deleted_ids: Vec<ID>,
    /// The number of memberships that went with them.
    deleted_membership_count: i32,
    /// The number of projects that went with them.
    deleted_project_count: i32,
    /// The number of keys that went with them.
    deleted_api_key_count: i32,
    /// The number of end users that went with them.
    deleted_end_user_count: i32,
}

/// The memberships that were made.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMemberAddPayload {
    /// The team.
    team: Team,
    /// The memberships, in the order of the input.
    memberships: Vec<TeamMembership>,
}

/// What was removed.
#[derive(Clone, Debug, SimpleObject)]
pub struct TeamMemberRemovePayload {
    /// The id of the membership.
    deleted_id: ID,
    /// The number of the member's keys in the team that were deleted.
    deleted_api_key_count: i32,
}

/// A count for an answer; counts beyond 32 bits do not occur.
pub(crate) fn count(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn references(ids: &[ID]) -> Vec<Reference> {
    ids.iter().map(|id| Reference::parse(id)).collect()
}

impl TeamCreateInput {
    fn into_domain(self) -> domain::Create {
        domain::Create {
            external_id: self.external_id,
            organization: self.organization_id.map(|id| Reference::parse(&id)),
            name: self.name,
            metadata: self.metadata,
            tags: self.tags,
            model_access: self.model_access.map(Into::into),
            model_aliases: pairs(self.model_aliases),
            budgets: self.budgets.map(entries),
            member_defaults: self.member_defaults.map(Into::into).unwrap_or_default(),
            members: self.members.into_iter().map(Into::into).collect(),
            is_joinable: self.is_joinable,
            member_permissions: self.member_permissions.into_iter().map(Into::into).collect(),
            router_settings: self.router_settings,
            guardrails: self.guardrails,
        }
    }
}

impl TeamUpdateInput {
    fn into_domain(self) -> domain::Update {
        domain::Update {
            external_id: same(self.external_id),
            name: same(self.name),
            metadata: same(self.metadata),
            tags: same(self.tags),
            model_access: change(self.model_access, Into::into),
            budgets: change(self.budgets, entries),
            member_defaults: self.member_defaults.map(Into::into).unwrap_or_default(),
            is_joinable: same(self.is_joinable),
            member_permissions: change(self.member_permissions, |list| {
                list.into_iter().map(Into::into).collect()
            }),
            router_settings: same(self.router_settings),
            guardrails: same(self.guardrails),
            cascade: self.cascade.into(),
            expected_version: self.expected_version,
        }
    }
}

/// Changes teams.
#[derive(Default)]
pub struct TeamMutation;

/// Changes teams.
#[Object]
impl TeamMutation {
    /// Creates a team. You become its admin, unless you list yourself otherwise or your key has no
    /// user.
    #[graphql(directive = requires::apply(Permission::TeamCreate))]
    async fn team_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new team.")] input: TeamCreateInput,
    ) -> Option<ApiResult<TeamCreatePayload>> {
        let input = input.into_domain();
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let team = domain::create(tx, input).await?;
                Ok(TeamCreatePayload { team: team.into() })
            })
        })
        .await
    }

    /// Updates a team. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::TeamUpdate))]
    async fn team_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: TeamUpdateInput,
    ) -> Option<ApiResult<TeamUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = input.into_domain();
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let team =
                    domain::authorize_limits(tx, Permission::TeamUpdate, &reference, "input.id");
                let team = domain::update(tx, team.await?, input).await?;
                Ok(TeamUpdatePayload { team: team.into() })
            })
        })
        .await
    }

    /// Deletes teams with their memberships, projects, keys, end users, budgets and aliases: all, or
    /// none.
    #[graphql(directive = requires::apply(Permission::TeamDelete))]
    async fn team_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The teams.")] input: TeamDeleteInput,
    ) -> Option<ApiResult<TeamDeletePayload>> {
        let references = references(&input.ids);
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let deleted = domain::delete(tx, &references, input.expected_version).await?;
                Ok(TeamDeletePayload {
                    deleted_ids: deleted.ids.iter().map(|id| ID(id.to_string())).collect(),
                    deleted_membership_count: count(deleted.memberships),
                    deleted_project_count: count(deleted.projects),
                    deleted_api_key_count: count(deleted.api_keys),
                    deleted_end_user_count: count(deleted.end_users),
                })
            })
        })
        .await
    }

    /// Blocks a team: every call of its keys is refused. Blocking it again changes nothing.
    #[graphql(directive = requires::apply(Permission::TeamBlock))]
    async fn team_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team.")] input: TeamRefInput,
    ) -> Option<ApiResult<TeamBlockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let team =
                    authorize::<team::Model>(tx, Permission::TeamBlock, &reference, "input.id");
                let team = domain::block(tx, team.await?).await?;
                Ok(TeamBlockPayload { team: team.into() })
            })
        })
        .await
    }

    /// Unblocks a team. What a higher level blocked, a lower level cannot unblock.
    #[graphql(directive = requires::apply(Permission::TeamBlock))]
    async fn team_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team.")] input: TeamRefInput,
    ) -> Option<ApiResult<TeamUnblockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let team =
                    authorize::<team::Model>(tx, Permission::TeamBlock, &reference, "input.id");
                let team = domain::unblock(tx, team.await?).await?;
                Ok(TeamUnblockPayload { team: team.into() })
            })
        })
        .await
    }

    /// Joins a team that anybody may join: you alone, as a plain member, without a budget.
    #[graphql(directive = requires::apply(Permission::TeamJoin))]
    async fn team_join(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team.")] input: TeamJoinInput,
    ) -> Option<ApiResult<TeamJoinPayload>> {
        let reference = Reference::parse(&input.team_id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let membership = membership::join(tx, &reference).await?;
                Ok(TeamJoinPayload { membership: membership.into() })
            })
        })
        .await
    }

    /// Adds members to a team, with their budgets: all, or none. Team admins add plain members.
    #[graphql(directive = requires::apply(Permission::TeamMemberAdd))]
    async fn team_member_add(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The members.")] input: TeamMemberAddInput,
    ) -> Option<ApiResult<TeamMemberAddPayload>> {
        let reference = Reference::parse(&input.team_id);
        let members: Vec<membership::Add> = input.members.into_iter().map(Into::into).collect();
        mutate(ctx, (reference, members), |tx, (reference, members)| {
            Box::pin(async move {
                let permission = Permission::TeamMemberAdd;
                let team =
                    domain::authorize_limits(tx, permission, &reference, "input.teamId").await?;
                let row = (*team).clone();
                let added = membership::add(tx, team, members).await?;
                Ok(TeamMemberAddPayload {
                    team: row.into(),
                    memberships: added.memberships.into_iter().map(Into::into).collect(),
                })
            })
        })
        .await
    }

    /// Updates a membership. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::TeamMemberLimitUpdate))]
    async fn team_member_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: TeamMemberUpdateInput,
    ) -> Option<ApiResult<TeamMemberUpdatePayload>> {
        let (team, user) = (Reference::parse(&input.team_id), UserReference::from(input.user));
        let update = membership::Update {
            role: input.role.map(Into::into),
            model_access: change(input.model_access, Into::into),
            budgets: change(input.budgets, entries),
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        mutate(ctx, (update, team, user), |tx, (update, team, user)| {
            Box::pin(async move {
                let permission = Permission::TeamMemberLimitUpdate;
                let (team, member) =
                    membership::authorize_member(tx, permission, &team, &user).await?;
                let membership = membership::update(tx, &team, member, update).await?;
                Ok(TeamMemberUpdatePayload { membership: membership.into() })
            })
        })
        .await
    }

    /// Removes a member with its budgets and its keys in the team. You may remove yourself. Team
    /// admins remove plain members.
    #[graphql(directive = requires::apply(Permission::TeamMemberRemove))]
    async fn team_member_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member.")] input: TeamMemberRemoveInput,
    ) -> Option<ApiResult<TeamMemberRemovePayload>> {
        let (team, user) = (Reference::parse(&input.team_id), UserReference::from(input.user));
        let version = input.expected_version;
        mutate(ctx, (team, user, version), |tx, (team, user, version)| {
            Box::pin(async move {
                let permission = Permission::TeamMemberRemove;
                let (team, member) =
                    membership::authorize_member(tx, permission, &team, &user).await?;
                let (row, keys) = membership::remove(tx, &team, member, version).await?;
                let row: team_membership::Model = row;
                Ok(TeamMemberRemovePayload {
                    deleted_id: ID(row.id.to_string()),
                    deleted_api_key_count: count(keys),
                })
            })
        })
        .await
    }

    /// Adds models to a team's list. `CONFLICT` when the team may call all models.
    #[graphql(directive = requires::apply(Permission::TeamLimitUpdate))]
    async fn team_model_add(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The models.")] input: TeamModelInput,
    ) -> Option<ApiResult<TeamModelAddPayload>> {
        let reference = Reference::parse(&input.team_id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::TeamLimitUpdate;
                let team =
                    domain::authorize_limits(tx, permission, &reference, "input.teamId").await?;
                let team = domain::add_models(tx, team, input.models).await?;
                Ok(TeamModelAddPayload { team: team.into() })
            })
        })
        .await
    }

    /// Removes models from a team's list; a list that is left empty becomes `NONE`.
    #[graphql(directive = requires::apply(Permission::TeamLimitUpdate))]
    async fn team_model_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The models.")] input: TeamModelInput,
    ) -> Option<ApiResult<TeamModelRemovePayload>> {
        let reference = Reference::parse(&input.team_id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::TeamLimitUpdate;
                let team =
                    domain::authorize_limits(tx, permission, &reference, "input.teamId").await?;
                let cascade = input.cascade.into();
                let team = domain::remove_models(tx, team, input.models, cascade).await?;
                Ok(TeamModelRemovePayload { team: team.into() })
            })
        })
        .await
    }

    /// Sets a model alias of a team; its other aliases stay.
    #[graphql(directive = requires::apply(Permission::TeamUpdate))]
    async fn team_model_alias_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The alias.")] input: TeamModelAliasSetInput,
    ) -> Option<ApiResult<TeamModelAliasSetPayload>> {
        let reference = Reference::parse(&input.team_id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::TeamUpdate;
                let team =
                    authorize::<team::Model>(tx, permission, &reference, "input.teamId").await?;
                let (alias, target) = (input.alias.clone(), input.target.clone());
                model_alias::set_one(tx, model_alias::Owner::team(&team), alias, target).await?;
                Ok(TeamModelAliasSetPayload { team: team.into_inner().into() })
            })
        })
        .await
    }

    /// Removes a model alias of a team.
    #[graphql(directive = requires::apply(Permission::TeamUpdate))]
    async fn team_model_alias_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The alias.")] input: TeamModelAliasRemoveInput,
    ) -> Option<ApiResult<TeamModelAliasRemovePayload>> {
        let reference = Reference::parse(&input.team_id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::TeamUpdate;
                let team =
                    authorize::<team::Model>(tx, permission, &reference, "input.teamId").await?;
                model_alias::remove(tx, model_alias::Owner::team(&team), &input.alias).await?;
                Ok(TeamModelAliasRemovePayload { team: team.into_inner().into() })
            })
        })
        .await
    }
}
