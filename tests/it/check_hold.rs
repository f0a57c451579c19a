//! `POST /v1/check` in the mode `reserve`: what a call will cost is held, exactly, until it is settled.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::{Answer, Client, TestApp, on_each_database};
use crate::ledger::{budget, codes, event, gateway, team_with_key};
use crate::steps::{done, rows};

/// A key of a team with budgets, and a gateway.
struct Scene {
    gateway: Client,
    team: String,
    key: String,
}

impl Scene {
    async fn new(app: &TestApp, budgets: Value) -> Self {
        let (team, key) = team_with_key(app, "T", budgets).await;
        Self { gateway: gateway(app).await, team, key }
    }

    /// Asks for a call under a request id to be let through.
    async fn reserve(&self, request: &str, cost: &str) -> Answer {
        self.reserve_by(&self.gateway, request, cost).await
    }

    async fn reserve_by(&self, gateway: &Client, request: &str, cost: &str) -> Answer {
        gateway.check(self.body(request, cost)).await
    }

    fn body(&self, request: &str, cost: &str) -> Value {
        json!({ "keyId": self.key, "model": "gpt-4o", "mode": "reserve", "requestId": request,
            "estimate": { "costUsd": cost } })
    }

    /// Reports what a call cost, and returns the code of the verdict.
    async fn settle(&self, request: &str, cost: &str) -> String {
        let body = json!({ "events": [event(request, &self.key, cost)] });
        let answer = self.gateway.at("/v1/usage").post(body, &[]).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        codes(answer.body["verdicts"].as_array().unwrap())[0].to_owned()
    }

    /// What a check tells of the least that is left.
    async fn check(&self) -> Answer {
        self.gateway.check(json!({ "keyId": self.key, "model": "gpt-4o" })).await
    }

    /// The numbers of the one budget: spent, held, left.
    async fn numbers(&self, app: &TestApp) -> [String; 3] {
        let found = budget(&app.admin(), "team", &self.team).await;
        ["spent", "reserved", "remaining"].map(|field| found[field].as_str().unwrap().to_owned())
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    let found = (answer.status, answer.body["code"].as_str());
    assert_eq!(found, (status, Some(code)), "{:#}", answer.body);
    assert_eq!(answer.body["reservationId"], Value::Null);
    assert!(answer.headers.get("x-tollkeep-reservation-id").is_none());
}

/// DESIGN 5, GATEWAYS 1.1: an estimate is held in every window until usage settles it.
#[tokio::test]
async fn an_estimate_is_held_until_the_call_is_settled() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10", "period": "1mo" }])).await;
        let answer = scene.reserve("call-1", "4").await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let id = answer.body["reservationId"].as_str().unwrap();
        assert!(id.starts_with("reservation_"), "{id}");
        assert_eq!(answer.headers["x-tollkeep-reservation-id"], id);
        assert_eq!(answer.body["leaseTtlMs"], 600_000);
        assert_eq!(answer.body["cacheTtlMs"], 0);
        assert_eq!(answer.body["remaining"]["usd"], "6");
        assert_eq!(scene.numbers(app).await, ["0", "4", "6"]);
        assert_eq!(scene.settle("call-1", "1.5").await, "RECORDED");
        assert_eq!(scene.numbers(app).await, ["1.5", "0", "8.5"]);
        let answer = scene.reserve("call-2", "8.500000001").await;
        refused(&answer, 429, "BUDGET_EXCEEDED");
        let found = budget(&app.admin(), "team", &scene.team).await;
        let limit = &answer.body["limits"][0];
        assert_eq!(limit["budgetId"], found["budget"]["id"]);
        assert_eq!((&limit["limit"], &limit["remaining"]), (&json!("10"), &json!("8.5")));
        assert_eq!(answer.body["scope"], json!({ "kind": "TEAM", "id": scene.team }));
        assert_eq!(answer.body["error"]["type"], "budget_exceeded");
        // 9.5 days to December.
        assert_eq!(answer.headers["retry-after"], "820800");
        assert_eq!(scene.numbers(app).await, ["1.5", "0", "8.5"]);
    })
    .await;
}

