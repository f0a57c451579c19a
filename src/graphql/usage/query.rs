//! The root fields that read usage: events, and reports from the daily roll-up.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::NaiveDate;
use entity::id::Id;
use entity::usage_event;

use super::UsageEvent;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::call::check_name;
use crate::domain::field::{Faults, IDS};
use crate::domain::usage::{self as domain, report};
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::scalar::{BigInt, Date, Instant, Usd};
use crate::graphql::value::UsageKind;

/// Which events a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct UsageEventFilter {
    /// Only those of these kinds.
    kinds: Option<Vec<UsageKind>>,
    /// Only those with this request id of a gateway.
    request_id: Option<String>,
    /// Only those of these models, by public name; at most 100.
    models: Option<Vec<String>>,
    /// Only those of these organizations, by id; at most 100.
    organization_ids: Option<Vec<ID>>,
    /// Only those of these teams, by id; at most 100.
    team_ids: Option<Vec<ID>>,
    /// Only those of these projects, by id; at most 100.
    project_ids: Option<Vec<ID>>,
    /// Only those of these users, by id; at most 100.
    user_ids: Option<Vec<ID>>,
    /// Only those of these keys, by id; at most 100.
    api_key_ids: Option<Vec<ID>>,
    /// Only those of these end users, as calls name them; at most 100.
    end_users: Option<Vec<String>>,
    /// Only those with at least one of these labels, of the call, its key, project or team; at most 100.
    tags: Option<Vec<String>>,
    /// Only those of calls made at this instant or later.
    since: Option<Instant>,
    /// Only those of calls made before this instant.
    until: Option<Instant>,
}

/// Whose usage a report is about; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct UsageFilter {
    /// Only that of these models, by public name; at most 100.
    models: Option<Vec<String>>,
    /// Only that of these organizations, by id; at most 100.
    organization_ids: Option<Vec<ID>>,
    /// Only that of these teams, by id; at most 100.
    team_ids: Option<Vec<ID>>,
    /// Only that of these projects, by id; at most 100.
    project_ids: Option<Vec<ID>>,
    /// Only that of these users, by id; at most 100.
    user_ids: Option<Vec<ID>>,
    /// Only that of these keys, by id; at most 100.
    api_key_ids: Option<Vec<ID>>,
    /// Only that of these end users, as calls name them; at most 100.
    end_users: Option<Vec<String>>,
    /// Only that with at least one of these labels, of the call, its key, project or team; at most 100.
    tags: Option<Vec<String>>,
}

/// What a report of usage is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "report::Dimension")]
pub enum UsageDimension {
    /// The organization; groups have its id.
    Organization,
    /// The team; groups have its id.
    Team,
    /// The project; groups have its id.
    Project,
    /// The user; groups have its id.
    User,
    /// The key; groups have its id.
    ApiKey,
    /// The end user; groups have the name that calls use.
    EndUser,
    /// The model; groups have its public name. Calls of routes without a model are a group of their
    /// own, whose key is null.
    Model,
    /// The provider; groups have its name.
    Provider,
    /// The label; groups have its text. A call with several counts for each.
    Tag,
}

/// What was used.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageTotals {
    /// The number of calls.
    requests: BigInt,
    /// All tokens in, those from and to a cache included.
    input_tokens: BigInt,
    /// The tokens read from a cache.
    cache_read_tokens: BigInt,
    /// The tokens written to a cache.
    cache_write_tokens: BigInt,
    /// All tokens out, those of reasoning included.
    output_tokens: BigInt,
    /// The tokens of reasoning.
    reasoning_tokens: BigInt,
    /// What it cost, corrections included.
    spend: Usd,
}

/// What was used on one day.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageDay {
    /// The day, in UTC.
    date: Date,
    /// What was used; zeros on a day without calls.
    totals: UsageTotals,
}

/// What one group used.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageGroup {
    /// What the group has in common: an id or a name, as the dimension says. Null for calls without
    /// one.
    key: Option<String>,
    /// What it used in all.
    totals: UsageTotals,
    /// What it used on every day of the report.
    days: Vec<UsageDay>,
}

/// What was used, day by day.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageReport {
    /// What was used in all.
    totals: UsageTotals,
    /// What was used on every day of the report, oldest first; days without calls too.
    days: Vec<UsageDay>,
    /// The groups that spent most, the largest first; empty without `groupBy`.
    groups: Vec<UsageGroup>,
}

impl From<report::Totals> for UsageTotals {
    fn from(totals: report::Totals) -> Self {
        Self {
            requests: BigInt(totals.requests),
            input_tokens: BigInt(totals.input_tokens),
            cache_read_tokens: BigInt(totals.cache_read_tokens),
            cache_write_tokens: BigInt(totals.cache_write_tokens),
            output_tokens: BigInt(totals.output_tokens),
            reasoning_tokens: BigInt(totals.reasoning_tokens),
            spend: Usd(totals.spent),
        }
    }
}

impl From<report::Day> for UsageDay {
    fn from(day: report::Day) -> Self {
        Self { date: Date(day.day), totals: day.totals.into() }
    }
}

impl From<report::Group> for UsageGroup {
    fn from(group: report::Group) -> Self {
        let days = group.days.into_iter().map(Into::into).collect();
        Self { key: group.key, totals: group.totals.into(), days }
    }
}

impl From<report::Report> for UsageReport {
    fn from(report: report::Report) -> Self {
        Self {
            totals: report.totals.into(),
            days: report.days.into_iter().map(Into::into).collect(),
            groups: report.groups.into_iter().map(Into::into).collect(),
        }
    }
}

