//! Changing teams: absent, null and empty; metadata; aliases; models; versions; who may do it.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::team_calls::{
    actions, call, create, done, events, forbidden, masked, nobody, number, read, refused,
    same_as_missing,
};

/// T-UPD-3, T-UPD-7, C-T22: what is left out stays, null clears to the default, and an empty list
/// is an empty list; a column that cannot be null is no server fault.
#[tokio::test]
async fn absent_null_and_empty_are_three_inputs() {
    on_each_database(async |app| {
        let admin = app.admin();
        let full = json!({
            "name": "Full", "externalId": "full", "metadata": { "a": 1 }, "tags": ["t"],
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] },
            "budgets": [{ "create": { "maxSpend": "1" } }], "isJoinable": true,
            "memberPermissions": ["API_KEY_CREATE"], "routerSettings": { "r": 1 },
            "guardrails": ["g"],
        });
        let access = |mode: &str| json!({ "mode": mode, "models": [], "accessGroups": [] });
        let selection = "name externalId metadata tags modelAccess { mode models accessGroups }
            budgets { spent } isJoinable memberPermissions routerSettings guardrails version";
        for (field, input, expected) in [
            ("externalId", Value::Null, Value::Null),
            ("metadata", Value::Null, json!({})),
            ("metadata", json!({}), json!({ "a": 1 })),
            ("tags", Value::Null, json!([])),
            ("tags", json!([]), json!([])),
            ("modelAccess", Value::Null, access("ALL")),
            ("modelAccess", json!({ "mode": "NONE" }), access("NONE")),
            ("budgets", Value::Null, json!([])),
            ("budgets", json!([]), json!([])),
            ("isJoinable", Value::Null, json!(false)),
            ("memberPermissions", Value::Null, json!([])),
            ("memberPermissions", json!([]), json!([])),
            ("routerSettings", Value::Null, Value::Null),
            ("routerSettings", json!({}), json!({})),
            ("guardrails", Value::Null, json!([])),
            ("guardrails", json!([]), json!([])),
        ] {
            let team = create(&admin, full.clone()).await;
            let before = read(&admin, &team, selection).await;
            let mut change = json!({ "id": team });
            change[field] = input.clone();
            let answer = done(&admin, "teamUpdate", change, "team { id }").await;
            assert_eq!(answer["team"]["id"], team);
            let after = read(&admin, &team, selection).await;
            for (name, value) in after.as_object().unwrap() {
                match name.as_str() {
                    "version" => {}
                    name if name == field => assert_eq!(*value, expected, "{field}: {input}"),
                    name => assert_eq!(*value, before[name], "{name} after {field}: {input}"),
                }
            }
            done(&admin, "teamDelete", json!({ "ids": [team] }), "").await;
        }
        let team = create(&admin, full).await;
        for name in [Value::Null, json!(""), json!("  "), json!("x".repeat(201))] {
            let input = json!({ "id": team, "name": name });
            refused(&admin, "teamUpdate", input, "BAD_USER_INPUT", "input.name").await;
        }
        let input = json!({ "id": team, "modelAccess": { "mode": "LIST" } });
        refused(&admin, "teamUpdate", input, "BAD_USER_INPUT", "input.modelAccess").await;
    })
    .await;
}

/// C-T21, T-UPD-5: metadata is merged key by key, null deletes a key, and labels or guardrails
/// leave it alone.
#[tokio::test]
async fn metadata_is_merged() {
    on_each_database(async |app| {
        let admin = app.admin();
        let team = create(&admin, json!({ "name": "T", "metadata": { "a": 1, "b": 2 } })).await;
        let metadata = async |change: Value| {
            let mut input = change;
            input["id"] = json!(team);
            done(&admin, "teamUpdate", input, "").await;
            read(&admin, &team, "metadata tags guardrails").await
        };
        let after = metadata(json!({ "tags": ["x"], "guardrails": ["pii"] })).await;
        assert_eq!(after["metadata"], json!({ "a": 1, "b": 2 }));
        assert_eq!(
            (after["tags"].clone(), after["guardrails"].clone()),
            (json!(["x"]), json!(["pii"]))
        );
        let after = metadata(json!({ "metadata": { "b": { "c": 3 }, "d": [] } })).await;
        assert_eq!(after["metadata"], json!({ "a": 1, "b": { "c": 3 }, "d": [] }));
        let after = metadata(json!({ "metadata": { "a": null, "unknown": null } })).await;
        assert_eq!(after["metadata"], json!({ "b": { "c": 3 }, "d": [] }));
        assert_eq!(after["tags"], json!(["x"]));
        let after = metadata(json!({ "metadata": null })).await;
        assert_eq!(after["metadata"], json!({}));

        for bad in [json!([1]), json!("text"), json!({ "big": "x".repeat(16_384) })] {
            let input = json!({ "id": team, "metadata": bad });
            refused(&admin, "teamUpdate", input, "BAD_USER_INPUT", "input.metadata").await;
        }
        let half = json!({ "half": "x".repeat(9_000) });
        done(&admin, "teamUpdate", json!({ "id": team, "metadata": half }), "").await;
        let other = json!({ "id": team, "metadata": { "other half": "x".repeat(9_000) } });
        refused(&admin, "teamUpdate", other, "BAD_USER_INPUT", "input.metadata").await;
    })
    .await;
}

