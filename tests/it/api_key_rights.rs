//! What a key may do: its owner's rights as they are now, and its own, whichever is less.

use serde_json::{Value, json};

use crate::harness::world::{World, api_key};
use crate::harness::{Client, TestApp};
use crate::harness::{on_each_database, on_each_database_with};
use crate::steps::{change, done, execute, is_known, read, rows, sql_id};

/// A key of the member with limits of every kind; the organization's people made it.
async fn limited_key(app: &TestApp, world: &World) -> (String, Client) {
    let input = json!({
        "userId": world.users["member"], "name": "limited", "tags": ["a"], "expiresIn": "P30D",
        "modelAccess": { "mode": "LIST", "models": ["gpt-4o", "gpt-4o-mini"] },
        "allowedRoutes": ["llm", "management"],
        "budgets": [{ "create": { "maxSpend": "10", "period": "1d" } }],
    });
    let (id, secret) = api_key(&app.admin(), input).await;
    (id, app.with_key(Some(&secret)))
}

/// SECURITY 3, footnote 5: an owner narrows a key, and only those above widen it.
#[tokio::test]
async fn an_owner_may_only_narrow_a_key() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let me = world.person("member");
        let (id, _) = limited_key(app, &world).await;
        let shown = "apiKey { name tags expiresAt allowedRoutes modelAccess { mode models } version
            budgets { budget { id maxSpend period } } }";
        let query = format!("{{ apiKey(id: \"{id}\") {{ budgets {{ budget {{ id }} }} }} }}");
        let budget = read(me, &query).await["budgets"][0]["budget"]["id"].clone();
        let edit = |limits: Value| json!([{ "edit": { "budgetId": budget, "limits": limits } }]);
        let wider = [
            json!({ "tags": [] }),
            json!({ "tags": ["b"] }),
            json!({ "expiresAt": null }),
            json!({ "expiresAt": "2027-01-01T00:00:00Z" }),
            json!({ "allowedRoutes": null }),
            json!({ "allowedRoutes": ["llm", "management", "/v1/models"] }),
            json!({ "modelAccess": null }),
            json!({ "modelAccess": { "mode": "ALL" } }),
            json!({ "modelAccess": { "mode": "LIST", "models": ["gpt-4o", "o3"] } }),
            json!({ "budgets": null }),
            json!({ "budgets": [] }),
            json!({ "budgets": [{ "create": { "maxSpend": "1", "period": "1h" } }] }),
            json!({ "budgets": edit(json!({ "maxSpend": "10.000000001" })) }),
            json!({ "budgets": edit(json!({ "maxSpend": null, "requestsPerMinute": 1 })) }),
            json!({ "budgets": edit(json!({ "period": "1h" })) }),
            json!({ "budgets": edit(json!({ "timeZone": "Asia/Kolkata" })) }),
            json!({ "budgets": edit(json!({ "modelPattern": "gpt-4o" })) }),
        ];
        for more in &wider {
            let mut input = json!({ "id": id, "name": "wider" });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = change(me, "apiKeyUpdate", input, shown).await;
            assert_eq!(answer.message(), "this needs the permission API_KEY_LIMIT_UPDATE", "{more}");
        }
        assert_eq!(rows(app, "api_keys WHERE name = 'wider'").await, 0);
        let input = json!({
            "id": id, "name": "narrow", "tags": ["a", "b"], "expiresAt": "2026-11-30T00:00:00Z",
            "allowedRoutes": ["llm"], "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] },
            "budgets": [
                { "edit": { "budgetId": budget, "limits": { "maxSpend": "9", "tokensPerMinute": 5 } } },
                { "create": { "requestsPerMinute": 1 } },
            ],
        });
        let key = done(me, "apiKeyUpdate", input, shown).await["apiKey"].clone();
        assert_eq!(key["budgets"].as_array().unwrap().len(), 2);
        assert_eq!(key["budgets"][0]["budget"]["id"], budget);
        assert_eq!(key["budgets"][0]["budget"]["maxSpend"], "9");
        assert_eq!(key["version"], 2);
        let input = json!({ "id": id, "budgets": null, "tags": null, "expiresAt": null });
        done(&app.admin(), "apiKeyUpdate", input, shown).await;
    })
    .await;
}

