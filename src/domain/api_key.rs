//! API keys: what callers present. A key's id never changes; its secrets come and go.

mod aliases;
mod bulk;
mod create;
mod removal;
mod secrets;

pub use aliases::{remove_alias, set_alias};
pub use bulk::update_many;
pub use create::{Create, create};
pub use removal::delete;
pub(crate) use removal::{lock, of_team, of_user, remove_all, remove_each};
pub use secrets::rotate;
use secrets::secret_row;

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, OrganizationId, ProjectId, TeamId, UserId};
use entity::role::{ApiKeyKind, Counting};
use entity::value::{ModelAccess, Words};
use entity::{api_key, api_key_secret};
use sea_orm::sea_query::{Expr, ExprTrait, IntoCondition, LockType};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use serde_json::Value;

use super::field::{self, Faults, distinct, search_text};
use super::limit::Held;
use super::scope::{Place, Scope};
use super::{Change, budget, limit, membership, model_access, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, ROUTE_GROUPS, Reference, Resource, also, authorize,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// The most routes of a key.
pub const ROUTES: usize = 50;

/// A change of a key.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// Which models it may call.
    pub model_access: Change<ModelAccess>,
    /// The project of its team to which it is to belong.
    pub project: Change<Reference>,
    /// What it may be used for.
    pub allowed_routes: Change<Vec<String>>,
    /// The new labels.
    pub tags: Change<Vec<String>>,
    /// Keys to merge into the metadata.
    pub metadata: Change<Value>,
    /// When it expires.
    pub expires_at: Change<DateTime<Utc>>,
    /// The budgets that it is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which keys a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only keys of these kinds.
    pub kinds: Option<Vec<ApiKeyKind>>,
    /// Only keys of these teams.
    pub team_ids: Option<Vec<TeamId>>,
    /// Only keys of these projects.
    pub project_ids: Option<Vec<ProjectId>>,
    /// Only keys of these users.
    pub user_ids: Option<Vec<UserId>>,
    /// Only blocked keys, or only others.
    pub is_blocked: Option<bool>,
    /// Only expired keys, or only others.
    pub is_expired: Option<bool>,
}

/// A key with a secret that is shown once.
#[derive(Debug)]
pub struct WithSecret {
    /// The key.
    pub api_key: api_key::Model,
    /// The secret.
    pub secret: Secret,
}

/// The keys that a caller may see: its own, those of teams and organizations that it runs, and
/// the key that it presents.
#[expect(clippy::disallowed_methods, reason = "this is where reads of keys begin")]
pub fn visible_to(actor: &Actor) -> Select<api_key::Entity> {
    let select = api_key::Entity::find();
    if actor.sees_all() {
        return select;
    }
    let organization_teams = reach::teams_of_administered_organizations(actor);
    let mut own = api_key::Column::UserId.is_in(actor.user_id()).into_condition();
    if let Some(team) = actor.bound_to() {
        // A key that belongs to a team sees no keys of its owner elsewhere.
        own = Condition::all().add(own).add(api_key::Column::TeamId.eq(team));
    }
    select.filter(
        Condition::any()
            .add(own)
            .add(api_key::Column::Id.is_in(actor.key_id()))
            .add(reach::in_administered_teams(actor, ("api_keys", "team_id")))
            .add(api_key::Column::TeamId.in_subquery(organization_teams)),
    )
}

fn filtered(
    mut select: Select<api_key::Entity>,
    now: DateTime<Utc>,
    filter: &Filter,
) -> Select<api_key::Entity> {
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("api_keys", search));
    }
    if let Some(kinds) = &filter.kinds {
        select = select.filter(api_key::Column::Kind.is_in(kinds.iter().copied()));
    }
    if let Some(ids) = &filter.team_ids {
        select = select.filter(api_key::Column::TeamId.is_in(ids.iter().copied()));
    }
    if let Some(ids) = &filter.project_ids {
        select = select.filter(api_key::Column::ProjectId.is_in(ids.iter().copied()));
    }
    if let Some(ids) = &filter.user_ids {
        select = select.filter(api_key::Column::UserId.is_in(ids.iter().copied()));
    }
    if let Some(blocked) = filter.is_blocked {
        let column = api_key::Column::BlockedBy;
        select = select.filter(if blocked { column.is_not_null() } else { column.is_null() });
    }
    if let Some(expired) = filter.is_expired {
        let column = api_key::Column::ExpiresAt;
        select = select.filter(if expired {
            column.lte(now).into_condition()
        } else {
            Condition::any().add(column.is_null()).add(column.gt(now))
        });
    }
    select
}

