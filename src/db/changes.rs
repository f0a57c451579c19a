//! The change log, as caches follow it: what changed since a mark, and nothing left out.
//!
//! PostgreSQL commits in another order than it hands out revisions, so that a row may appear behind
//! one that was read. Each row tells its transaction, and each read the oldest transaction that was
//! under way; the next read begins there, and passes over the rows that it knows. What was committed
//! is seen at once, and what commits late is seen later, however late (`docs/adr/0034-caches-follow-the-change-log.md`).
//! SQLite has one writer, which commits in the order of revisions.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::change_log;
use entity::role::EntityKind;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryResult,
    RuntimeErr, SqlxError, Statement,
};
use uuid::Uuid;

use super::{Counted, Database, StatementCount};
use crate::audit::Touched;
use crate::error::{Error, Result};

/// The most changes that are followed one by one.
const MOST: u64 = 10_000;

/// The channel on which replicas wake each other.
const CHANNEL: &str = "tollkeep_changes";

/// The most rows of the log that one statement prunes.
const PRUNED: u64 = 10_000;

/// How far a reader of the change log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The oldest transaction that may still commit; on SQLite, nothing.
    horizon: i64,
    /// The rows of that transaction and of later ones that were read.
    known: BTreeSet<i64>,
    /// The highest revision that was read.
    pub revision: i64,
    /// When it was read, by the database's clock.
    pub at: DateTime<Utc>,
}

/// What changed since a mark.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The objects; none when there were too many to be told, and when some were pruned before they
    /// were read.
    pub changed: Option<Vec<Touched>>,
    /// Where to go on.
    pub mark: Mark,
}

impl Database {
    /// The mark of now: what is read from the database after this is what stands before it, or is
    /// told as a change later.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn mark(&self) -> Result<Mark> {
        let begin = Mark {
            horizon: i64::MAX,
            known: BTreeSet::new(),
            revision: i64::MAX,
            at: DateTime::UNIX_EPOCH,
        };
        Ok(self.changes(&begin, &StatementCount::default()).await?.mark)
    }

    /// What changed since a mark.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn changes(&self, since: &Mark, count: &StatementCount) -> Result<Changes> {
        let db = Counted::new(self.checking().clone(), count.clone());
        match self.backend() {
            DbBackend::Postgres => postgres(&db, since).await,
            _ => sqlite(&db, since).await,
        }
    }

    /// Removes rows of the change log from before an instant; some of them, when there are many. The
    /// newest stays, so that the log tells how far it went.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn prune_changes(&self, before: DateTime<Utc>) -> Result<()> {
        let oldest = Query::select()
            .columns(["revision", "occurred_at"])
            .from("change_log")
            .order_by("revision", sea_orm::sea_query::Order::Asc)
            .limit(PRUNED)
            .to_owned();
        let newest =
            Query::select().expr(Expr::col("revision").max()).from("change_log").to_owned();
        let old = Query::select()
            .column("revision")
            .from_subquery(oldest, "oldest")
            .and_where(Expr::col("occurred_at").lt(before))
            .and_where(Expr::col("revision").not_in_subquery(newest))
            .to_owned();
        change_log::Entity::delete_many()
            .filter(change_log::Column::Revision.in_subquery(old))
            .exec(self.writing())
            .await?;
        Ok(())
    }

    /// Wakes those who listen for changes, on PostgreSQL: a hint, and never the truth.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn announce_changes(&self) -> Result<()> {
        if self.backend() == DbBackend::Postgres {
            self.checking().execute_unprepared(&format!("NOTIFY {CHANNEL}")).await?;
        }
        Ok(())
    }

    /// Calls a function whenever a change is announced, until the connection is lost. It never ends
    /// on SQLite, where nobody announces anything.
    ///
    /// # Errors
    /// When the database does not answer, or does not let anybody listen.
    pub async fn hear_changes(&self, heard: impl Fn()) -> Result<()> {
        if self.backend() != DbBackend::Postgres {
            return std::future::pending().await;
        }
        let pool = self.checking().get_postgres_connection_pool();
        let lost =
            |error: SqlxError| Error::Database(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))));
        let mut listener =
            sea_orm::sqlx::postgres::PgListener::connect_with(pool).await.map_err(lost)?;
        listener.listen(CHANNEL).await.map_err(lost)?;
        while listener.try_recv().await.map_err(lost)?.is_some() {
            heard();
        }
        Ok(())
    }
}

