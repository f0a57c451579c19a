//! Access groups and the lists of models that have their names: one does not outlive the other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::steps::{change, done, project, read, rows};

const GROUPS: [&str; 4] = ["fast", "fast-2", "f_st", "fa\"st"];

/// DESIGN D10, E46; C-A15: a name that is no group's is refused wherever models are listed, so that
/// no list waits for a group.
#[tokio::test]
async fn a_list_names_groups_that_exist() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let id = project(&admin, &world.a1, json!({ "name": "P" })).await;
        let member = json!({ "id": world.users["member"] });
        let list = json!({ "mode": "LIST", "models": ["o3"], "accessGroups": ["known", "none"] });
        let group = json!({ "name": "known" });
        done(&admin, "accessGroupCreate", group, "accessGroup { id }").await;
        let newcomer = json!([
            { "user": { "id": world.users["outsider"] } },
            { "user": { "id": world.users["organization_admin"] }, "modelAccess": list },
        ]);
        let defaults = json!({ "modelAccess": list });
        for (mutation, mut input, at) in [
            ("organizationCreate", json!({ "name": "O" }), ""),
            ("organizationUpdate", json!({ "id": world.a }), ""),
            ("teamCreate", json!({ "name": "T" }), ""),
            ("teamCreate", json!({ "name": "T", "memberDefaults": defaults }), "memberDefaults."),
            ("teamUpdate", json!({ "id": world.a1 }), ""),
            (
                "teamUpdate",
                json!({ "id": world.a1, "memberDefaults": defaults }),
                "memberDefaults.",
            ),
            ("teamMemberAdd", json!({ "teamId": world.a1, "members": newcomer }), "members.1."),
            ("teamMemberUpdate", json!({ "teamId": world.a1, "user": member }), ""),
            ("userCreate", json!({ "name": "U" }), ""),
            ("userUpdate", json!({ "id": world.users["member"] }), ""),
            ("projectCreate", json!({ "teamId": world.a1, "name": "Q" }), ""),
            ("projectUpdate", json!({ "id": id }), ""),
            ("apiKeyCreate", json!({ "kind": "SERVICE", "teamId": world.a1 }), ""),
            ("apiKeyCreate", json!({ "kind": "GATEWAY" }), ""),
            ("apiKeyUpdate", json!({ "id": world.keys["member"] }), ""),
            (
                "settingsUpdate",
                json!({ "apiKeyBounds": { "teamMember": { "modelAccess": list } } }),
                "apiKeyBounds.teamMember.",
            ),
        ] {
            if at.is_empty() {
                input["modelAccess"] = list.clone();
            }
            let answer = change(&admin, mutation, input, "__typename").await;
            answer.refused("NOT_FOUND", &format!("input.{at}modelAccess.accessGroups.1"));
            assert_eq!(answer.message(), "no such access group", "{mutation}");
        }
    })
    .await;
}

