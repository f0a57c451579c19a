//! `POST /v1/usage`: gateways report what calls used, without GraphQL.
//!
//! The body is `{"events": [...]}`, with the fields of `UsageEventInput`; the answer has a verdict for
//! each event. An event that cannot be read gets one too, and does not spoil the others. Errors of
//! the request as a whole have the shape that clients of `OpenAI` read.

pub(super) mod calls;

use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use chrono::{DateTime, Utc};
use entity::id::ApiKeyId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{BodyError, read_limited};
use super::graphql::{REQUEST_ID, credential, request_id};
use super::negotiation::is_json_content_type;
use crate::app::App;
use crate::authz::{Permission, Reference, policy};
use crate::db::StatementCount;
use crate::domain::ledger::{Code, Cost, Report, Tokens, Verdict};
use crate::error::Error;

/// The largest body: 500 events with all their fields, and room to spare.
const BODY: usize = 1024 * 1024;

/// A request that is refused as a whole.
struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    message: String,
    param: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Self { status, kind, code, message: message.into(), param: None }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unauthenticated => {
                Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", error.to_string())
            }
            Error::Forbidden { .. } => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", error.to_string())
            }
            Error::BadInput(faults) => {
                let param = faults.first().map(|fault| {
                    fault.field.strip_prefix("input.").unwrap_or(&fault.field).to_owned()
                });
                let refusal =
                    Self::new(StatusCode::BAD_REQUEST, "invalid_request", error.to_string());
                Self { param, ..refusal }
            }
            error if error.is_unavailable() => {
                tracing::warn!(error = ?error, "usage could not be recorded");
                let message = Error::Unavailable.to_string();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message)
            }
            error => {
                tracing::error!(error = ?error, "usage could not be recorded");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "internal_server_error", "internal error")
            }
        }
    }
}

/// Answers a report of usage.
pub(super) async fn handle(State(app): State<App>, request: Request<Body>) -> Response<Body> {
    respond(app, request, "usage", record).await
}

/// Answers a gateway, and notes that in the log.
async fn respond<T: Serialize, F: Future<Output = Result<T, Refusal>> + Send>(
    app: App,
    request: Request<Body>,
    operation: &'static str,
    work: impl FnOnce(App, ApiKeyId, HeaderMap, Body) -> F,
) -> Response<Body> {
    let began = Instant::now();
    let id = request_id(request.headers());
    let mut caller = None;
    let outcome = match gateway(&app, request.method(), request.headers(), &mut caller).await {
        Ok(gateway) => {
            let (head, body) = request.into_parts();
            work(app, gateway, head.headers, body).await
        }
        Err(refusal) => Err(refusal),
    };
    let (status, code, mut response) = match outcome {
        Ok(answer) => (StatusCode::OK, None, json(StatusCode::OK, &answer)),
        Err(refusal) => (refusal.status, Some(refusal.code), refused(&refusal)),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    tracing::info!(
        request_id = id,
        operation_name = operation,
        status = status.as_u16(),
        code,
        duration_ms = began.elapsed().as_secs_f64() * 1_000.0,
        caller_id = caller,
        "request"
    );
    response
}

/// The gateway that sends a request.
async fn gateway(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    caller: &mut Option<String>,
) -> Result<ApiKeyId, Refusal> {
    let secret = credential(headers).ok_or(Error::Unauthenticated)?;
    let authenticator = app.authenticator().for_gateways();
    let actor = authenticator.authenticate(secret, &StatementCount::default()).await?;
    *caller = Some(actor.reference());
    let permission = Permission::UsageRecord;
    let gateway = actor.key_id().filter(|_| policy::allows_anywhere(&actor, permission));
    let gateway = gateway.ok_or(Error::Forbidden { permission })?;
    if *method != Method::POST {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "send a POST",
        ));
    }
    Ok(gateway)
}

async fn record(
    app: App,
    gateway: ApiKeyId,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let events = events(&app, &headers, body).await?;
    // Events that cannot be read are judged here, and the others by the ledger.
    let mut verdicts: Vec<Option<Shown>> = Vec::with_capacity(events.len());
    let mut reports = Vec::with_capacity(events.len());
    for event in events {
        match report(event) {
            Ok(report) => {
                reports.push(report);
                verdicts.push(None);
            }
            Err(verdict) => verdicts.push(Some(*verdict)),
        }
    }
    if !reports.is_empty() {
        let mut answered =
            app.enforcement().record(app.ledger(), gateway, reports).await?.into_iter();
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_none()) {
            *verdict = answered.next().map(Into::into);
        }
    }
    Ok(Answer { verdicts: verdicts.into_iter().flatten().collect() })
}

/// The body of a request, which is JSON.
async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let media = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if !is_json_content_type(headers) {
        let message = "send the body as application/json";
        return Err(Refusal::new(media, "unsupported_media_type", message));
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        let message = "send the body without an encoding";
        return Err(Refusal::new(media, "unsupported_media_type", message));
    }
    let bad = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", message);
    let bytes = read_limited(body, BODY, app.config().http.body_timeout);
    bytes.await.map_err(|error| match error {
        BodyError::TooLarge { .. } => {
            let message = format!("the body is larger than {BODY} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
        }
        BodyError::TimedOut => {
            let message = "the body did not come in time";
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
        }
        BodyError::Broken(_) => bad("the body broke off"),
    })
}

