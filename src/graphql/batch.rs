//! When the batches of loaders run: in the task of their request, each time its resolvers wait.
//!
//! A loader that waits for a while before it asks the database sees some of its keys and misses
//! others, by chance; a loaded machine then runs more statements than an idle one. Here nothing is
//! left to chance: resolvers run until none of them can go on, and only then does every loader take
//! the keys that it was given. The next batches begin when all of these have ended, so that the next
//! level again is one batch for each loader. And no request waits for a timer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::runtime::Timer;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::task::{AtomicWaker, FutureObj, Spawn, SpawnError};

/// The batches of one request that have not begun. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Batches(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for Batches {
    fn spawn_obj(&self, batch: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        Ok(())
    }
}

impl Timer for Batches {
    /// No time at all: a batch begins only when the resolvers wait.
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
}

impl Batches {
    fn take(&self) -> Vec<FutureObj<'static, ()>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs the resolvers of a request and, whenever they wait, its batches, all at a time.
    pub(super) async fn run<T>(self, resolvers: impl Future<Output = T>) -> T {
        let mut resolvers = pin!(resolvers);
        let mut running = FuturesUnordered::new();
        let call = Arc::new(Call { came: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&call));
        poll_fn(move |context| {
            call.task.register(context.waker());
            loop {
                // The batches first: all that ended are handed out before a resolver goes on.
                while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
                if call.came.swap(false, Ordering::AcqRel) {
                    let resolved = resolvers.as_mut().poll(&mut Context::from_waker(&waker));
                    if resolved.is_ready() {
                        return resolved;
                    }
                }
                // A level begins when all of the last one has ended: what a quick batch brought
                // would else ask for the same things as what a slow one brings, in two batches.
                if !running.is_empty() {
                    return Poll::Pending;
                }
                running.extend(self.take());
                if running.is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// Whether the resolvers can go on. There are thousands of them and they are looked at all together,
/// so that this is not done for each row that a batch receives.
struct Call {
    came: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake();
    }
}
