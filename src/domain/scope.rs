//! Scopes: the places that have budgets and model access, and who is above and below them.

mod places;

pub(crate) use places::places;

use std::collections::BTreeMap;

use entity::id::{
    ApiKeyId, EndUserId, Id, OrganizationId, ProjectId, TagId, TeamId, TeamMembershipId, UserId,
};
use entity::role::ScopeKind;
use entity::{api_key, end_user, organization, project, tag, team, team_membership, user};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SimpleExpr};
use uuid::Uuid;

use crate::authz::Placement;

/// One scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// Its kind.
    pub kind: ScopeKind,
    /// The id of the row that it is.
    pub id: Uuid,
}

impl Scope {
    /// The platform: all calls count there.
    pub fn platform() -> Self {
        Self::platform_default(ScopeKind::Platform)
    }

    /// An organization.
    pub fn organization(id: OrganizationId) -> Self {
        Self { kind: ScopeKind::Organization, id: id.uuid() }
    }

    /// A team.
    pub fn team(id: TeamId) -> Self {
        Self { kind: ScopeKind::Team, id: id.uuid() }
    }

    /// A member of a team.
    pub fn membership(id: TeamMembershipId) -> Self {
        Self { kind: ScopeKind::TeamMembership, id: id.uuid() }
    }

    /// A project.
    pub fn project(id: ProjectId) -> Self {
        Self { kind: ScopeKind::Project, id: id.uuid() }
    }

    /// A user.
    pub fn user(id: UserId) -> Self {
        Self { kind: ScopeKind::User, id: id.uuid() }
    }

    /// A key.
    pub fn api_key(id: ApiKeyId) -> Self {
        Self { kind: ScopeKind::ApiKey, id: id.uuid() }
    }

    /// An end user.
    pub fn end_user(id: EndUserId) -> Self {
        Self { kind: ScopeKind::EndUser, id: id.uuid() }
    }

    /// What new members of a team start with.
    pub fn member_default(team: TeamId) -> Self {
        Self { kind: ScopeKind::TeamMemberDefault, id: team.uuid() }
    }

    /// What new things of a kind start with on the whole platform.
    pub fn platform_default(kind: ScopeKind) -> Self {
        Self { kind, id: Uuid::nil() }
    }

    /// A tag.
    pub fn tag(id: TagId) -> Self {
        Self { kind: ScopeKind::Tag, id: id.uuid() }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            ScopeKind::Organization => OrganizationId::from_uuid(self.id).fmt(f),
            ScopeKind::Team => TeamId::from_uuid(self.id).fmt(f),
            ScopeKind::TeamMembership => TeamMembershipId::from_uuid(self.id).fmt(f),
            ScopeKind::Project => ProjectId::from_uuid(self.id).fmt(f),
            ScopeKind::User => UserId::from_uuid(self.id).fmt(f),
            ScopeKind::ApiKey => ApiKeyId::from_uuid(self.id).fmt(f),
            ScopeKind::EndUser => EndUserId::from_uuid(self.id).fmt(f),
            ScopeKind::Tag => TagId::from_uuid(self.id).fmt(f),
            ScopeKind::TeamMemberDefault => TeamId::from_uuid(self.id).fmt(f),
            ScopeKind::Platform => f.write_str("platform"),
            ScopeKind::TeamDefault
            | ScopeKind::UserDefault
            | ScopeKind::EndUserDefault
            | ScopeKind::ApiKeyDefault => f.write_str("settings"),
        }
    }
}

/// A scope with its place in the tree.
#[derive(Clone, Debug)]
pub struct Place {
    /// The scope.
    pub scope: Scope,
    /// The organization above it.
    pub organization: Option<OrganizationId>,
    /// The team above it, or that it is.
    pub team: Option<TeamId>,
    /// The person whom it concerns.
    pub owner: Option<UserId>,
    /// The scopes above it, whose limits hold for it too.
    pub ancestors: Vec<Scope>,
}

