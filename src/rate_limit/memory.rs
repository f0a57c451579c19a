//! The counters of one process: all there is when it is alone, and the fallback when the store of
//! several is lost.
//!
//! An entry is made when a limit first admits something, and leaves within two minutes after it
//! last did. With its key it takes about 150 bytes, and up to 1 KiB more for a limit that admits in
//! every second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::leases::Leases;
use super::replicas::Share;
use super::shards::{Locked, Shards, lock};
use super::window::{MINUTE, MOST, Window};
use super::{Kind, Limit, LimitKey, Outcome, Refusal, Standing, instant};

/// How many parts of the map one sweep looks at: all of them in 32 sweeps.
const PARTS_PER_SWEEP: usize = 2;

/// When to ask again for a place among the requests at once: nobody knows when one ends.
pub(super) const PARALLEL_WAIT: Duration = Duration::from_secs(1);

/// The counters.
#[derive(Debug)]
pub(super) struct Memory {
    windows: Shards<Window>,
    leases: Mutex<Leases>,
    swept: AtomicUsize,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { windows: Shards::new(), leases: Mutex::default(), swept: AtomicUsize::new(0) }
    }

    /// Takes from all limits, or from none. `share` is the part of each that is for this process.
    pub(super) fn acquire(&self, lease: Uuid, limits: &[Limit], now: u64, share: Share) -> Outcome {
        self.judge(limits, now, share, Some(lease))
    }

    /// What [`acquire`](Self::acquire) would answer, without taking anything.
    pub(super) fn peek(&self, limits: &[Limit], now: u64, share: Share) -> Outcome {
        self.judge(limits, now, share, None)
    }

    fn judge(&self, limits: &[Limit], now: u64, share: Share, lease: Option<Uuid>) -> Outcome {
        let mut standings = vec![Standing::default(); limits.len()];
        let any_parallel = limits.iter().any(|limit| limit.key.kind == Kind::Parallel);
        let mut leases = any_parallel.then(|| lock(&self.leases));
        if let Some(leases) = &mut leases {
            leases.expire(now);
            for (limit, standing) in limits.iter().zip(&mut standings) {
                if limit.key.kind == Kind::Parallel {
                    *standing = parallel(leases, limit, share, lease);
                }
            }
        }
        let mut locked = self.windows.lock(limits);
        for place in locked.places() {
            let limit = &limits[place.index];
            let window = locked.part(place).get_mut(&limit.key);
            standings[place.index] = rate(window, limit, now, share.part(limit));
        }
        let mut outcome = Outcome { at: instant(now), standings };
        if let Some(lease) = lease
            && outcome.is_admitted()
        {
            take_rates(&mut locked, limits, now, &mut outcome.standings);
            if let Some(leases) = &mut leases {
                take_parallel(leases, limits, now, lease, &mut outcome.standings);
            }
        }
        outcome
    }

    /// Whether there is such a lease.
    pub(super) fn has(&self, lease: Uuid) -> bool {
        lock(&self.leases).has(lease)
    }

    /// Notes what the store of several replicas has granted here: the lease, and of each minute the
    /// part that this replica has to answer for if the store is lost now.
    pub(super) fn note(&self, lease: Uuid, limits: &[Limit], outcome: &Outcome, now: u64, of: u64) {
        let mut locked = self.windows.lock(limits);
        for place in locked.places() {
            let (limit, standing) = (&limits[place.index], &outcome.standings[place.index]);
            let used = limit.most.saturating_sub(standing.remaining);
            let part = locked.part(place);
            if used == 0 {
                part.remove(&limit.key);
            } else {
                part.entry(limit.key).or_default().assume(now, used.div_ceil(of.max(1)));
            }
        }
        drop(locked);
        let mut parallel =
            limits.iter().filter(|limit| limit.key.kind == Kind::Parallel).peekable();
        if outcome.is_admitted() && parallel.peek().is_some() {
            let mut leases = lock(&self.leases);
            leases.expire(now);
            leases.take(lease, parallel.map(|limit| &limit.key), now);
        }
    }

    /// Gives back what was taken at an instant.
    pub(super) fn refund(&self, taken: &[(LimitKey, u64)], at: u64, now: u64) {
        for (key, amount) in taken {
            if let Some(window) = self.windows.part(key).get_mut(key) {
                window.refund(at, *amount, now);
            }
        }
    }

    /// Counts what was used beyond what was taken, whether or not it fits.
    pub(super) fn charge(&self, used: &[(LimitKey, u64)], now: u64) {
        for (key, amount) in used {
            let mut part = self.windows.part(key);
            let window = part.entry(*key).or_default();
            window.forget(now);
            window.add(now, *amount, MOST);
        }
    }

    /// Lets a lease last from now on; false when there is none.
    pub(super) fn beat(&self, lease: Uuid, now: u64) -> bool {
        let mut leases = lock(&self.leases);
        leases.expire(now);
        leases.beat(lease, now)
    }

    /// Ends a lease; false when there is none.
    pub(super) fn free(&self, lease: Uuid) -> bool {
        lock(&self.leases).free(lease)
    }

    /// The leases that live, with their places.
    pub(super) fn leases(&self, now: u64) -> Vec<(Uuid, Vec<LimitKey>)> {
        let mut leases = lock(&self.leases);
        leases.expire(now);
        leases.all().map(|(lease, keys)| (lease, keys.to_vec())).collect()
    }

    /// Lets go of limits that have nothing to count any more. It looks at a part of the map.
    pub(super) fn sweep(&self, now: u64) {
        let first = self.swept.fetch_add(PARTS_PER_SWEEP, Ordering::Relaxed);
        for number in first..first + PARTS_PER_SWEEP {
            let mut part = self.windows.nth(number);
            part.retain(|_, window| {
                window.forget(now);
                !window.is_empty()
            });
            if part.capacity() > 4 * part.len() {
                part.shrink_to_fit();
            }
        }
        lock(&self.leases).expire(now);
    }

    /// How many limits have an entry.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.windows.parts().map(|part| part.len()).sum()
    }
}

