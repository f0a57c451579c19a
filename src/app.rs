//! The composition root: from a configuration to a server. The only place that knows all parts.

mod examination;
mod kek;
mod rotation;

pub use examination::{Breach, Kind, Summary, doctor, examine};
pub use rotation::{RotationError, rotate};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use entity::setting;
use entity::value::Digest;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, DbErr, EntityTrait, IntoActiveModel};
use tokio::time::MissedTickBehavior;

use crate::authn::Authenticator;
use crate::authn::last_used::LastUsed;
use crate::clock::{Clock, fill_random};
use crate::config::{Config, Engine as DatabaseEngine};
use crate::db::{Commits, Database, DatabaseSettings, Deployment, Location, OpenError};
use crate::domain::ledger::{Ledger, Worker, cost};
use crate::enforcement::rates::Rates;
use crate::enforcement::{Enforcement, Settings as EnforcementSettings};
use crate::graphql::engine::{Engine, EngineError, EngineLimits};
use crate::http::admission::Admission;
use crate::http::check;
use crate::http::guard::measure::MeasureLimits;
use crate::http::guard::scan::ScanLimits;
use crate::http::threads::Threads;
use crate::rate_limit::{self, RateLimiter};
use crate::rules::Rules;
use crate::sealing::Keyring;
use crate::secret::{Pepper, Secret, digest_of, hex};
use crate::secrets_file::{self, Created, SecretsFile};

