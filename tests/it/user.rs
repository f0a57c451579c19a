//! Users: who makes them, who sees what of them, who has power over them.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{self, World, api_key};
use crate::steps::{assert_no_orphans, change, done, is_known, read, rows};

const ALL: &str = "user { id externalId email name isPending platformRole isBlocked blockedBy \
                   version metadata createdBy modelAccess { mode models } \
                   budgets { counting budget { maxSpend period isStandalone } } }";

/// E 7, E 45: what is written reads back, field by field, and is in the audit trail.
#[tokio::test]
async fn a_user_reads_back_as_it_was_made() {
    on_each_database(async |app| {
        let admin = app.admin();
        let input = json!({
            "externalId": "hr-7", "email": "Ada@Example.com", "name": "Ada", "metadata": { "a": 1 },
            "platformRole": "VIEWER", "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] },
            "budgets": [{ "create": { "maxSpend": "12.5", "period": "1d" } }],
        });
        let made = done(&admin, "userCreate", input, ALL).await["user"].clone();
        let id = text(&made, "/id");
        let budget = json!({ "maxSpend": "12.5", "period": "1d", "isStandalone": false });
        let wanted = json!({
            "id": id, "externalId": "hr-7", "email": "Ada@Example.com", "name": "Ada",
            "isPending": false, "platformRole": "VIEWER", "isBlocked": false, "blockedBy": null,
            "version": 1, "metadata": { "a": 1 }, "createdBy": "bootstrap",
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] },
            "budgets": [{ "counting": "EACH", "budget": budget }],
        });
        assert_eq!(made, wanted);
        let fields = ALL.strip_prefix("user ").unwrap();
        for query in [
            format!("{{ user(id: \"{id}\") {fields} }}"),
            format!("{{ user(id: \"hr-7\") {fields} }}"),
            format!("{{ node(id: \"{id}\") {{ ... on User {fields} }} }}"),
        ] {
            assert_eq!(read(&admin, &query).await, wanted, "{query}");
        }
        let query = format!(
            "{{ auditEvents(filter: {{ subjectId: \"{id}\" }}) {{ nodes {{ action before }} }} }}"
        );
        let events = read(&admin, &query).await;
        assert_eq!(events["nodes"], json!([{ "action": "USER_CREATED", "before": null }]));
    })
    .await;
}

/// SECURITY 3, "user create": organization admins make users of their organization, nobody below
/// makes any.
#[tokio::test]
async fn organization_admins_make_users_of_their_organization_and_nobody_below_makes_any() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let input = |organization: Option<&String>| json!({ "name": "New", "organizationId": organization });
        let made = done(own, "userCreate", input(Some(&world.a)), "user { id platformRole }").await;
        assert_eq!(made["user"]["platformRole"], "USER");
        let query = format!("{{ user(id: \"{}\") {{ name }} }}", text(&made, "/user/id"));
        assert_eq!(read(own, &query).await["name"], "New");
        let before = rows(app, "users").await;
        change(own, "userCreate", input(None), "user { id }").await.refused("FORBIDDEN", "-");
        let elsewhere = change(own, "userCreate", input(Some(&world.b)), "user { id }").await;
        elsewhere.refused("NOT_FOUND", "input.organizationId");
        for name in
            ["service", "gateway", "outsider", "viewer", "member", "team_admin", "platform_viewer"]
        {
            let person = world.person(name);
            let answer = change(person, "userCreate", input(Some(&world.a)), "user { id }").await;
            assert_eq!(answer.code(), "FORBIDDEN", "{name}: {:#}", answer.body);
        }
        assert_eq!(rows(app, "users").await, before);
    })
    .await;
}

