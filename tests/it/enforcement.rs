//! What checks keep in memory: how it is read, how it stays true, on several servers too, and what
//! happens when it may not be.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::world::{World, api_key, team, user};
use crate::harness::{Answer, Client, TestApp, noon, on_each_database, on_each_database_with};
use crate::steps::{done, execute};

/// A gateway, and keys to ask about.
struct Scene {
    world: World,
    gateway: Client,
}

impl Scene {
    async fn new(app: &TestApp) -> Self {
        let world = World::new(app).await;
        Self { gateway: world.person("gateway").clone(), world }
    }

    /// Makes a key of the member in A1, and returns its id and secret.
    async fn key(&self, app: &TestApp) -> (String, String) {
        let input = json!({ "userId": self.world.users["member"], "teamId": self.world.a1 });
        api_key(&app.admin(), input).await
    }
}

async fn ask(gateway: &Client, secret: &str) -> Answer {
    gateway.check(json!({ "credential": secret, "model": "m" })).await
}

/// Follows all that was written until now.
async fn follow(app: &TestApp) {
    app.app.enforcement().poll().await.unwrap();
}

fn statements(app: &TestApp) -> u64 {
    app.app.enforcement().statistics().statements
}

/// E-40, C-A3, C-A4, AC-16: a key that is known costs no statement, whatever it has; another one costs a
/// fixed number. End users are kept beside keys.
#[tokio::test]
async fn a_warm_check_costs_no_statement() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let budgets: Vec<_> =
            (0..20).map(|n| json!({ "create": { "maxSpend": (100 + n).to_string() } })).collect();
        let input = json!({ "id": scene.world.a1, "budgets": budgets });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
        let (_, secret) = scene.key(app).await;
        let (_, other) = scene.key(app).await;
        follow(app).await;
        let body = |secret: &str| {
            json!({ "credential": secret, "model": "m", "endUser": "ada", "tags": ["a", "b"] })
        };
        let cold = scene.gateway.check(body(&secret)).await;
        assert!(cold.statements() > 0);
        for _ in 0..3 {
            let warm = scene.gateway.check(body(&secret)).await;
            assert_eq!((warm.status, warm.statements()), (200, 0), "{:#}", warm.body);
        }
        // The end user, the tags and what holds for every call are known now.
        let second = scene.gateway.check(body(&other)).await;
        assert!(second.statements() <= 10, "{}", second.statements());
        assert_eq!(scene.gateway.check(body(&other)).await.statements(), 0);
    })
    .await;
}

/// C-A9, SECURITY 6: many who ask at once for what is not there wait for one reading.
#[tokio::test]
async fn many_who_ask_at_once_cost_one_reading() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (_, first) = scene.key(app).await;
        let (_, second) = scene.key(app).await;
        follow(app).await;
        ask(&scene.gateway, &first).await;
        let before = statements(app);
        ask(&scene.gateway, &second).await;
        let one = statements(app) - before;
        let (_, third) = scene.key(app).await;
        follow(app).await;
        let before = statements(app);
        let asked = (0..64).map(|_| ask(&scene.gateway, &third));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(statements(app) - before, one);
    })
    .await;
}

/// Keys that are asked for together are read together.
#[tokio::test]
async fn the_cost_of_a_batch_does_not_grow_with_its_keys() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let mut secrets = Vec::new();
        for _ in 0..60 {
            secrets.push(scene.key(app).await.1);
        }
        follow(app).await;
        let batch = |secrets: &[String]| {
            let one = |secret: &String| json!({ "credential": secret, "model": "m" });
            json!({ "checks": secrets.iter().map(one).collect::<Vec<_>>() })
        };
        ask(&scene.gateway, &secrets[0]).await;
        let mut costs = Vec::new();
        for range in [1..3, 3..60] {
            let before = statements(app);
            let answer = scene.gateway.check(batch(&secrets[range])).await;
            assert_eq!(answer.status, 200);
            costs.push(statements(app) - before);
        }
        // A worker may have begun with the first key before the others came.
        assert!(costs[1] <= 3 * costs[0], "{costs:?}");
    })
    .await;
}