/// Why a server cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The secrets file.
    #[error(transparent)]
    Secrets(#[from] secrets_file::Error),
    /// The schema.
    #[error(transparent)]
    Schema(#[from] EngineError),
    /// The database was written with another pepper.
    #[error(
        "the pepper is not the one that this database was written with; with it no key would work: \
         give the old one (auth.pepper, or secrets.toml in the data folder)"
    )]
    WrongPepper,
    /// Secrets in the database were sealed with a key-encryption key that is not loaded.
    #[error(
        "the key-encryption key is not the one with which the secrets in this database were sealed; \
         without it they are lost: give the old one (auth.kek or auth.former_keks, or secrets.toml in \
         the data folder)"
    )]
    WrongKek,
    /// The database does not answer.
    #[error("the database does not answer")]
    Unavailable(#[from] crate::error::Error),
    /// The system gives this process no more threads.
    #[error("the threads for GraphQL requests cannot be started: allow this process more of them")]
    Threads(#[source] std::io::Error),
}

struct Parts {
    config: Config,
    deployment: Deployment,
    authenticator: Authenticator,
    engine: Engine,
    enforcement: Enforcement,
    check_headers: Arc<check::Headers>,
    ledger: Ledger,
    last_used: LastUsed,
    admission: Admission,
    threads: Threads,
    draining: AtomicBool,
}

/// A server, ready to take requests. Clones share everything.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}

/// A server that was just made, and what its first start made.
#[derive(Debug)]
pub struct Started {
    /// The server.
    pub app: App,
    /// The admin key, when this start made one.
    pub new_admin_key: Option<NewAdminKey>,
}

/// An admin key that this start made. Until it is kept, no later start knows of it: show it first,
/// so that no start that fails leaves a key behind that nobody has seen.
#[derive(Debug)]
pub struct NewAdminKey {
    key: Secret,
    digest: [u8; 32],
    file: SecretsFile,
}

impl NewAdminKey {
    /// The key, to be shown once.
    pub fn expose(&self) -> &str {
        self.key.expose()
    }

    /// Stores the digest of the key.
    ///
    /// # Errors
    /// When the secrets file cannot be written: the key then ends with this process.
    pub fn keep(mut self) -> Result<(), secrets_file::Error> {
        self.file.set_admin_key_digest(self.digest)
    }
}

impl App {
    /// Opens the database, brings it up to date where that is allowed, and makes the server.
    ///
    /// # Errors
    /// Everything that keeps a server from starting; each says what to do.
    pub async fn start(config: Config, clock: Option<Clock>) -> Result<Started, StartError> {
        let file = Secrets::file(&config)?;
        let database = open(&config).await?;
        let proof = pepper_proof(&database).await?;
        let sealed = kek::sentinel(&database).await?.is_some();
        let secrets = Secrets::complete(&config, file, proof.is_some(), sealed)?;
        let sampled = clock.is_none();
        let clock = clock.unwrap_or_else(Clock::system);
        clock.follow(database.now().await?);
        let deployment = Deployment {
            database,
            clock,
            rules: Arc::new(Rules {
                self_serve_teams: config.teams.self_serve,
                metadata_bytes: config.limits.metadata_bytes,
                max_rotation_grace: config.auth.max_rotation_grace,
            }),
            pepper: Arc::new(secrets.pepper),
            keyring: Arc::new(secrets.keyring),
            commits: Commits::default(),
        };
        check_pepper(&deployment).await?;
        kek::check(&deployment).await?;
        let last_used = LastUsed::new(config.auth.last_used_interval);
        let bootstrap = Some(secrets.admin_key);
        let rates = {
            let Deployment { database, clock, .. } = &deployment;
            Rates::new(RateLimiter::start(&config, database.clone(), clock, sampled).await)
        };
        let settings = enforcement_settings(&config);
        let enforcement = Enforcement::start(&deployment, settings, rates).await?;
        let (ledger, workers) = Ledger::new(&deployment);
        let parts = Parts {
            authenticator: Authenticator::new(&deployment, bootstrap, last_used.clone()),
            engine: Engine::new(engine_limits(&config))?,
            enforcement,
            check_headers: Arc::new(check::Headers::new(&config.checks.header_prefix)),
            ledger,
            deployment,
            last_used,
            admission: Admission::new(
                config.limits.concurrent_requests,
                config.database.acquire_timeout,
            ),
            threads: Threads::start().map_err(StartError::Threads)?,
            config,
            draining: AtomicBool::new(false),
        };
        let app = Self(Arc::new(parts));
        app.spawn(sampled);
        app.spawn_ledger(workers);
        Ok(Started { app, new_admin_key: secrets.new_admin_key })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Room for GraphQL requests.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// The threads on which GraphQL requests are worked on.
    pub(crate) fn threads(&self) -> &Threads {
        &self.0.threads
    }

    /// What all requests share.
    pub fn deployment(&self) -> &Deployment {
        &self.0.deployment
    }

    /// The checker of credentials.
    pub fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The engine of the API.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The service of enforcement.
    pub fn enforcement(&self) -> &Enforcement {
        &self.0.enforcement
    }

    /// The names of the headers that checks answer with.
    pub fn check_headers(&self) -> &check::Headers {
        &self.0.check_headers
    }

    /// The notes of when keys were last used.
    pub fn last_used(&self) -> &LastUsed {
        &self.0.last_used
    }

    /// What counts the requests and tokens of limits.
    pub fn rate_limiter(&self) -> &RateLimiter {
        self.0.enforcement.rates().limiter()
    }

    /// Whether a shutdown is under way.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Says that a shutdown is under way: readiness ends, requests go on.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Writes what waits to be written, gives back what is held of limits, and closes the database.
    pub async fn close(&self) {
        self.0.enforcement.stop();
        self.write_last_used().await;
        self.rate_limiter().close(self.0.deployment.clock.now()).await;
        self.0.deployment.database.close().await;
    }

    /// Writes the last uses of keys that were noted.
    pub async fn write_last_used(&self) {
        let deployment = self.deployment();
        let now = deployment.clock.now();
        if let Err(error) = self.0.last_used.write(&deployment.database, now).await {
            tracing::warn!(error = ?error, "the last uses of keys could not be written");
        }
    }

    /// Starts the workers of the ledger, which end when the server is gone, and the sweep of
    /// reservations that are out of time.
    #[expect(clippy::disallowed_methods, reason = "the one place that starts background work")]
    fn spawn_ledger(&self, workers: Vec<Worker>) {
        for worker in workers {
            tokio::spawn(worker.run());
        }
        tokio::task::spawn_blocking(cost::warm_up);
        let parts = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(SWEEP);
            tick.tick().await;
            loop {
                tick.tick().await;
                let Some(parts) = parts.upgrade() else { break };
                if parts.draining.load(Ordering::Relaxed) {
                    break;
                }
                if let Err(error) = parts.ledger.expire().await {
                    tracing::warn!(error = ?error, "reservations out of time could not be swept");
                }
            }
        });
    }

    /// Starts the work in the background: it ends with the server.
    #[expect(clippy::disallowed_methods, reason = "the one place that starts background work")]
    fn spawn(&self, sampled: bool) {
        tokio::spawn(self.0.enforcement.work());
        tokio::spawn(self.every(Duration::from_secs(10), move |app: Self| async move {
            app.write_last_used().await;
            let deployment = app.deployment();
            if sampled {
                match deployment.database.now().await {
                    Ok(now) => deployment.clock.follow(now),
                    Err(error) => {
                        tracing::warn!(error = ?error, "the database's clock could not be read");
                    }
                }
            }
        }));
        tokio::spawn(self.every(rate_limit::TICK, |app: Self| async move {
            app.rate_limiter().tick(app.deployment().clock.now()).await;
        }));
    }

    /// Does something again and again, until a shutdown begins.
    fn every<W, F>(&self, period: Duration, work: W) -> impl Future<Output = ()> + use<W, F>
    where
        W: Fn(Self) -> F,
        F: Future<Output = ()>,
    {
        let parts = Arc::downgrade(&self.0);
        async move {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            tick.tick().await;
            loop {
                tick.tick().await;
                let Some(parts) = parts.upgrade() else { break };
                let app = Self(parts);
                if app.is_draining() {
                    break;
                }
                work(app).await;
            }
        }
    }
}

