//! The root fields that read budgets.

use async_graphql::{Context, ID, InputObject, Object};
use entity::budget;
use entity::id::Id;

use super::Budget;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::budget as domain;
use crate::domain::field::Faults;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::check_search;

/// Which budgets a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct BudgetFilter {
    /// Only budgets whose name or external id has this text, whatever its case; at most 256
    /// characters.
    search: Option<String>,
    /// Only budgets of these organizations, by id or external id; at most 100.
    organization_ids: Option<Vec<ID>>,
    /// Only budgets that stand alone, or only those that a scope owns.
    is_standalone: Option<bool>,
}

/// Reads budgets.
#[derive(Default)]
pub struct BudgetQuery;

/// Reads budgets.
#[Object]
impl BudgetQuery {
    /// One budget. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::BudgetRead))]
    async fn budget(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The budget's id or external id.")] id: ID,
    ) -> Option<ApiResult<Budget>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The budgets that you may see: those of organizations that you run, and those in force on
    /// scopes that you may look into.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::BudgetRead))]
    async fn budgets(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which budgets; all by default.")] filter: Option<BudgetFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<Budget>>> {
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
            let place = |row: &budget::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: BudgetFilter) -> ApiResult<domain::Filter> {
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
    Ok(domain::Filter {
        search: filter.search,
        organization_ids,
        is_standalone: filter.is_standalone,
    })
}
