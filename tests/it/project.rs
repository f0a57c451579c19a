//! Projects: making, changing and reading them.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::steps::project;
use crate::team_calls::{
    call, done, events, forbidden, masked, nobody, number, refused, rows, same_as_missing,
};

/// P-NEW-1, P-NEW-8, P-NEW-9, P-NEW-10, P-NEW-11, P-NEW-12, C-P10, C-P12: a project has what its
/// creator gave it, its budgets among them, for everybody and in one transaction; limits are budgets
/// and never metadata, and a budget with a period has a window that ends.
#[tokio::test]
async fn a_project_has_what_its_creator_gave_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let permissions = json!({ "mcp_servers": ["b", "a"], "vector_stores": [{ "id": 1 }] });
        let input = json!({ "teamId": world.a1, "name": "Search", "externalId": "search",
            "description": "Finds\nthings", "tags": ["x", "y"], "metadata": { "cost": [1] },
            "objectPermissions": permissions, "modelAccess": { "mode": "LIST", "models": ["o3"] },
            "budgets": [{ "create": { "maxSpend": "5", "softSpend": "4", "period": "1mo",
                "tokensPerMinute": 7 } }, { "create": { "requestsPerMinute": 3,
                "modelPattern": "o3" } }] });
        let selection = "project { id externalId name description tags metadata objectPermissions
            modelAccess { mode models } isBlocked version createdBy updatedBy team { id }
            budgets { spent resetsAt scopeKind scopeId budget { maxSpend softSpend period
                tokensPerMinute requestsPerMinute modelPattern isStandalone } } }";
        let made = done(chief, "projectCreate", input, selection).await["project"].clone();
        let id = text(&made, "/id");
        assert!(id.starts_with("project_") && id.len() == 40, "{id}");
        let expected = json!({ "id": id, "externalId": "search", "name": "Search",
            "description": "Finds\nthings", "tags": ["x", "y"], "metadata": { "cost": [1] },
            "objectPermissions": permissions,
            "modelAccess": { "mode": "LIST", "models": ["o3"] },
            "isBlocked": false, "version": 1, "createdBy": world.users["team_admin"],
            "updatedBy": world.users["team_admin"], "team": { "id": world.a1 },
            "budgets": [
                { "spent": "0", "resetsAt": "2026-12-01T00:00:00+00:00", "scopeKind": "PROJECT",
                  "scopeId": id, "budget": { "maxSpend": "5", "softSpend": "4", "period": "1mo",
                    "tokensPerMinute": "7", "requestsPerMinute": null, "modelPattern": null,
                    "isStandalone": false } },
                { "spent": "0", "resetsAt": null, "scopeKind": "PROJECT", "scopeId": id,
                  "budget": { "maxSpend": null, "softSpend": null, "period": null,
                    "tokensPerMinute": null, "requestsPerMinute": "3", "modelPattern": "o3",
                    "isStandalone": false } },
            ] });
        assert_eq!(made, expected);
        let event = events(app, 5).await.into_iter().find(|e| e["action"] == "PROJECT_CREATED");
        let event = event.unwrap();
        assert_eq!(event["teamId"], world.a1);
        assert_eq!(event["organizationId"], world.a);
        assert_eq!(event["subjectKind"], "PROJECT");
        assert_eq!(event["subjectId"], id);
        assert_eq!(event["after"]["object_permissions"], permissions);
    })
    .await;
}

/// P-NEW-8, P-NEW-9, P-NEW-11, C-P11: what is left out is empty, and no budget is made for it; an
/// empty object of permissions says nothing.
#[tokio::test]
async fn a_project_that_only_has_a_name_has_plain_defaults() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let before = number(app, "SELECT count(*) AS n FROM budgets").await;
        let selection = "project { externalId description tags metadata objectPermissions isBlocked
            modelAccess { mode } budgets { spent } }";
        for permissions in [Value::Null, json!({})] {
            let input =
                json!({ "teamId": world.a1, "name": "P", "objectPermissions": permissions });
            let made = done(&app.admin(), "projectCreate", input, selection).await;
            let expected = json!({ "externalId": null, "description": null, "tags": [],
                "metadata": {}, "objectPermissions": null, "isBlocked": false,
                "modelAccess": { "mode": "ALL" }, "budgets": [] });
            assert_eq!(made["project"], expected);
        }
        assert_eq!(number(app, "SELECT count(*) AS n FROM budgets").await, before);
    })
    .await;
}