struct Secrets {
    pepper: Pepper,
    keyring: Keyring,
    admin_key: Digest,
    new_admin_key: Option<NewAdminKey>,
}

impl Secrets {
    /// The secrets file, if the configuration leaves something to it and an earlier start made it.
    fn file(config: &Config) -> Result<Option<SecretsFile>, StartError> {
        let auth = &config.auth;
        if auth.pepper_bytes().is_some() && auth.admin_key.is_some() && auth.kek.is_some() {
            return Ok(None);
        }
        Ok(SecretsFile::find(&config.data_dir)?)
    }

    /// The pepper and the admin key: of the configuration, else of the secrets file, which the
    /// embedded default makes on its first start. When the database was written with the pepper of
    /// a file that is gone, no other is made.
    fn complete(
        config: &Config,
        file: Option<SecretsFile>,
        database_in_use: bool,
        sealed: bool,
    ) -> Result<Self, StartError> {
        let configured = config.auth.pepper_bytes().map(|bytes| Pepper::new(*bytes));
        let given = config.auth.admin_key.as_ref();
        let (pepper, file) = match (configured, file) {
            (Some(pepper), file) => (pepper, file),
            (None, Some(file)) => (Pepper::new(*file.pepper()), Some(file)),
            (None, None) if database_in_use => {
                let path = config.data_dir.join(secrets_file::FILE_NAME);
                return Err(secrets_file::Error::Lost { path }.into());
            }
            (None, None) => {
                let file = Self::make_file(config)?;
                (Pepper::new(*file.pepper()), Some(file))
            }
        };
        let (keyring, file) = kek::complete(config, file, sealed)?;
        if let Some(key) = given {
            let admin_key = digest_of(key.expose(), &pepper);
            return Ok(Self { pepper, keyring, admin_key, new_admin_key: None });
        }
        let file = match file {
            Some(file) => file,
            None => Self::make_file(config)?,
        };
        if let Some(digest) = file.admin_key_digest() {
            let admin_key = Digest(digest.to_vec());
            return Ok(Self { pepper, keyring, admin_key, new_admin_key: None });
        }
        let key = Secret::generate(entity::role::ApiKeyKind::Admin);
        let admin_key = key.digest(&pepper);
        let mut digest = [0; 32];
        digest.copy_from_slice(&admin_key.0);
        Ok(Self {
            pepper,
            keyring,
            admin_key,
            new_admin_key: Some(NewAdminKey { key, digest, file }),
        })
    }

    pub(crate) fn make_file(config: &Config) -> Result<SecretsFile, StartError> {
        let random = &mut |buffer: &mut [u8]| fill_random(buffer);
        let (file, created) = SecretsFile::load_or_create(&config.data_dir, random)?;
        if matches!(created, Created::Now) {
            tracing::info!(path = %file.path().display(), "made the secrets file");
        }
        Ok(file)
    }
}

