//! Key-encryption keys: the right one or no start, and a change of it that loses nothing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::crash::Program;
use crate::harness::client::text;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::world::api_key;
use crate::harness::{ADMIN_KEY, Client, KEK};
use crate::steps::done;

const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW_KEK: &str = "1b2c3d4e5f60718293a4b5c6d7e8f9000a1b2c3d4e5f60718293a4b5c6d7e8f9";

type Environment = Vec<(&'static str, String)>;

fn borrowed(environment: &Environment) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Credentials with 20 values each, a model for each, and a gateway that gets them.
async fn fill(admin: &Client, credentials: usize) -> String {
    for number in 0..credentials {
        let value = |at: usize| json!({ "name": format!("v{at}"), "value": secret(number, at) });
        let values: Vec<Value> = (0..20).map(value).collect();
        let name = format!("c{number}");
        let input = json!({ "name": name, "externalId": name, "values": values });
        done(admin, "credentialCreate", input, "credential { id }").await;
        let input = json!({ "name": format!("m{number}"), "provider": "p", "credentialId": name });
        done(admin, "modelCreate", input, "model { id }").await;
    }
    api_key(admin, json!({ "kind": "ADMIN", "externalId": "caller" })).await;
    api_key(admin, json!({ "kind": "GATEWAY" })).await.1
}

fn secret(number: usize, at: usize) -> String {
    format!("secret-{number}-{at}-canary")
}

/// Every secret of a credential opens, and is what went in.
async fn verify(gateway: &Client, number: usize) {
    let query = "query($n: String!) {
        modelResolve(name: $n, apiKeyId: \"caller\") { values { name secret } }
    }";
    let data = gateway.run_with(query, json!({ "n": format!("m{number}") })).await.data();
    let values = data["modelResolve"][0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 20);
    for value in values {
        let at: usize = text(value, "/name")[1..].parse().unwrap();
        assert_eq!(text(value, "/secret"), secret(number, at));
    }
}

/// Starts `tollkeep secrets rotate`, and kills it after so many batches; returns whether it ended.
fn rotate(folder: &Path, environment: &Environment, kill_after: Option<usize>) -> bool {
    let mut child = Program::command(folder)
        .args(["secrets", "rotate", "--batch", "5"])
        .envs(borrowed(environment))
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut batches = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        batches += usize::from(line.starts_with("re-wrapped"));
        if kill_after == Some(batches) {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap().success()
}

/// SECURITY 5 and section 4, R12: three `kill -9` of a rotation under load: no secret is unreadable at
/// any moment, and none is sealed twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_three_times_loses_no_secret() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::create(Kind::Postgres).await;
    let base = |kek: &str, former: &str| -> Environment {
        vec![
            ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY.to_owned()),
            ("TOLLKEEP__AUTH__PEPPER", PEPPER.to_owned()),
            ("TOLLKEEP__AUTH__KEK", kek.to_owned()),
            ("TOLLKEEP__AUTH__FORMER_KEKS", former.to_owned()),
            ("DATABASE_URL", database.url()),
        ]
    };
    let (old, both, new) = (base(KEK, ""), base(NEW_KEK, KEK), base(NEW_KEK, ""));
    let program = Program::serve(folder.path(), &borrowed(&old));
    let gateway = fill(&program.client(ADMIN_KEY), 6).await;
    drop(program);
    let program = Program::serve(folder.path(), &borrowed(&both));
    let stopped = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU32::new(0));
    let load = tokio::spawn({
        let (client, admin) = (program.client(&gateway), program.client(ADMIN_KEY));
        let (stopped, rounds) = (Arc::clone(&stopped), Arc::clone(&rounds));
        async move {
            while !stopped.load(Ordering::Relaxed) {
                for number in 0..6 {
                    verify(&client, number).await;
                    // Writers lock the same rows meanwhile; the same value again changes nothing.
                    let value = json!([{ "name": "v3", "value": secret(number, 3) }]);
                    let input = json!({ "id": format!("c{number}"), "values": value });
                    done(&admin, "credentialUpdate", input, "credential { id }").await;
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let (path, environment) = (folder.path().to_owned(), both.clone());
    tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            assert!(!rotate(&path, &environment, Some(3)), "it was killed");
        }
        assert!(rotate(&path, &environment, None));
    })
    .await
    .unwrap();
    let seen = rounds.load(Ordering::Relaxed);
    while rounds.load(Ordering::Relaxed) < seen + 2 {
        assert!(!load.is_finished(), "a secret could not be read");
        tokio::task::yield_now().await;
    }
    stopped.store(true, Ordering::Relaxed);
    load.await.unwrap();
    drop(program);
    // The old key alone no longer starts a server; the new one alone does, and opens everything.
    assert!(refusal(folder.path(), &old).contains("key-encryption key is not the one"));
    let program = Program::serve(folder.path(), &borrowed(&new));
    for number in 0..6 {
        verify(&program.client(&gateway), number).await;
    }
    let query =
        "{ auditEvents(first: 100, filter: { actions: [SECRETS_REWRAPPED] }) { nodes { after } } }";
    let events = program.client(ADMIN_KEY).data(query).await;
    let events = events["auditEvents"]["nodes"].as_array().unwrap().clone();
    let total: u64 = events.iter().map(|event| event["after"]["secrets"].as_u64().unwrap()).sum();
    assert_eq!(total, 120, "each secret was re-wrapped once");
    drop(program);
    database.drop().await;
}

/// What the program says when it does not start.
fn refusal(folder: &Path, environment: &Environment) -> String {
    let output = Program::command(folder)
        .envs(borrowed(environment))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// SECURITY 5, the embedded default: the command draws a new key, goes on after a kill, and forgets the
/// old one at its end; between the kills a server opens everything.
#[tokio::test]
async fn the_key_of_the_secrets_file_is_changed_by_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let environment: Environment = vec![("TOLLKEEP_ADMIN_KEY", ADMIN_KEY.to_owned())];
    let program = Program::serve(folder.path(), &borrowed(&environment));
    let gateway = fill(&program.client(ADMIN_KEY), 2).await;
    drop(program);
    let file = folder.path().join("data/secrets.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    for _ in 0..3 {
        assert!(!rotate(folder.path(), &environment, Some(1)));
        let program = Program::serve(folder.path(), &borrowed(&environment));
        verify(&program.client(&gateway), 0).await;
        verify(&program.client(&gateway), 1).await;
    }
    assert!(rotate(folder.path(), &environment, None));
    let after = std::fs::read_to_string(&file).unwrap();
    let kek =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("kek = ").map(str::to_owned));
    assert_ne!(kek(&before), kek(&after));
    assert!(after.contains("former_keks = []"), "the old key is forgotten");
    let program = Program::serve(folder.path(), &borrowed(&environment));
    verify(&program.client(&gateway), 0).await;
    drop(program);
    // A file without its key, or with another, keeps the server from starting.
    let lost: String = after
        .lines()
        .filter(|line| !line.contains("kek"))
        .map(|line| format!("{line}\n"))
        .collect();
    for damaged in [lost, before] {
        std::fs::write(&file, damaged).unwrap();
        let error = refusal(folder.path(), &environment);
        assert!(error.contains("key-encryption key is not the one"), "{error}");
    }
}

