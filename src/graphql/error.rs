//! Errors as the API shows them: a sentence, a code, the input field, the request's id.
//!
//! [`ApiError`] has no `Display` on purpose: the library turns every type with one into an API
//! error, and a bare `?` on a database error would ship SQL to the caller. An error that is not an
//! [`Error`] does not compile here.

use std::sync::Arc;

use async_graphql::{Enum, ErrorExtensionValues, Value};

use crate::error::Error;

/// What went wrong, for programs. New codes may be added: treat an unknown one as an internal error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ErrorCode {
    /// The HTTP request is not a GraphQL request: broken JSON, a missing query.
    BadRequest,
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document does not fit the schema.
    GraphqlValidationFailed,
    /// The document has several operations, and `operationName` names none of them.
    OperationResolutionFailure,
    /// An argument or variable breaks a rule; `field` is its path.
    BadUserInput,
    /// The persisted document is not known.
    PersistedQueryNotFound,
    /// Persisted documents are not accepted.
    PersistedQueryNotSupported,
    /// A valid API key is required.
    Unauthenticated,
    /// You may see the object, and may not do this to it.
    Forbidden,
    /// There is no such object, or you may not see it.
    NotFound,
    /// A unique value is taken.
    AlreadyExists,
    /// The request is sound and impossible now: a stale version, something in the way.
    Conflict,
    /// A limit of a parent, or of your own, would be exceeded.
    LimitExceeded,
    /// Too many requests; try again later.
    RateLimited,
    /// The document asks for too much at once.
    QueryTooComplex,
    /// This took too long. Of a mutation that answers so at its own path, nothing was kept; other
    /// mutations of the document stand, each by its own answer.
    Timeout,
    /// A fault of the server; report the request id.
    InternalServerError,
    /// Something that is needed is away; try again.
    ServiceUnavailable,
}

impl ErrorCode {
    /// The word that is sent.
    pub fn word(self) -> String {
        match async_graphql::resolver_utils::enum_value(self) {
            Value::Enum(name) => name.to_string(),
            other => other.to_string(),
        }
    }
}

impl From<&Error> for ErrorCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::Unauthenticated => Self::Unauthenticated,
            Error::Forbidden { .. } => Self::Forbidden,
            Error::NotFound { .. } => Self::NotFound,
            Error::BadInput(_) => Self::BadUserInput,
            Error::AlreadyExists { .. } => Self::AlreadyExists,
            Error::Conflict { .. } | Error::Overtaken => Self::Conflict,
            Error::LimitExceeded { .. } => Self::LimitExceeded,
            Error::TooLate => Self::Timeout,
            error if error.is_late_read() => Self::Timeout,
            error if error.is_unavailable() => Self::ServiceUnavailable,
            Error::Unavailable | Error::Database(_) | Error::Internal(_) => {
                Self::InternalServerError
            }
        }
    }
}

/// An error of a resolver.
#[derive(Clone, Debug)]
pub struct ApiError(Arc<Error>);

/// The result of a resolver.
pub type ApiResult<T> = Result<T, ApiError>;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl ApiError {
    /// The faults before the last: one error of the answer each. The last is the error itself, so
    /// that they come in the order of the input.
    pub(super) fn earlier(&self) -> Vec<async_graphql::Error> {
        match self.0.as_ref() {
            Error::BadInput(faults) => faults
                .iter()
                .take(faults.len().saturating_sub(1))
                .map(|fault| input_error(&fault.message, Some(&fault.field)))
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn input_error(message: &str, field: Option<&str>) -> async_graphql::Error {
    let mut error = async_graphql::Error::new(message);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", ErrorCode::BadUserInput.word());
    if let Some(field) = field {
        extensions.set("field", field);
    }
    error.extensions = Some(extensions);
    error
}

impl From<ApiError> for async_graphql::Error {
    fn from(error: ApiError) -> Self {
        let error = error.0;
        let code = ErrorCode::from(error.as_ref());
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", code.word());
        let mut message = error.to_string();
        match error.as_ref() {
            Error::BadInput(faults) => {
                if let Some(last) = faults.last() {
                    message.clone_from(&last.message);
                }
                return input_error(&message, faults.last().map(|fault| fault.field.as_str()));
            }
            Error::NotFound { field: Some(field), .. }
            | Error::AlreadyExists { field, .. }
            | Error::LimitExceeded { field, .. } => extensions.set("field", field.as_str()),
            Error::Forbidden { permission } => {
                extensions.set("permission", permission.to_string());
            }
            Error::Conflict { ids, .. } if !ids.is_empty() => {
                extensions.set("ids", ids.iter().cloned().map(Value::from).collect::<Vec<_>>());
            }
            _ => {}
        }
        if matches!(error.as_ref(), Error::Database(_) | Error::Internal(_) | Error::Unavailable) {
            if code == ErrorCode::Timeout {
                "this took too long to read; ask for less, or try again".clone_into(&mut message);
                tracing::warn!(error = ?error, "a read did not end before the deadline");
            } else if code == ErrorCode::ServiceUnavailable {
                message = Error::Unavailable.to_string();
                tracing::warn!(error = ?error, "the database did not answer in time");
            } else {
                tracing::error!(error = ?error, "a request met a fault of the server");
            }
        }
        let mut shown = Self::new(message);
        shown.extensions = Some(extensions);
        shown
    }
}

impl From<Arc<Error>> for ApiError {
    fn from(error: Arc<Error>) -> Self {
        Self(error)
    }
}
