//! Who gets in: credentials, what surrounds them, and what happens when they cannot be checked.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::client::text;
use crate::harness::database;
use crate::harness::world::{World, api_key};
use crate::harness::{ADMIN_KEY, Answer, Kind, TestApp, TestDatabase, on_each_database};
use crate::steps::{change, done, execute, is_known, read, rows, sql_id};

const ASK: &str = "{ viewer { kind } }";

/// Sends bytes as they are, and returns the status and the whole answer.
async fn raw(app: &TestApp, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    // A server that has heard enough may hang up before it has heard all.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer)
}

/// A request for who one is, with lines of headers, to a path.
fn request(path: &str, headers: &str) -> Vec<u8> {
    let body = json!({ "query": ASK }).to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The body of an answer without the id of its request.
fn masked(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    let id = body["errors"][0]["extensions"]["requestId"].take();
    assert!(id.as_str().is_some_and(|id| !id.is_empty()), "{body:#}");
    body
}

/// SECURITY 3, error law; SECURITY case 10, case 12, E 36: whatever is wrong with a credential, the
/// answer is the same, and has nothing of the credential in it.
#[tokio::test]
async fn every_credential_that_is_not_in_force_gets_the_same_answer() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let user = &world.users["member"];
        let nobody = app.with_key(None).run(ASK).await;
        assert_eq!((nobody.status, nobody.code().as_str()), (401, "UNAUTHENTICATED"));
        let mut wrong = vec![
            "sk-".to_owned(),
            "sk-1234".to_owned(),
            "nonsense".to_owned(),
            ADMIN_KEY[..ADMIN_KEY.len() - 1].to_owned(),
            format!("{ADMIN_KEY}x"),
            ADMIN_KEY.to_uppercase(),
            format!("sk-{}", "a".repeat(300)),
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".to_owned(),
            "' OR '1'='1".to_owned(),
            "sk-'; DROP TABLE users; --".to_owned(),
            "sk-%".to_owned(),
            "sk-____".to_owned(),
        ];
        let key = async |more: Value| {
            let mut input = json!({ "userId": user });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            api_key(&admin, input).await
        };
        let (_, good) = key(json!({})).await;
        for digest in [Sha256::digest(good.as_bytes()), Sha256::digest(ADMIN_KEY.as_bytes())] {
            let hexadecimal = tollkeep::secret::hex(&digest);
            wrong.extend([
                hexadecimal.to_uppercase(),
                format!("sk-{hexadecimal}"),
                STANDARD.encode(digest),
                format!("sk-{}", URL_SAFE_NO_PAD.encode(digest)),
                hexadecimal,
            ]);
        }
        let mut mistyped = good.clone();
        mistyped.replace_range(20..21, if &good[20..21] == "x" { "y" } else { "x" });
        wrong.extend([mistyped, good[..42].to_owned(), format!("{good}0"), good.to_uppercase()]);
        let (blocked, secret) = key(json!({})).await;
        done(&admin, "apiKeyBlock", json!({ "id": blocked }), "apiKey { id }").await;
        wrong.push(secret);
        let (deleted, secret) = key(json!({})).await;
        done(&admin, "apiKeyDelete", json!({ "ids": [deleted] }), "deletedIds").await;
        wrong.push(secret);
        let (rotated, secret) = key(json!({})).await;
        done(&admin, "apiKeyRotate", json!({ "id": rotated }), "secret").await;
        wrong.push(secret);
        wrong.push(key(json!({ "expiresIn": "1s" })).await.1);
        app.clock.set("2026-11-21T12:00:01Z".parse().unwrap());
        for secret in &wrong {
            let answer = app.with_key(Some(secret)).run(ASK).await;
            assert_eq!(answer.status, 401, "{secret}");
            assert_eq!(masked(&answer), masked(&nobody), "{secret}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"tollkeep\"");
            let other = app.with_key(None);
            let header = [("x-api-key", secret.as_str())];
            let answer = other.post(json!({ "query": ASK }), &header).await;
            assert_eq!(masked(&answer), masked(&nobody), "{secret}");
        }
        assert!(is_known(&app.with_key(Some(&good))).await, "not the bad keys of others' doing");
        assert!(rows(app, "users").await > 0);
    })
    .await;
}

