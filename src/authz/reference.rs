//! How callers name an object: by our id, or by the external id that they chose.

use entity::id::{self, Id};
use uuid::Uuid;

/// The most characters an external id may have.
pub const EXTERNAL_ID_LENGTH: usize = 128;

/// What a caller wrote where an id is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// An id of ours: the prefix of the noun, and the UUID.
    Id(String, Uuid),
    /// Anything else: an external id.
    External(String),
}

impl Reference {
    /// Reads what a caller wrote. What cannot be an external id names nothing: no database is asked
    /// for a text that it could not hold.
    pub fn parse(text: &str) -> Self {
        match id::split(text) {
            Some((prefix, uuid)) => Self::Id(prefix.to_owned(), uuid),
            None if text.contains('\0') || text.chars().count() > EXTERNAL_ID_LENGTH => {
                Self::Id(String::new(), Uuid::nil())
            }
            None => Self::External(text.to_owned()),
        }
    }

    /// A reference to an object by its id.
    pub fn to<T: Id>(id: T) -> Self {
        Self::Id(T::PREFIX.to_owned(), id.uuid())
    }

    /// The id of the given noun; none for an external id or an id of another noun.
    pub fn id<T: Id>(&self) -> Option<T> {
        match self {
            Self::Id(prefix, uuid) if prefix == T::PREFIX => Some(T::from_uuid(*uuid)),
            _ => None,
        }
    }

    /// The external id.
    pub fn external(&self) -> Option<&str> {
        match self {
            Self::External(text) => Some(text),
            Self::Id(..) => None,
        }
    }
}