const POSTGRES: &str = "
WITH moment AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS beyond,
           statement_timestamp() AS now,
           coalesce((SELECT min(revision) FROM change_log), 0) AS oldest,
           coalesce((SELECT max(revision) FROM change_log), 0) AS newest
)
SELECT moment.horizon, moment.now, moment.oldest, moment.newest,
       log.revision, log.transaction_id, log.entity_kind, log.entity_id
FROM moment
LEFT JOIN change_log log ON log.transaction_id >= $1 AND log.transaction_id < moment.beyond
ORDER BY log.revision
LIMIT $2";

/// Rows of a database that was brought here from another server may tell of transactions that are
/// still to come here; what can be seen has a number below that of the next one to begin.
async fn postgres(db: &impl ConnectionTrait, since: &Mark) -> Result<Changes> {
    let values = [since.horizon.into(), most().into()];
    let rows = db
        .query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, POSTGRES, values))
        .await?;
    let first = rows.first().ok_or(Error::Unavailable)?;
    let horizon: i64 = first.try_get("", "horizon")?;
    let at: DateTime<Utc> = first.try_get("", "now")?;
    let mut known = BTreeSet::new();
    let mut changed = Vec::new();
    for row in &rows {
        let Some(revision) = row.try_get::<Option<i64>>("", "revision")? else { continue };
        if row.try_get::<i64>("", "transaction_id")? >= horizon {
            known.insert(revision);
        }
        if !since.known.contains(&revision) {
            changed.push(touched(row)?);
        }
    }
    let told = rows.len() as u64 <= MOST && is_gapless(first, since)?;
    let mark = Mark { horizon, known, revision: revision(first, since)?, at };
    Ok(Changes { changed: told.then_some(changed), mark })
}

const SQLITE: &str = "
WITH moment AS (
    SELECT coalesce((SELECT min(revision) FROM change_log), 0) AS oldest,
           coalesce((SELECT max(revision) FROM change_log), 0) AS newest
)
SELECT moment.oldest, moment.newest, log.revision, log.entity_kind, log.entity_id
FROM moment
LEFT JOIN change_log log ON log.revision > ?
ORDER BY log.revision
LIMIT ?";

async fn sqlite(db: &impl ConnectionTrait, since: &Mark) -> Result<Changes> {
    // Its clock is that of this machine.
    let at = crate::clock::Clock::system().now();
    let values = [since.revision.into(), most().into()];
    let rows =
        db.query_all_raw(Statement::from_sql_and_values(DbBackend::Sqlite, SQLITE, values)).await?;
    let first = rows.first().ok_or(Error::Unavailable)?;
    let mut changed = Vec::new();
    for row in &rows {
        if row.try_get::<Option<i64>>("", "revision")?.is_some() {
            changed.push(touched(row)?);
        }
    }
    let told = rows.len() as u64 <= MOST && is_gapless(first, since)?;
    let revision = revision(first, since)?;
    let mark = Mark { horizon: i64::MAX, known: BTreeSet::new(), revision, at };
    Ok(Changes { changed: told.then_some(changed), mark })
}

/// One row more than is told, so that it shows when there are more.
fn most() -> i64 {
    i64::try_from(MOST + 1).unwrap_or(i64::MAX)
}

fn touched(row: &QueryResult) -> Result<Touched> {
    let kind: EntityKind = row.try_get("", "entity_kind")?;
    Ok((kind, row.try_get::<Uuid>("", "entity_id")?))
}

/// The highest revision that was read. Everything may have been pruned.
fn revision(row: &QueryResult, since: &Mark) -> Result<i64> {
    let newest: i64 = row.try_get("", "newest")?;
    Ok(if since.revision == i64::MAX { newest } else { Ord::max(newest, since.revision) })
}

/// Whether no row can have been pruned since the mark that it does not know: the log still goes back
/// to the row after the last one that was read.
fn is_gapless(row: &QueryResult, since: &Mark) -> Result<bool> {
    let oldest: i64 = row.try_get("", "oldest")?;
    Ok(oldest <= since.revision.saturating_add(1))
}
