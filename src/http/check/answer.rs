//! Answers to checks: statuses, bodies in the shape of `OpenAI`'s API, and the headers that gateways pass
//! on.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, Response, StatusCode};
use entity::id::DecisionId;
use entity::value::Usd;
use serde::Serialize;

use crate::domain::access::{Check, Numbers, Rule};
use crate::enforcement::verdict::{Code, Verdict};

/// Who reads the answer. Gateways get names and numbers; keys that ask about themselves learn whether,
/// and not whose budget or list stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    Gateway,
    Client,
}

/// How a denial is shown: its status, and the members of the error body.
struct Shown {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    param: Option<&'static str>,
}

/// The table of denials (GATEWAYS 1.1). Whoever presents a key that is not in force is told the same,
/// whatever the reason (SECURITY 5).
fn shown(code: Code) -> Shown {
    let (status, kind, code, param) = match code {
        Code::InvalidCredential | Code::WrongKind | Code::Expired => {
            (StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key", None)
        }
        Code::Blocked | Code::NotAMember => {
            (StatusCode::FORBIDDEN, "permission_error", "access_denied", None)
        }
        Code::RouteNotAllowed => {
            (StatusCode::FORBIDDEN, "permission_error", "route_not_allowed", None)
        }
        Code::EndUserRequired => {
            (StatusCode::FORBIDDEN, "permission_error", "end_user_required", Some("user"))
        }
        Code::ModelNotAllowed | Code::ModelBlocked => {
            (StatusCode::FORBIDDEN, "permission_error", "model_not_allowed", Some("model"))
        }
        Code::BudgetExceeded => {
            (StatusCode::TOO_MANY_REQUESTS, "budget_exceeded", "budget_exceeded", None)
        }
        Code::RequestRateExceeded => {
            (StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", None)
        }
        Code::TokenRateExceeded => {
            (StatusCode::TOO_MANY_REQUESTS, "tokens", "rate_limit_exceeded", None)
        }
        Code::ParallelRequestsExceeded => {
            (StatusCode::TOO_MANY_REQUESTS, "requests", "parallel_limit_exceeded", None)
        }
        Code::RequestIdUsed => {
            (StatusCode::CONFLICT, "invalid_request_error", "request_id_used", Some("requestId"))
        }
    };
    Shown { status, kind, code, param }
}

/// An error body in the shape of `OpenAI`'s API.
#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// An answer without a decision: the request itself was refused.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    kind: &'static str,
    code: &'static str,
    message: String,
    param: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: &str) -> Self {
        Self { status, kind, code, message: message.to_owned(), param: None }
    }

    /// A request that is not one.
    pub(super) fn bad(status: StatusCode, message: &str, param: Option<String>) -> Self {
        let problem = Self::new(status, "invalid_request_error", "invalid_request", message);
        Self { param, ..problem }
    }

    /// Without a credential that is in force.
    pub(super) fn unauthenticated() -> Self {
        let (status, message) = (StatusCode::UNAUTHORIZED, "a valid API key is required");
        Self::new(status, "authentication_error", "invalid_api_key", message)
    }

    /// With a credential that may not ask.
    pub(super) fn forbidden() -> Self {
        let message = "only gateways ask about the keys of others";
        Self::new(StatusCode::FORBIDDEN, "permission_error", "access_denied", message)
    }

    /// With a credential that may ask, and not hold.
    pub(super) fn may_not_hold() -> Self {
        let message = "the routes of this key do not let it report usage, so that it holds nothing";
        Self::new(StatusCode::FORBIDDEN, "permission_error", "access_denied", message)
    }

    /// When nothing can be told now.
    pub(super) fn unavailable() -> Self {
        let message = "the service is not available now; try again";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "service_unavailable", "service_unavailable", message)
    }

    /// A fault of the server.
    pub(super) fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", "internal_error", "internal error")
    }

    /// The answer.
    pub(super) fn response(&self) -> Response<Body> {
        let error = ErrorBody {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: self.code,
        };
        json(self.status, &serde_json::json!({ "error": error }))
    }
}

