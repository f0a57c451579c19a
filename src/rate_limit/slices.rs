//! Slices of limits, at a replica: what it has leased of each limit, and may admit without asking.
//!
//! A call that finds enough in its slices takes from memory. One that does not asks the database,
//! together with all that wait meanwhile. Slices double while they are used up before their time,
//! and once a second those in use are renewed for the coming one, all in one transaction. What was
//! not used goes back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::exchange::{self, Ask, COUNTERS, Change, Grant};
use super::memory::until;
use super::rounds::Rounds;
use super::shards::{Locked, Place, Shards, lock};
use super::store::{Found, Lost};
use super::window::{MINUTE, SECOND, Window};
use super::{Kind, Limit, LimitKey, Outcome, Refusal, Standing, instant};
use crate::db::Database;

/// For how long a slice may be used.
pub(super) const SLICE: u64 = 2 * SECOND;

/// How often a call asks for more before it is told to come back: each time others were faster.
const ATTEMPTS: usize = 8;

/// When to ask again after that.
const BUSY: Duration = Duration::from_millis(100);

/// Part of a limit, leased at an instant.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    at: u64,
    left: u64,
}

/// What this replica holds and knows of one limit.
#[derive(Clone, Debug, Default)]
struct Slice {
    /// The last part but one, which is used first, and the last.
    parts: [Part; 2],
    most: u64,
    /// What was taken since the last tick.
    spent: u64,
    /// The size of the last part when it was leased.
    granted: u64,
    room: u64,
    room_until: u64,
    fits_at: u64,
    empty_at: u64,
}

/// What a call lacks, when it asks, and how many replicas there are.
#[derive(Clone, Debug)]
struct Question {
    asks: Vec<(LimitKey, Change)>,
    now: u64,
    of: u64,
}

/// The slices of one replica.
pub(super) struct Slices {
    database: Database,
    timeout: Duration,
    slices: Shards<Slice>,
    /// What waits for the next tick.
    changes: Mutex<BTreeMap<LimitKey, Change>>,
    questions: Rounds<Question, ()>,
    looks: Rounds<Vec<LimitKey>, BTreeMap<LimitKey, Window>>,
    ticked_at: AtomicU64,
}

/// What a look at the slices tells about a call.
enum Look {
    /// The decision, which needs nobody else.
    Decided(Outcome),
    /// What must be asked for first.
    Lacking(Vec<(LimitKey, Change)>),
}

/// What one slice tells about a call.
enum Verdict {
    Admits,
    Refuses(Refusal),
    Lacks(Ask),
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slices").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Part {
    fn is_live(self, now: u64) -> bool {
        self.left > 0 && self.at.saturating_add(SLICE) > now
    }
}

impl Slice {
    /// What may still be admitted.
    fn left(&self, now: u64) -> u64 {
        self.parts.iter().filter(|part| part.is_live(now)).map(|part| part.left).sum()
    }

    fn take(&mut self, amount: u64, now: u64) {
        self.spent = self.spent.saturating_add(amount);
        let mut rest = amount;
        for part in self.parts.iter_mut().filter(|part| part.is_live(now)) {
            let taken = part.left.min(rest);
            part.left -= taken;
            rest -= taken;
        }
    }

    /// Adds a part, and returns the oldest one if it was not used up.
    fn give(&mut self, grant: &Grant) -> Part {
        let [oldest, last] = self.parts;
        self.parts = [last, Part { at: grant.at, left: grant.amount }];
        self.granted = grant.amount;
        self.room = grant.room;
        self.room_until = grant.room_until;
        self.fits_at = grant.fits_at;
        self.empty_at = grant.empty_at;
        oldest
    }

    /// Takes out what was not used in time.
    fn take_expired(&mut self, now: u64) -> Vec<(u64, u64)> {
        let expired = self.parts.iter_mut().filter(|part| part.left > 0 && !part.is_live(now));
        expired.map(|part| (part.at, std::mem::take(&mut part.left))).collect()
    }

    /// Whether a call of this size has just been seen not to fit.
    fn is_dry(&self, need: u64, now: u64) -> bool {
        self.room_until > now && self.left(now).saturating_add(self.room) < need
    }

