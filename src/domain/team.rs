//! Teams: the groups of people that share keys, models and budgets.

mod create;
mod models;
mod moving;
mod removal;

pub use create::create;
pub use models::{add_models, remove_models};
pub(crate) use models::{grant_model, withdraw_models};
pub use moving::{Move, relocate};
pub(crate) use removal::remove;
pub use removal::{Deleted, delete};

use entity::id::{OrganizationId, TeamId, UserId};
use entity::role::TeamMemberPermission;
use entity::team;
use entity::value::{MemberPermissions, ModelAccess, Words};
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, LockType, Query};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use serde_json::Value;

use super::field::{self, Faults, distinct, search_text};
use super::scope::Place;
use super::{Cascade, Change, budget, limit, llm_model, membership, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, also, authorize,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

/// A new team.
#[derive(Clone, Debug)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// The organization above it.
    pub organization: Option<Reference>,
    /// Its name.
    pub name: String,
    /// Free data.
    pub metadata: Option<Value>,
    /// Labels.
    pub tags: Vec<String>,
    /// Which models may be called.
    pub model_access: Option<ModelAccess>,
    /// Other names for models.
    pub model_aliases: Vec<(String, String)>,
    /// Budgets; none for what new teams start with.
    pub budgets: Option<Vec<budget::Entry>>,
    /// What new members start with.
    pub member_defaults: MemberDefaults,
    /// Members, beside the caller.
    pub members: Vec<membership::Add>,
    /// Whether anybody may join; none for what the platform's settings say.
    pub is_joinable: Option<bool>,
    /// What plain members may do.
    pub member_permissions: Vec<TeamMemberPermission>,
    /// Settings for gateways.
    pub router_settings: Option<Value>,
    /// Guardrails.
    pub guardrails: Vec<String>,
}

/// A change of a team.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// Keys to merge into the metadata; null in a key deletes it, null for all clears it.
    pub metadata: Change<Value>,
    /// The new labels.
    pub tags: Change<Vec<String>>,
    /// Which models may be called.
    pub model_access: Change<ModelAccess>,
    /// The budgets that the team is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// What new members start with.
    pub member_defaults: MemberDefaults,
    /// Whether anybody may join.
    pub is_joinable: Change<bool>,
    /// What plain members may do.
    pub member_permissions: Change<Vec<TeamMemberPermission>>,
    /// Settings for gateways.
    pub router_settings: Change<Value>,
    /// Guardrails.
    pub guardrails: Change<Vec<String>>,
    /// What happens to members and keys that would exceed the new limits.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// A change of what new members of a team start with.
#[derive(Clone, Debug, Default)]
pub struct MemberDefaults {
    /// Their budgets, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// Which models they may call.
    pub model_access: Change<ModelAccess>,
}

impl MemberDefaults {
    fn is_given(&self) -> bool {
        self.budgets.is_given() || self.model_access.is_given()
    }
}

/// Which teams a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only those of these organizations.
    pub organization_ids: Option<Vec<OrganizationId>>,
    /// Only those with this member.
    pub member_user_id: Option<UserId>,
    /// Only blocked teams, or only others.
    pub is_blocked: Option<bool>,
    /// Only teams that anybody may join, or only others.
    pub is_joinable: Option<bool>,
}

/// The teams that a caller may see: its own, and all of organizations that it runs.
#[expect(clippy::disallowed_methods, reason = "this is where reads of teams begin")]
pub fn visible_to(actor: &Actor) -> Select<team::Entity> {
    let select = team::Entity::find();
    if actor.sees_all() {
        return select;
    }
    select.filter(
        Condition::any()
            .add(reach::in_teams(actor, ("teams", "id")))
            .add_option(actor.service_team().map(|team| team::Column::Id.eq(team)))
            .add(reach::in_administered_organizations(actor, ("teams", "organization_id"))),
    )
}

