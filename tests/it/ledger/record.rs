//! Recording usage: once, wherever it belongs, whatever comes first.

use serde_json::{Value, json};

use super::{budget, codes, event, gateway, record, spend, team_with_key};
use crate::harness::world::{World, api_key};
use crate::harness::{ROOM, on_each_database, on_each_database_with};
use crate::steps::{done, project, rows};

/// C-P10, E 16, E 23, SECURITY 6: a call is charged to every scope of its key, once.
#[tokio::test]
async fn a_call_is_charged_to_every_scope_of_its_key() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let limits = json!([{ "create": { "maxSpend": "10", "period": "1mo" } }]);
        let project = project(&admin, &world.a1, json!({ "name": "P", "budgets": limits })).await;
        let member = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "budgets": limits });
        let member = done(&admin, "teamMemberUpdate", member, "membership { id }").await;
        for (field, id) in [("teamUpdate", &world.a1), ("organizationUpdate", &world.a)] {
            let input = json!({ "id": id, "budgets": limits });
            done(&admin, field, input, "__typename").await;
        }
        let input = json!({ "externalId": "eve", "teamId": world.a1, "budgets": limits });
        let end_user = done(&admin, "endUserCreate", input, "endUser { id }").await;
        let input = json!({ "name": "blue", "organizationId": world.a, "budgets": limits });
        let tag = done(&admin, "tagCreate", input, "tag { id }").await;
        let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "k",
            "projectId": project, "budgets": limits });
        let (key, _) = api_key(&admin, input).await;
        let mut call = event("1", &key, "0.25");
        call["endUser"] = json!("eve");
        call["tags"] = json!(["blue", "unknown"]);
        call["inputTokens"] = json!(100);
        call["outputTokens"] = json!("20");
        let verdicts = record(world.person("gateway"), json!([call])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"], "{verdicts:?}");
        assert_eq!(
            (&verdicts[0]["cost"], &verdicts[0]["costSource"]),
            (&json!("0.25"), &json!("REPORTED"))
        );
        let scopes = [
            ("organization", world.a.as_str()),
            ("team", &world.a1),
            ("project", &project),
            ("apiKey", &key),
            ("endUser", end_user["endUser"]["id"].as_str().unwrap()),
            ("tag", tag["tag"]["id"].as_str().unwrap()),
        ];
        let node = format!(
            "{{ node(id: {}) {{ ... on TeamMembership {{ spend {{ lifetime currentWindow resetsAt
                requests inputTokens outputTokens }} budgets {{ spent reserved remaining resetsAt
                reachedThresholds budget {{ id }} }} }} }} }}",
            member["membership"]["id"]
        );
        let mut found = vec![("membership", crate::steps::read(&admin, &node).await)];
        for (field, id) in scopes {
            found.push((field, spend(&admin, field, id).await));
        }
        for (field, found) in found {
            assert_eq!(
                found["spend"],
                json!({ "lifetime": "0.25", "currentWindow": "0.25",
                    "resetsAt": "2026-12-01T00:00:00+00:00", "requests": "1", "inputTokens": "100",
                    "outputTokens": "20" }),
                "{field}"
            );
            let own = &found["budgets"][0];
            assert_eq!(
                (&own["spent"], &own["remaining"]),
                (&json!("0.25"), &json!("9.75")),
                "{field}"
            );
        }
        let user = spend(&admin, "user", &world.users["member"]).await;
        assert_eq!((&user["spend"]["lifetime"], &user["budgets"]), (&json!("0.25"), &json!([])));
        let other = spend(&admin, "team", &world.a2).await;
        assert_eq!(other["spend"]["lifetime"], "0");
    })
    .await;
}

