//! `POST /v1/check`: what it takes, what it answers, and to whom.

use serde_json::{Value, json};

use crate::harness::world::{World, api_key};
use crate::harness::{Answer, Client, TestApp, on_each_database};
use crate::steps::{done, execute, sql_id};

/// A gateway, and the secret of a key in team A1.
struct Scene {
    world: World,
    gateway: Client,
    key: String,
    secret: String,
}

impl Scene {
    async fn new(app: &TestApp) -> Self {
        let world = World::new(app).await;
        let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "calls" });
        let (key, secret) = api_key(&app.admin(), input).await;
        Self { gateway: world.person("gateway").clone(), world, key, secret }
    }

    /// What the gateway is told of a call of the key.
    async fn ask(&self, mut body: Value) -> Answer {
        body["credential"] = json!(self.secret);
        self.gateway.check(body).await
    }
}

#[track_caller]
fn denied(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (status, Some(code)),
        "{:#}",
        answer.body
    );
    assert_eq!(answer.body["allow"], false);
    assert!(answer.body["error"]["message"].is_string(), "{:#}", answer.body);
}

/// GATEWAYS 1.1: whose call it is stands in the body and in headers. An end user that nobody made is no
/// reason to refuse (AC-12).
#[tokio::test]
async fn a_gateway_is_told_whose_call_it_is() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let budgets = json!([{ "create": { "maxSpend": "10", "period": "1mo" } }]);
        done(&app.admin(), "teamUpdate", json!({ "id": scene.world.a1, "budgets": budgets }), "team { id }").await;
        let alias = json!({ "teamId": scene.world.a1, "alias": "fast", "target": "gpt-4o-mini" });
        done(&app.admin(), "teamModelAliasSet", alias, "team { id }").await;
        app.app.enforcement().poll().await.unwrap();
        let answer = scene
            .ask(json!({ "model": "fast", "route": "/v1/chat/completions", "endUser": "Ada, 50%",
                "tags": ["night"], "estimate": { "costUsd": "0.5" }, "ip": "192.0.2.7", "mode": "check" }))
            .await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let mut body = answer.body.clone();
        let decision = body["decisionId"].take();
        assert!(decision.as_str().unwrap().starts_with("decision_"), "{decision}");
        assert!(body["revision"].take().as_i64().unwrap() > 0);
        assert_eq!(
            body,
            json!({
                "allow": true, "code": null, "message": null, "retryAfterMs": null,
                "principal": {
                    "keyId": scene.key, "organizationId": scene.world.a, "teamId": scene.world.a1,
                    "projectId": null, "userId": scene.world.users["member"],
                    "endUser": "Ada, 50%", "tags": ["night"],
                },
                "model": { "requested": "fast", "resolved": "gpt-4o-mini" },
                "limits": [], "remaining": { "usd": "10" },
                "reservationId": null, "leaseTtlMs": null, "cacheTtlMs": 1000,
                "decisionId": null, "revision": null,
            })
        );
        for (name, value) in [
            ("key-id", scene.key.as_str()),
            ("org-id", &scene.world.a),
            ("team-id", &scene.world.a1),
            ("user-id", &scene.world.users["member"]),
            ("end-user-id", "Ada%2C%2050%25"),
            ("tags", "night"),
            ("model", "gpt-4o-mini"),
            ("budget-remaining-usd", "10"),
            ("decision-id", decision.as_str().unwrap()),
        ] {
            assert_eq!(answer.headers[&format!("x-tollkeep-{name}")], value, "{name}");
        }
        assert!(answer.headers.get("x-tollkeep-project-id").is_none());
        assert_eq!(answer.headers["cache-control"], "no-store");
    })
    .await;
}

