//! The settings of the platform that people change at run time.
//!
//! What a deployment fixes when it starts is in [`crate::config`]; here is what its admins decide:
//! what new things start with, and which keys people may make. The budgets that new things start
//! with are assignments to scopes of defaults, see [`super::scope::Scope::platform_default`].

use entity::key_bounds::KeyBound;
use entity::role::{ApiKeyKind, ScopeKind};
use entity::setting;
use entity::value::{ModelAccess, PlatformSettings, Usd};
use sea_orm::sea_query::LockType;
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect};

use super::field::{self, Faults};
use super::scope::Place;
use super::{Change, access_group, budget, model_access, period};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Placement, authorize_at};
use crate::db::{Reader, Tx};
use crate::error::{Error, Result};

/// The row of the settings.
const NAME: &str = "platform";

/// A change of the settings. What is left out stays.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Whether anybody may join a new team.
    pub teams_are_joinable: Option<bool>,
    /// Whether admins of the platform may choose the secrets of new keys.
    pub chosen_secrets_are_allowed: Option<bool>,
    /// The bounds of keys by role: organization admins, team admins, team members and users, in the
    /// order of [`entity::key_bounds::KeyBounds::each_mut`].
    pub key_bounds: [Change<BoundUpdate>; 4],
    /// Whether every call has to name an end user.
    pub end_user_is_required: Option<bool>,
    /// Whether the budgets of a person hold for the person's keys in teams too.
    pub user_budgets_hold_in_teams: Option<bool>,
    /// Whether checks go on answering when changes have not been heard of.
    pub serve_stale_checks: Option<bool>,
    /// The budgets of the platform, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// The budgets that new teams start with, all of them.
    pub team_budgets: Change<Vec<budget::Entry>>,
    /// The budgets that new users start with, all of them.
    pub user_budgets: Change<Vec<budget::Entry>>,
    /// The budgets that end users start with, all of them.
    pub end_user_budgets: Change<Vec<budget::Entry>>,
    /// The budgets that new keys of people and teams start with, all of them.
    pub api_key_budgets: Change<Vec<budget::Entry>>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

/// A change of the bounds of one role. What is left out stays; what is cleared has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundUpdate {
    /// See [`KeyBound::kinds`].
    pub kinds: Change<Vec<ApiKeyKind>>,
    /// See [`KeyBound::max_lifetime`].
    pub max_lifetime: Change<String>,
    /// See [`KeyBound::max_spend`].
    pub max_spend: Change<Usd>,
    /// See [`KeyBound::period`].
    pub period: Change<String>,
    /// See [`KeyBound::time_zone`].
    pub time_zone: Change<String>,
    /// See [`KeyBound::requests_per_minute`].
    pub requests_per_minute: Change<i64>,
    /// See [`KeyBound::tokens_per_minute`].
    pub tokens_per_minute: Change<i64>,
    /// See [`KeyBound::max_parallel_requests`].
    pub max_parallel_requests: Change<i64>,
    /// See [`KeyBound::model_access`].
    pub model_access: Change<ModelAccess>,
}

/// The roles that have bounds, as the input names them, in the order of the changes.
const ROLES: [&str; 4] = ["organizationAdmin", "teamAdmin", "teamMember", "user"];

/// The settings as they are.
///
/// # Errors
/// What the database answers.
pub async fn read(reader: &Reader) -> Result<PlatformSettings> {
    find(reader.db()).await
}

/// The settings as they are, for what must hold whoever asks.
pub(crate) async fn current(tx: &Tx) -> Result<PlatformSettings> {
    find(tx.db()).await
}

/// The settings as they are, whoever asks.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "settings concern everybody")]
pub(crate) async fn find(db: &impl ConnectionTrait) -> Result<PlatformSettings> {
    let row = setting::Entity::find_by_id(NAME.to_owned()).one(db).await?;
    Ok(row.map(parse).transpose()?.unwrap_or_default())
}

fn parse(row: setting::Model) -> Result<PlatformSettings> {
    serde_json::from_value(row.value).map_err(Error::internal)
}

/// Checks a row of settings that is stored, if it is the platform's, and returns them.
pub(super) fn check_stored(faults: &mut Faults, row: setting::Model) -> Option<PlatformSettings> {
    if row.name != NAME {
        return None;
    }
    match serde_json::from_value::<PlatformSettings>(row.value) {
        Ok(mut settings) => {
            for (bound, role) in settings.key_bounds.each_mut().into_iter().zip(ROLES) {
                check_bound(faults, &format!("apiKeyBounds.{role}"), bound);
            }
            Some(settings)
        }
        Err(error) => {
            faults.add("value", error.to_string());
            None
        }
    }
}

/// Takes access groups that cease to be off the bounds of keys. The row is locked by the caller.
///
/// # Errors
/// What the database answers.
pub(super) async fn forget_groups(tx: &mut Tx, gone: &[String]) -> Result<()> {
    let before = find(tx.db()).await?;
    let mut after = before.clone();
    for bound in after.key_bounds.each_mut() {
        if let Some(access) = &mut bound.model_access {
            *access = model_access::without_groups(access, gone);
        }
    }
    store(tx, &before, &mut after).await
}

async fn store(tx: &mut Tx, before: &PlatformSettings, after: &mut PlatformSettings) -> Result<()> {
    after.version += 1;
    let row = setting::Model {
        name: NAME.to_owned(),
        value: serde_json::to_value(&*after).map_err(Error::internal)?,
        updated_at: tx.now(),
    };
    tx.update(&row).await?;
    let subject = Subject::settings();
    tx.record(Event::changed(AuditAction::SettingsUpdated, subject, before, after));
    Ok(())
}