/// T-UPD-1, T-UPD-2, C-T32: an unknown team is `NOT_FOUND` at the field that named it, in every
/// mutation; an id that is left out does not fit the schema.
#[tokio::test]
async fn an_unknown_team_is_not_found_everywhere() {
    on_each_database(async |app| {
        let admin = app.admin();
        let member = json!({ "id": nobody("user") });
        for id in [nobody("team"), nobody("user"), "no-such-team".to_owned(), String::new()] {
            for (mutation, input, field) in [
                ("teamUpdate", json!({ "id": id }), "input.id"),
                ("teamBlock", json!({ "id": id }), "input.id"),
                ("teamUnblock", json!({ "id": id }), "input.id"),
                ("teamDelete", json!({ "ids": [id] }), "input.ids.0"),
                ("teamJoin", json!({ "teamId": id }), "input.teamId"),
                (
                    "teamMemberAdd",
                    json!({ "teamId": id, "members": [{ "user": member }] }),
                    "input.teamId",
                ),
                ("teamMemberUpdate", json!({ "teamId": id, "user": member }), "input.teamId"),
                ("teamMemberRemove", json!({ "teamId": id, "user": member }), "input.teamId"),
                ("teamModelAdd", json!({ "teamId": id, "models": ["m"] }), "input.teamId"),
                ("teamModelRemove", json!({ "teamId": id, "models": ["m"] }), "input.teamId"),
                (
                    "teamModelAliasSet",
                    json!({ "teamId": id, "alias": "a", "target": "b" }),
                    "input.teamId",
                ),
                ("teamModelAliasRemove", json!({ "teamId": id, "alias": "a" }), "input.teamId"),
            ] {
                let answer = refused(&admin, mutation, input, "NOT_FOUND", field).await;
                assert_eq!(answer.status, 200, "{mutation}");
            }
        }
        for input in [json!({}), json!({ "id": null })] {
            let answer = call(&admin, "teamUpdate", input, "").await;
            assert!(!answer.code().is_empty() && answer.body["data"].is_null());
        }
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, 0);
    })
    .await;
}

/// T-UPD-8: a version that is not the latest is a CONFLICT and changes nothing; an update that
/// changes nothing keeps the version and leaves no event.
#[tokio::test]
async fn a_stale_version_is_a_conflict() {
    on_each_database(async |app| {
        let admin = app.admin();
        let team = create(&admin, json!({ "name": "T" })).await;
        let rename = |name: &str, version: i32| {
            json!({ "id": team, "name": name, "expectedVersion": version })
        };
        let answer = done(&admin, "teamUpdate", rename("U", 1), "team { version }").await;
        assert_eq!(answer["team"]["version"], 2);
        for version in [1, 3, 0, -1] {
            let answer = call(&admin, "teamUpdate", rename("V", version), "").await;
            assert_eq!(answer.code(), "CONFLICT");
        }
        let count = number(app, "SELECT count(*) AS n FROM audit_events").await;
        let same = done(&admin, "teamUpdate", rename("U", 2), "team { version }").await;
        assert_eq!(same["team"]["version"], 2);
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, count);
        assert_eq!(read(&admin, &team, "name").await["name"], "U");

        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let (admin, input) = (app.admin(), rename(&format!("W{number}"), 2));
                tokio::spawn(async move { call(&admin, "teamUpdate", input, "").await.code() })
            })
            .collect();
        let mut codes = Vec::new();
        for task in tasks {
            codes.push(task.await.unwrap());
        }
        assert_eq!(codes.iter().filter(|code| code.is_empty()).count(), 1);
        assert_eq!(codes.iter().filter(|code| *code == "CONFLICT").count(), 7);
    })
    .await;
}

