//! What a check lets through is recorded, whatever its names are; and what is too long or malformed for
//! the one is so for the other.

use serde_json::{Value, json};

use super::{budget, codes, gateway, record, spend, team_with_key};
use crate::harness::{Answer, Client, TestApp, on_each_database};
use crate::steps::{done, read, rows};

/// Names that are odd, and let through.
fn odd_names() -> Vec<(&'static str, Value)> {
    let tags: Vec<String> = (0..50).map(|number| format!("{number:0>128}")).collect();
    vec![
        ("end user of 129 characters", json!({ "endUser": "u".repeat(129) })),
        ("end user of 256 characters", json!({ "endUser": "é".repeat(256) })),
        ("end user of 256 wide characters", json!({ "endUser": "😀".repeat(256) })),
        ("end user with spaces", json!({ "endUser": " eve  smith " })),
        ("end user of a space", json!({ "endUser": " " })),
        ("empty end user", json!({ "endUser": "" })),
        ("end user null", json!({ "endUser": null })),
        ("end user like an id", json!({ "endUser": format!("enduser_{}", "0".repeat(32)) })),
        ("end user like a pattern", json!({ "endUser": "%_*'\"\\;--\u{2028}" })),
        ("model of 256 characters", json!({ "model": "m".repeat(256) })),
        ("model with spaces", json!({ "model": "  gpt 4o " })),
        ("model that nobody knows", json!({ "model": "https://x/ü:1?a=b#c,d%20" })),
        ("model like a pattern", json!({ "model": "*" })),
        ("model after an alias", json!({ "model": "nick" })),
        ("no model", json!({ "model": null })),
        ("a route without a model", json!({ "model": null, "route": "/v1/files" })),
        ("a tag twice", json!({ "tags": ["a", "b", "a", "a"] })),
        ("50 long tags", json!({ "tags": tags })),
        ("tags null", json!({ "tags": null })),
        ("a tag of two words", json!({ "tags": ["a, b"] })),
    ]
}

/// Asks for a call with these names.
async fn ask(gateway: &Client, key: &str, names: &Value, change: Value) -> Answer {
    let mut body = json!({ "keyId": key, "model": "gpt-4o" });
    for members in [names, &change] {
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    }
    gateway.check(body).await
}

/// The report of a call with these names.
fn report(request: &str, key: &str, names: &Value) -> Value {
    let mut event =
        json!({ "requestId": request, "apiKeyId": key, "model": "gpt-4o", "cost": "0.01" });
    let mut names = names.as_object().unwrap().clone();
    names.remove("route");
    event.as_object_mut().unwrap().extend(names);
    event
}

async fn post(gateway: &Client, event: Value) -> Value {
    let answer = gateway.at("/v1/usage").post(json!({ "events": [event] }), &[]).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    answer.body["verdicts"][0].clone()
}

/// DESIGN 5, C-A14: every name that a check admits, held for or not, is recorded and counted, by HTTP and
/// by GraphQL.
#[tokio::test]
async fn whatever_names_are_let_through_are_recorded() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "100" }])).await;
        let (gateway, admin) = (gateway(app).await, app.admin());
        let alias = json!({ "teamId": team, "alias": "nick", "target": "gpt-4o" });
        done(&admin, "teamModelAliasSet", alias, "team { id }").await;
        let mut calls = 0;
        for (name, names) in odd_names() {
            let answer = ask(&gateway, &key, &names, json!({})).await;
            assert_eq!(answer.status, 200, "{name}: {:#}", answer.body);
            let held = json!({ "mode": "reserve", "requestId": format!("{name}, held"),
                "estimate": { "costUsd": "0.02" } });
            let answer = ask(&gateway, &key, &names, held).await;
            assert_eq!(answer.status, 200, "{name}: {:#}", answer.body);
            assert!(answer.body["reservationId"].is_string(), "{name}: {:#}", answer.body);
            for request in [format!("{name}, held"), name.to_owned()] {
                let event = report(&request, &key, &names);
                let verdict = post(&gateway, event.clone()).await;
                assert_eq!(verdict["code"], "RECORDED", "{name}: {verdict}");
                assert_eq!(post(&gateway, event).await["code"], "DUPLICATE", "{name}");
                calls += 1;
            }
            let mut event = report(&format!("{name}, by GraphQL"), &key, &names);
            if event["tags"].is_null() {
                event.as_object_mut().unwrap().remove("tags");
            }
            let verdicts = record(&gateway, json!([event])).await;
            assert_eq!(codes(&verdicts), ["RECORDED"], "{name}: {verdicts:?}");
            calls += 1;
            let found = spend(&admin, "team", &team).await;
            let spent = format!("{}.{:02}", calls / 100, calls % 100);
            let spent = spent.strip_suffix('0').unwrap_or(&spent);
            assert_eq!(found["spend"]["lifetime"], spent, "{name}");
            assert_eq!(found["budgets"][0]["spent"], spent, "{name}");
            assert_eq!(found["budgets"][0]["reserved"], "0", "{name}");
        }
        assert_eq!(rows(app, "reservations").await, 0);
        recorded_as_named(&admin).await;
    })
    .await;
}