/// SECURITY 5: a server that lacks one of the keys in use does not start, and says what to do.
#[tokio::test]
async fn a_server_with_the_wrong_kek_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let with = |kek: &str, former: &str| -> Environment {
        vec![
            ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY.to_owned()),
            ("TOLLKEEP__AUTH__PEPPER", PEPPER.to_owned()),
            ("TOLLKEEP__AUTH__KEK", kek.to_owned()),
            ("TOLLKEEP__AUTH__FORMER_KEKS", former.to_owned()),
        ]
    };
    drop(Program::serve(folder.path(), &borrowed(&with(KEK, ""))));
    let error = refusal(folder.path(), &with(NEW_KEK, ""));
    assert!(error.contains("give the old one (auth.kek or auth.former_keks"), "{error}");
    assert!(!error.contains(KEK) && !error.contains(NEW_KEK));
    // The next key may be loaded before it seals: so replicas change one after the other.
    let program = Program::serve(folder.path(), &borrowed(&with(KEK, NEW_KEK)));
    fill(&program.client(ADMIN_KEY), 1).await;
    drop(program);
    drop(Program::serve(folder.path(), &borrowed(&with(NEW_KEK, KEK))));
    assert!(rotate(folder.path(), &with(NEW_KEK, KEK), None));
    drop(Program::serve(folder.path(), &borrowed(&with(NEW_KEK, ""))));
    let error = refusal(folder.path(), &with(KEK, ""));
    assert!(error.contains("key-encryption key is not the one"), "{error}");
    for (kek, reason) in [("x", "must be 32 bytes"), (&"00".repeat(32), "must be drawn at random")]
    {
        assert!(refusal(folder.path(), &with(kek, "")).contains(reason), "{kek}");
    }
}