/// E 30: whoever grants a role, a limit or an external id holds the permission for it.
#[tokio::test]
async fn role_grants_are_bounded_by_the_grantor() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        for more in [
            json!({ "platformRole": "ADMIN" }),
            json!({ "platformRole": "VIEWER" }),
            json!({ "externalId": "mine" }),
            json!({ "modelAccess": { "mode": "ALL" } }),
            json!({ "budgets": [{ "create": { "maxSpend": "1" } }] }),
        ] {
            let mut create = json!({ "name": "New", "organizationId": world.a });
            create.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = change(own, "userCreate", create, "user { id }").await;
            assert_eq!(answer.message(), "this needs the permission USER_LIMIT_UPDATE", "{more}");
            for name in ["member", "organization_admin"] {
                let mut update = json!({ "id": world.users[name] });
                update.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let answer = change(own, "userUpdate", update, "user { id }").await;
                assert_eq!(answer.code(), "FORBIDDEN", "{name} {more}");
                assert_eq!(
                    answer.body["errors"][0]["extensions"]["permission"],
                    "USER_LIMIT_UPDATE"
                );
            }
        }
        let input =
            json!({ "name": "V", "organizationId": world.a, "platformRole": "USER_VIEWER" });
        done(own, "userCreate", input, "user { id }").await;
        assert_eq!(rows(app, "users WHERE external_id = 'mine'").await, 0);
    })
    .await;
}

/// SECURITY case 8 (CVE-2026-47102): the own name, address and metadata, and nothing that gives
/// rights.
#[tokio::test]
async fn one_changes_ones_own_name_and_nothing_that_gives_rights() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        for name in ["member", "viewer", "outsider"] {
            let (me, id) = (world.person(name), &world.users[name]);
            let email = format!("New.{name}@example.com");
            let input = json!({ "id": id, "name": "Renamed", "email": email, "metadata": { "k": 1 } });
            let user = done(me, "userUpdate", input, "user { name email metadata }").await;
            let wanted = json!({ "name": "Renamed", "email": email, "metadata": { "k": 1 } });
            assert_eq!(user["user"], wanted, "{name}");
            for more in [
                json!({ "platformRole": "ADMIN" }),
                json!({ "externalId": "mine" }),
                json!({ "modelAccess": { "mode": "ALL" } }),
                json!({ "modelAccess": null }),
                json!({ "budgets": [] }),
                json!({ "budgets": null }),
            ] {
                let mut input = json!({ "id": id, "name": "Not so" });
                input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let answer = change(me, "userUpdate", input, "user { id }").await;
                assert_eq!(answer.code(), "FORBIDDEN", "{name} {more}");
            }
            for field in ["role", "orgRole", "teamId", "spend", "budgetResetAt", "createdBy", "isBlocked"] {
                let query = format!(
                    "mutation {{ userUpdate(input: {{ id: \"{id}\", {field}: \"x\" }}) {{ user {{ id }} }} }}"
                );
                assert_eq!(me.run(&query).await.code(), "GRAPHQL_VALIDATION_FAILED", "{field}");
            }
            let query = format!("{{ user(id: \"{id}\") {{ name platformRole version }} }}");
            let user = read(&app.admin(), &query).await;
            let role = if name == "viewer" { "USER_VIEWER" } else { "USER" };
            assert_eq!(user, json!({ "name": "Renamed", "platformRole": role, "version": 2 }));
        }
    })
    .await;
}

/// SECURITY 3, "user update": nobody renames people over whom they have no power.
#[tokio::test]
async fn nobody_changes_people_over_whom_they_have_no_power() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        for (name, other, code) in [
            ("member", "team_admin", "FORBIDDEN"),
            ("team_admin", "member", "FORBIDDEN"),
            ("platform_viewer", "member", "FORBIDDEN"),
            ("member", "outsider", "NOT_FOUND"),
            ("outsider", "member", "NOT_FOUND"),
            ("organization_admin", "other_team_admin", "NOT_FOUND"),
            ("organization_admin", "platform_admin", "NOT_FOUND"),
        ] {
            let input = json!({ "id": world.users[other], "name": "Changed" });
            let answer = change(world.person(name), "userUpdate", input, "user { id }").await;
            assert_eq!(answer.code(), code, "{name} {other}");
            for field in ["userBlock", "userUnblock"] {
                let input = json!({ "id": world.users[other] });
                let answer = change(world.person(name), field, input, "user { id }").await;
                // Who may do it nowhere is refused at the door, whomever it concerns.
                let code = if name == "organization_admin" { code } else { "FORBIDDEN" };
                assert_eq!(answer.code(), code, "{field} {name} {other}");
            }
        }
        assert_eq!(rows(app, "users WHERE name = 'Changed'").await, 0);
    })
    .await;
}

