//! The root fields that report usage and correct it.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use entity::usage_event;

use super::UsageEvent;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::ledger as domain;
use crate::graphql::access::requires;
use crate::graphql::context::{ContextExt, mutate};
use crate::graphql::error::ApiResult;
use crate::graphql::scalar::{BigInt, Instant, Usd};
use crate::graphql::value::CostSource;

/// What one call used.
#[derive(Clone, Debug, InputObject)]
pub struct UsageEventInput {
    /// Your id of the call, unique among your calls; 1 to 128 characters. It settles what was held
    /// for the call, and makes it safe to report again: ids are kept for 35 days.
    request_id: String,
    /// The key that called, by id or external id; a key that was deleted since then, by id alone.
    api_key_id: ID,
    /// The public name of the model, after aliases, known to the platform or not; 1 to 256
    /// characters, none of them a control character. Null, or left out, for a call of a route without
    /// a model: without a `cost` and a `modelId` it costs nothing.
    model: Option<String>,
    /// The model that answered, by id, where several share the name and differ in price.
    model_id: Option<ID>,
    /// The provider; that of the model by default. 1 to 128 characters without spaces at the ends.
    provider: Option<String>,
    /// All tokens in, those from and to a cache included; 0 by default.
    input_tokens: Option<BigInt>,
    /// The tokens read from a cache; 0 by default.
    cache_read_tokens: Option<BigInt>,
    /// The tokens written to a cache; 0 by default.
    cache_write_tokens: Option<BigInt>,
    /// All tokens out, those of reasoning included; 0 by default.
    output_tokens: Option<BigInt>,
    /// The tokens of reasoning; 0 by default.
    reasoning_tokens: Option<BigInt>,
    /// What the call cost; worked out from prices by default. At most a million dollars.
    cost: Option<Usd>,
    /// When the call was let through: the windows of this instant are charged, unless something was
    /// held for the call. `occurredAt` by default.
    authorized_at: Option<Instant>,
    /// When the call was made; at most 35 days ago. Now by default.
    occurred_at: Option<Instant>,
    /// The end user on whose behalf the key called, as the call named it; 1 to 256 characters, none
    /// of them a control character. Null and empty are none.
    end_user: Option<String>,
    /// Labels of the call, beside those of its key, project and team; at most 50, each 1 to 128
    /// characters without spaces at the ends. One that is given twice counts once.
    #[graphql(default)]
    tags: Vec<String>,
}

/// What calls used.
#[derive(Clone, Debug, InputObject)]
pub struct UsageRecordInput {
    /// The calls; 1 to 500. Each gets a verdict of its own.
    events: Vec<UsageEventInput>,
}

/// What came of a reported event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Code")]
pub enum UsageVerdictCode {
    /// It was recorded and counted.
    Recorded,
    /// The same was recorded before: nothing changed.
    Duplicate,
    /// Another event with this request id was recorded before: nothing changed.
    Conflict,
    /// It is older than request ids are kept: nothing changed.
    TooOld,
    /// It breaks a rule: nothing changed.
    Invalid,
    /// No key of this id was ever known, or nobody has the external id: nothing changed.
    NotFound,
}

/// The answer about one reported event.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageVerdict {
    /// Your id of the call.
    request_id: String,
    /// What came of it.
    code: UsageVerdictCode,
    /// The id of the event that is recorded under this request id; null when nothing is, or another.
    usage_event_id: Option<ID>,
    /// What it cost, exact; null when nothing is recorded under the request id, or something else.
    cost: Option<Usd>,
    /// Where the cost comes from.
    cost_source: Option<CostSource>,
    /// The field of the event that breaks a rule; null for none.
    field: Option<String>,
    /// What to do about that.
    message: Option<String>,
}

impl From<domain::Verdict> for UsageVerdict {
    fn from(verdict: domain::Verdict) -> Self {
        let (field, message) = verdict.fault.unzip();
        let (cost, source) = verdict.cost.unzip();
        Self {
            request_id: verdict.request_id,
            code: verdict.code.into(),
            usage_event_id: verdict.event.map(|id| ID(id.to_string())),
            cost: cost.map(Usd),
            cost_source: source.map(Into::into),
            field,
            message,
        }
    }
}

