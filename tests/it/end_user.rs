//! End users: the customers on whose behalf gateways call models.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{assert_no_orphans, change, done, read, rows};

const ALL: &str = "endUser { id externalId name organization { id } team { id } defaultModel region
    isBlocked blockedBy budgets { budget { maxSpend } } version createdBy }";

/// D23, SECURITY 3 "end-user": a customer is made in a team, an organization or on the platform by
/// those who run the place, and changed as a whole.
#[tokio::test]
async fn an_end_user_belongs_to_a_place() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({
            "externalId": "customer-7", "teamId": world.a1, "name": "Customer 7",
            "defaultModel": "gpt-4o-mini", "region": "EU",
            "budgets": [{ "create": { "maxSpend": "5", "period": "1mo" } }],
        });
        let chief = world.person("team_admin");
        let made = done(chief, "endUserCreate", input, ALL).await["endUser"].clone();
        let id = made["id"].clone();
        let expected = json!({
            "id": id, "externalId": "customer-7", "name": "Customer 7", "organization": null,
            "team": { "id": world.a1 }, "defaultModel": "gpt-4o-mini", "region": "EU",
            "isBlocked": false, "blockedBy": null, "budgets": [{ "budget": { "maxSpend": "5" } }],
            "version": 1, "createdBy": world.users["team_admin"],
        });
        assert_eq!(made, expected);
        let input = json!({ "id": "customer-7", "name": null, "region": null, "budgets": null,
            "expectedVersion": 1 });
        let own = world.person("organization_admin");
        let changed = done(own, "endUserUpdate", input, ALL).await["endUser"].clone();
        assert_eq!(changed["name"], Value::Null);
        assert_eq!(changed["defaultModel"], "gpt-4o-mini");
        assert_eq!(changed["budgets"], json!([]));
        assert_eq!(changed["version"], 2);
        let query = format!("{{ node(id: {id}) {{ ... on EndUser {{ externalId }} }} }}");
        for (name, seen) in [
            ("team_admin", true),
            ("organization_admin", true),
            ("platform_viewer", true),
            ("member", false),
            ("other_team_admin", false),
            ("service", false),
        ] {
            let found = read(world.person(name), &query).await;
            assert_eq!(!found.is_null(), seen, "{name}");
        }
        let answer = change(own, "endUserUpdate", json!({ "id": id, "externalId": null }), ALL);
        answer.await.refused("BAD_USER_INPUT", "input.externalId");
        let answer = change(own, "endUserUpdate", json!({ "id": id, "expectedVersion": 1 }), ALL);
        answer.await.refused("CONFLICT", "-");
    })
    .await;
}

/// SECURITY case 19: an external id is unique in its place, and free in every other.
#[tokio::test]
async fn an_external_id_names_one_end_user_in_each_place() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let places = [
            json!({ "teamId": world.a1 }),
            json!({ "teamId": world.b1 }),
            json!({ "organizationId": world.a }),
            json!({ "organizationId": world.b }),
            json!({}),
        ];
        let with = |place: &Value, id: &str| {
            let mut input = place.clone();
            input["externalId"] = json!(id);
            input
        };
        for place in &places {
            done(&admin, "endUserCreate", with(place, "same"), "endUser { id }").await;
            let again = change(&admin, "endUserCreate", with(place, "same"), "endUser { id }");
            again.await.refused("ALREADY_EXISTS", "input.externalId");
        }
        assert_eq!(rows(app, "end_users").await, 5);
        let several = admin.run("{ endUser(id: \"same\") { id } }").await;
        assert_eq!(several.code(), "CONFLICT");
        let mine = "{ endUser(id: \"same\") { team { name } } }";
        assert_eq!(read(world.person("team_admin"), mine).await["team"]["name"], "A1");
        let count = "{ endUsers { totalCount } }";
        for (name, seen) in [("team_admin", 1), ("organization_admin", 2), ("platform_admin", 5)] {
            assert_eq!(read(world.person(name), count).await["totalCount"], seen, "{name}");
        }
        let filter = "query($o: [ID!], $t: [ID!]) {
            endUsers(filter: { organizationIds: $o, teamIds: $t }) { totalCount } }";
        for (variables, seen) in [
            (json!({ "o": [world.a] }), 2),
            (json!({ "t": [world.b1] }), 1),
            (json!({ "o": [world.a], "t": [world.b1] }), 0),
        ] {
            let found = admin.run_with(filter, variables.clone()).await.data();
            assert_eq!(found["endUsers"]["totalCount"], seen, "{variables}");
        }
        let both = json!({ "externalId": "x", "teamId": world.a1, "organizationId": world.a });
        let answer = change(&admin, "endUserCreate", both, "endUser { id }").await;
        answer.refused("BAD_USER_INPUT", "input.organizationId");
        for (field, input) in [
            ("externalId", json!({ "externalId": "with space" })),
            ("externalId", json!({ "externalId": format!("enduser_{}", "0".repeat(32)) })),
            ("name", json!({ "externalId": "x", "name": " " })),
            ("defaultModel", json!({ "externalId": "x", "defaultModel": "" })),
        ] {
            let answer = change(&admin, "endUserCreate", input, "endUser { id }").await;
            answer.refused("BAD_USER_INPUT", &format!("input.{field}"));
        }
    })
    .await;
}

