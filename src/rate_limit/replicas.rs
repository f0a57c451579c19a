//! How many replicas share the limits, and which of them this one is: a table with heartbeats.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::ReplicaId;
use entity::replica;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Limit, seconds};
use crate::db::Database;
use crate::error::Result;

/// How long after its last heartbeat a replica still counts.
const PRESENT: TimeDelta = seconds(15);

/// How often a heartbeat is due.
const BEAT: TimeDelta = seconds(5);

/// The part of every limit that one of several replicas may give away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The place of this replica among all, from 0.
    pub(super) rank: u64,
    /// The number of all.
    pub(super) of: u64,
}

impl Share {
    /// All of every limit.
    pub(super) const WHOLE: Self = Self { rank: 0, of: 1 };

    /// This replica's part of a limit. The parts of all replicas add up to the limit; what does not
    /// divide evenly goes to other replicas for other limits.
    pub(super) fn part(self, limit: &Limit) -> u64 {
        if self.of <= 1 {
            return limit.most;
        }
        let [one, two] = [limit.key.budget.as_bytes()[15], limit.key.counter.as_bytes()[14]];
        let turn = (self.rank + u64::from(one) + u64::from(two)) % self.of;
        limit.most / self.of + u64::from(turn < limit.most % self.of)
    }
}

/// The replicas that were seen last.
#[derive(Debug)]
pub(super) struct Replicas {
    id: ReplicaId,
    least: u64,
    seen: AtomicU64,
    beaten: AtomicU64,
}

impl Replicas {
    /// A replica that knows of no other; there are taken to be at least `least`.
    pub(super) fn new(id: ReplicaId, least: u32) -> Self {
        let least = u64::from(least).max(1);
        Self { id, least, seen: AtomicU64::new(1), beaten: AtomicU64::new(0) }
    }

    /// What is this one's part of everything, as was last known.
    pub(super) fn share(&self) -> Share {
        let seen = self.seen.load(Ordering::Relaxed);
        let (rank, of) = (seen >> 32, seen & 0xffff_ffff);
        Share { rank, of: of.max(self.least) }
    }

    /// The number of replicas, as was last known.
    pub(super) fn count(&self) -> u64 {
        self.share().of
    }

    /// Says that this replica lives, and counts those that do, when it is time for that.
    pub(super) async fn beat(&self, database: &Database, now: DateTime<Utc>) -> Result<()> {
        let micros = u64::try_from(now.timestamp_micros()).unwrap_or(0);
        let last = self.beaten.load(Ordering::Relaxed);
        let due = u64::try_from(BEAT.num_microseconds().unwrap_or(0)).unwrap_or(0);
        if last != 0 && micros.abs_diff(last) < due {
            return Ok(());
        }
        let row =
            replica::ActiveModel { id: ActiveValue::Set(self.id), seen_at: ActiveValue::Set(now) };
        let conflict = OnConflict::column(replica::Column::Id)
            .update_column(replica::Column::SeenAt)
            .to_owned();
        let insert = replica::Entity::insert(row).on_conflict(conflict);
        insert.exec_without_returning(database.writing()).await?;
        let gone = replica::Column::SeenAt.lt(now - TimeDelta::hours(1));
        replica::Entity::delete_many().filter(gone).exec(database.writing()).await?;
        #[expect(clippy::disallowed_methods, reason = "rows of the server's own")]
        let present: Vec<ReplicaId> = replica::Entity::find()
            .select_only()
            .column(replica::Column::Id)
            .filter(replica::Column::SeenAt.gt(now - PRESENT))
            .order_by_asc(replica::Column::Id)
            .into_tuple()
            .all(database.writing())
            .await?;
        let rank = present.iter().position(|id| *id == self.id).unwrap_or(0) as u64;
        self.seen.store(rank << 32 | present.len().max(1) as u64, Ordering::Relaxed);
        self.beaten.store(micros, Ordering::Relaxed);
        Ok(())
    }

    /// Says that this replica is no more.
    pub(super) async fn leave(&self, database: &Database) -> Result<()> {
        replica::Entity::delete_by_id(self.id).exec(database.writing()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::window::MOST;
    use super::super::{Kind, LimitKey};
    use super::*;

    #[test]
    fn the_parts_of_all_replicas_add_up_to_the_limit() {
        for of in 1..=9 {
            for most in [0, 1, 2, 7, 8, 9, 600, MOST - 1, MOST] {
                for number in [0, 1, 77, 0xffff] {
                    let [budget, counter] = [number, number * 7].map(Uuid::from_u128);
                    let key = LimitKey { budget, counter, kind: Kind::Requests };
                    let limit = Limit::new(key, most, 1);
                    let parts: Vec<_> =
                        (0..of).map(|rank| Share { rank, of }.part(&limit)).collect();
                    assert_eq!(parts.iter().sum::<u64>(), most);
                    assert!(parts.iter().all(|part| part.abs_diff(most / of) <= 1));
                }
            }
        }
    }
}
