//! Limits of teams, projects and keys within each other, and which keys belong to a project.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::steps::project;
use crate::team_calls::{actions, call, done, forbidden, refused, rows};

fn capped(max_spend: &str) -> Value {
    json!([{ "create": { "maxSpend": max_spend } }])
}

/// P-NEW-5, P-NEW-6, P-UPD-4, C-P7, C-P11, C-P15: budgets and models of a project stay within its
/// team's, when it is made and when it is changed: spend for the same or a longer period, rates,
/// concurrency, wildcards and access groups; so do those of its keys within the project's.
#[tokio::test]
async fn a_project_stays_within_its_team_and_its_keys_within_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let limits = json!({ "maxSpend": "10", "period": "1mo", "requestsPerMinute": 10,
            "tokensPerMinute": 100, "maxParallelRequests": 2 });
        for name in ["g", "h"] {
            let group = json!({ "name": name });
            done(&root, "accessGroupCreate", group, "accessGroup { id }").await;
        }
        let models = json!({ "mode": "LIST", "models": ["gpt-*", "o3"], "accessGroups": ["g"] });
        let wide = json!({ "budgets": [{ "create": limits }], "modelAccess": models });
        let mut team = wide.clone();
        team["id"] = json!(world.a1);
        done(&root, "teamUpdate", team, "").await;
        let plain = project(&root, &world.a1, json!({ "name": "P" })).await;
        let mut full = wide;
        full["name"] = json!("Full");
        let full = project(&root, &world.a1, full).await;
        let list = |models: Value| json!({ "modelAccess": models });
        let budget = |limits: Value| json!({ "budgets": [{ "create": limits }] });
        for (change, excess) in [
            (budget(json!({ "maxSpend": "10", "period": "1d" })), None),
            (budget(json!({ "maxSpend": "11" })), None),
            (
                budget(json!({ "maxSpend": "10.000000001", "period": "1d" })),
                Some("budgets.maxSpend"),
            ),
            (budget(json!({ "requestsPerMinute": 11 })), Some("budgets.requestsPerMinute")),
            (budget(json!({ "tokensPerMinute": 101 })), Some("budgets.tokensPerMinute")),
            (budget(json!({ "maxParallelRequests": 3 })), Some("budgets.maxParallelRequests")),
            (
                budget(json!({ "maxParallelRequests": 3, "modelPattern": "o3" })),
                Some("budgets.maxParallelRequests"),
            ),
            (list(json!({ "mode": "LIST", "models": ["gpt-4o", "gpt-*"] })), None),
            (list(json!({ "mode": "LIST", "accessGroups": ["g"] })), None),
            (list(json!({ "mode": "NONE" })), None),
            (list(json!({ "mode": "LIST", "models": ["o4"] })), Some("modelAccess")),
            (list(json!({ "mode": "LIST", "models": ["*"] })), Some("modelAccess")),
            (list(json!({ "mode": "LIST", "accessGroups": ["h"] })), Some("modelAccess")),
        ] {
            let with = |more: Value| {
                let mut input = change.clone();
                input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                input
            };
            for (mutation, input) in [
                ("projectCreate", with(json!({ "teamId": world.a1, "name": "Q" }))),
                ("projectUpdate", with(json!({ "id": plain }))),
                ("apiKeyCreate", with(json!({ "kind": "SERVICE", "projectId": full }))),
            ] {
                let answer = call(&root, mutation, input, "").await;
                match excess {
                    Some(field) => answer.refused("LIMIT_EXCEEDED", &format!("input.{field}")),
                    None => assert_eq!(answer.code(), "", "{mutation} {change} {:#}", answer.body),
                }
            }
        }
    })
    .await;
}

