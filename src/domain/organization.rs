//! Organizations: the tenants under which teams stand, whose limits hold for all below.

mod removal;

pub(crate) use removal::release;
pub use removal::{Deleted, delete};

use entity::id::{Id, OrganizationId, UserId};
use entity::value::ModelAccess;
use entity::{organization, organization_membership, team};
use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
};
use serde_json::Value;

use super::field::{self, Faults, search_text};
use super::scope::Place;
use super::{Cascade, Change, budget, limit, organization_membership as membership};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, also, authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

/// A new organization.
#[derive(Clone, Debug)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// Its name.
    pub name: String,
    /// Free data.
    pub metadata: Option<Value>,
    /// Which models may be called.
    pub model_access: Option<ModelAccess>,
    /// Budgets.
    pub budgets: Vec<budget::Entry>,
}

/// A change of an organization.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// Keys to merge into the metadata; null in a key deletes it, null for all clears it.
    pub metadata: Change<Value>,
    /// Which models may be called.
    pub model_access: Change<ModelAccess>,
    /// The budgets that the organization is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// What happens to teams, members and keys that would exceed the new limits.
    pub cascade: Cascade,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which organizations a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only those with this member.
    pub member_user_id: Option<UserId>,
}

/// The organizations that a caller may see: those it belongs to, by itself or through a team.
#[expect(clippy::disallowed_methods, reason = "this is where reads of organizations begin")]
pub fn visible_to(actor: &Actor) -> Select<organization::Entity> {
    let select = organization::Entity::find();
    if actor.sees_all() {
        return select;
    }
    select.filter(super::reach::in_known_organizations(actor, ("organizations", "id")))
}

fn filtered(
    mut select: Select<organization::Entity>,
    actor: &Actor,
    filter: &Filter,
) -> Select<organization::Entity> {
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("organizations", search));
    }
    if let Some(user) = filter.member_user_id {
        // Whoever may not see a membership does not find the organization by it either.
        let members = membership::visible_to(actor)
            .filter(organization_membership::Column::UserId.eq(user))
            .select_only()
            .column(organization_membership::Column::OrganizationId);
        select = select.filter(organization::Column::Id.in_subquery(members.into_query()));
    }
    select
}

