//! The root fields that change budgets which stand alone, and the inputs of all others.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, OneofObject, SimpleObject};
use entity::budget;

use super::Budget;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::budget as domain;
use crate::graphql::access::requires;
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::scalar::{BigInt, Duration, Instant, Usd};
use crate::graphql::team::count;
use crate::graphql::value::{Cascade, Counting, change, same};

/// The limits of a new budget; at least one must be given.
#[derive(Clone, Debug, InputObject)]
pub struct BudgetLimitsInput {
    /// The most that may be spent in a window; no cap by default; 0 lets nothing through.
    max_spend: Option<Usd>,
    /// The spend at which a warning is due; less than `maxSpend`.
    soft_spend: Option<Usd>,
    /// The length of a window; one window without end by default. `1d`, `7d` (Monday to Sunday)
    /// and `1mo` follow the calendar; ISO 8601 durations such as `P30D` roll from now.
    period: Option<Duration>,
    /// The IANA time zone in which windows begin; `UTC` by default.
    time_zone: Option<String>,
    /// The most requests in a minute; no cap by default.
    requests_per_minute: Option<BigInt>,
    /// The most tokens in a minute; no cap by default.
    tokens_per_minute: Option<BigInt>,
    /// The most requests at once; no cap by default.
    max_parallel_requests: Option<BigInt>,
    /// Only calls of models with this name count, where `*` stands for any text; all by default.
    model_pattern: Option<String>,
    /// More to spend than `maxSpend` for some time; nothing by default.
    temporary_increase: Option<BudgetIncreaseInput>,
}

/// More to spend for some time.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct BudgetIncreaseInput {
    /// How much more than `maxSpend`; above zero.
    amount: Usd,
    /// The instant from which it is over.
    ends_at: Instant,
}

impl From<BudgetIncreaseInput> for domain::Increase {
    fn from(input: BudgetIncreaseInput) -> Self {
        Self { amount: input.amount.0, ends_at: input.ends_at.into() }
    }
}

impl From<BudgetLimitsInput> for domain::Limits {
    fn from(input: BudgetLimitsInput) -> Self {
        Self {
            max_spend: input.max_spend.map(|usd| usd.0),
            soft_spend: input.soft_spend.map(|usd| usd.0),
            period: input.period.map(|duration| duration.0),
            time_zone: input.time_zone,
            requests_per_minute: input.requests_per_minute.map(|number| number.0),
            tokens_per_minute: input.tokens_per_minute.map(|number| number.0),
            max_parallel_requests: input.max_parallel_requests.map(|number| number.0),
            model_pattern: input.model_pattern,
            temporary_increase: input.temporary_increase.map(Into::into),
        }
    }
}

/// A change of a budget's limits. What is left out stays; null clears.
#[derive(Clone, Debug, Default, InputObject)]
pub struct BudgetLimitsUpdateInput {
    /// The most that may be spent in a window; null for no cap.
    max_spend: MaybeUndefined<Usd>,
    /// The spend at which a warning is due; null for none.
    soft_spend: MaybeUndefined<Usd>,
    /// The length of a window; null for one without end. A change takes effect at the end of the
    /// current window, or at once when that has no end.
    period: MaybeUndefined<Duration>,
    /// The IANA time zone in which windows begin; null for `UTC`. A change takes effect as that of
    /// `period` does.
    time_zone: MaybeUndefined<String>,
    /// The most requests in a minute; null for no cap.
    requests_per_minute: MaybeUndefined<BigInt>,
    /// The most tokens in a minute; null for no cap.
    tokens_per_minute: MaybeUndefined<BigInt>,
    /// The most requests at once; null for no cap.
    max_parallel_requests: MaybeUndefined<BigInt>,
    /// Only calls of models with this name count; null for all.
    model_pattern: MaybeUndefined<String>,
    /// More to spend than `maxSpend` for some time; null ends it.
    temporary_increase: MaybeUndefined<BudgetIncreaseInput>,
}

impl From<BudgetLimitsUpdateInput> for domain::LimitsChange {
    fn from(input: BudgetLimitsUpdateInput) -> Self {
        Self {
            max_spend: change(input.max_spend, |usd| usd.0),
            soft_spend: change(input.soft_spend, |usd| usd.0),
            period: change(input.period, |duration| duration.0),
            time_zone: same(input.time_zone),
            requests_per_minute: change(input.requests_per_minute, |number| number.0),
            tokens_per_minute: change(input.tokens_per_minute, |number| number.0),
            max_parallel_requests: change(input.max_parallel_requests, |number| number.0),
            model_pattern: same(input.model_pattern),
            temporary_increase: change(input.temporary_increase, Into::into),
        }
    }
}

/// A budget that exists, for a scope to have.
#[derive(Clone, Debug, InputObject)]
pub struct BudgetAttachInput {
    /// The budget, by id or external id. One that the scope has already stays as it is.
    budget_id: ID,
    /// How it counts; as it did, or `EACH`, by default.
    counting: Option<Counting>,
}

