//! A PostgreSQL server of the test run's own.
//!
//! Whoever runs the tests should not have to set up a database, and the tests should not touch one
//! that somebody uses. So the harness makes a server for itself: an empty cluster in a temporary
//! folder, on a free port of the loopback interface, with everything switched off that only serves
//! to keep data safe.
//!
//! The hard part is to get rid of it again. `cargo test` runs nothing after the last test, statics
//! are never dropped, and a run can also end by Ctrl-C or by SIGKILL. The one thing that happens
//! however a process ends is that the system closes its files. Therefore a small shell, the
//! *watchdog*, waits at the far end of a pipe which this process holds open; when the pipe closes,
//! it ends the server and removes the folder.
//!
//! The cluster trusts every local connection, so while the tests run any user of the machine may
//! log in to it. It holds test data only.

use std::env;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The cluster's superuser, and the user in every [`PrivateServer::url`].
const SUPERUSER: &str = "tollkeep";

/// How often a start is tried on a new port when somebody else took the one that was free.
const PORT_ATTEMPTS: usize = 5;

/// How long `initdb` may take: about one second on an idle machine, more on a busy one.
const INITDB_LIMIT: Duration = Duration::from_mins(1);

/// How long the server may take until it accepts connections.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How long a dropped server may take to end; longer than the watchdog's own patience (8 s).
const END_LIMIT: Duration = Duration::from_secs(12);

/// The pause between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(10);

/// How many of a log's last lines an error quotes.
const TAIL_LINES: usize = 20;

/// What the server is told beyond its address.
///
/// The data need not survive a crash, so nothing waits for the disk. Many tests share the server,
/// each with a pool of connections, hence the high limit. Background work that would make timings
/// uneven is off, and so is what can fail in a container (huge pages).
const SETTINGS: &[&str] = &[
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=400",
    "shared_buffers=128MB",
    "huge_pages=off",
    "autovacuum=off",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_statement=none",
    "logging_collector=off",
    "log_destination=stderr",
];

/// The watchdog's program; `$1` is the folder.
///
/// Each line it reads names the process group to end from then on, or `none`. The end of its input
/// means that the test process is gone (or dropped its server). SIGQUIT is PostgreSQL's *immediate*
/// shutdown: the postmaster waits for its backends and frees its shared memory. Only a
/// server that does not obey gets SIGKILL. The folder is removed repeatedly, because a backend that
/// is just ending may still add a file while `rm` walks the tree. PATH is extended because a test
/// may run with a PATH that has neither `rm` nor `sleep`.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
PATH="$PATH:/usr/bin:/bin"
group=none
while read -r line; do group=$line; done
if [ "$group" != none ]; then
    kill -s QUIT -- "-$group"
    tries=80
    while [ "$tries" -gt 0 ] && kill -s 0 -- "-$group"; do
        sleep 0.1
        tries=$((tries - 1))
    done
    kill -s KILL -- "-$group"