/// The verdicts on reported events.
#[derive(Clone, Debug, SimpleObject)]
pub struct UsageRecordPayload {
    /// One for each event, in their order.
    verdicts: Vec<UsageVerdict>,
}

/// A correction of what an event cost.
#[derive(Clone, Debug, InputObject)]
pub struct SpendCorrectInput {
    /// The event, by id.
    usage_event_id: ID,
    /// What is added to its cost; below zero to take away. The event cannot come to cost less than
    /// nothing.
    amount: Usd,
    /// Why; 1 to 500 characters.
    reason: String,
    /// Your id for the correction, unique among those of the event's gateway: repeated with the same
    /// input it changes nothing.
    request_id: Option<String>,
}

/// The correction that was recorded.
#[derive(Clone, Debug, SimpleObject)]
pub struct SpendCorrectPayload {
    /// The entry of the ledger that corrects the event.
    usage_event: UsageEvent,
}

/// Reports usage and corrects it.
#[derive(Default)]
pub struct UsageMutation;

/// Reports usage and corrects it.
#[Object]
impl UsageMutation {
    /// Records what calls used, and settles what was held for them. Each event is recorded once,
    /// however often it is reported, and counted in every scope of its key and in the windows in
    /// which it was let through, however late. For gateways; also `POST /v1/usage`.
    #[graphql(directive = requires::apply(Permission::UsageRecord))]
    async fn usage_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The calls.")] input: UsageRecordInput,
    ) -> Option<ApiResult<UsageRecordPayload>> {
        let gateway = ctx.session().actor().key_id()?;
        let reports = input.events.into_iter().map(report).collect();
        let verdicts = ctx.session().enforcement().record(ctx.ledger(), gateway, reports).await;
        Some(verdicts.map_err(Into::into).map(|verdicts| UsageRecordPayload {
            verdicts: verdicts.into_iter().map(Into::into).collect(),
        }))
    }

    /// Corrects what an event cost, by an entry that makes up for it: in the same day, scopes and
    /// windows. The event itself stays as it is.
    #[graphql(directive = requires::apply(Permission::SpendCorrect))]
    async fn spend_correct(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The correction.")] input: SpendCorrectInput,
    ) -> Option<ApiResult<SpendCorrectPayload>> {
        let reference = Reference::parse(&input.usage_event_id);
        let correction = domain::correct::Correction {
            amount: input.amount.0,
            reason: input.reason,
            request_id: input.request_id,
        };
        mutate(ctx, (reference, correction), |tx, (reference, correction)| {
            Box::pin(async move {
                let field = "input.usageEventId";
                let event = authorize::<usage_event::Model>(
                    tx,
                    Permission::SpendCorrect,
                    &reference,
                    field,
                )
                .await?;
                let entry = domain::correct::correct(tx, event, correction).await?;
                Ok(SpendCorrectPayload { usage_event: entry.into() })
            })
        })
        .await
    }
}

fn report(input: UsageEventInput) -> domain::Report {
    let count = |tokens: Option<BigInt>| tokens.map_or(0, |tokens| tokens.0);
    domain::Report {
        request_id: input.request_id,
        api_key: Reference::parse(&input.api_key_id),
        model: input.model,
        model_id: input.model_id.map(|id| Reference::parse(&id)),
        provider: input.provider,
        tokens: domain::Tokens {
            input: count(input.input_tokens),
            cache_read: count(input.cache_read_tokens),
            cache_write: count(input.cache_write_tokens),
            output: count(input.output_tokens),
            reasoning: count(input.reasoning_tokens),
        },
        cost: input.cost.map(|cost| domain::Cost::Exact(cost.0)),
        authorized_at: input.authorized_at.map(Into::into),
        occurred_at: input.occurred_at.map(Into::into),
        end_user: input.end_user,
        tags: input.tags,
    }
}