fn database_settings(config: &Config) -> DatabaseSettings {
    DatabaseSettings {
        max_connections: config.database.max_connections,
        check_connections: config.checks.connections,
        connect_timeout: config.database.connect_timeout,
        acquire_timeout: config.database.acquire_timeout,
        statement_timeout: config.database.statement_timeout,
        lock_timeout: config.database.lock_timeout,
        idle_in_transaction_timeout: config.database.idle_in_transaction_timeout,
    }
}

pub(crate) async fn open(config: &Config) -> Result<Database, StartError> {
    let location = location(config);
    let database = Database::open(&location, &database_settings(config)).await?;
    let embedded = matches!(location, Location::Sqlite(_));
    match database.pending_migrations().await? {
        0 => {}
        _ if embedded || config.database.migrate => database.migrate().await?,
        pending => return Err(OpenError::Pending(pending).into()),
    }
    Ok(database)
}

/// Where the data lies.
pub fn location(config: &Config) -> Location {
    let url = config.database_url();
    match config.database.engine() {
        DatabaseEngine::Postgres => Location::Postgres(url.expose().to_owned()),
        DatabaseEngine::Sqlite => {
            let text = url.expose();
            let path = text
                .strip_prefix("sqlite://")
                .or_else(|| text.strip_prefix("sqlite:"))
                .unwrap_or(text);
            Location::Sqlite(path.split('?').next().unwrap_or(path).into())
        }
    }
}

/// How often reservations that are out of time are swept. Nobody waits for it: whatever is refused
/// for want of room looks for them itself.
const SWEEP: Duration = Duration::from_secs(2);

/// The name of the setting that proves the pepper.
const PEPPER_PROOF: &str = "pepper_proof";

/// What proves the pepper with which the database was written; none before its first start.
#[expect(clippy::disallowed_methods, reason = "before there is any caller")]
async fn pepper_proof(database: &Database) -> Result<Option<serde_json::Value>, StartError> {
    let stored = setting::Entity::find_by_id(PEPPER_PROOF.to_owned()).one(database.writing());
    let stored = stored.await.map_err(crate::error::Error::from)?;
    Ok(stored.map(|row| row.value))
}

/// A database that was written with another pepper knows none of our keys: better not to start. Of
/// servers that make their first start together, one proves its pepper, and all compare.
async fn check_pepper(deployment: &Deployment) -> Result<(), StartError> {
    let proof = serde_json::Value::String(hex(&deployment.pepper.mac(b"tollkeep pepper proof v1")));
    let row = setting::Model {
        name: PEPPER_PROOF.to_owned(),
        value: proof.clone(),
        updated_at: deployment.clock.now(),
    };
    let insert = setting::Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::column(setting::Column::Name).do_nothing().to_owned());
    match insert.exec_without_returning(deployment.database.writing()).await {
        Ok(_) | Err(DbErr::RecordNotInserted) => {}
        Err(error) => return Err(crate::error::Error::from(error).into()),
    }
    match pepper_proof(&deployment.database).await? {
        Some(stored) if stored == proof => Ok(()),
        _ => Err(StartError::WrongPepper),
    }
}

fn enforcement_settings(config: &Config) -> EnforcementSettings {
    let checks = &config.checks;
    EnforcementSettings {
        keys: checks.keys,
        unknown: checks.unknown,
        end_users: checks.end_users,
        tags: checks.tags,
        poll_interval: checks.poll_interval,
        change_log: checks.change_log,
    }
}

fn engine_limits(config: &Config) -> EngineLimits {
    let limits = &config.limits;
    EngineLimits {
        scan: ScanLimits {
            bytes: limits.document_bytes,
            tokens: limits.tokens,
            ..ScanLimits::default()
        },
        measure: MeasureLimits {
            fields: limits.fields as u64,
            depth: limits.depth as u64,
            aliases: limits.aliases as u64,
            cost: limits.cost,
            ..MeasureLimits::default()
        },
        documents: limits.document_cache as u64,
        deadline: config.http.request_timeout,
        introspection: matches!(config.http.introspection, crate::config::Switch::On),
    }
}
