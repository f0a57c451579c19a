//! Credentials of providers: their values go in and never come out, but to a gateway.

mod values;

pub use values::{Opened, of_credentials as values_of_credentials, open};
pub(crate) use values::{check_stored, place};

use entity::id::{CredentialId, Id, TeamId};
use entity::value::Words;
use entity::{credential, credential_value, llm_model, team};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};
use serde::Serialize;

use super::destination::{Rule, read_hosts};
use super::field::{self, Faults, search_text};
use super::{Change, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, authorize, authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::{Error, Result};
use crate::sealing::Plain;

/// A new credential.
#[derive(Clone, Debug)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// The team that it is to belong to.
    pub team: Option<Reference>,
    /// Its name.
    pub name: String,
    /// Where it may be sent beside the provider's own hosts.
    pub allowed_hosts: Vec<String>,
    /// Its values, by name.
    pub values: Vec<(String, Option<Plain>)>,
}

/// A change of a credential.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// Where it may be sent.
    pub allowed_hosts: Change<Vec<String>>,
    /// Values to be set, and names of those to be removed; the others stay.
    pub values: Vec<(String, Option<Plain>)>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which credentials a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only those of these teams.
    pub team_ids: Option<Vec<TeamId>>,
}

/// The credentials that a caller may see: those of teams that it looks after.
#[expect(clippy::disallowed_methods, reason = "this is where reads of credentials begin")]
pub fn visible_to(actor: &Actor) -> Select<credential::Entity> {
    let select = credential::Entity::find();
    if actor.sees_all() {
        return select;
    }
    let column = credential::Column::TeamId;
    select.filter(
        Condition::any()
            .add(reach::in_administered_teams(actor, ("credentials", "team_id")))
            .add(column.in_subquery(reach::teams_of_administered_organizations(actor))),
    )
}

fn filtered(mut select: Select<credential::Entity>, filter: &Filter) -> Select<credential::Entity> {
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("credentials", search));
    }
    if let Some(ids) = &filter.team_ids {
        select = select.filter(credential::Column::TeamId.is_in(ids.iter().copied()));
    }
    select
}