/// How one limit of a minute stands before the call.
fn rate(window: Option<&mut Window>, limit: &Limit, now: u64, part: u64) -> Standing {
    let empty = Window::default();
    let window = match window {
        Some(window) => {
            window.forget(now);
            &*window
        }
        None => &empty,
    };
    let need = limit.need();
    let refusal = if need > limit.most {
        Some(Refusal::Never)
    } else if need > part {
        Some(Refusal::After(Duration::from_nanos(MINUTE)))
    } else if window.total().saturating_add(need) > part {
        let at = window.fits_at(part, need, now).unwrap_or(now + MINUTE);
        Some(Refusal::After(Duration::from_nanos(at.saturating_sub(now))))
    } else {
        None
    };
    Standing {
        most: limit.most,
        remaining: part.saturating_sub(window.total()),
        reset: until(window.empty_at(), now),
        refusal,
    }
}

/// How one limit of requests at once stands before the call.
fn parallel(leases: &Leases, limit: &Limit, share: Share, lease: Option<Uuid>) -> Standing {
    let (part, used) = (share.part(limit), leases.used(&limit.key));
    let holds = lease.is_some_and(|lease| leases.holds(lease, &limit.key));
    Standing {
        most: limit.most,
        remaining: part.saturating_sub(used),
        reset: if used == 0 { Duration::ZERO } else { super::LEASE },
        refusal: (used >= part && !holds).then(|| Refusal::of_parallel(limit)),
    }
}

fn take_rates(
    locked: &mut Locked<'_, Window>,
    limits: &[Limit],
    now: u64,
    standings: &mut [Standing],
) {
    for place in locked.places() {
        let (limit, standing) = (&limits[place.index], &mut standings[place.index]);
        standing.remaining = standing.remaining.saturating_sub(limit.cost);
        if place.again || limit.cost == 0 {
            continue;
        }
        let window = locked.part(place).entry(limit.key).or_default();
        window.add(now, limit.cost, limit.most);
        standing.reset = until(window.empty_at(), now);
    }
}

fn take_parallel(
    leases: &mut Leases,
    limits: &[Limit],
    now: u64,
    lease: Uuid,
    standings: &mut [Standing],
) {
    let parallel = limits.iter().filter(|limit| limit.key.kind == Kind::Parallel);
    for (limit, standing) in limits.iter().zip(standings) {
        if limit.key.kind == Kind::Parallel && !leases.holds(lease, &limit.key) {
            standing.remaining = standing.remaining.saturating_sub(1);
            standing.reset = super::LEASE;
        }
    }
    leases.take(lease, parallel.map(|limit| &limit.key), now);
}

/// The time from now to an instant; none at all when there is no instant.
pub(super) fn until(instant: Option<u64>, now: u64) -> Duration {
    Duration::from_nanos(instant.unwrap_or(now).saturating_sub(now))
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
