//! Slices of limits, at the database: how many replicas lease parts of one minute without ever
//! leasing more than the limit.
//!
//! A row holds the minute of one counter. A slice counts there when it is leased, as if all of it
//! were admitted at that instant, and may be used for [`SLICE`] after it. So a row forgets an entry
//! only when its minute and the time of a slice are over, and whatever the replicas admit in any
//! sixty seconds was leased in a span that a row has counted as a whole. A replica that dies loses
//! its slices by that alone.

use std::collections::{BTreeMap, BTreeSet};

use entity::rate_limit_window;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::slices::SLICE;
use super::store::{Lost, twice};
use super::window::{MOST, SECOND, Window};
use super::{LimitKey, instant};
use crate::db::Database;

/// The most counters of one transaction.
pub(super) const COUNTERS: usize = 500;

/// What a replica wants to change at one counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    pub(super) ask: Option<Ask>,
    /// Slices that were leased at an instant and not used.
    pub(super) unused: Vec<(u64, u64)>,
    /// What calls took at an instant and give back; it was leased at most [`SLICE`] before.
    pub(super) refunds: Vec<(u64, u64)>,
    /// What was used without a lease.
    pub(super) charge: u64,
}

/// How much a replica wants to lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// The limit.
    pub(super) most: u64,
    /// What calls that wait need, all together.
    pub(super) need: u64,
    /// What the smallest of them needs: less than that is of no use to anybody.
    pub(super) least: u64,
    /// What is expected beyond that.
    pub(super) ahead: u64,
}

/// What a replica has leased, and what it has learnt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    /// The slice; it may be used for [`SLICE`] from `at` on.
    pub(super) amount: u64,
    pub(super) at: u64,
    /// What is left for others and for later.
    pub(super) room: u64,
    /// Until when to believe that, and not to ask again for more than that.
    pub(super) room_until: u64,
    /// When what was asked for will be there, if nobody else takes it.
    pub(super) fits_at: u64,
    /// When all of the limit is free again.
    pub(super) empty_at: u64,
}

impl Ask {
    /// Adds what somebody else wants of the same counter.
    pub(super) fn join(&mut self, other: Self) {
        self.most = self.most.min(other.most);
        self.need = self.need.saturating_add(other.need);
        self.least = self.least.min(other.least);
        self.ahead = self.ahead.max(other.ahead);
    }
}

impl Change {
    /// Adds what somebody else wants to change at the same counter.
    pub(super) fn join(&mut self, other: Self) {
        match (&mut self.ask, other.ask) {
            (Some(ask), Some(more)) => ask.join(more),
            (None, more) => self.ask = more,
            (Some(_), None) => {}
        }
        self.unused.extend(other.unused);
        self.refunds.extend(other.refunds);
        self.charge = self.charge.saturating_add(other.charge);
    }
}

/// Changes counters, at most [`COUNTERS`] of them, and returns what was leased.
pub(super) async fn exchange(
    database: &Database,
    changes: &BTreeMap<LimitKey, Change>,
    now: u64,
    of: u64,
) -> Result<BTreeMap<LimitKey, Grant>, Lost> {
    let ids: BTreeMap<Uuid, &LimitKey> = changes.keys().map(|key| (key.id(), key)).collect();
    let tx = database.begin_counting(ids.keys()).await?;
    let mut windows = read(&tx, ids.keys().copied()).await?;
    let mut grants = BTreeMap::new();
    let mut rows = Vec::with_capacity(changes.len());
    for (id, key) in ids {
        let mut window = windows.remove(&id).unwrap_or_default();
        let grant = apply(&mut window, &changes[key], now, of);
        grants.extend(grant.map(|grant| (*key, grant)));
        rows.push(rate_limit_window::ActiveModel {
            id: ActiveValue::Set(id),
            entries: ActiveValue::Set(window.to_bytes()),
            ends_at: ActiveValue::Set(instant(window.empty_at().unwrap_or(now) + SLICE)),
        });
    }
    let conflict = OnConflict::column(rate_limit_window::Column::Id)
        .update_columns([rate_limit_window::Column::Entries, rate_limit_window::Column::EndsAt])
        .to_owned();
    let insert = rate_limit_window::Entity::insert_many(rows).on_conflict(conflict);
    insert.exec_without_returning(&tx).await?;
    tx.commit().await?;
    Ok(grants)
}

/// Counters, as the database knows them, for many who look: what is leased counts as used. Whoever
/// looks checks a call, so that this waits for none of those who write.
pub(super) async fn look(
    database: &Database,
    asked: Vec<Vec<LimitKey>>,
) -> Result<Vec<BTreeMap<LimitKey, Window>>, Lost> {
    let ids: BTreeSet<Uuid> = asked.iter().flatten().map(LimitKey::id).collect();
    let windows = if ids.is_empty() {
        BTreeMap::new()
    } else {
        twice(|| read(database.checking(), ids.iter().copied())).await?
    };
    let window = |key: LimitKey| (key, windows.get(&key.id()).cloned().unwrap_or_default());
    Ok(asked.into_iter().map(|keys| keys.into_iter().map(window).collect()).collect())
}

/// Deletes the rows that count no more.
pub(super) async fn tidy(database: &Database, now: u64) -> Result<(), Lost> {
    let over = rate_limit_window::Column::EndsAt.lte(instant(now));
    rate_limit_window::Entity::delete_many().filter(over).exec(database.accounting()).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "counters are read for nobody in particular")]
async fn read(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, Window>, Lost> {
    let rows = rate_limit_window::Entity::find()
        .filter(rate_limit_window::Column::Id.is_in(ids))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, Window::from_bytes(&row.entries))).collect())
}

/// Changes one counter.
fn apply(window: &mut Window, change: &Change, now: u64, of: u64) -> Option<Grant> {
    let past = now.saturating_sub(SLICE);
    window.forget(past);
    for (at, amount) in &change.unused {
        window.refund(*at, *amount, past);
    }
    for (at, amount) in &change.refunds {
        window.refund_since(at.saturating_sub(SLICE) + 1, *amount, past);
    }
    window.add(now, change.charge, MOST);
    let ask = change.ask?;
    let most = ask.most;
    let free = most.saturating_sub(window.total());
    // Near the edge nobody gets much more than waits for it, so that what is left serves whoever
    // needs it.
    let ahead = ask.ahead.min(free / (2 * of.max(1)));
    let amount = match free.checked_sub(ask.need) {
        Some(rest) => ask.need + ahead.min(rest),
        None if free >= ask.least => free,
        None => 0,
    };
    let at = window.latest().unwrap_or(0).max(now);
    window.add(at, amount, most);
    let fits_at = window.fits_at(most, ask.least.min(most), now).unwrap_or(now);
    let next = window.next_release().map_or(u64::MAX, |release| release.saturating_add(SLICE));
    Some(Grant {
        amount,
        at,
        room: free - amount,
        room_until: next.min(now + SECOND),
        fits_at: if fits_at > now { fits_at + SLICE } else { now },
        empty_at: window.empty_at().map_or(now, |end| end + SLICE),
    })
}