/// C-P15, C-P7: a key whose limits exceed those of a project does not come into it, and the project
/// is not lowered below its keys, unless they are lowered with it; so are projects with their team.
#[tokio::test]
async fn lowering_above_refuses_or_lowers_what_is_below() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let input = json!({ "name": "P", "budgets": capped("8"),
            "modelAccess": { "mode": "LIST", "models": ["gpt-*", "o3"] } });
        let id = project(&root, &world.a1, input).await;
        let input = json!({ "kind": "SERVICE", "projectId": id, "budgets": capped("6"),
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o", "o3"] } });
        let (key, _) = api_key(&root, input).await;
        let models = json!({ "mode": "LIST", "models": ["gpt-*"] });
        let names = async |mutation: &str, input: Value| -> Vec<String> {
            let answer = call(&root, mutation, input, "").await;
            assert_eq!(answer.code(), "CONFLICT", "{:#}", answer.body);
            let ids = answer.body["errors"][0]["extensions"]["ids"].as_array().unwrap();
            ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
        };
        let mut both = vec![id.clone(), key.clone()];
        both.sort();
        let lower = json!({ "id": id, "budgets": capped("5") });
        assert_eq!(names("projectUpdate", lower.clone()).await, std::slice::from_ref(&key));
        let narrow = json!({ "id": id, "modelAccess": models });
        assert_eq!(names("projectUpdate", narrow.clone()).await, std::slice::from_ref(&key));
        let team = json!({ "id": world.a1, "budgets": capped("4") });
        assert_eq!(names("teamUpdate", team.clone()).await, both);
        let team_models = json!({ "id": world.a1, "modelAccess": models });
        assert_eq!(names("teamUpdate", team_models.clone()).await, both);

        let held = "query($p: ID!, $k: ID!) {
            project(id: $p) { modelAccess { models } budgets { budget { maxSpend } } }
            apiKey(id: $k) { modelAccess { models } budgets { budget { maxSpend } } } }";
        let held = async || root.run_with(held, json!({ "p": id, "k": key })).await.data();
        let clamp = |mut input: Value| {
            input["cascade"] = json!("CLAMP");
            input
        };
        done(&root, "projectUpdate", clamp(lower), "").await;
        let now = held().await;
        assert_eq!(now["apiKey"]["budgets"][0]["budget"]["maxSpend"], "5");
        done(&root, "projectUpdate", clamp(narrow), "").await;
        assert_eq!(held().await["apiKey"]["modelAccess"]["models"], json!(["gpt-4o"]));
        done(&root, "teamUpdate", clamp(team), "").await;
        let now = held().await;
        assert_eq!(now["project"]["budgets"][0]["budget"]["maxSpend"], "4");
        assert_eq!(now["apiKey"]["budgets"][0]["budget"]["maxSpend"], "4");
        let none = json!({ "id": world.a1, "modelAccess": { "mode": "NONE" } });
        done(&root, "teamUpdate", clamp(none), "").await;
        let now = held().await;
        assert_eq!(now["project"]["modelAccess"]["models"], json!([]));
        let done = actions(app, 3).await;
        assert!(done.contains(&"PROJECT_UPDATED".to_owned()), "{done:?}");
        assert!(done.contains(&"API_KEY_UPDATED".to_owned()), "{done:?}");
    })
    .await;
}

/// C-P15, SECURITY case 6: a tier that stands alone is held against what is above and below the
/// projects that use it.
#[tokio::test]
async fn a_tier_is_held_against_the_projects_that_use_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let tier = json!({ "name": "Tier", "externalId": "tier", "limits": { "maxSpend": "5" } });
        done(&root, "budgetCreate", tier, "").await;
        let team = json!({ "id": world.a1, "budgets": capped("9") });
        done(&root, "teamUpdate", team, "").await;
        let attach = json!([{ "attach": { "budgetId": "tier" } }]);
        let id = project(&root, &world.a1, json!({ "name": "P", "budgets": attach })).await;
        let key = json!({ "kind": "SERVICE", "projectId": id, "budgets": capped("4") });
        let (key, _) = api_key(&root, key).await;
        let change = |max: &str| json!({ "id": "tier", "limits": { "maxSpend": max } });
        let field = "input.limits.maxSpend";
        refused(&root, "budgetUpdate", change("10"), "LIMIT_EXCEEDED", field).await;
        let answer = call(&root, "budgetUpdate", change("3"), "").await;
        assert_eq!(answer.code(), "CONFLICT");
        assert_eq!(answer.body["errors"][0]["extensions"]["ids"], json!([key]));
        let mut clamp = change("3");
        clamp["cascade"] = json!("CLAMP");
        done(&root, "budgetUpdate", clamp, "").await;
        let query = "query($id: ID!) { apiKey(id: $id) { budgets { budget { maxSpend } } } }";
        let held = root.run_with(query, json!({ "id": key })).await.data();
        assert_eq!(text(&held, "/apiKey/budgets/0/budget/maxSpend"), "3");
    })
    .await;
}

