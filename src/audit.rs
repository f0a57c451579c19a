//! The audit trail: the closed list of what can happen, and what each event remembers.
//!
//! Events are recorded on a [`crate::db::Tx`] and stored by its commit, in the transaction that
//! made the change. Actor, request, address and time come from the transaction, never from the
//! caller. Images are the rows themselves; what a row keeps secret it does not serialise.

pub mod touched;

use async_graphql::Enum;
use entity::id::{Id, OrganizationId, TeamId};
use entity::role::EntityKind;
use entity::{
    access_group, api_key, budget, credential, end_user, llm_model, organization,
    organization_membership, project, tag, team, team_membership, usage_event, user,
};
use sea_orm::EnumIter;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::authz::Permission;
pub use touched::Touched;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, EnumIter)]
pub enum AuditAction {
    /// Somebody tried to change what they may see and not change.
    AccessDenied,
    /// An organization was made.
    OrganizationCreated,
    /// An organization was changed.
    OrganizationUpdated,
    /// An organization was deleted.
    OrganizationDeleted,
    /// A user became a member of an organization.
    OrganizationMemberAdded,
    /// A membership in an organization was changed.
    OrganizationMemberUpdated,
    /// A user ceased to be a member of an organization.
    OrganizationMemberRemoved,
    /// A team was made.
    TeamCreated,
    /// A team was changed.
    TeamUpdated,
    /// A team was deleted.
    TeamDeleted,
    /// A team came under another organization, or under the platform itself; recorded in the
    /// organization that it left and in the one that it came to.
    TeamMoved,
    /// A team was blocked.
    TeamBlocked,
    /// A team was unblocked.
    TeamUnblocked,
    /// A model alias of a team was set.
    TeamModelAliasSet,
    /// A model alias of a team was removed.
    TeamModelAliasRemoved,
    /// A user became a member of a team.
    TeamMemberAdded,
    /// A membership was changed.
    TeamMemberUpdated,
    /// A user ceased to be a member of a team.
    TeamMemberRemoved,
    /// A project was made.
    ProjectCreated,
    /// A project was changed.
    ProjectUpdated,
    /// A project was deleted.
    ProjectDeleted,
    /// A project was blocked.
    ProjectBlocked,
    /// A project was unblocked.
    ProjectUnblocked,
    /// A project left a team for another: once in each of the two, with what stood there.
    ProjectMoved,
    /// A user was made.
    UserCreated,
    /// A user was changed.
    UserUpdated,
    /// A user was blocked.
    UserBlocked,
    /// A user was unblocked.
    UserUnblocked,
    /// A user was deleted.
    UserDeleted,
    /// A budget was made.
    BudgetCreated,
    /// A budget was changed.
    BudgetUpdated,
    /// A budget was deleted.
    BudgetDeleted,
    /// A budget was put in force on a scope.
    BudgetAssigned,
    /// A budget was taken off a scope.
    BudgetUnassigned,
    /// A key was made.
    ApiKeyCreated,
    /// A key was changed.
    ApiKeyUpdated,
    /// A key left a team for another with its project: once in each of the two.
    ApiKeyMoved,
    /// A model alias of a key was set.
    ApiKeyModelAliasSet,
    /// A model alias of a key was removed.
    ApiKeyModelAliasRemoved,
    /// A key got a new secret.
    ApiKeyRotated,
    /// A key was blocked.
    ApiKeyBlocked,
    /// A key was unblocked.
    ApiKeyUnblocked,
    /// A key was deleted.
    ApiKeyDeleted,
    /// An end user was made.
    EndUserCreated,
    /// An end user was changed.
    EndUserUpdated,
    /// An end user was blocked.
    EndUserBlocked,
    /// An end user was unblocked.
    EndUserUnblocked,
    /// An end user was deleted.
    EndUserDeleted,
    /// A tag was made.
    TagCreated,
    /// A tag was changed.
    TagUpdated,
    /// A tag was deleted.
    TagDeleted,
    /// The settings of the platform were changed.
    SettingsUpdated,
    /// A model was made.
    ModelCreated,
    /// A model was changed.
    ModelUpdated,
    /// A model was blocked.
    ModelBlocked,
    /// A model was unblocked.
    ModelUnblocked,
    /// A model was deleted.
    ModelDeleted,
    /// A credential was made.
    CredentialCreated,
    /// A credential was changed.
    CredentialUpdated,
    /// A credential was deleted.
    CredentialDeleted,
    /// An access group was made.
    AccessGroupCreated,
    /// An access group was changed.
    AccessGroupUpdated,
    /// An access group was deleted.
    AccessGroupDeleted,
    /// What an event of the ledger cost was corrected.
    SpendCorrected,
    /// Stored secrets were re-wrapped under another key-encryption key.
    SecretsRewrapped,
}

impl AuditAction {
    /// The word that is stored and shown.
    pub fn word(self) -> String {
        match async_graphql::resolver_utils::enum_value(self) {
            async_graphql::Value::Enum(name) => name.to_string(),
            other => other.to_string(),
        }
    }
}