/// SECURITY cases 7 and 9 (CVE-2026-47101): what a limited key makes is as limited, and leaving a
/// limit out asks for more.
#[tokio::test]
async fn a_limited_key_makes_no_wider_key() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (id, limited) = limited_key(app, &world).await;
        let pot = json!({ "name": "pot", "limits": { "maxSpend": "10", "period": "1d" } });
        let pot = done(&app.admin(), "budgetCreate", pot, "budget { id }").await;
        let attach = |counting: &str| {
            json!([{ "attach": { "budgetId": pot["budget"]["id"], "counting": counting } }])
        };
        let within = json!({
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] }, "allowedRoutes": ["management"],
            "expiresAt": "2026-12-01T00:00:00Z", "tags": ["a", "more"],
            "budgets": attach("SHARED"),
        });
        // A budget of its own would count anew in every key that it makes.
        let answer = change(&limited, "apiKeyCreate", within.clone(), "secret").await;
        answer.refused("LIMIT_EXCEEDED", "input.budgets");
        let input = json!({ "id": id, "budgets": attach("SHARED") });
        done(&app.admin(), "apiKeyUpdate", input, "apiKey { id }").await;
        let before = rows(app, "api_keys").await;
        for (field, wider) in [
            ("modelAccess", Value::Null),
            ("modelAccess", json!({ "mode": "ALL" })),
            ("modelAccess", json!({ "mode": "LIST", "models": ["gpt-*"] })),
            ("allowedRoutes", Value::Null),
            ("allowedRoutes", json!(["management", "/v1/models"])),
            ("expiresAt", Value::Null),
            ("expiresAt", json!("2026-12-22T00:00:00Z")),
            ("tags", json!(["more"])),
            ("budgets", json!([])),
            ("budgets", attach("EACH")),
            ("budgets", json!([{ "create": { "maxSpend": "1", "period": "1d" } }])),
            ("budgets", json!([{ "create": { "requestsPerMinute": 1 } }])),
        ] {
            let mut input = within.clone();
            input[field] = wider.clone();
            let answer = change(&limited, "apiKeyCreate", input, "secret").await;
            answer.refused("LIMIT_EXCEEDED", &format!("input.{field}"));
        }
        assert_eq!(rows(app, "api_keys").await, before);
        done(&limited, "apiKeyCreate", within, "secret").await;
        // Nor does it take over a wider key of the same owner, by asking for its new secret.
        let input = json!({ "id": world.keys["member"] });
        let answer = change(&limited, "apiKeyRotate", input, "secret").await;
        assert_eq!(answer.code(), "LIMIT_EXCEEDED", "{:#}", answer.body);
        assert!(is_known(world.person("member")).await);
        done(&limited, "apiKeyRotate", json!({ "id": id }), "secret").await;
    })
    .await;
}

/// SECURITY case 9: a key of a limited key's owner lifts no limits of that key, whatever role the
/// owner has.
#[tokio::test]
async fn a_limited_key_does_not_lift_its_own_limits() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({
            "teamId": world.a1, "userId": world.users["team_admin"], "expiresIn": "1h",
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] },
        });
        let (id, secret) = api_key(&app.admin(), input).await;
        let limited = app.with_key(Some(&secret));
        for more in [json!({ "expiresAt": null }), json!({ "modelAccess": null })] {
            let mut input = json!({ "id": id });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = change(&limited, "apiKeyUpdate", input.clone(), "apiKey { id }").await;
            assert_eq!(answer.code(), "LIMIT_EXCEEDED", "{more}: {:#}", answer.body);
            let other = world.person("team_admin");
            done(other, "apiKeyUpdate", input, "apiKey { id }").await;
            execute(
                app,
                &format!(
                    "UPDATE api_keys SET expires_at = '2026-11-21 13:00:00+00:00' WHERE id = {}",
                    sql_id(app, &id)
                ),
            )
            .await;
        }
    })
    .await;
}

