//! Reports: what was used day by day, in all and by one dimension, from the daily roll-up. Days
//! without usage are in them too.

use std::collections::{BTreeMap, HashMap};

use chrono::{Days, NaiveDate};
use entity::id::{ApiKeyId, Id, OrganizationId, ProjectId, TeamId, UserId};
use entity::usage_day;
use entity::value::{Usd, Words};
use sea_orm::sea_query::{Expr, ExprTrait, Order, SimpleExpr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryResult, QuerySelect, QueryTrait,
    Select,
};
use uuid::Uuid;

use super::{Dimensions, in_reach, labels};
use crate::db::Reader;
use crate::domain::field::Faults;
use crate::error::Result;

/// The most days of a report.
pub const DAYS: i64 = 366;

/// The most groups of a report.
pub const GROUPS: u64 = 100;

/// What a report is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The organization.
    Organization,
    /// The team.
    Team,
    /// The project.
    Project,
    /// The user.
    User,
    /// The key.
    ApiKey,
    /// The end user, as calls name it.
    EndUser,
    /// The model's public name.
    Model,
    /// The provider.
    Provider,
    /// The label; a call with several counts for each.
    Tag,
}

/// What a report is about.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The first day, in UTC.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// Whose usage.
    pub dimensions: Dimensions,
    /// Only usage of these models.
    pub models: Option<Vec<String>>,
    /// What it is divided by; nothing for a report in all.
    pub by: Option<Dimension>,
    /// The most groups: those that spent most.
    pub groups: u64,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The number of calls.
    pub requests: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Those read from a cache.
    pub cache_read_tokens: i64,
    /// Those written to a cache.
    pub cache_write_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// Those of reasoning.
    pub reasoning_tokens: i64,
    /// What it cost.
    pub spent: Usd,
}

/// What was used on one day.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// The day.
    pub day: NaiveDate,
    /// What was used.
    pub totals: Totals,
}

/// What one group used.
#[derive(Clone, Debug)]
pub struct Group {
    /// What the group has in common: an id or a name; none for calls without one.
    pub key: Option<String>,
    /// What it used in all.
    pub totals: Totals,
    /// What it used on every day.
    pub days: Vec<Day>,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was used in all.
    pub totals: Totals,
    /// What was used on every day.
    pub days: Vec<Day>,
    /// The groups that spent most, the largest first.
    pub groups: Vec<Group>,
}

/// Makes a report of what the caller may see.
///
/// # Errors
/// Faults in what is wanted, and what the database answers.
pub async fn report(reader: &Reader, wanted: &Wanted) -> Result<Report> {
    check(wanted)?;
    let days = by_day(reader, wanted).await?;
    let groups = match wanted.by {
        None => Vec::new(),
        Some(Dimension::Tag) => by_tag(reader, wanted).await?,
        Some(by) => by_column(reader, wanted, by).await?,
    };
    let totals = days.values().fold(Totals::default(), |sum, day| sum.plus(day));
    Ok(Report { totals, days: filled(wanted, &days), groups })
}

