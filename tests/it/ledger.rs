//! The ledger: what is recorded once, held exactly, and shown to whom it concerns.

mod admitted;
mod correct;
mod crash;
mod fork;
mod late;
mod property;
mod race;
mod read;
mod record;
mod reserve;
mod rest;
mod undone;
mod window;

use serde_json::{Value, json};

use crate::harness::{Client, TestApp};
use crate::steps::{done, read};

/// Reports usage by GraphQL, and returns the verdicts.
pub(super) async fn record(gateway: &Client, events: Value) -> Vec<Value> {
    let selection = "verdicts { requestId code usageEventId cost costSource field message }";
    let answer = done(gateway, "usageRecord", json!({ "events": events }), selection).await;
    answer["verdicts"].as_array().unwrap().clone()
}

/// The codes of verdicts.
pub(super) fn codes(verdicts: &[Value]) -> Vec<&str> {
    verdicts.iter().map(|verdict| verdict["code"].as_str().unwrap()).collect()
}

/// An event of a key with a cost.
pub(super) fn event(request: &str, key: &str, cost: &str) -> Value {
    json!({ "requestId": request, "apiKeyId": key, "model": "gpt-4o", "cost": cost })
}

/// The spend of an object, by its root field and id.
pub(super) async fn spend(admin: &Client, field: &str, id: &str) -> Value {
    let selection = "spend { lifetime currentWindow resetsAt requests inputTokens outputTokens }
        budgets { spent reserved remaining resetsAt reachedThresholds budget { id } }";
    read(admin, &format!("{{ {field}(id: \"{id}\") {{ {selection} }} }}")).await
}

/// The one budget of an object, as numbers of its current window.
pub(super) async fn budget(admin: &Client, field: &str, id: &str) -> Value {
    spend(admin, field, id).await["budgets"][0].clone()
}

/// Makes a team with budgets and a service key in it; returns both ids.
pub(super) async fn team_with_key(app: &TestApp, name: &str, budgets: Value) -> (String, String) {
    team_with_key_by(&app.admin(), name, budgets).await
}

/// The same, by an admin.
pub(super) async fn team_with_key_by(
    admin: &Client,
    name: &str,
    budgets: Value,
) -> (String, String) {
    let created: Vec<Value> =
        budgets.as_array().unwrap().iter().map(|limits| json!({ "create": limits })).collect();
    let input = json!({ "name": name, "budgets": created });
    let team = done(admin, "teamCreate", input, "team { id }").await;
    let team = crate::harness::client::text(&team, "/team/id");
    let input = json!({ "kind": "SERVICE", "teamId": team, "name": "service" });
    let (key, _) = crate::harness::world::api_key(admin, input).await;
    (team, key)
}

/// A gateway.
pub(super) async fn gateway(app: &TestApp) -> Client {
    gateway_with_id(app).await.0
}

/// A gateway, with the id of its key.
pub(super) async fn gateway_with_id(app: &TestApp) -> (Client, String) {
    let input = json!({ "kind": "GATEWAY", "name": "gateway" });
    let (id, secret) = crate::harness::world::api_key(&app.admin(), input).await;
    (app.with_key(Some(&secret)), id)
}