/// P-NEW-4, P-UPD-4, C-P7, SECURITY case 28: negative limits, a soft limit that is not below the
/// hard one, also against the one that is stored, and fields that break a rule are refused.
#[tokio::test]
async fn limits_and_fields_that_make_no_sense_are_refused() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let id = project(
            &admin,
            &world.a1,
            json!({ "name": "P",
            "budgets": [{ "create": { "maxSpend": "5" } }] }),
        )
        .await;
        let before = rows(app).await;
        for (limits, field) in [
            (json!({ "maxSpend": "-1" }), "maxSpend"),
            (json!({ "softSpend": "-1" }), "softSpend"),
            (json!({ "maxSpend": "5", "softSpend": "5" }), "softSpend"),
            (json!({ "requestsPerMinute": -1 }), "requestsPerMinute"),
        ] {
            let budgets = json!([{ "create": limits }]);
            let field = format!("input.budgets.0.create.{field}");
            let input = json!({ "teamId": world.a1, "name": "Q", "budgets": budgets });
            refused(&admin, "projectCreate", input, "BAD_USER_INPUT", &field).await;
            let input = json!({ "id": id, "budgets": budgets });
            refused(&admin, "projectUpdate", input, "BAD_USER_INPUT", &field).await;
        }
        let held = "query($id: ID!) { project(id: $id) { budgets { budget { id } } } }";
        let held = admin.run_with(held, json!({ "id": id })).await.data();
        let budget = text(&held, "/project/budgets/0/budget/id");
        let edit = json!([{ "edit": { "budgetId": budget, "limits": { "softSpend": "5" } } }]);
        let field = "input.budgets.0.edit.limits.softSpend";
        let input = json!({ "id": id, "budgets": edit });
        refused(&admin, "projectUpdate", input, "BAD_USER_INPUT", field).await;
        for (change, field) in [
            (json!({ "name": "" }), "input.name"),
            (json!({ "description": "x".repeat(2_001) }), "input.description"),
            (json!({ "externalId": "a b" }), "input.externalId"),
            (json!({ "externalId": id }), "input.externalId"),
            (json!({ "metadata": [1] }), "input.metadata"),
            (json!({ "objectPermissions": "all" }), "input.objectPermissions"),
            (
                json!({ "objectPermissions": { "x": "y".repeat(20_000) } }),
                "input.objectPermissions",
            ),
            (json!({ "tags": [""] }), "input.tags.0"),
            (json!({ "modelAccess": { "mode": "LIST" } }), "input.modelAccess"),
        ] {
            let mut input = json!({ "id": id });
            input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            refused(&admin, "projectUpdate", input, "BAD_USER_INPUT", field).await;
            let mut input = json!({ "teamId": world.a1, "name": "Q" });
            input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            refused(&admin, "projectCreate", input, "BAD_USER_INPUT", field).await;
        }
        let input = json!({ "id": id, "name": null });
        refused(&admin, "projectUpdate", input, "BAD_USER_INPUT", "input.name").await;
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// P-NEW-3, P-NEW-7, P-UPD-3, C-P2, C-P3, SECURITY cases 3, 5: permission comes before every rule,
/// by the role in the membership; who may not is told neither models nor numbers nor teams.
#[tokio::test]
async fn permission_comes_before_every_rule() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let own = json!({ "id": world.a1, "budgets": [{ "create": { "maxSpend": "77" } }],
            "modelAccess": { "mode": "LIST", "models": ["secret-model"] } });
        done(&root, "teamUpdate", own, "").await;
        let id = project(&root, &world.a1, json!({ "name": "P" })).await;
        let wrong = |team: &str| {
            json!({ "teamId": team, "name": "", "budgets": [{ "create": { "maxSpend": "999" } }],
                "modelAccess": { "mode": "LIST", "models": ["unknown"] } })
        };
        for person in ["member", "viewer", "outsider", "service", "platform_viewer"] {
            let client = world.person(person);
            forbidden(client, "projectCreate", wrong(&world.a1)).await;
            forbidden(client, "projectUpdate", json!({ "id": id, "name": "" })).await;
            forbidden(client, "projectBlock", json!({ "id": id })).await;
        }
        for person in ["member", "viewer", "outsider", "service", "team_admin"] {
            let client = world.person(person);
            forbidden(client, "projectDelete", json!({ "ids": [id] })).await;
            let input = json!({ "id": id, "teamId": world.a2 });
            forbidden(client, "projectMove", input).await;
        }
        let stranger = world.person("other_team_admin");
        same_as_missing(stranger, "projectCreate", &world.a1, wrong).await;
        same_as_missing(stranger, "projectUpdate", &id, |id| json!({ "id": id, "name": "" })).await;
        same_as_missing(stranger, "projectBlock", &id, |id| json!({ "id": id })).await;
        same_as_missing(stranger, "projectUnblock", &id, |id| json!({ "id": id })).await;
        let answer = call(stranger, "projectCreate", wrong(&world.a1), "").await;
        answer.refused("NOT_FOUND", "input.teamId");
        let shown = masked(&answer, "-");
        for word in ["77", "999", "secret-model", "unknown", "A1", world.a1.as_str()] {
            assert!(!shown.contains(word), "{word} in {shown}");
        }
        // Who may is told what of its own input is too much, and not what there is above.
        let chief = world.person("team_admin");
        let input = json!({ "teamId": world.a1, "name": "Q",
            "modelAccess": { "mode": "LIST", "models": ["unknown"] } });
        let answer = call(chief, "projectCreate", input, "").await;
        answer.refused("LIMIT_EXCEEDED", "input.modelAccess");
        assert!(!answer.message().contains("secret-model"), "{}", answer.message());
        // A member who becomes an admin holds the role from the next request on.
        let role = |role: &str| {
            json!({ "teamId": world.a1,
            "user": { "id": world.users["member"] }, "role": role })
        };
        done(&root, "teamMemberUpdate", role("ADMIN"), "").await;
        let member = world.person("member");
        let made = project(member, &world.a1, json!({ "name": "Mine" })).await;
        done(member, "projectUpdate", json!({ "id": made, "name": "Ours" }), "").await;
        done(&root, "teamMemberUpdate", role("MEMBER"), "").await;
        forbidden(member, "projectUpdate", json!({ "id": made, "name": "Mine" })).await;
    })
    .await;
}

