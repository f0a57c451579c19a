//! The floor: a bare axum handler that parses the JSON of a request and answers bytes that it was
//! given, in a process of its own. No server in this language and framework does less.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, RwLock};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{post, put};
use axum::{Json, Router};
use serde_json::Value;

use crate::load::{Connection, Target};

/// The argument with which this program is the floor.
pub(crate) const ARGUMENT: &str = "--floor";

type Given = Arc<RwLock<Bytes>>;

/// Serves until the standard input ends: when the process that started this one does, at the latest.
pub(crate) fn serve() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let router = Router::new()
        .route("/graphql", post(answer))
        .route("/given", put(give))
        .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(Given::default());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "{}", listener.local_addr().unwrap()).unwrap();
        out.flush().unwrap();
        axum::serve(listener, router).await.unwrap();
    });
}

async fn answer(State(given): State<Given>, Json(_): Json<Value>) -> impl IntoResponse {
    let bytes = given.read().unwrap().clone();
    ([(CONTENT_TYPE, "application/json")], bytes)
}

async fn give(State(given): State<Given>, bytes: Bytes) {
    *given.write().unwrap() = bytes;
}

/// The running floor.
pub(crate) struct Floor {
    child: Child,
    target: Target,
    _input: Option<ChildStdin>,
}

impl Floor {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        let target = Target { address, key: None, line: "POST /graphql", process: child.id() };
        Self { _input: child.stdin.take(), child, target }
    }

    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    /// Sets what it answers from now on.
    pub(crate) async fn answers(&self, bytes: &[u8]) {
        let message = self.target.message("PUT /given", bytes);
        Connection::open(&self.target).await.ask(&message).await;
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