/// A decision, as it is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    allow: bool,
    code: Option<&'static str>,
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ShownScope>,
    retry_after_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Principal<'a>>,
    model: Option<ShownModel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Vec<Limit>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<Remaining>,
    reservation_id: Option<entity::id::ReservationId>,
    lease_ttl_ms: Option<i64>,
    cache_ttl_ms: i64,
    decision_id: DecisionId,
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody<'a>>,
}

#[derive(Serialize)]
struct ShownScope {
    kind: entity::role::ScopeKind,
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Principal<'a> {
    key_id: Option<entity::id::ApiKeyId>,
    organization_id: Option<entity::id::OrganizationId>,
    team_id: Option<entity::id::TeamId>,
    project_id: Option<entity::id::ProjectId>,
    user_id: Option<entity::id::UserId>,
    end_user: Option<&'a str>,
    tags: &'a [String],
}

#[derive(Serialize)]
struct ShownModel<'a> {
    requested: &'a str,
    resolved: &'a str,
}

/// A limit that decided, with its numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    dimension: &'static str,
    scope: ShownScope,
    budget_id: entity::id::BudgetId,
    limit: Amount,
    remaining: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Amount {
    Usd(Usd),
    Count(u64),
}

/// The least that is left.
#[derive(Serialize)]
struct Remaining {
    usd: Option<Usd>,
}

fn limit(rule: &Rule) -> Option<Limit> {
    let scope = ShownScope { kind: rule.scope.kind, id: rule.scope.to_string() };
    match &rule.numbers {
        Numbers::Budget { budget, max, spent, reserved, resets_at, .. } => {
            let used = spent.checked_add(*reserved).unwrap_or(Usd::from_nanos(i64::MAX));
            Some(Limit {
                dimension: "USD",
                scope,
                budget_id: *budget,
                limit: Amount::Usd(*max),
                remaining: Amount::Usd(max.remaining_after(used)),
                resets_at: *resets_at,
                reset_ms: None,
            })
        }
        Numbers::Rate { budget, limit, remaining, reset_ms, .. } => Some(Limit {
            dimension: match rule.check {
                Check::TokenRate => "TOKENS_PER_MINUTE",
                Check::Parallel => "PARALLEL_REQUESTS",
                _ => "REQUESTS_PER_MINUTE",
            },
            scope,
            budget_id: *budget,
            limit: Amount::Count(*limit),
            remaining: Amount::Count(*remaining),
            resets_at: None,
            reset_ms: Some(*reset_ms),
        }),
        Numbers::None | Numbers::Expiry(_) | Numbers::Model(_) => None,
    }
}