/// SECURITY 2, case 27; SECURITY 6, "Idempotency": one event fifty times at once is counted once; with
/// one digit changed it is a conflict; another gateway's same id is another event.
#[tokio::test]
async fn the_same_event_is_counted_once() {
    on_each_database_with(ROOM, async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "100" }])).await;
        let (one, other) = (gateway(app).await, gateway(app).await);
        let calls = (0..50).map(|_| record(&one, json!([event("x", &key, "1.5")])));
        let verdicts = futures_util::future::join_all(calls).await.concat();
        let all = codes(&verdicts);
        assert_eq!(all.iter().filter(|code| **code == "RECORDED").count(), 1, "{all:?}");
        assert_eq!(all.iter().filter(|code| **code == "DUPLICATE").count(), 49, "{all:?}");
        let ids: std::collections::BTreeSet<_> =
            verdicts.iter().map(|verdict| verdict["usageEventId"].to_string()).collect();
        assert_eq!(ids.len(), 1);
        assert!(verdicts.iter().all(|verdict| verdict["cost"] == "1.5"));
        let changed = json!([
            event("x", &key, "1.6"),
            event("x", &key, "1.5"),
            event("y", &key, "1"),
            event("y", &key, "2"),
            event("y", &key, "1")
        ]);
        let verdicts = record(&one, changed).await;
        assert_eq!(
            codes(&verdicts),
            ["CONFLICT", "DUPLICATE", "RECORDED", "CONFLICT", "DUPLICATE"]
        );
        assert_eq!(verdicts[0]["field"], "requestId");
        assert_eq!(codes(&record(&other, json!([event("x", &key, "1.6")])).await), ["RECORDED"]);
        let found = spend(&app.admin(), "team", &team).await;
        assert_eq!(found["spend"]["lifetime"], "4.1");
        assert_eq!(found["budgets"][0]["spent"], "4.1");
        assert_eq!(rows(app, "usage_events").await, 3);
    })
    .await;
}

/// SECURITY 2, case 28: what cannot be is refused with its field, and changes nothing.
#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "100" }])).await;
        let gateway = gateway(app).await;
        let with = |field: &str, value: Value| {
            let mut event = event(field, &key, "1");
            event[field] = value;
            event
        };
        let cases = [
            (with("cost", json!("-0.01")), "INVALID", "cost"),
            (with("cost", json!("1000000.000000001")), "INVALID", "cost"),
            (with("occurredAt", json!("2026-11-21T13:00:00Z")), "INVALID", "occurredAt"),
            (with("authorizedAt", json!("2026-11-21T12:05:01Z")), "INVALID", "authorizedAt"),
            (with("occurredAt", json!("2025-11-21T12:00:00Z")), "TOO_OLD", "occurredAt"),
            (with("authorizedAt", json!("2026-10-17T11:59:59Z")), "TOO_OLD", "authorizedAt"),
            (with("inputTokens", json!(-1)), "INVALID", "inputTokens"),
            (with("outputTokens", json!("1000000000001")), "INVALID", "outputTokens"),
            (with("cacheReadTokens", json!(1)), "INVALID", "inputTokens"),
            (with("reasoningTokens", json!(1)), "INVALID", "outputTokens"),
            (with("requestId", json!("")), "INVALID", "requestId"),
            (with("requestId", json!("a\u{0}b")), "INVALID", "requestId"),
            (with("requestId", json!("x".repeat(129))), "INVALID", "requestId"),
            (with("model", json!("")), "INVALID", "model"),
            (with("provider", json!("")), "INVALID", "provider"),
            (with("endUser", json!("a\nb")), "INVALID", "endUser"),
            (with("tags", json!(["a", " a"])), "INVALID", "tags.1"),
            (with("modelId", json!("gpt-4o")), "INVALID", "modelId"),
            (with("apiKeyId", json!("nobody")), "NOT_FOUND", "apiKeyId"),
            (with("apiKeyId", json!(format!("key_{}", "0".repeat(32)))), "NOT_FOUND", "apiKeyId"),
            (with("apiKeyId", json!(team)), "NOT_FOUND", "apiKeyId"),
        ];
        let events: Vec<_> = cases.iter().map(|(event, ..)| event.clone()).collect();
        // A batch is not spoilt by what is wrong in it.
        let mut events_and_one = events.clone();
        events_and_one.push(event("good", &key, "0.000000001"));
        let verdicts = record(&gateway, json!(events_and_one)).await;
        for (verdict, (event, code, field)) in verdicts.iter().zip(&cases) {
            assert_eq!(
                (&verdict["code"], &verdict["field"]),
                (&json!(code), &json!(field)),
                "{event}"
            );
            assert!(verdict["message"].is_string() && verdict["cost"].is_null(), "{verdict}");
        }
        assert_eq!(verdicts.last().unwrap()["code"], "RECORDED");
        assert_eq!(budget(&app.admin(), "team", &team).await["spent"], "0.000000001");
        // What is no amount at all does not pass the schema.
        for cost in [json!("NaN"), json!("1e30"), json!("9".repeat(40)), json!(0.5)] {
            let input = json!({ "events": [with("cost", cost)] });
            let answer =
                crate::steps::change(&gateway, "usageRecord", input, "verdicts { code }").await;
            assert_eq!(answer.code(), "BAD_USER_INPUT", "{:#}", answer.body);
        }
        for count in [0, 501] {
            let events: Vec<_> = (0..count).map(|n| event(&n.to_string(), &key, "1")).collect();
            let input = json!({ "events": events });
            let answer =
                crate::steps::change(&gateway, "usageRecord", input, "verdicts { code }").await;
            answer.refused("BAD_USER_INPUT", "input.events");
        }
        assert_eq!(rows(app, "usage_events").await, 1);
    })
    .await;
}