/// What was recorded has the names of the call.
async fn recorded_as_named(admin: &Client) {
    let query = "{ usageEvents(first: 100) { nodes { requestId model endUser tags } } }";
    let events = read(admin, query).await;
    let named = |request: &str| {
        let nodes = events["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["requestId"] == request).unwrap().clone()
    };
    for (name, names) in odd_names() {
        let event = named(name);
        let end_user = names.get("endUser").filter(|name| **name != "");
        assert_eq!(event["endUser"], *end_user.unwrap_or(&Value::Null), "{name}");
        assert_eq!(event["model"], *names.get("model").unwrap_or(&json!("gpt-4o")), "{name}");
    }
    assert_eq!(named("a tag twice")["tags"], json!(["a", "b"]));
    assert_eq!(named("50 long tags")["tags"].as_array().unwrap().len(), 50);
    let report = async |rest: &str| {
        let query = format!(
            "{{ usage(from: \"2026-11-21\", to: \"2026-11-21\", {rest}) {{
            totals {{ requests }} groups {{ key totals {{ requests spend }} }} }} }}"
        );
        read(admin, &query).await
    };
    let groups = report("groupBy: MODEL, first: 100").await["groups"].clone();
    let groups = groups.as_array().unwrap();
    let without: Vec<_> = groups.iter().filter(|group| group["key"].is_null()).collect();
    assert_eq!(without.len(), 1);
    assert_eq!(without[0]["totals"], json!({ "requests": "6", "spend": "0.06" }));
    assert!(groups.iter().all(|group| group["key"] != ""));
    for filter in
        ["endUsers: [\" eve  smith \"]".to_owned(), format!("endUsers: [\"{}\"]", "u".repeat(129))]
    {
        let found = report(&format!("filter: {{ {filter} }}")).await;
        assert_eq!(found["totals"]["requests"], "3", "{filter}");
    }
    let filter = format!(
        "{{ usageEvents(filter: {{ models: [\"{}\"] }}) {{ totalCount }} }}",
        "m".repeat(256)
    );
    assert_eq!(read(admin, &filter).await["totalCount"], 3);
}

/// What the one refuses, the other does, in the same member.
#[tokio::test]
async fn what_is_not_let_through_is_not_recorded() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "100" }])).await;
        let gateway = gateway(app).await;
        let many: Vec<_> = (0..51).map(|number| number.to_string()).collect();
        for (names, field) in [
            (json!({ "model": "" }), "model"),
            (json!({ "model": "m".repeat(257) }), "model"),
            (json!({ "model": "a\nb" }), "model"),
            (json!({ "endUser": "u".repeat(257) }), "endUser"),
            (json!({ "endUser": "a\u{0}b" }), "endUser"),
            (json!({ "tags": [""] }), "tags.0"),
            (json!({ "tags": ["a", " b"] }), "tags.1"),
            (json!({ "tags": ["t".repeat(129)] }), "tags.0"),
            (json!({ "tags": many }), "tags"),
        ] {
            let answer = ask(&gateway, &key, &names, json!({})).await;
            let found = (answer.status, &answer.body["error"]["param"]);
            assert_eq!(found, (400, &json!(field)), "{:#}", answer.body);
            let verdict = post(&gateway, report("x", &key, &names)).await;
            let found = (&verdict["code"], &verdict["field"]);
            assert_eq!(found, (&json!("INVALID"), &json!(field)), "{verdict}");
            assert_eq!(verdict["message"], answer.body["error"]["message"], "{verdict}");
        }
        assert_eq!(budget(&app.admin(), "team", &team).await["spent"], "0");
    })
    .await;
}

