//! When keys were last used: noted in memory, written together, at most once a minute for a key.
//!
//! The request path only takes a lock for a moment. What was not written when the process dies is
//! lost: `lastUsedAt` may be behind by up to the interval (SECURITY 5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use entity::api_key;
use entity::id::ApiKeyId;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::db::Database;
use crate::error::Result;

/// The most keys that wait to be written; beyond it, uses are not noted until the next writing.
const WAITING: usize = 100_000;

#[derive(Debug, Default)]
struct Notes {
    written: BTreeMap<ApiKeyId, DateTime<Utc>>,
    waiting: BTreeMap<ApiKeyId, DateTime<Utc>>,
}

impl Notes {
    /// Keeps a use to be written, the latest of each key.
    fn wait(&mut self, key: ApiKeyId, at: DateTime<Utc>) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            *waiting = Ord::max(at, *waiting);
        } else if self.waiting.len() < WAITING {
            self.waiting.insert(key, at);
        }
    }
}

/// Notes of the last uses. Clones share them.
#[derive(Clone, Debug)]
pub struct LastUsed {
    notes: Arc<Mutex<Notes>>,
    interval: TimeDelta,
}

impl LastUsed {
    /// Notes that are written at most once in `interval` for a key.
    pub fn new(interval: std::time::Duration) -> Self {
        let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX);
        Self { notes: Arc::default(), interval }
    }

    /// Notes a use.
    pub fn note(&self, key: ApiKeyId, at: DateTime<Utc>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = notes.written.get(&key).is_some_and(|last| at - *last < self.interval);
        if !fresh {
            notes.wait(key, at);
        }
    }

    /// Writes what was noted. After an error the rest waits for the next writing.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn write(&self, database: &Database, now: DateTime<Utc>) -> Result<()> {
        let mut waiting = {
            let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            let interval = self.interval;
            notes.written.retain(|_, at| now - *at < interval);
            std::mem::take(&mut notes.waiting)
        };
        while let Some((key, at)) = waiting.pop_first() {
            let newer =
                api_key::Column::LastUsedAt
                    .is_null()
                    .or(Expr::col(("api_keys", "last_used_at")).lt(at));
            let update = api_key::Entity::update_many()
                .col_expr(api_key::Column::LastUsedAt, Expr::val(at))
                .filter(api_key::Column::Id.eq(key))
                .filter(newer);
            let outcome = update.exec(database.writing()).await;
            let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = outcome {
                notes.wait(key, at);
                for (key, at) in waiting {
                    notes.wait(key, at);
                }
                return Err(error.into());
            }
            notes.written.insert(key, at);
        }
        Ok(())
    }
}
