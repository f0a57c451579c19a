//! Blocking and deleting teams.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::team_calls::{
    actions, add, call, create, done, events, forbidden, members, nobody, number, read, refused,
    rows, same_as_missing,
};

/// T-BLK-1, T-BLK-2, T-BLK-3, C-T24: blocking and unblocking answer with the team, are audited
/// once, and hold for the next request of the team's keys.
#[tokio::test]
async fn a_blocked_team_shuts_out_its_keys_at_once() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "k" });
        let (_, secret) = api_key(&app.admin(), input).await;
        let key = app.with_key(Some(&secret));
        assert_eq!(key.run("{ viewer { kind } }").await.code(), "");

        let selection = "team { isBlocked blockedBy version }";
        let input = json!({ "id": world.a1 });
        let blocked = done(root, "teamBlock", input.clone(), selection).await;
        let expected = json!({ "isBlocked": true, "blockedBy": "PLATFORM", "version": 2 });
        assert_eq!(blocked["team"], expected);
        for client in [&key, world.person("service")] {
            let answer = client.run("{ viewer { kind } }").await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"));
        }
        assert_eq!(world.person("member").run("{ viewer { kind } }").await.code(), "");

        let event = events(app, 1).await.remove(0);
        assert_eq!(
            (&event["action"], &event["subjectId"]),
            (&json!("TEAM_BLOCKED"), &json!(world.a1))
        );
        let count = number(app, "SELECT count(*) AS n FROM audit_events").await;
        let again = done(root, "teamBlock", input.clone(), selection).await;
        assert_eq!(again["team"], expected);
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, count);

        let expected = json!({ "isBlocked": false, "blockedBy": null, "version": 3 });
        for _ in 0..2 {
            let unblocked = done(root, "teamUnblock", input.clone(), selection).await;
            assert_eq!(unblocked["team"], expected);
        }
        assert_eq!(actions(app, 2).await, ["TEAM_UNBLOCKED", "TEAM_BLOCKED"]);
        assert_eq!(key.run("{ viewer { kind } }").await.code(), "");
        refused(root, "teamBlock", json!({ "id": nobody("team") }), "NOT_FOUND", "input.id").await;
    })
    .await;
}

/// T-BLK-1, C-T24: platform and organization admins block; the platform may raise the level of a
/// block, and what it blocked the organization cannot unblock.
#[tokio::test]
async fn what_the_platform_blocked_an_organization_cannot_unblock() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, chief) = (world.person("platform_admin"), world.person("organization_admin"));
        let input = json!({ "id": world.a1 });
        let level = "team { blockedBy }";
        let blocked = done(chief, "teamBlock", input.clone(), level).await;
        assert_eq!(blocked["team"]["blockedBy"], "ORGANIZATION");
        let raised = done(root, "teamBlock", input.clone(), level).await;
        assert_eq!(raised["team"]["blockedBy"], "PLATFORM");
        let same = done(chief, "teamBlock", input.clone(), level).await;
        assert_eq!(same["team"]["blockedBy"], "PLATFORM");
        assert_eq!(call(chief, "teamUnblock", input.clone(), "").await.code(), "CONFLICT");
        assert_eq!(read(root, &world.a1, "isBlocked").await["isBlocked"], true);
        done(root, "teamUnblock", input.clone(), "").await;
        done(chief, "teamBlock", input.clone(), "").await;
        done(chief, "teamUnblock", input.clone(), "").await;
        assert_eq!(read(root, &world.a1, "isBlocked").await["isBlocked"], false);
        for person in ["team_admin", "member", "viewer", "service", "outsider", "platform_viewer"] {
            forbidden(world.person(person), "teamBlock", input.clone()).await;
            forbidden(world.person(person), "teamUnblock", input.clone()).await;
            forbidden(world.person(person), "teamDelete", json!({ "ids": [world.a1] })).await;
        }
        same_as_missing(chief, "teamBlock", &world.b1, |id| json!({ "id": id })).await;
    })
    .await;
}

