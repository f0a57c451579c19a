//! Measures the program as people run it, and floors in the same run: the ratios are the result.
//!
//! `cargo bench --bench api` starts the real server on SQLite and on PostgreSQL, fills it, puts load
//! on it, prints one table, and stops all that it started. The floor of a row is a bare axum handler
//! in a process of its own, which parses the same JSON and answers the same bytes. Server, floor,
//! database and load share the machine, so that only numbers of one run can be compared.
//!
//! `BENCH_SECONDS` is the length of a measurement (3), `BENCH_KEYS` the number of API keys (400000),
//! `BENCH_ONLY` a text that the names of the rows to be measured have, `DATABASE_URL` or
//! `TEST_DATABASE_URL` a PostgreSQL server to use in place of a private one;
//! `TOLLKEEP_TEST_DATABASES` (`sqlite` or `postgres`) leaves the other database out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a benchmark looks past the layers on purpose")]

mod calls;
mod database;
mod floor;
mod load;
mod pgbench;
mod plain;
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;
mod processor;
mod program;
mod questions;
mod rate_limit;
mod rows;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tollkeep::db::{Direction, Page, PageRequest, SortField};
use tollkeep::domain::api_key::Filter;

use database::{Kind, Place};
use floor::Floor;
use load::{Connection, Measured, Target};
use plain::Teams;
use program::Program;
use questions::{Body, query};
use rows::Seed;
use table::{Row, Table};

/// The number of models.
const MODELS: u64 = 5_000;

/// How often the program is started to see how long that takes.
const STARTS: usize = 10;

/// The numbers of clients that ask at a time.
const CLIENTS: [usize; 2] = [1, 16];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == floor::ARGUMENT) {
        floor::serve();
    } else if arguments.iter().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(all());
    }
    // `cargo test --all-targets` passes neither: it only wants to see that this can be run.
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")),
        Err(_) => default,
    }
}

async fn all() {
    let mut bench = Bench {
        span: Duration::from_secs_f64(setting("BENCH_SECONDS", 3.0)),
        keys: setting("BENCH_KEYS", 400_000),
        only: setting("BENCH_ONLY", String::new()),
        floor: Floor::start(),
        table: Table::default(),
    };
    if bench.only.is_empty() {
        rate_limit::measure(&mut bench.table).await;
        bench.starts().await;
    }
    for kind in database::kinds() {
        match Place::make(kind).await {
            Ok(place) => {
                bench.on(&place).await;
                place.remove().await;
            }
            Err(message) => eprintln!("left out: {message}"),
        }
    }
    table::print(&bench.table);
}

/// One run.
struct Bench {
    span: Duration,
    keys: u64,
    only: String,
    floor: Floor,
    table: Table,
}

impl Bench {
    /// Starts on an empty folder: until the program is ready, and what it then takes of memory.
    async fn starts(&mut self) {
        let mut times = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..STARTS {
            let folder = tempfile::tempdir().unwrap();
            let program = Program::start(folder.path(), &[], &[]).await;
            times.push(program.ready_after);
            memory.push(program.resident_mib());
        }
        times.sort();
        memory.sort_by(f64::total_cmp);
        let time = times[STARTS / 2].as_secs_f64() * 1_000.0;
        let what = format!("start on an empty folder until ready, median of {STARTS}");
        self.table.fact(Kind::Sqlite.name(), &what, &format!("{time:.0} ms"));
        let what = "resident memory when ready, empty";
        self.table.fact(Kind::Sqlite.name(), what, &format!("{:.1} MiB", memory[STARTS / 2]));
    }

