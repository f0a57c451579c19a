//! Tests of the accept loop over real sockets on the loopback.

use std::time::Instant;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::*;

/// No test should come near it: what must happen happens long before.
const LONG: Duration = Duration::from_mins(1);
const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

fn patient() -> ServeLimits {
    ServeLimits { header_timeout: LONG, drain: LONG, ..ServeLimits::default() }
}

/// Runs a server and a client together; `client` gets the address and the shutdown switch.
async fn with_server<C: Future<Output = ()>>(
    router: Router,
    limits: ServeLimits,
    client: impl FnOnce(SocketAddr, Arc<Notify>) -> C,
) {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let switch = Arc::new(Notify::new());
    let client = client(address, Arc::clone(&switch));
    let server = serve(listener, router, limits, async move { switch.notified().await });
    let both = async { tokio::join!(server, client) };
    let (outcome, ()) = tokio::time::timeout(LONG / 2, both).await.expect("the test must end");
    outcome.unwrap();
}

fn hello() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

async fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until `end` has arrived.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await.expect("the connection must still be open");
        text.push(byte);
    }
    String::from_utf8(text).unwrap()
}

/// Reads until the server closes; a reset is a close as well.
async fn read_to_close(mut stream: TcpStream) -> usize {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    text.len()
}

#[tokio::test]
async fn a_client_that_does_not_finish_a_head_is_closed() {
    let limits = ServeLimits { header_timeout: Duration::from_millis(100), ..patient() };
    with_server(hello(), limits, async |address, stop| {
        // Silent; half a request line; half a head; half of what HTTP/2 starts with; all of it.
        let starts =
            ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\nx", "PRI * HTTP/2.0\r\n", "PRI"];
        for start in starts {
            let began = Instant::now();
            read_to_close(connect(address, start).await).await;
            assert!(began.elapsed() >= Duration::from_millis(95), "closed early: {start:?}");
        }
        // After a request too: idle, and with the next head half-sent.
        for rest in ["", "GET /hello HTTP/1.1\r\nho"] {
            let mut stream = connect(address, HELLO).await;
            read_until(&mut stream, "hello").await;
            stream.write_all(rest.as_bytes()).await.unwrap();
            read_to_close(stream).await;
        }
        stop.notify_one();
    })
    .await;
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_does_not_wait_for_idle_clients() {
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&started), Arc::clone(&release));
    let slow = get(async move || {
        tell.notify_one();
        wait.notified().await;
        "slow"
    });
    with_server(hello().route("/slow", slow), patient(), async move |address, stop| {
        let silent = connect(address, "").await;
        let half_sent = connect(address, "GET /hello HTTP/1.1\r\nho").await;
        let mut idle = connect(address, HELLO).await;
        read_until(&mut idle, "hello").await;
        let mut half_sent_again = connect(address, HELLO).await;
        read_until(&mut half_sent_again, "hello").await;
        half_sent_again.write_all(b"GET /hello HTTP/1.1\r\nho").await.unwrap();
        let mut running = connect(address, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        started.notified().await;

        stop.notify_one();
        for stream in [silent, half_sent, idle, half_sent_again] {
            read_to_close(stream).await;
        }
        // They are gone, so the drain is on; the listener is closed; the request still runs.
        assert!(TcpStream::connect(address).await.is_err());
        release.notify_one();
        let answer = read_until(&mut running, "slow").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(read_to_close(running).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let limits = ServeLimits { drain: Duration::from_millis(50), ..patient() };
    let started = Arc::new(Notify::new());
    let tell = Arc::clone(&started);
    let stuck = get(async move || {
        tell.notify_one();
        std::future::pending::<()>().await;
    });
    with_server(Router::new().route("/", stuck), limits, async move |address, stop| {
        let stream = connect(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        started.notified().await;
        stop.notify_one();
        assert_eq!(read_to_close(stream).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_drain_waits_for_a_slow_reader() {
    const SIZE: usize = 16 * 1024 * 1024;
    let started = Arc::new(Notify::new());
    let tell = Arc::clone(&started);
    let large = get(async move || {
        tell.notify_one();
        vec![b'a'; SIZE]
    });
    with_server(Router::new().route("/", large), patient(), async move |address, stop| {
        let stream = connect(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        started.notified().await;
        stop.notify_one();
        // The one sleep: the client has to be slower than the server's patience with idle ones.
        tokio::time::sleep(LINGER * 2).await;
        assert!(read_to_close(stream).await > SIZE);
    })
    .await;
}

#[tokio::test]
async fn handlers_see_the_address_of_the_client() {
    let who = get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| format!("<{peer}>"));
    with_server(Router::new().route("/", who), patient(), async |address, stop| {
        let mut stream = connect(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = read_until(&mut stream, ">").await;
        let expected = format!("<{}>", stream.local_addr().unwrap());
        assert!(answer.ends_with(&expected), "{answer}");
        stop.notify_one();
    })
    .await;
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    with_server(hello(), patient(), async |address, stop| {
        let empty_settings = "\0\0\0\u{4}\0\0\0\0\0";
        let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{empty_settings}");
        let mut stream = connect(address, &preface).await;
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "the server's settings come first");
        let mut stream = connect(address, HELLO).await;
        read_until(&mut stream, "hello").await;
        stop.notify_one();
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_slot() {
    let limits = ServeLimits { connections: 1, ..patient() };
    with_server(hello(), limits, async |address, stop| {
        let mut first = connect(address, HELLO).await;
        read_until(&mut first, "hello").await;
        let mut second = connect(address, HELLO).await;
        let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
        assert!(early.is_err(), "there is no slot yet");
        drop(first);
        read_until(&mut second, "hello").await;
        stop.notify_one();
    })
    .await;
}

#[test]
fn accept_errors_are_survived() {
    for (errno, expected) in [
        (libc_errno::ECONNABORTED, Verdict::Next),
        (libc_errno::EINTR, Verdict::Next),
        (libc_errno::EMFILE, Verdict::Pause),
        (libc_errno::ENFILE, Verdict::Pause),
        (libc_errno::ENOBUFS, Verdict::Pause),
        (libc_errno::ENOMEM, Verdict::Pause),
        (libc_errno::EINVAL, Verdict::GiveUp),
    ] {
        assert_eq!(judge(&io::Error::from_raw_os_error(errno)), expected, "errno {errno}");
    }
}

/// Numbers of Linux, so that a test needs no crate for them.
mod libc_errno {
    pub(super) const EINTR: i32 = 4;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ENFILE: i32 = 23;
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ECONNABORTED: i32 = 103;
    pub(super) const ENOBUFS: i32 = 105;
}
