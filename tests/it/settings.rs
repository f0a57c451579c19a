//! The settings of the platform, and what new things start with.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{assert_no_orphans, change, done, read, rows};

const ALL: &str = "settings { teamsAreJoinable personalKeysAreAllowed teamAdminsMakeServiceKeys
    maxKeyLifetime teamDefaults { budgets { budget { maxSpend } } } version }";

/// D27: new things start with what the settings say, unless their creator says otherwise.
#[tokio::test]
async fn new_things_start_with_what_the_settings_say() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let first = read(root, &format!("{{ {ALL} }}")).await;
        let expected = json!({
            "teamsAreJoinable": false, "personalKeysAreAllowed": true,
            "teamAdminsMakeServiceKeys": true, "maxKeyLifetime": null,
            "teamDefaults": { "budgets": [] }, "version": 1,
        });
        assert_eq!(first, expected);
        let create = |spend: &str| json!({ "budgets": [{ "create": { "maxSpend": spend } }] });
        let input = json!({
            "teamsAreJoinable": true, "teamDefaults": create("7"), "userDefaults": create("8"),
            "endUserDefaults": create("9"), "expectedVersion": 1,
        });
        let after = done(root, "settingsUpdate", input.clone(), ALL).await["settings"].clone();
        assert_eq!(after["teamDefaults"]["budgets"][0]["budget"]["maxSpend"], "7");
        assert_eq!((&after["teamsAreJoinable"], &after["version"]), (&json!(true), &json!(2)));
        change(root, "settingsUpdate", input, ALL).await.refused("CONFLICT", "-");

        let shown = "budgets { counting budget { maxSpend } }";
        let own = world.person("organization_admin");
        let team = json!({ "name": "T", "organizationId": world.a });
        let made = done(own, "teamCreate", team, &format!("team {{ isJoinable {shown} }}")).await;
        let budget = json!({ "counting": "EACH", "budget": { "maxSpend": "7" } });
        assert_eq!(made["team"], json!({ "isJoinable": true, "budgets": [budget] }));
        let team = json!({ "name": "U", "isJoinable": false, "budgets": [] });
        let made = done(root, "teamCreate", team, &format!("team {{ isJoinable {shown} }}")).await;
        assert_eq!(made["team"], json!({ "isJoinable": false, "budgets": [] }));
        let payload = format!("user {{ {shown} }}");
        let made = done(root, "userCreate", json!({ "name": "N" }), &payload).await;
        assert_eq!(made["user"]["budgets"][0]["budget"]["maxSpend"], "8");
        let input = json!({ "externalId": "u" });
        let made = done(root, "endUserCreate", input, &format!("endUser {{ {shown} }}")).await;
        assert_eq!(made["endUser"]["budgets"][0]["budget"]["maxSpend"], "9");

        // What was made keeps its budget when the defaults go.
        let none = json!({ "teamDefaults": { "budgets": null } });
        let after = done(root, "settingsUpdate", none, ALL).await["settings"].clone();
        assert_eq!(after["teamDefaults"]["budgets"], json!([]));
        let query = "{ teams(filter: { search: \"t\" }) { nodes { name budgets { id } } } }";
        let teams = read(root, query).await["nodes"].as_array().unwrap().clone();
        let kept = teams.iter().find(|team| team["name"] == "T").unwrap();
        assert_eq!(kept["budgets"].as_array().unwrap().len(), 1);
        for name in ["member", "organization_admin", "platform_viewer"] {
            let input = json!({ "teamsAreJoinable": true });
            change(world.person(name), "settingsUpdate", input, ALL)
                .await
                .refused("FORBIDDEN", "-");
        }
    })
    .await;
}

