//! Time, ids and randomness, the only source of each.
//!
//! Time is the database's: a sample of its clock is carried forward by the monotonic clock of this
//! process, so that replicas agree and a stepped wall clock changes nothing (DESIGN D13). Instants
//! have microseconds, the resolution of both databases.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use entity::id::Id;
use rand::TryRng;

/// Tells the time. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Clock(Arc<RwLock<Source>>, Arc<AtomicU64>);

/// How far a clock may be off before a sample corrects it at once.
const MOMENT: TimeDelta = TimeDelta::seconds(1);

#[derive(Clone, Copy, Debug)]
enum Source {
    Sampled { at: DateTime<Utc>, since: Instant },
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// A clock that starts from this machine's time, until the database's is known.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn system() -> Self {
        Self(
            Arc::new(RwLock::new(Source::Sampled { at: Utc::now(), since: Instant::now() })),
            Arc::default(),
        )
    }

    /// A clock that stands still until it is set.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Arc::new(RwLock::new(Source::Fixed(at))), Arc::default())
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        let source = *self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = match source {
            Source::Fixed(at) => at,
            Source::Sampled { at, since } => {
                at + TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX)
            }
        };
        now.trunc_subsecs(6)
    }

    /// Follows a sample of the database's clock; a fixed clock stays where it is.
    pub fn follow(&self, sample: DateTime<Utc>) {
        let mut source = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Source::Sampled { .. } = *source {
            *source = Source::Sampled { at: sample, since: Instant::now() };
        }
    }

    /// Follows a sample that was taken since an instant of this clock, if the two disagree by more than
    /// a moment, as they do when the machine slept. Returns by how much the time has changed; that of
    /// a fixed clock does not.
    pub fn correct(&self, sample: DateTime<Utc>, since: DateTime<Utc>) -> TimeDelta {
        let now = self.now();
        if since - sample <= MOMENT && sample - now <= MOMENT {
            return TimeDelta::zero();
        }
        let mut source = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match *source {
            Source::Fixed(_) => TimeDelta::zero(),
            Source::Sampled { .. } => {
                *source = Source::Sampled { at: sample, since: Instant::now() };
                sample - now
            }
        }
    }

    /// Moves a fixed clock.
    pub fn set(&self, at: DateTime<Utc>) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Source::Fixed(at);
    }

    /// A new id. Ids of one clock grow, also within a millisecond and when time stands still, so
    /// that the order of ids is the order of creation.
    pub fn id<T: Id>(&self) -> T {
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        // The last id's milliseconds and its number among them, 12 bits, as RFC 9562 6.2 proposes.
        let next = |last: u64| Some((millis << 12).max(last + 1));
        let last = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(0);
        let place = (millis << 12).max(last + 1);
        let mut random = [0; 10];
        fill_random(&mut random);
        let number = u16::try_from(place & 0xfff).unwrap_or(0);
        random[..2].copy_from_slice(&number.to_be_bytes());
        T::from_uuid(uuid::Builder::from_unix_timestamp_millis(place >> 12, &random).into_uuid())
    }
}

/// Fills a buffer from the operating system's random source.
///
/// # Panics
/// When the operating system has no randomness: nothing here is safe without it.
pub fn fill_random(buffer: &mut [u8]) {
    rand::rngs::SysRng
        .try_fill_bytes(buffer)
        .expect("a machine without a random source cannot hold secrets");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_is_far_off_is_followed_and_told() {
        let clock = Clock::system();
        let began = clock.now();
        assert_eq!(clock.correct(began + TimeDelta::milliseconds(900), began), TimeDelta::zero());
        let slept = clock.correct(clock.now() + TimeDelta::hours(1), began);
        assert!(slept > TimeDelta::minutes(59) && clock.now() - began > TimeDelta::minutes(59));
        let back = clock.correct(began, clock.now());
        assert!(back < -TimeDelta::minutes(59) && clock.now() - began < TimeDelta::minutes(1));
        let fixed = Clock::fixed(began);
        assert_eq!(fixed.correct(began + TimeDelta::hours(1), began), TimeDelta::zero());
        assert_eq!(fixed.now(), began);
    }

    #[test]
    fn ids_grow_while_time_stands_still() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let ids: Vec<entity::id::TeamId> = (0..5_000).map(|_| clock.id()).collect();
        assert!(ids.is_sorted_by(|left, right| left < right));
    }
}