/// SECURITY 6, "Overflow is checked arithmetic": an event that would make a sum too large is refused,
/// and the others of its batch are counted.
#[tokio::test]
async fn a_sum_that_cannot_be_stored_refuses_one_event_alone() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "softSpend": "1" }])).await;
        let gateway = gateway(app).await;
        record(&gateway, json!([event("0", &key, "1")])).await;
        let most = i64::MAX - 3_000_000_000;
        for table in ["budget_windows", "spend_totals", "usage_daily"] {
            crate::steps::execute(app, &format!("UPDATE {table} SET spent = {most}")).await;
        }
        let events = json!([event("1", &key, "2"), event("2", &key, "5"), event("3", &key, "1")]);
        let verdicts = record(&gateway, events).await;
        assert_eq!(codes(&verdicts), ["RECORDED", "INVALID", "RECORDED"], "{verdicts:?}");
        assert_eq!(verdicts[1]["field"], "cost");
        let found = spend(&app.admin(), "team", &team).await;
        assert_eq!(found["spend"]["lifetime"], "9223372036.854775807");
        assert_eq!(found["budgets"][0]["spent"], "9223372036.854775807");
        assert_eq!(codes(&record(&gateway, json!([event("4", &key, "1")])).await), ["INVALID"]);
    })
    .await;
}

