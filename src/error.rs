//! The one error of the crate: what went wrong, in terms that a caller can act on.
//!
//! Messages are sentences for people, without a closing period. They never hold SQL, secrets or
//! anything about objects that the caller may not see; causes are kept for the log alone.

use sea_orm::{DbErr, RuntimeErr};

use crate::authz::Permission;

/// One fault in the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the input field, such as `input.budgets.0.maxSpend`.
    pub field: String,
    /// What to do about it.
    pub message: String,
}

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No credential, or one that is not valid (any more).
    #[error("a valid API key is required")]
    Unauthenticated,
    /// The caller may see the object, and may not do this to it.
    #[error("this needs the permission {permission}")]
    Forbidden {
        /// The permission that is missing.
        permission: Permission,
    },
    /// The object does not exist, or the caller may not see it: the same answer for both.
    #[error("no such {noun}")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// The input field that named it.
        field: Option<String>,
    },
    /// The input breaks a rule.
    #[error("{}", .0.first().map_or("the input is not valid", |fault| fault.message.as_str()))]
    BadInput(Vec<Fault>),
    /// A unique value is taken.
    #[error("{message}")]
    AlreadyExists {
        /// The input field whose value is taken.
        field: String,
        /// Which value, of what.
        message: String,
    },
    /// The input is sound and impossible now.
    #[error("{message}")]
    Conflict {
        /// What stands in the way.
        message: String,
        /// The objects that stand in the way, at most 20.
        ids: Vec<String>,
    },
    /// What an object belongs to was changed by somebody else between two looks at it.
    #[error("somebody else moved this at the same time; try again")]
    Moved,
    /// A limit of a parent or of the creator would be exceeded.
    #[error("{message}")]
    LimitExceeded {
        /// The input field that asks for too much.
        field: String,
        /// Which limit, and its value where the caller may know it.
        message: String,
    },
    /// Something that is needed is away; the same request may succeed later.
    #[error("the service is not available now; try again")]
    Unavailable,
    /// A write that did not end in time, and was rolled back.
    #[error("this took too long, and nothing of it was kept; ask for less, or try again")]
    TooLate,
    /// The database refused a statement.
    #[error("internal error")]
    Database(#[from] DbErr),
    /// Anything else.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the database error of a statement says whose answer did not come before the deadline.
pub(crate) const LATE: &str = "the deadline of the request has passed";

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// One fault in one input field.
    pub fn input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput(vec![Fault { field: field.into(), message: message.into() }])
    }

    /// A limit that one input field exceeds.
    pub fn limit(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::LimitExceeded { field: field.into(), message: message.into() }
    }

    /// Something in the way, without naming objects.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict { message: message.into(), ids: Vec::new() }
    }

    /// An error that only the log explains.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// Names the input field of a "not found".
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        match self {
            Self::NotFound { noun, .. } => Self::NotFound { noun, field: Some(field.into()) },
            other => other,
        }
    }

    /// The same about one item of a list in the input: `input.name` is `input.keys.3.name` there.
    #[must_use]
    pub fn in_item(self, list: &str, index: usize) -> Self {
        let within = |field: String| match field.strip_prefix("input") {
            Some(rest) => format!("input.{list}.{index}{rest}"),
            None => field,
        };
        match self {
            Self::NotFound { noun, field } => Self::NotFound { noun, field: field.map(within) },
            Self::BadInput(faults) => Self::BadInput(
                faults
                    .into_iter()
                    .map(|fault| Fault { field: within(fault.field), ..fault })
                    .collect(),
            ),
            Self::AlreadyExists { field, message } => {
                Self::AlreadyExists { field: within(field), message }
            }
            Self::LimitExceeded { field, message } => {
                Self::LimitExceeded { field: within(field), message }
            }
            other => other,
        }
    }

    /// Whether a read did not end in time.
    pub fn is_late_read(&self) -> bool {
        matches!(self, Self::Database(DbErr::Custom(text)) if text == LATE)
    }

    /// Whether the same transaction may succeed when it is tried again: serialization failure,
    /// deadlock, a lock that was waited for in vain, a busy database file, something that moved.
    pub fn is_transient(&self) -> bool {
        if matches!(self, Self::Moved) {
            return true;
        }
        let Self::Database(error) = self else { return false };
        matches!(
            database_code(error).as_deref(),
            Some("40001" | "40P01" | "55P03" | "5" | "261" | "517")
        )
    }

    /// Whether the database is away, too busy or too slow, rather than wrong.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unavailable => true,
            Self::Database(DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) => true,
            Self::Database(error) => match database_code(error).as_deref() {
                Some(code) => match sqlite_result(code) {
                    // Busy, locked, read-only, trouble with the disk, full, cannot be opened.
                    Some(result) => matches!(result, 5 | 6 | 8 | 10 | 13 | 14),
                    None => {
                        ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                            || ["55P03", "25P03", "40001", "40P01"].contains(&code)
                    }
                },
                None => is_connection_failure(error),
            },
            _ => false,
        }
    }
}

/// The primary result of a code of SQLite; a SQLSTATE has five characters, and is none.
fn sqlite_result(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff)
}

fn runtime_error(error: &DbErr) -> Option<&sea_orm::sqlx::Error> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))
        | DbErr::Conn(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// The database's own code of an error: a SQLSTATE on PostgreSQL, a result code on SQLite.
pub(crate) fn database_code(error: &DbErr) -> Option<String> {
    Some(runtime_error(error)?.as_database_error()?.code()?.into_owned())
}

/// The text of a unique violation: a constraint's name on PostgreSQL, columns on SQLite.
pub(crate) fn unique_violation(error: &DbErr) -> Option<String> {
    let error = runtime_error(error)?.as_database_error()?;
    error
        .is_unique_violation()
        .then(|| error.constraint().map_or_else(|| error.message().to_owned(), str::to_owned))
}

fn is_connection_failure(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error as Sqlx;
    matches!(
        runtime_error(error),
        Some(
            Sqlx::Io(_)
                | Sqlx::PoolTimedOut
                | Sqlx::PoolClosed
                | Sqlx::WorkerCrashed
                | Sqlx::Tls(_)
        )
    )
}
