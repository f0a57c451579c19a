//! Credentials in the API. Their values go in, and have no output.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::CredentialMutation;
pub use object::Credential;
pub use query::CredentialQuery;