/// AC-1, AC-2: what is blocked between the key and its team refuses, until it is unblocked.
#[tokio::test]
async fn what_is_blocked_is_denied_with_an_error_of_the_known_shape() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let admin = app.admin();
        let call = json!({ "model": "gpt-4o" });
        for (noun, id) in [
            ("apiKey", &scene.key),
            ("user", &scene.world.users["member"]),
            ("team", &scene.world.a1),
        ] {
            let (input, selection) = (json!({ "id": id }), format!("{noun} {{ id }}"));
            done(&admin, &format!("{noun}Block"), input.clone(), &selection).await;
            let answer = scene.ask(call.clone()).await;
            denied(&answer, 403, "BLOCKED");
            assert_eq!(answer.body["error"]["code"], "access_denied");
            assert_eq!(answer.body["error"]["type"], "permission_error");
            done(&admin, &format!("{noun}Unblock"), input, &selection).await;
            assert_eq!(scene.ask(call.clone()).await.status, 200, "{noun}");
        }
        let input = json!({ "externalId": "ada" });
        let made = done(&admin, "endUserCreate", input, "endUser { id }").await;
        let input = json!({ "id": made["endUser"]["id"] });
        done(&admin, "endUserBlock", input, "endUser { id }").await;
        let answer = scene.ask(json!({ "model": "m", "endUser": "ada" })).await;
        denied(&answer, 403, "BLOCKED");
        assert_eq!(answer.body["scope"]["kind"], "END_USER");
    })
    .await;
}

/// Statuses and error bodies of what a key may not call (GATEWAYS 1.1; AC-6, AC-8, C-A13, C-A14).
#[tokio::test]
async fn what_a_key_may_not_call_is_denied_with_the_member_at_fault() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let admin = app.admin();
        let key = |field: &str, value: Value| json!({ "id": scene.key, field: value });
        let update = async |input: Value| {
            done(&admin, "apiKeyUpdate", input, "apiKey { id }").await;
        };
        let call = json!({ "model": "gpt-4o" });
        let list = json!({ "mode": "LIST", "models": ["o3"] });
        update(key("modelAccess", list)).await;
        let answer = scene.ask(call.clone()).await;
        denied(&answer, 403, "MODEL_NOT_ALLOWED");
        assert_eq!(answer.body["error"]["param"], "model");
        assert_eq!(answer.body["scope"], json!({ "kind": "API_KEY", "id": scene.key }));
        update(key("modelAccess", json!({ "mode": "ALL" }))).await;
        let input = json!({ "name": "gpt-4o", "provider": "openai" });
        let made = done(&admin, "modelCreate", input, "model { id }").await;
        done(&admin, "modelBlock", json!({ "id": made["model"]["id"] }), "model { id }").await;
        denied(&scene.ask(call).await, 403, "MODEL_BLOCKED");
        update(key("allowedRoutes", json!(["/v1/embeddings"]))).await;
        let answer = scene.ask(json!({ "model": "m", "route": "/v1/chat/completions" })).await;
        denied(&answer, 403, "ROUTE_NOT_ALLOWED");
        update(key("allowedRoutes", Value::Null)).await;
        let required = json!({ "endUserIsRequired": true });
        done(&admin, "settingsUpdate", required, "settings { version }").await;
        for end_user in [Value::Null, json!("")] {
            let answer = scene.ask(json!({ "model": "m", "endUser": end_user })).await;
            denied(&answer, 403, "END_USER_REQUIRED");
            assert_eq!(answer.body["error"]["param"], "user");
        }
        assert_eq!(scene.ask(json!({ "model": "m", "endUser": "ada" })).await.status, 200);
    })
    .await;
}

/// SECURITY 5: whoever presents a key that is not in force is told the same. An answer is not kept
/// beyond the end of its key.
#[tokio::test]
async fn a_key_that_is_not_in_force_is_unauthorized() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let gateway = &scene.world.keys["gateway"];
        for credential in ["sk-unknown", "not a key", gateway] {
            let answer = scene.gateway.check(json!({ "credential": credential })).await;
            denied(&answer, 401, "INVALID_CREDENTIAL");
            assert_eq!(answer.body["error"]["code"], "invalid_api_key");
            assert_eq!(answer.body.get("principal"), None);
        }
        let answer = scene.gateway.check(json!({ "keyId": gateway })).await;
        denied(&answer, 401, "WRONG_KIND");
        let soon = json!({ "id": scene.key, "expiresAt": "2026-11-21T12:00:01Z" });
        done(&app.admin(), "apiKeyUpdate", soon, "apiKey { id }").await;
        let call = json!({ "model": "gpt-4o" });
        let answer = scene.ask(call.clone()).await;
        assert_eq!((answer.status, &answer.body["cacheTtlMs"]), (200, &json!(1000)));
        app.clock.set("2026-11-21T12:00:00.400Z".parse().unwrap());
        assert_eq!(scene.ask(call.clone()).await.body["cacheTtlMs"], 600);
        app.clock.set("2026-11-21T12:00:01Z".parse().unwrap());
        denied(&scene.ask(call.clone()).await, 401, "EXPIRED");
        // The key itself is told what anybody is told.
        let own = app.with_key(Some(&scene.secret)).check(call).await;
        denied(&own, 401, "INVALID_CREDENTIAL");
        assert_eq!(own.body["principal"], Value::Null);
    })
    .await;
}

