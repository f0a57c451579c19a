//! Rate limits, by the limiter itself: what holds on every store. Time is an argument, and the
//! tests of a store on which replicas share run several limiters.

mod database;
mod promise;
mod redis;
mod replicas;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tollkeep::rate_limit::{Kind, LEASE, Limit, LimitKey, Outcome, RateLimiter, Refusal};
use uuid::Uuid;

use replicas::{Place, on_each_store};

/// A counter that no other test uses, and what a call takes of it.
pub(crate) fn limit(number: u128, kind: Kind, most: u64, cost: u64) -> Limit {
    let [budget, counter] = [number << 8, number << 7 | 0xff].map(Uuid::from_u128);
    Limit::new(LimitKey { budget, counter, kind }, most, cost)
}

fn requests(number: u128, most: u64) -> Limit {
    limit(number, Kind::Requests, most, 1)
}

fn tokens(number: u128, most: u64, cost: u64) -> Limit {
    limit(number, Kind::Tokens, most, cost)
}

fn parallel(number: u128, most: u64) -> Limit {
    limit(number, Kind::Parallel, most, 1)
}

/// A call of its own.
fn lease(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

fn remaining(outcome: &Outcome) -> Vec<u64> {
    outcome.standings.iter().map(|standing| standing.remaining).collect()
}

/// How many of many equal calls, one after the other, are admitted.
async fn admitted(
    limiter: &RateLimiter,
    limits: &[Limit],
    calls: u128,
    now: DateTime<Utc>,
) -> usize {
    let mut admitted = 0;
    for call in 0..calls {
        admitted += usize::from(limiter.acquire(lease(call), limits, now).await.is_admitted());
    }
    admitted
}

/// A call that one limit refuses takes nothing from the others (SECURITY 6).
#[tokio::test]
async fn all_limits_admit_or_none_is_taken_from() {
    on_each_store(1, async |place: &Place| {
        let (limiter, now) = (place.first(), place.now());
        let limits = [requests(1, 10), tokens(2, 100, 40), parallel(3, 5)];
        for call in 0..2 {
            let outcome = limiter.acquire(lease(call), &limits, now).await;
            assert!(outcome.is_admitted() && outcome.retry_after().is_none(), "{outcome:?}");
        }
        let before = limiter.peek(&limits, now).await;
        assert_eq!(remaining(&before), [8, 20, 3]);
        for call in 2..20 {
            let outcome = limiter.acquire(lease(call), &limits, now).await;
            let refused: Vec<_> =
                outcome.standings.iter().map(|standing| standing.refusal.is_some()).collect();
            assert_eq!(refused, [false, true, false]);
        }
        assert_eq!(remaining(&limiter.peek(&limits, now).await), [8, 20, 3]);

        // One that has too few places refuses the tokens too.
        let narrow = [requests(1, 10), tokens(2, 100, 5), parallel(3, 2)];
        assert!(!limiter.acquire(lease(30), &narrow, now).await.is_admitted());
        let after = limiter.peek(&limits, now).await;
        assert_eq!(remaining(&after), [8, 20, 3]);
    })
    .await;
}

/// 0 means nothing, and a call that costs more than there ever is need not come back (REFERENCE F5).
#[tokio::test]
async fn nothing_is_admitted_by_zero_or_above_the_limit() {
    on_each_store(1, async |place: &Place| {
        let (limiter, now) = (place.first(), place.now());
        for never in [
            [requests(1, 0), tokens(2, 10, 1)],
            [tokens(3, 0, 0), tokens(2, 10, 1)],
            [parallel(4, 0), tokens(2, 10, 1)],
            [tokens(5, 10, 11), tokens(2, 10, 1)],
        ] {
            let outcome = limiter.acquire(lease(1), &never, now).await;
            assert_eq!(outcome.standings[0].refusal, Some(Refusal::Never), "{never:?}");
            assert_eq!((outcome.is_admitted(), outcome.retry_after()), (false, None));
        }
        assert_eq!(remaining(&limiter.peek(&[tokens(2, 10, 1)], now).await), [10]);

        // A cost that nobody knows takes nothing, and needs a limit that is not used up.
        let unknown = [tokens(6, 10, 0)];
        assert!(limiter.acquire(lease(2), &unknown, now).await.is_admitted());
        assert!(limiter.acquire(lease(3), &[tokens(6, 10, 10)], now).await.is_admitted());
        assert!(!limiter.acquire(lease(4), &unknown, now).await.is_admitted());
    })
    .await;
}

/// A minute's worth may come at once; the answer says how long the next call has to wait.
#[tokio::test]
async fn a_minute_at_once_and_then_a_wait() {
    on_each_store(1, async |place: &Place| {
        let (limiter, start) = (place.first(), place.now());
        let limits = [requests(1, 50)];
        assert_eq!(admitted(limiter, &limits, 20, start).await, 20);
        let later = start + seconds(10);
        assert_eq!(admitted(limiter, &limits, 50, later).await, 30);

        let refused = limiter.acquire(lease(99), &limits, later).await;
        let wait = refused.retry_after().unwrap();
        assert!((50..=52).contains(&wait.as_secs()), "{wait:?}");
        let reset = refused.standings[0].reset;
        assert!((60..=62).contains(&reset.as_secs()), "{reset:?}");
        assert_eq!(admitted(limiter, &limits, 50, start + seconds(59)).await, 0);
        let then = later + TimeDelta::from_std(wait).unwrap();
        assert_eq!(admitted(limiter, &limits, 50, then).await, 20);
        assert_eq!(remaining(&limiter.peek(&limits, then + seconds(70)).await), [50]);
    })
    .await;
}

/// What a limit is counts from the next call on, whether it was raised or lowered.
#[tokio::test]
async fn a_changed_limit_holds_at_once() {
    on_each_store(1, async |place: &Place| {
        let (limiter, now) = (place.first(), place.now());
        assert_eq!(admitted(limiter, &[requests(1, 10)], 20, now).await, 10);
        let now = now + seconds(2);
        assert_eq!(admitted(limiter, &[requests(1, 25)], 40, now).await, 15);
        assert_eq!(admitted(limiter, &[requests(1, 5)], 20, now + seconds(30)).await, 0);
        assert_eq!(admitted(limiter, &[requests(1, 0)], 20, now + seconds(300)).await, 0);
        assert_eq!(admitted(limiter, &[requests(1, 5)], 20, now + seconds(300)).await, 5);
    })
    .await;
}

/// One limit by way of two scopes is one limit.
#[tokio::test]
async fn a_limit_that_stands_twice_counts_once() {
    on_each_store(1, async |place: &Place| {
        let (limiter, now) = (place.first(), place.now());
        let twice = [requests(1, 4), parallel(2, 9), requests(1, 4), parallel(2, 9)];
        let outcome = limiter.acquire(lease(1), &twice, now).await;
        assert!(outcome.is_admitted());
        let once = [requests(1, 4), parallel(2, 9)];
        assert_eq!(remaining(&limiter.peek(&once, now).await), [3, 8]);
        for call in 2..=4 {
            assert!(limiter.acquire(lease(call), &twice, now).await.is_admitted());
        }
        assert!(!limiter.acquire(lease(5), &twice, now).await.is_admitted());
    })
    .await;
}

/// Of 64 calls that come at once, exactly as many as the limit are admitted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_the_limit_is_admitted() {
    for replicas in [1, 4] {
        on_each_store(replicas, async |place: &Place| {
            let now = place.now();
            let kinds = [Kind::Requests, Kind::Tokens, Kind::Parallel];
            for (number, kind) in kinds.into_iter().enumerate() {
                let limits = [limit(number as u128, kind, 20, 1), requests(9, 1_000)];
                let call = |number: usize| {
                    let limiter = place.limiter(number % place.count()).clone();
                    tokio::spawn(async move {
                        limiter.acquire(lease(number as u128), &limits, now).await.is_admitted()
                    })
                };
                let calls: Vec<_> = (0..64).map(call).collect();
                let mut admitted = 0;
                for call in calls {
                    admitted += usize::from(call.await.unwrap());
                }
                if place.holds_slices() && place.count() > 1 && kind != Kind::Parallel {
                    // What one replica holds another may lack, until the next second.
                    assert!((14..=20).contains(&admitted), "{admitted} of {kind:?}");
                } else {
                    assert_eq!(admitted, 20, "{kind:?}");
                }
            }
        })
        .await;
    }
}

