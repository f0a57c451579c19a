//! Projects: parts of a team, with keys, models and budgets of their own. Whoever belongs to the
//! team sees them; its admins look after them.

mod removal;
mod transfer;

pub use removal::delete;
pub(crate) use removal::{lock, remove_of_team};
pub use transfer::{CARRIED, KeysOnMove, Moved, move_to};

use std::collections::BTreeMap;

use entity::id::{OrganizationId, ProjectId, TeamId};
use entity::value::{ModelAccess, Words};
use entity::{project, team};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use serde_json::Value;

use super::field::{self, Faults, distinct, search_text};
use super::scope::Place;
use super::{Cascade, Change, budget, limit, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, authorize, authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

/// The most characters of a description.
pub const DESCRIPTION_LENGTH: usize = 2_000;

/// A new project.
#[derive(Clone, Debug)]
pub struct Create {
    /// The team to which it is to belong.
    pub team: Reference,
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Which models may be called.
    pub model_access: Option<ModelAccess>,
    /// Free data.
    pub metadata: Option<Value>,
    /// Labels.
    pub tags: Vec<String>,
    /// What a gateway lets its calls reach.
    pub object_permissions: Option<Value>,
    /// Budgets.
    pub budgets: Vec<budget::Entry>,
}

/// A change of a project.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// The new description.
    pub description: Change<String>,
    /// Which models may be called.
    pub model_access: Change<ModelAccess>,
    /// Keys to merge into the metadata; null in a key deletes it, null for all clears it.
    pub metadata: Change<Value>,
    /// The new labels.
    pub tags: Change<Vec<String>>,
    /// What a gateway lets its calls reach, replaced as a whole.
    pub object_permissions: Change<Value>,
    /// The budgets that the project is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// What happens to keys that would exceed the new limits.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which projects a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only those of these teams.
    pub team_ids: Option<Vec<TeamId>>,
    /// Only blocked projects, or only others.
    pub is_blocked: Option<bool>,
}

/// The projects that a caller may see: those of the teams that it may see.
#[expect(clippy::disallowed_methods, reason = "this is where reads of projects begin")]
pub fn visible_to(actor: &Actor) -> Select<project::Entity> {
    let select = project::Entity::find();
    if actor.sees_all() {
        return select;
    }
    let organization_teams = reach::teams_of_administered_organizations(actor);
    select.filter(
        Condition::any()
            .add(reach::in_teams(actor, ("projects", "team_id")))
            .add_option(actor.service_team().map(|team| project::Column::TeamId.eq(team)))
            .add(project::Column::TeamId.in_subquery(organization_teams)),
    )
}

fn filtered(mut select: Select<project::Entity>, filter: &Filter) -> Select<project::Entity> {
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("projects", search));
    }
    if let Some(ids) = &filter.team_ids {
        select = select.filter(project::Column::TeamId.is_in(ids.iter().copied()));
    }
    if let Some(blocked) = filter.is_blocked {
        let column = project::Column::BlockedBy;
        select = select.filter(if blocked { column.is_not_null() } else { column.is_null() });
    }
    select
}

const NAME: (&str, &str) = ("projects", "search_text");
const ID: (&str, &str) = ("projects", "id");

/// A page of the projects that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<project::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    Ok(page.rows(page.apply(select, NAME, ID).all(reader.db()).await?))
}

/// How many projects [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The project of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<project::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The projects of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[ProjectId]) -> Result<Vec<project::Model>> {
    let select = visible_to(reader.actor()).filter(project::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

/// The ids of the projects of references, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn ids_of(reader: &Reader, references: &[Reference]) -> Result<Vec<ProjectId>> {
    let select = visible_to(reader.actor()).filter(any_of(references));
    Ok(select.all(reader.db()).await?.into_iter().map(|row| row.id).collect())
}