/// T-DEL-1, T-DEL-3, T-DEL-4, T-DEL-5, T-DEL-6, C-T25, C-T6: a team goes with its memberships,
/// keys, budgets and aliases; its keys stop at once; what is not the team's stays; every part is
/// audited with what it was.
#[tokio::test]
async fn a_team_is_deleted_with_everything_that_hangs_on_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let tier = json!({ "name": "Tier", "organizationId": world.a,
            "limits": { "maxSpend": "5" } });
        let tier = text(&done(root, "budgetCreate", tier, "budget { id }").await, "/budget/id");
        let before = rows(app).await;
        let own = json!([{ "create": { "maxSpend": "5" } }, { "attach": { "budgetId": tier } }]);
        let input = json!({ "name": "Doomed", "organizationId": world.a, "externalId": "doomed",
            "budgets": own, "modelAliases": [{ "alias": "a", "target": "b" }],
            "members": [{ "user": { "id": world.users["member"] }, "budgets": own }] });
        let team = create(root, input).await;
        let mut secrets = Vec::new();
        for input in [
            json!({ "kind": "SERVICE", "teamId": team, "name": "s", "budgets": own }),
            json!({ "userId": world.users["member"], "teamId": team, "name": "u" }),
        ] {
            secrets.push(api_key(&app.admin(), input).await.1);
        }
        let selection = "deletedIds deletedMembershipCount deletedApiKeyCount";
        let ids = json!({ "ids": ["doomed", team, team] });
        let deleted = done(root, "teamDelete", ids, selection).await;
        assert_eq!(deleted["deletedIds"], json!([team]));
        assert_eq!(deleted["deletedMembershipCount"], 2);
        assert_eq!(deleted["deletedApiKeyCount"], 2);
        assert_eq!(rows(app).await, before);
        assert_eq!(read(root, &team, "id").await, Value::Null);
        for secret in secrets {
            let answer = app.with_key(Some(&secret)).run("{ viewer { kind } }").await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"));
        }
        let mut gone = actions(app, 15).await;
        gone.retain(|action| !action.starts_with("BUDGET_"));
        gone.truncate(5);
        gone.sort();
        let expected = [
            "API_KEY_DELETED",
            "API_KEY_DELETED",
            "TEAM_DELETED",
            "TEAM_MEMBER_REMOVED",
            "TEAM_MEMBER_REMOVED",
        ];
        assert_eq!(gone, expected);
        for event in events(app, 5).await {
            assert!(event["before"].is_object() && event["after"].is_null(), "{event}");
            assert_eq!(event["organizationId"], world.a);
        }
        let mine = "{ viewer { user { teamMemberships { nodes { team { name } } } } } }";
        let mine = world.person("member").data(mine).await;
        let nodes = &mine["viewer"]["user"]["teamMemberships"]["nodes"];
        assert_eq!(*nodes, json!([{ "team": { "name": "A1" } }]));
        let answer = call(root, "teamDelete", json!({ "ids": [team] }), "").await;
        answer.refused("NOT_FOUND", "input.ids.0");
        create(
            root,
            json!({ "name": "Again", "organizationId": world.a,
            "externalId": "doomed" }),
        )
        .await;
    })
    .await;
}

/// T-DEL-2, C-T25, SECURITY case 21: of a list with one team that is unknown or foreign, nothing
/// is deleted, wherever in the list it stands.
#[tokio::test]
async fn one_foreign_team_in_a_list_keeps_all_of_them() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("organization_admin");
        let third = create(chief, json!({ "name": "A3", "organizationId": world.a })).await;
        let before = (rows(app).await, number(app, "SELECT count(*) AS n FROM audit_events").await);
        for foreign in [world.b1.clone(), nobody("team"), "no-such-team".to_owned()] {
            for (ids, field) in [
                ([&world.a1, &foreign, &third], "input.ids.1"),
                ([&foreign, &third, &world.a2], "input.ids.0"),
                ([&third, &world.a2, &foreign], "input.ids.2"),
            ] {
                refused(chief, "teamDelete", json!({ "ids": ids }), "NOT_FOUND", field).await;
            }
        }
        let audited = number(app, "SELECT count(*) AS n FROM audit_events").await;
        assert_eq!((rows(app).await, audited), before);
        assert_eq!(members(&app.admin(), &world.a1).await.len(), 3);
        let ids = json!({ "ids": [third, world.a2, world.a1] });
        let deleted = done(chief, "teamDelete", ids, "deletedIds").await;
        assert_eq!(deleted["deletedIds"].as_array().unwrap().len(), 3);
    })
    .await;
}

/// T-DEL-1, T-UPD-8: a deletion names 1 to 100 teams, and an expected version goes with one.
#[tokio::test]
async fn a_deletion_names_one_to_a_hundred_teams() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let delete = async |input: Value, code: &str, field: &str| {
            refused(&admin, "teamDelete", input, code, field).await;
        };
        delete(json!({ "ids": [] }), "BAD_USER_INPUT", "input.ids").await;
        let many = vec![world.a1.clone(); 101];
        delete(json!({ "ids": many }), "BAD_USER_INPUT", "input.ids").await;
        let two = json!({ "ids": [world.a1, world.a2], "expectedVersion": 1 });
        delete(two, "BAD_USER_INPUT", "input.expectedVersion").await;
        let stale = json!({ "ids": [world.a1], "expectedVersion": 2 });
        assert_eq!(call(&admin, "teamDelete", stale, "").await.code(), "CONFLICT");
        add(&admin, &world.a1, &world.users["outsider"]).await;
        let seen = json!({ "ids": [world.a1], "expectedVersion": 1 });
        let deleted = done(&admin, "teamDelete", seen, "deletedMembershipCount").await;
        assert_eq!(deleted["deletedMembershipCount"], 4);
    })
    .await;
}