impl Place {
    /// An organization: nothing is above it.
    pub fn organization(organization: &organization::Model) -> Self {
        Self {
            scope: Scope::organization(organization.id),
            organization: Some(organization.id),
            team: None,
            owner: None,
            ancestors: Vec::new(),
        }
    }

    /// A team: its organization is above it.
    pub fn team(team: &team::Model) -> Self {
        Self {
            scope: Scope::team(team.id),
            organization: team.organization_id,
            team: Some(team.id),
            owner: None,
            ancestors: team.organization_id.map(Scope::organization).into_iter().collect(),
        }
    }

    /// A member: the team and its organization are above it.
    pub fn membership(team: &team::Model, membership: &team_membership::Model) -> Self {
        let mut place = Self::team(team);
        place.ancestors.push(place.scope);
        place.scope = Scope::membership(membership.id);
        place.owner = Some(membership.user_id);
        place
    }

    /// A project: the team and its organization are above it.
    pub fn project(team: &team::Model, project: &project::Model) -> Self {
        let mut place = Self::team(team);
        place.ancestors.push(place.scope);
        place.scope = Scope::project(project.id);
        place
    }

    /// A user: nothing is above it.
    pub fn user(user: &user::Model) -> Self {
        let scope = Scope::user(user.id);
        let owner = Some(user.id);
        Self { scope, organization: None, team: None, owner, ancestors: Vec::new() }
    }

    /// An end user: nothing is above it, wherever it belongs.
    pub fn end_user(end_user: &end_user::Model, team: Option<&team::Model>) -> Self {
        Self {
            scope: Scope::end_user(end_user.id),
            organization: team.map_or(end_user.organization_id, |team| team.organization_id),
            team: end_user.team_id,
            owner: None,
            ancestors: Vec::new(),
        }
    }

    /// What new members of a team start with: the team and its organization are above it.
    pub fn member_default(team: &team::Model) -> Self {
        let mut place = Self::team(team);
        place.ancestors.push(place.scope);
        place.scope = Scope::member_default(team.id);
        place
    }

    /// What new things of a kind start with, and the platform itself: nothing is above it.
    pub fn platform_default(kind: ScopeKind) -> Self {
        let scope = Scope::platform_default(kind);
        Self { scope, organization: None, team: None, owner: None, ancestors: Vec::new() }
    }

    /// A tag: nothing is above it.
    pub fn tag(tag: &tag::Model) -> Self {
        Self {
            scope: Scope::tag(tag.id),
            organization: tag.organization_id,
            team: None,
            owner: None,
            ancestors: Vec::new(),
        }
    }

    /// A key: in a team, its project, its member and the team are above it; else its owner.
    pub fn api_key(
        key: &api_key::Model,
        team: Option<&team::Model>,
        membership: Option<&team_membership::Model>,
    ) -> Self {
        let mut place = match (team, key.user_id) {
            (Some(team), _) => {
                let mut place = Self::team(team);
                place.ancestors.push(place.scope);
                place.ancestors.extend(key.project_id.map(Scope::project));
                place.ancestors.extend(membership.map(|member| Scope::membership(member.id)));
                place
            }
            (None, owner) => Self {
                scope: Scope::api_key(key.id),
                organization: None,
                team: None,
                owner,
                ancestors: owner.map(Scope::user).into_iter().collect(),
            },
        };
        place.scope = Scope::api_key(key.id);
        place.owner = key.user_id;
        place
    }

    /// Where one of the scopes above it stands, as far as rights go.
    pub fn placement_of(&self, ancestor: Scope) -> Placement {
        match (ancestor.kind, self.team) {
            (ScopeKind::Team | ScopeKind::Project, Some(team)) => {
                Placement::team(self.organization, team)
            }
            (ScopeKind::TeamMembership, Some(team)) => {
                Placement::team(self.organization, team).owned_by(self.owner)
            }
            (ScopeKind::User, _) => Placement::platform().owned_by(self.owner),
            _ => Placement::organization(self.organization),
        }
    }
}

