//! The object `TeamMembership`, and how inputs name members.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, OneofObject};
use entity::role::TeamRole as Role;
use entity::team_membership;
use futures_util::future::join;

use super::Team;
use crate::authz::{Permission, Placement, Reference, policy};
use crate::domain::membership;
use crate::domain::scope::Scope;
use crate::domain::user::UserReference;
use crate::graphql::budget::{BudgetAssignment, ScopeBudgetInput, entries};
use crate::graphql::connection::{self, Connection};
use crate::graphql::context::ContextExt;
use crate::graphql::effective_model::{self, EffectiveModel};
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::BudgetsOf;
use crate::graphql::scalar::Instant;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::user::User;
use crate::graphql::value::{ModelAccess, ModelAccessInput, TeamRole, change};

/// One user in one team.
#[derive(Clone, Debug)]
pub struct TeamMembership(pub(crate) team_membership::Model);

impl From<team_membership::Model> for TeamMembership {
    fn from(row: team_membership::Model) -> Self {
        Self(row)
    }
}

/// One user in one team.
#[Object]
impl TeamMembership {
    /// The membership's id, `member_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The team.
    async fn team(&self, ctx: &Context<'_>) -> Option<ApiResult<Team>> {
        match ctx.loader().load_one(self.0.team_id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The user.
    async fn user(&self, ctx: &Context<'_>) -> Option<ApiResult<User>> {
        match ctx.loader().load_one(self.0.user_id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// What the user is in the team.
    fn role(&self) -> TeamRole {
        self.0.role.into()
    }

    /// Which models the member may call, of those that the team allows.
    fn model_access(&self) -> ModelAccess {
        self.0.model_access.clone().into()
    }

    /// The models that calls of the member in the team may ask for, by name: what the catalogue has of
    /// what the member, the team and its organization allow, with the team's own models and aliases.
    async fn effective_models(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<EffectiveModel>>> {
        let request = connection::request(first, after, last, before);
        Some(effective_model::page(ctx, Scope::membership(self.0.id), &request).await)
    }

    /// The budgets in force on the member; all must pass; at most 20. Null when you may not read
    /// them: they are for the member, the team's admins and those above.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        let (loader, actor) = (ctx.loader(), ctx.session().actor());
        let may = |place: &Placement| policy::allows(actor, Permission::BudgetRead, place);
        let rows = loader.load_one(BudgetsOf(Scope::membership(self.0.id)));
        // Who reads the budgets of the whole platform need not be told where the team stands.
        let rows = if may(&Placement::platform()) {
            rows.await
        } else {
            let (team, rows) = join(loader.load_one(self.0.team_id), rows).await;
            let team = match team {
                Ok(team) => team?,
                Err(error) => return Some(Err(error.into())),
            };
            let place = Placement::team(team.organization_id, team.id);
            if !may(&place.owned_by(Some(self.0.user_id))) {
                return None;
            }
            rows
        };
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// What the member spent in the team, whatever its budgets are. Null when you may not read it: it
    /// is for the member, the team's admins and those above.
    async fn spend(&self, ctx: &Context<'_>) -> Option<ApiResult<Spend>> {
        let actor = ctx.session().actor();
        let may = |place: &Placement| policy::allows(actor, Permission::SpendRead, place);
        if !may(&Placement::platform()) {
            let team = match ctx.loader().load_one(self.0.team_id).await {
                Ok(team) => team?,
                Err(error) => return Some(Err(error.into())),
            };
            let place = Placement::team(team.organization_id, team.id);
            if !may(&place.owned_by(Some(self.0.user_id))) {
                return None;
            }
        }
        Some(Ok(spend_of(Scope::membership(self.0.id))))
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// When the user became a member.
    fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who added the member: the id of a user or key, or `bootstrap`.
    fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When the membership was last changed.
    fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}

/// A user, named in one of two ways.
#[derive(Clone, Debug, OneofObject)]
#[graphql(name = "UserRefInput")]
pub enum UserRefInput {
    /// By id or external id.
    Id(ID),
    /// By e-mail address, whatever its case.
    Email(String),
}

impl From<UserRefInput> for UserReference {
    fn from(input: UserRefInput) -> Self {
        match input {
            UserRefInput::Id(id) => Self::Id(Reference::parse(&id)),
            UserRefInput::Email(email) => Self::Email(email),
        }
    }
}

/// A member to be added to a team.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberInput {
    /// The user. An e-mail address that nobody has yet makes a pending user.
    pub user: UserRefInput,
    /// What the user is to be; a plain member by default. Making admins needs the permission
    /// `TEAM_MEMBER_ROLE_UPDATE`.
    #[graphql(default_with = "TeamRole::Member")]
    pub role: TeamRole,
    /// Which models the member may call; all that the team allows by default.
    pub model_access: Option<ModelAccessInput>,
    /// The member's budgets, at most 20; those of the team's `memberDefaults` by default, and none
    /// for an empty list.
    pub budgets: Option<Vec<ScopeBudgetInput>>,
}

impl From<TeamMemberInput> for membership::Add {
    fn from(input: TeamMemberInput) -> Self {
        Self {
            user: input.user.into(),
            role: Role::from(input.role),
            model_access: input.model_access.map(Into::into),
            budgets: input.budgets.map(entries),
        }
    }
}

/// What new members of a team start with. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct TeamMemberDefaultsInput {
    /// Budgets that each new member has with counters of its own, all of them, at most 20; null for
    /// none. They must fit into the team's. Members who have them get a copy when somebody edits them
    /// through the member, or here.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// Which models new members may call, of those that the team allows; null for all.
    model_access: MaybeUndefined<ModelAccessInput>,
}

impl From<TeamMemberDefaultsInput> for crate::domain::team::MemberDefaults {
    fn from(input: TeamMemberDefaultsInput) -> Self {
        Self {
            budgets: change(input.budgets, entries),
            model_access: change(input.model_access, Into::into),
        }
    }
}
