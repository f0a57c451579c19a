//! Many rows as one value of a statement, whose text is the same for one row and for a thousand.
//!
//! A statement reads the rows as a table `v`: PostgreSQL unfolds one array for each column, SQLite
//! one JSON text. So no statement is planned for each number of rows, and none binds more values
//! than a database takes.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use sea_orm::sea_query::ArrayType;
use sea_orm::{DbBackend, Statement, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::secret::hex;

/// A column of the table `v`.
enum Column {
    Uuid(Vec<Uuid>),
    UuidOrNull(Vec<Option<Uuid>>),
    Text(Vec<String>),
    TextOrNull(Vec<Option<String>>),
    Json(Vec<String>),
    BigInt(Vec<i64>),
    Int(Vec<i32>),
    Instant(Vec<DateTime<Utc>>),
    InstantOrNull(Vec<Option<DateTime<Utc>>>),
    Date(Vec<NaiveDate>),
    Bytes(Vec<Vec<u8>>),
}

/// Rows for a statement.
#[derive(Default)]
pub(crate) struct Bulk {
    columns: Vec<(&'static str, Column)>,
    /// Further rows, as tables with names of their own.
    beside: Vec<(&'static str, Self)>,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $method:ident($variant:ident, $item:ty);)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub(crate) fn $method(
            mut self,
            name: &'static str,
            items: impl Iterator<Item = $item>,
        ) -> Self {
            self.columns.push((name, Column::$variant(items.collect())));
            self
        }
    )*};
}

impl Bulk {
    /// No columns yet; each must get as many items as the others.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    columns! {
        /// A column of ids.
        uuid(Uuid, Uuid);
        /// A column of ids, some of which are missing; the nil id counts as missing.
        uuid_or_null(UuidOrNull, Option<Uuid>);
        /// A column of texts.
        text(Text, String);
        /// A column of texts, some of which are missing; the empty text counts as missing.
        text_or_null(TextOrNull, Option<String>);
        /// A column of JSON texts.
        json(Json, String);
        /// A column of whole numbers of 64 bits.
        big_int(BigInt, i64);
        /// A column of whole numbers of 32 bits.
        int(Int, i32);
        /// A column of instants.
        instant(Instant, DateTime<Utc>);
        /// A column of instants, some of which are missing; the first of 1970 counts as missing.
        instant_or_null(InstantOrNull, Option<DateTime<Utc>>);
        /// A column of days.
        date(Date, NaiveDate);
        /// A column of bytes.
        bytes(Bytes, Vec<u8>);
    }

    /// The same, with other rows as a table of this name.
    pub(crate) fn beside(mut self, name: &'static str, rows: Self) -> Self {
        self.beside.push((name, rows));
        self
    }

    /// A statement that reads the rows as the table `v`.
    pub(crate) fn statement(self, backend: DbBackend, rest: &str) -> Statement {
        let mut values = Vec::new();
        let mut tables = Vec::new();
        let Self { columns, beside } = self;
        let beside = beside.into_iter().map(|(name, rows)| (name, rows.columns));
        for (name, columns) in std::iter::once(("v", columns)).chain(beside) {
            let rows = match backend {
                DbBackend::Sqlite => for_sqlite(columns, &mut values),
                _ => for_postgres(columns, &mut values),
            };
            tables.push(format!("{name} AS ({rows})"));
        }
        let text = format!("WITH {} {rest}", tables.join(", "));
        Statement::from_sql_and_values(backend, text, values)
    }
}

