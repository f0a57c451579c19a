//! `POST /v1/check`: may this key make this call. Gateways ask for every call that they pass on.
//!
//! A gateway's key asks about any credential; any other key asks about itself alone. Requests and
//! answers are JSON; a refusal of a single check has the status and the error body that clients of
//! `OpenAI`'s API know, with the decision beside it (`docs/enforcement.md`). Warm, nothing here touches
//! the database.

mod answer;
mod request;

use std::panic::AssertUnwindSafe;
use std::pin::pin;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use entity::id::ApiKeyId;
use futures_util::FutureExt as _;
use futures_util::future::try_join_all;

use super::body::{BodyError, read_limited};
use super::graphql::{REQUEST_ID, credential, request_id};
use super::negotiation::is_json_content_type;
use crate::app::App;
use crate::db::StatementCount;
use crate::domain::access::Depth;
use crate::enforcement::check::Presented;
use crate::enforcement::hold::Hold;
use crate::enforcement::verdict::Verdict;
use crate::error::{Error, Result};

pub use answer::Headers;
use answer::{Audience, Problem};
use request::{Asked, Body as Asking, Who};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Answers a request.
pub(super) async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    let statements = StatementCount::default();
    let id = request.headers().get(REQUEST_ID).cloned();
    let work = pin!(answer(&app, request, &statements));
    let mut response = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(request_id = ?id, "a check panicked");
        Problem::internal().response()
    });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER_TIMING, timing(&statements));
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn timing(statements: &StatementCount) -> HeaderValue {
    match statements.get() {
        0 => HeaderValue::from_static("db;desc=\"0 statements\""),
        count => HeaderValue::from_str(&format!("db;desc=\"{count} statements\""))
            .unwrap_or_else(|_| HeaderValue::from_static("db")),
    }
}

