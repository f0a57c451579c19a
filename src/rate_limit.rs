//! Rate limits: requests and tokens in a minute, and requests at once.
//!
//! A caller hands in a list of [`Limit`]s, one for each budget that binds the call, and either all
//! of them admit the call or nothing is taken from any. What a limit is and whom it binds is not
//! known here: a [`LimitKey`] only names a counter.
//!
//! **The promise.** In any sixty seconds all replicas together admit at most the limit; a minute's
//! worth may come at once. `docs/adr/0033-rate-limits-count-the-last-minute.md` says how, and what
//! holds in the minute after a store is lost or returns.
//!
//! **Where counters live.** One replica counts in its memory. Several count in Redis, by one script
//! for the whole list, or lease slices of each limit from the database. When that store does not
//! answer, each replica admits its part of the limit, the limit divided by the replicas that were
//! last seen, until the store has been back for a minute. No failure makes a limit disappear.

mod exchange;
mod leases;
mod memory;
mod places;
mod redis;
mod replicas;
mod rounds;
mod shards;
mod slices;
mod store;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use self::memory::{Memory, PARALLEL_WAIT};
use self::replicas::{Replicas, Share};
use self::slices::SLICE;
use self::store::{Found, Lost, Store};
use self::window::{MINUTE, MOST, SECOND};
use crate::clock::Clock;
use crate::config::{Config, RateLimitStore};
use crate::db::Database;

/// How long a lease of a request at once lasts after it was taken or last beaten.
pub const LEASE: Duration = Duration::from_nanos(leases::LEASE);

/// How often [`RateLimiter::tick`] is to be called.
pub const TICK: Duration = Duration::from_secs(1);

/// For how long a store that returned is not believed alone: until everything that was admitted
/// without it has left the minute, and a slice of the database its time.
const RETURN: u64 = MINUTE + SLICE + SECOND;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Requests in a minute; each costs 1.
    Requests,
    /// Tokens in a minute; a call costs its estimate.
    Tokens,
    /// Requests at once; each holds a place from its admission until its lease ends.
    Parallel,
}

/// Names one counter: one kind of limit of one budget, as one scope or a common pot counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitKey {
    /// The budget that says the limit.
    pub budget: Uuid,
    /// Who counts: the scope, or the budget itself for a common pot.
    pub counter: Uuid,
    /// What is counted.
    pub kind: Kind,
}

/// One limit, and what the call at hand would take of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    key: LimitKey,
    most: u64,
    cost: u64,
}

/// What was decided about a list of limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The instant at which the call was counted: [`RateLimiter::refund`] wants it back.
    pub at: DateTime<Utc>,
    /// How each limit stands after the decision, in the order of the list.
    pub standings: Vec<Standing>,
}

/// How one limit stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub most: u64,
    /// What could be admitted now. On several replicas others may take of it too.
    pub remaining: u64,
    /// The time until all of the limit is free again if nothing else is admitted. For requests at
    /// once, the longest that they last without a heartbeat, [`LEASE`].
    pub reset: Duration,
    /// Why this limit does not admit the call; `None` when it does.
    pub refusal: Option<Refusal>,
}

/// Why a limit does not admit a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It will after this time, if nothing else is admitted until then. For requests at once, the
    /// time after which asking again makes sense.
    After(Duration),
    /// It never will: the call costs more than the limit, or the limit is 0.
    Never,
}

impl Outcome {
    /// Whether all limits admit the call, and have been taken from.
    pub fn is_admitted(&self) -> bool {
        self.standings.iter().all(|standing| standing.refusal.is_none())
    }

