//! Models: deployments at providers behind public names, of the platform or of a team.

mod removal;
mod resolve;

pub use removal::delete;
pub(crate) use removal::{lock_of_teams, remove_of_team};
pub use resolve::{Deployment, resolve};

use entity::id::{CredentialId, ModelId, TeamId};
use entity::value::{ModelAccessMode, Usd};
use entity::{llm_model, team};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
};
use serde_json::{Map, Value};

use super::destination::{Rule, refuse_secret, refuse_secrets};
use super::field::{self, Faults, search_text};
use super::scope::Place;
use super::{Change, credential, limit, reach, team as teams};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{
    Actor, Authorized, Permission, Placement, Reference, Resource, authorize, authorize_at,
};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::Result;

/// A new model.
#[derive(Clone, Debug)]
pub struct Create {
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// The team that is to own it.
    pub team: Option<Reference>,
    /// Its public name.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// The provider's name for it; the public name by default.
    pub provider_model: Option<String>,
    /// Where it is reached.
    pub api_base: Option<String>,
    /// The provider's region.
    pub region: Option<String>,
    /// The most requests in a minute.
    pub requests_per_minute: Option<i64>,
    /// The most tokens in a minute.
    pub tokens_per_minute: Option<i64>,
    /// What a million tokens in cost.
    pub input_price: Option<Usd>,
    /// What a million tokens out cost.
    pub output_price: Option<Usd>,
    /// Further parameters.
    pub params: Option<Value>,
    /// Free data.
    pub info: Option<Value>,
    /// The credential that is sent.
    pub credential: Option<Reference>,
}

/// A change of a model.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new public name.
    pub name: Change<String>,
    /// The new provider.
    pub provider: Change<String>,
    /// The provider's new name for it.
    pub provider_model: Change<String>,
    /// Where it is reached.
    pub api_base: Change<String>,
    /// The provider's region.
    pub region: Change<String>,
    /// The most requests in a minute.
    pub requests_per_minute: Change<i64>,
    /// The most tokens in a minute.
    pub tokens_per_minute: Change<i64>,
    /// What a million tokens in cost.
    pub input_price: Change<Usd>,
    /// What a million tokens out cost.
    pub output_price: Change<Usd>,
    /// Keys to merge into the parameters.
    pub params: Change<Value>,
    /// Keys to merge into the free data.
    pub info: Change<Value>,
    /// The credential that is sent.
    pub credential: Change<Reference>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which models a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name, provider's name or external id has this text.
    pub search: Option<String>,
    /// Only those with one of these public names.
    pub names: Option<Vec<String>>,
    /// Only those of these providers.
    pub providers: Option<Vec<String>>,
    /// Only those of these teams.
    pub team_ids: Option<Vec<TeamId>>,
    /// Only those of the platform, or only those of teams.
    pub is_platform_wide: Option<bool>,
    /// Only those that send one of these credentials.
    pub credential_ids: Option<Vec<CredentialId>>,
    /// Only blocked ones, or only others.
    pub is_blocked: Option<bool>,
}

/// The models that a caller may see: those of the platform, and those of its teams.
#[expect(clippy::disallowed_methods, reason = "this is where reads of models begin")]
pub fn visible_to(actor: &Actor) -> Select<llm_model::Entity> {
    let select = llm_model::Entity::find();
    if actor.sees_all() || actor.kind() == entity::role::ActorKind::Gateway {
        return select;
    }
    let column = llm_model::Column::TeamId;
    select.filter(
        Condition::any()
            .add(column.is_null())
            .add(reach::in_teams(actor, ("models", "team_id")))
            .add_option(actor.service_team().map(|team| column.eq(team)))
            .add(column.in_subquery(reach::teams_of_administered_organizations(actor))),
    )
}

fn filtered(mut select: Select<llm_model::Entity>, filter: &Filter) -> Select<llm_model::Entity> {
    use llm_model::Column;
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("models", search));
    }
    if let Some(names) = &filter.names {
        select = select.filter(Column::Name.is_in(names.iter().map(String::as_str)));
    }
    if let Some(providers) = &filter.providers {
        select = select.filter(Column::Provider.is_in(providers.iter().map(String::as_str)));
    }
    if let Some(ids) = &filter.team_ids {
        select = select.filter(Column::TeamId.is_in(ids.iter().copied()));
    }
    if let Some(platform) = filter.is_platform_wide {
        let column = Column::TeamId;
        select = select.filter(if platform { column.is_null() } else { column.is_not_null() });
    }
    if let Some(ids) = &filter.credential_ids {
        select = select.filter(Column::CredentialId.is_in(ids.iter().copied()));
    }
    if let Some(blocked) = filter.is_blocked {
        let column = Column::BlockedBy;
        select = select.filter(if blocked { column.is_not_null() } else { column.is_null() });
    }
    select
}

