//! Users in the API.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::UserMutation;
pub use object::User;
pub use query::UserQuery;
pub(super) use query::team_ids;