/// SECURITY case 10 (GHSA-69x8): what is stored is no credential.
#[tokio::test]
async fn a_stored_digest_is_no_credential() {
    use sea_orm::EntityTrait as _;
    on_each_database(async |app| {
        let world = World::new(app).await;
        let database = app.database().await;
        let stored = entity::api_key_secret::Entity::find().all(&database).await.unwrap();
        assert_eq!(stored.len(), world.keys.len());
        for row in stored {
            let hexadecimal = tollkeep::secret::hex(&row.digest.0);
            for secret in [
                hexadecimal.clone(),
                hexadecimal.to_uppercase(),
                format!("sk-{hexadecimal}"),
                STANDARD.encode(&row.digest.0),
                format!("sk-{}", URL_SAFE_NO_PAD.encode(&row.digest.0)),
            ] {
                assert!(!is_known(&app.with_key(Some(&secret))).await);
            }
        }
    })
    .await;
}

/// SECURITY case 11 (CVE-2026-35030): keys that begin alike are different keys, in either order.
#[tokio::test]
async fn keys_that_begin_alike_are_told_apart() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let tail = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789";
        for (number, length) in [20, 40, 60].into_iter().enumerate() {
            let start = format!("sk-{number}{}", &tail[..length - 4]);
            let mut made = Vec::new();
            for (name, end) in [("platform_admin", "zzzzzzzzzzzzA"), ("member", "zzzzzzzzzzzzB")] {
                let input =
                    json!({ "userId": world.users[name], "secret": format!("{start}{end}") });
                made.push((name, api_key(&app.admin(), input).await.1));
            }
            for order in [[0, 1, 0], [1, 0, 1]] {
                for index in order {
                    let (name, secret) = &made[index];
                    let me =
                        read(&app.with_key(Some(secret)), "{ viewer { user { name } } }").await;
                    assert_eq!(me["user"]["name"], *name, "{length}");
                }
            }
            assert!(!is_known(&app.with_key(Some(&start))).await);
            assert!(!is_known(&app.with_key(Some(&format!("{start}zzzzzzzzzzzzC")))).await);
        }
    })
    .await;
}

/// SECURITY case 12 (CVE-2026-42208): headers that no client sends are refused, and reach no SQL.
#[tokio::test]
async fn strange_credentials_are_refused() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (_, secret) = api_key(&app.admin(), json!({ "userId": world.users["member"] })).await;
        let before = rows(app, "users").await;
        for headers in [
            "authorization:\r\n".to_owned(),
            "authorization: Bearer\r\n".to_owned(),
            "authorization: Bearer \r\n".to_owned(),
            format!("authorization: {secret}\r\n"),
            format!("authorization: Basic {}\r\n", STANDARD.encode(format!("x:{secret}"))),
            format!("authorization: Basic {secret}\r\n"),
            format!("authorization: Bearer {secret}\r\nauthorization: Bearer {secret}\r\n"),
            format!("authorization: Bearer {secret}\r\nauthorization: Bearer sk-other\r\n"),
            format!("authorization: Bearer {secret}\r\nx-api-key: {ADMIN_KEY}\r\n"),
            format!("authorization: Bearer {ADMIN_KEY}\r\nx-api-key: {secret}\r\n"),
            format!("x-api-key: {secret}\r\nx-api-key: {ADMIN_KEY}\r\n"),
            format!("authorization: Bearer {secret}, Bearer {ADMIN_KEY}\r\n"),
            format!("authorization: Bearer \"{secret}\"\r\n"),
            format!("authorization: Bearer {secret}'--\r\n"),
            "authorization: Bearer sk-\u{e4}\u{f6}\r\n".to_owned(),
            "authorization: Bearer sk-%00\r\n".to_owned(),
            format!("cookie: authorization=Bearer {ADMIN_KEY}\r\n"),
            format!("x-litellm-api-key: {ADMIN_KEY}\r\n"),
        ] {
            let (status, answer) = raw(app, &request("/graphql", &headers)).await;
            assert_eq!(status, 401, "{headers}: {answer}");
            assert!(!answer.contains(&secret) && !answer.contains(ADMIN_KEY), "{answer}");
        }
        let (status, _) = raw(app, &request("/graphql?api_key=x", "")).await;
        assert_eq!(status, 401);
        for headers in [
            "authorization: Bearer sk-\0\r\n".to_owned(),
            format!("authorization: Bearer sk-{}\r\n", "a".repeat(1_048_576)),
        ] {
            let (status, answer) = raw(app, &request("/graphql", &headers)).await;
            assert!([0, 400, 401, 431].contains(&status), "{answer}");
            assert!(!answer.contains("data"), "{answer}");
        }
        for headers in [
            format!("authorization: Bearer {secret}\r\n"),
            format!("authorization: bEARER {secret}\r\n"),
            format!("x-api-key: {secret}\r\n"),
            format!("authorization: Bearer {secret}\r\nx-api-key: {secret}\r\n"),
        ] {
            let (status, answer) = raw(app, &request("/graphql", &headers)).await;
            assert_eq!(status, 200, "{headers}: {answer}");
        }
        assert_eq!(rows(app, "users").await, before);
    })
    .await;
}

