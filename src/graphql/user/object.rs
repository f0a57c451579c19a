//! The object `User`.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, TypeName};
use entity::id::Id;
use entity::user;
use serde_json::Value;

use crate::authz::{Permission, Placement, policy};
use crate::db::{Page, PageRequest, page::Rows};
use crate::domain::scope::Scope;
use crate::graphql::api_key::ApiKey;
use crate::graphql::budget::BudgetAssignment;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{
    BudgetsOf, KeyCountOfUser, KeysOfUser, MembershipCountOf, MembershipsOf, PlacementOf,
};
use crate::graphql::organization::Organization;
use crate::graphql::scalar::Instant;
use crate::graphql::team::TeamMembership;
use crate::graphql::usage::{Spend, spend_of};
use crate::graphql::value::{BlockLevel, EmailConfirmation, ModelAccess, PlatformRole};

/// A person behind keys and memberships.
#[derive(Clone, Debug)]
pub struct User(pub(crate) user::Model);

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self(row)
    }
}

impl TypeName for User {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "User".into()
    }
}

impl User {
    /// Whether the caller may read what concerns the person alone.
    fn shows_details(&self, ctx: &Context<'_>) -> bool {
        self.allows(ctx, Permission::UserDetailRead)
    }

    fn allows(&self, ctx: &Context<'_>, permission: Permission) -> bool {
        let place = Placement::person(self.0.id, self.0.organization_id);
        policy::allows(ctx.session().actor(), permission, &place)
    }

    /// Whether the caller may read how to reach the person.
    async fn shows_contact(&self, ctx: &Context<'_>) -> ApiResult<bool> {
        if self.allows(ctx, Permission::UserContactRead) {
            return Ok(true);
        }
        let place = ctx.loader().load_one(PlacementOf(self.0.id)).await?.unwrap_or_default();
        Ok(policy::allows(ctx.session().actor(), Permission::UserContactRead, &place))
    }
}

/// A person behind keys and memberships.
#[Object]
impl User {
    /// The user's id, `user_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the platform chose; unique among users. Null when none was chosen.
    fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The organization that manages the user: its admins may change, block and delete the user
    /// while it belongs nowhere else. Null when the platform manages it, or you may not see the
    /// organization.
    async fn organization(&self, ctx: &Context<'_>) -> Option<ApiResult<Organization>> {
        let id = self.0.organization_id?;
        match ctx.loader().load_one(id).await {
            Ok(row) => row.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The e-mail address. Null when it is unknown, or you may not read it: it is for the user, for
    /// admins of its teams and for those above.
    async fn email(&self, ctx: &Context<'_>) -> Option<ApiResult<&str>> {
        match self.shows_contact(ctx).await {
            Ok(true) => self.0.email.as_deref().map(Ok),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Who says that the address is the user's; null for one that users give themselves, by which
    /// nobody finds them.
    fn email_confirmed_by(&self) -> Option<EmailConfirmation> {
        self.0.email_confirmed_by.map(Into::into)
    }

    /// The display name; null while the user is known by an address only.
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Whether the user is known by an e-mail address only: somebody invited it, and it has not
    /// come yet.
    fn is_pending(&self) -> bool {
        self.0.name.is_none() && self.0.external_id.is_none()
    }

    /// What the user may do on the platform. Null when you may not read it: it is for the user, for
    /// admins of the organization that manages it and for those above.
    fn platform_role(&self, ctx: &Context<'_>) -> Option<PlatformRole> {
        self.shows_details(ctx).then(|| self.0.platform_role.into())
    }

    /// Which models the user's personal keys may call. Null when you may not read it, as with
    /// `platformRole`.
    fn model_access(&self, ctx: &Context<'_>) -> Option<ModelAccess> {
        self.shows_details(ctx).then(|| self.0.model_access.clone().into())
    }

    /// Whether every key of the user is refused. Null when you may not read it, as with
    /// `platformRole`.
    fn is_blocked(&self, ctx: &Context<'_>) -> Option<bool> {
        self.shows_details(ctx).then_some(self.0.blocked_by.is_some())
    }

    /// Who blocked the user; null when it is not blocked, or you may not read it.
    fn blocked_by(&self, ctx: &Context<'_>) -> Option<BlockLevel> {
        self.0.blocked_by.filter(|_| self.shows_details(ctx)).map(Into::into)
    }

    /// Free data. Null when you may not read it, as with `platformRole`.
    fn metadata(&self, ctx: &Context<'_>) -> Option<&Value> {
        self.shows_details(ctx).then_some(&self.0.metadata)
    }

    /// The budgets in force on the user; all must pass; at most 20. Null when you may not read
    /// them: they are for the user and those who run the platform.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        let place = Placement::person(self.0.id, None);
        let actor = ctx.session().actor();
        if ![Permission::UserDetailRead, Permission::BudgetRead]
            .iter()
            .all(|permission| policy::allows(actor, *permission, &place))
        {
            return None;
        }
        let rows = ctx.loader().load_one(BudgetsOf(Scope::user(self.0.id))).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// What the user spent everywhere, whatever its budgets are. Null when you may not read it: it
    /// is for the user and those who run the platform.
    async fn spend(&self, ctx: &Context<'_>) -> Option<Spend> {
        let place = Placement::person(self.0.id, None);
        let actor = ctx.session().actor();
        let permissions = [Permission::UserDetailRead, Permission::SpendRead];
        if !permissions.iter().all(|permission| policy::allows(actor, *permission, &place)) {
            return None;
        }
        Some(spend_of(Scope::user(self.0.id)))
    }

    /// The user's memberships in teams that you may see, oldest first.
    async fn team_memberships(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<TeamMembership>>> {
        let request = connection::request(first, after, last, before);
        Some(self.memberships_page(ctx, &request).await)
    }

    /// The user's keys that you may see, by name. Their secrets are not shown.
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

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// When the user was made.
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

impl User {
    async fn memberships_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
    ) -> ApiResult<Connection<TeamMembership>> {
        let page = Arc::new(Page::new(request, connection::OLDEST_FIRST, &"memberships")?);
        let rows = ctx.loader().load_one(MembershipsOf(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), MembershipCountOf(self.0.id));
        Ok(Connection::new(&page, rows, |row| (String::new(), row.id.uuid()), count))
    }

    async fn keys_page(
        &self,
        ctx: &Context<'_>,
        request: &PageRequest,
        order: Option<OrderInput>,
    ) -> ApiResult<Connection<ApiKey>> {
        let page = Arc::new(Page::new(request, connection::by_name(order), &"keys")?);
        let rows = ctx.loader().load_one(KeysOfUser(self.0.id, Arc::clone(&page))).await?;
        let rows = rows.unwrap_or_else(Rows::empty);
        let count = connection::counted(ctx.loader(), KeyCountOfUser(self.0.id));
        Ok(Connection::new(&page, rows, |row| (row.search_text.clone(), row.id.uuid()), count))
    }
}
