//! Access groups: sets of model names that lists of models use by one name.

mod removal;

pub use removal::delete;

use std::collections::{BTreeMap, BTreeSet};

use entity::id::{AccessGroupId, AccessGroupModelId};
use entity::value::{ModelAccess, ModelAccessMode};
use entity::{access_group, access_group_model};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use serde::Serialize;

use super::Change;
use super::field::{self, Faults, distinct, search_text};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Actor, Authorized, Permission, Placement, Reference, Resource, authorize_at};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};

/// The most characters of a description.
const DESCRIPTION: usize = 2_000;

/// A new group.
#[derive(Clone, Debug)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The names of models in it.
    pub models: Vec<String>,
}

/// A change of a group.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// What it is for.
    pub description: Change<String>,
    /// The names of models that it is to hold, all of them.
    pub models: Change<Vec<String>>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// The groups that a caller may see: all, for their names stand in lists of models.
#[expect(clippy::disallowed_methods, reason = "this is where reads of access groups begin")]
pub fn visible_to(_: &Actor) -> Select<access_group::Entity> {
    access_group::Entity::find()
}

fn filtered(
    select: Select<access_group::Entity>,
    search: Option<&str>,
) -> Select<access_group::Entity> {
    match search {
        Some(search) => select.filter(super::field_contains("access_groups", search)),
        None => select,
    }
}

/// A page of groups.
///
/// # Errors
/// What the database answers.
pub async fn list(
    reader: &Reader,
    search: Option<&str>,
    page: &Page,
) -> Result<Rows<access_group::Model>> {
    let select = filtered(visible_to(reader.actor()), search);
    let select = page.apply(select, ("access_groups", "search_text"), ("access_groups", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many groups [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, search: Option<&str>) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), search).count(reader.db()).await?)
}

/// The group of a reference.
///
/// # Errors
/// What the database answers.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<access_group::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    Ok(select.one(reader.db()).await?)
}

