//! The databases that are measured: a SQLite file, and a database on a PostgreSQL server.

use sea_orm::sqlx::sqlite::SqliteSynchronous;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use std::time::Duration;
use tempfile::TempDir;

use crate::postgres::PrivateServer;
use crate::program::{ADMIN_KEY, PEPPER, Program};

/// Which of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// The databases that this run measures: both, unless the caller chose one.
pub(crate) fn kinds() -> Vec<Kind> {
    match std::env::var("TOLLKEEP_TEST_DATABASES").as_deref() {
        Ok("sqlite") => vec![Kind::Sqlite],
        Ok("postgres") => vec![Kind::Postgres],
        _ => vec![Kind::Sqlite, Kind::Postgres],
    }
}

/// A place for data that nobody else uses.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    folder: TempDir,
    /// The server that the caller named, as far as its databases.
    given: Option<String>,
    private: Option<PrivateServer>,
}

/// The PostgreSQL server that the caller named.
fn given() -> Option<String> {
    let named = ["DATABASE_URL", "TEST_DATABASE_URL"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|url| url.starts_with("postgres")))?;
    let (base, _) = named.rsplit_once('/')?;
    Some(base.to_owned())
}

/// The name of the database of this run on PostgreSQL.
pub(crate) fn database_name() -> String {
    format!("tollkeep_bench_{}", std::process::id())
}

impl Place {
    pub(crate) async fn make(kind: Kind) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut place = Self { kind, folder, given: None, private: None };
        if kind == Kind::Postgres {
            place.given = given();
            if place.given.is_none() {
                place.private = Some(PrivateServer::start(true)?);
            }
            place.administer(&format!("CREATE DATABASE {}", database_name())).await;
        }
        Ok(place)
    }

    fn postgres_url(&self, database: &str) -> String {
        match (&self.given, &self.private) {
            (Some(base), _) => format!("{base}/{database}"),
            (None, Some(server)) => server.url(database),
            (None, None) => panic!("a place without a server"),
        }
    }

    async fn administer(&self, sql: &str) {
        let database = Database::connect(self.postgres_url("postgres")).await.unwrap();
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    }

    /// The URL for statements past the server, where those are a floor.
    pub(crate) fn plain_url(&self) -> Option<String> {
        (self.kind == Kind::Postgres).then(|| self.postgres_url(&database_name()))
    }

    /// Starts the server on it.
    pub(crate) async fn serve(&self) -> Program {
        let mut environment = vec![
            ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY),
            ("TOLLKEEP__AUTH__PEPPER", PEPPER),
            ("TOLLKEEP__AUTH__KEK", PEPPER),
        ];
        let url = self.plain_url();
        environment.extend(url.as_deref().map(|url| ("DATABASE_URL", url)));
        let migrate: &[&str] = if url.is_some() { &["--migrate"] } else { &[] };
        Program::start(self.folder.path(), &environment, migrate).await
    }

    /// A connection for putting rows in.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        let file = self.folder.path().join("data/tollkeep.db");
        let url = self.plain_url().unwrap_or_else(|| format!("sqlite:{}", file.display()));
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(|options| {
            options.busy_timeout(Duration::from_mins(1)).synchronous(SqliteSynchronous::Off)
        });
        Database::connect(options).await.unwrap()
    }

    /// Removes it. After a panic, a database on a server that the caller named is left behind.
    pub(crate) async fn remove(self) {
        if self.kind == Kind::Postgres {
            self.administer(&format!("DROP DATABASE {} WITH (FORCE)", database_name())).await;
        }
    }
}
