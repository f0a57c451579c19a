//! Models in the API.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::ModelMutation;
pub use object::Model;
pub use query::ModelQuery;
