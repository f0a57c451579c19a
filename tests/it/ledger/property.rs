//! The ledger against a slow and obvious one, step by step, over random histories.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use entity::id::{ApiKeyId, Id};
use entity::value::Usd;
use entity::{budget_window, reservation, spend_total, usage_day, usage_event};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait};
use serde_json::{Value, json};
use tollkeep::domain::ledger::{Reserve, Reserved};

use super::reserve::request;
use super::{codes, event, gateway_with_id, record};
use crate::harness::client::text;
use crate::harness::database::Kind;
use crate::harness::world::api_key;
use crate::harness::{Client, ROOM, TestApp, on_each_database, on_each_database_with};
use crate::steps::done;

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.roll(list.len() as u64)).unwrap()]
    }
}

/// How a budget of the world begins anew.
#[derive(Clone, Copy, Debug)]
enum Cycle {
    Day,
    Month,
    Never,
}

impl Cycle {
    /// The start of the window of an instant, written by hand.
    fn start(self, at: DateTime<Utc>, made: DateTime<Utc>) -> DateTime<Utc> {
        let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).unwrap().and_utc();
        match self {
            Self::Day => midnight(at.date_naive()),
            Self::Month => midnight(at.date_naive().with_day(1).unwrap()),
            Self::Never => made,
        }
    }
}

/// A budget: its cycle, and the most that may be spent, in nano-dollars.
type Limit = (Cycle, i64);

/// Two teams in one organization, three keys; the organization's budget is a pot of both teams too.
struct Place {
    limits: Vec<Limit>,
    keys: Vec<(String, Vec<usize>)>,
}

async fn place(app: &TestApp) -> Place {
    let admin = app.admin();
    let tier = async |limits: Value| {
        let input = json!({ "name": "b", "limits": limits });
        done(&admin, "budgetCreate", input, "budget { id }").await["budget"]["id"].clone()
    };
    let pot = tier(json!({ "maxSpend": "0.00000008", "period": "1d" })).await;
    let month = tier(json!({ "maxSpend": "0.0000002", "period": "1mo" })).await;
    let never = tier(json!({ "maxSpend": "0.0000006" })).await;
    let only =
        tier(json!({ "maxSpend": "0.00000003", "period": "1d", "modelPattern": "gpt-*" })).await;
    let foreign = tier(json!({ "maxSpend": "0", "modelPattern": "claude-*" })).await;
    let shared = |id: &Value| json!({ "attach": { "budgetId": id, "counting": "SHARED" } });
    let each = |id: &Value| json!({ "attach": { "budgetId": id } });
    let organization = json!({ "name": "O", "budgets": [shared(&pot)] });
    let made = done(&admin, "organizationCreate", organization, "organization { id }").await;
    let organization = made["organization"]["id"].clone();
    let mut teams = Vec::new();
    for name in ["A", "B"] {
        let input = json!({ "name": name, "organizationId": organization,
            "budgets": [shared(&pot), each(&month), each(&foreign)] });
        let team = done(&admin, "teamCreate", input, "team { id }").await;
        teams.push(text(&team, "/team/id"));
    }
    let mut keys = Vec::new();
    for (team, budgets) in [(0, json!([each(&never)])), (0, json!([each(&only)])), (1, json!([]))] {
        let input =
            json!({ "kind": "SERVICE", "teamId": teams[team], "name": "k", "budgets": budgets });
        keys.push(api_key(&admin, input).await.0);
    }
    // 0 the pot, 1 and 2 the teams' months, 3 and 4 the keys' own.
    let limits = vec![
        (Cycle::Day, 80),
        (Cycle::Month, 200),
        (Cycle::Month, 200),
        (Cycle::Never, 600),
        (Cycle::Day, 30),
    ];
    let charged = [vec![0, 1, 3], vec![0, 1, 4], vec![0, 2]];
    Place { limits, keys: keys.into_iter().zip(charged).collect() }
}

/// A window: whose, by its place in the list, and when it began.
type Window = (usize, DateTime<Utc>);

/// What is held for a call, in the slow ledger.
#[derive(Clone, Debug)]
struct Hold {
    key: usize,
    amount: i64,
    windows: Vec<Window>,
    expires_at: DateTime<Utc>,
}