    /// Everything that is measured on one database.
    async fn on(&mut self, place: &Place) {
        let program = place.serve().await;
        let name = place.kind.name();
        let admin = program.target(Some(program::ADMIN_KEY));
        let mut seed = Seed::connect(place).await;

        let person = person(&admin).await;
        for clients in CLIENTS {
            let body = questions::viewer();
            self.row(name, "`viewer`, admin key", &admin, clients, &body).await;
            let target = program.target(Some(&person));
            self.row(name, "`viewer`, a person's key", &target, clients, &body).await;
        }
        self.calls(place, &program).await;
        self.models(name, &program, &mut seed).await;

        let mut few = Vec::new();
        for teams in [1_000, 10_000] {
            seed.teams(teams).await;
            let of = format!("{} teams", grouped(teams));
            few = self.dashboard(place, &admin, &format!("dashboard at {of}"), &few).await;
            self.one_team(place, &admin, teams, &of).await;
        }
        self.keys(name, &admin, &mut seed).await;
        self.cached_keys(name, &program, seed.keys.min(100_000)).await;
        let of = format!("{} teams, {} keys", grouped(seed.teams), grouped(seed.keys));
        self.dashboard(place, &admin, &format!("dashboard at {of}"), &few).await;

        for clients in CLIENTS {
            self.row(name, "`teamCreate`", &admin, clients, &questions::team_create).await;
            self.row(name, "`apiKeyCreate`", &admin, clients, &questions::api_key_create).await;
        }
        let memory = format!("{:.1} MiB", program.resident_mib());
        self.table.fact(name, "resident memory after all this", &memory);
        seed.close().await;
    }

    /// The lists of models, and what is behind one name.
    async fn models(&mut self, name: &'static str, program: &Program, seed: &mut Seed) {
        seed.models(MODELS).await;
        let admin = program.target(Some(program::ADMIN_KEY));
        let gateway = program.target(Some(&key(&admin, "kind: GATEWAY").await));
        let of = format!("{} models", grouped(MODELS));
        for clients in CLIENTS {
            let what = format!("first 50 of {of}");
            self.row(name, &what, &admin, clients, &questions::first_models()).await;
            for (kind, text) in [("1 in 1,000", "amber"), ("none", "no model has this")] {
                let what = format!("search in {of}, hits: {kind}");
                self.row(name, &what, &admin, clients, &questions::models_with(text)).await;
            }
            let what = format!("one name of {of}");
            self.row(name, &what, &admin, clients, &questions::models_of_name(MODELS)).await;
            let what = format!("`modelResolve` of {of}");
            self.row(name, &what, &gateway, clients, &questions::model_resolve(MODELS)).await;
        }
    }