/// A page of the organizations that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(
    reader: &Reader,
    filter: &Filter,
    page: &Page,
) -> Result<Rows<organization::Model>> {
    let select = filtered(visible_to(reader.actor()), reader.actor(), filter);
    let select = page.apply(select, ("organizations", "search_text"), ("organizations", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many organizations [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    let select = filtered(visible_to(reader.actor()), reader.actor(), filter);
    Ok(select.count(reader.db()).await?)
}

/// The organization of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<organization::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    Ok(select.one(reader.db()).await?)
}

fn named(
    select: Select<organization::Entity>,
    reference: &Reference,
) -> Option<Select<organization::Entity>> {
    let condition = match (reference.id::<OrganizationId>(), reference.external()) {
        (Some(id), _) => organization::Column::Id.eq(id),
        (None, Some(external)) => organization::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for organization::Model {
    const NOUN: &'static str = "organization";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::organization(Some(self.id)))
    }
}

/// The organizations of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[OrganizationId]) -> Result<Vec<organization::Model>> {
    let select = visible_to(reader.actor())
        .filter(organization::Column::Id.is_in(ids.iter().map(|id| id.uuid())));
    Ok(select.all(reader.db()).await?)
}

/// Makes an organization.
///
/// # Errors
/// Faults in the input; a taken external id.
pub async fn create(tx: &mut Tx, input: Create) -> Result<organization::Model> {
    authorize_at(tx, Permission::OrganizationCreate, Placement::platform())?;
    let mut faults = Faults::default();
    faults.name("input.name", &input.name);
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(metadata) = &input.metadata {
        faults.metadata("input.metadata", metadata, tx.rules().metadata_bytes);
    }
    let access = input.model_access.unwrap_or_default();
    faults.model_access("input.modelAccess", &access);
    faults.finish()?;
    budget::check_entries(&input.budgets, "input")?;
    let row = organization::Model {
        id: tx.id(),
        search_text: search_text(&[Some(&input.name), input.external_id.as_deref()]),
        external_id: input.external_id,
        name: input.name,
        metadata: input.metadata.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        model_access: access,
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    let subject = Subject::organization(&row);
    tx.record(Event::made(AuditAction::OrganizationCreated, subject, &row));
    if !input.budgets.is_empty() {
        budget::assign(tx, &Place::organization(&row), input.budgets, "input").await?;
    }
    limit::check_above(tx, &Place::organization(&row), &row.model_access, "input").await?;
    Ok(row)
}

/// Changes an organization. Budgets, model access and the external id, by which the platform names
/// it, need the permission `ORGANIZATION_LIMIT_UPDATE` as well.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version, and for what is below and would
/// exceed the new limits.
pub async fn update(
    tx: &mut Tx,
    organization: Authorized<organization::Model>,
    input: Update,
) -> Result<organization::Model> {
    let limited = input.budgets.is_given() || input.model_access.is_given();
    if limited || input.external_id.is_given() {
        also(tx, &organization, Permission::OrganizationLimitUpdate).await?;
    }
    let before = organization.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    match input.name {
        Change::Keep => {}
        Change::Clear => faults.add("input.name", "an organization needs a name"),
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
    super::team::merge(&mut after.metadata, input.metadata);
    faults.metadata("input.metadata", &after.metadata, tx.rules().metadata_bytes);
    if let Some(access) = input.model_access.value() {
        faults.model_access("input.modelAccess", access);
    }
    input.model_access.apply_or_default(&mut after.model_access);
    faults.finish()?;
    after.search_text = search_text(&[Some(&after.name), after.external_id.as_deref()]);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let subject = Subject::organization(&after);
    tx.record(Event::changed(AuditAction::OrganizationUpdated, subject, &before, &after));
    let place = Place::organization(&after);
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

/// The organizations of these ids, locked against changes of their limits in the order of the ids;
/// for what must hold whoever asks.
#[expect(clippy::disallowed_methods, reason = "above a team that the caller may move")]
pub(crate) async fn lock_each(
    tx: &Tx,
    ids: impl IntoIterator<Item = OrganizationId>,
) -> Result<Vec<organization::Model>> {
    let select = organization::Entity::find().filter(organization::Column::Id.is_in(ids));
    let select = select.order_by_asc(organization::Column::Id).lock(LockType::Share);
    Ok(select.all(tx.db()).await?)
}

/// The id of the organization of a reference, without a lock, if the caller may see it.
///
/// # Errors
/// [`Error::NotFound`] when there is none, or the caller may not see it.
pub(crate) async fn id_of(tx: &Tx, reference: &Reference, field: &str) -> Result<OrganizationId> {
    let missing =
        || Error::NotFound { noun: organization::Model::NOUN, field: Some(field.to_owned()) };
    let select = named(visible_to(tx.actor()), reference).ok_or_else(missing)?;
    Ok(select.one(tx.db()).await?.ok_or_else(missing)?.id)
}

/// The organization in which something is to be made, locked against changes of its limits.
///
/// # Errors
/// [`Error::NotFound`] when there is none, or the caller may not see it.
pub(crate) async fn find_place(
    tx: &Tx,
    reference: Option<&Reference>,
) -> Result<Option<OrganizationId>> {
    let Some(reference) = reference else { return Ok(None) };
    let missing = || Error::NotFound {
        noun: organization::Model::NOUN,
        field: Some("input.organizationId".to_owned()),
    };
    let select = named(visible_to(tx.actor()), reference).ok_or_else(missing)?;
    let found = select.lock(LockType::Share).one(tx.db()).await?;
    Ok(Some(found.ok_or_else(missing)?.id))
}

/// Locks the organizations of teams against changes of their limits, and returns their ids. A team
/// may be moved before it is locked itself: see [`super::team::still_under`].
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "above a row that the caller may see")]
pub(crate) async fn lock_of_teams(
    tx: &Tx,
    teams: Select<team::Entity>,
) -> Result<Vec<OrganizationId>> {
    let ids = teams.select_only().column(team::Column::OrganizationId).into_query();
    let select = organization::Entity::find()
        .filter(Expr::col(("organizations", "id")).in_subquery(ids))
        .order_by_asc(organization::Column::Id);
    let locked = select.lock(LockType::Share).all(tx.db()).await?;
    Ok(locked.into_iter().map(|row| row.id).collect())
}

/// The ids of the organizations of references, as far as the caller may see them.
///
/// # Errors
/// What the database answers.
pub async fn ids_of(reader: &Reader, references: &[Reference]) -> Result<Vec<OrganizationId>> {
    let ids: Vec<_> = references.iter().filter_map(Reference::id::<OrganizationId>).collect();
    let external: Vec<_> = references.iter().filter_map(Reference::external).collect();
    let select = visible_to(reader.actor()).filter(
        organization::Column::Id
            .is_in(ids.iter().map(|id| id.uuid()))
            .or(organization::Column::ExternalId.is_in(external)),
    );
    Ok(select.all(reader.db()).await?.into_iter().map(|row| row.id).collect())
}