async fn events(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<Value>, Refusal> {
    let bytes = read(app, headers, body).await?;
    let bad = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", message);
    let request: Events = serde_json::from_slice(&bytes)
        .map_err(|_| bad("the body is not a JSON object with a list of events"))?;
    let most = crate::domain::ledger::EVENTS;
    if request.events.is_empty() || request.events.len() > most {
        let refusal = bad(&format!("give 1 to {most} events"));
        return Err(Refusal { param: Some("events".to_owned()), ..refusal });
    }
    Ok(request.events)
}

/// The body of a report.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    events: Vec<Value>,
}

/// What one call used, as gateways write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Event {
    request_id: String,
    api_key_id: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    model_id: Option<String>,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    input_tokens: Option<Count>,
    #[serde(default)]
    cache_read_tokens: Option<Count>,
    #[serde(default)]
    cache_write_tokens: Option<Count>,
    #[serde(default)]
    output_tokens: Option<Count>,
    #[serde(default)]
    reasoning_tokens: Option<Count>,
    #[serde(default)]
    cost: Option<Amount>,
    #[serde(default)]
    authorized_at: Option<String>,
    #[serde(default)]
    occurred_at: Option<String>,
    #[serde(default)]
    end_user: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// A number of tokens: a number, or a string of digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(i64),
    Text(String),
}

/// An amount of dollars: a string, which is exact, or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Number(f64),
}

/// Reads one event.
fn report(event: Value) -> Result<Report, Box<Shown>> {
    let id = event.get("requestId").and_then(Value::as_str).unwrap_or_default();
    let id: String = id.chars().take(128).collect();
    let invalid = |field: &str, message: &str| {
        Box::new(Shown {
            request_id: id.clone(),
            code: word(Code::Invalid),
            field: (!field.is_empty()).then(|| field.to_owned()),
            message: Some(message.to_owned()),
            ..Shown::default()
        })
    };
    let event: Event = serde_json::from_value(event).map_err(|error| {
        // The message names fields and types, and no values but numbers.
        invalid(
            field_of(&error.to_string()),
            "this event has a field too many, too few, or of another type",
        )
    })?;
    let count = |field: &str, count: Option<Count>| match count {
        None => Ok(0),
        Some(Count::Number(number)) => Ok(number),
        Some(Count::Text(text)) => {
            text.parse().map_err(|_| invalid(field, "write a whole number such as 1000"))
        }
    };
    let instant = |field: &str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => text
            .parse::<DateTime<Utc>>()
            .ok()
            .and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()))
            .map(Some)
            .ok_or_else(|| invalid(field, "write an instant such as 2026-12-31T23:59:59Z")),
    };
    Ok(Report {
        tokens: Tokens {
            input: count("inputTokens", event.input_tokens)?,
            cache_read: count("cacheReadTokens", event.cache_read_tokens)?,
            cache_write: count("cacheWriteTokens", event.cache_write_tokens)?,
            output: count("outputTokens", event.output_tokens)?,
            reasoning: count("reasoningTokens", event.reasoning_tokens)?,
        },
        authorized_at: instant("authorizedAt", event.authorized_at)?,
        occurred_at: instant("occurredAt", event.occurred_at)?,
        cost: event.cost.map(|amount| match amount {
            Amount::Text(text) => Cost::Text(text),
            Amount::Number(number) => Cost::Float(number),
        }),
        request_id: event.request_id,
        api_key: Reference::parse(&event.api_key_id),
        model: event.model,
        model_id: event.model_id.map(|id| Reference::parse(&id)),
        provider: event.provider,
        end_user: event.end_user,
        tags: event.tags.unwrap_or_default(),
    })
}

/// The field that an error of the reader names between backticks; empty for none.
fn field_of(error: &str) -> &str {
    error
        .split('`')
        .nth(1)
        .filter(|field| error.contains("field") && field.len() <= 128)
        .unwrap_or("")
}

/// The verdicts, in the order of the events.
#[derive(Serialize)]
struct Answer {
    verdicts: Vec<Shown>,
}

/// A verdict as gateways read it.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    request_id: String,
    code: &'static str,
    usage_event_id: Option<String>,
    cost: Option<String>,
    cost_source: Option<entity::role::CostSource>,
    field: Option<String>,
    message: Option<String>,
}

impl From<Verdict> for Shown {
    fn from(verdict: Verdict) -> Self {
        let (field, message) = verdict.fault.unzip();
        let (cost, cost_source) = verdict.cost.unzip();
        Self {
            request_id: verdict.request_id,
            code: word(verdict.code),
            usage_event_id: verdict.event.map(|id| id.to_string()),
            cost: cost.map(|cost| cost.to_string()),
            cost_source,
            field,
            message,
        }
    }
}

fn word(code: Code) -> &'static str {
    match code {
        Code::Recorded => "RECORDED",
        Code::Duplicate => "DUPLICATE",
        Code::Conflict => "CONFLICT",
        Code::TooOld => "TOO_OLD",
        Code::Invalid => "INVALID",
        Code::NotFound => "NOT_FOUND",
    }
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let body = serde_json::json!({ "error": {
        "message": refusal.message,
        "type": refusal.kind,
        "param": refusal.param,
        "code": refusal.code,
    } });
    let mut response = json(refusal.status, &body);
    let header: Option<(HeaderName, &'static str)> = match refusal.status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer realm=\"tollkeep\"")),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "POST")),
        _ => None,
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
