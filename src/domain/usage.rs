//! Reading the ledger: events, what was spent in scopes, and reports from the daily roll-up. Nothing
//! here writes; see [`super::ledger`].

pub mod report;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, Id, OrganizationId, ProjectId, TeamId, UsageEventId, UserId};
use entity::role::{ActorKind, UsageKind};
use entity::{spend_total, usage_event};
use sea_orm::sea_query::{Expr, ExprTrait, Func, FunctionCall, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, QueryFilter,
    Select,
};

use super::budget::visible_scopes_of;
use super::reach;
use super::scope::{Scope, by_kind};
use crate::authz::{Actor, Placement};
use crate::db::{Page, Reader, page::Rows};
use crate::error::Result;

/// Which events a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those of these kinds.
    pub kinds: Option<Vec<UsageKind>>,
    /// Only those with this request id.
    pub request_id: Option<String>,
    /// Only those of these models.
    pub models: Option<Vec<String>>,
    /// Only those of these dimensions.
    pub dimensions: Dimensions,
    /// Only those of calls at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Only those of calls before this instant.
    pub until: Option<DateTime<Utc>>,
}

/// Whose usage is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dimensions {
    /// Of these organizations.
    pub organization_ids: Option<Vec<OrganizationId>>,
    /// Of these teams.
    pub team_ids: Option<Vec<TeamId>>,
    /// Of these projects.
    pub project_ids: Option<Vec<ProjectId>>,
    /// Of these users.
    pub user_ids: Option<Vec<UserId>>,
    /// Of these keys.
    pub api_key_ids: Option<Vec<ApiKeyId>>,
    /// Of these end users, as calls name them.
    pub end_users: Option<Vec<String>>,
    /// With at least one of these labels.
    pub tags: Option<Vec<String>>,
}

impl Dimensions {
    /// The condition on a table with these columns.
    fn condition(&self, table: &'static str, backend: DbBackend) -> Condition {
        let mut all = Condition::all();
        let column = |name: &'static str| Expr::col((table, name));
        if let Some(ids) = &self.organization_ids {
            all = all.add(column("organization_id").is_in(ids.iter().copied()));
        }
        if let Some(ids) = &self.team_ids {
            all = all.add(column("team_id").is_in(ids.iter().copied()));
        }
        if let Some(ids) = &self.project_ids {
            all = all.add(column("project_id").is_in(ids.iter().copied()));
        }
        if let Some(ids) = &self.user_ids {
            all = all.add(column("user_id").is_in(ids.iter().copied()));
        }
        if let Some(ids) = &self.api_key_ids {
            all = all.add(column("api_key_id").is_in(ids.iter().copied()));
        }
        if let Some(names) = &self.end_users {
            all = all.add(column("end_user").is_in(names.iter().cloned()));
        }
        if let Some(tags) = &self.tags {
            let wanted = ("wanted", "value");
            let any = Query::select()
                .column(wanted)
                .from_function(labels(table, backend), wanted.0)
                .and_where(Expr::col(wanted).is_in(tags.iter().cloned()))
                .to_owned();
            all = all.add(Expr::exists(any));
        }
        all
    }
}

/// The labels of a row, each as a row with the column `value`.
fn labels(table: &'static str, backend: DbBackend) -> FunctionCall {
    let elements = match backend {
        DbBackend::Postgres => Func::cust("jsonb_array_elements_text"),
        _ => Func::cust("json_each"),
    };
    elements.arg(Expr::col((table, "tags")))
}

/// Whether a row of usage may be seen: that of organizations and teams that the caller runs, its
/// own, and that of its key.
fn in_reach(actor: &Actor, table: &'static str) -> Condition {
    if actor.sees_all() {
        return Condition::all();
    }
    let own = actor.user_id().map(|user| {
        Condition::all()
            .add(Expr::col((table, "user_id")).eq(user))
            // A key that belongs to a team sees nothing of its owner elsewhere.
            .add_option(actor.bound_to().map(|team| Expr::col((table, "team_id")).eq(team)))
    });
    let key = actor.key_id().filter(|_| actor.kind() != ActorKind::Gateway);
    Condition::any()
        .add(reach::in_administered_organizations(actor, (table, "organization_id")))
        .add(reach::in_administered_teams(actor, (table, "team_id")))
        .add_option(own)
        .add_option(key.map(|key| Expr::col((table, "api_key_id")).eq(key)))
}

/// The events that a caller may see.
#[expect(clippy::disallowed_methods, reason = "this is where reads of events begin")]
pub fn visible_to(actor: &Actor) -> Select<usage_event::Entity> {
    usage_event::Entity::find().filter(in_reach(actor, "usage_events"))
}

/// Where an event stands.
pub fn placement(event: &usage_event::Model) -> Placement {
    let place = match event.team_id {
        Some(team) => Placement::team(event.organization_id, team),
        None => Placement::organization(event.organization_id),
    };
    Placement { key: Some(event.api_key_id), ..place }.owned_by(event.user_id)
}

fn filtered(reader: &Reader, filter: &Filter) -> Select<usage_event::Entity> {
    use usage_event::Column;
    let mut select = visible_to(reader.actor());
    if let Some(kinds) = &filter.kinds {
        select = select.filter(Column::Kind.is_in(kinds.iter().copied()));
    }
    if let Some(request_id) = &filter.request_id {
        select = select.filter(Column::RequestId.eq(request_id.as_str()));
    }
    if let Some(models) = &filter.models {
        select = select.filter(Column::Model.is_in(models.iter().cloned()));
    }
    if let Some(since) = filter.since {
        select = select.filter(Column::OccurredAt.gte(since));
    }
    if let Some(until) = filter.until {
        select = select.filter(Column::OccurredAt.lt(until));
    }
    let backend = reader.db().get_database_backend();
    select.filter(filter.dimensions.condition("usage_events", backend))
}

/// A page of events.
///
/// # Errors
/// What the database answers.
pub async fn list(
    reader: &Reader,
    filter: &Filter,
    page: &Page,
) -> Result<Rows<usage_event::Model>> {
    let select = filtered(reader, filter);
    let id = ("usage_events", "id");
    Ok(page.rows(page.apply(select, id, id).all(reader.db()).await?))
}

/// How many events [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(reader, filter).count(reader.db()).await?)
}

/// The events of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[UsageEventId]) -> Result<Vec<usage_event::Model>> {
    let ids = ids.iter().map(|id| id.uuid());
    let select = visible_to(reader.actor()).filter(usage_event::Column::Id.is_in(ids));
    Ok(select.all(reader.db()).await?)
}

/// The totals of scopes that the caller may look into; a scope without usage has none.
///
/// # Errors
/// What the database answers.
#[expect(
    clippy::disallowed_methods,
    reason = "filtered by the scopes that the caller may look into"
)]
pub async fn totals(
    reader: &Reader,
    scopes: &[Scope],
) -> Result<BTreeMap<Scope, spend_total::Model>> {
    let any = by_kind(scopes).into_iter().fold(Condition::any(), |any, (kind, ids)| {
        any.add(
            spend_total::Column::ScopeKind.eq(kind).and(spend_total::Column::ScopeId.is_in(ids)),
        )
    });
    let rows = spend_total::Entity::find()
        .filter(any)
        .filter(visible_scopes_of(reader.actor(), "spend_totals"))
        .all(reader.db())
        .await?;
    let keyed = |row: spend_total::Model| (Scope { kind: row.scope_kind, id: row.scope_id }, row);
    Ok(rows.into_iter().map(keyed).collect())
}
