//! A team's own models: the name is granted with the model, and withdrawn with it.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key, team};
use crate::steps::{assert_no_orphans, change, done, read, rows};

async fn models_of(admin: &crate::harness::Client, team: &str) -> Value {
    let query = format!("{{ team(id: \"{team}\") {{ modelAccess {{ mode models }} }} }}");
    read(admin, &query).await["modelAccess"].clone()
}

fn own(team: &str, name: &str, external: &str) -> Value {
    json!({ "name": name, "externalId": external, "provider": "p", "teamId": team })
}

fn list(models: &[&str]) -> Value {
    json!({ "mode": "LIST", "models": models })
}

/// MD-NEW-2, MD-NEW-7, MD-DEL-2, MD-DEL-3, C-M2, C-M3, C-M7: the name follows the model, and what the
/// team had before stays.
#[tokio::test]
async fn the_name_is_granted_with_the_model_and_withdrawn_with_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, lead) = (app.admin(), world.person("team_admin"));
        let team = &world.a1;
        let narrow = json!({ "id": team, "modelAccess": list(&["gpt-4o"]) });
        done(&admin, "teamUpdate", narrow, "team { id }").await;
        for (name, external) in [("mine", "one"), ("mine", "two"), ("gpt-4o", "three"), ("other", "four")] {
            done(lead, "modelCreate", own(team, name, external), "model { id }").await;
        }
        assert_eq!(models_of(&admin, team).await, list(&["gpt-4o", "mine", "other"]));
        let key = json!({ "userId": world.users["member"], "teamId": team, "modelAccess": list(&["mine", "gpt-4o"]) });
        let (key, _) = api_key(&admin, key).await;
        // A name stays while another model has it, and what the team had before stays anyway.
        done(lead, "modelDelete", json!({ "ids": ["one", "three"] }), "deletedIds").await;
        assert_eq!(models_of(&admin, team).await, list(&["gpt-4o", "mine", "other"]));
        done(lead, "modelUpdate", json!({ "id": "four", "name": "renamed" }), "model { id }").await;
        assert_eq!(models_of(&admin, team).await, list(&["gpt-4o", "mine", "renamed"]));
        done(lead, "modelDelete", json!({ "ids": ["two", "four"] }), "deletedIds").await;
        assert_eq!(models_of(&admin, team).await, list(&["gpt-4o"]));
        let access = read(&admin, &format!("{{ apiKey(id: \"{key}\") {{ modelAccess {{ mode models }} }} }}")).await;
        assert_eq!(access["modelAccess"], list(&["gpt-4o"]));
        // A team that may call nothing may call its own; a team that may call all gets no list.
        for (access, during, after) in [
            (json!({ "mode": "NONE" }), list(&["mine"]), json!({ "mode": "NONE", "models": [] })),
            (json!({ "mode": "ALL" }), json!({ "mode": "ALL", "models": [] }), json!({ "mode": "ALL", "models": [] })),
            (list(&["m*"]), list(&["m*"]), list(&["m*"])),
        ] {
            let update = json!({ "id": team, "modelAccess": access, "cascade": "CLAMP" });
            done(&admin, "teamUpdate", update, "team { id }").await;
            done(lead, "modelCreate", own(team, "mine", "five"), "model { id }").await;
            assert_eq!(models_of(&admin, team).await, during);
            done(lead, "modelDelete", json!({ "ids": ["five"] }), "deletedIds").await;
            assert_eq!(models_of(&admin, team).await, after);
        }
    })
    .await;
}

