//! Holding what calls will cost: exactly, for a time, and settled once.

use std::sync::Arc;

use chrono::TimeDelta;
use entity::value::Usd;
use serde_json::{Value, json};
use tollkeep::domain::access::facts::{self, TagFacts};
use tollkeep::domain::ledger::{Attribution, Reserve, Reserved, charges};
use tollkeep::enforcement::call::Call;
use tollkeep::error::Error;

use super::{budget, codes, event, gateway_with_id, record, spend, team_with_key};
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::{TestApp, on_each_database};
use crate::steps::{done, execute, read, rows, sql_id};

/// What a gateway would ask for a call of a key.
pub(super) async fn request(
    app: &TestApp,
    gateway: &str,
    request: &str,
    key: &str,
    amount: &str,
) -> Reserve {
    let database = app.database().await;
    let id = key.parse().unwrap();
    let facts = facts::load(&database, &[id]).await.unwrap().remove(&id).unwrap();
    let now = app.clock.now();
    let model = Some("gpt-4o".to_owned());
    let amount = amount.parse().unwrap();
    let call = Call { model: model.clone(), cost: Some(amount), ..Call::default() };
    Reserve {
        gateway: gateway.parse().unwrap(),
        request_id: request.to_owned(),
        asked: call.digest(id),
        attribution: Attribution::of_call(&facts, None, &TagFacts::default()).unwrap(),
        charges: charges(&facts.budgets, model.as_deref(), now),
        model,
        amount,
        tokens: 0,
        at: now,
        holds: None,
    }
}

/// Reserves an amount for a call of a key.
pub(super) async fn reserve(
    app: &TestApp,
    gateway: &str,
    name: &str,
    key: &str,
    amount: &str,
) -> Reserved {
    let request = request(app, gateway, name, key, amount).await;
    app.app.ledger().reserve(request).await.unwrap()
}

fn is_granted(outcome: &Reserved) -> bool {
    matches!(outcome, Reserved::Granted { is_duplicate: false, .. })
}

/// The numbers of the one budget of a team: spent, held, left.
async fn numbers(app: &TestApp, team: &str) -> (String, String, String) {
    let found = budget(&app.admin(), "team", team).await;
    let text = |field: &str| found[field].as_str().unwrap_or("-").to_owned();
    (text("spent"), text("reserved"), text("remaining"))
}

fn three(spent: &str, reserved: &str, remaining: &str) -> (String, String, String) {
    (spent.to_owned(), reserved.to_owned(), remaining.to_owned())
}

/// Tries to hold room for 1,000 calls with 64 clients that try 100 times each.
async fn race(apps: &[&TestApp]) {
    let app = apps[0];
    let limits = json!([{ "maxSpend": "1.000000001" }, { "maxSpend": "5", "period": "1d" }]);
    let (team, key) = team_with_key(app, "T", limits).await;
    let (gateway, id) = gateway_with_id(app).await;
    let template = request(app, &id, "-", &key, "0.001000000").await;
    let template = Arc::new(template);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..64 {
        let (template, ledger) =
            (Arc::clone(&template), apps[client % apps.len()].app.ledger().clone());
        clients.spawn(async move {
            let mut granted = Vec::new();
            for attempt in 0..100 {
                let request_id = format!("{client}-{attempt}");
                let request = Reserve { request_id: request_id.clone(), ..(*template).clone() };
                match ledger.reserve(request).await.unwrap() {
                    Reserved::Granted { is_duplicate: false, .. } => granted.push(request_id),
                    Reserved::Refused(shortages) => {
                        assert_eq!(shortages[0].charge, template.charges[0]);
                    }
                    other => panic!("{other:?}"),
                }
            }
            granted
        });
    }
    let granted: Vec<String> = clients.join_all().await.concat();
    assert_eq!(granted.len(), 1_000);
    assert_eq!(numbers(app, &team).await, three("0", "1", "0.000000001"));
    assert_eq!(rows(app, "reservations").await, 1_000);
    // Half of them are settled for less, and the rest given up.
    let (settled, given_up) = granted.split_at(500);
    for chunk in settled.chunks(250) {
        let events: Vec<Value> = chunk.iter().map(|id| event(id, &key, "0.000999999")).collect();
        assert!(
            codes(&record(&gateway, json!(events)).await).iter().all(|code| *code == "RECORDED")
        );
    }
    let gateway_id = id.parse().unwrap();
    for id in given_up {
        assert!(apps[0].app.ledger().release(gateway_id, id.clone()).await.unwrap());
    }
    assert_eq!(numbers(app, &team).await, three("0.4999995", "0", "0.500000501"));
    assert_eq!(rows(app, "reservations").await, 0);
}