/// Asks for 200 calls at once where there is room for 100.
async fn race(apps: &[&TestApp]) {
    let scene = Scene::new(
        apps[0],
        json!([{ "maxSpend": "1.000000009" }, { "maxSpend": "7",
        "period": "1d" }]),
    )
    .await;
    let gateways: Vec<_> =
        apps.iter().map(|app| app.with_key(scene.gateway.key.as_deref())).collect();
    let names: Vec<_> = (0..200).map(|number| format!("call-{number}")).collect();
    let asked = names
        .iter()
        .enumerate()
        .map(|(number, name)| scene.reserve_by(&gateways[number % gateways.len()], name, "0.01"));
    let answers = futures_util::future::join_all(asked).await;
    let granted: Vec<_> = names
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.status == 200)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(granted.len(), 100);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        refused(answer, 429, "BUDGET_EXCEEDED");
        assert_eq!(answer.body["limits"][0]["limit"], "1.000000009");
    }
    assert_eq!(scene.numbers(apps[0]).await, ["0", "1", "0.000000009"]);
    assert_eq!(rows(apps[0], "reservations").await, 100);
    // The last digit is room too.
    assert_eq!(scene.reserve("last", "0.000000009").await.status, 200);
    refused(&scene.reserve("none", "0").await, 429, "BUDGET_EXCEEDED");
    for name in granted {
        assert_eq!(scene.settle(name, "0.001").await, "RECORDED");
    }
    assert_eq!(scene.numbers(apps[0]).await, ["0.1", "0.000000009", "0.9"]);
}

/// SECURITY 2, case 26; C-A10, E-19, E-22, E-34: at once or one after the other, no more is let through
/// than there is room for, to the last digit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_reserve_at_once_never_pass_the_cap() {
    on_each_database(async |app| race(&[app]).await).await;
}

/// The same on two servers with one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_reserve_on_two_servers_never_pass_the_cap() {
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

/// DESIGN 5: what is counted by one server is told by the checks of another after its next poll.
#[tokio::test]
async fn what_one_server_counts_the_other_tells() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let (one, two) = (TestApp::start(&database, &[]).await, TestApp::start(&database, &[]).await);
    let scene = Scene::new(&one, json!([{ "maxSpend": "10" }])).await;
    let other = two.with_key(scene.gateway.key.as_deref());
    let ask = async || {
        two.app.enforcement().poll().await.unwrap();
        other.check(json!({ "keyId": scene.key, "model": "gpt-4o" })).await
    };
    assert_eq!(ask().await.body["remaining"]["usd"], "10");
    assert_eq!(scene.reserve("call", "7").await.status, 200);
    let answer = ask().await;
    assert_eq!((&answer.body["remaining"]["usd"], answer.statements()), (&json!("3"), 0));
    assert_eq!(scene.settle("call", "10").await, "RECORDED");
    let answer = ask().await;
    refused(&answer, 429, "BUDGET_EXCEEDED");
    assert_eq!(answer.statements(), 0);
    one.stop().await;
    two.stop().await;
    database.drop().await;
}