fn for_postgres(columns: Vec<(&'static str, Column)>, values: &mut Vec<Value>) -> String {
    let (mut shown, mut arrays, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (name, column) in columns {
        let (kind, form, value) = column.array();
        shown.push(match form {
            Form::Plain => name.to_owned(),
            Form::NullIf(nothing) => format!("NULLIF({name}, {nothing}) AS {name}"),
            Form::Json => format!("{name}::jsonb AS {name}"),
        });
        values.push(value);
        arrays.push(format!("${}::{kind}[]", values.len()));
        names.push(name);
    }
    let (shown, arrays, names) = (shown.join(", "), arrays.join(", "), names.join(", "));
    format!("SELECT {shown} FROM UNNEST({arrays}) AS u({names})")
}

fn for_sqlite(columns: Vec<(&'static str, Column)>, values: &mut Vec<Value>) -> String {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let mut table = vec![Vec::with_capacity(columns.len()); rows];
    let mut shown = Vec::new();
    for (index, (name, column)) in columns.into_iter().enumerate() {
        shown.push(if column.is_binary() {
            format!("unhex(value ->> {index}) AS {name}")
        } else {
            format!("value ->> {index} AS {name}")
        });
        for (row, cell) in table.iter_mut().zip(column.cells()) {
            row.push(cell);
        }
    }
    let rows = table.into_iter().map(Json::Array).collect();
    values.push(Json::Array(rows).to_string().into());
    format!("SELECT {} FROM json_each(?)", shown.join(", "))
}

/// How an array's items are read; an array holds no missing ones, so that something stands for them.
enum Form {
    Plain,
    NullIf(&'static str),
    Json,
}

const NIL: &str = "'00000000-0000-0000-0000-000000000000'::uuid";

const EPOCH: &str = "'1970-01-01T00:00:00Z'::timestamptz";

impl Column {
    fn array(self) -> (&'static str, Form, Value) {
        fn values<T: Into<Value>>(kind: ArrayType, items: impl IntoIterator<Item = T>) -> Value {
            Value::Array(kind, Some(Box::new(items.into_iter().map(Into::into).collect())))
        }
        match self {
            Self::Uuid(items) => ("uuid", Form::Plain, values(ArrayType::Uuid, items)),
            Self::UuidOrNull(items) => {
                let items = items.into_iter().map(Option::unwrap_or_default);
                ("uuid", Form::NullIf(NIL), values(ArrayType::Uuid, items))
            }
            Self::Text(items) => ("text", Form::Plain, values(ArrayType::String, items)),
            Self::TextOrNull(items) => {
                let items = items.into_iter().map(Option::unwrap_or_default);
                ("text", Form::NullIf("''"), values(ArrayType::String, items))
            }
            Self::Json(items) => ("text", Form::Json, values(ArrayType::String, items)),
            Self::BigInt(items) => ("bigint", Form::Plain, values(ArrayType::BigInt, items)),
            Self::Int(items) => ("integer", Form::Plain, values(ArrayType::Int, items)),
            Self::Instant(items) => {
                ("timestamptz", Form::Plain, values(ArrayType::ChronoDateTimeUtc, items))
            }
            Self::InstantOrNull(items) => {
                let items = items.into_iter().map(Option::unwrap_or_default);
                ("timestamptz", Form::NullIf(EPOCH), values(ArrayType::ChronoDateTimeUtc, items))
            }
            Self::Date(items) => ("date", Form::Plain, values(ArrayType::ChronoDate, items)),
            Self::Bytes(items) => ("bytea", Form::Plain, values(ArrayType::Bytes, items)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Uuid(items) => items.len(),
            Self::UuidOrNull(items) => items.len(),
            Self::Text(items) | Self::Json(items) => items.len(),
            Self::TextOrNull(items) => items.len(),
            Self::BigInt(items) => items.len(),
            Self::Int(items) => items.len(),
            Self::Instant(items) => items.len(),
            Self::InstantOrNull(items) => items.len(),
            Self::Date(items) => items.len(),
            Self::Bytes(items) => items.len(),
        }
    }

    fn is_binary(&self) -> bool {
        matches!(self, Self::Uuid(_) | Self::UuidOrNull(_) | Self::Bytes(_))
    }

    /// The items as SQLite's JSON has them: instants in the form in which rows store them.
    fn cells(self) -> Vec<Json> {
        fn json<T: Into<Json>>(items: Vec<T>) -> Vec<Json> {
            items.into_iter().map(Into::into).collect()
        }
        let id = |id: Uuid| Json::String(id.simple().to_string());
        let form = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, false);
        match self {
            Self::Uuid(items) => items.into_iter().map(id).collect(),
            Self::UuidOrNull(items) => {
                items.into_iter().map(|item| item.map_or(Json::Null, id)).collect()
            }
            Self::Text(items) | Self::Json(items) => json(items),
            Self::TextOrNull(items) => json(items),
            Self::BigInt(items) => json(items),
            Self::Int(items) => json(items),
            Self::Instant(items) => json(items.into_iter().map(form).collect::<Vec<_>>()),
            Self::InstantOrNull(items) => items
                .into_iter()
                .map(|item| item.map_or(Json::Null, |at| form(at).into()))
                .collect(),
            Self::Date(items) => {
                json(items.into_iter().map(|day| day.to_string()).collect::<Vec<_>>())
            }
            Self::Bytes(items) => json(items.iter().map(|bytes| hex(bytes)).collect::<Vec<_>>()),
        }
    }
}

/// The clause that locks the rows of one table of a query against other writers, in the order of the
/// query; SQLite has one writer, which needs none.
pub(crate) fn locking(backend: DbBackend, table: &str) -> String {
    match backend {
        DbBackend::Sqlite => String::new(),
        _ => format!("FOR UPDATE OF {table}"),
    }
}

/// The same, leaving out rows that somebody else has locked.
pub(crate) fn locking_free(backend: DbBackend, table: &str) -> String {
    match backend {
        DbBackend::Sqlite => String::new(),
        _ => format!("FOR UPDATE OF {table} SKIP LOCKED"),
    }
}

/// The clause that keeps the rows of one table of a query as they are, for as long as the transaction
/// lasts.
pub(crate) fn sharing(backend: DbBackend, table: &str) -> String {
    match backend {
        DbBackend::Sqlite => String::new(),
        _ => format!("FOR SHARE OF {table}"),
    }
}

/// The clause that keeps them from going, as a foreign key does.
pub(crate) fn keeping(backend: DbBackend, table: &str) -> String {
    match backend {
        DbBackend::Sqlite => String::new(),
        _ => format!("FOR KEY SHARE OF {table}"),
    }
}

/// An instant so many milliseconds ago by the database's clock.
pub(crate) fn clock_before(backend: DbBackend, millis: u32) -> String {
    let seconds = f64::from(millis) / 1_000.0;
    match backend {
        DbBackend::Sqlite => {
            format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-{seconds:.3} seconds')")
        }
        // Stable within the statement, so that an index is of use.
        _ => format!("statement_timestamp() - interval '{seconds:.3} seconds'"),
    }
}

/// The database's own clock within a statement, which goes on during a transaction; on SQLite in the
/// form in which rows store instants.
pub(crate) fn clock_of(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
        _ => "clock_timestamp()",
    }
}