fn decided(verdict: &Verdict, audience: Audience) -> Decided<'_> {
    let shown = verdict.code.map(shown);
    let told = verdict.code.map(Code::told);
    let detailed = audience == Audience::Gateway;
    // Whoever presents a key that is not in force is told the same, whatever the reason (SECURITY 5).
    let is_nobody = shown.as_ref().is_some_and(|shown| shown.status == StatusCode::UNAUTHORIZED);
    let hidden = is_nobody && !detailed;
    let principal = &verdict.principal;
    let code = if hidden { Some(Code::InvalidCredential) } else { verdict.code };
    let rules = verdict.decision.iter().flat_map(|decision| &decision.rules);
    let refused_by = verdict.refused_by().filter(|_| detailed);
    Decided {
        status: None,
        allow: verdict.is_allowed(),
        code: code.map(Code::word),
        message: match (verdict.code, detailed) {
            (None, _) => None,
            (Some(_), true) => Some(verdict.message()),
            (Some(code), false) => Some(code.told().to_owned()),
        },
        scope: refused_by
            .map(|rule| ShownScope { kind: rule.scope.kind, id: rule.scope.to_string() }),
        retry_after_ms: verdict.retry_after().map(|wait| wait.num_milliseconds()),
        principal: (principal.api_key.is_some() && !hidden).then(|| Principal {
            key_id: principal.api_key,
            organization_id: principal.organization,
            team_id: principal.team,
            project_id: principal.project,
            user_id: principal.user,
            end_user: principal.end_user.as_deref(),
            tags: &principal.tags,
        }),
        model: verdict
            .model
            .as_ref()
            .map(|model| ShownModel { requested: &model.requested, resolved: &model.resolved }),
        limits: detailed.then(|| rules.filter_map(limit).collect()),
        remaining: detailed.then(|| Remaining { usd: verdict.remaining() }),
        reservation_id: verdict.held.map(|held| held.id),
        lease_ttl_ms: verdict.held.map(|held| held.lasts.num_milliseconds()),
        cache_ttl_ms: verdict.lasts.num_milliseconds(),
        decision_id: verdict.id,
        revision: verdict.revision,
        error: shown.zip(told).map(|(shown, message)| ErrorBody {
            message,
            kind: shown.kind,
            param: shown.param,
            code: shown.code,
        }),
    }
}

/// The answer to a single check, with its status and headers.
pub(super) fn single(verdict: &Verdict, audience: Audience, names: &Headers) -> Response<Body> {
    let status = verdict.code.map_or(StatusCode::OK, |code| shown(code).status);
    let mut response = json(status, &decided(verdict, audience));
    let headers = response.headers_mut();
    if let Some(wait) = verdict.retry_after() {
        // Whole seconds, never too early.
        let seconds = wait.num_milliseconds().saturating_add(999).max(1_000) / 1_000;
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    names.write(headers, verdict, audience);
    response
}

/// The body of the answer to a batch.
#[derive(Serialize)]
struct Decisions<'a> {
    decisions: Vec<Decided<'a>>,
}

/// The answers to many checks. Each has the status that it would have by itself.
pub(super) fn batch(verdicts: &[Verdict], audience: Audience) -> Response<Body> {
    let one = |verdict| {
        let mut decided = decided(verdict, audience);
        let status = verdict.code.map_or(StatusCode::OK, |code| shown(code).status);
        decided.status = Some(status.as_u16());
        decided
    };
    json(StatusCode::OK, &Decisions { decisions: verdicts.iter().map(one).collect() })
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The names of the headers that tell a gateway whose call it is. It passes them on, and takes the same
/// names off what clients send.
#[derive(Debug)]
pub struct Headers {
    key: HeaderName,
    organization: HeaderName,
    team: HeaderName,
    project: HeaderName,
    user: HeaderName,
    end_user: HeaderName,
    tags: HeaderName,
    model: HeaderName,
    reservation: HeaderName,
    decision: HeaderName,
    remaining: HeaderName,
}

impl Headers {
    /// The names with a prefix, which is valid in a name.
    pub fn new(prefix: &str) -> Self {
        let name = |rest: &'static str| {
            HeaderName::from_bytes(format!("{prefix}{rest}").as_bytes())
                .unwrap_or(HeaderName::from_static(rest))
        };
        Self {
            key: name("key-id"),
            organization: name("org-id"),
            team: name("team-id"),
            project: name("project-id"),
            user: name("user-id"),
            end_user: name("end-user-id"),
            tags: name("tags"),
            model: name("model"),
            reservation: name("reservation-id"),
            decision: name("decision-id"),
            remaining: name("budget-remaining-usd"),
        }
    }

    fn write(&self, headers: &mut HeaderMap, verdict: &Verdict, audience: Audience) {
        let mut put = |name: &HeaderName, value: Option<String>| {
            let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
            if let Some(value) = value {
                headers.insert(name.clone(), value);
            }
        };
        put(&self.decision, Some(verdict.id.to_string()));
        if audience == Audience::Gateway {
            for (check, [limit, remaining, reset]) in &RATES {
                let tightest = tightest(verdict, *check);
                put(limit, tightest.map(|(most, ..)| most.to_string()));
                put(remaining, tightest.map(|(_, left, _)| left.to_string()));
                put(reset, tightest.map(|(.., reset_ms)| span(reset_ms)));
            }
        }
        if !verdict.is_allowed() {
            return;
        }
        let principal = &verdict.principal;
        put(&self.reservation, verdict.held.map(|held| held.id.to_string()));
        put(&self.key, principal.api_key.map(|id| id.to_string()));
        put(&self.organization, principal.organization.map(|id| id.to_string()));
        put(&self.team, principal.team.map(|id| id.to_string()));
        put(&self.project, principal.project.map(|id| id.to_string()));
        put(&self.user, principal.user.map(|id| id.to_string()));
        put(&self.end_user, principal.end_user.as_deref().map(escaped));
        let tags: Vec<_> = principal.tags.iter().map(|tag| escaped(tag)).collect();
        put(&self.tags, (!tags.is_empty()).then(|| tags.join(",")));
        put(&self.model, verdict.model.as_ref().map(|model| escaped(&model.resolved)));
        if audience == Audience::Gateway {
            put(&self.remaining, verdict.remaining().map(|usd| usd.to_string()));
        }
    }
}