/// A page of credentials.
///
/// # Errors
/// What the database answers.
pub async fn list(
    reader: &Reader,
    filter: &Filter,
    page: &Page,
) -> Result<Rows<credential::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    let select = page.apply(select, ("credentials", "search_text"), ("credentials", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many credentials [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The credential of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<credential::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The credentials of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[CredentialId]) -> Result<Vec<credential::Model>> {
    let select =
        visible_to(reader.actor()).filter(credential::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

fn named(
    select: Select<credential::Entity>,
    reference: &Reference,
) -> Option<Select<credential::Entity>> {
    let condition = match (reference.id::<CredentialId>(), reference.external()) {
        (Some(id), _) => credential::Column::Id.eq(id),
        (None, Some(external)) => credential::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for credential::Model {
    const NOUN: &'static str = "credential";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, tx: &Tx) -> Result<Placement> {
        super::team::placement_of(tx, self.team_id).await
    }
}

/// What the audit trail remembers: names, the last four characters and keyed fingerprints.
#[derive(Serialize)]
struct Image<'a> {
    #[serde(flatten)]
    credential: &'a credential::Model,
    values: &'a [credential_value::Model],
}

/// Stores a credential.
///
/// # Errors
/// Faults in the input; a taken external id.
pub async fn create(tx: &mut Tx, input: Create) -> Result<credential::Model> {
    let team = if let Some(reference) = &input.team {
        super::team::lock_above(tx, reference).await?;
        let permission = Permission::CredentialCreate;
        let team = authorize::<team::Model>(tx, permission, reference, "input.teamId").await?;
        Some(team.into_inner())
    } else {
        authorize_at(tx, Permission::CredentialCreate, Placement::platform())?;
        None
    };
    let mut faults = Faults::default();
    faults.name("input.name", &input.name);
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    let private = team.is_some() && tx.actor().is_platform_admin();
    let hosts = read_hosts(&mut faults, "input.allowedHosts", &input.allowed_hosts, private);
    values::check(&mut faults, &input.values, &[], team.is_none());
    if input.values.is_empty() {
        faults.add("input.values", "a credential needs a value");
    }
    faults.finish()?;
    let row = credential::Model {
        id: tx.id(),
        team_id: team.as_ref().map(|team| team.id),
        search_text: search_text(&[Some(&input.name), input.external_id.as_deref()]),
        external_id: input.external_id,
        name: input.name,
        allowed_hosts: Words(hosts),
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    let values = values::store(tx, row.id, Vec::new(), input.values).await?;
    let subject = Subject::credential(&row, team.and_then(|team| team.organization_id));
    let image = Image { credential: &row, values: &values };
    tx.record(Event::made(AuditAction::CredentialCreated, subject, &image));
    Ok(row)
}

/// Changes a credential. Values that are not named keep what is sealed.
///
/// # Errors
/// Faults in the input, masked and sealed texts among them; [`Error::Conflict`] for a stale version,
/// and for models that would be sent where the credential may not go.
pub async fn update(
    tx: &mut Tx,
    credential: Authorized<credential::Model>,
    input: Update,
) -> Result<credential::Model> {
    let before = credential.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let stored = values::lock(tx, before.id).await?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    match input.name {
        Change::Keep => {}
        Change::Clear => faults.add("input.name", "a credential needs a name"),
        Change::Set(name) => {
            faults.name("input.name", &name);
            after.name = name;
        }
    }
    if let Some(external_id) = input.external_id.value() {
        faults.external_id("input.externalId", external_id);
    }
    input.external_id.apply(&mut after.external_id);
    match input.allowed_hosts {
        Change::Keep => {}
        Change::Clear => after.allowed_hosts = Words::default(),
        Change::Set(hosts) => {
            let private = before.team_id.is_some() && tx.actor().is_platform_admin();
            let hosts = read_hosts(&mut faults, "input.allowedHosts", &hosts, private);
            after.allowed_hosts = Words(hosts);
        }
    }
    values::check(&mut faults, &input.values, &stored, before.team_id.is_none());
    faults.finish()?;
    after.search_text = search_text(&[Some(&after.name), after.external_id.as_deref()]);
    if after.allowed_hosts != before.allowed_hosts {
        check_models(tx, &after).await?;
    }
    let values = values::store(tx, before.id, stored.clone(), input.values).await?;
    if values == stored && after == before {
        tx.nothing_changed();
        return Ok(before);
    }
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let organization = super::team::organization_of(tx, after.team_id).await?;
    let subject = Subject::credential(&after, organization);
    let (old, new) = (
        Image { credential: &before, values: &stored },
        Image { credential: &after, values: &values },
    );
    tx.record(Event::changed(AuditAction::CredentialUpdated, subject, &old, &new));
    Ok(after)
}

/// Models that would be sent where the credential may not go stand in the way of the change. Whoever
/// attaches a credential to a model locks it first, so that none is missed.
async fn check_models(tx: &Tx, credential: &credential::Model) -> Result<()> {
    let rule = Rule { credential: Some(credential), trusted: true };
    let mut ids = Vec::new();
    for model in attached(tx, &[credential.id]).await? {
        let mut faults = Faults::default();
        if let Some(base) = &model.api_base {
            rule.check_base(&mut faults, "input.allowedHosts", base);
        }
        rule.check_params(&mut faults, "input.allowedHosts", &model.params);
        if faults.finish().is_err() {
            ids.push(model.id.to_string());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    ids.truncate(NAMED);
    let message = "models send this credential to hosts that are not among the new ones".to_owned();
    Err(Error::Conflict { message, ids })
}

/// The most objects that an error names.
const NAMED: usize = 20;

#[expect(clippy::disallowed_methods, reason = "of credentials that the caller may change")]
async fn attached(tx: &Tx, ids: &[CredentialId]) -> Result<Vec<llm_model::Model>> {
    let select = llm_model::Entity::find()
        .filter(llm_model::Column::CredentialId.is_in(ids.iter().copied()))
        .order_by_asc(llm_model::Column::Id);
    Ok(select.all(tx.db()).await?)
}

/// Deletes credentials with their values: all, or none.
///
/// # Errors
/// [`Error::NotFound`] for the first that the caller may not see; [`Error::Conflict`] while models
/// use one.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Vec<CredentialId>> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let named = Condition::any()
        .add(
            credential::Column::Id
                .is_in(references.iter().filter_map(Reference::id::<CredentialId>)),
        )
        .add(
            credential::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)),
        );
    let select = visible_to(tx.actor()).filter(named).order_by_asc(credential::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    let mut rows: Vec<credential::Model> = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let row =
            authorize::<credential::Model>(tx, Permission::CredentialDelete, reference, &field);
        let row = row.await?;
        field::expect_version(expected_version, row.version)?;
        if rows.iter().all(|known| known.id != row.id) {
            rows.push(row.into_inner());
        }
    }
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let models = attached(tx, &ids).await?;
    if !models.is_empty() {
        let ids = models.iter().take(NAMED).map(|model| model.id.to_string()).collect();
        let message = format!("{} models use what you want to delete", models.len());
        return Err(Error::Conflict { message, ids });
    }
    for row in rows {
        remove(tx, row).await?;
    }
    Ok(ids)
}

async fn remove(tx: &mut Tx, row: credential::Model) -> Result<()> {
    let values = values::lock(tx, row.id).await?;
    let organization = super::team::organization_of(tx, row.team_id).await?;
    credential::Entity::delete_many()
        .filter(credential::Column::Id.eq(row.id))
        .exec(tx.db())
        .await?;
    let image = Image { credential: &row, values: &values };
    let subject = Subject::credential(&row, organization);
    tx.record(Event::gone(AuditAction::CredentialDeleted, subject, &image));
    Ok(())
}

/// Locks what teams stored, in the order of the ids.
#[expect(clippy::disallowed_methods, reason = "of teams that the caller may delete")]
pub(crate) async fn lock_of_teams(tx: &Tx, teams: &[TeamId]) -> Result<()> {
    let select = credential::Entity::find()
        .filter(credential::Column::TeamId.is_in(teams.iter().copied()))
        .order_by_asc(credential::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// Deletes what a team stored, with the team; its models went before.
#[expect(clippy::disallowed_methods, reason = "of a team that the caller may delete")]
pub(crate) async fn remove_of_team(tx: &mut Tx, team: TeamId) -> Result<()> {
    let select = credential::Entity::find()
        .filter(credential::Column::TeamId.eq(team))
        .order_by_asc(credential::Column::Id);
    for row in select.lock(LockType::Update).all(tx.db()).await? {
        remove(tx, row).await?;
    }
    Ok(())
}

/// The credential that a caller wants a model of a team, or of the platform, to send. It is locked
/// against changes. Who attaches it must be one who may decide where it is sent.
pub(super) async fn attach(
    tx: &Tx,
    reference: &Reference,
    team: Option<TeamId>,
) -> Result<credential::Model> {
    const FIELD: &str = "input.credentialId";
    let missing =
        || Error::NotFound { noun: credential::Model::NOUN, field: Some(FIELD.to_owned()) };
    let select = named(visible_to(tx.actor()), reference).ok_or_else(missing)?;
    let rows = select.limit(2).lock(LockType::Share).all(tx.db()).await?;
    let row = super::at_most_one(rows)?.ok_or_else(missing)?;
    require(tx, &row).await?;
    if row.team_id.is_some() && row.team_id != team {
        return Err(Error::input(
            FIELD,
            "this credential belongs to a team that does not own the model",
        ));
    }
    Ok(row)
}

/// The credential that a model sends already, locked against changes.
#[expect(clippy::disallowed_methods, reason = "of a model that the caller may change")]
pub(super) async fn attached_to(tx: &Tx, id: CredentialId) -> Result<credential::Model> {
    let row = credential::Entity::find_by_id(id).lock(LockType::Share).one(tx.db()).await?;
    row.ok_or_else(|| Error::internal(format!("no credential {}", id.uuid())))
}

/// Proves that the caller may decide where a credential is sent (SECURITY 2, case 16).
pub(super) async fn require(tx: &Tx, row: &credential::Model) -> Result<()> {
    authorize_at(tx, Permission::CredentialUpdate, row.placement(tx).await?)?;
    Ok(())
}
