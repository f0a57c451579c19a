//! The counters of several replicas in Redis: one script judges and takes a whole list of limits.
//!
//! All keys carry the hash tag `{tollkeep}`, so that they live in one slot of a cluster, and all
//! but one expire by themselves. That one is a mark which whoever comes first sets to a random
//! text. Each script wants to see the mark it expects: when it is gone, so is what was counted,
//! and a Redis that has forgotten is treated like one that does not answer.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Script, pipe};
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::leases::LEASE;
use super::shards::lock;
use super::store::{Found, Lost};
use super::window::MOST;
use super::{Kind, Limit, LimitKey, Outcome, Refusal, Standing, instant};
use crate::clock::fill_random;
use crate::config::SecretText;

/// The mark of what was counted so far.
const MARK: &str = "{tollkeep}:mark";

/// The answer of a script that does not see its mark.
const FORGOTTEN: i64 = -1;

/// Redis, as one replica uses it.
pub(super) struct Redis {
    url: SecretText,
    timeout: Duration,
    own_clock: bool,
    line: Mutex<Option<Line>>,
    acquire: Script,
    adjust: Script,
    beat: Script,
}

/// A connection, and the mark that was found on it.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    mark: String,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to nothing yet. `own_clock` is whether Redis tells the time.
    pub(super) fn new(url: &SecretText, timeout: Duration, own_clock: bool) -> Self {
        Self {
            url: url.clone(),
            timeout,
            own_clock,
            line: Mutex::new(None),
            acquire: Script::new(include_str!("redis/acquire.lua")),
            adjust: Script::new(include_str!("redis/adjust.lua")),
            beat: Script::new(include_str!("redis/beat.lua")),
        }
    }

    /// Connects anew, and looks whether Redis has counted before.
    pub(super) async fn find(&self) -> Result<Found, Lost> {
        self.leave();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let client = Client::open(self.url.expose())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let fresh = mark();
        let (mark,): (String,) = pipe()
            .cmd("SET")
            .arg(MARK)
            .arg(&fresh)
            .arg("NX")
            .ignore()
            .cmd("GET")
            .arg(MARK)
            .query_async(&mut connection)
            .await?;
        let found = if mark == fresh { Found::Empty } else { Found::Counting };
        *lock(&self.line) = Some(Line { connection, mark });
        Ok(found)
    }

    /// Lets go of the connection.
    pub(super) fn leave(&self) {
        *lock(&self.line) = None;
    }

    /// Judges a list of limits, and takes from all of them for a lease.
    pub(super) async fn acquire(
        &self,
        lease: Option<Uuid>,
        limits: &[Limit],
        now: u64,
    ) -> Result<Outcome, Lost> {
        let mut line = self.line()?;
        let mut call = self.acquire.key(MARK);
        call.key(lease.map_or_else(|| MARK.to_owned(), |lease| places(&lease)));
        call.arg(&line.mark).arg(self.micros(now));
        call.arg(lease.map(|lease| lease.simple().to_string()).unwrap_or_default());
        call.arg(LEASE / 1_000_000);
        for limit in limits {
            let kind = if limit.key.kind == Kind::Parallel { "parallel" } else { "minute" };
            call.key(name(&limit.key)).arg(kind).arg(limit.most).arg(limit.cost);
        }
        let numbers: Vec<i64> = call.invoke_async(&mut line.connection).await?;
        read(&numbers, limits)
    }

    /// Gives back what was taken at an instant.
    pub(super) async fn refund(
        &self,
        taken: &[(LimitKey, u64)],
        at: u64,
        now: u64,
    ) -> Result<(), Lost> {
        self.adjust(taken, (at / 1_000).max(1), now).await
    }

    /// Counts what was used beyond what was taken.
    pub(super) async fn charge(&self, used: &[(LimitKey, u64)], now: u64) -> Result<(), Lost> {
        self.adjust(used, 0, now).await
    }

    async fn adjust(&self, amounts: &[(LimitKey, u64)], at: u64, now: u64) -> Result<(), Lost> {
        let mut line = self.line()?;
        let mut call = self.adjust.key(MARK);
        call.arg(&line.mark).arg(self.micros(now)).arg(at);
        for (key, amount) in amounts {
            call.key(name(key)).arg((*amount).min(MOST));
        }
        match call.invoke_async(&mut line.connection).await? {
            FORGOTTEN => Err(Lost::Forgotten),
            _ => Ok(()),
        }
    }

    /// Lets leases last from now on, and says of each whether it had any place.
    pub(super) async fn beat(&self, leases: &[Uuid], now: u64) -> Result<Vec<bool>, Lost> {
        let mut line = self.line()?;
        let mut pipe = pipe();
        for lease in leases {
            pipe.smembers(places(lease));
        }
        let keys: Vec<Vec<String>> = pipe.query_async(&mut line.connection).await?;
        let beats = leases.iter().zip(keys).map(|(lease, keys)| {
            let line = line.clone();
            async move {
                let has = !keys.is_empty();
                Ok::<_, Lost>(has && self.keep(line, *lease, &keys, now, "beat").await?)
            }
        });
        try_join_all(beats).await
    }

    /// Gives leases the places that they hold here, whether or not Redis knows of them.
    pub(super) async fn adopt(
        &self,
        leases: &[(Uuid, Vec<LimitKey>)],
        now: u64,
    ) -> Result<(), Lost> {
        let line = self.line()?;
        for (lease, keys) in leases {
            let keys: Vec<_> = keys.iter().map(name).collect();
            self.keep(line.clone(), *lease, &keys, now, "adopt").await?;
        }
        Ok(())
    }

    async fn keep(
        &self,
        mut line: Line,
        lease: Uuid,
        keys: &[String],
        now: u64,
        how: &str,
    ) -> Result<bool, Lost> {
        let mut call = self.beat.key(places(&lease));
        for key in keys {
            call.key(key);
        }
        call.arg(self.micros(now)).arg(lease.simple().to_string()).arg(LEASE / 1_000_000).arg(how);
        Ok(call.invoke_async(&mut line.connection).await?)
    }

    /// Ends leases.
    pub(super) async fn free(&self, leases: &[Uuid]) -> Result<(), Lost> {
        let mut line = self.line()?;
        let mut look = pipe();
        for lease in leases {
            look.smembers(places(lease));
        }
        let keys: Vec<Vec<String>> = look.query_async(&mut line.connection).await?;
        let mut free = pipe();
        for (lease, keys) in leases.iter().zip(keys) {
            for key in keys {
                free.zrem(key, lease.simple().to_string()).ignore();
            }
            free.del(places(lease)).ignore();
        }
        Ok(free.query_async(&mut line.connection).await?)
    }

    fn line(&self) -> Result<Line, Lost> {
        lock(&self.line).clone().ok_or(Lost::NotConnected)
    }

    /// The time that scripts are told: the caller's, or 0 for their own.
    fn micros(&self, now: u64) -> u64 {
        if self.own_clock { 0 } else { (now / 1_000).max(1) }
    }
}

