//! Enforcement: may this key make this call, answered from memory.
//!
//! What a decision needs to know of a key is read from the database once, and kept until the change
//! log names something that it was made from (`docs/enforcement.md`). A poll of the change log, four
//! times a second, is what keeps it true; while no poll has been complete for five seconds, nothing
//! that is kept is believed. The judgement itself is [`crate::domain::access`], the same for checks,
//! explanations and lists.

mod cache;
pub mod call;
pub mod check;
mod counters;
pub mod explain;
mod follow;
pub mod hold;
mod marks;
pub mod rates;
mod shared;
pub mod snapshot;
mod store;
pub mod verdict;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, watch};

use cache::{Cache, Size};
use counters::Counters;
use marks::Marks;
use rates::Rates;
use snapshot::{EndUsers, Everywhere, Keys, Reads, Secrets, Tags};

use crate::clock::Clock;
use crate::db::{Counted, Database, Deployment, Mark, StatementCount};
use crate::error::{Error, Result};
use crate::secret::Pepper;

/// How long what is kept is believed without a complete poll of the change log (SECURITY 6).
pub const BELIEVED: TimeDelta = TimeDelta::seconds(5);

/// What a deployment chose of enforcement.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most keys that are kept.
    pub keys: usize,
    /// The most secrets and ids of which it is remembered that nobody has them.
    pub unknown: usize,
    /// The most end users that are kept.
    pub end_users: usize,
    /// The most tags that are kept.
    pub tags: usize,
    /// How often the change log is polled.
    pub poll_interval: Duration,
    /// How long rows of the change log are kept.
    pub change_log: Duration,
}

/// The service of enforcement of one process. Clones share it.
#[derive(Clone)]
pub struct Enforcement(Arc<Parts>);

struct Parts {
    settings: Settings,
    database: Database,
    clock: Clock,
    pepper: Arc<Pepper>,
    marks: Arc<Marks>,
    secrets: Arc<Cache<Secrets>>,
    keys: Arc<Cache<Keys>>,
    everywhere: Arc<Cache<Everywhere>>,
    counters: Arc<Counters>,
    end_users: Arc<Cache<EndUsers>>,
    tags: Arc<Cache<Tags>>,
    rates: Rates,
    mark: Mutex<Mark>,
    polled: RwLock<Polled>,
    woken: Arc<Notify>,
    committed: Arc<Notify>,
    stop: watch::Sender<bool>,
    /// The threads on which it was started: not those of GraphQL.
    threads: Handle,
}

/// The last complete poll.
#[derive(Clone, Copy, Debug)]
struct Polled {
    at: DateTime<Utc>,
    since: Instant,
    /// When it was made by the database's clock, which goes on while this machine sleeps.
    read_at: DateTime<Utc>,
    revision: i64,
}

/// A look at the change log.
#[derive(Clone, Copy, Debug)]
struct Followed {
    read_at: DateTime<Utc>,
    /// By how much the time of this process was wrong.
    correction: TimeDelta,
}

impl std::fmt::Debug for Enforcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enforcement").field("statistics", &self.statistics()).finish()
    }
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Keys.
    pub keys: usize,
    /// Secrets.
    pub secrets: usize,
    /// Secrets that nobody has.
    pub unknown_secrets: usize,
    /// End users.
    pub end_users: usize,
    /// Tags.
    pub tags: usize,
    /// The statements that were run to read all this since the start.
    pub statements: u64,
}