/// SECURITY 2, case 26; C-A10, E 19, E 22, E 34: exactly as many calls are let through as there is room
/// for, to the last digit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_as_much_is_held_as_there_is_room_for() {
    on_each_database(async |app| race(&[app]).await).await;
}

/// The same with two replicas on one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_hold_no_more_than_there_is_room_for() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let (one, two) = (TestApp::start(&database, &[]).await, TestApp::start(&database, &[]).await);
    race(&[&one, &two]).await;
    one.stop().await;
    two.stop().await;
    database.drop().await;
}

/// SECURITY 6, "Reserve → settle": what was held goes when the call is settled, for whatever it cost.
#[tokio::test]
async fn a_reservation_is_settled_once_for_what_the_call_cost() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        assert!(is_granted(&reserve(app, &id, "less", &key, "4").await));
        assert!(is_granted(&reserve(app, &id, "more", &key, "6").await));
        assert_eq!(numbers(app, &team).await, three("0", "10", "0"));
        let Reserved::Refused(shortages) = reserve(app, &id, "none", &key, "0.000000001").await
        else {
            panic!("there was no room");
        };
        let usd = |text: &str| text.parse::<Usd>().unwrap();
        let found = (shortages[0].spent, shortages[0].reserved, shortages[0].max);
        assert_eq!(found, (usd("0"), usd("10"), usd("10")));
        // Nothing left is nothing left, for a call without an estimate too (C-A2).
        assert!(matches!(reserve(app, &id, "zero", &key, "0").await, Reserved::Refused(_)));
        record(&gateway, json!([event("less", &key, "1.5")])).await;
        assert_eq!(numbers(app, &team).await, three("1.5", "6", "2.5"));
        // A call that cost more than was held, and more than there is, is counted (SECURITY 6).
        record(&gateway, json!([event("more", &key, "11")])).await;
        assert_eq!(numbers(app, &team).await, three("12.5", "0", "0"));
        let verdicts = record(&gateway, json!([event("more", &key, "11")])).await;
        assert_eq!(codes(&verdicts), ["DUPLICATE"]);
        assert_eq!(numbers(app, &team).await, three("12.5", "0", "0"));
        assert_eq!(reserve(app, &id, "more", &key, "6").await, Reserved::Settled);
        assert_eq!(rows(app, "reservations").await, 0);
    })
    .await;
}

