//! The samples for usage and spend.

use serde_json::{Value, json};

use super::cases::{Case, case};
use crate::harness::TestApp;
use crate::harness::client::text;
use crate::harness::world::{World, api_key};
use crate::steps::done;

pub(super) async fn cases(app: &TestApp, world: &World) -> Vec<Case> {
    let admin = app.admin();
    let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "used" });
    let (own, _) = api_key(&admin, input).await;
    let input = json!({ "kind": "SERVICE", "teamId": world.b1, "name": "used" });
    let (foreign, _) = api_key(&admin, input).await;
    let mut events = vec![("missing", format!("usage_{}", "0".repeat(32)))];
    for (name, key) in [("of the member in A1", &own), ("of B1", &foreign)] {
        let event = json!({ "requestId": name, "apiKeyId": key, "model": "m", "cost": "1" });
        let input = json!({ "events": [event] });
        let selection = "verdicts { usageEventId }";
        let made = done(world.person("gateway"), "usageRecord", input, selection).await;
        events.push((name, text(&made, "/verdicts/0/usageEventId")));
    }
    let objects: Vec<(&str, String, Value)> =
        events.iter().map(|(name, id)| (*name, id.clone(), json!({ "id": id }))).collect();
    let one = || vec![("-", String::new(), json!({}))];
    vec![
        case("usageEvents", "{ usageEvents { nodes { id } } }", one(), &[]),
        case(
            "usage",
            "{ usage(from: \"2026-11-21\", to: \"2026-11-21\") { totals { spend } } }",
            one(),
            &[],
        ),
        case(
            "usageRecord",
            "mutation { usageRecord(input: { events: [] }) { verdicts { code } } }",
            one(),
            &[("BAD_USER_INPUT", "input.events")],
        ),
        case(
            "spendCorrect",
            "mutation($id: ID!) { spendCorrect(input: { usageEventId: $id, amount: 0, reason: \"r\" })
                { usageEvent { id } } }",
            objects,
            &[("BAD_USER_INPUT", "input.amount")],
        ),
    ]
}