/// The teams that a caller may join: joinable, not blocked, of no organization or of one that it
/// belongs to (any, for those who see the whole platform), and without it as a member (REFERENCE T-AVAIL-3).
#[expect(clippy::disallowed_methods, reason = "a team that anybody may join shows its name")]
pub fn joinable_by(actor: &Actor, name: Option<&str>) -> Select<team::Entity> {
    let mut place = Condition::any().add(team::Column::OrganizationId.is_null());
    if actor.sees_all() {
        place = place.add(team::Column::OrganizationId.is_not_null());
    } else {
        place = place.add(reach::in_known_organizations(actor, ("teams", "organization_id")));
    }
    let named = name.map(|name| {
        let pattern = super::like_pattern(&name.to_lowercase());
        let has = |pattern: String| {
            Expr::col(("teams", "search_text")).like(LikeExpr::new(pattern).escape('\\'))
        };
        // The external id, which follows the name, is not for those who are not in the team.
        let without =
            Condition::all().add(team::Column::ExternalId.is_null()).add(has(pattern.clone()));
        Condition::any().add(has(format!("{pattern}\u{1f}%"))).add(without)
    });
    team::Entity::find()
        .filter(Condition::all().add_option(actor.bound_to().map(|_| Expr::val(1).eq(0))))
        .filter(team::Column::IsJoinable.eq(true))
        .filter(team::Column::BlockedBy.is_null())
        .filter(place)
        .filter(reach::in_teams(actor, ("teams", "id")).not())
        .filter(Condition::all().add_option(named))
}

fn filtered(mut select: Select<team::Entity>, filter: &Filter) -> Select<team::Entity> {
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("teams", search));
    }
    if let Some(ids) = &filter.organization_ids {
        select = select.filter(team::Column::OrganizationId.is_in(ids.iter().copied()));
    }
    if let Some(user) = filter.member_user_id {
        let teams = Query::select()
            .column("team_id")
            .from("team_memberships")
            .and_where(Expr::col("user_id").eq(user))
            .to_owned();
        select = select.filter(team::Column::Id.in_subquery(teams));
    }
    if let Some(blocked) = filter.is_blocked {
        let column = team::Column::BlockedBy;
        select = select.filter(if blocked { column.is_not_null() } else { column.is_null() });
    }
    if let Some(joinable) = filter.is_joinable {
        select = select.filter(team::Column::IsJoinable.eq(joinable));
    }
    select
}

