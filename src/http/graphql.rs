//! GraphQL over HTTP: `POST` with JSON, and `GET` for queries alone.
//!
//! The order is SECURITY 0's: authenticate, then method, media types and size, then the engine.
//! Statuses follow the audits of the GraphQL over HTTP working group (API 2.1): a request that was
//! refused before it ran is 400 for a client that names `application/graphql-response+json`, and
//! 200 for one that knows `application/json` only.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use futures_util::FutureExt as _;
use serde::Serialize;
use serde_json::{Map, Value};

use super::body::{BodyError, read_limited};
use super::negotiation::{ResponseType, is_json_content_type, response_type};
use crate::app::App;
use crate::authn::Credential;
use crate::authz::Actor;
use crate::clock::fill_random;
use crate::config::StatusProfile;
use crate::db::{RequestInfo, StatementCount};
use crate::error::Error;
use crate::graphql::engine::{self, Answer, Described, fault, from_error, with_request_id};
use crate::graphql::error::ErrorCode;
use crate::session::Session;

/// The id of a request, in and out.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// On whose behalf an admin or a gateway acts; recorded, never believed.
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("x-tollkeep-on-behalf-of");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What the one line in the log says of a request.
#[derive(Default)]
struct Line {
    described: Described,
    code: Option<String>,
    caller: Option<String>,
}

/// Answers a request to the GraphQL endpoint.
pub(super) async fn handle(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response<Body> {
    let answered = Box::pin(answered(app.clone(), peer, request));
    app.threads().run(answered).await
}

async fn answered(app: App, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
    let began = Instant::now();
    let id = request_id(request.headers());
    let statements = StatementCount::default();
    let mut line = Line::default();
    let method = request.method().clone();
    let mut response = {
        let answer = pin!(answer(&app, peer, request, &id, &statements, &mut line));
        caught(answer, &id).await
    };
    let status = response.status();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(VARY, HeaderValue::from_static("Accept"));
    if line.caller.is_some()
        && let Ok(value) =
            HeaderValue::from_str(&format!("db;desc=\"{} statements\"", statements.get()))
    {
        headers.insert(SERVER_TIMING, value);
    }
    tracing::info!(
        request_id = id,
        method = %method,
        operation_type = line.described.kind,
        operation_name = line.described.name,
        status = status.as_u16(),
        code = line.code,
        duration_ms = began.elapsed().as_secs_f64() * 1_000.0,
        db_queries = statements.get(),
        caller_id = line.caller,
        "request"
    );
    response
}

/// An answer whatever happens: a panic becomes one too, with the id of the request.
async fn caught(answer: impl Future<Output = Response<Body>>, id: &str) -> Response<Body> {
    if let Ok(response) = AssertUnwindSafe(answer).catch_unwind().await {
        return response;
    }
    tracing::error!(request_id = id, "a request panicked");
    let error = fault(ErrorCode::InternalServerError, "internal error");
    plain(StatusCode::INTERNAL_SERVER_ERROR, error, id)
}

async fn answer(
    app: &App,
    peer: SocketAddr,
    request: Request<Body>,
    id: &str,
    statements: &StatementCount,
    line: &mut Line,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(room) = app.admission().enter().await else {
        return refused(&Error::Unavailable, id, line);
    };
    let mut checked = tokio::time::Instant::now();
    let (mut actor, credential) = match authenticate(app, &head.headers, statements).await {
        Ok(found) => found,
        Err(error) => return refused(&error, id, line),
    };
    drop(room);
    line.caller = Some(actor.reference());
    let on_behalf_of = match on_behalf_of(&head.headers, &actor) {
        Ok(claim) => claim,
        Err(error) => return refused(&error, id, line),
    };
    let Some(form) = response_type(&head.headers) else {
        let message = "accept application/graphql-response+json or application/json";
        return bad(StatusCode::NOT_ACCEPTABLE, message, id, line);
    };
    let request = match read(app, &head.method, &head.uri, &head.headers, body).await {
        Ok(request) => request,
        Err((status, message)) => {
            let mut response = bad(status, message, id, line);
            if status == StatusCode::METHOD_NOT_ALLOWED {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
            }
            return response;
        }
    };
    let Some(_room) = app.admission().enter().await else {
        return refused(&Error::Unavailable, id, line);
    };
    if checked.elapsed() > Credential::HOLDS {
        // The body took its time, or there was no room at once.
        checked = tokio::time::Instant::now();
        actor = match credential.check(statements).await {
            Ok(actor) => actor,
            Err(error) => return refused(&error, id, line),
        };
    }
    let info = RequestInfo {
        id: id.to_owned(),
        address: Some(client_address(app, peer, &head.headers)),
        on_behalf_of,
    };
    let session =
        Session::new(app.deployment(), app.enforcement(), actor, info, statements.clone())
            .with(credential, checked);
    let may_change = head.method == Method::POST;
    let answer =
        app.engine().answer(session, app.ledger(), request, may_change, &mut line.described).await;
    match answer {
        Answer::MutationNotAllowed => {
            let message = "mutations are sent by POST";
            let mut response = bad(StatusCode::METHOD_NOT_ALLOWED, message, id, line);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            response
        }
        Answer::Refused(mut errors) => {
            line.code = errors.first().and_then(code_of);
            for error in &mut errors {
                with_request_id(error, id);
            }
            let status = refusal_status(app.config().http.status_profile, form);
            json(status, form, &Errors { errors: &errors })
        }
        Answer::Executed(mut response) => {
            line.code = response.errors.first().and_then(code_of);
            for error in &mut response.errors {
                with_request_id(error, id);
            }
            let partial = !response.errors.is_empty();
            let status = executed_status(app.config().http.status_profile, form, partial);
            let mut answer = json(status, form, &response);
            if line.code.as_deref() == Some(ErrorCode::ServiceUnavailable.word().as_str()) {
                answer.headers_mut().insert(RETRY_AFTER, SOON);
            }
            answer
        }
    }
}

/// When to come back to a service that is not available.
const SOON: HeaderValue = HeaderValue::from_static("1");

fn refusal_status(profile: StatusProfile, form: ResponseType) -> StatusCode {
    match (form, profile) {
        (ResponseType::Json, _) => StatusCode::OK,
        (ResponseType::GraphqlResponseJson, StatusProfile::Audit) => StatusCode::BAD_REQUEST,
        (ResponseType::GraphqlResponseJson, StatusProfile::Draft) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
    }
}

fn executed_status(profile: StatusProfile, form: ResponseType, partial: bool) -> StatusCode {
    match (form, profile) {
        // 294 Partial Success of the 2026 draft is not in the registry of the http crate.
        (ResponseType::GraphqlResponseJson, StatusProfile::Draft) if partial => {
            StatusCode::from_u16(294).unwrap_or(StatusCode::OK)
        }
        _ => StatusCode::OK,
    }
}

/// Whom the request's credential stands for. Every failure is the same.
async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    statements: &StatementCount,
) -> Result<(Actor, Credential), Error> {
    let secret = credential(headers).ok_or(Error::Unauthenticated)?;
    let actor = app.authenticator().authenticate(secret, statements).await?;
    Ok((actor, app.authenticator().credential(secret)))
}

