//! End users: the customers on whose behalf gateways call models.
//!
//! An end user belongs to a team, to an organization or to the platform. Nothing is below it, and
//! its budgets are not within those of the place where it belongs: a call is charged to both.

mod removal;

pub(crate) use removal::remove_all;
pub use removal::{Deleted, delete};

use entity::end_user;
use entity::id::{EndUserId, Id, OrganizationId, TeamId};
use entity::role::{EndUserRegion, ScopeKind};
use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
};

use super::field::{self, Faults, search_text};
use super::scope::{Place, Scope};
use super::{Change, budget, reach};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Actor, Authorized, Permission, Placement, Reference, Resource, authorize_at};
use crate::db::{Page, Reader, Tx, page::Rows};
use crate::error::Result;

/// A new end user.
#[derive(Clone, Debug)]
pub struct Create {
    /// The id by which calls name it.
    pub external_id: String,
    /// The organization that it belongs to.
    pub organization: Option<Reference>,
    /// The team that it belongs to.
    pub team: Option<Reference>,
    /// Its name.
    pub name: Option<String>,
    /// The model of calls that name none.
    pub default_model: Option<String>,
    /// Where its calls may be answered.
    pub region: Option<EndUserRegion>,
    /// Its budgets; none for what new ones start with.
    pub budgets: Option<Vec<budget::Entry>>,
}

/// A change of an end user.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The new external id.
    pub external_id: Change<String>,
    /// The new name.
    pub name: Change<String>,
    /// The model of calls that name none.
    pub default_model: Change<String>,
    /// Where its calls may be answered.
    pub region: Change<EndUserRegion>,
    /// The budgets that it is to have, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// Which end users a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only those whose name or external id has this text.
    pub search: Option<String>,
    /// Only those of these organizations, and of their teams.
    pub organization_ids: Option<Vec<OrganizationId>>,
    /// Only those of these teams.
    pub team_ids: Option<Vec<TeamId>>,
    /// Only blocked ones, or only others.
    pub is_blocked: Option<bool>,
}

/// The end users that a caller may see: those of teams and organizations that it runs.
#[expect(clippy::disallowed_methods, reason = "this is where reads of end users begin")]
pub fn visible_to(actor: &Actor) -> Select<end_user::Entity> {
    let select = end_user::Entity::find();
    if actor.sees_all() {
        return select;
    }
    select.filter(in_reach(actor))
}

/// Whether a row of `end_users` belongs to a team or an organization that the caller runs.
pub(super) fn in_reach(actor: &Actor) -> Condition {
    let of_organizations = reach::teams_of_administered_organizations(actor);
    Condition::any()
        .add(reach::in_administered_teams(actor, ("end_users", "team_id")))
        .add(Expr::col(("end_users", "team_id")).in_subquery(of_organizations))
        .add(reach::in_administered_organizations(actor, ("end_users", "organization_id")))
}

fn filtered(select: Select<end_user::Entity>, filter: &Filter) -> Select<end_user::Entity> {
    let mut select = select;
    if let Some(search) = &filter.search {
        select = select.filter(super::field_contains("end_users", search));
    }
    if let Some(ids) = &filter.organization_ids {
        let teams = sea_orm::sea_query::Query::select()
            .column("id")
            .from("teams")
            .and_where(Expr::col(("teams", "organization_id")).is_in(ids.iter().copied()))
            .to_owned();
        select = select.filter(
            Condition::any()
                .add(end_user::Column::OrganizationId.is_in(ids.iter().copied()))
                .add(Expr::col(("end_users", "team_id")).in_subquery(teams)),
        );
    }
    if let Some(ids) = &filter.team_ids {
        select = select.filter(end_user::Column::TeamId.is_in(ids.iter().copied()));
    }
    if let Some(blocked) = filter.is_blocked {
        let column = end_user::Column::BlockedBy;
        select = select.filter(if blocked { column.is_not_null() } else { column.is_null() });
    }
    select
}