/// SECURITY 6, "Idempotency", of reservations: the same is asked twice and held once.
#[tokio::test]
async fn the_same_call_is_held_once() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (_, id) = gateway_with_id(app).await;
        let asked = request(app, &id, "x", &key, "3").await;
        let ledger = app.app.ledger();
        let all = (0..50).map(|_| ledger.reserve(asked.clone()));
        let outcomes = futures_util::future::join_all(all).await;
        let granted =
            outcomes.iter().filter(|outcome| is_granted(outcome.as_ref().unwrap())).count();
        assert_eq!(granted, 1);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Reserved::Granted { .. }))));
        assert_eq!(numbers(app, &team).await, three("0", "3", "7"));
        let other = request(app, &id, "x", &key, "0.000000001").await;
        assert_eq!(ledger.reserve(other).await.unwrap(), Reserved::Conflict);
        assert!(ledger.release(asked.gateway, "x".to_owned()).await.unwrap());
        assert!(!ledger.release(asked.gateway, "x".to_owned()).await.unwrap());
        assert_eq!(numbers(app, &team).await, three("0", "0", "10"));
        assert!(is_granted(&ledger.reserve(asked.clone()).await.unwrap()));
        // Two that are refused together are refused both, and hold nothing.
        let big =
            Reserve { request_id: "big".to_owned(), amount: Usd::from_nanos(i64::MAX), ..asked };
        let both = tokio::join!(ledger.reserve(big.clone()), ledger.reserve(big.clone()));
        for outcome in [both.0.unwrap(), both.1.unwrap()] {
            assert!(matches!(outcome, Reserved::Refused(_)), "{outcome:?}");
        }
        assert_eq!(rows(app, "reservations").await, 1);
        let negative = Reserve { amount: Usd::from_nanos(-1), ..big };
        assert!(matches!(ledger.reserve(negative).await, Err(Error::BadInput(_))));
    })
    .await;
}