fi
tries=20
until rm -rf -- "$1" || [ "$tries" -eq 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
done
"#;

/// What a server that works as in service is told after [`SETTINGS`].
const DURABLE: &[&str] =
    &["fsync=on", "synchronous_commit=on", "full_page_writes=on", "autovacuum=on"];

/// A running PostgreSQL server that belongs to this process and ends with it.
///
/// It may be kept in a static: although that is never dropped, the server ends when the process
/// does, in whatever way. Dropping it ends the server at once and waits until its folder is gone.
#[derive(Debug)]
pub(crate) struct PrivateServer {
    port: u16,
    programs: PathBuf,
    is_durable: bool,
    /// What the server's environment has beside this process's, from its next start on.
    pub(crate) environment: Vec<(String, String)>,
    guard: Guard,
}

impl PrivateServer {
    /// Makes an empty cluster and returns when its server accepts connections. A durable one works
    /// as in service: it waits for the disk, and keeps what it acknowledged when it is killed.
    ///
    /// The error names the step that failed and quotes the end of the log; it is
    /// [`missing_message`] when PostgreSQL's programs are not on this machine.
    pub(crate) fn start(is_durable: bool) -> Result<PrivateServer, String> {
        let programs = find_programs().ok_or_else(|| missing_message().to_owned())?;
        let mut guard = Guard::start()?;
        make_cluster(&programs, &mut guard)?;
        let mut server = Self { port: 0, programs, is_durable, environment: Vec::new(), guard };
        for _ in 0..PORT_ATTEMPTS {
            server.port = free_port()?;
            if server.run()? {
                return Ok(server);
            }
        }
        Err(format!("starting PostgreSQL: {PORT_ATTEMPTS} free ports were taken before it bound"))
    }

    /// The address of one of the server's databases, which need not exist yet.
    ///
    /// The database `postgres` is there from the start; connect to it to create others.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@{}:{}/{database}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Starts the cluster's server on its port and waits until it accepts connections.
    ///
    /// Gives `false` when the port turned out to be taken: a port is free when it is chosen, but
    /// anybody may take it before the server binds it.
    pub(crate) fn run(&mut self) -> Result<bool, String> {
        let log = self.guard.folder.join("postgres.log");
        let mut postgres = Command::new(self.programs.join("postgres"));
        postgres.arg("-D").arg(self.guard.data());
        // Without a Unix socket there is no path that could be too long for one.
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        postgres.arg("-c").arg(format!("port={}", self.port));
        let durable = if self.is_durable { DURABLE } else { &[] };
        for setting in SETTINGS.iter().chain(durable) {
            postgres.args(["-c", setting]);
        }
        postgres.envs(self.environment.iter().cloned());
        self.guard.run(postgres, &log)?;

        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            let Some(process) = self.process() else {
                let tail = tail(&log);
                return if tail.contains("Address already in use") {
                    Ok(false)
                } else {
                    Err(format!("PostgreSQL ended while it started:\n{tail}"))
                };
            };
            if is_ready(&self.guard.data(), process) {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        Err(format!(
            "PostgreSQL did not accept connections in {} s:\n{}",
            READY_LIMIT.as_secs(),
            tail(&log)
        ))
    }

    /// The process of the server while it runs.
    pub(crate) fn process(&mut self) -> Option<u32> {
        self.guard.ended().ok()?.is_none().then_some(())?;
        self.guard.running.as_ref().map(Child::id)
    }
}

/// What to tell somebody on whose machine [`PrivateServer::start`] found no PostgreSQL.
pub(crate) const fn missing_message() -> &'static str {
    "PostgreSQL's server programs (initdb, postgres) were not found: install them \
     (`apt-get install postgresql` on Debian and Ubuntu, `brew install postgresql@17` on macOS), \
     or name a running server in TEST_DATABASE_URL, \
     or run the tests without PostgreSQL by TOLLKEEP_TEST_DATABASES=sqlite."
}

/// Fills the guarded folder's `data` with an empty cluster.
///
/// The locale is fixed so that sorting and messages do not depend on the machine.
fn make_cluster(programs: &Path, guard: &mut Guard) -> Result<(), String> {
    let log = guard.folder.join("initdb.log");
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .arg("--pgdata")
        .arg(guard.data())
        .args(["--username", SUPERUSER, "--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
    guard.run(initdb, &log)?;

    let deadline = Instant::now() + INITDB_LIMIT;
    while Instant::now() < deadline {
        match guard.ended()? {
            None => thread::sleep(POLL),
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("initdb failed ({status}):\n{}", tail(&log))),
        }
    }
    Err(format!("initdb did not finish in {} s:\n{}", INITDB_LIMIT.as_secs(), tail(&log)))
}

/// Whether the cluster's server accepts connections.
///
/// The postmaster keeps its process in the first line of `postmaster.pid` and its state in the
/// eighth, for `pg_ctl` to read; looking there needs none of PostgreSQL's client programs. The file
/// of one that was killed stays there until the next one has started.
fn is_ready(data: &Path, process: u32) -> bool {
    fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|file| {
        let line = |number| file.lines().nth(number).map(str::trim);
        line(0) == Some(process.to_string().as_str()) && line(7) == Some("ready")
    })
}

/// A port of the loopback interface on which nobody listens at this moment.
fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("choosing a free port: {error}"))
}

