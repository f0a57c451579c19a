//! Tags as places that have budgets.

use serde_json::{Value, json};

use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{assert_no_orphans, change, done, read, rows};

const ALL: &str = "tag { id name description organization { id }
    budgets { budget { maxSpend } scopeKind scopeId } version }";

/// D22: a tag has budgets of its own, for an organization or for the platform.
#[tokio::test]
async fn a_tag_has_budgets() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let budgets = json!([{ "create": { "maxSpend": "5", "period": "1d" } }]);
        let input = json!({ "name": "Batch jobs", "organizationId": world.a, "budgets": budgets });
        let made = done(own, "tagCreate", input.clone(), ALL).await["tag"].clone();
        let id = made["id"].clone();
        let expected = json!({
            "id": id, "name": "Batch jobs", "description": null,
            "organization": { "id": world.a }, "version": 1,
            "budgets": [{ "budget": { "maxSpend": "5" }, "scopeKind": "TAG", "scopeId": id }],
        });
        assert_eq!(made, expected);
        let answer = change(own, "tagCreate", input, ALL).await;
        answer.refused("ALREADY_EXISTS", "input.name");
        done(&app.admin(), "tagCreate", json!({ "name": "Batch jobs" }), ALL).await;
        let several = app.admin().run("{ tag(id: \"Batch jobs\") { id } }").await;
        assert_eq!(several.code(), "CONFLICT");
        let mine = "{ tag(id: \"Batch jobs\") { organization { id } } }";
        assert_eq!(read(own, mine).await["organization"]["id"], world.a);
        assert_eq!(read(own, "{ tags { totalCount } }").await["totalCount"], 1);
        assert_eq!(read(&app.admin(), "{ tags { totalCount } }").await["totalCount"], 2);
        let search = "{ tags(filter: { search: \"BATCH\" }) { nodes { name } } }";
        assert_eq!(read(own, search).await["nodes"], json!([{ "name": "Batch jobs" }]));
        let input = json!({ "id": id, "description": "Nightly", "expectedVersion": 1 });
        let changed = done(own, "tagUpdate", input.clone(), ALL).await["tag"].clone();
        assert_eq!((&changed["description"], &changed["version"]), (&json!("Nightly"), &json!(2)));
        change(own, "tagUpdate", input, ALL).await.refused("CONFLICT", "-");
        let changed = done(own, "tagUpdate", json!({ "id": id, "budgets": null }), ALL).await;
        assert_eq!(changed["tag"]["budgets"], json!([]));
        assert_eq!(changed["tag"]["description"], "Nightly");
    })
    .await;
}

/// SECURITY cases 6, 18, 21: tags of another organization are as missing ones, and deletion is all
/// or nothing.
#[tokio::test]
async fn a_tag_of_another_organization_is_missing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, own) = (app.admin(), world.person("organization_admin"));
        let mut ids = Vec::new();
        for organization in [json!(world.a), json!(world.b), Value::Null] {
            let input = json!({ "name": "t", "organizationId": organization,
                "budgets": [{ "create": { "maxSpend": "1" } }] });
            ids.push(done(&admin, "tagCreate", input, ALL).await["tag"]["id"].clone());
        }
        for id in &ids[1..] {
            let answer = change(own, "tagUpdate", json!({ "id": id }), ALL).await;
            answer.refused("NOT_FOUND", "input.id");
            let input = json!({ "ids": [ids[0], id] });
            let answer = change(own, "tagDelete", input, "deletedIds").await;
            answer.refused("NOT_FOUND", "input.ids.1");
        }
        assert_eq!(rows(app, "tags").await, 3);
        assert_eq!(read(own, "{ budgets { totalCount } }").await["totalCount"], 1);
        for (field, name) in
            [("name", String::new()), ("name", " x".into()), ("name", "x".repeat(129))]
        {
            let answer = change(&admin, "tagCreate", json!({ "name": name }), ALL).await;
            answer.refused("BAD_USER_INPUT", &format!("input.{field}"));
        }
        let gone = done(&admin, "tagDelete", json!({ "ids": ids }), "deletedIds").await;
        assert_eq!(gone["deletedIds"], json!(ids));
        assert_eq!(rows(app, "budgets").await, 0);
        assert_no_orphans(app).await;
    })
    .await;
}
