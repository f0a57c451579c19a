//! Organizations: made, read, changed and deleted, by whom, and with what.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, join_organization, organization, user_of};
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::{assert_no_orphans, change, done, is_known, read, rows};
use crate::team_calls::{create, events, masked, nobody};

const EVERYTHING: &str = "id externalId name metadata modelAccess { mode models }
    budgets { spent budget { maxSpend organization { name } } } teams { totalCount nodes { name } }
    members { totalCount nodes { role user { name email } } } version createdBy updatedBy";

async fn shown(client: &Client, id: &str, selection: &str) -> Value {
    let query = format!("query($id: ID!) {{ organization(id: $id) {{ {selection} }} }}");
    client.run_with(&query, json!({ "id": id })).await.data()["organization"].clone()
}

async fn set(client: &Client, id: &str, with: Value) -> crate::harness::Answer {
    let mut input = json!({ "id": id });
    input.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    change(client, "organizationUpdate", input, "organization { version }").await
}

fn capped(max_spend: &str) -> Value {
    json!([{ "create": { "maxSpend": max_spend } }])
}

/// SECURITY 3, "organization create", case 19, D24: the platform's admins make organizations, with
/// everything that one has; what is left out has plain defaults; external ids are the platform's.
#[tokio::test]
async fn an_organization_has_what_the_platform_gave_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let input = json!({
            "name": "Gamma", "externalId": "gamma", "metadata": { "floor": 3 },
            "modelAccess": { "mode": "LIST", "models": ["gpt-*"] }, "budgets": capped("100"),
        });
        let selection = format!("organization {{ {EVERYTHING} }}");
        let made = done(root, "organizationCreate", input, &selection).await;
        let made = &made["organization"];
        let me = &world.users["platform_admin"];
        let expected = json!({
            "id": made["id"], "externalId": "gamma", "name": "Gamma", "metadata": { "floor": 3 },
            "modelAccess": { "mode": "LIST", "models": ["gpt-*"] },
            "budgets": [{ "spent": "0", "budget": { "maxSpend": "100",
                "organization": { "name": "Gamma" } } }],
            "teams": { "totalCount": 0, "nodes": [] },
            "members": { "totalCount": 0, "nodes": [] },
            "version": 1, "createdBy": me, "updatedBy": me,
        });
        assert_eq!(*made, expected);
        assert_eq!(shown(root, "gamma", EVERYTHING).await, expected);
        let made = events(app, 3).await;
        let created = made.iter().find(|event| event["action"] == "ORGANIZATION_CREATED").unwrap();
        assert_eq!(created["subjectId"], expected["id"]);
        assert_eq!(created["organizationId"], expected["id"]);
        assert_eq!(created["after"]["name"], "Gamma");

        let plain = done(root, "organizationCreate", json!({ "name": "Plain" }), &selection).await;
        let plain = &plain["organization"];
        assert_eq!(plain["externalId"], Value::Null);
        assert_eq!(plain["metadata"], json!({}));
        assert_eq!(plain["modelAccess"], json!({ "mode": "ALL", "models": [] }));
        assert_eq!(plain["budgets"], json!([]));

        let before = rows(app, "organizations").await + rows(app, "budgets").await;
        for (input, code, field) in [
            (json!({ "name": "" }), "BAD_USER_INPUT", "input.name"),
            (json!({ "name": "N", "externalId": "a b" }), "BAD_USER_INPUT", "input.externalId"),
            (json!({ "name": "N", "externalId": "gamma" }), "ALREADY_EXISTS", "input.externalId"),
            (json!({ "name": "N", "metadata": [] }), "BAD_USER_INPUT", "input.metadata"),
            (
                json!({ "name": "N", "modelAccess": { "mode": "LIST" } }),
                "BAD_USER_INPUT",
                "input.modelAccess",
            ),
            (
                json!({ "name": "N", "budgets": capped("-1") }),
                "BAD_USER_INPUT",
                "input.budgets.0.create.maxSpend",
            ),
        ] {
            let answer = change(root, "organizationCreate", input, "organization { id }").await;
            answer.refused(code, field);
        }
        for name in ["platform_viewer", "organization_admin", "team_admin", "member", "outsider"] {
            let input = json!({ "name": "" });
            let answer = change(world.person(name), "organizationCreate", input, "__typename");
            answer.await.refused("FORBIDDEN", "-");
        }
        assert_eq!(rows(app, "organizations").await + rows(app, "budgets").await, before);
    })
    .await;
}

