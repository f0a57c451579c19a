//! `accessCheck` and `accessExplain`: the answer of `/v1/check`, and its reasons.

use serde_json::{Value, json};

use crate::harness::world::{World, api_key};
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::done;

const EXPLAIN: &str = "query($id: ID, $call: AccessCallInput!) {
    accessExplain(input: { apiKeyId: $id, call: $call }) {
        decision {
            isAllowed code message remaining validUntil retryAt revision
            scope { kind id } model { requested resolved } principal { teamId userId }
        }
        rules {
            kind isPassed model scope { kind id }
            budget { budgetId maxSpend spent reserved estimate resetsAt }
        }
        remedies {
            change scope { kind id } model route maxSpend budgetId waitUntil spend
        }
    }
}";

async fn explain(client: &Client, key: &str, call: &Value) -> Value {
    let variables = json!({ "id": key, "call": call });
    client.run_with(EXPLAIN, variables).await.data()["accessExplain"].clone()
}

/// A key of the member in A1, with a budget; A1 and organization A have budgets too.
struct Scene {
    world: World,
    key: String,
    secret: String,
}

impl Scene {
    async fn new(app: &TestApp) -> Self {
        let world = World::new(app).await;
        let admin = app.admin();
        let budget = |max: &str| json!([{ "create": { "maxSpend": max, "period": "1mo" } }]);
        let input = json!({ "id": world.a, "budgets": budget("300") });
        done(&admin, "organizationUpdate", input, "organization { id }").await;
        let input = json!({ "id": world.a1, "budgets": budget("200") });
        done(&admin, "teamUpdate", input, "team { id }").await;
        let input = json!({
            "userId": world.users["member"], "teamId": world.a1, "budgets": budget("100"),
        });
        let (key, secret) = api_key(&admin, input).await;
        Self { world, key, secret }
    }
}

fn of<'a>(explanation: &'a Value, kind: &str) -> Vec<&'a Value> {
    let rules = explanation["rules"].as_array().unwrap();
    rules.iter().filter(|rule| rule["kind"] == kind).collect()
}

/// DESIGN D12: the rules in the order of judgement, with their numbers (AC-8, F5).
#[tokio::test]
async fn an_explanation_has_every_rule_with_its_numbers() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let call = json!({ "model": "gpt-4o", "estimate": { "cost": "1.5" } });
        let explanation = explain(&app.admin(), &scene.key, &call).await;
        let kinds: Vec<_> = explanation["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| (rule["kind"].as_str().unwrap(), rule["scope"]["kind"].as_str().unwrap()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("KIND", "API_KEY"),
                ("BLOCK", "API_KEY"),
                ("ROUTE", "API_KEY"),
                ("BLOCK", "USER"),
                ("MEMBERSHIP", "API_KEY"),
                ("BLOCK", "TEAM"),
                ("MODEL", "ORGANIZATION"),
                ("MODEL", "TEAM"),
                ("MODEL", "TEAM_MEMBERSHIP"),
                ("MODEL", "API_KEY"),
                ("DEPLOYMENT", "API_KEY"),
                ("BUDGET", "API_KEY"),
                ("BUDGET", "TEAM"),
                ("BUDGET", "ORGANIZATION"),
            ]
        );
        let decision = &explanation["decision"];
        assert_eq!((&decision["isAllowed"], &decision["code"]), (&json!(true), &Value::Null));
        assert_eq!(decision["remaining"], "100");
        assert_eq!(decision["validUntil"], "2026-11-21T12:00:01+00:00");
        assert_eq!(decision["model"], json!({ "requested": "gpt-4o", "resolved": "gpt-4o" }));
        assert_eq!(decision["principal"]["teamId"], json!(scene.world.a1));
        let mut budget = of(&explanation, "BUDGET")[0]["budget"].clone();
        assert!(budget["budgetId"].take().as_str().unwrap().starts_with("budget_"));
        assert_eq!(
            budget,
            json!({
                "budgetId": null, "maxSpend": "100", "spent": "0", "reserved": "0",
                "estimate": "1.5", "resetsAt": "2026-12-01T00:00:00+00:00",
            })
        );
        // Of a call that is allowed: how far it is from a denial.
        let remedy = &explanation["remedies"][0];
        assert_eq!(
            (&remedy["change"], &remedy["scope"]["kind"]),
            (&json!("EXHAUST"), &json!("API_KEY"))
        );
        assert_eq!(remedy["spend"], "98.500000001");
    })
    .await;
}

