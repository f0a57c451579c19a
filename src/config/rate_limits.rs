//! The section `rate_limits`: where several replicas count together. The limits themselves are
//! those of budgets.

use std::time::Duration;

use redis::IntoConnectionInfo;
use serde::{Deserialize, Serialize};

use super::duration;
use super::faults::Faults;
use super::secret::{self, SecretText};

/// Rate limits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Where the replicas count together. Default `auto`.
    pub store: StoreChoice,
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS. Secret, as it may hold a
    /// password; default none.
    #[serde(with = "secret::setting")]
    pub redis_url: Option<SecretText>,
    /// How long the store may keep a call waiting before it counts as lost. Default 250ms, from
    /// 10ms to 10s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How many replicas there are at least. By them, or by more that were seen, each limit is
    /// divided while the store is lost. Default 1, from 1 to 1000.
    pub replicas: u32,
}

/// The choices of a store.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreChoice {
    /// Redis when `redis_url` is set; else the database, or memory when that is SQLite, which has
    /// one process.
    Auto,
    /// The memory of the process: right for one replica alone.
    Memory,
    /// Redis.
    Redis,
    /// The database.
    Database,
}

/// A store.
#[derive(Clone, Debug)]
pub enum RateLimitStore {
    /// The memory of the process.
    Memory,
    /// Redis, at this URL.
    Redis(SecretText),
    /// The database.
    Database,
}

impl RateLimits {
    pub(super) fn check(&self, faults: &mut Faults) {
        if let Some(url) = &self.redis_url
            && !is_redis(url.expose())
        {
            faults.add(
                "rate_limits.redis_url",
                "must be such as redis://:password@host:6379/0, or begin with rediss:// for TLS",
            );
        }
        if self.store == StoreChoice::Redis && self.redis_url.is_none() {
            faults.add("rate_limits.store", "is \"redis\" and needs rate_limits.redis_url");
        }
        let [shortest, longest] = [Duration::from_millis(10), Duration::from_secs(10)];
        faults.span("rate_limits.timeout", self.timeout, shortest, longest);
        faults.range("rate_limits.replicas", self.replicas, 1..=1000);
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            store: StoreChoice::Auto,
            redis_url: None,
            timeout: Duration::from_millis(250),
            replicas: 1,
        }
    }
}

fn is_redis(url: &str) -> bool {
    let scheme = url.starts_with("redis://") || url.starts_with("rediss://");
    scheme && url.into_connection_info().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_url_names_a_server() {
        for good in ["redis://h", "redis://:pw@h:6379/0", "rediss://u:pw@redis.example:6380/2"] {
            assert!(is_redis(good), "{good}");
        }
        for bad in ["", "h:6379", "redis://", "http://h", "unix:///tmp/s", "redis://h:port"] {
            assert!(!is_redis(bad), "{bad}");
        }
    }
}
