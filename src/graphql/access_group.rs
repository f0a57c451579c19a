//! Access groups in the API.

pub mod mutation;

pub use mutation::AccessGroupMutation;

use async_graphql::{Context, ID, Object, TypeName};
use entity::access_group;
use entity::id::Id;

use super::access::requires;
use super::connection::{self, Connection, OrderInput};
use super::context::ContextExt;
use super::error::{ApiError, ApiResult};
use super::loader::ModelsIn;
use super::scalar::Instant;
use super::team::check_search;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::access_group as domain;
use crate::domain::field::Faults;

/// A set of models under a name that lists of models may use.
#[derive(Clone, Debug)]
pub struct AccessGroup(pub(crate) access_group::Model);

impl From<access_group::Model> for AccessGroup {
    fn from(row: access_group::Model) -> Self {
        Self(row)
    }
}

impl TypeName for AccessGroup {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "AccessGroup".into()
    }
}

/// A set of models under a name that lists of models may use.
#[Object]
impl AccessGroup {
    /// The group's id, `group_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose; unique. Null when none was chosen.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The name by which `accessGroups` of a model access use it; unique.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is for; null for nothing said.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The public names of its models, where `*` stands for any text, in the order of the alphabet;
    /// at most 500.
    async fn models(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<String>>> {
        let rows = ctx.loader().load_one(ModelsIn(self.0.id)).await;
        Some(
            rows.map_err(ApiError::from).map(|rows| {
                rows.unwrap_or_default().into_iter().map(|row| row.model_name).collect()
            }),
        )
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it was made.
    async fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    async fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    async fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}

/// Reads access groups.
#[derive(Default)]
pub struct AccessGroupQuery;

/// Reads access groups.
#[Object]
impl AccessGroupQuery {
    /// One access group. Null when there is none.
    #[graphql(directive = requires::apply(Permission::AccessGroupRead))]
    async fn access_group(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The group's id or external id.")] id: ID,
    ) -> Option<ApiResult<AccessGroup>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The access groups of the platform.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::AccessGroupRead))]
    async fn access_groups(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only groups whose name or external id has this text.")] search: Option<
            String,
        >,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<AccessGroup>>> {
        let request = connection::request(first, after, last, before);
        let read = async {
            let mut faults = Faults::default();
            check_search(&mut faults, "search", search.as_deref());
            faults.finish()?;
            let page = Page::new(&request, connection::by_name(order_by), &search)?;
            let rows = domain::list(ctx.reader(), search.as_deref(), &page).await?;
            let reader = ctx.reader().clone();
            let count = move || -> connection::Counting {
                let (reader, search) = (reader.clone(), search.clone());
                Box::pin(async move { Ok(domain::count(&reader, search.as_deref()).await?) })
            };
            let place = |row: &access_group::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }
}