/// SECURITY 3, "organization read", case 18: admins see all of theirs, people in its teams a redacted
/// view, strangers nothing; on every path.
#[tokio::test]
async fn an_organization_is_read_as_far_as_one_may() {
    on_each_database(async |app| {
        let mut world = World::new(app).await;
        world.bind_a_platform_admin(app).await;
        let with = json!({ "metadata": { "secret": 1 }, "budgets": capped("9") });
        set(&app.admin(), &world.a, with).await.data();
        for name in ["organization_admin", "platform_viewer", "platform_admin"] {
            let seen = shown(world.person(name), &world.a, EVERYTHING).await;
            assert_eq!(seen["metadata"], json!({ "secret": 1 }), "{name}");
            assert_eq!(seen["budgets"][0]["budget"]["maxSpend"], "9", "{name}");
            assert_eq!(seen["teams"]["totalCount"], 2, "{name}");
            assert_eq!(seen["members"]["totalCount"], 4, "{name}");
            let admin = json!({ "role": "ADMIN", "user": { "name": "organization_admin",
                "email": "organization_admin@example.com" } });
            assert!(seen["members"]["nodes"].as_array().unwrap().contains(&admin), "{name}");
        }
        for name in ["team_admin", "member", "viewer"] {
            let seen = shown(world.person(name), &world.a, EVERYTHING).await;
            assert_eq!(seen["name"], "Alpha");
            assert_eq!(seen["modelAccess"]["mode"], "ALL");
            assert_eq!((&seen["metadata"], &seen["budgets"]), (&Value::Null, &Value::Null));
            assert_eq!(seen["teams"]["nodes"], json!([{ "name": "A1" }]));
            let own = format!("{name}@example.com");
            let own = json!([{ "role": "MEMBER", "user": { "name": name, "email": own } }]);
            assert_eq!(seen["members"]["nodes"], own, "{name}");
            assert_eq!(seen["members"]["totalCount"], 1);
        }
        // A key that belongs to a team sees the organization, and nobody in it.
        let bound = shown(world.person("team_key"), &world.a, EVERYTHING).await;
        assert_eq!(bound["members"]["totalCount"], 0);
        assert_eq!(bound["metadata"], Value::Null);
        let query = "query($id: ID!) { organization(id: $id) { id } node(id: $id) { id } }";
        for (name, id) in [
            ("outsider", &world.a),
            ("organization_admin", &world.b),
            ("other_team_admin", &world.a),
        ] {
            let person = world.person(name);
            let answer = person.run_with(query, json!({ "id": id })).await;
            let missing = person.run_with(query, json!({ "id": nobody("org") })).await;
            assert_eq!(masked(&answer, id), masked(&missing, &nobody("org")), "{name}");
        }
        let can = "viewerCan(permission: ORGANIZATION_UPDATE)";
        assert_eq!(
            shown(world.person("organization_admin"), &world.a, can).await["viewerCan"],
            true
        );
        assert_eq!(shown(world.person("member"), &world.a, can).await["viewerCan"], false);
        let can = "viewerCan(permission: ORGANIZATION_READ)";
        assert_eq!(shown(world.person("member"), &world.a, can).await["viewerCan"], true);
    })
    .await;
}

/// SECURITY case 18: a membership is a node of its own, for those who see it in its organization.
#[tokio::test]
async fn a_membership_is_found_by_its_id_by_those_who_see_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let members = "members { nodes { id user { id } } }";
        let seen = shown(world.person("organization_admin"), &world.a, members).await;
        let nodes = seen["members"]["nodes"].as_array().unwrap();
        let own = nodes.iter().find(|node| node["user"]["id"] == world.users["member"]).unwrap();
        let query = "query($id: ID!) { node(id: $id) { id
            ... on OrganizationMembership { role organization { name } user { name } } } }";
        let node = json!({ "id": own["id"], "role": "MEMBER", "organization": { "name": "Alpha" },
            "user": { "name": "member" } });
        for (name, expected) in [
            ("organization_admin", node.clone()),
            ("member", node.clone()),
            ("platform_viewer", node),
            ("team_admin", Value::Null),
            ("other_team_admin", Value::Null),
        ] {
            let found = world.person(name).run_with(query, json!({ "id": own["id"] })).await;
            assert_eq!(found.data()["node"], expected, "{name}");
        }
    })
    .await;
}

