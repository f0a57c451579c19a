//! Calls that were judged a moment before their budgets changed: they are charged to what is in force.

use serde_json::{Value, json};
use tollkeep::domain::ledger::{Reserve, Reserved};

use super::reserve::request;
use super::{budget, codes, event, gateway_with_id, record, team_with_key};
use crate::harness::client::text;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::{TestApp, on_each_database};
use crate::steps::{Other, done, rows, sql_id};

/// A team on a tier that others have too, so that an edit makes a budget of its own of it, and a call
/// that was judged by the tier. No window is there yet.
struct Scene {
    team: String,
    key: String,
    gateway: String,
    secret: String,
    tier: String,
}

impl Scene {
    async fn new(app: &TestApp) -> Self {
        let admin = app.admin();
        let limits = json!({ "maxSpend": "10", "period": "1d" });
        let input = json!({ "name": "tier", "limits": limits });
        let tier = done(&admin, "budgetCreate", input, "budget { id }").await;
        let tier = text(&tier, "/budget/id");
        let (team, key) = team_with_key(app, "T", json!([])).await;
        let (other, _) = team_with_key(app, "U", json!([])).await;
        let (client, gateway) = gateway_with_id(app).await;
        let secret = client.key.unwrap();
        let scene = Self { team, key, gateway, secret, tier };
        for team in [&scene.team, &other] {
            let budgets = json!([{ "attach": { "budgetId": scene.tier } }]);
            done(&admin, "teamUpdate", json!({ "id": team, "budgets": budgets }), "team { id }")
                .await;
        }
        scene
    }

    async fn judged(&self, app: &TestApp, name: &str) -> Reserve {
        let asked = request(app, &self.gateway, name, &self.key, "3").await;
        assert_eq!(asked.charges.len(), 1);
        asked
    }

    async fn set(&self, app: &TestApp, budgets: Value) {
        let input = json!({ "id": self.team, "budgets": budgets });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
    }

    async fn windows_of_the_tier(&self, app: &TestApp) -> i64 {
        rows(app, &format!("budget_windows WHERE budget_id = {}", sql_id(app, &self.tier))).await
    }
}

fn is_granted(outcome: &Reserved) -> bool {
    matches!(outcome, Reserved::Granted { is_duplicate: false, .. })
}

/// SECURITY 6: a call that was judged before a fork is held in the budget that the scope has now, and no
/// window is made of the one that it had.
#[tokio::test]
async fn a_call_from_before_a_fork_counts_in_the_fork() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (asked, more) = (scene.judged(app, "x").await, scene.judged(app, "y").await);
        let edit = json!({ "budgetId": scene.tier, "limits": { "maxSpend": "5" } });
        scene.set(app, json!([{ "edit": edit }])).await;
        let ledger = app.app.ledger();
        assert!(is_granted(&ledger.reserve(asked).await.unwrap()));
        let Reserved::Refused(shortages) = ledger.reserve(more).await.unwrap() else {
            panic!("there was no room in the fork");
        };
        assert_ne!(shortages[0].charge.budget.to_string(), scene.tier);
        assert_eq!(shortages[0].max.to_string(), "5");
        let found = budget(&app.admin(), "team", &scene.team).await;
        assert_eq!((&found["spent"], &found["reserved"]), (&json!("0"), &json!("3")));
        assert_eq!(scene.windows_of_the_tier(app).await, 0);
        let (gateway, _) = gateway_with_id(app).await;
        let verdicts = record(&gateway, json!([event("z", &scene.key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        assert_eq!(budget(&app.admin(), "team", &scene.team).await["spent"], "1");
    })
    .await;
}

/// A call that was judged before its budget was taken off, or replaced by others, is held in what is in
/// force.
#[tokio::test]
async fn a_call_from_before_a_budget_was_taken_off_counts_in_the_others() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (replaced, off) = (scene.judged(app, "x").await, scene.judged(app, "y").await);
        let own = |max: &str| json!({ "create": { "maxSpend": max, "period": "1d" } });
        scene.set(app, json!([own("7"), own("8")])).await;
        let ledger = app.app.ledger();
        assert!(is_granted(&ledger.reserve(replaced).await.unwrap()));
        assert_eq!(rows(app, "budget_windows WHERE reserved = 3000000000").await, 2);
        scene.set(app, json!([])).await;
        assert!(is_granted(&ledger.reserve(off).await.unwrap()));
        assert_eq!(rows(app, "budget_windows").await, 0);
        assert_eq!(scene.windows_of_the_tier(app).await, 0);
    })
    .await;
}

