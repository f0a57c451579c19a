//! The object `Spend`: what was spent in a scope.

use async_graphql::{Context, Object};
use entity::spend_total;
use futures_util::future::join;

use crate::domain::budget::InForce;
use crate::domain::scope::Scope;
use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{BudgetsOf, SpendOf};
use crate::graphql::scalar::{BigInt, Instant, Usd};

/// What was spent in a scope, whatever its budgets are.
#[derive(Clone, Copy, Debug)]
pub struct Spend {
    scope: Scope,
}

/// What was spent in a scope whose numbers the caller may read.
pub(in crate::graphql) fn spend_of(scope: Scope) -> Spend {
    Spend { scope }
}

impl Spend {
    /// What was ever spent; none when nothing was counted yet. Each field asks for itself: they share
    /// a batch with each other, and with the budgets beside them.
    async fn total(self, ctx: &Context<'_>) -> ApiResult<Option<spend_total::Model>> {
        ctx.loader().load_one(SpendOf(self.scope)).await.map_err(ApiError::from)
    }

    /// The budget whose window is that of the scope: of those that count all its calls and end, the
    /// one that ends first.
    async fn window(self, ctx: &Context<'_>) -> ApiResult<Option<InForce>> {
        let budgets = ctx.loader().load_one(BudgetsOf(self.scope)).await;
        let counts_all = |row: &InForce| {
            row.budget.model_pattern.is_none()
                && row.counting == entity::role::Counting::Each
                && row.window.ends_at.is_some()
        };
        let budgets = budgets.map_err(ApiError::from)?.unwrap_or_default().into_iter();
        Ok(budgets.filter(counts_all).min_by_key(|row| row.window.ends_at))
    }
}

/// What was spent in a scope, whatever its budgets are.
#[Object]
impl Spend {
    /// All that was ever spent, corrections included.
    async fn lifetime(&self, ctx: &Context<'_>) -> ApiResult<Usd> {
        let total = self.total(ctx).await?;
        Ok(Usd(total.map(|total| total.spent).unwrap_or_default()))
    }

    /// What was spent in the current window: that of the budget which counts all calls of the scope
    /// and ends first. The same as `lifetime` when no budget has a period; null when it could not be
    /// read.
    async fn current_window(&self, ctx: &Context<'_>) -> Option<ApiResult<Usd>> {
        let (window, total) = join(self.window(ctx), self.total(ctx)).await;
        let spent = window.and_then(|window| match window {
            Some(window) => Ok(window.spent),
            None => Ok(total?.map(|total| total.spent).unwrap_or_default()),
        });
        Some(spent.map(Usd))
    }

    /// When that window ends; null when no budget has a period.
    async fn resets_at(&self, ctx: &Context<'_>) -> Option<ApiResult<Instant>> {
        let window = self.window(ctx).await;
        window.map(|window| window.and_then(|row| row.window.ends_at).map(Into::into)).transpose()
    }

    /// The number of calls ever made.
    async fn requests(&self, ctx: &Context<'_>) -> ApiResult<BigInt> {
        Ok(BigInt(self.total(ctx).await?.map_or(0, |total| total.requests)))
    }

    /// All tokens in, those from and to a cache included.
    async fn input_tokens(&self, ctx: &Context<'_>) -> ApiResult<BigInt> {
        Ok(BigInt(self.total(ctx).await?.map_or(0, |total| total.input_tokens)))
    }

    /// All tokens out, those of reasoning included.
    async fn output_tokens(&self, ctx: &Context<'_>) -> ApiResult<BigInt> {
        Ok(BigInt(self.total(ctx).await?.map_or(0, |total| total.output_tokens)))
    }
}