/// SECURITY 3, "organization update": its admins change name and metadata, the platform's the
/// limits and the external id too. Absent, null and empty are three inputs.
#[tokio::test]
async fn an_organizations_admin_changes_name_and_metadata_alone() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, own) = (world.person("platform_admin"), world.person("organization_admin"));
        let with = json!({ "name": "Alef", "metadata": { "a": 1, "b": 2 }, "expectedVersion": 1 });
        set(own, &world.a, with).await.data();
        set(own, &world.a, json!({ "metadata": { "a": null, "c": 3 } })).await.data();
        let seen = shown(own, &world.a, "name metadata version externalId updatedBy").await;
        let me = &world.users["organization_admin"];
        let expected = json!({ "name": "Alef", "metadata": { "b": 2, "c": 3 }, "version": 3,
            "externalId": "alpha", "updatedBy": me });
        assert_eq!(seen, expected);
        set(own, &world.a, json!({ "name": "Alef" })).await.data();
        assert_eq!(shown(own, &world.a, "version").await["version"], 3);
        for with in [
            json!({ "budgets": capped("1") }),
            json!({ "budgets": null }),
            json!({ "modelAccess": { "mode": "NONE" } }),
            json!({ "modelAccess": null }),
            json!({ "externalId": "other" }),
            json!({ "externalId": null, "name": "N" }),
        ] {
            set(own, &world.a, with).await.refused("FORBIDDEN", "-");
        }
        set(own, &world.b, json!({ "name": "N" })).await.refused("NOT_FOUND", "input.id");
        for name in ["team_admin", "member", "platform_viewer"] {
            let answer = set(world.person(name), &world.a, json!({ "name": "N" })).await;
            answer.refused("FORBIDDEN", "-");
        }
        set(own, &world.a, json!({ "name": null })).await.refused("BAD_USER_INPUT", "input.name");
        set(own, &world.a, json!({ "name": "N", "expectedVersion": 2 }))
            .await
            .refused("CONFLICT", "-");
        set(root, &world.a, json!({ "externalId": "beta" }))
            .await
            .refused("ALREADY_EXISTS", "input.externalId");
        assert_eq!(
            shown(own, &world.a, "name version").await,
            json!({ "name": "Alef", "version": 3 })
        );

        let with = json!({ "budgets": capped("5"), "externalId": null,
            "modelAccess": { "mode": "LIST", "models": ["o3"] }, "metadata": null });
        set(root, &world.a, with).await.data();
        let selection =
            "externalId metadata modelAccess { mode models } budgets { budget { maxSpend } }";
        let expected = json!({ "externalId": null, "metadata": {},
            "modelAccess": { "mode": "LIST", "models": ["o3"] },
            "budgets": [{ "budget": { "maxSpend": "5" } }] });
        assert_eq!(shown(own, &world.a, selection).await, expected);
        set(root, &world.a, json!({ "budgets": null, "modelAccess": null })).await.data();
        let seen = shown(own, &world.a, selection).await;
        assert_eq!(seen["budgets"], json!([]));
        assert_eq!(seen["modelAccess"]["mode"], "ALL");
        let latest = events(app, 3).await;
        assert!(latest.iter().all(|event| event["organizationId"] == world.a));
        let query = "{ auditEvents(filter: { actions: [ORGANIZATION_UPDATED] }) { totalCount } }";
        assert_eq!(read(own, query).await["totalCount"], 4);
    })
    .await;
}