/// P-DEL-2, C-P7, SECURITY cases 5, 9: a key belongs to a project of its team or to none; who makes
/// or changes keys for others says to which; its owner alone does not, and neither does the key.
#[tokio::test]
async fn a_key_belongs_to_a_project_of_its_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let chief = world.person("team_admin");
        let id = project(chief, &world.a1, json!({ "name": "P", "budgets": capped("5") })).await;
        let other = project(chief, &world.a1, json!({ "name": "Q" })).await;
        let foreign = project(&root, &world.b1, json!({ "name": "R" })).await;
        let before = rows(app).await;
        for (input, code, field) in [
            (json!({ "kind": "SERVICE", "teamId": world.a1, "projectId": foreign }),
                "BAD_USER_INPUT", "input.projectId"),
            (json!({ "userId": world.users["member"], "teamId": world.a1, "projectId": foreign }),
                "BAD_USER_INPUT", "input.projectId"),
            (json!({ "userId": world.users["outsider"], "projectId": id }),
                "BAD_USER_INPUT", "input.userId"),
            (json!({ "kind": "GATEWAY", "projectId": id }), "BAD_USER_INPUT", "input.projectId"),
            (json!({ "kind": "ADMIN", "projectId": id }), "BAD_USER_INPUT", "input.projectId"),
        ] {
            refused(&root, "apiKeyCreate", input, code, field).await;
        }
        let input = json!({ "kind": "SERVICE", "teamId": world.a1, "projectId": foreign });
        refused(chief, "apiKeyCreate", input, "NOT_FOUND", "input.projectId").await;
        assert_eq!(rows(app).await, before);
        let input = json!({ "userId": world.users["member"], "projectId": id });
        let (key, secret) = api_key(chief, input).await;
        let query = "query($id: ID!) { apiKey(id: $id) { team { id } project { id name } } }";
        let held = async |id: &str| root.run_with(query, json!({ "id": id })).await.data();
        let data = held(&key).await;
        let expected =
            json!({ "team": { "id": world.a1 }, "project": { "id": id, "name": "P" } });
        assert_eq!(data["apiKey"], expected);

        for project in [Value::Null, json!(other), json!(id)] {
            let input = json!({ "id": key, "projectId": project });
            forbidden(world.person("member"), "apiKeyUpdate", input.clone()).await;
            forbidden(&app.with_key(Some(&secret)), "apiKeyUpdate", input).await;
        }
        let change = |project: &str| json!({ "id": key, "projectId": project });
        refused(chief, "apiKeyUpdate", change(&foreign), "NOT_FOUND", "input.projectId").await;
        refused(&root, "apiKeyUpdate", change(&foreign), "BAD_USER_INPUT", "input.projectId").await;
        let personal = json!({ "id": world.keys["member"], "projectId": id });
        refused(&root, "apiKeyUpdate", personal, "BAD_USER_INPUT", "input.projectId").await;
        done(chief, "apiKeyUpdate", change(&other), "").await;
        assert_eq!(held(&key).await["apiKey"]["project"]["id"], other);
        let high = json!({ "id": key, "budgets": capped("6") });
        done(chief, "apiKeyUpdate", high, "").await;
        let field = "input.budgets.maxSpend";
        refused(chief, "apiKeyUpdate", change(&id), "LIMIT_EXCEEDED", field).await;
        assert_eq!(held(&key).await["apiKey"]["project"]["id"], other);
        let list = "query($ids: [ID!]) { apiKeys(filter: { projectIds: $ids }) {
            totalCount nodes { id } } project(id: \"none\") { id } }";
        for (ids, found) in [(vec![&other, &id], 1), (vec![&id], 0)] {
            let data = chief.run_with(list, json!({ "ids": ids })).await.data();
            assert_eq!(data["apiKeys"]["totalCount"], found);
        }
        let edge = "query($id: ID!) { project(id: $id) { apiKeys { totalCount nodes { id } } } }";
        let data = chief.run_with(edge, json!({ "id": other })).await.data();
        assert_eq!(data["project"]["apiKeys"], json!({ "totalCount": 1, "nodes": [{ "id": key }] }));
        let out = json!({ "id": key, "projectId": null });
        done(chief, "apiKeyUpdate", out, "").await;
        assert_eq!(held(&key).await["apiKey"]["project"], Value::Null);
    })
    .await;
}

/// SECURITY cases 7, 9: a key that belongs to a project makes keys of that project alone, and does
/// not change the limits that hold for itself.
#[tokio::test]
async fn a_key_of_a_project_does_not_leave_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({ "name": "P", "budgets": capped("5") });
        let id = project(&app.admin(), &world.a1, input).await;
        let other = project(&app.admin(), &world.a1, json!({ "name": "Q" })).await;
        let input = json!({ "userId": world.users["team_admin"], "projectId": id });
        let (own, secret) = api_key(&app.admin(), input).await;
        let client = app.with_key(Some(&secret));
        let (bound, limit) = ("LIMIT_EXCEEDED", "input.projectId");
        for input in [
            json!({ "kind": "SERVICE", "teamId": world.a1 }),
            json!({ "kind": "SERVICE", "projectId": other }),
            json!({ "userId": world.users["member"], "teamId": world.a1 }),
        ] {
            refused(&client, "apiKeyCreate", input, bound, limit).await;
        }
        api_key(&client, json!({ "kind": "SERVICE", "projectId": id })).await;
        let out = json!({ "id": own, "projectId": null });
        refused(&client, "apiKeyUpdate", out, bound, limit).await;
        let raise = json!({ "id": id, "budgets": capped("50") });
        refused(&client, "projectUpdate", raise, "LIMIT_EXCEEDED", "input.budgets").await;
        let open = json!({ "id": id, "modelAccess": { "mode": "NONE" } });
        refused(&client, "projectUpdate", open, "LIMIT_EXCEEDED", "input.modelAccess").await;
        done(&client, "projectUpdate", json!({ "id": id, "name": "Ours" }), "").await;
    })
    .await;
}
