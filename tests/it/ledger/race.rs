//! What meets itself: one call that is reserved and settled at the same moment, and what fails when the
//! rest is done.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde_json::json;
use tollkeep::authz::Reference;
use tollkeep::domain::ledger::{Code, Cost, EVENTS, Report, Reserve, Reserved, Tokens};
use tollkeep::error::Error;

use super::reserve::{request, reserve};
use super::{budget, codes, event, gateway_with_id, record, team_with_key};
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::{TestApp, on_each_database};
use crate::steps::{Other, rows, sql_id};

/// The id of a key that never was.
const NOBODY: &str = "key_00000000000070008000000000000001";

fn report(request: &str, key: &str, cost: &str) -> Report {
    Report {
        request_id: request.to_owned(),
        api_key: Reference::parse(key),
        model: Some("gpt-4o".to_owned()),
        model_id: None,
        provider: None,
        tokens: Tokens::default(),
        cost: Some(Cost::Text(cost.to_owned())),
        authorized_at: None,
        occurred_at: None,
        end_user: None,
        tags: Vec::new(),
    }
}

async fn spent_and_held(app: &TestApp, team: &str) -> (String, String) {
    let found = budget(&app.admin(), "team", team).await;
    let text = |field: &str| found[field].as_str().unwrap_or("-").to_owned();
    (text("spent"), text("reserved"))
}

fn two(spent: &str, held: &str) -> (String, String) {
    (spent.to_owned(), held.to_owned())
}

/// Asks for a reservation while somebody else holds its row and then does something, on PostgreSQL.
async fn reserve_meanwhile(app: &TestApp, asked: Reserve, meanwhile: &[&str]) -> Reserved {
    let (first, rest) = meanwhile.split_first().unwrap();
    let other = Other::begin(app, &["SELECT id FROM reservations FOR UPDATE", *first]).await;
    let ledger = app.app.ledger().clone();
    let tasks = [tokio::spawn(async move { ledger.reserve(asked).await.unwrap() })];
    other.wait_for(&tasks).await;
    other.commit(rest).await;
    let [task] = tasks;
    task.await.unwrap()
}

/// What somebody is told of a call.
#[derive(Debug, PartialEq)]
enum Told {
    Held,
    Settled,
    Recorded,
}

/// SECURITY 6, "Reserve → settle": a call is reserved for the first time and reported at the same moment.
/// Neither knows of the other until one of them commits. In both orders it is counted, and not held.
#[tokio::test]
async fn a_call_that_is_reserved_while_it_is_reported_is_not_held() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let app = TestApp::start(&database, &[]).await;
    let (team, key) = team_with_key(&app, "T", json!([{ "maxSpend": "10" }])).await;
    let (gateway, id) = gateway_with_id(&app).await;
    record(&gateway, json!([event("before", &key, "1")])).await;
    for (name, reserves_first) in [("x", true), ("y", false)] {
        let asked = request(&app, &id, name, &key, "3").await;
        let reports = vec![report(name, &key, "2")];
        let reserve = {
            let ledger = app.app.ledger().clone();
            async move {
                match ledger.reserve(asked).await.unwrap() {
                    Reserved::Granted { is_duplicate: false, .. } => Told::Held,
                    Reserved::Settled => Told::Settled,
                    other => panic!("{other:?}"),
                }
            }
        };
        let record = {
            let (ledger, id) = (app.app.ledger().clone(), id.parse().unwrap());
            async move {
                assert_eq!(ledger.record(id, reports).await.unwrap()[0].code, Code::Recorded);
                Told::Recorded
            }
        };
        let other = Other::begin(&app, &["SELECT id FROM budget_windows FOR UPDATE"]).await;
        let mut tasks = Vec::new();
        if reserves_first {
            tasks.push(tokio::spawn(reserve));
            other.wait_for(&tasks).await;
            tasks.push(tokio::spawn(record));
        } else {
            tasks.push(tokio::spawn(record));
            other.wait_for(&tasks).await;
            tasks.push(tokio::spawn(reserve));
        }
        other.wait_for(&tasks).await;
        other.commit(&[]).await;
        let mut told = Vec::new();
        for task in tasks {
            told.push(task.await.unwrap());
        }
        let expected = if reserves_first {
            [Told::Held, Told::Recorded]
        } else {
            [Told::Recorded, Told::Settled]
        };
        assert_eq!(told, expected);
        assert_eq!(rows(&app, "reservations").await, 0, "{name}");
        assert_eq!(rows(&app, "budget_windows WHERE reserved <> 0").await, 0, "{name}");
    }
    assert_eq!(spent_and_held(&app, &team).await, two("5", "0"));
    app.stop().await;
    database.drop().await;
}