    /// How much more than what waits is worth asking for: twice the last part if that was used up
    /// before its time.
    fn ahead(&self, now: u64) -> u64 {
        let [_, last] = self.parts;
        if last.at.saturating_add(SLICE) > now { self.granted.saturating_mul(2) } else { 0 }
    }

    fn judge(&self, limit: &Limit, now: u64) -> Verdict {
        let need = limit.need();
        if need > limit.most {
            Verdict::Refuses(Refusal::Never)
        } else if self.left(now).min(limit.most) >= need {
            Verdict::Admits
        } else if self.is_dry(need, now) {
            let wait = until(Some(self.fits_at.max(self.room_until)), now);
            Verdict::Refuses(Refusal::After(wait))
        } else {
            // The part before the last will have gone when more is given.
            let [_, last] = self.parts;
            let missing = need - if last.is_live(now) { last.left.min(need) } else { 0 };
            let ahead = self.ahead(now);
            Verdict::Lacks(Ask { most: limit.most, need: missing, least: missing, ahead })
        }
    }

    fn standing(&self, limit: &Limit, now: u64, refusal: Option<Refusal>) -> Standing {
        let known = self.left(now).saturating_add(self.room).min(limit.most);
        let remaining = if self.empty_at <= now { limit.most } else { known };
        Standing { most: limit.most, remaining, reset: until(Some(self.empty_at), now), refusal }
    }
}

impl Slices {
    pub(super) fn new(database: Database, timeout: Duration) -> Self {
        Self {
            database,
            timeout,
            slices: Shards::new(),
            changes: Mutex::default(),
            questions: Rounds::new(),
            looks: Rounds::new(),
            ticked_at: AtomicU64::new(0),
        }
    }

    /// Looks whether the database answers.
    pub(super) async fn find(&self) -> Result<Found, Lost> {
        self.in_time(async { Ok(self.database.now().await?) }).await?;
        Ok(Found::Counting)
    }

    /// Lets go of all slices: they go on counting at the database until their time is over.
    pub(super) fn leave(&self) {
        for mut part in self.slices.parts() {
            *part = HashMap::new();
        }
    }

    /// Takes from all limits of a minute, or from none.
    pub(super) async fn acquire(
        &self,
        limits: &[Limit],
        now: u64,
        of: u64,
    ) -> Result<Outcome, Lost> {
        for _ in 0..ATTEMPTS {
            match self.take(limits, now) {
                Look::Decided(outcome) => return Ok(outcome),
                Look::Lacking(asks) => {
                    let ask = |questions| self.answer(questions);
                    // If nobody knows what came of it, the next look tells.
                    self.questions.ask(Question { asks, now, of }, ask).await?;
                }
            }
        }
        // Others were faster again and again.
        Ok(self.standings(limits, now))
    }

    fn take(&self, limits: &[Limit], now: u64) -> Look {
        let mut locked = self.slices.lock(limits);
        let mut standings = vec![Standing::default(); limits.len()];
        let mut lacking = Vec::new();
        let unknown = Slice::default();
        for place in locked.places() {
            let limit = &limits[place.index];
            let slice = locked.part(place).get(&limit.key).unwrap_or(&unknown);
            let verdict = slice.judge(limit, now);
            let refusal =
                if let Verdict::Refuses(refusal) = verdict { Some(refusal) } else { None };
            standings[place.index] = slice.standing(limit, now, refusal);
            if let Verdict::Lacks(ask) = verdict
                && !place.again
            {
                lacking.push((place, ask));
            }
        }
        let outcome = Outcome { at: instant(now), standings };
        if !outcome.is_admitted() {
            return Look::Decided(outcome);
        }
        if !lacking.is_empty() {
            let change = |(place, ask): (Place, Ask)| {
                let key = limits[place.index].key;
                let slice = locked.part(place).get_mut(&key);
                let unused = slice.map(|slice| slice.take_expired(now)).unwrap_or_default();
                (key, Change { ask: Some(ask), unused, ..Change::default() })
            };
            return Look::Lacking(lacking.into_iter().map(change).collect());
        }
        Look::Decided(take_all(&mut locked, limits, now, outcome))
    }