/// E 28: usage keeps what it was charged to; a call of a key that is gone is still counted.
#[tokio::test]
async fn usage_outlives_what_it_was_charged_to() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "100" }])).await;
        let (gateway, admin) = (gateway(app).await, app.admin());
        record(&gateway, json!([event("1", &key, "1")])).await;
        done(&admin, "apiKeyDelete", json!({ "ids": [key] }), "deletedIds").await;
        let verdicts = record(&gateway, json!([event("2", &key, "2")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        let found = spend(&admin, "team", &team).await;
        assert_eq!(
            (&found["spend"]["lifetime"], &found["budgets"][0]["spent"]),
            (&json!("3"), &json!("3"))
        );
        done(&admin, "teamDelete", json!({ "ids": [team] }), "deletedIds").await;
        let verdicts = record(&gateway, json!([event("3", &key, "4")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        let query = "{ usageEvents { totalCount nodes { cost teamId apiKeyId } } }";
        let events = crate::steps::read(&admin, query).await;
        let expected: Vec<_> = ["4", "2", "1"]
            .iter()
            .map(|cost| json!({ "cost": cost, "teamId": team, "apiKeyId": key }))
            .collect();
        assert_eq!(events, json!({ "totalCount": 3, "nodes": expected }));
        let query = format!(
            "{{ usage(from: \"2026-11-21\", to: \"2026-11-21\",
            filter: {{ teamIds: [\"{team}\"] }}) {{ totals {{ spend requests }} }} }}"
        );
        let report = crate::steps::read(&admin, &query).await;
        assert_eq!(report["totals"], json!({ "spend": "7", "requests": "3" }));
    })
    .await;
}

/// GATEWAYS 1.4: a reported cost stands; else the prices of the model, the team's own first; else the
/// table of public prices; else the call is recorded without a cost.
#[tokio::test]
async fn a_cost_is_reported_or_worked_out_and_its_source_kept() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([])).await;
        let (gateway, admin) = (gateway(app).await, app.admin());
        let model = async |name: &str, team: Option<&String>, input: &str, output: Option<&str>| {
            let input = json!({ "name": name, "provider": "openai", "teamId": team,
                "inputPrice": input, "outputPrice": output });
            done(&admin, "modelCreate", input, "model { id }").await["model"]["id"].clone()
        };
        model("ours", None, "1", Some("2")).await;
        let own = model("ours", Some(&team), "0.000001", Some("0.0000005")).await;
        let shared = model("embed", None, "0.13", None).await;
        let other = model("embed", None, "0.5", None).await;
        model("wild-*", None, "3", None).await;
        model("wild-2", None, "4", None).await;
        model("dear", None, "9000000000", None).await;
        let call = |request: &str, model: &str, input: i64, output: i64| {
            json!({ "requestId": request, "apiKeyId": key, "model": model, "inputTokens": input,
                "outputTokens": output })
        };
        let mut named = call("named", "embed", 1_000_000, 0);
        named["modelId"] = other.clone();
        let mut public = call("public", "gpt-4o", 1_000_000, 1_000_000);
        public["provider"] = json!("openai");
        let verdicts = record(
            &gateway,
            json!([
                // 1500 × 0.001 + 1000 × 0.0005 nano-dollars are 2 exactly; 500 × 0.001 is a half, to even.
                call("own", "ours", 1_500, 1_000),
                call("half", "ours", 500, 0),
                call("half and one", "ours", 1_500, 0),
                call("shared", "embed", 1_000_000, 5),
                named,
                public,
                call("unknown", "no such model", 5, 5),
                // A name that stands for others has their prices, unless they have their own.
                call("wild", "wild-1", 1_000_000, 0),
                call("not so wild", "wild-2", 1_000_000, 0),
                // No call costs more than a million, whatever prices say.
                call("dear", "dear", 1_000_000, 0),
                call("dearest", "dear", 1_000_000_000, 0),
            ]),
        )
        .await;
        let found: Vec<_> = verdicts
            .iter()
            .map(|verdict| {
                (verdict["cost"].as_str().unwrap(), verdict["costSource"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("0.000000002", "MODEL_PRICE"),
                ("0", "MODEL_PRICE"),
                ("0.000000002", "MODEL_PRICE"),
                ("0.13", "MODEL_PRICE"),
                ("0.5", "MODEL_PRICE"),
                ("12.5", "PRICE_TABLE"),
                ("0", "UNPRICED"),
                ("3", "MODEL_PRICE"),
                ("4", "MODEL_PRICE"),
                ("1000000", "MODEL_PRICE"),
                ("1000000", "MODEL_PRICE"),
            ]
        );
        let query = "{ usageEvents(last: 11) { nodes { requestId priceReference provider } } }";
        let events = crate::steps::read(&admin, query).await;
        let reference = |request: &str| {
            let nodes = events["nodes"].as_array().unwrap();
            nodes.iter().find(|node| node["requestId"] == request).unwrap()["priceReference"]
                .clone()
        };
        assert_eq!(reference("own"), own);
        assert_eq!(reference("shared"), shared);
        assert_eq!(reference("named"), other);
        assert!(reference("public").as_str().unwrap().starts_with("genai-prices/"), "{events}");
        assert_eq!(reference("unknown"), Value::Null);
    })
    .await;
}
