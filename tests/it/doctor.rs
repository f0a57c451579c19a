//! `tollkeep doctor`: silent where all holds, and exact where something does not.

mod cases;
mod command;
mod counters;
mod grown;

use std::collections::BTreeSet;

use entity::id::{Id, TeamId};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Iterable, Statement,
    TransactionTrait,
};
use tollkeep::app::{Breach, Kind as BreachKind, Summary};
use tollkeep::domain::doctor::{HISTORY, REFERENCES, examine};

use self::cases::cases;
use self::grown::Grown;
use crate::harness::{Kind, TestApp, on_each_database};

/// What an examination finds on a connection.
async fn look(db: &impl ConnectionTrait) -> (Vec<Breach>, Summary) {
    let mut breaches = Vec::new();
    let summary = examine(db, &mut |breach| breaches.push(breach)).await.unwrap();
    assert_eq!(summary.total_breaches(), breaches.len() as u64);
    (breaches, summary)
}

/// A connection past the API, on which nothing is checked.
async fn unguarded(app: &TestApp) -> DatabaseConnection {
    let database = app.database().await;
    if app.kind == Kind::Sqlite {
        let off = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON";
        database.execute_unprepared(off).await.unwrap();
    }
    database
}

/// A transaction on such a connection, to be rolled back.
async fn bent(database: &DatabaseConnection) -> DatabaseTransaction {
    let bent = database.begin().await.unwrap();
    if database.get_database_backend() == DbBackend::Postgres {
        let drop = "DO $$ DECLARE rule record; BEGIN
            FOR rule IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
                WHERE contype IN ('f', 'c') AND connamespace = 'public'::regnamespace
            LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.owner, rule.conname); END LOOP;
            END $$";
        bent.execute_unprepared(drop).await.unwrap();
    }
    bent
}

/// The names of the tables in a database.
async fn tables(db: &impl ConnectionTrait) -> BTreeSet<String> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        }
        _ => {
            "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let rows = db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    rows.iter().map(|row| row.try_get("", "name").unwrap()).collect()
}

/// DESIGN 3: what the API makes holds, in every table; and no table is forgotten.
#[tokio::test]
async fn a_healthy_world_is_silent() {
    on_each_database(async |app| {
        Grown::new(app).await;
        let database = app.database().await;
        let (breaches, summary) = look(&database).await;
        assert_eq!(breaches, []);
        let mut known: BTreeSet<_> = summary.rows.keys().cloned().collect();
        assert!(summary.rows.values().all(|rows| *rows > 0), "{:?}", summary.rows);
        known.extend(HISTORY.iter().map(|table| (*table).to_owned()));
        known.insert("seaql_migrations".to_owned());
        assert_eq!(tables(&database).await, known);
    })
    .await;
}

