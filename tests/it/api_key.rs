//! Keys: who makes them, what they are good for, and when they cease to be.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::steps::{assert_no_orphans, change, done, is_known, read, rows};

/// SECURITY 3, the rows of key creation: every kind of key, by those who may make it.
#[tokio::test]
async fn keys_are_made_by_those_who_may_make_them() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let missing = format!("team_{}", "7".repeat(32));
        let (a1, b1) = (&world.a1, &world.b1);
        let (member, viewer) = (&world.users["member"], &world.users["viewer"]);
        let personal = json!({});
        let gateway = json!({ "kind": "GATEWAY" });
        let administration = json!({ "kind": "ADMIN" });
        let service = |team: &String| json!({ "kind": "SERVICE", "teamId": team });
        let in_team = |team: &String, user: &String| json!({ "teamId": team, "userId": user });
        for (name, input, code) in [
            ("platform_admin", personal.clone(), ""),
            ("platform_admin", gateway.clone(), ""),
            ("platform_admin", administration.clone(), ""),
            ("platform_admin", service(b1), ""),
            ("platform_admin", in_team(a1, member), ""),
            ("platform_admin", json!({ "userId": member }), ""),
            ("organization_admin", personal.clone(), ""),
            ("organization_admin", service(a1), ""),
            ("organization_admin", in_team(a1, member), ""),
            ("organization_admin", service(b1), "NOT_FOUND"),
            ("organization_admin", service(&missing), "NOT_FOUND"),
            ("organization_admin", json!({ "userId": member }), "FORBIDDEN"),
            ("organization_admin", gateway.clone(), "FORBIDDEN"),
            ("organization_admin", administration.clone(), "FORBIDDEN"),
            ("team_admin", personal.clone(), ""),
            ("team_admin", service(a1), ""),
            ("team_admin", in_team(a1, member), ""),
            ("team_admin", service(&world.a2), "NOT_FOUND"),
            ("team_admin", json!({ "userId": member }), "FORBIDDEN"),
            ("team_admin", administration.clone(), "FORBIDDEN"),
            ("member", personal.clone(), ""),
            ("member", json!({ "teamId": a1 }), "FORBIDDEN"),
            ("member", in_team(a1, viewer), "FORBIDDEN"),
            ("member", service(a1), "FORBIDDEN"),
            ("member", gateway.clone(), "FORBIDDEN"),
            ("outsider", personal.clone(), ""),
            ("outsider", json!({ "teamId": a1 }), "NOT_FOUND"),
            ("outsider", json!({ "userId": member }), "NOT_FOUND"),
            ("viewer", personal.clone(), "FORBIDDEN"),
            ("service", personal.clone(), "FORBIDDEN"),
            ("gateway", gateway.clone(), "FORBIDDEN"),
        ] {
            let before = rows(app, "api_keys").await;
            let answer = change(world.person(name), "apiKeyCreate", input.clone(), "secret").await;
            assert_eq!(answer.code(), code, "{name} {input}: {:#}", answer.body);
            let made = i64::from(code.is_empty());
            assert_eq!(rows(app, "api_keys").await, before + made, "{name} {input}");
        }
        // Footnote 4: a team may grant its members keys of their own, and of nobody else.
        let input = json!({ "id": a1, "memberPermissions": ["API_KEY_CREATE"] });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
        let own = change(world.person("member"), "apiKeyCreate", json!({ "teamId": a1 }), "secret");
        own.await.data();
        let others = in_team(a1, viewer);
        let answer = change(world.person("member"), "apiKeyCreate", others, "secret").await;
        assert_eq!(answer.code(), "FORBIDDEN");
    })
    .await;
}

