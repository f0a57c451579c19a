//! API keys in the API. A secret is in the answer that makes it, and nowhere else.

pub mod aliases;
pub mod bulk;
pub mod mutation;
pub mod object;
pub mod query;

pub use aliases::ApiKeyModelAliasMutation;
pub use bulk::ApiKeyBulkMutation;
pub use mutation::ApiKeyMutation;
pub use object::ApiKey;
pub use query::ApiKeyQuery;
