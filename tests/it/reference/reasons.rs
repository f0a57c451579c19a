//! Why some rules of the reference have no test here.

/// Rule and reason, in one sentence each.
pub(super) const REASONS: &[(&str, &str)] = &[(
    "T-LIST-5",
    "A row that cannot be parsed does not exist: members are typed rows with foreign keys, and \
     `migrations` compares the catalogue with the entities.",
)];
