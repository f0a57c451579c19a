//! Room for GraphQL requests: only so many are worked on at a time, so that a crowd is told at once to
//! come back instead of waiting in line for the database until each of them is too late.
//!
//! What gateways ask, hold and report over `/v1` is not counted, and has connections of its own on
//! PostgreSQL. A request takes room while its credential is looked up, and again when its body has
//! arrived, so that slow senders take none.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The room of a server.
#[derive(Debug)]
pub(crate) struct Admission {
    room: Semaphore,
    patience: Duration,
}

impl Admission {
    /// Room for so many requests, for which others wait so long.
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Self { room: Semaphore::new(most), patience }
    }

    /// Room for a request until what is returned is dropped; none if there was none in time.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(self.patience, self.room.acquire()).await.ok()?.ok()
    }
}
