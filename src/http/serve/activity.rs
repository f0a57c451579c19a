//! What a connection is doing: requests begun, answers under way, writes that wait for the client.
//!
//! hyper does not tell whether a connection that will not end is answering a request or waiting
//! for the rest of a head. A drain must wait for the first and not for the second.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

#[derive(Debug, Default, Clone, Copy)]
struct Requests {
    any: bool,
    running: usize,
}

/// The state of one connection, shared by its socket, its requests and its task.
#[derive(Debug, Default, Clone)]
pub(super) struct Activity {
    requests: watch::Sender<Requests>,
    /// The last write found the socket full: the client is slower than we are.
    write_waits: Arc<AtomicBool>,
}

impl Activity {
    /// Counts a request until the guard, or the body it watches, is dropped.
    pub(super) fn begin(&self) -> Guard {
        self.requests.send_modify(|requests| {
            requests.any = true;
            requests.running += 1;
        });
        Guard(self.requests.clone())
    }

    /// Resolves when the first request of the connection has begun.
    pub(super) async fn first_request(&self) {
        // The sender is `self`, so the channel cannot close.
        let _ = self.requests.subscribe().wait_for(|requests| requests.any).await;
    }

    /// Resolves when for `time` no request ran and no write was waiting for the client.
    pub(super) async fn rest_for(&self, time: Duration) {
        let mut requests = self.requests.subscribe();
        loop {
            let _ = requests.wait_for(|requests| requests.running == 0).await;
            let resumed = requests.wait_for(|requests| requests.running > 0);
            let rested = tokio::time::timeout(time, resumed).await.is_err();
            // The answer may be with hyper in full, but not with the client yet.
            if rested && !self.write_waits.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// One running request.
#[derive(Debug)]
pub(super) struct Guard(watch::Sender<Requests>);

impl Guard {
    /// Keeps the request running until the body of its answer has ended.
    pub(super) fn watch(self, body: Body) -> WatchedBody {
        WatchedBody { body, guard: Some(self) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|requests| requests.running = requests.running.saturating_sub(1));
    }
}

/// The body of an answer that counts as running until it has ended or was dropped.
#[derive(Debug)]
pub(super) struct WatchedBody {
    body: Body,
    guard: Option<Guard>,
}

impl hyper::body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) {
            self.guard = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that notes whether its last write had to wait.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    write_waits: Arc<AtomicBool>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: &Activity) -> Self {
        Self { stream, write_waits: Arc::clone(&activity.write_waits) }
    }

    fn note<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.write_waits.store(outcome.is_pending(), Ordering::Relaxed);
        outcome
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
