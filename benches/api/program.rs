//! The program under load: started as people start it, ended when it goes out of scope.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Connection, Target};

/// The admin key of every server that is given one.
pub(crate) const ADMIN_KEY: &str = "sk-bench-bootstrap-0123456789abcdef";
/// The pepper of every server that is given one.
pub(crate) const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A running server.
pub(crate) struct Program {
    child: Child,
    address: SocketAddr,
    /// From the start of the process to the first answer that it is ready.
    pub(crate) ready_after: Duration,
}

impl Program {
    /// Starts the server on a free port, with its data in a folder, and waits until it is ready.
    pub(crate) async fn start(
        folder: &Path,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollkeep"))
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(folder)
            .args(["--data-dir", "data", "serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut urls = lines.filter_map(|line| {
            let (address, _) = line.strip_prefix("Listening on http://")?.split_once('/')?;
            address.parse().ok()
        });
        let Some(address) = urls.next() else {
            let _ = child.kill();
            panic!("the server did not start: {:?}", child.wait());
        };
        let mut program = Self { child, address, ready_after: Duration::ZERO };
        let target = program.target(None);
        Connection::open(&target).await.ask(&target.message("GET /readyz", b"")).await;
        program.ready_after = began.elapsed();
        program
    }

    /// The server, for somebody with a key.
    pub(crate) fn target(&self, key: Option<&str>) -> Target {
        Target {
            address: self.address,
            key: key.map(str::to_owned),
            line: "POST /graphql",
            process: self.child.id(),
        }
    }

    /// The memory that it holds, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = format!("/proc/{}/status", self.child.id());
        let Ok(status) = std::fs::read_to_string(status) else { return f64::NAN };
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1_024.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