/// SECURITY 3, field law: addresses, metadata and budgets of others are for those above.
#[tokio::test]
async fn members_see_each_other_without_addresses_metadata_and_budgets() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let id = &world.users["member"];
        let budgets = json!([{ "create": { "maxSpend": "5" } }]);
        let input = json!({ "id": id, "metadata": { "desk": 4 }, "budgets": budgets });
        done(&app.admin(), "userUpdate", input, "user { id }").await;
        let query = format!(
            "{{ user(id: \"{id}\") {{ name email platformRole modelAccess {{ mode }} metadata
                budgets {{ id }} }} }}"
        );
        for (name, contact, details, budgets) in [
            ("viewer", false, false, false),
            ("team_admin", true, false, false),
            ("organization_admin", true, true, false),
            ("member", true, true, true),
            ("platform_viewer", true, true, true),
            ("platform_admin", true, true, true),
        ] {
            let user = read(world.person(name), &query).await;
            assert_eq!(user["name"], "member", "{name}");
            assert_eq!(!user["email"].is_null(), contact, "{name}: {user}");
            for field in ["platformRole", "modelAccess", "metadata"] {
                assert_eq!(!user[field].is_null(), details, "{name} {field}: {user}");
            }
            assert_eq!(!user["budgets"].is_null(), budgets, "{name}: {user}");
        }
        for name in ["outsider", "other_team_admin"] {
            assert_eq!(read(world.person(name), &query).await, Value::Null, "{name}");
        }
    })
    .await;
}

/// SECURITY 3, "user read / list"; E 32: a list holds and counts those whom one may see.
#[tokio::test]
async fn a_list_of_users_holds_and_counts_those_whom_one_may_see() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let query = "{ users { totalCount nodes { name } } }";
        let team = ["member", "team_admin", "viewer"];
        let organization = ["member", "organization_admin", "team_admin", "viewer"];
        for (name, seen) in [
            ("outsider", &["outsider"][..]),
            ("other_team_admin", &["other_team_admin"]),
            ("viewer", &team),
            ("member", &team),
            ("team_admin", &team),
            ("organization_admin", &organization),
        ] {
            let users = read(world.person(name), query).await;
            let names: Vec<_> = users["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| user["name"].clone())
                .collect();
            assert_eq!(names, seen, "{name}");
            assert_eq!(users["totalCount"], seen.len(), "{name}");
        }
        for name in ["platform_viewer", "platform_admin"] {
            assert_eq!(read(world.person(name), query).await["totalCount"], 8, "{name}");
        }
        for name in ["service", "gateway"] {
            assert_eq!(world.person(name).run(query).await.code(), "FORBIDDEN", "{name}");
        }
    })
    .await;
}

/// E-mail addresses are unique, whatever their case; users without one are as many as one likes.
#[tokio::test]
async fn an_address_belongs_to_one_user_whatever_its_case() {
    on_each_database(async |app| {
        let admin = app.admin();
        let make =
            async |input: Value| change(&admin, "userCreate", input, "user { id email }").await;
        make(json!({ "name": "One", "email": "Ädа.Love@Example.com" })).await.data();
        let other = make(json!({ "name": "Two" })).await.data();
        make(json!({ "name": "Three" })).await.data();
        let taken = make(json!({ "email": "äDа.lOVE@eXAMPLE.COM" })).await;
        taken.refused("ALREADY_EXISTS", "input.email");
        let id = text(&other, "/userCreate/user/id");
        let input = json!({ "id": id, "email": "ädа.love@example.com" });
        let taken = change(&admin, "userUpdate", input, "user { id }").await;
        taken.refused("ALREADY_EXISTS", "input.email");
        assert_eq!(rows(app, "users").await, 3);
        make(json!({ "name": "Four", "externalId": "x" })).await.data();
        make(json!({ "name": "Five", "externalId": "x" }))
            .await
            .refused("ALREADY_EXISTS", "input.externalId");
    })
    .await;
}

