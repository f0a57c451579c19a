//! Keyset paging: a page costs the same wherever it lies.
//!
//! Lists are ordered by one field and then by id, so that every row has one place. A cursor names
//! the last row seen; it is bound to the filter and the order of its list, and signed, so that it
//! cannot be carried to another list or made up.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::sea_query::{
    Asterisk, Expr, ExprTrait, Func, IntoColumnRef, Order, Query, SelectStatement, SimpleExpr,
    UnionType,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, JoinType, QueryFilter, QuerySelect,
    QueryTrait, Select, TryGetable,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Items on a page when the caller does not say.
pub const DEFAULT_PAGE_SIZE: u32 = 20;
/// The most items on a page.
pub const MAX_PAGE_SIZE: u32 = 100;

/// What a list is ordered by, before the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortField {
    /// The lower-case name; rows without one come first.
    Name,
    /// The time of creation, which the id holds.
    Created,
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest or oldest first.
    Ascending,
    /// Largest or newest first.
    Descending,
}

impl Direction {
    fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }

    fn order(self) -> Order {
        match self {
            Self::Ascending => Order::Asc,
            Self::Descending => Order::Desc,
        }
    }
}

/// The place of a row in its list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The sort value; empty when the list is ordered by id alone.
    pub name: String,
    /// The row's id.
    pub id: Uuid,
}

/// What a caller asks of a list: the arguments of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// Items from the start.
    pub first: Option<i32>,
    /// Start after this cursor.
    pub after: Option<String>,
    /// Items from the end.
    pub last: Option<i32>,
    /// End before this cursor.
    pub before: Option<String>,
}

/// A page of a list, ready to be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// The number of items wanted.
    pub limit: u32,
    /// What the list is ordered by.
    pub field: SortField,
    /// In which direction the list is ordered.
    pub direction: Direction,
    /// Whether the page is counted from the end.
    pub backward: bool,
    /// The row beyond which the page begins.
    pub cursor: Option<Cursor>,
    /// The digest of filter and order, to which cursors are bound.
    pub binding: [u8; 8],
}

/// The rows of a page, in the order of the list.
#[derive(Clone, Debug)]
pub struct Rows<M> {
    /// The rows.
    pub rows: Vec<M>,
    /// Whether rows come before them.
    pub has_previous: bool,
    /// Whether rows come after them.
    pub has_next: bool,
}

impl<M> Rows<M> {
    /// No rows.
    pub fn empty() -> Self {
        Self { rows: Vec::new(), has_previous: false, has_next: false }
    }
}

