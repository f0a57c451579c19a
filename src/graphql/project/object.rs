//! The object `Project`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, TypeName};
use entity::id::Id;
use entity::project;
use serde_json::Value;

use crate::authz::{Permission, Placement, policy};
use crate::db::{Page, PageRequest, page::Rows};
use crate::domain::scope::Scope;
use crate::graphql::api_key::ApiKey;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::effective_model::{self, EffectiveModel};
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{BudgetsOf, KeyCountOfProject, KeysOfProject};
use crate::graphql::scalar::Instant;
use crate::graphql::team::Team;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::value::{BlockLevel, ModelAccess};

/// A part of a team, with keys, models and budgets of its own.
#[derive(Clone, Debug)]
pub struct Project(pub(crate) project::Model);

impl From<project::Model> for Project {
    fn from(row: project::Model) -> Self {
        Self(row)
    }
}

impl TypeName for Project {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Project".into()
    }
}

impl Project {
    fn may(&self, ctx: &Context<'_>, permission: Permission) -> bool {
        let place = Placement::team(self.0.organization_id, self.0.team_id);
        policy::allows(ctx.session().actor(), permission, &place)
    }
}

/// A part of a team, with keys, models and budgets of its own.
#[Object]
impl Project {
    /// The project's id, `project_` and 32 hexadecimal digits.
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

    /// What the project is about; null for nothing said.
    fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The team to which the project belongs.
    async fn team(&self, ctx: &Context<'_>) -> Option<ApiResult<Team>> {
        match ctx.loader().load_one(self.0.team_id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Which models the project may call, of those that its team allows.
    fn model_access(&self) -> ModelAccess {
        self.0.model_access.clone().into()
    }

    /// The models that calls of the project may ask for, by name: what the catalogue has of what the
    /// project, its team and its organization allow, with the team's own models and its aliases.
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
        Some(effective_model::page(ctx, Scope::project(self.0.id), &request).await)
    }

    /// Free data. Null when you may not read it: it is for the team's admins and those above.
    fn metadata(&self, ctx: &Context<'_>) -> Option<&Value> {
        self.may(ctx, Permission::ProjectDetailRead).then_some(&self.0.metadata)
    }

    /// Labels.
    fn tags(&self) -> &[String] {
        &self.0.tags.0
    }

    /// What a gateway lets the project's calls reach, as it was given. Null when nothing was said,
    /// or you may not read it.
    fn object_permissions(&self, ctx: &Context<'_>) -> Option<&Value> {
        let permissions = self.0.object_permissions.as_ref();
        permissions.filter(|_| self.may(ctx, Permission::ProjectDetailRead))
    }

    /// Whether every call of the project's keys is refused. Its team may be blocked as well.
    fn is_blocked(&self) -> bool {
        self.0.blocked_by.is_some()
    }

    /// Who blocked the project; null when it is not blocked.
    fn blocked_by(&self) -> Option<BlockLevel> {
        self.0.blocked_by.map(Into::into)
    }

    /// The budgets in force on the project; all must pass; at most 20. Null when you may not read
    /// them: they are for the team's admins and those above.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        if !self.may(ctx, Permission::BudgetRead) {
            return None;
        }
        let rows = ctx.loader().load_one(BudgetsOf(Scope::project(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// What was spent in the project, whatever its budgets are. Null when you may not read it: it is for
    /// the team's admins and those above.
    async fn spend(&self, ctx: &Context<'_>) -> Option<Spend> {
        if !self.may(ctx, Permission::SpendRead) {
            return None;
        }
        Some(spend_of(Scope::project(self.0.id)))
    }

    /// The keys of the project that you may see, by name. Their secrets are not shown.
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

    /// Whether you may do this to the project: for buttons that need not be shown.
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

    /// When the project was made.
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

impl Project {
    async fn keys_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
        order: Option<OrderInput>,
    ) -> ApiResult<Connection<ApiKey>> {
        let page = Arc::new(Page::new(request, connection::by_name(order), &"keys")?);
        let rows = ctx.loader().load_one(KeysOfProject(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), KeyCountOfProject(self.0.id));
        Ok(Connection::new(&page, rows, |row| (row.search_text.clone(), row.id.uuid()), count))
    }
}
