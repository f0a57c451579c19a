//! Holding what a call will cost. Of budgets the ledger judges, exactly and under its locks; what is
//! remembered of their counters may be old, and only tells how much is left.

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::ApiKeyId;
use entity::value::Usd;
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::Enforcement;
use super::call::Call;
use super::check::Presented;
use super::counters::Untold;
use super::rates::{Taken, lease};
use super::verdict::{Code, Held, Verdict};
use crate::db::StatementCount;
use crate::domain::access::decision::{is_bound, room_at};
use crate::domain::access::room::Account;
use crate::domain::access::{
    BoundBudget, Check, Counted, Counters, Decision, Depth, Numbers, Request, Rule, World, decide,
};
use crate::domain::budget::window::{increase_at, max_spend_at};
use crate::domain::ledger::{
    self, Attribution, Charge, Ledger, Report, Reserve, Reserved, Shortage, charges,
};
use crate::error::Result;

/// How many releases of one request wait in the ledger's queue at a time.
const RELEASES: usize = 50;

/// For whom something is held, and how long.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The key of the gateway that asks.
    pub gateway: ApiKeyId,
    /// The gateway's id of the call.
    pub request_id: String,
    /// For how long it is held, unless the call is settled before; the ledger's choice by default.
    pub lasts: Option<TimeDelta>,
}

/// What is known before the ledger is asked.
struct Asked {
    decision: Decision,
    charges: Vec<Charge>,
    attribution: Option<Attribution>,
    remaining: Option<Usd>,
}

impl Enforcement {
    /// Judges a call of a key, and holds what it will cost in every window that it is charged to, or
    /// in none. A call that spends nothing has nothing held.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] when that cannot be told.
    pub async fn reserve(
        &self,
        ledger: &Ledger,
        presented: &Presented,
        call: &Call,
        hold: Hold,
        count: &StatementCount,
    ) -> Result<Verdict> {
        let now = self.now()?;
        let mut request = call.request();
        let around = self.around(presented, &request, now, count).await?;
        let asked = around.within(presented, now, |world| {
            request.estimate = call.estimate(world);
            ask(world, &request)
        });
        let spends = asked.decision.spends && asked.decision.is_allowed();
        let mut decision = asked.decision;
        decision.remaining = asked.remaining;
        // Of a call that asks again the ledger says that it does: it has taken what it takes.
        let lease = lease(hold.gateway, &hold.request_id);
        let asks_again = spends && self.rates().knows(lease);
        let taken = if decision.is_allowed() && !asks_again {
            self.rates().take(&mut decision, call, Some(lease), now).await
        } else {
            None
        };
        if !decision.is_allowed() {
            // Budgets are judged before rates and the end user, and the ledger is not asked for a call
            // that is refused: what is remembered tells whether one of them has no room either.
            let remembered =
                around.within(presented, now, |world| decide(world, &request, Depth::Answer));
            if remembered.is_short() {
                decision = remembered;
            } else if decision.comes_to_rates() {
                self.rates().look(&mut decision, call, now).await;
            }
        }
        let mut verdict = self.verdict_on(presented, &request, &around, decision, now);
        verdict.lasts = TimeDelta::zero();
        if !verdict.is_allowed() {
            return Ok(verdict);
        }
        let Some(attribution) = asked.attribution.filter(|_| spends) else { return Ok(verdict) };
        let model = verdict.model.as_ref().map(|model| model.resolved.clone());
        let reserve = Reserve {
            gateway: hold.gateway,
            request_id: hold.request_id.clone(),
            asked: call.digest(attribution.api_key),
            attribution,
            model,
            amount: request.estimate,
            charges: asked.charges.clone(),
            tokens: call.tokens(),
            at: taken.as_ref().map_or(now, Taken::at),
            holds: hold.lasts,
        };
        let reserved = ledger.reserve(reserve).await;
        let is_new = matches!(&reserved, Ok(Reserved::Granted { is_duplicate: false, .. }));
        let taken = if is_new && asks_again {
            // What it held was out of time: it is a call of its own after all.
            self.take_after_all(&mut verdict, call, lease, now).await
        } else {
            taken
        };
        if !verdict.is_allowed() {
            ledger.release(hold.gateway, hold.request_id).await?;
            return Ok(verdict);
        }
        match taken {
            Some(taken) if is_new => self.rates().remember(&taken),
            Some(taken) if reserved.is_ok() => {
                // What a call holds already keeps its place among the requests at once.
                let is_over = matches!(&reserved, Ok(Reserved::Refused(_) | Reserved::Settled));
                self.rates().give_back(taken, is_over, now).await;
            }
            // Of a reservation without an answer nobody knows whether it holds: its rates stay taken, and
            // when it is asked for again, what that takes is given back.
            Some(_) | None => {}
        }
        match reserved? {
            Reserved::Granted { id, expires_at, .. } => {
                verdict.held = Some(Held { id, lasts: expires_at - now });
            }
            Reserved::Refused(shortages) => {
                verdict.code = Some(Code::BudgetExceeded);
                if let Some(decision) = &mut verdict.decision {
                    around.within(presented, now, |world| {
                        refuse(decision, world, &shortages, request.estimate);
                    });
                }
            }
            Reserved::Conflict | Reserved::Settled => verdict.code = Some(Code::RequestIdUsed),
        }
        Ok(verdict)
    }

