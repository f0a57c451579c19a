//! Connections: paged lists after the Relay specification, with `nodes` and `totalCount`.

use std::borrow::Cow;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;

use async_graphql::{Enum, InputObject, Object, OutputType, SimpleObject, TypeName};
use uuid::Uuid;

use super::batch::{Loader, Loaders};
use super::error::ApiResult;
use crate::db::page::Rows;
use crate::db::{Direction, Page, PageRequest, Reader, SortField};
use crate::error::Error;

/// One end of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(name = "OrderDirection")]
pub enum OrderDirection {
    /// Smallest or oldest first.
    #[default]
    Asc,
    /// Largest or newest first.
    Desc,
}

impl From<OrderDirection> for Direction {
    fn from(direction: OrderDirection) -> Self {
        match direction {
            OrderDirection::Asc => Self::Ascending,
            OrderDirection::Desc => Self::Descending,
        }
    }
}

/// What a list may be ordered by; the id breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "OrderField")]
pub enum OrderField {
    /// The name, whatever its case; what has no name comes first.
    Name,
    /// The time of creation.
    CreatedAt,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, InputObject)]
#[graphql(name = "OrderInput")]
pub struct OrderInput {
    /// What to order by.
    pub field: OrderField,
    /// Which end comes first; ascending by default.
    #[graphql(default)]
    pub direction: OrderDirection,
}

/// The order of a list that is ordered by name unless the caller says otherwise.
pub(super) fn by_name(order: Option<OrderInput>) -> (SortField, Direction) {
    order.map_or((SortField::Name, Direction::Ascending), order_of)
}

fn order_of(order: OrderInput) -> (SortField, Direction) {
    let field = match order.field {
        OrderField::Name => SortField::Name,
        OrderField::CreatedAt => SortField::Created,
    };
    (field, order.direction.into())
}

/// Oldest first.
pub(super) const OLDEST_FIRST: (SortField, Direction) = (SortField::Created, Direction::Ascending);
/// Newest first.
pub(super) const NEWEST_FIRST: (SortField, Direction) = (SortField::Created, Direction::Descending);

/// The paging arguments of a connection.
pub(super) fn request(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> PageRequest {
    PageRequest { first, after, last, before }
}

/// Where in its list a page stands.
#[derive(Clone, Debug, SimpleObject)]
pub struct PageInfo {
    /// Whether items come before this page; exact when paging backwards.
    has_previous_page: bool,
    /// Whether items come after this page; exact when paging forwards.
    has_next_page: bool,
    /// The cursor of the first item; null on an empty page.
    start_cursor: Option<String>,
    /// The cursor of the last item; null on an empty page.
    end_cursor: Option<String>,
}

/// The number of items of a whole list, under way.
pub(super) type Counting = Pin<Box<dyn Future<Output = ApiResult<u64>> + Send>>;

/// Counts by a loader, so that the lists of many parents are counted in one statement.
pub(super) fn counted<K>(loaders: &Loaders, key: K) -> impl Fn() -> Counting + Send + Sync + 'static
where
    K: Send + Sync + Unpin + Hash + Eq + Clone + 'static,
    Reader: Loader<K, Value = u64>,
{
    let loaders = loaders.clone();
    move || {
        let (loaders, key) = (loaders.clone(), key.clone());
        Box::pin(async move { Ok(loaders.load_one(key).await?.unwrap_or(0)) })
    }
}

/// A page of a list, and how to count all of it.
pub struct Connection<T> {
    edges: Vec<Edge<T>>,
    has_previous_page: bool,
    has_next_page: bool,
    count: Box<dyn Fn() -> Counting + Send + Sync>,
}

/// One item of a list, with its place.
pub struct Edge<T> {
    page: Arc<Page>,
    name: String,
    id: Uuid,
    node: T,
}

impl<T> Edge<T> {
    /// Signed when somebody asks.
    fn place(&self) -> String {
        self.page.cursor_of(&self.name, self.id)
    }
}

impl<T> Connection<T> {
    /// A page of rows; `place` tells a row's lower-case name and id, `count` counts them all when
    /// somebody asks.
    pub(super) fn new<M: Into<T>>(
        page: &Page,
        rows: Rows<M>,
        place: impl Fn(&M) -> (String, Uuid),
        count: impl Fn() -> Counting + Send + Sync + 'static,
    ) -> Self {
        let page = Arc::new(page.clone());
        let edge = |row: M| {
            let (name, id) = place(&row);
            Edge { page: Arc::clone(&page), name, id, node: row.into() }
        };
        Self {
            has_previous_page: rows.has_previous,
            has_next_page: rows.has_next,
            edges: rows.rows.into_iter().map(edge).collect(),
            count: Box::new(count),
        }
    }
}

impl<T: TypeName> TypeName for Connection<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::type_name()).into()
    }
}

impl<T: TypeName> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<T: OutputType + TypeName> Connection<T> {
    /// The items, each with its cursor.
    async fn edges(&self) -> &[Edge<T>] {
        &self.edges
    }

    /// The items.
    async fn nodes(&self) -> Vec<&T> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where in its list the page stands.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: self.edges.first().map(Edge::place),
            end_cursor: self.edges.last().map(Edge::place),
        }
    }

    /// How many items the whole list has, as far as you may see them. Counted only when selected;
    /// null when it could not be counted.
    async fn total_count(&self) -> Option<ApiResult<i32>> {
        Some(
            (self.count)().await.and_then(|count| {
                i32::try_from(count).map_err(|error| Error::internal(error).into())
            }),
        )
    }
}

/// An item of a list, with its cursor.
#[Object(name_type)]
impl<T: OutputType + TypeName> Edge<T> {
    /// The place of the item in this list, with this filter and order.
    fn cursor(&self) -> String {
        self.place()
    }

    /// The item.
    async fn node(&self) -> &T {
        &self.node
    }
}
