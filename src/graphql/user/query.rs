//! The root fields that read users.

use async_graphql::{Context, ID, InputObject, Object};
use entity::id::{Id, TeamId};
use entity::user;

use super::User;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::field::Faults;
use crate::domain::user as domain;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::check_search;
use crate::graphql::value::PlatformRole;

/// Which users a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct UserFilter {
    /// Only users whose name or external id has this text, whatever its case, or whose e-mail
    /// address if you read the whole platform; at most 256 characters.
    search: Option<String>,
    /// Only users with one of these platform roles.
    platform_roles: Option<Vec<PlatformRole>>,
    /// Only members of these teams, by id or external id; at most 100.
    team_ids: Option<Vec<ID>>,
    /// Only blocked users, or only others.
    is_blocked: Option<bool>,
}

/// Reads users.
#[derive(Default)]
pub struct UserQuery;

/// Reads users.
#[Object]
impl UserQuery {
    /// One user. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::UserRead))]
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id or external id.")] id: ID,
    ) -> Option<ApiResult<User>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The users that you may see: yourself, those of your teams, and those of organizations that
    /// you run.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::UserRead))]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which users; all by default.")] filter: Option<UserFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<User>>> {
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
            let place = |row: &user::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: UserFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    if let Some(ids) = &filter.team_ids {
        faults.ids("filter.teamIds", ids.len());
    }
    faults.finish()?;
    Ok(domain::Filter {
        search: filter.search,
        platform_roles: filter
            .platform_roles
            .map(|roles| roles.into_iter().map(Into::into).collect()),
        team_ids: match &filter.team_ids {
            None => None,
            Some(ids) => Some(team_ids(ctx, ids).await?),
        },
        is_blocked: filter.is_blocked,
    })
}

/// The ids of teams in a filter; those that the caller may not see find nothing.
pub(crate) async fn team_ids(ctx: &Context<'_>, ids: &[ID]) -> ApiResult<Vec<TeamId>> {
    let references: Vec<_> = ids.iter().map(|id| Reference::parse(id)).collect();
    Ok(crate::domain::team::ids_of(ctx.reader(), &references).await?)
}