impl Page {
    /// Checks what a caller asks for.
    ///
    /// # Errors
    /// [`Error::BadInput`] for a size out of range, for both directions at once, and for a cursor
    /// that is not one of this list's.
    pub fn new(
        request: &PageRequest,
        (field, direction): (SortField, Direction),
        filter: &impl std::fmt::Debug,
    ) -> Result<Self> {
        let binding = binding(field, direction, filter);
        let (count, name, backward) = match (request.first, request.last) {
            (Some(_), Some(_)) => {
                return Err(Error::input("first", "give either first or last, not both"));
            }
            (None, Some(last)) => (last, "last", true),
            (first, None) => {
                let backward = first.is_none() && request.before.is_some();
                (first.unwrap_or(DEFAULT_PAGE_SIZE.cast_signed()), "first", backward)
            }
        };
        let limit =
            u32::try_from(count)
                .ok()
                .filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit))
                .ok_or_else(|| Error::input(name, format!("ask for 1 to {MAX_PAGE_SIZE} items")))?;
        let (cursor, name) = match (&request.after, &request.before) {
            (Some(_), Some(_)) => {
                return Err(Error::input("after", "give either after or before, not both"));
            }
            (Some(_), None) if backward => {
                return Err(Error::input("after", "after goes with first; use before with last"));
            }
            (None, Some(_)) if !backward => {
                return Err(Error::input("before", "before goes with last; use after with first"));
            }
            (Some(after), None) => (Some(after), "after"),
            (None, Some(before)) => (Some(before), "before"),
            (None, None) => (None, "after"),
        };
        let cursor = cursor
            .map(|text| {
                decode(text, binding).ok_or_else(|| {
                    Error::input(
                        name,
                        "this cursor does not belong to a list with this filter and order",
                    )
                })
            })
            .transpose()?;
        Ok(Self { limit, field, direction, backward, cursor, binding })
    }

    /// Narrows, orders and limits a query to the page, plus one row that tells whether more follow.
    pub(crate) fn apply<E>(
        &self,
        select: Select<E>,
        name: impl IntoColumnRef + Copy,
        id: impl IntoColumnRef + Copy,
    ) -> Select<E>
    where
        E: EntityTrait,
    {
        let mut select = select;
        self.apply_to(QueryTrait::query(&mut select), name, id);
        select.limit(u64::from(self.limit) + 1)
    }

    fn apply_to(
        &self,
        query: &mut SelectStatement,
        name: impl IntoColumnRef + Copy,
        id: impl IntoColumnRef + Copy,
    ) {
        let direction = if self.backward { self.direction.reversed() } else { self.direction };
        if let Some(cursor) = &self.cursor {
            query.and_where(beyond(self.field, direction, cursor, name, id));
        }
        if self.field == SortField::Name {
            query.order_by(name, direction.order());
        }
        query.order_by(id, direction.order());
    }

    /// Narrows and orders like [`Page::apply`], for one branch of a batch.
    pub(crate) fn apply_to_branch(
        &self,
        query: &mut SelectStatement,
        name: impl IntoColumnRef + Copy,
        id: impl IntoColumnRef + Copy,
    ) {
        self.apply_to(query, name, id);
        query.limit(u64::from(self.limit) + 1);
    }

    /// Takes off the extra row and puts the rest into the order of the list.
    pub(crate) fn rows<M>(&self, mut rows: Vec<M>) -> Rows<M> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let moved = self.cursor.is_some();
        if self.backward {
            rows.reverse();
            Rows { rows, has_previous: more, has_next: moved }
        } else {
            Rows { rows, has_previous: moved, has_next: more }
        }
    }

    /// The cursor of a row.
    pub fn cursor_of(&self, name: &str, id: Uuid) -> String {
        let name = if self.field == SortField::Name { name } else { "" };
        encode(&Cursor { name: name.to_owned(), id }, self.binding)
    }
}

fn beyond(
    field: SortField,
    direction: Direction,
    cursor: &Cursor,
    name: impl IntoColumnRef + Copy,
    id: impl IntoColumnRef + Copy,
) -> SimpleExpr {
    let compare = |left: SimpleExpr, right: SimpleExpr| match direction {
        Direction::Ascending => left.gt(right),
        Direction::Descending => left.lt(right),
    };
    match field {
        SortField::Created => compare(Expr::col(id), Expr::val(cursor.id)),
        SortField::Name => compare(
            Expr::tuple([Expr::col(name), Expr::col(id)]),
            Expr::tuple([Expr::val(cursor.name.clone()), Expr::val(cursor.id)]),
        ),
    }
}

fn binding(field: SortField, direction: Direction, filter: &impl std::fmt::Debug) -> [u8; 8] {
    let text = format!("{field:?} {direction:?} {filter:?}");
    let digest = Sha256::digest(text.as_bytes());
    let mut binding = [0; 8];
    binding.copy_from_slice(&digest[..8]);
    binding
}

/// The version of the encoding, and the key that makes a cursor hard to make up by accident. A
/// cursor grants nothing (rows are filtered by what the caller may see), so the key is no secret.
const VERSION: u8 = 1;
const KEY: &[u8] = b"tollkeep cursor v1";

fn signature(body: &[u8], binding: [u8; 8]) -> [u8; 8] {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("HMAC takes keys of any length");
    mac.update(&binding);
    mac.update(body);
    let mut signature = [0; 8];
    signature.copy_from_slice(&mac.finalize().into_bytes()[..8]);
    signature
}

