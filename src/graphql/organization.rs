//! Organizations in the API.

pub mod member;
pub mod mutation;
pub mod object;
pub mod query;

pub use member::OrganizationMembership;
pub use mutation::OrganizationMutation;
pub use object::Organization;
pub use query::OrganizationQuery;
