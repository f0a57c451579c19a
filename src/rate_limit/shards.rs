//! A map from limits to what is known of them, in many parts with a lock each.
//!
//! A list of limits is locked as a whole, in one order, so that it is judged and taken at once and
//! two lists cannot wait for each other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Kind, Limit, LimitKey};

/// The number of parts.
const PARTS: usize = 64;

type Part<V> = HashMap<LimitKey, V>;

/// The map.
#[derive(Debug)]
pub(super) struct Shards<V>(Vec<Mutex<Part<V>>>);

/// The parts that hold the limits of a list, those of the kind `Parallel` left out.
pub(super) struct Locked<'a, V> {
    places: Vec<Place>,
    parts: Vec<MutexGuard<'a, Part<V>>>,
}

/// Where one limit of the list is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its index in the list.
    pub(super) index: usize,
    /// Whether the same limit stood in the list before: it then counts no second time.
    pub(super) again: bool,
    part: usize,
}

impl<V> Shards<V> {
    pub(super) fn new() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }

    /// Locks the part of one limit.
    pub(super) fn part(&self, key: &LimitKey) -> MutexGuard<'_, Part<V>> {
        lock(&self.0[place(key)])
    }

    /// Locks the parts of all limits of a list.
    pub(super) fn lock(&self, limits: &[Limit]) -> Locked<'_, V> {
        let rates = limits.iter().enumerate().filter(|(_, limit)| limit.key.kind != Kind::Parallel);
        let mut order: Vec<_> = rates.map(|(index, limit)| (place(&limit.key), index)).collect();
        order.sort_unstable_by(|(part, index), (other_part, other)| {
            part.cmp(other_part).then_with(|| limits[*index].key.cmp(&limits[*other].key))
        });
        let mut locked = Locked { places: Vec::with_capacity(order.len()), parts: Vec::new() };
        let mut before: Option<(usize, &LimitKey)> = None;
        for (part, index) in order {
            let key = &limits[index].key;
            if before.is_none_or(|(last, _)| last != part) {
                locked.parts.push(lock(&self.0[part]));
            }
            let again = before.is_some_and(|(_, last)| last == key);
            locked.places.push(Place { index, again, part: locked.parts.len() - 1 });
            before = Some((part, key));
        }
        locked
    }

    /// Every part, one after the other.
    pub(super) fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Part<V>>> {
        self.0.iter().map(lock)
    }

    /// One part of all, the next one with each number.
    pub(super) fn nth(&self, number: usize) -> MutexGuard<'_, Part<V>> {
        lock(&self.0[number % PARTS])
    }
}

impl<V> Locked<'_, V> {
    /// Where each limit is, in the order of their locks.
    pub(super) fn places(&self) -> Vec<Place> {
        self.places.clone()
    }

    /// The part that holds a limit.
    pub(super) fn part(&mut self, place: Place) -> &mut Part<V> {
        &mut self.parts[place.part]
    }
}

/// A lock that outlives a panic of its holder: what it guards is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ids are random in their last bytes, which is as good as a hash.
fn place(key: &LimitKey) -> usize {
    let [budget, counter] = [key.budget.as_bytes()[15], key.counter.as_bytes()[14]];
    usize::from(budget ^ counter.rotate_left(3)) % PARTS
}