/// Each of the changes that an explanation proposes is needed, and together they are enough.
#[tokio::test]
async fn what_an_explanation_proposes_turns_the_answer_around() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let admin = app.admin();
        let list = json!({ "mode": "LIST", "models": ["o3"] });
        let input = json!({ "id": scene.key, "modelAccess": list });
        done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        done(&admin, "teamBlock", json!({ "id": scene.world.a1 }), "team { id }").await;
        let call = json!({ "model": "gpt-4o", "estimate": { "cost": "150" } });
        let told = explain(&admin, &scene.key, &call).await;
        // The first rule that says no gives the answer.
        assert_eq!(told["decision"]["code"], "BLOCKED");
        assert_eq!(told["decision"]["scope"], json!({ "kind": "TEAM", "id": scene.world.a1 }));
        let remedies = told["remedies"].as_array().unwrap();
        let changes: Vec<_> =
            remedies.iter().map(|remedy| remedy["change"].as_str().unwrap()).collect();
        assert_eq!(changes, ["UNBLOCK", "MODEL", "SPEND"]);
        assert_eq!(remedies[1]["model"], "gpt-4o");
        assert_eq!(remedies[2]["maxSpend"], "150");
        assert_eq!(remedies[2]["waitUntil"], Value::Null);
        done(&admin, "teamUnblock", json!({ "id": scene.world.a1 }), "team { id }").await;
        assert_eq!(
            explain(&admin, &scene.key, &call).await["decision"]["code"],
            "MODEL_NOT_ALLOWED"
        );
        let list = json!({ "mode": "LIST", "models": ["o3", "gpt-4o"] });
        let input = json!({ "id": scene.key, "modelAccess": list });
        done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        assert_eq!(explain(&admin, &scene.key, &call).await["decision"]["code"], "BUDGET_EXCEEDED");
        let edit = json!([{ "edit": { "budgetId": remedies[2]["budgetId"],
            "limits": { "maxSpend": remedies[2]["maxSpend"] } } }]);
        let input = json!({ "id": scene.key, "budgets": edit });
        done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        assert_eq!(explain(&admin, &scene.key, &call).await["decision"]["isAllowed"], true);
        // And the gateway is told the same.
        let body =
            json!({ "keyId": scene.key, "model": "gpt-4o", "estimate": { "costUsd": "150" } });
        assert_eq!(scene.world.person("gateway").check(body).await.status, 200);
    })
    .await;
}

/// SECURITY 3, "budget read": numbers are for those who may see the budget; that a rule says no is for
/// all who may see the key.
#[tokio::test]
async fn numbers_of_budgets_are_for_those_who_may_see_them() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let call = json!({ "model": "m", "estimate": { "cost": "250" } });
        let own = app.with_key(Some(&scene.secret));
        for (name, person, seen) in [
            ("platform admin", &app.admin(), [true, true, true]),
            ("organization admin", scene.world.person("organization_admin"), [true, true, true]),
            ("team admin", scene.world.person("team_admin"), [true, true, false]),
            ("owner", scene.world.person("member"), [true, false, false]),
            ("itself", &own, [true, false, false]),
        ] {
            let told = explain(person, &scene.key, &call).await;
            let budgets = of(&told, "BUDGET");
            let shown: Vec<_> = budgets.iter().map(|rule| !rule["budget"].is_null()).collect();
            assert_eq!(shown, seen, "{name}");
            let passed: Vec<_> = budgets.iter().map(|rule| rule["isPassed"] == true).collect();
            assert_eq!(passed, [false, false, true], "{name}");
            let amounts: Vec<_> = told["remedies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|remedy| (!remedy["maxSpend"].is_null(), !remedy["budgetId"].is_null()))
                .collect();
            assert_eq!(amounts, [(seen[0], seen[0]), (seen[1], seen[1])], "{name}");
            let remaining = !told["decision"]["remaining"].is_null();
            assert_eq!(remaining, seen == [true, true, true], "{name}");
            let text = told.to_string();
            assert_eq!(text.contains("\"200\""), seen[1], "{name}");
            assert_eq!(text.contains("\"300\""), seen[2], "{name}");
        }
        // Where the team's budget is the first that has no room, its sentence tells no numbers either.
        let input = json!({ "id": scene.key, "budgets": null });
        done(&app.admin(), "apiKeyUpdate", input, "apiKey { id }").await;
        let told = explain(&own, &scene.key, &call).await;
        assert_eq!(told["decision"]["message"], "the budget for this call is used up");
        let told = explain(scene.world.person("team_admin"), &scene.key, &call).await;
        assert!(told["decision"]["message"].as_str().unwrap().contains("of 200"));
    })
    .await;
}