const NAME: (&str, &str) = ("api_keys", "search_text");
const ID: (&str, &str) = ("api_keys", "id");

/// A page of the keys that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<api_key::Model>> {
    let select = filtered(visible_to(reader.actor()), reader.now(), filter);
    Ok(page.rows(page.apply(select, NAME, ID).all(reader.db()).await?))
}

/// How many keys [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    let select = filtered(visible_to(reader.actor()), reader.now(), filter);
    Ok(select.count(reader.db()).await?)
}

/// The key of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<api_key::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The keys of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[ApiKeyId]) -> Result<Vec<api_key::Model>> {
    let select = visible_to(reader.actor()).filter(api_key::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

/// Pages of the keys of several teams or users, in one statement, as far as the caller may see
/// them.
///
/// # Errors
/// What the database answers.
pub async fn of_parents(
    reader: &Reader,
    parent: api_key::Column,
    parents: &[uuid::Uuid],
    page: &Page,
) -> Result<Vec<api_key::Model>> {
    let from = || visible_to(reader.actor());
    crate::db::page::per_parent(reader.db(), from, parent, parents, page, (NAME, ID)).await
}

/// How many keys teams or users have, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn count_of_parents<K: Ord + sea_orm::TryGetable>(
    reader: &Reader,
    parent: api_key::Column,
    parents: &[uuid::Uuid],
) -> Result<std::collections::BTreeMap<K, u64>> {
    let select = visible_to(reader.actor()).filter(parent.is_in(parents.iter().copied()));
    crate::db::page::counts(reader.db(), select, parent).await
}

/// The current secrets' hints of keys that the caller may see.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "narrowed to the keys that the caller may see")]
pub async fn hints(reader: &Reader, ids: &[ApiKeyId]) -> Result<Vec<api_key_secret::Model>> {
    // One list of ids, not two: SQLite would begin with all keys of the deployment.
    let keys = visible_to(reader.actor()).filter(api_key::Column::Id.is_in(ids.iter().copied()));
    let visible = super::visible_ids(keys, "api_keys");
    let select = api_key_secret::Entity::find()
        .filter(Expr::col(("api_key_secrets", "api_key_id")).in_subquery(visible))
        .order_by_asc(api_key_secret::Column::Id);
    Ok(select.all(reader.db()).await?)
}

