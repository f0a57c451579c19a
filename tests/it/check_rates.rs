//! `POST /v1/check` with limits in a minute and at once: what calls take of them, and what comes back.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::deadline::{hold, release};
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::world::{World, api_key};
use crate::harness::{Answer, Client, TestApp, noon, on_each_database, on_each_database_with};
use crate::steps::{Other, done, read, rows};

/// Counters that tell at once what came back: those of several replicas tell a second later.
const EXACT: &[(&str, &str)] = &[("TOLLKEEP__RATE_LIMITS__STORE", "memory")];

/// A gateway, and a key in team A1 whose limits are set.
struct Scene<'a> {
    app: &'a TestApp,
    team: String,
    gateway: Client,
    key: String,
    secret: String,
}

impl<'a> Scene<'a> {
    async fn new(app: &'a TestApp, limits: Value) -> Self {
        let world = World::new(app).await;
        let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "calls" });
        let (key, secret) = api_key(&app.admin(), input).await;
        let gateway = world.person("gateway").clone();
        let scene = Self { app, team: world.a1.clone(), gateway, key, secret };
        scene.limit(limits).await;
        scene
    }

    async fn limit(&self, limits: Value) {
        let input = json!({ "id": self.team, "budgets": [{ "create": limits }] });
        done(&self.app.admin(), "teamUpdate", input, "team { id }").await;
        self.app.app.enforcement().poll().await.unwrap();
    }

    /// The time goes on by so many milliseconds after noon.
    async fn at(&self, millis: i64) {
        self.app.clock.set(noon() + TimeDelta::milliseconds(millis));
        self.app.app.enforcement().poll().await.unwrap();
    }

    async fn check(&self) -> Answer {
        self.gateway.check(json!({ "credential": self.secret, "model": "gpt-4o" })).await
    }

    async fn reserve(&self, request: &str, tokens: u64) -> Answer {
        let estimate = json!({ "costUsd": "0.01", "inputTokens": tokens });
        let body = json!({ "credential": self.secret, "model": "gpt-4o", "mode": "reserve",
            "requestId": request, "estimate": estimate });
        self.gateway.check(body).await
    }

    async fn use_up(&self, request: &str, tokens: u64) {
        let event = json!({ "requestId": request, "apiKeyId": self.key, "model": "gpt-4o",
            "inputTokens": tokens - 1, "outputTokens": 1, "cost": "0.01" });
        let answer = self.gateway.at("/v1/usage").post(json!({ "events": [event] }), &[]).await;
        assert_eq!(answer.body["verdicts"][0]["code"], "RECORDED", "{:#}", answer.body);
    }

    async fn named(&self, path: &str, requests: &[&str]) -> Vec<bool> {
        let answer = self.gateway.at(path).post(json!({ "requestIds": requests }), &[]).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let calls = answer.body["calls"].as_array().unwrap();
        calls.iter().map(|call| call["wasHeld"].as_bool().unwrap()).collect()
    }
}

#[track_caller]
fn allowed(answer: &Answer) {
    assert_eq!(answer.status, 200, "{:#}", answer.body);
}

#[track_caller]
fn denied(answer: &Answer, code: &str, kind: &str) {
    let body = &answer.body;
    assert_eq!((answer.status, body["code"].as_str()), (429, Some(code)), "{body:#}");
    assert_eq!(body["error"]["type"], kind, "{body:#}");
}

fn header(answer: &Answer, name: &str) -> String {
    answer.headers[name].to_str().unwrap().to_owned()
}