/// SECURITY 3: a key that somebody may not see is missing, and so is its explanation.
#[tokio::test]
async fn a_key_that_is_not_seen_has_no_explanation() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let call = json!({ "model": "m" });
        for person in ["outsider", "other_team_admin", "viewer"] {
            let answer = explain(scene.world.person(person), &scene.key, &call).await;
            assert_eq!(answer, Value::Null, "{person}");
        }
        let gateway = scene.world.person("gateway");
        let variables = json!({ "id": scene.key, "call": call });
        assert_eq!(gateway.run_with(EXPLAIN, variables).await.code(), "FORBIDDEN");
    })
    .await;
}

/// The same function answers gateways in GraphQL; a query counts nothing, and takes what `/v1/check`
/// takes.
#[tokio::test]
async fn a_gateway_asks_in_graphql_as_over_http() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let gateway = scene.world.person("gateway");
        let query = "query($input: AccessCheckInput!) { accessCheck(input: $input) {
            isAllowed code message remaining scope { kind } principal { apiKeyId tags } } }";
        let ask = async |input: Value| gateway.run_with(query, json!({ "input": input })).await;
        let call = json!({ "model": "m", "tags": ["t"], "estimate": { "cost": "150" } });
        let answer = ask(json!({ "credential": scene.secret, "call": call })).await.data();
        let decision = &answer["accessCheck"];
        assert_eq!(
            (&decision["isAllowed"], &decision["code"]),
            (&json!(false), &json!("BUDGET_EXCEEDED"))
        );
        assert_eq!(decision["scope"]["kind"], "API_KEY");
        assert!(decision["message"].as_str().unwrap().contains("of 100"));
        assert_eq!(decision["principal"], json!({ "apiKeyId": scene.key, "tags": ["t"] }));
        let answer = ask(json!({ "credential": "sk-nobody", "call": {} })).await.data();
        assert_eq!(answer["accessCheck"]["code"], "INVALID_CREDENTIAL");
        for (input, field) in [
            (json!({ "call": {} }), "input.credential"),
            (json!({ "credential": "a", "apiKeyId": scene.key, "call": {} }), "input.apiKeyId"),
            (json!({ "apiKeyId": scene.key, "call": { "route": "x" } }), "input.call.route"),
            (
                json!({ "apiKeyId": scene.key, "call": { "estimate": { "cost": "-1" } } }),
                "input.call.estimate.cost",
            ),
            (
                json!({ "apiKeyId": scene.key, "call": { "estimate": { "inputTokens": "-1" } } }),
                "input.call.estimate.inputTokens",
            ),
        ] {
            ask(input).await.refused("BAD_USER_INPUT", field);
        }
        let input = json!({ "credential": scene.secret, "call": {} });
        let own = app.with_key(Some(&scene.secret));
        let answer = own.run_with(query, json!({ "input": input })).await;
        answer.refused("BAD_USER_INPUT", "input.credential");
        let answer = own.run_with(query, json!({ "input": { "call": { "model": "m" } } })).await;
        let data = answer.data();
        assert_eq!(data["accessCheck"]["isAllowed"], true);
        assert_eq!(data["accessCheck"]["remaining"], Value::Null);
    })
    .await;
}
