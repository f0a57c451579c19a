//! The proof: what the database holds is what was acknowledged, to the last digit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::journal::{Entries, Journal};

/// The budgets of a call.
const BUDGETS: usize = 4;

/// The events that are read at a time.
const PAGE: usize = 10_000;

/// What was proved, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    pub(crate) events: usize,
    pub(crate) windows: usize,
    pub(crate) live: usize,
}

/// The sums that the events of the ledger make.
#[derive(Debug, Default)]
struct Sums {
    seen: HashSet<String>,
    by_window: HashMap<Uuid, i64>,
    by_scope: HashMap<Uuid, i64>,
    all: i64,
}

/// Compares the database with the journal. What does not hold becomes a fault in the journal.
pub(crate) async fn prove(db: &DatabaseConnection, journal: &Journal) -> Proof {
    let mut sums = Sums::default();
    let mut after = Uuid::nil();
    loop {
        let rows = events_after(db, after).await;
        let mut entries = journal.entries();
        for row in &rows {
            after = get(row, "id");
            sums.add(row, &mut entries);
        }
        if rows.len() < PAGE {
            break;
        }
    }
    let reservations = rows(db, "SELECT request_id, amount, window_ids FROM reservations").await;
    let windows = rows(db, WINDOWS).await;
    let totals = rows(db, "SELECT scope_id, spent FROM spend_totals").await;
    let days = rows(db, "SELECT spent FROM usage_daily").await;

    let mut entries = journal.entries();
    let entries = &mut *entries;
    let acknowledged = entries.events.iter().filter(|(_, event)| event.is_acknowledged);
    let lost: Vec<_> = acknowledged
        .filter(|(request, _)| !sums.seen.contains(*request))
        .map(|(request, _)| format!("{request} was acknowledged as recorded and is not there"))
        .collect();
    for text in lost {
        entries.fault(text);
    }
    let mut held: HashMap<Uuid, i64> = HashMap::new();
    let mut live = HashSet::new();
    for row in &reservations {
        let (request, amount): (String, i64) = (get(row, "request_id"), get(row, "amount"));
        for window in windows_of(row, &request, entries) {
            *held.entry(window).or_default() += amount;
        }
        if entries.released.contains(&request) || sums.seen.contains(&request) {
            entries.fault(format!("{amount} is held for {request}, which is over"));
        }
        match entries.holds.get(&request) {
            Some(asked) if asked.amount == amount => {}
            other => entries.fault(format!("{amount} is held for {request}, asked: {other:?}")),
        }
        live.insert(request);
    }
    let standing = entries.holds.iter().filter(|(_, hold)| hold.is_granted && !hold.may_be_over);
    let lost: Vec<_> = standing
        .filter(|(request, _)| !live.contains(*request))
        .map(|(request, _)| format!("{request} was granted, nothing ended it, and is not held"))
        .collect();
    for text in lost {
        entries.fault(text);
    }
    for row in &windows {
        let id: Uuid = get(row, "id");
        let (spent, reserved): (i64, i64) = (get(row, "spent"), get(row, "reserved"));
        let of_events = sums.by_window.remove(&id).unwrap_or_default();
        let of_holds = held.remove(&id).unwrap_or_default();
        if (spent, reserved) != (of_events, of_holds) {
            entries.fault(format!(
                "window {id} has {spent} spent and {reserved} reserved; its events make \
                 {of_events}, its reservations {of_holds}"
            ));
        }
    }
    if !sums.by_window.is_empty() || !held.is_empty() {
        entries.fault("events or reservations name windows that are not there".to_owned());
    }
    for row in &totals {
        let (scope, spent): (Uuid, i64) = (get(row, "scope_id"), get(row, "spent"));
        let of_events = sums.by_scope.remove(&scope).unwrap_or_default();
        if spent != of_events {
            entries.fault(format!("{scope} has spent {spent}; its events make {of_events}"));
        }
    }
    if !sums.by_scope.is_empty() {
        entries.fault(format!("{} scopes of events have no totals", sums.by_scope.len()));
    }
    let of_days: i64 = days.iter().map(|row| get::<i64>(row, "spent")).sum();
    if of_days != sums.all {
        entries.fault(format!("the days make {of_days}, the events {}", sums.all));
    }
    Proof { events: sums.seen.len(), windows: windows.len(), live: live.len() }
}