/// SECURITY case 9: checked again at use: a row that was widened past the API exceeds its owner
/// in nothing.
#[tokio::test]
async fn a_row_widened_by_hand_does_not_exceed_its_owner() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let id = &world.keys["member"];
        let widened = format!(
            "UPDATE api_keys SET allowed_routes = NULL, expires_at = NULL, created_by = 'bootstrap' \
             WHERE id = {}",
            sql_id(app, id)
        );
        execute(app, &widened).await;
        let me = world.person("member");
        let viewer = read(me, "{ viewer { platformRole permissions } }").await;
        assert_eq!(viewer["platformRole"], "USER");
        assert!(!viewer["permissions"].to_string().contains("ADMIN_KEY_CREATE"));
        let answer = change(me, "userCreate", json!({ "name": "N" }), "user { id }").await;
        assert_eq!(answer.code(), "FORBIDDEN");
        // The role is read at every use, not frozen into the key.
        let promoted = json!({ "id": world.users["member"], "platformRole": "ADMIN" });
        done(&app.admin(), "userUpdate", promoted, "user { id }").await;
        done(me, "userCreate", json!({ "name": "N" }), "user { id }").await;
        let demoted = json!({ "id": world.users["member"], "platformRole": "USER" });
        done(&app.admin(), "userUpdate", demoted, "user { id }").await;
        let answer = change(me, "userCreate", json!({ "name": "N" }), "user { id }").await;
        assert_eq!(answer.code(), "FORBIDDEN");
    })
    .await;
}

/// D17, SECURITY case 23: whoever leaves a team loses the keys in it; the team's own keys live on.
#[tokio::test]
async fn whoever_leaves_a_team_loses_the_keys_in_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let user = &world.users["member"];
        let input = json!({ "teamId": world.a1, "userId": user });
        let (id, secret) = api_key(&app.admin(), input).await;
        let key = app.with_key(Some(&secret));
        assert!(is_known(&key).await);
        let input = json!({ "teamId": world.a1, "user": { "id": user } });
        done(world.person("team_admin"), "teamMemberRemove", input, "__typename").await;
        assert!(!is_known(&key).await);
        for name in ["member", "service"] {
            assert!(is_known(world.person(name)).await, "{name}");
        }
        let input = json!({ "teamId": world.a1, "members": [{ "user": { "id": user } }] });
        done(&app.admin(), "teamMemberAdd", input, "team { id }").await;
        assert!(!is_known(&key).await, "the key went with the membership");
        let query = format!("{{ apiKey(id: \"{id}\") {{ id }} }}");
        assert_eq!(read(&app.admin(), &query).await, Value::Null);
        // The check at use does not rely on that: a membership that is gone is enough.
        let input = json!({ "teamId": world.a1, "userId": user });
        let (_, secret) = api_key(&app.admin(), input).await;
        let gone = format!("DELETE FROM team_memberships WHERE user_id = {}", sql_id(app, user));
        execute(app, &gone).await;
        assert!(!is_known(&app.with_key(Some(&secret))).await);
    })
    .await;
}

/// SECURITY case 22; #9820, #35535: a blocked user, a blocked team, and their keys.
#[tokio::test]
async fn a_blocked_user_or_team_stops_the_keys() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "teamId": world.a1, "userId": world.users["member"] });
        let (_, secret) = api_key(&admin, input).await;
        let in_team = app.with_key(Some(&secret));
        let (personal, service) = (world.person("member"), world.person("service"));
        let known =
            async || [is_known(personal).await, is_known(&in_team).await, is_known(service).await];
        assert_eq!(known().await, [true, true, true]);
        let user = json!({ "id": world.users["member"] });
        done(&admin, "userBlock", user.clone(), "user { id }").await;
        assert_eq!(known().await, [false, false, true]);
        done(&admin, "userUnblock", user, "user { id }").await;
        let team = json!({ "id": world.a1 });
        done(&admin, "teamBlock", team.clone(), "team { id }").await;
        assert_eq!(known().await, [true, false, false]);
        done(&admin, "teamUnblock", team, "team { id }").await;
        assert_eq!(known().await, [true, true, true]);
    })
    .await;
}