/// The last lines of a log, for an error.
fn tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("(its log {} cannot be read: {error})", log.display()),
    }
}

/// A temporary folder and the process that runs in it; both go when this is dropped or when the
/// test process ends.
#[derive(Debug)]
struct Guard {
    folder: PathBuf,
    /// As whom to run, if not as the user of the test process.
    user: Option<User>,
    /// `initdb` first, then the server; leads a process group.
    running: Option<Child>,
    watchdog: Child,
    /// The end of the pipe whose closing sets the watchdog off. The standard library opens it so
    /// that no other child inherits it.
    line: Option<ChildStdin>,
}

impl Guard {
    /// Makes the folder and sets the watchdog on it.
    fn start() -> Result<Self, String> {
        let step = "making a temporary folder for PostgreSQL";
        let folder = tempfile::Builder::new()
            .prefix("tollkeep-pg-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| format!("{step}: {error}"))?;
        let path = std::path::absolute(folder.path()).map_err(|e| format!("{step}: {e}"))?;
        // A new folder belongs to the effective user, which the standard library does not tell.
        let owner = fs::metadata(&path).map_err(|e| format!("{step}: {e}"))?.uid();
        let user = if owner == 0 { Some(User::unprivileged()?) } else { None };
        if let Some(user) = &user {
            chown(&path, Some(user.uid), Some(user.gid))
                .map_err(|error| format!("giving {} to {}: {error}", path.display(), user.name))?;
        }

        // A process group of its own keeps the watchdog out of the terminal's Ctrl-C. Its output
        // goes nowhere: were it inherited, it would keep a pipe open behind `cargo test`.
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "tollkeep-pg-watchdog"])
            .arg(&path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("starting the watchdog of PostgreSQL: {error}"))?;
        let line = watchdog.stdin.take();
        // From here on the folder is the watchdog's to remove.
        let _ = folder.keep();
        Ok(Self { folder: path, user, running: None, watchdog, line })
    }

    /// Where the cluster is.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts one of PostgreSQL's programs, its output going to `log`, under the watchdog's eyes.
    fn run(&mut self, mut command: Command, log: &Path) -> Result<(), String> {
        let program = Path::new(command.get_program()).display().to_string();
        let step = |error| format!("opening {}: {error}", log.display());
        let output = File::create(log).map_err(step)?;
        let errors = output.try_clone().map_err(step)?;

        // Variables such as PGPORT would change what the programs do. The locale must be named:
        // messages are searched, and on macOS the server refuses to start without one.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if let Some(user) = &self.user {
            // The standard library also gives up root's further groups.
            command.uid(user.uid).gid(user.gid);
        }
        let child = command.spawn().map_err(|error| match &self.user {
            Some(user) => format!(
                "starting {program} as the user {}, who must be able to run it and to enter {}: \
                 {error}",
                user.name,
                self.folder.display()
            ),
            None => format!("starting {program}: {error}"),
        })?;
        let group = child.id();
        self.running = Some(child);
        self.tell(&group.to_string())
    }

    /// How the running program ended, or `None` while it runs.
    fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        let Some(child) = &mut self.running else {
            return Err("waiting for PostgreSQL: nothing runs".to_owned());
        };
        let ended = child.try_wait().map_err(|error| format!("waiting for PostgreSQL: {error}"))?;
        if ended.is_some() {
            // The system may give the number to somebody else now.
            self.running = None;
            self.tell("none")?;
        }
        Ok(ended)
    }

    /// Tells the watchdog which process group to end.
    fn tell(&mut self, group: &str) -> Result<(), String> {
        let Some(line) = &mut self.line else {
            return Err("the watchdog of PostgreSQL was let go already".to_owned());
        };
        // One write, so that the watchdog never reads half a number.
        line.write_all(format!("{group}\n").as_bytes())
            .map_err(|error| format!("the watchdog of PostgreSQL has ended: {error}"))
    }
}

