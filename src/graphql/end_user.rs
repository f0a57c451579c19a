//! End users in the API.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::EndUserMutation;
pub use object::EndUser;
pub use query::EndUserQuery;
