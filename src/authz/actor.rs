//! Who is asking, with everything that decides what they may do.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use entity::id::{ApiKeyId, OrganizationId, TeamId, UserId};
use entity::role::{
    ActorKind, ApiKeyKind, BlockLevel, OrganizationRole, PlatformRole, TeamMemberPermission,
    TeamRole,
};
use entity::{api_key, user};

use super::{Permission, Role};

/// The words that [`api_key::Model::allowed_routes`] may hold, beside paths that begin with `/`.
pub const ROUTE_GROUPS: &[&str] = &["llm", "management", "management:read"];

/// A membership in a team, as far as rights go.
#[derive(Clone, Debug)]
pub struct TeamGrant {
    /// What the user is in the team.
    pub role: TeamRole,
    /// The organization above the team.
    pub organization: Option<OrganizationId>,
    /// Whether the team grants its plain members keys of their own.
    pub member_keys: bool,
}

impl TeamGrant {
    /// A grant from a membership and its team.
    pub fn new(role: TeamRole, team: &entity::team::Model) -> Self {
        Self {
            role,
            organization: team.organization_id,
            member_keys: team.member_permissions.0.contains(&TeamMemberPermission::ApiKeyCreate),
        }
    }
}

/// Who is asking. Made by [`crate::authn`] from a credential that was checked, and by nothing else:
/// there is no anonymous actor.
#[derive(Clone, Debug)]
pub struct Actor {
    kind: ActorKind,
    key: Option<api_key::Model>,
    secret_ends_at: Option<DateTime<Utc>>,
    user: Option<user::Model>,
    organizations: BTreeMap<OrganizationId, OrganizationRole>,
    teams: BTreeMap<TeamId, TeamGrant>,
    self_serve: bool,
}

impl Actor {
    /// The holder of the bootstrap admin key.
    pub(crate) fn bootstrap() -> Self {
        Self {
            kind: ActorKind::Bootstrap,
            key: None,
            secret_ends_at: None,
            user: None,
            organizations: BTreeMap::new(),
            teams: BTreeMap::new(),
            self_serve: false,
        }
    }

    /// The holder of a key, with the rights that its owner has now.
    ///
    /// A key that belongs to a team acts within that team alone, whatever else its owner may do.
    pub(crate) fn with_key(
        key: api_key::Model,
        secret_ends_at: Option<DateTime<Utc>>,
        user: Option<user::Model>,
        mut organizations: BTreeMap<OrganizationId, OrganizationRole>,
        mut teams: BTreeMap<TeamId, TeamGrant>,
        self_serve: bool,
    ) -> Self {
        let kind = match key.kind {
            ApiKeyKind::User => ActorKind::User,
            ApiKeyKind::Service => ActorKind::Service,
            ApiKeyKind::Gateway => ActorKind::Gateway,
            ApiKeyKind::Admin => ActorKind::Admin,
        };
        if let Some(team) = key.team_id {
            organizations.clear();
            teams.retain(|id, _| *id == team);
        }
        Self { kind, key: Some(key), secret_ends_at, user, organizations, teams, self_serve }
    }

    /// What kind of credential acts.
    pub fn kind(&self) -> ActorKind {
        self.kind
    }

    /// The key that was presented; none for the bootstrap admin key.
    pub fn key(&self) -> Option<&api_key::Model> {
        self.key.as_ref()
    }

    /// The id of that key.
    pub fn key_id(&self) -> Option<ApiKeyId> {
        self.key.as_ref().map(|key| key.id)
    }

    /// When the presented secret ends because the key was rotated; none for the current secret.
    pub fn secret_ends_at(&self) -> Option<DateTime<Utc>> {
        self.secret_ends_at
    }

