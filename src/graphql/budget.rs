//! Budgets in the API.

pub mod mutation;
pub mod object;
pub mod query;

pub use mutation::BudgetMutation;
pub(crate) use mutation::{ScopeBudgetInput, entries};
pub use object::{Budget, BudgetAssignment};
pub use query::BudgetQuery;
