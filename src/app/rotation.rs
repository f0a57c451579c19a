//! A new key-encryption key for the secrets that are stored: a command beside the servers, in small
//! transactions, which goes on where it was cut off.
//!
//! The keys of the configuration are changed by people, and this command re-wraps what the former ones
//! sealed. The key in the secrets file it changes itself: it draws a new one, re-wraps, and forgets the
//! old one only when nothing is sealed with it any more.

use std::sync::Arc;

use entity::role::EntityKind;
use entity::value::Sealed;
use entity::{credential_value, setting};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use serde_json::{Value, json};

use super::{Secrets, StartError, check_pepper, kek, open, pepper_proof};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Actor;
use crate::clock::{Clock, fill_random};
use crate::config::Config;
use crate::db::{Commits, Database, Deployment, RequestInfo, StatementCount, Tx};
use crate::error::Error;
use crate::rules::Rules;
use crate::sealing::{Keyring, OpenError};
use crate::secrets_file::SecretsFile;

/// Why secrets cannot be re-wrapped.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// What keeps a server from starting.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A stored secret cannot be opened.
    #[error("{place} cannot be re-wrapped; nothing of this batch was changed")]
    Sealed {
        /// The row.
        place: String,
        /// Why.
        source: OpenError,
    },
}

impl From<Error> for RotationError {
    fn from(error: Error) -> Self {
        Self::Start(error.into())
    }
}

impl From<crate::secrets_file::Error> for RotationError {
    fn from(error: crate::secrets_file::Error) -> Self {
        Self::Start(error.into())
    }
}

/// How often a batch that met a transient error is tried.
const TRIES: u32 = 20;

/// Re-wraps all stored secrets under the key that seals now, so many in a transaction, and tells the
/// progress.
///
/// # Errors
/// When the database or a key is not to be had; what was re-wrapped before stays so.
pub async fn rotate(
    config: &Config,
    batch: u64,
    mut progress: impl FnMut(&str),
) -> Result<(), RotationError> {
    let file = Secrets::file(config)?;
    let database = open(config).await?;
    let outcome = run(config, file, &database, batch, &mut progress).await;
    database.close().await;
    outcome
}

async fn run(
    config: &Config,
    file: Option<SecretsFile>,
    database: &Database,
    batch: u64,
    progress: &mut impl FnMut(&str),
) -> Result<(), RotationError> {
    let in_use = pepper_proof(database).await?.is_some();
    let sealed = kek::sentinel(database).await?.is_some();
    let own_kek = config.auth.kek.is_none();
    let mut file = match (file, own_kek) {
        (None, true) if !in_use => Some(Secrets::make_file(config)?),
        (file, _) => file,
    };
    // The key in the file: a rotation that was cut off has a former one, and goes on with it.
    if let (Some(file), true, true) = (&mut file, own_kek, sealed)
        && file.keks().len() == 1
    {
        file.add_kek(&mut |buffer: &mut [u8]| fill_random(buffer))?;
        progress("drew a new key-encryption key, and kept the old one beside it");
    }
    let secrets = Secrets::complete(config, file, in_use, sealed)?;
    let clock = Clock::system();
    clock.follow(database.now().await?);
    let deployment = Deployment {
        database: database.clone(),
        clock,
        rules: Arc::new(Rules::default()),
        pepper: Arc::new(secrets.pepper),
        keyring: Arc::new(secrets.keyring),
        commits: Commits::default(),
    };
    check_pepper(&deployment).await?;
    kek::check(&deployment).await?;
    rewrap_all(&deployment, batch, progress).await?;
    if own_kek && let Some(mut file) = SecretsFile::find(&config.data_dir)? {
        if file.keks().len() > 1 {
            file.forget_former_keks()?;
            progress("forgot the old key-encryption key");
        }
    } else {
        progress("no secret needs auth.former_keks any more: take it out of the configuration");
    }
    Ok(())
}

async fn rewrap_all(
    deployment: &Deployment,
    batch: u64,
    progress: &mut impl FnMut(&str),
) -> Result<(), RotationError> {
    let id = deployment.keyring.current_id().to_owned();
    let left = count(stale(&id), deployment).await?;
    let mut done = 0;
    progress(&format!("{left} secrets to re-wrap under the key-encryption key {id}"));
    loop {
        let moved = repeat(deployment, batch).await?;
        if moved == 0 {
            break;
        }
        done += moved;
        progress(&format!("re-wrapped {done} of {}", left.max(done)));
    }
    Ok(())
}

