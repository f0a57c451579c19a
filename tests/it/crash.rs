//! The program as people run it: its first start, its refusals, and its death under load.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::client::text;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::{ADMIN_KEY, Client, KEK};

const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A running program.
pub(crate) struct Program {
    pub(crate) child: Child,
    address: SocketAddr,
    greeting: String,
}

impl Program {
    pub(crate) fn command(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollkeep"));
        command
            .env_clear()
            .current_dir(folder)
            .args(["--data-dir", "data"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Starts the server on a free port, and waits until it says where it listens.
    pub(crate) fn serve(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::serve_logging(folder, environment, None)
    }

    /// The same, with the log in a file.
    pub(crate) fn serve_logging(
        folder: &Path,
        environment: &[(&str, &str)],
        log: Option<&Path>,
    ) -> Self {
        let mut command = Self::command(folder);
        if let Some(log) = log {
            command.stderr(std::fs::File::create(log).unwrap());
        }
        command.args(["serve", "--listen", "127.0.0.1:0"]).envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut greeting = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended: {greeting}");
            greeting.push_str(&line);
            if line.trim_start().starts_with("curl ") {
                break greeting
                    .split("Listening on http://")
                    .nth(1)
                    .and_then(|rest| rest.split('/').next())
                    .unwrap()
                    .parse()
                    .unwrap();
            }
        };
        Self { child, address, greeting }
    }

    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(reqwest::Client::new(), self.address, Some(key))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A program that a test left running must not outlive it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the README promises of the first command: a key that works, shown once, in a folder that
/// nobody else reads; and a line that works when it is pasted.
#[tokio::test]
async fn the_first_start_makes_a_key_that_works_and_shows_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = Program::serve(folder.path(), &[]);
    let key = first.greeting.lines().find_map(|line| line.trim().strip_prefix("sk-tka_"));
    let key = format!("sk-tka_{}", key.unwrap());
    let data = first.client(&key).data("{ viewer { kind } }").await;
    assert_eq!(data["viewer"]["kind"], "BOOTSTRAP");
    let line = first.greeting.lines().find(|line| line.trim_start().starts_with("curl ")).unwrap();
    let pasted = Command::new("sh").args(["-c", line]).output().unwrap();
    let answer = String::from_utf8_lossy(&pasted.stdout).into_owned();
    assert!(answer.contains("\"BOOTSTRAP\""), "{answer}");
    let secrets = folder.path().join("data/secrets.toml");
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(&secrets), mode(&folder.path().join("data"))), (0o600, 0o700));
    assert!(!std::fs::read_to_string(&secrets).unwrap().contains(&key[7..]));
    drop(first);
    let second = Program::serve(folder.path(), &[]);
    assert!(!second.greeting.contains("Admin key"), "{}", second.greeting);
    second.client(&key).data("{ viewer { kind } }").await;
    let mut third = Program::command(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut error = String::new();
    third.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(!third.wait().unwrap().success());
    assert!(error.contains("is in use by another process"), "{error}");
}

/// A folder that cannot be made is named, and what to do about it.
#[test]
fn a_data_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file is in the way").unwrap();
    let failed = Program::command(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success(), "{error}");
    assert!(error.contains("the data folder data cannot be made"), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
}

/// SECURITY 4 R13: a folder in which nothing can be written is named, with the reason. Not even root
/// makes a file among the processes of Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/proc", folder.path().join("data")).unwrap();
    let failed = Program::command(folder.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success(), "{error}");
    assert!(error.contains("the database file data/tollkeep.db cannot be used"), "{error}");
    assert!(error.contains("because: "), "{error}");
}

/// A first start that fails has shown no key, so it has kept none: the next one shows one that works.
#[tokio::test]
async fn a_first_start_on_a_taken_port_loses_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let failed = Program::command(folder.path())
        .args(["serve", "--listen", &listen])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && error.contains("cannot listen on"), "{error}");
    assert!(!String::from_utf8_lossy(&failed.stdout).contains("sk-tka_"));
    let program = Program::serve(folder.path(), &[]);
    let key = program.greeting.lines().find_map(|line| line.trim().strip_prefix("sk-tka_"));
    let key = format!("sk-tka_{}", key.unwrap());
    let data = program.client(&key).data("{ viewer { kind } }").await;
    assert_eq!(data["viewer"]["kind"], "BOOTSTRAP");
}