/// C-A9, SECURITY 6: that nobody has a secret is remembered for 5 seconds, of so many secrets; a secret
/// that somebody gets is known at once.
#[tokio::test]
async fn what_is_not_there_is_remembered_briefly() {
    let bound = [("TOLLKEEP__CHECKS__UNKNOWN", "50")];
    on_each_database_with(&bound, async |app| {
        let scene = Scene::new(app).await;
        let chosen = "sk-4f9a0c2e7b1d8365aa00bb11cc22dd33";
        follow(app).await;
        let cost = async || {
            let answer = ask(&scene.gateway, chosen).await;
            assert_eq!(answer.status, 401);
            answer.statements()
        };
        assert!(cost().await > 0);
        assert_eq!(cost().await, 0);
        app.clock.set(noon() + TimeDelta::milliseconds(4_999));
        assert_eq!(cost().await, 0);
        app.clock.set(noon() + TimeDelta::seconds(5));
        assert!(cost().await > 0);
        for number in 0..300 {
            ask(&scene.gateway, &format!("sk-nobody-{number}")).await;
        }
        assert_eq!(app.app.enforcement().statistics().unknown_secrets, 50);
        ask(&scene.gateway, chosen).await;
        let input = json!({ "userId": scene.world.users["outsider"], "secret": chosen });
        api_key(&app.admin(), input).await;
        assert_eq!(ask(&scene.gateway, chosen).await.status, 200);
    })
    .await;
}

/// No more is kept than the deployment lets, and what was let go is read again.
#[tokio::test]
async fn what_is_kept_is_bounded() {
    let bounds = [("TOLLKEEP__CHECKS__KEYS", "5"), ("TOLLKEEP__CHECKS__END_USERS", "5")];
    on_each_database_with(&bounds, async |app| {
        let scene = Scene::new(app).await;
        let mut secrets = Vec::new();
        for _ in 0..12 {
            secrets.push(scene.key(app).await.1);
        }
        for (number, secret) in secrets.iter().chain(&secrets).enumerate() {
            let body = json!({ "credential": secret, "endUser": format!("customer-{number}") });
            assert_eq!(scene.gateway.check(body).await.status, 200);
        }
        let kept = app.app.enforcement().statistics();
        assert_eq!((kept.keys, kept.secrets, kept.end_users), (5, 5, 5));
    })
    .await;
}

/// A secret whose grace has ended is refused when it ends, and not when something is read again.
#[tokio::test]
async fn ends_are_judged_when_a_key_is_used() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (key, secret) = scene.key(app).await;
        let input = json!({ "id": key, "gracePeriod": "2s" });
        let made = done(&app.admin(), "apiKeyRotate", input, "secret").await;
        let new = made["secret"].as_str().unwrap();
        for (millis, old) in [(0, 200), (1_999, 200), (2_000, 401)] {
            app.clock.set(noon() + TimeDelta::milliseconds(millis));
            let answer = ask(&scene.gateway, &secret).await;
            assert_eq!(answer.status, old, "{millis}");
            assert_eq!(ask(&scene.gateway, new).await.status, 200);
        }
    })
    .await;
}

/// Two servers on one database.
async fn two_servers(test: impl AsyncFn(&TestApp, &TestApp)) {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let one = TestApp::start(&database, &[]).await;
    let other = TestApp::start(&database, &[]).await;
    test(&one, &other).await;
    one.stop().await;
    other.stop().await;
    database.drop().await;
}