/// The slow ledger: everything that happened, added up whenever somebody asks.
struct Slow<'a> {
    place: &'a Place,
    made: DateTime<Utc>,
    events: BTreeMap<String, (usize, i64, Vec<Window>)>,
    holds: BTreeMap<String, Hold>,
}

impl Slow<'_> {
    fn windows(&self, key: usize, at: DateTime<Utc>) -> Vec<(usize, DateTime<Utc>)> {
        let budgets = &self.place.keys[key].1;
        budgets
            .iter()
            .map(|limit| (*limit, self.place.limits[*limit].0.start(at, self.made)))
            .collect()
    }

    fn spent(&self, window: (usize, DateTime<Utc>)) -> i64 {
        let in_it = self.events.values().filter(|(_, _, windows)| windows.contains(&window));
        in_it.map(|(_, cost, _)| cost).sum()
    }

    fn reserved(&self, window: (usize, DateTime<Utc>)) -> i64 {
        let in_it = self.holds.values().filter(|hold| hold.windows.contains(&window));
        in_it.map(|hold| hold.amount).sum()
    }

    fn expire(&mut self, now: DateTime<Utc>) {
        self.holds.retain(|_, hold| now < hold.expires_at);
    }

    fn reserve(
        &mut self,
        id: &str,
        key: usize,
        amount: i64,
        now: DateTime<Utc>,
        holds: TimeDelta,
    ) -> &'static str {
        if self.events.contains_key(id) {
            return "settled";
        }
        if let Some(hold) = self.holds.get(id).filter(|hold| now < hold.expires_at) {
            return if (hold.key, hold.amount) == (key, amount) { "granted" } else { "conflict" };
        }
        let windows = self.windows(key, now);
        let fits = |slow: &Self| {
            windows.iter().all(|window| {
                let (used, max) =
                    (slow.spent(*window) + slow.reserved(*window), slow.place.limits[window.0].1);
                used < max && used + amount <= max
            })
        };
        self.holds.remove(id);
        if !fits(self) {
            self.expire(now);
            if !fits(self) {
                return "refused";
            }
        }
        self.holds.insert(id.to_owned(), Hold { key, amount, windows, expires_at: now + holds });
        "granted"
    }

    fn record(&mut self, id: &str, key: usize, cost: i64, at: DateTime<Utc>) {
        let windows = match self.holds.remove(id) {
            Some(hold) if hold.key == key => hold.windows,
            _ => self.windows(key, at),
        };
        self.events.entry(id.to_owned()).or_insert((key, cost, windows));
    }
}

/// What the database has, added up from its rows.
struct Stored {
    windows: Vec<budget_window::Model>,
    events: Vec<usage_event::Model>,
    reservations: Vec<reservation::Model>,
    totals: Vec<spend_total::Model>,
    days: Vec<usage_day::Model>,
}

impl Stored {
    async fn read(database: &DatabaseConnection) -> Self {
        Self {
            windows: budget_window::Entity::find().all(database).await.unwrap(),
            events: usage_event::Entity::find().all(database).await.unwrap(),
            reservations: reservation::Entity::find().all(database).await.unwrap(),
            totals: spend_total::Entity::find().all(database).await.unwrap(),
            days: usage_day::Entity::find().all(database).await.unwrap(),
        }
    }

    /// SECURITY 4: `spent = Σ events`, `reserved = Σ live reservations`, in every window; the roll-up and
    /// the totals are sums of the same events.
    fn check(&self) {
        for window in &self.windows {
            let id = window.id.uuid();
            let spent: i64 = self
                .events
                .iter()
                .filter(|row| row.window_ids.0.contains(&id))
                .map(|row| row.cost.nanos())
                .sum();
            let reserved: i64 = self
                .reservations
                .iter()
                .filter(|row| row.window_ids.0.contains(&id))
                .map(|row| row.amount.nanos())
                .sum();
            assert_eq!(
                (window.spent.nanos(), window.reserved.nanos()),
                (spent, reserved),
                "{window:?}"
            );
        }
        let all: i64 = self.events.iter().map(|row| row.cost.nanos()).sum();
        let days: i64 = self.days.iter().map(|row| row.spent.nanos()).sum();
        let requests: i64 = self.days.iter().map(|row| row.requests).sum();
        assert_eq!((days, requests), (all, i64::try_from(self.events.len()).unwrap()));
        for total in &self.totals {
            let sum: i64 = self
                .events
                .iter()
                .filter(|row| {
                    let scopes = [
                        Some(row.api_key_id.uuid()),
                        row.team_id.map(Id::uuid),
                        row.organization_id.map(Id::uuid),
                    ];
                    scopes.contains(&Some(total.scope_id))
                })
                .map(|row| row.cost.nanos())
                .sum();
            assert_eq!(total.spent.nanos(), sum, "{total:?}");
        }
    }