/// C-A13, C-P15: an end user is blocked by levels; what a higher one blocked, a lower one does not
/// unblock.
#[tokio::test]
async fn an_end_user_is_blocked_and_unblocked_by_levels() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({ "externalId": "u", "teamId": world.a1 });
        let made = done(&app.admin(), "endUserCreate", input, "endUser { id }").await;
        let it = json!({ "id": made["endUser"]["id"] });
        let (chief, own) = (world.person("team_admin"), world.person("organization_admin"));
        let shown = "endUser { blockedBy isBlocked }";
        let blocked = done(chief, "endUserBlock", it.clone(), shown).await;
        assert_eq!(blocked["endUser"], json!({ "blockedBy": "TEAM", "isBlocked": true }));
        let blocked = done(own, "endUserBlock", it.clone(), shown).await;
        assert_eq!(blocked["endUser"]["blockedBy"], "ORGANIZATION");
        change(chief, "endUserUnblock", it.clone(), shown).await.refused("CONFLICT", "-");
        let list = "{ endUsers(filter: { isBlocked: true }) { totalCount } }";
        assert_eq!(read(chief, list).await["totalCount"], 1);
        let free = done(own, "endUserUnblock", it.clone(), shown).await;
        assert_eq!(free["endUser"], json!({ "blockedBy": null, "isBlocked": false }));
        done(own, "endUserUnblock", it, shown).await;
    })
    .await;
}

/// SECURITY cases 6, 21, 23: deletion is all or nothing, takes the budgets along, and happens with
/// the team; a budget of another team is not there to be attached.
#[tokio::test]
async fn end_users_go_with_their_budgets_and_with_their_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, chief) = (app.admin(), world.person("team_admin"));
        let budgets = json!([{ "create": { "maxSpend": "5" } }]);
        let mut ids = Vec::new();
        for (name, team) in [("a", &world.a1), ("b", &world.a1), ("c", &world.b1)] {
            let input = json!({ "externalId": name, "teamId": team, "budgets": budgets });
            let made = done(&admin, "endUserCreate", input, ALL).await;
            ids.push(text(&made, "/endUser/id"));
        }
        let query =
            format!("{{ endUser(id: \"{}\") {{ budgets {{ budget {{ id }} }} }} }}", ids[2]);
        let foreign = read(&admin, &query).await["budgets"][0]["budget"]["id"].clone();
        let input = json!({ "id": ids[0], "budgets": [{ "attach": { "budgetId": foreign } }] });
        let answer = change(chief, "endUserUpdate", input, ALL).await;
        answer.refused("NOT_FOUND", "input.budgets.0.attach.budgetId");
        let input = json!({ "ids": [ids[0], ids[2]] });
        let answer = change(chief, "endUserDelete", input, "deletedIds").await;
        answer.refused("NOT_FOUND", "input.ids.1");
        assert_eq!(rows(app, "end_users").await, 3);
        let gone = done(chief, "endUserDelete", json!({ "ids": [ids[0]] }), "deletedIds").await;
        assert_eq!(gone["deletedIds"], json!([ids[0]]));
        assert_eq!(rows(app, "budgets").await, 2);
        let input = json!({ "ids": [world.a1, world.b1] });
        let gone = done(&admin, "teamDelete", input, "deletedEndUserCount").await;
        assert_eq!(gone["deletedEndUserCount"], 2);
        assert_eq!(rows(app, "end_users").await + rows(app, "budgets").await, 0);
        assert_no_orphans(app).await;
    })
    .await;
}
