//! The object `Organization`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, TypeName};
use entity::id::Id;
use entity::organization;
use serde_json::Value;

use super::OrganizationMembership;
use crate::authz::{Permission, Placement, policy};
use crate::db::{Page, PageRequest, page::Rows};
use crate::domain::scope::Scope;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{
    BudgetsOf, OrganizationMemberCountOf, OrganizationMembersOf, TeamCountOf, TeamsOf,
};
use crate::graphql::scalar::Instant;
use crate::graphql::team::Team;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::value::ModelAccess;

/// A tenant under which teams stand.
#[derive(Clone, Debug)]
pub struct Organization(pub(crate) organization::Model);

impl From<organization::Model> for Organization {
    fn from(row: organization::Model) -> Self {
        Self(row)
    }
}

impl TypeName for Organization {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Organization".into()
    }
}

impl Organization {
    fn may(&self, ctx: &Context<'_>, permission: Permission) -> bool {
        let place = Placement::organization(Some(self.0.id));
        policy::allows(ctx.session().actor(), permission, &place)
    }
}

/// A tenant under which teams stand.
#[Object]
impl Organization {
    /// The organization's id, `org_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the platform chose; unique among organizations. Null when none was chosen.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The display name; not unique.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Free data. Null when you may not read it: it is for the organization's admins and those
    /// above.
    async fn metadata(&self, ctx: &Context<'_>) -> Option<&Value> {
        self.may(ctx, Permission::OrganizationDetailRead).then_some(&self.0.metadata)
    }

    /// Which models the organization's teams may call.
    async fn model_access(&self) -> ModelAccess {
        self.0.model_access.clone().into()
    }

    /// The budgets in force on the organization; all must pass; at most 20. Null when you may not
    /// read them: they are for the organization's admins and those above.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        if !self.may(ctx, Permission::BudgetRead) {
            return None;
        }
        let rows = ctx.loader().load_one(BudgetsOf(Scope::organization(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// What was spent in the organization, whatever its budgets are. Null when you may not read it: it is for
    /// the organization's admins and those above.
    async fn spend(&self, ctx: &Context<'_>) -> Option<Spend> {
        if !self.may(ctx, Permission::SpendRead) {
            return None;
        }
        Some(spend_of(Scope::organization(self.0.id)))
    }

    /// The organization's teams that you may see, by name.
    async fn teams(
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
    ) -> Option<ApiResult<Connection<Team>>> {
        let request = connection::request(first, after, last, before);
        Some(self.teams_page(ctx, &request, order_by).await)
    }

    /// The members, oldest membership first: all of them for the organization's admins and those
    /// above, yourself for others.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<OrganizationMembership>>> {
        let request = connection::request(first, after, last, before);
        Some(self.members_page(ctx, &request).await)
    }

    /// Whether you may do this to the organization: for buttons that need not be shown.
    async fn viewer_can(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What you want to do.")] permission: Permission,
    ) -> bool {
        // Who belongs to one of its teams sees it, and holds nothing else over it.
        permission == Permission::OrganizationRead || self.may(ctx, permission)
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the organization was made.
    async fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    async fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    async fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}

impl Organization {
    async fn teams_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
        order: Option<OrderInput>,
    ) -> ApiResult<Connection<Team>> {
        let page = Arc::new(Page::new(request, connection::by_name(order), &"teams")?);
        let rows = ctx.loader().load_one(TeamsOf(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), TeamCountOf(self.0.id));
        Ok(Connection::new(&page, rows, |row| (row.search_text.clone(), row.id.uuid()), count))
    }

    async fn members_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
    ) -> ApiResult<Connection<OrganizationMembership>> {
        let page = Arc::new(Page::new(request, connection::OLDEST_FIRST, &"members")?);
        let key = OrganizationMembersOf(self.0.id, Arc::clone(&page));
        let rows = ctx.loader().load_one(key).await?.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), OrganizationMemberCountOf(self.0.id));
        Ok(Connection::new(&page, rows, |row| (String::new(), row.id.uuid()), count))
    }
}