/// P-NEW-3, P-UPD-1, P-DEL-2, P-INFO-1: a team or a project that there is not is answered as such,
/// whatever the form of its name.
#[tokio::test]
async fn an_unknown_project_is_not_found_everywhere() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let unknown = [nobody("project"), world.a1.clone(), "none".to_owned(), String::new()];
        for id in &unknown {
            for mutation in ["projectUpdate", "projectBlock", "projectUnblock"] {
                refused(&admin, mutation, json!({ "id": id }), "NOT_FOUND", "input.id").await;
            }
            let input = json!({ "id": id, "teamId": world.a2 });
            refused(&admin, "projectMove", input, "NOT_FOUND", "input.id").await;
            let input = json!({ "ids": [id] });
            refused(&admin, "projectDelete", input, "NOT_FOUND", "input.ids.0").await;
            let query = "query($id: ID!) { project(id: $id) { id } }";
            let found = admin.run_with(query, json!({ "id": id })).await.data();
            assert_eq!(found["project"], Value::Null);
            let key = json!({ "kind": "SERVICE", "projectId": id });
            refused(&admin, "apiKeyCreate", key, "NOT_FOUND", "input.projectId").await;
        }
        for team in [nobody("team"), "none".to_owned()] {
            let input = json!({ "teamId": team, "name": "P" });
            refused(&admin, "projectCreate", input, "NOT_FOUND", "input.teamId").await;
        }
    })
    .await;
}