/// AC-11, C-A15, E 6, E 7: a key reads back as it was made; a key that fits no kind is refused and not written.
#[tokio::test]
async fn a_key_reads_back_as_it_was_made() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({
            "teamId": world.a1, "userId": world.users["member"], "externalId": "ci", "name": "CI",
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] }, "tags": ["b", "a"],
            "allowedRoutes": ["llm", "/v1/chat"], "metadata": { "a": [1] }, "expiresIn": "PT1H",
            "budgets": [{ "create": { "maxSpend": "0", "requestsPerMinute": 7 } }],
        });
        let fields = "{ externalId name kind user { name } team { name } modelAccess { models }
            tags allowedRoutes metadata expiresAt isExpired isBlocked lastUsedAt version
            budgets { remaining budget { maxSpend requestsPerMinute softSpend } } }";
        let made = done(&admin, "apiKeyCreate", input, &format!("apiKey {fields} secret")).await;
        let wanted = json!({
            "externalId": "ci", "name": "CI", "kind": "USER", "user": { "name": "member" },
            "team": { "name": "A1" }, "modelAccess": { "models": ["gpt-4o"] }, "tags": ["b", "a"],
            "allowedRoutes": ["llm", "/v1/chat"], "metadata": { "a": [1] },
            "expiresAt": "2026-11-21T13:00:00+00:00", "isExpired": false, "isBlocked": false,
            "lastUsedAt": null, "version": 1,
            "budgets": [{ "remaining": "0", "budget": {
                "maxSpend": "0", "requestsPerMinute": "7", "softSpend": null,
            } }],
        });
        assert_eq!(made["apiKey"], wanted);
        assert_eq!(read(&admin, &format!("{{ apiKey(id: \"ci\") {fields} }}")).await, wanted);
        let before = rows(app, "api_keys").await;
        let outsider = &world.users["outsider"];
        for (input, field) in [
            (json!({ "kind": "SERVICE" }), "input.teamId"),
            (json!({ "kind": "SERVICE", "teamId": world.a1, "userId": outsider }), "input.userId"),
            (json!({ "kind": "GATEWAY", "teamId": world.a1 }), "input.teamId"),
            (json!({ "kind": "ADMIN", "userId": outsider }), "input.userId"),
            (json!({}), "input.userId"),
            (json!({ "userId": outsider, "teamId": world.a1 }), "input.userId"),
            (json!({ "userId": outsider, "allowedRoutes": [] }), "input.allowedRoutes"),
            (json!({ "userId": outsider, "allowedRoutes": ["all"] }), "input.allowedRoutes.0"),
            (json!({ "userId": outsider, "tags": ["a", "a"] }), "input.tags.1"),
            (json!({ "userId": outsider, "expiresIn": "1hr" }), "input.expiresIn"),
            (json!({ "userId": outsider, "expiresIn": "0s" }), "input.expiresIn"),
            (json!({ "userId": outsider, "expiresAt": "2026-11-21T12:00:00Z" }), "input.expiresAt"),
            (
                json!({ "userId": outsider, "expiresAt": "2027-01-01T00:00:00Z", "expiresIn": "1d" }),
                "input.expiresIn",
            ),
        ] {
            let answer = change(&admin, "apiKeyCreate", input, "secret").await;
            answer.refused("BAD_USER_INPUT", field);
        }
        let input = json!({ "teamId": world.a1, "userId": world.users["member"], "externalId": "ci" });
        let answer = change(&admin, "apiKeyCreate", input, "secret").await;
        answer.refused("ALREADY_EXISTS", "input.externalId");
        assert_eq!(rows(app, "api_keys").await, before);
    })
    .await;
}

/// SECURITY 5, F1: the secret is shown once; all else has its last four characters.
#[tokio::test]
async fn a_secret_is_shown_once_and_nowhere_else() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "teamId": world.a1, "userId": world.users["member"] });
        let made = done(&admin, "apiKeyCreate", input, "apiKey { id hint } secret").await;
        let (id, first) = (text(&made, "/apiKey/id"), text(&made, "/secret"));
        assert!(first.starts_with("sk-tku_") && first.len() == 43, "{first}");
        assert_eq!(made["apiKey"]["hint"], first[39..]);
        let input = json!({ "id": id, "gracePeriod": "P1D" });
        let made = done(&admin, "apiKeyRotate", input, "apiKey { id hint } secret").await;
        let second = text(&made, "/secret");
        assert_eq!(
            (text(&made, "/apiKey/id"), text(&made, "/apiKey/hint")),
            (id.clone(), second[39..].to_owned())
        );
        let key = "id name hint metadata createdBy user { id } team { id }";
        let queries = [
            format!("{{ apiKey(id: \"{id}\") {{ {key} }} }}"),
            format!("{{ node(id: \"{id}\") {{ ... on ApiKey {{ {key} }} }} }}"),
            format!("{{ apiKeys(first: 100) {{ nodes {{ {key} }} edges {{ cursor }} }} }}"),
            format!("{{ teams {{ nodes {{ apiKeys {{ nodes {{ {key} }} }} }} }} }}"),
            format!("{{ users {{ nodes {{ apiKeys {{ nodes {{ {key} }} }} }} }} }}"),
            "{ auditEvents(first: 100) { nodes { action before after } } }".to_owned(),
        ];
        for query in queries {
            let answer = admin.data(&query).await.to_string();
            assert!(answer.contains(&id), "{query}");
            for secret in [&first, &second] {
                let hexadecimal = tollkeep::secret::hex(secret.as_bytes());
                for part in [&secret[7..37], &secret[3..20], &hexadecimal] {
                    assert!(!answer.contains(part), "{query}");
                }
            }
            assert!(!answer.contains("digest") && !answer.contains("pepper"), "{query}");
        }
        for (kind, tag) in [("SERVICE", "sk-tks_"), ("GATEWAY", "sk-tkg_"), ("ADMIN", "sk-tka_")] {
            let team = if kind == "SERVICE" { json!(world.a1) } else { Value::Null };
            let (_, secret) = api_key(&admin, json!({ "kind": kind, "teamId": team })).await;
            assert!(secret.starts_with(tag), "{kind}");
        }
    })
    .await;
}