    /// The lists of keys.
    async fn keys(&mut self, name: &'static str, admin: &Target, seed: &mut Seed) {
        for keys in [100_000.min(self.keys), self.keys] {
            seed.keys(keys).await;
            let of = format!("{} keys", grouped(seed.keys));
            for (kind, text) in [("1 in 1,000", "amber"), ("none", "no key has this")] {
                let what = format!("search in {of}, hits: {kind}");
                let search = "query($text: String!) {
                    apiKeys(first: 20, filter: { search: $text }) { nodes { id name } } }";
                let body = query(search, &json!({ "text": text }));
                self.row(name, &what, admin, 1, &body).await;
            }
            let body = query("{ apiKeys(first: 1) { totalCount } }", &json!({}));
            self.row(name, &format!("`totalCount` of {of}"), admin, 1, &body).await;
        }
        let of = format!("{} keys", grouped(seed.keys));
        for (label, field, sort) in
            [("name", "NAME", SortField::Name), ("creation", "CREATED_AT", SortField::Created)]
        {
            let page = format!(
                "query($after: String) {{ apiKeys(first: 20, after: $after, \
                 orderBy: {{ field: {field} }}) {{ nodes {{ id name createdAt }} }} }}"
            );
            let middle = middle(seed, sort);
            for clients in CLIENTS {
                let what = format!("first page by {label} of {of}");
                self.row(name, &what, admin, clients, &query(&page, &json!({}))).await;
            }
            let what = format!("page in the middle by {label} of {of}");
            let body = query(&page, &json!({ "after": middle }));
            self.row(name, &what, admin, 1, &body).await;
        }
    }

    /// The dashboard, against the same rows in plain SQL, and against an earlier one.
    async fn dashboard(
        &mut self,
        place: &Place,
        admin: &Target,
        what: &str,
        earlier: &[Measured],
    ) -> Vec<Measured> {
        let mut all = Vec::new();
        for (index, clients) in CLIENTS.into_iter().enumerate() {
            let body = questions::dashboard();
            let measured = self.row(place.kind.name(), what, admin, clients, &body).await;
            let Some(measured) = measured else { continue };
            let mut notes = Vec::new();
            if let Some(earlier) = earlier.get(index) {
                let growth = measured.p50 / earlier.p50;
                notes.push(format!("p50 is {growth:.2} × the one before"));
            }
            notes.extend(self.against_plain(place, Teams::First, clients, measured).await);
            self.table.note(&notes.join("; "));
            all.push(measured);
        }
        all
    }

    /// What the dashboard shows of one team, against the same rows in plain SQL.
    async fn one_team(&mut self, place: &Place, admin: &Target, teams: u64, of: &str) {
        for clients in CLIENTS {
            let what = format!("`team(id)`, one of {of}");
            let body = questions::team(teams);
            let measured = self.row(place.kind.name(), &what, admin, clients, &body).await;
            let Some(measured) = measured else { continue };
            let plain = self.against_plain(place, Teams::OneOf(teams), clients, measured).await;
            self.table.note(&plain.unwrap_or_default());
        }
    }

    /// What share it is of what plain SQL reaches, where that is measured.
    async fn against_plain(
        &self,
        place: &Place,
        teams: Teams,
        clients: usize,
        measured: Measured,
    ) -> Option<String> {
        let url = place.plain_url()?;
        let plain = plain::measure(&url, teams, clients, self.span).await;
        let share = measured.rate / plain.rate;
        let by_processor = plain.spent.total() / measured.spent.total();
        Some(format!(
            "{share:.2} of {:.0}/s in plain SQL; {by_processor:.2} by the processor time of {:.2} ms",
            plain.rate,
            plain.spent.total()
        ))
    }

    /// Measures the server and the floor with the same requests, and notes both.
    async fn row(
        &mut self,
        database: &'static str,
        what: &str,
        target: &Target,
        clients: usize,
        body: Body<'_>,
    ) -> Option<Measured> {
        if !what.contains(&self.only) {
            return None;
        }
        // What is read of a key once is not what is measured.
        Connection::open(target).await.ask(&target.request(&body(number()))).await;
        let answer = Connection::open(target).await.ask(&target.request(&body(number()))).await;
        let statements = answer.statements();
        self.floor.answers(&answer.body).await;
        let measured = Self::load(target, clients, body, self.span).await;
        let floor = Self::load(&self.floor.target(), clients, body, self.span / 2).await;
        self.table.push(Row {
            database,
            what: what.to_owned(),
            clients,
            statements,
            measured,
            floor: floor.rate,
            note: String::new(),
        });
        Some(measured)
    }

    async fn load(target: &Target, clients: usize, body: Body<'_>, span: Duration) -> Measured {
        let mut workers = Vec::new();
        for _ in 0..clients {
            let mut connection = Connection::open(target).await;
            workers.push(async move || {
                connection.ask(&target.request(&body(number()))).await;
            });
        }
        load::measure(workers, span, target.process).await
    }
}

/// A number that no request had before.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes a user with a key, through the API, and returns the secret.
async fn person(admin: &Target) -> String {
    let mutation = "mutation { userCreate(input: { name: \"Ada\" }) { user { id } } }";
    let body = json!({ "query": mutation });
    let made = Connection::open(admin).await.ask(&admin.request(&body)).await.json();
    let id = made["data"]["userCreate"]["user"]["id"].as_str().unwrap().to_owned();
    key(admin, &format!("userId: \"{id}\"")).await
}

/// Makes a key, through the API, and returns the secret.
async fn key(admin: &Target, input: &str) -> String {
    let mutation = format!("mutation {{ apiKeyCreate(input: {{ {input} }}) {{ secret }} }}");
    let body = json!({ "query": mutation });
    let made = Connection::open(admin).await.ask(&admin.request(&body)).await.json();
    made["data"]["apiKeyCreate"]["secret"].as_str().unwrap().to_owned()
}

/// A cursor in the middle of the list of all keys.
fn middle(seed: &Seed, field: SortField) -> String {
    let order = (field, Direction::Ascending);
    let page = Page::new(&PageRequest::default(), order, &Filter::default()).unwrap();
    page.cursor_of(rows::MIDDLE_NAME, rows::key_id(seed.keys / 2))
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