/// AC-3, C-A2, F5: a cap that is reached refuses, a cap of 0 is nothing, and no cap is no cap.
#[tokio::test]
async fn a_budget_that_has_no_room_is_told_with_its_numbers() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let admin = app.admin();
        for (max, period, estimate, status) in [
            (json!(null), Some("1mo"), "1000", 200),
            (json!("0"), None, "0", 429),
            (json!("10"), Some("1mo"), "10", 200),
            (json!("10"), Some("1mo"), "10.000000001", 429),
            (json!("0.000000001"), None, "0.000000001", 200),
        ] {
            let limits = json!({ "maxSpend": max, "period": period, "requestsPerMinute": 1000 });
            let budgets = json!([{ "create": limits }]);
            let input = json!({ "id": scene.world.a1, "budgets": budgets });
            let selection = "team { budgets { budget { id } } }";
            let made = done(&admin, "teamUpdate", input, selection).await;
            let answer =
                scene.ask(json!({ "model": "m", "estimate": { "costUsd": estimate } })).await;
            assert_eq!(answer.status, status, "{max} {estimate} {:#}", answer.body);
            if status != 429 {
                continue;
            }
            denied(&answer, 429, "BUDGET_EXCEEDED");
            assert_eq!(answer.body["error"]["type"], "budget_exceeded");
            let limit = &answer.body["limits"][0];
            assert_eq!(limit["budgetId"], made["team"]["budgets"][0]["budget"]["id"]);
            assert_eq!((&limit["dimension"], &limit["limit"]), (&json!("USD"), &max));
            assert_eq!(answer.body["scope"], json!({ "kind": "TEAM", "id": scene.world.a1 }));
            // Neither call ever fits: only a person helps.
            assert_eq!(answer.headers.get("retry-after"), None);
            assert_eq!(answer.body["retryAfterMs"], Value::Null);
        }
    })
    .await;
}

/// SECURITY 3: a gateway asks about anybody, a key about itself, and nobody else asks.
#[tokio::test]
async fn only_gateways_ask_about_the_keys_of_others() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let world = &scene.world;
        let own = app.with_key(Some(&scene.secret));
        for body in [json!({ "model": "m" }), json!({ "model": "m", "keyId": scene.key })] {
            let answer = own.check(body).await;
            assert_eq!(
                (answer.status, &answer.body["allow"]),
                (200, &json!(true)),
                "{:#}",
                answer.body
            );
            assert_eq!(answer.body["principal"]["keyId"], json!(scene.key));
        }
        let answer = own.check(json!({ "keyId": world.keys["outsider"] })).await;
        denied(&answer, 401, "INVALID_CREDENTIAL");
        let answer = own.check(json!({ "keyId": "key_00000000000070008000000000000001" })).await;
        denied(&answer, 401, "INVALID_CREDENTIAL");
        let answer = own.check(json!({ "credential": scene.secret })).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("credential")));
        let answer = scene.gateway.check(json!({ "model": "m" })).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!("credential")));
        let (_, administration) =
            api_key(&app.admin(), json!({ "kind": "ADMIN", "name": "a" })).await;
        for key in [crate::harness::ADMIN_KEY, &administration] {
            let answer = app.with_key(Some(key)).check(json!({ "keyId": scene.key })).await;
            assert_eq!(
                (answer.status, &answer.body["error"]["code"]),
                (403, &json!("access_denied"))
            );
        }
        let routes = json!({ "kind": "GATEWAY", "name": "g", "allowedRoutes": ["/v1/usage"] });
        let (_, narrow) = api_key(&app.admin(), routes).await;
        assert_eq!(
            app.with_key(Some(&narrow)).check(json!({ "keyId": scene.key })).await.status,
            403
        );
        assert_eq!(app.with_key(None).check(json!({})).await.status, 401);
        let block = json!({ "id": world.keys["gateway"] });
        done(&app.admin(), "apiKeyBlock", block, "apiKey { id }").await;
        let answer = scene.ask(json!({})).await;
        assert_eq!((answer.status, answer.body.get("decisionId")), (401, None));
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"tollkeep\"");
    })
    .await;
}

