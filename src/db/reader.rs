//! The read handle of one request: connections, the caller, and the time.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::DatabaseConnection;
use tokio::time::Instant;

use super::{Counted, Database, StatementCount};
use crate::authz::Actor;
use crate::sealing::Keyring;

/// Reads as one caller. Loaders are implemented on it, so that nothing is read for nobody.
#[derive(Clone, Debug)]
pub struct Reader {
    connection: Arc<Counted<DatabaseConnection>>,
    actor: Arc<Actor>,
    keyring: Arc<Keyring>,
    now: DateTime<Utc>,
}

impl Reader {
    pub(crate) fn new(
        database: &Database,
        actor: Arc<Actor>,
        keyring: Arc<Keyring>,
        now: DateTime<Utc>,
        count: StatementCount,
    ) -> Self {
        let connection = Arc::new(Counted::new(database.reading().clone(), count));
        Self { connection, actor, keyring, now }
    }

    /// The same, for what is answered before an instant.
    pub(crate) fn until(&self, deadline: Instant) -> Self {
        let connection = Counted::clone(&self.connection).until(deadline);
        Self { connection: Arc::new(connection), ..self.clone() }
    }

    /// The connection.
    pub(crate) fn db(&self) -> &Counted<DatabaseConnection> {
        &self.connection
    }

    /// Who reads.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The keys under which secrets of others are sealed: for the one read that opens them.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The time of the request.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }
}
