//! Who asks, as the API tells it.

use async_graphql::{Context, Object};
use sea_orm::Iterable;

use super::access::requires;
use super::api_key::ApiKey;
use super::context::ContextExt;
use super::user::User;
use super::value::{ActorKind, PlatformRole};
use crate::authz::{Permission, policy};

/// You: the credential that you present, and what it may do.
#[derive(Clone, Copy, Debug)]
pub struct Viewer;

/// You: the credential that you present, and what it may do.
#[Object]
impl Viewer {
    /// What kind of credential you present.
    async fn kind(&self, ctx: &Context<'_>) -> ActorKind {
        ctx.session().actor().kind().into()
    }

    /// The person behind the credential; null for a credential without one.
    async fn user(&self, ctx: &Context<'_>) -> Option<User> {
        ctx.session().actor().user().cloned().map(Into::into)
    }

    /// The key that you present; null for the bootstrap admin key.
    async fn api_key(&self, ctx: &Context<'_>) -> Option<ApiKey> {
        ctx.session().actor().key().cloned().map(Into::into)
    }

    /// The platform role in force: a key that belongs to a team acts within that team alone. Null
    /// for a credential without a person.
    async fn platform_role(&self, ctx: &Context<'_>) -> Option<PlatformRole> {
        ctx.session().actor().platform_role().map(Into::into)
    }

    /// The permissions that you hold over something. Over which objects, `viewerCan` of an object
    /// tells.
    async fn permissions(&self, ctx: &Context<'_>) -> Vec<Permission> {
        let actor = ctx.session().actor();
        Permission::iter().filter(|wanted| policy::allows_anywhere(actor, *wanted)).collect()
    }
}

/// Reads who asks.
#[derive(Default)]
pub struct ViewerQuery;

/// Reads who asks.
#[Object]
impl ViewerQuery {
    /// You: the credential that you present, and what it may do.
    #[graphql(directive = requires::apply(Permission::ViewerRead))]
    async fn viewer(&self) -> Viewer {
        Viewer
    }
}