/// A page of models.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<llm_model::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    let select = page.apply(select, ("models", "search_text"), ("models", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many models [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The model of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<llm_model::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The models of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[ModelId]) -> Result<Vec<llm_model::Model>> {
    let select =
        visible_to(reader.actor()).filter(llm_model::Column::Id.is_in(ids.iter().copied()));
    Ok(select.all(reader.db()).await?)
}

fn named(
    select: Select<llm_model::Entity>,
    reference: &Reference,
) -> Option<Select<llm_model::Entity>> {
    let condition = match (reference.id::<ModelId>(), reference.external()) {
        (Some(id), _) => llm_model::Column::Id.eq(id),
        (None, Some(external)) => llm_model::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for llm_model::Model {
    const NOUN: &'static str = "model";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, tx: &Tx) -> Result<Placement> {
        teams::placement_of(tx, self.team_id).await
    }
}

/// Makes a model. The public name of a team's own model is granted to the team in the same
/// transaction (REFERENCE MD-NEW-7, C-M2, C-M3).
///
/// # Errors
/// Faults in the input; a taken external id; a credential that the caller may not attach; a name
/// that the team's organization does not allow.
pub async fn create(tx: &mut Tx, input: Create) -> Result<llm_model::Model> {
    let team = if let Some(reference) = &input.team {
        let permission = Permission::ModelCreate;
        let team = teams::authorize_limits(tx, permission, reference, "input.teamId").await?;
        Some(team.into_inner())
    } else {
        authorize_at(tx, Permission::ModelCreate, Placement::platform())?;
        None
    };
    let empty = || Value::Object(Map::new());
    let provider_model = input.provider_model.unwrap_or_else(|| input.name.clone());
    let mut row = llm_model::Model {
        id: tx.id(),
        team_id: team.as_ref().map(|team| team.id),
        credential_id: None,
        external_id: input.external_id,
        name: input.name,
        search_text: String::new(),
        provider: input.provider,
        provider_model,
        api_base: input.api_base,
        region: input.region,
        requests_per_minute: input.requests_per_minute,
        tokens_per_minute: input.tokens_per_minute,
        input_price: input.input_price,
        output_price: input.output_price,
        params: without_nulls(input.params.unwrap_or_else(empty)),
        info: without_nulls(input.info.unwrap_or_else(empty)),
        is_granted: false,
        blocked_by: None,
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    row.search_text = searched(&row);
    let mut faults = Faults::default();
    check(&mut faults, &row, tx.rules().metadata_bytes);
    faults.finish()?;
    let credential = match &input.credential {
        Some(reference) => Some(credential::attach(tx, reference, row.team_id).await?),
        None => None,
    };
    row.credential_id = credential.as_ref().map(|credential| credential.id);
    check_destination(tx, &row, credential.as_ref())?;
    if let Some(team) = &team {
        row.is_granted = grant(tx, team, &row.name).await?;
    }
    tx.insert(&row).await?;
    let organization = team.and_then(|team| team.organization_id);
    tx.record(Event::made(AuditAction::ModelCreated, Subject::model(&row, organization), &row));
    Ok(row)
}

/// Grants a name to the team of a new or renamed model; tells whether it stands in the list because
/// of models of this name.
async fn grant(tx: &mut Tx, team: &team::Model, name: &str) -> Result<bool> {
    Ok(teams::grant_model(tx, team, name).await? || is_granted(tx, team.id, name, &[]).await?)
}

/// Whether another model of the team has put this name on the list. Models of a team change their
/// names under the lock of the team.
#[expect(clippy::disallowed_methods, reason = "of a team whose models the caller may change")]
async fn is_granted(tx: &Tx, team: TeamId, name: &str, without: &[ModelId]) -> Result<bool> {
    let select = llm_model::Entity::find()
        .filter(llm_model::Column::TeamId.eq(team))
        .filter(llm_model::Column::Name.eq(name))
        .filter(llm_model::Column::IsGranted.eq(true))
        .filter(llm_model::Column::Id.is_not_in(without.iter().copied()));
    Ok(select.limit(1).one(tx.db()).await?.is_some())
}

/// Notes which names the list of a team has lost: whoever puts one there again means it, and the end
/// of a model does not take it away.
///
/// # Errors
/// What the database answers.
pub(crate) async fn forget_grants(tx: &Tx, team: &team::Model) -> Result<()> {
    let access = &team.model_access;
    let listed = (access.mode == ModelAccessMode::List)
        .then(|| llm_model::Column::Name.is_not_in(access.models.iter().map(String::as_str)));
    llm_model::Entity::update_many()
        .col_expr(llm_model::Column::IsGranted, Expr::val(false))
        .filter(llm_model::Column::TeamId.eq(team.id))
        .filter(llm_model::Column::IsGranted.eq(true))
        .filter(Condition::all().add_option(listed))
        .exec(tx.db())
        .await?;
    Ok(())
}

fn searched(row: &llm_model::Model) -> String {
    search_text(&[Some(&row.name), row.external_id.as_deref(), Some(&row.provider_model)])
}

/// A null in parameters says nothing (REFERENCE MD-NEW-5).
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| !value.is_null());
    }
    value
}

