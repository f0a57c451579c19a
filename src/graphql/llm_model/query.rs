//! The root fields that read models, and the one that opens credentials for gateways.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use entity::id::{CredentialId, Id};
use entity::llm_model;

use super::Model;
use crate::authz::{Permission, Reference};
use crate::db::Page;
use crate::domain::credential::Opened;
use crate::domain::field::Faults;
use crate::domain::llm_model as domain;
use crate::graphql::access::requires;
use crate::graphql::connection::{self, Connection, OrderInput};
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::team::check_search;
use crate::graphql::user::team_ids;

/// Which models a list holds; all conditions must be met.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ModelFilter {
    /// Only models whose name, provider's name or external id has this text, whatever its case; at
    /// most 256 characters.
    search: Option<String>,
    /// Only models with one of these public names; at most 100.
    names: Option<Vec<String>>,
    /// Only models of these providers; at most 100.
    providers: Option<Vec<String>>,
    /// Only models of these teams, by id or external id; at most 100.
    team_ids: Option<Vec<ID>>,
    /// Only models of the platform, or only those of teams.
    is_platform_wide: Option<bool>,
    /// Only models that send this credential, by id or external id.
    credential_id: Option<ID>,
    /// Only blocked models, or only others.
    is_blocked: Option<bool>,
}

/// A deployment as a gateway needs it.
#[derive(Clone, Debug, SimpleObject)]
pub struct ResolvedDeployment {
    /// The model.
    model: Model,
    /// The opened values of its credential.
    values: Vec<ResolvedValue>,
}

/// A value of a credential, opened for a gateway.
#[derive(Clone, SimpleObject)]
pub struct ResolvedValue {
    /// The name, such as `api_key`.
    name: String,
    /// The secret; null for a reference. Keep it in memory alone.
    secret: Option<String>,
    /// What to look up in your own environment, such as `os.environ/OPENAI_API_KEY`; null for a
    /// secret.
    reference: Option<String>,
}

impl std::fmt::Debug for ResolvedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResolvedValue").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<Opened> for ResolvedValue {
    fn from(opened: Opened) -> Self {
        Self {
            name: opened.name,
            secret: opened.secret.map(|secret| secret.expose().to_owned()),
            reference: opened.reference,
        }
    }
}

/// Reads models.
#[derive(Default)]
pub struct ModelQuery;

/// Reads models.
#[Object]
impl ModelQuery {
    /// One model. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::ModelRead))]
    async fn model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model's id or external id.")] id: ID,
    ) -> Option<ApiResult<Model>> {
        match domain::find(ctx.reader(), &Reference::parse(&id)).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The models that you may see: those of the platform, and those of your teams.
    #[expect(clippy::too_many_arguments, reason = "the paging arguments of every connection")]
    #[graphql(directive = requires::apply(Permission::ModelRead))]
    async fn models(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which models; all by default.")] filter: Option<ModelFilter>,
        #[graphql(desc = "By name, ascending, unless you say otherwise.")] order_by: Option<
            OrderInput,
        >,
        #[graphql(desc = "The number of items from the start; 20 by default, at most 100.")]
        first: Option<i32>,
        #[graphql(desc = "Start after the item with this cursor.")] after: Option<String>,
        #[graphql(desc = "The number of items from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "End before the item with this cursor.")] before: Option<String>,
    ) -> Option<ApiResult<Connection<Model>>> {
        let request = connection::request(first, after, last, before);
        let read = async {
            let filter = resolve(ctx, filter.unwrap_or_default()).await?;
            let page = Page::new(&request, connection::by_name(order_by), &filter)?;
            let rows = domain::list(ctx.reader(), &filter, &page).await?;
            let reader = ctx.reader().clone();
            let count = move || -> connection::Counting {
                let (reader, filter) = (reader.clone(), filter.clone());
                Box::pin(async move { Ok(domain::count(&reader, &filter).await?) })
            };
            let place = |row: &llm_model::Model| (row.search_text.clone(), row.id.uuid());
            Ok(Connection::new(&page, rows, place, count))
        };
        Some(read.await)
    }

    /// The deployments behind a name that a key may call, with their opened credentials: for gateways
    /// alone, whatever else a caller may do. Aliases of the key and its team are followed; a team that
    /// has models of its own under the name gets these alone. Blocked models are left out.
    /// `LIMIT_EXCEEDED` for a model that the key or a scope above it does not allow. Whether the key is
    /// in force and within its budgets is not judged here.
    #[graphql(directive = requires::apply(Permission::ModelResolve))]
    async fn model_resolve(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The name that the call asks for.")] name: String,
        #[graphql(desc = "The key that calls, by id or external id.")] api_key_id: ID,
    ) -> Option<ApiResult<Vec<ResolvedDeployment>>> {
        let read = async {
            let mut faults = Faults::default();
            faults.word("name", &name);
            faults.finish()?;
            let key = Reference::parse(&api_key_id);
            let found = domain::resolve(ctx.reader(), &name, &key).await?;
            let shown = |found: domain::Deployment| ResolvedDeployment {
                model: found.model.into(),
                values: found.values.into_iter().map(Into::into).collect(),
            };
            Ok(found.into_iter().map(shown).collect())
        };
        Some(read.await)
    }
}

async fn resolve(ctx: &Context<'_>, filter: ModelFilter) -> ApiResult<domain::Filter> {
    let mut faults = Faults::default();
    check_search(&mut faults, "filter.search", filter.search.as_deref());
    if let Some(ids) = &filter.team_ids {
        faults.ids("filter.teamIds", ids.len());
    }
    for (field, words) in [("filter.names", &filter.names), ("filter.providers", &filter.providers)]
    {
        if let Some(words) = words {
            faults.ids(field, words.len());
            for (index, word) in words.iter().enumerate().take(100) {
                faults.word(&format!("{field}.{index}"), word);
            }
        }
    }
    faults.finish()?;
    let credential_ids = match &filter.credential_id {
        None => None,
        Some(id) => {
            let reference = Reference::parse(id);
            let found = crate::domain::credential::find(ctx.reader(), &reference).await?;
            let none = CredentialId::from_uuid(uuid::Uuid::nil());
            Some(vec![found.map_or(none, |row| row.id)])
        }
    };
    Ok(domain::Filter {
        search: filter.search,
        names: filter.names,
        providers: filter.providers,
        team_ids: match &filter.team_ids {
            None => None,
            Some(ids) => Some(team_ids(ctx, ids).await?),
        },
        is_platform_wide: filter.is_platform_wide,
        credential_ids,
        is_blocked: filter.is_blocked,
    })
}