fn named(
    select: Select<api_key::Entity>,
    reference: &Reference,
) -> Option<Select<api_key::Entity>> {
    let condition = match (reference.id::<ApiKeyId>(), reference.external()) {
        (Some(id), _) => api_key::Column::Id.eq(id),
        (None, Some(external)) => api_key::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for api_key::Model {
    const NOUN: &'static str = "API key";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, tx: &Tx) -> Result<Placement> {
        let place = match self.team_id {
            Some(team) => Placement::team(organization_of(tx, self).await?, team),
            None => Placement::platform(),
        };
        Ok(Placement { key: Some(self.id), ..place }.owned_by(self.user_id))
    }
}

/// Finds a key whose limits are to change, as [`authorize`] does, and locks the rows above it first:
/// the organization, the team, the project with the one to which it is to go, and the member; or
/// the owner.
///
/// # Errors
/// Those of [`authorize`]; [`Error::Moved`] when somebody moved the key meanwhile.
pub async fn authorize_limits(
    tx: &Tx,
    permission: Permission,
    reference: &Reference,
    project: Option<&Reference>,
    field: &str,
) -> Result<Authorized<api_key::Model>> {
    let mut seen = None;
    if let Some(select) = named(visible_to(tx.actor()), reference)
        && let Some(key) = super::at_most_one(select.limit(2).all(tx.db()).await?)?
    {
        seen = Some((key.team_id, key.project_id));
        match (key.team_id, key.user_id) {
            (Some(team), user) => {
                super::team::lock_shared(tx, team).await?;
                let next = match project {
                    Some(project) => super::project::seen(tx, project).await?,
                    None => None,
                };
                let next = next.map(|project| project.id);
                super::project::lock_shared(tx, key.project_id.into_iter().chain(next)).await?;
                if let Some(user) = user {
                    membership::of_user_in_team(tx, team, user).await?;
                }
            }
            (None, Some(owner)) => super::user::lock_shared(tx, owner).await?,
            (None, None) => {}
        }
    }
    let key = authorize::<api_key::Model>(tx, permission, reference, field).await?;
    if seen != Some((key.team_id, key.project_id)) {
        return Err(Error::Moved);
    }
    Ok(key)
}

/// The project to which a key is to belong: one of its team. Any change of it changes what limits
/// the key, so that owners alone do not make it.
async fn next_project(
    tx: &Tx,
    key: &Authorized<api_key::Model>,
    change: &Change<Reference>,
) -> Result<Option<ProjectId>> {
    match change {
        Change::Keep => return Ok(key.project_id),
        Change::Clear | Change::Set(_) => also(tx, key, Permission::ApiKeyLimitUpdate).await?,
    }
    let Some(reference) = change.value() else { return Ok(None) };
    let project = super::project::find_shared(tx, reference, "input.projectId").await?;
    if key.team_id != Some(project.team_id) {
        return Err(not_of_team());
    }
    Ok(Some(project.id))
}

fn not_of_team() -> Error {
    Error::input("input.projectId", "the key and its project belong to the same team")
}

async fn organization_of(tx: &Tx, key: &api_key::Model) -> Result<Option<OrganizationId>> {
    let Some(team) = key.team_id else { return Ok(None) };
    Ok(super::team::row(tx, team).await?.and_then(|team| team.organization_id))
}

/// The place of a key in the tree of scopes. The rows above are locked by [`authorize_limits`].
pub(crate) async fn place(tx: &Tx, key: &api_key::Model) -> Result<Place> {
    let Some(team) = key.team_id else { return Ok(Place::api_key(key, None, None)) };
    let team_row = super::team::row(tx, team).await?;
    let member = match key.user_id {
        Some(user) => membership::of_user_in_team(tx, team, user).await?,
        None => None,
    };
    Ok(Place::api_key(key, team_row.as_ref(), member.as_ref()))
}

fn check_routes(faults: &mut Faults, routes: &[String]) {
    if routes.is_empty() || routes.len() > ROUTES {
        let message = format!("list 1 to {ROUTES} routes, or leave the list out for all");
        faults.add("input.allowedRoutes", message);
    }
    for (index, route) in routes.iter().enumerate().take(ROUTES) {
        let known = ROUTE_GROUPS.contains(&route.as_str());
        let path = route.starts_with('/')
            && route.len() <= 200
            && !route.chars().any(|c| c.is_control() || c.is_whitespace());
        if !known && !path {
            faults.add(
                format!("input.allowedRoutes.{index}"),
                format!("write {} or a path that begins with /", ROUTE_GROUPS.join(", ")),
            );
        }
    }
}

/// What a limited key makes, widens or takes over has at most the limits of that key; what is left
/// out counts as more (SECURITY 2, cases 7 and 9).
async fn check_own_key(tx: &Tx, row: &api_key::Model) -> Result<()> {
    let Some(own) = limited_by(tx, row).await? else { return Ok(()) };
    if !model_access::is_within(&row.model_access, &own.model_access) {
        return Err(Error::limit(
            "input.modelAccess",
            "the key that you use is limited: list models that it may call",
        ));
    }
    if let Some(routes) = &own.allowed_routes {
        let within = row
            .allowed_routes
            .as_ref()
            .is_some_and(|given| given.0.iter().all(|route| routes.0.contains(route)));
        if !within {
            return Err(Error::limit(
                "input.allowedRoutes",
                "the key that you use is limited: list routes that it has itself",
            ));
        }
    }
    let ends = tx.actor().ends_at();
    if ends.is_some() && row.expires_at.is_none_or(|at| Some(at) > ends) {
        return Err(Error::limit(
            "input.expiresAt",
            "the key that you use expires: the other key must not outlive it",
        ));
    }
    if own.project_id.is_some() && row.project_id != own.project_id {
        return Err(Error::limit(
            "input.projectId",
            "the key that you use belongs to a project: the other key must belong to it too",
        ));
    }
    if !own.tags.0.iter().all(|tag| row.tags.0.contains(tag)) {
        return Err(Error::limit(
            "input.tags",
            "the other key must carry the tags of the key that you use",
        ));
    }
    Ok(())
}

/// The key whose limits bind what the caller does to another key. Platform admins are exempt
/// (REFERENCE T-NEW-4), but not where they would get a key of their own or one with power over the
/// platform: that would outlive the one that made it.
async fn limited_by<'tx>(tx: &'tx Tx, row: &api_key::Model) -> Result<Option<&'tx api_key::Model>> {
    let Some(own) = tx.actor().key() else { return Ok(None) };
    let exempt = tx.actor().is_platform_admin()
        && match (row.kind, row.user_id) {
            (ApiKeyKind::Admin | ApiKeyKind::Gateway, _) => false,
            (ApiKeyKind::User, Some(user)) if row.team_id.is_none() => {
                !super::user::is_exalted(tx, user).await?
            }
            _ => true,
        };
    Ok((!exempt).then_some(own))
}

