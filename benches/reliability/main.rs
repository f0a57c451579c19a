//! Proves that Tollkeep stays right under load and faults: the runs of the reliability plan, each on
//! servers of its own, with a journal of every acknowledged call and a proof at the end.
//!
//! `cargo bench --bench reliability` makes all runs in full: on a release build, ten minutes each, at
//! the rates of the plan and within its bounds of time. `cargo test --bench reliability -- --short`
//! makes them in thirty seconds each at a tenth of the rates, and judges what must always hold and no
//! times. Names after that choose runs (`R4 R5`); `RELIABILITY_SECONDS` is their length. The runs on
//! PostgreSQL start a server of their own, and need its programs, libfaketime and `unshare`;
//! `TOLLKEEP_TEST_DATABASES=sqlite` leaves them out. Everything listens on the loopback interface.
//!
//! What is proved after every run: each acknowledged event is there, each event once and with its
//! cost; what every window, scope and day has spent is the sum of its events; what is reserved is the
//! sum of the live reservations; and at no moment that was looked at, more was spent and reserved than
//! a budget allows. A program that could not make a run ends with an error: nothing is skipped.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a run fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the proof looks past the layers on purpose")]

mod calm;
mod checker;
mod client;
mod clock;
mod crashes;
mod journal;
mod load;
mod play;
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;
mod pressure;
mod replicas;
mod rolling;
mod stage;
mod world;

use std::io::Write as _;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use clock::Whose;
use play::{Length, Outcome};
use stage::Data;

/// The runs: their names in the plan, and what they are about.
const RUNS: [(&str, &str); 13] = [
    ("R1", "checks of many keys"),
    ("R2", "holds and settlements in four windows"),
    ("R3", "reports, a fifth of them twice"),
    ("R4", "the server is killed"),
    ("R5", "PostgreSQL is killed"),
    ("R6", "servers are restarted in turn"),
    ("R7", "others use the database up"),
    ("R8", "conflicts and deadlocks"),
    ("R10", "revocations on two servers, one of which freezes"),
    ("R11", "the machine's clock jumps, on SQLite"),
    ("R11b", "the clock of PostgreSQL jumps"),
    ("R13", "the server on SQLite is killed"),
    ("R13b", "the disk is full"),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let is_full = arguments.iter().any(|argument| argument == "--bench");
    // `cargo test --all-targets` passes neither: it only wants to see that this can be run.
    if !is_full && arguments.iter().all(|argument| argument != "--short") {
        return;
    }
    let names: Vec<_> = arguments.iter().filter(|name| !name.starts_with("--")).collect();
    if let Some(unknown) = names.iter().find(|name| RUNS.iter().all(|(known, _)| known != **name)) {
        panic!("there is no run {unknown}");
    }
    let seconds = match std::env::var("RELIABILITY_SECONDS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("RELIABILITY_SECONDS is {text:?}")),
        Err(_) if is_full => 600,
        Err(_) => 30,
    };
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| *chosen == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let length = Length { seconds, is_full };
    let is_right = runtime.block_on(all(length, is_chosen));
    std::process::exit(i32::from(!is_right));
}

/// Makes the runs, and tells whether all of them were right. Full ones have the machine to themselves,
/// and so has the one that uses everything up; of the others two go on at a time.
async fn all(length: Length, is_chosen: impl Fn(&str) -> bool) -> bool {
    let postgres = match std::env::var("TOLLKEEP_TEST_DATABASES").as_deref() {
        Ok("sqlite") => None,
        _ => Some(Data::postgres()),
    };
    let room = Arc::new(Semaphore::new(2));
    let mut runs = JoinSet::new();
    for (name, what) in RUNS.into_iter().filter(|(name, _)| is_chosen(name)) {
        let is_on_sqlite = ["R11", "R13", "R13b"].contains(&name);
        let data = if is_on_sqlite { Some(Data::Sqlite) } else { postgres.clone() };
        let Some(data) = data else {
            say(&format!("{name}: left out, as TOLLKEEP_TEST_DATABASES says"));
            continue;
        };
        let takes = if length.is_full || name == "R7" { 2 } else { 1 };
        let room = Arc::clone(&room).acquire_many_owned(takes).await.unwrap();
        runs.spawn(async move {
            // In a task of its own: a run that panics is one that failed.
            let outcome = tokio::spawn(run(name, data, length)).await;
            let Outcome { text, faults } = outcome.unwrap_or_else(|error| Outcome {
                text: "it broke off".to_owned(),
                faults: vec![error.to_string()],
            });
            say(&format!("{name}, {what}: {text}"));
            for fault in &faults {
                say(&format!("    FAULT in {name}: {fault}"));
            }
            drop(room);
            faults.is_empty()
        });
    }
    let mut is_right = true;
    while let Some(run) = runs.join_next().await {
        is_right &= run.unwrap();
    }
    is_right
}

async fn run(name: &str, data: Data, length: Length) -> Outcome {
    match name {
        "R1" => calm::checks(data, length).await,
        "R2" => calm::holds(data, length).await,
        "R3" => calm::reports(data, length).await,
        "R4" | "R13" => crashes::server(name, data, length).await,
        "R5" => crashes::database(length).await,
        "R6" => rolling::restarts(data, length).await,
        "R7" => pressure::overload(data, length).await,
        "R8" => pressure::conflicts(data, length).await,
        "R10" => replicas::revocations(data, length).await,
        "R11" => clock::jumps(data, length, Whose::Machine).await,
        "R11b" => clock::jumps(data, length, Whose::Database).await,
        "R13b" => crashes::full_disk(data, length).await,
        other => panic!("there is no run {other}"),
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").unwrap();
    out.flush().unwrap();
}