/// A page of the end users that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn list(reader: &Reader, filter: &Filter, page: &Page) -> Result<Rows<end_user::Model>> {
    let select = filtered(visible_to(reader.actor()), filter);
    let select = page.apply(select, ("end_users", "search_text"), ("end_users", "id"));
    Ok(page.rows(select.all(reader.db()).await?))
}

/// How many end users [`list`] has in all.
///
/// # Errors
/// What the database answers.
pub async fn count(reader: &Reader, filter: &Filter) -> Result<u64> {
    Ok(filtered(visible_to(reader.actor()), filter).count(reader.db()).await?)
}

/// The end user of a reference, if the caller may see it.
///
/// # Errors
/// What the database answers, and when an external id names several.
pub async fn find(reader: &Reader, reference: &Reference) -> Result<Option<end_user::Model>> {
    let Some(select) = named(visible_to(reader.actor()), reference) else { return Ok(None) };
    super::at_most_one(select.limit(2).all(reader.db()).await?)
}

/// The end users of these ids that the caller may see.
///
/// # Errors
/// What the database answers.
pub async fn by_ids(reader: &Reader, ids: &[EndUserId]) -> Result<Vec<end_user::Model>> {
    let ids = ids.iter().map(|id| id.uuid());
    let select = visible_to(reader.actor()).filter(end_user::Column::Id.is_in(ids));
    Ok(select.all(reader.db()).await?)
}

fn named(
    select: Select<end_user::Entity>,
    reference: &Reference,
) -> Option<Select<end_user::Entity>> {
    let condition = match (reference.id::<EndUserId>(), reference.external()) {
        (Some(id), _) => end_user::Column::Id.eq(id),
        (None, Some(external)) => end_user::Column::ExternalId.eq(external),
        (None, None) => return None,
    };
    Some(select.filter(condition))
}

impl Resource for end_user::Model {
    const NOUN: &'static str = "end user";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(select) = named(visible_to(tx.actor()), reference) else { return Ok(None) };
        super::at_most_one(select.limit(2).lock(LockType::Update).all(tx.db()).await?)
    }

    async fn placement(&self, tx: &Tx) -> Result<Placement> {
        let team = match self.team_id {
            Some(id) => super::team::row(tx, id).await?,
            None => None,
        };
        Ok(match &team {
            Some(team) => Placement::team(team.organization_id, team.id),
            None => Placement::organization(self.organization_id),
        })
    }
}

