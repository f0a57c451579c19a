//! What every test starts from: a server of its own on a database of its own, and people who can
//! only talk to it over HTTP.

pub(crate) mod catalogue;
pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod snapshot;
pub(crate) mod world;

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tollkeep::app::{App, Started};
use tollkeep::clock::Clock;
use tollkeep::config::{Config, Overrides};
use tollkeep::http::serve::{ServeLimits, bind, serve};

pub(crate) use client::{Answer, Client};
pub(crate) use database::{Kind, TestDatabase};

/// The admin key of every test server.
pub(crate) const ADMIN_KEY: &str = "sk-test-bootstrap-0123456789abcdef";
/// The pepper of every test server.
const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The key-encryption key of every test server.
pub(crate) const KEK: &str = "8f7e6d5c4b3a29180716f5e4d3c2b1a08f7e6d5c4b3a29180716f5e4d3c2b1a0";

/// For tests in which many ask at once: all of them have room, however slow the machine is.
pub(crate) const ROOM: &[(&str, &str)] = &[
    ("TOLLKEEP__LIMITS__CONCURRENT_REQUESTS", "1000"),
    ("TOLLKEEP__DATABASE__ACQUIRE_TIMEOUT", "20s"),
];

/// A server under test.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    pub(crate) kind: Kind,
    address: SocketAddr,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<std::io::Result<()>>>,
    url: String,
    _folder: TempDir,
}

/// The instant at which test clocks stand.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

impl TestApp {
    /// Starts a server on a database, with settings beside the usual ones.
    pub(crate) async fn start(database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut environment = vec![
            ("TOLLKEEP_ADMIN_KEY".to_owned(), ADMIN_KEY.to_owned()),
            ("TOLLKEEP__AUTH__PEPPER".to_owned(), PEPPER.to_owned()),
            ("TOLLKEEP__AUTH__KEK".to_owned(), KEK.to_owned()),
            ("TOLLKEEP_DATA_DIR".to_owned(), folder.path().display().to_string()),
            ("DATABASE_URL".to_owned(), database.url()),
        ];
        environment
            .extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::load(&Overrides::default(), environment).unwrap();
        if std::env::var_os("TOLLKEEP_TEST_LOG").is_some() {
            tollkeep::telemetry::init(&config.telemetry);
        }
        let clock = Clock::fixed(noon());
        let Started { app, .. } = App::start(config, Some(clock.clone())).await.unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = tollkeep::http::router(app.clone());
        let shutdown = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(listener, router, ServeLimits::default(), shutdown));
        Self {
            app,
            clock,
            kind: database.kind,
            address,
            http: reqwest::Client::new(),
            stop: Some(stop),
            server: Some(server),
            url: database.url(),
            _folder: folder,
        }
    }

    /// Somebody with a key, or nobody.
    pub(crate) fn with_key(&self, key: Option<&str>) -> Client {
        Client::new(self.http.clone(), self.address, key)
    }

    /// The holder of the bootstrap admin key.
    pub(crate) fn admin(&self) -> Client {
        self.with_key(Some(ADMIN_KEY))
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of its own to the server's database, past the API: for what no caller can do.
    pub(crate) async fn database(&self) -> sea_orm::DatabaseConnection {
        let mut options = sea_orm::ConnectOptions::new(self.url.clone());
        options.max_connections(1).sqlx_logging(false);
        sea_orm::Database::connect(options).await.unwrap()
    }

    /// Stops the server, as a signal would.
    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(server) = self.server.take() {
            server.await.unwrap().unwrap();
        }
        self.app.close().await;
    }
}

/// Runs a test on a fresh server on each database that is to be tested.
pub(crate) async fn on_each_database(test: impl AsyncFn(&TestApp)) {
    on_each_database_with(&[], test).await;
}

/// The same, with settings.
pub(crate) async fn on_each_database_with(settings: &[(&str, &str)], test: impl AsyncFn(&TestApp)) {
    for kind in database::kinds() {
        let database = TestDatabase::create(kind).await;
        let app = TestApp::start(&database, settings).await;
        eprintln!("on {kind:?}");
        test(&app).await;
        app.stop().await;
        database.drop().await;
    }
}