/// SECURITY 5, "lastUsedAt": a database that does not take the uses loses none of them.
#[tokio::test]
async fn last_uses_outlive_a_fault_of_the_database() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let people = ["member", "viewer", "team_admin", "service"];
        for name in people {
            assert!(is_known(world.person(name)).await);
        }
        let database = app.database().await;
        for (from, to, is_written) in
            [("last_used_at", "gone", false), ("gone", "last_used_at", true)]
        {
            let sql = format!("ALTER TABLE api_keys RENAME COLUMN {from} TO {to}");
            sea_orm::ConnectionTrait::execute_unprepared(&database, &sql).await.unwrap();
            app.app.write_last_used().await;
            if !is_written {
                continue;
            }
            for name in people {
                let query = format!("{{ apiKey(id: \"{}\") {{ lastUsedAt }} }}", world.keys[name]);
                let shown = read(&app.admin(), &query).await;
                assert_eq!(shown, json!({ "lastUsedAt": "2026-11-21T12:00:00+00:00" }), "{name}");
            }
        }
    })
    .await;
}

/// D18, SECURITY 5, "lastUsedAt": noted in memory, written later, at most once a minute for a key.
#[tokio::test]
async fn the_last_use_of_a_key_is_written_at_most_once_a_minute() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let id = &world.keys["member"];
        let shown = async || {
            app.app.write_last_used().await;
            let query = format!("{{ apiKey(id: \"{id}\") {{ lastUsedAt version }} }}");
            read(&app.admin(), &query).await
        };
        assert_eq!(shown().await, json!({ "lastUsedAt": null, "version": 1 }));
        let mut written = Value::Null;
        for (at, is_written) in
            [("12:00:05", true), ("12:00:30", false), ("12:01:04", false), ("12:01:05", true)]
        {
            app.clock.set(format!("2026-11-21T{at}Z").parse().unwrap());
            assert!(is_known(world.person("member")).await);
            if is_written {
                written = json!(format!("2026-11-21T{at}+00:00"));
            }
            assert_eq!(shown().await, json!({ "lastUsedAt": written, "version": 1 }), "{at}");
        }
        assert!(!is_known(&app.with_key(Some("sk-unknown"))).await);
    })
    .await;
}

