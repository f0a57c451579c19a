//! The database: connecting to it, and the only ways to read and write.
//!
//! One text of SQL serves SQLite and PostgreSQL; what only one of them has is behind a function of
//! this module. SQLite has one writer, which begins its transactions at once (`BEGIN IMMEDIATE`),
//! and several readers; PostgreSQL has one pool for all, and one for checks of calls.

pub(crate) mod bulk;
pub mod changes;
pub mod commits;
pub mod constraint;
pub mod counted;
pub mod page;
pub mod reader;
pub mod tx;
pub(crate) mod unit;

pub use changes::{Changes, Mark};
pub use commits::Commits;
pub use counted::{Counted, StatementCount};
pub use page::{Cursor, Direction, Page, PageRequest, SortField};
pub use reader::Reader;
pub use tx::{Deployment, RequestInfo, Tx};

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use migration::{Migrator, MigratorTrait};
use sea_orm::sea_query::extension::postgres::PgFunc;
use sea_orm::sea_query::{Expr, ExprTrait, IntoColumnRef, SimpleExpr};
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbBackend, IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Where the data lies.
#[derive(Clone, Debug)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(String),
}

/// How to treat the database (SECURITY 4).
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// The most connections to PostgreSQL, or readers of SQLite.
    pub max_connections: u32,
    /// As many beside them for checks of calls, which nothing else may hold up.
    pub check_connections: u32,
    /// The longest wait for a connection to be made.
    pub connect_timeout: Duration,
    /// The longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// The longest a statement may run.
    pub statement_timeout: Duration,
    /// The longest a statement may wait for a lock; longer than PostgreSQL waits before it looks for
    /// a deadlock (`deadlock_timeout`, 1 s unless the server is set otherwise).
    pub lock_timeout: Duration,
    /// The longest a transaction may stand idle.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            max_connections: 10,
            check_connections: 8,
            connect_timeout: Duration::from_secs(2),
            acquire_timeout: Duration::from_millis(500),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the SQLite file.
    #[error("the database file {0} is in use by another process; stop that process first")]
    InUse(PathBuf),
    /// The folder or the file cannot be used.
    #[error("the database file {path} cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be reached, or refuses.
    #[error("the database cannot be opened")]
    Database(#[from] sea_orm::DbErr),
    /// PostgreSQL has pending migrations.
    #[error(
        "the database needs {0} migration(s); run `tollkeep migrate up`, or start with `--migrate`"
    )]
    Pending(usize),
}

/// An open database.
#[derive(Clone, Debug)]
pub struct Database {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    checks: DatabaseConnection,
    _lock: Option<std::sync::Arc<File>>,
}

/// The number under which PostgreSQL knows the lock that migrations take.
const MIGRATION_LOCK: i64 = 0x746f_6c6c_6b65_6570;

impl Database {
    /// Opens the database.
    ///
    /// # Errors
    /// When it cannot be reached, or another process has the SQLite file.
    pub async fn open(location: &Location, settings: &DatabaseSettings) -> Result<Self, OpenError> {
        match location {
            Location::Sqlite(path) => open_sqlite(path, settings).await,
            Location::Postgres(url) => open_postgres(url, settings).await,
        }
    }

    /// Opens a database that is there for reading alone, beside a process that has the SQLite file.
    ///
    /// # Errors
    /// When it cannot be reached, or is not there.
    pub async fn open_to_read(
        location: &Location,
        settings: &DatabaseSettings,
    ) -> Result<Self, OpenError> {
        match location {
            Location::Sqlite(path) => {
                let reader = connect_sqlite(path, settings, 1, |options| {
                    options.create_if_missing(false).read_only(true)
                });
                let reader = reader.await?;
                let (writer, checks) = (reader.clone(), reader.clone());
                Ok(Self { writer, reader, checks, _lock: None })
            }
            Location::Postgres(url) => {
                let one = DatabaseSettings {
                    max_connections: 1,
                    check_connections: 1,
                    ..settings.clone()
                };
                open_postgres(url, &one).await
            }
        }
    }