/// The groups of these ids.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[AccessGroupId]) -> Result<Vec<access_group::Model>> {
    let select =
        visible_to(reader.actor()).filter(access_group::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

/// The names of models in groups, in the order of the alphabet.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "of groups, which everybody sees")]
pub async fn models_of(
    reader: &Reader,
    ids: &[AccessGroupId],
) -> Result<Vec<access_group_model::Model>> {
    let select = access_group_model::Entity::find()
        .filter(access_group_model::Column::AccessGroupId.is_in(ids.iter().copied()))
        .order_by_asc(access_group_model::Column::ModelName);
    Ok(select.all(reader.db()).await?)
}

/// The names of the groups that list a model by its very name, by model name.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "of groups, which everybody sees")]
pub async fn of_models(reader: &Reader, names: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let select = access_group_model::Entity::find()
        .find_also_related(access_group::Entity)
        .filter(access_group_model::Column::ModelName.is_in(names.iter().map(String::as_str)))
        .order_by_asc(access_group::Column::Name);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (member, group) in select.all(reader.db()).await? {
        if let Some(group) = group {
            found.entry(member.model_name).or_default().push(group.name);
        }
    }
    Ok(found)
}

fn named(
    select: Select<access_group::Entity>,
    reference: &Reference,
) -> Option<Select<access_group::Entity>> {
    let condition = match (reference.id::<AccessGroupId>(), reference.external()) {
        (Some(id), _) => access_group::Column::Id.eq(id),
        (None, Some(external)) => access_group::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for access_group::Model {
    const NOUN: &'static str = "access group";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(Placement::platform())
    }
}

/// Looks up the groups that model accesses list, and locks them against deletion: a name that is no
/// group's would be a grant to wait for. It comes after every other lock (`docs/adr/0018`).
///
/// # Errors
/// [`Error::NotFound`] at the first name that is no group's; the paths are those of the accesses.
pub(crate) async fn check_listed<'a>(
    tx: &Tx,
    lists: impl Iterator<Item = (&'a ModelAccess, String)>,
) -> Result<()> {
    let lists: Vec<_> = lists
        .filter(|(access, _)| access.mode == ModelAccessMode::List)
        .filter(|(access, _)| !access.access_groups.is_empty())
        .collect();
    if lists.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<_> = lists
        .iter()
        .flat_map(|(access, _)| access.access_groups.iter().map(String::as_str))
        .collect();
    let select = visible_to(tx.actor())
        .filter(access_group::Column::Name.is_in(names))
        .order_by_asc(access_group::Column::Id)
        .lock(LockType::Share);
    let known = select.all(tx.db()).await?;
    for (access, field) in lists {
        let is_missing = |name: &String| known.iter().all(|group| group.name != *name);
        if let Some(index) = access.access_groups.iter().position(is_missing) {
            return Err(Error::NotFound {
                noun: access_group::Model::NOUN,
                field: Some(format!("{field}.accessGroups.{index}")),
            });
        }
    }
    Ok(())
}

/// What the audit trail remembers.
#[derive(Serialize)]
struct Image<'a> {
    #[serde(flatten)]
    group: &'a access_group::Model,
    models: &'a [String],
}

/// Makes a group.
///
/// # Errors
/// Faults in the input; a taken name or external id.
pub async fn create(tx: &mut Tx, input: Create) -> Result<access_group::Model> {
    authorize_at(tx, Permission::AccessGroupCreate, Placement::platform())?;
    let mut faults = Faults::default();
    faults.word("input.name", &input.name);
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(description) = &input.description {
        faults.text("input.description", description, DESCRIPTION);
    }
    check_models(&mut faults, &input.models);
    faults.finish()?;
    let row = access_group::Model {
        id: tx.id(),
        search_text: search_text(&[Some(&input.name), input.external_id.as_deref()]),
        external_id: input.external_id,
        name: input.name,
        description: input.description,
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    let models = distinct(input.models).0;
    insert_models(tx, row.id, &models).await?;
    let image = Image { group: &row, models: &models };
    let subject = Subject::access_group(&row);
    tx.record(Event::made(AuditAction::AccessGroupCreated, subject, &image));
    Ok(row)
}

fn check_models(faults: &mut Faults, models: &[String]) {
    if models.len() > field::MODELS {
        faults.add("input.models", format!("give at most {} models", field::MODELS));
    }
    for (index, model) in models.iter().enumerate().take(field::MODELS) {
        faults.word(&format!("input.models.{index}"), model);
    }
}

async fn insert_models(tx: &Tx, group: AccessGroupId, names: &[String]) -> Result<()> {
    let row = |name: &String| access_group_model::Model {
        id: tx.id::<AccessGroupModelId>(),
        access_group_id: group,
        model_name: name.clone(),
    };
    let rows: Vec<_> = names.iter().map(row).collect();
    tx.insert_all(&rows).await
}

/// The names in a group, which is locked.
#[expect(clippy::disallowed_methods, reason = "of a group that the caller may change")]
async fn names(tx: &Tx, group: AccessGroupId) -> Result<Vec<String>> {
    let select = access_group_model::Entity::find()
        .filter(access_group_model::Column::AccessGroupId.eq(group))
        .order_by_asc(access_group_model::Column::ModelName);
    Ok(select.all(tx.db()).await?.into_iter().map(|row| row.model_name).collect())
}

/// Changes a group. Its name stays: lists of models use it.
///
/// # Errors
/// Faults in the input; [`crate::error::Error::Conflict`] for a stale version.
pub async fn update(
    tx: &mut Tx,
    group: Authorized<access_group::Model>,
    input: Update,
) -> Result<access_group::Model> {
    let before = group.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let old = names(tx, before.id).await?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    if let Some(external_id) = input.external_id.value() {
        faults.external_id("input.externalId", external_id);
    }
    input.external_id.apply(&mut after.external_id);
    if let Some(description) = input.description.value() {
        faults.text("input.description", description, DESCRIPTION);
    }
    input.description.apply(&mut after.description);
    let mut new = match input.models {
        Change::Keep => old.clone(),
        Change::Clear => Vec::new(),
        Change::Set(models) => {
            check_models(&mut faults, &models);
            distinct(models).0
        }
    };
    faults.finish()?;
    new.sort();
    after.search_text = search_text(&[Some(&after.name), after.external_id.as_deref()]);
    let mut sorted = old.clone();
    sorted.sort();
    if after == before && new == sorted {
        tx.nothing_changed();
        return Ok(before);
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let gone = old.iter().filter(|name| !new.contains(name)).map(String::as_str);
    access_group_model::Entity::delete_many()
        .filter(access_group_model::Column::AccessGroupId.eq(after.id))
        .filter(access_group_model::Column::ModelName.is_in(gone))
        .exec(tx.db())
        .await?;
    let added: Vec<_> = new.iter().filter(|name| !old.contains(name)).cloned().collect();
    insert_models(tx, after.id, &added).await?;
    let subject = Subject::access_group(&after);
    let images = (Image { group: &before, models: &old }, Image { group: &after, models: &new });
    tx.record(Event::changed(AuditAction::AccessGroupUpdated, subject, &images.0, &images.1));
    Ok(after)
}
