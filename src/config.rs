//! The settings of a Tollkeep process: what there is, where it comes from, and what is wrong
//! with it.
//!
//! Settings are layered: defaults ← `tollkeep.toml` ← environment ← flags. This module holds the
//! whole and the order of the layers; each section is a struct in a file of its own, and its
//! defaults and limits stand there. Nothing outside this module reads the environment, and
//! nothing in here opens a socket or a database.

mod auth;
mod checks;
mod database;
mod duration;
mod faults;
mod http;
mod known;
mod layers;
mod limits;
mod masked;
mod network;
mod rate_limits;
pub mod secret;
mod teams;
mod telemetry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::auth::Auth;
pub use self::checks::Checks;
pub use self::database::{Database, Engine};
pub use self::faults::{ConfigError, Fault};
pub use self::http::{Http, StatusProfile, Switch};
pub use self::limits::Limits;
pub use self::network::Network;
pub use self::rate_limits::{RateLimitStore, RateLimits, StoreChoice};
pub use self::secret::SecretText;
pub use self::teams::Teams;
pub use self::telemetry::{LogFormat, Telemetry};

use self::faults::Faults;
use self::known::Known;
use self::layers::Layers;

/// The file that is read when it exists and `--config` names no other.
pub const DEFAULT_FILE: &str = "tollkeep.toml";

/// Where each setting that is not at its default came from: `http.listen` → `TOLLKEEP_LISTEN`.
pub type Origins = BTreeMap<String, String>;

/// Every setting of a process.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder for what the embedded default keeps: `tollkeep.db` and `secrets.toml`. Default
    /// `tollkeep-data`; a relative path starts at the working directory.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub http: Http,
    /// The database.
    pub database: Database,
    /// Credentials.
    pub auth: Auth,
    /// Bounds on what one request may ask for.
    pub limits: Limits,
    /// Checks of calls.
    pub checks: Checks,
    /// Where the replicas count rate limits together.
    pub rate_limits: RateLimits,
    /// What members may do with teams.
    pub teams: Teams,
    /// What the process says about itself.
    pub telemetry: Telemetry,
    /// Where the settings came from; a setting that is absent here is at its default.
    #[serde(skip)]
    pub origins: Origins,
}

/// What the command line says. It wins over every other source; `None` leaves a setting alone.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`: the file to read instead of `tollkeep.toml`. It must exist.
    pub config: Option<PathBuf>,
    /// `--listen`: `http.listen`.
    pub listen: Option<String>,
    /// `--data-dir`: `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// `--database-url`: `database.url`. Other users of the machine can see it in the process
    /// list, so a URL with a password belongs in the environment or a file.
    pub database_url: Option<SecretText>,
    /// `--migrate`: `database.migrate`.
    pub migrate: Option<bool>,
    /// `--log`: `telemetry.log`.
    pub log: Option<String>,
}

impl Config {
    /// Reads every layer and validates the result. An error lists all faults, not the first one.
    ///
    /// `environment` is usually [`environment()`]; names that are not Tollkeep's are passed over,
    /// and so are variables without a value. The files that `..._FILE` settings name are read
    /// here, once.
    pub fn load(
        overrides: &Overrides,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::load_beside(Path::new(""), overrides, environment)
    }

    /// Checks every setting against its limits, and the settings against each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut faults = Faults::new(self.origins.clone());
        self.check(&mut faults);
        faults.into_result(())
    }

    /// Checks what only `tollkeep serve` needs. The embedded default makes its own secrets;
    /// several processes may share a PostgreSQL database, so there they must be given.
    pub fn validate_serve(&self) -> Result<(), ConfigError> {
        let mut faults = Faults::new(self.origins.clone());
        if self.database.engine() == Engine::Postgres {
            let needed = [
                ("auth.admin_key", "TOLLKEEP_ADMIN_KEY", self.auth.admin_key.is_none()),
                ("auth.pepper", "TOLLKEEP__AUTH__PEPPER", self.auth.pepper.is_none()),
                ("auth.kek", "TOLLKEEP__AUTH__KEK", self.auth.kek.is_none()),
            ];
            for (setting, variable, _) in needed.into_iter().filter(|(_, _, missing)| *missing) {
                faults.add(
                    setting,
                    format_args!(
                        "must be set when the database is PostgreSQL, by {variable} or \
                         {variable}_FILE"
                    ),
                );
            }
        }
        faults.into_result(())
    }

    /// The effective settings as TOML with the source of each, for people to read. A secret is a
    /// comment that says whether it is set, so the text may be shown, and may be used as a
    /// configuration file once the secrets are given in some other way.
    pub fn masked_toml(&self) -> String {
        masked::masked_toml(self)
    }

    /// The database to connect to: `database.url`, or else the SQLite file in the data folder.
    pub fn database_url(&self) -> SecretText {
        self.database.url.clone().unwrap_or_else(|| database::embedded_url(&self.data_dir))
    }

    /// Where the replicas count rate limits together: what `rate_limits.store` names or stands for.
    pub fn rate_limit_store(&self) -> RateLimitStore {
        match (self.rate_limits.store, &self.rate_limits.redis_url) {
            (StoreChoice::Memory, _) => RateLimitStore::Memory,
            (StoreChoice::Database, _) => RateLimitStore::Database,
            (StoreChoice::Redis | StoreChoice::Auto, Some(url)) => {
                RateLimitStore::Redis(url.clone())
            }
            (StoreChoice::Redis | StoreChoice::Auto, None) => match self.database.engine() {
                Engine::Sqlite => RateLimitStore::Memory,
                Engine::Postgres => RateLimitStore::Database,
            },
        }
    }

    fn load_beside(
        folder: &Path,
        overrides: &Overrides,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let known = Known::new();
        let mut layers = Layers::new(&known);
        match &overrides.config {
            Some(path) => layers.read_file(path),
            None => layers.read_file_if_there(&folder.join(DEFAULT_FILE)),
        }
        layers.read_environment(environment);
        layers.read_flags(overrides);

        let (config, mut faults) = layers.finish();
        config.check(&mut faults);
        faults.into_result(config)
    }

    fn check(&self, faults: &mut Faults) {
        let folder = self.data_dir.to_str();
        if !folder.is_some_and(|path| !path.is_empty() && !path.chars().any(char::is_control)) {
            faults.add("data_dir", "must be a path in UTF-8 without control characters");
        }
        self.http.check(faults);
        self.database.check(faults);
        self.auth.check(faults);
        self.limits.check(faults);
        self.checks.check(faults);
        self.rate_limits.check(faults);
        self.telemetry.check(faults);
        if self.limits.document_bytes > self.http.body_limit {
            faults.add(
                "limits.document_bytes",
                format_args!("must not exceed http.body_limit ({})", self.http.body_limit),
            );
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("tollkeep-data"),
            http: Http::default(),
            database: Database::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            checks: Checks::default(),
            rate_limits: RateLimits::default(),
            teams: Teams::default(),
            telemetry: Telemetry::default(),
            origins: Origins::new(),
        }
    }
}

/// The variables of this process that may be Tollkeep's. One of them that is not UTF-8 is an
/// error, because a secret must not be changed in silence.
pub fn environment() -> Result<Vec<(String, String)>, ConfigError> {
    let mut faults = Faults::new(Origins::new());
    let mut found = Vec::new();
    for (name, value) in env::vars_os() {
        let Some(name) = name.to_str().filter(|name| known::is_ours(name)) else { continue };
        match value.into_string() {
            Ok(value) => found.push((name.to_owned(), value)),
            Err(_) => faults.add(name, "holds bytes that are not UTF-8"),
        }
    }
    faults.into_result(found)
}