/// The secrets that are sealed with another key.
#[expect(clippy::disallowed_methods, reason = "re-wrapping shows nothing to anybody")]
fn stale(current: &str) -> Select<credential_value::Entity> {
    credential_value::Entity::find()
        .filter(credential_value::Column::KekId.is_not_null())
        .filter(credential_value::Column::KekId.ne(current))
}

async fn count(
    select: Select<credential_value::Entity>,
    deployment: &Deployment,
) -> Result<u64, RotationError> {
    Ok(select.count(deployment.database.reading()).await.map_err(Error::from)?)
}

/// One batch, tried again when the database met a passing fault.
async fn repeat(deployment: &Deployment, batch: u64) -> Result<u64, RotationError> {
    let mut tries = 1;
    loop {
        match rewrap_batch(deployment, batch).await {
            Err(RotationError::Start(StartError::Unavailable(error)))
                if error.is_transient() && tries < TRIES =>
            {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Re-wraps a batch of secrets, or the sentinel when none is left; returns how many.
async fn rewrap_batch(deployment: &Deployment, batch: u64) -> Result<u64, RotationError> {
    let actor = Arc::new(Actor::bootstrap());
    let request =
        RequestInfo { id: "tollkeep secrets rotate".to_owned(), ..RequestInfo::default() };
    let mut tx = Tx::begin(deployment, actor, Arc::new(request), StatementCount::default()).await?;
    match rewrap(&mut tx, &deployment.keyring, batch).await {
        Ok(moved) => {
            tx.commit().await?;
            Ok(moved)
        }
        Err(error) => {
            tx.rollback().await;
            Err(error)
        }
    }
}

async fn rewrap(tx: &mut Tx, keyring: &Keyring, batch: u64) -> Result<u64, RotationError> {
    let select = stale(keyring.current_id())
        .order_by_asc(credential_value::Column::Id)
        .limit(batch)
        .lock(LockType::Update);
    let rows = select.all(tx.db()).await.map_err(Error::from)?;
    if rows.is_empty() {
        return rewrap_sentinel(tx, keyring).await;
    }
    let mut moved = 0;
    for mut row in rows {
        let id = row.id.to_string();
        let place = crate::domain::credential::place(&id);
        let Some(sealed) = row.sealed.take() else { continue };
        let fault = |source| RotationError::Sealed { place: id.clone(), source };
        if let Some(new) = keyring.rewrap(&place, &sealed).map_err(fault)? {
            row.sealed = Some(new);
            row.kek_id = Some(keyring.current_id().to_owned());
            tx.update(&row).await?;
            moved += 1;
        }
    }
    record(tx, keyring, moved);
    Ok(moved)
}

/// The sentinel comes last: while secrets are left, a server without the old key does not start.
#[expect(clippy::disallowed_methods, reason = "re-wrapping shows nothing to anybody")]
async fn rewrap_sentinel(tx: &mut Tx, keyring: &Keyring) -> Result<u64, RotationError> {
    let select = setting::Entity::find_by_id(kek::SENTINEL.to_owned()).lock(LockType::Update);
    let row = select.one(tx.db()).await.map_err(Error::from)?;
    let sealed = row.as_ref().and_then(|row| kek::sealed(&row.value));
    let (Some(mut row), Some(sealed)) = (row, sealed) else {
        tx.nothing_changed();
        return Ok(0);
    };
    let fault = |source| RotationError::Sealed { place: kek::SENTINEL.to_owned(), source };
    match keyring.rewrap(&kek::PLACE, &sealed).map_err(fault)? {
        Some(Sealed(text)) => {
            row.value = Value::String(text);
            row.updated_at = tx.now();
            tx.update(&row).await?;
            record(tx, keyring, 0);
        }
        None => tx.nothing_changed(),
    }
    Ok(0)
}

fn record(tx: &mut Tx, keyring: &Keyring, secrets: u64) {
    let subject = Subject { kind: EntityKind::Platform, id: None, organization: None, team: None };
    let image = json!({ "kek": keyring.current_id(), "secrets": secrets });
    tx.record(Event::made(AuditAction::SecretsRewrapped, subject, &image));
}
