//! Memberships of users in organizations: who runs an organization, and who belongs to it.

use std::collections::BTreeMap;

use entity::id::{Id, OrganizationId, OrganizationMembershipId, TeamId, UserId};
use entity::role::{OrganizationRole, TeamRole};
use entity::{organization, organization_membership, team, team_membership, user};
use sea_orm::sea_query::{ExprTrait, LockType, Query};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::field::{self, Faults};
use super::membership as team_members;
use super::organization::release;
use super::reach;
use super::user::{UserReference, find_or_invite};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Actor, Authorized, Permission, Placement, Reference, Resource, authorize};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

/// The most members that one call adds.
pub const MEMBERS: usize = 500;

/// A member to be added.
#[derive(Clone, Debug)]
pub struct Add {
    /// The user.
    pub user: UserReference,
    /// What the user is to be.
    pub role: OrganizationRole,
}

/// What went with a member who was removed.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The membership.
    pub membership: organization_membership::Model,
    /// The memberships in the organization's teams.
    pub team_memberships: u64,
    /// The keys in the organization's teams.
    pub api_keys: u64,
}

/// The memberships that a caller may see: those of organizations that it runs, and its own. A key
/// that belongs to a team sees none of its owner's.
#[expect(clippy::disallowed_methods, reason = "this is where reads of these memberships begin")]
pub fn visible_to(actor: &Actor) -> Select<organization_membership::Entity> {
    let select = organization_membership::Entity::find();
    if actor.sees_all() {
        return select;
    }
    let column = ("organization_memberships", "organization_id");
    let itself = actor.user_id().filter(|_| actor.bound_to().is_none());
    select.filter(
        Condition::any()
            .add(organization_membership::Column::UserId.is_in(itself))
            .add(reach::in_administered_organizations(actor, column)),
    )
}

impl Resource for organization_membership::Model {
    const NOUN: &'static str = "organization membership";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(id) = reference.id::<OrganizationMembershipId>() else { return Ok(None) };
        let select = visible_to(tx.actor()).filter(organization_membership::Column::Id.eq(id));
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::organization(Some(self.organization_id)).owned_by(Some(self.user_id)))
    }
}

/// Pages of the members of several organizations, in one statement.
///
/// # Errors
/// What the database answers.
pub async fn of_organizations(
    reader: &Reader,
    organizations: &[OrganizationId],
    page: &Page,
) -> Result<BTreeMap<OrganizationId, Rows<organization_membership::Model>>> {
    let ids: Vec<_> = organizations.iter().map(|id| id.uuid()).collect();
    let (column, id) =
        (organization_membership::Column::OrganizationId, ("organization_memberships", "id"));
    let from = || visible_to(reader.actor());
    let rows = crate::db::page::per_parent(reader.db(), from, column, &ids, page, (id, id)).await?;
    Ok(crate::db::page::group(rows, page, |row| row.organization_id))
}

/// How many members organizations have, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn count_of_organizations(
    reader: &Reader,
    organizations: &[OrganizationId],
) -> Result<BTreeMap<OrganizationId, u64>> {
    let column = organization_membership::Column::OrganizationId;
    let select = visible_to(reader.actor()).filter(column.is_in(organizations.iter().copied()));
    crate::db::page::counts(reader.db(), select, column).await
}

