//! Threads of their own for GraphQL: an answer that takes its time to be made keeps no gateway waiting.
//!
//! Tasks of one runtime take turns on its threads, and give them back only where they wait for something.
//! With GraphQL's on other threads it is the operating system that shares the processors out, and it
//! does not let a long answer end before it lets a short one begin.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// An answer is resolved field within field, and unoptimised builds need more of the stack for each than
/// the usual two megabytes. Only what is touched takes memory.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The threads on which GraphQL requests are worked on: as many as there are processors.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them.
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.enable_all().thread_name("graphql").thread_stack_size(STACK_BYTES);
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    /// Does work on them. It ends where it is when nobody waits for it any more; if it panics, so does
    /// the one who waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let Some(runtime) = &self.0 else { return work.await };
        let mut task = JoinSet::new();
        task.spawn_on(work, runtime.handle());
        match task.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The threads are gone, and so is the server; nobody gets the answer.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The last one who has the server may be a task, which must not wait for threads.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    /// SECURITY 4, R7: work that does not give its thread back keeps nobody else waiting. This test has one
    /// thread, on which nothing would be sent while somebody receives.
    #[tokio::test]
    async fn work_takes_no_turn_of_others() {
        let threads = Threads::start().unwrap();
        let (sender, receiver) = mpsc::channel();
        let (done, ()) = tokio::join!(threads.run(async move { receiver.recv() }), async {
            sender.send(7).unwrap();
        });
        assert_eq!(done, Ok(7));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_ends() {
        let threads = Threads::start().unwrap();
        let (start, is_under_way) = oneshot::channel();
        let (held, is_over) = oneshot::channel::<()>();
        let work = threads.run(async move {
            start.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(held);
        });
        tokio::select! {
            () = work => panic!("it never ends by itself"),
            told = is_under_way => told.unwrap(),
        }
        is_over.await.unwrap_err();
    }

    #[tokio::test]
    async fn a_panic_is_that_of_the_one_who_waits() {
        let threads = Threads::start().unwrap();
        let fails = async { assert!(std::thread::panicking(), "a fault") };
        let panic = AssertUnwindSafe(threads.run(fails)).catch_unwind().await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"a fault"));
    }
}