    /// What is in the database at one moment, whatever others write meanwhile; for reading alone.
    ///
    /// # Errors
    /// What the database answers.
    #[expect(clippy::disallowed_methods, reason = "nothing is written in it")]
    pub(crate) async fn snapshot(&self) -> Result<DatabaseTransaction> {
        let options = match self.backend() {
            // A transaction of SQLite sees what there was when it first read.
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..TransactionOptions::default()
            },
            _ => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        };
        Ok(self.reader.begin_with_options(options).await?)
    }

    /// Which of the two databases this is.
    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// The connections for reading.
    pub(crate) fn reading(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// The connections for what gateways hold and report, and for what counts their rates: on PostgreSQL
    /// those of checks, which no query of people uses up; SQLite has one writer.
    pub(crate) fn accounting(&self) -> &DatabaseConnection {
        if self.backend() == DbBackend::Sqlite { &self.writer } else { &self.checks }
    }

    /// The connections for checks of calls: they read.
    pub(crate) fn checking(&self) -> &DatabaseConnection {
        &self.checks
    }

    /// The connections for writing.
    pub(crate) fn writing(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction over counters that no person writes and no audit event tells of, such
    /// as those of rate limits, and locks those of the given ids, which are in ascending order. It
    /// need not outlive a crash of the database.
    #[expect(clippy::disallowed_methods, reason = "counters are not audited")]
    pub(crate) async fn begin_counting<'a>(
        &self,
        ids: impl Iterator<Item = &'a Uuid> + Send,
    ) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.accounting().begin_with_options(options).await?;
        if self.backend() == DbBackend::Postgres {
            let locks: Vec<_> =
                ids.map(|id| format!("({})", id.as_u64_pair().0.cast_signed())).collect();
            let sql = format!(
                "SET LOCAL synchronous_commit = off; \
                 SELECT pg_advisory_xact_lock(id) FROM (VALUES {}) AS counters (id)",
                locks.join(", ")
            );
            transaction.execute_unprepared(&sql).await?;
        }
        Ok(transaction)
    }

    /// The number of migrations that the database lacks.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn pending_migrations(&self) -> Result<usize, OpenError> {
        Ok(Migrator::get_pending_migrations_read_only(&self.writer).await?.len())
    }

    /// Applies all pending migrations; on PostgreSQL, one process at a time.
    ///
    /// # Errors
    /// When a step fails; it then has changed nothing.
    #[expect(
        clippy::disallowed_methods,
        reason = "the lock of a migration is held by a transaction"
    )]
    pub async fn migrate(&self) -> Result<(), OpenError> {
        if self.backend() == DbBackend::Sqlite {
            Migrator::up(&self.writer, None).await?;
            return Ok(());
        }
        let lock = self.writer.begin().await?;
        let sql = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
        );
        lock.execute_unprepared(&sql).await?;
        Migrator::up(&self.writer, None).await?;
        lock.commit().await?;
        Ok(())
    }

    /// Takes back the last `steps` migrations, or all.
    ///
    /// # Errors
    /// When a step fails; it then has changed nothing.
    pub async fn migrate_down(&self, steps: Option<u32>) -> Result<(), OpenError> {
        Migrator::down(&self.writer, steps).await?;
        Ok(())
    }

    /// The name and state of every migration, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn migrations(&self) -> Result<Vec<(String, bool)>, OpenError> {
        let pending = Migrator::get_pending_migrations_read_only(&self.writer).await?;
        let pending: Vec<_> = pending.iter().map(|step| step.name().to_owned()).collect();
        let all = Migrator::get_migration_files();
        let state = |name: &str| !pending.iter().any(|step| step == name);
        Ok(all.iter().map(|step| (step.name().to_owned(), state(step.name()))).collect())
    }

    /// The database's clock; also the proof that it answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        if self.backend() == DbBackend::Sqlite {
            let statement = Statement::from_string(DbBackend::Sqlite, "SELECT 1");
            self.reader.query_one_raw(statement).await?;
            return Ok(crate::clock::Clock::system().now());
        }
        let statement =
            Statement::from_string(DbBackend::Postgres, "SELECT clock_timestamp() AS now");
        let row = self.reader.query_one_raw(statement).await?.ok_or(Error::Unavailable)?;
        Ok(row.try_get::<DateTime<Utc>>("", "now")?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        // The answers are of no use: the process ends.
        let _ = self.checks.clone().close().await;
        let _ = self.reader.clone().close().await;
        let _ = self.writer.clone().close().await;
    }
}

