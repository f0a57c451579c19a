//! The root fields that read teams.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::id::{Id, UserId};
use entity::team;

use super::Team;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::field::Faults;
use crate::domain::team as domain;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;

/// Which teams a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct TeamFilter {
    /// Only teams whose name or external id has this text, whatever its case; at most 256
    /// characters.
    search: Option<String>,
    /// Only teams of these organizations, by id or external id; at most 100.
    organization_ids: Option<Vec<ID>>,
    /// Only teams of which this user is a member, by id or external id.
    member_user_id: Option<ID>,
    /// Only blocked teams, or only others.
    is_blocked: Option<bool>,
    /// Only teams that anybody may join, or only others.
    is_joinable: Option<bool>,
}

/// A team that you may join.
#[derive(Clone, Debug, SimpleObject)]
pub struct JoinableTeam {
    /// The team's id.
    id: ID,
    /// The display name.
    name: String,
}

impl From<team::Model> for JoinableTeam {
    fn from(row: team::Model) -> Self {
        Self { id: ID(row.id.to_string()), name: row.name }
    }
}

impl async_graphql::TypeName for JoinableTeam {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "JoinableTeam".into()
    }
}

impl async_graphql::TypeName for Team {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Team".into()
    }
}

impl async_graphql::TypeName for super::TeamMembership {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "TeamMembership".into()
    }
}

/// Reads teams.
#[derive(Default)]
pub struct TeamQuery;

/// Reads teams.
#[Object]
impl TeamQuery {
    /// One team. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::TeamRead))]
    async fn team(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The team's id or external id.")] id: ID,
    ) -> Option<ApiResult<Team>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The teams that you may see.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::TeamRead))]
    async fn teams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which teams; all by default.")] filter: Option<TeamFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<Team>>> {
        let request = connection::request(first, after, last, before);
        let read = async {
            let filter = resolve(ctx, filter.unwrap_or_default()).await?;
            let page = Page::new(&request, connection::by_name(order_by), &filter)?;
            let from = domain::visible_to(ctx.session().actor());
            let rows = domain::list(ctx.reader(), from.clone(), &filter, &page).await?;
            let reader = ctx.reader().clone();
            let count = move || -> connection::Counting {
                let (reader, from, filter) = (reader.clone(), from.clone(), filter.clone());
                Box::pin(async move { Ok(domain::count(&reader, from, &filter).await?) })
            };
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }

    /// The teams that you may join by `teamJoin`: their ids and names, nothing else. Oldest first.
    #[graphql(directive = requires::apply(Permission::TeamJoin))]
    async fn joinable_teams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only teams whose name has this text.")] search: Option<String>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<JoinableTeam>>> {
        let request = connection::request(first, after, last, before);
        let read = async {
            let mut faults = Faults::default();
            check_search(&mut faults, "search", search.as_deref());
            faults.finish()?;
            let filter = domain::Filter::default();
            // A cursor holds what the list is ordered by: here it must tell nothing but the id.
            let page = Page::new(&request, connection::OLDEST_FIRST, &(&search, "joinable"))?;
            let from = domain::joinable_by(ctx.session().actor(), search.as_deref());
            let rows = domain::list(ctx.reader(), from.clone(), &filter, &page).await?;
            let reader = ctx.reader().clone();
            let count = move || -> connection::Counting {
                let (reader, from, filter) = (reader.clone(), from.clone(), filter.clone());
                Box::pin(async move { Ok(domain::count(&reader, from, &filter).await?) })
            };
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

fn place(row: &team::Model) -> (String, uuid::Uuid) {
    (row.search_text.clone(), row.id.uuid())
}

async fn resolve(ctx: &Context<'_>, filter: TeamFilter) -> ApiResult<domain::Filter> {
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
    let member_user_id = match &filter.member_user_id {
        None => None,
        Some(id) => Some(user_id(ctx, id).await?),
    };
    Ok(domain::Filter {
        search: filter.search,
        organization_ids,
        member_user_id,
        is_blocked: filter.is_blocked,
        is_joinable: filter.is_joinable,
    })
}

/// The id of a user in a filter; one that the caller may not see finds nothing.
pub(crate) async fn user_id(ctx: &Context<'_>, id: &ID) -> ApiResult<UserId> {
    let found = crate::domain::user::find(ctx.reader(), &Reference::parse(id)).await?;
    Ok(found.map_or_else(|| UserId::from_uuid(uuid::Uuid::nil()), |user| user.id))
}

/// A search text is at most 256 characters, and not empty.
pub(crate) fn check_search(faults: &mut Faults, field: &str, search: Option<&str>) {
    if let Some(search) = search {
        faults.text(field, search, crate::domain::field::SEARCH_LENGTH);
        if search.is_empty() {
            faults.add(field, "write some text, or leave the search out");
        }
    }
}