/// DESIGN 3, T-UPD-12, C-T16: what would exceed lowered limits is named, or lowered with them: teams,
/// members and keys alike.
#[tokio::test]
async fn lowering_an_organization_refuses_or_lowers_what_is_below() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let access = json!({ "mode": "LIST", "models": ["gpt-4o", "o3"] });
        let member = json!({ "user": { "id": world.users["member"] }, "budgets": capped("8"),
            "modelAccess": access });
        let input = json!({ "name": "T", "organizationId": world.a, "budgets": capped("10"),
            "modelAccess": access, "members": [member] });
        let team = create(root, input).await;
        let input = json!({ "teamId": team, "kind": "SERVICE", "budgets": capped("7"),
            "modelAccess": { "mode": "LIST", "models": ["o3"] } });
        let (key, _) = api_key(root, input).await;
        for with in [
            json!({ "budgets": capped("5") }),
            json!({ "modelAccess": { "mode": "LIST", "models": ["gpt-*"] } }),
        ] {
            let answer = set(root, &world.a, with).await;
            answer.refused("CONFLICT", "-");
            let ids = answer.body["errors"][0]["extensions"]["ids"].as_array().unwrap().clone();
            assert_eq!(ids.len(), 3, "{ids:?}");
            assert!(ids.contains(&json!(team)) && ids.contains(&json!(key)));
        }
        assert_eq!(shown(root, &world.a, "version").await["version"], 1);
        let with = json!({ "cascade": "CLAMP", "budgets": capped("5"),
            "modelAccess": { "mode": "LIST", "models": ["gpt-*"] } });
        set(root, &world.a, with).await.data();
        let selection = "modelAccess { mode models } budgets { budget { maxSpend } }";
        let query = format!(
            "{{ team(id: \"{team}\") {{ {selection} members {{ nodes {{ {selection} }} }}
                apiKeys {{ nodes {{ {selection} }} }} }} }}"
        );
        let seen = read(root, &query).await;
        let five = json!([{ "budget": { "maxSpend": "5" } }]);
        for (at, mode) in [("", "LIST"), ("/members/nodes/0", "LIST"), ("/apiKeys/nodes/0", "NONE")]
        {
            let seen = seen.pointer(at).unwrap();
            assert_eq!(seen["budgets"], five, "{at}");
            assert_eq!(seen["modelAccess"]["mode"], mode, "{at}");
        }
        let input = json!({ "name": "T", "organizationId": world.a, "budgets": capped("6") });
        let answer = change(root, "teamCreate", input, "team { id }").await;
        answer.refused("LIMIT_EXCEEDED", "input.budgets.maxSpend");
    })
    .await;
}

/// SECURITY cases 18, 29: lists, counts and filters are over what one sees; a search is literal.
#[tokio::test]
async fn a_list_of_organizations_is_filtered_within_what_the_caller_sees() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let odd = organization(app, "100%").await;
        join_organization(app, &odd, &world.users["outsider"], "MEMBER").await;
        let names = async |name: &str, filter: Value| {
            let query =
                "query($f: OrganizationFilter) { organizations(filter: $f, orderBy: { field: NAME,
                direction: DESC }) { totalCount nodes { name } } }";
            let data = world.person(name).run_with(query, json!({ "f": filter })).await.data();
            let list = &data["organizations"];
            let nodes = list["nodes"].as_array().unwrap();
            assert_eq!(list["totalCount"], nodes.len());
            nodes.iter().map(|node| text(node, "/name")).collect::<Vec<_>>()
        };
        assert_eq!(names("platform_viewer", Value::Null).await, ["Beta", "Alpha", "100%"]);
        for (name, expected) in [
            ("organization_admin", "Alpha"),
            ("member", "Alpha"),
            ("other_team_admin", "Beta"),
            ("outsider", "100%"),
        ] {
            assert_eq!(names(name, Value::Null).await, [expected], "{name}");
        }
        for (search, found) in [("%", 1), ("_", 0), ("ALPH", 1), ("a", 2), ("100%", 1)] {
            let filter = json!({ "search": search });
            assert_eq!(names("platform_admin", filter).await.len(), found, "{search}");
        }
        let of = |user: &str| json!({ "memberUserId": world.users[user] });
        assert_eq!(names("platform_admin", of("member")).await, ["Alpha"]);
        assert_eq!(names("organization_admin", of("viewer")).await, ["Alpha"]);
        assert_eq!(names("member", of("member")).await, ["Alpha"]);
        // Who belongs to the organization is not for its plain members to find out.
        assert!(names("member", of("viewer")).await.is_empty());
        assert!(names("organization_admin", of("outsider")).await.is_empty());
        let long = json!({ "search": "x".repeat(257) });
        let query = "query($f: OrganizationFilter) { organizations(filter: $f) { totalCount } }";
        let answer = app.admin().run_with(query, json!({ "f": long })).await;
        answer.refused("BAD_USER_INPUT", "filter.search");
        let service = world.person("service").run("{ organizations { totalCount } }").await;
        service.refused("FORBIDDEN", "-");
    })
    .await;
}

async fn people_of(app: &TestApp, organization: &str) -> i64 {
    let id = crate::steps::sql_id(app, organization);
    rows(app, &format!("users WHERE organization_id = {id}")).await
}

