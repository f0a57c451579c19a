//! Requests at once in the database: a row for each place that a lease holds.
//!
//! Places are counted and taken under a lock of their limits, by one transaction for all calls that
//! wait. A row counts until its instant has passed, whoever made it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use entity::parallel_lease;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QuerySelect,
};
use uuid::Uuid;

use super::leases::LEASE;
use super::rounds::Rounds;
use super::store::{Lost, twice};
use super::{Kind, Limit, LimitKey, Outcome, Refusal, Standing, instant};
use crate::db::Database;

/// The most rows of one statement.
const ROWS: usize = 500;

/// A call that wants places.
#[derive(Clone, Debug)]
struct Want {
    lease: Uuid,
    limits: Vec<(Uuid, u64)>,
    now: u64,
}

/// What a call was told: of each limit, how many places were taken before and whether one may be
/// taken, and whether the lease is a new one.
#[derive(Clone, Debug)]
struct Told {
    places: Vec<Place>,
    is_new: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    used: u64,
    admits: bool,
}

/// The limits that somebody looks at, and when.
type Glance = (Vec<Uuid>, u64);

/// How many places of limits are taken.
type Taken = Arc<BTreeMap<Uuid, u64>>;

/// The places of requests at once.
pub(super) struct Places {
    database: Database,
    timeout: Duration,
    wants: Rounds<Want, Told>,
    looks: Rounds<Glance, Taken>,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Places {
    pub(super) fn new(database: Database, timeout: Duration) -> Self {
        Self { database, timeout, wants: Rounds::new(), looks: Rounds::new() }
    }

    /// Takes a place of every limit, or of none. Tells too whether the lease had none before.
    pub(super) async fn acquire(
        &self,
        lease: Uuid,
        limits: &[Limit],
        now: u64,
    ) -> Result<(Outcome, bool), Lost> {
        let want = Want { lease, limits: wanted(limits), now };
        let told = loop {
            let run = |wants| self.in_time(take(&self.database, wants));
            // Asking twice takes no second place.
            if let Some(told) = self.wants.ask(want.clone(), run).await? {
                break told;
            }
        };
        let taken = told.places.iter().all(|place| place.admits);
        Ok((outcome(limits, &told.places, now, taken), told.is_new))
    }

    /// How the limits of requests at once stand.
    pub(super) async fn peek(&self, limits: &[Limit], now: u64) -> Result<Outcome, Lost> {
        let wanted = wanted(limits);
        let ids: Vec<_> = wanted.iter().map(|(id, _)| *id).collect();
        let look = |asked| self.in_time(look(&self.database, asked));
        let counted = loop {
            // Nothing is taken by looking, so that whoever was cut off looks again.
            if let Some(counted) = self.looks.ask((ids.clone(), now), look).await? {
                break counted;
            }
        };
        let place = |(id, most): &(Uuid, u64)| {
            let used = counted.get(id).copied().unwrap_or(0);
            Place { used, admits: used < *most }
        };
        let places: Vec<_> = wanted.iter().map(place).collect();
        Ok(outcome(limits, &places, now, false))
    }

    /// Lets leases last from now on, and says of each whether it had any place.
    pub(super) async fn beat(&self, leases: &[Uuid], now: u64) -> Result<Vec<bool>, Lost> {
        let beat = async {
            let mut alive = BTreeSet::new();
            for some in leases.chunks(ROWS) {
                let live = parallel_lease::Column::LeaseId
                    .is_in(some.iter().copied())
                    .and(parallel_lease::Column::EndsAt.gt(instant(now)));
                parallel_lease::Entity::update_many()
                    .col_expr(parallel_lease::Column::EndsAt, Expr::val(instant(now + LEASE)))
                    .filter(live.clone())
                    .exec(self.database.accounting())
                    .await?;
                #[expect(clippy::disallowed_methods, reason = "leases have no owner to hide from")]
                let found: Vec<Uuid> = parallel_lease::Entity::find()
                    .select_only()
                    .column(parallel_lease::Column::LeaseId)
                    .filter(live)
                    .into_tuple()
                    .all(self.database.accounting())
                    .await?;
                alive.extend(found);
            }
            Ok(leases.iter().map(|lease| alive.contains(lease)).collect())
        };
        self.in_time(beat).await
    }

    /// Ends leases.
    pub(super) async fn free(&self, leases: &[Uuid]) -> Result<(), Lost> {
        let free = async {
            for some in leases.chunks(ROWS) {
                let ended = parallel_lease::Column::LeaseId.is_in(some.iter().copied());
                let delete = parallel_lease::Entity::delete_many().filter(ended);
                delete.exec(self.database.accounting()).await?;
            }
            Ok(())
        };
        self.in_time(free).await
    }

    /// Gives leases the places that they hold here, whether or not there are rows of them.
    pub(super) async fn adopt(
        &self,
        leases: &[(Uuid, Vec<LimitKey>)],
        now: u64,
    ) -> Result<(), Lost> {
        let places =
            leases.iter().flat_map(|(lease, keys)| keys.iter().map(|key| (*lease, key.id())));
        let places: Vec<_> = places.collect();
        self.in_time(insert(self.database.accounting(), &places, now)).await
    }

    /// Deletes the rows that count no more.
    pub(super) async fn tidy(&self, now: u64) -> Result<(), Lost> {
        let tidy = async {
            let over = parallel_lease::Column::EndsAt.lte(instant(now));
            let delete = parallel_lease::Entity::delete_many().filter(over);
            delete.exec(self.database.accounting()).await?;
            Ok(())
        };
        self.in_time(tidy).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or(Err(Lost::Late))
    }
}

/// Takes places for many calls.
async fn take(database: &Database, wants: Vec<Want>) -> Result<Vec<Told>, Lost> {
    let now = wants.iter().map(|want| want.now).max().unwrap_or(0);
    let ids: BTreeSet<_> =
        wants.iter().flat_map(|want| want.limits.iter().map(|(id, _)| *id)).collect();
    let leases = wants.iter().map(|want| want.lease);
    let tx = database.begin_counting(ids.iter()).await?;
    let mut counted = count(&tx, ids.iter().copied(), now).await?;
    let mut held = held(&tx, leases, now).await?;
    let mut taken = Vec::new();
    let mut told = Vec::with_capacity(wants.len());
    for want in wants {
        let mine = held.entry(want.lease).or_default();
        let is_new = mine.is_empty();
        let place = |(id, most): &(Uuid, u64)| {
            let used = counted.get(id).copied().unwrap_or(0);
            Place { used, admits: mine.contains(id) || used < *most }
        };
        let mut places: Vec<_> = want.limits.iter().map(place).collect();
        if places.iter().all(|place| place.admits) {
            for ((id, _), place) in want.limits.iter().zip(&mut places) {
                let used = counted.entry(*id).or_default();
                *used += u64::from(mine.insert(*id));
                place.used = *used;
                taken.push((want.lease, *id));
            }
        }
        told.push(Told { places, is_new });
    }
    insert(&tx, &taken, now).await?;
    tx.commit().await?;
    Ok(told)
}

/// How many places of each limit are taken, for many who look: they check calls, so that this waits
/// for none of those who write.
async fn look(database: &Database, asked: Vec<Glance>) -> Result<Vec<Taken>, Lost> {
    let now = asked.iter().map(|(_, now)| *now).max().unwrap_or(0);
    let ids: BTreeSet<_> = asked.iter().flat_map(|(ids, _)| ids).copied().collect();
    let counted = twice(|| count(database.checking(), ids.iter().copied(), now)).await?;
    let counted = Arc::new(counted);
    Ok(asked.iter().map(|_| Arc::clone(&counted)).collect())
}

/// How many places of each limit are taken.
#[expect(clippy::disallowed_methods, reason = "leases are counted for nobody in particular")]
async fn count(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = Uuid>,
    now: u64,
) -> Result<BTreeMap<Uuid, u64>, Lost> {
    let rows: Vec<(Uuid, i64)> = parallel_lease::Entity::find()
        .select_only()
        .column(parallel_lease::Column::LimitId)
        .column_as(parallel_lease::Column::LeaseId.count(), "used")
        .filter(parallel_lease::Column::LimitId.is_in(ids))
        .filter(parallel_lease::Column::EndsAt.gt(instant(now)))
        .group_by(parallel_lease::Column::LimitId)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(id, used)| (id, u64::try_from(used).unwrap_or(0))).collect())
}

