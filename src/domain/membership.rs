//! Memberships of users in teams: one row per member, every change one statement on it.

mod bulk;

pub use bulk::update_many;

use std::collections::{BTreeMap, BTreeSet};

use entity::id::{BudgetId, Id, OrganizationId, TeamId, TeamMembershipId, UserId};
use entity::role::{ScopeKind, TeamRole};
use entity::value::ModelAccess;
use entity::{team, team_membership, user};
use sea_orm::sea_query::{Expr, ExprTrait, IntoCondition, LockType, Query, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::field::{self, Faults};
use super::scope::{Place, Scope};
use super::user::UserReference;
use super::{Cascade, Change, budget, limit};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, Role, also, authorize, policy,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

const LAST_ADMIN: &str = "this is the team's last admin: make another member admin first";

/// The most members that one call adds.
pub const MEMBERS: usize = 500;

/// A member to be added.
#[derive(Clone, Debug)]
pub struct Add {
    /// The user.
    pub user: UserReference,
    /// What the user is to be.
    pub role: TeamRole,
    /// Which models the member may call.
    pub model_access: Option<ModelAccess>,
    /// The member's budgets; none for what new members of the team start with.
    pub budgets: Option<Vec<budget::Entry>>,
}

impl Add {
    /// A member that starts as new members of the team do.
    pub fn new(user: Reference, role: TeamRole) -> Self {
        Self { user: UserReference::Id(user), role, model_access: None, budgets: None }
    }
}

/// A change of a membership.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// What the user is to be.
    pub role: Option<TeamRole>,
    /// Which models the member may call.
    pub model_access: Change<ModelAccess>,
    /// The budgets that the member is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// What happens to keys that would exceed the new limits.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// The memberships that a caller may see: those of the teams that it may see, and its own.
#[expect(clippy::disallowed_methods, reason = "this is where reads of memberships begin")]
pub fn visible_to(actor: &Actor) -> Select<team_membership::Entity> {
    let select = team_membership::Entity::find();
    if actor.sees_all() {
        return select;
    }
    if actor.service_team().is_some() {
        // A team's key sees its team, and not who is in it.
        return select.filter(Expr::val(1).eq(0));
    }
    // Asked for each row, because every reader names the few teams, users or rows that it wants.
    let team = Expr::col(("teams", "id")).equals(("team_memberships", "team_id"));
    let team = super::team::visible_to(actor).filter(team);
    select.filter(Expr::exists(super::visible_ids(team, "teams")))
}

impl Resource for team_membership::Model {
    const NOUN: &'static str = "team membership";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(id) = reference.id::<TeamMembershipId>() else { return Ok(None) };
        let select = visible_to(tx.actor()).filter(team_membership::Column::Id.eq(id));
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    async fn placement(&self, tx: &Tx) -> Result<Placement> {
        let team = super::team::row(tx, self.team_id).await?;
        let organization = team.and_then(|team| team.organization_id);
        Ok(Placement::team(organization, self.team_id).owned_by(Some(self.user_id)))
    }
}

/// Pages of the members of several teams, in one statement, each with its user.
///
/// # Errors
/// What the database answers.
pub async fn of_teams(
    reader: &Reader,
    teams: &[TeamId],
    page: &Page,
) -> Result<BTreeMap<TeamId, Rows<team_membership::Model>>> {
    let ids: Vec<_> = teams.iter().map(|team| team.uuid()).collect();
    let from = || visible_to(reader.actor());
    let rows = crate::db::page::per_parent(
        reader.db(),
        from,
        team_membership::Column::TeamId,
        &ids,
        page,
        (("team_memberships", "id"), ("team_memberships", "id")),
    )
    .await?;
    Ok(crate::db::page::group(rows, page, |row| row.team_id))
}

/// How many members teams have, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn count_of_teams(reader: &Reader, teams: &[TeamId]) -> Result<BTreeMap<TeamId, u64>> {
    let ids = teams.iter().map(|team| team.uuid());
    let select = visible_to(reader.actor()).filter(team_membership::Column::TeamId.is_in(ids));
    crate::db::page::counts(reader.db(), select, team_membership::Column::TeamId).await
}