/// P-NEW-9, C-P4, C-P6, SECURITY case 6: a budget of another team is missing for a project, when it
/// is made and later; a budget that is shared is attached as it is, and an edit copies it.
#[tokio::test]
async fn a_budget_of_another_team_is_missing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let budget = async |team: &str| -> String {
            let input = json!({ "id": team, "budgets": [{ "create": { "maxSpend": "900" } }] });
            let selection = "team { budgets { budget { id } } }";
            let team = done(&root, "teamUpdate", input, selection).await;
            text(&team, "/team/budgets/0/budget/id")
        };
        let (foreign, sibling) = (budget(&world.b1).await, budget(&world.a2).await);
        let chief = world.person("team_admin");
        let id = project(chief, &world.a1, json!({ "name": "P" })).await;
        let attach = |budget: &str| json!([{ "attach": { "budgetId": budget } }]);
        for budget in [&foreign, &sibling] {
            let create =
                |id: &str| json!({ "teamId": world.a1, "name": "Q", "budgets": attach(id) });
            same_as_missing(chief, "projectCreate", budget, create).await;
            let change = |budget: &str| json!({ "id": id, "budgets": attach(budget) });
            same_as_missing(chief, "projectUpdate", budget, change).await;
            let edit = json!([{ "edit": { "budgetId": budget, "limits": { "maxSpend": "1" } } }]);
            let field = "input.budgets.0.edit.budgetId";
            let input = json!({ "id": id, "budgets": edit });
            refused(chief, "projectUpdate", input, "NOT_FOUND", field).await;
        }
        let field = "input.budgets.0.attach.budgetId";
        for client in [world.person("organization_admin"), &root] {
            let input = json!({ "id": id, "budgets": attach(&foreign) });
            refused(client, "projectUpdate", input, "NOT_FOUND", field).await;
        }
        let tier = json!({ "name": "Tier", "organizationId": world.a, "externalId": "tier",
            "limits": { "maxSpend": "5" } });
        done(&root, "budgetCreate", tier, "").await;
        for name in ["One", "Two"] {
            let input = json!({ "name": name, "externalId": name, "budgets": attach("tier") });
            project(&root, &world.a1, input).await;
        }
        let edit = json!([{ "edit": { "budgetId": "tier", "limits": { "maxSpend": "2" } } }]);
        let input = json!({ "id": "One", "budgets": edit });
        done(chief, "projectUpdate", input, "").await;
        let held = "{ one: project(id: \"One\") { ...B } two: project(id: \"Two\") { ...B } }
            fragment B on Project { budgets { budget { externalId maxSpend } } }";
        let held = root.data(held).await;
        let own = &held["one"]["budgets"][0]["budget"];
        assert_eq!(*own, json!({ "externalId": null, "maxSpend": "2" }));
        let kept = &held["two"]["budgets"][0]["budget"];
        assert_eq!(*kept, json!({ "externalId": "tier", "maxSpend": "5" }));
    })
    .await;
}

/// P-NEW-8, C-P12, SECURITY cases 19, 20: an external id is unique within the organization of the
/// team and free in another; of many creates at once with one id, one succeeds.
#[tokio::test]
async fn an_external_id_is_taken_once_in_an_organization() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let calls = (0..16).map(|number| {
            let client = app.admin();
            let team = [&world.a1, &world.a2][number % 2].clone();
            let input = json!({ "teamId": team, "name": "P", "externalId": "same" });
            tokio::spawn(async move { call(&client, "projectCreate", input, "").await })
        });
        let mut made = 0;
        for call in calls.collect::<Vec<_>>() {
            let answer = call.await.unwrap();
            match answer.code().as_str() {
                "" => made += 1,
                _ => answer.refused("ALREADY_EXISTS", "input.externalId"),
            }
        }
        assert_eq!(made, 1);
        let foreign = project(&root, &world.b1, json!({ "name": "P", "externalId": "same" })).await;
        assert_eq!(
            call(&root, "projectBlock", json!({ "id": "same" }), "").await.code(),
            "CONFLICT"
        );
        let query = "{ project(id: \"same\") { id } }";
        let found = world.person("other_team_admin").data(query).await;
        assert_eq!(found["project"]["id"], foreign);
        let other = project(&root, &world.a1, json!({ "name": "Q", "externalId": "q" })).await;
        let input = json!({ "id": other, "externalId": "same" });
        refused(&root, "projectUpdate", input, "ALREADY_EXISTS", "input.externalId").await;
    })
    .await;
}

