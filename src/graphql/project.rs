//! Projects in the API.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::ProjectMutation;
pub use object::Project;
pub use query::ProjectQuery;
pub(super) use query::project_ids;
