//! The only reader of a request's context: the session, the loaders, and how mutations run.

use async_graphql::{Context, PathSegment};

use super::batch::Loaders;
use super::error::{ApiError, ApiResult};
use crate::db::Reader;
use crate::domain::ledger::Ledger;
use crate::session::{Session, Work};

/// What resolvers take from a request.
pub(super) trait ContextExt {
    /// The session.
    fn session(&self) -> &Session;
    /// The read handle.
    fn reader(&self) -> &Reader;
    /// The loaders.
    fn loader(&self) -> &Loaders;
    /// The ledger, whose writes are not those of a caller.
    fn ledger(&self) -> &Ledger;
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads context data")]
#[expect(clippy::expect_used, reason = "the engine puts them into every request")]
impl ContextExt for Context<'_> {
    fn session(&self) -> &Session {
        self.data::<Session>().expect("the engine puts a session into every request")
    }

    fn reader(&self) -> &Reader {
        self.session().reader()
    }

    fn loader(&self) -> &Loaders {
        let loader = self.data::<Loaders>();
        loader.expect("the engine puts loaders into every request")
    }

    fn ledger(&self) -> &Ledger {
        let ledger = self.data::<Ledger>();
        ledger.expect("the engine puts the ledger into every request")
    }
}

/// Runs a mutation in one transaction. All faults of its input become errors of the answer.
pub(super) async fn mutate<I: Clone, T>(
    ctx: &Context<'_>,
    input: I,
    work: Work<I, T>,
) -> Option<ApiResult<T>> {
    let operation = ctx.item.node.name.node.as_str();
    Some(ctx.session().write(operation, input, work).await.map_err(|error| {
        let error = ApiError::from(error);
        for further in error.earlier() {
            let mut further = further.into_server_error(ctx.item.pos);
            further.path = vec![PathSegment::Field(ctx.item.node.response_key().node.to_string())];
            ctx.add_error(further);
        }
        error
    }))
}
