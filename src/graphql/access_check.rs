//! Checks of calls in the API: the answer, and why.

mod object;
mod query;

pub use object::{
    AccessBudget, AccessDecision, AccessExplanation, AccessModel, AccessPrincipal, AccessRate,
    AccessRemedy, AccessRule, AccessScope,
};
pub use query::{
    AccessCallInput, AccessCheckInput, AccessEstimateInput, AccessExplainInput, AccessQuery,
};
