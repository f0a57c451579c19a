//! The section `checks`: what answers to checks of calls are made from, and how fresh it is kept. What
//! a check answers is decided elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::faults::Faults;

/// The most characters of the prefix of headers.
const LONGEST_PREFIX: usize = 40;

/// Checks of calls.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// The most keys that are kept in memory, some kilobytes each. Default 200000, from 1 to 10000000.
    pub keys: usize,
    /// The most secrets of which it is remembered, for five seconds, that nobody has them. Default
    /// 20000, from 1 to 10000000.
    pub unknown: usize,
    /// The most end users that are kept in memory. Default 50000, from 1 to 10000000.
    pub end_users: usize,
    /// The most tags of calls that are kept in memory. Default 5000, from 1 to 10000000.
    pub tags: usize,
    /// How often each process asks the database what has changed. Default 250ms, from 50ms to 2s. A
    /// revocation holds in other processes after this time and that of one statement.
    #[serde(with = "duration")]
    pub poll_interval: Duration,
    /// How long it is kept what has changed. A process that was away for half of it reads everything
    /// anew. Default 1h, from 1m to 30d.
    #[serde(with = "duration")]
    pub change_log: Duration,
    /// The connections to the database that gateways have to themselves: for checks, and on PostgreSQL
    /// for what they hold and report. Default 8, from 2 to 1000.
    pub connections: u32,
    /// What the names of the headers begin with that tell a gateway whose call it is. Default
    /// `x-tollkeep-`; 1 to 40 lower-case letters, digits and hyphens.
    pub header_prefix: String,
}

impl Checks {
    pub(super) fn check(&self, faults: &mut Faults) {
        for (setting, value) in [
            ("checks.keys", self.keys),
            ("checks.unknown", self.unknown),
            ("checks.end_users", self.end_users),
            ("checks.tags", self.tags),
        ] {
            faults.range(setting, value, 1..=10_000_000);
        }
        let [shortest, longest] = [Duration::from_millis(50), Duration::from_secs(2)];
        faults.span("checks.poll_interval", self.poll_interval, shortest, longest);
        let [shortest, longest] = [Duration::from_mins(1), Duration::from_hours(24 * 30)];
        faults.span("checks.change_log", self.change_log, shortest, longest);
        faults.range("checks.connections", self.connections, 2..=1000);
        let prefix = &self.header_prefix;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=LONGEST_PREFIX).contains(&prefix.len()) || !prefix.bytes().all(plain) {
            let reason = "must be 1 to 40 lower-case letters, digits and hyphens";
            faults.add("checks.header_prefix", reason);
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            keys: 200_000,
            unknown: 20_000,
            end_users: 50_000,
            tags: 5_000,
            poll_interval: Duration::from_millis(250),
            change_log: Duration::from_hours(1),
            connections: 8,
            header_prefix: "x-tollkeep-".to_owned(),
        }
    }
}
