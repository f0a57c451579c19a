//! The rates of calls: what a call takes of the requests and tokens in a minute, and of the requests at
//! once, that the budgets of its scopes admit.
//!
//! A decision names the budgets with rates; the counters are those of [`crate::rate_limit`]. A gateway
//! that asks takes one request; one that reserves takes the tokens of its estimate and a place among the
//! requests at once as well, until the usage of the call is reported. What was used beyond the estimate,
//! or without one, is counted then.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, BudgetId, Id};
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::call::Call;
use crate::domain::access::facts::BoundBudget;
use crate::domain::access::{Check, Decision, Numbers, Rule};
use crate::domain::ledger::{Code, Verdict};
use crate::domain::scope::Scope;
use crate::rate_limit::{Kind, Limit, LimitKey, Outcome, RateLimiter, Refusal, Standing};

/// What counts the rates of calls. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Rates {
    limiter: RateLimiter,
    /// The calls that were counted a moment ago and hold something.
    known: Cache<Uuid, ()>,
}

/// For how long it is known that a call was counted: a gateway that got no answer asks again soon.
const KNOWN: Duration = Duration::from_mins(1);

/// The most calls of which that is known.
const KNOWN_AT_MOST: u64 = 100_000;

/// What a call took.
#[derive(Debug)]
pub(super) struct Taken {
    lease: Option<Uuid>,
    amounts: Vec<(LimitKey, u64)>,
    at: DateTime<Utc>,
}

impl Taken {
    /// The instant at which the call was counted.
    pub(super) fn at(&self) -> DateTime<Utc> {
        self.at
    }
}

/// A limit, and whose it is.
struct Bound {
    limit: Limit,
    check: Check,
    scope: Scope,
    budget: BudgetId,
}

impl Rates {
    /// Those that a limiter counts.
    pub fn new(limiter: RateLimiter) -> Self {
        let known = Cache::builder().max_capacity(KNOWN_AT_MOST).time_to_live(KNOWN).build();
        Self { limiter, known }
    }

    /// What counts.
    pub fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// Whether a call was counted here a moment ago, and is not over.
    pub(super) fn knows(&self, lease: Uuid) -> bool {
        self.known.contains_key(&lease)
    }

    /// Notes that a call was counted.
    pub(super) fn remember(&self, taken: &Taken) {
        if let Some(lease) = taken.lease {
            self.known.insert(lease, ());
        }
    }

    /// Adds to a decision what its rates say of a call, which takes nothing of them.
    pub(super) async fn look(&self, decision: &mut Decision, call: &Call, now: DateTime<Utc>) {
        let bound = bound(decision, call.tokens());
        if bound.is_empty() {
            return;
        }
        let limits: Vec<_> = bound.iter().map(|bound| bound.limit).collect();
        let outcome = self.limiter.peek(&limits, now).await;
        tell(decision, &bound, &outcome.standings);
    }