async fn answer(app: &App, request: Request<Body>, statements: &StatementCount) -> Response<Body> {
    let (head, body) = request.into_parts();
    match respond(app, &head.method, &head.headers, body, statements).await {
        Ok(response) => response,
        Err(problem) => {
            if problem.status.is_server_error() {
                let request_id = request_id(&head.headers);
                tracing::warn!(request_id, status = problem.status.as_u16(), "a check failed");
            }
            let mut response = problem.response();
            let headers = response.headers_mut();
            match problem.status {
                StatusCode::UNAUTHORIZED => {
                    let challenge = HeaderValue::from_static("Bearer realm=\"tollkeep\"");
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
                StatusCode::METHOD_NOT_ALLOWED => {
                    headers.insert(ALLOW, HeaderValue::from_static("POST"));
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                _ => {}
            }
            response
        }
    }
}

/// Who asks.
enum Caller {
    Gateway { id: ApiKeyId, may_hold: bool },
    Itself(Presented),
}

async fn respond(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    statements: &StatementCount,
) -> Result<Response<Body>, Problem> {
    let caller = caller(app, headers, statements).await?;
    let asking = read(app, method, headers, body).await?;
    let (audience, gateway) = match &caller {
        Caller::Gateway { .. } => (Audience::Gateway, true),
        Caller::Itself(_) => (Audience::Client, false),
    };
    let asked = asking.into_asked(gateway)?;
    let holds = asked.checks.iter().any(|asked| asked.hold.is_some());
    if holds && !matches!(caller, Caller::Gateway { may_hold: true, .. }) {
        return Err(Problem::may_not_hold());
    }
    let judged = asked.checks.iter().map(|asked| judge(app, &caller, asked, statements));
    let verdicts = try_join_all(judged).await?;
    let names = app.check_headers();
    Ok(match (asked.is_batch, verdicts.as_slice()) {
        (false, [verdict]) => answer::single(verdict, audience, names),
        _ => answer::batch(&verdicts, audience),
    })
}

/// Whom the request's own credential stands for. The admin key, and keys of the administration, may
/// not ask: who manages keys is not who calls with them (SECURITY 3).
async fn caller(
    app: &App,
    headers: &HeaderMap,
    statements: &StatementCount,
) -> Result<Caller, Problem> {
    let unknown = || Problem::unauthenticated();
    let secret = credential(headers).ok_or_else(unknown)?;
    let enforcement = app.enforcement();
    let found = enforcement.by_secret(secret, statements).await?;
    let Some(presented) = found else {
        if app.authenticator().is_bootstrap_key(secret) {
            return Err(Problem::forbidden());
        }
        return Err(unknown());
    };
    if !presented.calls_no_models() {
        return Ok(Caller::Itself(presented));
    }
    let now = enforcement.now()?;
    if !presented.is_in_force(now) {
        return Err(unknown());
    }
    if !presented.may_ask(now) {
        return Err(Problem::forbidden());
    }
    note_use(app, &presented);
    let may_hold = presented.may_hold();
    presented.id().map(|id| Caller::Gateway { id, may_hold }).ok_or_else(unknown)
}

fn note_use(app: &App, presented: &Presented) {
    if let Some(id) = presented.id() {
        app.last_used().note(id, app.deployment().clock.now());
    }
}

async fn read(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    body: Body,
) -> Result<Asking, Problem> {
    let bad = |status, message| Problem::bad(status, message, None);
    if *method != Method::POST {
        return Err(bad(StatusCode::METHOD_NOT_ALLOWED, "send a POST"));
    }
    if !is_json_content_type(headers) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(bad(status, "send the body as application/json"));
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(bad(status, "send the body without an encoding"));
    }
    let limits = &app.config().http;
    let bytes = read_limited(body, limits.body_limit, limits.body_timeout).await;
    let bytes = bytes.map_err(|error| match error {
        BodyError::TooLarge { .. } => bad(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        BodyError::TimedOut => bad(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        BodyError::Broken(_) => bad(StatusCode::BAD_REQUEST, "the body broke off"),
    })?;
    Ok(Asking::parse(&bytes)?)
}

async fn judge(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    statements: &StatementCount,
) -> Result<Verdict> {
    let enforcement = app.enforcement();
    let found;
    let presented = match (caller, &asked.who) {
        (Caller::Itself(presented), Who::Itself) => Some(presented),
        // A key that names another one is told the same as if that did not exist.
        (Caller::Itself(presented), Who::Key(id)) => {
            Some(presented).filter(|presented| presented.id() == Some(*id))
        }
        (Caller::Itself(_), Who::Secret(_)) | (Caller::Gateway { .. }, Who::Itself) => None,
        (Caller::Gateway { .. }, Who::Secret(secret)) => {
            found = enforcement.by_secret(secret, statements).await?;
            found.as_ref()
        }
        (Caller::Gateway { .. }, Who::Key(id)) => {
            found = enforcement.by_id(*id, statements).await?;
            found.as_ref()
        }
    };
    let verdict = match (caller, &asked.hold, presented) {
        (Caller::Gateway { id, .. }, Some(holding), Some(presented)) => {
            let hold =
                Hold { gateway: *id, request_id: holding.request_id.clone(), lasts: holding.lasts };
            enforcement.reserve(app.ledger(), presented, &asked.call, hold, statements).await?
        }
        // A gateway asks because somebody calls: that is what is counted.
        (Caller::Gateway { .. }, None, Some(presented)) => {
            enforcement.pass(presented, &asked.call, statements).await?
        }
        _ => enforcement.check(presented, &asked.call, Depth::Answer, statements).await?,
    };
    if verdict.is_allowed()
        && let Some(presented) = presented
    {
        note_use(app, presented);
    }
    Ok(verdict)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::BadInput(faults) => {
                let fault = faults.into_iter().next();
                let (field, message) = fault.map_or_else(
                    || (String::new(), "the request is not valid".to_owned()),
                    |fault| (fault.field, fault.message),
                );
                let param = (!field.is_empty()).then_some(field);
                Self::bad(StatusCode::BAD_REQUEST, &message, param)
            }
            error if error.is_unavailable() => Self::unavailable(),
            error => {
                tracing::error!(error = ?error, "a check met a fault of the server");
                Self::internal()
            }
        }
    }
}
