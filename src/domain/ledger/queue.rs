//! The queue of the ledger: what waits is done together, so that one commit makes many operations
//! durable and a busy window is locked once for all of them.
//!
//! Nothing waits for company: a worker takes what there is. While it is at work, the next operations
//! gather. Once queued, an operation is carried through, whether or not anybody waits for its answer.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::TimeDelta;
use entity::id::{ApiKeyId, BudgetWindowId};
use entity::value::Usd;
use futures_util::FutureExt as _;
use moka::sync::Cache;
use sea_orm::DbBackend;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::post::{Applied, Group, Holding, Outcome, apply, is_overflow};
use super::prepare::{Waiting, prepare};
use super::report::Report;
use super::reservation::{CallName, New, any_expired};
use super::window::{Charged, Windows};
use super::{Charge, Code, EVENTS, HOLDS, HOLDS_AT_MOST, Reserve, Reserved, Verdict, expire};
use crate::db::Deployment;
use crate::db::unit::{RETRIES, Unit, jitter};
use crate::domain::call::{REQUEST_ID, is_text};
use crate::error::{Error, Result};

/// The most operations that wait; more are refused, which is better than an answer too late.
const WAITING: usize = 4_096;

/// The most events that wait, in however many reports.
const WAITING_EVENTS: usize = 100 * EVENTS;

/// From so many events on, a group takes no further operation.
const GROUP_EVENTS: usize = 500;

/// The most operations of a group.
const GROUP_OPERATIONS: usize = 256;

/// How often a refusal is looked at again after reservations were found out of time.
const SECOND_LOOKS: u32 = 3;

/// An operation that waits.
enum Operation {
    Record(Vec<Waiting>, oneshot::Sender<Result<Vec<Verdict>>>),
    Reserve(Box<Reserve>, oneshot::Sender<Result<Reserved>>),
    Release(CallName, oneshot::Sender<Result<bool>>),
}

/// The ledger, as everybody uses it. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: mpsc::Sender<Waits>,
    /// Room for events that wait.
    room: Arc<Semaphore>,
    desk: Arc<Desk>,
}

/// An operation that waits, and where it is done: while none waits, a worker holds no database.
/// Its events take room until then.
type Waits = (Arc<Desk>, Operation, Option<OwnedSemaphorePermit>);

/// One of those who work off the queue.
#[derive(Debug)]
pub struct Worker(Arc<Mutex<mpsc::Receiver<Waits>>>);

/// What workers work with.
#[derive(Debug)]
struct Desk {
    deployment: Deployment,
    windows: Windows,
    newer: Cache<BudgetWindowId, BudgetWindowId>,
}

impl Ledger {
    /// The ledger of a deployment, and its workers, which end when nobody has the ledger any more.
    pub fn new(deployment: &Deployment) -> (Self, Vec<Worker>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let queue = Arc::new(Mutex::new(receiver));
        let desk = Desk {
            deployment: deployment.clone(),
            windows: Windows::new(deployment),
            newer: Cache::new(10_000),
        };
        // One reads and works out while the other waits for its commit; SQLite has one writer.
        let workers = if deployment.database.backend() == DbBackend::Sqlite { 1 } else { 2 };
        let workers = (0..workers).map(|_| Worker(Arc::clone(&queue))).collect();
        let room = Arc::new(Semaphore::new(WAITING_EVENTS));
        (Self { queue: sender, room, desk: Arc::new(desk) }, workers)
    }

