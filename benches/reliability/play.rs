//! A run: loads and faults on one stage until a moment, then the proof.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::checker;
use crate::journal::Journal;
use crate::load::{Figures, Load, Work};
use crate::stage::{Server, Stage, connect};
use crate::world::{Plan, World};

/// The pause between two looks at the counters.
const LOOK: Duration = Duration::from_millis(200);

/// How long runs are, and how much they ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Seconds, where the plan says ten minutes.
    pub(crate) seconds: u64,
    /// Whether the plan's own rates and bounds of time are meant: on a release build.
    pub(crate) is_full: bool,
}

/// A run that is going on.
pub(crate) struct Play {
    pub(crate) length: Length,
    pub(crate) journal: Arc<Journal>,
    pub(crate) world: Arc<World>,
    pub(crate) began: Instant,
    pub(crate) end: Instant,
    pub(crate) is_disturbed: bool,
    next: Arc<AtomicU64>,
    loads: Vec<(Work, JoinHandle<Figures>)>,
    looks: Option<JoinHandle<u64>>,
    text: String,
    /// Bounds of time that were not kept.
    over: Vec<String>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) faults: Vec<String>,
}

impl Length {
    /// A rate, or a tenth of it.
    pub(crate) fn rate(self, full: f64) -> f64 {
        if self.is_full { full } else { full / 10.0 }
    }

    /// What is too little to spend in ten seconds for a fifth of the holds.
    pub(crate) fn tight(self) -> &'static str {
        if self.is_full { "1.5" } else { "0.15" }
    }

    /// A number, or another one.
    pub(crate) fn number(self, full: usize, short: usize) -> usize {
        if self.is_full { full } else { short }
    }

    /// A share of the length of a run.
    pub(crate) fn share(self, parts: u32) -> Duration {
        Duration::from_secs(self.seconds) / parts
    }
}

impl Play {
    /// Makes everybody on a server, and begins.
    pub(crate) async fn begin(length: Length, server: &Server, plan: Plan) -> Self {
        let world = Arc::new(World::make(server.address, plan).await);
        let began = Instant::now();
        Self {
            length,
            journal: Arc::default(),
            world,
            began,
            end: began + Duration::from_secs(length.seconds),
            is_disturbed: false,
            next: Arc::default(),
            loads: Vec::new(),
            looks: None,
            text: String::new(),
            over: Vec::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Loads servers until the end.
    pub(crate) fn put(&mut self, work: Work, clients: u32, rate: f64, servers: &[&Server]) {
        let addresses = servers.iter().map(|server| server.address).collect();
        self.put_at(work, clients, rate, addresses);
    }

    /// The same by addresses.
    pub(crate) fn put_at(
        &mut self,
        work: Work,
        clients: u32,
        rate: f64,
        addresses: Vec<std::net::SocketAddr>,
    ) {
        let load = Load {
            journal: Arc::clone(&self.journal),
            world: Arc::clone(&self.world),
            addresses,
            end: self.end,
            is_disturbed: self.is_disturbed,
            next: Arc::clone(&self.next),
        };
        // On a thread of its own: what it measures is how long a server takes, and not how long the other
        // clients of this program keep it waiting.
        let load = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(load.work(work, clients, rate))
        });
        self.loads.push((work, load));
    }

    /// Looks at the counters until the end, with a connection that is made anew when it breaks.
    pub(crate) async fn look(&mut self, stage: &Stage) {
        let (journal, end) = (Arc::clone(&self.journal), self.end);
        let (mut db, url) = (stage.database().await, stage.database_url());
        self.looks = Some(tokio::spawn(async move {
            let mut looks = 0;
            while Instant::now() < end {
                match checker::look(&db, &journal).await {
                    Ok(()) => looks += 1,
                    Err(_) => {
                        if let Ok(new) = connect(url.clone()).await {
                            db = new;
                        }
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
            looks
        }));
    }

    /// Adds to what is told of the run.
    pub(crate) fn tell(&mut self, text: &str) {
        write!(self.text, "; {text}").unwrap();
    }

    /// Tells a figure and the most that the plan allows.
    pub(crate) fn bound(&mut self, what: &str, value: f64, most: f64, unit: &str) {
        let text = format!("{what} {value:.1} {unit} (plan: {most} {unit})");
        if value > most || value.is_nan() {
            self.over.push(text.clone());
        }
        self.tell(&text);
    }

    /// Waits for the loads.
    pub(crate) async fn loads(&mut self) -> Vec<(Work, Figures)> {
        let mut figures = Vec::new();
        for (work, load) in std::mem::take(&mut self.loads) {
            figures.push((work, load.await.unwrap()));
        }
        for (work, figures) in &mut figures {
            let rate = figures.done / self.length.seconds.max(1);
            let (p50, p99) = (figures.percentile(50), figures.percentile(99));
            let refused = figures.refused;
            self.tell(&format!(
                "{work:?}: {rate}/s, p50 {p50:.1} ms, p99 {p99:.1} ms, {refused} refused"
            ));
        }
        figures
    }

    /// Ends the servers as an administrator does, and proves that the database is right.
    pub(crate) async fn finish(mut self, stage: &Stage, servers: Vec<Server>) -> Outcome {
        self.loads().await;
        if let Some(looks) = self.looks.take() {
            let looks = looks.await.unwrap();
            assert!(looks > 0, "nobody looked at the counters");
            self.tell(&format!("{looks} looks"));
        }
        for mut server in servers {
            server.signal("TERM");
            let status = server.ended().await;
            if !status.success() {
                self.journal.fault(format!("a server ended with {status}: {}", server.tail()));
            }
        }
        let db = stage.database().await;
        let proof = checker::prove(&db, &self.journal).await;
        db.close().await.unwrap();
        // It compares day by day, and finds what is not about money.
        let doctor = stage.command(&["doctor"]).output().await.unwrap();
        if !doctor.status.success() {
            let text = String::from_utf8_lossy(&doctor.stdout);
            let end = text.chars().take(2_000).collect::<String>();
            self.journal.fault(format!("doctor: {} {end}", doctor.status));
        }
        self.outcome(&proof)
    }

    pub(crate) fn outcome(mut self, proof: &checker::Proof) -> Outcome {
        let retries = self.journal.entries().retries;
        let checker::Proof { events, windows, live } = *proof;
        self.tell(&format!(
            "{events} events in {windows} windows, {live} live holds, {retries} requests sent again"
        ));
        let mut entries = self.journal.entries();
        let mut faults = std::mem::take(&mut entries.faults);
        if entries.more_faults > 0 {
            faults.push(format!("and {} more", entries.more_faults));
        }
        if self.length.is_full {
            faults.extend(self.over.iter().map(|text| format!("too slow: {text}")));
        }
        Outcome { text: self.text.trim_start_matches("; ").to_owned(), faults }
    }
}