/// T-UPD-10, T-UPD-11, C-T31: an update answers with the new team and is audited with the rows
/// before and after.
#[tokio::test]
async fn an_update_is_audited_with_both_images() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({ "id": world.a1, "name": "New", "tags": ["t"] });
        let chief = world.person("team_admin");
        let selection = "team { name tags version modelAliases { alias } }";
        let answer = done(chief, "teamUpdate", input, selection).await;
        let expected = json!({ "name": "New", "tags": ["t"], "version": 2, "modelAliases": [] });
        assert_eq!(answer["team"], expected);
        let event = events(app, 1).await.remove(0);
        assert_eq!(event["action"], "TEAM_UPDATED");
        assert_eq!(event["actorId"], world.users["team_admin"]);
        assert_eq!(event["subjectId"], world.a1);
        assert_eq!(event["teamId"], world.a1);
        assert_eq!(event["organizationId"], world.a);
        assert_eq!(
            (&event["before"]["name"], &event["after"]["name"]),
            (&json!("A1"), &json!("New"))
        );
        let row = read(chief, &world.a1, "updatedBy createdBy").await;
        assert_eq!(row["updatedBy"], world.users["team_admin"]);
        assert_eq!(row["createdBy"], "bootstrap");
    })
    .await;
}

/// C-T20: team admins change name, metadata and aliases of their team; budgets and models are for
/// those above; members change nothing; everybody else finds nothing.
#[tokio::test]
async fn a_team_is_changed_by_those_who_look_after_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let a1 = &world.a1;
        let alias = json!({ "teamId": a1, "alias": "small", "target": "m" });
        let unalias = json!({ "teamId": a1, "alias": "small" });
        for person in ["team_admin", "organization_admin", "platform_admin"] {
            let client = world.person(person);
            done(client, "teamUpdate", json!({ "id": a1, "name": person }), "").await;
            done(client, "teamModelAliasSet", alias.clone(), "").await;
            done(client, "teamModelAliasRemove", unalias.clone(), "").await;
        }
        let list = json!({ "mode": "LIST", "models": ["m"] });
        let limits = [
            ("teamUpdate", json!({ "id": a1, "budgets": [] })),
            ("teamUpdate", json!({ "id": a1, "budgets": null })),
            ("teamUpdate", json!({ "id": a1, "modelAccess": null })),
            ("teamUpdate", json!({ "id": a1, "name": "Mine", "modelAccess": list })),
            ("teamModelAdd", json!({ "teamId": a1, "models": ["m"] })),
            ("teamModelRemove", json!({ "teamId": a1, "models": ["m"] })),
        ];
        let before = read(&app.admin(), a1, "version name").await;
        for (mutation, input) in &limits {
            forbidden(world.person("team_admin"), mutation, input.clone()).await;
        }
        let name = json!({ "id": a1, "name": "Mine" });
        for person in ["member", "viewer", "service", "gateway", "platform_viewer", "outsider"] {
            let client = world.person(person);
            for (mutation, input) in &limits {
                forbidden(client, mutation, input.clone()).await;
            }
            forbidden(client, "teamUpdate", name.clone()).await;
            forbidden(client, "teamModelAliasSet", alias.clone()).await;
            forbidden(client, "teamModelAliasRemove", unalias.clone()).await;
        }
        assert_eq!(read(&app.admin(), a1, "version name").await, before);
        for person in ["organization_admin", "platform_admin"] {
            let client = world.person(person);
            let input = json!({ "id": a1, "modelAccess": list,
                "budgets": [{ "create": { "maxSpend": "1" } }] });
            done(client, "teamUpdate", input, "").await;
        }
        let stranger = world.person("other_team_admin");
        same_as_missing(stranger, "teamUpdate", a1, |id| json!({ "id": id, "name": "x" })).await;
        same_as_missing(
            stranger,
            "teamModelAliasSet",
            a1,
            |id| json!({ "teamId": id, "alias": "a", "target": "b" }),
        )
        .await;
    })
    .await;
}