/// A page of teams.
///
/// # Errors
/// What the database answers.
pub async fn list(
    reader: &Reader,
    from: Select<team::Entity>,
    filter: &Filter,
    page: &Page,
) -> Result<Rows<team::Model>> {
    let select = page.apply(filtered(from, filter), ("teams", "search_text"), ("teams", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many teams [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, from: Select<team::Entity>, filter: &Filter) -> Result<u64> {
    Ok(filtered(from, filter).count(reader.db()).await?)
}

/// The team of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<team::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The teams of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[TeamId]) -> Result<Vec<team::Model>> {
    let select = visible_to(reader.actor()).filter(team::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

/// Pages of the teams of several organizations, in one statement, as far as the caller may see
/// them.
///
/// # Errors
/// What the database answers.
pub async fn of_organizations(
    reader: &Reader,
    organizations: &[uuid::Uuid],
    page: &Page,
) -> Result<Vec<team::Model>> {
    let from = || visible_to(reader.actor());
    let (column, place) =
        (team::Column::OrganizationId, (("teams", "search_text"), ("teams", "id")));
    crate::db::page::per_parent(reader.db(), from, column, organizations, page, place).await
}

/// How many teams organizations have, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn count_of_organizations(
    reader: &Reader,
    organizations: &[OrganizationId],
) -> Result<std::collections::BTreeMap<OrganizationId, u64>> {
    let column = team::Column::OrganizationId;
    let select = visible_to(reader.actor()).filter(column.is_in(organizations.iter().copied()));
    crate::db::page::counts(reader.db(), select, column).await
}

/// The ids of the teams of references, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn ids_of(reader: &Reader, references: &[Reference]) -> Result<Vec<TeamId>> {
    let ids: Vec<_> = references.iter().filter_map(Reference::id::<TeamId>).collect();
    let external: Vec<_> = references.iter().filter_map(Reference::external).collect();
    let wanted = Condition::any()
        .add(team::Column::Id.is_in(ids))
        .add(team::Column::ExternalId.is_in(external));
    let select = visible_to(reader.actor()).filter(wanted);
    Ok(select.all(reader.db()).await?.into_iter().map(|row| row.id).collect())
}

fn named(select: Select<team::Entity>, reference: &Reference) -> Option<Select<team::Entity>> {
    let condition = match (reference.id::<TeamId>(), reference.external()) {
        (Some(id), _) => team::Column::Id.eq(id),
        (None, Some(external)) => team::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

/// Finds a team of which limits are to change, its own or those of its members, as [`authorize`]
/// does, and locks what is above it first.
///
/// # Errors
/// Those of [`authorize`].
pub async fn authorize_limits(
    tx: &Tx,
    permission: Permission,
    reference: &Reference,
    field: &str,
) -> Result<Authorized<team::Model>> {
    let above = lock_above(tx, reference).await?;
    let team = authorize(tx, permission, reference, field).await?;
    still_under(&team, &above)?;
    Ok(team)
}

/// Whether a team that was locked stands where it stood when its organization was locked.
///
/// # Errors
/// [`Error::Moved`], so that the transaction begins again.
pub(crate) fn still_under(team: &team::Model, locked: &[OrganizationId]) -> Result<()> {
    match team.organization_id {
        Some(organization) if !locked.contains(&organization) => Err(Error::Moved),
        _ => Ok(()),
    }
}

/// Locks the organization of a team that the caller may see against changes of its limits, before
/// the team is locked, and returns its id.
///
/// # Errors
/// What the database answers.
pub(crate) async fn lock_above(tx: &Tx, reference: &Reference) -> Result<Vec<OrganizationId>> {
    match named(visible_to(tx.actor()), reference) {
        Some(teams) => super::organization::lock_of_teams(tx, teams).await,
        None => Ok(Vec::new()),
    }
}

/// Locks a team, after its organization, against changes of their limits.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above a row that the caller may see")]
pub(crate) async fn lock_shared(tx: &Tx, id: TeamId) -> Result<()> {
    let above = super::organization::lock_of_teams(tx, team::Entity::find_by_id(id)).await?;
    let team = team::Entity::find_by_id(id).lock(LockType::Share).one(tx.db()).await?;
    team.map_or(Ok(()), |team| still_under(&team, &above))
}

/// Locks teams, after their organizations, against changes of their limits.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above rows that the caller may see")]
pub(crate) async fn lock_all_shared(tx: &Tx, ids: &[TeamId]) -> Result<()> {
    let teams = || team::Entity::find().filter(team::Column::Id.is_in(ids.iter().copied()));
    super::organization::lock_of_teams(tx, teams()).await?;
    teams().order_by_asc(team::Column::Id).lock(LockType::Share).all(tx.db()).await?;
    Ok(())
}

/// The team of a reference, if the caller may see it, without a lock: where to begin locking.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub(crate) async fn seen(tx: &Tx, reference: &Reference) -> Result<Option<team::Model>> {
    let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(tx.db()).await?)
}

/// The team of a reference, if the caller may see it, locked against changes of its limits.
///
/// # Errors
/// [`Error::NotFound`] at the field.
pub(crate) async fn find_shared(
    tx: &Tx,
    reference: &Reference,
    field: &str,
) -> Result<team::Model> {
    let missing = || Error::NotFound { noun: team::Model::NOUN, field: Some(field.to_owned()) };
    let select = named(visible_to(tx.actor()), reference).ok_or_else(missing)?;
    let rows = select.limit(2).lock(LockType::Share).all(tx.db()).await?;
    super::at_most_one(rows)?.ok_or_else(missing)
}

impl Resource for team::Model {
    const NOUN: &'static str = "team";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::team(self.organization_id, self.id))
    }
}

fn permissions(mut list: Vec<TeamMemberPermission>) -> MemberPermissions {
    list.sort_unstable();
    list.dedup();
    MemberPermissions(list)
}

/// Merges an object into another: a null deletes a key (REFERENCE C-T21).
pub(crate) fn merge(target: &mut Value, change: Change<Value>) {
    match change {
        Change::Keep => {}
        Change::Clear => *target = Value::Object(serde_json::Map::new()),
        Change::Set(Value::Object(entries)) => {
            if let Value::Object(target) = target {
                for (key, value) in entries {
                    if value == Value::Null {
                        target.shift_remove(&key);
                    } else {
                        target.insert(key, value);
                    }
                }
            }
        }
        Change::Set(other) => *target = other,
    }
}

/// Changes a team. What is left out stays; null clears. Budgets, model access, guardrails and router
/// settings need the permission `TEAM_LIMIT_UPDATE` as well.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version, and for members and keys that
/// would exceed the new limits.
pub async fn update(
    tx: &mut Tx,
    team: Authorized<team::Model>,
    input: Update,
) -> Result<team::Model> {
    let defaults_change = input.member_defaults.is_given();
    if defaults_change {
        also(tx, &team, Permission::TeamMemberLimitUpdate).await?;
    }
    let limits = input.budgets.is_given() || input.model_access.is_given();
    if limits || input.guardrails.is_given() || input.router_settings.is_given() {
        also(tx, &team, Permission::TeamLimitUpdate).await?;
    }
    let before = team.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    match input.name {
        Change::Keep => {}
        Change::Clear => faults.add("input.name", "a team needs a name"),
        Change::Set(name) => {
            faults.name("input.name", &name);
            after.name = name;
        }
    }
    if let Some(external_id) = input.external_id.value() {
        faults.external_id("input.externalId", external_id);
    }
    input.external_id.apply(&mut after.external_id);
    if let Some(metadata) = input.metadata.value()
        && !metadata.is_object()
    {
        faults.add("input.metadata", "write a JSON object");
    }
    merge(&mut after.metadata, input.metadata);
    faults.metadata("input.metadata", &after.metadata, tx.rules().metadata_bytes);
    if let Some(settings) = input.router_settings.value() {
        faults.metadata("input.routerSettings", settings, tx.rules().metadata_bytes);
    }
    input.router_settings.apply(&mut after.router_settings);
    if let Some(tags) = input.tags.value() {
        faults.words("input.tags", tags);
    }
    words(input.tags).apply_or_default(&mut after.tags);
    if let Some(guardrails) = input.guardrails.value() {
        faults.words("input.guardrails", guardrails);
    }
    words(input.guardrails).apply_or_default(&mut after.guardrails);
    if let Some(access) = input.model_access.value() {
        faults.model_access("input.modelAccess", access);
    }
    input.model_access.apply_or_default(&mut after.model_access);
    if let Some(access) = input.member_defaults.model_access.value() {
        faults.model_access("input.memberDefaults.modelAccess", access);
    }
    input.member_defaults.model_access.apply_or_default(&mut after.member_model_access);
    input.is_joinable.apply_or_default(&mut after.is_joinable);
    match input.member_permissions {
        Change::Keep => {}
        Change::Clear => after.member_permissions = MemberPermissions::default(),
        Change::Set(list) => after.member_permissions = permissions(list),
    }
    faults.finish()?;
    after.search_text = search_text(&[Some(&after.name), after.external_id.as_deref()]);

    let place = Place::team(&after);
    let limits_change = input.budgets.is_given() || after.model_access != before.model_access;
    if after != before || input.budgets.is_given() || input.member_defaults.budgets.is_given() {
        stamp(tx, &mut after);
        tx.update(&after).await?;
        let subject = Subject::team(&after);
        tx.record(Event::changed(AuditAction::TeamUpdated, subject, &before, &after));
    } else {
        tx.nothing_changed();
        return Ok(before);
    }
    if limits_change {
        limit::lock_below(tx, &place, &after.model_access).await?;
    }
    if after.model_access != before.model_access {
        llm_model::forget_grants(tx, &after).await?;
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
    if defaults_change {
        set_member_defaults(tx, &after, input.member_defaults.budgets).await?;
    }
    Ok(after)
}

/// Gives a team what its new members start with, within the limits of the team.
async fn set_member_defaults(
    tx: &mut Tx,
    team: &team::Model,
    budgets: Change<Vec<budget::Entry>>,
) -> Result<()> {
    const FIELD: &str = "input.memberDefaults";
    let place = Place::member_default(team);
    match budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), FIELD).await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, FIELD).await?,
    }
    limit::check_above(tx, &place, &team.member_model_access, FIELD).await
}

