//! One request: who asks, what they may read, and the only way to write.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use crate::audit::Event;
use crate::authn::Credential;
use crate::authz::{Actor, Permission};
use crate::db::unit::{RETRIES, jitter};
use crate::db::{Deployment, Reader, RequestInfo, StatementCount, Tx};
use crate::enforcement::Enforcement;
use crate::error::{Error, Result};

/// The work of a transaction: a function of its own input, so that it can be run again from the
/// start, and of nothing else.
pub type Work<I, T> = for<'tx> fn(&'tx mut Tx, I) -> BoxFuture<'tx, Result<T>>;

/// One request of one caller.
#[derive(Debug)]
pub struct Session {
    deployment: Deployment,
    enforcement: Enforcement,
    actor: Arc<Actor>,
    request: Arc<RequestInfo>,
    reader: Reader,
    statements: StatementCount,
    deadline: Option<Instant>,
    credential: Option<(Credential, Instant)>,
}

impl Session {
    /// A session for a caller whose credential was checked.
    pub fn new(
        deployment: &Deployment,
        enforcement: &Enforcement,
        actor: Actor,
        request: RequestInfo,
        statements: StatementCount,
    ) -> Self {
        let actor = Arc::new(actor);
        let now = deployment.clock.now();
        let keyring = Arc::clone(&deployment.keyring);
        let reader =
            Reader::new(&deployment.database, Arc::clone(&actor), keyring, now, statements.clone());
        Self {
            deployment: deployment.clone(),
            enforcement: enforcement.clone(),
            actor,
            request: Arc::new(request),
            reader,
            statements,
            deadline: None,
            credential: None,
        }
    }

    /// The same, for work that ends before an instant: reads and writes that are under way then
    /// fail each for itself, and what was committed before stays.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.reader = self.reader.until(deadline);
        self.deadline = Some(deadline);
        self
    }

    /// The same, for a caller whose credential was checked at an instant and is checked again before
    /// a write that begins later: whoever was blocked meanwhile writes nothing.
    #[must_use]
    pub fn with(mut self, credential: Credential, checked: Instant) -> Self {
        self.credential = Some((credential, checked));
        self
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

    /// The service of enforcement.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// The count of the statements that the request runs.
    pub fn statement_count(&self) -> &StatementCount {
        &self.statements
    }

    /// The statements that the request has run so far.
    pub fn statements(&self) -> u32 {
        self.statements.get()
    }

    /// Runs one write, of the operation named: a transaction that commits rows, audit events and change log together.
    ///
    /// A transient error of the database (serialization, deadlock, lock not available, busy) makes
    /// it run again, at most five times, after a wait with jitter, and no longer than the request
    /// may take. A denial is rolled back and then recorded in a transaction of its own.
    ///
    /// # Errors
    /// What `work` returns, and what the commit meets; [`Error::TooLate`] when the work has not
    /// ended before the deadline, which leaves nothing behind.
    pub async fn write<I: Clone, T>(
        &self,
        operation: &str,
        input: I,
        work: Work<I, T>,
    ) -> Result<T> {
        let mut attempt = 0;
        let outcome = loop {
            match self.attempt(input.clone(), work).await {
                Err(error) if error.is_transient() && attempt < RETRIES => {
                    attempt += 1;
                    tokio::time::sleep(jitter(attempt)).await;
                }
                outcome => break outcome,
            }
        };
        if let Err(Error::Forbidden { permission }) = &outcome {
            self.record_denial(*permission, operation).await?;
        }
        outcome
    }

    /// Records that the caller was refused a change.
    ///
    /// # Errors
    /// When the database does not take it: a denial that cannot be recorded is not given.
    pub async fn record_denial(&self, permission: Permission, operation: &str) -> Result<()> {
        let mut tx = self.begin(Arc::clone(&self.actor)).await?;
        tx.record(Event::denied(permission, operation));
        tx.commit().await
    }

    async fn attempt<I, T>(&self, input: I, work: Work<I, T>) -> Result<T> {
        let run = async {
            let mut tx = self.begin(self.rights().await?).await?;
            let outcome = work(&mut tx, input).await;
            Ok((tx, outcome))
        };
        let (tx, outcome) = self.in_time(run).await?;
        // The deadline is behind us: a commit that began is waited for, so that the answer is true.
        match outcome {
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

    /// Runs the work up to the commit. A transaction that is dropped here is rolled back.
    async fn in_time<T>(&self, run: impl Future<Output = Result<T>>) -> Result<T> {
        match self.deadline {
            None => run.await,
            Some(deadline) if deadline <= Instant::now() => Err(Error::TooLate),
            Some(deadline) => timeout_at(deadline, run).await.unwrap_or(Err(Error::TooLate)),
        }
    }

    /// Who asks, with the rights of this moment.
    async fn rights(&self) -> Result<Arc<Actor>> {
        match &self.credential {
            Some((credential, checked)) if checked.elapsed() > Credential::HOLDS => {
                Ok(Arc::new(credential.check(&self.statements).await?))
            }
            _ => Ok(Arc::clone(&self.actor)),
        }
    }

    async fn begin(&self, actor: Arc<Actor>) -> Result<Tx> {
        Tx::begin(&self.deployment, actor, Arc::clone(&self.request), self.statements.clone()).await
    }
}