/// SECURITY 6, "Idempotency": whoever asks again under the same id has it held once, and an id is of one
/// call.
#[tokio::test]
async fn a_request_id_holds_once() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        let first = scene.reserve("call", "6").await;
        assert_eq!(first.status, 200);
        // There would be no room for it a second time.
        let again = scene.reserve("call", "6").await;
        assert_eq!(again.status, 200, "{:#}", again.body);
        assert_eq!(again.body["reservationId"], first.body["reservationId"]);
        assert_eq!(scene.numbers(app).await, ["0", "6", "4"]);
        let other = scene.reserve("call", "1").await;
        refused(&other, 409, "REQUEST_ID_USED");
        assert_eq!(other.body["error"]["code"], "request_id_used");
        assert_eq!(other.body["error"]["param"], "requestId");
        // Another gateway has request ids of its own.
        let neighbour = gateway(app).await;
        assert_eq!(scene.reserve_by(&neighbour, "call", "1").await.status, 200);
        assert_eq!(scene.settle("call", "2").await, "RECORDED");
        refused(&scene.reserve("call", "6").await, 409, "REQUEST_ID_USED");
        assert_eq!(scene.numbers(app).await, ["2", "1", "7"]);
        let both =
            json!({ "checks": [scene.body("a", "5"), scene.body("a", "5"), scene.body("b", "3")] });
        let answer = scene.gateway.check(both).await;
        let decisions = answer.body["decisions"].as_array().unwrap();
        let statuses: Vec<_> = decisions.iter().map(|one| &one["status"]).collect();
        assert_eq!(statuses, [200, 200, 429], "{:#}", answer.body);
        assert_eq!(scene.numbers(app).await, ["2", "6", "2"]);
    })
    .await;
}

/// SECURITY 6, "Idempotency": under an id that holds something, every member that is judged or counted
/// must be the same; what asks about another call is a conflict, and is judged before anything else.
#[tokio::test]
async fn another_call_under_a_request_id_is_a_conflict() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        let admin = app.admin();
        let body = json!({ "keyId": scene.key, "model": "gpt-4o", "route": "/v1/chat/completions",
            "endUser": "eve", "tags": ["a", "b"], "mode": "reserve", "requestId": "call",
            "estimate": { "costUsd": "2", "inputTokens": 10, "maxOutputTokens": 20 } });
        let ask = async |change: Value| {
            let mut body = body.clone();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            scene.gateway.check(body).await
        };
        let first = ask(json!({})).await;
        assert_eq!(first.status, 200, "{:#}", first.body);
        let input = json!({ "kind": "SERVICE", "teamId": scene.team, "name": "other" });
        let (other, _) = crate::harness::world::api_key(&admin, input).await;
        let estimate = |change: Value| {
            let mut estimate = body["estimate"].clone();
            estimate.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!({ "estimate": estimate })
        };
        for change in [
            json!({ "keyId": other }),
            json!({ "model": "gpt-4o-mini" }),
            json!({ "model": null }),
            json!({ "route": "/v1/embeddings" }),
            json!({ "route": null }),
            json!({ "endUser": "mallory" }),
            json!({ "endUser": "" }),
            json!({ "endUser": null }),
            json!({ "tags": ["a"] }),
            json!({ "tags": ["a", "b", "c"] }),
            json!({ "tags": null }),
            estimate(json!({ "costUsd": "1" })),
            estimate(json!({ "costUsd": null })),
            estimate(json!({ "inputTokens": 11 })),
            estimate(json!({ "inputTokens": null })),
            estimate(json!({ "maxOutputTokens": 21 })),
        ] {
            let answer = ask(change.clone()).await;
            let found = (answer.status, answer.body["code"].as_str());
            assert_eq!(found, (409, Some("REQUEST_ID_USED")), "{change}: {:#}", answer.body);
            assert_eq!(answer.body["reservationId"], Value::Null, "{change}");
        }
        let input = json!({ "externalId": "mallory", "teamId": scene.team });
        let made = done(&admin, "endUserCreate", input, "endUser { id }").await;
        let input = json!({ "id": made["endUser"]["id"] });
        done(&admin, "endUserBlock", input, "endUser { id }").await;
        refused(&ask(json!({ "endUser": "mallory" })).await, 403, "BLOCKED");
        // What is not judged may differ, and so may the way in which the same is written.
        for change in [
            json!({}),
            json!({ "tags": ["b", "a", "b"] }),
            json!({ "leaseTtlMs": 1_000, "ip": "127.0.0.1" }),
            json!({ "requestId": null, "idempotencyKey": "call" }),
            estimate(json!({ "costUsd": "2.00" })),
        ] {
            let again = ask(change.clone()).await;
            assert_eq!(again.status, 200, "{change}: {:#}", again.body);
            assert_eq!(again.body["reservationId"], first.body["reservationId"], "{change}");
        }
        assert_eq!(scene.numbers(app).await, ["0", "2", "8"]);
        assert_eq!(rows(app, "reservations").await, 1);
    })
    .await;
}