/// SECURITY cases 21, 23, D24: organizations go with everything in them, all of a list or none; keys of
/// their teams stop, people stay and are the platform's, and the trail has it all.
#[tokio::test]
async fn an_organization_is_deleted_with_everything_in_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let limits = json!({ "maxSpend": "3" });
        let tier = json!({ "name": "Tier", "organizationId": world.a, "externalId": "tier",
            "limits": limits });
        let tier = done(root, "budgetCreate", tier, "budget { id }").await;
        let attach = json!([{ "attach": { "budgetId": tier["budget"]["id"] } }]);
        set(root, &world.a, json!({ "budgets": capped("9") })).await.data();
        let input = json!({ "id": world.a1, "budgets": attach });
        done(root, "teamUpdate", input, "__typename").await;
        let member = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "budgets": capped("1") });
        done(root, "teamMemberUpdate", member, "__typename").await;
        let alias = json!({ "teamId": world.a1, "alias": "fast", "target": "gpt-4o" });
        done(root, "teamModelAliasSet", alias, "__typename").await;
        let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "k" });
        let (_, secret) = api_key(root, input).await;
        let in_team = app.with_key(Some(&secret));
        assert!(is_known(&in_team).await && is_known(world.person("service")).await);
        assert_eq!(people_of(app, &world.a).await, 4);

        let before = rows(app, "teams").await + rows(app, "organization_memberships").await;
        for (ids, field) in [
            (json!([world.a, nobody("org")]), "input.ids.1"),
            (json!([nobody("org"), world.a]), "input.ids.0"),
        ] {
            let answer = change(root, "organizationDelete", json!({ "ids": ids }), "deletedIds");
            answer.await.refused("NOT_FOUND", field);
        }
        let many = vec!["x"; 101];
        for ids in [json!([]), json!(many)] {
            let answer = change(root, "organizationDelete", json!({ "ids": ids }), "deletedIds");
            answer.await.refused("BAD_USER_INPUT", "input.ids");
        }
        let stale = json!({ "ids": [world.a], "expectedVersion": 1 });
        let answer = change(root, "organizationDelete", stale, "deletedIds").await;
        answer.refused("CONFLICT", "-");
        for name in ["organization_admin", "team_admin", "platform_viewer", "outsider"] {
            let input = json!({ "ids": [world.a] });
            let answer = change(world.person(name), "organizationDelete", input, "deletedIds");
            answer.await.refused("FORBIDDEN", "-");
        }
        let after = rows(app, "teams").await + rows(app, "organization_memberships").await;
        assert_eq!(after, before);

        let selection = "deletedIds deletedTeamCount deletedMembershipCount deletedApiKeyCount
            releasedUserCount";
        let input = json!({ "ids": ["alpha", world.a] });
        let gone = done(root, "organizationDelete", input, selection).await;
        let expected = json!({ "deletedIds": [world.a], "deletedTeamCount": 2,
            "deletedMembershipCount": 3, "deletedApiKeyCount": 2, "releasedUserCount": 4 });
        assert_eq!(gone, expected);
        assert!(!is_known(&in_team).await && !is_known(world.person("service")).await);
        assert_no_orphans(app).await;
        for table in ["model_aliases", "budgets", "budget_assignments", "organization_memberships"]
        {
            assert_eq!(rows(app, table).await, 0, "{table}");
        }
        assert_eq!(rows(app, "teams").await, 1);
        // People stay, with their personal keys, and nobody but the platform has power over them.
        let own = world.person("organization_admin");
        let query = "{ viewer { user { organization { id } } } }";
        assert_eq!(read(own, query).await["user"], json!({ "organization": null }));
        let input = json!({ "id": world.users["member"], "name": "N" });
        let answer = change(own, "userUpdate", input, "user { id }").await;
        answer.refused("NOT_FOUND", "input.id");
        let latest = events(app, 40).await;
        let count = |action: &str| latest.iter().filter(|event| event["action"] == action).count();
        for (action, expected) in [
            ("ORGANIZATION_DELETED", 1),
            ("TEAM_DELETED", 2),
            ("TEAM_MEMBER_REMOVED", 3),
            ("ORGANIZATION_MEMBER_REMOVED", 4),
            ("API_KEY_DELETED", 2),
            ("BUDGET_DELETED", 3),
        ] {
            assert_eq!(count(action), expected, "{action}");
        }
        let released: Vec<_> = latest
            .iter()
            .filter(|event| event["action"] == "USER_UPDATED")
            .filter(|event| event["before"]["organization_id"] == *world.a)
            .collect();
        assert_eq!(released.len(), 4);
        assert!(released.iter().all(|event| event["after"]["organization_id"] == Value::Null));
        assert!(released.iter().all(|event| event["organizationId"] == *world.a));
        // The names are free again.
        let again = organization(app, "Alpha").await;
        user_of(root, "again", "USER", Some(&again)).await;
    })
    .await;
}
