//! What a database has, past the API: its columns, its foreign keys, and every value in it.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement};

/// A column, as table and name.
pub(crate) type Column = (String, String);

/// Every value of every column, as text; binary values as hexadecimal digits.
pub(crate) type Dump = BTreeMap<Column, Vec<String>>;

/// A foreign key.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub(crate) column: Column,
    pub(crate) parent: Column,
}

async fn query(database: &DatabaseConnection, sql: String) -> Vec<QueryResult> {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    database.query_all_raw(statement).await.unwrap()
}

fn text(row: &QueryResult, name: &str) -> String {
    row.try_get("", name).unwrap()
}

/// All columns with their types, but those of the migrations' own table.
pub(crate) async fn columns(database: &DatabaseConnection) -> BTreeMap<Column, String> {
    let sql = match database.get_database_backend() {
        DbBackend::Sqlite => {
            "SELECT m.name AS tab, c.name AS col, c.type AS kind \
             FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
        }
        _ => {
            "SELECT table_name::text AS tab, column_name::text AS col, data_type::text AS kind \
             FROM information_schema.columns WHERE table_schema = 'public'"
        }
    };
    let rows = query(database, sql.to_owned()).await;
    let column = |row: &QueryResult| ((text(row, "tab"), text(row, "col")), text(row, "kind"));
    let all = rows.iter().map(column);
    all.filter(|((table, _), _)| table != "seaql_migrations")
        .map(|(column, kind)| (column, kind.to_lowercase()))
        .collect()
}

/// All foreign keys.
pub(crate) async fn foreign_keys(database: &DatabaseConnection) -> Vec<ForeignKey> {
    let sql = match database.get_database_backend() {
        DbBackend::Sqlite => {
            "SELECT m.name AS tab, f.\"from\" AS col, f.\"table\" AS parent, \
             coalesce(f.\"to\", 'id') AS target \
             FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
        }
        _ => {
            "SELECT k.table_name::text AS tab, k.column_name::text AS col, \
             u.table_name::text AS parent, u.column_name::text AS target \
             FROM information_schema.referential_constraints r \
             JOIN information_schema.key_column_usage k ON k.constraint_name = r.constraint_name \
             JOIN information_schema.constraint_column_usage u ON u.constraint_name = r.constraint_name"
        }
    };
    let rows = query(database, sql.to_owned()).await;
    let key = |row: &QueryResult| ForeignKey {
        column: (text(row, "tab"), text(row, "col")),
        parent: (text(row, "parent"), text(row, "target")),
    };
    rows.iter().map(key).collect()
}

/// Everything that the database holds.
pub(crate) async fn dump(database: &DatabaseConnection) -> Dump {
    let columns = columns(database).await;
    let tables: BTreeSet<_> = columns.keys().map(|(table, _)| table.clone()).collect();
    let backend = database.get_database_backend();
    let mut dump = Dump::new();
    for table in tables {
        let names: Vec<_> =
            columns.keys().filter(|(of, _)| *of == table).map(|(_, name)| name.clone()).collect();
        let parts: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(index, name)| match backend {
                DbBackend::Sqlite => format!(
                    "CASE typeof(\"{name}\") WHEN 'blob' THEN lower(hex(\"{name}\")) \
                     ELSE CAST(\"{name}\" AS TEXT) END AS c{index}"
                ),
                _ => format!("CAST(\"{name}\" AS TEXT) AS c{index}"),
            })
            .collect();
        let rows = query(database, format!("SELECT {} FROM \"{table}\"", parts.join(", "))).await;
        for (index, name) in names.into_iter().enumerate() {
            let value = |row: &QueryResult| row.try_get::<Option<String>>("", &format!("c{index}"));
            let values = rows.iter().filter_map(|row| value(row).unwrap()).collect();
            dump.insert((table.clone(), name), values);
        }
    }
    dump
}

/// The digits of an id, however it is written.
pub(crate) fn digits(id: &str) -> String {
    id.rsplit('_').next().unwrap_or(id).replace('-', "").to_lowercase()
}
