//! A bounded cache of entries that know what they depend on.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};

use super::marks::Dependencies;

/// How many entries are passed over because they were used, before one goes all the same: nobody
/// waits for longer.
const PASSED_OVER: usize = 64;

/// Entries by key, at most so many. When it is full, an entry goes that was not used since the last
/// look at it; a look is a step of a hand around the clock of entries.
#[derive(Debug)]
pub(super) struct Store<K, V> {
    state: RwLock<State<K, V>>,
    most: usize,
    /// How long an entry is good, whatever it depends on.
    lasts: Option<TimeDelta>,
}

#[derive(Debug)]
struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    clock: VecDeque<K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    made_at: DateTime<Utc>,
    dependencies: Dependencies,
    is_used: AtomicBool,
}

impl<K: Clone + Eq + Hash, V: Clone> Store<K, V> {
    /// A cache of at most so many entries.
    pub(super) fn new(most: usize, lasts: Option<TimeDelta>) -> Self {
        let state = State { entries: HashMap::new(), clock: VecDeque::new() };
        Self { state: RwLock::new(state), most: most.max(1), lasts }
    }

    /// The entry of a key, while it is good.
    pub(super) fn get(&self, key: &K, now: DateTime<Utc>) -> Option<V> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let entry = state.entries.get(key)?;
        let age = now - entry.made_at;
        // A clock that was set back makes an entry seem to come from the future.
        let in_time = self.lasts.is_none_or(|lasts| (TimeDelta::zero()..lasts).contains(&age));
        if !in_time || !entry.dependencies.are_fresh() {
            return None;
        }
        entry.is_used.store(true, Ordering::Relaxed);
        Some(entry.value.clone())
    }

    /// Keeps an entry.
    pub(super) fn put(&self, key: K, value: V, dependencies: Dependencies, now: DateTime<Utc>) {
        let entry = Entry { value, made_at: now, dependencies, is_used: AtomicBool::new(false) };
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let replaced = state.entries.insert(key.clone(), entry);
        let mut gone = Vec::new();
        if replaced.is_none() {
            state.clock.push_back(key);
            let mut passed_over = 0;
            while state.entries.len() > self.most {
                let Some(key) = state.clock.pop_front() else { break };
                match state.entries.get(&key) {
                    Some(entry)
                        if passed_over < PASSED_OVER
                            && entry.is_used.swap(false, Ordering::Relaxed) =>
                    {
                        passed_over += 1;
                        state.clock.push_back(key);
                    }
                    _ => gone.extend(state.entries.remove(&key)),
                }
            }
        }
        // What an entry holds may take its time to be freed: not while others wait.
        drop(guard);
        drop((replaced, gone));
    }

    /// The number of entries, good or not.
    pub(super) fn len(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
    }

    #[test]
    fn a_full_cache_lets_go_of_what_is_not_used() {
        let store = Store::new(3, None);
        for key in 0..3 {
            store.put(key, key, Dependencies::default(), at(0));
        }
        assert_eq!(store.get(&0, at(0)), Some(0));
        for key in 3..5 {
            store.put(key, key, Dependencies::default(), at(0));
        }
        let kept: Vec<_> = (0..5).filter(|key| store.get(key, at(0)).is_some()).collect();
        assert_eq!(kept, [0, 3, 4]);
        for key in 5..1_000 {
            store.put(key, key, Dependencies::default(), at(0));
            store.put(key, key, Dependencies::default(), at(0));
            assert_eq!(store.len(), 3);
        }
    }

    #[test]
    fn an_entry_lasts_so_long_and_not_a_moment_longer() {
        let store = Store::new(3, Some(TimeDelta::seconds(5)));
        store.put(1, (), Dependencies::default(), at(1_000));
        for (millis, is_there) in [(999, false), (1_000, true), (5_999, true), (6_000, false)] {
            assert_eq!(store.get(&1, at(millis)).is_some(), is_there, "{millis}");
        }
    }
}
