//! Tags in the API.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::TagMutation;
pub use object::Tag;
pub use query::TagQuery;
