//! Which cached entries are stale: one mark for each object that an entry was made from.
//!
//! An entry holds the marks of all that it depends on, and is good while none of them is set. A change
//! sets the mark of its object and forgets it: that costs the same for a key and for an organization
//! with all of its keys, and whatever is cached later gets a mark of its own. What changes while an
//! entry is being read from the database is remembered until the entry is there, so that nothing old
//! is kept for new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use entity::role::EntityKind;
use uuid::Uuid;

use crate::audit::Touched;

/// Whether an object has changed since something was read of it.
#[derive(Debug, Default)]
struct Mark(AtomicBool);

/// The marks of all that an entry depends on.
#[derive(Debug, Default)]
pub(super) struct Dependencies(Box<[Arc<Mark>]>);

impl Dependencies {
    /// Whether nothing of it has changed.
    pub(super) fn are_fresh(&self) -> bool {
        self.0.iter().all(|mark| !mark.0.load(Ordering::Acquire))
    }
}

/// The marks of everything that is cached.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    marks: HashMap<Touched, Weak<Mark>>,
    /// What changed while something was being read, and when.
    changed: HashMap<Touched, u64>,
    /// When everything changed.
    all: u64,
    /// Grows with every change.
    now: u64,
    /// When the readings began that are under way, and how many then.
    readings: BTreeMap<u64, usize>,
    /// The number of marks at which those that nobody holds are looked for.
    crowded: usize,
}

/// The fewest marks at which those that nobody holds are looked for.
const CROWD: usize = 1_000;

/// A reading of the database that is under way.
#[derive(Debug)]
pub(super) struct Reading {
    marks: Arc<Marks>,
    began: u64,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.marks.state();
        if let Some(count) = state.readings.get_mut(&self.began) {
            *count -= 1;
            if *count == 0 {
                state.readings.remove(&self.began);
            }
        }
        let oldest = state.readings.keys().next().copied();
        match oldest {
            None => state.changed = HashMap::new(),
            Some(oldest) if state.changed.len() >= CROWD => {
                state.changed.retain(|_, changed| *changed > oldest);
            }
            Some(_) => {}
        }
    }
}

impl Reading {
    /// The marks of objects that were read; none when one of them has changed since the reading
    /// began, so that what was read may be old.
    pub(super) fn dependencies(&self, objects: &BTreeSet<Touched>) -> Option<Dependencies> {
        let mut state = self.marks.state();
        let changed =
            |object| state.changed.get(object).is_some_and(|changed| *changed > self.began);
        if state.all > self.began || objects.iter().any(changed) {
            return None;
        }
        let marks = objects.iter().map(|object| state.mark(*object)).collect();
        Some(Dependencies(marks))
    }
}

impl State {
    fn mark(&mut self, object: Touched) -> Arc<Mark> {
        if let Some(mark) = self.marks.get(&object).and_then(Weak::upgrade) {
            return mark;
        }
        if self.marks.len() >= self.crowded.max(CROWD) {
            self.marks.retain(|_, mark| mark.strong_count() > 0);
            self.crowded = self.marks.len() * 2;
        }
        let mark = Arc::default();
        self.marks.insert(object, Arc::downgrade(&mark));
        mark
    }

    fn change(&mut self, object: Touched) {
        let object = grouped(object);
        if !self.readings.is_empty() {
            self.changed.insert(object, self.now);
        }
        let mark = self.marks.remove(&object).and_then(|mark| mark.upgrade());
        match mark {
            Some(mark) => mark.0.store(true, Ordering::Release),
            // Of a key that nothing is known of, something new may be known by its secret.
            None if object.0 == EntityKind::ApiKey && object != NEW_KEY => self.change(NEW_KEY),
            None => {}
        }
    }
}

/// Models and access groups make up one catalogue: of each kind there is one mark.
pub(super) const MODELS: Touched = (EntityKind::Model, Uuid::nil());
/// See [`MODELS`].
pub(super) const ACCESS_GROUPS: Touched = (EntityKind::AccessGroup, Uuid::nil());

fn grouped(object: Touched) -> Touched {
    match object.0 {
        EntityKind::Model => MODELS,
        EntityKind::AccessGroup => ACCESS_GROUPS,
        _ => object,
    }
}

/// Any key that nothing is cached of: what is cached of secrets that nobody has depends on it.
pub(super) const NEW_KEY: Touched = (EntityKind::ApiKey, Uuid::nil());

impl Marks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read the database.
    pub(super) fn read(self: &Arc<Self>) -> Reading {
        let mut state = self.state();
        let began = state.now;
        *state.readings.entry(began).or_default() += 1;
        Reading { marks: Arc::clone(self), began }
    }

    /// Notes that objects have changed.
    pub(super) fn change(&self, objects: &[Touched]) {
        let mut state = self.state();
        state.now += 1;
        for object in objects {
            state.change(*object);
        }
    }

    /// Notes that anything may have changed.
    pub(super) fn change_all(&self) {
        let mut state = self.state();
        state.now += 1;
        state.all = state.now;
        for mark in std::mem::take(&mut state.marks).into_values() {
            if let Some(mark) = mark.upgrade() {
                mark.0.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn team(number: u128) -> Touched {
        (EntityKind::Team, Uuid::from_u128(number))
    }

    fn depend(reading: &Reading, objects: &[Touched]) -> Option<Dependencies> {
        reading.dependencies(&objects.iter().copied().collect())
    }

    #[test]
    fn a_change_makes_stale_what_depends_on_it_and_nothing_else() {
        let marks = Arc::new(Marks::default());
        let reading = marks.read();
        let one = depend(&reading, &[team(1), team(2)]).unwrap();
        let other = depend(&reading, &[team(2), team(3)]).unwrap();
        drop(reading);
        marks.change(&[team(1), team(4)]);
        assert!(!one.are_fresh() && other.are_fresh());
        let again = depend(&marks.read(), &[team(1), team(2)]).unwrap();
        assert!(again.are_fresh());
        marks.change_all();
        assert!(!again.are_fresh() && !other.are_fresh());
    }

    /// What was read before a change, and is cached after it, would be old for ever.
    #[test]
    fn what_changes_during_a_reading_is_not_kept() {
        let marks = Arc::new(Marks::default());
        let reading = marks.read();
        marks.change(&[team(1)]);
        assert!(depend(&reading, &[team(1), team(2)]).is_none());
        assert!(depend(&reading, &[team(2)]).is_some());
        assert!(depend(&marks.read(), &[team(1)]).is_some());
        marks.change_all();
        assert!(depend(&reading, &[team(2)]).is_none());
    }

    #[test]
    fn a_new_key_makes_unknown_secrets_worth_another_look() {
        let marks = Arc::new(Marks::default());
        let key = (EntityKind::ApiKey, Uuid::from_u128(1));
        let unknown = depend(&marks.read(), &[NEW_KEY]).unwrap();
        let known = depend(&marks.read(), &[key]).unwrap();
        marks.change(&[key]);
        assert!(unknown.are_fresh() && !known.are_fresh());
        marks.change(&[key]);
        assert!(!unknown.are_fresh());
    }

    #[test]
    fn marks_that_nobody_holds_are_let_go() {
        let marks = Arc::new(Marks::default());
        let reading = marks.read();
        for number in 0..10_000 {
            drop(depend(&reading, &[team(number)]));
        }
        assert!(marks.state().marks.len() <= 2 * CROWD);
    }
}
