//! The load: clients that keep a connection open and ask again as soon as they have an answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::processor::Spent;

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: Option<String>,
    /// The method and path of its requests.
    pub(crate) line: &'static str,
    /// The process that answers.
    pub(crate) process: u32,
}

impl Target {
    /// The same with another method and path.
    pub(crate) fn at(self, line: &'static str) -> Self {
        Self { line, ..self }
    }

    /// A request, as it travels.
    pub(crate) fn request(&self, body: &Value) -> Vec<u8> {
        self.message(self.line, &serde_json::to_vec(body).unwrap())
    }

    /// Any request.
    pub(crate) fn message(&self, line: &str, body: &[u8]) -> Vec<u8> {
        let key = self.key.as_deref().unwrap_or("none");
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\naccept: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

/// An answer, whose status is 200 and which tells of no errors.
pub(crate) struct Answer {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The number of SQL statements, by the header `server-timing`.
    pub(crate) fn statements(&self) -> Option<u32> {
        let (_, rest) = self.head.split_once("server-timing: db;desc=\"")?;
        rest.split(' ').next()?.parse().ok()
    }
}

/// A connection that stays open.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) async fn open(target: &Target) -> Self {
        let stream = TcpStream::connect(target.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Asks; fails unless the answer is a good one.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Answer {
        let answer = self.exchange(request).await;
        let text = String::from_utf8_lossy(&answer.body);
        let good = answer.head.starts_with("HTTP/1.1 200 ") && !text.contains("\"errors\":");
        assert!(good, "{}{}", answer.head, text.chars().take(500).collect::<String>());
        answer
    }

    async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.0.write_all(request).await.unwrap();
        let mut bytes = Vec::with_capacity(8_192);
        let end = loop {
            assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "the connection was closed");
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let mut body = bytes.split_off(end);
        let head = String::from_utf8(bytes).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        body.reserve(length.saturating_sub(body.len()));
        while body.len() < length {
            assert_ne!(self.0.read_buf(&mut body).await.unwrap(), 0, "the connection was closed");
        }
        Answer { head, body }
    }
}

/// What came of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// The median, in milliseconds.
    pub(crate) p50: f64,
    /// What 99 of 100 stay below, in milliseconds.
    pub(crate) p99: f64,
    /// What an answer takes of processors.
    pub(crate) spent: Spent,
}

/// Lets every worker work without a pause: a fifth of the time to warm up, then for the time.
pub(crate) async fn measure<W: AsyncFnMut()>(
    mut workers: Vec<W>,
    span: Duration,
    process: u32,
) -> Measured {
    for_a_while(&mut workers, span / 5).await;
    let (began, before) = (Instant::now(), Spent::by(process));
    let mut times = for_a_while(&mut workers, span).await;
    let elapsed = began.elapsed().as_secs_f64();
    let after = Spent::by(process);
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    let count = f64::from(u32::try_from(times.len()).unwrap());
    Measured { rate: count / elapsed, p50: at(50), p99: at(99), spent: after.since(before, count) }
}

async fn for_a_while<W: AsyncFnMut()>(workers: &mut [W], span: Duration) -> Vec<Duration> {
    let end = Instant::now() + span;
    let work = workers.iter_mut().map(async |worker| {
        let mut times = Vec::new();
        loop {
            let began = Instant::now();
            worker().await;
            times.push(began.elapsed());
            if Instant::now() >= end {
                break times;
            }
        }
    });
    join_all(work).await.concat()
}
