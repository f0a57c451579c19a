//! The window against a log that forgets nothing, and the promise in any sixty seconds.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// One call: nanoseconds since the one before, and what it costs.
type Call = (u64, u64);

/// Every admission so far.
#[derive(Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    /// What was admitted in the span that ends now, without its first instant.
    fn within(&self, now: u64, span: u64) -> u64 {
        let within = self.0.iter().filter(|(at, _)| at + span > now);
        within.map(|(_, amount)| amount).sum()
    }

    /// The most that was admitted in any sixty seconds.
    fn densest(&self) -> u64 {
        self.0.iter().map(|(last, _)| self.upto(*last)).max().unwrap_or(0)
    }

    fn upto(&self, last: u64) -> u64 {
        let within = self.0.iter().filter(|(at, _)| *at <= last && at + MINUTE > last);
        within.map(|(_, amount)| amount).sum()
    }
}

/// Calls that come as a flood, steadily, and after pauses, some at the very same instant.
fn calls(costs: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![
        2 => Just(0),
        8 => 1..2 * SECOND,
        2 => Just(SECOND),
        1 => 20 * SECOND..90 * SECOND,
    ];
    vec((pause, costs), 1..400)
}

fn admit(window: &mut Window, limit: u64, cost: u64, now: u64) -> bool {
    window.forget(now);
    let fits = window.total() + cost <= limit;
    if fits {
        window.add(now, cost, limit);
    }
    fits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Never more than the limit in any sixty seconds, and never less than what a minute and the
    /// second of an entry leave room for.
    #[test]
    fn a_window_admits_what_the_log_would(
        calls in calls(1..=20),
        limit in 1..=300_u64,
        start in 0..10 * MINUTE,
    ) {
        let (mut window, mut log, mut now) = (Window::default(), Log::default(), start);
        for (pause, cost) in calls {
            now += pause;
            let true_room = log.within(now, MINUTE) + cost <= limit;
            let sure_room = log.within(now, MINUTE + SECOND) + cost <= limit;
            let admitted = admit(&mut window, limit, cost, now);
            prop_assert!(!admitted || true_room, "too much");
            prop_assert!(admitted || !sure_room, "too little");
            if limit <= EXACT {
                prop_assert_eq!(admitted, true_room, "a small limit is exact");
            }
            if admitted {
                log.0.push((now, cost));
            }
            prop_assert!(window.entries.len() <= 61);
            let sum: u64 = window.entries.iter().map(|entry| entry.amount).sum();
            prop_assert_eq!(window.total(), sum);
        }
        prop_assert!(log.densest() <= limit);
    }

    /// What is said about the future comes true: a call fits at the instant that was named, and not
    /// a nanosecond before.
    #[test]
    fn a_refused_call_fits_when_it_was_said(
        calls in calls(1..=20),
        limit in 1..=200_u64,
        cost in 1..=200_u64,
    ) {
        let (mut window, mut now) = (Window::default(), 0);
        for (pause, cost) in calls {
            now += pause;
            admit(&mut window, limit, cost, now);
        }
        window.forget(now);
        match window.fits_at(limit, cost, now) {
            None => prop_assert!(cost > limit),
            Some(instant) => {
                if instant > now {
                    prop_assert!(!admit(&mut window.clone(), limit, cost, instant - 1));
                }
                prop_assert!(admit(&mut window.clone(), limit, cost, instant));
            }
        }
        if let Some(instant) = window.empty_at() {
            let mut later = window.clone();
            later.forget(instant - 1);
            prop_assert!(!later.is_empty());
            later.forget(instant);
            prop_assert!(later.is_empty());
        }
    }

    /// Giving back frees exactly what was taken: the promise holds for what remains.
    #[test]
    fn a_refund_counts_where_it_was_taken(
        calls in calls(1..=20),
        refunds in vec((0..400_usize, 1..=20_u64), 0..100),
        limit in 1..=200_u64,
    ) {
        let (mut window, mut log, mut now) = (Window::default(), Log::default(), 0);
        let mut refunds = refunds.into_iter();
        for (pause, cost) in calls {
            now += pause;
            let true_room = log.within(now, MINUTE) + cost <= limit;
            let admitted = admit(&mut window, limit, cost, now);
            prop_assert!(!admitted || true_room, "too much");
            if admitted {
                log.0.push((now, cost));
            }
            if let Some((place, amount)) = refunds.next()
                && let Some((at, taken)) = log.0.get_mut(place)
            {
                let amount = amount.min(*taken);
                if *at + MINUTE > now {
                    *taken -= amount;
                }
                window.refund(*at, amount, now);
            }
            window.forget(now);
            prop_assert!(window.total() >= log.within(now, MINUTE), "counts too little");
        }
    }

    #[test]
    fn bytes_hold_a_window(calls in calls(1..=1_000_000), limit in 1..=1_000_000_000_u64) {
        let (mut window, mut now) = (Window::default(), 0);
        for (pause, cost) in calls {
            now += pause;
            admit(&mut window, limit, cost, now);
        }
        prop_assert_eq!(Window::from_bytes(&window.to_bytes()), window);
    }
}

#[test]
fn sums_stop_where_a_script_can_no_longer_count() {
    let mut window = Window::default();
    window.add(1, u64::MAX, u64::MAX);
    window.add(2, u64::MAX, u64::MAX);
    assert_eq!(window.total(), MOST);
    window.refund(1, u64::MAX, 2);
    assert!(window.is_empty());
}

#[test]
fn a_clock_that_steps_back_frees_nothing_and_one_that_was_wrong_blocks_nothing() {
    let mut window = Window::default();
    window.add(5 * MINUTE, 7, 100);
    window.add(5 * MINUTE - 10 * SECOND, 1, 100);
    window.forget(6 * MINUTE - 1);
    assert_eq!(window.total(), 8);
    window.forget(2 * MINUTE);
    assert_eq!(window.total(), 0);
}

#[test]
fn what_is_no_window_is_an_empty_one() {
    assert!(Window::from_bytes(b"").is_empty());
    assert!(Window::from_bytes(b"fifteen bytes..").is_empty());
}
