//! The promise of SECURITY 6: in any sixty seconds at most the limit × 1.05 + 1 is admitted, by up
//! to eight replicas. The store admits no more than the limit; the rest is for the minute in which it
//! is lost.

use chrono::{DateTime, TimeDelta, Utc};
use tollkeep::rate_limit::{Kind, Limit};

use super::replicas::{Place, Shared, stores};
use super::{lease, limit, requests, tokens};

/// Everything that was admitted, in the order of time.
#[derive(Default)]
pub(crate) struct Checker(Vec<(DateTime<Utc>, u64)>);

impl Checker {
    pub(crate) fn note(&mut self, at: DateTime<Utc>, amount: u64) {
        self.0.push((at, amount));
    }

    /// The most that was admitted in any sixty seconds.
    pub(crate) fn densest(&self) -> u64 {
        let mut first = 0;
        let (mut sum, mut densest) = (0, 0);
        for (at, amount) in &self.0 {
            sum += amount;
            while self.0[first].0 + TimeDelta::seconds(60) <= *at {
                sum -= self.0[first].1;
                first += 1;
            }
            densest = densest.max(sum);
        }
        densest
    }

    /// What was admitted after an instant.
    pub(crate) fn since(&self, instant: DateTime<Utc>) -> u64 {
        self.0.iter().filter(|(at, _)| *at > instant).map(|(_, amount)| amount).sum()
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The same call, some times over, at one replica.
pub(crate) struct Call {
    pub(crate) replica: usize,
    pub(crate) limit: Limit,
    pub(crate) cost: u64,
    pub(crate) times: u64,
}

impl Call {
    /// Requests.
    pub(crate) fn requests(replica: usize, number: u128, most: u64, times: u64) -> Self {
        Self { replica, limit: requests(number, most), cost: 1, times }
    }
}

/// Asks again and again for some seconds, each time at some replica, and notes what is admitted.
pub(crate) async fn demand(
    place: &Place,
    checker: &mut Checker,
    dice: &mut Dice,
    seconds: i64,
    call: impl Fn(&mut Dice) -> Call,
) {
    for _ in 0..seconds {
        let start = place.now();
        for tenth in 0..10 {
            let now = start + TimeDelta::milliseconds(100 * tenth);
            let Call { replica, limit, cost, times } = call(dice);
            for _ in 0..times {
                let limiter = place.limiter(replica);
                if limiter.acquire(lease(1), &[limit], now).await.is_admitted() {
                    checker.note(now, cost);
                }
            }
        }
        place.go(1).await;
    }
}

/// Floods, a steady demand beyond the limit and pauses, spread over all replicas evenly or not.
#[tokio::test]
async fn eight_replicas_admit_no_more_than_the_limit_in_any_sixty_seconds() {
    for shared in stores() {
        let replicas = if shared == Shared::Nothing { 1 } else { 8 };
        let place = Place::start(shared, replicas).await;
        let mut dice = Dice::new(0x5eed);
        let (most, budget) = (120, 6_000);
        let (mut calls, mut amounts) = (Checker::default(), Checker::default());

        let even =
            |times| move |dice: &mut Dice| Call::requests(pick(dice, replicas), 1, most, times);
        demand(&place, &mut calls, &mut dice, 3, even(30)).await;
        demand(&place, &mut calls, &mut dice, 70, even(1)).await;
        place.go(20).await;
        let uneven = |dice: &mut Dice| Call::requests(skewed(dice, replicas), 1, most, 1);
        demand(&place, &mut calls, &mut dice, 50, uneven).await;
        assert!(calls.densest() <= most, "{} on {shared:?}", calls.densest());

        let start = place.now();
        let tokens = |dice: &mut Dice| {
            let cost = 1 + dice.roll(200);
            let limit = tokens(2, budget, cost);
            Call { replica: skewed(dice, replicas), limit, cost, times: 1 + dice.roll(2) }
        };
        demand(&place, &mut amounts, &mut dice, 120, tokens).await;
        assert!(amounts.densest() <= budget, "{} on {shared:?}", amounts.densest());
        let used = amounts.since(start);
        assert!(used >= 2 * budget * 9 / 10, "{used} in two minutes on {shared:?}");
        place.stop().await;
    }
}

/// Any replica.
pub(crate) fn pick(dice: &mut Dice, replicas: usize) -> usize {
    usize::try_from(dice.roll(replicas as u64)).unwrap()
}

/// Most often the first, now and then another.
fn skewed(dice: &mut Dice, replicas: usize) -> usize {
    if dice.roll(4) == 0 { pick(dice, replicas) } else { 0 }
}

/// A replica that alone is asked admits all of a limit, not its part of it, at once and over time.
#[tokio::test]
async fn one_busy_replica_of_many_may_use_the_whole_limit() {
    for shared in stores().into_iter().filter(|shared| *shared != Shared::Nothing) {
        let place = Place::start(shared, 8).await;
        let flood = requests(1, 1_000);
        let mut at_once = 0;
        for _ in 0..1_100 {
            let outcome = place.first().acquire(lease(1), &[flood], place.now()).await;
            at_once += u64::from(outcome.is_admitted());
        }
        assert_eq!(at_once, 1_000, "on {shared:?}");

        let mut checker = Checker::default();
        let steady = |_: &mut Dice| Call::requests(0, 2, 300, 1);
        let start = place.now();
        demand(&place, &mut checker, &mut Dice::new(7), 180, steady).await;
        assert!(checker.densest() <= 300);
        let used = checker.since(start);
        assert!(used >= 3 * 300 * 9 / 10, "{used} in three minutes on {shared:?}");
        place.stop().await;
    }
}

/// Two to eight replicas that ask alike are admitted alike.
#[tokio::test]
async fn replicas_that_ask_alike_share_alike() {
    for shared in stores().into_iter().filter(|shared| *shared != Shared::Nothing) {
        for replicas in [2, 8] {
            let place = Place::start(shared, replicas).await;
            let mut admitted = vec![0_u64; replicas];
            let shared_limit = limit(1, Kind::Requests, 480, 1);
            for second in 0..120_usize {
                for tenth in 0..10 {
                    let now = place.now() + TimeDelta::milliseconds(100 * tenth);
                    for call in 0..replicas {
                        // Nobody is always the first of its turn.
                        let replica = (call + second) % replicas;
                        let limiter = place.limiter(replica);
                        let outcome = limiter.acquire(lease(1), &[shared_limit], now).await;
                        admitted[replica] += u64::from(outcome.is_admitted());
                    }
                }
                place.go(1).await;
            }
            let (least, most) = (admitted.iter().min().unwrap(), admitted.iter().max().unwrap());
            let all: u64 = admitted.iter().sum();
            assert!(all >= 2 * 480 * 9 / 10, "{all} on {shared:?}");
            assert!(*least * 2 >= *most, "{admitted:?} on {shared:?}");
            place.stop().await;
        }
    }
}
