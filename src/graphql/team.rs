//! Teams in the API.

pub mod bulk;
pub mod member;
pub mod moving;
pub mod mutation;
pub mod object;
pub mod query;

pub use bulk::TeamMemberBulkMutation;
pub use member::TeamMembership;
pub(super) use member::{TeamMemberDefaultsInput, TeamMemberInput, UserRefInput};
pub use moving::TeamMoveMutation;
pub use mutation::TeamMutation;
pub(super) use mutation::count;
pub use object::Team;
pub use query::TeamQuery;
pub(super) use query::{check_search, user_id};
