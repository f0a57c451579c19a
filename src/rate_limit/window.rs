//! The last minute of one limit: what was admitted, and when it leaves the minute again.
//!
//! Pure arithmetic in integer nanoseconds. A window is a log of admissions in which those of one
//! second are one entry, as old as the youngest of them. So it never counts less than the true
//! minute does, and an admission stays at most a second too long. Limits of at most [`EXACT`] are
//! counted one by one. Why not GCRA: `docs/adr/0033-rate-limits-count-the-last-minute.md`.

use std::collections::VecDeque;

/// The length of a minute.
pub(crate) const MINUTE: u64 = 60 * SECOND;

/// Admissions within one second of the clock are one entry.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// The largest limit whose admissions are kept one by one.
pub(crate) const EXACT: u64 = 60;

/// The largest limit and the largest sum of a window: what a script of Redis can count exactly.
pub(crate) const MOST: u64 = 1 << 53;

/// What was admitted until an instant since the entry before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    amount: u64,
}

/// What one limit has admitted within the last minute. Instants are nanoseconds since 1970.
///
/// It takes 40 bytes, and 16 bytes on the heap for each entry, of which there are as many as
/// seconds with an admission, at most 61; for limits up to [`EXACT`] as many as admissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    total: u64,
}

impl Window {
    /// Forgets what was admitted a minute ago or earlier. What lies more than a minute ahead was
    /// noted by a clock that was wrong, and is forgotten too.
    pub(crate) fn forget(&mut self, now: u64) {
        while let Some(entry) = self.entries.front()
            && entry.at.saturating_add(MINUTE) <= now
        {
            self.total -= entry.amount;
            self.entries.pop_front();
        }
        while let Some(entry) = self.entries.back()
            && entry.at > now.saturating_add(MINUTE)
        {
            self.total -= entry.amount;
            self.entries.pop_back();
        }
    }

    /// The sum of what is not forgotten.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether nothing is left that counts.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an admission. The sum is never more than [`MOST`]. When the clock has gone back, the
    /// admission counts as one of the latest instant that was seen.
    pub(crate) fn add(&mut self, at: u64, amount: u64, limit: u64) {
        let amount = amount.min(MOST - self.total);
        if amount == 0 {
            return;
        }
        self.total += amount;
        if let Some(last) = self.entries.back_mut() {
            let together = at <= last.at || (limit > EXACT && at / SECOND == last.at / SECOND);
            if together {
                last.at = last.at.max(at);
                last.amount += amount;
                return;
            }
        }
        self.entries.push_back(Entry { at, amount });
    }

    /// Takes back what was admitted at an instant, unless that has left the minute.
    pub(crate) fn refund(&mut self, at: u64, amount: u64, now: u64) {
        if at.saturating_add(MINUTE) <= now {
            return;
        }
        let place = self.entries.partition_point(|entry| entry.at < at);
        if let Some(entry) = self.entries.get_mut(place) {
            let amount = amount.min(entry.amount);
            entry.amount -= amount;
            self.total -= amount;
            if entry.amount == 0 {
                self.entries.remove(place);
            }
        }
    }

    /// Takes back what was admitted at some instant from `since` on, unless that may have left the
    /// minute. The oldest entries are taken first: the younger ones go on counting, so that too
    /// little is never counted.
    pub(crate) fn refund_since(&mut self, since: u64, mut amount: u64, now: u64) {
        if since.saturating_add(MINUTE) <= now {
            return;
        }
        let first = self.entries.partition_point(|entry| entry.at < since);
        for entry in self.entries.range_mut(first..) {
            let part = amount.min(entry.amount);
            entry.amount -= part;
            self.total -= part;
            amount -= part;
        }
        self.entries.retain(|entry| entry.amount > 0);
    }

    /// Forgets everything but one sum, as of an instant.
    pub(crate) fn assume(&mut self, at: u64, amount: u64) {
        self.entries.clear();
        self.total = 0;
        self.add(at, amount, MOST);
    }

    /// The first instant at which an amount will fit, if nothing else is admitted until then;
    /// `None` when it never does.
    pub(crate) fn fits_at(&self, limit: u64, amount: u64, now: u64) -> Option<u64> {
        let mut over = self.total.saturating_sub(limit.checked_sub(amount)?);
        let mut instant = now;
        for entry in &self.entries {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(entry.amount);
            instant = entry.at.saturating_add(MINUTE);
        }
        Some(instant)
    }

    /// The instant of the youngest entry; `None` when there is none.
    pub(crate) fn latest(&self) -> Option<u64> {
        self.entries.back().map(|entry| entry.at)
    }

    /// The instant at which the oldest entry leaves; `None` when there is none.
    pub(crate) fn next_release(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.at.saturating_add(MINUTE))
    }

    /// The instant at which nothing counts any more, if nothing else is admitted until then.
    pub(crate) fn empty_at(&self) -> Option<u64> {
        self.entries.back().map(|entry| entry.at.saturating_add(MINUTE))
    }

    /// The entries as bytes: instant and amount of each, eight bytes big-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.entries.iter().flat_map(|entry| [entry.at, entry.amount]);
        numbers.flat_map(u64::to_be_bytes).collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; anything else is an empty window.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut window = Self::default();
        let (numbers, _) = bytes.as_chunks::<8>();
        for pair in numbers.chunks_exact(2) {
            let [at, amount] = [pair[0], pair[1]].map(u64::from_be_bytes);
            let amount = amount.min(MOST - window.total);
            window.total += amount;
            window.entries.push_back(Entry { at, amount });
        }
        window
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
