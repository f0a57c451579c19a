//! The work in the background: polling, being woken, waking others, and pruning the change log.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Enforcement, Parts};

/// How long a poll may take before the next one is tried.
const POLL: Duration = Duration::from_secs(1);

/// The shortest time between two announcements of this process: a NOTIFY makes every other commit of
/// the database wait for its own.
const ANNOUNCEMENTS: Duration = Duration::from_millis(20);

/// How long to wait before listening again, when the database did not let us.
const LISTENING: Duration = Duration::from_secs(1);

/// How often the change log is pruned.
const PRUNING: Duration = Duration::from_mins(1);

impl Enforcement {
    /// The work in the background, to be run until the process ends: it ends with the service.
    pub fn work(&self) -> impl Future<Output = ()> + Send + use<> {
        let work = || Work { parts: Arc::downgrade(&self.0), stopped: self.0.stop.subscribe() };
        let (polling, listening, announcing) = (work(), work(), work());
        let interval = self.0.settings.poll_interval;
        let woken = Arc::clone(&self.0.woken);
        let committed = Arc::clone(&self.0.committed);
        let database = self.0.database.clone();
        let heard = Arc::clone(&self.0.woken);
        async move {
            let polls = polling.poll(interval, &woken);
            let listens = listening.listen(&database, || heard.notify_one());
            let announces = announcing.announce(&database, &committed);
            tokio::join!(polls, listens, announces);
        }
    }
}

/// What the work in the background holds of the service: nothing that keeps it alive.
struct Work {
    parts: Weak<Parts>,
    stopped: watch::Receiver<bool>,
}

impl Work {
    /// Waits for something, unless the service ends before; tells which.
    async fn or_end(&mut self, wait: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = wait => !*self.stopped.borrow(),
            _ = self.stopped.changed() => false,
        }
    }

    async fn poll(mut self, period: Duration, woken: &tokio::sync::Notify) {
        let mut tick = interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        let mut pruned = Instant::now();
        loop {
            let mut is_woken = false;
            let due = async {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = woken.notified() => is_woken = true,
                }
            };
            if !self.or_end(due).await {
                break;
            }
            let Some(parts) = self.parts.upgrade() else { break };
            let enforcement = Enforcement(parts);
            // What was counted can wait for the next poll.
            let polled = async {
                if is_woken {
                    enforcement.follow().await.map(drop)
                } else {
                    enforcement.poll().await
                }
            };
            let polled = timeout(POLL, polled).await;
            let failed = match polled {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:?}")),
                Err(_) => Some("it took too long".to_owned()),
            };
            match &failed {
                Some(error) if !is_failing => {
                    tracing::warn!(error, "the change log could not be polled");
                }
                None if is_failing => tracing::info!("the change log is polled again"),
                _ => {}
            }
            is_failing = failed.is_some();
            if !is_failing {
                enforcement.warm().await;
                if pruned.elapsed() >= PRUNING {
                    pruned = Instant::now();
                    enforcement.prune().await;
                }
            }
        }
    }

    async fn listen(mut self, database: &crate::db::Database, heard: impl Fn()) {
        loop {
            let hear = async {
                if let Err(error) = database.hear_changes(&heard).await {
                    // Behind a pool of connections nobody can listen. Polls find the changes.
                    tracing::debug!(error = ?error, "changes are not announced");
                }
                sleep(LISTENING).await;
            };
            if !self.or_end(hear).await {
                break;
            }
        }
    }

    async fn announce(mut self, database: &crate::db::Database, committed: &tokio::sync::Notify) {
        while self.or_end(committed.notified()).await {
            if let Err(error) = database.announce_changes().await {
                tracing::debug!(error = ?error, "a change could not be announced");
            }
            sleep(ANNOUNCEMENTS).await;
        }
    }
}

impl Enforcement {
    /// Reads what every check needs, so that no check waits for it.
    async fn warm(&self) {
        let count = crate::db::StatementCount::default();
        // Whoever needs it says when it is not to be had.
        let _ = self.0.everywhere.get(&(), self.0.clock.now(), &count).await;
    }

    /// Removes old rows of the change log.
    async fn prune(&self) {
        let age = TimeDelta::from_std(self.0.settings.change_log).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.0.clock.now().checked_sub_signed(age) else { return };
        if let Err(error) = self.0.database.prune_changes(before).await {
            tracing::warn!(error = ?error, "the change log could not be pruned");
        }
    }
}