/// A page of the memberships of several users, as far as the caller may see the teams.
///
/// # Errors
/// What the database answers.
pub async fn of_users(
    reader: &Reader,
    users: &[UserId],
    page: &Page,
) -> Result<BTreeMap<UserId, Rows<team_membership::Model>>> {
    let ids: Vec<_> = users.iter().map(|user| user.uuid()).collect();
    let from = || visible_to(reader.actor());
    let rows = crate::db::page::per_parent(
        reader.db(),
        from,
        team_membership::Column::UserId,
        &ids,
        page,
        (("team_memberships", "id"), ("team_memberships", "id")),
    )
    .await?;
    Ok(crate::db::page::group(rows, page, |row| row.user_id))
}

/// How many memberships users have, as far as the caller may see the teams.
///
/// # Errors
/// What the database answers.
pub async fn count_of_users(reader: &Reader, users: &[UserId]) -> Result<BTreeMap<UserId, u64>> {
    let ids = users.iter().map(|user| user.uuid());
    let select = visible_to(reader.actor()).filter(team_membership::Column::UserId.is_in(ids));
    crate::db::page::counts(reader.db(), select, team_membership::Column::UserId).await
}

/// The memberships of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(
    reader: &Reader,
    ids: &[TeamMembershipId],
) -> Result<Vec<team_membership::Model>> {
    let select =
        visible_to(reader.actor()).filter(team_membership::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

/// The members of a team, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may change")]
pub(crate) async fn of_team_for_update(
    tx: &Tx,
    team: TeamId,
) -> Result<Vec<team_membership::Model>> {
    let rows = team_membership::Entity::find()
        .filter(team_membership::Column::TeamId.eq(team))
        .order_by_asc(team_membership::Column::Id)
        .lock(LockType::Update);
    Ok(rows.all(tx.db()).await?)
}

/// Locks memberships that are to go, in the order of their ids.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "of teams and users that the caller may delete")]
pub(crate) async fn lock(tx: &Tx, condition: SimpleExpr) -> Result<()> {
    let rows = team_membership::Entity::find().filter(condition);
    let rows = rows.order_by_asc(team_membership::Column::Id).lock(LockType::Update);
    rows.all(tx.db()).await?;
    Ok(())
}

/// The membership of a user in a team, locked against its removal; for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may act in")]
pub(crate) async fn of_user_in_team(
    tx: &Tx,
    team: TeamId,
    user: UserId,
) -> Result<Option<team_membership::Model>> {
    let row = team_membership::Entity::find()
        .filter(team_membership::Column::TeamId.eq(team))
        .filter(team_membership::Column::UserId.eq(user))
        .lock(LockType::Share);
    Ok(row.one(tx.db()).await?)
}

/// The memberships of users in a team, by user, locked against their removal; for what must hold
/// whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may act in")]
pub(crate) async fn of_users_in_team(
    tx: &Tx,
    team: TeamId,
    users: &BTreeSet<UserId>,
) -> Result<BTreeMap<UserId, team_membership::Model>> {
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = team_membership::Entity::find()
        .filter(team_membership::Column::TeamId.eq(team))
        .filter(team_membership::Column::UserId.is_in(users.iter().copied()))
        .order_by_asc(team_membership::Column::Id)
        .lock(LockType::Share);
    Ok(rows.all(tx.db()).await?.into_iter().map(|row| (row.user_id, row)).collect())
}

/// Whether a list of members to be added names the caller.
pub(crate) fn lists(tx: &Tx, organization: Option<OrganizationId>, members: &[Add]) -> bool {
    let Some(own) = tx.actor().user() else { return true };
    members.iter().any(|member| match &member.user {
        UserReference::Id(reference) => {
            reference.id::<UserId>() == Some(own.id)
                || (own.external_id.is_some() && reference.external() == own.external_id.as_deref())
        }
        UserReference::Email(email) => super::user::is_at(own, &email.to_lowercase(), organization),
    })
}

/// What adding members made.
#[derive(Clone, Debug)]
pub struct Added {
    /// The memberships, in the order of the input.
    pub memberships: Vec<team_membership::Model>,
}

/// Adds members to a team: all, or none. Team admins add plain members only.
///
/// # Errors
/// Faults in the input; unknown users; [`Error::AlreadyExists`] for users who are members.
pub async fn add(tx: &mut Tx, team: Authorized<team::Model>, members: Vec<Add>) -> Result<Added> {
    let mut faults = Faults::default();
    if members.is_empty() || members.len() > MEMBERS {
        faults.add("input.members", format!("give 1 to {MEMBERS} members"));
    }
    faults.finish()?;
    if members.iter().any(|member| member.role == TeamRole::Admin) {
        also(tx, &team, Permission::TeamMemberRoleUpdate).await?;
    }
    if members.iter().any(|member| member.budgets.is_some() || member.model_access.is_some()) {
        also(tx, &team, Permission::TeamMemberLimitUpdate).await?;
    }
    let memberships = insert(tx, &team, members, "input.members").await?;
    Ok(Added { memberships })
}

/// Inserts memberships with their budgets; the team's row is locked by the caller.
pub(crate) async fn insert(
    tx: &mut Tx,
    team: &team::Model,
    members: Vec<Add>,
    field: &str,
) -> Result<Vec<team_membership::Model>> {
    let users = find_users(tx, team.organization_id, &members, field).await?;
    insert_users(tx, team, members, users, field).await
}

/// Checks members that are to be added, and finds and locks their users, before any budget is
/// locked.
pub(crate) async fn find_users(
    tx: &mut Tx,
    organization: Option<OrganizationId>,
    members: &[Add],
    field: &str,
) -> Result<Vec<user::Model>> {
    let mut faults = Faults::default();
    if members.len() > MEMBERS {
        faults.add(field, format!("give at most {MEMBERS} members"));
    }
    for (index, member) in members.iter().enumerate().take(MEMBERS) {
        if let Some(access) = &member.model_access {
            faults.model_access(&format!("{field}.{index}.modelAccess"), access);
        }
    }
    faults.finish()?;
    refuse_many_budgets(members, 0, field)?;
    let references: Vec<_> = members.iter().map(|member| member.user.clone()).collect();
    let users = super::user::resolve_or_invite(tx, &references, organization, field).await?;
    refuse_repeats(&users, field)?;
    Ok(users)
}

/// Inserts memberships of users who were found.
pub(crate) async fn insert_users(
    tx: &mut Tx,
    team: &team::Model,
    members: Vec<Add>,
    users: Vec<user::Model>,
    field: &str,
) -> Result<Vec<team_membership::Model>> {
    refuse_members(tx, team.id, &users, field).await?;
    let defaults = if members.iter().any(|member| member.budgets.is_none()) {
        budget::defaults(tx, Scope::member_default(team.id)).await?
    } else {
        Vec::new()
    };
    refuse_many_budgets(&members, defaults.len(), field)?;
    let access = limit::access_of_new_member(tx, team).await?;

    let (now, by) = (tx.now(), tx.by());
    let rows: Vec<_> = members
        .iter()
        .zip(&users)
        .map(|(member, user)| team_membership::Model {
            id: tx.id(),
            team_id: team.id,
            user_id: user.id,
            role: member.role,
            model_access: member.model_access.clone().unwrap_or_else(|| access.clone()),
            version: 1,
            created_at: now,
            created_by: by.clone(),
            updated_at: now,
            updated_by: by.clone(),
        })
        .collect();
    tx.insert_all(&rows).await?;
    for row in &rows {
        let subject = Subject::membership(team, row);
        tx.record(Event::made(AuditAction::TeamMemberAdded, subject, row));
    }
    let (mut limited, mut wanted) = (Vec::new(), Vec::new());
    for (index, (member, row)) in members.into_iter().zip(&rows).enumerate() {
        let path = format!("{field}.{index}");
        let entries = member.budgets.unwrap_or_else(|| defaults.clone());
        if !entries.is_empty() {
            let place = Place::membership(team, row);
            wanted.push(budget::Wanted { place, entries, field: path.clone() });
        }
        limited.push((Scope::membership(row.id), &row.model_access, path));
    }
    if !wanted.is_empty() {
        budget::assign_all(tx, wanted).await?;
    }
    if let Some(first) = rows.first() {
        let place = Place::membership(team, first);
        limit::check_many_above(tx, &place, &limited).await?;
    }
    Ok(rows)
}

/// Refuses more budgets than one call may make.
fn refuse_many_budgets(members: &[Add], defaults: usize, field: &str) -> Result<()> {
    let count = |member: &Add| member.budgets.as_ref().map_or(defaults, Vec::len);
    if members.iter().map(count).sum::<usize>() <= budget::BUDGETS_PER_CALL {
        return Ok(());
    }
    let message = format!("give at most {} budgets in one call", budget::BUDGETS_PER_CALL);
    Err(Error::input(field, message))
}

pub(crate) fn refuse_repeats(users: &[user::Model], field: &str) -> Result<()> {
    let mut faults = Faults::default();
    let mut seen: BTreeMap<UserId, usize> = BTreeMap::new();
    for (index, user) in users.iter().enumerate() {
        if let Some(first) = seen.insert(user.id, index) {
            let message = format!("this is the same user as member {first}");
            faults.add(format!("{field}.{index}.user"), message);
        }
    }
    faults.finish()
}

#[expect(clippy::disallowed_methods, reason = "of a team that the caller may change")]
async fn refuse_members(tx: &Tx, team: TeamId, users: &[user::Model], field: &str) -> Result<()> {
    let ids = users.iter().map(|user| user.id.uuid());
    let known = team_membership::Entity::find()
        .filter(team_membership::Column::TeamId.eq(team))
        .filter(team_membership::Column::UserId.is_in(ids))
        .all(tx.db())
        .await?;
    let taken = users.iter().position(|user| known.iter().any(|row| row.user_id == user.id));
    match taken {
        Some(index) => Err(Error::AlreadyExists {
            field: format!("{field}.{index}.user"),
            message: "this user is a member of the team already".to_owned(),
        }),
        None => Ok(()),
    }
}

/// Joins a team that anybody may join: the caller alone, as a plain member, without a budget
/// (REFERENCE C-T14).
///
/// # Errors
/// [`Error::NotFound`] when there is no such team that the caller may join.
pub async fn join(tx: &mut Tx, reference: &Reference) -> Result<team_membership::Model> {
    let missing =
        || Error::NotFound { noun: team::Model::NOUN, field: Some("input.teamId".to_owned()) };
    let condition = match (reference.id::<TeamId>(), reference.external()) {
        (Some(id), _) => team::Column::Id.eq(id),
        (None, Some(external)) => team::Column::ExternalId.eq(external),
        (None, None) => return Err(missing()),
    };
    let select = super::team::joinable_by(tx.actor(), None).filter(condition);
    let found = select.limit(2).lock(LockType::Update).all(tx.db()).await?;
    let team = super::at_most_one(found)?.ok_or_else(missing)?;
    let Some(user) = tx.actor().user_id() else {
        return Err(Error::conflict("only a person can join a team; this key has no user"));
    };
    let own = Placement::platform().owned_by(Some(user));
    if !policy::allows(tx.actor(), Permission::TeamJoin, &own) {
        return Err(Error::Forbidden { permission: Permission::TeamJoin });
    }
    let member = Add::new(Reference::to(user), TeamRole::Member);
    let rows = insert(tx, &team, vec![member], "input").await?;
    rows.into_iter().next().ok_or_else(|| Error::internal("a member was not inserted"))
}

/// The membership of a user in a team, named by both.
///
/// # Errors
/// [`Error::NotFound`] when the team is not visible, or the user is not its member.
pub async fn authorize_member(
    tx: &Tx,
    permission: Permission,
    team: &Reference,
    user: &UserReference,
) -> Result<(Authorized<team::Model>, Authorized<team_membership::Model>)> {
    let team =
        super::team::authorize_limits(tx, Permission::TeamRead, team, "input.teamId").await?;
    let missing = || Error::NotFound {
        noun: team_membership::Model::NOUN,
        field: Some("input.user".to_owned()),
    };
    let select = visible_to(tx.actor()).filter(team_membership::Column::TeamId.eq(team.id));
    let select = match user {
        UserReference::Id(reference) => match (reference.id::<UserId>(), reference.external()) {
            (Some(id), _) => select.filter(team_membership::Column::UserId.eq(id)),
            (None, Some(external)) => {
                select.filter(user_with(user::Column::ExternalId.eq(external)))
            }
            (None, None) => return Err(missing()),
        },
        UserReference::Email(email) if email.contains('\0') => return Err(missing()),
        UserReference::Email(email) => {
            let key = email.to_lowercase();
            let own = tx
                .actor()
                .user()
                .is_some_and(|own| super::user::is_at(own, &key, team.organization_id));
            // Whoever may not read addresses learns nothing by naming one.
            let place = Placement::team(team.organization_id, team.id);
            if !own && !policy::allows(tx.actor(), Permission::UserContactRead, &place) {
                return Err(missing());
            }
            let at = Condition::all()
                .add(user::Column::EmailKey.eq(key))
                .add(super::user::confirmed(team.organization_id));
            select.filter(user_with(at))
        }
    };
    let row = select.one(tx.db()).await?.ok_or_else(missing)?;
    let member =
        authorize::<team_membership::Model>(tx, permission, &Reference::to(row.id), "input.user")
            .await?;
    Ok((team, member))
}

fn user_with(condition: impl IntoCondition) -> SimpleExpr {
    let users =
        Query::select().column(("users", "id")).from("users").cond_where(condition).to_owned();
    team_membership::Column::UserId.in_subquery(users)
}

/// Changes a membership. Limits and roles need their own permissions; team admins change plain
/// members only.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version, for the last admin, and for keys
/// that would exceed the new limits.
pub async fn update(
    tx: &mut Tx,
    team: &team::Model,
    member: Authorized<team_membership::Model>,
    input: Update,
) -> Result<team_membership::Model> {
    if input.role.is_some_and(|role| role != member.role) {
        also(tx, &member, Permission::TeamMemberRoleUpdate).await?;
    }
    if member.role == TeamRole::Admin && !outranks_admins(member.roles()) {
        return Err(Error::Forbidden { permission: Permission::TeamMemberRoleUpdate });
    }
    let before = member.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    if let Some(access) = input.model_access.value() {
        faults.model_access("input.modelAccess", access);
    }
    faults.finish()?;
    if let Some(role) = input.role {
        if before.role == TeamRole::Admin && role == TeamRole::Member {
            keep_an_admin(tx, &before).await?;
        }
        after.role = role;
    }
    input.model_access.apply_or_default(&mut after.model_access);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::membership(team, &after);
    tx.record(Event::changed(AuditAction::TeamMemberUpdated, subject, &before, &after));
    let place = Place::membership(team, &after);
    let limits_change = input.budgets.is_given() || after.model_access != before.model_access;
    if limits_change {
        limit::lock_below(tx, &place, &after.model_access).await?;
    }
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, "input").await?,
    }
    if limits_change {
        limit::check_above(tx, &place, &after.model_access, "input").await?;
        limit::check_below(tx, &place, &after.model_access, input.cascade).await?;
    }
    Ok(after)
}