/// Whoever asks the same again has it held once, though what it stands for has changed meanwhile.
#[tokio::test]
async fn a_repeated_call_is_the_same_after_changes() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        let admin = app.admin();
        let model = json!({ "name": "own", "provider": "openai", "inputPrice": "1000000" });
        let model = done(&admin, "modelCreate", model, "model { id }").await;
        let alias =
            |target: &str| json!({ "teamId": scene.team, "alias": "nick", "target": target });
        done(&admin, "teamModelAliasSet", alias("own"), "team { id }").await;
        let body = json!({ "keyId": scene.key, "model": "nick", "endUser": "eve", "tags": ["a"],
            "mode": "reserve", "requestId": "call", "estimate": { "inputTokens": 2 } });
        let first = scene.gateway.check(body.clone()).await;
        assert_eq!(first.status, 200, "{:#}", first.body);
        assert_eq!(scene.numbers(app).await, ["0", "2", "8"]);
        let again = async |what: &str| {
            let again = scene.gateway.check(body.clone()).await;
            assert_eq!(again.status, 200, "{what}: {:#}", again.body);
            assert_eq!(again.body["reservationId"], first.body["reservationId"], "{what}");
            assert_eq!(scene.numbers(app).await[..2], ["0", "2"], "{what}");
        };
        let dearer = json!({ "id": model["model"]["id"], "inputPrice": "3000000" });
        done(&admin, "modelUpdate", dearer, "model { id }").await;
        again("a price").await;
        done(&admin, "teamModelAliasSet", alias("gpt-4o"), "team { id }").await;
        again("an alias").await;
        let input = json!({ "externalId": "eve", "teamId": scene.team });
        done(&admin, "endUserCreate", input, "endUser { id }").await;
        done(&admin, "tagCreate", json!({ "name": "a" }), "tag { id }").await;
        again("an end user and a tag").await;
        let cap = json!([{ "create": { "maxSpend": "1", "period": "1d" } }]);
        let input = json!({ "id": scene.key, "budgets": cap });
        done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        again("a budget").await;
        assert_eq!(rows(app, "reservations").await, 1);
    })
    .await;
}

/// E-20, E-21: what is out of time makes room, and the call is counted when it comes after all.
#[tokio::test]
async fn what_is_held_for_too_long_makes_room() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        let mut body = scene.body("short", "10");
        body["leaseTtlMs"] = json!(30_000);
        let answer = scene.gateway.check(body).await;
        assert_eq!((answer.status, &answer.body["leaseTtlMs"]), (200, &json!(30_000)));
        let soon = app.clock.now() + TimeDelta::milliseconds(29_999);
        app.clock.set(soon);
        app.app.enforcement().poll().await.unwrap();
        refused(&scene.reserve("late", "1").await, 429, "BUDGET_EXCEEDED");
        app.clock.set(soon + TimeDelta::milliseconds(1));
        assert_eq!(scene.reserve("late", "1").await.status, 200);
        assert_eq!(scene.settle("short", "9.5").await, "RECORDED");
        assert_eq!(scene.numbers(app).await, ["9.5", "1", "0"]);
    })
    .await;
}

