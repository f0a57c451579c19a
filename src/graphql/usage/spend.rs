//! The object `Spend`: what was spent in a scope.

use async_graphql::{Context, Object};
use entity::spend_total;

use crate::domain::budget::InForce;
use crate::domain::scope::Scope;
use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::{BudgetsOf, SpendOf};
use crate::graphql::scalar::{BigInt, Instant, Usd};

/// What was spent in a scope, whatever its budgets are.
#[derive(Clone, Debug)]
pub struct Spend {
    scope: Scope,
    total: Option<spend_total::Model>,
}

/// What was spent in a scope whose numbers the caller may read.
pub(in crate::graphql) async fn spend_of(ctx: &Context<'_>, scope: Scope) -> ApiResult<Spend> {
    let total = ctx.loader().load_one(SpendOf(scope)).await.map_err(ApiError::from)?;
    Ok(Spend { scope, total })
}

impl Spend {
    /// The budget whose window is that of the scope: of those that count all its calls and end, the
    /// one that ends first.
    async fn window(&self, ctx: &Context<'_>) -> ApiResult<Option<InForce>> {
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
    async fn lifetime(&self) -> Usd {
        Usd(self.total.as_ref().map(|total| total.spent).unwrap_or_default())
    }

    /// What was spent in the current window: that of the budget which counts all calls of the scope
    /// and ends first. The same as `lifetime` when no budget has a period; null when it could not be
    /// read.
    async fn current_window(&self, ctx: &Context<'_>) -> Option<ApiResult<Usd>> {
        let window = self.window(ctx).await;
        let lifetime = self.total.as_ref().map(|total| total.spent).unwrap_or_default();
        Some(window.map(|window| Usd(window.map_or(lifetime, |window| window.spent))))
    }

    /// When that window ends; null when no budget has a period.
    async fn resets_at(&self, ctx: &Context<'_>) -> Option<ApiResult<Instant>> {
        let window = self.window(ctx).await;
        window.map(|window| window.and_then(|row| row.window.ends_at).map(Into::into)).transpose()
    }

    /// The number of calls ever made.
    async fn requests(&self) -> BigInt {
        BigInt(self.total.as_ref().map_or(0, |total| total.requests))
    }

    /// All tokens in, those from and to a cache included.
    async fn input_tokens(&self) -> BigInt {
        BigInt(self.total.as_ref().map_or(0, |total| total.input_tokens))
    }

    /// All tokens out, those of reasoning included.
    async fn output_tokens(&self) -> BigInt {
        BigInt(self.total.as_ref().map_or(0, |total| total.output_tokens))
    }
}
