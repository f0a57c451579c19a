//! Questions to the database that wait for each other: while one transaction is under way, all that
//! come meanwhile are asked together in the next. So the limiter of a replica needs one connection,
//! however many calls wait for it.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::shards::lock;
use super::store::Lost;

/// The most questions of one transaction.
const QUESTIONS: usize = 100;

type Waiting<Q, A> = VecDeque<(Q, oneshot::Sender<Option<A>>)>;

/// The questions that wait, and whose turn it is to ask.
#[derive(Debug)]
pub(super) struct Rounds<Q, A> {
    waiting: Mutex<Waiting<Q, A>>,
    turn: tokio::sync::Mutex<()>,
}

impl<Q: Send, A: Send> Rounds<Q, A> {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Asks, or is asked for by somebody else. `run` answers many questions in their order. The
    /// answer is `None` when whoever asked was cut off: nobody knows then what came of it.
    pub(super) async fn ask<F>(
        &self,
        question: Q,
        run: impl Fn(Vec<Q>) -> F,
    ) -> Result<Option<A>, Lost>
    where
        F: Future<Output = Result<Vec<A>, Lost>>,
    {
        let mut answer = self.wait(question);
        loop {
            let _turn = self.turn.lock().await;
            match answer.try_recv() {
                Ok(answer) => return answer.map(Some).ok_or(Lost::Together),
                Err(TryRecvError::Closed) => return Ok(None),
                Err(TryRecvError::Empty) => {}
            }
            let (questions, askers) = self.next();
            match run(questions).await {
                Ok(answers) => {
                    for (asker, answer) in askers.into_iter().zip(answers) {
                        // Who does not wait any more needs no answer.
                        let _ = asker.send(Some(answer));
                    }
                }
                Err(reason) => {
                    for asker in askers {
                        let _ = asker.send(None);
                    }
                    return Err(reason);
                }
            }
        }
    }

    /// Does something else while nobody asks.
    pub(super) async fn alone<T>(&self, work: impl Future<Output = T>) -> T {
        let _turn = self.turn.lock().await;
        work.await
    }

    fn wait(&self, question: Q) -> oneshot::Receiver<Option<A>> {
        let (asker, answer) = oneshot::channel();
        lock(&self.waiting).push_back((question, asker));
        answer
    }

    fn next(&self) -> (Vec<Q>, Vec<oneshot::Sender<Option<A>>>) {
        let mut waiting = lock(&self.waiting);
        let count = waiting.len().min(QUESTIONS);
        waiting.drain(..count).unzip()
    }
}

#[cfg(test)]
#[path = "rounds_tests.rs"]
mod tests;
