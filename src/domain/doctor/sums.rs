//! What events and reservations add up to, for a limited number of counters at a time: those of a span
//! of ids, which ends where the memory for it does. Further passes sum the rest.

use std::collections::BTreeMap;

use uuid::Uuid;

/// The most counters that are summed in one pass.
const COUNTERS: usize = 100_000;

/// What names a counter: an id, and a word where the id alone does not say whose it is.
pub(super) type Key = (Uuid, String);

/// The sums of counters with several numbers each.
#[derive(Debug)]
pub(super) struct Sums<const N: usize> {
    most: usize,
    /// The span of ids: the first, and the first beyond it; none where it has no end.
    from: Option<Uuid>,
    beyond: Option<Uuid>,
    is_over: bool,
    sums: BTreeMap<Key, [i128; N]>,
}

impl<const N: usize> Sums<N> {
    pub(super) fn new() -> Self {
        Self::of_at_most(COUNTERS)
    }

    fn of_at_most(most: usize) -> Self {
        Self { most, from: None, beyond: None, is_over: false, sums: BTreeMap::new() }
    }

    /// Whether all counters have been summed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The span of ids that is summed.
    pub(super) fn span(&self) -> (Option<Uuid>, Option<Uuid>) {
        (self.from, self.beyond)
    }

    /// Adds to a counter, if it is of the span.
    pub(super) fn add(&mut self, id: Uuid, word: &str, numbers: [i128; N]) {
        let is_before = self.from.is_some_and(|from| id < from);
        if self.is_over || is_before || self.beyond.is_some_and(|beyond| beyond <= id) {
            return;
        }
        let sum = self.sums.entry((id, word.to_owned())).or_insert([0; N]);
        for (sum, number) in sum.iter_mut().zip(numbers) {
            *sum += number;
        }
        if self.sums.len() > self.most
            && let Some(((last, _), _)) = self.sums.last_key_value()
        {
            // All of an id goes, so that the next pass begins with all of it.
            let last = *last;
            self.beyond = Some(last);
            self.sums.split_off(&(last, String::new()));
        }
    }

    /// Takes out what a counter should have.
    pub(super) fn take(&mut self, id: Uuid, word: &str) -> [i128; N] {
        self.sums.remove(&(id, word.to_owned())).unwrap_or([0; N])
    }

    /// Goes on to the next span, and returns the sums that nobody took.
    pub(super) fn next(&mut self) -> BTreeMap<Key, [i128; N]> {
        self.from = self.beyond.take();
        self.is_over = self.is_over || self.from.is_none();
        std::mem::take(&mut self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However few counters are summed at a time, each is summed once, and as a whole.
    #[test]
    fn passes_sum_every_counter_once() {
        let id = |number: u32| Uuid::from_u128(u128::from(number));
        for most in [3, 4, 10, 1_000] {
            let mut sums = Sums::<2>::of_at_most(most);
            let mut found = BTreeMap::new();
            let mut passes = 0;
            while !sums.is_over() {
                passes += 1;
                for event in 0..300_u32 {
                    // Large and small ids in turn, some with two words.
                    let number = event.wrapping_mul(7_919) % 50;
                    sums.add(id(number), if event % 2 == 0 { "a" } else { "b" }, [1, 10]);
                    assert!(sums.sums.len() <= most);
                }
                for (key, sum) in sums.next() {
                    assert_eq!(found.insert(key, sum), None);
                }
            }
            assert!(passes > 1 || most == 1_000);
            let total = found.values().fold([0, 0], |all, sum| [all[0] + sum[0], all[1] + sum[1]]);
            assert_eq!(total, [300, 3_000]);
        }
    }
}
