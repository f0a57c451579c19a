//! Moving and deleting projects, with what hangs on them.

use entity::api_key;
use entity::id::ApiKeyId;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key};
use crate::harness::{Answer, Client, TestApp, on_each_database};
use crate::steps::{assert_no_orphans, project};
use crate::team_calls::{
    actions, add, call, create, done, events, forbidden, masked, nobody, number, refused, rows,
    same_as_missing,
};

async fn shift(client: &Client, id: &str, team: &str, keys: &str) -> Answer {
    let input = json!({ "id": id, "teamId": team, "apiKeys": keys });
    let selection = "project { team { id } version } movedApiKeyCount";
    call(client, "projectMove", input, selection).await
}

/// The ids that a conflict names, sorted.
fn named(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.code(), "CONFLICT", "{:#}", answer.body);
    let ids = answer.body["errors"][0]["extensions"]["ids"].as_array().unwrap();
    let mut ids: Vec<_> = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

async fn audited(app: &TestApp) -> i64 {
    number(app, "SELECT count(*) AS n FROM audit_events").await
}

/// C-P1, P-UPD-2, P-UPD-3, SECURITY case 4: a move needs the right over the team that the project
/// leaves and over the one to which it goes; who lacks it over either learns nothing.
#[tokio::test]
async fn a_move_needs_rights_on_both_teams() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let id = project(&root, &world.a1, json!({ "name": "P" })).await;
        let foreign = project(&root, &world.b1, json!({ "name": "Q" })).await;
        // An admin of B1 alone, and one who is an admin of both teams: the right is not a team's.
        let stranger = world.person("other_team_admin");
        forbidden(stranger, "projectMove", json!({ "id": id, "teamId": world.b1 })).await;
        for mutation in ["projectUpdate", "projectMove"] {
            let input = |id: &str| json!({ "id": id, "teamId": world.b1 });
            same_as_missing(stranger, mutation, &id, input).await;
        }
        let update = json!({ "id": id, "teamId": world.b1 });
        let answer = call(stranger, "projectUpdate", update, "").await;
        assert_eq!(answer.code(), "BAD_USER_INPUT", "no such field: {:#}", answer.body);
        // An admin of organization A: not from B, not to B.
        let head = world.person("organization_admin");
        same_as_missing(
            head,
            "projectMove",
            &foreign,
            |id| json!({ "id": id, "teamId": world.a1 }),
        )
        .await;
        same_as_missing(head, "projectMove", &world.b1, |team| json!({ "id": id, "teamId": team }))
            .await;
        // It sees B1 as a member, and has no right there.
        add(&root, &world.b1, &world.users["organization_admin"]).await;
        for (id, team) in [(&foreign, &world.a1), (&id, &world.b1)] {
            forbidden(head, "projectMove", json!({ "id": id, "teamId": team })).await;
        }
        let stale = json!({ "id": id, "teamId": world.a2, "expectedVersion": 7 });
        assert_eq!(call(head, "projectMove", stale, "").await.code(), "CONFLICT");
        let before = audited(app).await;
        let same = shift(head, &id, &world.a1, "REFUSE").await.data();
        assert_eq!(same["projectMove"]["project"]["version"], 1);
        assert_eq!(audited(app).await, before);
        let moved = shift(head, &id, &world.a2, "REFUSE").await.data();
        let expected = json!({ "__typename": "ProjectMovePayload", "movedApiKeyCount": 0,
            "project": { "team": { "id": world.a2 }, "version": 2 } });
        assert_eq!(moved["projectMove"], expected);
        let trail = events(app, 2).await;
        assert!(trail.iter().all(|event| event["action"] == "PROJECT_MOVED"));
        let left = trail.iter().find(|event| event["teamId"] == world.a1).unwrap();
        let came = trail.iter().find(|event| event["teamId"] == world.a2).unwrap();
        assert!(left["after"].is_null() && came["before"].is_null());
        assert!(left["before"].is_object() && came["after"].is_object());
        let team_admin = world.person("team_admin");
        let query = "query($id: ID!) { project(id: $id) { id } }";
        let found = team_admin.run_with(query, json!({ "id": id })).await.data();
        assert_eq!(found["project"], Value::Null);
    })
    .await;
}