/// The headers that clients of `OpenAI`'s API know, whatever the prefix of the others.
const RATES: [(Check, [HeaderName; 3]); 2] = [
    (
        Check::RequestRate,
        [
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
        ],
    ),
    (
        Check::TokenRate,
        [
            HeaderName::from_static("x-ratelimit-limit-tokens"),
            HeaderName::from_static("x-ratelimit-remaining-tokens"),
            HeaderName::from_static("x-ratelimit-reset-tokens"),
        ],
    ),
];

/// The limit of a kind of which the least is left: it, what is left, and in how many milliseconds all
/// of it is free again.
fn tightest(verdict: &Verdict, check: Check) -> Option<(u64, u64, u64)> {
    let rules = verdict.decision.iter().flat_map(|decision| &decision.rules);
    let standing = |rule: &Rule| match rule.numbers {
        Numbers::Rate { limit, remaining, reset_ms, .. } => Some((limit, remaining, reset_ms)),
        _ => None,
    };
    let standings = rules.filter(|rule| rule.check == check).filter_map(standing);
    standings.min_by_key(|(limit, remaining, _)| (*remaining, *limit))
}

/// A span of time as `OpenAI` writes it, such as `6m0s`, `1.5s` or `20ms`.
fn span(millis: u64) -> String {
    let (minutes, millis) = (millis / 60_000, millis % 60_000);
    if minutes == 0 && millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = match millis % 1_000 {
        0 => (millis / 1_000).to_string(),
        part => format!("{}.{part:03}", millis / 1_000).trim_end_matches('0').to_owned(),
    };
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

/// A text as a header can hold it: visible ASCII as it is, the rest, `%` and `,` as `%` and two digits
/// for each byte of UTF-8.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && byte != b',';
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_clients_read_them() {
        for (millis, text) in [
            (0, "0ms"),
            (20, "20ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (59_001, "59.001s"),
            (360_000, "6m0s"),
            (61_250, "1m1.25s"),
        ] {
            assert_eq!(span(millis), text);
        }
    }

    #[test]
    fn a_header_holds_any_text() {
        for (text, header) in [
            ("gpt-4o", "gpt-4o"),
            ("a b", "a%20b"),
            ("50%,x", "50%25%2Cx"),
            ("ä", "%C3%A4"),
            ("x\r\ny: z", "x%0D%0Ay:%20z"),
        ] {
            assert_eq!(escaped(text), header);
            assert!(HeaderValue::from_str(&escaped(text)).is_ok());
        }
    }
}
