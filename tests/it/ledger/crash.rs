//! The ledger of a process that is killed: what was acknowledged is there, and nothing is there twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{spend, team_with_key_by};
use crate::crash::Program;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::world::api_key;
use crate::harness::{ADMIN_KEY, Client, KEK};

const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

const RECORD: &str =
    "mutation($input: UsageRecordInput!) { usageRecord(input: $input) { verdicts { code } } }";

/// Events of one request: ten, of which each costs a nano-dollar.
fn batch(key: &str, number: u32) -> Value {
    let event = |place: u32| {
        json!({ "requestId": format!("{number}-{place}"), "apiKeyId": key, "model": "m",
            "cost": "0.000000001" })
    };
    json!({ "input": { "events": (0..10).map(event).collect::<Vec<_>>() } })
}

/// Reports until the process is killed; returns the numbers of those reports that were acknowledged.
async fn report_until_killed(
    program: &mut Program,
    gateway: &str,
    key: &str,
    next: &Arc<AtomicU32>,
) -> Vec<u32> {
    let began = next.load(Ordering::Relaxed);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, key, next) = (program.client(gateway), key.to_owned(), Arc::clone(next));
        clients.spawn(async move {
            let mut acknowledged = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(answer) = client.try_run(RECORD, batch(&key, number)).await else {
                    return acknowledged;
                };
                answer.data();
                acknowledged.push(number);
            }
        });
    }
    while next.load(Ordering::Relaxed) < began + 40 {
        tokio::task::yield_now().await;
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    clients.join_all().await.concat()
}

async fn verdicts(client: &Client, key: &str, number: u32) -> Vec<String> {
    let data = client.run_with(RECORD, batch(key, number)).await.data();
    let verdicts = data["usageRecord"]["verdicts"].as_array().unwrap().clone();
    verdicts.iter().map(|verdict| verdict["code"].as_str().unwrap().to_owned()).collect()
}

/// SECURITY 2, case 27, and R4: reports across `kill -9`, all sent again afterwards, are counted once each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_counted_once_across_the_death_of_the_process() {
    for kind in kinds() {
        let folder = tempfile::tempdir().unwrap();
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(TestDatabase::create(kind).await),
        };
        let url = database.as_ref().map(TestDatabase::url);
        let mut environment = vec![
            ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY),
            ("TOLLKEEP__AUTH__PEPPER", PEPPER),
            ("TOLLKEEP__AUTH__KEK", KEK),
        ];
        if let Some(url) = &url {
            environment.push(("DATABASE_URL", url));
        }
        let mut program = Program::serve(folder.path(), &environment);
        let admin = program.client(ADMIN_KEY);
        let (team, key) = team_with_key_by(&admin, "T", json!([{ "maxSpend": "1" }])).await;
        let (_, gateway) = api_key(&admin, json!({ "kind": "GATEWAY", "name": "g" })).await;
        let next = Arc::new(AtomicU32::new(0));
        let mut acknowledged = Vec::new();
        for _ in 0..3 {
            acknowledged.extend(report_until_killed(&mut program, &gateway, &key, &next).await);
            program = Program::serve(folder.path(), &environment);
        }
        let (client, all) = (program.client(&gateway), next.load(Ordering::Relaxed));
        for number in &acknowledged {
            assert_eq!(verdicts(&client, &key, *number).await, ["DUPLICATE"; 10]);
        }
        for number in 0..all {
            // A batch is recorded as a whole or not at all.
            let again = verdicts(&client, &key, number).await;
            assert!(again == ["DUPLICATE"; 10] || again == ["RECORDED"; 10], "{again:?}");
        }
        let found = spend(&program.client(ADMIN_KEY), "team", &team).await;
        let expected = format!("0.{:09}", all * 10).trim_end_matches('0').to_owned();
        assert_eq!(found["spend"]["lifetime"], expected);
        assert_eq!(found["budgets"][0]["spent"], expected);
        assert_eq!(found["spend"]["requests"], (all * 10).to_string());
        drop(program);
        if let Some(database) = database {
            database.drop().await;
        }
    }
}