/// Parameters that have a field of their own, and that field.
const TYPED: &[(&str, &str)] = &[
    ("model", "providerModel"),
    ("custom_llm_provider", "provider"),
    ("api_base", "apiBase"),
    ("base_url", "apiBase"),
    ("region_name", "region"),
    ("aws_region_name", "region"),
    ("rpm", "requestsPerMinute"),
    ("tpm", "tokensPerMinute"),
    ("input_cost_per_token", "inputPrice"),
    ("output_cost_per_token", "outputPrice"),
];

pub(super) fn check(faults: &mut Faults, row: &llm_model::Model, most_bytes: usize) {
    if let Some(external_id) = &row.external_id {
        faults.external_id("input.externalId", external_id);
    }
    for (field, word) in [
        ("input.name", &row.name),
        ("input.provider", &row.provider),
        ("input.providerModel", &row.provider_model),
    ] {
        faults.word(field, word);
        refuse_secret(faults, field, word);
    }
    if row.team_id.is_some() && row.name.contains('*') {
        faults.add("input.name", "the name of a team's own model stands for itself: leave out *");
    }
    if let Some(region) = &row.region {
        faults.word("input.region", region);
        refuse_secret(faults, "input.region", region);
    }
    if let Some(base) = &row.api_base {
        refuse_secret(faults, "input.apiBase", base);
    }
    for (field, amount) in [
        ("input.requestsPerMinute", row.requests_per_minute),
        ("input.tokensPerMinute", row.tokens_per_minute),
        ("input.inputPrice", row.input_price.map(Usd::nanos)),
        ("input.outputPrice", row.output_price.map(Usd::nanos)),
    ] {
        if amount.is_some_and(|amount| amount < 0) {
            faults.add(field, "write 0 or more");
        }
    }
    for (field, value) in [("input.params", &row.params), ("input.info", &row.info)] {
        faults.metadata(field, value, most_bytes);
        refuse_secrets(faults, field, value);
    }
    for (name, typed) in TYPED {
        if row.params.get(name).is_some() {
            faults.add(format!("input.params.{name}"), format!("use the field {typed}"));
        }
    }
}

/// Where the model sends what it sends (SECURITY 2, case 16).
fn check_destination(
    tx: &Tx,
    row: &llm_model::Model,
    credential: Option<&entity::credential::Model>,
) -> Result<()> {
    let rule = Rule { credential, trusted: tx.actor().is_platform_admin() };
    let mut faults = Faults::default();
    if let Some(base) = &row.api_base {
        rule.check_base(&mut faults, "input.apiBase", base);
    }
    rule.check_params(&mut faults, "input.params", &row.params);
    faults.finish()
}

/// Locks the team of a model that is about to get another name, and what is below it, before the
/// model. What a model belongs to never changes.
async fn lock_team(tx: &Tx, reference: &Reference) -> Result<Option<team::Model>> {
    let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
    let Some(model) = super::at_most_one(select.limit(2).all(tx.db()).await?)? else {
        return Ok(None);
    };
    let ids: Vec<_> = model.team_id.into_iter().collect();
    let team = teams::lock_each(tx, &ids).await?.pop();
    if let Some(team) = &team {
        limit::lock_below(tx, &Place::team(team), &team.model_access).await?;
    }
    Ok(team)
}

