//! Users: the people behind keys and memberships.
//!
//! An e-mail address belongs to one user of the platform, whatever its case. Adding somebody by an
//! address finds that user or makes one who is pending: known by an address only.

mod invitation;
mod removal;

pub(crate) use invitation::{confirmed, find_or_invite, is_at, resolve_or_invite};
pub use removal::{Deleted, delete};

use std::collections::BTreeMap;

use entity::id::{Id, OrganizationId, TeamId, UserId};
use entity::role::{EmailConfirmation, PlatformRole, ScopeKind};
use entity::value::ModelAccess;
use entity::{organization_membership, team_membership, user};
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, LockType, Query};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
};
use serde_json::Value;

use super::field::{self, Faults, search_text};
use super::scope::{Place, Scope};
use super::{Cascade, Change, budget, limit, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, Role, also, authorize_at,
};
use crate::db::{Page, Reader, Tx, among, page::Rows};
use crate::error::{Error, Result};

/// How callers name a user where an address will do as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserReference {
    /// By our id, or by external id.
    Id(Reference),
    /// By e-mail address.
    Email(String),
}

/// A new user.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// The organization that is to manage it.
    pub organization: Option<Reference>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// What it may do on the platform.
    pub platform_role: Option<PlatformRole>,
    /// Which models its personal keys may call.
    pub model_access: Option<ModelAccess>,
    /// Its budgets; none for what new ones start with.
    pub budgets: Option<Vec<budget::Entry>>,
    /// Free data.
    pub metadata: Option<Value>,
}

/// A change of a user.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new e-mail address.
    pub email: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// What it may do on the platform.
    pub platform_role: Option<PlatformRole>,
    /// Which models its personal keys may call.
    pub model_access: Change<ModelAccess>,
    /// The budgets that it is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// Keys to merge into the metadata.
    pub metadata: Change<Value>,
    /// What happens to personal keys that would exceed the new limits.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which users a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name, external id or address has this text.
    pub search: Option<String>,
    /// Only those with one of these platform roles.
    pub platform_roles: Option<Vec<PlatformRole>>,
    /// Only members of these teams.
    pub team_ids: Option<Vec<TeamId>>,
    /// Only blocked users, or only others.
    pub is_blocked: Option<bool>,
}

/// The users that a caller may see: itself, those of its teams, and those of organizations that it
/// runs.
#[expect(clippy::disallowed_methods, reason = "this is where reads of users begin")]
pub fn visible_to(actor: &Actor) -> Select<user::Entity> {
    let select = user::Entity::find();
    if actor.sees_all() {
        return select;
    }
    let organization = ("organization_memberships", "organization_id");
    let of_organizations = Query::select()
        .column("user_id")
        .from("organization_memberships")
        .and_where(reach::in_administered_organizations(actor, organization))
        .to_owned();
    let organization_teams = reach::teams_of_administered_organizations(actor);
    let of_teams = Query::select()
        .column("user_id")
        .from("team_memberships")
        .cond_where(
            Condition::any()
                .add(reach::in_teams(actor, ("team_memberships", "team_id")))
                .add(Expr::col("team_id").in_subquery(organization_teams)),
        )
        .to_owned();
    select.filter(
        Condition::any()
            .add(user::Column::Id.is_in(actor.user_id()))
            .add(user::Column::Id.in_subquery(of_teams))
            .add(user::Column::Id.in_subquery(of_organizations))
            .add(user::Column::OrganizationId.is_in(actor.administered_organizations())),
    )
}

fn filtered(
    mut select: Select<user::Entity>,
    actor: &Actor,
    filter: &Filter,
) -> Select<user::Entity> {
    if let Some(search) = &filter.search {
        select = select.filter(searchable(actor, search));
    }
    if let Some(roles) = &filter.platform_roles {
        select = select.filter(user::Column::PlatformRole.is_in(roles.iter().copied()));
        if !actor.sees_all() {
            // Nobody is found by what the caller may not read.
            select = select.filter(details_in_reach(actor));
        }
    }
    if let Some(teams) = &filter.team_ids {
        let members = Query::select()
            .column("user_id")
            .from("team_memberships")
            .and_where(Expr::col("team_id").is_in(teams.iter().copied()))
            .to_owned();
        select = select.filter(user::Column::Id.in_subquery(members));
    }
    if let Some(blocked) = filter.is_blocked {
        let column = user::Column::BlockedBy;
        select = select.filter(if blocked { column.is_not_null() } else { column.is_null() });
        if !actor.sees_all() {
            select = select.filter(details_in_reach(actor));
        }
    }
    select
}