    /// When the credential ends: with the key, or with the secret; none for one without an end.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let key = self.key.as_ref().and_then(|key| key.expires_at);
        key.into_iter().chain(self.secret_ends_at).min()
    }

    /// The person behind the key.
    pub fn user(&self) -> Option<&user::Model> {
        self.user.as_ref()
    }

    /// The id of that person.
    pub fn user_id(&self) -> Option<UserId> {
        self.user.as_ref().map(|user| user.id)
    }

    /// The team of a service key.
    pub fn service_team(&self) -> Option<TeamId> {
        match (self.kind, &self.key) {
            (ActorKind::Service, Some(key)) => key.team_id,
            _ => None,
        }
    }

    /// The team within which alone the key acts.
    pub fn bound_to(&self) -> Option<TeamId> {
        self.key.as_ref().and_then(|key| key.team_id)
    }

    /// The name under which rows and audit events remember the actor: the id of the user, else of
    /// the key, else `bootstrap`.
    pub fn reference(&self) -> String {
        match (self.user_id(), self.key_id()) {
            (Some(user), _) => user.to_string(),
            (None, Some(key)) => key.to_string(),
            (None, None) => "bootstrap".to_owned(),
        }
    }

    /// The platform role that is in force: the user's, unless the key belongs to a team.
    pub fn platform_role(&self) -> Option<PlatformRole> {
        match self.kind {
            ActorKind::Bootstrap | ActorKind::Admin => Some(PlatformRole::Admin),
            ActorKind::Service | ActorKind::Gateway => None,
            ActorKind::User => {
                let role = self.user.as_ref()?.platform_role;
                let narrowed = self.bound_to().is_some();
                Some(match role {
                    PlatformRole::Admin if narrowed => PlatformRole::User,
                    PlatformRole::Viewer if narrowed => PlatformRole::UserViewer,
                    role => role,
                })
            }
        }
    }

    /// Whether the actor sees everything.
    pub fn sees_all(&self) -> bool {
        matches!(self.platform_role(), Some(PlatformRole::Admin | PlatformRole::Viewer))
    }

    /// Whether the actor runs the platform.
    pub fn is_platform_admin(&self) -> bool {
        self.platform_role() == Some(PlatformRole::Admin)
    }

    /// The organizations that the actor runs.
    pub fn administered_organizations(&self) -> Vec<OrganizationId> {
        self.organizations
            .iter()
            .filter(|(_, role)| **role == OrganizationRole::Admin)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The organizations that the actor belongs to, by itself or through a team.
    pub fn known_organizations(&self) -> Vec<OrganizationId> {
        let through_teams = self.teams.values().filter_map(|grant| grant.organization);
        let mut ids: Vec<_> = self.organizations.keys().copied().chain(through_teams).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The teams that the actor belongs to.
    pub fn teams(&self) -> &BTreeMap<TeamId, TeamGrant> {
        &self.teams
    }

    /// The teams that the actor looks after.
    pub fn administered_teams(&self) -> Vec<TeamId> {
        let admins = self.teams.iter().filter(|(_, grant)| grant.role == TeamRole::Admin);
        admins.map(|(id, _)| *id).collect()
    }

    pub(super) fn organization_role(&self, id: OrganizationId) -> Option<OrganizationRole> {
        self.organizations.get(&id).copied()
    }

    pub(super) fn is_self_serve(&self) -> bool {
        self.self_serve
    }

    /// Whether a viewer's role keeps the actor from changing anything but itself.
    pub(super) fn only_reads(&self) -> bool {
        self.platform_role() == Some(PlatformRole::UserViewer)
    }

    /// Whether the key's own routes leave room for the permission.
    pub(super) fn routes_allow(&self, permission: Permission) -> bool {
        let routes = self.key.as_ref().and_then(|key| key.allowed_routes.as_ref());
        routes.is_none_or(|routes| {
            routes.0.iter().any(|route| match route.as_str() {
                "management" => true,
                "management:read" => permission.is_read(),
                "/graphql" => true,
                // Reports, heartbeats and releases have routes of their own.
                route => permission == Permission::UsageRecord && opens(route, "/v1/usage"),
            })
        })
    }

    /// The level at which the actor blocks what stands under the given roles.
    pub fn block_level(roles: &[Role]) -> BlockLevel {
        if roles.contains(&Role::PlatformAdmin) {
            BlockLevel::Platform
        } else if roles.contains(&Role::OrganizationAdmin) {
            BlockLevel::Organization
        } else if roles.contains(&Role::TeamAdmin) {
            BlockLevel::Team
        } else {
            BlockLevel::Owner
        }
    }
}

/// Whether a route of a key's list, which may end in `*`, opens a path.
fn opens(route: &str, path: &str) -> bool {
    route == path || route.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}