fn check(wanted: &Wanted) -> Result<()> {
    let mut faults = Faults::default();
    for (field, day) in [("from", wanted.from), ("to", wanted.to)] {
        faults.instant(field, day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    if wanted.to < wanted.from {
        faults.add("to", "this is before from");
    } else if (wanted.to - wanted.from).num_days() >= DAYS {
        faults.add("to", format!("ask for at most {DAYS} days"));
    }
    if wanted.groups == 0 || wanted.groups > GROUPS {
        faults.add("first", format!("ask for 1 to {GROUPS} groups"));
    }
    faults.finish()
}

const SUMS: [&str; 7] = [
    "requests",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "spent",
];

/// The sums of a column; a sum of PostgreSQL is a number of another type.
fn sum(column: &'static str) -> SimpleExpr {
    Expr::col(("usage_daily", column)).sum().cast_as("BIGINT")
}

#[expect(clippy::disallowed_methods, reason = "filtered by what the caller may see")]
fn select(reader: &Reader, wanted: &Wanted) -> Select<usage_day::Entity> {
    let backend = reader.db().get_database_backend();
    let mut select = usage_day::Entity::find()
        .select_only()
        .filter(in_reach(reader.actor(), "usage_daily"))
        .filter(usage_day::Column::Day.between(wanted.from, wanted.to))
        .filter(wanted.dimensions.condition("usage_daily", backend));
    if let Some(models) = &wanted.models {
        select = select.filter(usage_day::Column::Model.is_in(models.iter().cloned()));
    }
    for column in SUMS {
        select = select.expr_as(sum(column), column);
    }
    select
}

async fn rows(reader: &Reader, select: Select<usage_day::Entity>) -> Result<Vec<QueryResult>> {
    Ok(reader.db().query_all(&select.into_query()).await?)
}

async fn by_day(reader: &Reader, wanted: &Wanted) -> Result<BTreeMap<NaiveDate, Totals>> {
    let select =
        select(reader, wanted).column(usage_day::Column::Day).group_by(usage_day::Column::Day);
    let rows = rows(reader, select).await?;
    rows.iter().map(|row| Ok((row.try_get("", "day")?, Totals::read(row)?))).collect()
}

/// The groups of a column: first which spent most, then what these used on each day.
async fn by_column(reader: &Reader, wanted: &Wanted, by: Dimension) -> Result<Vec<Group>> {
    let Some(column) = by.column() else { return Ok(Vec::new()) };
    let mut largest = select(reader, wanted).column(column).group_by(column).limit(wanted.groups);
    QueryTrait::query(&mut largest)
        .order_by_expr(sum("spent"), Order::Desc)
        .order_by(("usage_daily", by.name()), Order::Asc);
    let mut groups = Vec::new();
    let mut places: HashMap<Option<String>, usize> = HashMap::new();
    let mut keys = Vec::new();
    let mut any = sea_orm::Condition::any();
    for row in rows(reader, largest).await? {
        let (value, key) = by.read(&row)?;
        match value {
            Some(value) => keys.push(value),
            None => any = any.add(column.is_null()),
        }
        places.insert(key.clone(), groups.len());
        groups
            .push((Group { key, totals: Totals::read(&row)?, days: Vec::new() }, BTreeMap::new()));
    }
    if !keys.is_empty() {
        any = any.add(Expr::col(("usage_daily", by.name())).is_in(keys));
    }
    if !groups.is_empty() {
        let days = select(reader, wanted)
            .filter(any)
            .column(column)
            .column(usage_day::Column::Day)
            .group_by(column)
            .group_by(usage_day::Column::Day);
        for row in rows(reader, days).await? {
            let (_, key) = by.read(&row)?;
            if let Some((_, days)) = places.get(&key).and_then(|place| groups.get_mut(*place)) {
                days.insert(row.try_get("", "day")?, Totals::read(&row)?);
            }
        }
    }
    let finish = |(group, days)| Group { days: filled(wanted, &days), ..group };
    Ok(groups.into_iter().map(finish).collect())
}

/// The groups of labels: the roll-up knows them by their combinations, which the database takes apart.
/// First which spent most, then what these used on each day.
async fn by_tag(reader: &Reader, wanted: &Wanted) -> Result<Vec<Group>> {
    let mut largest = by_label(reader, wanted).limit(wanted.groups);
    QueryTrait::query(&mut largest)
        .order_by_expr(sum("spent"), Order::Desc)
        .order_by(LABEL, Order::Asc);
    let mut found: Vec<(Option<String>, Totals)> = Vec::new();
    for row in rows(reader, largest).await? {
        found.push((Some(row.try_get("", "label")?), Totals::read(&row)?));
    }
    let labels: Vec<String> = found.iter().filter_map(|(label, _)| label.clone()).collect();
    let mut days: HashMap<Option<String>, BTreeMap<NaiveDate, Totals>> = HashMap::new();
    if !labels.is_empty() {
        let select = by_label(reader, wanted)
            .filter(Expr::col(LABEL).is_in(labels))
            .column(usage_day::Column::Day)
            .group_by(usage_day::Column::Day);
        for row in rows(reader, select).await? {
            let of_label = days.entry(Some(row.try_get("", "label")?)).or_default();
            of_label.insert(row.try_get("", "day")?, Totals::read(&row)?);
        }
    }
    let none = select(reader, wanted)
        .filter(usage_day::Column::Tags.eq(Words::default()))
        .column(usage_day::Column::Day)
        .group_by(usage_day::Column::Day);
    for row in rows(reader, none).await? {
        days.entry(None).or_default().insert(row.try_get("", "day")?, Totals::read(&row)?);
    }
    if let Some(days) = days.get(&None) {
        found.push((None, days.values().fold(Totals::default(), |sum, day| sum.plus(day))));
    }
    found.sort_by(|one, other| (other.1.spent, &one.0).cmp(&(one.1.spent, &other.0)));
    found.truncate(usize::try_from(wanted.groups).unwrap_or(usize::MAX));
    let group = |(key, totals): (Option<String>, Totals)| {
        let days = filled(wanted, days.get(&key).unwrap_or(&BTreeMap::new()));
        Group { key, totals, days }
    };
    Ok(found.into_iter().map(group).collect())
}

/// A label of a combination that was taken apart.
const LABEL: (&str, &str) = ("labels", "value");

/// What was used with each label.
fn by_label(reader: &Reader, wanted: &Wanted) -> Select<usage_day::Entity> {
    let labels = labels("usage_daily", reader.db().get_database_backend());
    let mut select = select(reader, wanted).expr_as(Expr::col(LABEL), "label");
    QueryTrait::query(&mut select).from_function(labels, LABEL.0).group_by_col(LABEL);
    select
}

/// Every day of the report, those without usage too.
fn filled(wanted: &Wanted, days: &BTreeMap<NaiveDate, Totals>) -> Vec<Day> {
    let mut all = Vec::new();
    let mut day = wanted.from;
    while day <= wanted.to {
        all.push(Day { day, totals: days.get(&day).copied().unwrap_or_default() });
        let Some(next) = day.checked_add_days(Days::new(1)) else { break };
        day = next;
    }
    all
}

impl Totals {
    fn read(row: &QueryResult) -> Result<Self> {
        let number = |column: &str| -> Result<i64> { Ok(row.try_get("", column)?) };
        Ok(Self {
            requests: number("requests")?,
            input_tokens: number("input_tokens")?,
            cache_read_tokens: number("cache_read_tokens")?,
            cache_write_tokens: number("cache_write_tokens")?,
            output_tokens: number("output_tokens")?,
            reasoning_tokens: number("reasoning_tokens")?,
            spent: row.try_get("", "spent")?,
        })
    }

    /// The sum of two; what cannot be stored is the largest number there is.
    #[must_use]
    fn plus(&self, other: &Self) -> Self {
        let spent = self.spent.nanos().saturating_add(other.spent.nanos());
        Self {
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            spent: Usd::from_nanos(spent),
        }
    }
}

impl Dimension {
    fn column(self) -> Option<usage_day::Column> {
        use usage_day::Column;
        Some(match self {
            Self::Organization => Column::OrganizationId,
            Self::Team => Column::TeamId,
            Self::Project => Column::ProjectId,
            Self::User => Column::UserId,
            Self::ApiKey => Column::ApiKeyId,
            Self::EndUser => Column::EndUser,
            Self::Model => Column::Model,
            Self::Provider => Column::Provider,
            Self::Tag => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization_id",
            Self::Team => "team_id",
            Self::Project => "project_id",
            Self::User => "user_id",
            Self::ApiKey => "api_key_id",
            Self::EndUser => "end_user",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Tag => "tags",
        }
    }

    /// What a group has in common, for a statement and for people.
    fn read(self, row: &QueryResult) -> Result<(Option<SimpleExpr>, Option<String>)> {
        let shown: fn(Uuid) -> String = match self {
            Self::Organization => |id| OrganizationId::from_uuid(id).to_string(),
            Self::Team => |id| TeamId::from_uuid(id).to_string(),
            Self::Project => |id| ProjectId::from_uuid(id).to_string(),
            Self::User => |id| UserId::from_uuid(id).to_string(),
            Self::ApiKey => |id| ApiKeyId::from_uuid(id).to_string(),
            Self::EndUser | Self::Model | Self::Provider | Self::Tag => {
                let text: Option<String> = row.try_get("", self.name())?;
                // A call of a route without a model has an empty one.
                let shown = text.clone().filter(|text| !text.is_empty());
                return Ok((text.map(Expr::val), shown));
            }
        };
        let id: Option<Uuid> = row.try_get("", self.name())?;
        Ok((id.map(Expr::val), id.map(shown)))
    }
}