/// Whether the caller may read the details of a user: its own, and those of users that its
/// organizations manage.
fn details_in_reach(actor: &Actor) -> Condition {
    Condition::any()
        .add(user::Column::Id.is_in(actor.user_id().filter(|_| actor.bound_to().is_none())))
        .add(reach::in_administered_organizations(actor, ("users", "organization_id")))
}

/// Searching must not find what the caller may not read: names and external ids are searched by
/// everybody, addresses by those who read all of them.
fn searchable(actor: &Actor, search: &str) -> Condition {
    let found = Condition::any().add(super::field_contains("users", search));
    if !actor.sees_all() {
        return found;
    }
    let pattern = LikeExpr::new(super::like_pattern(&search.to_lowercase())).escape('\\');
    found.add(Expr::col(("users", "email_key")).like(pattern))
}

/// A page of the users that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<user::Model>> {
    let select = filtered(visible_to(reader.actor()), reader.actor(), filter);
    let select = page.apply(select, ("users", "search_text"), ("users", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many users [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    let select = filtered(visible_to(reader.actor()), reader.actor(), filter);
    Ok(select.count(reader.db()).await?)
}

/// The user of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<user::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    Ok(select.one(reader.db()).await?)
}

/// The users of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[UserId]) -> Result<Vec<user::Model>> {
    let own = among(reader.db(), ("users", "id"), ids.iter().map(|id| id.uuid()));
    Ok(visible_to(reader.actor()).filter(own).all(reader.db()).await?)
}

/// Where users stand, as far as the caller has a part in it: the teams that it runs and they are
/// in, with their organizations, and the organizations that it runs and they belong to.
///
/// # Errors
/// What the database answers.
#[expect(
    clippy::disallowed_methods,
    reason = "narrowed to the caller's own teams and organizations"
)]
pub async fn placements(reader: &Reader, ids: &[UserId]) -> Result<BTreeMap<UserId, Placement>> {
    let actor = reader.actor();
    let mut found: BTreeMap<UserId, Placement> =
        ids.iter().map(|id| (*id, Placement::platform().owned_by(Some(*id)))).collect();
    if actor.sees_all() {
        return Ok(found);
    }
    let runs_organizations = !actor.administered_organizations().is_empty();
    if runs_organizations || !actor.administered_teams().is_empty() {
        let organization = ("teams", "organization_id");
        let shared = team_membership::Entity::find()
            .find_also_related(entity::team::Entity)
            .filter(team_membership::Column::UserId.is_in(ids.iter().copied()))
            .filter(
                Condition::any()
                    .add(reach::in_administered_teams(actor, ("team_memberships", "team_id")))
                    .add(reach::in_administered_organizations(actor, organization)),
            );
        for (member, team) in shared.all(reader.db()).await? {
            if let Some(place) = found.get_mut(&member.user_id) {
                place.teams.push(member.team_id);
                place.organizations.extend(team.and_then(|team| team.organization_id));
            }
        }
    }
    if runs_organizations {
        let organization = ("organization_memberships", "organization_id");
        let shared = organization_membership::Entity::find()
            .filter(organization_membership::Column::UserId.is_in(ids.iter().copied()))
            .filter(reach::in_administered_organizations(actor, organization));
        for member in shared.all(reader.db()).await? {
            if let Some(place) = found.get_mut(&member.user_id) {
                place.organizations.push(member.organization_id);
            }
        }
    }
    Ok(found)
}