/// A key with limits of its own does not give away the platform: what it gave would be without them.
///
/// # Errors
/// [`Error::LimitExceeded`] at the field that asks for a role.
pub(crate) async fn may_exalt(tx: &Tx, field: &str) -> Result<()> {
    let Some(own) = tx.actor().key() else { return Ok(()) };
    let limited = tx.actor().ends_at().is_some()
        || own.model_access != ModelAccess::default()
        || own.allowed_routes.is_some()
        || !own.tags.0.is_empty()
        || !limit::held_by(tx, &[Scope::api_key(own.id)]).await?.is_empty();
    if !limited {
        return Ok(());
    }
    let message = "the key that you use is limited: give such a role with a key that is not";
    Err(Error::limit(field, message))
}

/// A key with budgets of its own gives nothing to others that would count anew: whoever holds it
/// could spend its budget many times over. What it makes counts into the same pots.
///
/// # Errors
/// [`Error::LimitExceeded`].
pub(crate) async fn check_pots(tx: &Tx, entries: &[budget::Entry]) -> Result<()> {
    let Some(own) = tx.actor().key() else { return Ok(()) };
    let own = limit::held_by(tx, &[Scope::api_key(own.id)]).await?;
    let shared = |own: &Held| {
        own.assignment.counting == Counting::Shared
            && entries.iter().any(|entry| {
                matches!(entry, budget::Entry::Attach { budget, counting: Some(Counting::Shared) }
                    if budget.id() == Some(own.budget.id))
            })
    };
    if own.iter().all(shared) { Ok(()) } else { Err(spends_anew()) }
}

/// As [`check_pots`], for a key that has its budgets.
async fn check_pots_of(tx: &Tx, row: &api_key::Model) -> Result<()> {
    let Some(own) = limited_by(tx, row).await? else { return Ok(()) };
    let own = limit::held_by(tx, &[Scope::api_key(own.id)]).await?;
    if own.is_empty() {
        return Ok(());
    }
    let given = limit::held_by(tx, &[Scope::api_key(row.id)]).await?;
    let shared = |own: &Held| {
        own.assignment.counting == Counting::Shared
            && given.iter().any(|given| {
                given.budget.id == own.budget.id && given.assignment.counting == Counting::Shared
            })
    };
    if own.iter().all(shared) { Ok(()) } else { Err(spends_anew()) }
}

fn spends_anew() -> Error {
    Error::limit(
        "input.budgets",
        "the key that you use has a budget: attach that budget here, counted as SHARED in both \
         places, or use a key without a budget of its own",
    )
}

