//! Reading the audit trail. Nothing here writes: events are written by the transactions that they
//! speak of.

use chrono::{DateTime, Utc};
use entity::audit_event;
use entity::id::AuditEventId;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, Select};
use uuid::Uuid;

use super::reach;
use crate::audit::AuditAction;
use crate::authz::Actor;
use crate::db::{Page, Reader, page::Rows};
use crate::error::Result;

/// Which events a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only these actions.
    pub actions: Option<Vec<AuditAction>>,
    /// Only what this actor did: the id of a user or key.
    pub actor_id: Option<String>,
    /// Only what happened to this object.
    pub subject_id: Option<Uuid>,
    /// Only what happened at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what happened before this instant.
    pub until: Option<DateTime<Utc>>,
}

/// The events that a caller may see: those of organizations and teams that it runs.
#[expect(clippy::disallowed_methods, reason = "this is where reads of the audit trail begin")]
pub fn visible_to(actor: &Actor) -> Select<audit_event::Entity> {
    let select = audit_event::Entity::find();
    if actor.sees_all() {
        return select;
    }
    select.filter(
        Condition::any()
            .add(reach::in_administered_organizations(actor, ("audit_events", "organization_id")))
            .add(reach::in_administered_teams(actor, ("audit_events", "team_id"))),
    )
}

fn filtered(
    mut select: Select<audit_event::Entity>,
    filter: &Filter,
) -> Select<audit_event::Entity> {
    if let Some(actions) = &filter.actions {
        let words = actions.iter().map(|action| action.word());
        select = select.filter(audit_event::Column::Action.is_in(words));
    }
    if let Some(actor) = &filter.actor_id {
        select = select.filter(
            audit_event::Column::ActorId
                .eq(actor.as_str())
                .or(audit_event::Column::ActorKeyId.eq(actor.as_str())),
        );
    }
    if let Some(subject) = filter.subject_id {
        select = select.filter(audit_event::Column::SubjectId.eq(subject));
    }
    if let Some(since) = filter.since {
        select = select.filter(audit_event::Column::OccurredAt.gte(since));
    }
    if let Some(until) = filter.until {
        select = select.filter(audit_event::Column::OccurredAt.lt(until));
    }
    select
}

/// A page of events.
///
/// # Errors
/// What the database answers.
pub async fn list(
    reader: &Reader,
    filter: &Filter,
    page: &Page,
) -> Result<Rows<audit_event::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    let id = ("audit_events", "id");
    Ok(page.rows(page.apply(select, id, id).all(reader.db()).await?))
}

/// How many events [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The events of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[AuditEventId]) -> Result<Vec<audit_event::Model>> {
    let select =
        visible_to(reader.actor()).filter(audit_event::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}
