//! Making keys: who may have one made, and within which limits.

use chrono::{DateTime, Utc};
use entity::api_key;
use entity::id::{ProjectId, UserId};
use entity::role::ApiKeyKind;
use entity::value::ModelAccess;
use serde_json::Value;

use super::{
    WithSecret, check_own_key, check_pots, check_routes, limited_by, not_of_team, secret_row,
};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Placement, Reference, Resource, authorize_at};
use crate::db::Tx;
use crate::domain::field::{Faults, distinct, search_text};
use crate::domain::scope::Place;
use crate::domain::{budget, limit, membership, model_alias, period, project, settings};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// A new key.
#[derive(Clone, Debug)]
pub struct Create {
    /// Who it stands for.
    pub kind: ApiKeyKind,
    /// The owner; none for the caller.
    pub user: Option<Reference>,
    /// The team that is charged.
    pub team: Option<Reference>,
    /// The project of that team to which it is to belong; it tells the team as well.
    pub project: Option<Reference>,
    /// The caller's id for it.
    pub external_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Which models it may call.
    pub model_access: Option<ModelAccess>,
    /// Other names for models, with what they stand for.
    pub model_aliases: Vec<(String, String)>,
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

/// Makes a key. Its secret is in the answer, and nowhere else.
///
/// # Errors
/// Faults in the input; an owner who is not a member of the team; limits of the scopes above, and
/// of the key with which the caller asks: what is left out is never more than that key has.
pub async fn create(tx: &mut Tx, mut input: Create) -> Result<WithSecret> {
    let by_project = input.team.is_none();
    if let (None, Some(project)) = (&input.team, &input.project) {
        let seen = project::seen(tx, project).await?;
        let seen = seen.ok_or_else(|| project::missing("input.projectId"))?;
        input.team = Some(Reference::to(seen.team_id));
    }
    let above = match &input.team {
        Some(team) => crate::domain::team::lock_above(tx, team).await?,
        None => Vec::new(),
    };
    let (owner, team, project) = authorize_owner(tx, &input, by_project).await?;
    if let Some(team) = &team {
        crate::domain::team::still_under(team, &above)?;
    }
    if let (None, Some(owner)) = (&team, owner) {
        crate::domain::user::lock_shared(tx, owner).await?;
    }
    if input.secret.is_some() {
        authorize_at(tx, Permission::AdminKeyCreate, Placement::platform())?;
    }
    let settings = settings::current(tx).await?;
    settings::check_key(tx, &settings, &input)?;
    let mut faults = Faults::default();
    let now = tx.now();
    let expires_at = expiry(&mut faults, now, &input);
    let expires_at = settings::bound_expiry(tx, &settings, &mut faults, expires_at);
    let access = input.model_access.unwrap_or_default();
    if let Some(external_id) = &input.external_id {
        faults.external_id("input.externalId", external_id);
    }
    if let Some(name) = &input.name {
        faults.name("input.name", name);
    }
    faults.model_access("input.modelAccess", &access);
    model_alias::check(&mut faults, "input.modelAliases", &input.model_aliases);
    faults.words("input.tags", &input.tags);
    if let Some(routes) = &input.allowed_routes {
        check_routes(&mut faults, routes);
    }
    let metadata = input.metadata.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    faults.metadata("input.metadata", &metadata, tx.rules().metadata_bytes);
    let secret = secret(&mut faults, input.kind, input.secret.as_deref());
    faults.finish()?;
    budget::check_entries(&input.budgets, "input")?;
    let secret = secret.ok_or_else(|| Error::internal("a fault was not reported"))?;

    let row = api_key::Model {
        id: tx.id(),
        kind: input.kind,
        user_id: owner,
        team_id: team.as_ref().map(|team| team.id),
        project_id: project,
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
    // The member is locked before any budget.
    let member = match (&team, owner) {
        (Some(team), Some(user)) => membership::of_user_in_team(tx, team.id, user).await?,
        _ => None,
    };
    check_own_key(tx, &row).await?;
    if limited_by(tx, &row).await?.is_some() {
        check_pots(tx, &input.budgets).await?;
    }
    if team.is_some() && owner.is_some() && member.is_none() {
        return Err(Error::input("input.userId", "this user is not a member of the team"));
    }
    let place = Place::api_key(&row, team.as_ref(), member.as_ref());
    tx.insert(&row).await?;
    tx.insert(&secret_row(tx, &row, &secret)).await?;
    let subject = Subject::api_key(&row, place.organization);
    tx.record(Event::made(AuditAction::ApiKeyCreated, subject, &row));
    for (alias, target) in input.model_aliases {
        let owner = model_alias::Owner::api_key(&row, place.organization);
        model_alias::set(tx, owner, alias, target).await?;
    }
    if !input.budgets.is_empty() {
        budget::assign(tx, &place, input.budgets, "input").await?;
    }
    limit::check_above(tx, &place, &row.model_access, "input").await?;
    Ok(WithSecret { api_key: row, secret })
}

/// Finds owner, team and project, and proves that the caller may make such a key for them.
async fn authorize_owner(
    tx: &Tx,
    input: &Create,
    by_project: bool,
) -> Result<(Option<UserId>, Option<entity::team::Model>, Option<ProjectId>)> {
    let team = match &input.team {
        Some(reference) => {
            Some(crate::domain::team::find_shared(tx, reference, "input.teamId").await?)
        }
        None => None,
    };
    let project = match &input.project {
        Some(reference) => Some(project::find_shared(tx, reference, "input.projectId").await?),
        None => None,
    };
    let of_team = project
        .as_ref()
        .is_none_or(|project| team.as_ref().is_none_or(|team| project.team_id == team.id));
    if by_project && !of_team {
        return Err(Error::Moved);
    }
    let project = project.map(|project| project.id);
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
                None => Permission::PersonalKeyCreate,
            };
            authorize_at(tx, permission, place.owned_by(owner))?;
            return match owner {
                Some(_) if !of_team => Err(not_of_team()),
                Some(owner) => Ok((Some(owner), team, project)),
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
    if input.kind != ApiKeyKind::Service && project.is_some() {
        faults
            .add("input.projectId", "only keys of the kinds USER and SERVICE belong to a project");
    } else if input.kind != ApiKeyKind::Service && team.is_some() {
        faults.add("input.teamId", "only keys of the kinds USER and SERVICE belong to a team");
    }
    faults.finish()?;
    if of_team { Ok((None, team, project)) } else { Err(not_of_team()) }
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

/// The secret that a platform admin chose, else a random one.
fn secret(faults: &mut Faults, kind: ApiKeyKind, chosen: Option<&str>) -> Option<Secret> {
    let secret = match chosen {
        None => Some(Secret::generate(kind)),
        Some(text) => Secret::chosen(text),
    };
    if secret.is_none() {
        faults.add(
            "input.secret",
            "a chosen secret begins with sk-, has 32 to 200 letters, digits, - and _, and is hard to guess",
        );
    }
    secret
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
    if let Some(at) = at {
        faults.instant("input.expiresAt", at);
    }
    if input.expires_at.is_some_and(|at| at <= now) {
        faults.add("input.expiresAt", "this instant is in the past");
    }
    at
}
