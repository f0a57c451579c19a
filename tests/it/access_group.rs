//! Access groups: sets of model names under one name.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{change, done, read, rows};

const GROUP: &str = "accessGroup { id name description externalId models version }";

/// DESIGN 3, access groups: names are unique, models are a set, what is left out stays.
#[tokio::test]
async fn a_group_holds_each_model_once_and_keeps_what_is_not_named() {
    on_each_database(async |app| {
        let admin = app.admin();
        let input = json!({ "name": "fast", "externalId": "g1", "description": "quick ones",
            "models": ["o3", "gpt-*", "o3"] });
        let made = done(&admin, "accessGroupCreate", input.clone(), GROUP).await;
        assert_eq!(made["accessGroup"]["models"], json!(["gpt-*", "o3"]));
        let mut again = input;
        again["externalId"] = json!("g2");
        let answer = change(&admin, "accessGroupCreate", again, GROUP).await;
        answer.refused("ALREADY_EXISTS", "input.name");
        let taken = json!({ "name": "other", "externalId": "g1" });
        let answer = change(&admin, "accessGroupCreate", taken, GROUP).await;
        answer.refused("ALREADY_EXISTS", "input.externalId");
        let input = json!({ "id": "g1", "models": ["a", "o3"], "description": null });
        let changed = done(&admin, "accessGroupUpdate", input.clone(), GROUP).await;
        assert_eq!(changed["accessGroup"]["models"], json!(["a", "o3"]));
        assert_eq!(changed["accessGroup"]["description"], Value::Null);
        assert_eq!(changed["accessGroup"]["version"], 2);
        let same = done(&admin, "accessGroupUpdate", input, GROUP).await;
        assert_eq!(same["accessGroup"]["version"], 2);
        let stale = json!({ "id": "g1", "expectedVersion": 1 });
        assert_eq!(change(&admin, "accessGroupUpdate", stale, GROUP).await.code(), "CONFLICT");
        let bad = json!({ "name": "", "models": [" a"] });
        let answer = change(&admin, "accessGroupCreate", bad, GROUP).await;
        assert_eq!(answer.fields(), ["input.name", "input.models.0"]);
        let input = json!({ "name": "gpt", "provider": "openai" });
        done(&admin, "modelCreate", input.clone(), "model { id }").await;
        let mut named = input;
        named["name"] = json!("o3");
        let model = done(&admin, "modelCreate", named, "model { accessGroups }").await;
        assert_eq!(model["model"]["accessGroups"], json!(["fast"]));
        let gone = json!({ "ids": ["g1", "none"] });
        let answer = change(&admin, "accessGroupDelete", gone, "deletedIds").await;
        answer.refused("NOT_FOUND", "input.ids.1");
        done(&admin, "accessGroupDelete", json!({ "ids": ["g1"] }), "deletedIds").await;
        assert_eq!(rows(app, "access_group_models").await, 0);
    })
    .await;
}

/// Two changes of one group at a time leave one of the two sets, never a mixture.
#[tokio::test]
async fn two_writers_of_a_group_do_not_mix_their_sets() {
    on_each_database(async |app| {
        let admin = app.admin();
        done(&admin, "accessGroupCreate", json!({ "name": "g", "externalId": "g" }), GROUP).await;
        for _ in 0..10 {
            let left = change(
                &admin,
                "accessGroupUpdate",
                json!({ "id": "g", "models": ["a", "b"] }),
                GROUP,
            );
            let right = change(
                &admin,
                "accessGroupUpdate",
                json!({ "id": "g", "models": ["b", "c"] }),
                GROUP,
            );
            let (left, right) = tokio::join!(left, right);
            left.data();
            right.data();
            let models = read(&admin, "{ accessGroup(id: \"g\") { models } }").await;
            let models = &models["models"];
            assert!(*models == json!(["a", "b"]) || *models == json!(["b", "c"]), "{models}");
        }
    })
    .await;
}

#[tokio::test]
async fn groups_are_listed_in_pages_for_everybody_with_constant_statements() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for number in 0..50 {
            let input = json!({ "name": format!("group-{number:02}"), "models": ["a", "b"] });
            done(&admin, "accessGroupCreate", input, GROUP).await;
        }
        let query =
            "query($n: Int!) { accessGroups(first: $n) { totalCount nodes { name models } } }";
        let cost = async |n: i32| admin.run_with(query, json!({ "n": n })).await.statements();
        assert_eq!(cost(1).await, cost(50).await);
        let data =
            world.person("member").data("{ accessGroups(search: \"P-07\") { nodes { name } } }");
        assert_eq!(text(&data.await, "/accessGroups/nodes/0/name"), "group-07");
        let answer = change(
            world.person("organization_admin"),
            "accessGroupCreate",
            json!({ "name": "x" }),
            GROUP,
        );
        assert_eq!(answer.await.code(), "FORBIDDEN");
    })
    .await;
}
