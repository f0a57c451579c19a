//! `POST /v1/heartbeat` and `POST /v1/release`: gateways say that calls go on, or that they were not
//! made.
//!
//! The body is `{"requestIds": [...]}`, the names under which the gateway reserved; the answer says of
//! each whether anything was held under it. A call whose usage is reported needs neither.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Refusal, read, respond};
use crate::app::App;
use crate::domain::call::{REQUEST_ID, is_text};
use crate::domain::ledger::EVENTS;

/// Lets calls keep their places among the requests at once for another 30 seconds.
pub(in crate::http) async fn heartbeat(
    State(app): State<App>,
    request: Request<Body>,
) -> Response<Body> {
    respond(app, request, "heartbeat", |app: App, gateway, headers: HeaderMap, body| async move {
        let ids = ids(&app, &headers, body).await?;
        let now = app.deployment().clock.now();
        let held = app.enforcement().rates().beat(gateway, &ids, now).await;
        Ok(Calls::new(ids, held))
    })
    .await
}

/// Lets go of what is held for calls that were not made: money, and their places among the requests at
/// once.
pub(in crate::http) async fn release(
    State(app): State<App>,
    request: Request<Body>,
) -> Response<Body> {
    respond(app, request, "release", |app: App, gateway, headers: HeaderMap, body| async move {
        let ids = ids(&app, &headers, body).await?;
        let held = app.enforcement().release(app.ledger(), gateway, &ids).await?;
        Ok(Calls::new(ids, held))
    })
    .await
}

async fn ids(app: &App, headers: &HeaderMap, body: Body) -> Result<Vec<String>, Refusal> {
    let bytes = read(app, headers, body).await?;
    let bad = |message: String, param: &str| {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", message);
        Refusal { param: Some(param.to_owned()), ..refusal }
    };
    let named: Named = serde_json::from_slice(&bytes).map_err(|_| {
        bad("the body is not a JSON object with a list of request ids".to_owned(), "requestIds")
    })?;
    let ids = named.request_ids;
    if ids.is_empty() || ids.len() > EVENTS {
        return Err(bad(format!("give 1 to {EVENTS} request ids"), "requestIds"));
    }
    if let Some(at) = ids.iter().position(|id| !is_text(id, REQUEST_ID)) {
        let message = "write 1 to 128 characters, none of them a control character";
        return Err(bad(message.to_owned(), &format!("requestIds.{at}")));
    }
    Ok(ids)
}

/// The body of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Named {
    request_ids: Vec<String>,
}

/// What is said of each call, in the order of the request.
#[derive(Serialize)]
struct Calls {
    calls: Vec<Call>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    request_id: String,
    was_held: bool,
}

impl Calls {
    fn new(ids: Vec<String>, held: Vec<bool>) -> Self {
        let call = |(request_id, was_held)| Call { request_id, was_held };
        Self { calls: ids.into_iter().zip(held).map(call).collect() }
    }
}