/// C-P7, P-UPD-4: the keys of a project that moves stop it, by their number, unless they are to come
/// along; then their owners must be members of the other team, and their ids free in it.
#[tokio::test]
async fn a_move_carries_or_refuses_the_keys() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let id = project(&root, &world.a1, json!({ "name": "P" })).await;
        let mut keys = Vec::new();
        let mut secrets = Vec::new();
        for input in [
            json!({ "kind": "SERVICE", "projectId": id, "externalId": "ci" }),
            json!({ "userId": world.users["member"], "projectId": id,
                "budgets": [{ "create": { "maxSpend": "9" } }] }),
        ] {
            let (key, secret) = api_key(&root, input).await;
            keys.push(key);
            secrets.push(secret);
        }
        let before = (rows(app).await, audited(app).await);
        let answer = shift(&root, &id, &world.a2, "REFUSE").await;
        assert!(answer.message().starts_with("2 key(s)"), "{}", answer.message());
        assert_eq!(named(&answer), keys);
        let answer = shift(&root, &id, &world.a2, "CARRY").await;
        assert_eq!(named(&answer), [world.users["member"].clone()]);
        assert_eq!((rows(app).await, audited(app).await), before);
        add(&root, &world.a2, &world.users["member"]).await;
        let taken = json!({ "kind": "SERVICE", "teamId": world.a2, "externalId": "ci" });
        let (taken, _) = api_key(&root, taken).await;
        assert_eq!(named(&shift(&root, &id, &world.a2, "CARRY").await), [keys[0].clone()]);
        done(&root, "apiKeyDelete", json!({ "ids": [taken] }), "").await;
        // The other team's limits hold for the keys too.
        let own = json!({ "id": world.a2, "budgets": [{ "create": { "maxSpend": "8" } }] });
        done(&root, "teamUpdate", own, "").await;
        let answer = shift(&root, &id, &world.a2, "CARRY").await;
        assert_eq!(named(&answer), [keys[1].clone()]);
        done(&root, "teamUpdate", json!({ "id": world.a2, "budgets": null }), "").await;

        let moved = shift(&root, &id, &world.a2, "CARRY").await.data();
        assert_eq!(moved["projectMove"]["movedApiKeyCount"], 2);
        let trail = actions(app, 6).await;
        assert_eq!(trail.iter().filter(|action| *action == "API_KEY_MOVED").count(), 4);
        let query = "query($id: ID!) { apiKey(id: $id) { team { id } project { id } version
            updatedBy budgets { budget { maxSpend } } } }";
        for (key, budgets) in
            keys.iter().zip([json!([]), json!([{ "budget": { "maxSpend": "9" } }])])
        {
            let data = root.run_with(query, json!({ "id": key })).await.data();
            let expected = json!({ "team": { "id": world.a2 }, "project": { "id": id },
                "version": 2, "updatedBy": "bootstrap", "budgets": budgets });
            assert_eq!(data["apiKey"], expected);
        }
        for secret in &secrets {
            let answer = app.with_key(Some(secret)).run("{ teams { nodes { id } } }").await.data();
            assert_eq!(answer["teams"]["nodes"], json!([{ "id": world.a2 }]));
        }
        assert_no_orphans(app).await;
    })
    .await;
}

/// C-P7, C-P13: a move carries a thousand keys in a few statements, and no more than that.
#[tokio::test]
async fn a_move_carries_at_most_a_thousand_keys() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let id = project(&root, &world.a1, json!({ "name": "P" })).await;
        let (key, _) = api_key(&root, json!({ "kind": "SERVICE", "projectId": id })).await;
        let database = app.database().await;
        let query = api_key::Entity::find_by_id(key.parse::<ApiKeyId>().unwrap());
        let row = query.one(&database).await.unwrap().unwrap();
        for chunk in 0..5 {
            let rows = (0..200).map(|number| {
                let search_text = format!("{chunk} {number}");
                let row = api_key::Model { id: app.clock.id(), search_text, ..row.clone() };
                row.into_active_model().reset_all()
            });
            let insert = api_key::Entity::insert_many(rows);
            insert.exec_without_returning(&database).await.unwrap();
        }
        let answer = shift(&root, &id, &world.a2, "REFUSE").await;
        assert!(answer.message().starts_with("1001 key(s)"), "{}", answer.message());
        assert_eq!(named(&answer).len(), 20);
        let answer = shift(&root, &id, &world.a2, "CARRY").await;
        assert_eq!(answer.code(), "CONFLICT");
        assert!(answer.message().contains("1001 keys"), "{}", answer.message());
        done(&root, "apiKeyDelete", json!({ "ids": [key] }), "").await;
        let answer = shift(&root, &id, &world.a2, "CARRY").await;
        assert!(answer.statements() < 40, "{}", answer.statements());
        assert_eq!(answer.data()["projectMove"]["movedApiKeyCount"], 1_000);
        let query = "query($id: ID!) { project(id: $id) { apiKeys { totalCount } } }";
        let data = root.run_with(query, json!({ "id": id })).await.data();
        assert_eq!(data["project"]["apiKeys"]["totalCount"], 1_000);
    })
    .await;
}