/// SECURITY case 13 (CVE-2026-49468): no header and no spelling of the path opens the door.
#[tokio::test]
async fn no_header_and_no_path_stands_for_a_key() {
    on_each_database(async |app| {
        for headers in [
            "x-original-url: /livez\r\n",
            "x-rewrite-url: /livez\r\n",
            "x-forwarded-for: 127.0.0.1\r\n",
            "x-forwarded-host: localhost\r\nx-forwarded-proto: https\r\n",
            "x-forwarded-prefix: /livez\r\n",
            "forwarded: for=127.0.0.1;host=admin\r\n",
            "x-real-ip: 127.0.0.1\r\n",
            "x-http-method-override: GET\r\n",
            "x-tollkeep-on-behalf-of: admin\r\n",
            "x-user-id: admin\r\nx-user-role: ADMIN\r\n",
            "x-request-id: bootstrap\r\n",
        ] {
            let (status, answer) = raw(app, &request("/graphql", headers)).await;
            assert_eq!(status, 401, "{headers}: {answer}");
        }
        for host in ["admin", "127.0.0.1", "livez", "localhost/livez", "[::1]"] {
            let request = request("/graphql", "");
            let request = String::from_utf8(request).unwrap();
            let request = request.replacen("host: localhost", &format!("host: {host}"), 1);
            let (status, answer) = raw(app, request.as_bytes()).await;
            assert!([400, 401].contains(&status), "{host}: {answer}");
        }
        for path in [
            "//graphql",
            "/graphql/",
            "/%67raphql",
            "/graphql%2f",
            "/livez/../graphql",
            "/livez/%2e%2e/graphql",
            "/GRAPHQL",
            "/graphql;a=b",
            "/graphql%00",
            "http://localhost/graphql",
        ] {
            let (status, answer) = raw(app, &request(path, "")).await;
            assert!([400, 401, 404].contains(&status), "{path}: {answer}");
            assert!(!answer.contains("\"data\""), "{path}: {answer}");
        }
    })
    .await;
}

/// SECURITY case 12, case 14 (CVE-2026-59822): what cannot be a secret is refused without a look at
/// the database, even one that is away; a credential that cannot be checked is nobody, and 503.
#[tokio::test]
async fn without_a_database_nobody_is_anybody() {
    for kind in database::kinds() {
        let database = TestDatabase::create(kind).await;
        let app = TestApp::start(&database, &[]).await;
        let world = World::new(&app).await;
        match kind {
            Kind::Sqlite => app.app.close().await,
            Kind::Postgres => database.drop().await,
        }
        for name in ["member", "platform_admin", "gateway", "service"] {
            for query in [ASK, "{ teams { totalCount } }", "{ __typename }"] {
                let answer = world.person(name).run(query).await;
                assert_eq!(answer.status, 503, "{kind:?} {name}: {:#}", answer.body);
                assert_eq!(answer.code(), "SERVICE_UNAVAILABLE", "{kind:?} {name}");
                assert_eq!(answer.body.get("data"), None);
                assert_eq!(answer.headers["retry-after"], "1");
            }
        }
        let unknown = app.with_key(Some("sk-unknown")).run(ASK).await;
        assert_eq!(unknown.status, 503, "{:#}", unknown.body);
        let nobody = app.with_key(None).run(ASK).await;
        assert_eq!(nobody.status, 401, "{:#}", nobody.body);
        let mistyped = format!("sk-tku_{}", "x".repeat(36));
        for junk in ["unknown", "' OR 1=1 --", "sk-'; DROP TABLE users; --", "sk-%", &mistyped] {
            let answer = app.with_key(Some(junk)).run(ASK).await;
            assert_eq!(answer.status, 401, "{junk}: {:#}", answer.body);
        }
        // The bootstrap key needs no database to be known; what it asks for does.
        let answer = app.admin().run("{ teams { totalCount } }").await;
        assert_eq!(answer.code(), "SERVICE_UNAVAILABLE", "{:#}", answer.body);
        let answer =
            change(&app.admin(), "userCreate", json!({ "name": "N" }), "user { id }").await;
        assert_eq!(answer.code(), "SERVICE_UNAVAILABLE", "{:#}", answer.body);
        for word in ["sqlite", "postgres", "SELECT", "tollkeep_test", "pool"] {
            assert!(!answer.body.to_string().contains(word), "{:#}", answer.body);
        }
        app.stop().await;
    }
}