/// The memberships of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(
    reader: &Reader,
    ids: &[OrganizationMembershipId],
) -> Result<Vec<organization_membership::Model>> {
    let column = organization_membership::Column::Id;
    let select = visible_to(reader.actor()).filter(column.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

/// The users among these who do not belong to an organization, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may move")]
pub(crate) async fn strangers_to(
    tx: &Tx,
    organization: OrganizationId,
    team: TeamId,
) -> Result<Vec<UserId>> {
    let known = Query::select()
        .column("user_id")
        .from("organization_memberships")
        .and_where(organization_membership::Column::OrganizationId.eq(organization))
        .to_owned();
    let strangers = team_membership::Entity::find()
        .filter(team_membership::Column::TeamId.eq(team))
        .filter(team_membership::Column::UserId.not_in_subquery(known))
        .order_by_asc(team_membership::Column::UserId);
    Ok(strangers.all(tx.db()).await?.into_iter().map(|member| member.user_id).collect())
}

/// Adds members to an organization: all, or none. An address that nobody has becomes a pending user
/// whom the organization manages.
///
/// # Errors
/// Faults in the input; unknown users; [`Error::AlreadyExists`] for users who are members;
/// [`Error::Forbidden`] for people who run or watch the platform.
pub async fn add(
    tx: &mut Tx,
    organization: Authorized<organization::Model>,
    members: Vec<Add>,
) -> Result<Vec<organization_membership::Model>> {
    let mut faults = Faults::default();
    if members.is_empty() || members.len() > MEMBERS {
        faults.add("input.members", format!("give 1 to {MEMBERS} members"));
    }
    faults.finish()?;
    let references: Vec<_> = members.iter().map(|member| member.user.clone()).collect();
    let id = organization.id;
    let (users, _) = find_or_invite(tx, &references, Some(id), "input.members").await?;
    team_members::refuse_repeats(&users, "input.members")?;
    for user in &users {
        spare_the_platform(tx, user, Permission::OrganizationMemberAdd)?;
    }
    refuse_members(tx, id, &users).await?;
    let (now, by) = (tx.now(), tx.by());
    let rows: Vec<_> = members
        .iter()
        .zip(&users)
        .map(|(member, user)| organization_membership::Model {
            id: tx.id(),
            organization_id: id,
            user_id: user.id,
            role: member.role,
            version: 1,
            created_at: now,
            created_by: by.clone(),
            updated_at: now,
            updated_by: by.clone(),
        })
        .collect();
    tx.insert_all(&rows).await?;
    for row in &rows {
        let subject = Subject::organization_membership(row);
        tx.record(Event::made(AuditAction::OrganizationMemberAdded, subject, row));
    }
    Ok(rows)
}

/// People who run or watch the platform are for its admins alone (SECURITY 3, footnote 1).
fn spare_the_platform(tx: &Tx, user: &user::Model, permission: Permission) -> Result<()> {
    if user.platform_role.is_ordinary() || tx.actor().is_platform_admin() {
        return Ok(());
    }
    Err(Error::Forbidden { permission })
}

#[expect(clippy::disallowed_methods, reason = "of an organization that the caller may change")]
async fn refuse_members(tx: &Tx, id: OrganizationId, users: &[user::Model]) -> Result<()> {
    let known = organization_membership::Entity::find()
        .filter(organization_membership::Column::OrganizationId.eq(id))
        .filter(organization_membership::Column::UserId.is_in(users.iter().map(|user| user.id)))
        .all(tx.db())
        .await?;
    let taken = users.iter().position(|user| known.iter().any(|row| row.user_id == user.id));
    match taken {
        Some(index) => Err(Error::AlreadyExists {
            field: format!("input.members.{index}.user"),
            message: "this user is a member of the organization already".to_owned(),
        }),
        None => Ok(()),
    }
}

/// A membership that is to change, with what was locked before it.
#[derive(Debug)]
pub struct Member {
    /// The membership.
    pub membership: Authorized<organization_membership::Model>,
    user: user::Model,
    teams: Vec<team::Model>,
}

/// Finds a membership by organization and user, and locks the organization, the teams in which the
/// user is, if those are to be left too, and the user before it.
///
/// # Errors
/// [`Error::NotFound`] when the organization is not visible, or the user is not its member;
/// [`Error::Forbidden`].
pub async fn authorize_member(
    tx: &Tx,
    permission: Permission,
    organization: &Reference,
    user: &UserReference,
    with_teams: bool,
) -> Result<Member> {
    let organization =
        authorize::<organization::Model>(tx, permission, organization, "input.organizationId")
            .await?;
    let missing = || Error::NotFound {
        noun: organization_membership::Model::NOUN,
        field: Some("input.user".to_owned()),
    };
    let found = find_named(tx, organization.id, user).await?.ok_or_else(missing)?;
    let teams =
        if with_teams { lock_teams(tx, organization.id, found.user_id).await? } else { Vec::new() };
    let user = lock_user(tx, found.user_id).await?.ok_or_else(missing)?;
    let reference = Reference::to(found.id);
    let membership =
        authorize::<organization_membership::Model>(tx, permission, &reference, "input.user")
            .await?;
    spare_the_platform(tx, &user, permission)?;
    Ok(Member { membership, user, teams })
}

async fn find_named(
    tx: &Tx,
    organization: OrganizationId,
    user: &UserReference,
) -> Result<Option<organization_membership::Model>> {
    let named = match user {
        UserReference::Id(reference) => match (reference.id::<UserId>(), reference.external()) {
            (Some(id), _) => Condition::all().add(user::Column::Id.eq(id)),
            (None, Some(text)) => Condition::all().add(user::Column::ExternalId.eq(text)),
            (None, None) => return Ok(None),
        },
        UserReference::Email(email) if email.contains('\0') => return Ok(None),
        UserReference::Email(email) => Condition::all()
            .add(user::Column::EmailKey.eq(email.to_lowercase()))
            .add(super::user::confirmed(Some(organization))),
    };
    let users = Query::select().column(("users", "id")).from("users").cond_where(named).to_owned();
    let select = visible_to(tx.actor())
        .filter(organization_membership::Column::OrganizationId.eq(organization))
        .filter(organization_membership::Column::UserId.in_subquery(users));
    Ok(select.one(tx.db()).await?)
}

/// Locks the teams of an organization that a user is in, in the order of their ids.
#[expect(clippy::disallowed_methods, reason = "of an organization that the caller runs")]
async fn lock_teams(
    tx: &Tx,
    organization: OrganizationId,
    user: UserId,
) -> Result<Vec<team::Model>> {
    let joined = Query::select()
        .column("team_id")
        .from("team_memberships")
        .and_where(team_membership::Column::UserId.eq(user))
        .to_owned();
    let select = team::Entity::find()
        .filter(team::Column::OrganizationId.eq(organization))
        .filter(team::Column::Id.in_subquery(joined))
        .order_by_asc(team::Column::Id);
    Ok(select.lock(LockType::Update).all(tx.db()).await?)
}

#[expect(clippy::disallowed_methods, reason = "a member of an organization that the caller runs")]
async fn lock_user(tx: &Tx, id: UserId) -> Result<Option<user::Model>> {
    Ok(user::Entity::find_by_id(id).lock(LockType::Update).one(tx.db()).await?)
}

/// Makes a member an admin of the organization, or an admin a member.
///
/// # Errors
/// [`Error::Conflict`] for a stale version, and for an organization's own admin who would leave it
/// without one.
pub async fn update(
    tx: &mut Tx,
    member: Member,
    role: OrganizationRole,
    expected_version: Option<i32>,
) -> Result<organization_membership::Model> {
    let before = member.membership.into_inner();
    field::expect_version(expected_version, before.version)?;
    if before.role == role {
        tx.nothing_changed();
        return Ok(before);
    }
    if before.role == OrganizationRole::Admin {
        keep_an_admin(tx, &before).await?;
    }
    let mut after = before.clone();
    after.role = role;
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::organization_membership(&after);
    tx.record(Event::changed(AuditAction::OrganizationMemberUpdated, subject, &before, &after));
    Ok(after)
}

/// An organization's admins do not leave it without one of them, since nobody in it could mend
/// that; the platform's admins, who stand above, may. The organization's row is locked.
#[expect(clippy::disallowed_methods, reason = "of an organization that the caller runs")]
async fn keep_an_admin(tx: &Tx, leaving: &organization_membership::Model) -> Result<()> {
    if tx.actor().is_platform_admin() {
        return Ok(());
    }
    let others = organization_membership::Entity::find()
        .filter(organization_membership::Column::OrganizationId.eq(leaving.organization_id))
        .filter(organization_membership::Column::Role.eq(OrganizationRole::Admin))
        .filter(organization_membership::Column::Id.ne(leaving.id));
    if others.one(tx.db()).await?.is_some() {
        return Ok(());
    }
    Err(Error::conflict(
        "this is the organization's last admin: make another member admin first, or ask an admin \
         of the platform",
    ))
}

/// Removes a member from an organization and from its teams, with the budgets and the keys that it
/// has there. A user whom the organization manages is the platform's from then on; its personal
/// keys stay.
///
/// # Errors
/// [`Error::Conflict`] for a stale version, for an organization's own admin who would leave it
/// without one, and for the last admin of a team with other members.
pub async fn remove(tx: &mut Tx, member: Member, expected_version: Option<i32>) -> Result<Removed> {
    let Member { membership, user, teams } = member;
    let row = membership.into_inner();
    field::expect_version(expected_version, row.version)?;
    if row.role == OrganizationRole::Admin {
        keep_an_admin(tx, &row).await?;
    }
    let mut removed = Removed { membership: row, team_memberships: 0, api_keys: 0 };
    leave_teams(tx, &user, &teams, &mut removed).await?;
    let row = &removed.membership;
    organization_membership::Entity::delete_many()
        .filter(organization_membership::Column::Id.eq(row.id))
        .exec(tx.db())
        .await?;
    let subject = Subject::organization_membership(row);
    tx.record(Event::gone(AuditAction::OrganizationMemberRemoved, subject, row));
    if user.organization_id == Some(row.organization_id) {
        release(tx, user).await?;
    }
    Ok(removed)
}

/// Takes a user out of teams, with its keys there. The teams and the user are locked; memberships, of
/// other members too where an admin leaves, come before keys, and all keys before the first budget.
#[expect(clippy::disallowed_methods, reason = "of an organization that the caller runs")]
async fn leave_teams(
    tx: &mut Tx,
    user: &user::Model,
    teams: &[team::Model],
    removed: &mut Removed,
) -> Result<()> {
    let ids = || teams.iter().map(|team| team.id);
    let members = team_membership::Entity::find()
        .filter(team_membership::Column::UserId.eq(user.id))
        .filter(team_membership::Column::TeamId.is_in(ids()))
        .order_by_asc(team_membership::Column::Id);
    let members = members.all(tx.db()).await?;
    let led = members.iter().filter(|member| member.role == TeamRole::Admin);
    let locked = team_membership::Column::Id
        .is_in(members.iter().map(|member| member.id))
        .or(team_membership::Column::TeamId.is_in(led.map(|member| member.team_id)));
    team_members::lock(tx, locked).await?;
    let keys = entity::api_key::Column::TeamId
        .is_in(ids())
        .and(entity::api_key::Column::UserId.eq(user.id));
    super::api_key::lock(tx, keys).await?;
    let mut left_without_admin = Vec::new();
    for member in members {
        let Some(team) = teams.iter().find(|team| team.id == member.team_id) else { continue };
        let keys = super::api_key::of_team(tx, team.id, Some(user.id)).await?;
        removed.api_keys += super::api_key::remove_all(tx, keys, team.organization_id).await?;
        team_members::remove_row(tx, &member).await?;
        let subject = Subject::membership(team, &member);
        tx.record(Event::gone(AuditAction::TeamMemberRemoved, subject, &member));
        removed.team_memberships += 1;
        if member.role == TeamRole::Admin {
            left_without_admin.push(team.id);
        }
    }
    team_members::keep_admins(tx, &left_without_admin).await
}