    /// How long to wait before the same call is worth another try: the longest wait that a refusing
    /// limit names. `None` when the call is admitted, and when waiting is of no use.
    pub fn retry_after(&self) -> Option<Duration> {
        let refusals = self.standings.iter().filter_map(|standing| standing.refusal);
        let waits = refusals.map(|refusal| match refusal {
            Refusal::After(wait) => Some(wait),
            Refusal::Never => None,
        });
        waits.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

impl Limit {
    /// A limit of `most` in any sixty seconds or at once, of which 0 admits nothing, and a call that
    /// costs `cost`. A cost of 0 takes nothing, and still needs a limit that is not used up. Requests
    /// at once always cost 1. Amounts from 2⁵³ on count as 2⁵³.
    pub fn new(key: LimitKey, most: u64, cost: u64) -> Self {
        Self { key, most: most.min(MOST), cost: cost.min(MOST) }
    }

    /// The counter.
    pub fn key(&self) -> LimitKey {
        self.key
    }

    /// What the call takes.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// What must be free for the call: its cost, and something at all.
    fn need(&self) -> u64 {
        self.cost.max(1)
    }
}

impl LimitKey {
    /// The id of the counter in the database.
    fn id(&self) -> Uuid {
        let mut digest = Sha256::new();
        digest.update(self.budget.as_bytes());
        digest.update(self.counter.as_bytes());
        digest.update([self.kind as u8]);
        let digest: [u8; 32] = digest.finalize().into();
        let (bytes, _) = digest.split_first_chunk::<16>().expect("a digest has 32 bytes");
        uuid::Builder::from_custom_bytes(*bytes).into_uuid()
    }
}

impl Refusal {
    /// The refusal of a limit of requests at once that is used up.
    fn of_parallel(limit: &Limit) -> Self {
        if limit.most == 0 { Self::Never } else { Self::After(PARALLEL_WAIT) }
    }
}

/// The state of the store in [`Parts::phase`]: it answers and is believed.
const SHARED: u64 = 0;

/// It is lost. Any other number is the instant until which a store that returned is not believed
/// alone.
const LOST: u64 = u64::MAX;

#[derive(Debug)]
struct Parts {
    local: Memory,
    store: Option<Store>,
    phase: AtomicU64,
    replicas: Replicas,
    database: Database,
}

/// Counts what the limits of a deployment admit. Clones share everything.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Parts>);

impl RateLimiter {
    /// Makes the limiter that the configuration asks for. A store that does not answer yet is one
    /// that is lost: the limiter works without it. `follows_store` is whether instants are those of
    /// the store's own clock where it has one; without it they are the caller's, for tests.
    pub async fn start(
        config: &Config,
        database: Database,
        clock: &Clock,
        follows_store: bool,
    ) -> Self {
        let settings = &config.rate_limits;
        let store = match config.rate_limit_store() {
            RateLimitStore::Memory => None,
            RateLimitStore::Database => Some(Store::database(&database, settings.timeout)),
            RateLimitStore::Redis(url) => Some(Store::redis(&url, settings.timeout, follows_store)),
        };
        let limiter = Self(Arc::new(Parts {
            local: Memory::new(),
            phase: AtomicU64::new(if store.is_some() { LOST } else { SHARED }),
            store,
            replicas: Replicas::new(clock.id(), settings.replicas),
            database,
        }));
        limiter.join(clock.now(), true).await;
        limiter
    }

    /// Takes from every limit of the list, or from none when one of them does not admit the call.
    /// A limit that stands in the list twice is taken from once.
    ///
    /// `lease` names the call among the requests at once, until [`free`](Self::free) or 30 seconds
    /// after its last [`beat`](Self::beat). The same lease takes no second place of a limit.
    pub async fn acquire(&self, lease: Uuid, limits: &[Limit], now: DateTime<Utc>) -> Outcome {
        let (parts, now) = (&*self.0, nanos(now));
        let Some(store) = &parts.store else {
            return parts.local.acquire(lease, limits, now, Share::WHOLE);
        };
        let share = parts.replicas.share();
        match parts.phase.load(Ordering::Relaxed) {
            LOST => parts.local.acquire(lease, limits, now, share),
            SHARED => match store.acquire(lease, limits, now, share.of).await {
                Ok(outcome) => {
                    parts.local.note(lease, limits, &outcome, now, share.of);
                    outcome
                }
                Err(reason) => {
                    self.lose(&reason);
                    parts.local.acquire(lease, limits, now, share)
                }
            },
            _ => self.acquire_from_both(store, lease, limits, now, share).await,
        }
    }

    /// While a store that returned does not know what was admitted without it, the replica's own
    /// part of each limit binds as well.
    async fn acquire_from_both(
        &self,
        store: &Store,
        lease: Uuid,
        limits: &[Limit],
        now: u64,
        share: Share,
    ) -> Outcome {
        let local = &self.0.local;
        let held = local.has(lease);
        let here = local.acquire(lease, limits, now, share);
        if !here.is_admitted() {
            return here;
        }
        match store.acquire(lease, limits, now, share.of).await {
            Ok(there) => {
                if !there.is_admitted() {
                    local.refund(&costs(limits), now, now);
                    if !held {
                        local.free(lease);
                    }
                }
                there
            }
            Err(reason) => {
                self.lose(&reason);
                here
            }
        }
    }

    /// What [`acquire`](Self::acquire) would answer, without taking anything.
    pub async fn peek(&self, limits: &[Limit], now: DateTime<Utc>) -> Outcome {
        let (parts, now) = (&*self.0, nanos(now));
        let Some(store) = &parts.store else {
            return parts.local.peek(limits, now, Share::WHOLE);
        };
        let share = parts.replicas.share();
        if parts.phase.load(Ordering::Relaxed) == LOST {
            return parts.local.peek(limits, now, share);
        }
        match store.peek(limits, now).await {
            Ok(outcome) => outcome,
            Err(reason) => {
                self.lose(&reason);
                parts.local.peek(limits, now, share)
            }
        }
    }

    /// Gives back what a call took and did not use: amounts of requests and tokens, and the instant
    /// that [`Outcome::at`] named. What has left the minute since is free already. Any replica may
    /// give back what another one took. Give back once: a second time frees what others took.
    pub async fn refund(&self, taken: &[(LimitKey, u64)], at: DateTime<Utc>, now: DateTime<Utc>) {
        let (parts, at, now) = (&*self.0, nanos(at), nanos(now));
        let phase = parts.phase.load(Ordering::Relaxed);
        if parts.store.is_none() || phase != SHARED {
            parts.local.refund(taken, at, now);
        }
        if let Some(store) = parts.store.as_ref().filter(|_| phase != LOST)
            && let Err(reason) = store.refund(taken, at, now).await
        {
            self.lose(&reason);
        }
    }

    /// Counts what a call used beyond what it took, such as tokens above the estimate. It is
    /// counted whether or not it fits, and later calls wait for it.
    pub async fn charge(&self, used: &[(LimitKey, u64)], now: DateTime<Utc>) {
        let (parts, now) = (&*self.0, nanos(now));
        let phase = parts.phase.load(Ordering::Relaxed);
        if parts.store.is_none() || phase != SHARED {
            parts.local.charge(used, now);
        }
        if let Some(store) = parts.store.as_ref().filter(|_| phase != LOST)
            && let Err(reason) = store.charge(used, now).await
        {
            self.lose(&reason);
            parts.local.charge(used, now);
        }
    }

    /// Lets calls hold their places for another 30 seconds, and says of each whether it still had
    /// any. Any replica may be told; while the store is lost, a replica knows only of its own.
    pub async fn beat(&self, leases: &[Uuid], now: DateTime<Utc>) -> Vec<bool> {
        let (parts, now) = (&*self.0, nanos(now));
        let here: Vec<_> = leases.iter().map(|lease| parts.local.beat(*lease, now)).collect();
        let phase = parts.phase.load(Ordering::Relaxed);
        let Some(store) = parts.store.as_ref().filter(|_| phase != LOST) else { return here };
        match store.beat(leases, now).await {
            Ok(there) => there,
            Err(reason) => {
                self.lose(&reason);
                here
            }
        }
    }

    /// Frees the places of calls that have ended. Any replica may be told, and a lease that is no
    /// more is passed over.
    pub async fn free(&self, leases: &[Uuid]) {
        let parts = &*self.0;
        for lease in leases {
            parts.local.free(*lease);
        }
        let phase = parts.phase.load(Ordering::Relaxed);
        if let Some(store) = parts.store.as_ref().filter(|_| phase != LOST)
            && let Err(reason) = store.free(leases).await
        {
            self.lose(&reason);
        }
    }

    /// The work that is due every second: heartbeats, slices of the coming second, a look whether a
    /// lost store is back, and letting go of what counts no more.
    pub async fn tick(&self, now: DateTime<Utc>) {
        let parts = &*self.0;
        let nanos = nanos(now);
        parts.local.sweep(nanos);
        let Some(store) = &parts.store else { return };
        if parts.phase.load(Ordering::Relaxed) == LOST {
            return self.join(now, false).await;
        }
        self.beat_replica(now, false).await;
        self.watch_the_others(nanos);
        if let Err(reason) = store.tick(nanos, parts.replicas.count()).await {
            self.lose(&reason);
        }
    }

    /// Gives back what this replica holds of the limits, and leaves the others to themselves.
    pub async fn close(&self, now: DateTime<Utc>) {
        let parts = &*self.0;
        let Some(store) = &parts.store else { return };
        if parts.phase.load(Ordering::Relaxed) != LOST
            && let Err(reason) = store.close(nanos(now)).await
        {
            tracing::warn!(reason = %reason, "slices of rate limits could not be given back");
        }
        if let Err(error) = parts.replicas.leave(&parts.database).await {
            tracing::warn!(error = ?error, "the row of this replica could not be deleted");
        }
    }

    /// Looks for the store. When it is there, it learns of the leases that it does not know, and is
    /// believed: at once if it has counted all along, else after a minute beside our own counters.
    async fn join(&self, now: DateTime<Utc>, first: bool) {
        let parts = &*self.0;
        let Some(store) = &parts.store else { return };
        let found = match store.find().await {
            Ok(found) => {
                store.adopt(&parts.local.leases(nanos(now)), nanos(now)).await.map(|()| found)
            }
            Err(reason) => Err(reason),
        };
        self.beat_replica(now, found.is_err()).await;
        let (now, found) = match found {
            Ok(found) => (nanos(now), found),
            Err(reason) => {
                tracing::debug!(reason = %reason, "the store of the rate limits is not there");
                return;
            }
        };
        let phase =
            if first && found == Found::Counting { SHARED } else { now.saturating_add(RETURN) };
        parts.phase.store(phase, Ordering::Relaxed);
        tracing::info!("the rate limits are shared by way of their store");
    }

    /// While another replica counts without the store, each one's own part of a limit binds as well;
    /// and for a minute after that, as after a loss of one's own.
    fn watch_the_others(&self, now: u64) {
        let parts = &*self.0;
        let phase = parts.phase.load(Ordering::Relaxed);
        let next = if phase != LOST && parts.replicas.other_is_alone() {
            now.saturating_add(RETURN)
        } else if phase <= now {
            SHARED
        } else {
            return;
        };
        // A loss that a call has noticed meanwhile stays one.
        let order = Ordering::Relaxed;
        if parts.phase.compare_exchange(phase, next, order, order).is_ok()
            && (phase == SHARED) != (next == SHARED)
        {
            tracing::info!(
                every_part = next != SHARED,
                "whether each replica keeps to its part of every limit has changed"
            );
        }
    }

    async fn beat_replica(&self, now: DateTime<Utc>, alone: bool) {
        let parts = &*self.0;
        if let Err(error) = parts.replicas.beat(&parts.database, now, alone).await {
            tracing::debug!(error = ?error, "the replicas could not be counted");
        }
    }

    /// Goes on without the store.
    fn lose(&self, reason: &Lost) {
        let parts = &*self.0;
        if parts.phase.swap(LOST, Ordering::Relaxed) != LOST {
            if let Some(store) = &parts.store {
                store.leave();
            }
            let replicas = parts.replicas.count();
            tracing::warn!(
                reason = %reason,
                replicas,
                "the store of the rate limits is lost: each replica admits its part of every limit"
            );
        }
    }
}

/// What a call takes of the limits of a minute.
fn costs(limits: &[Limit]) -> Vec<(LimitKey, u64)> {
    let rates = limits.iter().filter(|limit| limit.key.kind != Kind::Parallel);
    let mut costs: Vec<_> = rates.map(|limit| (limit.key, limit.cost)).collect();
    costs.sort_unstable_by_key(|(key, _)| *key);
    costs.dedup_by_key(|(key, _)| *key);
    costs
}

/// An instant as nanoseconds since 1970.
fn nanos(instant: DateTime<Utc>) -> u64 {
    u64::try_from(instant.timestamp_nanos_opt().unwrap_or(i64::MAX)).unwrap_or(0)
}

/// Nanoseconds since 1970 as an instant.
fn instant(nanos: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Whole seconds.
const fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}