/// The end users that a deployment bounds by default are bound under names that nobody gave out.
#[tokio::test]
async fn an_end_user_with_a_long_name_does_not_spend_past_its_budget() {
    on_each_database(async |app| {
        let (_, key) = team_with_key(app, "T", json!([])).await;
        let gateway = gateway(app).await;
        let cap = json!([{ "create": { "maxSpend": "1" } }]);
        let defaults = json!({ "endUserDefaults": { "budgets": cap } });
        done(&app.admin(), "settingsUpdate", defaults, "__typename").await;
        app.app.enforcement().poll().await.unwrap();
        for name in ["u".repeat(129), " eve ".to_owned()] {
            let names = json!({ "endUser": name });
            let held = json!({ "mode": "reserve", "requestId": name,
                "estimate": { "costUsd": "1" } });
            // A request id has at most 128 characters.
            let mut held = held;
            held["requestId"] = json!(name.chars().take(100).collect::<String>());
            let answer = ask(&gateway, &key, &names, held.clone()).await;
            assert_eq!(answer.status, 200, "{:#}", answer.body);
            let mut event = report(held["requestId"].as_str().unwrap(), &key, &names);
            event["cost"] = json!("1");
            assert_eq!(post(&gateway, event).await["code"], "RECORDED");
            app.app.enforcement().poll().await.unwrap();
            let answer = ask(&gateway, &key, &names, json!({})).await;
            let found = (answer.status, &answer.body["code"]);
            assert_eq!(found, (429, &json!("BUDGET_EXCEEDED")), "{:#}", answer.body);
        }
    })
    .await;
}

/// DESIGN 5, "Cost": a call of a route without a model costs what is reported, else nothing; budgets for
/// some models do not count it, whatever their pattern.
#[tokio::test]
async fn a_call_without_a_model_costs_what_is_reported() {
    on_each_database(async |app| {
        let limits = json!([{ "maxSpend": "10" }, { "maxSpend": "5", "modelPattern": "*" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (gateway, admin) = (gateway(app).await, app.admin());
        let held = json!({ "model": null, "route": "/v1/files", "mode": "reserve",
            "requestId": "files", "estimate": { "costUsd": "6" } });
        let answer = ask(&gateway, &key, &json!({}), held).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let numbers = async |app: &TestApp, field: &str| {
            let found = spend(&app.admin(), "team", &team).await["budgets"].clone();
            let numbers = found.as_array().unwrap().iter().map(|budget| budget[field].clone());
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(numbers(app, "reserved").await, ["6", "0"]);
        let event = json!({ "requestId": "files", "apiKeyId": key, "cost": "2" });
        assert_eq!(post(&gateway, event).await["code"], "RECORDED");
        let event = json!({ "requestId": "late", "apiKeyId": key, "model": null, "cost": "1" });
        assert_eq!(post(&gateway, event).await["code"], "RECORDED");
        assert_eq!(numbers(app, "reserved").await, ["0", "0"]);
        assert_eq!(numbers(app, "spent").await, ["3", "0"]);
        let event = json!({ "requestId": "tokens", "apiKeyId": key, "provider": "openai",
            "inputTokens": 1_000_000 });
        let verdict = post(&gateway, event).await;
        let found = (&verdict["code"], &verdict["cost"], &verdict["costSource"]);
        assert_eq!(found, (&json!("RECORDED"), &json!("0"), &json!("UNPRICED")), "{verdict}");
        let model = json!({ "name": "ocr", "provider": "openai", "inputPrice": "1" });
        let model = done(&admin, "modelCreate", model, "model { id }").await;
        let event = json!({ "requestId": "by id", "apiKeyId": key, "inputTokens": 1_000_000,
            "modelId": model["model"]["id"] });
        let verdict = post(&gateway, event).await;
        assert_eq!(
            (&verdict["cost"], &verdict["costSource"]),
            (&json!("1"), &json!("MODEL_PRICE"))
        );
        let query = "{ usageEvents { nodes { model } } }";
        let events = read(&admin, query).await;
        let none = json!({ "model": null });
        assert!(events["nodes"].as_array().unwrap().iter().all(|node| *node == none), "{events}");
    })
    .await;
}
