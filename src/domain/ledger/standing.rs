//! What stands under the request ids of calls for which something is to be held: rows that are made,
//! that were there, that are out of time, and calls that are settled.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::id::ReservationId;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::Reserved;
use super::counters::Counters;
use super::post::{Group, Holding};
use super::reservation::{CallName, New, Present, Taken, make, present, settled, take, unmake};
use crate::error::{Error, Result};

/// What stands under the request ids of the holdings of a group.
#[derive(Default)]
pub(super) struct Standing {
    made: HashSet<ReservationId>,
    present: HashMap<CallName, Present>,
    settled: HashSet<CallName>,
    /// What was held under the same request ids, and is out of time.
    pub(super) lapsed: HashMap<CallName, Taken>,
}

impl Standing {
    /// Makes the rows of those holdings whose calls are neither settled nor reserved yet.
    ///
    /// # Errors
    /// [`Error::Moved`] if a row was there that is gone: somebody took it meanwhile.
    pub(super) async fn make(
        db: &impl ConnectionTrait,
        group: &Group,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let mut standing = Self::default();
        // In one order, and of several with one request id the first.
        let mut wanted: BTreeMap<&CallName, &New> = BTreeMap::new();
        for holding in &group.holdings {
            wanted.entry(&holding.row.name).or_insert(&holding.row);
        }
        let rows: Vec<_> = wanted.into_values().collect();
        if rows.is_empty() {
            return Ok(standing);
        }
        standing.made = make(db, &rows).await?.into_iter().collect();
        let others: Vec<_> = rows.iter().filter(|row| !standing.made.contains(&row.id)).collect();
        if !others.is_empty() {
            standing.present = present(db, others.iter().map(|row| &row.name)).await?;
            standing.replace_lapsed(db, &rows, now).await?;
        }
        standing.leave_settled(db, group, &rows).await?;
        let stands = |row: &&New| {
            standing.settled.contains(&row.name)
                || standing.present.contains_key(&row.name)
                || standing.made.contains(&row.id)
        };
        if rows.iter().all(stands) { Ok(standing) } else { Err(Error::Moved) }
    }

    /// Puts rows in the place of those that are out of time.
    async fn replace_lapsed(
        &mut self,
        db: &impl ConnectionTrait,
        rows: &[&New],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let is_lapsed = |row: &&&New| {
            self.present.get(&row.name).is_some_and(|present| present.expires_at <= now)
        };
        let lapsed: Vec<&New> = rows.iter().filter(is_lapsed).copied().collect();
        if lapsed.is_empty() {
            return Ok(());
        }
        self.lapsed = take(db, lapsed.iter().map(|row| (&row.name, None))).await?;
        self.made.extend(make(db, &lapsed).await?);
        for row in &lapsed {
            self.present.remove(&row.name);
        }
        // Somebody else may have been faster.
        let others: Vec<_> = lapsed.iter().filter(|row| !self.made.contains(&row.id)).collect();
        if !others.is_empty() {
            self.present.extend(present(db, others.iter().map(|row| &row.name)).await?);
        }
        Ok(())
    }

    /// Takes back the rows of calls that are settled: before, by this group, or by whoever was
    /// waited for when the rows were made. One that is settled at this moment is not seen yet: see
    /// [`super::counters::Meanwhile`].
    async fn leave_settled(
        &mut self,
        db: &impl ConnectionTrait,
        group: &Group,
        rows: &[&New],
    ) -> Result<()> {
        self.settled = settled(db, rows.iter().map(|row| &row.name)).await?.into_iter().collect();
        let settling = group.postings.iter().filter(|posting| posting.is_known);
        self.settled.extend(settling.map(|posting| posting.name.clone()));
        let made = &mut self.made;
        let settled = rows.iter().filter(|row| self.settled.contains(&row.name));
        let ids: Vec<_> = settled.map(|row| row.id).filter(|id| made.remove(id)).collect();
        if !ids.is_empty() {
            unmake(db, ids.into_iter()).await?;
        }
        Ok(())
    }

    pub(super) fn is_new(&self, holding: &Holding) -> bool {
        self.made.contains(&holding.row.id)
    }

    /// Holds what there is room for, in the order of the group.
    pub(super) fn decide(&self, holdings: &[Holding], counters: &mut Counters) -> Vec<Reserved> {
        let mut first: HashMap<&CallName, (Uuid, Reserved)> = HashMap::new();
        let mut decided = Vec::with_capacity(holdings.len());
        for holding in holdings {
            let row = &holding.row;
            let again = |id: ReservationId, hash: Uuid, expires_at| {
                if hash == row.hash {
                    Reserved::Granted { id, expires_at, is_duplicate: true }
                } else {
                    Reserved::Conflict
                }
            };
            let outcome = if self.settled.contains(&row.name) {
                Reserved::Settled
            } else if let Some(present) = self.present.get(&row.name) {
                again(present.id, present.hash, present.expires_at)
            } else if let Some((hash, outcome)) = first.get(&row.name) {
                match outcome {
                    Reserved::Granted { id, expires_at, .. } => again(*id, *hash, *expires_at),
                    outcome if *hash == row.hash => outcome.clone(),
                    _ => Reserved::Conflict,
                }
            } else {
                let outcome = match counters.hold(&holding.charges, &holding.windows, row.amount) {
                    Ok(()) => Reserved::Granted {
                        id: row.id,
                        expires_at: row.expires_at,
                        is_duplicate: false,
                    },
                    Err(shortages) => Reserved::Refused(shortages),
                };
                first.insert(&row.name, (row.hash, outcome.clone()));
                outcome
            };
            decided.push(outcome);
        }
        decided
    }

    /// The calls for which something is held from now on.
    pub(super) fn granted<'a>(
        &'a self,
        holdings: &'a [Holding],
        decided: &'a [Reserved],
    ) -> impl Iterator<Item = &'a CallName> {
        let both = holdings.iter().zip(decided);
        both.filter(|(holding, outcome)| {
            self.is_new(holding) && matches!(outcome, Reserved::Granted { .. })
        })
        .map(|(holding, _)| &holding.row.name)
    }

    /// The rows that were made for holdings that are refused.
    pub(super) fn refused(&self, holdings: &[Holding], decided: &[Reserved]) -> Vec<ReservationId> {
        let both = holdings.iter().zip(decided);
        both.filter(|(holding, outcome)| {
            self.is_new(holding) && matches!(outcome, Reserved::Refused(_))
        })
        .map(|(holding, _)| holding.row.id)
        .collect()
    }
}