/// E-12, E-36: the gateway learns whose budget and which list; the end client learns whether.
#[tokio::test]
async fn an_end_client_learns_nothing_of_budgets_lists_and_places() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let admin = app.admin();
        let team = |change: Value| {
            let mut input = json!({ "id": scene.world.a1 });
            input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            input
        };
        let canary = "12345.678";
        let budgets = json!({ "budgets": [{ "create": { "maxSpend": canary } }] });
        done(&admin, "teamUpdate", team(budgets), "team { id }").await;
        let own = app.with_key(Some(&scene.secret));
        let body = json!({ "model": "m", "estimate": { "costUsd": "20000" } });
        let (told, shown) = (scene.ask(body.clone()).await, own.check(body).await);
        denied(&told, 429, "BUDGET_EXCEEDED");
        denied(&shown, 429, "BUDGET_EXCEEDED");
        assert!(told.body["message"].as_str().unwrap().contains(canary));
        assert!(!told.body["error"].to_string().contains(canary));
        assert_eq!(told.body["error"], shown.body["error"]);
        let text = shown.body.to_string();
        assert!(!text.contains(canary) && !text.contains("budgetId") && !text.contains("TEAM"), "{text}");
        assert!(own.check(json!({ "model": "m" })).await.headers.get("x-tollkeep-budget-remaining-usd").is_none());
        let list = json!({ "budgets": null, "modelAccess": { "mode": "LIST", "models": ["secret-model"] } });
        done(&admin, "teamUpdate", team(list), "team { id }").await;
        let shown = own.check(json!({ "model": "m" })).await;
        denied(&shown, 403, "MODEL_NOT_ALLOWED");
        assert!(!shown.body.to_string().contains("secret-model"), "{:#}", shown.body);
    })
    .await;
}