/// A budget that the scope has, to be changed for this scope alone. One that others use is forked.
#[derive(Clone, Debug, InputObject)]
pub struct BudgetEditInput {
    /// The budget, by id or external id.
    budget_id: ID,
    /// The change.
    limits: BudgetLimitsUpdateInput,
}

/// One of the budgets that a scope is to have.
#[derive(Clone, Debug, OneofObject)]
#[graphql(name = "ScopeBudgetInput")]
pub enum ScopeBudgetInput {
    /// A new budget of the scope's own.
    Create(BudgetLimitsInput),
    /// A budget that exists, on this scope or elsewhere.
    Attach(BudgetAttachInput),
    /// A budget that the scope has, changed for this scope alone.
    Edit(BudgetEditInput),
}

/// A list of budgets in the words of the domain.
pub(crate) fn entries(list: Vec<ScopeBudgetInput>) -> Vec<domain::Entry> {
    list.into_iter()
        .map(|entry| match entry {
            ScopeBudgetInput::Create(limits) => domain::Entry::Create(limits.into()),
            ScopeBudgetInput::Attach(attach) => domain::Entry::Attach {
                budget: Reference::parse(&attach.budget_id),
                counting: attach.counting.map(Into::into),
            },
            ScopeBudgetInput::Edit(edit) => domain::Entry::Edit {
                budget: Reference::parse(&edit.budget_id),
                change: edit.limits.into(),
            },
        })
        .collect()
}

/// A new budget that stands alone, for scopes to attach.
#[derive(Clone, Debug, InputObject)]
pub struct BudgetCreateInput {
    /// The display name; 1 to 200 characters.
    name: String,
    /// An id of your own, unique within the organization; 1 to 128 characters without spaces.
    external_id: Option<String>,
    /// The organization that the budget belongs to, by id or external id; the platform by default.
    organization_id: Option<ID>,
    /// The limits.
    limits: BudgetLimitsInput,
}

/// A change of a budget that stands alone, for every scope that uses it.
#[derive(Clone, Debug, InputObject)]
pub struct BudgetUpdateInput {
    /// The budget, by id or external id.
    id: ID,
    /// The new display name; null is refused.
    name: MaybeUndefined<String>,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// The new limits.
    limits: Option<BudgetLimitsUpdateInput>,
    /// What happens to scopes below those that use it; refused by default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the budget has changed since.
    expected_version: Option<i32>,
}

/// A budget to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct BudgetDeleteInput {
    /// The budget, by id or external id.
    id: ID,
    /// The version that you saw.
    expected_version: Option<i32>,
}

/// The budget that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct BudgetCreatePayload {
    /// The budget.
    budget: Budget,
}

/// The budget as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct BudgetUpdatePayload {
    /// The budget.
    budget: Budget,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct BudgetDeletePayload {
    /// The id of the budget.
    deleted_id: ID,
    /// The number of scopes that it was taken off.
    unassigned_scope_count: i32,
}

/// Changes budgets.
#[derive(Default)]
pub struct BudgetMutation;

/// Changes budgets.
#[Object]
impl BudgetMutation {
    /// Creates a budget that stands alone, for scopes to attach as a tier or as a common pot.
    #[graphql(directive = requires::apply(Permission::BudgetCreate))]
    async fn budget_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new budget.")] input: BudgetCreateInput,
    ) -> Option<ApiResult<BudgetCreatePayload>> {
        let input = domain::Create {
            external_id: input.external_id,
            organization: input.organization_id.map(|id| Reference::parse(&id)),
            name: input.name,
            limits: input.limits.into(),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let budget = domain::create(tx, input).await?;
                Ok(BudgetCreatePayload { budget: budget.into() })
            })
        })
        .await
    }

    /// Updates a budget that stands alone, for every scope that uses it. A budget that one scope
    /// owns is changed through that scope.
    #[graphql(directive = requires::apply(Permission::BudgetUpdate))]
    async fn budget_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: BudgetUpdateInput,
    ) -> Option<ApiResult<BudgetUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            name: same(input.name),
            external_id: same(input.external_id),
            limits: input.limits.unwrap_or_default().into(),
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::BudgetUpdate;
                let budget =
                    domain::authorize_limits(tx, permission, &reference, "input.id").await?;
                let budget = domain::update(tx, budget, input).await?;
                Ok(BudgetUpdatePayload { budget: budget.into() })
            })
        })
        .await
    }

    /// Deletes a budget that stands alone, and takes it off every scope that uses it.
    #[graphql(directive = requires::apply(Permission::BudgetDelete))]
    async fn budget_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The budget.")] input: BudgetDeleteInput,
    ) -> Option<ApiResult<BudgetDeletePayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::BudgetDelete;
                let budget =
                    authorize::<budget::Model>(tx, permission, &reference, "input.id").await?;
                let deleted_id = ID(budget.id.to_string());
                let scopes = domain::delete(tx, budget, input.expected_version).await?;
                Ok(BudgetDeletePayload { deleted_id, unassigned_scope_count: count(scopes) })
            })
        })
        .await
    }
}
