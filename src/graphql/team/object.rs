//! The object `Team`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use entity::id::Id;
use entity::team;
use serde_json::Value;

use super::TeamMembership;
use crate::authz::{Permission, Placement, policy};
use crate::db::{Page, PageRequest, page::Rows};
use crate::domain::scope::Scope;
use crate::graphql::api_key::ApiKey;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::effective_model::{self, EffectiveModel};
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{
    AliasesOf, BudgetsOf, KeyCountOfTeam, KeysOfTeam, MemberCountOf, MembersOf, ProjectCountOf,
    ProjectsOf,
};
use crate::graphql::model_alias::ModelAlias;
use crate::graphql::organization::Organization;
use crate::graphql::project::Project;
use crate::graphql::scalar::Instant;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::value::{BlockLevel, ModelAccess, TeamMemberPermission};

/// A group of people that share keys, models and budgets.
#[derive(Clone, Debug)]
pub struct Team(pub(crate) team::Model);

impl From<team::Model> for Team {
    fn from(row: team::Model) -> Self {
        Self(row)
    }
}

impl Team {
    pub(crate) fn place(&self) -> Placement {
        Placement::team(self.0.organization_id, self.0.id)
    }

    fn may(&self, ctx: &Context<'_>, permission: Permission) -> bool {
        policy::allows(ctx.session().actor(), permission, &self.place())
    }
}

/// What new members of a team start with.
#[derive(Clone, Debug)]
pub struct TeamMemberDefaults(team::Model);

/// What new members of a team start with.
#[Object]
impl TeamMemberDefaults {
    /// Budgets that each new member has, with counters of its own; at most 20.
    async fn budgets(&self, ctx: &Context<'_>) -> ApiResult<Vec<BudgetAssignment>> {
        let rows = ctx.loader().load_one(BudgetsOf(Scope::member_default(self.0.id))).await;
        rows.map_err(ApiError::from)
            .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect())
    }

    /// Which models new members may call, of those that the team allows.
    fn model_access(&self) -> ModelAccess {
        self.0.member_model_access.clone().into()
    }
}

/// A group of people that share keys, models and budgets.
#[Object]
impl Team {
    /// The team's id, `team_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose; unique within the organization. Null when none was chosen.
    fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The display name; not unique.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The organization above the team; null when the team stands under the platform itself.
    async fn organization(&self, ctx: &Context<'_>) -> Option<ApiResult<Organization>> {
        let id = self.0.organization_id?;
        match ctx.loader().load_one(id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Free data. Null when you may not read it: it is for the team's admins and those above.
    fn metadata(&self, ctx: &Context<'_>) -> Option<&Value> {
        self.may(ctx, Permission::TeamDetailRead).then_some(&self.0.metadata)
    }

    /// Labels.
    fn tags(&self) -> &[String] {
        &self.0.tags.0
    }

    /// Which models the team may call, of those that its organization allows.
    fn model_access(&self) -> ModelAccess {
        self.0.model_access.clone().into()
    }

    /// Other names for models, in the order of the alphabet; at most 200.
    async fn model_aliases(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<ModelAlias>>> {
        let rows = ctx.loader().load_one(AliasesOf(Scope::team(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// The models that calls of the team may ask for, by name: what the catalogue has of what the team
    /// and its organization allow, with the team's own models and its aliases. A key or project may
    /// have less.
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
        Some(effective_model::page(ctx, Scope::team(self.0.id), &request).await)
    }

    /// Whether every call of the team's keys is refused.
    fn is_blocked(&self) -> bool {
        self.0.blocked_by.is_some()
    }

    /// Who blocked the team; null when it is not blocked.
    fn blocked_by(&self) -> Option<BlockLevel> {
        self.0.blocked_by.map(Into::into)
    }

    /// Whether anybody may join as a plain member.
    fn is_joinable(&self) -> bool {
        self.0.is_joinable
    }

    /// What plain members may do beside what every member may.
    fn member_permissions(&self) -> Vec<TeamMemberPermission> {
        self.0.member_permissions.0.iter().map(|permission| (*permission).into()).collect()
    }

    /// Settings that a gateway applies to the team's calls. Null when there are none, or you may
    /// not read them.
    fn router_settings(&self, ctx: &Context<'_>) -> Option<&Value> {
        self.0.router_settings.as_ref().filter(|_| self.may(ctx, Permission::TeamDetailRead))
    }

    /// Names of guardrails that a gateway applies to the team's calls.
    fn guardrails(&self) -> &[String] {
        &self.0.guardrails.0
    }

    /// What new members start with. Null when you may not read it: it is for the team's admins and
    /// those above.
    fn member_defaults(&self, ctx: &Context<'_>) -> Option<TeamMemberDefaults> {
        let readable = self.may(ctx, Permission::TeamDetailRead);
        readable.then(|| TeamMemberDefaults(self.0.clone()))
    }

    /// The budgets in force on the team; all must pass; at most 20. Null when you may not read
    /// them: they are for the team's admins and those above.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        if !self.may(ctx, Permission::BudgetRead) {
            return None;
        }
        let rows = ctx.loader().load_one(BudgetsOf(Scope::team(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// What was spent in the team, whatever its budgets are. Null when you may not read it: it is for
    /// the team's admins and those above.
    async fn spend(&self, ctx: &Context<'_>) -> Option<Spend> {
        if !self.may(ctx, Permission::SpendRead) {
            return None;
        }
        Some(spend_of(Scope::team(self.0.id)))
    }

    /// The members, oldest membership first.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<TeamMembership>>> {
        let request = connection::request(first, after, last, before);
        Some(self.members_page(ctx, &request).await)
    }

    /// The keys of the team that you may see, by name. Their secrets are not shown.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
    ) -> Option<ApiResult<Connection<ApiKey>>> {
        let request = connection::request(first, after, last, before);
        Some(self.keys_page(ctx, &request, order_by).await)
    }

    /// The projects of the team, by name.
    async fn projects(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
    ) -> Option<ApiResult<Connection<Project>>> {
        let request = connection::request(first, after, last, before);
        Some(self.projects_page(ctx, &request, order_by).await)
    }

    /// Whether you may do this to the team: for buttons that need not be shown.
    fn viewer_can(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What you want to do.")] permission: Permission,
    ) -> bool {
        self.may(ctx, permission)
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// When the team was made.
    fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}

impl Team {
    async fn members_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
    ) -> ApiResult<Connection<TeamMembership>> {
        let page = Arc::new(Page::new(request, connection::OLDEST_FIRST, &"members")?);
        let rows = ctx.loader().load_one(MembersOf(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), MemberCountOf(self.0.id));
        Ok(Connection::new(&page, rows, |row| (String::new(), row.id.uuid()), count))
    }

    async fn projects_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
        order: Option<OrderInput>,
    ) -> ApiResult<Connection<Project>> {
        let page = Arc::new(Page::new(request, connection::by_name(order), &"projects")?);
        let rows = ctx.loader().load_one(ProjectsOf(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), ProjectCountOf(self.0.id));
        Ok(Connection::new(&page, rows, |row| (row.search_text.clone(), row.id.uuid()), count))
    }

    async fn keys_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
        order: Option<OrderInput>,
    ) -> ApiResult<Connection<ApiKey>> {
        let page = Arc::new(Page::new(request, connection::by_name(order), &"keys")?);
        let rows = ctx.loader().load_one(KeysOfTeam(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), KeyCountOfTeam(self.0.id));
        Ok(Connection::new(&page, rows, |row| (row.search_text.clone(), row.id.uuid()), count))
    }
}