/// T-UPD-7, T-UPD-12, C-T16: members, spend, stamps and the organization are no fields of an
/// update, so that nobody moves a team or writes its counters.
#[tokio::test]
async fn an_update_takes_no_members_no_counters_and_no_organization() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        for (field, value) in [
            ("members", json!([])),
            ("organizationId", json!(world.b)),
            ("organizationId", json!("")),
            ("spend", json!("0")),
            ("isBlocked", json!(false)),
            ("createdBy", json!("me")),
        ] {
            let mut input = json!({ "id": world.a1 });
            input[field] = value;
            let answer = call(world.person("platform_admin"), "teamUpdate", input, "").await;
            assert!(!answer.code().is_empty(), "{field}");
            assert_ne!(answer.code(), "INTERNAL_SERVER_ERROR");
        }
        let team = read(&app.admin(), &world.a1, "version organization { id }").await;
        assert_eq!(team, json!({ "version": 1, "organization": { "id": world.a } }));
    })
    .await;
}

/// T-UPD-6, C-T23, T-NEW-11: setting an alias leaves the others and its own maker alone; setting
/// it again changes nothing; removing takes one away.
#[tokio::test]
async fn aliases_are_set_and_removed_one_by_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let aliases = async || {
            let found = read(&app.admin(), &world.a1, "modelAliases { alias target }").await;
            found["modelAliases"].clone()
        };
        let set = |alias: &str, target: &str| {
            json!({ "teamId": world.a1, "alias": alias, "target": target })
        };
        let (root, chief) = (world.person("platform_admin"), world.person("team_admin"));
        let selection = "team { modelAliases { alias target } }";
        done(root, "teamModelAliasSet", set("small", "m1"), "").await;
        let answer = done(root, "teamModelAliasSet", set("big", "m2"), selection).await;
        assert_eq!(answer["team"]["modelAliases"], aliases().await);
        done(chief, "teamModelAliasSet", set("small", "m3"), "").await;
        let expected =
            json!([{ "alias": "big", "target": "m2" }, { "alias": "small", "target": "m3" }]);
        assert_eq!(aliases().await, expected);
        let event = events(app, 1).await.remove(0);
        assert_eq!(event["action"], "TEAM_MODEL_ALIAS_SET");
        assert_eq!(event["before"]["target"], "m1");
        assert_eq!(event["after"]["target"], "m3");
        assert_eq!(event["after"]["created_by"], world.users["platform_admin"]);
        assert_eq!(event["after"]["updated_by"], world.users["team_admin"]);

        let count = number(app, "SELECT count(*) AS n FROM audit_events").await;
        done(chief, "teamModelAliasSet", set("small", "m3"), "").await;
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, count);

        let gone = json!({ "teamId": world.a1, "alias": "big" });
        done(chief, "teamModelAliasRemove", gone.clone(), "").await;
        assert_eq!(aliases().await, json!([{ "alias": "small", "target": "m3" }]));
        assert_eq!(actions(app, 1).await, ["TEAM_MODEL_ALIAS_REMOVED"]);
        refused(chief, "teamModelAliasRemove", gone, "NOT_FOUND", "input.alias").await;

        for (alias, target, field) in [
            ("x", "x", "input.target"),
            ("", "x", "input.alias"),
            ("x", "", "input.target"),
            (" x", "y", "input.alias"),
        ] {
            let input = set(alias, target);
            refused(chief, "teamModelAliasSet", input, "BAD_USER_INPUT", field).await;
        }
        let input = json!({ "name": "T", "modelAliases": [
            { "alias": "a", "target": "b" }, { "alias": "a", "target": "c" }] });
        let field = "input.modelAliases.1.alias";
        refused(root, "teamCreate", input, "BAD_USER_INPUT", field).await;
    })
    .await;
}