/// Changes a model. What is left out stays; null clears; parameters and free data are merged
/// (REFERENCE MD-PATCH-2, C-M5, C-M6).
///
/// # Errors
/// Faults in the input; [`crate::error::Error::Conflict`] for a stale version; [`crate::error::Error::Forbidden`] when the model
/// sends a credential and the caller may not decide where that is sent.
pub async fn update(tx: &mut Tx, reference: &Reference, input: Update) -> Result<llm_model::Model> {
    let team = if input.name.is_given() { lock_team(tx, reference).await? } else { None };
    let model = authorize::<llm_model::Model>(tx, Permission::ModelUpdate, reference, "input.id");
    let before = model.await?.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut faults = Faults::default();
    let mut after = applied(&mut faults, &before, &input);
    check(&mut faults, &after, tx.rules().metadata_bytes);
    faults.finish()?;
    let moves = after.provider != before.provider
        || after.provider_model != before.provider_model
        || after.api_base != before.api_base
        || after.region != before.region
        || after.params != before.params;
    let credential = match (&input.credential, before.credential_id) {
        (Change::Clear, _) | (Change::Keep, None) => None,
        (Change::Set(reference), _) => {
            Some(credential::attach(tx, reference, before.team_id).await?)
        }
        (Change::Keep, Some(id)) => {
            let attached = credential::attached_to(tx, id).await?;
            if moves {
                credential::require(tx, &attached).await?;
            }
            Some(attached)
        }
    };
    after.credential_id = credential.as_ref().map(|credential| credential.id);
    if moves || after.credential_id != before.credential_id {
        check_destination(tx, &after, credential.as_ref())?;
    }
    if let Some(team) = team.filter(|_| after.name != before.name) {
        after.is_granted = rename(tx, team, &before, &after.name).await?;
    }
    if after == before {
        tx.nothing_changed();
        return Ok(before);
    }
    finish(tx, AuditAction::ModelUpdated, &before, after).await
}

/// The granted name follows the model.
async fn rename(
    tx: &mut Tx,
    team: team::Model,
    before: &llm_model::Model,
    name: &str,
) -> Result<bool> {
    let kept = is_granted(tx, team.id, &before.name, &[before.id]).await?;
    let team = if before.is_granted && !kept {
        teams::withdraw_models(tx, team, std::slice::from_ref(&before.name)).await?
    } else {
        team
    };
    grant(tx, &team, name).await
}

fn applied(faults: &mut Faults, before: &llm_model::Model, input: &Update) -> llm_model::Model {
    let mut after = before.clone();
    for (change, target, field) in [
        (&input.name, &mut after.name, "input.name"),
        (&input.provider, &mut after.provider, "input.provider"),
        (&input.provider_model, &mut after.provider_model, "input.providerModel"),
    ] {
        match change {
            Change::Keep => {}
            Change::Clear => faults.add(field, "a model needs this"),
            Change::Set(text) => target.clone_from(text),
        }
    }
    input.external_id.clone().apply(&mut after.external_id);
    input.api_base.clone().apply(&mut after.api_base);
    input.region.clone().apply(&mut after.region);
    input.requests_per_minute.clone().apply(&mut after.requests_per_minute);
    input.tokens_per_minute.clone().apply(&mut after.tokens_per_minute);
    input.input_price.clone().apply(&mut after.input_price);
    input.output_price.clone().apply(&mut after.output_price);
    for (change, target, field) in [
        (&input.params, &mut after.params, "input.params"),
        (&input.info, &mut after.info, "input.info"),
    ] {
        if change.value().is_some_and(|value| !value.is_object()) {
            faults.add(field, "write a JSON object");
        } else {
            teams::merge(target, change.clone());
        }
    }
    after.search_text = searched(&after);
    after
}

async fn finish(
    tx: &mut Tx,
    action: AuditAction,
    before: &llm_model::Model,
    mut after: llm_model::Model,
) -> Result<llm_model::Model> {
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    let organization = teams::organization_of(tx, after.team_id).await?;
    let subject = Subject::model(&after, organization);
    tx.record(Event::changed(action, subject, before, &after));
    Ok(after)
}

/// Blocks a model: no call is sent to it. Blocking a blocked one changes nothing, unless it raises
/// the level at which it is blocked.
///
/// # Errors
/// What the database answers.
pub async fn block(tx: &mut Tx, model: Authorized<llm_model::Model>) -> Result<llm_model::Model> {
    let level = Actor::block_level(model.roles());
    let before = model.into_inner();
    if before.blocked_by >= Some(level) {
        tx.nothing_changed();
        return Ok(before);
    }
    let mut after = before.clone();
    after.blocked_by = Some(level);
    finish(tx, AuditAction::ModelBlocked, &before, after).await
}

/// Unblocks a model. What a higher level blocked, a lower level cannot unblock.
///
/// # Errors
/// [`crate::error::Error::Conflict`] when a higher level blocked it.
pub async fn unblock(tx: &mut Tx, model: Authorized<llm_model::Model>) -> Result<llm_model::Model> {
    let level = Actor::block_level(model.roles());
    let before = model.into_inner();
    let Some(blocked_by) = before.blocked_by else {
        tx.nothing_changed();
        return Ok(before);
    };
    super::may_unblock(level, blocked_by)?;
    let mut after = before.clone();
    after.blocked_by = None;
    finish(tx, AuditAction::ModelUnblocked, &before, after).await
}