impl Enforcement {
    /// Begins to follow the changes of a database, with nothing kept yet.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn start(deployment: &Deployment, settings: Settings, rates: Rates) -> Result<Self> {
        let Deployment { database, clock, pepper, .. } = deployment;
        let (at, since) = (clock.now(), Instant::now());
        let mark = database.mark().await?;
        let counters = Arc::<Counters>::default();
        let reads = Reads {
            database: database.clone(),
            clock: clock.clone(),
            counters: Arc::clone(&counters),
            shared: Arc::default(),
        };
        let marks = Arc::<Marks>::default();
        let size = |kept, readings| Size { kept, kept_briefly: settings.unknown, readings };
        let parts = Parts {
            secrets: Cache::new(Secrets(reads.clone()), size(settings.keys, 2), &marks, clock),
            keys: Cache::new(Keys(reads.clone()), size(settings.keys, 2), &marks, clock),
            everywhere: Cache::new(Everywhere(reads.clone()), size(1, 1), &marks, clock),
            end_users: Cache::new(
                EndUsers(reads.clone()),
                size(settings.end_users, 2),
                &marks,
                clock,
            ),
            tags: Cache::new(Tags(reads), size(settings.tags, 1), &marks, clock),
            counters,
            rates,
            settings,
            database: database.clone(),
            clock: clock.clone(),
            pepper: Arc::clone(pepper),
            polled: RwLock::new(Polled { at, since, read_at: mark.at, revision: mark.revision }),
            mark: Mutex::new(mark),
            woken: Arc::default(),
            committed: Arc::default(),
            stop: watch::Sender::new(false),
            threads: Handle::current(),
            marks,
        };
        let (marks, committed) = (Arc::clone(&parts.marks), Arc::clone(&parts.committed));
        deployment.commits.follow(move |changed| {
            marks.change(changed);
            committed.notify_one();
        });
        Ok(Self(Arc::new(parts)))
    }

    /// Reads what has changed and what was counted since the last poll, and lets go of what was made
    /// from it.
    ///
    /// # Errors
    /// What the database answers; the poll was then not complete.
    pub async fn poll(&self) -> Result<()> {
        let parts = &*self.0;
        let (at, since) = (parts.clock.now(), Instant::now());
        let Followed { read_at, correction } = self.follow().await?;
        let last = self.polled();
        let passed = (read_at - last.read_at).to_std().unwrap_or_default();
        let db = Counted::new(parts.database.checking().clone(), StatementCount::default());
        let at = at + correction;
        parts.counters.refresh(&db, passed.max(last.since.elapsed()), at).await?;
        let mut polled = parts.polled.write().unwrap_or_else(PoisonError::into_inner);
        // Another poll may have begun later and be over already.
        if polled.since < since {
            *polled = Polled { at, since, read_at, ..*polled };
        }
        Ok(())
    }

    /// Reads what has changed since the last look, and lets go of what was made from it.
    ///
    /// How long ago that was, this process cannot tell by itself: it may have been stopped, or its
    /// machine suspended. The database tells its time with the changes.
    async fn follow(&self) -> Result<Followed> {
        let parts = &*self.0;
        let mut mark = parts.mark.lock().await;
        let began = parts.clock.now();
        let changes = parts.database.changes(&mark, &StatementCount::default()).await?;
        let read_at = changes.mark.at;
        let gap = Ord::max(read_at - mark.at, began - self.polled().at);
        let correction = parts.clock.correct(read_at, began);
        let pruned = TimeDelta::from_std(parts.settings.change_log / 2).unwrap_or(TimeDelta::MAX);
        match &changes.changed {
            // Of what was pruned meanwhile nothing is known.
            Some(objects) if gap <= pruned => parts.marks.change(objects),
            _ => {
                tracing::info!(revision = changes.mark.revision, "everything is read anew");
                parts.marks.change_all();
            }
        }
        let mut polled = parts.polled.write().unwrap_or_else(PoisonError::into_inner);
        polled.revision = changes.mark.revision;
        drop(polled);
        *mark = changes.mark;
        Ok(Followed { read_at, correction })
    }

    /// Does work on the threads of checks, and to its end even when the one who waits for it leaves:
    /// neither do others then wait for threads that are busy with something else, nor is half of it
    /// done.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.0.threads.spawn(work).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::Unavailable),
        }
    }

    /// What counts the rates of calls.
    pub fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// What is kept.
    pub fn statistics(&self) -> Statistics {
        let parts = &*self.0;
        Statistics {
            keys: parts.keys.len(),
            secrets: parts.secrets.len(),
            unknown_secrets: parts.secrets.len_briefly(),
            end_users: parts.end_users.len(),
            tags: parts.tags.len(),
            statements: parts.secrets.statements()
                + parts.keys.statements()
                + parts.everywhere.statements()
                + parts.end_users.statements()
                + parts.tags.statements(),
        }
    }

    /// The last revision of the change log that was followed.
    pub fn revision(&self) -> i64 {
        self.polled().revision
    }

    /// Ends the work in the background.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    fn polled(&self) -> Polled {
        *self.0.polled.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of a check, while what is kept is to be believed.
    ///
    /// Both clocks must say so: that of this process, which nobody sets, and that of the database,
    /// which tells how long the process slept.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is not, unless the settings of the platform choose otherwise.
    fn moment(&self) -> Result<DateTime<Utc>> {
        let now = self.0.clock.now();
        let last = self.polled();
        let believed = BELIEVED.to_std().unwrap_or_default();
        if now - last.at <= BELIEVED && last.since.elapsed() <= believed {
            return Ok(now);
        }
        let everywhere = self.0.everywhere.peek(&(), now);
        match everywhere {
            Some(globals) if globals.settings.serve_stale_checks => Ok(now),
            _ => Err(Error::Unavailable),
        }
    }
}
