//! Lists of limits, in memory.

use super::super::window::SECOND;
use super::*;

fn key(number: u128, kind: Kind) -> LimitKey {
    LimitKey { budget: Uuid::from_u128(number), counter: Uuid::from_u128(number << 64), kind }
}

fn requests(number: u128, most: u64) -> Limit {
    Limit::new(key(number, Kind::Requests), most, 1)
}

fn lease(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[test]
fn what_counts_no_more_leaves_by_itself() {
    let memory = Memory::new();
    for number in 0..10_000 {
        let limits = [requests(number, 5)];
        assert!(memory.acquire(lease(0), &limits, SECOND, Share::WHOLE).is_admitted());
    }
    assert_eq!(memory.len(), 10_000);
    for _ in 0..32 {
        memory.sweep(MINUTE);
    }
    assert_eq!(memory.len(), 10_000);
    for _ in 0..32 {
        memory.sweep(MINUTE + SECOND);
    }
    assert_eq!(memory.len(), 0);
}

/// What the store of several replicas has granted is remembered as this replica's part of it.
#[test]
fn a_lost_store_leaves_each_replica_its_part_of_what_is_free() {
    let memory = Memory::new();
    let limits = [requests(1, 100)];
    let share = Share { rank: 0, of: 4 };
    let seen = Standing { most: 100, remaining: 40, ..Standing::default() };
    let outcome = Outcome { at: instant(SECOND), standings: vec![seen] };
    memory.note(lease(0), &limits, &outcome, SECOND, share.of);

    let admitted =
        (0..100).filter(|n| memory.acquire(lease(*n), &limits, SECOND, share).is_admitted());
    assert_eq!(admitted.count(), 10);
    let later = SECOND + MINUTE;
    let admitted =
        (0..100).filter(|n| memory.acquire(lease(*n), &limits, later, share).is_admitted());
    assert_eq!(admitted.count(), 25);
}
