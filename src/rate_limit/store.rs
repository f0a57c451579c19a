//! The store that several replicas share: Redis or the database, and the ways to lose it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::places::Places;
use super::redis::Redis;
use super::slices::Slices;
use super::{Kind, Limit, LimitKey, Outcome};
use crate::config::SecretText;
use crate::db::Database;
use crate::error::Error;

/// How often rows that count no more are deleted, in ticks.
const TICKS_PER_TIDYING: u64 = 60;

/// A store.
#[derive(Debug)]
pub(super) enum Store {
    Redis(Box<Redis>),
    Database { slices: Box<Slices>, places: Box<Places>, ticks: AtomicU64 },
}

/// What a store that answers again has to say of what it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has gone on counting for those who could reach it.
    Counting,
    /// It knows of nothing: it is new, or has forgotten.
    Empty,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("Redis: {0}")]
    Redis(#[from] ::redis::RedisError),
    #[error("Redis has forgotten what it counted")]
    Forgotten,
    #[error("Redis gives an answer that makes no sense")]
    Garbled,
    #[error("Redis is not connected")]
    NotConnected,
    #[error("the database does not answer in time")]
    Late,
    #[error("database: {0}")]
    Database(#[from] Error),
    #[error("a call that asked together with others has failed for all of them")]
    Together,
}

impl From<sea_orm::DbErr> for Lost {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Database(error.into())
    }
}

/// Reads, once more if the connection had died before: a pool notices that when it is used.
pub(super) async fn twice<T, F>(read: impl Fn() -> F) -> Result<T, Lost>
where
    F: Future<Output = Result<T, Lost>>,
{
    match read().await {
        Err(Lost::Database(error)) if error.is_unavailable() => read().await,
        outcome => outcome,
    }
}

impl Store {
    pub(super) fn redis(url: &SecretText, timeout: Duration, own_clock: bool) -> Self {
        Self::Redis(Box::new(Redis::new(url, timeout, own_clock)))
    }

    pub(super) fn database(database: &Database, timeout: Duration) -> Self {
        Self::Database {
            slices: Box::new(Slices::new(database.clone(), timeout)),
            places: Box::new(Places::new(database.clone(), timeout)),
            ticks: AtomicU64::new(0),
        }
    }

    /// Looks whether the store answers.
    pub(super) async fn find(&self) -> Result<Found, Lost> {
        match self {
            Self::Redis(redis) => redis.find().await,
            Self::Database { slices, .. } => slices.find().await,
        }
    }

    /// Lets go of everything that the store gave.
    pub(super) fn leave(&self) {
        match self {
            Self::Redis(redis) => redis.leave(),
            Self::Database { slices, .. } => slices.leave(),
        }
    }

    /// Takes from all limits, or from none. `of` is the number of replicas.
    pub(super) async fn acquire(
        &self,
        lease: Uuid,
        limits: &[Limit],
        now: u64,
        of: u64,
    ) -> Result<Outcome, Lost> {
        let (slices, places) = match self {
            Self::Redis(redis) => return redis.acquire(Some(lease), limits, now).await,
            Self::Database { slices, places, .. } => (slices, places),
        };
        if !limits.iter().any(|limit| limit.key.kind == Kind::Parallel) {
            return slices.acquire(limits, now, of).await;
        }
        let (at_once, is_new) = places.acquire(lease, limits, now).await?;
        if !at_once.is_admitted() {
            let minutes = slices.peek(limits, now).await?;
            return Ok(merged(minutes, &at_once, limits));
        }
        let minutes = slices.acquire(limits, now, of).await?;
        if !minutes.is_admitted() && is_new {
            places.free(&[lease]).await?;
        }
        Ok(merged(minutes, &at_once, limits))
    }

    /// How all limits stand.
    pub(super) async fn peek(&self, limits: &[Limit], now: u64) -> Result<Outcome, Lost> {
        match self {
            Self::Redis(redis) => redis.acquire(None, limits, now).await,
            Self::Database { slices, places, .. } => {
                let minutes = slices.peek(limits, now).await?;
                if !limits.iter().any(|limit| limit.key.kind == Kind::Parallel) {
                    return Ok(minutes);
                }
                Ok(merged(minutes, &places.peek(limits, now).await?, limits))
            }
        }
    }

    pub(super) async fn refund(
        &self,
        taken: &[(LimitKey, u64)],
        at: u64,
        now: u64,
    ) -> Result<(), Lost> {
        match self {
            Self::Redis(redis) => redis.refund(taken, at, now).await,
            Self::Database { slices, .. } => {
                slices.refund(taken, at);
                Ok(())
            }
        }
    }

    pub(super) async fn charge(&self, used: &[(LimitKey, u64)], now: u64) -> Result<(), Lost> {
        match self {
            Self::Redis(redis) => redis.charge(used, now).await,
            Self::Database { slices, .. } => {
                slices.charge(used, now);
                Ok(())
            }
        }
    }

    pub(super) async fn beat(&self, leases: &[Uuid], now: u64) -> Result<Vec<bool>, Lost> {
        match self {
            Self::Redis(redis) => redis.beat(leases, now).await,
            Self::Database { places, .. } => places.beat(leases, now).await,
        }
    }

    pub(super) async fn free(&self, leases: &[Uuid]) -> Result<(), Lost> {
        match self {
            Self::Redis(redis) => redis.free(leases).await,
            Self::Database { places, .. } => places.free(leases).await,
        }
    }

    /// Gives leases the places that they hold here, whether or not the store knows of them.
    pub(super) async fn adopt(
        &self,
        leases: &[(Uuid, Vec<LimitKey>)],
        now: u64,
    ) -> Result<(), Lost> {
        match self {
            Self::Redis(redis) => redis.adopt(leases, now).await,
            Self::Database { places, .. } => places.adopt(leases, now).await,
        }
    }

    /// What is due every second.
    pub(super) async fn tick(&self, now: u64, of: u64) -> Result<(), Lost> {
        match self {
            Self::Redis(_) => Ok(()),
            Self::Database { slices, places, ticks } => {
                slices.tick(now, of).await?;
                if ticks.fetch_add(1, Ordering::Relaxed).is_multiple_of(TICKS_PER_TIDYING) {
                    slices.tidy(now).await?;
                    places.tidy(now).await?;
                }
                Ok(())
            }
        }
    }

    /// Gives back what this replica holds.
    pub(super) async fn close(&self, now: u64) -> Result<(), Lost> {
        match self {
            Self::Redis(_) => Ok(()),
            Self::Database { slices, .. } => slices.close(now).await,
        }
    }
}

/// The outcome of a list whose two kinds of limit were judged apart.
fn merged(minutes: Outcome, at_once: &Outcome, limits: &[Limit]) -> Outcome {
    let mut outcome = minutes;
    for (index, limit) in limits.iter().enumerate() {
        if limit.key.kind == Kind::Parallel {
            outcome.standings[index] = at_once.standings[index];
        }
    }
    outcome
}