/// Tokens are reserved by an estimate: what was not used is given back to the minute in which it was
/// taken, what was used beyond it is counted although it does not fit.
#[tokio::test]
async fn an_estimate_is_given_back_or_made_up_for() {
    on_each_store(2, async |place: &Place| {
        let start = place.now();
        let [one, other] = [place.limiter(0), place.limiter(place.count() - 1)];
        let call = [tokens(1, 1_000, 600)];
        let taken = one.acquire(lease(1), &call, start).await;
        assert!(taken.is_admitted());
        assert!(!other.acquire(lease(2), &call, start).await.is_admitted());

        place.go(2).await;
        other.refund(&[(call[0].key(), 500)], taken.at, place.now()).await;
        place.go(2).await;
        let now = place.now();
        assert_eq!(remaining(&one.peek(&call, now).await), [900]);
        assert!(one.acquire(lease(3), &call, now).await.is_admitted());

        one.charge(&[(call[0].key(), 5_000)], now).await;
        place.go(2).await;
        assert_eq!(remaining(&other.peek(&call, now).await), [0]);
        place.go(57).await;
        assert!(!other.acquire(lease(4), &call, place.now()).await.is_admitted());
        place.go(6).await;
        let now = place.now();
        assert!(other.acquire(lease(5), &call, now).await.is_admitted());

        // Long after, there is nothing left to give back to.
        other.refund(&[(call[0].key(), 100)], taken.at, now).await;
        place.go(2).await;
        assert_eq!(remaining(&other.peek(&call, place.now()).await), [400]);
    })
    .await;
}