    /// Counts a call that was let through as one that had been counted, and refuses it should a rate
    /// have no room.
    async fn take_after_all(
        &self,
        verdict: &mut Verdict,
        call: &Call,
        lease: Uuid,
        now: DateTime<Utc>,
    ) -> Option<Taken> {
        let decision = verdict.decision.as_mut()?;
        let taken = self.rates().take(decision, call, Some(lease), now).await;
        verdict.code = decision.refused_by().map(|rule| Code::from(rule.check));
        taken
    }

    /// Records what a gateway reports, and lets the rates know: places among the requests at once are
    /// free again, and tokens are counted as they were used. Both are done even when the gateway does
    /// not wait for the answer: what it sends again is a duplicate, of which nothing is counted.
    ///
    /// # Errors
    /// As of [`Ledger::record`].
    pub async fn record(
        &self,
        ledger: &Ledger,
        gateway: ApiKeyId,
        reports: Vec<Report>,
    ) -> Result<Vec<ledger::Verdict>> {
        let (this, ledger) = (self.clone(), ledger.clone());
        self.to_the_end(async move {
            let verdicts = ledger.record(gateway, reports).await?;
            this.rates().settle(gateway, &verdicts, this.0.clock.now()).await;
            Ok(verdicts)
        })
        .await
    }

    /// Lets go of what is held for calls that were not made, and of their places among the requests at
    /// once; whether anything was held for each. What they took of a minute leaves with the minute.
    ///
    /// # Errors
    /// As of [`Ledger::release`].
    pub async fn release(
        &self,
        ledger: &Ledger,
        gateway: ApiKeyId,
        request_ids: &[String],
    ) -> Result<Vec<bool>> {
        let mut held = Vec::with_capacity(request_ids.len());
        for ids in request_ids.chunks(RELEASES) {
            let releases = ids.iter().map(|id| ledger.release(gateway, id.clone()));
            held.extend(try_join_all(releases).await?);
        }
        self.rates().free(gateway, request_ids.iter().map(String::as_str)).await;
        Ok(held)
    }
}

fn ask(world: &World<'_>, request: &Request) -> Asked {
    let untold = World { counters: &Untold, ..*world };
    let decision = decide(&untold, request, Depth::Answer);
    let model = decision.model.as_ref().map(|model| model.target.as_str());
    Asked {
        charges: charges(world.budgets(), model, world.now),
        attribution: Attribution::of_call(world.facts, world.end_user, world.tags),
        remaining: if decision.spends { remaining(world, model, request.estimate) } else { None },
        decision,
    }
}

/// The least that will be left of any budget, as far as is remembered.
fn remaining(world: &World<'_>, model: Option<&str>, held: Usd) -> Option<Usd> {
    let left = world.budgets().filter(|bound| is_bound(bound, model)).filter_map(|bound| {
        let max = max_spend_at(&bound.budget, world.now)?;
        let counted = world.counters.of(bound, world.now);
        let parts = [counted.spent, counted.reserved, held];
        Some(parts.into_iter().fold(max, Usd::remaining_after))
    });
    left.min()
}

/// Counters of which the ledger told those without room.
struct Told<'a> {
    shortages: &'a [Shortage],
    remembered: &'a dyn Counters,
}

impl Counters for Told<'_> {
    fn of(&self, bound: &BoundBudget, at: DateTime<Utc>) -> Counted {
        let short = self.shortages.iter().find(|short| {
            (short.charge.budget, short.charge.counter) == (bound.budget.id, bound.counter)
        });
        short.map_or_else(|| self.remembered.of(bound, at), counted)
    }
}

fn counted(short: &Shortage) -> Counted {
    Counted { spent: short.spent, reserved: short.reserved, resets_at: short.charge.ends_at }
}

/// Adds the rules of the budgets that have no room.
fn refuse(decision: &mut Decision, world: &World<'_>, shortages: &[Shortage], estimate: Usd) {
    let told = Told { shortages, remembered: world.counters };
    let world = World { counters: &told, ..*world };
    let left =
        |short: &Shortage| short.max.remaining_after(short.spent).remaining_after(short.reserved);
    decision.remaining = shortages.iter().map(left).min();
    let model = decision.model.as_ref().map(|model| model.target.as_str());
    decision.room_at = room_at(&world, model, estimate);
    for short in shortages {
        let Shortage { ref charge, spent, reserved, max } = *short;
        // One that took another's place a moment ago is not known here yet.
        let bound = world.budgets().find(|bound| bound.budget.id == charge.budget);
        let account = bound.map(|bound| Account { budget: &bound.budget, counted: counted(short) });
        decision.add(Rule {
            check: Check::Budget,
            scope: charge.scope,
            passed: false,
            numbers: Numbers::Budget {
                budget: charge.budget,
                max,
                increase: bound.map_or(Usd::ZERO, |bound| increase_at(&bound.budget, world.now)),
                spent,
                reserved,
                estimate,
                resets_at: charge.ends_at,
                next_room: account.and_then(|account| account.next_room(estimate)),
            },
        });
    }
}
