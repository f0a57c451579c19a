//! The ledger: what calls cost, what they were charged to, and what is held for calls under way.
//!
//! A gateway *reserves* an estimate in every window that a call is charged to, and *settles* it by
//! reporting the call's usage under the same request id; or it reports usage alone. An event is
//! recorded once, whatever happens to answers: ids are kept, and a repeated report changes nothing.
//! What was reported is always counted, late or beyond its estimate; only reserving refuses.
//!
//! Nothing here goes through a [`crate::db::Tx`]: no caller manages anything, and the rows of the
//! ledger are their own record. Operations wait in a queue, and one transaction makes many of them
//! durable ([`queue`]); corrections alone are management, and audited ([`correct`]). Rows are locked
//! in one order: reservations, events, the roll-up, totals, then windows by id
//! (`docs/adr/0031-the-ledger-has-a-write-path-of-its-own.md`).

pub mod alert;
pub mod attribution;
pub mod correct;
pub mod cost;
mod counters;
mod expire;
mod former;
mod post;
mod prepare;
pub mod queue;
mod report;
mod reservation;
mod standing;
mod sums;
mod window;

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::{ApiKeyId, BudgetId, ReservationId, UsageEventId};
use entity::role::CostSource;
use entity::value::Usd;
use uuid::Uuid;

pub use attribution::Attribution;
pub use cost::Tokens;
pub use queue::{Ledger, Worker};
pub use report::{Cost, Report, digest};
pub(crate) use sums::day_of;

use super::access::decision::is_bound;
use super::access::facts::BoundBudget;
use super::budget::window::{max_spend_at, window_at};
use super::scope::Scope;

/// The most events in one report.
pub const EVENTS: usize = 500;

/// How long request ids are kept: an older event could be one that was counted already.
pub const KEPT: TimeDelta = TimeDelta::days(35);

/// How far ahead of the database's clock a gateway's may be.
pub const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// How long a reservation counts unless its request says otherwise.
pub const HOLDS: TimeDelta = TimeDelta::minutes(10);

/// The longest time for which a reservation counts.
pub const HOLDS_AT_MOST: TimeDelta = TimeDelta::hours(24);

/// A window that a call is charged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The scope on which the budget is in force.
    pub scope: Scope,
    /// The budget.
    pub budget: BudgetId,
    /// What counts: the scope, or the budget itself for a common pot.
    pub counter: Uuid,
    /// The first instant of the window.
    pub starts_at: DateTime<Utc>,
    /// The first instant after it; none for a window without end.
    pub ends_at: Option<DateTime<Utc>>,
    /// The most that may be spent in it.
    pub max: Option<Usd>,
}

/// The windows that a call of a model, or of none, at an instant is charged to. A budget with a pattern
/// counts the calls of models that it covers; a common pot that is in force on several scopes of a call
/// counts it once.
pub fn charges<'a>(
    budgets: impl IntoIterator<Item = &'a BoundBudget>,
    model: Option<&str>,
    at: DateTime<Utc>,
) -> Vec<Charge> {
    let mut charges: Vec<Charge> = Vec::new();
    for bound in budgets {
        let budget = &bound.budget;
        let counts = is_bound(bound, model);
        let known = |other: &Charge| other.budget == budget.id && other.counter == bound.counter;
        if !counts || charges.iter().any(known) {
            continue;
        }
        let window = window_at(budget, at);
        charges.push(Charge {
            scope: bound.scope,
            budget: budget.id,
            counter: bound.counter,
            starts_at: window.starts_at,
            ends_at: window.ends_at,
            max: max_spend_at(budget, at),
        });
    }
    charges
}

/// A call for which something is to be held.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// The key of the gateway that asks.
    pub gateway: ApiKeyId,
    /// The gateway's id of the call.
    pub request_id: String,
    /// The digest of what was asked: whoever asks the same again has it held once.
    pub asked: Uuid,
    /// Who calls.
    pub attribution: Attribution,
    /// The model that is called; none for a route without a model.
    pub model: Option<String>,
    /// What the call will cost at most.
    pub amount: Usd,
    /// The windows that it will be charged to.
    pub charges: Vec<Charge>,
    /// The tokens that it was counted with against limits of tokens a minute.
    pub tokens: u64,
    /// When it was judged, and counted against those limits.
    pub at: DateTime<Utc>,
    /// For how long it is held; [`HOLDS`] by default.
    pub holds: Option<TimeDelta>,
}

/// What came of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The amount is held, or was held already for the same request.
    Granted {
        /// What holds it.
        id: ReservationId,
        /// Until when.
        expires_at: DateTime<Utc>,
        /// Whether the same was asked before.
        is_duplicate: bool,
    },
    /// There is no room for it in these windows, in the order of the charges.
    Refused(Vec<Shortage>),
    /// Another reservation has this request id.
    Conflict,
    /// The call was settled already: nothing is held for it.
    Settled,
}

/// A window in which there is no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The charge that it is for.
    pub charge: Charge,
    /// What was spent in it.
    pub spent: Usd,
    /// What is held in it for other calls.
    pub reserved: Usd,
    /// The most that may be spent.
    pub max: Usd,
}

/// What came of a reported event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
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
    /// No key of this id was ever known: nothing changed.
    NotFound,
}

/// The answer about one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The gateway's id of the call.
    pub request_id: String,
    /// What came of it.
    pub code: Code,
    /// The event that is recorded under this request id.
    pub event: Option<UsageEventId>,
    /// What it cost, and where that comes from.
    pub cost: Option<(Usd, CostSource)>,
    /// What is wrong with it: a field, and what to do.
    pub fault: Option<(String, String)>,
    /// The tokens that limits of tokens a minute have to count, if the event was recorded now and
    /// there are such limits.
    pub tokens: Option<Box<TokenUse>>,
}

/// The tokens of a call for those who count them against limits in a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// The budgets with such a limit, and what counts: the scope, or the budget for a common pot.
    pub limits: Vec<(BudgetId, Uuid)>,
    /// What the call used, in and out.
    pub used: u64,
    /// What it was counted with when it was let through, and when; none when it was not reserved.
    pub counted: Option<(u64, DateTime<Utc>)>,
}

impl Verdict {
    fn new(request_id: &str, code: Code) -> Self {
        let request_id = request_id.to_owned();
        Self { request_id, code, event: None, cost: None, fault: None, tokens: None }
    }

    fn fault(request_id: &str, code: Code, field: &str, message: impl Into<String>) -> Self {
        let fault = Some((field.to_owned(), message.into()));
        Self { fault, ..Self::new(request_id, code) }
    }
}

#[cfg(test)]
mod tests;