/// The walk-through of the README, pasted as it stands.
#[tokio::test]
async fn the_five_commands_of_the_readme_work_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::serve(folder.path(), &[("TOLLKEEP_ADMIN_KEY", ADMIN_KEY)]);
    let readme = include_str!("../../README.md");
    let chapter = readme.split("## Five commands").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<_> =
        chapter.split("```sh").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 5);
    let script = blocks
        .join("\necho\n")
        .replace("sk-tka_…", ADMIN_KEY)
        .replace("http://127.0.0.1:4000", &format!("http://{}", program.address));
    let pasted = Command::new("sh").args(["-ec", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&pasted.stdout).into_owned();
    assert!(pasted.status.success() && !text.contains("\"errors\""), "{text}");
    for wanted in ["\"teamCreate\"", "\"teamMemberAdd\"", "\"viewer\""] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
}

/// SECURITY case 15: secrets are in no log, at any level, and not in the files of the database.
#[tokio::test]
async fn secrets_are_in_no_log_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let canary = "sk-CANARY-7f3b91d0c4a86e25-QzXvKpLm";
    let log = folder.path().join("log");
    let environment = [("TOLLKEEP_ADMIN_KEY", ADMIN_KEY), ("TOLLKEEP__TELEMETRY__LOG", "trace")];
    let mut program = Program::serve_logging(folder.path(), &environment, Some(&log));
    let admin = program.client(ADMIN_KEY);
    let query = "mutation($s: String) { apiKeyCreate(input: { kind: GATEWAY, secret: $s }) { secret apiKey { id } } }";
    let data = admin.run_with(query, json!({ "s": canary })).await.data();
    let id = text(&data, "/apiKeyCreate/apiKey/id");
    let rotate =
        "mutation($id: ID!) { apiKeyRotate(input: { id: $id, gracePeriod: \"1h\" }) { secret } }";
    let data = admin.run_with(rotate, json!({ "id": id })).await.data();
    let rotated = text(&data, "/apiKeyRotate/secret");
    let value = "provider-CANARY-5c1e9a7d2f";
    let query = "mutation($v: String) { credentialCreate(input: { name: \"c\",
        values: [{ name: \"api_key\", value: $v }] }) { credential { id } } }";
    let data = admin.run_with(query, json!({ "v": value })).await.data();
    let credential = text(&data, "/credentialCreate/credential/id");
    let query = "mutation($id: ID!) { modelCreate(input: { name: \"m\", provider: \"p\",
        credentialId: $id }) { model { id } } }";
    admin.run_with(query, json!({ "id": credential })).await.data();
    let query =
        "query($id: ID!) { modelResolve(name: \"m\", apiKeyId: $id) { values { secret } } }";
    let gateway = program.client(&rotated);
    let opened = gateway.run_with(query, json!({ "id": id })).await.data();
    assert_eq!(text(&opened, "/modelResolve/0/values/0/secret"), value);
    for key in [canary, &rotated, "sk-wrong-CANARY"] {
        program.client(key).run("{ viewer { kind } nope }").await;
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let mut files = vec![log];
    files.extend(
        std::fs::read_dir(folder.path().join("data")).unwrap().map(|file| file.unwrap().path()),
    );
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [canary, &rotated, ADMIN_KEY, "sk-wrong-CANARY", value] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", file.display());
        }
    }
}

/// What keeps a server from starting is said in one sentence.
#[tokio::test]
async fn a_server_that_cannot_start_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |environment: &[(&str, &str)], arguments: &[&str]| {
        let output = Program::command(folder.path())
            .envs(environment.iter().copied())
            .args(arguments)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let error = refuse(&[("TOLLKEEP_ADMIN_KEY", "sk-1234")], &serve);
    assert!(error.contains("auth.admin_key"), "{error}");
    let error = refuse(&[("TOLLKEEP__HTTP__LISTN", "x")], &serve);
    assert!(error.contains("did you mean"), "{error}");
    let error = refuse(&[("DATABASE_URL", "postgres://tollkeep@127.0.0.1:1/none")], &serve);
    assert!(error.contains("auth.pepper") && error.contains("auth.admin_key"), "{error}");
    drop(Program::serve(folder.path(), &[]));
    let error = refuse(&[("TOLLKEEP__AUTH__PEPPER", PEPPER)], &serve);
    assert!(error.contains("pepper is not the one"), "{error}");
    if kinds().contains(&Kind::Postgres) {
        let database = TestDatabase::empty(Kind::Postgres).await;
        let url = database.url();
        let secrets = [
            ("TOLLKEEP__AUTH__PEPPER", PEPPER),
            ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY),
            ("TOLLKEEP__AUTH__KEK", KEK),
        ];
        let environment: Vec<_> =
            secrets.into_iter().chain([("DATABASE_URL", url.as_str())]).collect();
        let error = refuse(&environment, &serve);
        assert!(error.contains("migrate up"), "{error}");
        database.drop().await;
    }
}

