//! What gateways ask for every call: checks, holds, and reports of usage.

use std::time::Instant;

use serde_json::{Value, json};

use crate::database::Place;
use crate::load::{Connection, Target};
use crate::program::{ADMIN_KEY, Program};
use crate::{Bench, CLIENTS, grouped, key, load, number, pgbench, rows};

/// The events of a report.
const BATCH: u32 = 100;

/// A team with budgets, a key of it, and the key's id.
struct Caller {
    secret: String,
    id: String,
}

impl Bench {
    /// Checks that are answered from memory, holds with their settlement, and reports.
    pub(crate) async fn calls(&mut self, place: &Place, program: &Program) {
        let name = place.kind.name();
        let admin = program.target(Some(ADMIN_KEY));
        let gateway = key(&admin, "kind: GATEWAY").await;
        let checks = program.target(Some(&gateway)).at("POST /v1/check");
        let reports = program.target(Some(&gateway)).at("POST /v1/usage");
        for budgets in [1, 5, 20] {
            let caller = caller(&admin, budgets).await;
            let body = |_| {
                json!({ "credential": caller.secret, "model": "gpt-4o",
                    "route": "/v1/chat/completions", "estimate": { "costUsd": "0.01" } })
            };
            for clients in CLIENTS {
                let what = format!("`/v1/check`, warm, {budgets} budget(s) in the chain");
                self.row(name, &what, &checks, clients, &body).await;
            }
        }
        let caller = caller(&admin, 1).await;
        let body = |first: u64| {
            let events = (0..BATCH).map(|place| caller.event(&format!("b{first}-{place}")));
            json!({ "events": events.collect::<Vec<_>>() })
        };
        for clients in CLIENTS {
            let what = format!("`/v1/usage`, {BATCH} events of one team");
            if let Some(measured) = self.row(name, &what, &reports, clients, &body).await {
                let mut note = format!("{:.0} events/s", measured.rate * f64::from(BATCH));
                if let Some(url) = place.plain_url()
                    && let Some(plain) = pgbench::ingest(&url, BATCH, clients, self.span).await
                {
                    let share = measured.rate / plain;
                    note.push_str(&format!("; {share:.2} of {plain:.0}/s by pgbench"));
                }
                self.table.note(&note);
            }
        }
        for clients in CLIENTS {
            self.hold(name, &caller, &checks, &reports, clients).await;
        }
    }

    /// What the server holds in memory when it has been asked about so many keys.
    pub(crate) async fn cached_keys(&mut self, name: &'static str, program: &Program, keys: u64) {
        let what = format!("resident memory for {} cached keys", grouped(keys));
        if !what.contains(&self.only) {
            return;
        }
        let admin = program.target(Some(ADMIN_KEY));
        let checks = program.target(Some(&key(&admin, "kind: GATEWAY").await));
        let checks = checks.at("POST /v1/check");
        let mut connection = Connection::open(&checks).await;
        let before = program.resident_mib();
        let began = Instant::now();
        for first in (0..keys).step_by(100) {
            let part = first..keys.min(first + 100);
            let one = |number| json!({ "credential": rows::key_secret(number), "model": "gpt-4o" });
            let body = json!({ "checks": part.map(one).collect::<Vec<_>>() });
            let decisions = connection.ask(&checks.request(&body)).await.json();
            let decisions = decisions["decisions"].as_array().unwrap();
            assert!(decisions.iter().all(|decision| decision["allow"] == true), "{decisions:?}");
        }
        let count = f64::from(u32::try_from(keys).unwrap());
        let rate = count / began.elapsed().as_secs_f64();
        let grown = program.resident_mib() - before;
        let each = grown * 1_024.0 / count;
        let value = format!("{grown:.0} MiB more, {each:.1} KiB each; read at {rate:.0} keys/s");
        self.table.fact(name, &what, &value);
    }

    /// Calls that are held and settled, all under one budget.
    async fn hold(
        &mut self,
        name: &'static str,
        caller: &Caller,
        checks: &Target,
        reports: &Target,
        clients: usize,
    ) {
        let what = "hold and settle, one hot team";
        if !what.contains(&self.only) {
            return;
        }
        let mut workers = Vec::new();
        for _ in 0..clients {
            let mut connection = Connection::open(checks).await;
            workers.push(async move || {
                let request = format!("h{}", number());
                let hold = json!({ "credential": caller.secret, "model": "gpt-4o",
                    "mode": "reserve", "requestId": request, "estimate": { "costUsd": "0.01" } });
                connection.ask(&checks.request(&hold)).await;
                let report = json!({ "events": [caller.event(&request)] });
                connection.ask(&reports.request(&report)).await;
            });
        }
        let measured = load::measure(workers, self.span, checks.process).await;
        let value = format!(
            "{:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            measured.rate, measured.p50, measured.p99
        );
        self.table.fact(name, &format!("{what}, {clients} client(s)"), &value);
    }
}

impl Caller {
    fn event(&self, request: &str) -> Value {
        json!({ "requestId": request, "apiKeyId": self.id, "model": "gpt-4o", "inputTokens": 900,
            "outputTokens": 100, "cost": "0.0075" })
    }
}

/// Makes a team with so many budgets, and a key of it.
async fn caller(admin: &Target, budgets: u32) -> Caller {
    let mut connection = Connection::open(admin).await;
    let budgets: Vec<_> = (0..budgets)
        .map(|n| json!({ "create": { "maxSpend": (1_000_000 + n).to_string(), "period": "1mo" } }))
        .collect();
    let mutation =
        "mutation($input: TeamCreateInput!) { teamCreate(input: $input) { team { id } } }";
    let input = json!({ "name": "calls", "budgets": budgets });
    let body = json!({ "query": mutation, "variables": { "input": input } });
    let made = connection.ask(&admin.request(&body)).await.json();
    let team = made["data"]["teamCreate"]["team"]["id"].as_str().unwrap();
    let mutation = "mutation($input: ApiKeyCreateInput!) {
        apiKeyCreate(input: $input) { secret apiKey { id } } }";
    let input = json!({ "kind": "SERVICE", "teamId": team });
    let body = json!({ "query": mutation, "variables": { "input": input } });
    let made = connection.ask(&admin.request(&body)).await.json();
    let made = &made["data"]["apiKeyCreate"];
    Caller {
        secret: made["secret"].as_str().unwrap().to_owned(),
        id: made["apiKey"]["id"].as_str().unwrap().to_owned(),
    }
}