/// SECURITY 6, "Idempotency": two that ask for a call that is out of time hold it once.
#[tokio::test]
async fn a_call_out_of_time_is_held_anew_by_one() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let app = TestApp::start(&database, &[]).await;
    let (_, key) = team_with_key(&app, "T", json!([{ "maxSpend": "10" }])).await;
    let (_, id) = gateway_with_id(&app).await;
    let asked = request(&app, &id, "x", &key, "1").await;
    let asked = Reserve { holds: Some(TimeDelta::seconds(30)), ..asked };
    app.app.ledger().reserve(asked.clone()).await.unwrap();
    app.clock.set(app.clock.now() + TimeDelta::seconds(30));
    let outcome = reserve_meanwhile(
        &app,
        asked,
        &[
            "CREATE TEMPORARY TABLE copied ON COMMIT DROP AS SELECT * FROM reservations",
            "UPDATE copied SET id = gen_random_uuid(), \
             expires_at = expires_at + INTERVAL '1 hour'",
            "DELETE FROM reservations",
            "INSERT INTO reservations SELECT * FROM copied",
        ],
    )
    .await;
    let Reserved::Granted { id, is_duplicate, .. } = outcome else { panic!("{outcome:?}") };
    assert!(is_duplicate, "somebody else held it");
    let row = sql_id(&app, &id.to_string());
    assert_eq!(rows(&app, &format!("reservations WHERE id = {row}")).await, 1);
    app.stop().await;
    database.drop().await;
}

/// SECURITY 6, "Reserve → settle": a call that is being settled is not held again.
#[tokio::test]
async fn a_call_that_is_being_settled_is_not_held_again() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        let asked = request(app, &id, "x", &key, "3").await;
        let ledger = app.app.ledger();
        ledger.reserve(asked.clone()).await.unwrap();
        let reports = vec![report("x", &key, "2")];
        let (recorded, again) = tokio::join!(
            ledger.record(id.parse().unwrap(), reports),
            ledger.reserve(asked.clone())
        );
        assert_eq!(recorded.unwrap()[0].code, Code::Recorded);
        assert_eq!(again.unwrap(), Reserved::Settled);
        assert_eq!(spent_and_held(app, &team).await, two("2", "0"));
        assert_eq!(rows(app, "reservations").await, 0);
        if app.kind == Kind::Postgres {
            record(&gateway, json!([event("y", &key, "1")])).await;
            let asked = request(app, &id, "z", &key, "3").await;
            ledger.reserve(asked.clone()).await.unwrap();
            let settle = "INSERT INTO usage_events SELECT (jsonb_populate_record(e, \
                jsonb_build_object('id', gen_random_uuid(), 'request_id', 'z'))).* \
                FROM usage_events e WHERE request_id = 'y'";
            let meanwhile = ["DELETE FROM reservations", settle];
            assert_eq!(reserve_meanwhile(app, asked, &meanwhile).await, Reserved::Settled);
            assert_eq!(rows(app, "reservations").await, 0);
        }
    })
    .await;
}

/// E 20: a report of a key that nobody knows changes nothing, whatever its request id.
#[tokio::test]
async fn a_report_of_an_unknown_key_lets_go_of_nothing() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        reserve(app, &id, "x", &key, "3").await;
        for nobody in [NOBODY, "key_00000000000000000000000000000000"] {
            let verdicts = record(&gateway, json!([event("x", nobody, "1")])).await;
            assert_eq!(codes(&verdicts), ["NOT_FOUND"]);
            assert_eq!(spent_and_held(app, &team).await, two("0", "3"), "{nobody}");
        }
        let verdicts = record(&gateway, json!([event("x", &key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        assert_eq!(spent_and_held(app, &team).await, two("1", "0"));
    })
    .await;
}

/// E 20: what is durable is not taken back because what is out of time cannot be let go of.
#[tokio::test]
async fn a_refusal_stands_if_nobody_can_look_again() {
    on_each_database(async |app| {
        let (_, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (_, id) = gateway_with_id(app).await;
        reserve(app, &id, "x", &key, "10").await;
        let asked = request(app, &id, "y", &key, "1").await;
        app.clock.set(app.clock.now() + TimeDelta::hours(1));
        let broken: &[&str] = match app.kind {
            Kind::Sqlite => &["CREATE TRIGGER broken BEFORE DELETE ON reservations \
                 WHEN OLD.request_id = 'x' BEGIN SELECT RAISE(ABORT, 'broken'); END"],
            Kind::Postgres => &[
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql \
                 AS $$ BEGIN RAISE 'broken'; END $$",
                "CREATE TRIGGER broken BEFORE DELETE ON reservations \
                 FOR EACH ROW WHEN (OLD.request_id = 'x') EXECUTE FUNCTION broken()",
            ],
        };
        let database = app.database().await;
        for sql in broken {
            database.execute_unprepared(sql).await.unwrap();
        }
        let ledger = app.app.ledger();
        let reports = vec![report("z", &key, "0")];
        let (recorded, refused) =
            tokio::join!(ledger.record(id.parse().unwrap(), reports), ledger.reserve(asked));
        assert_eq!(recorded.unwrap()[0].code, Code::Recorded);
        assert!(matches!(refused.unwrap(), Reserved::Refused(_)));
    })
    .await;
}

/// SECURITY 4, R7: so many events wait and no more, however few reports bring them.
#[tokio::test]
async fn only_so_many_events_wait() {
    on_each_database(async |app| {
        let (_, id) = gateway_with_id(app).await;
        let ledger = app.app.ledger();
        let reports = vec![report("x", NOBODY, "1"); EVENTS];
        let all = (0..101).map(|_| ledger.record(id.parse().unwrap(), reports.clone()));
        let outcomes = futures_util::future::join_all(all).await;
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Unavailable)));
        assert_eq!(refused.count(), 1);
        let verdicts = ledger.record(id.parse().unwrap(), reports).await.unwrap();
        assert!(verdicts.iter().all(|verdict| verdict.code == Code::NotFound));
    })
    .await;
}
