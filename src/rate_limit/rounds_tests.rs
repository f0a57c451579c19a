//! Questions that wait for each other, and those who are cut off while they ask for others.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::Semaphore;

use super::*;

/// Doubles numbers, counts how often it is asked, and waits for a permit each time.
#[derive(Clone)]
struct Oracle {
    gate: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
}

impl Oracle {
    fn new(permits: usize) -> Self {
        Self { gate: Arc::new(Semaphore::new(permits)), asked: Arc::default() }
    }

    async fn run(self, questions: Vec<u32>) -> Result<Vec<u32>, Lost> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.gate.acquire().await.unwrap().forget();
        if questions.contains(&13) {
            return Err(Lost::Late);
        }
        Ok(questions.into_iter().map(|number| 2 * number).collect())
    }
}

/// Lets a future run until it waits, or ends.
async fn waits<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn those_that_wait_are_asked_for_together() {
    let (rounds, oracle) = (Rounds::new(), Oracle::new(0));
    let ask = |number| rounds.ask(number, |questions| oracle.clone().run(questions));
    let all = futures_util::future::join_all((20..70).map(ask));
    let open = async {
        tokio::task::yield_now().await;
        oracle.gate.add_permits(2);
    };
    let (answers, ()) = tokio::join!(all, open);
    for (number, answer) in (20..70).zip(answers) {
        assert_eq!(answer.unwrap(), Some(2 * number));
    }
    assert_eq!(oracle.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_fails_fails_for_all_and_is_asked_once() {
    let (rounds, oracle) = (Rounds::new(), Oracle::new(0));
    let ask = |number| rounds.ask(number, |questions| oracle.clone().run(questions));
    let all = futures_util::future::join_all([7, 13, 8].map(ask));
    let open = async {
        tokio::task::yield_now().await;
        oracle.gate.add_permits(2);
    };
    let (answers, ()) = tokio::join!(all, open);
    let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, true]);
    assert_eq!(oracle.asked.load(Ordering::Relaxed), 2);

    oracle.gate.add_permits(1);
    assert_eq!(ask(4).await.unwrap(), Some(8));
}

#[tokio::test]
async fn who_was_asked_for_by_somebody_that_was_cut_off_learns_that() {
    let (rounds, oracle) = (Rounds::new(), Oracle::new(0));
    let ask = |number| rounds.ask(number, |questions| oracle.clone().run(questions));
    let mut second = Box::pin(ask(2));
    {
        let mut first = Box::pin(ask(1));
        // The second waits already when the first takes both, and then the first is dropped.
        let lead = rounds.turn.lock().await;
        assert!(waits(&mut first).await);
        assert!(waits(&mut second).await);
        drop(lead);
        assert!(waits(&mut first).await);
        assert_eq!(oracle.asked.load(Ordering::Relaxed), 1);
    }
    assert_eq!(second.await.unwrap(), None);
    oracle.gate.add_permits(1);
    assert_eq!(ask(3).await.unwrap(), Some(6));
}