    fn standings(&self, limits: &[Limit], now: u64) -> Outcome {
        let mut standings = vec![Standing::default(); limits.len()];
        let mut locked = self.slices.lock(limits);
        let unknown = Slice::default();
        for place in locked.places() {
            let limit = &limits[place.index];
            let slice = locked.part(place).get(&limit.key).unwrap_or(&unknown);
            let refusal = match slice.judge(limit, now) {
                Verdict::Admits => None,
                Verdict::Refuses(refusal) => Some(refusal),
                Verdict::Lacks(_) => Some(Refusal::After(BUSY)),
            };
            standings[place.index] = slice.standing(limit, now, refusal);
        }
        let mut outcome = Outcome { at: instant(now), standings };
        if outcome.is_admitted() {
            outcome = take_all(&mut locked, limits, now, outcome);
        }
        outcome
    }

    /// Leases what many calls wait for.
    async fn answer(&self, questions: Vec<Question>) -> Result<Vec<()>, Lost> {
        let mut changes: BTreeMap<LimitKey, Change> = BTreeMap::new();
        let (mut now, mut of) = (0, 1);
        for question in &questions {
            (now, of) = (question.now.max(now), question.of.max(of));
            for (key, change) in &question.asks {
                changes.entry(*key).or_default().join(change.clone());
            }
        }
        self.lease(changes, now, of).await?;
        Ok(vec![(); questions.len()])
    }

    /// Changes counters at the database, and keeps what was leased.
    async fn lease(
        &self,
        mut changes: BTreeMap<LimitKey, Change>,
        now: u64,
        of: u64,
    ) -> Result<(), Lost> {
        while !changes.is_empty() {
            let next = changes.keys().nth(COUNTERS).copied();
            let rest = next.map(|key| changes.split_off(&key)).unwrap_or_default();
            let exchange = Box::pin(exchange::exchange(&self.database, &changes, now, of));
            for (key, grant) in self.in_time(exchange).await? {
                let oldest = self.slices.part(&key).entry(key).or_default().give(&grant);
                self.give_back(key, oldest);
            }
            changes = rest;
        }
        Ok(())
    }

    /// Notes a part that was not used up.
    fn give_back(&self, key: LimitKey, part: Part) {
        if part.left > 0 {
            let unused = vec![(part.at, part.left)];
            self.note(key, Change { unused, ..Change::default() });
        }
    }

    fn note(&self, key: LimitKey, change: Change) {
        lock(&self.changes).entry(key).or_default().join(change);
    }

    /// How the limits of a minute stand, for all replicas together.
    pub(super) async fn peek(&self, limits: &[Limit], now: u64) -> Result<Outcome, Lost> {
        let rates = limits.iter().filter(|limit| limit.key.kind != Kind::Parallel);
        let keys: Vec<_> = rates.map(|limit| limit.key).collect();
        let look = |asked| self.in_time(exchange::look(&self.database, asked));
        let mut windows = loop {
            // Nothing is taken by looking, so that whoever was cut off looks again.
            if let Some(windows) = self.looks.ask(keys.clone(), look).await? {
                break windows;
            }
        };
        for window in windows.values_mut() {
            window.forget(now.saturating_sub(SLICE));
        }
        let standing = |limit: &Limit| {
            let Some(window) = windows.get(&limit.key) else { return Standing::default() };
            let left = self.slices.part(&limit.key).get(&limit.key).map_or(0, |s| s.left(now));
            let remaining = limit.most.saturating_sub(window.total()).saturating_add(left);
            let fits = window.fits_at(limit.most, limit.need(), now);
            let refusal = match fits.filter(|_| limit.need() <= limit.most) {
                None => Some(Refusal::Never),
                Some(_) if remaining >= limit.need() => None,
                Some(at) => Some(Refusal::After(until(Some(at.max(now) + SLICE), now))),
            };
            let reset = until(window.empty_at().map(|at| at + SLICE), now);
            Standing { most: limit.most, remaining: remaining.min(limit.most), reset, refusal }
        };
        Ok(Outcome { at: instant(now), standings: limits.iter().map(standing).collect() })
    }

