//! The root fields that ask whether calls may be made.

use async_graphql::{Context, ID, InputObject, Object};
use entity::id::ApiKeyId;
use entity::role::ActorKind;

use super::object::{AccessDecision, AccessExplanation, Told};
use crate::authz::{Permission, Reference, policy};
use crate::db::StatementCount;
use crate::domain::access::Depth;
use crate::domain::api_key;
use crate::domain::field::Faults;
use crate::domain::scope::Scope;
use crate::enforcement::call::Call;
use crate::enforcement::check::Presented;
use crate::error::{Error, Result};
use crate::graphql::access::requires;
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::scalar::{BigInt, Usd};
use crate::session::Session;

/// A call.
#[derive(Clone, Debug, Default, InputObject)]
pub struct AccessCallInput {
    /// The model that it asks for; null for a route without one. At most 256 characters.
    model: Option<String>,
    /// The path that is called, such as `/v1/chat/completions`; null for a call of a model.
    route: Option<String>,
    /// The end user on whose behalf it is; null or empty for none. At most 256 characters.
    end_user: Option<String>,
    /// Tags, beside those of the key; at most 50.
    tags: Option<Vec<String>>,
    /// What it is expected to use; nothing by default.
    estimate: Option<AccessEstimateInput>,
}

/// What a call is expected to use.
#[derive(Clone, Debug, Default, InputObject)]
pub struct AccessEstimateInput {
    /// What it costs; by default the highest price of the tokens, as far as prices are known.
    cost: Option<Usd>,
    /// The tokens that it sends; at most 1000000000.
    input_tokens: Option<BigInt>,
    /// The most tokens that it takes; at most 1000000000.
    max_output_tokens: Option<BigInt>,
}

/// What is asked.
#[derive(Clone, InputObject)]
pub struct AccessCheckInput {
    /// The secret that the caller presented: for gateways. It is kept nowhere.
    credential: Option<String>,
    /// The key, by its id, in place of a secret; the key that asks by default. Only gateways name
    /// others.
    api_key_id: Option<ID>,
    /// The call.
    call: AccessCallInput,
}

impl std::fmt::Debug for AccessCheckInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessCheckInput").field("call", &self.call).finish_non_exhaustive()
    }
}

/// What is to be explained.
#[derive(Clone, Debug, InputObject)]
pub struct AccessExplainInput {
    /// The key, by its id or external id; the key that asks by default.
    api_key_id: Option<ID>,
    /// The call.
    call: AccessCallInput,
}

/// Asks whether calls may be made.
#[derive(Default)]
pub struct AccessQuery;

/// Asks whether calls may be made.
#[Object]
impl AccessQuery {
    /// Tells whether a key may make a call, as `POST /v1/check` does, but counts nothing and holds
    /// nothing. Gateways ask about every key, other keys about themselves. The answer to a secret that
    /// nobody has is a denial. Null when no key has the id, or you may not ask about it.
    #[graphql(directive = requires::apply(Permission::AccessCheck))]
    async fn access_check(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The call.")] input: AccessCheckInput,
    ) -> Option<ApiResult<AccessDecision>> {
        check(ctx.session(), input).await.map_err(Into::into).transpose()
    }

    /// Explains whether a key may make a call: every rule in the order of judgement with its numbers,
    /// and the smallest changes that would turn the answer around. Null when there is no such key, or
    /// you may not see it. Numbers of budgets that you may not see are null.
    #[graphql(directive = requires::apply(Permission::AccessExplain))]
    async fn access_explain(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The call.")] input: AccessExplainInput,
    ) -> Option<ApiResult<AccessExplanation>> {
        explain(ctx.session(), input).await.map_err(Into::into).transpose()
    }
}

async fn check(session: &Session, input: AccessCheckInput) -> Result<Option<AccessDecision>> {
    let is_gateway = session.actor().kind() == ActorKind::Gateway;
    let mut faults = Faults::default();
    let call = call(input.call, &mut faults);
    if input.credential.is_some() && input.api_key_id.is_some() {
        faults.add("input.apiKeyId", "give either a credential or an apiKeyId");
    }
    if is_gateway && input.credential.is_none() && input.api_key_id.is_none() {
        faults.add("input.credential", "say whose call it is: give a credential or an apiKeyId");
    }
    if !is_gateway && input.credential.is_some() {
        faults.add("input.credential", "only gateways ask about the keys of others");
    }
    faults.finish()?;
    let (enforcement, count) = (session.enforcement(), session.statement_count());
    let presented = match (&input.credential, &input.api_key_id) {
        (Some(secret), _) => enforcement.by_secret(secret, count).await?,
        (None, Some(id)) => {
            let id = Reference::parse(id).id::<ApiKeyId>();
            let may = |id: &ApiKeyId| is_gateway || session.actor().key_id() == Some(*id);
            by_id(session, id.filter(may), count).await?
        }
        (None, None) => by_id(session, session.actor().key_id(), count).await?,
    };
    if presented.is_none() && input.credential.is_none() {
        return Ok(None);
    }
    let (checks, counted) = (enforcement.clone(), count.clone());
    let verdict = enforcement.to_the_end(async move {
        checks.check(presented.as_ref(), &call, Depth::Answer, &counted).await
    });
    let verdict = verdict.await?;
    let told = if is_gateway { Told::All } else { Told::Little };
    Ok(Some(AccessDecision::new(&verdict, told)))
}

async fn by_id(
    session: &Session,
    id: Option<ApiKeyId>,
    count: &StatementCount,
) -> Result<Option<Presented>> {
    match id {
        None => Ok(None),
        Some(id) => session.enforcement().by_id(id, count).await,
    }
}

async fn explain(
    session: &Session,
    input: AccessExplainInput,
) -> Result<Option<AccessExplanation>> {
    let mut faults = Faults::default();
    let call = call(input.call, &mut faults);
    faults.finish()?;
    let actor = session.actor();
    let id = match &input.api_key_id {
        None => actor.key_id(),
        Some(id) => {
            let found = api_key::find(session.reader(), &Reference::parse(id)).await?;
            found.map(|key| key.id)
        }
    };
    let Some(id) = id else { return Ok(None) };
    let (enforcement, count) = (session.enforcement(), session.statement_count());
    let Some(presented) = enforcement.by_id(id, count).await? else { return Ok(None) };
    let (checks, counted) = (enforcement.clone(), count.clone());
    let explanation = enforcement
        .to_the_end(async move { checks.explain(&presented, &call, &counted).await })
        .await?;
    let place = explanation.placement(Scope::api_key(id));
    if !policy::allows(actor, Permission::AccessExplain, &place) {
        return Err(Error::Forbidden { permission: Permission::AccessExplain });
    }
    Ok(Some(AccessExplanation::new(&explanation, actor)))
}

fn call(input: AccessCallInput, faults: &mut Faults) -> Call {
    let estimate = input.estimate.unwrap_or_default();
    let mut tokens = |field: &str, count: Option<BigInt>| {
        let count = count.map(|BigInt(count)| u64::try_from(count));
        count.and_then(|count| {
            if count.is_err() {
                faults.add(format!("input.call.estimate.{field}"), "write 0 or more");
            }
            count.ok()
        })
    };
    let call = Call {
        model: input.model,
        route: input.route,
        end_user: input.end_user,
        tags: input.tags.unwrap_or_default(),
        cost: estimate.cost.map(|Usd(cost)| cost),
        input_tokens: tokens("inputTokens", estimate.input_tokens),
        max_output_tokens: tokens("maxOutputTokens", estimate.max_output_tokens),
    };
    call.check("input.call.", "cost", faults);
    call
}
