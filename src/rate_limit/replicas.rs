//! How many replicas share the limits, and which of them this one is: a table with heartbeats.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::ReplicaId;
use entity::replica;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::shards::lock;
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
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    share: Share,
    /// Whether another one counts without the store.
    other_alone: bool,
    /// The last heartbeat of this one, and what it said of itself.
    beaten: Option<(DateTime<Utc>, bool)>,
}

impl Replicas {
    /// A replica that knows of no other; there are taken to be at least `least`.
    pub(super) fn new(id: ReplicaId, least: u32) -> Self {
        let seen = Seen { share: Share::WHOLE, other_alone: false, beaten: None };
        Self { id, least: u64::from(least), seen: Mutex::new(seen) }
    }

    /// What is this one's part of everything, as was last known.
    pub(super) fn share(&self) -> Share {
        let Share { rank, of } = lock(&self.seen).share;
        Share { rank, of: of.max(self.least) }
    }

    /// The number of replicas, as was last known.
    pub(super) fn count(&self) -> u64 {
        self.share().of
    }

    /// Whether another replica was last known to count without the store.
    pub(super) fn other_is_alone(&self) -> bool {
        lock(&self.seen).other_alone
    }

    /// Says that this replica lives and whether it counts alone, and looks for the others, when it is
    /// time for that.
    pub(super) async fn beat(
        &self,
        database: &Database,
        now: DateTime<Utc>,
        alone: bool,
    ) -> Result<()> {
        let beaten = lock(&self.seen).beaten;
        if beaten.is_some_and(|(at, said)| said == alone && (now - at).abs() < BEAT) {
            return Ok(());
        }
        let row = replica::ActiveModel {
            id: ActiveValue::Set(self.id),
            seen_at: ActiveValue::Set(now),
            counts_alone: ActiveValue::Set(alone),
        };
        let conflict = OnConflict::column(replica::Column::Id)
            .update_columns([replica::Column::SeenAt, replica::Column::CountsAlone])
            .to_owned();
        let insert = replica::Entity::insert(row).on_conflict(conflict);
        insert.exec_without_returning(database.accounting()).await?;
        let gone = replica::Column::SeenAt.lt(now - TimeDelta::hours(1));
        replica::Entity::delete_many().filter(gone).exec(database.accounting()).await?;
        #[expect(clippy::disallowed_methods, reason = "rows of the server's own")]
        let present = replica::Entity::find()
            .filter(replica::Column::SeenAt.gt(now - PRESENT))
            .order_by_asc(replica::Column::Id)
            .all(database.accounting())
            .await?;
        let rank = present.iter().position(|replica| replica.id == self.id).unwrap_or(0);
        let others = present.iter().filter(|replica| replica.id != self.id);
        *lock(&self.seen) = Seen {
            share: Share { rank: rank as u64, of: present.len().max(1) as u64 },
            other_alone: others.into_iter().any(|replica| replica.counts_alone),
            beaten: Some((now, alone)),
        };
        Ok(())
    }

    /// Says that this replica is no more.
    pub(super) async fn leave(&self, database: &Database) -> Result<()> {
        replica::Entity::delete_by_id(self.id).exec(database.accounting()).await?;
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
