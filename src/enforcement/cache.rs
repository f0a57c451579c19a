//! Entries that are read from the database when somebody asks for them: once for all who ask at a
//! time, and many in one go.
//!
//! A request that finds no entry waits in a queue. A worker takes all that wait there and reads them
//! together, in a number of statements that does not grow with theirs; meanwhile the next ones
//! gather. So a cold start is no stampede, and a reading goes on when the one who asked has left.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::marks::{Marks, Reading};
use super::store::Store;
use crate::audit::Touched;
use crate::clock::Clock;
use crate::db::StatementCount;
use crate::error::{Error, Result};

/// How long a request waits for an entry before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it is remembered that something is not there (SECURITY 6).
pub(super) const MISSING_LASTS: TimeDelta = TimeDelta::seconds(5);

/// The most entries that are read in one go.
const BATCH: usize = 100;

/// How often entries that change while they are read are read anew.
const ROUNDS: usize = 8;

/// Where entries come from.
pub(super) trait Source: Send + Sync + 'static {
    /// What they are asked for by.
    type Key: Clone + Eq + Hash + Send + Sync;
    /// What they are.
    type Value: Clone + Send + Sync;

    /// Reads entries, each in the place of its key.
    fn read(
        &self,
        keys: &[Self::Key],
        count: &StatementCount,
    ) -> impl Future<Output = Result<Vec<Read<Self::Value>>>> + Send;
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read<V> {
    pub(super) value: V,
    /// What it depends on.
    pub(super) objects: BTreeSet<Touched>,
    pub(super) keep: Keep,
}

/// For how long an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Until something changes that it depends on.
    UntilItChanges,
    /// The same, and for a few seconds at most, among others of the kind alone.
    Briefly,
    /// For those who wait for it.
    Never,
}

/// How many entries there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) kept: usize,
    pub(super) kept_briefly: usize,
    /// How many readings may be under way at a time.
    pub(super) readings: usize,
}

/// A cache with its source.
pub(super) struct Cache<S: Source> {
    source: S,
    kept: Store<S::Key, S::Value>,
    kept_briefly: Store<S::Key, S::Value>,
    queue: Mutex<Queue<S>>,
    readings: usize,
    /// The statements that were run so far.
    statements: AtomicU64,
    marks: Arc<Marks>,
    clock: Clock,
    threads: Handle,
}

struct Queue<S: Source> {
    waiting: VecDeque<S::Key>,
    asked: HashMap<S::Key, Waiting<S::Value>>,
    readings: usize,
}

/// Those who wait for an entry.
type Waiting<V> = Vec<oneshot::Sender<Answer<V>>>;

/// What those who wait get, and what it cost.
type Answer<V> = (Result<V, Failure>, u32);

/// Why there is no answer, for many at a time; the log has the rest.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Unavailable,
    Internal,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable => Self::Unavailable,
            Failure::Internal => Self::internal("an entry of a cache could not be read"),
        }
    }
}

impl<S: Source> Cache<S> {
    pub(super) fn new(source: S, size: Size, marks: &Arc<Marks>, clock: &Clock) -> Arc<Self> {
        let queue = Queue { waiting: VecDeque::new(), asked: HashMap::new(), readings: 0 };
        Arc::new(Self {
            source,
            kept: Store::new(size.kept, None),
            kept_briefly: Store::new(size.kept_briefly, Some(MISSING_LASTS)),
            queue: Mutex::new(queue),
            readings: size.readings,
            statements: AtomicU64::new(0),
            marks: Arc::clone(marks),
            clock: clock.clone(),
            threads: Handle::current(),
        })
    }

    /// The entry of a key, without a look at the database.
    pub(super) fn peek(&self, key: &S::Key, now: DateTime<Utc>) -> Option<S::Value> {
        self.kept.get(key, now).or_else(|| self.kept_briefly.get(key, now))
    }

    /// The entry of a key. What it cost is added to the count.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer in time.
    pub(super) async fn get(
        self: &Arc<Self>,
        key: &S::Key,
        now: DateTime<Utc>,
        count: &StatementCount,
    ) -> Result<S::Value> {
        if let Some(value) = self.peek(key, now) {
            return Ok(value);
        }
        let Ok(Ok((answer, statements))) = timeout(PATIENCE, self.ask(key)).await else {
            // Too late, or the reading has ended without an answer.
            return Err(Error::Unavailable);
        };
        count.add(statements);
        answer.map_err(Error::from)
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The number of those that are kept briefly.
    pub(super) fn len_briefly(&self) -> usize {
        self.kept_briefly.len()
    }

    /// The number of statements that were run to read entries.
    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an entry be read, on the threads of checks: a reading serves all who wait, whoever asked first,
    /// and whoever leaves.
    fn ask(self: &Arc<Self>, key: &S::Key) -> oneshot::Receiver<Answer<S::Value>> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.queue();
        let waiting = queue.asked.entry(key.clone()).or_default();
        waiting.push(sender);
        if waiting.len() == 1 {
            queue.waiting.push_back(key.clone());
        }
        if !queue.waiting.is_empty() && queue.readings < self.readings {
            queue.readings += 1;
            let worker = Worker { cache: Arc::clone(self), is_done: false };
            self.threads.spawn(worker.work());
        }
        receiver
    }

