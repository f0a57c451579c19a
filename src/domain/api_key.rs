//! API keys: what callers present. A key's id never changes; its secrets come and go.

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, Id, OrganizationId, TeamId, UserId};
use entity::role::{ApiKeyKind, ScopeKind};
use entity::value::{ModelAccess, Words};
use entity::{api_key, api_key_secret};
use sea_orm::sea_query::{Expr, ExprTrait, IntoCondition, LockType};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use serde_json::Value;

use super::field::{self, Faults, distinct, search_text};
use super::scope::{Place, Scope};
use super::{Change, budget, limit, membership, model_access, period};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, ROUTE_GROUPS, Reference, Resource, also, authorize,
    authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};
use crate::secret::{PEPPER_ID, Secret};

/// The most routes of a key.
pub const ROUTES: usize = 50;

/// A new key.
#[derive(Clone, Debug)]
pub struct Create {
    /// Who it stands for.
    pub kind: ApiKeyKind,
    /// The owner; none for the caller.
    pub user: Option<Reference>,
    /// The team that is charged.
    pub team: Option<Reference>,
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Which models it may call.
    pub model_access: Option<ModelAccess>,
    /// What it may be used for.
    pub allowed_routes: Option<Vec<String>>,
    /// Labels.
    pub tags: Vec<String>,
    /// Free data.
    pub metadata: Option<Value>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// After how long it expires.
    pub expires_in: Option<String>,
    /// Its budgets.
    pub budgets: Vec<budget::Entry>,
    /// A secret that a platform admin chose.
    pub secret: Option<String>,
}

