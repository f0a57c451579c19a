//! The root fields that read keys.

use async_graphql::{Context, ID, InputObject, Object};
use entity::api_key;
use entity::id::Id;

use super::ApiKey;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::api_key as domain;
use crate::domain::field::Faults;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::project::project_ids;
use crate::graphql::team::{check_search, user_id};
use crate::graphql::user::team_ids;
use crate::graphql::value::ApiKeyKind;

/// Which keys a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ApiKeyFilter {
    /// Only keys whose name or external id has this text, whatever its case; at most 256
    /// characters.
    search: Option<String>,
    /// Only keys of these kinds.
    kinds: Option<Vec<ApiKeyKind>>,
    /// Only keys of these teams, by id or external id; at most 100.
    team_ids: Option<Vec<ID>>,
    /// Only keys of these projects, by id or external id; at most 100.
    project_ids: Option<Vec<ID>>,
    /// Only keys of this user, by id or external id.
    user_id: Option<ID>,
    /// Only blocked keys, or only others.
    is_blocked: Option<bool>,
    /// Only expired keys, or only others.
    is_expired: Option<bool>,
}

/// Reads keys.
#[derive(Default)]
pub struct ApiKeyQuery;

/// Reads keys.
#[Object]
impl ApiKeyQuery {
    /// One key. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::ApiKeyRead))]
    async fn api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key's id or external id.")] id: ID,
    ) -> Option<ApiResult<ApiKey>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The keys that you may see: your own, and those of teams and organizations that you run.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::ApiKeyRead))]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which keys; all by default.")] filter: Option<ApiKeyFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<ApiKey>>> {
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
            let place = |row: &api_key::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: ApiKeyFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    if let Some(ids) = &filter.team_ids {
        faults.ids("filter.teamIds", ids.len());
    }
    if let Some(ids) = &filter.project_ids {
        faults.ids("filter.projectIds", ids.len());
    }
    faults.finish()?;
    Ok(domain::Filter {
        search: filter.search,
        kinds: filter.kinds.map(|kinds| kinds.into_iter().map(Into::into).collect()),
        team_ids: match &filter.team_ids {
            None => None,
            Some(ids) => Some(team_ids(ctx, ids).await?),
        },
        project_ids: match &filter.project_ids {
            None => None,
            Some(ids) => Some(project_ids(ctx, ids).await?),
        },
        user_ids: match &filter.user_id {
            None => None,
            Some(id) => Some(vec![user_id(ctx, id).await?]),
        },
        is_blocked: filter.is_blocked,
        is_expired: filter.is_expired,
    })
}