    /// Reads entries, keeps them, and answers those who wait for them.
    async fn read(&self, batch: &mut Batch<'_, S>) {
        for round in 0..ROUNDS {
            let count = StatementCount::default();
            let reading = self.marks.read();
            let read = self.source.read(&batch.keys, &count).await;
            let now = self.clock.now();
            self.statements.fetch_add(u64::from(count.get()), Ordering::Relaxed);
            match read {
                Ok(read) => self.keep(batch, read, &reading, now, count.get()),
                Err(error) => {
                    let failure = if error.is_unavailable() {
                        tracing::warn!(error = ?error, "the facts of a check could not be read");
                        Failure::Unavailable
                    } else {
                        tracing::error!(error = ?error, "the facts of a check could not be read");
                        Failure::Internal
                    };
                    batch.answer_all(failure, count.get());
                }
            }
            if batch.keys.is_empty() {
                return;
            }
            tracing::debug!(round, "facts of a check changed while they were read");
        }
        batch.answer_all(Failure::Unavailable, 0);
    }

    /// Keeps what was read and has not changed since; the rest is left in the batch.
    fn keep(
        &self,
        batch: &mut Batch<'_, S>,
        read: Vec<Read<S::Value>>,
        reading: &Reading,
        now: DateTime<Utc>,
        statements: u32,
    ) {
        for (key, read) in std::mem::take(&mut batch.keys).into_iter().zip(read) {
            let Some(dependencies) = reading.dependencies(&read.objects) else {
                batch.keys.push(key);
                continue;
            };
            let value = read.value.clone();
            match read.keep {
                Keep::UntilItChanges => self.kept.put(key.clone(), value, dependencies, now),
                Keep::Briefly => self.kept_briefly.put(key.clone(), value, dependencies, now),
                Keep::Never => {}
            }
            batch.answer(&key, &Ok(read.value), statements);
        }
    }
}

/// Reads what waits, until nothing does.
struct Worker<S: Source> {
    cache: Arc<Cache<S>>,
    is_done: bool,
}

impl<S: Source> Worker<S> {
    async fn work(mut self) {
        let cache = Arc::clone(&self.cache);
        while let Some(mut batch) = self.take(&cache) {
            cache.read(&mut batch).await;
        }
    }

    /// What waits; none when nothing does, and the worker is done: whoever comes next starts another.
    fn take<'a>(&mut self, cache: &'a Cache<S>) -> Option<Batch<'a, S>> {
        let mut queue = cache.queue();
        let most = queue.waiting.len().min(BATCH);
        let keys: Vec<_> = queue.waiting.drain(..most).collect();
        if keys.is_empty() {
            queue.readings -= 1;
            self.is_done = true;
            return None;
        }
        Some(Batch { cache, keys })
    }
}

impl<S: Source> Drop for Worker<S> {
    fn drop(&mut self) {
        if !self.is_done {
            self.cache.queue().readings -= 1;
        }
    }
}

/// Keys that are being read. Whoever waits for one that is left over when the batch is dropped gets no
/// answer, and the next to ask begins anew.
struct Batch<'a, S: Source> {
    cache: &'a Cache<S>,
    keys: Vec<S::Key>,
}

impl<S: Source> Batch<'_, S> {
    fn answer(&self, key: &S::Key, answer: &Result<S::Value, Failure>, statements: u32) {
        let waiting = self.cache.queue().asked.remove(key).unwrap_or_default();
        for sender in waiting {
            // Whoever has left needs no answer.
            let _ = sender.send((answer.clone(), statements));
        }
    }

    fn answer_all(&mut self, failure: Failure, statements: u32) {
        for key in std::mem::take(&mut self.keys) {
            self.answer(&key, &Err(failure), statements);
        }
    }
}

impl<S: Source> Drop for Batch<'_, S> {
    fn drop(&mut self) {
        let mut queue = self.cache.queue();
        for key in &self.keys {
            queue.asked.remove(key);
        }
    }
}