/// Pages of the projects of several teams, in one statement, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn of_teams(
    reader: &Reader,
    teams: &[TeamId],
    page: &Page,
) -> Result<BTreeMap<TeamId, Rows<project::Model>>> {
    let ids: Vec<_> = teams.iter().map(|team| entity::id::Id::uuid(*team)).collect();
    let from = || visible_to(reader.actor());
    let parent = project::Column::TeamId;
    let rows = crate::db::page::per_parent(reader.db(), from, parent, &ids, page, (NAME, ID));
    Ok(crate::db::page::group(rows.await?, page, |row| row.team_id))
}

/// How many projects teams have, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn count_of_teams(reader: &Reader, teams: &[TeamId]) -> Result<BTreeMap<TeamId, u64>> {
    let own = project::Column::TeamId.is_in(teams.iter().copied());
    let select = visible_to(reader.actor()).filter(own);
    crate::db::page::counts(reader.db(), select, project::Column::TeamId).await
}

fn named(
    select: Select<project::Entity>,
    reference: &Reference,
) -> Option<Select<project::Entity>> {
    let condition = match (reference.id::<ProjectId>(), reference.external()) {
        (Some(id), _) => project::Column::Id.eq(id),
        (None, Some(external)) => project::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

fn any_of(references: &[Reference]) -> Condition {
    Condition::any()
        .add(project::Column::Id.is_in(references.iter().filter_map(Reference::id::<ProjectId>)))
        .add(project::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)))
}

impl Resource for project::Model {
    const NOUN: &'static str = "project";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(placement(self))
    }
}

/// Where a project stands.
pub(crate) fn placement(project: &project::Model) -> Placement {
    Placement::team(project.organization_id, project.team_id)
}

/// The project of a reference, if the caller may see it, without a lock: where to begin locking.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub(crate) async fn seen(tx: &Tx, reference: &Reference) -> Result<Option<project::Model>> {
    let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(tx.db()).await?)
}

/// Finds a project whose limits are to change, as [`authorize`] does, and locks what is above it
/// first: the organization and the team.
///
/// # Errors
/// Those of [`authorize`]; [`Error::Moved`] when somebody moved it meanwhile.
pub async fn authorize_limits(
    tx: &Tx,
    permission: Permission,
    reference: &Reference,
    field: &str,
) -> Result<Authorized<project::Model>> {
    let seen = seen(tx, reference).await?;
    if let Some(seen) = &seen {
        super::team::lock_shared(tx, seen.team_id).await?;
    }
    let project = authorize::<project::Model>(tx, permission, reference, field).await?;
    if seen.is_none_or(|seen| seen.team_id != project.team_id) {
        return Err(Error::Moved);
    }
    Ok(project)
}

/// Locks projects against changes of their limits and against deletion, in the order of their ids.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above a row that the caller may see")]
pub(crate) async fn lock_shared(tx: &Tx, ids: impl IntoIterator<Item = ProjectId>) -> Result<()> {
    let ids: Vec<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let select = project::Entity::find().filter(project::Column::Id.is_in(ids));
    select.order_by_asc(project::Column::Id).lock(LockType::Share).all(tx.db()).await?;
    Ok(())
}

/// The project of a reference, if the caller may see it, locked against changes of its limits.
///
/// # Errors
/// [`Error::NotFound`] at the field.
pub(crate) async fn find_shared(
    tx: &Tx,
    reference: &Reference,
    field: &str,
) -> Result<project::Model> {
    let select = named(visible_to(tx.actor()), reference).ok_or_else(|| missing(field))?;
    let rows = select.limit(2).lock(LockType::Share).all(tx.db()).await?;
    super::at_most_one(rows)?.ok_or_else(|| missing(field))
}

/// What a project that is not there, or that the caller may not see, is answered.
pub(crate) fn missing(field: &str) -> Error {
    Error::NotFound { noun: project::Model::NOUN, field: Some(field.to_owned()) }
}

