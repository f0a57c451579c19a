//! The root fields that read tags.

use async_graphql::{Context, ID, InputObject, Object};
use entity::id::Id;
use entity::tag;

use super::Tag;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::field::Faults;
use crate::domain::tag as domain;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::check_search;

/// Which tags a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct TagFilter {
    /// Only tags whose name has this text, whatever its case; at most 256 characters.
    search: Option<String>,
    /// Only tags of these organizations, by id or external id; at most 100.
    organization_ids: Option<Vec<ID>>,
}

/// Reads tags.
#[derive(Default)]
pub struct TagQuery;

/// Reads tags.
#[Object]
impl TagQuery {
    /// One tag. Null when there is none, or you may not see it. A name that stands for several in
    /// different organizations is a `CONFLICT`.
    #[graphql(directive = requires::apply(Permission::TagRead))]
    async fn tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The tag's id or name.")] id: ID,
    ) -> Option<ApiResult<Tag>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The tags that you may see: those of organizations that you run.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::TagRead))]
    async fn tags(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which tags; all by default.")] filter: Option<TagFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<Tag>>> {
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
            let place = |row: &tag::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: TagFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    if let Some(ids) = &filter.organization_ids {
        faults.ids("filter.organizationIds", ids.len());
    }
    faults.finish()?;
    let organization_ids = match &filter.organization_ids {
        None => None,
        Some(ids) => {
            let references: Vec<_> = ids.iter().map(|id| Reference::parse(id)).collect();
            Some(crate::domain::organization::ids_of(ctx.reader(), &references).await?)
        }
    };
    Ok(domain::Filter { search: filter.search, organization_ids })
}