/// SECURITY case 15, E 37: secrets are in no answer, no error and no audit row.
#[tokio::test]
async fn secrets_are_in_no_answer_and_no_audit_row() {
    use sea_orm::EntityTrait as _;
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = world.person("platform_admin");
        let canary = "sk-CANARY-7f3b91d0c4a86e25-QzXvKpLm";
        let input = json!({ "userId": world.users["member"], "secret": canary, "name": "canary" });
        let made = done(admin, "apiKeyCreate", input.clone(), "apiKey { id }").await;
        let id = text(&made, "/apiKey/id");
        let mut answers = Vec::new();
        // Errors do not repeat a secret either: taken, too weak, in the wrong place.
        answers.push(change(admin, "apiKeyCreate", input, "secret").await.body);
        let weak =
            json!({ "userId": world.users["member"], "secret": format!("{canary} {canary}") });
        answers.push(change(admin, "apiKeyCreate", weak, "secret").await.body);
        let refused = json!({ "secret": canary });
        answers.push(change(world.person("member"), "apiKeyCreate", refused, "secret").await.body);
        for query in [
            format!("{{ user(id: \"{canary}\") {{ id }} }}"),
            format!("{{ apiKey(id: \"{canary}\") {{ id }} }}"),
            format!("{{ apiKeys(filter: {{ search: \"{canary}\" }}) {{ totalCount }} }}"),
            "{ apiKeys(first: 100) { nodes { id name hint metadata tags externalId createdBy } } }"
                .to_owned(),
            "{ auditEvents(first: 100) { nodes { action before after actorId actorApiKeyId } } }"
                .to_owned(),
        ] {
            answers.push(admin.run(&query).await.body);
        }
        let own = app.with_key(Some(canary));
        answers.push(
            own.run("{ viewer { apiKey { id hint name } user { id name metadata } } }").await.body,
        );
        answers.push(change(&own, "userCreate", json!({ "name": "N" }), "user { id }").await.body);
        answers
            .push(change(admin, "apiKeyDelete", json!({ "ids": [id] }), "deletedIds").await.body);
        answers.push(own.run(ASK).await.body);
        for answer in &answers {
            let text = answer.to_string();
            assert!(!text.contains("CANARY") && !text.contains("7f3b91d0c4a86e25"), "{answer:#}");
        }
        let database = app.database().await;
        let events = entity::audit_event::Entity::find().all(&database).await.unwrap();
        assert!(events.iter().any(|event| event.action == "API_KEY_DELETED"));
        for event in events {
            assert!(!format!("{event:?}").contains("CANARY"), "{event:?}");
        }
        assert_eq!(rows(app, "api_keys WHERE search_text LIKE '%7f3b91d0%'").await, 0);
    })
    .await;
}