/// How long it takes until a server refuses a key that another one was told to refuse.
async fn refused_after(gateway: &Client, secret: &str, began: Instant) -> Duration {
    loop {
        let answer = ask(gateway, secret).await;
        if answer.status != 200 {
            assert!([401, 403].contains(&answer.status), "{:#}", answer.body);
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it is still allowed");
    }
}

/// SECURITY 2, case 22, and case 23; E-25, E-26: what is blocked, revoked or deleted on one server is
/// refused by the other within a second.
#[tokio::test]
async fn a_revocation_holds_on_the_other_server_within_a_second() {
    two_servers(async |one, other| {
        let scene = Scene::new(one).await;
        let admin = one.admin();
        let gateway = other.with_key(scene.gateway.key.as_deref());
        let mut longest = Duration::ZERO;
        for way in [
            "block",
            "delete",
            "rotate",
            "user",
            "user-deletion",
            "team",
            "team-deletion",
            "member",
            "organization",
        ] {
            let person = user(&admin, &format!("{way}-person"), "USER").await;
            let place = crate::harness::world::organization(one, &format!("Org {way}")).await;
            crate::harness::world::join_organization(one, &place, &person, "MEMBER").await;
            let members = [(&person, "ADMIN"), (&scene.world.users["platform_admin"], "ADMIN")];
            crate::harness::world::join_organization(one, &place, members[1].0, "MEMBER").await;
            let place_team = team(&admin, way, &place, &members).await;
            let input = json!({ "userId": person, "teamId": place_team });
            let (key, secret) = api_key(&admin, input).await;
            assert_eq!(ask(&gateway, &secret).await.status, 200, "{way}");
            let began = Instant::now();
            let (field, input, selection) = match way {
                "block" => ("apiKeyBlock", json!({ "id": key }), "apiKey { id }"),
                "delete" => ("apiKeyDelete", json!({ "ids": [key] }), "deletedIds"),
                "rotate" => ("apiKeyRotate", json!({ "id": key }), "apiKey { id }"),
                "user" => ("userBlock", json!({ "id": person }), "user { id }"),
                "user-deletion" => ("userDelete", json!({ "ids": [person] }), "deletedIds"),
                "team" => ("teamBlock", json!({ "id": place_team }), "team { id }"),
                "team-deletion" => ("teamDelete", json!({ "ids": [place_team] }), "deletedIds"),
                "member" => {
                    let input = json!({ "teamId": place_team, "user": { "id": person } });
                    ("teamMemberRemove", input, "deletedId")
                }
                _ => ("organizationDelete", json!({ "ids": [place] }), "deletedIds"),
            };
            done(&admin, field, input, selection).await;
            longest = longest.max(refused_after(&gateway, &secret, began).await);
        }
        assert!(longest <= Duration::from_secs(1), "{longest:?}");
    })
    .await;
}

/// SECURITY 2, case 22: the channel on which servers wake each other is a hint. Without it, polls find
/// what changed.
#[tokio::test]
async fn a_revocation_holds_without_the_channel_of_hints() {
    two_servers(async |one, other| {
        let scene = Scene::new(one).await;
        let gateway = other.with_key(scene.gateway.key.as_deref());
        for _ in 0..3 {
            let (key, secret) = scene.key(one).await;
            assert_eq!(ask(&gateway, &secret).await.status, 200);
            // Whoever listens is cut off, and listens again a second later.
            let database = one.database().await;
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND query LIKE 'LISTEN%'";
            sea_orm::ConnectionTrait::execute_unprepared(&database, cut).await.unwrap();
            let began = Instant::now();
            done(&one.admin(), "apiKeyBlock", json!({ "id": key }), "apiKey { id }").await;
            let span = refused_after(&gateway, &secret, began).await;
            assert!(span <= Duration::from_secs(5), "{span:?}");
        }
    })
    .await;
}

/// SECURITY 6: a change whose transaction commits after a later one is not missed.
#[tokio::test]
async fn a_change_that_commits_late_is_not_missed() {
    use sea_orm::{ConnectionTrait, TransactionTrait};
    two_servers(async |one, other| {
        let scene = Scene::new(one).await;
        let gateway = other.with_key(scene.gateway.key.as_deref());
        let (key, secret) = scene.key(one).await;
        let row = crate::steps::sql_id(one, &key);
        assert_eq!(ask(&gateway, &secret).await.status, 200);
        let late = one.database().await;
        let late = late.begin().await.unwrap();
        let block = format!("UPDATE api_keys SET blocked_by = 'PLATFORM' WHERE id = {row}");
        late.execute_unprepared(&block).await.unwrap();
        let log = format!(
            "INSERT INTO change_log (entity_kind, entity_id, occurred_at) \
             VALUES ('API_KEY', {row}, now())"
        );
        late.execute_unprepared(&log).await.unwrap();
        // Later revisions are committed and followed, many of them.
        for _ in 0..3 {
            scene.key(one).await;
            follow(other).await;
            assert_eq!(ask(&gateway, &secret).await.status, 200);
        }
        late.commit().await.unwrap();
        follow(other).await;
        assert_eq!(ask(&gateway, &secret).await.body["code"], "BLOCKED");
        // What is followed is not told again and again: the key that is kept stays.
        follow(other).await;
        let answer = ask(&gateway, &secret).await;
        follow(other).await;
        assert_eq!((answer.statements(), ask(&gateway, &secret).await.statements()), (0, 0));
    })
    .await;
}

/// A server that was away for longer than half of the time for which changes are kept reads everything
/// anew: it may have missed some.
#[tokio::test]
async fn after_a_gap_everything_is_read_anew() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (key, secret) = scene.key(app).await;
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        let row = crate::steps::sql_id(app, &key);
        // As if its row of the change log had been pruned.
        let block = format!("UPDATE api_keys SET blocked_by = 'PLATFORM' WHERE id = {row}");
        execute(app, &block).await;
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        app.clock.set(noon() + TimeDelta::minutes(31));
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.body["code"], "BLOCKED");
    })
    .await;
}