/// F1, SECURITY 5: secrets of one's own are for platform admins, hard to guess, and used once.
#[tokio::test]
async fn a_chosen_secret_is_for_platform_admins_and_hard_to_guess() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let secret = "sk-My_own-secret-0123456789abcdefghij";
        let input = |secret: &str| json!({ "userId": world.users["member"], "secret": secret });
        let admin = world.person("platform_admin");
        for weak in
            ["", "sk-1234", "sk-short0123456789", &secret[3..], &format!("sk-{}", "ab".repeat(20))]
        {
            let answer = change(admin, "apiKeyCreate", input(weak), "secret").await;
            answer.refused("BAD_USER_INPUT", "input.secret");
        }
        for name in ["member", "organization_admin", "team_admin"] {
            let input = json!({ "secret": secret });
            let answer = change(world.person(name), "apiKeyCreate", input, "secret").await;
            assert_eq!(answer.code(), "FORBIDDEN", "{name}");
        }
        let made = done(admin, "apiKeyCreate", input(secret), "secret apiKey { hint }").await;
        assert_eq!(made, json!({ "secret": secret, "apiKey": { "hint": "ghij" } }));
        let me = read(&app.with_key(Some(secret)), "{ viewer { user { name } } }").await;
        assert_eq!(me["user"]["name"], "member");
        let again = change(admin, "apiKeyCreate", input(secret), "secret").await;
        again.refused("ALREADY_EXISTS", "input.secret");
    })
    .await;
}

/// SECURITY 5, "Rotation": without a grace the old secret ends at once, and the id stays.
#[tokio::test]
async fn a_rotation_without_grace_ends_the_old_secret_at_once() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (me, id) = (world.person("member"), &world.keys["member"]);
        let payload = "secret apiKey { id version previousSecretValidUntil }";
        for grace in [Value::Null, json!("PT0S")] {
            let (_, old) = api_key(&app.admin(), json!({ "userId": world.users["member"] })).await;
            let old = app.with_key(Some(&old));
            let own = text(&read(&old, "{ viewer { apiKey { id } } }").await, "/apiKey/id");
            let input = json!({ "id": own, "gracePeriod": grace });
            let made = done(&old, "apiKeyRotate", input, payload).await;
            let wanted = json!({ "id": own, "version": 2, "previousSecretValidUntil": null });
            assert_eq!(made["apiKey"], wanted);
            assert!(!is_known(&old).await);
            assert!(is_known(&app.with_key(Some(&text(&made, "/secret")))).await);
        }
        let input = json!({ "id": id, "expectedVersion": 9 });
        change(me, "apiKeyRotate", input, "secret").await.refused("CONFLICT", "-");
        assert!(is_known(me).await);
    })
    .await;
}