/// DESIGN 5: checks tell what was counted as of the last poll; reserving is exact whatever they tell.
#[tokio::test]
async fn a_check_follows_what_is_counted_and_a_reservation_does_not_wait_for_it() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        let poll = async || app.app.enforcement().poll().await.unwrap();
        poll().await;
        assert_eq!(scene.check().await.body["remaining"]["usd"], "10");
        assert_eq!(scene.reserve("call", "10").await.status, 200);
        poll().await;
        let full = scene.check().await;
        refused(&full, 429, "BUDGET_EXCEEDED");
        assert_eq!(full.statements(), 0);
        assert_eq!(full.body["limits"][0]["remaining"], "0");
        // Settled for less: there is room at once for those who reserve.
        assert_eq!(scene.settle("call", "4").await, "RECORDED");
        assert_eq!(scene.reserve("next", "5").await.status, 200);
        poll().await;
        let warm = scene.check().await;
        assert_eq!((warm.status, &warm.body["remaining"]["usd"]), (200, &json!("1")));
        assert_eq!(warm.statements(), 0);
        assert_eq!(warm.headers["x-tollkeep-budget-remaining-usd"], "1");
        assert_eq!(scene.settle("unreserved", "1").await, "RECORDED");
        poll().await;
        refused(&scene.check().await, 429, "BUDGET_EXCEEDED");
    })
    .await;
}

/// What is counted in a window is nothing in the next one.
#[tokio::test]
async fn a_new_window_has_all_its_room() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10", "period": "1d" }])).await;
        assert_eq!(scene.settle("call", "10").await, "RECORDED");
        app.app.enforcement().poll().await.unwrap();
        refused(&scene.check().await, 429, "BUDGET_EXCEEDED");
        refused(&scene.reserve("full", "1").await, 429, "BUDGET_EXCEEDED");
        app.clock.set("2026-11-22T00:00:00Z".parse().unwrap());
        app.app.enforcement().poll().await.unwrap();
        assert_eq!(scene.check().await.body["remaining"]["usd"], "10");
        assert_eq!(scene.reserve("new", "10").await.status, 200);
    })
    .await;
}

/// More to spend for some time counts for checks and for reservations, until it is over.
#[tokio::test]
async fn a_temporary_increase_is_room() {
    on_each_database(async |app| {
        let increase = json!({ "amount": "5", "endsAt": "2026-11-21T13:00:00Z" });
        let scene =
            Scene::new(app, json!([{ "maxSpend": "10", "temporaryIncrease": increase }])).await;
        assert_eq!(scene.check().await.body["remaining"]["usd"], "15");
        assert_eq!(scene.reserve("call", "12").await.status, 200);
        assert_eq!(scene.settle("call", "12").await, "RECORDED");
        app.clock.set("2026-11-21T13:00:00Z".parse().unwrap());
        app.app.enforcement().poll().await.unwrap();
        let answer = scene.check().await;
        refused(&answer, 429, "BUDGET_EXCEEDED");
        assert_eq!(answer.body["limits"][0]["limit"], "10");
        refused(&scene.reserve("more", "1").await, 429, "BUDGET_EXCEEDED");
    })
    .await;
}

/// F5, C-A13: nothing is held for what is refused, and for what costs nothing.
#[tokio::test]
async fn nothing_is_held_for_what_is_refused_or_free() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "1" }])).await;
        let admin = app.admin();
        let free =
            json!({ "name": "free", "provider": "openai", "inputPrice": "0", "outputPrice": "0" });
        done(&admin, "modelCreate", free, "model { id }").await;
        assert_eq!(scene.reserve("all", "1").await.status, 200);
        let ask = async |change: Value| {
            let mut body = scene.body("x", "1");
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            scene.gateway.check(body).await
        };
        let answer = ask(json!({ "model": "free" })).await;
        assert_eq!(
            (answer.status, &answer.body["reservationId"]),
            (200, &Value::Null),
            "{:#}",
            answer.body
        );
        let routes = json!({ "id": scene.key, "allowedRoutes": ["/v1/embeddings"] });
        done(&admin, "apiKeyUpdate", routes, "apiKey { id }").await;
        refused(&ask(json!({ "route": "/v1/chat/completions" })).await, 403, "ROUTE_NOT_ALLOWED");
        let unknown = json!({ "keyId": "key_00000000000070008000000000000001" });
        refused(&ask(unknown).await, 401, "INVALID_CREDENTIAL");
        done(&admin, "apiKeyBlock", json!({ "id": scene.key }), "apiKey { id }").await;
        refused(&ask(json!({})).await, 403, "BLOCKED");
        assert_eq!(rows(app, "reservations").await, 1);
    })
    .await;
}

