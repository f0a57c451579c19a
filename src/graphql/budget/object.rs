//! The objects `Budget` and `BudgetAssignment`.

use async_graphql::{Context, ID, Object, SimpleObject, TypeName};
use entity::budget;
use entity::id::BudgetAssignmentId;
use entity::value::Usd as Amount;

use crate::domain::budget::{InForce, window};
use crate::domain::ledger::alert;
use crate::domain::scope::Scope;
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::organization::Organization;
use crate::graphql::scalar::{BigInt, Duration, Instant, Usd};
use crate::graphql::value::{BudgetThreshold, Counting, ScopeKind};

/// A limit on spend, rates and concurrency.
#[derive(Clone, Debug)]
pub struct Budget(pub(crate) budget::Model);

impl From<budget::Model> for Budget {
    fn from(row: budget::Model) -> Self {
        Self(row)
    }
}

impl TypeName for Budget {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Budget".into()
    }
}

/// A limit on spend, rates and concurrency.
#[Object]
impl Budget {
    /// The budget's id, `budget_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose; unique within the organization. Null when none was chosen.
    fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The display name; null for a budget that one scope owns.
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The organization that the budget belongs to; null for one of the platform.
    async fn organization(&self, ctx: &Context<'_>) -> Option<ApiResult<Organization>> {
        let id = self.0.organization_id?;
        match ctx.loader().load_one(id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Whether the budget stands alone, for scopes to attach; else one scope owns it.
    fn is_standalone(&self) -> bool {
        self.0.owner_kind.is_none()
    }

    /// The most that may be spent in a window: a call is refused once spend has reached it. Null
    /// for no cap; 0 lets nothing through.
    fn max_spend(&self) -> Option<Usd> {
        self.0.max_spend.map(Usd)
    }

    /// The spend at which a warning is due; null for none.
    fn soft_spend(&self) -> Option<Usd> {
        self.0.soft_spend.map(Usd)
    }

    /// The length of a window. `1d`, `7d` (Monday to Sunday) and `1mo` follow the calendar; ISO
    /// 8601 durations such as `P30D` roll from the day the budget was made. Null for one window
    /// without end.
    fn period(&self) -> Option<Duration> {
        self.0.period.clone().map(Duration)
    }

    /// When `period` and `timeZone` take effect that were changed: at the end of the window in which
    /// they were changed. Null when they have.
    fn period_changes_at(&self, ctx: &Context<'_>) -> Option<Instant> {
        window::pending_change(&self.0, ctx.reader().now()).map(Into::into)
    }

    /// What may be spent beyond `maxSpend` for some time; null for nothing, and when it is over.
    fn temporary_increase(&self, ctx: &Context<'_>) -> Option<BudgetIncrease> {
        let increase = window::increase_of(&self.0)?;
        (ctx.reader().now() < increase.ends_at).then(|| BudgetIncrease {
            amount: Usd(increase.amount),
            ends_at: increase.ends_at.into(),
        })
    }

    /// The IANA time zone in which windows begin.
    fn time_zone(&self) -> &str {
        &self.0.time_zone
    }

    /// The most requests in a minute; null for no cap.
    fn requests_per_minute(&self) -> Option<BigInt> {
        self.0.requests_per_minute.map(BigInt)
    }

    /// The most tokens in a minute; null for no cap.
    fn tokens_per_minute(&self) -> Option<BigInt> {
        self.0.tokens_per_minute.map(BigInt)
    }

    /// The most requests at once; null for no cap.
    fn max_parallel_requests(&self) -> Option<BigInt> {
        self.0.max_parallel_requests.map(BigInt)
    }

    /// Only calls of models with this name count, where `*` stands for any text; null for all.
    fn model_pattern(&self) -> Option<&str> {
        self.0.model_pattern.as_deref()
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// When the budget was made; of one that a scope got in place of another's, when that was.
    fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}

/// More to spend for some time.
#[derive(Clone, Debug, SimpleObject)]
pub struct BudgetIncrease {
    /// How much more, in every window that is current meanwhile.
    amount: Usd,
    /// The instant from which it is over.
    ends_at: Instant,
}

/// A budget in force on a scope, with the counters of its current window.
#[derive(Clone, Debug)]
pub struct BudgetAssignment {
    id: BudgetAssignmentId,
    scope: Scope,
    counting: entity::role::Counting,
    budget: Budget,
    window: window::BudgetWindow,
    spent: Amount,
    reserved: Amount,
    raised: i32,
}

impl From<InForce> for BudgetAssignment {
    fn from(row: InForce) -> Self {
        let InForce { id, scope, counting, budget, window, spent, reserved, raised } = row;
        Self { id, scope, counting, budget: budget.into(), window, spent, reserved, raised }
    }
}

/// A budget in force on a scope, with the counters of its current window.
#[Object]
impl BudgetAssignment {
    /// The assignment's id, `assignment_` and 32 hexadecimal digits.
    fn id(&self) -> ID {
        ID(self.id.to_string())
    }

    /// The budget.
    fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The kind of scope.
    fn scope_kind(&self) -> ScopeKind {
        self.scope.kind.into()
    }

    /// The id of the scope.
    fn scope_id(&self) -> ID {
        ID(self.scope.to_string())
    }

    /// Whether the scope counts for itself or draws on the common pot.
    fn counting(&self) -> Counting {
        self.counting.into()
    }

    /// What was spent in the current window.
    fn spent(&self) -> Usd {
        Usd(self.spent)
    }

    /// What is held in the current window for calls under way.
    fn reserved(&self) -> Usd {
        Usd(self.reserved)
    }

    /// What is left of `maxSpend` in the current window, never below zero; with `temporaryIncrease`
    /// while that lasts. Null without a cap.
    fn remaining(&self, ctx: &Context<'_>) -> Option<Usd> {
        let used = self.spent.checked_add(self.reserved).unwrap_or(Amount::from_nanos(i64::MAX));
        let max = window::max_spend_at(&self.budget.0, ctx.reader().now());
        max.map(|max| Usd(max.remaining_after(used)))
    }

    /// When the current window began; null for a window without end, which began with the budget.
    fn window_started_at(&self) -> Option<Instant> {
        self.window.ends_at.map(|_| self.window.starts_at.into())
    }

    /// When the current window ends and a new one begins; null for a window without end.
    fn resets_at(&self) -> Option<Instant> {
        self.window.ends_at.map(Into::into)
    }

    /// The thresholds that spend has reached in the current window, each raised once.
    fn reached_thresholds(&self) -> Vec<BudgetThreshold> {
        alert::raised(self.raised).map(Into::into).collect()
    }
}