/// D16, SECURITY 5, "Rotation": a grace ends at its instant, and no more than one predecessor lives.
#[tokio::test]
async fn a_rotation_with_grace_keeps_one_predecessor_until_its_instant() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let (id, first) = api_key(&admin, json!({ "userId": world.users["member"] })).await;
        let rotate = async |grace: &str| {
            let input = json!({ "id": id, "gracePeriod": grace });
            text(&done(&admin, "apiKeyRotate", input, "secret").await, "/secret")
        };
        let second = rotate("PT1H").await;
        let third = rotate("PT1H").await;
        let known = async || {
            let mut known = Vec::new();
            for secret in [&first, &second, &third] {
                known.push(is_known(&app.with_key(Some(secret))).await);
            }
            known
        };
        assert_eq!(known().await, [false, true, true]);
        let query = format!("{{ apiKey(id: \"{id}\") {{ previousSecretValidUntil hint }} }}");
        let shown = read(&admin, &query).await;
        let until = "2026-11-21T13:00:00+00:00";
        assert_eq!(shown, json!({ "previousSecretValidUntil": until, "hint": third[39..] }));
        app.clock.set("2026-11-21T12:59:59.999999Z".parse().unwrap());
        assert_eq!(known().await, [false, true, true]);
        app.clock.set("2026-11-21T13:00:00Z".parse().unwrap());
        assert_eq!(known().await, [false, false, true]);
        assert_eq!(read(&admin, &query).await["previousSecretValidUntil"], Value::Null);
        for (grace, refused) in [("P7D", false), ("168h", false), ("P7DT1S", true), ("1hr", true)] {
            let input = json!({ "id": id, "gracePeriod": grace });
            let answer = change(&admin, "apiKeyRotate", input, "secret").await;
            assert_eq!(answer.code() == "BAD_USER_INPUT", refused, "{grace}: {:#}", answer.body);
        }
        let query = format!(
            "{{ auditEvents(filter: {{ subjectId: \"{id}\", actions: [API_KEY_ROTATED] }}) {{
                totalCount nodes {{ after }} }} }}"
        );
        let events = read(&admin, &query).await;
        assert_eq!(events["totalCount"], 4);
        let secrets =
            format!("api_key_secrets WHERE api_key_id = {}", crate::steps::sql_id(app, &id));
        assert_eq!(rows(app, &secrets).await, 2);
    })
    .await;
}

/// SECURITY 5, "Expiry": refused from its instant on, with the 401 of any other key.
#[tokio::test]
async fn a_key_expires_at_its_instant() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let user = &world.users["member"];
        let (id, secret) = api_key(&admin, json!({ "userId": user, "expiresIn": "90s" })).await;
        let key = app.with_key(Some(&secret));
        let query = format!("{{ apiKey(id: \"{id}\") {{ isExpired }} }}");
        let expired = "{ apiKeys(filter: { isExpired: true }) { totalCount } }";
        app.clock.set("2026-11-21T12:01:29.999999Z".parse().unwrap());
        assert!(is_known(&key).await);
        assert_eq!(read(&admin, &query).await["isExpired"], false);
        assert_eq!(read(&admin, expired).await["totalCount"], 0);
        app.clock.set("2026-11-21T12:01:30Z".parse().unwrap());
        assert!(!is_known(&key).await);
        assert_eq!(read(&admin, &query).await["isExpired"], true);
        assert_eq!(read(&admin, expired).await["totalCount"], 1);
        let answer = change(&admin, "apiKeyRotate", json!({ "id": id }), "secret").await;
        answer.refused("CONFLICT", "-");
        let input = json!({ "id": id, "expiresAt": "2026-11-21T12:01:31Z" });
        let longer = change(world.person("member"), "apiKeyUpdate", input.clone(), "apiKey { id }");
        assert_eq!(longer.await.code(), "FORBIDDEN");
        done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        assert!(is_known(&key).await);
        done(&admin, "apiKeyUpdate", json!({ "id": id, "expiresAt": null }), "apiKey { id }").await;
        app.clock.set("2099-01-01T00:00:00Z".parse().unwrap());
        assert!(is_known(&key).await);
    })
    .await;
}

