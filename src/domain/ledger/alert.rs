//! Warnings: each window raises each threshold once.

use entity::id::{BudgetId, BudgetWindowId};
use entity::role::BudgetThreshold;
use entity::value::Usd;
use uuid::Uuid;

/// The thresholds, each with its bit in a window's marks.
const BITS: [(BudgetThreshold, i32); 3] = [
    (BudgetThreshold::SoftSpend, 1),
    (BudgetThreshold::NearMaxSpend, 2),
    (BudgetThreshold::MaxSpend, 4),
];

/// A warning that a window raises.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) window: BudgetWindowId,
    pub(super) budget: BudgetId,
    pub(super) counter: Uuid,
    pub(super) threshold: BudgetThreshold,
    pub(super) spent: Usd,
    pub(super) at: Usd,
}

/// The thresholds that a window's marks name.
pub fn raised(marks: i32) -> impl Iterator<Item = BudgetThreshold> {
    BITS.into_iter().filter(move |(_, bit)| marks & bit != 0).map(|(threshold, _)| threshold)
}

/// The thresholds that spend has reached and the marks do not name, with the spend at which each is
/// raised, and the marks that name them.
pub(super) fn due(
    marks: i32,
    spent: Usd,
    soft: Option<Usd>,
    max: Option<Usd>,
) -> (i32, Vec<(BudgetThreshold, Usd)>) {
    let near = max.map(|max| Usd::from_nanos(max.nanos() - max.nanos() / 5));
    let mut marks = marks;
    let mut due = Vec::new();
    for (threshold, bit) in BITS {
        let at = match threshold {
            BudgetThreshold::SoftSpend => soft,
            BudgetThreshold::NearMaxSpend => near,
            BudgetThreshold::MaxSpend => max,
        };
        if let Some(at) = at
            && marks & bit == 0
            && spent >= at
            && spent > Usd::ZERO
        {
            marks |= bit;
            due.push((threshold, at));
        }
    }
    (marks, due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_due_once() {
        let usd = Usd::from_nanos;
        let (soft, max) = (Some(usd(50)), Some(usd(101)));
        assert_eq!(due(0, usd(49), soft, max), (0, vec![]));
        assert_eq!(due(0, usd(50), soft, max), (1, vec![(BudgetThreshold::SoftSpend, usd(50))]));
        assert_eq!(due(1, usd(81), soft, max).0, 3);
        let all = due(0, usd(200), soft, max);
        assert_eq!((all.0, all.1.len()), (7, 3));
        assert_eq!(due(7, usd(300), soft, max), (7, vec![]));
        assert_eq!(raised(7).count(), 3);
        assert_eq!(raised(4).collect::<Vec<_>>(), [BudgetThreshold::MaxSpend]);
    }

    /// A cap of nothing warns of spend alone.
    #[test]
    fn a_budget_without_spend_warns_of_nothing() {
        assert_eq!(due(0, Usd::ZERO, None, Some(Usd::ZERO)), (0, vec![]));
        assert_eq!(due(0, Usd::ZERO, None, None), (0, vec![]));
    }
}