    /// The counters of all windows that hold anything, as the multiset that both ledgers must have.
    fn counters(&self) -> Vec<(DateTime<Utc>, i64, i64)> {
        let rows =
            self.windows.iter().map(|row| (row.starts_at, row.spent.nanos(), row.reserved.nanos()));
        let mut rows: Vec<_> = rows.filter(|(_, spent, reserved)| spent + reserved > 0).collect();
        rows.sort_unstable();
        rows
    }
}

fn counters_of(slow: &Slow<'_>) -> Vec<(DateTime<Utc>, i64, i64)> {
    let windows: BTreeSet<_> = slow
        .events
        .values()
        .flat_map(|(_, _, windows)| windows.iter())
        .chain(slow.holds.values().flat_map(|hold| hold.windows.iter()))
        .copied()
        .collect();
    let mut rows: Vec<_> = windows
        .into_iter()
        .map(|window| (window.1, slow.spent(window), slow.reserved(window)))
        .filter(|(_, spent, reserved)| spent + reserved > 0)
        .collect();
    rows.sort_unstable();
    rows
}

fn word(outcome: &Reserved) -> &'static str {
    match outcome {
        Reserved::Granted { .. } => "granted",
        Reserved::Refused(_) => "refused",
        Reserved::Conflict => "conflict",
        Reserved::Settled => "settled",
    }
}

fn dollars(nanos: i64) -> String {
    Usd::from_nanos(nanos).to_string()
}

/// One history; how many events it recorded.
async fn history(app: &TestApp, seed: u64, steps: u32) -> usize {
    let place = place(app).await;
    let (gateway, gateway_id) = gateway_with_id(app).await;
    let gateway_key: ApiKeyId = gateway_id.parse().unwrap();
    let database = app.database().await;
    let ledger = app.app.ledger();
    // Seeds that are neighbours make histories that are not.
    let mut dice = Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut slow = Slow {
        place: &place,
        made: app.clock.now(),
        events: BTreeMap::new(),
        holds: BTreeMap::new(),
    };
    let ids: Vec<String> = (0..40).map(|n| format!("{seed}-{n}")).collect();
    for step in 0..steps {
        let now = app.clock.now();
        let id = dice.pick(&ids).clone();
        let key = usize::try_from(dice.roll(3)).unwrap();
        let amount = i64::try_from(dice.roll(25)).unwrap();
        let context = format!("seed {seed}, step {step}, {id}");
        match dice.roll(10) {
            0..=3 => {
                let holds = TimeDelta::minutes(1 + i64::try_from(dice.roll(300)).unwrap());
                let asked =
                    request(app, &gateway_id, &id, &place.keys[key].0, &dollars(amount)).await;
                let outcome =
                    ledger.reserve(Reserve { holds: Some(holds), ..asked }).await.unwrap();
                let expected = slow.reserve(&id, key, amount, now, holds);
                assert_eq!(word(&outcome), expected, "{context}");
            }
            4..=6 => {
                let late = TimeDelta::minutes(i64::try_from(dice.roll(4_000)).unwrap());
                let at = now - late;
                let mut call = event(&id, &place.keys[key].0, &dollars(amount));
                call["occurredAt"] = json!(at.to_rfc3339());
                let verdicts = record(&gateway, json!([call])).await;
                let known = slow.events.contains_key(&id);
                assert_eq!(codes(&verdicts)[0] == "RECORDED", !known, "{context}: {verdicts:?}");
                slow.record(&id, key, amount, at);
            }
            7 => {
                let released = ledger.release(gateway_key, id.clone()).await.unwrap();
                assert_eq!(released, slow.holds.remove(&id).is_some(), "{context}");
            }
            8 => {
                ledger.expire().await.unwrap();
                slow.expire(now);
            }
            _ => {
                let minutes = i64::try_from(dice.roll(600)).unwrap();
                app.clock.set(now + TimeDelta::minutes(minutes));
            }
        }
        // The sweep of the server runs beside: what is out of time may be there or gone.
        ledger.expire().await.unwrap();
        slow.expire(app.clock.now());
        let stored = Stored::read(&database).await;
        stored.check();
        assert_eq!(stored.counters(), counters_of(&slow), "{context}");
    }
    slow.events.len()
}

