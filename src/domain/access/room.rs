//! Whether budgets have room for a call: now, and later, if nothing else is spent until then.

use chrono::{DateTime, Utc};
use entity::budget;
use entity::value::Usd;

use super::facts::Counted;
use crate::domain::budget::window::max_spend_at;

/// A budget has room while less than its cap is spent and held (REFERENCE C-A2: spend that has reached
/// the cap is refused, a cap of 0 means nothing), and the estimate fits into the rest (SECURITY 6).
pub fn has_room(max: Usd, spent: Usd, reserved: Usd, estimate: Usd) -> bool {
    let used = spent.nanos().saturating_add(reserved.nanos());
    used < max.nanos() && used.saturating_add(estimate.nanos()) <= max.nanos()
}

/// A budget, with what it counts.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The budget.
    pub budget: &'a budget::Model,
    /// What its window counts.
    pub counted: Counted,
}

impl Account<'_> {
    /// Whether there is room for a call at an instant, now or later: once its window has ended a budget
    /// counts from nothing, and once a temporary increase is over its cap is what it was.
    pub fn has_room_at(&self, at: DateTime<Utc>, estimate: Usd) -> bool {
        let Some(max) = max_spend_at(self.budget, at) else { return true };
        let has_ended = self.counted.resets_at.is_some_and(|end| end <= at);
        let counted = if has_ended { Counted::default() } else { self.counted };
        has_room(max, counted.spent, counted.reserved, estimate)
    }

    /// The end of the window, if the next one has room for a call.
    pub fn next_room(&self, estimate: Usd) -> Option<DateTime<Utc>> {
        self.counted.resets_at.filter(|end| self.has_room_at(*end, estimate))
    }
}

/// The first end of a window at which all of these budgets have room for a call. None when there never
/// is room in all: one of them has no window that ends, or the call is larger than its cap.
pub fn first_room(accounts: &[Account<'_>], estimate: Usd) -> Option<DateTime<Utc>> {
    let mut ends: Vec<_> =
        accounts.iter().filter_map(|account| account.counted.resets_at).collect();
    ends.sort_unstable();
    ends.into_iter().find(|at| accounts.iter().all(|account| account.has_room_at(*at, estimate)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::window::tests::{at, budget};

    const NOW: &str = "2026-02-10T09:00:00Z";

    fn usd(nanos: i64) -> Usd {
        Usd::from_nanos(nanos)
    }

    /// A budget of so much that has spent so much, with the end of its window, and an increase with its
    /// end.
    fn row(max: i64, increase: Option<(i64, &str)>) -> budget::Model {
        let mut row = budget(None, "UTC");
        row.max_spend = Some(usd(max));
        row.temporary_increase = increase.map(|(amount, _)| usd(amount));
        row.temporary_increase_ends_at = increase.map(|(_, end)| at(end));
        row
    }

    fn counted(spent: i64, resets_at: Option<&str>) -> Counted {
        Counted { spent: usd(spent), reserved: Usd::ZERO, resets_at: resets_at.map(at) }
    }

    /// C-A2, E-17, SECURITY 6: waiting for the end of a window helps a call that fits into an empty one
    /// of the cap that holds then, and no other.
    #[test]
    fn a_call_that_never_fits_is_not_told_to_wait() {
        let (end, before, after) =
            ("2026-02-11T00:00:00Z", "2026-02-10T10:00:00Z", "2026-02-12T00:00:00Z");
        for (max, increase, estimate, resets_at, helps) in [
            (10, None, 0, Some(end), true),
            (10, None, 1, Some(end), true),
            (10, None, 10, Some(end), true),
            (10, None, 11, Some(end), false),
            (1, None, 0, Some(end), true),
            (0, None, 0, Some(end), false),
            (0, None, 1, Some(end), false),
            (10, None, 1, None, false),
            (i64::MAX, None, i64::MAX, Some(end), true),
            // More for some time helps those who ask while it lasts.
            (10, Some((5, before)), 11, Some(end), false),
            (10, Some((5, end)), 11, Some(end), false),
            (10, Some((5, after)), 11, Some(end), true),
            (10, Some((5, after)), 16, Some(end), false),
            (0, Some((1, before)), 0, Some(end), false),
            (0, Some((1, after)), 0, Some(end), true),
        ] {
            let budget = row(max, increase);
            let account = Account { budget: &budget, counted: counted(i64::MAX, resets_at) };
            let case = format!("{max} {increase:?} {estimate} {resets_at:?}");
            assert!(!account.has_room_at(at(NOW), usd(estimate)), "{case}");
            let expected = resets_at.filter(|_| helps).map(at);
            assert_eq!(account.next_room(usd(estimate)), expected, "{case}");
            assert_eq!(first_room(&[account], usd(estimate)), expected, "{case}");
        }
    }

    /// SECURITY 6, "all apply": of several budgets the last to have room decides.
    #[test]
    fn the_last_budget_to_have_room_decides() {
        let (day, month) = ("2026-02-11T00:00:00Z", "2026-03-01T00:00:00Z");
        let soon = "2026-02-10T12:00:00Z";
        let none = |max| (max, None);
        let more = |max, amount, end| (max, Some((amount, end)));
        for (budgets, expected) in [
            (vec![(none(10), 10, Some(day))], Some(day)),
            (vec![(none(10), 10, Some(day)), (none(10), 10, Some(month))], Some(month)),
            (vec![(none(10), 10, Some(month)), (none(10), 10, Some(day))], Some(month)),
            (vec![(none(10), 10, Some(day)), (none(10), 9, Some(month))], Some(day)),
            (vec![(none(10), 10, Some(day)), (none(10), 10, None)], None),
            (vec![(none(10), 10, Some(day)), (none(10), 9, None)], Some(day)),
            (vec![(none(10), 10, Some(day)), (none(0), 0, Some(month))], None),
            // One that has room as long as its increase lasts refuses until its own window ends.
            (vec![(none(10), 10, Some(day)), (more(10, 5, soon), 12, Some(month))], Some(month)),
            (vec![(none(10), 10, Some(day)), (more(10, 5, month), 12, Some(month))], Some(day)),
            (vec![(none(10), 10, Some(day)), (more(10, 5, soon), 12, None)], None),
            // An increase that is over when the other budget's window ends is no room then.
            (vec![(more(0, 5, month), 5, Some(day)), (none(10), 10, Some(month))], None),
        ] {
            let rows: Vec<_> =
                budgets.iter().map(|((max, increase), ..)| row(*max, *increase)).collect();
            let accounts: Vec<_> = rows
                .iter()
                .zip(&budgets)
                .map(|(budget, (_, spent, end))| Account { budget, counted: counted(*spent, *end) })
                .collect();
            assert_eq!(first_room(&accounts, usd(1)), expected.map(at), "{budgets:?}");
        }
    }
}
