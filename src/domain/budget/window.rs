//! The windows in which budgets count, and how a change of a budget's period or of its cap takes
//! effect.
//!
//! A window is worked out from the budget and an instant alone. A changed period begins at the end
//! of the window that it is changed in, so that no change empties a counter or puts off its end; a
//! window without end has none, so that a budget which had no period gets its first one at once.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::budget;
use entity::value::Usd;

use crate::domain::field::Faults;
use crate::domain::period::Period;

/// A stretch of time in which a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BudgetWindow {
    /// The first instant of the window; it names the window.
    pub starts_at: DateTime<Utc>,
    /// The first instant after it; none for a window without end.
    pub ends_at: Option<DateTime<Utc>>,
}

/// More to spend for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Increase {
    /// How much more.
    pub amount: Usd,
    /// The instant from which it is over.
    pub ends_at: DateTime<Utc>,
}

/// What windows are worked out from.
#[derive(Clone, Debug, PartialEq)]
struct Cut {
    period: Option<String>,
    time_zone: String,
    anchor_at: DateTime<Utc>,
    /// When it began by a change: its first window does not reach back beyond that. A budget's first
    /// period began with the calendar.
    begun_at: Option<DateTime<Utc>>,
}

impl Cut {
    /// What holds for good, or will.
    fn lasting(budget: &budget::Model) -> Self {
        Self {
            period: budget.period.clone(),
            time_zone: budget.time_zone.clone(),
            anchor_at: budget.anchor_at,
            begun_at: Some(budget.anchor_at).filter(|anchor| *anchor > budget.created_at),
        }
    }

    /// What held before the last change.
    fn former(budget: &budget::Model) -> Self {
        let anchor_at = budget.former_anchor_at.unwrap_or(budget.anchor_at);
        Self {
            period: budget.former_period.clone(),
            time_zone: budget.former_time_zone.clone().unwrap_or_default(),
            anchor_at,
            begun_at: Some(anchor_at).filter(|anchor| *anchor > budget.created_at),
        }
    }

    fn window_at(&self, at: DateTime<Utc>) -> BudgetWindow {
        let period = self.period.as_deref().and_then(|text| text.parse::<Period>().ok());
        let Some(period) = period else {
            return BudgetWindow { starts_at: self.anchor_at, ends_at: None };
        };
        let zone: Tz = self.time_zone.parse().unwrap_or(Tz::UTC);
        let window = period.window_at(zone, self.anchor_at, at);
        match self.begun_at {
            // A call of before it began, which comes late: what held then is not known any more.
            Some(begun) if at < begun => {
                let ends_at = window.ends_at.min(begun);
                BudgetWindow { starts_at: window.starts_at, ends_at: Some(ends_at) }
            }
            Some(begun) => BudgetWindow {
                starts_at: window.starts_at.max(begun),
                ends_at: Some(window.ends_at),
            },
            None => BudgetWindow { starts_at: window.starts_at, ends_at: Some(window.ends_at) },
        }
    }
}

/// The window of a budget that holds an instant.
pub fn window_at(budget: &budget::Model, at: DateTime<Utc>) -> BudgetWindow {
    match budget.period_changes_at {
        Some(change) if at < change => {
            let window = Cut::former(budget).window_at(at);
            let ends_at = window.ends_at.map_or(change, |end| end.min(change));
            BudgetWindow { ends_at: Some(ends_at), ..window }
        }
        _ => Cut::lasting(budget).window_at(at),
    }
}

/// The instant at which a period that was changed takes effect; none when it has.
pub fn pending_change(budget: &budget::Model, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    budget.period_changes_at.filter(|change| now < *change)
}

/// The most that may be spent in a window at an instant.
pub fn max_spend_at(budget: &budget::Model, at: DateTime<Utc>) -> Option<Usd> {
    let max = budget.max_spend?;
    Some(max.checked_add(increase_at(budget, at)).unwrap_or(Usd::from_nanos(i64::MAX)))
}

/// How much of that is for some time only.
pub fn increase_at(budget: &budget::Model, at: DateTime<Utc>) -> Usd {
    let increase = increase_of(budget).filter(|increase| at < increase.ends_at);
    increase.map_or(Usd::ZERO, |increase| increase.amount)
}

/// What may be spent beyond the cap for some time, whether or not that is over.
pub fn increase_of(budget: &budget::Model) -> Option<Increase> {
    let ends_at = budget.temporary_increase_ends_at?;
    Some(Increase { amount: budget.temporary_increase?, ends_at })
}

/// Lets a new period or time zone of a budget begin at the next boundary of what holds now.
pub(super) fn schedule(before: &budget::Model, after: &mut budget::Model, now: DateTime<Utc>) {
    let pending = pending_change(before, now);
    let holds = if pending.is_some() { Cut::former(before) } else { Cut::lasting(before) };
    let wanted = (&after.period, &after.time_zone);
    if wanted == (&before.period, &before.time_zone) {
        return;
    }
    if wanted == (&holds.period, &holds.time_zone) {
        // Taken back before it began.
        after.anchor_at = holds.anchor_at;
        after.former_period = None;
        after.former_time_zone = None;
        after.former_anchor_at = None;
        after.period_changes_at = None;
        return;
    }
    let boundary = pending.or(window_at(before, now).ends_at).unwrap_or(now);
    after.anchor_at = boundary;
    after.former_period = holds.period;
    after.former_time_zone = Some(holds.time_zone);
    after.former_anchor_at = Some(holds.anchor_at);
    after.period_changes_at = Some(boundary);
}

/// Notes what is wrong with more to spend for some time.
pub(super) fn check_increase(
    faults: &mut Faults,
    field: &str,
    increase: Option<Increase>,
    max_spend: Option<Usd>,
) {
    let Some(increase) = increase else { return };
    if increase.amount <= Usd::ZERO {
        faults.add(format!("{field}.temporaryIncrease.amount"), "write an amount above zero");
    }
    faults.instant(&format!("{field}.temporaryIncrease.endsAt"), increase.ends_at);
    match max_spend {
        None => faults.add(
            format!("{field}.temporaryIncrease"),
            "a budget without maxSpend has nothing to increase",
        ),
        Some(max) if max.checked_add(increase.amount).is_none() => faults.add(
            format!("{field}.temporaryIncrease.amount"),
            "together with maxSpend this is more than can be stored",
        ),
        Some(_) => {}
    }
}

#[cfg(test)]
pub(crate) mod tests;
