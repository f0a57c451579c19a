//! One request: who asks, what they may read, and the only way to write.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Event;
use crate::authz::{Actor, Permission};
use crate::clock::{Clock, fill_random};
use crate::db::{Database, Reader, RequestInfo, StatementCount, Tx};
use crate::domain::Rules;
use crate::error::{Error, Result};

/// How often a transaction that met a transient error is tried again.
const RETRIES: u32 = 5;

/// One request of one caller.
#[derive(Debug)]
pub struct Session {
    database: Database,
    clock: Clock,
    rules: Arc<Rules>,
    actor: Arc<Actor>,
    request: Arc<RequestInfo>,
    reader: Reader,
    statements: StatementCount,
}

impl Session {
    /// A session for a caller whose credential was checked.
    pub fn new(
        database: &Database,
        clock: &Clock,
        rules: Arc<Rules>,
        actor: Actor,
        request: RequestInfo,
        statements: StatementCount,
    ) -> Self {
        let actor = Arc::new(actor);
        let reader =
            Reader::new(database, Arc::clone(&actor), clock.now(), statements.clone());
        Self {
            database: database.clone(),
            clock: clock.clone(),
            rules,
            actor,
            request: Arc::new(request),
            reader,
            statements,
        }
    }

    /// Who asks.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The read handle.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What is known of the request.
    pub fn request(&self) -> &RequestInfo {
        &self.request
    }

    /// The deployment's own rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The statements that the request has run so far.
    pub fn statements(&self) -> u32 {
        self.statements.get()
    }

    /// Runs one write: a transaction that commits rows, audit events and change log together.
    ///
    /// A transient error of the database (serialization, deadlock, busy) makes it run again, at
    /// most five times, after a wait with jitter. A denial is rolled back and then recorded in a
    /// transaction of its own.
    ///
    /// # Errors
    /// What `work` returns, and what the commit meets.
    pub async fn write<T>(&self, work: impl AsyncFn(&mut Tx) -> Result<T>) -> Result<T> {
        let mut attempt = 0;
        let outcome = loop {
            match self.attempt(&work).await {
                Err(error) if error.is_transient() && attempt < RETRIES => {
                    attempt += 1;
                    tokio::time::sleep(jitter(attempt)).await;
                }
                outcome => break outcome,
            }
        };
        if let Err(Error::Forbidden { permission }) = &outcome {
            self.record_denial(*permission, None).await?;
        }
        outcome
    }

    /// Records that the caller was refused a change.
    ///
    /// # Errors
    /// When the database does not take it: a denial that cannot be recorded is not given.
    pub async fn record_denial(
        &self,
        permission: Permission,
        operation: Option<&str>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.record(Event::denied(permission, operation));
        tx.commit().await
    }

    async fn attempt<T>(&self, work: &impl AsyncFn(&mut Tx) -> Result<T>) -> Result<T> {
        let mut tx = self.begin().await?;
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    async fn begin(&self) -> Result<Tx> {
        Tx::begin(
            &self.database,
            &self.clock,
            Arc::clone(&self.actor),
            Arc::clone(&self.request),
            self.statements.clone(),
        )
        .await
    }
}

/// A wait of up to 5, 10, 20 … milliseconds.
fn jitter(attempt: u32) -> Duration {
    let mut random = [0; 2];
    fill_random(&mut random);
    let most = 5_000_u64 << attempt.min(6);
    Duration::from_micros(u64::from(u16::from_le_bytes(random)) * most / u64::from(u16::MAX))
}
