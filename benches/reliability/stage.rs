//! Where a run takes place: a database of its own, and servers on it that can be killed, stopped,
//! and started again at the same address.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

use crate::client::Client;
use crate::postgres::PrivateServer;

/// The admin key of every server.
pub(crate) const ADMIN_KEY: &str = "sk-reliability-bootstrap-0123456789abcdef";
const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The pause between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(20);

/// How long a server may take until it is ready, and until it has ended.
const LONGEST: Duration = Duration::from_mins(1);

/// PostgreSQL, which all runs share, each with a database of its own.
pub(crate) type Cluster = Arc<Mutex<PrivateServer>>;

/// Which database a run is on.
#[derive(Clone)]
pub(crate) enum Data {
    Sqlite,
    Postgres(Cluster),
}

impl Data {
    /// A PostgreSQL of its own.
    pub(crate) fn postgres() -> Self {
        let server = PrivateServer::start(true).unwrap_or_else(|message| panic!("{message}"));
        Self::Postgres(Arc::new(Mutex::new(server)))
    }
}

/// A database, and how servers on it are started.
pub(crate) struct Stage {
    data: Data,
    name: String,
    folder: TempDir,
    environment: Vec<(String, String)>,
    /// What a server is started by, before its own name.
    wrapper: Vec<String>,
}

impl Stage {
    /// A database without tables.
    pub(crate) async fn new(data: &Data, name: &str) -> Self {
        let stage = Self {
            data: data.clone(),
            name: format!("reliability_{}", name.to_lowercase()),
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        };
        if let Data::Postgres(cluster) = &stage.data {
            let url = cluster.lock().unwrap().url("postgres");
            let db = connect(url).await.unwrap();
            let name = &stage.name;
            db.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
            db.close().await.unwrap();
        }
        stage
    }

    /// Sets something of servers that are started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts servers by another program from now on.
    pub(crate) fn wrap(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Where the server's data are.
    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The URL of the database, where it is on PostgreSQL.
    fn url(&self) -> Option<String> {
        match &self.data {
            Data::Postgres(cluster) => Some(cluster.lock().unwrap().url(&self.name)),
            Data::Sqlite => None,
        }
    }

    /// The URL of the database for those who go past the servers.
    pub(crate) fn database_url(&self) -> String {
        let file = self.data_folder().join("tollkeep.db");
        self.url().unwrap_or_else(|| format!("sqlite:{}", file.display()))
    }

    /// A connection past the servers.
    pub(crate) async fn database(&self) -> DatabaseConnection {
        connect(self.database_url()).await.unwrap()
    }

    /// The command line of the program, with its settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let program = env!("CARGO_BIN_EXE_tollkeep").to_owned();
        let mut words: Vec<_> = self.wrapper.iter().chain([&program]).collect();
        let mut command = tokio::process::Command::new(words.remove(0));
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.url().map(|url| ("DATABASE_URL", url)))
            .env("TOLLKEEP_ADMIN_KEY", ADMIN_KEY)
            .env("TOLLKEEP__AUTH__PEPPER", PEPPER)
            .env("TOLLKEEP__AUTH__KEK", PEPPER)
            .envs(self.environment.iter().cloned())
            .current_dir(self.folder.path())
            .args(["--data-dir", "data"])
            .args(arguments);
        command
    }

    /// Starts a server, the n-th of the run, and waits until it is ready.
    pub(crate) async fn serve(&self, number: usize) -> Server {
        // The port stays the server's when it is killed, unless somebody is very fast.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let log = self.folder.path().join(format!("server-{number}.log"));
        let mut server = Server { child: None, address, log, readied: Duration::ZERO };
        server.start(self).await;
        server
    }
}

/// A server, running or not.
pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    /// How long the last start took until it was ready.
    pub(crate) readied: Duration,
}

impl Server {
    /// Starts it at its address, and waits until it is ready.
    pub(crate) async fn start(&mut self, stage: &Stage) {
        let began = Instant::now();
        self.spawn(stage);
        while !Client::is_ready(self.address).await {
            let status = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            let is_late = began.elapsed() > LONGEST;
            assert!(status.is_none() && !is_late, "no start, {status:?}: {}", self.tail());
            tokio::time::sleep(POLL).await;
        }
        self.readied = began.elapsed();
    }

    /// Starts it at its address.
    pub(crate) fn spawn(&mut self, stage: &Stage) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let listen = self.address.to_string();
        let mut arguments = vec!["serve", "--listen", &listen];
        if matches!(stage.data, Data::Postgres(_)) {
            arguments.push("--migrate");
        }
        let mut command = stage.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.as_std_mut().spawn().unwrap());
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Ends it as a failure of the machine would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.process(), name);
    }

    /// Waits until it has ended, after it was told to.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        let child = self.child.as_mut().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(began.elapsed() < LONGEST, "the server does not end");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The memory that it holds, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process()));
        let Ok(status) = status else { return f64::NAN };
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1_024.0
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Everything that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {process}: {status}");
}

/// One connection to a database.
pub(crate) async fn connect(url: String) -> Result<DatabaseConnection, sea_orm::DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(1)
        .connect_timeout(Duration::from_secs(10))
        .acquire_timeout(Duration::from_secs(10))
        .sqlx_logging(false);
    Database::connect(options).await
}