    /// Records what a gateway reports: 1 to 500 events, each with a verdict of its own.
    ///
    /// # Errors
    /// [`Error::BadInput`] for too many or no events; what the database answers.
    pub async fn record(&self, gateway: ApiKeyId, reports: Vec<Report>) -> Result<Vec<Verdict>> {
        if reports.is_empty() || reports.len() > EVENTS {
            return Err(Error::input("input.events", format!("give 1 to {EVENTS} events")));
        }
        let now = self.desk.deployment.clock.now();
        let mut verdicts: Vec<Option<Verdict>> = Vec::with_capacity(reports.len());
        let mut waiting = Vec::with_capacity(reports.len());
        for report in reports {
            match report.check(now) {
                Ok(report) => {
                    waiting.push(Waiting { gateway, report });
                    verdicts.push(None);
                }
                Err(verdict) => verdicts.push(Some(verdict)),
            }
        }
        if !waiting.is_empty() {
            let (reply, answer) = oneshot::channel();
            let events = u32::try_from(waiting.len()).map_err(Error::internal)?;
            let room = Arc::clone(&self.room).try_acquire_many_owned(events);
            let room = room.map_err(|_| Error::Unavailable)?;
            self.enqueue(Operation::Record(waiting, reply), Some(room))?;
            let mut answered = answer.await.map_err(|_| Error::Unavailable)??.into_iter();
            for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
                *verdict = answered.next();
            }
        }
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// Holds an amount in every window of a call, or in none.
    ///
    /// # Errors
    /// [`Error::BadInput`] for an amount below zero, a request id or a time that is not allowed;
    /// what the database answers. A caller that lets a call through then risks overspending.
    pub async fn reserve(&self, reserve: Reserve) -> Result<Reserved> {
        if reserve.amount < Usd::ZERO {
            return Err(Error::input("amount", "this may not be negative"));
        }
        if !is_text(&reserve.request_id, REQUEST_ID) {
            let message =
                format!("write 1 to {REQUEST_ID} characters, none of them a control character");
            return Err(Error::input("requestId", message));
        }
        let holds = reserve.holds.unwrap_or(HOLDS);
        if holds <= TimeDelta::zero() || holds > HOLDS_AT_MOST {
            return Err(Error::input("holds", "hold for a moment to 24 hours"));
        }
        let (reply, answer) = oneshot::channel();
        self.enqueue(Operation::Reserve(Box::new(reserve), reply), None)?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Lets go of what is held for a call that was not made; whether anything was.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn release(&self, gateway: ApiKeyId, request_id: String) -> Result<bool> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Operation::Release((gateway, request_id), reply), None)?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Lets go of what is held for calls that are out of time, and returns their number. Nothing is
    /// refused for want of it: whatever is refused looks itself first.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn expire(&self) -> Result<u64> {
        let deployment = &self.desk.deployment;
        if !any_expired(deployment.database.checking(), deployment.clock.now()).await? {
            return Ok(0);
        }
        expire::expire(deployment).await
    }

    fn enqueue(&self, operation: Operation, room: Option<OwnedSemaphorePermit>) -> Result<()> {
        let waits = (Arc::clone(&self.desk), operation, room);
        self.queue.try_send(waits).map_err(|_| Error::Unavailable)
    }
}

impl Worker {
    /// Works off the queue until nobody has the ledger any more.
    pub async fn run(self) {
        while let Some((desk, operations)) = self.next().await {
            let work = AssertUnwindSafe(desk.work(operations)).catch_unwind().await;
            if work.is_err() {
                // Those who wait learn it from their channels, which are gone.
                tracing::error!("a worker of the ledger panicked, and goes on");
            }
        }
    }

    /// What waits, at most a group; one worker looks at a time.
    async fn next(&self) -> Option<(Arc<Desk>, Vec<Operation>)> {
        let mut queue = self.0.lock().await;
        let (desk, operation, _) = queue.recv().await?;
        let mut operations = vec![operation];
        let mut events = operations[0].events();
        while events < GROUP_EVENTS && operations.len() < GROUP_OPERATIONS {
            let Ok((_, operation, _)) = queue.try_recv() else { break };
            events += operation.events();
            operations.push(operation);
        }
        Some((desk, operations))
    }
}

impl Desk {
    /// Does operations together; should that fail for what one of them is, each by itself.
    async fn work(&self, operations: Vec<Operation>) {
        let together = self.perform(&operations).await;
        match together {
            Err(error) if operations.len() > 1 && !error.is_unavailable() => {
                tracing::warn!(error = ?error, "a group failed; each operation is tried by itself");
                for operation in operations {
                    let alone = self.perform(std::slice::from_ref(&operation)).await;
                    answer(vec![operation], alone);
                }
            }
            outcome => answer(operations, outcome),
        }
    }