/// C-M2, C-M3: models that are made together each leave their name; a refused one leaves nothing.
#[tokio::test]
async fn names_that_are_granted_together_are_all_there() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, lead) = (app.admin(), world.person("team_admin"));
        let team = &world.a1;
        done(
            &admin,
            "teamUpdate",
            json!({ "id": team, "modelAccess": { "mode": "NONE" } }),
            "team { id }",
        )
        .await;
        let names: Vec<_> = (0..8).map(|number| format!("m{number}")).collect();
        let makes = names
            .iter()
            .map(|name| change(lead, "modelCreate", own(team, name, name), "model { id }"));
        for answer in futures_util::future::join_all(makes).await {
            answer.data();
        }
        let mut granted = models_of(&admin, team).await["models"].as_array().unwrap().clone();
        granted.sort_by_key(ToString::to_string);
        assert_eq!(json!(granted), json!(names));
        let deletes = names
            .iter()
            .map(|name| change(lead, "modelDelete", json!({ "ids": [name] }), "deletedIds"));
        for answer in futures_util::future::join_all(deletes).await {
            answer.data();
        }
        assert_eq!(models_of(&admin, team).await, json!({ "mode": "NONE", "models": [] }));
        // One name, two models, made and deleted at a time: the name is there while a model is.
        for round in 0..5 {
            let (left, right) = (format!("l{round}"), format!("r{round}"));
            done(lead, "modelCreate", own(team, "same", &left), "model { id }").await;
            let going = change(lead, "modelDelete", json!({ "ids": [left] }), "deletedIds");
            let coming = change(lead, "modelCreate", own(team, "same", &right), "model { id }");
            let (gone, came) = tokio::join!(going, coming);
            gone.data();
            came.data();
            assert_eq!(models_of(&admin, team).await, list(&["same"]), "{round}");
            done(lead, "modelDelete", json!({ "ids": [right] }), "deletedIds").await;
        }
        let none = json!({ "name": "x", "provider": "p", "teamId": "none" });
        change(&admin, "modelCreate", none, "model { id }")
            .await
            .refused("NOT_FOUND", "input.teamId");
        let star = change(lead, "modelCreate", own(team, "*", "star"), "model { id }").await;
        star.refused("BAD_USER_INPUT", "input.name");
        assert_eq!(rows(app, "models").await, 0);
    })
    .await;
}

/// C-M3: what the organization does not allow is not granted below it, and no model is left behind.
#[tokio::test]
async fn a_name_that_the_organization_does_not_allow_is_not_granted() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let narrow = "UPDATE organizations SET model_access = \
            '{\"mode\":\"LIST\",\"models\":[\"gpt-*\"],\"access_groups\":[]}'";
        crate::steps::execute(app, narrow).await;
        let made = team(&admin, "T", &world.a, &[(&world.users["team_admin"], "ADMIN")]).await;
        done(
            &admin,
            "teamUpdate",
            json!({ "id": made, "modelAccess": list(&["gpt-4o"]) }),
            "team { id }",
        )
        .await;
        let lead = world.person("team_admin");
        let answer = change(lead, "modelCreate", own(&made, "claude", "c"), "model { id }").await;
        assert_eq!(answer.code(), "LIMIT_EXCEEDED");
        assert_eq!(rows(app, "models").await, 0);
        done(lead, "modelCreate", own(&made, "gpt-own", "g"), "model { id }").await;
        assert_eq!(models_of(&admin, &made).await, list(&["gpt-4o", "gpt-own"]));
    })
    .await;
}

/// SECURITY case 23: a team's models and credentials go with it, each in the trail.
#[tokio::test]
async fn a_deleted_team_takes_its_models_and_credentials_along() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let credential = json!({ "name": "c", "externalId": "c", "teamId": world.a1,
            "values": [{ "name": "k", "value": "v" }] });
        done(&admin, "credentialCreate", credential, "credential { id }").await;
        let mut model = own(&world.a1, "mine", "mine");
        model["credentialId"] = json!("c");
        let model = text(&done(&admin, "modelCreate", model, "model { id }").await, "/model/id");
        done(&admin, "modelCreate", own(&world.b1, "theirs", "theirs"), "model { id }").await;
        done(&admin, "teamDelete", json!({ "ids": [world.a1, world.a2] }), "deletedIds").await;
        assert_eq!((rows(app, "models").await, rows(app, "credentials").await), (1, 0));
        assert_no_orphans(app).await;
        let query = "{ auditEvents(filter: { actions: [MODEL_DELETED, CREDENTIAL_DELETED] }) { nodes { subjectId action before } } }";
        let events = read(&admin, query).await;
        let events = events["nodes"].as_array().unwrap();
        assert_eq!(events.len(), 2);
        assert!(events.iter().any(|event| event["subjectId"] == model.as_str()));
    })
    .await;
}