/// A change of a key.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// Which models it may call.
    pub model_access: Change<ModelAccess>,
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
    let organization_teams = sea_orm::sea_query::Query::select()
        .column("id")
        .from("teams")
        .and_where(Expr::col("organization_id").is_in(actor.administered_organizations()))
        .to_owned();
    let mut own = api_key::Column::UserId.is_in(actor.user_id()).into_condition();
    if let Some(team) = actor.key().and_then(|key| key.team_id) {
        // A key that belongs to a team sees no keys of its owner elsewhere.
        own = Condition::all().add(own).add(api_key::Column::TeamId.eq(team));
    }
    select.filter(
        Condition::any()
            .add(own)
            .add(api_key::Column::Id.is_in(actor.key_id()))
            .add(api_key::Column::TeamId.is_in(actor.administered_teams()))
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

async fn organization_of(tx: &Tx, key: &api_key::Model) -> Result<Option<OrganizationId>> {
    let Some(team) = key.team_id else { return Ok(None) };
    Ok(super::team::row(tx, team).await?.and_then(|team| team.organization_id))
}

/// The place of a key in the tree of scopes.
pub(crate) async fn place(tx: &Tx, key: &api_key::Model) -> Result<Place> {
    let Some(team) = key.team_id else { return Ok(Place::api_key(key, None, None)) };
    let team_row = super::team::row(tx, team).await?;
    let member = match key.user_id {
        Some(user) => membership::of_user_in_team(tx, team, user).await?,
        None => None,
    };
    Ok(Place::api_key(key, team_row.as_ref(), member.as_ref()))
}

/// Makes a key. Its secret is in the answer, and nowhere else.
///
/// # Errors
/// Faults in the input; an owner who is not a member of the team; limits of the scopes above, and
/// of the key with which the caller asks: what is left out is never more than that key has.
pub async fn create(tx: &mut Tx, input: Create) -> Result<WithSecret> {
    let (owner, team) = authorize_owner(tx, &input).await?;
    if input.secret.is_some() {
        authorize_at(tx, Permission::AdminKeyCreate, Placement::platform())?;
    }
    let mut faults = Faults::default();
    let now = tx.now();
    let expires_at = expiry(&mut faults, now, &input);
    let access = input.model_access.unwrap_or_default();
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(name) = &input.name {
        faults.name("input.name", name);
    }
    faults.model_access("input.modelAccess", &access);
    faults.words("input.tags", &input.tags);
    if let Some(routes) = &input.allowed_routes {
        check_routes(&mut faults, routes);
    }
    let metadata = input.metadata.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    faults.metadata("input.metadata", &metadata, tx.rules().metadata_bytes);
    let secret = match &input.secret {
        None => Some(Secret::generate(input.kind)),
        Some(text) => Secret::chosen(text),
    };
    if secret.is_none() {
        faults.add(
            "input.secret",
            "a chosen secret begins with sk-, has 32 to 200 letters, digits, - and _, and is hard to guess",
        );
    }
    faults.finish()?;
    budget::check_entries(&input.budgets, "input")?;
    let secret = secret.ok_or_else(|| Error::internal("a fault was not reported"))?;

    let row = api_key::Model {
        id: tx.id(),
        kind: input.kind,
        user_id: owner,
        team_id: team.as_ref().map(|team| team.id),
        search_text: search_text(&[input.name.as_deref(), input.external_id.as_deref()]),
        external_id: input.external_id,
        name: input.name,
        model_access: access,
        allowed_routes: input.allowed_routes.map(distinct),
        tags: distinct(input.tags),
        metadata,
        blocked_by: None,
        expires_at,
        last_used_at: None,
        version: 1,
        created_at: now,
        created_by: tx.by(),
        updated_at: now,
        updated_by: tx.by(),
    };
    check_own_key(tx, &row, &input.budgets).await?;
    let place = match (&team, owner) {
        (Some(team), Some(user)) => {
            let member = membership::of_user_in_team(tx, team.id, user).await?;
            let member = member.ok_or_else(|| {
                Error::input("input.userId", "this user is not a member of the team")
            })?;
            Place::api_key(&row, Some(team), Some(&member))
        }
        (team, _) => Place::api_key(&row, team.as_ref(), None),
    };
    tx.insert(&row).await?;
    tx.insert(&secret_row(tx, &row, &secret)).await?;
    let subject = Subject::api_key(&row, place.organization);
    tx.record(Event::made(AuditAction::ApiKeyCreated, subject, &row));
    if !input.budgets.is_empty() {
        budget::assign(tx, &place, input.budgets, "input").await?;
    }
    limit::check_above(tx, &place, &row.model_access, "input").await?;
    Ok(WithSecret { api_key: row, secret })
}

/// Finds owner and team, and proves that the caller may make such a key for them.
async fn authorize_owner(
    tx: &Tx,
    input: &Create,
) -> Result<(Option<UserId>, Option<entity::team::Model>)> {
    let team = match &input.team {
        Some(reference) => Some(super::team::find_shared(tx, reference, "input.teamId").await?),
        None => None,
    };
    let in_team = |team: &entity::team::Model| Placement::team(team.organization_id, team.id);
    match input.kind {
        ApiKeyKind::Gateway => {
            authorize_at(tx, Permission::GatewayKeyCreate, Placement::platform())?;
        }
        ApiKeyKind::Admin => {
            authorize_at(tx, Permission::AdminKeyCreate, Placement::platform())?;
        }
        ApiKeyKind::Service => {
            let place = team.as_ref().map_or_else(Placement::platform, in_team);
            authorize_at(tx, Permission::ServiceKeyCreate, place)?;
        }
        ApiKeyKind::User => {
            let owner = owner_of(tx, input).await?;
            let place = match &team {
                Some(team) => in_team(team),
                None => Placement::platform(),
            };
            let own = owner == tx.actor().user_id();
            let permission = match &team {
                // Members who are granted keys make them for themselves alone.
                Some(_) if !own => Permission::ServiceKeyCreate,
                Some(_) => Permission::TeamApiKeyCreate,
                None => Permission::ApiKeyCreate,
            };
            authorize_at(tx, permission, place.owned_by(owner))?;
            return match owner {
                Some(owner) => Ok((Some(owner), team)),
                None => Err(Error::input("input.userId", "say whose key this is to be")),
            };
        }
    }
    let mut faults = Faults::default();
    if input.user.is_some() {
        faults.add("input.userId", "only a key of the kind USER has an owner");
    }
    if input.kind == ApiKeyKind::Service && team.is_none() {
        faults.add("input.teamId", "a service key belongs to a team");
    }
    if input.kind != ApiKeyKind::Service && team.is_some() {
        faults.add("input.teamId", "only keys of the kinds USER and SERVICE belong to a team");
    }
    faults.finish()?;
    Ok((None, team))
}

async fn owner_of(tx: &Tx, input: &Create) -> Result<Option<UserId>> {
    let Some(reference) = &input.user else { return Ok(tx.actor().user_id()) };
    if reference.id::<UserId>().is_some() && reference.id() == tx.actor().user_id() {
        return Ok(tx.actor().user_id());
    }
    let found = <entity::user::Model as Resource>::find_for_update(tx, reference).await?;
    let missing = || Error::NotFound { noun: "user", field: Some("input.userId".to_owned()) };
    Ok(Some(found.ok_or_else(missing)?.id))
}

fn expiry(faults: &mut Faults, now: DateTime<Utc>, input: &Create) -> Option<DateTime<Utc>> {
    if input.expires_at.is_some() && input.expires_in.is_some() {
        faults.add("input.expiresIn", "give either expiresAt or expiresIn, not both");
    }
    let at = match &input.expires_in {
        None => input.expires_at,
        Some(text) => match period::parse_duration(text) {
            Ok(span) => span.after(now),
            Err(error) => {
                faults.add("input.expiresIn", error.to_string());
                None
            }
        },
    };
    if input.expires_at.is_some_and(|at| at <= now) {
        faults.add("input.expiresAt", "this instant is in the past");
    }
    at
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

/// What a limited key makes has at most the limits of that key; what is left out counts as more
/// (SECURITY 2, cases 7 and 9). Platform admins are exempt (REFERENCE T-NEW-4).
async fn check_own_key(tx: &Tx, row: &api_key::Model, entries: &[budget::Entry]) -> Result<()> {
    let Some(own) = tx.actor().key() else { return Ok(()) };
    if tx.actor().is_platform_admin() {
        return Ok(());
    }
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
    if own.expires_at.is_some() && row.expires_at.is_none_or(|at| Some(at) > own.expires_at) {
        return Err(Error::limit(
            "input.expiresAt",
            "the key that you use expires: the new key must not outlive it",
        ));
    }
    if !own.tags.0.iter().all(|tag| row.tags.0.contains(tag)) {
        return Err(Error::limit(
            "input.tags",
            "the new key must carry the tags of the key that you use",
        ));
    }
    for held in limit::held_by(tx, &[Scope::api_key(own.id)]).await? {
        let within = |entry: &budget::Entry| match entry {
            budget::Entry::Create(limits) => limits.is_within(&held.budget),
            budget::Entry::Attach { budget, .. } => budget.id() == Some(held.budget.id),
            budget::Entry::Edit { .. } => false,
        };
        if !entries.iter().any(within) {
            return Err(Error::limit(
                "input.budgets",
                "the key that you use has a budget: give the new key one that is at most as large",
            ));
        }
    }
    Ok(())
}

fn secret_row(tx: &Tx, key: &api_key::Model, secret: &Secret) -> api_key_secret::Model {
    api_key_secret::Model {
        id: tx.id(),
        api_key_id: key.id,
        digest: secret.digest(tx.pepper()),
        pepper_id: PEPPER_ID,
        hint: secret.hint(),
        not_after: None,
        created_at: tx.now(),
    }
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
    input.expires_at.apply(&mut after.expires_at);
    faults.finish()?;
    after.search_text = search_text(&[after.name.as_deref(), after.external_id.as_deref()]);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    if widens(&before, &after) {
        also(tx, &key, Permission::ApiKeyLimitUpdate).await?;
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let place = place(tx, &after).await?;
    let subject = Subject::api_key(&after, place.organization);
    tx.record(Event::changed(AuditAction::ApiKeyUpdated, subject, &before, &after));
    let limited = input.budgets.is_given() || after.model_access != before.model_access;
    let own = limit::held_by(tx, &[place.scope]).await?;
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, "input").await?,
    }
    if limited {
        if !limit::only_narrows(&own, &limit::held_by(tx, &[place.scope]).await?) {
            also(tx, &key, Permission::ApiKeyLimitUpdate).await?;
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
    routes || longer || tags || !model_access::is_within(&after.model_access, &before.model_access)
}

/// Gives a key a new secret. The old one stays valid for the grace that is asked for, at most the
/// deployment's; older ones end at once.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for an expired key and a stale version.
pub async fn rotate(
    tx: &mut Tx,
    key: Authorized<api_key::Model>,
    grace: Option<String>,
    expected_version: Option<i32>,
) -> Result<WithSecret> {
    let before = key.into_inner();
    field::expect_version(expected_version, before.version)?;
    let now = tx.now();
    if before.expires_at.is_some_and(|at| at <= now) {
        return Err(Error::conflict("the key has expired: give it a later expiresAt first"));
    }
    let mut faults = Faults::default();
    let until = match grace.as_deref() {
        None | Some("0s" | "PT0S" | "P0D") => now,
        Some(text) => match period::parse_duration(text).map(|span| span.after(now)) {
            Ok(Some(until)) => until,
            Ok(None) => now,
            Err(error) => {
                faults.add("input.gracePeriod", error.to_string());
                now
            }
        },
    };
    let longest = chrono::TimeDelta::from_std(tx.rules().max_rotation_grace).unwrap_or_default();
    if until > now + longest {
        let days = longest.num_days();
        faults.add(
            "input.gracePeriod",
            format!("the old secret may stay valid for at most {days} days"),
        );
    }
    faults.finish()?;
    end_old_secrets(tx, before.id, until).await?;
    let secret = Secret::generate(before.kind);
    tx.insert(&secret_row(tx, &before, &secret)).await?;
    let mut after = before.clone();
    after.version += 1;
    after.updated_at = now;
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::api_key(&after, organization_of(tx, &after).await?);
    let image = |key: &api_key::Model, hint: Option<String>| {
        serde_json::json!({
            "id": key.id, "version": key.version, "hint": hint, "oldSecretValidUntil": until,
        })
    };
    let event = Event::changed(
        AuditAction::ApiKeyRotated,
        subject,
        &image(&before, None),
        &image(&after, Some(secret.hint())),
    );
    tx.record(event);
    Ok(WithSecret { api_key: after, secret })
}

/// Lets the current secret live until the end of its grace, and deletes older ones.
#[expect(clippy::disallowed_methods, reason = "of a key that the caller may rotate")]
async fn end_old_secrets(tx: &Tx, key: ApiKeyId, until: DateTime<Utc>) -> Result<()> {
    let secrets = api_key_secret::Entity::find()
        .filter(api_key_secret::Column::ApiKeyId.eq(key))
        .order_by_desc(api_key_secret::Column::CreatedAt)
        .order_by_desc(api_key_secret::Column::Id)
        .all(tx.db())
        .await?;
    let current = secrets.into_iter().find(|secret| secret.not_after.is_none());
    let mut others = api_key_secret::Column::ApiKeyId.eq(key).into_condition();
    if let Some(mut current) = current
        && until > tx.now()
    {
        current.not_after = Some(until);
        tx.update(&current).await?;
        others = others.add(api_key_secret::Column::Id.ne(current.id));
    }
    api_key_secret::Entity::delete_many().filter(others).exec(tx.db()).await?;
    Ok(())
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

/// Deletes keys: all, or none.
///
/// # Errors
/// [`Error::NotFound`] for the first key that the caller may not see.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Vec<ApiKeyId>> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let mut keys: Vec<api_key::Model> = Vec::new();
    let mut ordered: Vec<_> = references.iter().enumerate().collect();
    ordered.sort_by_key(|(_, reference)| reference.id::<ApiKeyId>());
    for (index, reference) in ordered {
        let field = format!("input.ids.{index}");
        let key =
            authorize::<api_key::Model>(tx, Permission::ApiKeyDelete, reference, &field).await?;
        field::expect_version(expected_version, key.version)?;
        if keys.iter().all(|known| known.id != key.id) {
            keys.push(key.into_inner());
        }
    }
    let ids = keys.iter().map(|key| key.id).collect();
    for key in keys {
        let organization = organization_of(tx, &key).await?;
        remove_all(tx, vec![key], organization).await?;
    }
    Ok(ids)
}

/// The keys of a team, or of one of its members, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may change")]
pub(crate) async fn of_team(
    tx: &Tx,
    team: TeamId,
    user: Option<UserId>,
) -> Result<Vec<api_key::Model>> {
    let mut select = api_key::Entity::find().filter(api_key::Column::TeamId.eq(team));
    if let Some(user) = user {
        select = select.filter(api_key::Column::UserId.eq(user));
    }
    Ok(select.order_by_asc(api_key::Column::Id).lock(LockType::Update).all(tx.db()).await?)
}

/// The keys of a user, for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "of a user that the caller may delete")]
pub(crate) async fn of_user(tx: &Tx, user: UserId) -> Result<Vec<api_key::Model>> {
    let select = api_key::Entity::find().filter(api_key::Column::UserId.eq(user));
    Ok(select.order_by_asc(api_key::Column::Id).lock(LockType::Update).all(tx.db()).await?)
}

/// Deletes keys with their secrets and budgets.
pub(crate) async fn remove_all(
    tx: &mut Tx,
    keys: Vec<api_key::Model>,
    organization: Option<OrganizationId>,
) -> Result<u64> {
    let ids: Vec<_> = keys.iter().map(|key| key.id.uuid()).collect();
    let team = keys.first().and_then(|key| key.team_id);
    limit::forget_scopes(tx, ScopeKind::ApiKey, &ids, team).await?;
    for chunk in ids.chunks(500) {
        let gone = api_key_secret::Column::ApiKeyId.is_in(chunk.iter().copied());
        api_key_secret::Entity::delete_many().filter(gone).exec(tx.db()).await?;
        let gone = api_key::Column::Id.is_in(chunk.iter().copied());
        api_key::Entity::delete_many().filter(gone).exec(tx.db()).await?;
    }
    for key in &keys {
        let subject = Subject::api_key(key, organization);
        tx.record(Event::gone(AuditAction::ApiKeyDeleted, subject, key));
    }
    Ok(keys.len() as u64)
}