/// C-A2, E 17: all budgets must have room; 0 lets nothing through, null everything.
#[tokio::test]
async fn every_budget_must_have_room_or_nothing_is_held() {
    on_each_database(async |app| {
        let limits = json!([{ "maxSpend": "10", "period": "1mo" }, { "maxSpend": "2", "period": "1d" },
            { "softSpend": "1" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (_, id) = gateway_with_id(app).await;
        assert!(is_granted(&reserve(app, &id, "1", &key, "1.5").await));
        let Reserved::Refused(shortages) = reserve(app, &id, "2", &key, "0.6").await else {
            panic!("the day had no room");
        };
        let short: Vec<_> = shortages.iter().map(|short| short.max.to_string()).collect();
        assert_eq!(short, ["2"]);
        let Reserved::Refused(shortages) = reserve(app, &id, "2", &key, "8.6").await else {
            panic!("neither had room");
        };
        assert_eq!(shortages.len(), 2);
        let held = spend(&app.admin(), "team", &team).await["budgets"].clone();
        let reserved: Vec<_> = held.as_array().unwrap().iter().map(|row| &row["reserved"]).collect();
        assert_eq!(reserved, ["1.5", "1.5", "1.5"]);
        let (_, nothing) = team_with_key(app, "0", json!([{ "maxSpend": "0" }])).await;
        assert!(matches!(reserve(app, &id, "3", &nothing, "0").await, Reserved::Refused(_)));
        let (_, all) = team_with_key(app, "null", json!([])).await;
        assert!(is_granted(&reserve(app, &id, "4", &all, "1000000").await));
        let (_, other) = team_with_key(app, "pattern", json!([{ "maxSpend": "0",
            "modelPattern": "claude-*" }])).await;
        assert!(is_granted(&reserve(app, &id, "5", &other, "1").await));
    })
    .await;
}

/// E 20, E 21: what is out of time does not count, whether or not anybody has swept it; a call that
/// comes after all is counted.
#[tokio::test]
async fn what_is_out_of_time_does_not_count() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        let short = request(app, &id, "short", &key, "6").await;
        let short = Reserve { holds: Some(TimeDelta::seconds(30)), ..short };
        let ledger = app.app.ledger();
        assert!(is_granted(&ledger.reserve(short.clone()).await.unwrap()));
        assert!(is_granted(&reserve(app, &id, "long", &key, "4").await));
        app.clock.set(app.clock.now() + TimeDelta::seconds(29));
        assert!(matches!(reserve(app, &id, "late", &key, "1").await, Reserved::Refused(_)));
        app.clock.set(app.clock.now() + TimeDelta::seconds(1));
        // Nobody swept: whoever is refused looks first.
        assert!(is_granted(&reserve(app, &id, "late", &key, "1").await));
        assert_eq!(numbers(app, &team).await, three("0", "5", "5"));
        // The same call again is held anew, and no longer a duplicate.
        assert!(is_granted(
            &ledger.reserve(Reserve { amount: Usd::from_nanos(1), ..short.clone() }).await.unwrap()
        ));
        app.clock.set(app.clock.now() + TimeDelta::seconds(30));
        let again = Reserve { amount: Usd::from_nanos(2), ..short };
        assert!(is_granted(&ledger.reserve(again).await.unwrap()));
        assert_eq!(numbers(app, &team).await.1, "5.000000002");
        app.clock.set(app.clock.now() + TimeDelta::hours(1));
        assert_eq!(ledger.expire().await.unwrap(), 3);
        assert_eq!(ledger.expire().await.unwrap(), 0);
        assert_eq!(numbers(app, &team).await, three("0", "0", "10"));
        let verdicts = record(&gateway, json!([event("long", &key, "9")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        assert_eq!(numbers(app, &team).await, three("9", "0", "1"));
        for holds in [TimeDelta::zero(), TimeDelta::days(2)] {
            let asked = request(app, &id, "h", &key, "1").await;
            let asked = Reserve { holds: Some(holds), ..asked };
            assert!(matches!(ledger.reserve(asked).await, Err(Error::BadInput(_))));
        }
    })
    .await;
}

/// SECURITY 6: a call is charged to the windows in which it was let through, whatever happens to its
/// budgets and its key meanwhile.
#[tokio::test]
async fn a_call_is_settled_where_it_was_let_through() {
    on_each_database(async |app| {
        let admin = app.admin();
        let limits = json!({ "maxSpend": "10", "period": "1d" });
        let (team, key) = team_with_key(app, "T", json!([limits.clone()])).await;
        let (gateway, id) = gateway_with_id(app).await;
        // What is held goes on past midnight: no sweep lets go of it.
        app.clock.set("2026-11-21T23:59:00Z".parse().unwrap());
        for name in ["over midnight", "fork", "moved", "gone"] {
            assert!(is_granted(&reserve(app, &id, name, &key, "1").await));
        }
        app.clock.set("2026-11-22T00:00:01Z".parse().unwrap());
        record(&gateway, json!([event("over midnight", &key, "2")])).await;
        assert_eq!(numbers(app, &team).await, three("0", "0", "10"));
        let window = |at: &str| {
            format!("budget_windows WHERE starts_at = '{at}' AND spent = 2000000000 AND reserved = 3000000000")
        };
        let start = match app.kind {
            Kind::Sqlite => "2026-11-21T00:00:00+00:00",
            Kind::Postgres => "2026-11-21 00:00:00+00",
        };
        assert_eq!(rows(app, &window(start)).await, 1);
        // A fork takes the windows of its scope along, with what is held in them.
        app.clock.set("2026-11-21T12:00:00Z".parse().unwrap());
        let tier = done(&admin, "budgetCreate", json!({ "name": "tier", "limits": limits }),
            "budget { id }").await;
        let attach = json!([{ "attach": { "budgetId": tier["budget"]["id"] } }]);
        let input = json!({ "id": team, "budgets": attach });
        done(&admin, "teamUpdate", input, "team { id }").await;
        assert!(is_granted(&reserve(app, &id, "on tier", &key, "3").await));
        let edit = json!([{ "edit": { "budgetId": tier["budget"]["id"], "limits": { "maxSpend": "9" } } }]);
        done(&admin, "teamUpdate", json!({ "id": team, "budgets": edit }), "team { id }").await;
        assert_eq!(numbers(app, &team).await, three("0", "3", "6"));
        record(&gateway, json!([event("on tier", &key, "2.5"), event("fork", &key, "1")])).await;
        assert_eq!(numbers(app, &team).await, three("2.5", "0", "6.5"));
        // A key that is gone before its call is settled is charged as it was.
        done(&admin, "apiKeyDelete", json!({ "ids": [key] }), "deletedIds").await;
        let verdicts = record(&gateway, json!([event("gone", &key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        assert_eq!(spend(&admin, "team", &team).await["spend"]["lifetime"], "6.5");
        done(&admin, "teamDelete", json!({ "ids": [team] }), "deletedIds").await;
        let verdicts = record(&gateway, json!([event("moved", &key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        assert_eq!(rows(app, "reservations").await, 0);
        let query = "{ usageEvents(first: 1) { nodes { teamId requestId } } }";
        let newest = read(&admin, query).await["nodes"][0].clone();
        assert_eq!(newest, json!({ "teamId": team, "requestId": "moved" }));
    })
    .await;
}

/// A key of which nothing is known any more, not even by the audit trail: only the reservation knows whom
/// to charge.
#[tokio::test]
async fn a_reservation_remembers_whom_to_charge() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        assert!(is_granted(&reserve(app, &id, "1", &key, "1").await));
        done(&app.admin(), "apiKeyDelete", json!({ "ids": [key] }), "deletedIds").await;
        execute(app, "DELETE FROM audit_events").await;
        let events = json!([event("unknown", &key, "1"), event("1", &key, "2")]);
        assert_eq!(codes(&record(&gateway, events).await), ["NOT_FOUND", "RECORDED"]);
        assert_eq!(numbers(app, &team).await, three("2", "0", "8"));
    })
    .await;
}

/// A budget that is deleted with what is held in it takes nothing down with it.
#[tokio::test]
async fn a_budget_may_go_while_calls_are_under_way() {
    on_each_database(async |app| {
        let limits = json!([{ "maxSpend": "10" }, { "maxSpend": "5", "period": "1d" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (gateway, id) = gateway_with_id(app).await;
        let asked = request(app, &id, "late", &key, "1").await;
        assert!(is_granted(&reserve(app, &id, "1", &key, "1").await));
        let budgets = spend(&app.admin(), "team", &team).await["budgets"].clone();
        let kept = json!([{ "attach": { "budgetId": budgets[0]["budget"]["id"] } }]);
        done(&app.admin(), "teamUpdate", json!({ "id": team, "budgets": kept }), "team { id }")
            .await;
        // Who asks with what was true a moment ago is held against what is left.
        assert!(is_granted(&app.app.ledger().reserve(asked).await.unwrap()));
        record(&gateway, json!([event("1", &key, "2")])).await;
        assert_eq!(numbers(app, &team).await, three("2", "1", "7"));
    })
    .await;
}

/// E 19: a fork takes the windows of its scope along; a scope that has the first budget again counts
/// anew, with or without the fork, and who asks with what was true before the fork is held to it.
#[tokio::test]
async fn a_budget_that_is_back_after_a_fork_counts() {
    on_each_database(async |app| {
        let admin = app.admin();
        let (gateway, id) = gateway_with_id(app).await;
        let limits = json!({ "maxSpend": "10", "period": "1d" });
        let input = json!({ "name": "tier", "limits": limits });
        let tier = done(&admin, "budgetCreate", input, "budget { id }").await;
        let tier = tier["budget"]["id"].clone();
        for keeps_fork in [false, true] {
            let (team, key) = team_with_key(app, &format!("T {keeps_fork}"), json!([])).await;
            let attach = json!({ "attach": { "budgetId": tier } });
            let update = async |budgets: Value| {
                let input = json!({ "id": team, "budgets": budgets });
                done(&admin, "teamUpdate", input, "team { id }").await;
            };
            let call = |name: &str| format!("{name} {keeps_fork}");
            update(json!([attach])).await;
            assert!(is_granted(&reserve(app, &id, &call("tier"), &key, "3").await));
            record(&gateway, json!([event(&call("tier"), &key, "4")])).await;
            let before = request(app, &id, &call("before"), &key, "5").await;
            let edit = json!({ "budgetId": tier, "limits": { "maxSpend": "9" } });
            update(json!([{ "edit": edit }])).await;
            assert!(is_granted(&app.app.ledger().reserve(before).await.unwrap()));
            assert_eq!(numbers(app, &team).await, three("4", "5", "0"));
            app.app.ledger().release(id.parse().unwrap(), call("before")).await.unwrap();
            let fork = budget(&admin, "team", &team).await["budget"]["id"].clone();
            if keeps_fork {
                update(json!([{ "attach": { "budgetId": fork } }, attach])).await;
            } else {
                update(json!([attach])).await;
            }
            assert!(is_granted(&reserve(app, &id, &call("back"), &key, "2").await));
            record(&gateway, json!([event(&call("alone"), &key, "1")])).await;
            let found = spend(&admin, "team", &team).await["budgets"].clone();
            let found: Vec<_> = found
                .as_array()
                .unwrap()
                .iter()
                .map(|row| (row["budget"]["id"] == fork, &row["spent"], &row["reserved"]))
                .collect();
            let mut expected = vec![(false, json!("1"), json!("2"))];
            if keeps_fork {
                expected.insert(0, (true, json!("5"), json!("2")));
            }
            let expected: Vec<_> =
                expected.iter().map(|(is_fork, spent, held)| (*is_fork, spent, held)).collect();
            assert_eq!(found, expected);
            assert!(matches!(
                reserve(app, &id, &call("much"), &key, "7.1").await,
                Reserved::Refused(_)
            ));
        }
    })
    .await;
}

/// A temporary increase holds for reservations until it is over, and no longer.
#[tokio::test]
async fn a_temporary_increase_makes_room_until_it_is_over() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (_, id) = gateway_with_id(app).await;
        let own = budget(&app.admin(), "team", &team).await["budget"]["id"].clone();
        let edit = |increase: Value| {
            json!({ "id": team, "budgets": [{ "edit": { "budgetId": own,
                "limits": { "temporaryIncrease": increase } } }] })
        };
        let increase = json!({ "amount": "5", "endsAt": "2026-11-21T12:05:00Z" });
        let selection =
            "team { budgets { remaining budget { temporaryIncrease { amount endsAt } } } }";
        let changed = done(&app.admin(), "teamUpdate", edit(increase), selection).await;
        assert_eq!(
            changed["team"]["budgets"][0],
            json!({ "remaining": "15", "budget": {
            "temporaryIncrease": { "amount": "5", "endsAt": "2026-11-21T12:05:00+00:00" } } })
        );
        assert!(is_granted(&reserve(app, &id, "1", &key, "12").await));
        app.clock.set("2026-11-21T12:05:00Z".parse().unwrap());
        assert_eq!(numbers(app, &team).await.2, "0");
        assert!(matches!(reserve(app, &id, "2", &key, "1").await, Reserved::Refused(_)));
        for (increase, field) in [
            (
                json!({ "amount": "0", "endsAt": "2026-12-01T00:00:00Z" }),
                "temporaryIncrease.amount",
            ),
            (
                json!({ "amount": "9223372036", "endsAt": "2026-12-01T00:00:00Z" }),
                "temporaryIncrease.amount",
            ),
        ] {
            let answer =
                crate::steps::change(&app.admin(), "teamUpdate", edit(increase), "team { id }")
                    .await;
            answer.refused("BAD_USER_INPUT", &format!("input.budgets.0.edit.limits.{field}"));
        }
        done(&app.admin(), "teamUpdate", edit(Value::Null), "team { id }").await;
    })
    .await;
}

/// E 20: a counter that lies about what is held is not made worse.
#[tokio::test]
async fn a_counter_never_falls_below_nothing() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (_, id) = gateway_with_id(app).await;
        assert!(is_granted(&reserve(app, &id, "1", &key, "4").await));
        let row = sql_id(app, &team);
        execute(app, &format!("UPDATE budget_windows SET reserved = 1 WHERE scope_id = {row}"))
            .await;
        assert!(app.app.ledger().release(id.parse().unwrap(), "1".to_owned()).await.unwrap());
        assert_eq!(numbers(app, &team).await, three("0", "0", "10"));
    })
    .await;
}
