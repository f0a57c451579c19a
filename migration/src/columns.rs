//! The columns and keys that many tables share, spelt once.

use sea_orm_migration::prelude::*;

/// A UUID column that may not be null.
pub(crate) fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().not_null().take()
}

/// A UUID column that may be null.
pub(crate) fn uuid_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().null().take()
}

/// The primary key of almost every table.
pub(crate) fn id() -> ColumnDef {
    ColumnDef::new("id").uuid().not_null().primary_key().take()
}

/// Text that somebody wrote.
pub(crate) fn string(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string().not_null().take()
}

/// Text that somebody may have written.
pub(crate) fn string_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string().null().take()
}

/// One word of a closed set.
pub(crate) fn word(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

/// One word of a closed set, or none.
pub(crate) fn word_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

/// A JSON value.
pub(crate) fn json(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).json_binary().not_null().take()
}

/// A JSON value, or none.
pub(crate) fn json_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).json_binary().null().take()
}

/// An instant.
pub(crate) fn instant(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).timestamp_with_time_zone().not_null().take()
}

/// An instant, or none.
pub(crate) fn instant_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).timestamp_with_time_zone().null().take()
}

/// Yes or no.
pub(crate) fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}

/// A whole number, never negative, or none.
pub(crate) fn amount_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().check(Expr::col(name).gte(0)).take()
}

/// A whole number, never negative.
pub(crate) fn amount(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().check(Expr::col(name).gte(0)).take()
}

/// Version, and who made and changed the row when.
pub(crate) fn stamps(table: &mut TableCreateStatement) -> &mut TableCreateStatement {
    table
        .col(ColumnDef::new("version").integer().not_null())
        .col(instant("created_at"))
        .col(string("created_by"))
        .col(instant("updated_at"))
        .col(string("updated_by"))
}

/// A foreign key to the `id` of another table.
pub(crate) fn references(
    from: &'static str,
    column: &'static str,
    to: &'static str,
    on_delete: ForeignKeyAction,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{from}_{column}_fkey"))
        .from(from, column)
        .to(to, "id")
        .on_delete(on_delete)
        .to_owned()
}

/// An index over columns, named after them.
pub(crate) fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("{table}_{}_idx", columns.join("_"))).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

/// A unique index over columns, named after them; the name maps to an error.
pub(crate) fn unique(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = index(table, columns);
    index.name(format!("{table}_{}_key", columns.join("_"))).unique();
    index
}

/// A unique index over columns, of the rows that have none of the given parents.
pub(crate) fn unique_without(
    table: &'static str,
    columns: &[&'static str],
    without: &[&'static str],
) -> IndexCreateStatement {
    let mut index = unique(table, columns);
    for parent in without {
        index.and_where(Expr::col(*parent).is_null());
    }
    index
}