/// D18, SECURITY 3, "key revoke, block"; case 22; E 25: each level blocks, and undoes what is not above it.
#[tokio::test]
async fn a_key_is_blocked_and_unblocked_by_levels() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({ "teamId": world.a1, "userId": world.users["member"] });
        let (id, secret) = api_key(&app.admin(), input).await;
        let levels = [
            ("member", "OWNER"),
            ("team_admin", "TEAM"),
            ("organization_admin", "ORGANIZATION"),
            ("platform_admin", "PLATFORM"),
        ];
        for (number, (name, level)) in levels.into_iter().enumerate() {
            let person = world.person(name);
            let key =
                done(person, "apiKeyBlock", json!({ "id": id }), "apiKey { blockedBy }").await;
            assert_eq!(key["apiKey"]["blockedBy"], level);
            assert!(!is_known(&app.with_key(Some(&secret))).await);
            for (lower, _) in &levels[..number] {
                let input = json!({ "id": id });
                let key =
                    done(world.person(lower), "apiKeyBlock", input.clone(), "apiKey { blockedBy }");
                assert_eq!(key.await["apiKey"]["blockedBy"], level, "{lower}");
                let answer = change(world.person(lower), "apiKeyUnblock", input, "apiKey { id }");
                answer.await.refused("CONFLICT", "-");
            }
        }
        let key = "apiKey { isBlocked blockedBy version }";
        let free =
            done(world.person("platform_admin"), "apiKeyUnblock", json!({ "id": id }), key).await;
        let wanted = json!({ "isBlocked": false, "blockedBy": null, "version": 6 });
        assert_eq!(free["apiKey"], wanted);
        let again = done(world.person("member"), "apiKeyUnblock", json!({ "id": id }), key).await;
        assert_eq!(again["apiKey"], wanted);
        assert!(is_known(&app.with_key(Some(&secret))).await);
        for (name, code) in
            [("viewer", "FORBIDDEN"), ("outsider", "NOT_FOUND"), ("other_team_admin", "NOT_FOUND")]
        {
            let answer =
                change(world.person(name), "apiKeyBlock", json!({ "id": id }), "apiKey { id }");
            assert_eq!(answer.await.code(), code, "{name}");
        }
    })
    .await;
}

/// SECURITY case 21, case 23; E 36: all or none, at once, with secrets and budgets.
#[tokio::test]
async fn deleted_keys_are_refused_at_once() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let user = &world.users["member"];
        let budgets = json!([{ "create": { "maxSpend": "5" } }]);
        let (id, secret) =
            api_key(&app.admin(), json!({ "userId": user, "budgets": budgets })).await;
        let me = world.person("member");
        let before = rows(app, "api_keys").await;
        for other in [&world.keys["outsider"], &world.keys["service"], &world.users["member"]] {
            let input = json!({ "ids": [id, other] });
            let answer = change(me, "apiKeyDelete", input, "deletedIds").await;
            answer.refused("NOT_FOUND", "input.ids.1");
        }
        assert_eq!(rows(app, "api_keys").await, before);
        assert!(is_known(&app.with_key(Some(&secret))).await);
        let gone = done(me, "apiKeyDelete", json!({ "ids": [id] }), "deletedIds").await;
        assert_eq!(gone, json!({ "deletedIds": [id] }));
        assert!(!is_known(&app.with_key(Some(&secret))).await);
        assert_no_orphans(app).await;
        assert_eq!(rows(app, "budgets").await, 0);
        let query = format!(
            "{{ auditEvents(filter: {{ subjectId: \"{id}\", actions: [API_KEY_DELETED] }}) {{
                nodes {{ actorId after before }} }} }}"
        );
        let event = read(&app.admin(), &query).await["nodes"][0].clone();
        assert_eq!((&event["actorId"], &event["after"]), (&json!(user), &Value::Null));
        assert_eq!(event["before"]["user_id"], json!(user));
    })
    .await;
}

/// D18, SECURITY 3, "key read / list"; E 32: a list holds and counts the keys that one may see.
#[tokio::test]
async fn keys_are_seen_by_their_owners_and_those_who_run_their_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for (name, team) in [("member", &world.a1), ("other_team_admin", &world.b1)] {
            let user = &world.users[name];
            let input =
                json!({ "teamId": team, "userId": user, "name": format!("{name} in team") });
            api_key(&admin, input).await;
        }
        let query = "{ apiKeys { totalCount nodes { name } } }";
        for (name, seen) in [
            ("outsider", &["outsider key"][..]),
            ("viewer", &["viewer key"]),
            ("member", &["member in team", "member key"]),
            ("team_admin", &["member in team", "service key", "team_admin key"]),
            ("other_team_admin", &["other_team_admin in team", "other_team_admin key"]),
            ("organization_admin", &["member in team", "organization_admin key", "service key"]),
            ("service", &["service key"]),
        ] {
            let keys = read(world.person(name), query).await;
            let names: Vec<_> =
                keys["nodes"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
            assert_eq!(names, seen, "{name}");
            assert_eq!(keys["totalCount"], seen.len(), "{name}");
        }
        for name in ["platform_viewer", "platform_admin"] {
            assert_eq!(read(world.person(name), query).await["totalCount"], 12, "{name}");
        }
        let answer = world.person("gateway").run(query).await;
        assert_eq!(answer.code(), "FORBIDDEN");
    })
    .await;
}
