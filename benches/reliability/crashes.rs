//! R4, R5, R13: what is killed while it works.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::checker;
use crate::client::Client;
use crate::load::Work;
use crate::play::{Length, Outcome, Play};
use crate::stage::{Cluster, Data, Server, Stage, connect, signal};
use crate::world::Plan;

/// How long a server that must not start is waited for.
const LONGEST: Duration = Duration::from_secs(20);

/// How long a server stays away before it is started again.
const AWAY: Duration = Duration::from_millis(200);

/// R1 and R2 at half their rates, and some reports.
async fn half(stage: &Stage, server: &Server, length: Length) -> Play {
    let people =
        Plan { teams: 5, keys: 200, period: "10s", tight: Some(length.tight()), zones: &[] };
    let mut play = Play::begin(length, server, people).await;
    play.is_disturbed = true;
    play.look(stage).await;
    play.put(Work::Check, 8, length.rate(2_500.0), &[server]);
    play.put(Work::Hold, 16, length.rate(400.0), &[server]);
    play.put(Work::Report, 2, length.rate(10.0), &[server]);
    play
}

/// R4 and R13: the server is killed again and again. SQLite is never busy for a client, and its file is
/// nobody else's.
pub(crate) async fn server(name: &str, data: Data, length: Length) -> Outcome {
    let stage = Stage::new(&data, name).await;
    let mut server = stage.serve(0).await;
    let mut play = half(&stage, &server, length).await;
    kill_again_and_again(&mut play, &stage, &mut server).await;
    if matches!(data, Data::Sqlite) {
        play.loads().await;
        let busy = server.log().matches("database is locked").count();
        if busy > 0 {
            play.journal.fault(format!("SQLite was busy {busy} times"));
        }
        second_process(&play, &stage).await;
    }
    play.finish(&stage, vec![server]).await
}

async fn kill_again_and_again(play: &mut Play, stage: &Stage, server: &mut Server) {
    let (mut kills, mut slowest) = (0, 0.0_f64);
    let pause = play.length.share(20).max(Duration::from_millis(1_500));
    while Instant::now() + pause < play.end {
        tokio::time::sleep(pause).await;
        server.kill();
        kills += 1;
        tokio::time::sleep(AWAY).await;
        server.start(stage).await;
        slowest = slowest.max(server.readied.as_secs_f64());
    }
    assert!(kills > 0, "the run is too short to kill anything");
    play.tell(&format!("killed {kills} times"));
    play.bound("ready again after", slowest, 2.0, "s");
}

/// A second server on the same file is refused.
async fn second_process(play: &Play, stage: &Stage) {
    let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.kill_on_drop(true).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = tokio::time::timeout(LONGEST, command.output()).await;
    let Ok(output) = output else {
        return play.journal.fault("a second server runs on the file".to_owned());
    };
    let output = output.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !error.contains("is in use by another process") {
        play.journal.fault(format!("a second server on the file: {} {error}", output.status));
    }
}

