//! The load: checks, calls that are held and settled, and reports in batches, each at a steady rate
//! by many clients, which note every answer and repeat what had none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::client::{Answer, Client, Lost};
use crate::journal::Journal;
use crate::world::{Caller, World, dollars};

/// The most that a call of the load costs: a hundredth of a dollar.
const MOST: i64 = 10_000_000;

/// The events of a report.
const BATCH: u64 = 100;

/// The pause before something is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long after the end of a run what had no answer is sent again.
const GRACE: Duration = Duration::from_mins(1);

/// A load that is going on.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) journal: Arc<Journal>,
    pub(crate) world: Arc<World>,
    /// The servers, which the clients share out among themselves.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) end: Instant,
    /// Whether requests may be lost or put off: something is killed meanwhile.
    pub(crate) is_disturbed: bool,
    /// The number of the next event.
    pub(crate) next: Arc<AtomicU64>,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// How long each answer took, in microseconds.
    pub(crate) times: Vec<u32>,
    /// The calls and reports that were carried through.
    pub(crate) done: u64,
    /// Calls that were refused for want of budget.
    pub(crate) refused: u64,
}

/// What a load does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Check,
    Hold,
    Report,
}

impl Figures {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
        self.done += other.done;
        self.refused += other.refused;
    }

    /// What so many of a hundred answers stay below, in milliseconds.
    pub(crate) fn percentile(&mut self, percent: usize) -> f64 {
        self.times.sort_unstable();
        let Some(last) = self.times.len().checked_sub(1) else { return f64::NAN };
        f64::from(self.times[last * percent / 100]) / 1_000.0
    }

    fn note(&mut self, began: Instant) {
        self.times.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

impl Load {
    /// Works with so many clients, at a rate in all, until the end.
    pub(crate) async fn work(self, work: Work, clients: u32, rate: f64) -> Figures {
        let pause = Duration::from_secs_f64(f64::from(clients) / rate);
        let mut all = Figures::default();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..clients {
            let load = self.clone();
            tasks.spawn(async move {
                let at = usize::try_from(number).unwrap() % load.addresses.len();
                let mut client = Client::new(load.addresses[at], &load.world.gateway);
                let mut figures = Figures::default();
                // They start one after the other, or they would all ask at the same moments.
                let first = tokio::time::Instant::now() + pause * number / clients;
                let mut ticks = tokio::time::interval_at(first, pause);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while Instant::now() < load.end {
                    ticks.tick().await;
                    figures.done += 1;
                    match work {
                        Work::Check => load.check(&mut client, &mut figures).await,
                        Work::Hold => load.hold(&mut client, &mut figures).await,
                        Work::Report => load.report(&mut client, &mut figures).await,
                    }
                }
                figures
            });
        }
        while let Some(figures) = tasks.join_next().await {
            all.append(figures.unwrap());
        }
        all
    }

    /// Asks about a key: one that is good is let through, one that is revoked is not.
    async fn check(&self, client: &mut Client, figures: &mut Figures) {
        let caller = self.world.caller(mix(self.number()));
        let began = Instant::now();
        let body = json!({ "credential": caller.secret, "model": "gpt-4o",
            "route": "/v1/chat/completions" });
        let answer = client.post("/v1/check", &body).await;
        let Some(answer) = self.answered(answer) else {
            tokio::time::sleep(PAUSE).await;
            return;
        };
        figures.note(began);
        match answer.status {
            200 => self.journal.let_through(&caller.secret, began),
            429 if !caller.is_rich => figures.refused += 1,
            401 | 403 if self.journal.is_revoking(&caller.secret) => {}
            status => self.journal.fault(format!("a check: {status} {:#}", answer.body)),
        }
    }

    /// Holds what a call may cost, then settles it, lets go of it, or leaves it to its lease.
    async fn hold(&self, client: &mut Client, figures: &mut Figures) {
        let number = self.number();
        let (caller, dice) = (self.world.caller(mix(number)), mix(number + 1) % 20);
        let request = format!("h{number}");
        let amount = MOST - i64::try_from(mix(number + 2) % 1_000).unwrap();
        let is_left = dice == 0;
        let mut body = json!({ "credential": caller.secret, "model": "gpt-4o", "mode": "reserve",
            "requestId": request, "estimate": { "costUsd": dollars(amount) } });
        if is_left {
            body["leaseTtlMs"] = json!(1_500);
        }
        self.journal.asks(&request, amount, is_left);
        let answer = self.insist(client, figures, "/v1/check", &body).await;
        let Some(answer) = answer else { return };
        match answer.status {
            200 if answer.body["reservationId"].is_string() => self.journal.granted(&request),
            429 if !caller.is_rich => {
                figures.refused += 1;
                return;
            }
            status => {
                let text = format!("{request}: a hold: {status} {:#}", answer.body);
                return self.journal.fault(text);
            }
        }
        if is_left {
            return;
        }
        if dice == 1 {
            self.journal.releases(&request);
            let body = json!({ "requestIds": [request] });
            let answer = self.insist(client, figures, "/v1/release", &body).await;
            match answer {
                Some(answer) if answer.status == 200 => self.journal.released(request),
                Some(other) => {
                    let text = format!("a release: {} {:#}", other.status, other.body);
                    self.journal.fault(text);
                }
                None => {}
            }
            return;
        }
        let cost = i64::try_from(mix(number + 3) >> 1).unwrap() % (amount + 1);
        self.send(client, figures, vec![event(&request, caller, cost)]).await;
    }

    /// Reports a batch, a fifth of which was reported before, in any order.
    async fn report(&self, client: &mut Client, figures: &mut Figures) {
        let fresh = BATCH * 4 / 5;
        let first = self.next.fetch_add(fresh, Ordering::Relaxed);
        let again = (fresh..BATCH).map(|place| mix(first + place) % (first + fresh));
        let mut numbers: Vec<_> = (first..first + fresh).chain(again).collect();
        numbers.sort_unstable_by_key(|number| mix(number + first));
        let events = numbers.into_iter().map(|number| {
            let cost = i64::try_from(mix(number) >> 1).unwrap() % MOST;
            // What nobody was asked about is counted too, beyond every budget: of those that have
            // enough, so that the others show whether holds are kept to.
            event(&format!("e{number}"), self.world.rich(mix(number)), cost)
        });
        let events = events.collect();
        self.send(client, figures, events).await;
    }

    /// Reports events until they are acknowledged.
    async fn send(&self, client: &mut Client, figures: &mut Figures, events: Vec<Value>) {
        for event in &events {
            self.journal.reports(text(&event["requestId"]), nanos(text(&event["cost"])));
        }
        let body = json!({ "events": events });
        let answer = self.insist(client, figures, "/v1/usage", &body).await;
        let Some(answer) = answer else { return };
        let verdicts = answer.body["verdicts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if answer.status != 200 || verdicts.len() != events.len() {
            return self.journal.fault(format!("a report: {} {:#}", answer.status, answer.body));
        }
        for verdict in verdicts {
            if matches!(verdict["code"].as_str(), Some("RECORDED" | "DUPLICATE")) {
                self.journal.recorded(text(&verdict["requestId"]));
            } else {
                self.journal.fault(format!("a verdict: {verdict:#}"));
            }
        }
    }

    /// Sends something until there is an answer that says something about it.
    async fn insist(
        &self,
        client: &mut Client,
        figures: &mut Figures,
        path: &str,
        body: &Value,
    ) -> Option<Answer> {
        loop {
            let began = Instant::now();
            let answer = client.post(path, body).await;
            if let Some(answer) = self.answered(answer) {
                figures.note(began);
                return Some(answer);
            }
            if Instant::now() > self.end + GRACE {
                self.journal.fault(format!("{path} was not answered to the end: {body:#}"));
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// An answer that says something; what has to be sent again is allowed under faults alone.
    fn answered(&self, answer: Result<Answer, Lost>) -> Option<Answer> {
        let what = match answer {
            Ok(answer) if answer.status != 503 => return Some(answer),
            Ok(answer) if answer.has_retry_after => "put off",
            Ok(_) => "put off without being told for how long",
            Err(Lost) => "without an answer",
        };
        self.journal.retry();
        if !self.is_disturbed || what.contains("told") {
            self.journal.fault(format!("a request was {what}"));
        }
        None
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(4, Ordering::Relaxed)
    }
}

fn event(request: &str, caller: &Caller, cost: i64) -> Value {
    json!({ "requestId": request, "apiKeyId": caller.id, "model": "gpt-4o", "inputTokens": 900,
        "outputTokens": 100, "cost": dollars(cost) })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn nanos(dollars: &str) -> i64 {
    dollars.replace('.', "").parse().unwrap()
}

/// A number that looks like chance, and is the same in every run (splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