const WINDOWS: &str = "SELECT w.id, w.budget_id, w.scope_id, w.starts_at, w.spent, w.reserved, \
    b.max_spend FROM budget_windows w JOIN budgets b ON b.id = w.budget_id";

/// Looks at all windows at this moment: none has more spent and reserved than it may.
pub(crate) async fn look(db: &DatabaseConnection, journal: &Journal) -> Result<(), sea_orm::DbErr> {
    let found = try_rows(db, WINDOWS).await?;
    for row in &found {
        let (spent, reserved): (i64, i64) = (get(row, "spent"), get(row, "reserved"));
        let max: Option<i64> = get(row, "max_spend");
        if let Some(max) = max.filter(|max| spent + reserved > *max) {
            let id: Uuid = get(row, "id");
            journal.fault(format!("window {id}: {spent} + {reserved} is above {max}"));
        }
    }
    Ok(())
}

/// The windows of each counter: what is spent and reserved, by their starts.
pub(crate) type Counters = BTreeMap<(Uuid, Uuid), BTreeMap<DateTime<Utc>, i64>>;

/// All counters at this moment.
pub(crate) async fn counters(db: &DatabaseConnection) -> Result<Counters, sea_orm::DbErr> {
    let mut counters = Counters::new();
    for row in try_rows(db, WINDOWS).await? {
        let (spent, reserved): (i64, i64) = (get(&row, "spent"), get(&row, "reserved"));
        let windows = counters.entry((get(&row, "budget_id"), get(&row, "scope_id"))).or_default();
        windows.insert(get(&row, "starts_at"), spent + reserved);
    }
    Ok(counters)
}

impl Sums {
    fn add(&mut self, row: &QueryResult, entries: &mut Entries) {
        let (request, cost): (String, i64) = (get(row, "request_id"), get(row, "cost"));
        match entries.events.get(&request) {
            Some(event) if event.cost == cost => {}
            other => entries.fault(format!("{request} cost {cost}, reported was {other:?}")),
        }
        for window in windows_of(row, &request, entries) {
            *self.by_window.entry(window).or_default() += cost;
        }
        for scope in SCOPES {
            if let Some(scope) = get::<Option<Uuid>>(row, scope) {
                *self.by_scope.entry(scope).or_default() += cost;
            }
        }
        self.all += cost;
        if !self.seen.insert(request.clone()) {
            entries.fault(format!("{request} is recorded twice"));
        }
    }
}

const SCOPES: [&str; 7] = [
    "api_key_id",
    "organization_id",
    "team_id",
    "team_membership_id",
    "project_id",
    "user_id",
    "end_user_id",
];

async fn events_after(db: &DatabaseConnection, after: Uuid) -> Vec<QueryResult> {
    let backend = db.get_database_backend();
    let mark = if backend == DbBackend::Sqlite { "?" } else { "$1" };
    let sql = format!(
        "SELECT id, request_id, cost, window_ids, {} FROM usage_events WHERE id > {mark} \
         ORDER BY id LIMIT {PAGE}",
        SCOPES.join(", ")
    );
    let statement = Statement::from_sql_and_values(backend, sql, [Value::from(after)]);
    db.query_all_raw(statement).await.unwrap()
}

async fn try_rows(db: &DatabaseConnection, sql: &str) -> Result<Vec<QueryResult>, sea_orm::DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

async fn rows(db: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    try_rows(db, sql).await.unwrap()
}

fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &str) -> T {
    row.try_get("", column).unwrap()
}

/// The windows in which a call counts: those of its key, project, team and organization.
fn windows_of(row: &QueryResult, request: &str, entries: &mut Entries) -> BTreeSet<Uuid> {
    let bytes: Vec<u8> = get(row, "window_ids");
    let ids = bytes.chunks_exact(16).map(|bytes| Uuid::from_slice(bytes).unwrap());
    let windows: BTreeSet<_> = ids.collect();
    if (windows.len(), bytes.len()) != (BUDGETS, BUDGETS * 16) {
        entries.fault(format!("{request} counts in other than {BUDGETS} windows: {windows:?}"));
    }
    windows
}
