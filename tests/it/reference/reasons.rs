//! Why some rules of the reference have no test here.

/// Rule and reason, in one sentence each.
pub(super) const REASONS: &[(&str, &str)] = &[
    (
        "T-LIST-5",
        "A row that cannot be parsed does not exist: members are typed rows with foreign keys, and \
         `migrations` compares the catalogue with the entities.",
    ),
    (
        "MD-NEW-1",
        "There is no server without a database, and no switch that turns storing models off.",
    ),
    ("MD-PATCH-1", "There is no configuration file with models: every model is a row."),
    (
        "MD-NEW-8",
        "There is no router to reload and no alert to send: gateways follow the change log, which is \
         written in the transaction of the model.",
    ),
];