/// GATEWAYS 1.1, F5, C-A9: a gateway's question is a request, and the limit's numbers go with the answer.
#[tokio::test]
async fn each_check_of_a_gateway_is_a_request() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!({ "requestsPerMinute": 3 })).await;
        for left in ["2", "1", "0"] {
            let answer = scene.check().await;
            allowed(&answer);
            assert_eq!(header(&answer, "x-ratelimit-limit-requests"), "3");
            assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), left);
            assert_eq!(answer.body["cacheTtlMs"], 0, "each call has to be counted");
            let limit = &answer.body["limits"][0];
            assert_eq!(limit["dimension"], "REQUESTS_PER_MINUTE");
            assert_eq!(limit["scope"], json!({ "kind": "TEAM", "id": scene.team }));
        }
        let answer = scene.check().await;
        denied(&answer, "REQUEST_RATE_EXCEEDED", "requests");
        assert_eq!(answer.body["error"]["code"], "rate_limit_exceeded");
        let wait: u64 = header(&answer, "retry-after").parse().unwrap();
        let millis = answer.body["retryAfterMs"].as_u64().unwrap();
        assert!((1..=62).contains(&wait) && millis.div_ceil(1_000) == wait, "{wait} {millis}");
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), "0");
        // A key that asks about itself makes no call; neither does an explanation.
        let own = app.with_key(Some(&scene.secret));
        let answer = own.check(json!({ "model": "gpt-4o" })).await;
        assert_eq!(answer.body["code"], "REQUEST_RATE_EXCEEDED");
        assert!(answer.headers.get("x-ratelimit-limit-requests").is_none());
        scene.at(i64::try_from(millis).unwrap()).await;
        for _ in 0..5 {
            allowed(&own.check(json!({ "model": "gpt-4o" })).await);
        }
        allowed(&scene.check().await);
    })
    .await;
}

/// SECURITY 4, R7: a check under a limit of tokens asks the database past those who write, whom it does
/// not wait for.
#[tokio::test]
async fn a_check_under_rates_waits_for_no_writer() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let settings = [
        ("TOLLKEEP__RATE_LIMITS__STORE", "database"),
        ("TOLLKEEP__RATE_LIMITS__TIMEOUT", "10s"),
        ("TOLLKEEP__DATABASE__MAX_CONNECTIONS", "2"),
        ("TOLLKEEP__DATABASE__ACQUIRE_TIMEOUT", "1m"),
        ("TOLLKEEP__DATABASE__LOCK_TIMEOUT", "1m"),
        ("TOLLKEEP__DATABASE__STATEMENT_TIMEOUT", "1m"),
    ];
    let app = TestApp::start(&database, &settings).await;
    let limits = json!({ "tokensPerMinute": 1000, "maxParallelRequests": 5 });
    let scene = Scene::new(&app, limits).await;
    scene.use_up("a", 900).await;
    app.app.rate_limiter().tick(noon()).await;
    let other = Other::begin(&app, &["SELECT id FROM teams FOR UPDATE"]).await;
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (admin, team) = (app.admin(), scene.team.clone());
            tokio::spawn(async move {
                let input = json!({ "id": team, "name": "Renamed" });
                done(&admin, "teamUpdate", input, "team { id }").await
            })
        })
        .collect();
    other.wait_for(&writers).await;
    let answer = scene.check().await;
    allowed(&answer);
    assert_eq!(header(&answer, "x-ratelimit-remaining-tokens"), "100");
    other.commit(&[]).await;
    for writer in writers {
        writer.await.unwrap();
    }
    app.stop().await;
    database.drop().await;
}

/// Of many calls that are released at once each is answered for itself, in its place.
#[tokio::test]
async fn many_calls_are_released_at_once() {
    on_each_database_with(EXACT, async |app| {
        let scene = Scene::new(app, json!({ "maxParallelRequests": 5 })).await;
        let names: Vec<_> = (0..120).map(|number| format!("call-{number}")).collect();
        let held = [0, 49, 50, 99, 119];
        for number in held {
            allowed(&scene.reserve(&names[number], 1).await);
        }
        denied(&scene.reserve("more", 1).await, "PARALLEL_REQUESTS_EXCEEDED", "requests");
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let answered = scene.named("/v1/release", &names).await;
        let told: Vec<_> = (0..120).filter(|number| answered[*number]).collect();
        assert_eq!((answered.len(), told.as_slice()), (120, held.as_slice()));
        assert!(scene.named("/v1/release", &names).await.iter().all(|held| !held));
        for name in &names[..5] {
            allowed(&scene.reserve(name, 1).await);
        }
    })
    .await;
}