/// E 6: all faults of an input are reported, each with its path, and nothing is written.
#[tokio::test]
async fn a_wrong_user_is_refused_with_all_its_faults() {
    on_each_database(async |app| {
        let admin = app.admin();
        for (input, fields) in [
            (json!({}), &["input"][..]),
            (json!({ "metadata": { "a": 1 } }), &["input"]),
            (
                json!({ "email": "ada", "name": " ", "externalId": "a b", "metadata": [] }),
                &["input.email", "input.externalId", "input.metadata", "input.name"],
            ),
            (json!({ "name": "N".repeat(201) }), &["input.name"]),
            (json!({ "name": "bell\u{7}" }), &["input.name"]),
            (json!({ "externalId": format!("user_{}", "0".repeat(32)) }), &["input.externalId"]),
            (json!({ "name": "N", "modelAccess": { "mode": "LIST" } }), &["input.modelAccess"]),
            (
                json!({ "name": "N", "modelAccess": { "mode": "ALL", "models": ["gpt-4o"] } }),
                &["input.modelAccess"],
            ),
        ] {
            let answer = change(&admin, "userCreate", input.clone(), "user { id }").await;
            let mut found = answer.fields();
            found.sort();
            assert_eq!(found, fields, "{input}");
            assert!(answer.codes().iter().all(|code| code == "BAD_USER_INPUT"), "{input}");
        }
        assert_eq!(rows(app, "users").await + rows(app, "audit_events").await, 0);
    })
    .await;
}

/// E 8: absent, null and a value are three things; E 47: a change of nothing is no change.
#[tokio::test]
async fn what_is_left_out_stays_and_null_clears() {
    on_each_database(async |app| {
        let admin = app.admin();
        let input = json!({
            "name": "Ada", "email": "ada@example.com", "metadata": { "a": 1, "b": 2 },
            "budgets": [{ "create": { "maxSpend": "0" } }],
            "modelAccess": { "mode": "LIST", "models": ["m"] },
        });
        let id = text(&done(&admin, "userCreate", input, ALL).await, "/user/id");
        let events = rows(app, "audit_events").await;
        for input in [json!({ "id": id }), json!({ "id": id, "name": "Ada", "metadata": {} })] {
            let user = done(&admin, "userUpdate", input, ALL).await["user"].clone();
            assert_eq!(user["version"], 1);
        }
        assert_eq!(rows(app, "audit_events").await, events);
        let input = json!({ "id": id, "metadata": { "a": null, "c": 3 } });
        let user = done(&admin, "userUpdate", input, ALL).await["user"].clone();
        assert_eq!(user["metadata"], json!({ "b": 2, "c": 3 }));
        assert_eq!(user["budgets"][0]["budget"]["maxSpend"], "0");
        assert_eq!(user["modelAccess"]["mode"], "LIST");
        let input = json!({
            "id": id, "email": null, "metadata": null, "budgets": null, "modelAccess": null,
        });
        let user = done(&admin, "userUpdate", input, ALL).await["user"].clone();
        assert_eq!(user["email"], Value::Null);
        assert_eq!(user["metadata"], json!({}));
        assert_eq!(user["budgets"], json!([]));
        assert_eq!(user["modelAccess"]["mode"], "ALL");
        let input = json!({ "id": id, "name": null });
        change(&admin, "userUpdate", input, ALL).await.refused("BAD_USER_INPUT", "input");
        assert_no_orphans(app).await;
    })
    .await;
}

