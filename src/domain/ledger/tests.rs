//! Which windows a call is charged to.

use std::sync::Arc;

use entity::id::Id;

use super::*;
use crate::domain::budget::window::tests::{at, budget};

fn bound(scope: Scope, counter: Uuid, budget: entity::budget::Model) -> BoundBudget {
    BoundBudget { scope, counter, budget: Arc::new(budget) }
}

fn scope(number: u128) -> Scope {
    Scope::team(Id::from_uuid(Uuid::from_u128(number)))
}

/// C-A12: a budget with a pattern counts the calls that it covers, and no others.
#[test]
fn a_pattern_decides_which_calls_count() {
    let mut narrow = budget(Some("1d"), "UTC");
    narrow.model_pattern = Some("gpt-*".to_owned());
    let all = [bound(scope(1), scope(1).id, narrow)];
    let now = at("2026-02-10T09:00:00Z");
    let charged = charges(&all, Some("gpt-4o"), now);
    assert_eq!(charged.len(), 1);
    assert_eq!(charged[0].starts_at, at("2026-02-10T00:00:00Z"));
    assert_eq!(charged[0].max, Some(Usd::from_nanos(100)));
    assert!(charges(&all, Some("claude"), now).is_empty());
    assert!(charges(&all, None, now).is_empty());
}

/// DESIGN 3: a pot that a team and its organization share counts a call once.
#[test]
fn a_common_pot_counts_a_call_once() {
    let pot = budget(None, "UTC");
    let counter = pot.id.uuid();
    let own = scope(2).id;
    let all = [
        bound(scope(1), counter, pot.clone()),
        bound(scope(2), counter, pot.clone()),
        bound(scope(2), own, pot),
    ];
    let charged = charges(&all, Some("m"), at("2026-02-10T09:00:00Z"));
    let counters: Vec<_> = charged.iter().map(|charge| charge.counter).collect();
    assert_eq!(counters, [counter, own]);
}
