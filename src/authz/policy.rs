//! The policy: a pure function from who asks, for what, where, to yes or no.

use entity::role::{OrganizationRole, PlatformRole, TeamRole};

use super::{Actor, Permission, Placement, Role};

/// The roles that an actor holds over a place.
pub fn roles_over(actor: &Actor, place: &Placement) -> Vec<Role> {
    let mut roles = platform_roles(actor);
    for organization in &place.organizations {
        roles.extend(actor.organization_role(*organization).map(from_organization_role));
    }
    for team in &place.teams {
        if let Some(grant) = actor.teams().get(team) {
            roles.push(from_team_role(grant.role));
            if grant.member_keys {
                roles.push(Role::TeamMemberWithKeys);
            }
        }
        if actor.service_team() == Some(*team) {
            roles.push(Role::ServiceKey);
        }
    }
    // A platform viewer sees itself as it sees everybody, and changes nothing of its own either.
    let watches = actor.platform_role() == Some(PlatformRole::Viewer);
    if place.owner.is_some() && place.owner == actor.user_id() && !watches {
        roles.push(oneself(actor));
    }
    if place.key.is_some() && place.key == actor.key_id() {
        roles.push(Role::OwnKey);
    }
    if actor.kind() == entity::role::ActorKind::Gateway {
        roles.push(Role::Gateway);
    }
    if serves_itself(actor) && place.organizations.is_empty() {
        roles.push(Role::SelfServe);
    }
    roles
}

/// The roles that an actor holds over anything at all.
pub fn roles_anywhere(actor: &Actor) -> Vec<Role> {
    let everywhere = Placement {
        organizations: actor.known_organizations(),
        teams: actor.teams().keys().copied().chain(actor.service_team()).collect(),
        owner: actor.user_id(),
        key: actor.key_id().filter(|_| actor.kind() != entity::role::ActorKind::Gateway),
    };
    let mut roles = roles_over(actor, &everywhere);
    if serves_itself(actor) {
        roles.push(Role::SelfServe);
    }
    roles
}

/// Whether the actor may do this, at this place.
pub fn allows(actor: &Actor, permission: Permission, place: &Placement) -> bool {
    holds(actor, permission, &roles_over(actor, place))
}

/// Whether there is any place at which the actor may do this.
pub fn allows_anywhere(actor: &Actor, permission: Permission) -> bool {
    holds(actor, permission, &roles_anywhere(actor))
}

fn holds(actor: &Actor, permission: Permission, roles: &[Role]) -> bool {
    let holders = permission.holders();
    let granted = roles.iter().any(|role| {
        let restricted =
            actor.only_reads() && !permission.is_read() && *role != Role::OneselfReading;
        !restricted && holders.contains(role)
    });
    granted && actor.routes_allow(permission)
}

fn platform_roles(actor: &Actor) -> Vec<Role> {
    match actor.platform_role() {
        Some(PlatformRole::Admin) => vec![Role::PlatformAdmin],
        Some(PlatformRole::Viewer) => vec![Role::PlatformViewer],
        Some(PlatformRole::User | PlatformRole::UserViewer) | None => Vec::new(),
    }
}

/// What the person behind the key is to what concerns that person. A key that belongs to a team
/// acts within that team alone: it has no power over the person, for the team's admins may have
/// made it.
fn oneself(actor: &Actor) -> Role {
    match actor.platform_role() {
        _ if actor.bound_to().is_some() => Role::OneselfInTeam,
        Some(PlatformRole::UserViewer) => Role::OneselfReading,
        _ => Role::Oneself,
    }
}

/// Whether the platform lets the person make teams.
fn serves_itself(actor: &Actor) -> bool {
    actor.is_self_serve()
        && actor.platform_role() == Some(PlatformRole::User)
        && oneself(actor) == Role::Oneself
}

fn from_organization_role(role: OrganizationRole) -> Role {
    match role {
        OrganizationRole::Admin => Role::OrganizationAdmin,
        OrganizationRole::Member => Role::OrganizationMember,
    }
}

fn from_team_role(role: TeamRole) -> Role {
    match role {
        TeamRole::Admin => Role::TeamAdmin,
        TeamRole::Member => Role::TeamMember,
    }
}