/// The one secret that a request presents: `Authorization: Bearer …`, or `x-api-key`.
pub(super) fn credential(headers: &HeaderMap) -> Option<&str> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || found.is_some() {
            return None;
        }
        found = Some(secret.trim());
    }
    for value in headers.get_all(API_KEY) {
        let secret = value.to_str().ok()?.trim();
        if found.is_some_and(|other| other != secret) {
            return None;
        }
        found = Some(secret);
    }
    found
}

fn on_behalf_of(headers: &HeaderMap, actor: &Actor) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(ON_BEHALF_OF) else { return Ok(None) };
    let gateway = actor.kind() == entity::role::ActorKind::Gateway;
    if !actor.is_platform_admin() && !gateway {
        return Err(Error::input(
            "x-tollkeep-on-behalf-of",
            "only platform admins and gateways may say on whose behalf they act",
        ));
    }
    match value.to_str() {
        Ok(text) if (1..=128).contains(&text.trim().len()) => Ok(Some(text.trim().to_owned())),
        _ => Err(Error::input("x-tollkeep-on-behalf-of", "write 1 to 128 plain characters")),
    }
}

type Fault = (StatusCode, &'static str);

/// Reads the request's parameters from the query string or the body.
async fn read(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<engine::Request, Fault> {
    if *method == Method::GET {
        return parameters(query_string(uri)?);
    }
    if *method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "send a POST, or a GET for a query"));
    }
    if !is_json_content_type(headers) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as application/json"));
    }
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if encoded {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body without an encoding"));
    }
    let limits = &app.config().http;
    let bytes = read_limited(body, limits.body_limit, limits.body_timeout);
    let bytes = bytes.await.map_err(|error| match error {
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        BodyError::TimedOut => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "the body broke off"),
    })?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(members)) => parameters(members),
        Ok(Value::Array(_)) => Err((StatusCode::BAD_REQUEST, "batches are not accepted")),
        Ok(_) => Err((StatusCode::BAD_REQUEST, "the body is not a JSON object")),
        Err(_) => Err((StatusCode::BAD_REQUEST, "the body is not JSON")),
    }
}

/// The longest query string.
const QUERY_STRING: usize = 8_192;