/// E9, C-T25, C-M7: a group that is listed is not deleted, unless its name goes off all lists with it;
/// a later group of the name has none of the old grants.
#[tokio::test]
async fn a_listed_group_stays_or_goes_with_its_name() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for name in GROUPS {
            let group = json!({ "name": name, "externalId": name.replace('"', ""), "models": ["o3"] });
            let group = if name.contains('"') { json!({ "name": name, "externalId": "q" }) } else { group };
            done(&admin, "accessGroupCreate", group, "accessGroup { id }").await;
        }
        let list = |groups: &[&str]| json!({ "mode": "LIST", "accessGroups": groups });
        let all = list(&GROUPS);
        let only = list(&["fast"]);
        let input = json!({ "id": world.a, "modelAccess": all });
        done(&admin, "organizationUpdate", input, "__typename").await;
        let input = json!({ "id": world.a1, "modelAccess": all, "memberDefaults": { "modelAccess": only } });
        done(&admin, "teamUpdate", input, "__typename").await;
        let project = project(&admin, &world.a1, json!({ "name": "P", "modelAccess": only })).await;
        let member = json!({ "id": world.users["member"] });
        let input = json!({ "teamId": world.a1, "user": member, "modelAccess": list(&["fast", "f_st"]) });
        let member = done(&admin, "teamMemberUpdate", input, "membership { id }").await;
        let member = text(&member, "/membership/id");
        let user = &world.users["outsider"];
        done(&admin, "userUpdate", json!({ "id": user, "modelAccess": only }), "__typename").await;
        let input = json!({ "teamId": world.a1, "userId": world.users["member"], "modelAccess": only });
        let (key, _) = api_key(&admin, input).await;
        let other = json!({ "kind": "SERVICE", "teamId": world.a1, "modelAccess": list(&["fast-2"]) });
        let (other, _) = api_key(&admin, other).await;
        let input = json!({ "apiKeyBounds": { "user": { "modelAccess": only } } });
        done(&admin, "settingsUpdate", input, "__typename").await;

        let refused = change(&admin, "accessGroupDelete", json!({ "ids": ["fast"] }), "deletedIds").await;
        assert_eq!(refused.code(), "CONFLICT", "{:#}", refused.body);
        let named = refused.body["errors"][0]["extensions"]["ids"].as_array().unwrap().clone();
        let named: BTreeSet<_> = named.iter().map(|id| id.as_str().unwrap()).collect();
        let expected = [&world.a, &world.a1, &project, &member, user, &key];
        let expected: BTreeSet<_> = expected.iter().map(|id| id.as_str()).chain(["settings"]).collect();
        assert_eq!(named, expected);
        assert_eq!(rows(app, "access_groups").await, 4);

        let events = rows(app, "audit_events").await;
        let input = json!({ "ids": ["fast"], "cascade": "CLAMP" });
        let gone = done(&admin, "accessGroupDelete", input, "deletedIds").await;
        assert_eq!(gone["deletedIds"].as_array().unwrap().len(), 1);
        let events = rows(app, "audit_events").await - events;
        assert_eq!(events, 8, "one for each list's owner, and one for the group");
        let again = json!({ "name": "fast", "models": ["o3"] });
        done(&admin, "accessGroupCreate", again, "accessGroup { id }").await;
        let access = "modelAccess { mode accessGroups }";
        let seen = async |root: &str, id: &str| {
            let query = format!("{{ {root}(id: \"{id}\") {{ {access} }} }}");
            read(&admin, &query).await["modelAccess"].clone()
        };
        let left = json!({ "mode": "LIST", "accessGroups": ["fast-2", "f_st", "fa\"st"] });
        let none = json!({ "mode": "NONE", "accessGroups": [] });
        assert_eq!(seen("organization", &world.a).await, left);
        assert_eq!(seen("team", &world.a1).await, left);
        assert_eq!(seen("project", &project).await, none);
        assert_eq!(seen("user", user).await, none);
        assert_eq!(seen("apiKey", &key).await, none);
        assert_eq!(seen("apiKey", &other).await["accessGroups"], json!(["fast-2"]));
        let query = format!("{{ node(id: \"{member}\") {{ ... on TeamMembership {{ {access} version }} }} }}");
        let found = read(&admin, &query).await;
        assert_eq!(found["modelAccess"]["accessGroups"], json!(["f_st"]));
        assert_eq!(found["version"], 3);
        let query = "{ settings { apiKeyBounds { user { modelAccess { mode } } } } }";
        let bounds = read(&admin, query).await;
        assert_eq!(bounds["apiKeyBounds"]["user"]["modelAccess"]["mode"], "NONE");
        let query = format!("{{ team(id: \"{}\") {{ memberDefaults {{ {access} }} }} }}", world.a1);
        assert_eq!(read(&admin, &query).await["memberDefaults"]["modelAccess"], none);
        // What is not listed goes at once, and so does what is listed by what is gone.
        let input = json!({ "ids": ["q"], "cascade": "CLAMP" });
        done(&admin, "accessGroupDelete", input, "deletedIds").await;
        done(&admin, "organizationDelete", json!({ "ids": [world.a] }), "deletedIds").await;
        done(&admin, "accessGroupDelete", json!({ "ids": ["fast-2", "f_st"] }), "deletedIds").await;
        let answer = change(world.person("other_team_admin"), "accessGroupDelete", json!({ "ids": [] }), "deletedIds");
        assert_eq!(answer.await.code(), "FORBIDDEN");
    })
    .await;
}

/// Listing a group and deleting it at a time: either there is no such group, or it is taken off, or
/// it stays.
#[tokio::test]
async fn a_group_is_not_deleted_under_a_list_that_takes_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let list = json!({ "mode": "LIST", "models": ["o3"], "accessGroups": ["g"] });
        for round in 0..12 {
            done(
                &admin,
                "accessGroupCreate",
                json!({ "name": "g", "externalId": "g" }),
                "__typename",
            )
            .await;
            let cascade = if round % 2 == 0 { "REFUSE" } else { "CLAMP" };
            let narrow = json!({ "teamId": world.a1, "kind": "SERVICE", "modelAccess": list });
            let team = json!({ "id": world.a1, "modelAccess": list });
            let delete = json!({ "ids": ["g"], "cascade": cascade });
            let (made, changed, deleted) = tokio::join!(
                change(&admin, "apiKeyCreate", narrow, "apiKey { id }"),
                change(&admin, "teamUpdate", team, "team { id }"),
                change(&admin, "accessGroupDelete", delete, "deletedIds"),
            );
            for answer in [&made, &changed] {
                assert!(
                    ["", "NOT_FOUND", "CONFLICT", "LIMIT_EXCEEDED"]
                        .contains(&answer.code().as_str()),
                    "{:#}",
                    answer.body
                );
            }
            assert!(["", "CONFLICT"].contains(&deleted.code().as_str()), "{:#}", deleted.body);
            let listed = "api_keys WHERE CAST(model_access AS TEXT) LIKE '%\"g\"%'";
            let team = "teams WHERE CAST(model_access AS TEXT) LIKE '%\"g\"%'";
            let listed = rows(app, listed).await + rows(app, team).await;
            if rows(app, "access_groups").await == 0 {
                assert_eq!(listed, 0, "{cascade}: {:#}", deleted.body);
            } else {
                assert!(listed > 0, "{cascade}: {:#}", deleted.body);
            }
            let reset = json!({ "id": world.a1, "modelAccess": { "mode": "ALL" } });
            done(&admin, "teamUpdate", reset, "team { id }").await;
            let gone = json!({ "ids": ["g"], "cascade": "CLAMP" });
            change(&admin, "accessGroupDelete", gone, "deletedIds").await;
        }
        let query = "{ accessGroups { totalCount } }";
        assert_eq!(read(&admin, query).await["totalCount"], Value::from(0));
    })
    .await;
}