/// Lets the projects of a team follow it to another organization.
///
/// # Errors
/// [`Error::AlreadyExists`] when the organization has a project of the same external id.
pub async fn follow_team(
    tx: &mut Tx,
    team: &team::Model,
    organization: Option<OrganizationId>,
) -> Result<()> {
    for before in removal::of_team(tx, team.id).await? {
        let mut after = before.clone();
        after.organization_id = organization;
        stamp(tx, &mut after);
        tx.update(&after).await?;
        let subject = Subject::project(&after);
        tx.record(Event::changed(AuditAction::ProjectUpdated, subject, &before, &after));
    }
    Ok(())
}

pub(super) fn check_description(faults: &mut Faults, text: &str) {
    faults.text("input.description", text, DESCRIPTION_LENGTH);
}

/// Nothing to reach is nothing said (REFERENCE C-P11).
fn said(value: Value) -> Option<Value> {
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
    (!empty).then_some(value)
}

/// Makes a project in a team.
///
/// # Errors
/// Faults in the input; a taken external id; limits of the team and of its organization.
pub async fn create(tx: &mut Tx, input: Create) -> Result<project::Model> {
    super::team::lock_above(tx, &input.team).await?;
    let team = super::team::find_shared(tx, &input.team, "input.teamId").await?;
    let place = Placement::team(team.organization_id, team.id);
    authorize_at(tx, Permission::ProjectCreate, place)?;
    let mut faults = Faults::default();
    faults.name("input.name", &input.name);
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(description) = &input.description {
        check_description(&mut faults, description);
    }
    let access = input.model_access.unwrap_or_default();
    faults.model_access("input.modelAccess", &access);
    let metadata = input.metadata.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    faults.metadata("input.metadata", &metadata, tx.rules().metadata_bytes);
    faults.words("input.tags", &input.tags);
    if let Some(permissions) = &input.object_permissions {
        faults.metadata("input.objectPermissions", permissions, tx.rules().metadata_bytes);
    }
    faults.finish()?;
    budget::check_entries(&input.budgets, "input")?;
    let row = project::Model {
        id: tx.id(),
        team_id: team.id,
        organization_id: team.organization_id,
        search_text: search_text(&[Some(&input.name), input.external_id.as_deref()]),
        external_id: input.external_id,
        name: input.name,
        description: input.description,
        model_access: access,
        metadata,
        tags: distinct(input.tags),
        blocked_by: None,
        object_permissions: input.object_permissions.and_then(said),
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    tx.record(Event::made(AuditAction::ProjectCreated, Subject::project(&row), &row));
    let place = Place::project(&team, &row);
    if !input.budgets.is_empty() {
        budget::assign(tx, &place, input.budgets, "input").await?;
    }
    limit::check_above(tx, &place, &row.model_access, "input").await?;
    Ok(row)
}

/// Changes a project. What is left out stays; null clears.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version, and for keys that would exceed the
/// new limits; limits of the scopes above.
pub async fn update(
    tx: &mut Tx,
    project: Authorized<project::Model>,
    input: Update,
) -> Result<project::Model> {
    let before = project.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    apply(tx, &input, &mut after)?;
    let limits_change = input.budgets.is_given() || after.model_access != before.model_access;
    if after == before && !limits_change {
        tx.nothing_changed();
        return Ok(before);
    }
    if limits_change && tx.actor().key().is_some_and(|key| key.project_id == Some(before.id)) {
        let message = "the key that you use belongs to this project, and cannot change its limits";
        let field = if input.budgets.is_given() { "input.budgets" } else { "input.modelAccess" };
        return Err(Error::limit(field, message));
    }
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::project(&after);
    tx.record(Event::changed(AuditAction::ProjectUpdated, subject, &before, &after));
    if !limits_change {
        return Ok(after);
    }
    let place = place(tx, &after).await?;
    limit::lock_below(tx, &place, &after.model_access).await?;
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, "input").await?,
    }
    limit::check_above(tx, &place, &after.model_access, "input").await?;
    limit::check_below(tx, &place, &after.model_access, input.cascade).await?;
    Ok(after)
}