    /// Gives back at the next tick what a call took at an instant.
    pub(super) fn refund(&self, taken: &[(LimitKey, u64)], at: u64) {
        for (key, amount) in taken {
            self.note(*key, Change { refunds: vec![(at, *amount)], ..Change::default() });
        }
    }

    /// Counts what a call used beyond what it took: of what is leased, else at the next tick.
    pub(super) fn charge(&self, used: &[(LimitKey, u64)], now: u64) {
        for (key, amount) in used {
            let mut part = self.slices.part(key);
            let mut rest = *amount;
            if let Some(slice) = part.get_mut(key) {
                let taken = slice.left(now).min(rest);
                slice.take(taken, now);
                slice.room = slice.room.saturating_sub(rest - taken);
                rest -= taken;
            }
            drop(part);
            if rest > 0 {
                self.note(*key, Change { charge: rest, ..Change::default() });
            }
        }
    }

    /// Renews the slices in use for the coming second, gives back what was not used, and settles
    /// what was noted.
    pub(super) async fn tick(&self, now: u64, of: u64) -> Result<(), Lost> {
        let last = self.ticked_at.swap(now, Ordering::Relaxed);
        let since = now.saturating_sub(last).clamp(SECOND / 4, MINUTE);
        let mut changes = std::mem::take(&mut *lock(&self.changes));
        for mut part in self.slices.parts() {
            part.retain(|key, slice| {
                let change = renew(slice, now, since);
                let idle = change.ask.is_none() && slice.left(now) == 0 && slice.room_until <= now;
                if change.ask.is_some() || !change.unused.is_empty() {
                    changes.entry(*key).or_default().join(change);
                }
                !idle
            });
        }
        // What was noted is counted when the store is back; what was leased is not lost by waiting.
        let noted: Vec<_> = changes
            .iter()
            .filter(|(_, change)| change.charge > 0)
            .map(|(key, change)| (*key, change.charge))
            .collect();
        let outcome = self.questions.alone(self.lease(changes, now, of)).await;
        if outcome.is_err() {
            for (key, charge) in noted {
                self.note(key, Change { charge, ..Change::default() });
            }
        }
        outcome
    }

    /// Deletes the rows that count no more.
    pub(super) async fn tidy(&self, now: u64) -> Result<(), Lost> {
        self.in_time(exchange::tidy(&self.database, now)).await
    }

    /// Gives all slices back.
    pub(super) async fn close(&self, now: u64) -> Result<(), Lost> {
        let mut changes = std::mem::take(&mut *lock(&self.changes));
        for mut part in self.slices.parts() {
            for (key, slice) in part.drain() {
                let unused = slice.parts.iter().filter(|part| part.left > 0);
                let unused = unused.map(|part| (part.at, part.left)).collect();
                changes.entry(key).or_default().join(Change { unused, ..Change::default() });
            }
        }
        self.questions.alone(self.lease(changes, now, 1)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or(Err(Lost::Late))
    }
}

/// Takes from the slices of all limits, each of which has enough.
fn take_all(
    locked: &mut Locked<'_, Slice>,
    limits: &[Limit],
    now: u64,
    mut outcome: Outcome,
) -> Outcome {
    for place in locked.places() {
        let limit = &limits[place.index];
        let Some(slice) = locked.part(place).get_mut(&limit.key) else { continue };
        if !place.again {
            slice.take(limit.cost, now);
            slice.most = limit.most;
        }
        outcome.standings[place.index] = slice.standing(limit, now, None);
    }
    outcome
}

/// What a slice gives back and asks for at a tick.
fn renew(slice: &mut Slice, now: u64, since: u64) -> Change {
    let mut change = Change { unused: slice.take_expired(now), ..Change::default() };
    // A quarter more than what will be used until the part ends, if it goes on like this.
    let spent = u128::from(slice.spent) * u128::from(SLICE) * 5 / (u128::from(since) * 4);
    let expected = u64::try_from(spent).unwrap_or(u64::MAX);
    let ahead = expected.saturating_sub(slice.left(now));
    if slice.spent > 0 && ahead > 0 && !slice.is_dry(slice.left(now) + 1, now) {
        change.ask = Some(Ask { most: slice.most, need: 0, least: 0, ahead });
    }
    slice.spent = 0;
    change
}
