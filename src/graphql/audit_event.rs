//! The audit trail in the API: reading, and nothing else.

use async_graphql::{Context, ID, InputObject, Object, TypeName};
use entity::audit_event;
use entity::id::{
    AccessGroupId, ApiKeyId, BudgetAlertId, BudgetId, CredentialId, EndUserId, Id, ModelId,
    OrganizationId, OrganizationMembershipId, ProjectId, TagId, TeamId, TeamMembershipId,
    UsageEventId, UserId, split,
};
use entity::role;
use serde_json::Value;
use uuid::Uuid;

use super::access::requires;
use super::connection::{self, Connection};
use super::context::ContextExt;
use super::error::ApiResult;
use super::scalar::Instant;
use super::value::{ActorKind, EntityKind};
use crate::audit::AuditAction;
use crate::authz::Permission;
use crate::db::Page;
use crate::domain::audit_event as domain;
use crate::domain::field::Faults;

/// Who did what, when, from where. Events never change.
#[derive(Clone, Debug)]
pub struct AuditEvent(pub(crate) audit_event::Model);

impl From<audit_event::Model> for AuditEvent {
    fn from(row: audit_event::Model) -> Self {
        Self(row)
    }
}

impl TypeName for AuditEvent {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "AuditEvent".into()
    }
}

fn subject(kind: role::EntityKind, id: Uuid) -> Option<String> {
    use role::EntityKind as Kind;
    Some(match kind {
        Kind::Organization => OrganizationId::from_uuid(id).to_string(),
        Kind::OrganizationMembership => OrganizationMembershipId::from_uuid(id).to_string(),
        Kind::Team => TeamId::from_uuid(id).to_string(),
        Kind::TeamMembership => TeamMembershipId::from_uuid(id).to_string(),
        Kind::Project => ProjectId::from_uuid(id).to_string(),
        Kind::User => UserId::from_uuid(id).to_string(),
        Kind::Budget => BudgetId::from_uuid(id).to_string(),
        Kind::ApiKey => ApiKeyId::from_uuid(id).to_string(),
        Kind::EndUser => EndUserId::from_uuid(id).to_string(),
        Kind::Tag => TagId::from_uuid(id).to_string(),
        Kind::Model => ModelId::from_uuid(id).to_string(),
        Kind::Credential => CredentialId::from_uuid(id).to_string(),
        Kind::UsageEvent => UsageEventId::from_uuid(id).to_string(),
        Kind::BudgetAlert => BudgetAlertId::from_uuid(id).to_string(),
        Kind::AccessGroup => AccessGroupId::from_uuid(id).to_string(),
        Kind::Settings | Kind::Platform => return None,
    })
}

/// Who did what, when, from where. Events never change.
#[Object]
impl AuditEvent {
    /// The event's id, `audit_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// When it happened.
    async fn occurred_at(&self) -> Instant {
        self.0.occurred_at.into()
    }

    /// What happened. Null for an action that this version does not know.
    async fn action(&self) -> Option<AuditAction> {
        let name = async_graphql::Value::Enum(async_graphql::Name::new(&self.0.action));
        async_graphql::resolver_utils::parse_enum(name).ok()
    }

    /// What kind of credential acted.
    async fn actor_kind(&self) -> ActorKind {
        self.0.actor_kind.into()
    }

    /// The id of the user that acted, or of the key if no user stands behind it; null for the
    /// bootstrap admin key.
    async fn actor_id(&self) -> Option<&str> {
        self.0.actor_id.as_deref()
    }

    /// The id of the key that was presented; null for the bootstrap admin key.
    async fn actor_api_key_id(&self) -> Option<&str> {
        self.0.actor_key_id.as_deref()
    }

    /// On whose behalf the actor said it acted; a claim of platform admins and gateways, recorded
    /// beside the actor and never believed. Null for none.
    async fn on_behalf_of(&self) -> Option<&str> {
        self.0.on_behalf_of.as_deref()
    }

    /// The request in which it happened; the `x-request-id` of its answer.
    async fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The network address that the request came from.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// The kind of object that it happened to.
    async fn subject_kind(&self) -> EntityKind {
        self.0.subject_kind.into()
    }

    /// The id of that object, which may be gone; null for the platform as a whole.
    async fn subject_id(&self) -> Option<ID> {
        self.0.subject_id.and_then(|id| subject(self.0.subject_kind, id)).map(ID)
    }

    /// The id of the organization in which it happened; null for the platform.
    async fn organization_id(&self) -> Option<ID> {
        self.0.organization_id.map(|id| ID(id.to_string()))
    }

    /// The id of the team in which it happened; null for none.
    async fn team_id(&self) -> Option<ID> {
        self.0.team_id.map(|id| ID(id.to_string()))
    }

    /// The object before; null when it was made. Secrets are never in it.
    async fn before(&self) -> Option<&Value> {
        self.0.before.as_ref()
    }

    /// The object after; null when it was deleted. Secrets are never in it.
    async fn after(&self) -> Option<&Value> {
        self.0.after.as_ref()
    }
}

/// Which events a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct AuditEventFilter {
    /// Only these actions.
    actions: Option<Vec<AuditAction>>,
    /// Only what this actor did: the id of a user or key.
    actor_id: Option<ID>,
    /// Only what happened to this object, by id; it may be gone.
    subject_id: Option<ID>,
    /// Only what happened at this instant or later.
    since: Option<Instant>,
    /// Only what happened before this instant.
    until: Option<Instant>,
}

/// Reads the audit trail.
#[derive(Default)]
pub struct AuditEventQuery;

/// Reads the audit trail.
#[Object]
impl AuditEventQuery {
    /// The audit events that you may see, newest first: those of teams and organizations that you
    /// run.
    #[graphql(directive = requires::apply(Permission::AuditRead))]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which events; all by default.")] filter: Option<AuditEventFilter>,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<AuditEvent>>> {
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
            let place = |row: &audit_event::Model| (String::new(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}

fn resolve(filter: AuditEventFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    let subject_id = filter.subject_id.as_ref().and_then(|id| split(id)).map(|(_, id)| id);
    if filter.subject_id.is_some() && subject_id.is_none() {
        faults.add("filter.subjectId", "write an id such as team_ and 32 hexadecimal digits");
    }
    if filter.actor_id.as_ref().is_some_and(|id| split(id).is_none()) {
        faults.add("filter.actorId", "write the id of a user or key");
    }
    let (since, until) = (filter.since.map(Into::into), filter.until.map(Into::into));
    for (field, at) in [("filter.since", since), ("filter.until", until)] {
        if let Some(at) = at {
            faults.instant(field, at);
        }
    }
    faults.finish()?;
    Ok(domain::Filter {
        actions: filter.actions,
        actor_id: filter.actor_id.map(|id| id.0),
        subject_id,
        since,
        until,
    })
}