    async fn perform(&self, operations: &[Operation]) -> Result<Vec<Answer>> {
        let waiting: Vec<Waiting> = operations.iter().flat_map(Operation::waiting).collect();
        let ready = if waiting.is_empty() {
            Vec::new()
        } else {
            prepare(&self.deployment, &self.windows, &waiting).await?
        };
        let holdings = self.holdings(operations).await?;
        let releases = operations.iter().filter_map(Operation::release).cloned().collect();
        let postings = ready.iter().filter_map(|ready| ready.as_ref().ok().cloned()).collect();
        let mut outcome = self
            .post(Group { postings, holdings: holdings.clone(), releases, ..Group::default() })
            .await?;
        // All of it is durable by now: what was refused is refused if nobody can look again.
        if let Err(error) = self.look_again(&holdings, &mut outcome.reserved).await {
            tracing::warn!(error = ?error, "reservations out of time could not be let go of");
        }
        let mut judged = outcome.verdicts.into_iter();
        let mut verdicts = ready.into_iter().filter_map(|ready| match ready {
            Ok(_) => judged.next(),
            Err(verdict) => Some(verdict),
        });
        let mut holds = outcome.reserved.into_iter();
        let mut freed = outcome.released.into_iter();
        let answers = operations.iter().map(|operation| match operation {
            Operation::Record(waiting, _) => {
                Some(Answer::Recorded(verdicts.by_ref().take(waiting.len()).collect()))
            }
            Operation::Reserve(..) => holds.next().map(Answer::Reserved),
            Operation::Release(..) => freed.next().map(Answer::Released),
        });
        let answers: Option<Vec<_>> = answers.collect();
        answers.ok_or_else(|| Error::internal("an operation of the ledger has no answer"))
    }

