//! The section `http`: where the server listens, whom it believes and how long it waits. The
//! bounds on GraphQL documents are in `limits`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::duration;
use super::faults::Faults;
use super::network::Network;

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_mins(10);

/// The HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The address and port to listen on. Default `127.0.0.1:4000`, which only this machine can
    /// reach; `0.0.0.0:4000` or `[::]:4000` is every interface. Port 0 takes a free one.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Web origins whose pages may call the API, each as a browser sends it
    /// (`https://dash.example.com`), or `*` alone for any. Default none.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` header counts: addresses, or networks such
    /// as `10.0.0.0/8`. Default none: the caller is whoever opened the connection.
    pub trusted_proxies: Vec<Network>,
    /// The most connections open at a time. Default 10000, from 1 to 1000000.
    pub max_connections: usize,
    /// How long a caller may take to send the headers. Default 10s, from 10ms to 10m.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// How long a caller may take to send the body. Default 10s, from 10ms to 10m.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long the work on a request may take. Default 10s, from 10ms to 10m.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// How long a stopping server waits for open requests. Default 10s, from 0s to 10m.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// The largest request body, in bytes. Default 262144, from 1024 to 16777216.
    pub body_limit: usize,
    /// How GraphQL answers map to HTTP statuses. Default `audit`.
    pub status_profile: StatusProfile,
    /// Whether authenticated callers may read the schema by introspection. Default `on`.
    pub introspection: Switch,
}

/// Which reading of GraphQL over HTTP the statuses follow.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusProfile {
    /// What the audit suite of GraphQL over HTTP asks for.
    Audit,
    /// What the latest draft of the specification asks for.
    Draft,
}

/// A setting that is on or off.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is on.
    On,
    /// It is off.
    Off,
}

impl Http {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.range("http.max_connections", self.max_connections, 1..=1_000_000);
        faults.range("http.body_limit", self.body_limit, 1024..=16_777_216);
        faults.span("http.header_timeout", self.header_timeout, SHORTEST, LONGEST);
        faults.span("http.body_timeout", self.body_timeout, SHORTEST, LONGEST);
        faults.span("http.request_timeout", self.request_timeout, SHORTEST, LONGEST);
        faults.span("http.drain_timeout", self.drain_timeout, Duration::ZERO, LONGEST);
        if self.cors_origins.len() > 1 && self.cors_origins.iter().any(|origin| origin == "*") {
            faults.add("http.cors_origins", "must be \"*\" alone or a list of exact origins");
        }
        for origin in self.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            faults.add(
                "http.cors_origins",
                format_args!(
                    "must hold origins as browsers send them, such as https://dash.example.com \
                     (no path, no closing slash, lower case), not {origin:?}"
                ),
            );
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        let ten_seconds = Duration::from_secs(10);
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            max_connections: 10_000,
            header_timeout: ten_seconds,
            body_timeout: ten_seconds,
            request_timeout: ten_seconds,
            drain_timeout: ten_seconds,
            body_limit: 262_144,
            status_profile: StatusProfile::Audit,
            introspection: Switch::On,
        }
    }
}

fn listen<'de, D: Deserializer<'de>>(source: D) -> Result<SocketAddr, D::Error> {
    String::deserialize(source)?.parse().map_err(|_| {
        serde::de::Error::custom(
            "must be an address and a port, such as 127.0.0.1:4000 or [::]:4000",
        )
    })
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        let allowed = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | '[' | ']')
        };
        !host.is_empty() && !host.starts_with(':') && host.chars().all(allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for good in ["*", "https://a.example", "http://localhost:3000", "http://[::1]:3000"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "null",
            "a.example",
            "https://",
            "https://a/",
            "https://A.b",
            "ftp://a",
            "https://*",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