/// What is not known is refused, with its place: it may have been meant to narrow.
#[tokio::test]
async fn a_body_that_is_not_understood_is_refused_with_the_place_of_the_fault() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let long = "x".repeat(300);
        let secret = json!(scene.secret);
        for (body, param) in [
            (json!({ "credential": secret, "modle": "m" }), "modle"),
            (json!({ "credential": secret, "model": 7 }), "model"),
            (json!({ "credential": secret, "model": "" }), "model"),
            (json!({ "credential": secret, "model": long }), "model"),
            (json!({ "credential": secret, "route": "v1/chat" }), "route"),
            (json!({ "credential": secret, "endUser": "a\u{0}b" }), "endUser"),
            (json!({ "credential": secret, "tags": ["a", " b"] }), "tags.1"),
            (json!({ "credential": secret, "tags": vec!["a"; 51] }), "tags"),
            (json!({ "credential": secret, "ip": "nowhere" }), "ip"),
            (json!({ "credential": secret, "mode": "spend" }), "mode"),
            (json!({ "credential": secret, "mode": "reserve" }), "requestId"),
            (json!({ "credential": secret, "mode": "reserve", "requestId": "" }), "requestId"),
            (json!({ "credential": secret, "requestId": "x".repeat(129) }), "requestId"),
            (json!({ "credential": secret, "leaseTtlMs": 0 }), "leaseTtlMs"),
            (json!({ "credential": secret, "leaseTtlMs": 86_400_001 }), "leaseTtlMs"),
            (json!({ "credential": secret, "leaseTtlMs": i64::MIN }), "leaseTtlMs"),
            (json!({ "credential": secret, "estimate": { "costUsd": 0.5 } }), "estimate.costUsd"),
            (json!({ "credential": secret, "estimate": { "costUsd": "-1" } }), "estimate.costUsd"),
            (json!({ "credential": secret, "estimate": { "costUsd": "1e3" } }), "estimate.costUsd"),
            (
                json!({ "credential": secret, "estimate": { "inputTokens": -1 } }),
                "estimate.inputTokens",
            ),
            (
                json!({ "credential": secret, "estimate": { "maxOutputTokens": 2_000_000_000 } }),
                "estimate.maxOutputTokens",
            ),
            (json!({ "credential": secret, "estimate": { "tokens": 1 } }), "estimate.tokens"),
            (json!({ "credential": secret, "keyId": scene.key }), "keyId"),
            (json!({ "keyId": scene.world.a1 }), "keyId"),
            (json!({ "keyId": "ada" }), "keyId"),
            (
                json!({ "credential": secret, "requestId": "a", "idempotencyKey": "a" }),
                "idempotencyKey",
            ),
            (json!({ "checks": [] }), "checks"),
            (json!({ "checks": vec![json!({ "credential": secret }); 101] }), "checks"),
            (json!({ "checks": [{ "credential": secret }], "model": "m" }), "checks"),
            (
                json!({ "checks": [{ "credential": secret }, { "model": "m" }] }),
                "checks.1.credential",
            ),
            (json!({ "checks": [{ "credential": secret, "modle": "m" }] }), "checks.0.modle"),
            (json!({ "checks": [{ "checks": [] }] }), "checks.0.checks"),
        ] {
            let answer = scene.gateway.check(body.clone()).await;
            assert_eq!(answer.status, 400, "{body} {:#}", answer.body);
            let error = &answer.body["error"];
            assert_eq!(error["param"], param, "{body} {error:#}");
            assert_eq!(error["type"], "invalid_request_error");
            assert!(error["message"].as_str().unwrap().len() <= 400);
        }
        for (text, headers, status) in [
            ("", &[][..], 400),
            ("[]", &[], 400),
            ("{", &[], 400),
            ("{}", &[("content-type", "text/plain")], 415),
            ("{}", &[("content-encoding", "gzip")], 415),
            (&format!("{{\"credential\":\"{}\"}}", "x".repeat(300_000)), &[], 413),
        ] {
            let answer = scene.gateway.check_text(text, headers).await;
            assert_eq!(answer.status, status, "{}", text.len());
            assert!(answer.body["error"]["message"].is_string(), "{:#}", answer.body);
        }
    })
    .await;
}

/// Each check of a batch has the answer that it would have alone.
#[tokio::test]
async fn a_batch_answers_each_check_with_its_status() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let list = json!({ "id": scene.key, "modelAccess": { "mode": "LIST", "models": ["o3"] } });
        done(&app.admin(), "apiKeyUpdate", list, "apiKey { id }").await;
        let checks = json!([
            { "credential": scene.secret, "model": "o3" },
            { "credential": scene.secret, "model": "gpt-4o" },
            { "credential": "sk-nobody" },
            { "keyId": scene.key, "model": "o3" },
        ]);
        let answer = scene.gateway.check(json!({ "checks": checks })).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let decisions = answer.body["decisions"].as_array().unwrap();
        let shown: Vec<_> = decisions
            .iter()
            .map(|one| (one["status"].as_i64().unwrap(), one["code"].as_str().unwrap_or("-")))
            .collect();
        assert_eq!(
            shown,
            [(200, "-"), (403, "MODEL_NOT_ALLOWED"), (401, "INVALID_CREDENTIAL"), (200, "-")]
        );
        assert_eq!(decisions[1]["error"]["code"], "model_not_allowed");
        app.app.enforcement().poll().await.unwrap();
        scene.ask(json!({ "model": "o3" })).await;
        let many = vec![json!({ "keyId": scene.key, "model": "o3" }); 100];
        let answer = scene.gateway.check(json!({ "checks": many })).await;
        assert_eq!(answer.body["decisions"].as_array().unwrap().len(), 100);
        assert_eq!(answer.statements(), 0);
    })
    .await;
}

