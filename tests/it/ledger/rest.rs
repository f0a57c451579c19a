//! `POST /v1/usage`: reports without GraphQL.

use serde_json::{Value, json};

use super::{event, gateway, spend, team_with_key};
use crate::harness::world::World;
use crate::harness::{Client, on_each_database};

async fn post(client: &Client, body: Value) -> (u16, Value) {
    let answer = client.at("/v1/usage").post(body, &[]).await;
    (answer.status, answer.body)
}

/// GATEWAYS 1.3: a verdict for each event, in order; numbers and strings are taken.
#[tokio::test]
async fn usage_is_reported_over_plain_http() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let gateway = gateway(app).await;
        let mut float = event("float", &key, "");
        float["cost"] = json!(0.000_135_f64.next_down());
        float["inputTokens"] = json!("12");
        let fine = event("fine", &key, "0.00000000150000");
        let mut unknown = event("unknown", &key, "1");
        unknown["costs"] = json!(1);
        let mut typed = event("typed", &key, "1");
        typed["inputTokens"] = json!([1]);
        let mut when = event("when", &key, "1");
        when["occurredAt"] = json!("yesterday");
        let mut lacking = event("lacking", &key, "1");
        lacking.as_object_mut().unwrap().remove("apiKeyId");
        let events = json!([
            float,
            fine,
            unknown,
            typed,
            when,
            lacking,
            7,
            event("nan", &key, "NaN"),
            event("huge", &key, "1e30"),
            event("long", &key, &"9".repeat(40)),
            event("minus", &key, "-1"),
            event("fine", &key, "0.000000002"),
            event("fine", &key, "1")
        ]);
        let (status, body) = post(&gateway, json!({ "events": events })).await;
        assert_eq!(status, 200, "{body:#}");
        let verdicts = body["verdicts"].as_array().unwrap();
        let found: Vec<_> = verdicts
            .iter()
            .map(|verdict| {
                let text = |field: &str| verdict[field].as_str().unwrap_or("-").to_owned();
                (text("requestId"), text("code"), text("field"), text("cost"))
            })
            .collect();
        let row = |id: &str, code: &str, field: &str, cost: &str| {
            (id.to_owned(), code.to_owned(), field.to_owned(), cost.to_owned())
        };
        assert_eq!(
            found,
            [
                row("float", "RECORDED", "-", "0.000135"),
                row("fine", "RECORDED", "-", "0.000000002"),
                row("unknown", "INVALID", "costs", "-"),
                row("typed", "INVALID", "-", "-"),
                row("when", "INVALID", "occurredAt", "-"),
                row("lacking", "INVALID", "apiKeyId", "-"),
                row("", "INVALID", "-", "-"),
                row("nan", "INVALID", "cost", "-"),
                row("huge", "INVALID", "cost", "-"),
                row("long", "INVALID", "cost", "-"),
                row("minus", "INVALID", "cost", "-"),
                row("fine", "DUPLICATE", "-", "0.000000002"),
                row("fine", "CONFLICT", "requestId", "-"),
            ]
        );
        let found = spend(&app.admin(), "team", &team).await;
        assert_eq!(found["spend"]["lifetime"], "0.000135002");
        assert_eq!(found["spend"]["inputTokens"], "12");
    })
    .await;
}

/// GATEWAYS 1.1: errors of the request as a whole are read by clients of `OpenAI`.
#[tokio::test]
async fn a_refusal_has_the_shape_that_clients_read() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let gateway = world.person("gateway").at("/v1/usage");
        for (person, status, code) in [
            ("anonymous", 401, "invalid_api_key"),
            ("platform_admin", 403, "forbidden"),
            ("team_admin", 403, "forbidden"),
            ("service", 403, "forbidden"),
        ] {
            let answer =
                world.person(person).at("/v1/usage").post(json!({ "events": [1] }), &[]).await;
            assert_eq!(
                (answer.status, &answer.body["error"]["code"]),
                (status, &json!(code)),
                "{person}"
            );
            let error = answer.body["error"].as_object().unwrap();
            assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"]);
            assert!(answer.headers.contains_key("x-request-id"));
        }
        for (body, param) in [
            (json!({}), Value::Null),
            (json!([]), Value::Null),
            (json!({ "events": [], "more": 1 }), Value::Null),
            (json!({ "events": [] }), json!("events")),
            (json!({ "events": vec![json!({}); 501] }), json!("events")),
        ] {
            let answer = gateway.post(body, &[]).await;
            assert_eq!(answer.status, 400);
            assert_eq!(answer.body["error"]["code"], "invalid_request");
            assert_eq!(answer.body["error"]["type"], "invalid_request_error");
            assert_eq!(answer.body["error"]["param"], param);
        }
        let large = json!({ "events": ["x".repeat(1024 * 1024)] });
        assert_eq!(gateway.post(large, &[]).await.status, 413);
        let encoded = gateway.post(json!({ "events": [1] }), &[("content-encoding", "gzip")]).await;
        assert_eq!(encoded.status, 415);
        let typed = gateway.post(json!({ "events": [1] }), &[("content-type", "text/plain")]).await;
        assert_eq!(typed.status, 415);
        assert_eq!(typed.body["error"]["code"], "unsupported_media_type");
        let got = reqwest::Client::new()
            .get(format!("http://{}/v1/usage", app.address()))
            .bearer_auth(world.person("gateway").key.as_ref().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(
            (got.status().as_u16(), got.headers()["allow"].to_str().unwrap()),
            (405, "POST")
        );
    })
    .await;
}

/// SECURITY 2, case 14: a ledger that is away is 503, and nothing is recorded.
#[tokio::test]
async fn a_database_that_is_away_is_a_refusal() {
    on_each_database(async |app| {
        let (_, key) = team_with_key(app, "T", json!([])).await;
        let gateway = gateway(app).await;
        app.app.deployment().database.close().await;
        let (status, body) = post(&gateway, json!({ "events": [event("1", &key, "1")] })).await;
        assert_eq!((status, &body["error"]["type"]), (503, &json!("server_error")), "{body}");
    })
    .await;
}