/// The condition that a column has one of these ids. PostgreSQL takes them as one value, so that the
/// text of the statement, and with it its plan, is the same for any number of them.
pub(crate) fn among(
    db: &impl ConnectionTrait,
    column: impl IntoColumnRef,
    ids: impl IntoIterator<Item = Uuid>,
) -> SimpleExpr {
    if db.get_database_backend() == DbBackend::Postgres {
        let ids: Vec<_> = ids.into_iter().collect();
        Expr::col(column).eq(PgFunc::any(Expr::val(ids)))
    } else {
        Expr::col(column).is_in(ids)
    }
}

async fn open_sqlite(path: &Path, settings: &DatabaseSettings) -> Result<Database, OpenError> {
    let lock_path = path.with_extension("lock");
    let fault = |source| OpenError::File { path: path.to_owned(), source };
    let lock =
        File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(fault)?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => OpenError::InUse(path.to_owned()),
        std::fs::TryLockError::Error(source) => fault(source),
    })?;
    // A new file is for its owner alone, and SQLite gives the files beside it the same mode.
    let mut file = File::options();
    file.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    file.open(path).map_err(fault)?;
    let served = |query_only: &'static str| {
        move |options: SqliteConnectOptions| {
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("query_only", query_only)
        }
    };
    let writer = connect_sqlite(path, settings, 1, served("OFF")).await?;
    let reader = connect_sqlite(path, settings, settings.max_connections, served("ON")).await?;
    let checks = connect_sqlite(path, settings, settings.check_connections, served("ON")).await?;
    Ok(Database { writer, reader, checks, _lock: Some(std::sync::Arc::new(lock)) })
}

async fn connect_sqlite(
    path: &Path,
    settings: &DatabaseSettings,
    connections: u32,
    adapt: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> Result<DatabaseConnection, OpenError> {
    let busy = settings.lock_timeout;
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite://tollkeep");
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(settings.acquire_timeout.max(Duration::from_secs(2)))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        // SQLite ends a transaction by itself when the disk is full or broken. The driver then fails to roll
        // it back, takes the connection for one with an open transaction for ever, and would make parts of
        // that of all later ones: nothing of them would be kept.
        .map_sqlx_sqlite_pool_opts(|options| {
            options.before_acquire(|connection, _| {
                Box::pin(std::future::ready(Ok(!connection.is_in_transaction())))
            })
        })
        .map_sqlx_sqlite_opts(move |options| {
            adapt(options)
                .filename(&path)
                .foreign_keys(true)
                .busy_timeout(busy)
                .pragma("temp_store", "MEMORY")
                .statement_cache_capacity(200)
        });
    Ok(sea_orm::Database::connect(options).await?)
}

async fn open_postgres(url: &str, settings: &DatabaseSettings) -> Result<Database, OpenError> {
    let timeouts = [
        ("statement_timeout", settings.statement_timeout),
        ("lock_timeout", settings.lock_timeout),
        ("idle_in_transaction_session_timeout", settings.idle_in_transaction_timeout),
    ]
    .map(|(name, value)| (name, value.as_millis().to_string()));
    let connect = |connections: u32| {
        let timeouts = timeouts.clone();
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(connections)
            .min_connections(1)
            .connect_timeout(settings.connect_timeout)
            .acquire_timeout(settings.acquire_timeout.max(settings.connect_timeout))
            .test_before_acquire(false)
            .sqlx_logging(false)
            .record_stmt_in_spans(false)
            .map_sqlx_postgres_opts(move |options| {
                options
                    .application_name("tollkeep")
                    .options(timeouts.clone())
                    .options([("synchronous_commit", "on")])
                    .statement_cache_capacity(500)
            });
        options
    };
    let pool = sea_orm::Database::connect(connect(settings.max_connections)).await?;
    let checks = sea_orm::Database::connect(connect(settings.check_connections)).await?;
    Ok(Database { writer: pool.clone(), reader: pool, checks, _lock: None })
}
