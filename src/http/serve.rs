//! The accept loop: takes connections, speaks HTTP/1.1 and HTTP/2 on them, ends without haste.
//!
//! `axum::serve` installs no timer, so the header time-out of hyper never fires and a half-sent
//! request stays open for ever (`SECURITY.md` 0, F9); nor does it bound connections or a drain.
//! Here every wait for a client has an end:
//!
//! - no request within [`ServeLimits::header_timeout`] after accepting: closed. This timer is our
//!   own, because hyper starts its timer only once it knows the HTTP version, and a client can
//!   keep that a secret;
//! - between HTTP/1.1 requests hyper's timer runs, over idle time and request head together;
//! - HTTP/2 connections must answer pings.
//!
//! Bodies are timed where they are read ([`super::body`]), handlers by their own deadline.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tower::ServiceExt as _;

mod activity;

use activity::{Activity, Watched};

/// Pause after an accept error that says that the process or the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// While draining, how long a connection without a running request may take to end by itself.
const LINGER: Duration = Duration::from_millis(250);

/// Connections the kernel may hold for us while all slots are taken.
const BACKLOG: u32 = 1_024;

/// Bytes of a request head, and of the buffer for each direction of an HTTP/1.1 connection.
const BUFFER_BYTES: usize = 64 * 1024;

/// Bytes of the header list of one HTTP/2 request, uncompressed.
const HEADER_LIST_BYTES: u32 = 32 * 1024;

/// Limits of the server on connections. The defaults are those of `SECURITY.md` 0 F9 and 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// From accepting a connection to its first request head, and from one HTTP/1.1 answer to the
    /// next request head; so it also is the idle time-out of HTTP/1.1. Default 10 s.
    pub header_timeout: Duration,
    /// How long requests may go on after the shutdown began. Default 10 s.
    pub drain: Duration,
    /// Open connections; more of them wait in the kernel's queue. Default 10,000, at most
    /// `Semaphore::MAX_PERMITS`. A connection that was upgraded (WebSocket) no longer counts.
    pub connections: usize,
    /// Requests at a time on one HTTP/2 connection. Default 100.
    pub http2_streams: u32,
    /// Quiet time after which an HTTP/2 peer is pinged; it has `header_timeout` to answer.
    /// Default 20 s.
    pub http2_ping: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            connections: 10_000,
            http2_streams: 100,
            http2_ping: Duration::from_secs(20),
        }
    }
}

/// Opens a listening socket with TCP keep-alive, which accepted connections inherit on Linux.
///
/// Must be called within a Tokio runtime. Source: `SECURITY.md` 4, time-outs.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without this a restart has to wait until the old connections are forgotten.
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `shutdown` resolves, then drains.
///
/// Draining: the listener is closed, every connection finishes the requests it has begun and is
/// closed; after [`ServeLimits::drain`] the rest is dropped. Idle connections and half-sent
/// request heads are not waited for. Handlers can extract `ConnectInfo<SocketAddr>`.
///
/// Upgraded connections (WebSocket) have left this loop: whoever upgraded them ends them.
///
/// Returns an error only if the listener itself is unusable; failures of single connections and
/// shortages (such as too many open files) are logged and survived. Source: `SECURITY.md` 0 F9.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let server = Server { http: http(&limits), router, limits };
    let server = Arc::new(server);
    let slots = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let (stop, stopped) = watch::channel(false);
    // The tasks are owned here, so nothing outlives this function.
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener, &slots) => {
                let (stream, peer, slot) = accepted?;
                let (server, stopped) = (Arc::clone(&server), stopped.clone());
                connections.spawn(async move {
                    server.connection(stream, peer, stopped).await;
                    drop(slot);
                });
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    tracing::info!(connections = connections.len(), "draining connections");
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(limits.drain, all_ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain time is over, closing the rest");
    }
    Ok(())
}

fn http(limits: &ServeLimits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        // Without a timer the time-out below is silently ignored: the cause of F9.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .keep_alive(true)
        .max_buf_size(BUFFER_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.http2_ping)
        .keep_alive_timeout(limits.header_timeout)
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(HEADER_LIST_BYTES);
    http
}

/// What to do after a failed accept.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// That one connection died before we took it.
    Next,
    /// Something is short; trying at once would spin.
    Pause,
    /// The socket does not listen: no later try can succeed.
    GiveUp,
}

fn judge(error: &io::Error) -> Verdict {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionAborted
        | Kind::ConnectionReset
        | Kind::ConnectionRefused
        | Kind::Interrupted => Verdict::Next,
        Kind::InvalidInput | Kind::Unsupported => Verdict::GiveUp,
        // EMFILE, ENFILE, ENOBUFS, ENOMEM, and network errors that Linux reports on accept.
        _ => Verdict::Pause,
    }
}

/// Waits for a free slot, then for a connection. Safe to cancel and call again.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The slot comes first: what we cannot serve stays in the kernel's queue.
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        let error = match listener.accept().await {
            Ok((stream, peer)) => return Ok((stream, peer, slot)),
            Err(error) => error,
        };
        match judge(&error) {
            Verdict::Next => tracing::debug!(%error, "a connection failed before it was accepted"),
            Verdict::Pause => {
                tracing::warn!(%error, "cannot accept connections for the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Verdict::GiveUp => return Err(error),
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // The catch-panic layer sits inside the router; this is a panic outside of it.
        tracing::error!(%error, "a connection task failed");
    }
}

struct Server {
    http: Builder<TokioExecutor>,
    router: Router,
    limits: ServeLimits,
}

impl Server {
    /// Serves one connection until it ends, or until `stopped` and what it had begun is done.
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let activity = Activity::default();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let guard = activity.begin();
            let router = self.router.clone();
            async move {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let Ok(response) = router.oneshot(request).await;
                // Being answered lasts until the last byte of the body was taken.
                Ok::<_, Infallible>(response.map(|body| guard.watch(body)))
            }
        });
        let io = TokioIo::new(Watched::new(stream, &activity));
        let connection = self.http.serve_connection_with_upgrades(io, service);
        let mut connection = std::pin::pin!(connection);

        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = no_request_within(&activity, self.limits.header_timeout) => {
                tracing::debug!("no request on a new connection, closing it");
                return;
            }
            // An error means that the server is gone, which is a stop as well.
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        // hyper closes idle connections now, but waits for the rest of a half-sent head.
        tokio::select! {
            ended = connection.as_mut() => log_end(ended),
            () = activity.rest_for(LINGER) => {}
        }
    }
}

/// Resolves if no request arrives in time; stays pending for ever once one did.
async fn no_request_within(activity: &Activity, limit: Duration) {
    if tokio::time::timeout(limit, activity.first_request()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