/// The same of a budget that is gone with its windows, of which this replica knows.
#[tokio::test]
async fn a_call_from_before_a_budget_was_replaced_counts_in_the_new_one() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        record(&gateway, json!([event("before", &key, "1")])).await;
        let [first, second] =
            [request(app, &id, "x", &key, "3").await, request(app, &id, "y", &key, "3").await];
        let input = json!({ "id": team, "budgets": [{ "create": { "maxSpend": "5" } }] });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
        let ledger = app.app.ledger();
        assert!(is_granted(&ledger.reserve(first).await.unwrap()));
        let Reserved::Refused(shortages) = ledger.reserve(second).await.unwrap() else {
            panic!("there was no room in the new budget");
        };
        assert_eq!(shortages[0].reserved.to_string(), "3");
        assert_eq!(budget(&app.admin(), "team", &team).await["reserved"], "3");
    })
    .await;
}

/// The same while the fork is under way: whoever makes a window waits for it.
#[tokio::test]
async fn a_window_waits_for_a_fork_that_is_under_way() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let app = TestApp::start(&database, &[]).await;
    let scene = Scene::new(&app).await;
    let asked = scene.judged(&app, "x").await;
    let fork = format!(
        "INSERT INTO budgets SELECT (jsonb_populate_record(b, jsonb_build_object( \
         'id', gen_random_uuid(), 'name', 'fork'))).* FROM budgets b WHERE id = {}",
        sql_id(&app, &scene.tier)
    );
    let moved = format!(
        "UPDATE budget_assignments SET budget_id = (SELECT id FROM budgets WHERE name = 'fork') \
         WHERE scope_id = {}",
        sql_id(&app, &scene.team)
    );
    let other = Other::begin(&app, &[&fork, &moved]).await;
    let ledger = app.app.ledger().clone();
    let tasks = [tokio::spawn(async move { ledger.reserve(asked).await.unwrap() })];
    other.wait_for(&tasks).await;
    other.commit(&[]).await;
    let [task] = tasks;
    assert!(is_granted(&task.await.unwrap()));
    assert_eq!(scene.windows_of_the_tier(&app).await, 0);
    assert_eq!(budget(&app.admin(), "team", &scene.team).await["reserved"], "3");
    app.stop().await;
    database.drop().await;
}

/// SECURITY 6: a fork takes its window along, and what replaces another budget of the scope comes
/// beside it. A call that was judged before both is held in each window once.
#[tokio::test]
async fn a_call_from_before_two_changes_counts_once_in_each_window() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let attach = json!({ "attach": { "budgetId": scene.tier } });
        let own = |max: &str| json!({ "create": { "maxSpend": max, "period": "1d" } });
        scene.set(app, json!([attach, own("20")])).await;
        let judged = async |name| {
            let asked = request(app, &scene.gateway, name, &scene.key, "3").await;
            assert_eq!(asked.charges.len(), 2);
            asked
        };
        let ledger = app.app.ledger();
        assert!(is_granted(&ledger.reserve(judged("known").await).await.unwrap()));
        let (asked, reported) = (judged("x").await, "y");
        let edit = json!({ "budgetId": scene.tier, "limits": { "maxSpend": "9" } });
        scene.set(app, json!([{ "edit": edit }, own("19")])).await;
        assert!(is_granted(&ledger.reserve(asked).await.unwrap()));

        let gateway = app.with_key(Some(&scene.secret));
        let verdicts = record(&gateway, json!([event("x", &scene.key, "2")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        let verdicts = record(&gateway, json!([event(reported, &scene.key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        let spend = super::spend(&app.admin(), "team", &scene.team).await;
        let counted: Vec<_> = spend["budgets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|budget| (budget["spent"].as_str().unwrap(), budget["reserved"].as_str().unwrap()))
            .collect();
        assert_eq!(counted, [("3", "3"), ("3", "0")]);
    })
    .await;
}
