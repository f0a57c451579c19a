//! Tags: labels of keys, teams and calls, as places that have budgets.
//!
//! A key or a call may carry any text as a tag; a tag that is made here can have budgets as well.
//! It belongs to an organization, and counts the calls of that organization, or to the platform,
//! and counts them all.

use entity::id::{Id, OrganizationId, TagId};
use entity::role::ScopeKind;
use entity::tag;
use sea_orm::sea_query::{LockType, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

use super::field::{self, Faults, search_text};
use super::scope::Place;
use super::{Change, budget, limit, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, authorize, authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::Result;

/// The most characters of a description.
pub const DESCRIPTION: usize = 2_000;

/// A new tag.
#[derive(Clone, Debug)]
pub struct Create {
    /// The label.
    pub name: String,
    /// The organization whose calls it labels.
    pub organization: Option<Reference>,
    /// What it is for.
    pub description: Option<String>,
    /// Its budgets.
    pub budgets: Vec<budget::Entry>,
}

/// A change of a tag. Its name stays: calls carry it.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// What it is for.
    pub description: Change<String>,
    /// The budgets that it is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which tags a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name has this text.
    pub search: Option<String>,
    /// Only those of these organizations.
    pub organization_ids: Option<Vec<OrganizationId>>,
}

/// The tags that a caller may see: those of organizations that it runs.
#[expect(clippy::disallowed_methods, reason = "this is where reads of tags begin")]
pub fn visible_to(actor: &Actor) -> Select<tag::Entity> {
    let select = tag::Entity::find();
    if actor.sees_all() {
        return select;
    }
    select.filter(in_reach(actor))
}

/// Whether a row of `tags` belongs to an organization that the caller runs.
pub(super) fn in_reach(actor: &Actor) -> SimpleExpr {
    reach::in_administered_organizations(actor, ("tags", "organization_id"))
}

fn filtered(select: Select<tag::Entity>, filter: &Filter) -> Select<tag::Entity> {
    let mut select = select;
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("tags", search));
    }
    if let Some(ids) = &filter.organization_ids {
        select = select.filter(tag::Column::OrganizationId.is_in(ids.iter().copied()));
    }
    select
}

/// A page of the tags that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<tag::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    let select = page.apply(select, ("tags", "search_text"), ("tags", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many tags [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The tag of an id or a name, if the caller may see it.
///
/// # Errors
/// What the database answers, and when a name stands for several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<tag::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The tags of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[TagId]) -> Result<Vec<tag::Model>> {
    let ids = ids.iter().map(|id| id.uuid());
    let select = visible_to(reader.actor()).filter(tag::Column::Id.is_in(ids));
    Ok(select.all(reader.db()).await?)
}

fn named(select: Select<tag::Entity>, reference: &Reference) -> Option<Select<tag::Entity>> {
    let condition = match (reference.id::<TagId>(), reference.external()) {
        (Some(id), _) => tag::Column::Id.eq(id),
        (None, Some(name)) => tag::Column::Name.eq(name),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for tag::Model {
    const NOUN: &'static str = "tag";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::organization(self.organization_id))
    }
}

/// Makes a tag.
///
/// # Errors
/// Faults in the input; a name that is taken in the same place.
pub async fn create(tx: &mut Tx, input: Create) -> Result<tag::Model> {
    let organization = super::organization::find_place(tx, input.organization.as_ref()).await?;
    authorize_at(tx, Permission::TagCreate, Placement::organization(organization))?;
    let mut faults = Faults::default();
    check_name(&mut faults, "input.name", &input.name);
    if let Some(description) = &input.description {
        faults.text("input.description", description, DESCRIPTION);
    }
    faults.finish()?;
    budget::check_entries(&input.budgets, "input")?;
    let row = tag::Model {
        id: tx.id(),
        organization_id: organization,
        search_text: search_text(&[Some(&input.name)]),
        name: input.name,
        description: input.description,
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    tx.record(Event::made(AuditAction::TagCreated, Subject::tag(&row), &row));
    if !input.budgets.is_empty() {
        budget::assign(tx, &Place::tag(&row), input.budgets, "input").await?;
    }
    Ok(row)
}

/// A name is a label, and never looks like an id.
pub(super) fn check_name(faults: &mut Faults, field: &str, name: &str) {
    faults.word(field, name);
    if entity::id::split(name).is_some() {
        faults.add(field, "a name may not have the form of an id of this platform");
    }
}

/// Changes a tag.
///
/// # Errors
/// Faults in the input; a conflict for a stale version.
pub async fn update(tx: &mut Tx, tag: Authorized<tag::Model>, input: Update) -> Result<tag::Model> {
    let before = tag.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    if let Some(description) = input.description.value() {
        faults.text("input.description", description, DESCRIPTION);
    }
    faults.finish()?;
    input.description.apply(&mut after.description);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    tx.record(Event::changed(AuditAction::TagUpdated, Subject::tag(&after), &before, &after));
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &Place::tag(&after), Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &Place::tag(&after), entries, "input").await?,
    }
    Ok(after)
}

/// Deletes tags with their budgets: all, or none. Keys and teams keep the label.
///
/// # Errors
/// `NotFound` for the first that the caller may not see.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Vec<TagId>> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let names = Condition::any()
        .add(tag::Column::Id.is_in(references.iter().filter_map(Reference::id::<TagId>)))
        .add(tag::Column::Name.is_in(references.iter().filter_map(Reference::external)));
    let select = visible_to(tx.actor()).filter(names).order_by_asc(tag::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    let mut tags: Vec<tag::Model> = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let row = authorize::<tag::Model>(tx, Permission::TagDelete, reference, &field).await?;
        field::expect_version(expected_version, row.version)?;
        if tags.iter().all(|known| known.id != row.id) {
            tags.push(row.into_inner());
        }
    }
    let ids = tags.iter().map(|row| row.id).collect();
    remove(tx, tags).await?;
    Ok(ids)
}

/// Removes the tags of an organization that ceases to be, and returns their number.
#[expect(clippy::disallowed_methods, reason = "of an organization that the caller may delete")]
pub(crate) async fn remove_all(tx: &mut Tx, organization: OrganizationId) -> Result<u64> {
    let select = tag::Entity::find()
        .filter(tag::Column::OrganizationId.eq(organization))
        .order_by_asc(tag::Column::Id);
    let rows = select.lock(LockType::Update).all(tx.db()).await?;
    let count = rows.len() as u64;
    remove(tx, rows).await?;
    Ok(count)
}

async fn remove(tx: &mut Tx, rows: Vec<tag::Model>) -> Result<()> {
    for chunk in rows.chunks(500) {
        let ids: Vec<_> = chunk.iter().map(|row| row.id.uuid()).collect();
        limit::forget_scopes(tx, ScopeKind::Tag, &ids, None).await?;
        tag::Entity::delete_many().filter(tag::Column::Id.is_in(ids)).exec(tx.db()).await?;
    }
    for row in &rows {
        tx.record(Event::gone(AuditAction::TagDeleted, Subject::tag(row), row));
    }
    Ok(())
}
