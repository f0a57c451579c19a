//! Everything that is stored, as text: two are the same when nothing has changed.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

/// What changes beside the work of a mutation.
const APART: &[&str] = &["audit_events", "change_log", "seaql_migrations"];

/// The tables of a database, and the question for all that is in them.
pub(super) struct Tables {
    /// In an order in which rows can be inserted.
    pub(super) ordered: Vec<String>,
    question: String,
}

/// Everything that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: BTreeSet<String>,
    pub(super) changes: String,
    pub(super) events: String,
}

impl Digest {
    /// What one has and the other has not.
    pub(super) fn difference(&self, other: &Self) -> String {
        let gone = self.rows.difference(&other.rows).map(|row| format!("- {row}"));
        let come = other.rows.difference(&self.rows).map(|row| format!("+ {row}"));
        gone.chain(come).collect::<Vec<_>>().join("\n")
    }
}

impl Tables {
    /// Reads the catalogue.
    pub(super) async fn read(database: &DatabaseConnection) -> Self {
        let backend = database.get_database_backend();
        let sql = match backend {
            DbBackend::Sqlite => {
                "SELECT m.name AS tab, c.name AS col FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, c.cid"
            }
            _ => {
                "SELECT table_name::text AS tab, column_name::text AS col \
                 FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position"
            }
        };
        let rows = database.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            let text = |name: &str| row.try_get::<String>("", name).unwrap();
            columns.entry(text("tab")).or_default().push(text("col"));
        }
        let lines = columns.iter().filter(|(table, _)| !APART.contains(&table.as_str()));
        let lines: Vec<_> = lines
            .map(|(table, columns)| {
                let kept = columns.iter().filter(|column| *column != "last_used_at");
                let line = match backend {
                    DbBackend::Sqlite => {
                        let quoted: Vec<_> =
                            kept.map(|name| format!("quote(\"{name}\")")).collect();
                        format!("json_array({})", quoted.join(", "))
                    }
                    _ => format!("(to_jsonb({table}) - 'last_used_at')::text"),
                };
                format!("SELECT '{table}' AS tab, {line} AS line FROM {table}")
            })
            .collect();
        let counts = ["audit_events", "change_log"].map(|table| {
            format!("SELECT '{table}' AS tab, CAST(COUNT(*) AS TEXT) AS line FROM {table}")
        });
        let question = [lines, counts.to_vec()].concat().join(" UNION ALL ");
        let ordered = ordered(database, columns.into_keys().collect()).await;
        Self { ordered, question }
    }

    /// Reads everything.
    pub(super) async fn digest(&self, database: &DatabaseConnection) -> Digest {
        let backend = database.get_database_backend();
        let question = Statement::from_string(backend, &self.question);
        let mut digest =
            Digest { rows: BTreeSet::new(), changes: String::new(), events: String::new() };
        for row in database.query_all_raw(question).await.unwrap() {
            let text = |name: &str| row.try_get::<String>("", name).unwrap();
            match text("tab").as_str() {
                "audit_events" => digest.events = text("line"),
                "change_log" => digest.changes = text("line"),
                table => drop(digest.rows.insert(format!("{table} {}", text("line")))),
            }
        }
        digest
    }
}

/// Tables, each after those that it names.
async fn ordered(database: &DatabaseConnection, tables: Vec<String>) -> Vec<String> {
    let keys = crate::migrations::foreign_keys(database).await;
    let names = |table: &String, done: &Vec<String>| {
        keys.iter().all(|key| {
            let (from, rest) = key.split_once(" -> ").unwrap();
            let (from, to) = (from.split('.').next().unwrap(), rest.split(' ').next().unwrap());
            from != table || from == to || done.iter().any(|done| done == to)
        })
    };
    let mut left: Vec<_> = tables.into_iter().filter(|table| table != "seaql_migrations").collect();
    let mut done: Vec<String> = Vec::new();
    while !left.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|table| names(table, &done));
        assert!(!ready.is_empty(), "tables name each other in a circle: {later:?}");
        done.extend(ready);
        left = later;
    }
    done
}
