//! A database for each test: a SQLite file, or a PostgreSQL database made from a template.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectOptions, ConnectionTrait};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tollkeep::db::{Database, DatabaseSettings, Location};

use super::postgres::PrivateServer;

/// Which of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// The databases that this run tests: both, unless the caller chose one.
pub(crate) fn kinds() -> Vec<Kind> {
    match std::env::var("TOLLKEEP_TEST_DATABASES").as_deref() {
        Ok("sqlite") => vec![Kind::Sqlite],
        Ok("postgres") => vec![Kind::Postgres],
        Ok(other) => {
            panic!("TOLLKEEP_TEST_DATABASES is {other:?}; write sqlite or postgres, or unset it")
        }
        Err(_) => vec![Kind::Sqlite, Kind::Postgres],
    }
}

/// A database of one test.
pub(crate) struct TestDatabase {
    pub(crate) kind: Kind,
    name: String,
    folder: Option<TempDir>,
}

static SERVER: OnceLock<Result<PrivateServer, String>> = OnceLock::new();
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The URL of a database on the server that tests use: the caller's, or one of our own.
fn postgres_url(database: &str) -> String {
    if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
        let (base, query) =
            url.split_once('?').map_or((url.as_str(), ""), |(url, query)| (url, query));
        let base = base.rsplit_once('/').map_or(base, |(base, _)| base);
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        return format!("{base}/{database}{query}");
    }
    match SERVER.get_or_init(|| PrivateServer::start(false)) {
        Ok(server) => server.url(database),
        Err(message) => panic!("{message}"),
    }
}

async fn execute(database: &str, sql: &str) {
    let mut options = ConnectOptions::new(postgres_url(database));
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    connection.execute_unprepared(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// The migrated database from which all others are made.
async fn template() -> &'static str {
    TEMPLATE
        .get_or_init(|| async {
            let name = format!("tollkeep_template_{}", std::process::id());
            execute("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            execute("postgres", &format!("CREATE DATABASE {name}")).await;
            let location = Location::Postgres(postgres_url(&name));
            let database = Database::open(&location, &DatabaseSettings::default()).await.unwrap();
            database.migrate().await.unwrap();
            database.close().await;
            name
        })
        .await
}

impl TestDatabase {
    /// A migrated database without rows.
    pub(crate) async fn create(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::empty(kind).await,
            Kind::Postgres => {
                let template = template().await;
                let name = Self::next_name();
                execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
                Self { kind, name, folder: None }
            }
        }
    }

    /// A database without tables.
    pub(crate) async fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let name = folder.path().join("tollkeep.db").display().to_string();
                Self { kind, name, folder: Some(folder) }
            }
            Kind::Postgres => {
                let name = Self::next_name();
                execute("postgres", &format!("CREATE DATABASE {name}")).await;
                Self { kind, name, folder: None }
            }
        }
    }

    fn next_name() -> String {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("tollkeep_test_{}_{number}", std::process::id())
    }

    /// The URL, as a setting takes it.
    pub(crate) fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:{}", self.name),
            Kind::Postgres => postgres_url(&self.name),
        }
    }

    /// The location, as the library takes it.
    pub(crate) fn location(&self) -> Location {
        match self.kind {
            Kind::Sqlite => Location::Sqlite(self.name.clone().into()),
            Kind::Postgres => Location::Postgres(self.url()),
        }
    }

    /// Removes the database.
    pub(crate) async fn drop(self) {
        if self.folder.is_none() {
            execute("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        }
    }
}