    /// Counts the request of a call that is let through, adds to its decision how the rates stand, and
    /// refuses it when one has no room: then nothing is taken of any.
    ///
    /// Without a name of its own the call takes no tokens, which are counted when they are reported,
    /// and no place among the requests at once, which nobody would give back; but there must be room.
    /// A call that costs nothing takes no tokens either, for nothing is held that would tell of them.
    pub(super) async fn take(
        &self,
        decision: &mut Decision,
        call: &Call,
        lease: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Option<Taken> {
        let bound = bound(decision, call.tokens());
        if bound.is_empty() {
            return None;
        }
        // Tokens that nothing is held for would not be known when they are reported.
        let takes_tokens = lease.is_some() && decision.spends;
        let counts = |limit: &&Limit| match limit.key().kind {
            Kind::Requests => true,
            Kind::Tokens => takes_tokens,
            Kind::Parallel => lease.is_some(),
        };
        let all: Vec<_> = bound.iter().map(|bound| bound.limit).collect();
        let taken: Vec<_> = all.iter().filter(counts).copied().collect();
        let mut standings = BTreeMap::new();
        if taken.len() < all.len() {
            let outcome = self.limiter.peek(&all, now).await;
            if !outcome.is_admitted() {
                tell(decision, &bound, &outcome.standings);
                return None;
            }
            standings.extend(by_key(&all, outcome));
        }
        let mut at = now;
        let mut is_admitted = true;
        if !taken.is_empty() {
            let outcome = self.limiter.acquire(lease.unwrap_or_default(), &taken, now).await;
            (at, is_admitted) = (outcome.at, outcome.is_admitted());
            standings.extend(by_key(&taken, outcome));
        }
        let standings: Vec<Standing> = all
            .iter()
            .map(|limit| standings.get(&limit.key()).copied().unwrap_or_default())
            .collect();
        tell(decision, &bound, &standings);
        is_admitted.then(|| Taken { lease, amounts: amounts(&taken), at })
    }

    /// Gives back what a call took that was not made; `frees` says whether its place goes too.
    pub(super) async fn give_back(&self, taken: Taken, frees: bool, now: DateTime<Utc>) {
        self.limiter.refund(&taken.amounts, taken.at, now).await;
        if let Some(lease) = taken.lease.filter(|_| frees) {
            self.limiter.free(&[lease]).await;
        }
    }

    /// Frees the places of calls whose usage is recorded, and counts the tokens that they used and were
    /// not counted with; what they were counted with and did not use is given back.
    pub(super) async fn settle(&self, gateway: ApiKeyId, verdicts: &[Verdict], now: DateTime<Utc>) {
        let over = verdicts
            .iter()
            .filter(|verdict| matches!(verdict.code, Code::Recorded | Code::Duplicate));
        self.free(gateway, over.clone().map(|verdict| verdict.request_id.as_str())).await;
        let mut more: BTreeMap<LimitKey, u64> = BTreeMap::new();
        for tokens in over.filter_map(|verdict| verdict.tokens.as_deref()) {
            let keys = tokens.limits.iter().map(|(budget, counter)| LimitKey {
                budget: budget.uuid(),
                counter: *counter,
                kind: Kind::Tokens,
            });
            let (counted, at) = tokens.counted.unwrap_or((0, now));
            if counted > tokens.used {
                let rest: Vec<_> = keys.map(|key| (key, counted - tokens.used)).collect();
                self.limiter.refund(&rest, at, now).await;
            } else if tokens.used > counted {
                for key in keys {
                    let sum = more.entry(key).or_default();
                    *sum = sum.saturating_add(tokens.used - counted);
                }
            }
        }
        if !more.is_empty() {
            let more: Vec<_> = more.into_iter().collect();
            self.limiter.charge(&more, now).await;
        }
    }

    /// Lets calls keep their places among the requests at once; which of them had any.
    pub async fn beat(
        &self,
        gateway: ApiKeyId,
        request_ids: &[String],
        now: DateTime<Utc>,
    ) -> Vec<bool> {
        let leases: Vec<_> = request_ids.iter().map(|id| lease(gateway, id)).collect();
        self.limiter.beat(&leases, now).await
    }

    /// Frees the places of calls that are over.
    pub(super) async fn free<'a>(
        &self,
        gateway: ApiKeyId,
        request_ids: impl Iterator<Item = &'a str>,
    ) {
        let leases: Vec<_> = request_ids.map(|id| lease(gateway, id)).collect();
        for lease in &leases {
            self.known.invalidate(lease);
        }
        if !leases.is_empty() {
            self.limiter.free(&leases).await;
        }
    }
}

/// The name of a call among the requests at once.
pub(super) fn lease(gateway: ApiKeyId, request_id: &str) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(gateway.uuid().as_bytes());
    digest.update(request_id.as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The limits of a decision, and what a call takes of each.
fn bound(decision: &Decision, tokens: u64) -> Vec<Bound> {
    let limits = |bound: &BoundBudget| {
        let budget = &bound.budget;
        let (scope, id, counter) = (bound.scope, budget.id, bound.counter);
        [
            (budget.requests_per_minute, Kind::Requests, Check::RequestRate, 1),
            (budget.tokens_per_minute, Kind::Tokens, Check::TokenRate, tokens),
            (budget.max_parallel_requests, Kind::Parallel, Check::Parallel, 1),
        ]
        .into_iter()
        .filter_map(move |(most, kind, check, cost)| {
            let key = LimitKey { budget: id.uuid(), counter, kind };
            let limit = Limit::new(key, u64::try_from(most?).unwrap_or_default(), cost);
            Some(Bound { limit, check, scope, budget: id })
        })
    };
    decision.rates.iter().flat_map(limits).collect()
}

/// What can be given back of limits: requests and tokens.
fn amounts(limits: &[Limit]) -> Vec<(LimitKey, u64)> {
    let rates = limits.iter().filter(|limit| limit.key().kind != Kind::Parallel);
    let amounts: BTreeMap<_, _> = rates.map(|limit| (limit.key(), limit.cost())).collect();
    amounts.into_iter().collect()
}

fn by_key(limits: &[Limit], outcome: Outcome) -> impl Iterator<Item = (LimitKey, Standing)> {
    limits.iter().map(Limit::key).zip(outcome.standings)
}

/// Adds a rule for each limit.
fn tell(decision: &mut Decision, bound: &[Bound], standings: &[Standing]) {
    let mut told = Vec::new();
    for (bound, standing) in bound.iter().zip(standings) {
        let key = bound.limit.key();
        // A pot that is in force on two scopes is one limit.
        if told.contains(&key) {
            continue;
        }
        told.push(key);
        let retry_after_ms = match standing.refusal {
            None => Some(0),
            Some(Refusal::After(wait)) => Some(millis(wait)),
            Some(Refusal::Never) => None,
        };
        decision.add(Rule {
            check: bound.check,
            scope: bound.scope,
            passed: standing.refusal.is_none(),
            numbers: Numbers::Rate {
                budget: bound.budget,
                limit: standing.most,
                remaining: standing.remaining,
                needed: bound.limit.cost().max(1),
                retry_after_ms,
                reset_ms: millis(standing.reset),
            },
        });
    }
}

/// Whole milliseconds, never too few.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
