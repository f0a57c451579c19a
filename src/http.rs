//! HTTP: the server's routes, and everything that happens to a request before a resolver runs.

pub(crate) mod admission;
pub mod body;
pub mod check;
mod graphql;
pub mod guard;
mod health;
pub mod negotiation;
pub mod serve;
pub mod threads;
mod usage;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use axum::routing::{any, get};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::graphql::engine::fault;
use crate::graphql::error::ErrorCode;

/// The routes of the server.
pub fn router(app: App) -> Router {
    let cors = cors(&app.config().http.cors_origins);
    let router = Router::new()
        .route("/graphql", any(graphql::handle))
        .route(crate::enforcement::snapshot::PATH, any(check::handle))
        .route("/v1/usage", any(usage::handle))
        .route("/v1/heartbeat", any(usage::calls::heartbeat))
        .route("/v1/release", any(usage::calls::release))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/health/liveliness", get(health::live))
        .route("/health/liveness", get(health::live))
        .route("/health/readiness", get(health::ready))
        .fallback(nothing_here)
        .layer(CatchPanicLayer::custom(panicked));
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
    .with_state(app)
}

async fn nothing_here(headers: axum::http::HeaderMap) -> Response<Body> {
    let error = fault(
        ErrorCode::NotFound,
        "there is nothing here; the API is at /graphql, and gateways ask at /v1/check",
    );
    graphql::plain(StatusCode::NOT_FOUND, error, &graphql::request_id(&headers))
}

/// The last resort: a panic outside of the GraphQL handler, which catches its own.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    let error = fault(ErrorCode::InternalServerError, "internal error");
    let id = graphql::request_id(&axum::http::HeaderMap::new());
    tracing::error!(request_id = id, "a request panicked");
    graphql::plain(StatusCode::INTERNAL_SERVER_ERROR, error, &id)
}

/// Which pages of other origins may call: those that the setting names, none by default.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let origins: Vec<_> =
            origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        AllowOrigin::list(origins)
    };
    let headers = [
        AUTHORIZATION,
        CONTENT_TYPE,
        graphql::REQUEST_ID,
        HeaderName::from_static("x-api-key"),
        HeaderName::from_static("x-tollkeep-on-behalf-of"),
    ];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(headers)
            .expose_headers([graphql::REQUEST_ID])
            .max_age(std::time::Duration::from_mins(10)),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    /// SECURITY F10: a panic is an answer with an id, and the connection lives.
    #[tokio::test]
    async fn a_panic_is_an_answer() {
        async fn fails() -> &'static str {
            panic!("a canary that nobody may see")
        }
        let router: Router =
            Router::new().route("/", get(fails)).layer(CatchPanicLayer::custom(panicked));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let bytes = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("INTERNAL_SERVER_ERROR") && text.contains("requestId"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