/// Applies what an input says to a row, and checks it.
fn apply(tx: &Tx, input: &Update, row: &mut project::Model) -> Result<()> {
    let most = tx.rules().metadata_bytes;
    let mut faults = Faults::default();
    match &input.name {
        Change::Keep => {}
        Change::Clear => faults.add("input.name", "a project needs a name"),
        Change::Set(name) => {
            faults.name("input.name", name);
            row.name.clone_from(name);
        }
    }
    if let Some(external_id) = input.external_id.value() {
        faults.external_id("input.externalId", external_id);
    }
    input.external_id.clone().apply(&mut row.external_id);
    if let Some(description) = input.description.value() {
        check_description(&mut faults, description);
    }
    input.description.clone().apply(&mut row.description);
    if let Some(access) = input.model_access.value() {
        faults.model_access("input.modelAccess", access);
    }
    input.model_access.clone().apply_or_default(&mut row.model_access);
    if let Some(metadata) = input.metadata.value()
        && !metadata.is_object()
    {
        faults.add("input.metadata", "write a JSON object");
    }
    super::team::merge(&mut row.metadata, input.metadata.clone());
    faults.metadata("input.metadata", &row.metadata, most);
    match &input.tags {
        Change::Keep => {}
        Change::Clear => row.tags = Words::default(),
        Change::Set(tags) => {
            faults.words("input.tags", tags);
            row.tags = distinct(tags.clone());
        }
    }
    match &input.object_permissions {
        Change::Keep => {}
        Change::Clear => row.object_permissions = None,
        Change::Set(permissions) => {
            faults.metadata("input.objectPermissions", permissions, most);
            row.object_permissions = said(permissions.clone());
        }
    }
    row.search_text = search_text(&[Some(&row.name), row.external_id.as_deref()]);
    faults.finish()
}

/// The place of a project in the tree of scopes.
async fn place(tx: &Tx, project: &project::Model) -> Result<Place> {
    let team = super::team::row(tx, project.team_id).await?;
    let team = team.ok_or_else(|| Error::internal("a project without its team"))?;
    Ok(Place::project(&team, project))
}

fn stamp(tx: &Tx, row: &mut project::Model) {
    row.version += 1;
    row.updated_at = tx.now();
    row.updated_by = tx.by();
}

/// Blocks a project: every call of its keys is refused. Blocking a blocked project changes nothing,
/// unless it raises the level at which it is blocked.
///
/// # Errors
/// What the database answers.
pub async fn block(tx: &mut Tx, project: Authorized<project::Model>) -> Result<project::Model> {
    let level = Actor::block_level(project.roles());
    let before = project.into_inner();
    if before.blocked_by >= Some(level) {
        tx.nothing_changed();
        return Ok(before);
    }
    set_block(tx, &before, Some(level), AuditAction::ProjectBlocked).await
}

/// Unblocks a project. What a higher level blocked, a lower level cannot unblock (REFERENCE C-P15).
///
/// # Errors
/// [`Error::Conflict`] when a higher level blocked it.
pub async fn unblock(tx: &mut Tx, project: Authorized<project::Model>) -> Result<project::Model> {
    let level = Actor::block_level(project.roles());
    let before = project.into_inner();
    let Some(blocked_by) = before.blocked_by else {
        tx.nothing_changed();
        return Ok(before);
    };
    super::may_unblock(level, blocked_by)?;
    set_block(tx, &before, None, AuditAction::ProjectUnblocked).await
}

async fn set_block(
    tx: &mut Tx,
    before: &project::Model,
    level: Option<entity::role::BlockLevel>,
    action: AuditAction,
) -> Result<project::Model> {
    let mut after = before.clone();
    after.blocked_by = level;
    stamp(tx, &mut after);
    tx.update(&after).await?;
    tx.record(Event::changed(action, Subject::project(&after), before, &after));
    Ok(after)
}