/// DESIGN 3: each row that is bent past the API is named, and nothing else.
#[tokio::test]
async fn every_breach_is_named_and_nothing_else() {
    on_each_database(async |app| {
        let grown = Grown::new(app).await;
        let database = unguarded(app).await;
        for case in cases(app, &grown) {
            let bent = bent(&database).await;
            for statement in &case.bend {
                let done = bent.execute_unprepared(statement).await;
                let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
                assert!(done.rows_affected() > 0, "{statement}");
            }
            let (breaches, _) = look(&bent).await;
            let mut found: Vec<_> =
                breaches.iter().map(|breach| (breach.kind, breach.ids.clone())).collect();
            let mut expected = case.expected.clone();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{:?}: {breaches:#?}", case.bend);
            bent.rollback().await.unwrap();
        }
        assert_eq!(look(&database).await.0, []);
    })
    .await;
}

/// A kind of breach that no case bends would be one that nothing shows to work.
#[tokio::test]
async fn every_kind_of_breach_has_a_case() {
    on_each_database(async |app| {
        let grown = Grown::new(app).await;
        let cases = cases(app, &grown);
        let mut shown: BTreeSet<_> =
            cases.iter().flat_map(|case| case.expected.iter().map(|(kind, _)| *kind)).collect();
        // That one has a test of its own, with a case for each column.
        shown.insert(BreachKind::ReferenceGone);
        let all: BTreeSet<_> = BreachKind::iter().collect();
        assert_eq!(shown, all);
    })
    .await;
}

/// Every column that names a row is looked at, whether or not the database guards it.
#[tokio::test]
async fn a_row_that_names_nothing_is_named() {
    on_each_database(async |app| {
        Grown::new(app).await;
        let database = unguarded(app).await;
        let nobody = "7f".repeat(16);
        for reference in REFERENCES {
            let (table, column) = (reference.table, reference.column);
            let bent = bent(&database).await;
            let gone = crate::steps::sql_id(app, &format!("x_{nobody}"));
            let one = format!("SELECT id FROM {table} WHERE {column} IS NOT NULL LIMIT 1");
            let sql = format!("UPDATE {table} SET {column} = {gone} WHERE id = ({one})");
            assert_eq!(bent.execute_unprepared(&sql).await.unwrap().rows_affected(), 1, "{sql}");
            let (breaches, _) = look(&bent).await;
            let named: Vec<_> =
                breaches.iter().filter(|breach| breach.kind == BreachKind::ReferenceGone).collect();
            assert_eq!(named.len(), 1, "{sql}: {breaches:#?}");
            let message = format!("{column} of a row of {table} names none");
            assert!(named[0].message.starts_with(&message), "{named:#?}");
            assert!(named[0].ids[1].ends_with(&nobody), "{named:#?}");
            bent.rollback().await.unwrap();
        }
        assert_eq!(foreign_keys(&database).await, looked_at());
    })
    .await;
}

fn looked_at() -> BTreeSet<String> {
    let key = |reference: &tollkeep::domain::doctor::Reference| {
        format!("{}.{} -> {}", reference.table, reference.column, reference.parent)
    };
    REFERENCES.iter().map(key).collect()
}

/// The foreign keys of the database.
async fn foreign_keys(database: &DatabaseConnection) -> BTreeSet<String> {
    let keys = crate::migrations::foreign_keys(database).await;
    keys.iter().map(|key| key.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// More rows than are read at a time, of which one in each part is wrong.
#[tokio::test]
async fn large_tables_are_read_to_the_end() {
    on_each_database(async |app| {
        let grown = Grown::new(app).await;
        let database = unguarded(app).await;
        let bent = bent(&database).await;
        let template = crate::steps::sql_id(app, &grown.world.a2);
        let columns = "organization_id, external_id, name, metadata, tags, model_access, \
            member_model_access, blocked_by, is_joinable, member_permissions, router_settings, \
            guardrails, version, created_at, created_by, updated_at, updated_by";
        let mut wrong = BTreeSet::new();
        for number in 0..1_100_u128 {
            let id = TeamId::from_uuid(uuid::Uuid::from_u128(number << 64 | 7));
            let (sql, stale) = (crate::steps::sql_id(app, &id.to_string()), number % 500 == 499);
            let text = if stale { "'stale'" } else { "search_text" };
            if stale {
                wrong.insert(id.to_string());
            }
            let insert = format!(
                "INSERT INTO teams (id, search_text, {columns}) \
                 SELECT {sql}, {text}, {columns} FROM teams WHERE id = {template}"
            );
            bent.execute_unprepared(&insert).await.unwrap();
        }
        let (breaches, summary) = look(&bent).await;
        assert!(summary.rows["teams"] >= 1_100);
        assert!(breaches.iter().all(|breach| breach.kind == BreachKind::SearchTextStale));
        let found: BTreeSet<_> = breaches.into_iter().flat_map(|breach| breach.ids).collect();
        assert_eq!(found, wrong);
        bent.rollback().await.unwrap();
    })
    .await;
}