/// F5: an estimate is counted while the call is under way, and what was used afterwards.
#[tokio::test]
async fn tokens_are_counted_as_they_were_used() {
    on_each_database_with(EXACT, async |app| {
        let scene = Scene::new(app, json!({ "tokensPerMinute": 1000 })).await;
        allowed(&scene.reserve("a", 700).await);
        denied(&scene.reserve("b", 400).await, "TOKEN_RATE_EXCEEDED", "tokens");
        // The same call again is no second call.
        allowed(&scene.reserve("a", 700).await);
        scene.use_up("a", 200).await;
        let answer = scene.reserve("b", 400).await;
        allowed(&answer);
        assert_eq!(header(&answer, "x-ratelimit-remaining-tokens"), "400");
        // More than was expected counts too; so does what nobody had asked for.
        scene.use_up("b", 600).await;
        scene.use_up("c", 150).await;
        denied(&scene.reserve("d", 51).await, "TOKEN_RATE_EXCEEDED", "tokens");
        allowed(&scene.reserve("d", 50).await);
        denied(&scene.check().await, "TOKEN_RATE_EXCEEDED", "tokens");
        // A call that takes more than a minute has is told that waiting does not help.
        let answer = scene.reserve("e", 1_001).await;
        denied(&answer, "TOKEN_RATE_EXCEEDED", "tokens");
        assert_eq!(answer.body["retryAfterMs"], Value::Null);
        assert_eq!(answer.headers.get("retry-after"), None);
        scene.at(61_000).await;
        allowed(&scene.reserve("e", 1_000).await);
    })
    .await;
}

/// SECURITY 6: what is reported is counted also when the gateway does not wait for the answer. What it
/// sends again is a duplicate, of which nothing is counted.
#[tokio::test]
async fn a_report_counts_its_tokens_whoever_waits() {
    on_each_database_with(EXACT, async |app| {
        if app.kind == Kind::Sqlite {
            // Nobody can see there that a report waits for the lock.
            return;
        }
        let scene = Scene::new(app, json!({ "tokensPerMinute": 1000 })).await;
        let event = json!({ "requestId": "a", "apiKeyId": scene.key, "model": "gpt-4o",
            "inputTokens": 900, "outputTokens": 1, "cost": "0.01" });
        let body = json!({ "events": [event] }).to_string();
        let lines = format!(
            "POST /v1/usage HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            scene.gateway.key.as_deref().unwrap(),
            body.len()
        );
        // The ledger is held up, and the gateway leaves meanwhile.
        let lock = hold(app, "LOCK TABLE usage_events").await;
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(lines.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let waiting = "pg_locks WHERE NOT granted AND relation = 'usage_events'::regclass";
        while rows(app, waiting).await == 0 {}
        drop(stream);
        // Its connection is closed before the next one is answered.
        allowed(&scene.check().await);
        release(lock).await;
        let again = scene.gateway.at("/v1/usage").post(json!({ "events": [event] }), &[]).await;
        assert_eq!(again.body["verdicts"][0]["code"], "DUPLICATE", "{:#}", again.body);
        denied(&scene.reserve("c", 100).await, "TOKEN_RATE_EXCEEDED", "tokens");
        allowed(&scene.reserve("c", 99).await);
    })
    .await;
}

/// SECURITY 6: a place among the requests at once is a lease. Usage, a release, and 30 seconds without
/// a heartbeat free it.
#[tokio::test]
async fn places_come_back_when_calls_end() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!({ "maxParallelRequests": 2 })).await;
        allowed(&scene.reserve("a", 1).await);
        allowed(&scene.reserve("b", 1).await);
        let full = "PARALLEL_REQUESTS_EXCEEDED";
        let answer = scene.reserve("c", 1).await;
        denied(&answer, full, "requests");
        assert_eq!(answer.body["error"]["code"], "parallel_limit_exceeded");
        denied(&scene.check().await, full, "requests");
        scene.use_up("a", 10).await;
        allowed(&scene.check().await);
        allowed(&scene.reserve("c", 1).await);
        denied(&scene.reserve("d", 1).await, full, "requests");
        assert_eq!(scene.named("/v1/release", &["c", "nobody"]).await, [true, false]);
        allowed(&scene.reserve("d", 1).await);
        scene.at(20_000).await;
        assert_eq!(scene.named("/v1/heartbeat", &["b", "c", "d"]).await, [true, false, true]);
        scene.at(45_000).await;
        denied(&scene.reserve("e", 1).await, full, "requests");
        assert_eq!(scene.named("/v1/heartbeat", &["b"]).await, [true]);
        scene.at(51_000).await;
        allowed(&scene.reserve("e", 1).await);
        denied(&scene.reserve("f", 1).await, full, "requests");
        let held = "{ apiKeys(filter: { search: \"calls\" }) { nodes { id } } }";
        assert_eq!(read(&app.admin(), held).await["nodes"][0]["id"], scene.key);
    })
    .await;
}

