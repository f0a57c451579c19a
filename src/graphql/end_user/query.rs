//! The root fields that read end users.

use async_graphql::{Context, ID, InputObject, Object};
use entity::end_user;
use entity::id::Id;

use super::EndUser;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::end_user as domain;
use crate::domain::field::Faults;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::check_search;

/// Which end users a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct EndUserFilter {
    /// Only end users whose name or external id has this text, whatever its case; at most 256
    /// characters.
    search: Option<String>,
    /// Only end users of these organizations and of their teams, by id or external id; at most 100.
    organization_ids: Option<Vec<ID>>,
    /// Only end users of these teams, by id or external id; at most 100.
    team_ids: Option<Vec<ID>>,
    /// Only blocked end users, or only others.
    is_blocked: Option<bool>,
}

/// Reads end users.
#[derive(Default)]
pub struct EndUserQuery;

/// Reads end users.
#[Object]
impl EndUserQuery {
    /// One end user. Null when there is none, or you may not see it. An external id that names
    /// several in different places is a `CONFLICT`.
    #[graphql(directive = requires::apply(Permission::EndUserRead))]
    async fn end_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The end user's id or external id.")] id: ID,
    ) -> Option<ApiResult<EndUser>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The end users that you may see: those of teams and organizations that you run.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::EndUserRead))]
    async fn end_users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which end users; all by default.")] filter: Option<EndUserFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<EndUser>>> {
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
            let place = |row: &end_user::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: EndUserFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    for (field, ids) in
        [("filter.organizationIds", &filter.organization_ids), ("filter.teamIds", &filter.team_ids)]
    {
        if let Some(ids) = ids {
            faults.ids(field, ids.len());
        }
    }
    faults.finish()?;
    let references = |ids: &[ID]| -> Vec<_> { ids.iter().map(|id| Reference::parse(id)).collect() };
    let organization_ids = match &filter.organization_ids {
        None => None,
        Some(ids) => {
            let ids = references(ids);
            Some(crate::domain::organization::ids_of(ctx.reader(), &ids).await?)
        }
    };
    let team_ids = match &filter.team_ids {
        None => None,
        Some(ids) => Some(crate::domain::team::ids_of(ctx.reader(), &references(ids)).await?),
    };
    Ok(domain::Filter {
        search: filter.search,
        organization_ids,
        team_ids,
        is_blocked: filter.is_blocked,
    })
}
