//! What calls use and cost: reporting it, reading it, correcting it.

pub mod mutation;
pub mod object;
pub mod query;
pub mod spend;

pub use mutation::UsageMutation;
pub use object::UsageEvent;
pub use query::UsageQuery;
pub use spend::Spend;
pub(super) use spend::spend_of;
