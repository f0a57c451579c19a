//! R11: clocks that jump: the machine's under SQLite, and that of PostgreSQL.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sea_orm::DatabaseConnection;
use uuid::Uuid;

use crate::checker::{self, Counters};
use crate::load::Work;
use crate::play::{Length, Outcome, Play};
use crate::postgres::PrivateServer;
use crate::stage::{Data, Stage, signal};
use crate::world::Plan;

/// The steps of the clock, in seconds, in the form in which libfaketime reads them: an hour, a day, to
/// the leap day, over the changes of the hour in spring and autumn, each back and forth.
const STEPS: [&str; 8] =
    ["+3600", "+0", "-3600", "+86400", "-86400", "+10713600", "+39571200", "+0"];

/// Zones whose days begin at different moments, and change in length on different ones.
const ZONES: [&str; 6] = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

/// Whose clock jumps. On PostgreSQL a server goes by the clock of the database alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Machine,
    Database,
}

/// How long a transaction may have been under way when a newer window was made.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// R11: no counter goes back to a window that is older than one that it has, and nothing is lost.
pub(crate) async fn jumps(data: Data, length: Length, whose: Whose) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let step = folder.path().join("step");
    set(&step, "+0");
    let false_time = false_time(&step);
    let data = match (whose, data) {
        (Whose::Database, Data::Postgres(_)) => {
            let mut server = PrivateServer::start(true).unwrap();
            // The user under whom PostgreSQL runs reads the steps.
            open_to_all(folder.path());
            signal(server.process().unwrap(), "QUIT");
            while server.process().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            server.environment = false_time.clone();
            assert!(server.run().unwrap(), "the port was taken");
            Data::Postgres(Arc::new(Mutex::new(server)))
        }
        (_, data) => data,
    };
    let mut stage = Stage::new(&data, "R11").await;
    if matches!(whose, Whose::Machine) {
        for (name, value) in &false_time {
            stage.set(name, value);
        }
    }
    let server = stage.serve(0).await;
    let people = Plan { teams: 6, keys: 60, period: "1d", tight: None, zones: &ZONES };
    let mut play = Play::begin(length, &server, people).await;
    // Whoever asks when the clock jumps may be told to come back: what is known looks old.
    play.is_disturbed = true;
    play.look(&stage).await;
    play.put(Work::Hold, 16, length.rate(400.0), &[&server]);
    play.put(Work::Report, 2, length.rate(10.0), &[&server]);
    let db = stage.database().await;
    let (mut seen, mut jumps) = (Seen::default(), 0);
    let pause = length.share(20);
    while Instant::now() + pause < play.end {
        set(&step, STEPS[jumps % STEPS.len()]);
        jumps += 1;
        let next = Instant::now() + pause;
        while Instant::now() < next {
            seen.look(&play, &db).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    play.tell(&format!("{jumps} jumps of the clock of the {whose:?}"));
    play.loads().await;
    seen.look(&play, &db).await;
    if !seen.has_jumped() {
        play.journal.fault("the clock did not jump: there is no window of another year".to_owned());
    }
    db.close().await.unwrap();
    let outcome = play.finish(&stage, vec![server]).await;
    drop(stage);
    outcome
}

/// A look at the counters, and since when each has the window that is its newest.
#[derive(Default)]
struct Seen {
    counters: Counters,
    newest: BTreeMap<(Uuid, Uuid), (DateTime<Utc>, Instant)>,
}

impl Seen {
    /// Whether there is a window of more than half a year from now.
    fn has_jumped(&self) -> bool {
        let far = Utc::now() + chrono::TimeDelta::days(180);
        self.counters.values().flat_map(BTreeMap::keys).any(|start| *start > far)
    }

    /// What is spent and reserved in a window does not grow any more when a newer one is there: time
    /// does not go back. Who was on the way when the newer one was made may end.
    async fn look(&mut self, play: &Play, db: &DatabaseConnection) {
        // The database ends connections when its clock says that they were idle for hours.
        let Ok(found) = checker::counters(db).await else { return };
        for (counter, windows) in &found {
            let Some(newest) = windows.keys().last().copied() else { continue };
            let known = self.newest.entry(*counter).or_insert((newest, Instant::now()));
            if known.0 != newest {
                *known = (newest, Instant::now());
            }
            let before = self.counters.get(counter);
            for (start, sum) in windows.iter().filter(|(start, _)| **start != newest) {
                let earlier = before.and_then(|windows| windows.get(start)).unwrap_or(&0);
                if sum > earlier && known.1.elapsed() > ON_THE_WAY {
                    play.journal.fault(format!(
                        "{counter:?}: the window of {start} went from {earlier} to {sum}, and \
                         that of {newest} is newer"
                    ));
                }
            }
        }
        self.counters = found;
    }
}

fn set(step: &Path, text: &str) {
    // Moved into place, so that nobody reads half of it.
    let new = step.with_extension("new");
    std::fs::write(&new, format!("{text}\n")).unwrap();
    std::fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
    std::fs::rename(&new, step).unwrap();
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

/// What makes a program believe a clock that is as far from the real one as a file says.
fn false_time(step: &Path) -> Vec<(String, String)> {
    let library = library().expect(
        "libfaketime was not found: install it (`apt-get install faketime` on Debian and Ubuntu)",
    );
    [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", step.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let folders = folders.chain(["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into()]);
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.is_file())
}
