//! Somebody who talks to a server that may die at any moment.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer is waited for. Longer than a server that is stopped for eight seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// A caller with a key and one connection, which is opened anew when it breaks.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    key: String,
    stream: Option<TcpStream>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it says when to come back.
    pub(crate) has_retry_after: bool,
    pub(crate) body: Value,
}

impl Answer {
    /// Whether it says that the service is not available: all of it, or the part that failed.
    pub(crate) fn is_unavailable(&self) -> bool {
        let code = self.body.pointer("/errors/0/extensions/code");
        self.status == 503 || code.is_some_and(|code| code == "SERVICE_UNAVAILABLE")
    }
}

/// No answer came: nobody knows what became of the request.
#[derive(Debug)]
pub(crate) struct Lost;

impl Client {
    pub(crate) fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned(), stream: None }
    }

    /// Posts a body.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Answer, Lost> {
        let answer = tokio::time::timeout(PATIENCE, self.exchange(path, body)).await;
        if let Ok(Some(answer)) = answer {
            return Ok(answer);
        }
        self.stream = None;
        Err(Lost)
    }

    /// Runs a document that must succeed.
    pub(crate) async fn data(&mut self, query: &str, variables: &Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let answer = self.post("/graphql", &body).await.unwrap();
        assert!(answer.body.get("errors").is_none(), "{query}: {:#}", answer.body);
        answer.body["data"].clone()
    }

    /// Whether the server says that it is ready.
    pub(crate) async fn is_ready(address: SocketAddr) -> bool {
        let mut client = Self::new(address, "none");
        let head = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\n\r\n");
        matches!(client.send(head.as_bytes()).await, Some(Answer { status: 200, .. }))
    }

    async fn exchange(&mut self, path: &str, body: &Value) -> Option<Answer> {
        let body = serde_json::to_vec(body).ok()?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\naccept: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.address,
            self.key,
            body.len()
        );
        self.send(&[head.as_bytes(), &body].concat()).await
    }

    async fn send(&mut self, request: &[u8]) -> Option<Answer> {
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let stream = TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            self.stream.insert(stream)
        };
        stream.write_all(request).await.ok()?;
        let (head, body) = read_message(stream).await?;
        let head = head.to_lowercase();
        if head.contains("\r\nconnection: close") {
            self.stream = None;
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let has_retry_after = head.contains("\r\nretry-after: ");
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Some(Answer { status, has_retry_after, body })
    }
}

/// Reads a request or an answer with a length: its head, and its body.
pub(crate) async fn read_message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(4_096);
    let end = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).ok()?;
    // This load and the server write names of headers in small letters.
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}