/// A change made on an old view of a user is refused.
#[tokio::test]
async fn a_stale_version_of_a_user_is_refused() {
    on_each_database(async |app| {
        let admin = app.admin();
        let id = world::user(&admin, "ada", "USER").await;
        let input = json!({ "id": id, "name": "B", "expectedVersion": 1 });
        done(&admin, "userUpdate", input.clone(), "user { id }").await;
        change(&admin, "userUpdate", input, "user { id }").await.refused("CONFLICT", "-");
        let input = json!({ "ids": [id], "expectedVersion": 1 });
        change(&admin, "userDelete", input, "deletedIds").await.refused("CONFLICT", "-");
        let input = json!({ "ids": [id, id], "expectedVersion": 2 });
        let answer = change(&admin, "userDelete", input, "deletedIds").await;
        answer.refused("BAD_USER_INPUT", "input.expectedVersion");
        let input = json!({ "ids": [id], "expectedVersion": 2 });
        assert_eq!(done(&admin, "userDelete", input, "deletedIds").await["deletedIds"][0], id);
    })
    .await;
}

/// C-T, SECURITY 3 "user": a higher level's block is not undone below; SECURITY case 22: the keys
/// stop at once.
#[tokio::test]
async fn a_user_is_blocked_and_unblocked_by_levels() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (own, platform) = (world.person("organization_admin"), world.person("platform_admin"));
        let input = json!({ "id": world.users["member"] });
        let block = async |who, field, level: Value, version: u32| {
            let user = done(who, field, input.clone(), "user { blockedBy version }").await;
            assert_eq!(user["user"], json!({ "blockedBy": level, "version": version }));
            assert_eq!(is_known(world.person("member")).await, level.is_null());
        };
        block(own, "userBlock", json!("ORGANIZATION"), 2).await;
        block(own, "userBlock", json!("ORGANIZATION"), 2).await;
        block(platform, "userBlock", json!("PLATFORM"), 3).await;
        block(own, "userBlock", json!("PLATFORM"), 3).await;
        let answer = change(own, "userUnblock", input.clone(), "user { id }").await;
        answer.refused("CONFLICT", "-");
        block(platform, "userUnblock", Value::Null, 4).await;
        block(platform, "userUnblock", Value::Null, 4).await;
        block(own, "userBlock", json!("ORGANIZATION"), 5).await;
        let blocked = "{ users(filter: { isBlocked: true }) { nodes { name } } }";
        assert_eq!(read(own, blocked).await["nodes"], json!([{ "name": "member" }]));
        block(own, "userUnblock", Value::Null, 6).await;
    })
    .await;
}

/// Whoever runs things cannot lock itself out by mistake.
#[tokio::test]
async fn nobody_blocks_or_deletes_themselves() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        for name in ["platform_admin", "organization_admin"] {
            let (me, id) = (world.person(name), &world.users[name]);
            let answer = change(me, "userBlock", json!({ "id": id }), "user { id }").await;
            answer.refused("CONFLICT", "-");
            let input = json!({ "ids": [world.users["member"], id] });
            change(me, "userDelete", input, "deletedIds").await.refused("CONFLICT", "-");
        }
        assert!(is_known(world.person("member")).await);
    })
    .await;
}

/// SECURITY case 23; E 27, E 36: memberships, keys, secrets and budgets go with the user, and
/// nothing is left behind.
#[tokio::test]
async fn deleting_a_user_takes_all_along_that_hangs_on_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let id = &world.users["team_admin"];
        let budgets = json!([{ "create": { "maxSpend": "5" } }]);
        let input = json!({ "id": id, "budgets": budgets });
        done(&admin, "userUpdate", input, "user { id }").await;
        let input = json!({ "userId": id, "teamId": world.a1, "budgets": budgets });
        let (_, secret) = api_key(&admin, input).await;
        let payload = "deletedIds deletedMembershipCount deletedApiKeyCount";
        let own = world.person("organization_admin");
        // C-T12: a team that has members keeps an admin.
        change(own, "userDelete", json!({ "ids": [id] }), payload).await.refused("CONFLICT", "-");
        assert!(is_known(world.person("team_admin")).await);
        let input = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "role": "ADMIN" });
        done(&admin, "teamMemberUpdate", input, "membership { id }").await;
        let gone = done(own, "userDelete", json!({ "ids": [id] }), payload).await;
        let wanted = json!({
            "deletedIds": [id], "deletedMembershipCount": 1, "deletedApiKeyCount": 2,
        });
        assert_eq!(gone, wanted);
        let deleted = "{ auditEvents(filter: { actions: [API_KEY_DELETED] }) { nodes {
            organizationId teamId } } }";
        let event = json!([{ "organizationId": world.a, "teamId": world.a1 }]);
        assert_eq!(read(own, deleted).await["nodes"], event, "of the key in the team");
        assert!(!is_known(&app.with_key(Some(&secret))).await);
        assert!(!is_known(world.person("team_admin")).await);
        assert!(is_known(world.person("service")).await, "the team's own key lives on");
        assert_no_orphans(app).await;
        assert_eq!(rows(app, "budgets").await, 0);
        let query = format!("{{ node(id: \"{id}\") {{ id }} }}");
        assert_eq!(read(&admin, &query).await, Value::Null);
        let again = change(&admin, "userDelete", json!({ "ids": [id] }), payload).await;
        again.refused("NOT_FOUND", "input.ids.0");
    })
    .await;
}