/// Changes a key. Owners without power over the team may only narrow it (SECURITY 3, footnote 5).
///
/// # Errors
/// Faults in the input; [`Error::Forbidden`] for an owner who widens; [`Error::Conflict`] for a
/// stale version; limits of the scopes above.
pub async fn update(
    tx: &mut Tx,
    key: Authorized<api_key::Model>,
    input: Update,
) -> Result<api_key::Model> {
    field::expect_version(input.expected_version, key.version)?;
    let before = (*key).clone();
    let mut after = before.clone();
    after.project_id = next_project(tx, &key, &input.project).await?;
    let mut faults = Faults::default();
    if let Some(external_id) = input.external_id.value() {
        faults.external_id("input.externalId", external_id);
    }
    input.external_id.apply(&mut after.external_id);
    if let Some(name) = input.name.value() {
        faults.name("input.name", name);
    }
    input.name.apply(&mut after.name);
    if let Some(access) = input.model_access.value() {
        faults.model_access("input.modelAccess", access);
    }
    input.model_access.apply_or_default(&mut after.model_access);
    if let Some(routes) = input.allowed_routes.value() {
        check_routes(&mut faults, routes);
    }
    match input.allowed_routes {
        Change::Keep => {}
        Change::Clear => after.allowed_routes = None,
        Change::Set(routes) => after.allowed_routes = Some(distinct(routes)),
    }
    if let Some(tags) = input.tags.value() {
        faults.words("input.tags", tags);
    }
    match input.tags {
        Change::Keep => {}
        Change::Clear => after.tags = Words::default(),
        Change::Set(tags) => after.tags = distinct(tags),
    }
    if let Some(metadata) = input.metadata.value()
        && !metadata.is_object()
    {
        faults.add("input.metadata", "write a JSON object");
    }
    super::team::merge(&mut after.metadata, input.metadata);
    faults.metadata("input.metadata", &after.metadata, tx.rules().metadata_bytes);
    if let Some(at) = input.expires_at.value() {
        faults.instant("input.expiresAt", *at);
    }
    input.expires_at.apply(&mut after.expires_at);
    faults.finish()?;
    after.search_text = search_text(&[after.name.as_deref(), after.external_id.as_deref()]);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    if widens(&before, &after) {
        also(tx, &key, Permission::ApiKeyLimitUpdate).await?;
        check_own_key(tx, &after).await?;
        check_pots_of(tx, &before).await?;
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let place = place(tx, &after).await?;
    let subject = Subject::api_key(&after, place.organization);
    tx.record(Event::changed(AuditAction::ApiKeyUpdated, subject, &before, &after));
    let limited = input.budgets.is_given()
        || after.model_access != before.model_access
        || after.project_id != before.project_id;
    let own = limit::held_by(tx, &[place.scope]).await?;
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, "input").await?,
    }
    if limited {
        let held = limit::held_by(tx, &[place.scope]).await?;
        if !limit::only_narrows(&own, &held) {
            also(tx, &key, Permission::ApiKeyLimitUpdate).await?;
            if tx.actor().key_id() == Some(after.id) {
                let message = "the key that you use cannot give itself more";
                return Err(Error::limit("input.budgets", message));
            }
            check_pots_of(tx, &after).await?;
        }
        limit::check_above(tx, &place, &after.model_access, "input").await?;
    }
    Ok(after)
}

/// Whether a change gives a key more than it had.
fn widens(before: &api_key::Model, after: &api_key::Model) -> bool {
    let routes = match (&before.allowed_routes, &after.allowed_routes) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => !after.0.iter().all(|route| before.0.contains(route)),
    };
    let longer = match (before.expires_at, after.expires_at) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    };
    let tags = !before.tags.0.iter().all(|tag| after.tags.0.contains(tag));
    let elsewhere = before.project_id != after.project_id;
    routes
        || longer
        || tags
        || elsewhere
        || !model_access::is_within(&after.model_access, &before.model_access)
}

/// Blocks a key: it is refused at once.
///
/// # Errors
/// What the database answers.
pub async fn block(tx: &mut Tx, key: Authorized<api_key::Model>) -> Result<api_key::Model> {
    let level = Actor::block_level(key.roles());
    let before = key.into_inner();
    if before.blocked_by >= Some(level) {
        tx.nothing_changed();
        return Ok(before);
    }
    set_block(tx, before, Some(level), AuditAction::ApiKeyBlocked).await
}

/// Unblocks a key.
///
/// # Errors
/// [`Error::Conflict`] when a higher level blocked it.
pub async fn unblock(tx: &mut Tx, key: Authorized<api_key::Model>) -> Result<api_key::Model> {
    let level = Actor::block_level(key.roles());
    let before = key.into_inner();
    let Some(blocked_by) = before.blocked_by else {
        tx.nothing_changed();
        return Ok(before);
    };
    super::may_unblock(level, blocked_by)?;
    set_block(tx, before, None, AuditAction::ApiKeyUnblocked).await
}

async fn set_block(
    tx: &mut Tx,
    before: api_key::Model,
    level: Option<entity::role::BlockLevel>,
    action: AuditAction,
) -> Result<api_key::Model> {
    let mut after = before.clone();
    after.blocked_by = level;
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::api_key(&after, organization_of(tx, &after).await?);
    tx.record(Event::changed(action, subject, &before, &after));
    Ok(after)
}
