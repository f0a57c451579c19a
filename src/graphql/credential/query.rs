//! The root fields that read credentials.

use async_graphql::{Context, ID, InputObject, Object};
use entity::credential;
use entity::id::Id;

use super::Credential;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::credential as domain;
use crate::domain::field::Faults;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::check_search;
use crate::graphql::user::team_ids;

/// Which credentials a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct CredentialFilter {
    /// Only credentials whose name or external id has this text, whatever its case; at most 256
    /// characters.
    search: Option<String>,
    /// Only credentials of these teams, by id or external id; at most 100.
    team_ids: Option<Vec<ID>>,
}

/// Reads credentials.
#[derive(Default)]
pub struct CredentialQuery;

/// Reads credentials.
#[Object]
impl CredentialQuery {
    /// One credential, without its secrets. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::CredentialRead))]
    async fn credential(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credential's id or external id.")] id: ID,
    ) -> Option<ApiResult<Credential>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The credentials that you may see, without their secrets: those of teams that you look after.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::CredentialRead))]
    async fn credentials(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which credentials; all by default.")] filter: Option<CredentialFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<Credential>>> {
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
            let place = |row: &credential::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: CredentialFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    if let Some(ids) = &filter.team_ids {
        faults.ids("filter.teamIds", ids.len());
    }
    faults.finish()?;
    let team_ids = match &filter.team_ids {
        None => None,
        Some(ids) => Some(team_ids(ctx, ids).await?),
    };
    Ok(domain::Filter { search: filter.search, team_ids })
}