fn query_string(uri: &Uri) -> Result<Map<String, Value>, Fault> {
    let text = uri.query().unwrap_or("");
    if text.len() > QUERY_STRING {
        return Err((StatusCode::URI_TOO_LONG, "the query string is too long; use POST"));
    }
    let broken = (StatusCode::BAD_REQUEST, "the query string is not well formed");
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text).map_err(|_| broken)?;
    let mut members = Map::new();
    for (name, value) in pairs {
        // On GET, an empty parameter is one that was left out.
        if value.is_empty() || members.contains_key(&name) {
            continue;
        }
        let json = matches!(name.as_str(), "variables" | "extensions");
        let value = if json {
            let fault = (StatusCode::BAD_REQUEST, "variables and extensions must be JSON");
            serde_json::from_str(&value).map_err(|_| fault)?
        } else {
            Value::String(value)
        };
        members.insert(name, value);
    }
    Ok(members)
}

fn parameters(mut members: Map<String, Value>) -> Result<engine::Request, Fault> {
    let is_persisted =
        members.get("extensions").is_some_and(|value| value.get("persistedQuery").is_some());
    let mut take = |name: &str| members.remove(name).filter(|value| !value.is_null());
    let bad = |message| (StatusCode::BAD_REQUEST, message);
    let query = match take("query") {
        Some(Value::String(query)) => query,
        Some(_) => return Err(bad("query must be a string")),
        None if is_persisted => {
            return Err(bad("persisted queries are not supported; send the query itself"));
        }
        None => return Err(bad("query is missing")),
    };
    let operation_name = match take("operationName") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(bad("operationName must be a string")),
    };
    let variables = match take("variables") {
        None => Map::new(),
        Some(Value::Object(variables)) => variables,
        Some(_) => return Err(bad("variables must be an object")),
    };
    match take("extensions") {
        None | Some(Value::Object(_)) => {}
        Some(_) => return Err(bad("extensions must be an object")),
    }
    Ok(engine::Request { query, operation_name, variables })
}

/// The client's address: the peer's, or the last one that a trusted proxy names.
fn client_address(app: &App, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let trusted = &app.config().http.trusted_proxies;
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.ip();
    if !is_trusted(address) {
        return address;
    }
    let values: Vec<_> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for named in values.join(",").rsplit(',') {
        let Ok(named) = named.trim().parse() else { break };
        address = named;
        if !is_trusted(address) {
            break;
        }
    }
    address
}

/// The id that the caller gave, if it is harmless, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |text: &&str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    given.filter(harmless).map_or_else(
        || {
            let mut random = [0; 16];
            fill_random(&mut random);
            crate::secret::hex(&random)
        },
        str::to_owned,
    )
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: &'a [async_graphql::ServerError],
}

fn code_of(error: &async_graphql::ServerError) -> Option<String> {
    match error.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Some(code.clone()),
        _ => None,
    }
}

/// An answer to a request that is no GraphQL request.
fn bad(status: StatusCode, message: &str, id: &str, line: &mut Line) -> Response<Body> {
    line.code = Some(ErrorCode::BadRequest.word());
    plain(status, fault(ErrorCode::BadRequest, message), id)
}

/// An answer to a request that was refused for its credential, or because the database is away.
fn refused(error: &Error, id: &str, line: &mut Line) -> Response<Body> {
    let code = ErrorCode::from(error);
    line.code = Some(code.word());
    let (status, shown) = match error {
        Error::Unauthenticated => (StatusCode::UNAUTHORIZED, from_error(Error::Unauthenticated)),
        Error::BadInput(faults) => {
            (StatusCode::BAD_REQUEST, from_error(Error::BadInput(faults.clone())))
        }
        error if error.is_unavailable() => {
            tracing::warn!(request_id = id, error = ?error, "a request was put off");
            (StatusCode::SERVICE_UNAVAILABLE, from_error(Error::Unavailable))
        }
        error => {
            tracing::error!(error = ?error, "a credential could not be checked");
            let shown = fault(ErrorCode::InternalServerError, "internal error");
            (StatusCode::INTERNAL_SERVER_ERROR, shown)
        }
    };
    let mut response = plain(status, shown, id);
    match status {
        StatusCode::UNAUTHORIZED => {
            let challenge = HeaderValue::from_static("Bearer realm=\"tollkeep\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(RETRY_AFTER, SOON);
        }
        _ => {}
    }
    response
}

/// An answer that is no GraphQL answer: it always is plain JSON.
pub(super) fn plain(
    status: StatusCode,
    mut error: async_graphql::ServerError,
    id: &str,
) -> Response<Body> {
    with_request_id(&mut error, id);
    json(status, ResponseType::Json, &Errors { errors: &[error] })
}

fn json(status: StatusCode, form: ResponseType, body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, form.content_type_value());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SECURITY F10: a panic while a request is answered is an answer with the request's own id.
    #[tokio::test]
    async fn a_panic_is_an_answer_with_the_id_of_the_request() {
        async fn fails() -> Response<Body> {
            tokio::task::yield_now().await;
            panic!("a canary that nobody may see")
        }
        let answer = caught(fails(), "req-17").await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let bytes = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
        assert_eq!(body["errors"][0]["extensions"]["requestId"], "req-17");
        assert!(body.get("data").is_none() && !body.to_string().contains("canary"), "{body}");
    }
}