/// SECURITY 2, case 9: a row that was widened by hand gives no more than its owner's grant.
#[tokio::test]
async fn a_key_that_was_widened_by_hand_is_held_to_what_is_above_it() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let admin = app.admin();
        let narrow = |models: &str| json!({ "mode": "LIST", "models": [models] });
        let input = json!({ "userId": scene.world.users["member"], "teamId": scene.world.a1,
            "modelAccess": narrow("o3"), "name": "narrow" });
        let (key, secret) = api_key(&admin, input).await;
        let team = json!({ "id": scene.world.a1, "modelAccess": narrow("o3"),
            "budgets": [{ "create": { "maxSpend": "1" } }], "cascade": "CLAMP" });
        done(&admin, "teamUpdate", team, "team { id }").await;
        let row = sql_id(app, &key);
        let wide = "'{\"mode\":\"ALL\",\"models\":[],\"access_groups\":[]}'";
        execute(app, &format!("UPDATE api_keys SET model_access = {wide} WHERE id = {row}")).await;
        let ask = async |model: &str, cost: &str| {
            let body =
                json!({ "credential": secret, "model": model, "estimate": { "costUsd": cost } });
            scene.gateway.check(body).await
        };
        let answer = ask("gpt-4o", "0").await;
        denied(&answer, 403, "MODEL_NOT_ALLOWED");
        assert_eq!(answer.body["scope"]["kind"], "TEAM");
        denied(&ask("o3", "2").await, 429, "BUDGET_EXCEEDED");
        assert_eq!(ask("o3", "1").await.status, 200);
    })
    .await;
}

/// SECURITY 2, cases 10, 12 and 13: what is no key of ours is refused, and never reaches the database.
#[tokio::test]
async fn junk_is_no_credential_and_costs_no_statement() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        app.app.enforcement().poll().await.unwrap();
        scene.ask(json!({})).await;
        let digest = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b";
        for text in [
            digest,
            &digest.to_uppercase(),
            "' OR 1=1 --",
            "%",
            "sk-%",
            "sk-a b",
            "Bearer sk-1",
            "eyJhbGciOiJub25lIn0.e30.",
            "sk-tku_000000000000000000000000000000000000",
            "",
        ] {
            let answer = scene.gateway.check(json!({ "credential": text })).await;
            denied(&answer, 401, "INVALID_CREDENTIAL");
            assert_eq!(answer.statements(), 0, "{text}");
            let own = app.with_key(Some(text)).check(json!({})).await;
            assert_eq!((own.status, own.statements()), (401, 0), "{text}");
        }
        // A digest with the form of a key is one that nobody has.
        denied(
            &scene.gateway.check(json!({ "credential": format!("sk-{digest}") })).await,
            401,
            "INVALID_CREDENTIAL",
        );
        let anonymous = app.with_key(None);
        for headers in [
            &[("x-original-url", "/livez")][..],
            &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-host", "localhost")],
            &[("host", "localhost")],
            &[("authorization", "Basic c2s6c2s=")],
            &[("authorization", "Bearer sk-1"), ("x-api-key", "sk-2")],
        ] {
            assert_eq!(anonymous.check_text("{}", headers).await.status, 401, "{headers:?}");
        }
    })
    .await;
}

/// SECURITY 2, case 11: keys that share their beginning are different keys, in both orders.
#[tokio::test]
async fn keys_that_begin_alike_are_told_apart() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let common = "sk-4f9a0c2e7b1d8365aa00bb11cc22dd33ee44ff5566778899aabbccddeeff0011";
        let mut keys = Vec::new();
        for end in ["a", "b"] {
            let input = json!({ "userId": scene.world.users["outsider"], "secret": format!("{common}{end}") });
            keys.push(api_key(&app.admin(), input).await);
        }
        for order in [[0, 1], [1, 0], [0, 1]] {
            for index in order {
                let (id, secret) = &keys[index];
                let answer = scene.gateway.check(json!({ "credential": secret, "model": "m" })).await;
                assert_eq!(answer.body["principal"]["keyId"], json!(id));
            }
            denied(&scene.gateway.check(json!({ "credential": common })).await, 401, "INVALID_CREDENTIAL");
        }
    })
    .await;
}