/// A place is held while somebody says so, by whichever replica, and is free at most 30 seconds
/// after the last word (SECURITY 6).
#[tokio::test]
async fn places_of_requests_at_once_are_held_by_heartbeats() {
    on_each_store(2, async |place: &Place| {
        let start = place.now();
        let [one, other] = [place.limiter(0), place.limiter(place.count() - 1)];
        let limits = [parallel(1, 2), parallel(2, 10)];
        assert!(one.acquire(lease(1), &limits, start).await.is_admitted());
        assert!(other.acquire(lease(2), &limits, start).await.is_admitted());
        let refused = one.acquire(lease(3), &limits, start).await;
        assert_eq!(refused.standings[0].refusal, Some(Refusal::After(Duration::from_secs(1))));
        assert_eq!(refused.standings[0].reset, LEASE);
        assert_eq!(remaining(&refused), [0, 8]);

        // The same call again takes no second place.
        assert!(other.acquire(lease(1), &limits, start).await.is_admitted());
        assert_eq!(remaining(&one.peek(&limits, start).await), [0, 8]);

        // One is beaten and lives on, the other ends with its gateway.
        let now = start + seconds(29);
        assert_eq!(other.beat(&[lease(1), lease(7)], now).await, [true, false]);
        assert!(!one.acquire(lease(3), &limits, now).await.is_admitted());
        let now = start + seconds(30);
        assert_eq!(one.beat(&[lease(1), lease(2)], now).await, [true, false]);
        assert!(one.acquire(lease(3), &limits, now).await.is_admitted());
        assert!(!one.acquire(lease(4), &limits, now).await.is_admitted());

        // A call that has ended frees its place at once, wherever that is said.
        other.free(&[lease(1), lease(77)]).await;
        assert!(one.acquire(lease(4), &limits, now).await.is_admitted());
        assert!(!one.acquire(lease(5), &limits, now).await.is_admitted());
        place.tick(now + seconds(31)).await;
        assert_eq!(remaining(&other.peek(&limits, now + seconds(31)).await), [2, 10]);
    })
    .await;
}