fn encode(cursor: &Cursor, binding: [u8; 8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(cursor.id.as_bytes());
    bytes.extend_from_slice(cursor.name.as_bytes());
    let signature = signature(&bytes, binding);
    bytes.extend_from_slice(&signature);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str, binding: [u8; 8]) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (body, signed) = bytes.split_last_chunk::<8>()?;
    if *signed != signature(body, binding) {
        return None;
    }
    let rest = body.strip_prefix(&[VERSION])?;
    let (id, name) = rest.split_first_chunk::<16>()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    // No name has a NUL, and PostgreSQL takes no text with one: this cursor was made up.
    let made_up = name.contains('\0');
    (!made_up).then(|| Cursor { name, id: Uuid::from_bytes(*id) })
}

/// Pages of the children of several parents: one limited query for each parent, joined to one
/// statement, so that the cost depends on the pages and not on how many children a parent has.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "the caller's query says what may be seen")]
pub(crate) async fn per_parent<E, C>(
    db: &C,
    from: impl Fn() -> Select<E>,
    parent: E::Column,
    parents: &[Uuid],
    page: &Page,
    (name, id): ((&'static str, &'static str), (&'static str, &'static str)),
) -> Result<Vec<E::Model>>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let branch = |own: SimpleExpr| {
        let mut select = from().filter(own);
        page.apply_to_branch(QueryTrait::query(&mut select), name, id);
        select.into_query()
    };
    let backend = db.get_database_backend();
    let statements: Vec<_> = if backend == DbBackend::Postgres {
        let own = Expr::col(parent.as_column_ref()).equals((PARENT, PARENT));
        vec![lateral(branch(own), parents)]
    } else {
        let branch = |id: &Uuid| branch(parent.eq(*id));
        parents.chunks(BRANCHES).map(|parents| union(parents.iter().map(branch))).collect()
    };
    let mut rows = Vec::new();
    for statement in statements {
        rows.extend(E::find().from_raw_sql(backend.build(&statement)).all(db).await?);
    }
    Ok(rows)
}

/// SQLite takes at most 500 branches in a statement.
const BRANCHES: usize = 200;

/// The name of the list of parents, and of its only column.
const PARENT: &str = "parent";

/// A query that is run for each parent. PostgreSQL alone has this; it plans it once, however many
/// parents there are.
fn lateral(branch: SelectStatement, parents: &[Uuid]) -> SelectStatement {
    Query::select()
        .column(("page", Asterisk))
        .from_function(Func::cust("unnest").arg(Expr::val(parents.to_vec())), PARENT)
        .join_lateral(JoinType::InnerJoin, branch, "page", Expr::cust("TRUE"))
        .to_owned()
}

/// Queries one after the other. SQLite limits each of them only inside a subquery.
fn union(branches: impl Iterator<Item = SelectStatement>) -> SelectStatement {
    let select =
        |branch| Query::select().expr(Expr::col(Asterisk)).from_subquery(branch, "page").to_owned();
    let mut branches = branches.map(select);
    let mut all = branches.next().unwrap_or_default();
    for branch in branches {
        all.union(UnionType::All, branch);
    }
    all
}

/// Sorts the rows of [`per_parent`] out to their parents.
pub(crate) fn group<M, K: Ord>(
    rows: Vec<M>,
    page: &Page,
    parent: impl Fn(&M) -> K,
) -> BTreeMap<K, Rows<M>> {
    let mut groups: BTreeMap<K, Vec<M>> = BTreeMap::new();
    for row in rows {
        groups.entry(parent(&row)).or_default().push(row);
    }
    groups.into_iter().map(|(key, rows)| (key, page.rows(rows))).collect()
}

/// How many rows of a query each parent has.
///
/// # Errors
/// What the database answers.
pub(crate) async fn counts<E, K, C>(
    db: &C,
    select: Select<E>,
    parent: E::Column,
) -> Result<BTreeMap<K, u64>>
where
    E: EntityTrait,
    K: Ord + TryGetable,
    C: ConnectionTrait,
{
    let counted = select
        .select_only()
        .column_as(parent, "parent")
        .column_as(Expr::val(1).count(), "count")
        .group_by(parent);
    let rows = db.query_all(&counted.into_query()).await?;
    rows.iter()
        .map(|row| {
            let count: i64 = row.try_get("", "count")?;
            Ok((row.try_get("", "parent")?, u64::try_from(count).unwrap_or(0)))
        })
        .collect()
}