/// Reads what the script answers.
fn read(numbers: &[i64], limits: &[Limit]) -> Result<Outcome, Lost> {
    let (now, rest) = match numbers {
        [FORGOTTEN] => return Err(Lost::Forgotten),
        [_, now, rest @ ..] if rest.len() == 3 * limits.len() => (*now, rest),
        _ => return Err(Lost::Garbled),
    };
    let (now, (rows, _)) = (unsigned(now), rest.as_chunks::<3>());
    let standings = limits.iter().zip(rows).map(|(limit, [used, free, fits])| Standing {
        most: limit.most,
        remaining: limit.most.saturating_sub(unsigned(*used)),
        reset: Duration::from_micros(unsigned(*free).saturating_sub(now)),
        refusal: match *fits {
            0 => None,
            instant if instant < 0 => Some(Refusal::Never),
            instant => {
                let wait = unsigned(instant).saturating_sub(now);
                Some(Refusal::After(Duration::from_micros(wait)))
            }
        },
    });
    Ok(Outcome { at: instant(now.saturating_mul(1_000)), standings: standings.collect() })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The key of a limit.
fn name(key: &LimitKey) -> String {
    let kind = match key.kind {
        Kind::Requests => "requests",
        Kind::Tokens => "tokens",
        Kind::Parallel => "parallel",
    };
    format!("{{tollkeep}}:{kind}:{}:{}", key.budget.simple(), key.counter.simple())
}

/// The key under which the limits stand that a lease holds places of.
fn places(lease: &Uuid) -> String {
    format!("{{tollkeep}}:lease:{}", lease.simple())
}

/// A text that nobody else draws.
fn mark() -> String {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