/// D4, T-UPD-7: models are added to and removed from a list one by one; a list that is left empty
/// allows nothing, and a team that may call everything is never narrowed by accident.
#[tokio::test]
async fn models_are_added_to_and_removed_from_a_list() {
    on_each_database(async |app| {
        let admin = app.admin();
        let team = create(&admin, json!({ "name": "T" })).await;
        let input = |models: Value| json!({ "teamId": team, "models": models });
        let selection = "team { modelAccess { mode models } version }";
        let access = |mode: &str, models: Value| json!({ "mode": mode, "models": models });
        for mutation in ["teamModelAdd", "teamModelRemove"] {
            let answer = call(&admin, mutation, input(json!(["m"])), "").await;
            assert_eq!(answer.code(), "CONFLICT");
        }
        let list = json!({ "id": team, "modelAccess": { "mode": "LIST", "models": ["m", "m"] } });
        done(&admin, "teamUpdate", list, "").await;
        let after = done(&admin, "teamModelAdd", input(json!(["n", "m"])), selection).await;
        assert_eq!(after["team"]["modelAccess"], access("LIST", json!(["m", "n"])));
        let again = done(&admin, "teamModelAdd", input(json!(["n"])), selection).await;
        assert_eq!(again["team"]["version"], after["team"]["version"]);
        let after = done(&admin, "teamModelRemove", input(json!(["m", "none"])), selection).await;
        assert_eq!(after["team"]["modelAccess"], access("LIST", json!(["n"])));
        let after = done(&admin, "teamModelRemove", input(json!(["n"])), selection).await;
        assert_eq!(after["team"]["modelAccess"], access("NONE", json!([])));
        let after = done(&admin, "teamModelAdd", input(json!(["o"])), selection).await;
        assert_eq!(after["team"]["modelAccess"], access("LIST", json!(["o"])));
        for (models, field) in [
            (json!([]), "input.models"),
            (json!([""]), "input.models.0"),
            (json!((0..501).map(|n| format!("m{n}")).collect::<Vec<_>>()), "input.models"),
        ] {
            refused(&admin, "teamModelAdd", input(models), "BAD_USER_INPUT", field).await;
        }
    })
    .await;
}

/// D5, T-UPD-9, C-T24: the next request sees what a change allows and forbids; there is no stale copy.
#[tokio::test]
async fn a_change_holds_for_the_next_request() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let member = world.person("member");
        let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "k" });
        forbidden(member, "apiKeyCreate", input.clone()).await;
        let grant = json!({ "id": world.a1, "memberPermissions": ["API_KEY_CREATE"] });
        done(world.person("team_admin"), "teamUpdate", grant, "").await;
        let made = done(member, "apiKeyCreate", input.clone(), "secret").await;
        let key = app.with_key(Some(&text(&made, "/secret")));
        assert_eq!(read(&key, &world.a1, "name").await["name"], "A1");
        let revoke = json!({ "id": world.a1, "memberPermissions": [] });
        done(world.person("team_admin"), "teamUpdate", revoke, "").await;
        forbidden(member, "apiKeyCreate", input).await;
    })
    .await;
}

/// SECURITY case 2: the admin of one team finds another team as missing as a random id, whatever
/// it tries to do to it, in its own organization and in another.
#[tokio::test]
async fn another_team_is_the_same_as_a_missing_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        for hidden in [&world.a2, &world.b1] {
            let before = read(&app.admin(), hidden, "version isBlocked").await;
            same_as_missing(chief, "teamUpdate", hidden, |id| json!({ "id": id, "name": "x" }))
                .await;
            same_as_missing(chief, "teamDelete", hidden, |id| json!({ "ids": [id] })).await;
            same_as_missing(chief, "teamBlock", hidden, |id| json!({ "id": id })).await;
            same_as_missing(chief, "teamUnblock", hidden, |id| json!({ "id": id })).await;
            same_as_missing(chief, "teamJoin", hidden, |id| json!({ "teamId": id })).await;
            for mutation in ["teamMemberUpdate", "teamMemberRemove"] {
                same_as_missing(
                    chief,
                    mutation,
                    hidden,
                    |id| json!({ "teamId": id, "user": { "id": world.users["other_team_admin"] } }),
                )
                .await;
            }
            same_as_missing(chief, "teamMemberAdd", hidden, |id| {
                json!({ "teamId": id, "members": [{ "user": { "id": world.users["member"] } }] })
            })
            .await;
            assert_eq!(read(&app.admin(), hidden, "version isBlocked").await, before);
        }
        let chief = world.person("organization_admin");
        let b1 = &world.b1;
        same_as_missing(chief, "teamDelete", b1, |id| json!({ "ids": [id] })).await;
        same_as_missing(chief, "teamBlock", b1, |id| json!({ "id": id })).await;
        same_as_missing(chief, "teamUnblock", b1, |id| json!({ "id": id })).await;
        let query = "query($id: ID!) { team(id: $id) { id } node(id: $id) { id } }";
        let hidden = chief.run_with(query, json!({ "id": b1 })).await;
        let missing = chief.run_with(query, json!({ "id": nobody("team") })).await;
        assert_eq!(masked(&hidden, b1), masked(&missing, &nobody("team")));
    })
    .await;
}