/// The number that a variable says, or another one.
fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}")),
        Err(_) => default,
    }
}

/// SECURITY 4, R18: random histories of reserving, settling, giving up, lateness, repetition and time agree
/// with the slow ledger at every step. `LEDGER_SEEDS` is their number, and `LEDGER_SEED` the first of them: a
/// failure names its own.
#[tokio::test]
async fn every_step_agrees_with_a_slow_ledger() {
    on_each_database(async |app| {
        let default = if app.kind == Kind::Sqlite { 60 } else { 6 };
        let (first, count) = (variable("LEDGER_SEED", 0), variable("LEDGER_SEEDS", default));
        let database = app.database().await;
        let mut events = 0;
        for seed in first..first + count {
            events += history(app, seed, STEPS).await;
            // The next one is about other budgets, and need not read these rows.
            for table in
                ["usage_events", "reservations", "budget_windows", "usage_daily", "spend_totals"]
            {
                database.execute_unprepared(&format!("DELETE FROM {table}")).await.unwrap();
            }
        }
        assert!(events as u64 > 5 * count, "histories in which something happens: {events}");
    })
    .await;
}

/// The steps of a history.
const STEPS: u32 = 60;

/// Reports in batches of any size, in any order, repeated at will and sent at once.
async fn shuffled(app: &TestApp, gateway: &Client, place: &Place, seed: u64) {
    let mut dice = Dice(seed);
    let mut events: Vec<(Value, usize, i64)> = (0..300)
        .map(|number| {
            let key = usize::try_from(dice.roll(3)).unwrap();
            let cost = i64::try_from(dice.roll(1_000)).unwrap();
            let mut call = event(&format!("{seed}-{number}"), &place.keys[key].0, &dollars(cost));
            let at =
                app.clock.now() - TimeDelta::minutes(i64::try_from(dice.roll(40_000)).unwrap());
            call["occurredAt"] = json!(at.to_rfc3339());
            (call, key, cost)
        })
        .collect();
    let expected: i64 = events.iter().map(|(_, _, cost)| cost).sum();
    // Every fifth event is sent again.
    let again: Vec<_> = events.iter().step_by(5).cloned().collect();
    events.extend(again);
    for at in (1..events.len()).rev() {
        events.swap(at, usize::try_from(dice.roll(at as u64 + 1)).unwrap());
    }
    let mut batches = Vec::new();
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let size = usize::try_from(1 + dice.roll(40)).unwrap().min(rest.len());
        let (batch, others) = rest.split_at(size);
        batches.push(json!(batch.iter().map(|(call, ..)| call.clone()).collect::<Vec<_>>()));
        rest = others;
    }
    let verdicts =
        futures_util::future::join_all(batches.into_iter().map(|batch| record(gateway, batch)))
            .await;
    let verdicts = verdicts.concat();
    let recorded = codes(&verdicts).iter().filter(|code| **code == "RECORDED").count();
    assert_eq!((recorded, verdicts.len()), (300, 360));
    assert!(codes(&verdicts).iter().all(|code| ["RECORDED", "DUPLICATE"].contains(code)));
    let stored = Stored::read(&app.database().await).await;
    stored.check();
    assert_eq!(stored.events.iter().map(|row| row.cost.nanos()).sum::<i64>(), expected);
}

/// SECURITY 2, case 27, and R3: the order in which reports come, and how often, does not matter.
#[tokio::test]
async fn the_order_of_reports_does_not_matter() {
    on_each_database_with(ROOM, async |app| {
        let place = place(app).await;
        let gateway = super::gateway(app).await;
        shuffled(app, &gateway, &place, 42).await;
    })
    .await;
}