/// C-P7, P-UPD-4, SECURITY case 6: every limit of the other team and organization holds for what
/// comes; budgets that the project owns go along, and those of the present organization stop it.
#[tokio::test]
async fn a_move_checks_every_limit_anew() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let own = json!({ "name": "P", "externalId": "p",
            "budgets": [{ "create": { "maxSpend": "50" } }],
            "modelAccess": { "mode": "LIST", "models": ["o3"] } });
        let id = project(&root, &world.a1, own).await;
        for (limits, clear) in [
            (json!({ "budgets": [{ "create": { "maxSpend": "40" } }] }), "budgets"),
            (json!({ "modelAccess": { "mode": "LIST", "models": ["gpt-*"] } }), "modelAccess"),
        ] {
            let mut change = limits;
            change["id"] = json!(world.b1);
            done(&root, "teamUpdate", change, "").await;
            let before = rows(app).await;
            let answer = shift(&root, &id, &world.b1, "REFUSE").await;
            answer.refused("LIMIT_EXCEEDED", "input.teamId");
            assert_eq!(rows(app).await, before);
            done(&root, "teamUpdate", json!({ "id": world.b1, clear: null }), "").await;
        }
        let taken = project(&root, &world.b1, json!({ "name": "Q", "externalId": "p" })).await;
        let answer = shift(&root, &id, &world.b1, "REFUSE").await;
        answer.refused("ALREADY_EXISTS", "input.teamId");
        done(&root, "projectDelete", json!({ "ids": [taken] }), "").await;
        let tier = json!({ "name": "T", "organizationId": world.a, "limits": { "maxSpend": "9" } });
        let tier = done(&root, "budgetCreate", tier, "budget { id }").await;
        let tier = text(&tier, "/budget/id");
        let query = "query($id: ID!) { project(id: $id) { budgets { budget { id
            organization { id } } } } }";
        let held = root.run_with(query, json!({ "id": id })).await.data();
        let budget = text(&held, "/project/budgets/0/budget/id");
        let attach = |ids: &[&String]| -> Value {
            ids.iter().map(|id| json!({ "attach": { "budgetId": id } })).collect()
        };
        let input = json!({ "id": id, "budgets": attach(&[&budget, &tier]) });
        done(&root, "projectUpdate", input, "").await;
        assert_eq!(named(&shift(&root, &id, &world.b1, "REFUSE").await), [tier]);
        let input = json!({ "id": id, "budgets": attach(&[&budget]) });
        done(&root, "projectUpdate", input, "").await;
        // A budget of the project that somebody else uses stays where it is used.
        let input = json!({ "id": world.a2, "budgets": attach(&[&budget]) });
        done(&root, "teamUpdate", input, "").await;
        assert_eq!(
            named(&shift(&root, &id, &world.b1, "REFUSE").await),
            std::slice::from_ref(&budget)
        );
        done(&root, "teamUpdate", json!({ "id": world.a2, "budgets": null }), "").await;
        shift(&root, &id, &world.b1, "REFUSE").await.data();
        let held = root.run_with(query, json!({ "id": id })).await.data();
        let held = &held["project"]["budgets"][0]["budget"];
        assert_eq!(*held, json!({ "id": budget, "organization": { "id": world.b } }));
        let chief = world.person("other_team_admin");
        done(chief, "projectUpdate", json!({ "id": "p", "name": "Ours" }), "").await;
        assert_no_orphans(app).await;
    })
    .await;
}