/// D19: the settings say which keys people make, and how long those live.
#[tokio::test]
async fn the_settings_bound_the_keys_that_people_make() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let input = json!({
            "personalKeysAreAllowed": false, "teamAdminsMakeServiceKeys": false,
            "maxKeyLifetime": "P30D",
        });
        done(root, "settingsUpdate", input, ALL).await;
        let payload = "apiKey { expiresAt }";
        let (chief, own) = (world.person("team_admin"), world.person("organization_admin"));
        let service = json!({ "kind": "SERVICE", "teamId": world.a1 });
        let personal = change(chief, "apiKeyCreate", json!({}), payload).await;
        personal.refused("LIMIT_EXCEEDED", "input.teamId");
        let refused = change(chief, "apiKeyCreate", service.clone(), payload).await;
        refused.refused("LIMIT_EXCEEDED", "input.kind");
        done(own, "apiKeyCreate", service.clone(), payload).await;
        let mut longer = json!({ "teamId": world.a1, "expiresIn": "P31D" });
        let refused = change(chief, "apiKeyCreate", longer.clone(), payload).await;
        refused.refused("BAD_USER_INPUT", "input.expiresAt");
        longer["expiresIn"] = Value::Null;
        let made = done(chief, "apiKeyCreate", longer, payload).await;
        assert_eq!(made["apiKey"]["expiresAt"], "2026-12-21T12:00:00+00:00");
        let made = done(root, "apiKeyCreate", json!({}), payload).await;
        assert_eq!(made["apiKey"]["expiresAt"], Value::Null);
        let input = json!({ "maxKeyLifetime": "soon" });
        let answer = change(root, "settingsUpdate", input, ALL).await;
        answer.refused("BAD_USER_INPUT", "input.maxKeyLifetime");
    })
    .await;
}

/// D6, D7: new members start with the team's defaults; editing a member's budget forks it, and the
/// defaults lie within the team's limits.
#[tokio::test]
async fn new_members_start_with_the_teams_defaults() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, chief) = (app.admin(), world.person("team_admin"));
        let limits = json!({
            "id": world.a1, "modelAccess": { "mode": "LIST", "models": ["gpt-*", "o3"] },
            "budgets": [{ "create": { "maxSpend": "100", "period": "1mo" } }],
        });
        done(&admin, "teamUpdate", limits, "team { id }").await;
        let defaults = |spend: &str, model: &str| {
            json!({ "id": world.a1, "memberDefaults": {
                "budgets": [{ "create": { "maxSpend": spend, "period": "1mo" } }],
                "modelAccess": { "mode": "LIST", "models": [model] } } })
        };
        let shown = "team { memberDefaults { budgets { scopeKind budget { id maxSpend } }
            modelAccess { models } } }";
        for (input, field) in [
            (defaults("101", "o3"), "input.memberDefaults.budgets.maxSpend"),
            (defaults("5", "claude"), "input.memberDefaults.modelAccess"),
        ] {
            let answer = change(chief, "teamUpdate", input, shown).await;
            answer.refused("LIMIT_EXCEEDED", field);
        }
        let team = done(chief, "teamUpdate", defaults("5", "o3"), shown).await["team"].clone();
        assert_eq!(team["memberDefaults"]["budgets"][0]["scopeKind"], "TEAM_MEMBER_DEFAULT");
        assert_eq!(team["memberDefaults"]["modelAccess"]["models"], json!(["o3"]));
        let seen = format!("{{ team(id: \"{}\") {{ memberDefaults {{ budgets {{ id }} }} }} }}", world.a1);
        assert_eq!(read(world.person("member"), &seen).await["memberDefaults"], Value::Null);

        let members = json!([
            { "user": { "email": "one@example.com" } },
            { "user": { "email": "two@example.com" }, "budgets": [],
              "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] } },
        ]);
        let input = json!({ "teamId": world.a1, "members": members });
        let payload = "memberships { user { id } modelAccess { models } budgets { budget { id maxSpend } } }";
        let added = done(chief, "teamMemberAdd", input, payload).await["memberships"].clone();
        assert_eq!(added[0]["budgets"], json!([{ "budget": team["memberDefaults"]["budgets"][0]["budget"] }]));
        assert_eq!(added[0]["modelAccess"]["models"], json!(["o3"]));
        assert_eq!(added[1]["budgets"], json!([]));
        assert_eq!(added[1]["modelAccess"]["models"], json!(["gpt-4o"]));
        let default = added[0]["budgets"][0]["budget"]["id"].clone();
        let edit = json!([{ "edit": { "budgetId": default, "limits": { "maxSpend": "6" } } }]);
        let input = json!({ "teamId": world.a1, "user": { "id": added[0]["user"]["id"] }, "budgets": edit });
        let payload = "membership { budgets { budget { id maxSpend } } }";
        let edited = done(chief, "teamMemberUpdate", input, payload).await;
        assert_eq!(edited["membership"]["budgets"][0]["budget"]["maxSpend"], "6");
        assert_ne!(edited["membership"]["budgets"][0]["budget"]["id"], default);
        let kept = done(&admin, "teamUpdate", json!({ "id": world.a1, "name": "A1" }), shown).await;
        assert_eq!(kept["team"]["memberDefaults"]["budgets"][0]["budget"]["maxSpend"], "5");

        // The team cannot be narrowed below its defaults without saying so.
        let lower = json!({ "id": world.a1, "budgets": [{ "create": { "maxSpend": "4" } }] });
        let answer = change(&admin, "teamUpdate", lower.clone(), shown).await;
        assert_eq!(answer.code(), "CONFLICT", "{:#}", answer.body);
        let mut clamp = lower;
        clamp["cascade"] = json!("CLAMP");
        let team = done(&admin, "teamUpdate", clamp, shown).await["team"].clone();
        assert_eq!(team["memberDefaults"]["budgets"][0]["budget"]["maxSpend"], "4");
        let join = json!({ "id": world.a1, "isJoinable": true });
        done(&admin, "teamUpdate", join, "team { id }").await;
        let (_, secret) = crate::harness::world::api_key(
            &admin,
            json!({ "userId": world.users["organization_admin"] }),
        )
        .await;
        let newcomer = app.with_key(Some(&secret));
        let payload = "membership { modelAccess { models } }";
        let joined = done(&newcomer, "teamJoin", json!({ "teamId": world.a1 }), payload).await;
        assert_eq!(joined["membership"]["modelAccess"]["models"], json!(["o3"]));
        let query = format!("{{ user(id: \"{}\") {{ teamMemberships {{ nodes {{ budgets {{ budget {{ maxSpend }} }} }} }} }} }}", world.users["organization_admin"]);
        let found = read(&admin, &query).await;
        assert_eq!(text(&found, "/teamMemberships/nodes/0/budgets/0/budget/maxSpend"), "4");
        done(&admin, "teamDelete", json!({ "ids": [world.a1] }), "deletedIds").await;
        assert_eq!(rows(app, "budgets").await, 0);
        assert_no_orphans(app).await;
    })
    .await;
}

