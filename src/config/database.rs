//! The section `database`: which database, and how long it may keep a request waiting. Opening
//! it, and the settings of SQLite that keep it safe, are elsewhere.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::faults::Faults;
use super::secret::{self, SecretText};

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_mins(10);

/// Parameters of a database URL that hold no secret.
const SHOWN_PARAMETERS: [&str; 8] =
    ["application_name", "cache", "dbname", "host", "mode", "port", "sslmode", "user"];

/// The database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `postgres://user:password@host:port/name` or `sqlite:FILE`. Secret, as it may hold a
    /// password; default none, which is the SQLite file `tollkeep.db` in `data_dir`.
    #[serde(with = "secret::setting")]
    pub url: Option<SecretText>,
    /// The most connections to PostgreSQL. Default 10, from 2 to 1000. SQLite has its own number.
    pub max_connections: u32,
    /// How long a new connection may take. Default 2s, from 10ms to 10m.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long a request waits for a free connection before it is told to come back later.
    /// Default 500ms, from 10ms to 10m.
    #[serde(with = "duration")]
    pub acquire_timeout: Duration,
    /// How long a statement may run. Default 5s, from 10ms to 10m.
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock. Default 3s, from 10ms to `statement_timeout`. Longer
    /// than PostgreSQL's `deadlock_timeout`, so that a deadlock is found and not waited out.
    #[serde(with = "duration")]
    pub lock_timeout: Duration,
    /// How long a transaction may do nothing. Default 10s, from 10ms to 10m.
    #[serde(with = "duration")]
    pub idle_in_transaction_timeout: Duration,
    /// Whether `serve` brings the schema up to date before it starts. Default false.
    pub migrate: bool,
}

/// The kinds of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, one process.
    Sqlite,
    /// A PostgreSQL server, which several processes may share.
    Postgres,
}

impl Database {
    /// The kind of database that the URL names; SQLite when there is none.
    pub fn engine(&self) -> Engine {
        match &self.url {
            Some(url) if !is_sqlite(url.expose()) => Engine::Postgres,
            _ => Engine::Sqlite,
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if let Some(url) = &self.url
            && let Err(reason) = check_url(url.expose())
        {
            faults.add("database.url", reason);
        }
        faults.range("database.max_connections", self.max_connections, 2..=1000);
        faults.span("database.connect_timeout", self.connect_timeout, SHORTEST, LONGEST);
        faults.span("database.acquire_timeout", self.acquire_timeout, SHORTEST, LONGEST);
        faults.span("database.statement_timeout", self.statement_timeout, SHORTEST, LONGEST);
        faults.span("database.lock_timeout", self.lock_timeout, SHORTEST, LONGEST);
        faults.span(
            "database.idle_in_transaction_timeout",
            self.idle_in_transaction_timeout,
            SHORTEST,
            LONGEST,
        );
        if self.lock_timeout > self.statement_timeout {
            let most = duration::format(self.statement_timeout);
            faults.add(
                "database.lock_timeout",
                format_args!("must not exceed database.statement_timeout ({most})"),
            );
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            max_connections: 10,
            connect_timeout: Duration::from_secs(2),
            acquire_timeout: Duration::from_millis(500),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(10),
            migrate: false,
        }
    }
}

/// The URL of the embedded default, which is made when it is not there. Characters of the folder
/// that mean something in a URL are escaped.
pub(super) fn embedded_url(data_dir: &Path) -> SecretText {
    let mut url = "sqlite://".to_owned();
    for c in data_dir.join("tollkeep.db").to_string_lossy().chars() {
        match c {
            // Writing to a String cannot fail.
            '%' | '?' | '#' => drop(write!(url, "%{:02X}", u32::from(c))),
            _ => url.push(c),
        }
    }
    url.push_str("?mode=rwc");
    SecretText::new(url)
}

/// The URL with the password and every unknown parameter hidden. It errs on the side of hiding:
/// a password with characters that should have been escaped takes the host with it.
pub(super) fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once(':').filter(|_| check_url(url).is_ok()) else {
        return "***".to_owned();
    };
    if is_sqlite(url) {
        let (file, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        return format!("{scheme}:{file}{}", masked_parameters(parameters));
    }
    let rest = rest.trim_start_matches('/');
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (user, place),
        None => ("", rest),
    };
    let user = match user.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None if user.is_empty() => String::new(),
        None => format!("{user}@"),
    };
    let (place, parameters) = place.split_once('?').unwrap_or((place, ""));
    format!("{scheme}://{user}{place}{}", masked_parameters(parameters))
}

fn masked_parameters(parameters: &str) -> String {
    let mut shown = String::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = if SHOWN_PARAMETERS.contains(&name) { value } else { "***" };
        let separator = if shown.is_empty() { '?' } else { '&' };
        // Writing to a String cannot fail.
        let _ = write!(shown, "{separator}{name}={value}");
    }
    shown
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let known = ["postgres://", "postgresql://", "sqlite:"];
    let rest = known.iter().find_map(|scheme| url.strip_prefix(scheme));
    match rest.map(|rest| rest.trim_matches('/')) {
        None => Err("must begin with postgres://, postgresql:// or sqlite:"),
        Some("") => Err("must name a database after the scheme"),
        Some(_) if url.chars().any(|c| c.is_control() || c == ' ') => {
            Err("must have no spaces or control characters")
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_url_hides_what_may_be_a_password() {
        let cases = [
            ("postgres://db/tollkeep", "postgres://db/tollkeep"),
            ("postgres://u@db:5433/t", "postgres://u@db:5433/t"),
            ("postgres://u:canary@db:5433/t", "postgres://u:***@db:5433/t"),
            ("postgresql://u:can@ry/canary?x@db/t", "postgresql://u:***@db/t"),
            (
                "postgres://u:canary@db/t?sslmode=require&sslpassword=canary&x",
                "postgres://u:***@db/t?sslmode=require&sslpassword=***&x=***",
            ),
            ("postgres:///t?host=/tmp&password=canary", "postgres://t?host=/tmp&password=***"),
            ("sqlite:///srv/t.db?mode=rwc&key=canary", "sqlite:///srv/t.db?mode=rwc&key=***"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("canary", "***"),
            ("mysql://u:canary@db/t", "***"),
        ];
        for (url, expected) in cases {
            let masked = masked_url(url);
            assert_eq!(masked, expected);
            assert!(!masked.contains("canary"), "{masked}");
        }
    }

    #[test]
    fn the_embedded_url_names_the_data_folder() {
        let cases = [
            ("data", "sqlite://data/tollkeep.db?mode=rwc"),
            ("/srv/a b", "sqlite:///srv/a b/tollkeep.db?mode=rwc"),
            ("/srv/100%?", "sqlite:///srv/100%25%3F/tollkeep.db?mode=rwc"),
        ];
        for (folder, expected) in cases {
            assert_eq!(embedded_url(Path::new(folder)).expose(), expected);
        }
    }

    #[test]
    fn the_scheme_decides_over_the_engine() {
        let cases = [
            ("", Engine::Sqlite),
            ("sqlite:x", Engine::Sqlite),
            ("postgres://h/d", Engine::Postgres),
        ];
        for (url, expected) in cases {
            let url = Some(SecretText::new(url.to_owned())).filter(|_| !url.is_empty());
            assert_eq!(Database { url, ..Database::default() }.engine(), expected);
        }
    }
}