/// Of many at once no more come through than there are places, and who is refused by a budget gives
/// back what it took of the rates.
#[tokio::test]
async fn nothing_is_taken_of_a_call_that_is_refused() {
    on_each_database_with(EXACT, async |app| {
        let limits = json!({ "requestsPerMinute": 100, "maxParallelRequests": 5 });
        let scene = Scene::new(app, limits).await;
        let names: Vec<_> = (0..20).map(|number| format!("call-{number}")).collect();
        let answers = join_all(names.iter().map(|name| scene.reserve(name, 1))).await;
        let through = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(through, 5);
        let limits = json!({ "requestsPerMinute": 2, "maxSpend": "0.01" });
        scene.limit(limits).await;
        allowed(&scene.reserve("first", 1).await);
        for name in ["second", "third", "fourth"] {
            let answer = scene.reserve(name, 1).await;
            assert_eq!(answer.body["code"], "BUDGET_EXCEEDED", "{:#}", answer.body);
        }
        assert_eq!(scene.named("/v1/release", &["first"]).await, [true]);
        allowed(&scene.reserve("fifth", 1).await);
        // Then the budget has room again, and the rate has none.
        assert_eq!(scene.named("/v1/release", &["fifth"]).await, [true]);
        app.app.enforcement().poll().await.unwrap();
        let answer = scene.reserve("sixth", 1).await;
        assert_eq!(answer.body["code"], "REQUEST_RATE_EXCEEDED", "{:#}", answer.body);
    })
    .await;
}

/// A call that costs nothing holds nothing that would tell of its tokens: they are counted when they are
/// reported, once. Whose lease has ended asks for a place of its own.
#[tokio::test]
async fn what_costs_nothing_counts_its_tokens_once() {
    on_each_database_with(EXACT, async |app| {
        let scene =
            Scene::new(app, json!({ "tokensPerMinute": 100, "requestsPerMinute": 4 })).await;
        let free =
            json!({ "name": "gpt-4o", "provider": "p", "inputPrice": "0", "outputPrice": "0" });
        done(&app.admin(), "modelCreate", free, "model { id }").await;
        scene.at(0).await;
        let answer = scene.reserve("a", 60).await;
        allowed(&answer);
        assert_eq!(answer.body["reservationId"], Value::Null);
        scene.use_up("a", 60).await;
        allowed(&scene.reserve("b", 40).await);
        denied(&scene.reserve("c", 41).await, "TOKEN_RATE_EXCEEDED", "tokens");
    })
    .await;
    on_each_database_with(EXACT, async |app| {
        let scene = Scene::new(app, json!({ "requestsPerMinute": 2 })).await;
        let brief = json!({ "credential": scene.secret, "model": "gpt-4o", "mode": "reserve",
            "requestId": "a", "leaseTtlMs": 1, "estimate": { "costUsd": "0.01" } });
        for _ in 0..3 {
            allowed(&scene.gateway.check(brief.clone()).await);
        }
        scene.at(1).await;
        allowed(&scene.gateway.check(brief.clone()).await);
        scene.at(2).await;
        denied(&scene.gateway.check(brief).await, "REQUEST_RATE_EXCEEDED", "requests");
        assert_eq!(scene.named("/v1/release", &["a"]).await, [false], "nothing is left held");
    })
    .await;
}