fn words(change: Change<Vec<String>>) -> Change<Words> {
    match change {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(words) => Change::Set(distinct(words)),
    }
}

fn stamp(tx: &Tx, row: &mut team::Model) {
    row.version += 1;
    row.updated_at = tx.now();
    row.updated_by = tx.by();
}

/// Blocks a team: every call of its keys is refused. Blocking a blocked team changes nothing,
/// unless it raises the level at which it is blocked.
///
/// # Errors
/// What the database answers.
pub async fn block(tx: &mut Tx, team: Authorized<team::Model>) -> Result<team::Model> {
    let level = Actor::block_level(team.roles());
    let before = team.into_inner();
    if before.blocked_by >= Some(level) {
        tx.nothing_changed();
        return Ok(before);
    }
    let mut after = before.clone();
    after.blocked_by = Some(level);
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::team(&after);
    tx.record(Event::changed(AuditAction::TeamBlocked, subject, &before, &after));
    Ok(after)
}

/// Unblocks a team. What a higher level blocked, a lower level cannot unblock (REFERENCE C-P15).
///
/// # Errors
/// [`Error::Conflict`] when a higher level blocked it.
pub async fn unblock(tx: &mut Tx, team: Authorized<team::Model>) -> Result<team::Model> {
    let level = Actor::block_level(team.roles());
    let before = team.into_inner();
    let Some(blocked_by) = before.blocked_by else {
        tx.nothing_changed();
        return Ok(before);
    };
    super::may_unblock(level, blocked_by)?;
    let mut after = before.clone();
    after.blocked_by = None;
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::team(&after);
    tx.record(Event::changed(AuditAction::TeamUnblocked, subject, &before, &after));
    Ok(after)
}

