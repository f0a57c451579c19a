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
    ("AC-10", "There are no tokens of other issuers: every caller presents a key of its own."),
    (
        "AC-13",
        "No look-up makes a user: people are made by mutations, and a key without its owner calls \
         nothing.",
    ),
    (
        "AC-14",
        "Facts of a key are read together along foreign keys, so that a team of a key is there; nobody \
         is told to make one.",
    ),
    ("AC-15", "As for teams: an organization of a team is there."),
    (
        "AC-17",
        "Look-ups are not traced, and most checks make none; how many statements one cost stands in its \
         header `server-timing`.",
    ),
    (
        "C-A6",
        "What is kept lies in a cache of its own for each kind of thing, under typed keys: the id of a \
         team is no key of the cache of users.",
    ),
    ("C-A8", "Nothing is made by looking it up, so that nobody can be second at it."),
    ("C-A16", "As for AC-17: there are no traces that could tell of successes alone."),
];
