//! Making teams: what the input leaves out, and who their members are at first.

use entity::role::{ScopeKind, TeamRole};
use entity::team;
use entity::value::ModelAccess;
use serde_json::Value;

use super::{Create, permissions, set_member_defaults};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Placement, Reference, Role, authorize_at};
use crate::db::Tx;
use crate::domain::field::{Faults, distinct, search_text};
use crate::domain::scope::{Place, Scope};
use crate::domain::{
    api_key, budget, limit, membership, model_access, model_alias as alias, organization as org,
    settings,
};
use crate::error::{Error, Result};

/// Makes a team. A caller with a user becomes its admin, unless it is listed otherwise
/// (REFERENCE T-NEW-9, T-NEW-10).
///
/// # Errors
/// Faults in the input; a taken external id; limits of the organization, or of a creator who is
/// not an admin.
pub async fn create(tx: &mut Tx, input: Create) -> Result<team::Model> {
    let organization = org::find_place(tx, input.organization.as_ref()).await?;
    let place = Placement::organization(organization).owned_by(tx.actor().user_id());
    let proof = authorize_at(tx, Permission::TeamCreate, place)?;
    let mut faults = Faults::default();
    faults.name("input.name", &input.name);
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(metadata) = &input.metadata {
        faults.metadata("input.metadata", metadata, tx.rules().metadata_bytes);
    }
    if let Some(settings) = &input.router_settings {
        faults.metadata("input.routerSettings", settings, tx.rules().metadata_bytes);
    }
    faults.words("input.tags", &input.tags);
    faults.words("input.guardrails", &input.guardrails);
    let access = input.model_access.clone().unwrap_or_default();
    faults.model_access("input.modelAccess", &access);
    if let Some(access) = input.member_defaults.model_access.value() {
        faults.model_access("input.memberDefaults.modelAccess", access);
    }
    alias::check(&mut faults, "input.modelAliases", &input.model_aliases);
    faults.finish()?;
    let settings = settings::current(tx).await?;
    let budgets = match input.budgets {
        Some(entries) => {
            budget::check_entries(&entries, "input")?;
            entries
        }
        None => budget::defaults(tx, Scope::platform_default(ScopeKind::TeamDefault)).await?,
    };
    let mut row = team::Model {
        id: tx.id(),
        organization_id: organization,
        search_text: search_text(&[Some(&input.name), input.external_id.as_deref()]),
        external_id: input.external_id,
        name: input.name,
        metadata: input.metadata.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        tags: distinct(input.tags),
        model_access: access,
        member_model_access: ModelAccess::default(),
        blocked_by: None,
        is_joinable: input.is_joinable.unwrap_or(settings.teams_are_joinable),
        member_permissions: permissions(input.member_permissions),
        router_settings: input.router_settings,
        guardrails: distinct(input.guardrails),
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    };
    let has_defaults = input.member_defaults.is_given();
    input.member_defaults.model_access.apply_or_default(&mut row.member_model_access);
    tx.insert(&row).await?;
    tx.record(Event::made(AuditAction::TeamCreated, Subject::team(&row), &row));
    let mut members = input.members;
    if let Some(user) = tx.actor().user_id()
        && !membership::lists(tx, organization, &members)
    {
        members.push(membership::Add::new(Reference::to(user), TeamRole::Admin));
    }
    // Users, the creator among them, are locked before any budget.
    let users = membership::find_users(tx, organization, &members, "input.members").await?;
    if proof.roles().contains(&Role::SelfServe) && !is_admin(proof.roles()) {
        check_creator(tx, &row.model_access, &budgets).await?;
    }
    let place = Place::team(&row);
    if !budgets.is_empty() {
        budget::assign(tx, &place, budgets, "input").await?;
    }
    limit::check_above(tx, &place, &row.model_access, "input").await?;
    if has_defaults {
        set_member_defaults(tx, &row, input.member_defaults.budgets).await?;
    }
    for (name, target) in input.model_aliases {
        alias::set(tx, alias::Owner::new_team(&row), name, target).await?;
    }
    if !members.is_empty() {
        membership::insert_users(tx, &row, members, users, "input.members").await?;
    }
    Ok(row)
}

fn is_admin(roles: &[Role]) -> bool {
    roles.iter().any(|role| matches!(role, Role::PlatformAdmin | Role::OrganizationAdmin))
}

/// The limits of a person who makes a team bind the team: leaving a limit out never yields more
/// than the person has (REFERENCE T-NEW-5 to T-NEW-8, C-T15; SECURITY 2, case 7).
async fn check_creator(tx: &Tx, access: &ModelAccess, entries: &[budget::Entry]) -> Result<()> {
    let Some(user) = tx.actor().user() else { return Ok(()) };
    api_key::check_pots(tx, entries).await?;
    let own = limit::held_by(tx, &[Scope::user(user.id)]).await?;
    let accesses = [Some(&user.model_access), tx.actor().key().map(|key| &key.model_access)];
    if accesses.into_iter().flatten().any(|own| !model_access::is_within(access, own)) {
        return Err(Error::limit(
            "input.modelAccess",
            "your own models are limited: list models that you may call yourself",
        ));
    }
    let given = |entry: &budget::Entry| match entry {
        budget::Entry::Create(limits) => Some(limits.clone()),
        budget::Entry::Attach { .. } | budget::Entry::Edit { .. } | budget::Entry::Default(_) => {
            None
        }
    };
    let given: Vec<_> = entries.iter().filter_map(given).collect();
    for held in own {
        if !given.iter().any(|limits| limits.is_within(&held.budget)) {
            return Err(Error::limit(
                "input.budgets",
                "your own budget is limited: give the team a budget that is at most as large, \
                 for the same or a longer period",
            ));
        }
    }
    Ok(())
}