/// A gateway's key with a list of routes holds only what it may settle.
#[tokio::test]
async fn a_key_that_reports_nothing_holds_nothing() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!({ "maxParallelRequests": 2 })).await;
        for (routes, checks, holds, reports) in [
            (json!(["/v1/check"]), 200, 403, 403),
            (json!(["management:read"]), 200, 403, 403),
            (json!(["/v1/check", "/v1/usage"]), 200, 200, 200),
            (json!(["/v1/*"]), 200, 200, 200),
            (json!(["/v1/usage"]), 403, 403, 200),
            (json!(["management"]), 200, 200, 200),
        ] {
            let input = json!({ "kind": "GATEWAY", "allowedRoutes": routes });
            let gateway = app.with_key(Some(&api_key(&app.admin(), input).await.1));
            let body = json!({ "keyId": scene.key, "model": "gpt-4o" });
            assert_eq!(gateway.check(body.clone()).await.status, checks, "{routes}");
            let mut body = body;
            body["mode"] = json!("reserve");
            body["requestId"] = json!("a");
            assert_eq!(gateway.check(body).await.status, holds, "{routes}");
            let named = json!({ "requestIds": ["a"] });
            for path in ["/v1/heartbeat", "/v1/release"] {
                let answer = gateway.at(path).post(named.clone(), &[]).await;
                assert_eq!(answer.status, reports, "{routes} {:#}", answer.body);
            }
        }
    })
    .await;
}

/// C-A9: an explanation shows every rate, and what would have to change.
#[tokio::test]
async fn an_explanation_shows_the_rates() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!({ "requestsPerMinute": 0, "tokensPerMinute": 10 })).await;
        let query = format!(
            "{{ accessExplain(input: {{ apiKeyId: \"{}\", call: {{ model: \"gpt-4o\",
                estimate: {{ inputTokens: 5 }} }} }}) {{
                decision {{ code }}
                rules {{ kind isPassed rate {{ limit remaining }} }}
                remedies {{ change limit waitUntil }}
            }} }}",
            scene.key
        );
        let told = read(&app.admin(), &query).await;
        assert_eq!(told["decision"]["code"], "REQUEST_RATE_EXCEEDED", "{told:#}");
        let rules = told["rules"].as_array().unwrap();
        let rates: Vec<_> = rules.iter().filter(|rule| !rule["rate"].is_null()).collect();
        let shown = |kind, passed, limit, remaining| {
            json!({ "kind": kind, "isPassed": passed, "rate": { "limit": limit, "remaining": remaining } })
        };
        assert_eq!(
            rates,
            [&shown("REQUEST_RATE", false, "0", "0"), &shown("TOKEN_RATE", true, "10", "10")]
        );
        let remedy = json!({ "change": "RATE", "limit": "1", "waitUntil": null });
        assert_eq!(told["remedies"], json!([remedy]));
    })
    .await;
}

/// Only gateways speak of calls, and of well-formed names.
#[tokio::test]
async fn only_gateways_say_that_calls_go_on_or_end() {
    on_each_database(async |app| {
        let scene = Scene::new(app, json!({ "maxParallelRequests": 2 })).await;
        for path in ["/v1/heartbeat", "/v1/release"] {
            for (client, status) in [
                (app.admin(), 403),
                (app.with_key(Some(&scene.secret)), 403),
                (app.with_key(None), 401),
            ] {
                let answer = client.at(path).post(json!({ "requestIds": ["a"] }), &[]).await;
                assert_eq!(answer.status, status, "{:#}", answer.body);
            }
            let many: Vec<_> = (0..501).map(|number| number.to_string()).collect();
            for (body, param) in [
                (json!({ "requestIds": [] }), "requestIds"),
                (json!({ "requestIds": many }), "requestIds"),
                (json!({ "requestIds": ["a", ""] }), "requestIds.1"),
                (json!({ "requestIds": ["x".repeat(129)] }), "requestIds.0"),
                (json!({ "requestId": "a" }), "requestIds"),
            ] {
                let answer = scene.gateway.at(path).post(body, &[]).await;
                assert_eq!(answer.status, 400, "{:#}", answer.body);
                assert_eq!(answer.body["error"]["param"], param, "{:#}", answer.body);
            }
            // Of the calls of other gateways nothing is known.
            allowed(&scene.reserve(path, 1).await);
            let (_, other) = api_key(&app.admin(), json!({ "kind": "GATEWAY" })).await;
            let named = json!({ "requestIds": [path] });
            let answer = app.with_key(Some(&other)).at(path).post(named, &[]).await;
            assert_eq!(answer.body["calls"][0]["wasHeld"], false, "{:#}", answer.body);
        }
    })
    .await;
}