/// DESIGN 5, "Cost": tokens are priced where no cost is given, by the dearest model that may answer, else
/// by public prices.
#[tokio::test]
async fn an_estimate_in_tokens_is_priced() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        for (input, output, blocked) in [("3", "15", false), ("2", "20", false), ("99", "99", true)]
        {
            let model = json!({ "name": "own", "provider": "openai", "inputPrice": input,
                "outputPrice": output });
            let made = done(&app.admin(), "modelCreate", model, "model { id }").await;
            if blocked {
                let input = json!({ "id": made["model"]["id"] });
                done(&app.admin(), "modelBlock", input, "model { id }").await;
            }
        }
        let ask = async |model: &str, estimate: Value| {
            let answer = scene
                .gateway
                .check(json!({ "keyId": scene.key, "model": model, "mode": "reserve",
                    "requestId": format!("{model} {estimate}"), "estimate": estimate }))
                .await;
            assert_eq!(answer.status, 200, "{:#}", answer.body);
            scene.numbers(app).await[1].clone()
        };
        let tokens = json!({ "inputTokens": 1_000, "maxOutputTokens": 2_000 });
        assert_eq!(ask("own", tokens.clone()).await, "0.043");
        assert_eq!(ask("own", json!({ "maxOutputTokens": 1 })).await, "0.04302");
        // 2.50 and 10 dollars for a million.
        assert_eq!(ask("gpt-4o", tokens.clone()).await, "0.06552");
        assert_eq!(ask("nobody-knows-it", tokens.clone()).await, "0.06552");
        // By what the provider calls the model, and by the dearer of two that may answer.
        for (name, price) in [("chat", None), ("either", None), ("either", Some("0.1"))] {
            let model = json!({ "name": name, "provider": "openai", "providerModel": "gpt-4o",
                "inputPrice": price, "outputPrice": price });
            done(&app.admin(), "modelCreate", model, "model { id }").await;
        }
        app.app.enforcement().poll().await.unwrap();
        assert_eq!(ask("chat", tokens.clone()).await, "0.08802");
        assert_eq!(ask("either", tokens.clone()).await, "0.11052");
        let given = json!({ "costUsd": "1", "inputTokens": 1_000 });
        assert_eq!(ask("own", given).await, "1.11052");
        let much = json!({ "inputTokens": 1_000_000_000 });
        let answer = scene
            .gateway
            .check(json!({ "keyId": scene.key, "model": "own", "estimate": much }))
            .await;
        refused(&answer, 429, "BUDGET_EXCEEDED");
    })
    .await;
}

/// A key asks about itself, and holds nothing: only gateways report what calls used.
#[tokio::test]
async fn only_gateways_hold() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "1" }])).await;
        let input = json!({ "kind": "SERVICE", "teamId": scene.team, "name": "own" });
        let (_, secret) = crate::harness::world::api_key(&app.admin(), input).await;
        let body = json!({ "model": "m", "mode": "reserve", "requestId": "x" });
        let answer = app.with_key(Some(&secret)).check(body).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("mode")));
        assert_eq!(rows(app, "reservations").await, 0);
    })
    .await;
}

/// SECURITY 2, case 14: what cannot be held is not let through.
#[tokio::test]
async fn without_the_database_nothing_is_reserved() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!([{ "maxSpend": "10" }])).await;
        assert_eq!(scene.reserve("warm", "1").await.status, 200);
        app.app.enforcement().stop();
        app.app.deployment().database.close().await;
        let answer = scene.reserve("call", "1").await;
        assert_eq!(answer.status, 503, "{:#}", answer.body);
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.body.get("allow"), None);
    })
    .await;
}
