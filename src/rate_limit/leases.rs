//! Requests at once, in the memory of one process: leases that end unless somebody says that the
//! request goes on.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::LimitKey;
use super::window::SECOND;

/// How long a lease lasts without a heartbeat: the longest time for which a gateway that died
/// holds its places.
pub(crate) const LEASE: u64 = 30 * SECOND;

#[derive(Clone, Debug)]
struct Lease {
    keys: Vec<LimitKey>,
    until: u64,
}

/// All leases of a process. Every operation costs the logarithm of their number.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: HashMap<Uuid, Lease>,
    ends: BTreeSet<(u64, Uuid)>,
    used: HashMap<LimitKey, u64>,
}

impl Leases {
    /// Ends the leases whose time is over.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some((until, lease)) = self.ends.first().copied()
            && until <= now
        {
            self.free(lease);
        }
    }

    /// How many leases a limit has.
    pub(crate) fn used(&self, key: &LimitKey) -> u64 {
        self.used.get(key).copied().unwrap_or(0)
    }

    /// Whether a lease holds a place of a limit.
    pub(crate) fn holds(&self, lease: Uuid, key: &LimitKey) -> bool {
        self.held.get(&lease).is_some_and(|lease| lease.keys.contains(key))
    }

    /// Whether there is such a lease.
    pub(crate) fn has(&self, lease: Uuid) -> bool {
        self.held.contains_key(&lease)
    }

    /// Gives a lease places that it does not hold yet, and lets it last from now on.
    pub(crate) fn take<'k>(
        &mut self,
        lease: Uuid,
        keys: impl IntoIterator<Item = &'k LimitKey>,
        now: u64,
    ) {
        let mut taken = self.held.remove(&lease).unwrap_or(Lease { keys: Vec::new(), until: 0 });
        for key in keys {
            if !taken.keys.contains(key) {
                taken.keys.push(*key);
                *self.used.entry(*key).or_default() += 1;
            }
        }
        self.ends.remove(&(taken.until, lease));
        taken.until = now.saturating_add(LEASE);
        self.ends.insert((taken.until, lease));
        self.held.insert(lease, taken);
    }

    /// Lets a lease last from now on; false when there is none.
    pub(crate) fn beat(&mut self, lease: Uuid, now: u64) -> bool {
        let found = self.has(lease);
        if found {
            self.take(lease, [], now);
        }
        found
    }

    /// Ends a lease; false when there is none.
    pub(crate) fn free(&mut self, lease: Uuid) -> bool {
        let Some(Lease { keys, until }) = self.held.remove(&lease) else { return false };
        self.ends.remove(&(until, lease));
        for key in keys {
            if let Some(used) = self.used.get_mut(&key) {
                *used -= 1;
                if *used == 0 {
                    self.used.remove(&key);
                }
            }
        }
        true
    }

    /// The leases and their places.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Uuid, &[LimitKey])> {
        self.held.iter().map(|(lease, held)| (*lease, held.keys.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn key(number: u128) -> LimitKey {
        LimitKey {
            budget: Uuid::from_u128(number),
            counter: Uuid::from_u128(number),
            kind: Kind::Parallel,
        }
    }

    #[test]
    fn a_lease_ends_with_its_time_its_heartbeats_or_its_request() {
        let mut leases = Leases::default();
        let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
        leases.take(one, [&key(1), &key(2)], 0);
        leases.take(two, [&key(1)], 0);
        leases.take(three, [&key(1)], 5);
        assert_eq!([leases.used(&key(1)), leases.used(&key(2))], [3, 1]);

        assert!(leases.beat(two, LEASE - 1));
        leases.expire(LEASE - 1);
        assert_eq!(leases.used(&key(1)), 3);
        leases.expire(LEASE);
        assert_eq!([leases.used(&key(1)), leases.used(&key(2))], [2, 0]);
        assert!(!leases.beat(one, LEASE) && !leases.free(one));

        assert!(leases.free(three));
        leases.expire(2 * LEASE - 2);
        assert_eq!(leases.used(&key(1)), 1);
        leases.expire(2 * LEASE - 1);
        assert!(leases.held.is_empty() && leases.ends.is_empty() && leases.used.is_empty());
    }

    #[test]
    fn a_lease_holds_a_place_once() {
        let mut leases = Leases::default();
        let one = Uuid::from_u128(1);
        leases.take(one, [&key(1), &key(1)], 0);
        leases.take(one, [&key(1), &key(2)], 7);
        assert_eq!([leases.used(&key(1)), leases.used(&key(2))], [1, 1]);
        leases.expire(LEASE);
        assert!(leases.has(one));
        leases.free(one);
        assert_eq!(leases.used(&key(1)), 0);
    }
}
