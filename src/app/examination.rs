//! A look at the data of a deployment, beside its servers: it reads, and changes nothing.

use std::time::Duration;

use super::{StartError, database_settings, location};
use crate::config::Config;
use crate::db::{Database, DatabaseSettings, OpenError};
use crate::domain::doctor;
use crate::error::Result;

pub use doctor::{Breach, Kind, Summary};

/// The longest a statement may run, and whoever reads the report may let it wait: tables may be
/// large, and no request depends on it.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Opens the database of a configuration for reading alone, and reports every breach of what must
/// hold in it.
///
/// # Errors
/// When the database cannot be opened or read, or lacks migrations.
pub async fn doctor(
    config: &Config,
    report: &mut (dyn FnMut(Breach) + Send),
) -> Result<Summary, StartError> {
    let settings = DatabaseSettings {
        statement_timeout: TIMEOUT,
        idle_in_transaction_timeout: TIMEOUT,
        ..database_settings(config)
    };
    let database = Database::open_to_read(&location(config), &settings).await?;
    let outcome = match database.pending_migrations().await? {
        0 => examine(&database, report).await.map_err(StartError::from),
        pending => Err(OpenError::Pending(pending).into()),
    };
    database.close().await;
    outcome
}

/// Reports every breach of what must hold in a database, as it is at one moment.
///
/// # Errors
/// What the database answers.
pub async fn examine(
    database: &Database,
    report: &mut (dyn FnMut(Breach) + Send),
) -> Result<Summary> {
    let snapshot = database.snapshot().await?;
    doctor::examine(&snapshot, report).await
}
