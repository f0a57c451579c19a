//! Reading a request body: never more than a limit, never longer than a time.
//!
//! The framework's own limit is not applied to a handler that takes the raw body, so 50 MB were
//! accepted in the trial (`SECURITY.md` 0, F7). This reader is the only way a body gets in.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame};

/// The largest GraphQL request body, in bytes: 256 KiB (`SECURITY.md` 0, the guard).
pub const DEFAULT_LIMIT: usize = 256 * 1024;

/// How long a body may take to arrive: 10 s (`SECURITY.md` 4, time-outs).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Room taken before the first byte arrives. A declared length is a claim of the client: many
/// connections that each claim the full limit and send nothing must not cost memory.
const FIRST_CAPACITY: usize = 16 * 1024;

/// Why a body could not be read. After any of these the connection should be closed, since the
/// rest of the body is still in it.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed, declared or sent: status 413 (F7).
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The last byte did not arrive in time: status 408.
    #[error("the request body did not arrive in time")]
    TimedOut,
    /// The connection broke or the framing is wrong: status 400. The source is for the log.
    #[error("the request body could not be read")]
    Broken(#[source] axum::Error),
}

/// Reads a body of at most `limit` bytes within `timeout`, counted from this call to the last byte.
///
/// A declared length beyond the limit is refused before anything is read. Trailers are dropped.
/// Source: `SECURITY.md` 0, F7.
pub async fn read_limited(body: Body, limit: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    let declared = body.size_hint().lower();
    if usize::try_from(declared).map_or(true, |declared| declared > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    match tokio::time::timeout(timeout, collect(body, limit)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(BodyError::TimedOut),
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = next_frame(&mut body).await {
        let Ok(chunk) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        // Both are at most `limit`, or this function has returned.
        let held = first.len() + all.len();
        if chunk.len() > limit.saturating_sub(held) {
            return Err(BodyError::TooLarge { limit });
        }
        if held == 0 {
            // Most bodies are one chunk, which needs no copy.
            first = chunk;
            continue;
        }
        if !first.is_empty() {
            all.reserve(FIRST_CAPACITY.min(limit));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { Bytes::from(all) })
}

async fn next_frame(body: &mut Body) -> Option<Result<Frame<Bytes>, axum::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::task::{Context, Poll};

    use hyper::body::SizeHint;

    use super::*;

    /// A body that plays a script, then ends or stays silent.
    struct Script {
        frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
        silent_at_end: bool,
        declared: Option<u64>,
    }

    impl hyper::body::Body for Script {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            match self.frames.pop_front() {
                None if self.silent_at_end => Poll::Pending,
                frame => Poll::Ready(frame),
            }
        }

        fn size_hint(&self) -> SizeHint {
            self.declared.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn chunks(parts: &[&'static str]) -> Script {
        let frames = parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))));
        Script { frames: frames.collect(), silent_at_end: false, declared: None }
    }

    async fn read(script: Script, limit: usize) -> Result<Bytes, BodyError> {
        read_limited(Body::new(script), limit, Duration::from_millis(20)).await
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_whole() {
        let cases: [(&[&'static str], &str); 5] = [
            (&[], ""),
            (&["", ""], ""),
            (&["abcdef"], "abcdef"),
            (&["ab", "", "cd", "ef"], "abcdef"),
            (&["", "abcdef"], "abcdef"),
        ];
        for (parts, expected) in cases {
            assert_eq!(read(chunks(parts), 6).await.unwrap(), expected, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        for parts in [&["abcdefg"][..], &["abc", "defg"], &["a", "b", "c", "d", "e", "f", "g"]] {
            let refused = read(chunks(parts), 6).await;
            assert!(matches!(refused, Err(BodyError::TooLarge { limit: 6 })), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_declared_length_is_refused_before_reading() {
        // It would stay silent for ever, so an answer proves that nothing was read.
        for declared in [7, u64::MAX] {
            let body = Script { silent_at_end: true, declared: Some(declared), ..chunks(&[]) };
            let refused = read_limited(Body::new(body), 6, Duration::MAX).await;
            assert!(matches!(refused, Err(BodyError::TooLarge { .. })));
        }
    }

    #[tokio::test]
    async fn a_body_that_stalls_or_breaks_is_given_up() {
        let stalled = Script { silent_at_end: true, ..chunks(&["ab"]) };
        assert!(matches!(read(stalled, 6).await, Err(BodyError::TimedOut)));
        let mut broken = chunks(&["ab"]);
        broken.frames.push_back(Err(io::Error::other("reset")));
        assert!(matches!(read(broken, 6).await, Err(BodyError::Broken(_))));
    }
}