impl Drop for Guard {
    /// Sets the watchdog off and waits for it, but does its work if it is no longer there.
    fn drop(&mut self) {
        drop(self.line.take());
        if let Some(child) = &mut self.running {
            let deadline = Instant::now() + END_LIMIT;
            // The child has to be collected, or the watchdog would take it for alive.
            while matches!(child.try_wait(), Ok(None)) {
                let watched = matches!(self.watchdog.try_wait(), Ok(None));
                if !watched || Instant::now() >= deadline {
                    let _ = child.kill();
                    let _ = child.wait();
                    break;
                }
                thread::sleep(POLL);
            }
        }
        let _ = self.watchdog.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A user of this machine.
#[derive(Debug)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl User {
    /// As whom to run PostgreSQL, which refuses to run as root: `postgres`, else `nobody`.
    fn unprivileged() -> Result<Self, String> {
        let step = "choosing a user for PostgreSQL, which refuses to run as root";
        let passwd = fs::read_to_string("/etc/passwd")
            .map_err(|error| format!("{step}: reading /etc/passwd: {error}"))?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Self::in_passwd(&passwd, name))
            .ok_or_else(|| format!("{step}: /etc/passwd knows neither postgres nor nobody"))
    }

    /// The user `name` of a text in the form of `/etc/passwd`, unless that is root again.
    fn in_passwd(passwd: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect())
            .find(|fields: &Vec<&str>| fields.first() == Some(&name))?;
        let uid = fields.get(2)?.parse().ok().filter(|&uid| uid != 0)?;
        let gid = fields.get(3)?.parse().ok()?;
        Some(Self { name: name.to_owned(), uid, gid })
    }
}

/// The folder of PostgreSQL's server programs.
///
/// What the caller's PATH names comes first, as it is the caller's choice; the folders after it
/// are those which distributions leave out of PATH.
pub(crate) fn find_programs() -> Option<PathBuf> {
    let in_path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        // `initdb` looks for its companions next to itself: not where a link to it is.
        .filter_map(|folder| fs::canonicalize(folder.join("initdb")).ok())
        .filter_map(|initdb| initdb.parent().map(Path::to_path_buf))
        .find(|folder| has_programs(folder));
    in_path
        .or_else(|| pg_config_folder().filter(|folder| has_programs(folder)))
        .or_else(|| usual_folders().into_iter().find(|folder| has_programs(folder)))
}

/// Whether a folder has the programs that are needed.
fn has_programs(folder: &Path) -> bool {
    ["initdb", "postgres"].into_iter().all(|name| {
        fs::metadata(folder.join(name))
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// Where `pg_config`, if it is there, says that the programs are.
fn pg_config_folder() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim_end()))
}

/// Where packages put the programs: Debian's, PostgreSQL's own for Red Hat, and Homebrew's.
fn usual_folders() -> Vec<PathBuf> {
    [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
    ]
    .into_iter()
    .flat_map(|(parent, prefix)| newest_first(Path::new(parent), prefix))
    .collect()
}

/// The `bin` folders of the versions in `parent`, whose names begin with `prefix` and go on with
/// the version, newest first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            // Numbers, as text would put 9.6 above 17; none (a plain `postgresql`) comes last.
            let numbers = version.split('.').map_while(|part| part.parse().ok()).collect();
            Some((numbers, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, folder)| folder).collect()
}
