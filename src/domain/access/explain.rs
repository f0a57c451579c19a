//! The smallest changes that would turn a decision around.
//!
//! A refused call needs every rule that says no to say yes: one change each, and each no larger than it
//! must be. A call that is allowed needs one rule to say no: that of the budget with the least left.

use chrono::{DateTime, Utc};
use entity::id::BudgetId;
use entity::value::Usd;

use super::decision::{Check, Decision, Numbers, Request, Rule};
use crate::domain::scope::Scope;

/// One change that would help to turn a decision around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The scope that would change.
    pub scope: Scope,
    /// What would change.
    pub change: Change,
}

/// What would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Ask with a key that exists and belongs to a person or a team.
    AnotherKey,
    /// Let the key live longer than this instant.
    LaterExpiry(DateTime<Utc>),
    /// Unblock the scope.
    Unblock,
    /// Make the owner a member of the key's team, and mend what is missing above the key.
    Membership,
    /// Open this path to the key; none for calls without a path.
    Route(Option<String>),
    /// Name an end user.
    EndUser,
    /// Put this model on the scope's list.
    Model(String),
    /// Unblock a deployment of this model.
    Deployment(String),
    /// Let this much be spent of a budget, or wait until its window ends, if that is enough.
    Spend {
        /// The budget.
        budget: BudgetId,
        /// The least `maxSpend` with which the call passes.
        max: Usd,
        /// The end of the window, from which the call passes with the budget as it is; none when it
        /// would never.
        or_wait_until: Option<DateTime<Utc>>,
    },
    /// Wait for so many milliseconds.
    Wait(u64),
    /// Let a budget admit this much in a minute: waiting does not help, for the call takes more than
    /// it admits at all.
    Rate {
        /// The budget.
        budget: BudgetId,
        /// The least limit with which the call passes.
        limit: u64,
    },
    /// Spend so much more of a budget, or expect it of a call: then it refuses.
    Exhaust {
        /// The budget.
        budget: BudgetId,
        /// How much more.
        more: Usd,
    },
}

/// The smallest changes that would turn a decision around, in the order of its rules. It must have been
/// made with every rule.
pub fn remedies(request: &Request, decision: &Decision) -> Vec<Remedy> {
    if decision.is_allowed() {
        return tightest(decision).into_iter().collect();
    }
    let failed = decision.rules.iter().filter(|rule| !rule.passed);
    let mut found: Vec<Remedy> = Vec::new();
    for rule in failed {
        let remedy = Remedy { scope: rule.scope, change: change(request, rule) };
        // Several limits of one kind are waited for at a time: the longest counts.
        match (found.iter_mut().find_map(waiting), &remedy.change) {
            (Some(known), Change::Wait(more)) => *known = (*known).max(*more),
            _ => found.push(remedy),
        }
    }
    found
}

fn waiting(remedy: &mut Remedy) -> Option<&mut u64> {
    match &mut remedy.change {
        Change::Wait(span) => Some(span),
        _ => None,
    }
}

fn change(request: &Request, rule: &Rule) -> Change {
    match (rule.check, &rule.numbers) {
        (Check::Expiry, Numbers::Expiry(at)) => Change::LaterExpiry(*at),
        (Check::Block, _) => Change::Unblock,
        (Check::Membership, _) => Change::Membership,
        (Check::Route, _) => Change::Route(request.route.clone()),
        (Check::EndUser, _) => Change::EndUser,
        (Check::Model, Numbers::Model(model)) => Change::Model(model.clone()),
        (Check::Deployment, Numbers::Model(model)) => Change::Deployment(model.clone()),
        (_, Numbers::Budget { budget, increase, spent, reserved, estimate, next_room, .. }) => {
            // A call that costs nothing still needs a cap that is not reached.
            let needed = estimate.nanos().max(1);
            let least = spent.nanos().saturating_add(reserved.nanos()).saturating_add(needed);
            Change::Spend {
                budget: *budget,
                max: Usd::from_nanos(least).remaining_after(*increase),
                or_wait_until: *next_room,
            }
        }
        (_, Numbers::Rate { budget, needed, retry_after_ms, .. }) => match retry_after_ms {
            Some(wait) => Change::Wait(*wait),
            None => Change::Rate { budget: *budget, limit: *needed },
        },
        (_, Numbers::None | Numbers::Expiry(_) | Numbers::Model(_)) => Change::AnotherKey,
    }
}

/// The budget that has the least left.
fn tightest(decision: &Decision) -> Option<Remedy> {
    let left = |rule: &Rule| match rule.numbers {
        Numbers::Budget { budget, max, spent, reserved, estimate, .. } => {
            let used = spent.nanos().saturating_add(reserved.nanos());
            let room = max.nanos().saturating_sub(used);
            // Spend that reaches the cap refuses; so does an estimate beyond it.
            let more = (room.saturating_sub(estimate.nanos()).saturating_add(1)).min(room);
            let change = Change::Exhaust { budget, more: Usd::from_nanos(more) };
            Some((more, Remedy { scope: rule.scope, change }))
        }
        _ => None,
    };
    decision.rules.iter().filter_map(left).min_by_key(|(more, _)| *more).map(|(_, remedy)| remedy)
}
