//! Migrations: up, down, up again, and the catalogue that they make is the one that the entities
//! describe.

use std::collections::BTreeMap;

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tollkeep::db::{Database, DatabaseSettings, Location, OpenError};

use crate::harness::database::{Kind, TestDatabase, kinds};

/// The columns of every table, with type and nullability.
type Catalogue = BTreeMap<String, BTreeMap<String, (String, bool)>>;

async fn connect(database: &TestDatabase) -> DatabaseConnection {
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1).sqlx_logging(false);
    if database.kind == Kind::Sqlite {
        options.map_sqlx_sqlite_opts(|options| options.create_if_missing(true));
    }
    sea_orm::Database::connect(options).await.unwrap()
}

async fn catalogue(connection: &DatabaseConnection) -> Catalogue {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT m.name AS tab, c.name AS col, c.type AS kind, \
             (c.\"notnull\" = 0 AND c.pk = 0) AS nullable \
             FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' \
             AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'seaql_migrations'"
        }
        _ => {
            "SELECT table_name::text AS tab, column_name::text AS col, data_type::text AS kind, \
             (is_nullable = 'YES') AS nullable FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name <> 'seaql_migrations'"
        }
    };
    let rows = connection.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    let mut catalogue = Catalogue::new();
    for row in rows {
        let text = |name: &str| row.try_get::<String>("", name).unwrap();
        let nullable = row.try_get::<bool>("", "nullable").unwrap();
        let kind = text("kind").to_lowercase();
        catalogue.entry(text("tab")).or_default().insert(text("col"), (kind, nullable));
    }
    catalogue
}

/// The foreign keys of every table: column, target, what happens on deletion.
pub(crate) async fn foreign_keys(connection: &DatabaseConnection) -> Vec<String> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT m.name || '.' || f.\"from\" || ' -> ' || f.\"table\" || ' ' || lower(f.on_delete) AS key \
             FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
        }
        _ => {
            "SELECT k.table_name || '.' || k.column_name || ' -> ' || u.table_name || ' ' || lower(r.delete_rule) AS key \
             FROM information_schema.referential_constraints r \
             JOIN information_schema.key_column_usage k ON k.constraint_name = r.constraint_name \
             JOIN information_schema.constraint_column_usage u ON u.constraint_name = r.constraint_name"
        }
    };
    let rows = connection.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
    let mut keys: Vec<_> =
        rows.iter().map(|row| row.try_get::<String>("", "key").unwrap()).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn migrations_go_up_down_and_up_again() {
    for kind in kinds() {
        let test = TestDatabase::empty(kind).await;
        let database =
            Database::open(&test.location(), &DatabaseSettings::default()).await.unwrap();
        assert_eq!(database.pending_migrations().await.unwrap(), 29);
        database.migrate().await.unwrap();
        assert_eq!(database.pending_migrations().await.unwrap(), 0);
        let connection = connect(&test).await;
        let first = catalogue(&connection).await;
        assert!(first.contains_key("team_memberships"));
        database.migrate_down(None).await.unwrap();
        assert_eq!(catalogue(&connection).await, Catalogue::new());
        database.migrate().await.unwrap();
        assert_eq!(catalogue(&connection).await, first);
        connection.close().await.unwrap();
        database.close().await;
        test.drop().await;
    }
}

#[tokio::test]
async fn the_migrated_catalogue_is_the_entities() {
    for kind in kinds() {
        let migrated = TestDatabase::create(kind).await;
        if kind == Kind::Sqlite {
            let database =
                Database::open(&migrated.location(), &DatabaseSettings::default()).await.unwrap();
            database.migrate().await.unwrap();
            database.close().await;
        }
        let described = TestDatabase::empty(kind).await;
        let (left, right) = (connect(&migrated).await, connect(&described).await);
        right.get_schema_registry("entity::*").sync(&right).await.unwrap();
        let (migrations, entities) = (catalogue(&left).await, catalogue(&right).await);
        assert_eq!(migrations.keys().collect::<Vec<_>>(), entities.keys().collect::<Vec<_>>());
        for (table, columns) in &migrations {
            assert_eq!(columns, &entities[table], "{table} on {kind:?}");
        }
        assert_eq!(foreign_keys(&left).await, foreign_keys(&right).await, "on {kind:?}");
        left.close().await.unwrap();
        right.close().await.unwrap();
        migrated.drop().await;
        described.drop().await;
    }
}

/// What callers name by an id of their own is found by an index, however many rows there are.
#[tokio::test]
async fn external_ids_are_found_by_an_index() {
    for kind in kinds() {
        let test = TestDatabase::create(kind).await;
        let database =
            Database::open(&test.location(), &DatabaseSettings::default()).await.unwrap();
        database.migrate().await.unwrap();
        let connection = connect(&test).await;
        let tables = catalogue(&connection).await.into_iter();
        let named: Vec<_> = tables
            .filter(|(_, columns)| columns.contains_key("external_id"))
            .map(|(table, _)| (table, "external_id"))
            .chain([("tags".to_owned(), "name")])
            .collect();
        assert!(named.len() > 8, "{named:?}");
        let explain = match kind {
            Kind::Sqlite => "EXPLAIN QUERY PLAN",
            // An empty table is read as a whole unless that is forbidden.
            Kind::Postgres => "EXPLAIN",
        };
        if kind == Kind::Postgres {
            connection.execute_unprepared("SET enable_seqscan = off").await.unwrap();
        }
        for (table, column) in named {
            let sql = format!("{explain} SELECT * FROM {table} WHERE {column} = 'x'");
            let statement = Statement::from_string(connection.get_database_backend(), sql);
            let rows = connection.query_all_raw(statement).await.unwrap();
            let index = if kind == Kind::Sqlite { 3 } else { 0 };
            let plan: Vec<_> =
                rows.iter().map(|row| row.try_get_by_index::<String>(index).unwrap()).collect();
            let plan = plan.join(" ");
            let found = format!("({column}=?)");
            let by_index = match kind {
                Kind::Sqlite => plan.contains(&found),
                Kind::Postgres => plan.contains("Index Cond"),
            };
            assert!(by_index, "{table} on {kind:?}: {plan}");
        }
        connection.close().await.unwrap();
        database.close().await;
        test.drop().await;
    }
}

/// Two replicas that start at once: one migrates, the other waits and finds nothing to do.
#[tokio::test]
async fn two_migrators_do_not_meet() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let test = TestDatabase::empty(Kind::Postgres).await;
    let open =
        async || Database::open(&test.location(), &DatabaseSettings::default()).await.unwrap();
    let (left, right) = (open().await, open().await);
    let (first, second) = tokio::join!(left.migrate(), right.migrate());
    first.unwrap();
    second.unwrap();
    assert_eq!(left.pending_migrations().await.unwrap(), 0);
    left.close().await;
    right.close().await;
    test.drop().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("tollkeep.db"));
    let settings = DatabaseSettings::default();
    let first = Database::open(&location, &settings).await.unwrap();
    let second = Database::open(&location, &settings).await;
    assert!(matches!(&second, Err(OpenError::InUse(_))), "{second:?}");
    first.close().await;
}