/// AC-6, AC-7, E-18: the budgets of the platform, and what holds for every call, are settings. The
/// budgets of the platform are above everything and compared with nothing.
#[tokio::test]
async fn the_platform_has_budgets_and_says_what_holds_for_every_call() {
    on_each_database(async |app| {
        let root = app.admin();
        let shown = "settings { endUserIsRequired userBudgetsHoldInTeams
            budgets { scopeKind scopeId budget { maxSpend } } }";
        let first = read(&root, &format!("{{ {shown} }}")).await;
        let expected = json!({
            "endUserIsRequired": false, "userBudgetsHoldInTeams": true, "budgets": [],
        });
        assert_eq!(first, expected);
        let team = json!({ "name": "T", "budgets": [{ "create": { "maxSpend": "9" } }] });
        done(&root, "teamCreate", team, "team { id }").await;
        let input = json!({
            "endUserIsRequired": true, "userBudgetsHoldInTeams": false,
            "budgets": [{ "create": { "maxSpend": "5", "period": "1mo" } }],
        });
        let after = done(&root, "settingsUpdate", input, shown).await["settings"].clone();
        let budget = json!({
            "scopeKind": "PLATFORM", "scopeId": "platform", "budget": { "maxSpend": "5" },
        });
        let expected = json!({
            "endUserIsRequired": true, "userBudgetsHoldInTeams": false, "budgets": [budget],
        });
        assert_eq!(after, expected);
        assert_eq!(read(&root, &format!("{{ {shown} }}")).await, expected);
        let after = done(&root, "settingsUpdate", json!({ "budgets": null }), shown).await;
        assert_eq!(after["settings"]["budgets"], json!([]));
        assert_no_orphans(app).await;
    })
    .await;
}