/// DESIGN 4: a key that belongs to a team acts in that team alone, whatever its owner may do.
#[tokio::test]
async fn a_key_that_belongs_to_a_team_acts_in_that_team_alone() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "id": world.users["team_admin"], "platformRole": "ADMIN" });
        done(&admin, "userUpdate", input, "user { id }").await;
        let members = json!([{ "user": { "id": world.users["team_admin"] }, "role": "ADMIN" }]);
        let input = json!({ "teamId": world.b1, "members": members });
        done(&admin, "teamMemberAdd", input, "team { id }").await;
        let input =
            json!({ "teamId": world.a1, "userId": world.users["team_admin"], "name": "in A1" });
        let (_, secret) = api_key(&admin, input).await;
        let key = app.with_key(Some(&secret));
        assert_eq!(
            read(world.person("team_admin"), "{ teams { totalCount } }").await["totalCount"],
            3
        );
        assert_eq!(read(&key, "{ viewer { platformRole } }").await["platformRole"], "USER");
        let teams = read(&key, "{ teams { totalCount nodes { name } } }").await;
        assert_eq!(teams, json!({ "totalCount": 1, "nodes": [{ "name": "A1" }] }));
        let keys = read(&key, "{ apiKeys { nodes { name } } }").await["nodes"].to_string();
        assert!(!keys.contains("team_admin key"), "{keys}");
        for query in [
            format!("{{ team(id: \"{}\") {{ id }} }}", world.b1),
            format!("{{ node(id: \"{}\") {{ id }} }}", world.a2),
            format!("{{ apiKey(id: \"{}\") {{ id }} }}", world.keys["team_admin"]),
            format!("{{ user(id: \"{}\") {{ id }} }}", world.users["outsider"]),
        ] {
            assert_eq!(read(&key, &query).await, Value::Null, "{query}");
        }
        let budgets = json!([{ "create": { "maxSpend": "1" } }]);
        let input = json!({ "id": world.keys["team_admin"], "budgets": budgets });
        done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        assert_eq!(read(&key, "{ budgets { totalCount } }").await["totalCount"], 0);
        let before = rows(app, "api_keys").await;
        for (field, input, payload, code) in [
            ("teamUpdate", json!({ "id": world.b1, "name": "X" }), "team { id }", "NOT_FOUND"),
            ("teamDelete", json!({ "ids": [world.a1] }), "deletedIds", "FORBIDDEN"),
            ("apiKeyRotate", json!({ "id": world.keys["team_admin"] }), "secret", "NOT_FOUND"),
            ("apiKeyCreate", json!({ "kind": "ADMIN" }), "secret", "FORBIDDEN"),
            // A personal key would have all that the owner may do.
            ("apiKeyCreate", json!({}), "secret", "FORBIDDEN"),
            ("apiKeyBlock", json!({ "id": world.keys["member"] }), "apiKey { id }", "NOT_FOUND"),
            (
                "apiKeyCreate",
                json!({ "kind": "SERVICE", "teamId": world.b1 }),
                "secret",
                "NOT_FOUND",
            ),
        ] {
            let answer = change(&key, field, input.clone(), payload).await;
            assert_eq!(answer.code(), code, "{field} {input}: {:#}", answer.body);
        }
        assert_eq!(rows(app, "api_keys").await, before);
        let joinable = json!({ "id": world.a2, "isJoinable": true });
        done(&admin, "teamUpdate", joinable, "team { id }").await;
        let join = change(&key, "teamJoin", json!({ "teamId": world.a2 }), "__typename").await;
        assert!(["FORBIDDEN", "NOT_FOUND"].contains(&join.code().as_str()), "{:#}", join.body);
        let leave = json!({
            "teamId": world.b1, "user": { "id": world.users["team_admin"] },
        });
        let left = change(&key, "teamMemberRemove", leave, "__typename").await;
        assert_eq!(left.code(), "NOT_FOUND", "{:#}", left.body);
        done(&key, "teamUpdate", json!({ "id": world.a1, "name": "A1 again" }), "team { id }")
            .await;
        done(&key, "apiKeyCreate", json!({ "teamId": world.a1 }), "secret").await;
    })
    .await;
}

/// SECURITY 3, footnote 2: where people may make teams, they do so with keys of their own, not with
/// a key of a team.
#[tokio::test]
async fn a_key_that_belongs_to_a_team_makes_no_team() {
    on_each_database_with(&[("TOLLKEEP__TEAMS__SELF_SERVE", "true")], async |app| {
        let world = World::new(app).await;
        let input = json!({ "teamId": world.a1, "userId": world.users["member"] });
        let (_, secret) = api_key(&app.admin(), input).await;
        let input = json!({ "name": "Mine" });
        let in_team = app.with_key(Some(&secret));
        let answer = change(&in_team, "teamCreate", input.clone(), "team { id }").await;
        assert_eq!(answer.code(), "FORBIDDEN");
        done(world.person("member"), "teamCreate", input, "team { id }").await;
        assert_eq!(rows(app, "teams WHERE name = 'Mine'").await, 1);
    })
    .await;
}