/// The teams' rows for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "the place of a row that the caller may see")]
pub(crate) async fn row(tx: &Tx, id: TeamId) -> Result<Option<team::Model>> {
    Ok(team::Entity::find_by_id(id).one(tx.db()).await?)
}

/// The place of what belongs to a team, or to the platform.
///
/// # Errors
/// What the database answers.
pub(crate) async fn placement_of(tx: &Tx, team: Option<TeamId>) -> Result<Placement> {
    Ok(match team {
        Some(id) => Placement::team(organization_of(tx, team).await?, id),
        None => Placement::platform(),
    })
}

/// The organization of a team, if there is one.
///
/// # Errors
/// What the database answers.
pub(crate) async fn organization_of(
    tx: &Tx,
    team: Option<TeamId>,
) -> Result<Option<OrganizationId>> {
    let Some(id) = team else { return Ok(None) };
    Ok(row(tx, id).await?.and_then(|team| team.organization_id))
}

/// Locks teams whose lists of models are about to change, after their organizations, and returns
/// them in the order of their ids.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above rows that the caller may see")]
pub(crate) async fn lock_each(tx: &Tx, ids: &[TeamId]) -> Result<Vec<team::Model>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let select = || team::Entity::find().filter(team::Column::Id.is_in(ids.iter().copied()));
    super::organization::lock_of_teams(tx, select()).await?;
    let select = select().order_by_asc(team::Column::Id).lock(LockType::Update);
    Ok(select.all(tx.db()).await?)
}