fn outranks_admins(roles: &[Role]) -> bool {
    roles.iter().any(|role| matches!(role, Role::PlatformAdmin | Role::OrganizationAdmin))
}

/// A team that has members and an admin keeps an admin (REFERENCE C-T12).
async fn keep_an_admin(tx: &Tx, leaving: &team_membership::Model) -> Result<()> {
    let members = of_team_for_update(tx, leaving.team_id).await?;
    let others = || members.iter().filter(|member| member.id != leaving.id);
    if others().count() == 0 || others().any(|member| member.role == TeamRole::Admin) {
        return Ok(());
    }
    Err(Error::conflict(LAST_ADMIN))
}

/// The teams that have lost an admin still have one, or have no members at all.
pub(crate) async fn keep_admins(tx: &Tx, teams: &[TeamId]) -> Result<()> {
    for team in teams {
        let members = of_team_for_update(tx, *team).await?;
        if !members.is_empty() && members.iter().all(|member| member.role != TeamRole::Admin) {
            return Err(Error::Conflict {
                message: LAST_ADMIN.to_owned(),
                ids: vec![team.to_string()],
            });
        }
    }
    Ok(())
}

/// Removes a member with its budgets and its keys in the team. Members may remove themselves;
/// team admins remove plain members and themselves.
///
/// # Errors
/// [`Error::Conflict`] for a stale version, and for the last admin of a team with members.
pub async fn remove(
    tx: &mut Tx,
    team: &team::Model,
    member: Authorized<team_membership::Model>,
    expected_version: Option<i32>,
) -> Result<(team_membership::Model, u64)> {
    let itself = tx.actor().user_id() == Some(member.user_id);
    if member.role == TeamRole::Admin && !itself && !outranks_admins(member.roles()) {
        return Err(Error::Forbidden { permission: Permission::TeamMemberRoleUpdate });
    }
    if itself && team.is_joinable && !outranks_admins(member.roles()) {
        keep_limits(tx, team, &member).await?;
    }
    let row = member.into_inner();
    field::expect_version(expected_version, row.version)?;
    if row.role == TeamRole::Admin {
        keep_an_admin(tx, &row).await?;
    }
    let keys = super::api_key::of_team(tx, team.id, Some(row.user_id)).await?;
    let count = super::api_key::remove_all(tx, keys, team.organization_id).await?;
    remove_row(tx, &row).await?;
    let subject = Subject::membership(team, &row);
    tx.record(Event::gone(AuditAction::TeamMemberRemoved, subject, &row));
    Ok((row, count))
}

/// Whoever has limits of its own in a team that anybody may join does not shed them by leaving and
/// joining again.
async fn keep_limits(tx: &Tx, team: &team::Model, row: &team_membership::Model) -> Result<()> {
    let ids = |held: Vec<limit::Held>| -> BTreeSet<BudgetId> {
        held.into_iter().map(|held| held.budget.id).collect()
    };
    let own = ids(limit::held_by(tx, &[Scope::membership(row.id)]).await?);
    let default = ids(limit::held_by(tx, &[Scope::member_default(team.id)]).await?);
    let as_new = limit::access_of_new_member(tx, team).await?;
    if own.is_subset(&default)
        && (row.model_access == as_new || row.model_access == ModelAccess::default())
    {
        return Ok(());
    }
    Err(Error::conflict("an admin has limited your membership: ask an admin to remove you"))
}

pub(crate) async fn remove_row(tx: &mut Tx, row: &team_membership::Model) -> Result<()> {
    limit::forget_scopes(tx, ScopeKind::TeamMembership, &[row.id.uuid()], Some(row.team_id))
        .await?;
    team_membership::Entity::delete_many()
        .filter(team_membership::Column::Id.eq(row.id))
        .exec(tx.db())
        .await?;
    Ok(())
}