/// P-UPD-5, P-UPD-7, P-UPD-8, P-UPD-9, C-P8, C-P9: what is left out stays, null clears, metadata is
/// merged, object permissions are replaced as JSON and never as text; the answer has the budgets.
#[tokio::test]
async fn absent_null_and_empty_are_three_inputs() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let full = json!({ "name": "P", "externalId": "p", "description": "d", "tags": ["t"],
            "metadata": { "a": 1, "b": { "c": 2 } }, "objectPermissions": { "m": ["x"], "n": 1 },
            "modelAccess": { "mode": "LIST", "models": ["o3"] },
            "budgets": [{ "create": { "maxSpend": "5" } }] });
        let id = project(chief, &world.a1, full).await;
        let selection = "project { name externalId description tags metadata objectPermissions
            modelAccess { mode models } budgets { budget { maxSpend } } version updatedBy }";
        let mut expected = json!({ "name": "P", "externalId": "p", "description": "d",
            "tags": ["t"], "metadata": { "a": 1, "b": { "c": 2 } },
            "objectPermissions": { "m": ["x"], "n": 1 },
            "modelAccess": { "mode": "LIST", "models": ["o3"] },
            "budgets": [{ "budget": { "maxSpend": "5" } }], "version": 1,
            "updatedBy": world.users["team_admin"] });
        let same = done(chief, "projectUpdate", json!({ "id": "p" }), selection).await;
        assert_eq!(same["project"], expected);
        for (version, (change, key, value)) in [
            (
                json!({ "metadata": { "a": null, "d": [3] } }),
                "metadata",
                json!({ "b": { "c": 2 }, "d": [3] }),
            ),
            (json!({ "objectPermissions": { "n": 2 } }), "objectPermissions", json!({ "n": 2 })),
            (json!({ "tags": [] }), "tags", json!([])),
            (json!({ "description": null }), "description", Value::Null),
            (json!({ "objectPermissions": null }), "objectPermissions", Value::Null),
            (json!({ "metadata": null }), "metadata", json!({})),
            (json!({ "externalId": null }), "externalId", Value::Null),
            (json!({ "modelAccess": null }), "modelAccess", json!({ "mode": "ALL", "models": [] })),
            (json!({ "budgets": null }), "budgets", json!([])),
            (json!({ "name": "Q" }), "name", json!("Q")),
        ]
        .into_iter()
        .enumerate()
        {
            let mut input = json!({ "id": id, "expectedVersion": version + 1 });
            input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let stale = input.clone();
            let changed = done(chief, "projectUpdate", input, selection).await;
            expected[key] = value;
            expected["version"] = json!(version + 2);
            assert_eq!(changed["project"], expected, "{change}");
            assert_eq!(call(chief, "projectUpdate", stale, "").await.code(), "CONFLICT");
        }
        let answer =
            call(chief, "projectUpdate", json!({ "id": id, "teamId": world.a2 }), "").await;
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{:#}", answer.body);
    })
    .await;
}

