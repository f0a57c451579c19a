//! R10: two servers, keys that are revoked, a hint channel that is cut, and a server that freezes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::journal::Journal;
use crate::load::Work;
use crate::play::{Length, Outcome, Play};
use crate::stage::{ADMIN_KEY, Data, Stage};
use crate::world::Plan;

/// Ends the connections on which servers wait for hints.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND query ILIKE 'listen%'";

/// How long a refusal is waited for.
const LONGEST: Duration = Duration::from_mins(1);

/// How long a server is frozen: longer than what it knows may be old.
const FROZEN: Duration = Duration::from_secs(8);

/// Asks about a revoked key every ten milliseconds until it is refused, which it has to be in the end.
async fn until_refused(mut client: Client, journal: Arc<Journal>, secret: String) {
    let body = json!({ "credential": secret, "model": "gpt-4o" });
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        let asked = Instant::now();
        match client.post("/v1/check", &body).await {
            Ok(answer) if answer.status == 200 => journal.let_through(&secret, asked),
            Ok(answer) if matches!(answer.status, 401 | 403) => return,
            // The one that is frozen, or that catches up.
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    journal.fault("a revoked key is never refused".to_owned());
}

pub(crate) async fn revocations(data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, "R10").await;
    let servers = [stage.serve(0).await, stage.serve(1).await];
    let keys = length.number(10_000, 500);
    let people = Plan { teams: 20, keys, period: "1d", tight: None, zones: &[] };
    let mut play = Play::begin(length, &servers[0], people).await;
    // One is frozen for a while, and told nothing meanwhile: it puts off, and refuses, and no more.
    play.is_disturbed = true;
    play.put(Work::Check, 16, length.rate(5_000.0), &[&servers[0], &servers[1]]);
    let db = stage.database().await;
    let mut admin = Client::new(servers[0].address, ADMIN_KEY);
    let (mut revoked, mut frozen) = (0, None);
    let mut probes = JoinSet::new();
    let freeze_at = play.began + length.share(3);
    while !play.is_over() {
        let caller = &play.world.callers[revoked];
        play.journal.revoke(&caller.secret, None);
        if revoked % 3 == 0 {
            db.execute_unprepared(CUT).await.unwrap();
        }
        let mutation = "mutation($input: ApiKeyIdInput!) {
            apiKeyBlock(input: $input) { apiKey { id } } }";
        admin.data(mutation, &json!({ "input": { "id": caller.id } })).await;
        play.journal.revoke(&caller.secret, Some(Instant::now()));
        for server in &servers {
            let client = Client::new(server.address, &play.world.gateway);
            probes.spawn(until_refused(client, Arc::clone(&play.journal), caller.secret.clone()));
        }
        revoked += 1;
        let at = Instant::now();
        match frozen {
            None if at > freeze_at => {
                servers[1].signal("STOP");
                frozen = Some(at);
            }
            Some(since) if at.duration_since(since) > FROZEN => {
                servers[1].signal("CONT");
                frozen = Some(play.end + FROZEN);
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    servers[1].signal("CONT");
    play.tell(&format!("{revoked} revocations"));
    play.loads().await;
    probes.join_all().await;
    let latest = play.journal.entries().latest.as_secs_f64() * 1_000.0;
    play.bound("a revoked key was let through for at most", latest, 1_000.0, "ms");
    assert!(frozen.is_some(), "the run is too short to freeze a server");
    db.close().await.unwrap();
    play.finish(&stage, servers.into()).await
}
