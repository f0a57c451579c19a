//! Why some rules of the reference have no test here.

/// Rule and reason, in one sentence each.
pub(super) const REASONS: &[(&str, &str)] = &[];