/// SECURITY case 21: one foreign or missing user in the list, and none is deleted.
#[tokio::test]
async fn deleting_several_users_is_all_or_nothing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let missing = format!("user_{}", "7".repeat(32));
        let users = rows(app, "users").await;
        for other in [&world.users["other_team_admin"], &missing, &world.a1] {
            let input = json!({ "ids": [world.users["member"], other, world.users["viewer"]] });
            let answer = change(own, "userDelete", input, "deletedIds").await;
            answer.refused("NOT_FOUND", "input.ids.1");
        }
        for ids in [Vec::new(), vec![missing; 101]] {
            let answer = change(own, "userDelete", json!({ "ids": ids }), "deletedIds").await;
            answer.refused("BAD_USER_INPUT", "input.ids");
        }
        assert_eq!(rows(app, "users").await, users);
        let ids = [&world.users["member"], &world.users["viewer"], &world.users["member"]];
        let gone = done(own, "userDelete", json!({ "ids": ids }), "deletedIds").await;
        assert_eq!(gone["deletedIds"].as_array().unwrap().len(), 2);
    })
    .await;
}

/// SECURITY 3, footnote 1: an organization's admin looks after the users that the organization
/// manages, wherever else they belong; people of the platform and of others are above it.
#[tokio::test]
async fn an_organization_admin_looks_after_the_users_of_the_organization_alone() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let own = world.person("organization_admin");
        let join = async |team: &String, name: &str| {
            let members = json!([{ "user": { "id": world.users[name] } }]);
            let input = json!({ "teamId": team, "members": members });
            done(&admin, "teamMemberAdd", input, "team { id }").await;
        };
        join(&world.b1, "member").await;
        for name in ["platform_viewer", "platform_admin", "outsider"] {
            join(&world.a1, name).await;
            let id = &world.users[name];
            for (field, input, payload) in [
                ("userUpdate", json!({ "id": id, "name": "Taken over" }), "user { id }"),
                ("userUpdate", json!({ "id": id, "email": "evil@example.com" }), "user { id }"),
                ("userBlock", json!({ "id": id }), "user { id }"),
                ("userUnblock", json!({ "id": id }), "user { id }"),
                ("userDelete", json!({ "ids": [id] }), "deletedIds"),
            ] {
                let answer = change(own, field, input, payload).await;
                assert_eq!(answer.code(), "FORBIDDEN", "{field} {name}");
            }
        }
        let promoted = json!({ "id": world.users["viewer"], "platformRole": "VIEWER" });
        done(&admin, "userUpdate", promoted, "user { id }").await;
        let input = json!({ "id": world.users["viewer"], "name": "Taken over" });
        change(own, "userUpdate", input, "user { id }").await.refused("FORBIDDEN", "-");
        for name in ["team_admin", "member"] {
            let input = json!({ "id": world.users[name], "name": "Renamed" });
            done(own, "userUpdate", input, "user { id }").await;
        }
        let input = json!({ "ids": [world.users["member"]] });
        change(own, "userDelete", input, "deletedIds").await.refused("CONFLICT", "-");
    })
    .await;
}
