//! Reading tables row by row, a limited number at a time, whatever their columns hold.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use entity::access_group;
use entity::id::Id;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, Iterable,
    PrimaryKeyToColumn, PrimaryKeyTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    TryGetable,
};
use uuid::Uuid;

use super::{Examination, Kind};
use crate::error::{Error, Result};

/// The rows that are held at a time.
pub(super) const ROWS: u64 = 500;

/// The id of a table's rows.
pub(super) type Key<E> = <<E as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

/// All rows of a table, a page at a time in the order of their ids.
pub(super) struct Pages<E> {
    last: Option<Uuid>,
    is_over: bool,
    /// Whether the table was read before: then nothing is reported, and no row counted.
    is_known: bool,
    /// The first id, and the first one beyond; none where there is no end.
    span: (Option<Uuid>, Option<Uuid>),
    entity: PhantomData<E>,
}

impl<E> Pages<E>
where
    E: EntityTrait,
    Key<E>: Id + TryGetable,
{
    pub(super) fn new() -> Self {
        Self::again(false)
    }

    /// The same, of a table that may be known by now.
    pub(super) fn again(is_known: bool) -> Self {
        let span = (None, None);
        Self { last: None, is_over: false, is_known, span, entity: PhantomData }
    }

    /// Those of a span of ids.
    pub(super) fn within(self, span: (Option<Uuid>, Option<Uuid>)) -> Self {
        Self { span, ..self }
    }

    /// The next page; none after the last. Rows that cannot be read are reported, and left out.
    #[expect(clippy::disallowed_methods, reason = "the examination looks at everything")]
    pub(super) async fn next<C: ConnectionTrait>(
        &mut self,
        examination: &mut Examination<'_, C>,
    ) -> Result<Option<Vec<E::Model>>> {
        if self.is_over {
            return Ok(None);
        }
        let id = id_column::<E>()?;
        let mut select = E::find().order_by_asc(id).limit(ROWS);
        let (from, beyond) = self.span;
        if let Some(last) = self.last {
            select = select.filter(id.gt(last));
        } else if let Some(from) = from {
            select = select.filter(id.gte(from));
        }
        if let Some(beyond) = beyond {
            select = select.filter(id.lt(beyond));
        }
        let rows = examination.db.query_all(select.as_query()).await?;
        self.is_over = (rows.len() as u64) < ROWS;
        let table = E::default().table_name().to_owned();
        if !self.is_known {
            *examination.summary.rows.entry(table.clone()).or_default() += rows.len() as u64;
        }
        let mut read = Vec::with_capacity(rows.len());
        for row in rows {
            let id: Key<E> = row.try_get("", "id")?;
            self.last = Some(id.uuid());
            match E::Model::from_query_result(&row, "") {
                Ok(model) => read.push(model),
                Err(_) if self.is_known => {}
                Err(error) => {
                    let message = format!("a row of {table} cannot be read: {error}");
                    examination.found(Kind::RowUnreadable, message, vec![id.to_string()]);
                }
            }
        }
        Ok(Some(read))
    }
}

fn id_column<E: EntityTrait>() -> Result<E::Column> {
    let first = E::PrimaryKey::iter().next();
    first
        .map(PrimaryKeyToColumn::into_column)
        .ok_or_else(|| Error::internal("a table without a key"))
}

/// The rows that can be read of those that a condition names: the others are reported where their
/// table is examined.
#[expect(clippy::disallowed_methods, reason = "the examination looks at everything")]
pub(super) async fn readable<E: EntityTrait, C: ConnectionTrait>(
    db: &C,
    condition: impl Into<Condition>,
) -> Result<Vec<E::Model>> {
    let select = E::find().filter(condition.into());
    let rows = db.query_all(select.as_query()).await?;
    Ok(rows.iter().filter_map(|row| E::Model::from_query_result(row, "").ok()).collect())
}

/// The same, of some ids.
pub(super) async fn readable_by_id<E: EntityTrait, C: ConnectionTrait>(
    db: &C,
    ids: BTreeSet<Uuid>,
) -> Result<Vec<E::Model>> {
    let mut found = Vec::with_capacity(ids.len());
    let ids: Vec<_> = ids.into_iter().collect();
    let column = id_column::<E>()?;
    for chunk in ids.chunks(1_000) {
        found.extend(readable::<E, C>(db, column.is_in(chunk.iter().copied())).await?);
    }
    Ok(found)
}

/// The names of the access groups.
#[expect(clippy::disallowed_methods, reason = "the examination looks at everything")]
pub(super) async fn group_names<C: ConnectionTrait>(db: &C) -> Result<BTreeSet<String>> {
    let select = access_group::Entity::find().select_only().column(access_group::Column::Name);
    Ok(select.into_tuple::<String>().all(db).await?.into_iter().collect())
}