    /// The reservations that are asked for, with the rows of their windows.
    async fn holdings<'a>(&self, operations: &'a [Operation]) -> Result<Vec<Holding>> {
        let asked: Vec<&Reserve> = operations.iter().filter_map(Operation::reserve).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let call = |asked: &&'a Reserve| {
            Charged::new(asked.model.as_deref(), asked.at, asked.charges.clone())
        };
        let mut calls: Vec<_> = asked.iter().map(call).collect();
        self.windows.place(&mut calls).await?;
        let now = self.deployment.clock.now();
        let holding = |(asked, (charges, windows)): (&&Reserve, (Vec<Charge>, Vec<_>))| Holding {
            row: New {
                id: self.deployment.clock.id(),
                name: (asked.gateway, asked.request_id.clone()),
                hash: asked.asked,
                attribution: asked.attribution.clone(),
                amount: asked.amount,
                windows: windows.iter().flatten().copied().collect(),
                tokens: i64::try_from(asked.tokens).unwrap_or(i64::MAX),
                created_at: asked.at,
                expires_at: now + asked.holds.unwrap_or(HOLDS),
            },
            model: asked.model.clone(),
            charges,
            windows,
        };
        let charged = calls.into_iter().map(Charged::parts);
        Ok(asked.iter().zip(charged).map(holding).collect())
    }

    /// What was refused, again, should reservations be out of time that stood in its way.
    async fn look_again(&self, holdings: &[Holding], reserved: &mut [Reserved]) -> Result<()> {
        for _ in 0..SECOND_LOOKS {
            let is_refused = |outcome: &Reserved| matches!(outcome, Reserved::Refused(_));
            if !reserved.iter().any(is_refused)
                || !any_expired(self.deployment.database.checking(), self.deployment.clock.now())
                    .await?
            {
                return Ok(());
            }
            expire::expire(&self.deployment).await?;
            let places: Vec<_> =
                (0..reserved.len()).filter(|place| is_refused(&reserved[*place])).collect();
            let holdings = places.iter().map(|place| holdings[*place].clone()).collect();
            let outcome = self.post(Group { holdings, ..Group::default() }).await?;
            for (place, outcome) in places.into_iter().zip(outcome.reserved) {
                reserved[place] = outcome;
            }
        }
        Ok(())
    }

    /// Does a group in one transaction; should a sum be too large to be stored, each of its parts in
    /// one of its own, so that only those fail that make it so.
    async fn post(&self, group: Group) -> Result<Outcome> {
        match self.transact(group.clone()).await {
            Err(error) if is_overflow(&error) => {}
            outcome => return outcome,
        }
        let mut all = Outcome::default();
        for part in group.parts() {
            match self.transact(part.clone()).await {
                Err(error) if is_overflow(&error) => match part.postings.first() {
                    Some(posting) => {
                        let message = "together with what is counted this is too large";
                        let request = &posting.event.request_id;
                        all.verdicts.push(Verdict::fault(request, Code::Invalid, "cost", message));
                    }
                    None => return Err(error),
                },
                outcome => all.append(outcome?),
            }
        }
        Ok(all)
    }

    /// Does a group in one transaction, again after a transient fault.
    async fn transact(&self, mut group: Group) -> Result<Outcome> {
        let known: HashMap<_, _> =
            group.current().filter_map(|window| Some((window, self.newer.get(&window)?))).collect();
        group.redirect(&known);
        let mut attempt = 0;
        loop {
            let outcome = self.attempt(group.clone()).await;
            match outcome {
                Ok(Applied::Done(outcome)) => return Ok(outcome),
                Ok(Applied::Superseded(newer)) if attempt < RETRIES => {
                    for (window, newer) in &newer {
                        self.newer.insert(*window, *newer);
                    }
                    group.redirect(&newer);
                }
                Ok(Applied::Stale(stale)) if attempt < RETRIES => {
                    self.place(&mut group, &stale).await?;
                }
                Ok(Applied::Superseded(_) | Applied::Stale(_)) => return Err(Error::Moved),
                Err(error) if error.is_transient() && attempt < RETRIES => {
                    tokio::time::sleep(jitter(attempt + 1)).await;
                }
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// Finds the windows of a group again, some of which are another budget's or no more.
    async fn place(&self, group: &mut Group, stale: &[(Charge, BudgetWindowId)]) -> Result<()> {
        let moved = self.windows.moved(stale).await?;
        let is_moved =
            |(charge, id): &&(Charge, BudgetWindowId)| moved.contains(&(charge.budget, *id));
        let is_same = stale.iter().all(|stale| is_moved(&stale));
        for (charge, _) in stale.iter().filter(|stale| !is_moved(stale)) {
            if let Some(window) = self.windows.forget(charge) {
                self.newer.invalidate(&window);
            }
        }
        group.moved.extend(moved);
        if !is_same {
            let mut calls = group.calls();
            self.windows.place(&mut calls).await?;
            let charged = calls.into_iter().map(Charged::parts).collect();
            group.place(charged);
        }
        group.count_once();
        Ok(())
    }

    async fn attempt(&self, group: Group) -> Result<Applied> {
        let unit = Unit::begin(&self.deployment.database).await?;
        match apply(unit.db(), &self.deployment, group).await {
            Ok(Applied::Done(outcome)) => {
                unit.commit().await?;
                Ok(Applied::Done(outcome))
            }
            other => {
                unit.rollback().await;
                other
            }
        }
    }
}

/// What an operation is answered.
enum Answer {
    Recorded(Vec<Verdict>),
    Reserved(Reserved),
    Released(bool),
}

/// Answers all, each with its own outcome, or with the same error.
fn answer(operations: Vec<Operation>, outcome: Result<Vec<Answer>>) {
    // Whoever does not wait any more is not told.
    match outcome {
        Ok(answers) => {
            for (operation, answer) in operations.into_iter().zip(answers) {
                match (operation, answer) {
                    (Operation::Record(_, reply), Answer::Recorded(verdicts)) => {
                        drop(reply.send(Ok(verdicts)));
                    }
                    (Operation::Reserve(_, reply), Answer::Reserved(reserved)) => {
                        drop(reply.send(Ok(reserved)));
                    }
                    (Operation::Release(_, reply), Answer::Released(released)) => {
                        drop(reply.send(Ok(released)));
                    }
                    _ => tracing::error!("an operation of the ledger got another one's answer"),
                }
            }
        }
        Err(error) => {
            let is_unavailable = error.is_unavailable();
            tracing::warn!(error = ?error, operations = operations.len(), "the ledger failed");
            let failure = || {
                if is_unavailable {
                    Error::Unavailable
                } else {
                    Error::internal("the ledger failed; the log tells why")
                }
            };
            for operation in operations {
                match operation {
                    Operation::Record(_, reply) => drop(reply.send(Err(failure()))),
                    Operation::Reserve(_, reply) => drop(reply.send(Err(failure()))),
                    Operation::Release(_, reply) => drop(reply.send(Err(failure()))),
                }
            }
        }
    }
}

impl Operation {
    fn events(&self) -> usize {
        match self {
            Self::Record(waiting, _) => waiting.len(),
            Self::Reserve(..) | Self::Release(..) => 0,
        }
    }

    fn waiting(&self) -> Vec<Waiting> {
        match self {
            Self::Record(waiting, _) => waiting.clone(),
            Self::Reserve(..) | Self::Release(..) => Vec::new(),
        }
    }

    fn reserve(&self) -> Option<&Reserve> {
        match self {
            Self::Reserve(reserve, _) => Some(reserve),
            Self::Record(..) | Self::Release(..) => None,
        }
    }

    fn release(&self) -> Option<&CallName> {
        match self {
            Self::Release(name, _) => Some(name),
            Self::Record(..) | Self::Reserve(..) => None,
        }
    }
}