/// The conditions under which a row of a table of scopes lies below a scope: for teams, projects,
/// members and keys, in this order; `None` where the kind has no such descendants.
#[derive(Debug, Default)]
pub struct Descendants {
    /// Rows of `teams`.
    pub teams: Option<SimpleExpr>,
    /// Rows of `projects`.
    pub projects: Option<SimpleExpr>,
    /// Rows of `team_memberships`.
    pub memberships: Option<SimpleExpr>,
    /// Rows of `api_keys`.
    pub keys: Option<SimpleExpr>,
    /// Rows of `teams` whose new members start below the scope.
    pub member_defaults: Option<SimpleExpr>,
    /// Rows of `models` that belong to the teams below the scope, or to the team that it is.
    pub models: Option<SimpleExpr>,
}

/// The conditions for what lies below scopes of one kind.
pub fn descendants(kind: ScopeKind, ids: &[Uuid]) -> Descendants {
    let column = |table: &'static str, column: &'static str| Expr::col((table, column));
    let ids = || ids.iter().copied();
    match kind {
        ScopeKind::Organization => {
            let teams = || {
                Query::select()
                    .column("id")
                    .from("teams")
                    .and_where(column("teams", "organization_id").is_in(ids()))
                    .to_owned()
            };
            Descendants {
                teams: Some(column("teams", "organization_id").is_in(ids())),
                projects: Some(column("projects", "team_id").in_subquery(teams())),
                memberships: Some(column("team_memberships", "team_id").in_subquery(teams())),
                keys: Some(column("api_keys", "team_id").in_subquery(teams())),
                member_defaults: Some(column("teams", "organization_id").is_in(ids())),
                models: Some(column("models", "team_id").in_subquery(teams())),
            }
        }
        ScopeKind::Team => Descendants {
            teams: None,
            projects: Some(column("projects", "team_id").is_in(ids())),
            memberships: Some(column("team_memberships", "team_id").is_in(ids())),
            keys: Some(column("api_keys", "team_id").is_in(ids())),
            member_defaults: Some(column("teams", "id").is_in(ids())),
            models: Some(column("models", "team_id").is_in(ids())),
        },
        ScopeKind::TeamMembership => {
            let member = Query::select()
                .expr(Expr::val(1))
                .from("team_memberships")
                .and_where(column("team_memberships", "id").is_in(ids()))
                .and_where(column("team_memberships", "team_id").equals(("api_keys", "team_id")))
                .and_where(column("team_memberships", "user_id").equals(("api_keys", "user_id")))
                .to_owned();
            Descendants { keys: Some(Expr::exists(member)), ..Descendants::default() }
        }
        ScopeKind::Project => Descendants {
            keys: Some(column("api_keys", "project_id").is_in(ids())),
            ..Descendants::default()
        },
        ScopeKind::User => Descendants {
            keys: Some(
                column("api_keys", "user_id")
                    .is_in(ids())
                    .and(column("api_keys", "team_id").is_null()),
            ),
            ..Descendants::default()
        },
        ScopeKind::Platform
        | ScopeKind::ApiKey
        | ScopeKind::EndUser
        | ScopeKind::Tag
        | ScopeKind::TeamMemberDefault
        | ScopeKind::TeamDefault
        | ScopeKind::UserDefault
        | ScopeKind::EndUserDefault
        | ScopeKind::ApiKeyDefault => Descendants::default(),
    }
}

/// Scopes, sorted into their kinds.
pub(crate) fn by_kind(scopes: &[Scope]) -> BTreeMap<ScopeKind, Vec<Uuid>> {
    let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for scope in scopes {
        kinds.entry(scope.kind).or_default().push(scope.id);
    }
    kinds
}