/// D17, SECURITY 2 (CVE-2026-47101): `allowedRoutes` is enforced, not stored alone.
#[tokio::test]
async fn a_key_for_reading_changes_nothing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let key = async |routes: Value| {
            let input = json!({ "userId": world.users["platform_admin"], "allowedRoutes": routes });
            let (id, secret) = api_key(&app.admin(), input).await;
            (id, app.with_key(Some(&secret)))
        };
        let (id, reading) = key(json!(["management:read"])).await;
        assert_eq!(read(&reading, "{ users { totalCount } }").await["totalCount"], 8);
        assert_eq!(read(&reading, "{ viewer { kind } }").await["kind"], "USER");
        let before = rows(app, "users").await + rows(app, "api_keys").await;
        for (field, input, payload) in [
            ("userCreate", json!({ "name": "N" }), "user { id }"),
            ("userDelete", json!({ "ids": [world.users["member"]] }), "deletedIds"),
            ("apiKeyCreate", json!({}), "secret"),
            ("apiKeyRotate", json!({ "id": id }), "secret"),
            ("apiKeyUpdate", json!({ "id": id, "allowedRoutes": null }), "apiKey { id }"),
            ("teamUpdate", json!({ "id": world.a1, "name": "X" }), "team { id }"),
        ] {
            let answer = change(&reading, field, input, payload).await;
            assert_eq!(answer.code(), "FORBIDDEN", "{field}");
        }
        let (_, calling) = key(json!(["llm", "/v1/chat/completions"])).await;
        for query in ["{ viewer { kind } }", "{ users { totalCount } }", "{ teams { totalCount } }"]
        {
            assert_eq!(calling.run(query).await.code(), "FORBIDDEN", "{query}");
        }
        assert_eq!(rows(app, "users").await + rows(app, "api_keys").await, before + 1);
        let (_, managing) = key(json!(["management"])).await;
        done(&managing, "userCreate", json!({ "name": "N" }), "user { id }").await;
    })
    .await;
}

/// SECURITY 3: a gateway sees no management data and changes none.
#[tokio::test]
async fn a_gateway_key_is_useless_on_management() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let gateway = world.person("gateway");
        let own = &world.keys["gateway"];
        for query in [
            "{ viewer { kind } }".to_owned(),
            "{ teams { totalCount } }".to_owned(),
            "{ users { totalCount } }".to_owned(),
            "{ apiKeys { totalCount } }".to_owned(),
            "{ budgets { totalCount } }".to_owned(),
            "{ auditEvents { totalCount } }".to_owned(),
            "{ joinableTeams { totalCount } }".to_owned(),
            "{ __schema { types { name } } }".to_owned(),
            format!("{{ node(id: \"{own}\") {{ id }} }}"),
            format!("{{ apiKey(id: \"{own}\") {{ id }} }}"),
            format!("{{ nodes(ids: [\"{}\"]) {{ id }} }}", world.a1),
        ] {
            let answer = gateway.run(&query).await;
            assert_eq!(answer.code(), "FORBIDDEN", "{query}: {:#}", answer.body);
        }
        for field in ["apiKeyRotate", "apiKeyUpdate", "apiKeyBlock"] {
            let payload = if field == "apiKeyRotate" { "secret" } else { "apiKey { id }" };
            let answer = change(gateway, field, json!({ "id": own }), payload).await;
            assert_eq!(answer.code(), "FORBIDDEN", "{field}");
        }
    })
    .await;
}