/// Makes an end user, of a team, of an organization, or of the platform.
///
/// # Errors
/// Faults in the input; an external id that is taken in the same place.
pub async fn create(tx: &mut Tx, input: Create) -> Result<end_user::Model> {
    let organization = super::organization::find_place(tx, input.organization.as_ref()).await?;
    let team = match &input.team {
        Some(reference) => Some(super::team::find_shared(tx, reference, "input.teamId").await?),
        None => None,
    };
    let place = match &team {
        Some(team) => Placement::team(team.organization_id, team.id),
        None => Placement::organization(organization),
    };
    authorize_at(tx, Permission::EndUserCreate, place)?;
    let mut faults = Faults::default();
    if team.is_some() && input.organization.is_some() {
        faults.add("input.organizationId", "give a team or an organization, not both");
    }
    check(&mut faults, Some(&input.external_id), input.name.as_ref(), input.default_model.as_ref());
    faults.finish()?;
    let budgets = match input.budgets {
        Some(entries) => {
            budget::check_entries(&entries, "input")?;
            entries
        }
        None => budget::defaults(tx, Scope::platform_default(ScopeKind::EndUserDefault)).await?,
    };
    let row = end_user::Model {
        id: tx.id(),
        organization_id: organization,
        team_id: team.as_ref().map(|team| team.id),
        search_text: search_text(&[input.name.as_deref(), Some(&input.external_id)]),
        external_id: input.external_id,
        name: input.name,
        default_model: input.default_model,
        region: input.region,
        blocked_by: None,
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    tx.insert(&row).await?;
    let place = Place::end_user(&row, team.as_ref());
    let subject = Subject::end_user(&row, place.organization);
    tx.record(Event::made(AuditAction::EndUserCreated, subject, &row));
    if !budgets.is_empty() {
        budget::assign(tx, &place, budgets, "input").await?;
    }
    Ok(row)
}

fn check(
    faults: &mut Faults,
    external_id: Option<&String>,
    name: Option<&String>,
    model: Option<&String>,
) {
    if let Some(external_id) = external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(name) = name {
        faults.name("input.name", name);
    }
    if let Some(model) = model {
        faults.word("input.defaultModel", model);
    }
}

/// Changes an end user.
///
/// # Errors
/// Faults in the input; a conflict for a stale version.
pub async fn update(
    tx: &mut Tx,
    end_user: Authorized<end_user::Model>,
    input: Update,
) -> Result<end_user::Model> {
    let before = end_user.into_inner();
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let mut faults = Faults::default();
    let (name, model) = (input.name.value(), input.default_model.value());
    check(&mut faults, input.external_id.value(), name, model);
    match input.external_id {
        Change::Keep => {}
        Change::Clear => faults.add("input.externalId", "an end user needs the id of its calls"),
        Change::Set(external_id) => after.external_id = external_id,
    }
    faults.finish()?;
    input.name.apply(&mut after.name);
    input.default_model.apply(&mut after.default_model);
    input.region.apply(&mut after.region);
    after.search_text = search_text(&[after.name.as_deref(), Some(&after.external_id)]);
    if after == before && !input.budgets.is_given() {
        tx.nothing_changed();
        return Ok(before);
    }
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let place = place(tx, &after).await?;
    let subject = Subject::end_user(&after, place.organization);
    tx.record(Event::changed(AuditAction::EndUserUpdated, subject, &before, &after));
    match input.budgets {
        Change::Keep => {}
        Change::Clear => budget::assign(tx, &place, Vec::new(), "input").await?,
        Change::Set(entries) => budget::assign(tx, &place, entries, "input").await?,
    }
    Ok(after)
}

async fn place(tx: &Tx, row: &end_user::Model) -> Result<Place> {
    let team = match row.team_id {
        Some(id) => super::team::row(tx, id).await?,
        None => None,
    };
    Ok(Place::end_user(row, team.as_ref()))
}

fn stamp(tx: &Tx, row: &mut end_user::Model) {
    row.version += 1;
    row.updated_at = tx.now();
    row.updated_by = tx.by();
}

/// Blocks an end user: every call on its behalf is refused. Blocking it again changes nothing,
/// unless it raises the level at which it is blocked.
///
/// # Errors
/// What the database answers.
pub async fn block(tx: &mut Tx, row: Authorized<end_user::Model>) -> Result<end_user::Model> {
    let level = Actor::block_level(row.roles());
    let before = row.into_inner();
    if before.blocked_by >= Some(level) {
        tx.nothing_changed();
        return Ok(before);
    }
    let mut after = before.clone();
    after.blocked_by = Some(level);
    set_block(tx, &before, after, AuditAction::EndUserBlocked).await
}

/// Unblocks an end user.
///
/// # Errors
/// A conflict when a higher level blocked it.
pub async fn unblock(tx: &mut Tx, row: Authorized<end_user::Model>) -> Result<end_user::Model> {
    let level = Actor::block_level(row.roles());
    let before = row.into_inner();
    let Some(blocked_by) = before.blocked_by else {
        tx.nothing_changed();
        return Ok(before);
    };
    super::may_unblock(level, blocked_by)?;
    let mut after = before.clone();
    after.blocked_by = None;
    set_block(tx, &before, after, AuditAction::EndUserUnblocked).await
}

async fn set_block(
    tx: &mut Tx,
    before: &end_user::Model,
    mut after: end_user::Model,
    action: AuditAction,
) -> Result<end_user::Model> {
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let organization = place(tx, &after).await?.organization;
    let subject = Subject::end_user(&after, organization);
    tx.record(Event::changed(action, subject, before, &after));
    Ok(after)
}