#[tokio::test]
async fn the_schema_is_checked_by_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let run = |path: &str| {
        Program::command(folder.path()).args(["schema", "--check", path]).status().unwrap()
    };
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    assert!(run(committed).success());
    std::fs::write(folder.path().join("other.graphql"), "type Query { a: Int }").unwrap();
    assert!(!run("other.graphql").success());
}

/// The settings that the program prints hold no secret.
#[tokio::test]
async fn the_configuration_is_printed_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let output = Program::command(folder.path())
        .env("TOLLKEEP_ADMIN_KEY", ADMIN_KEY)
        .env("DATABASE_URL", "postgres://me:canary@db.example/tollkeep")
        .env("TOLLKEEP__AUTH__PEPPER", PEPPER)
        .env("TOLLKEEP__AUTH__KEK", KEK)
        .arg("config")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("db.example"), "{text}");
    for secret in [ADMIN_KEY, "canary", PEPPER, KEK] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// `kill -9` during 200 mutations per second, five times: what was acknowledged is there with its
/// audit event, nothing is half done, and the server is ready again each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
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
        let mut acknowledged: Vec<String> = Vec::new();
        for round in 0..5 {
            let mut program = Program::serve(folder.path(), &environment);
            program.client(ADMIN_KEY).data("{ teams(first: 1) { nodes { id } } }").await;
            acknowledged.extend(load_until_killed(&mut program, round).await);
        }
        let program = Program::serve(folder.path(), &environment);
        verify(&program.client(ADMIN_KEY), &acknowledged).await;
        drop(program);
        if let Some(database) = database {
            database.drop().await;
        }
    }
}

/// Four clients make teams with a member and a budget each, fifty a second, until the process is
/// killed; returns the ids that were acknowledged.
async fn load_until_killed(program: &mut Program, round: u32) -> Vec<String> {
    let stopped = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicU32::new(0));
    let mut clients = Vec::new();
    for number in 0..4 {
        let client = program.client(ADMIN_KEY);
        let (stopped, started) = (Arc::clone(&stopped), Arc::clone(&started));
        clients.push(tokio::spawn(async move {
            let query = "mutation($input: TeamCreateInput!) { teamCreate(input: $input) { team { id } } }";
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            let mut ids = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                pace.tick().await;
                let turn = started.fetch_add(1, Ordering::Relaxed);
                let input = json!({
                    "name": format!("{round}-{number}-{turn}"),
                    "budgets": [{ "create": { "maxSpend": "1" } }],
                    "members": [{ "user": { "email": format!("{round}-{number}-{turn}@example.com") } }],
                });
                let Some(answer) = client.try_run(query, json!({ "input": input })).await else {
                    break;
                };
                ids.push(text(&answer.data(), "/teamCreate/team/id"));
            }
            ids
        }));
    }
    while started.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    stopped.store(true, Ordering::Relaxed);
    let mut ids = Vec::new();
    for client in clients {
        ids.extend(client.await.unwrap());
    }
    assert!(ids.len() >= 100, "{} acknowledged", ids.len());
    ids
}

/// Every team that is there is whole and in the trail, and every acknowledged one is there.
async fn verify(admin: &Client, acknowledged: &[String]) {
    let mut found = Vec::new();
    let mut after = serde_json::Value::Null;
    loop {
        let query = "query($after: String) { teams(first: 100, after: $after) { pageInfo { hasNextPage endCursor }
            nodes { id budgets { budget { maxSpend } } members { nodes { user { email } } } } } }";
        let data = admin.run_with(query, json!({ "after": after })).await.data();
        for team in data["teams"]["nodes"].as_array().unwrap() {
            assert_eq!(team["budgets"].as_array().unwrap().len(), 1, "{team}");
            assert_eq!(team["members"]["nodes"].as_array().unwrap().len(), 1, "{team}");
            found.push(text(team, "/id"));
        }
        after = data["teams"]["pageInfo"]["endCursor"].clone();
        if data["teams"]["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
    }
    for id in acknowledged {
        assert!(found.contains(id), "{id} was acknowledged and is not there");
    }
    let query = "{ auditEvents(first: 1, filter: { actions: [TEAM_CREATED] }) { totalCount } }";
    let events = admin.data(query).await["auditEvents"]["totalCount"].as_u64().unwrap();
    assert_eq!(events, found.len() as u64, "an event for every team, and no other");
}