/// SECURITY 3, column SK and footnote 6: a service key sees its team and itself, and may give
/// itself a new secret.
#[tokio::test]
async fn a_service_key_sees_little_and_may_rotate_itself() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let service = world.person("service");
        let own = &world.keys["service"];
        let viewer =
            read(service, "{ viewer { kind user { id } apiKey { id } platformRole } }").await;
        let wanted = json!({
            "kind": "SERVICE", "user": null, "apiKey": { "id": own }, "platformRole": null,
        });
        assert_eq!(viewer, wanted);
        let teams = read(service, "{ teams { nodes { name metadata budgets { id } } } }").await;
        let wanted = json!({ "nodes": [{ "name": "A1", "metadata": null, "budgets": null }] });
        assert_eq!(teams, wanted);
        let keys = read(service, "{ apiKeys { totalCount nodes { id } } }").await;
        assert_eq!(keys, json!({ "totalCount": 1, "nodes": [{ "id": own }] }));
        for query in [
            format!("{{ team(id: \"{}\") {{ id }} }}", world.a2),
            format!("{{ apiKey(id: \"{}\") {{ id }} }}", world.keys["member"]),
            format!("{{ node(id: \"{}\") {{ id }} }}", world.users["member"]),
        ] {
            assert_eq!(read(service, &query).await, Value::Null, "{query}");
        }
        for query in [
            "{ users { totalCount } }",
            "{ auditEvents { totalCount } }",
            "{ __schema { types { name } } }",
        ] {
            assert_eq!(service.run(query).await.code(), "FORBIDDEN", "{query}");
        }
        for (field, input, payload, code) in [
            ("teamUpdate", json!({ "id": world.a1, "name": "X" }), "team { id }", "FORBIDDEN"),
            ("apiKeyUpdate", json!({ "id": own, "name": "X" }), "apiKey { id }", "FORBIDDEN"),
            ("apiKeyBlock", json!({ "id": own }), "apiKey { id }", "FORBIDDEN"),
            ("apiKeyDelete", json!({ "ids": [own] }), "deletedIds", "FORBIDDEN"),
            ("apiKeyRotate", json!({ "id": world.keys["member"] }), "secret", "NOT_FOUND"),
        ] {
            let answer = change(service, field, input, payload).await;
            assert_eq!(answer.code(), code, "{field}");
        }
        let input = json!({ "id": own, "gracePeriod": "PT1M" });
        let made = done(service, "apiKeyRotate", input, "secret apiKey { id }").await;
        assert_eq!(made["apiKey"]["id"], json!(own));
        assert!(is_known(&app.with_key(made["secret"].as_str())).await);
        app.clock.set("2026-11-21T12:01:00Z".parse().unwrap());
        assert!(!is_known(service).await);
    })
    .await;
}

/// C-T, DESIGN 3: a key has at most the limits and models of the team and the owner above it.
#[tokio::test]
async fn a_key_does_not_exceed_the_scopes_above_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let models = json!({ "mode": "LIST", "models": ["gpt-*"] });
        let budgets = json!([{ "create": { "maxSpend": "10", "period": "1d", "requestsPerMinute": 9 } }]);
        let input = json!({ "id": world.a1, "modelAccess": models, "budgets": budgets });
        done(&admin, "teamUpdate", input, "team { id }").await;
        let input = json!({ "id": world.users["member"], "modelAccess": models, "budgets": budgets });
        done(&admin, "userUpdate", input, "user { id }").await;
        let before = rows(app, "api_keys").await;
        for place in [
            json!({ "teamId": world.a1, "kind": "SERVICE" }),
            json!({ "teamId": world.a1, "userId": world.users["viewer"] }),
            json!({ "userId": world.users["member"] }),
        ] {
            let with = |more: Value| {
                let mut input = place.clone();
                input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                input
            };
            let budget = |limits: Value| json!({ "budgets": [{ "create": limits }] });
            for (more, field) in [
                (budget(json!({ "maxSpend": "10.1", "period": "1d" })), "maxSpend"),
                (budget(json!({ "maxSpend": "11", "period": "1h" })), "maxSpend"),
                (budget(json!({ "requestsPerMinute": 10 })), "requestsPerMinute"),
            ] {
                let answer = change(&admin, "apiKeyCreate", with(more), "secret").await;
                answer.refused("LIMIT_EXCEEDED", &format!("input.budgets.{field}"));
            }
            let more = json!({ "modelAccess": { "mode": "LIST", "models": ["claude-4"] } });
            let answer = change(&admin, "apiKeyCreate", with(more), "secret").await;
            answer.refused("LIMIT_EXCEEDED", "input.modelAccess");
            assert_eq!(rows(app, "api_keys").await, before);
        }
        let input = json!({
            "teamId": world.a1, "kind": "SERVICE", "modelAccess": { "mode": "LIST", "models": ["gpt-5"] },
            "budgets": [{ "create": { "maxSpend": "99", "period": "1mo" } }],
        });
        done(&admin, "apiKeyCreate", input, "secret").await;
    })
    .await;
}