/// SECURITY case 18 (CVE-2025-31481): one verdict about an object, whichever way leads to it.
#[tokio::test]
async fn every_way_to_an_object_has_the_same_verdict() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({ "teamId": world.b1, "kind": "SERVICE", "name": "B1 service" });
        let (b1_key, _) = api_key(&app.admin(), input).await;
        let nouns = [
            ("team", &world.a1),
            ("team", &world.a2),
            ("team", &world.b1),
            ("user", &world.users["member"]),
            ("user", &world.users["other_team_admin"]),
            ("apiKey", &world.keys["member"]),
            ("apiKey", &world.keys["service"]),
            ("apiKey", &b1_key),
        ];
        for name in [
            "outsider", "viewer", "member", "team_admin", "other_team_admin", "organization_admin",
            "platform_viewer", "platform_admin",
        ] {
            let person = world.person(name);
            for (noun, id) in nouns {
                let root = read(person, &format!("{{ {noun}(id: \"{id}\") {{ id }} }}")).await;
                let seen = !root.is_null();
                let node = read(person, &format!("{{ node(id: \"{id}\") {{ id }} }}")).await;
                let nodes = read(person, &format!("{{ nodes(ids: [\"{id}\"]) {{ id }} }}")).await;
                let query = format!("{{ {noun}s(first: 100) {{ totalCount nodes {{ id }} }} }}");
                let list = read(person, &query).await;
                let listed = list["nodes"].to_string().contains(id.as_str());
                let ways = [!node.is_null(), !nodes[0].is_null(), listed];
                assert_eq!(ways, [seen; 3], "{name} {noun} {id}");
                assert_eq!(list["totalCount"], list["nodes"].as_array().unwrap().len(), "{name} {noun}");
            }
            // Nested edges and filters: nothing is there that the lists do not have.
            let query = "{
                users(first: 100) { nodes { id } } teams(first: 100) { nodes { id } }
                apiKeys(first: 100) { nodes { id } }
            }";
            let lists = person.data(query).await.to_string();
            let query = "{
                teams { nodes { members { nodes { user { id apiKeys { nodes { id } } } } }
                    apiKeys { totalCount nodes { id user { id } } } } }
                apiKeys { nodes { team { id } user { id teamMemberships { nodes { team { id } } } } } }
            }";
            let nested = person.data(query).await.to_string();
            for (noun, id) in nouns {
                let (listed, found) = (lists.contains(id.as_str()), nested.contains(id.as_str()));
                assert!(listed || !found, "{name} {noun} {id}");
            }
            for (filter, noun, id) in [
                (format!("userId: \"{}\"", world.users["other_team_admin"]), "apiKeys", &world.users["other_team_admin"]),
                (format!("teamIds: [\"{}\"]", world.b1), "apiKeys", &world.b1),
                (format!("teamIds: [\"{}\"]", world.b1), "users", &world.b1),
            ] {
                let query = format!("{{ {noun}(filter: {{ {filter} }}) {{ totalCount nodes {{ id }} }} }}");
                let answer = person.run(&query).await;
                let visible = lists.contains(id.as_str());
                let found = answer.body["data"][noun]["totalCount"].as_i64().unwrap_or_default();
                assert!(visible || found == 0, "{name} {noun} {filter}: {:#}", answer.body);
            }
        }
    })
    .await;
}

/// SECURITY 3, error law: what one may not see is answered as what does not exist.
#[tokio::test]
async fn what_one_may_not_see_is_answered_as_missing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let me = world.person("organization_admin");
        for (field, key, prefix, hidden, payload) in [
            ("userUpdate", "id", "user", &world.users["other_team_admin"], "user { id }"),
            ("userBlock", "id", "user", &world.users["outsider"], "user { id }"),
            ("userDelete", "ids", "user", &world.users["platform_admin"], "deletedIds"),
            ("apiKeyUpdate", "id", "key", &world.keys["member"], "apiKey { id }"),
            ("apiKeyRotate", "id", "key", &world.keys["other_team_admin"], "secret"),
            ("apiKeyBlock", "id", "key", &world.keys["gateway"], "apiKey { id }"),
            ("apiKeyDelete", "ids", "key", &world.keys["platform_admin"], "deletedIds"),
        ] {
            let missing = format!("{prefix}_{}", "7".repeat(32));
            let mut bodies = Vec::new();
            for id in [hidden, &missing, &"no-such".to_owned()] {
                let value = if key == "ids" { json!([id]) } else { json!(id) };
                let answer = change(me, field, json!({ key: value }), payload).await;
                assert_eq!(answer.code(), "NOT_FOUND", "{field} {id}");
                bodies.push(masked(&answer));
            }
            assert_eq!(bodies[0], bodies[1], "{field}");
            assert_eq!(bodies[0], bodies[2], "{field}");
        }
    })
    .await;
}