fn named(select: Select<user::Entity>, reference: &Reference) -> Option<Select<user::Entity>> {
    let condition = match (reference.id::<UserId>(), reference.external()) {
        (Some(id), _) => user::Column::Id.eq(id),
        (None, Some(external)) => user::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for user::Model {
    const NOUN: &'static str = "user";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    /// An organization has power over the users that it manages, wherever else they belong, unless
    /// they run or watch the platform. Adding somebody to a team or to an organization gives no power
    /// over that person, and takes none away.
    async fn placement(&self, _: &Tx) -> Result<Placement> {
        let ordinary = self.platform_role.is_ordinary();
        Ok(Placement::person(self.id, self.organization_id.filter(|_| ordinary)))
    }
}

/// Locks a user against changes of its limits.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above a row that the caller may see")]
pub(crate) async fn lock_shared(tx: &Tx, id: UserId) -> Result<()> {
    user::Entity::find_by_id(id).lock(LockType::Share).one(tx.db()).await?;
    Ok(())
}

/// Whether a user runs or watches the platform, whoever asks.
#[expect(clippy::disallowed_methods, reason = "decides over power, and is not shown")]
pub(crate) async fn is_exalted(tx: &Tx, user: UserId) -> Result<bool> {
    let row = user::Entity::find_by_id(user).one(tx.db()).await?;
    Ok(row.is_some_and(|row| !row.platform_role.is_ordinary()))
}

/// Whether a user belongs to another organization, to a team of one, or to a team without one.
#[expect(clippy::disallowed_methods, reason = "decides over power, and is not shown")]
pub(super) async fn belongs_elsewhere(
    tx: &Tx,
    user: UserId,
    organization: OrganizationId,
) -> Result<bool> {
    let member = organization_membership::Entity::find()
        .filter(organization_membership::Column::UserId.eq(user))
        .filter(organization_membership::Column::OrganizationId.ne(organization));
    if member.one(tx.db()).await?.is_some() {
        return Ok(true);
    }
    let in_team = team_membership::Entity::find()
        .inner_join(entity::team::Entity)
        .filter(team_membership::Column::UserId.eq(user))
        .filter(
            Condition::any()
                .add(entity::team::Column::OrganizationId.is_null())
                .add(entity::team::Column::OrganizationId.ne(organization)),
        );
    Ok(in_team.one(tx.db()).await?.is_some())
}

/// Makes a user. Organization admins make users that their organization manages, with the roles
/// USER and `USER_VIEWER`, without limits and external ids, which are the platform's to give.
///
/// # Errors
/// Faults in the input; a taken address or external id.
pub async fn create(tx: &mut Tx, input: Create) -> Result<user::Model> {
    let organization = super::organization::find_place(tx, input.organization.as_ref()).await?;
    let place = Placement::organization(organization);
    let proof = authorize_at(tx, Permission::UserCreate, place.clone())?;
    let role = input.platform_role.unwrap_or(PlatformRole::User);
    let exalted = !role.is_ordinary();
    let limited = input.model_access.is_some() || input.budgets.is_some();
    if exalted || limited || input.external_id.is_some() {
        authorize_at(tx, Permission::UserLimitUpdate, place)?;
    }
    if exalted {
        super::api_key::may_exalt(tx, "input.platformRole").await?;
    }
    let mut faults = Faults::default();
    if input.email.is_none() && input.name.is_none() && input.external_id.is_none() {
        faults.add("input", "give an e-mail address, a name or an external id");
    }
    let access = input.model_access.unwrap_or_default();
    let metadata = input.metadata.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    check_fields(
        tx,
        &mut faults,
        input.external_id.as_deref(),
        input.email.as_deref(),
        input.name.as_deref(),
        &metadata,
    );
    faults.model_access("input.modelAccess", &access);
    faults.finish()?;
    let budgets = match input.budgets {
        Some(entries) => {
            budget::check_entries(&entries, "input")?;
            entries
        }
        None => budget::defaults(tx, Scope::platform_default(ScopeKind::UserDefault)).await?,
    };
    let row = user::Model {
        id: tx.id(),
        search_text: search_text(&[input.name.as_deref(), input.external_id.as_deref()]),
        external_id: input.external_id,
        organization_id: organization,
        email_key: input.email.as_deref().map(str::to_lowercase),
        email_confirmed_by: input.email.is_some().then(|| confirmation(proof.roles())),
        email: input.email,
        name: input.name,
        platform_role: role,
        model_access: access,
        blocked_by: None,
        metadata,
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    tx.record(Event::made(AuditAction::UserCreated, Subject::user(&row), &row));
    join_organization(tx, std::slice::from_ref(&row)).await?;
    if !budgets.is_empty() {
        budget::assign(tx, &Place::user(&row), budgets, "input").await?;
    }
    limit::check_above(tx, &Place::user(&row), &row.model_access, "input").await?;
    Ok(row)
}

/// Makes users members of the organizations that manage them.
pub(super) async fn join_organization(tx: &mut Tx, users: &[user::Model]) -> Result<()> {
    let members: Vec<_> = users
        .iter()
        .filter_map(|user| {
            Some(organization_membership::Model {
                id: tx.id(),
                organization_id: user.organization_id?,
                user_id: user.id,
                role: entity::role::OrganizationRole::Member,
                version: 1,
                created_at: tx.now(),
                created_by: tx.by(),
                updated_at: tx.now(),
                updated_by: tx.by(),
            })
        })
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    tx.insert_all(&members).await?;
    for member in &members {
        let subject = Subject::organization_membership(member);
        tx.record(Event::made(AuditAction::OrganizationMemberAdded, subject, member));
    }
    Ok(())
}

fn check_fields(
    tx: &Tx,
    faults: &mut Faults,
    external_id: Option<&str>,
    email: Option<&str>,
    name: Option<&str>,
    metadata: &Value,
) {
    if let Some(external_id) = external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(email) = email {
        faults.email("input.email", email);
    }
    if let Some(name) = name {
        faults.name("input.name", name);
    }
    faults.metadata("input.metadata", metadata, tx.rules().metadata_bytes);
}

/// Changes a user. Role, limits and external id need the permission `USER_LIMIT_UPDATE`.
///
/// An address that users give themselves is not confirmed: it is shown, and names nobody, so that
/// an invitation of that address cannot be caught by whoever claims it first. What the admins of an
/// organization say of an address holds within that organization.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version, and for personal keys that would
/// exceed the new limits.
pub async fn update(
    tx: &mut Tx,
    user: Authorized<user::Model>,
    input: Update,
) -> Result<user::Model> {
    let new_role = input.platform_role.is_some_and(|role| role != user.platform_role);
    let limited = input.model_access.is_given() || input.budgets.is_given();
    if new_role || limited || input.external_id.is_given() {
        also(tx, &user, Permission::UserLimitUpdate).await?;
    }
    if new_role && input.platform_role.is_some_and(|role| !role.is_ordinary()) {
        super::api_key::may_exalt(tx, "input.platformRole").await?;
    }
    let itself = tx.actor().user_id() == Some(user.id);
    let is_platform = user.roles().contains(&Role::PlatformAdmin);
    let confirms = (is_platform || !itself).then(|| confirmation(user.roles()));
    let before = user.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    if let Some(metadata) = input.metadata.value()
        && !metadata.is_object()
    {
        faults.add("input.metadata", "write a JSON object");
    }
    super::team::merge(&mut after.metadata, input.metadata);
    let (external, email, name) =
        (input.external_id.value(), input.email.value(), input.name.value());
    check_fields(
        tx,
        &mut faults,
        external.map(String::as_str),
        email.map(String::as_str),
        name.map(String::as_str),
        &after.metadata,
    );
    if let Some(access) = input.model_access.value() {
        faults.model_access("input.modelAccess", access);
    }
    input.external_id.apply(&mut after.external_id);
    let gives_address = input.email.is_given();
    input.email.apply(&mut after.email);
    input.name.apply(&mut after.name);
    if after.email.is_none() && after.name.is_none() && after.external_id.is_none() {
        faults.add("input", "a user keeps an e-mail address, a name or an external id");
    }
    faults.finish()?;
    input.model_access.apply_or_default(&mut after.model_access);
    after.email_key = after.email.as_deref().map(str::to_lowercase);
    if after.email_key != before.email_key || (gives_address && confirms.is_some()) {
        after.email_confirmed_by = confirms.filter(|_| after.email.is_some());
    }
    after.search_text = search_text(&[after.name.as_deref(), after.external_id.as_deref()]);
    after.platform_role = input.platform_role.unwrap_or(before.platform_role);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::user(&after);
    tx.record(Event::changed(AuditAction::UserUpdated, subject, &before, &after));
    let place = Place::user(&after);
    if limited {
        limit::lock_below(tx, &place, &after.model_access).await?;
    }
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, "input").await?,
    }
    if limited {
        limit::check_above(tx, &place, &after.model_access, "input").await?;
        limit::check_below(tx, &place, &after.model_access, input.cascade).await?;
    }
    Ok(after)
}

/// For whom an address is confirmed that somebody with these roles gives another.
fn confirmation(roles: &[Role]) -> EmailConfirmation {
    if roles.contains(&Role::PlatformAdmin) {
        EmailConfirmation::Platform
    } else {
        EmailConfirmation::Organization
    }
}

fn stamp(tx: &Tx, row: &mut user::Model) {
    row.version += 1;
    row.updated_at = tx.now();
    row.updated_by = tx.by();
}

/// Blocks a user: every key of its is refused.
///
/// # Errors
/// [`Error::Conflict`] when it is the caller.
pub async fn block(tx: &mut Tx, user: Authorized<user::Model>) -> Result<user::Model> {
    let level = Actor::block_level(user.roles());
    let before = user.into_inner();
    if tx.actor().user_id() == Some(before.id) {
        return Err(Error::conflict("you cannot block yourself"));
    }
    if before.blocked_by >= Some(level) {
        tx.nothing_changed();
        return Ok(before);
    }
    let mut after = before.clone();
    after.blocked_by = Some(level);
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::user(&after);
    tx.record(Event::changed(AuditAction::UserBlocked, subject, &before, &after));
    Ok(after)
}

/// Unblocks a user.
///
/// # Errors
/// [`Error::Conflict`] when a higher level blocked it.
pub async fn unblock(tx: &mut Tx, user: Authorized<user::Model>) -> Result<user::Model> {
    let level = Actor::block_level(user.roles());
    let before = user.into_inner();
    let Some(blocked_by) = before.blocked_by else {
        tx.nothing_changed();
        return Ok(before);
    };
    super::may_unblock(level, blocked_by)?;
    let mut after = before.clone();
    after.blocked_by = None;
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::user(&after);
    tx.record(Event::changed(AuditAction::UserUnblocked, subject, &before, &after));
    Ok(after)
}