/// Rows of the change log go when their time is over, and revisions are not given twice.
#[tokio::test]
async fn the_change_log_is_pruned() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let database = &app.app.deployment().database;
        assert!(crate::steps::rows(app, "change_log").await > 10);
        follow(app).await;
        let revision = app.app.enforcement().revision();
        database.prune_changes(noon()).await.unwrap();
        assert!(crate::steps::rows(app, "change_log").await > 10);
        database.prune_changes(noon() + TimeDelta::microseconds(1)).await.unwrap();
        // The newest one stays.
        assert_eq!(crate::steps::rows(app, "change_log").await, 1);
        follow(app).await;
        assert_eq!(app.app.enforcement().revision(), revision);
        let (_, secret) = scene.key(app).await;
        follow(app).await;
        assert!(app.app.enforcement().revision() > revision);
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
    })
    .await;
}

/// SECURITY 2, cases 14 and 22: five seconds without a complete look at the change log, and nothing
/// that is kept is believed; the next look mends it.
#[tokio::test]
async fn without_the_change_log_nothing_is_granted_after_five_seconds() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (_, secret) = scene.key(app).await;
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        execute_any(app, "ALTER TABLE change_log RENAME TO hidden").await;
        assert!(app.app.enforcement().poll().await.is_err());
        app.clock.set(noon() + TimeDelta::seconds(5));
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        app.clock.set(noon() + TimeDelta::milliseconds(5_001));
        let own = app.with_key(Some(&secret));
        for answer in [ask(&scene.gateway, &secret).await, own.check(json!({})).await] {
            assert_eq!(answer.status, 503, "{:#}", answer.body);
            assert_eq!(answer.headers["retry-after"], "1");
            assert_eq!(answer.body["error"]["code"], "service_unavailable");
            assert_eq!(answer.body.get("allow"), None);
        }
        execute_any(app, "ALTER TABLE hidden RENAME TO change_log").await;
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
    })
    .await;
}

/// The platform may choose otherwise, and that it did stands in the audit trail.
#[tokio::test]
async fn a_setting_lets_checks_go_on_without_the_change_log() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (_, secret) = scene.key(app).await;
        let (_, unknown) = scene.key(app).await;
        let input = json!({ "serveStaleChecks": true });
        done(&app.admin(), "settingsUpdate", input, "settings { serveStaleChecks }").await;
        let events = "{ auditEvents(first: 1) { nodes { action before after } } }";
        let event = app.admin().data(events).await["auditEvents"]["nodes"][0].clone();
        assert_eq!(event["action"], "SETTINGS_UPDATED");
        assert_eq!(event["before"]["serve_stale_checks"], false);
        assert_eq!(event["after"]["serve_stale_checks"], true);
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        // The database goes away altogether.
        app.app.enforcement().stop();
        app.app.deployment().database.close().await;
        app.clock.set(noon() + TimeDelta::minutes(10));
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        assert_eq!(ask(&scene.gateway, &unknown).await.status, 503);
    })
    .await;
}

/// SECURITY 2, case 14; AC-12, C-A5, C-A7: the database is away. What is kept answers for five seconds, and what is not is
/// nobody's and not anybody's: it is not known.
#[tokio::test]
async fn a_database_that_is_away_grants_nothing_new() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (_, secret) = scene.key(app).await;
        let (_, unknown) = scene.key(app).await;
        follow(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.status, 200);
        app.app.enforcement().stop();
        app.app.deployment().database.close().await;
        let warm = ask(&scene.gateway, &secret).await;
        assert_eq!((warm.status, warm.statements()), (200, 0));
        for body in [
            json!({ "credential": unknown }),
            json!({ "credential": "sk-nobody" }),
            json!({ "credential": secret, "endUser": "new" }),
            json!({ "credential": secret, "tags": ["new"] }),
            json!({ "checks": [{ "credential": secret }, { "credential": unknown }] }),
        ] {
            let answer = scene.gateway.check(body.clone()).await;
            assert_eq!(answer.status, 503, "{body} {:#}", answer.body);
        }
        app.clock.set(noon() + TimeDelta::milliseconds(5_001));
        assert_eq!(ask(&scene.gateway, &secret).await.status, 503);
    })
    .await;
}

/// A statement that changes no rows.
async fn execute_any(app: &TestApp, sql: &str) {
    let database = app.database().await;
    sea_orm::ConnectionTrait::execute_unprepared(&database, sql).await.unwrap();
}

/// A budget that is put in force holds for the next check, and what it has counted is told.
#[tokio::test]
async fn counters_are_told_as_they_stand() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (key, secret) = scene.key(app).await;
        assert_eq!(ask(&scene.gateway, &secret).await.body["remaining"]["usd"], Value::Null);
        let budgets = json!([{ "create": { "maxSpend": "10" } }]);
        let input = json!({ "id": key, "budgets": budgets });
        done(&app.admin(), "apiKeyUpdate", input, "apiKey { id }").await;
        assert_eq!(ask(&scene.gateway, &secret).await.body["remaining"]["usd"], "10");
    })
    .await;
}