/// SECURITY case 24 (S11): the actor is the credential; a claim is recorded beside it, or refused.
#[tokio::test]
async fn the_actor_is_the_credential_whatever_a_header_claims() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let body = |name: &str| {
            let query = format!(
                "mutation {{ teamUpdate(input: {{ id: \"{}\", name: \"{name}\" }}) {{ team {{ updatedBy }} }} }}",
                world.a1
            );
            json!({ "query": query })
        };
        let claim = [("x-tollkeep-on-behalf-of", "somebody@example.com")];
        for name in ["team_admin", "organization_admin", "platform_viewer", "service", "member"] {
            let answer = world.person(name).post(body("claimed"), &claim).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_USER_INPUT"), "{name}");
        }
        let answer = world.person("gateway").post(body("claimed"), &claim).await;
        assert_eq!(answer.code(), "FORBIDDEN");
        let answer = world.person("platform_admin").post(body("by admin"), &claim).await;
        let id = &world.users["platform_admin"];
        assert_eq!(answer.data()["teamUpdate"]["team"]["updatedBy"], json!(id));
        let forged = [
            ("litellm-changed-by", "bootstrap"), ("x-changed-by", "bootstrap"),
            ("x-actor-id", "bootstrap"), ("x-user-id", id.as_str()),
        ];
        let answer = world.person("team_admin").post(body("by team"), &forged).await;
        let team_admin = &world.users["team_admin"];
        assert_eq!(answer.data()["teamUpdate"]["team"]["updatedBy"], json!(team_admin));
        let query = format!(
            "{{ auditEvents(filter: {{ subjectId: \"{}\", actions: [TEAM_UPDATED] }}) {{
                nodes {{ actorId actorKind onBehalfOf }} }} }}",
            world.a1
        );
        let events = read(&app.admin(), &query).await;
        let wanted = json!([
            { "actorId": team_admin, "actorKind": "USER", "onBehalfOf": null },
            { "actorId": id, "actorKind": "USER", "onBehalfOf": "somebody@example.com" },
        ]);
        assert_eq!(events["nodes"], wanted);
        for value in [" ", &"a".repeat(129)] {
            let claim = [("x-tollkeep-on-behalf-of", value)];
            let answer = world.person("platform_admin").post(body("claimed"), &claim).await;
            assert_eq!(answer.status, 400, "{value}");
        }
        assert_eq!(rows(app, "teams WHERE name = 'claimed'").await, 0);
    })
    .await;
}

/// SECURITY case 1 (S1): a plain member changes nothing of a team, and each try is in the trail.
#[tokio::test]
async fn a_plain_member_runs_no_team_and_each_try_is_recorded() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let me = world.person("member");
        let user = |name: &str| json!({ "id": world.users[name] });
        let before = rows(app, "team_memberships").await;
        for (field, more) in [
            ("teamMemberAdd", json!({ "members": [{ "user": user("outsider") }] })),
            ("teamMemberRemove", json!({ "user": user("viewer") })),
            ("teamMemberUpdate", json!({ "user": user("member"), "role": "ADMIN" })),
        ] {
            let mut input = json!({ "teamId": world.a1 });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let answer = change(me, field, input, "__typename").await;
            assert_eq!(answer.code(), "FORBIDDEN", "{field}: {:#}", answer.body);
        }
        assert_eq!(rows(app, "team_memberships").await, before);
        let admins = format!("team_memberships WHERE role = 'ADMIN' AND user_id = {}", sql_id(app, &world.users["member"]));
        assert_eq!(rows(app, &admins).await, 0);
        let query = format!(
            "{{ auditEvents(filter: {{ actions: [ACCESS_DENIED], actorId: \"{}\" }}) {{ totalCount }} }}",
            world.users["member"]
        );
        assert_eq!(read(&app.admin(), &query).await["totalCount"], 3);
    })
    .await;
}

/// SECURITY 2, "a row that was made past the API": a digest that stands for nobody is nobody.
#[tokio::test]
async fn a_secret_of_a_key_without_its_owner_is_nobody() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let user = sql_id(app, &world.users["member"]);
        execute(app, &format!("DELETE FROM users WHERE id = {user}")).await;
        assert!(!is_known(world.person("member")).await);
    })
    .await;
}
