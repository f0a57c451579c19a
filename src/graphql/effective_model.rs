//! The models that a scope may call, as lists and checks judge them alike.

use async_graphql::{Context, SimpleObject, TypeName};
use uuid::Uuid;

use super::connection::{self, Connection};
use super::context::ContextExt;
use super::error::ApiResult;
use super::loader::EffectiveModelsOf;
use crate::db::{Direction, Page, PageRequest, SortField};
use crate::domain::access;
use crate::domain::scope::Scope;

/// A name of models that may be called.
#[derive(Clone, Debug, SimpleObject)]
pub struct EffectiveModel {
    /// The name that a call asks for. `*` stands for any text.
    name: String,
    /// The name that is meant: another one for an alias.
    target: String,
}

impl TypeName for EffectiveModel {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "EffectiveModel".into()
    }
}

impl From<access::EffectiveModel> for EffectiveModel {
    fn from(model: access::EffectiveModel) -> Self {
        Self { name: model.name, target: model.target }
    }
}

/// A page of the models that a scope may call.
pub(super) async fn page(
    ctx: &Context<'_>,
    scope: Scope,
    request: &PageRequest,
) -> ApiResult<Connection<EffectiveModel>> {
    let order = (SortField::Name, Direction::Ascending);
    let page = Page::new(request, order, &(scope, "effective models"))?;
    let models = ctx.loader().load_one(EffectiveModelsOf(scope)).await?.unwrap_or_default();
    let total = models.len() as u64;
    let rows = access::page_of(&models, &page);
    let place = |model: &access::EffectiveModel| (model.name.clone(), Uuid::nil());
    let count = move || -> connection::Counting { Box::pin(async move { Ok(total) }) };
    Ok(Connection::new(&page, rows, place, count))
}