/// P-UPD-6, C-P5, C-P6, C-P10: budgets come to a project that had none, change in place with who
/// did it, and go with their rows; nothing is discarded in silence.
#[tokio::test]
async fn budgets_come_change_and_go() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let before = rows(app).await;
        let id = project(&app.admin(), &world.a1, json!({ "name": "P" })).await;
        let selection = "project { budgets { resetsAt budget { id maxSpend period periodChangesAt
            version createdBy updatedBy } } }";
        let budgets = json!([{ "create": { "maxSpend": "5", "period": "1d" } }]);
        let made = json!({ "id": id, "budgets": budgets });
        let made = done(chief, "projectUpdate", made, selection).await;
        let budget = text(&made, "/project/budgets/0/budget/id");
        assert_eq!(made["project"]["budgets"][0]["resetsAt"], "2026-11-22T00:00:00+00:00");
        let limits = json!({ "maxSpend": "6", "period": "1mo" });
        let edit = json!([{ "edit": { "budgetId": budget, "limits": limits } }]);
        let chief = world.person("organization_admin");
        let input = json!({ "id": id, "budgets": edit });
        let changed = done(chief, "projectUpdate", input, selection).await;
        // The window that runs is not cut short, nor put off.
        let boundary = "2026-11-22T00:00:00+00:00";
        let expected = json!([{ "resetsAt": boundary, "budget": { "id": budget,
            "maxSpend": "6", "period": "1mo", "periodChangesAt": boundary, "version": 2,
            "createdBy": world.users["team_admin"],
            "updatedBy": world.users["organization_admin"] } }]);
        assert_eq!(changed["project"]["budgets"], expected);
        done(chief, "projectUpdate", json!({ "id": id, "budgets": [] }), selection).await;
        done(chief, "projectDelete", json!({ "ids": [id] }), "").await;
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// P-INFO-1, P-LIST-1, C-P2, C-P14, SECURITY case 18: whoever belongs to the team sees its projects,
/// by every path, without what is not theirs; lists are paged, ordered, filtered and counted within
/// what the caller sees.
#[tokio::test]
async fn people_see_the_projects_of_their_teams() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = app.admin();
        let own = json!({ "name": "Beta", "externalId": "beta", "metadata": { "a": 1 },
            "objectPermissions": { "b": 2 }, "budgets": [{ "create": { "maxSpend": "1" } }] });
        let id = project(&root, &world.a1, own).await;
        for (team, name) in [(&world.a1, "alpha"), (&world.a2, "gamma"), (&world.b1, "delta")] {
            project(&root, team, json!({ "name": name })).await;
        }
        let list = "{ projects { totalCount nodes { name } } }";
        for (person, names) in [
            ("member", vec!["alpha", "Beta"]),
            ("viewer", vec!["alpha", "Beta"]),
            ("service", vec!["alpha", "Beta"]),
            ("team_admin", vec!["alpha", "Beta"]),
            ("other_team_admin", vec!["delta"]),
            ("outsider", vec![]),
            ("organization_admin", vec!["alpha", "Beta", "gamma"]),
            ("platform_viewer", vec!["alpha", "Beta", "delta", "gamma"]),
            ("platform_admin", vec!["alpha", "Beta", "delta", "gamma"]),
        ] {
            let client = world.person(person);
            let data = client.data(list).await;
            let nodes = data["projects"]["nodes"].as_array().unwrap();
            let found: Vec<_> = nodes.iter().map(|node| node["name"].as_str().unwrap()).collect();
            assert_eq!(found, names, "{person}");
            assert_eq!(data["projects"]["totalCount"], names.len());
            let sees = names.contains(&"Beta");
            let query = "query($id: ID!, $t: ID!) {
                project(id: $id) { ...P } node(id: $id) { ...P }
                team(id: $t) { projects { totalCount nodes { id } } }
                byTeam: projects(filter: { teamIds: [$t], search: \"BET\" }) { nodes { id } } }
                fragment P on Project { id metadata objectPermissions budgets { spent }
                    viewerCan(permission: PROJECT_UPDATE) team { name } }";
            let data = client.run_with(query, json!({ "id": id, "t": world.a1 })).await.data();
            assert_eq!(data["project"], data["node"]);
            if !sees {
                assert_eq!(data["project"], Value::Null);
                assert_eq!(data["team"], Value::Null);
                assert_eq!(data["byTeam"]["nodes"], json!([]));
                continue;
            }
            assert_eq!(data["byTeam"]["nodes"], json!([{ "id": id }]));
            assert_eq!(data["team"]["projects"]["totalCount"], 2);
            assert_eq!(data["project"]["team"]["name"], "A1");
            let detailed = !["member", "viewer", "service"].contains(&person);
            for (field, value) in [
                ("metadata", json!({ "a": 1 })),
                ("objectPermissions", json!({ "b": 2 })),
                ("budgets", json!([{ "spent": "0" }])),
            ] {
                let value = if detailed { value } else { Value::Null };
                assert_eq!(data["project"][field], value, "{person} {field}");
            }
            let may = detailed && person != "platform_viewer";
            assert_eq!(data["project"]["viewerCan"], may, "{person}");
        }
        let mut after = Value::Null;
        let mut walked = Vec::new();
        loop {
            let query = "query($after: String) { projects(first: 1, after: $after,
                orderBy: { field: NAME, direction: DESC }) {
                nodes { name } pageInfo { endCursor hasNextPage } } }";
            let data = root.run_with(query, json!({ "after": after })).await.data();
            walked.push(text(&data, "/projects/nodes/0/name"));
            after = data["projects"]["pageInfo"]["endCursor"].clone();
            if data["projects"]["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(walked, ["gamma", "delta", "Beta", "alpha"]);
        let many = vec![world.a1.clone(); 101];
        let query = "query($ids: [ID!]) { projects(filter: { teamIds: $ids }) { nodes { id } } }";
        let answer = root.run_with(query, json!({ "ids": many })).await;
        answer.refused("BAD_USER_INPUT", "filter.teamIds");
    })
    .await;
}