/// What an event is about, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The kind of object.
    pub kind: EntityKind,
    /// The object; none for the platform as a whole.
    pub id: Option<Uuid>,
    /// The organization in which it stands.
    pub organization: Option<OrganizationId>,
    /// The team in which it stands.
    pub team: Option<TeamId>,
}

impl Subject {
    /// A subject at a place.
    pub fn new(
        kind: EntityKind,
        id: impl Id,
        organization: Option<OrganizationId>,
        team: Option<TeamId>,
    ) -> Self {
        Self { kind, id: Some(id.uuid()), organization, team }
    }

    /// An organization.
    pub fn organization(organization: &organization::Model) -> Self {
        Self::new(EntityKind::Organization, organization.id, Some(organization.id), None)
    }

    /// A team.
    pub fn team(team: &team::Model) -> Self {
        Self::new(EntityKind::Team, team.id, team.organization_id, Some(team.id))
    }

    /// A membership of a team.
    pub fn membership(team: &team::Model, membership: &team_membership::Model) -> Self {
        let id = membership.id;
        Self::new(EntityKind::TeamMembership, id, team.organization_id, Some(team.id))
    }

    /// A project.
    pub fn project(project: &project::Model) -> Self {
        let team = Some(project.team_id);
        Self::new(EntityKind::Project, project.id, project.organization_id, team)
    }

    /// A user.
    pub fn user(user: &user::Model) -> Self {
        Self::new(EntityKind::User, user.id, user.organization_id, None)
    }

    /// A membership of an organization.
    pub fn organization_membership(member: &organization_membership::Model) -> Self {
        let organization = Some(member.organization_id);
        Self::new(EntityKind::OrganizationMembership, member.id, organization, None)
    }

    /// A budget.
    pub fn budget(budget: &budget::Model, team: Option<TeamId>) -> Self {
        Self::new(EntityKind::Budget, budget.id, budget.organization_id, team)
    }

    /// An end user, with the organization in which it stands.
    pub fn end_user(row: &end_user::Model, organization: Option<OrganizationId>) -> Self {
        Self::new(EntityKind::EndUser, row.id, organization, row.team_id)
    }

    /// The settings of the platform.
    pub fn settings() -> Self {
        Self { kind: EntityKind::Settings, id: None, organization: None, team: None }
    }

    /// A tag.
    pub fn tag(tag: &tag::Model) -> Self {
        Self::new(EntityKind::Tag, tag.id, tag.organization_id, None)
    }

    /// A model, with the organization of its team.
    pub fn model(model: &llm_model::Model, organization: Option<OrganizationId>) -> Self {
        Self::new(EntityKind::Model, model.id, organization, model.team_id)
    }

    /// A credential, with the organization of its team.
    pub fn credential(
        credential: &credential::Model,
        organization: Option<OrganizationId>,
    ) -> Self {
        Self::new(EntityKind::Credential, credential.id, organization, credential.team_id)
    }

    /// An entry of the ledger.
    pub fn usage_event(event: &usage_event::Model) -> Self {
        Self::new(EntityKind::UsageEvent, event.id, event.organization_id, event.team_id)
    }

    /// An access group.
    pub fn access_group(group: &access_group::Model) -> Self {
        Self::new(EntityKind::AccessGroup, group.id, None, None)
    }

    /// A key, with the organization of its team.
    pub fn api_key(key: &api_key::Model, organization: Option<OrganizationId>) -> Self {
        Self::new(EntityKind::ApiKey, key.id, organization, key.team_id)
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) action: AuditAction,
    pub(crate) subject: Subject,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

impl Event {
    /// Something came into being.
    pub fn made(action: AuditAction, subject: Subject, after: &impl Serialize) -> Self {
        Self { action, subject, before: None, after: Some(image(after)) }
    }

    /// Something changed.
    pub fn changed<T: Serialize>(
        action: AuditAction,
        subject: Subject,
        before: &T,
        after: &T,
    ) -> Self {
        Self { action, subject, before: Some(image(before)), after: Some(image(after)) }
    }

    /// Something ceased to be.
    pub fn gone(action: AuditAction, subject: Subject, before: &impl Serialize) -> Self {
        Self { action, subject, before: Some(image(before)), after: None }
    }

    /// Somebody was refused. The operation and the permission stand in the after-image.
    pub fn denied(permission: Permission, operation: &str) -> Self {
        Self {
            action: AuditAction::AccessDenied,
            subject: Subject {
                kind: EntityKind::Platform,
                id: None,
                organization: None,
                team: None,
            },
            before: None,
            after: Some(serde_json::json!({
                "permission": permission.to_string(),
                "operation": operation,
            })),
        }
    }
}

fn image(row: &impl Serialize) -> Value {
    serde_json::to_value(row).expect("rows are plain data with text keys")
}