/// Reads usage.
#[derive(Default)]
pub struct UsageQuery;

/// Reads usage.
#[Object]
impl UsageQuery {
    /// What was used between two days, both included, as far as you may see it: that of
    /// organizations and teams that you run, and your own. It is made of a daily roll-up, which
    /// counts an event on the day, in UTC, of its `occurredAt`, as soon as it is recorded.
    #[graphql(directive = requires::apply(Permission::SpendRead))]
    async fn usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first day, in UTC.")] from: Date,
        #[graphql(desc = "The last day, in UTC; at most 366 days in all.")] to: Date,
        #[graphql(desc = "What to divide by; nothing by default.")] group_by: Option<
            UsageDimension,
        >,
        #[graphql(desc = "Whose usage; all by default.")] filter: Option<UsageFilter>,
        #[graphql(
            desc = "The number of groups, those that spent most; 20 by default, at most 100."
        )]
        first: Option<i32>,
    ) -> Option<ApiResult<UsageReport>> {
        Some(read_report(ctx, from.0, to.0, group_by, filter.unwrap_or_default(), first).await)
    }

    /// The entries of the ledger that you may see, newest first: those of organizations and teams
    /// that you run, and your own.
    #[graphql(directive = requires::apply(Permission::SpendRead))]
    async fn usage_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which events; all by default.")] filter: Option<UsageEventFilter>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<UsageEvent>>> {
        let request = connection::request(first, after, last, before);
        let read = async {
            let filter = resolve(filter.unwrap_or_default())?;
            let page = Page::new(&request, connection::NEWEST_FIRST, &filter)?;
            let rows = domain::list(ctx.reader(), &filter, &page).await?;
            let reader = ctx.reader().clone();
            let count = move || -> connection::Counting {
                let (reader, filter) = (reader.clone(), filter.clone());
                Box::pin(async move { Ok(domain::count(&reader, &filter).await?) })
            };
            let place = |row: &usage_event::Model| (String::new(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

async fn read_report(
    ctx: &Context<'_>,
    from: NaiveDate,
    to: NaiveDate,
    by: Option<UsageDimension>,
    filter: UsageFilter,
    first: Option<i32>,
) -> ApiResult<UsageReport> {
    let mut faults = Faults::default();
    let dimensions = domain::Dimensions {
        organization_ids: ids(&mut faults, "filter.organizationIds", filter.organization_ids),
        team_ids: ids(&mut faults, "filter.teamIds", filter.team_ids),
        project_ids: ids(&mut faults, "filter.projectIds", filter.project_ids),
        user_ids: ids(&mut faults, "filter.userIds", filter.user_ids),
        api_key_ids: ids(&mut faults, "filter.apiKeyIds", filter.api_key_ids),
        end_users: names(&mut faults, "filter.endUsers", filter.end_users),
        tags: names(&mut faults, "filter.tags", filter.tags),
    };
    let models = names(&mut faults, "filter.models", filter.models);
    faults.finish()?;
    let groups = u64::try_from(first.unwrap_or(20)).unwrap_or(0);
    let wanted = report::Wanted { from, to, dimensions, models, by: by.map(Into::into), groups };
    Ok(report::report(ctx.reader(), &wanted).await?.into())
}

fn resolve(filter: UsageEventFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    let (since, until) = (filter.since.map(Into::into), filter.until.map(Into::into));
    for (field, at) in [("filter.since", since), ("filter.until", until)] {
        if let Some(at) = at {
            faults.instant(field, at);
        }
    }
    if let Some(request_id) = &filter.request_id {
        faults.text("filter.requestId", request_id, 200);
    }
    let filter = domain::Filter {
        kinds: filter.kinds.map(|kinds| kinds.into_iter().map(Into::into).collect()),
        request_id: filter.request_id,
        models: names(&mut faults, "filter.models", filter.models),
        dimensions: domain::Dimensions {
            organization_ids: ids(&mut faults, "filter.organizationIds", filter.organization_ids),
            team_ids: ids(&mut faults, "filter.teamIds", filter.team_ids),
            project_ids: ids(&mut faults, "filter.projectIds", filter.project_ids),
            user_ids: ids(&mut faults, "filter.userIds", filter.user_ids),
            api_key_ids: ids(&mut faults, "filter.apiKeyIds", filter.api_key_ids),
            end_users: names(&mut faults, "filter.endUsers", filter.end_users),
            tags: names(&mut faults, "filter.tags", filter.tags),
        },
        since,
        until,
    };
    faults.finish()?;
    Ok(filter)
}

/// Ids of one noun. Usage outlives what it speaks of, so that external ids cannot be looked up.
fn ids<T: Id>(faults: &mut Faults, field: &str, given: Option<Vec<ID>>) -> Option<Vec<T>> {
    let given = given?;
    faults.ids(field, given.len());
    let mut found = Vec::with_capacity(given.len().min(IDS));
    for (index, id) in given.iter().take(IDS).enumerate() {
        match Reference::parse(id).id::<T>() {
            Some(id) => found.push(id),
            None => faults.add(
                format!("{field}.{index}"),
                format!("write an id such as {}_ and 32 hexadecimal digits", T::PREFIX),
            ),
        }
    }
    Some(found)
}

fn names(faults: &mut Faults, field: &str, given: Option<Vec<String>>) -> Option<Vec<String>> {
    let given = given?;
    faults.ids(field, given.len());
    for (index, name) in given.iter().take(IDS).enumerate() {
        check_name(&format!("{field}.{index}"), name, faults);
    }
    Some(given)
}
