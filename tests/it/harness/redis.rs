//! A Redis server of one test's own: on a free port, without a file, and gone with the test.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long the server may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Runs the server until standard input ends, which it does however the test process ends.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
redis-server --port "$1" --bind 127.0.0.1 --dir "$2" --save '' --appendonly no >/dev/null 2>&1 &
while read -r _; do :; done
kill -s KILL $!
wait
"#;

/// A Redis server.
pub(crate) struct RedisServer {
    port: u16,
    folder: TempDir,
    watchdog: Option<Child>,
}

impl RedisServer {
    /// Starts a server and returns when it answers.
    pub(crate) fn start() -> Self {
        let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        assert!(
            found.is_ok_and(|status| status.success()),
            "redis-server was not found: install it (`apt-get install redis-server` on Debian and \
             Ubuntu, `brew install redis` on macOS)"
        );
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { port: free_port(), folder, watchdog: None };
        for _ in 0..5 {
            if server.run() {
                return server;
            }
            server.port = free_port();
        }
        panic!("redis-server did not start on any of five ports");
    }

    /// The address, as a setting takes it.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            watchdog.wait().unwrap();
        }
    }

    /// Starts a server that was killed, at the same address and with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "redis-server did not start again");
    }

    fn run(&mut self) -> bool {
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "sh", &self.port.to_string()])
            .arg(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.watchdog = Some(watchdog.unwrap());
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            if self.answers() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    /// Whether this very server answers, and not one that somebody else has started on its port.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return false;
        };
        let folder = self.folder.path().canonicalize().unwrap();
        let mut answer = [0; 1_000];
        let asked = stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .and_then(|()| stream.write_all(b"CONFIG GET dir\r\n"))
            .and_then(|()| stream.read(&mut answer));
        let Ok(length) = asked else { return false };
        String::from_utf8_lossy(&answer[..length]).contains(folder.to_str().unwrap())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of the loopback interface on which nobody listens at this moment.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
