//! The root fields that read organizations.

use async_graphql::{Context, ID, InputObject, Object};
use entity::id::Id;
use entity::organization;

use super::Organization;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::field::Faults;
use crate::domain::organization as domain;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::{check_search, user_id};

/// Which organizations a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct OrganizationFilter {
    /// Only organizations whose name or external id has this text, whatever its case; at most 256
    /// characters.
    search: Option<String>,
    /// Only organizations of which this user is a member, by id or external id, as far as you may
    /// see that.
    member_user_id: Option<ID>,
}

/// Reads organizations.
#[derive(Default)]
pub struct OrganizationQuery;

/// Reads organizations.
#[Object]
impl OrganizationQuery {
    /// One organization. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::OrganizationRead))]
    async fn organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The organization's id or external id.")] id: ID,
    ) -> Option<ApiResult<Organization>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The organizations that you may see: those to which you belong, by yourself or through a
    /// team.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::OrganizationRead))]
    async fn organizations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which organizations; all by default.")] filter: Option<
            OrganizationFilter,
        >,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<Organization>>> {
        let request = connection::request(first, after, last, before);
        let read = async {
            let filter = resolve(ctx, filter.unwrap_or_default()).await?;
            let page = Page::new(&request, connection::by_name(order_by), &filter)?;
            let rows = domain::list(ctx.reader(), &filter, &page).await?;
            let reader = ctx.reader().clone();
            let count = move || -> connection::Counting {
                let (reader, filter) = (reader.clone(), filter.clone());
                Box::pin(async move { Ok(domain::count(&reader, &filter).await?) })
            };
            let place = |row: &organization::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: OrganizationFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    faults.finish()?;
    let member_user_id = match &filter.member_user_id {
        None => None,
        Some(id) => Some(user_id(ctx, id).await?),
    };
    Ok(domain::Filter { search: filter.search, member_user_id })
}