/// C-P15, C-P13, SECURITY case 22: a blocked project shuts out its keys at once, and theirs alone;
/// what a higher level blocked, a lower level cannot unblock.
#[tokio::test]
async fn a_blocked_project_shuts_out_its_keys_at_once() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (chief, head) = (world.person("team_admin"), world.person("organization_admin"));
        let id = project(chief, &world.a1, json!({ "name": "P" })).await;
        let mut clients = Vec::new();
        for input in [
            json!({ "kind": "SERVICE", "projectId": id }),
            json!({ "userId": world.users["member"], "teamId": world.a1, "projectId": id }),
            json!({ "kind": "SERVICE", "teamId": world.a1 }),
        ] {
            let (_, secret) = api_key(&app.admin(), input).await;
            clients.push(app.with_key(Some(&secret)));
        }
        let query = "{ viewer { kind } }";
        let statuses = async || {
            let mut statuses = Vec::new();
            for client in &clients {
                statuses.push(client.run(query).await.status);
            }
            statuses
        };
        assert_eq!(statuses().await, [200, 200, 200]);
        let input = json!({ "id": id });
        let level = "project { isBlocked blockedBy version }";
        for (client, by, version) in [
            (chief, "TEAM", 2),
            (head, "ORGANIZATION", 3),
            (&app.admin(), "PLATFORM", 4),
            (chief, "PLATFORM", 4),
        ] {
            let blocked = done(client, "projectBlock", input.clone(), level).await;
            let expected = json!({ "isBlocked": true, "blockedBy": by, "version": version });
            assert_eq!(blocked["project"], expected);
        }
        assert_eq!(statuses().await, [401, 401, 200]);
        let blocked = clients[0].run(query).await;
        let unknown = app.with_key(Some("sk-svc_nonsense")).run(query).await;
        assert_eq!(masked(&blocked, "-"), masked(&unknown, "-"));
        for client in [chief, head] {
            assert_eq!(call(client, "projectUnblock", input.clone(), "").await.code(), "CONFLICT");
        }
        let filter = "{ projects(filter: { isBlocked: true }) { nodes { id } } }";
        assert_eq!(chief.data(filter).await["projects"]["nodes"], json!([{ "id": id }]));
        for _ in 0..2 {
            let freed = done(&app.admin(), "projectUnblock", input.clone(), level).await;
            let expected = json!({ "isBlocked": false, "blockedBy": null, "version": 5 });
            assert_eq!(freed["project"], expected);
        }
        assert_eq!(statuses().await, [200, 200, 200]);
        done(head, "projectBlock", input.clone(), "").await;
        assert_eq!(call(chief, "projectUnblock", input.clone(), "").await.code(), "CONFLICT");
        done(head, "projectUnblock", input, "").await;
    })
    .await;
}
