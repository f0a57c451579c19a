//! The settings of the platform that people change at run time.
//!
//! What a deployment fixes when it starts is in [`crate::config`]; here is what its admins decide:
//! what new things start with, and which keys people may make. The budgets that new things start
//! with are assignments to scopes of defaults, see [`super::scope::Scope::platform_default`].

use chrono::{DateTime, Utc};
use entity::role::{ApiKeyKind, ScopeKind};
use entity::setting;
use entity::value::PlatformSettings;
use sea_orm::sea_query::LockType;
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect};

use super::api_key::Create as KeyCreate;
use super::field::{self, Faults};
use super::scope::Place;
use super::{Change, budget, period};
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
    /// Whether people may make personal keys.
    pub personal_keys_are_allowed: Option<bool>,
    /// Whether team admins may make service keys.
    pub team_admins_make_service_keys: Option<bool>,
    /// The longest life of a key that somebody else than a platform admin makes.
    pub max_key_lifetime: Change<String>,
    /// Whether every call has to name an end user.
    pub end_user_is_required: Option<bool>,
    /// Whether the budgets of a person hold for the person's keys in teams too.
    pub user_budgets_hold_in_teams: Option<bool>,
    /// The budgets of the platform, all of them.
    pub budgets: Change<Vec<budget::Entry>>,
    /// The budgets that new teams start with, all of them.
    pub team_budgets: Change<Vec<budget::Entry>>,
    /// The budgets that new users start with, all of them.
    pub user_budgets: Change<Vec<budget::Entry>>,
    /// The budgets that end users start with, all of them.
    pub end_user_budgets: Change<Vec<budget::Entry>>,
    /// The version that the caller saw.
    pub expected_version: Option<i32>,
}

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

#[expect(clippy::disallowed_methods, reason = "settings concern everybody")]
pub(crate) async fn find(db: &impl ConnectionTrait) -> Result<PlatformSettings> {
    let row = setting::Entity::find_by_id(NAME.to_owned()).one(db).await?;
    Ok(row.map(parse).transpose()?.unwrap_or_default())
}

fn parse(row: setting::Model) -> Result<PlatformSettings> {
    serde_json::from_value(row.value).map_err(Error::internal)
}

/// Changes the settings.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] for a stale version.
pub async fn update(tx: &mut Tx, input: Update) -> Result<PlatformSettings> {
    authorize_at(tx, Permission::SettingsUpdate, Placement::platform())?;
    let before = find_for_update(tx).await?;
    field::expect_version(input.expected_version, before.version)?;
    let mut faults = Faults::default();
    if let Some(text) = input.max_key_lifetime.value()
        && let Err(error) = period::parse_duration(text)
    {
        faults.add("input.maxKeyLifetime", error.to_string());
    }
    faults.finish()?;
    let mut after = before.clone();
    let set = |target: &mut bool, value: Option<bool>| *target = value.unwrap_or(*target);
    set(&mut after.teams_are_joinable, input.teams_are_joinable);
    set(&mut after.personal_keys_are_allowed, input.personal_keys_are_allowed);
    set(&mut after.team_admins_make_service_keys, input.team_admins_make_service_keys);
    set(&mut after.end_user_is_required, input.end_user_is_required);
    set(&mut after.user_budgets_hold_in_teams, input.user_budgets_hold_in_teams);
    input.max_key_lifetime.apply(&mut after.max_key_lifetime);
    let defaults = [
        (ScopeKind::Platform, input.budgets, "input"),
        (ScopeKind::TeamDefault, input.team_budgets, "input.teamDefaults"),
        (ScopeKind::UserDefault, input.user_budgets, "input.userDefaults"),
        (ScopeKind::EndUserDefault, input.end_user_budgets, "input.endUserDefaults"),
    ];
    if after == before && defaults.iter().all(|(_, budgets, _)| !budgets.is_given()) {
        tx.nothing_changed();
        return Ok(before);
    }
    after.version += 1;
    let row = setting::Model {
        name: NAME.to_owned(),
        value: serde_json::to_value(&after).map_err(Error::internal)?,
        updated_at: tx.now(),
    };
    tx.update(&row).await?;
    let subject = Subject::settings();
    tx.record(Event::changed(AuditAction::SettingsUpdated, subject, &before, &after));
    for (kind, budgets, field) in defaults {
        let place = Place::platform_default(kind);
        match budgets {
            Change::Keep => {}
            Change::Clear => budget::assign(tx, &place, Vec::new(), field).await?,
            Change::Set(entries) => budget::assign(tx, &place, entries, field).await?,
        }
    }
    Ok(after)
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

/// Refuses keys of a kind that the settings leave to platform admins.
pub(super) fn check_key(tx: &Tx, settings: &PlatformSettings, input: &KeyCreate) -> Result<()> {
    if tx.actor().is_platform_admin() {
        return Ok(());
    }
    let personal = input.kind == ApiKeyKind::User && input.team.is_none();
    if personal && !settings.personal_keys_are_allowed {
        return Err(Error::limit(
            "input.teamId",
            "the settings allow keys in teams only: say in which team",
        ));
    }
    let runs_organization = !tx.actor().administered_organizations().is_empty();
    let service = input.kind == ApiKeyKind::Service;
    if service && !settings.team_admins_make_service_keys && !runs_organization {
        return Err(Error::limit("input.kind", "the settings leave service keys to those above"));
    }
    Ok(())
}

/// The end of a new key's life: never later than the settings allow those who are not platform
/// admins; what is left out is the latest.
pub(super) fn bound_expiry(
    tx: &Tx,
    settings: &PlatformSettings,
    faults: &mut Faults,
    expires_at: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let Some(text) = settings.max_key_lifetime.as_deref() else { return expires_at };
    if tx.actor().is_platform_admin() {
        return expires_at;
    }
    let latest = period::parse_duration(text).ok().and_then(|span| span.after(tx.now()));
    match (expires_at, latest) {
        (Some(at), Some(latest)) if at > latest => {
            faults.add("input.expiresAt", format!("a key may live for at most {text}"));
            expires_at
        }
        (None, latest) => latest,
        (at, _) => at,
    }
}