/// R5: PostgreSQL is killed, and once told to stop at once. Checks are answered from memory for five
/// seconds, and refused then.
pub(crate) async fn database(length: Length) -> Outcome {
    let data = Data::postgres();
    let Data::Postgres(cluster) = data.clone() else { panic!("R5 is about PostgreSQL") };
    let stage = Stage::new(&data, "R5").await;
    let server = stage.serve(0).await;
    let mut play = half(&stage, &server, length).await;
    let mut gateway = Client::new(server.address, &play.world.gateway);
    let caller = play.world.callers.iter().find(|caller| caller.is_rich).unwrap().clone();
    let body = json!({ "credential": caller.secret, "model": "gpt-4o" });
    let (mut ends, mut slowest) = (0, 0.0_f64);
    let pause = length.share(6).max(Duration::from_secs(2));
    // In both ways at least, however long that takes.
    while ends < 2 || Instant::now() + pause < play.end {
        tokio::time::sleep(pause).await;
        let known = gateway.post("/v1/check", &body).await;
        let was_known = matches!(&known, Ok(answer) if answer.status == 200);
        let end = if ends == 1 { "QUIT" } else { "KILL" };
        stop_cluster(&cluster, end).await;
        let stopped = Instant::now();
        ends += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let early = gateway.post("/v1/check", &body).await;
        if was_known && !matches!(&early, Ok(answer) if answer.status == 200) {
            play.journal.fault(format!("a second without a database: {early:?}"));
        }
        if ends <= 2 {
            // Two more than the five, for the poll that was under way and the answer.
            tokio::time::sleep_until((stopped + Duration::from_secs(7)).into()).await;
            let late = gateway.post("/v1/check", &body).await;
            if !matches!(&late, Ok(answer) if answer.status == 503) {
                play.journal.fault(format!("seven seconds without a database: {late:?}"));
            }
        }
        start_cluster(&cluster).await;
        let back = Instant::now();
        while !matches!(gateway.post("/v1/check", &body).await, Ok(answer) if answer.status == 200)
        {
            assert!(back.elapsed() < Duration::from_mins(1), "no check is answered any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(back.elapsed().as_secs_f64());
    }
    play.tell(&format!("PostgreSQL ended {ends} times"));
    play.bound("checks again after", slowest, 3.0, "s");
    play.finish(&stage, vec![server]).await
}

/// Ends PostgreSQL by a signal, and waits until it is gone.
async fn stop_cluster(cluster: &Cluster, name: &'static str) {
    let cluster = Arc::clone(cluster);
    let stop = move || {
        let mut server = cluster.lock().unwrap();
        signal(server.process().unwrap(), name);
        let began = Instant::now();
        while server.process().is_some() {
            assert!(began.elapsed() < Duration::from_secs(30), "PostgreSQL does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    tokio::task::spawn_blocking(stop).await.unwrap();
}

/// Starts it again. What is left of the killed one may be in the way for a moment.
async fn start_cluster(cluster: &Cluster) {
    let cluster = Arc::clone(cluster);
    let start = move || {
        let began = Instant::now();
        loop {
            let started = cluster.lock().unwrap().run();
            match started {
                Ok(true) => return,
                other => assert!(began.elapsed() < Duration::from_secs(30), "{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    tokio::task::spawn_blocking(start).await.unwrap();
}

/// R13: the disk fills up, and there is room again. A file system of a few megabytes, in a name space
/// of the server's own.
pub(crate) async fn full_disk(data: Data, length: Length) -> Outcome {
    let mut stage = Stage::new(&data, "R13").await;
    std::fs::create_dir(stage.data_folder()).unwrap();
    let script = "mount -t tmpfs -o size=64m,mode=700 tmpfs data && \
                  head -c 54m /dev/zero > data/ballast && exec \"$@\"";
    stage.wrap(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    let mut server = stage.serve(0).await;
    let people = Plan { teams: 2, keys: 10, period: "10s", tight: None, zones: &[] };
    let mut play = Play::begin(length, &server, people).await;
    play.is_disturbed = true;
    play.put(Work::Check, 4, length.rate(500.0), &[&server]);
    play.put(Work::Report, 2, 20.0, &[&server]);
    let inside = format!("/proc/{}/root{}", server.process(), stage.data_folder().display());
    let mut gateway = Client::new(server.address, &play.world.gateway);
    let began = Instant::now();
    let refused = loop {
        let before = play.journal.entries().retries;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if play.journal.entries().retries > before {
            break began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_mins(2), "the disk does not get full");
    };
    if !server.log().contains("database or disk is full") {
        play.journal.fault(format!("no disk was full: {}", server.tail()));
    }
    play.tell(&format!("full after {:.1} s", refused.as_secs_f64()));
    let body = json!({ "credential": play.world.callers[0].secret, "model": "gpt-4o" });
    let answer = gateway.post("/v1/check", &body).await;
    if !matches!(&answer, Ok(answer) if answer.status == 200) {
        play.journal.fault(format!("a check while the disk is full: {answer:?}"));
    }
    std::fs::remove_file(format!("{inside}/ballast")).unwrap();
    play.loads().await;
    // What a failure of the machine would leave behind: nobody outside can open the files themselves.
    signal(server.process(), "STOP");
    let left = tempfile::tempdir().unwrap();
    for name in ["tollkeep.db", "tollkeep.db-wal"] {
        std::fs::copy(format!("{inside}/{name}"), left.path().join(name)).unwrap();
    }
    server.kill();
    let db = connect(format!("sqlite:{}", left.path().join("tollkeep.db").display())).await;
    let db = db.unwrap();
    let proof = checker::prove(&db, &play.journal).await;
    db.close().await.unwrap();
    play.outcome(&proof)
}