/// The limits of which leases hold a place.
#[expect(clippy::disallowed_methods, reason = "leases have no owner to hide from")]
async fn held(
    tx: &DatabaseTransaction,
    leases: impl Iterator<Item = Uuid>,
    now: u64,
) -> Result<BTreeMap<Uuid, BTreeSet<Uuid>>, Lost> {
    let rows: Vec<(Uuid, Uuid)> = parallel_lease::Entity::find()
        .select_only()
        .column(parallel_lease::Column::LeaseId)
        .column(parallel_lease::Column::LimitId)
        .filter(parallel_lease::Column::LeaseId.is_in(leases))
        .filter(parallel_lease::Column::EndsAt.gt(instant(now)))
        .into_tuple()
        .all(tx)
        .await?;
    let mut held: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for (lease, limit) in rows {
        held.entry(lease).or_default().insert(limit);
    }
    Ok(held)
}

/// Makes rows, or lets those that are there last from now on.
async fn insert(db: &impl ConnectionTrait, places: &[(Uuid, Uuid)], now: u64) -> Result<(), Lost> {
    let places: BTreeSet<_> = places.iter().copied().collect();
    let rows: Vec<_> = places
        .into_iter()
        .map(|(lease, limit)| parallel_lease::ActiveModel {
            lease_id: ActiveValue::Set(lease),
            limit_id: ActiveValue::Set(limit),
            ends_at: ActiveValue::Set(instant(now + LEASE)),
        })
        .collect();
    for some in rows.chunks(ROWS) {
        let key = [parallel_lease::Column::LeaseId, parallel_lease::Column::LimitId];
        let conflict =
            OnConflict::columns(key).update_column(parallel_lease::Column::EndsAt).to_owned();
        let insert = parallel_lease::Entity::insert_many(some.iter().cloned());
        insert.on_conflict(conflict).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The ids and numbers of the limits of requests at once in a list.
fn wanted(limits: &[Limit]) -> Vec<(Uuid, u64)> {
    let parallel = limits.iter().filter(|limit| limit.key.kind == Kind::Parallel);
    parallel.map(|limit| (limit.key.id(), limit.most)).collect()
}

/// The outcome of a list of which only the limits of requests at once were looked at.
fn outcome(limits: &[Limit], places: &[Place], now: u64, taken: bool) -> Outcome {
    let mut places = places.iter();
    let standing = |limit: &Limit| {
        let place = (limit.key.kind == Kind::Parallel).then(|| places.next()).flatten();
        let Some(place) = place else { return Standing::default() };
        let refused = !taken && !place.admits;
        Standing {
            most: limit.most,
            remaining: limit.most.saturating_sub(place.used),
            reset: if place.used == 0 { Duration::ZERO } else { super::LEASE },
            refusal: refused.then(|| Refusal::of_parallel(limit)),
        }
    };
    Outcome { at: instant(now), standings: limits.iter().map(standing).collect() }
}