/// Changes the settings.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version.
pub async fn update(tx: &mut Tx, input: Update) -> Result<PlatformSettings> {
    authorize_at(tx, Permission::SettingsUpdate, Placement::platform())?;
    let before = find_for_update(tx).await?;
    field::expect_version(input.expected_version, before.version)?;
    let mut after = before.clone();
    let set = |target: &mut bool, value: Option<bool>| *target = value.unwrap_or(*target);
    set(&mut after.teams_are_joinable, input.teams_are_joinable);
    set(&mut after.chosen_secrets_are_allowed, input.chosen_secrets_are_allowed);
    set(&mut after.end_user_is_required, input.end_user_is_required);
    set(&mut after.user_budgets_hold_in_teams, input.user_budgets_hold_in_teams);
    set(&mut after.serve_stale_checks, input.serve_stale_checks);
    let mut faults = Faults::default();
    let bounds = after.key_bounds.each_mut().into_iter().zip(input.key_bounds);
    for ((bound, change), role) in bounds.zip(ROLES) {
        match change {
            Change::Keep => continue,
            Change::Clear => *bound = KeyBound::default(),
            Change::Set(change) => apply(bound, change),
        }
        check_bound(&mut faults, &format!("input.apiKeyBounds.{role}"), bound);
    }
    faults.finish()?;
    let defaults = [
        (ScopeKind::Platform, input.budgets, "input"),
        (ScopeKind::TeamDefault, input.team_budgets, "input.teamDefaults"),
        (ScopeKind::UserDefault, input.user_budgets, "input.userDefaults"),
        (ScopeKind::EndUserDefault, input.end_user_budgets, "input.endUserDefaults"),
        (ScopeKind::ApiKeyDefault, input.api_key_budgets, "input.apiKeyDefaults"),
    ];
    if after == before && defaults.iter().all(|(_, budgets, _)| !budgets.is_given()) {
        tx.nothing_changed();
        return Ok(before);
    }
    store(tx, &before, &mut after).await?;
    for (kind, budgets, field) in defaults {
        let place = Place::platform_default(kind);
        match budgets {
            Change::Keep => {}
            Change::Clear => budget::assign(tx, &place, Vec::new(), field).await?,
            Change::Set(entries) => budget::assign(tx, &place, entries, field).await?,
        }
    }
    let roles = after.key_bounds.each_mut().into_iter().zip(ROLES);
    let models = roles.filter_map(|(bound, role)| {
        Some((bound.model_access.as_ref()?, format!("input.apiKeyBounds.{role}.modelAccess")))
    });
    access_group::check_listed(tx, models).await?;
    Ok(after)
}

fn apply(bound: &mut KeyBound, change: BoundUpdate) {
    change.kinds.apply(&mut bound.kinds);
    change.max_lifetime.apply(&mut bound.max_lifetime);
    change.max_spend.apply(&mut bound.max_spend);
    change.period.apply(&mut bound.period);
    change.time_zone.apply(&mut bound.time_zone);
    change.requests_per_minute.apply(&mut bound.requests_per_minute);
    change.tokens_per_minute.apply(&mut bound.tokens_per_minute);
    change.max_parallel_requests.apply(&mut bound.max_parallel_requests);
    change.model_access.apply(&mut bound.model_access);
}

fn check_bound(faults: &mut Faults, field: &str, bound: &KeyBound) {
    if let Some(kinds) = &bound.kinds {
        for (index, kind) in kinds.iter().enumerate() {
            if matches!(kind, ApiKeyKind::Gateway | ApiKeyKind::Admin) {
                let message = "only admins of the platform make keys of this kind";
                faults.add(format!("{field}.kinds.{index}"), message);
            } else if kinds[..index].contains(kind) {
                faults.add(format!("{field}.kinds.{index}"), "this is listed twice");
            }
        }
    }
    if let Some(text) = &bound.max_lifetime
        && let Err(error) = period::parse_duration(text)
    {
        faults.add(format!("{field}.maxLifetime"), error.to_string());
    }
    let limits = budget::Limits {
        max_spend: bound.max_spend,
        soft_spend: None,
        period: bound.period.clone(),
        time_zone: bound.time_zone.clone(),
        requests_per_minute: bound.requests_per_minute,
        tokens_per_minute: bound.tokens_per_minute,
        max_parallel_requests: bound.max_parallel_requests,
        model_pattern: None,
        temporary_increase: None,
    };
    budget::check_amounts(faults, field, &limits);
    if bound.max_spend.is_none() && (bound.period.is_some() || bound.time_zone.is_some()) {
        faults.add(format!("{field}.maxSpend"), "a period and a time zone go with a maxSpend");
    }
    if let Some(access) = &bound.model_access {
        faults.model_access(&format!("{field}.modelAccess"), access);
    }
}

/// Locks the row of the settings; the first change makes it.
#[expect(clippy::disallowed_methods, reason = "settings concern everybody")]
async fn find_for_update(tx: &Tx) -> Result<PlatformSettings> {
    let first = setting::Model {
        name: NAME.to_owned(),
        value: serde_json::to_value(PlatformSettings::default()).map_err(Error::internal)?,
        updated_at: tx.now(),
    };
    tx.insert_new(&[first]).await?;
    let select = setting::Entity::find_by_id(NAME.to_owned()).lock(LockType::Update);
    let row = select.one(tx.db()).await?;
    Ok(row.map(parse).transpose()?.unwrap_or_default())
}
