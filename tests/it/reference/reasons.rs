//! Why some rules of the reference have no test here.

/// Rule and reason, in one sentence each.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "T-NEW-2",
        "A database that is away is one condition for every operation, `SERVICE_UNAVAILABLE`; \
         `authentication` tests it once, before any operation runs.",
    ),
    (
        "T-NEW-21",
        "There are no statuses of single operations to convert: every error has a code of one \
         closed set, which `schema` and `http` test.",
    ),
    ("T-LIST-2", "As T-NEW-2: a database that is away is one condition for every operation."),
    (
        "T-LIST-5",
        "A row that cannot be parsed does not exist: members are typed rows with foreign keys, and \
         `migrations` compares the catalogue with the entities.",
    ),
];