/// P-DEL-1, P-DEL-2, P-DEL-3, C-P13, SECURITY case 21: projects are deleted with their budgets by
/// those who run the organization, all or none; while keys are attached nothing goes, and the answer
/// says how many.
#[tokio::test]
async fn a_project_with_keys_is_not_deleted() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let head = world.person("organization_admin");
        let start = rows(app).await;
        let mut ids = Vec::new();
        for name in ["one", "two", "three"] {
            let input = json!({ "name": name, "externalId": name,
                "budgets": [{ "create": { "maxSpend": "1" } }] });
            ids.push(project(head, &world.a1, input).await);
        }
        let foreign = project(&app.admin(), &world.b1, json!({ "name": "B" })).await;
        let mut keys = Vec::new();
        for (project, count) in [("two", 2), ("three", 1)] {
            for _ in 0..count {
                let input = json!({ "kind": "SERVICE", "projectId": project });
                keys.push(api_key(head, input).await.0);
            }
        }
        let before = (rows(app).await, audited(app).await);
        let answer = call(head, "projectDelete", json!({ "ids": ids }), "").await;
        assert!(
            answer.message().starts_with("3 key(s) are attached to 2 "),
            "{}",
            answer.message()
        );
        let mut attached = ids[1..].to_vec();
        attached.sort();
        assert_eq!(named(&answer), attached);
        for wrong in [&foreign, &nobody("project"), &"none".to_owned()] {
            let input = json!({ "ids": [ids[0], wrong] });
            refused(head, "projectDelete", input, "NOT_FOUND", "input.ids.1").await;
        }
        same_as_missing(head, "projectDelete", &foreign, |id| json!({ "ids": [id] })).await;
        let many = vec![ids[0].clone(); 101];
        for (input, field) in [
            (json!({ "ids": [] }), "input.ids"),
            (json!({ "ids": many }), "input.ids"),
            (json!({ "ids": [ids[0], ids[1]], "expectedVersion": 1 }), "input.expectedVersion"),
        ] {
            refused(head, "projectDelete", input, "BAD_USER_INPUT", field).await;
        }
        let stale = json!({ "ids": [ids[0]], "expectedVersion": 2 });
        assert_eq!(call(head, "projectDelete", stale, "").await.code(), "CONFLICT");
        assert_eq!((rows(app).await, audited(app).await), before);

        done(head, "apiKeyDelete", json!({ "ids": [keys[0]] }), "").await;
        for key in &keys[1..] {
            let input = json!({ "id": key, "projectId": null });
            done(head, "apiKeyUpdate", input, "").await;
        }
        let input = json!({ "ids": ["two", ids[1], ids[0], ids[2]] });
        let gone = done(head, "projectDelete", input, "deletedIds").await;
        assert_eq!(gone["deletedIds"], json!([ids[1], ids[0], ids[2]]));
        let trail = events(app, 9).await;
        let deleted: Vec<_> =
            trail.iter().filter(|event| event["action"] == "PROJECT_DELETED").collect();
        assert_eq!(deleted.len(), 3);
        assert!(deleted.iter().all(|event| event["before"]["name"].is_string()));
        done(head, "apiKeyDelete", json!({ "ids": keys[1..] }), "").await;
        done(&app.admin(), "projectDelete", json!({ "ids": [foreign] }), "").await;
        assert_eq!(rows(app).await, start);
        assert_no_orphans(app).await;
    })
    .await;
}

/// C-T25, SECURITY case 23: a team goes with its projects and their budgets and keys.
#[tokio::test]
async fn a_team_goes_with_its_projects() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let start = rows(app).await;
        let team = create(&root, json!({ "name": "T", "organizationId": world.a })).await;
        for _ in 0..2 {
            let input = json!({ "name": "P", "budgets": [{ "create": { "maxSpend": "1" } }] });
            let id = project(&root, &team, input).await;
            api_key(&root, json!({ "kind": "SERVICE", "projectId": id })).await;
        }
        let selection = "deletedProjectCount deletedApiKeyCount";
        let gone = done(&root, "teamDelete", json!({ "ids": [team] }), selection).await;
        assert_eq!(
            (&gone["deletedProjectCount"], &gone["deletedApiKeyCount"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(rows(app).await, start);
        assert_no_orphans(app).await;
    })
    .await;
}

/// SECURITY cases 4, 18: a hidden project and a missing one are answered alike on every path.
#[tokio::test]
async fn a_hidden_project_is_a_missing_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let id = project(&app.admin(), &world.b1, json!({ "name": "P" })).await;
        let missing = nobody("project");
        let client = world.person("team_admin");
        for query in [
            "query($id: ID!) { project(id: $id) { id } }",
            "query($id: ID!) { node(id: $id) { id } }",
            "query($id: ID!) { apiKeys(filter: { projectIds: [$id] }) { totalCount nodes { id } } }",
            "mutation($id: ID!) { apiKeyCreate(input: { kind: SERVICE, projectId: $id }) { secret } }",
        ] {
            let hidden = client.run_with(query, json!({ "id": id })).await;
            let other = client.run_with(query, json!({ "id": missing })).await;
            assert_eq!(masked(&hidden, &id), masked(&other, &missing), "{query}");
        }
    })
    .await;
}
