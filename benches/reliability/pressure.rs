//! R7, R8: others who use the database up, and a database that refuses at random.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::load::Work;
use crate::play::{Length, Outcome, Play};
use crate::stage::{ADMIN_KEY, Data, Stage, connect};
use crate::world::Plan;

/// What a dashboard asks for, again and again.
const SLOW: &str = "{ teams(first: 50) { nodes { id name
    members(first: 10) { nodes { role } } apiKeys(first: 20) { nodes { id name
        budgets { spent remaining } } }
    projects(first: 10) { nodes { name budgets { spent reserved remaining } } } } } }";

/// What holds locks for a second, again and again: longer than anybody waits for room.
const LOCKS: [&str; 2] = [
    "BEGIN; LOCK TABLE teams IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT",
    "BEGIN; SELECT id FROM projects FOR UPDATE; SELECT pg_sleep(1); COMMIT",
];

/// R7: hundreds of slow queries, locked tables and idle transactions; checks do not notice.
pub(crate) async fn overload(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R7").await;
    let server = stage.serve(0).await;
    let keys = length.number(10_000, 500);
    let people = Plan { teams: 60, keys, period: "1d", tight: None, zones: &[] };
    let mut play = Play::begin(length, &server, people).await;
    // Known before the database is busy, as those of a gateway that has been asking are.
    let mut gateway = Client::new(server.address, &play.world.gateway);
    for callers in play.world.callers.chunks(100) {
        let one = |secret: &str| json!({ "credential": secret, "model": "gpt-4o" });
        let checks: Vec<_> = callers.iter().map(|caller| one(&caller.secret)).collect();
        let answer = gateway.post("/v1/check", &json!({ "checks": checks })).await.unwrap();
        assert_eq!(answer.status, 200, "{:#}", answer.body);
    }
    let mut others = JoinSet::new();
    let end = play.end;
    let mut idle = Vec::new();
    for _ in 0..200 {
        let db = connect(stage.database_url()).await.unwrap();
        db.execute_unprepared("BEGIN; SELECT count(*) FROM api_keys").await.unwrap();
        idle.push(db);
    }
    for sql in LOCKS {
        let db = connect(stage.database_url()).await.unwrap();
        others.spawn(async move {
            while Instant::now() < end {
                db.execute_unprepared(sql).await.unwrap();
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            (0, 0, Duration::ZERO, Vec::new())
        });
    }
    let admin = platform_admin(&mut Client::new(server.address, ADMIN_KEY)).await;
    for _ in 0..length.number(500, 200) {
        others.spawn(ask_slowly(Client::new(server.address, &admin), end));
    }
    play.put(Work::Check, 16, length.rate(5_000.0), &[&server]);
    play.put(Work::Hold, 4, length.rate(40.0), &[&server]);
    play.put(Work::Report, 1, length.rate(10.0), &[&server]);
    let (mut answered, mut put_off, mut longest) = (0, 0, Duration::ZERO);
    while let Some(done) = others.join_next().await {
        let (good, shed, wait, faults) = done.unwrap();
        answered += good;
        put_off += shed;
        longest = longest.max(wait);
        for text in faults {
            play.journal.fault(text);
        }
    }
    drop(idle);
    if answered == 0 || put_off == 0 {
        play.journal.fault(format!("{answered} answered, {put_off} put off: no overload"));
    }
    play.tell(&format!("dashboards: {answered} answered, {put_off} put off"));
    play.bound("longest wait", longest.as_secs_f64(), 2.0, "s");
    for (work, mut figures) in play.loads().await {
        if matches!(work, Work::Check) {
            play.bound("p99", figures.percentile(99), 20.0, "ms");
        }
    }
    play.finish(&stage, vec![server]).await
}

/// Makes a person who may see everything, and returns a key of hers: unlike the admin key of the
/// server's settings, it is looked up.
async fn platform_admin(admin: &mut Client) -> String {
    let mutation = "mutation {
        userCreate(input: { name: \"Ada\", platformRole: ADMIN }) { user { id } } }";
    let made = admin.data(mutation, &json!({})).await;
    let mutation =
        "mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret } }";
    let input = json!({ "userId": made["userCreate"]["user"]["id"] });
    let made = admin.data(mutation, &json!({ "input": input })).await;
    made["apiKeyCreate"]["secret"].as_str().unwrap().to_owned()
}

/// Asks until the end; what was answered, what was put off, the longest wait, and other answers.
async fn ask_slowly(mut client: Client, end: Instant) -> (u64, u64, Duration, Vec<String>) {
    let (mut answered, mut put_off, mut longest) = (0, 0, Duration::ZERO);
    let mut faults = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        let body = json!({ "query": SLOW });
        match client.post("/graphql", &body).await {
            Ok(answer) if answer.status == 200 && answer.body.get("errors").is_none() => {
                answered += 1;
            }
            Ok(answer) if answer.has_retry_after && answer.is_unavailable() => put_off += 1,
            other => faults.push(format!("a dashboard: {other:?}")),
        }
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    faults.truncate(3);
    (answered, put_off, longest, faults)
}

/// Refuses one statement in fifty that changes a counter or records an event, in two ways.
const INJECTION: &str = "
    CREATE SEQUENCE injected;
    CREATE FUNCTION inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF random() < 0.02 THEN
            PERFORM nextval('injected');
            IF random() < 0.5 THEN
                RAISE EXCEPTION 'injected' USING ERRCODE = '40001';
            ELSE
                RAISE EXCEPTION 'injected' USING ERRCODE = '40P01';
            END IF;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER inject AFTER UPDATE ON budget_windows
        FOR EACH STATEMENT EXECUTE FUNCTION inject();
    CREATE TRIGGER inject AFTER INSERT ON usage_events
        FOR EACH STATEMENT EXECUTE FUNCTION inject();";

/// R8: conflicts and deadlocks, which are tried again and never shown.
pub(crate) async fn conflicts(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R8").await;
    let server = stage.serve(0).await;
    let people =
        Plan { teams: 5, keys: 50, period: "10s", tight: Some(length.tight()), zones: &[] };
    let mut play = Play::begin(length, &server, people).await;
    let db = stage.database().await;
    db.execute_unprepared(INJECTION).await.unwrap();
    play.look(&stage).await;
    play.put(Work::Hold, 32, length.rate(800.0), &[&server]);
    play.put(Work::Report, 2, length.rate(10.0), &[&server]);
    play.loads().await;
    let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS count FROM injected";
    let sql = sea_orm::Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(sql).await.unwrap().unwrap();
    let count: i64 = row.try_get("", "count").unwrap();
    if count == 0 {
        play.journal.fault("nothing was injected".to_owned());
    }
    play.tell(&format!("{count} refusals injected"));
    db.close().await.unwrap();
    play.finish(&stage, vec![server]).await
}
