//! What a step may say, and how it is drawn. Parts that its verb has no use for are ignored.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    /// The bootstrap admin key.
    Admin,
    /// One of the people, with a key that is limited by nothing.
    Person(u8),
    /// A key that some step made.
    Key(u8),
}

/// What is asked: a mutation, or a kind of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    OrganizationCreate,
    OrganizationUpdate,
    OrganizationDelete,
    OrganizationMemberAdd,
    OrganizationMemberUpdate,
    OrganizationMemberRemove,
    TeamCreate,
    TeamUpdate,
    TeamMemberDefaults,
    TeamMove,
    TeamDelete,
    TeamModelAdd,
    TeamModelRemove,
    TeamModelAliasSet,
    TeamJoin,
    TeamMemberAdd,
    TeamMemberUpdate,
    TeamMemberBulkUpdate,
    TeamMemberRemove,
    ProjectCreate,
    ProjectUpdate,
    ProjectMove,
    ProjectDelete,
    ApiKeyCreate,
    ApiKeyUpdate,
    ApiKeyBulkUpdate,
    ApiKeyRotate,
    ApiKeyModelAliasSet,
    ApiKeyDelete,
    UserCreate,
    UserUpdate,
    UserDelete,
    BudgetCreate,
    BudgetUpdate,
    BudgetDelete,
    SettingsUpdate,
    ModelCreate,
    ModelUpdate,
    ModelDelete,
    CredentialCreate,
    CredentialDelete,
    AccessGroupCreate,
    AccessGroupUpdate,
    AccessGroupDelete,
    TagCreate,
    TagUpdate,
    TagDelete,
    EndUserCreate,
    EndUserUpdate,
    EndUserDelete,
}

/// How often each is drawn.
const VERBS: &[(usize, Verb)] = &[
    (3, Verb::TeamCreate),
    (6, Verb::TeamUpdate),
    (2, Verb::TeamMemberDefaults),
    (5, Verb::TeamMove),
    (1, Verb::TeamDelete),
    (2, Verb::TeamModelAdd),
    (3, Verb::TeamModelRemove),
    (1, Verb::TeamModelAliasSet),
    (1, Verb::TeamJoin),
    (4, Verb::TeamMemberAdd),
    (4, Verb::TeamMemberUpdate),
    (2, Verb::TeamMemberBulkUpdate),
    (2, Verb::TeamMemberRemove),
    (1, Verb::OrganizationCreate),
    (4, Verb::OrganizationUpdate),
    (1, Verb::OrganizationDelete),
    (2, Verb::OrganizationMemberAdd),
    (1, Verb::OrganizationMemberUpdate),
    (1, Verb::OrganizationMemberRemove),
    (4, Verb::ProjectCreate),
    (4, Verb::ProjectUpdate),
    (4, Verb::ProjectMove),
    (1, Verb::ProjectDelete),
    (6, Verb::ApiKeyCreate),
    (5, Verb::ApiKeyUpdate),
    (2, Verb::ApiKeyBulkUpdate),
    (1, Verb::ApiKeyRotate),
    (1, Verb::ApiKeyModelAliasSet),
    (1, Verb::ApiKeyDelete),
    (1, Verb::UserCreate),
    (2, Verb::UserUpdate),
    (1, Verb::UserDelete),
    (2, Verb::BudgetCreate),
    (3, Verb::BudgetUpdate),
    (1, Verb::BudgetDelete),
    (2, Verb::SettingsUpdate),
    (3, Verb::ModelCreate),
    (1, Verb::ModelUpdate),
    (2, Verb::ModelDelete),
    (1, Verb::CredentialCreate),
    (1, Verb::CredentialDelete),
    (1, Verb::AccessGroupCreate),
    (1, Verb::AccessGroupUpdate),
    (1, Verb::AccessGroupDelete),
    (1, Verb::TagCreate),
    (1, Verb::TagUpdate),
    (1, Verb::TagDelete),
    (1, Verb::EndUserCreate),
    (1, Verb::EndUserUpdate),
    (1, Verb::EndUserDelete),
];

/// All verbs, once each.
pub(super) fn verbs() -> impl Iterator<Item = Verb> {
    VERBS.iter().map(|(_, verb)| *verb)
}

/// Which models; the lists are bits, one for each name that there may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    All,
    None,
    List { models: u8, groups: u8 },
}

/// Limits; each number is a place in a short table.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) max: Option<u8>,
    pub(super) soft: bool,
    pub(super) period: u8,
    pub(super) requests: Option<u8>,
    pub(super) tokens: Option<u8>,
    pub(super) parallel: Option<u8>,
    pub(super) pattern: u8,
}

/// An entry of a list of budgets.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Create(Limits),
    /// Some budget that exists, in force here or not.
    Attach {
        pick: u8,
        shared: Option<bool>,
    },
    /// A budget that the scope has.
    Edit {
        pick: u8,
        limits: Limits,
    },
}

/// The budgets that a scope is to have.
#[derive(Clone, Debug)]
pub(super) struct Budgets {
    /// Whether those that it has stay.
    pub(super) keep: bool,
    pub(super) entries: Vec<Entry>,
}

/// One step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) who: Who,
    pub(super) verb: Verb,
    /// Which of the things that there are.
    pub(super) picks: [u8; 3],
    pub(super) access: Option<Access>,
    pub(super) budgets: Option<Budgets>,
    pub(super) limits: Limits,
    pub(super) clamp: bool,
    pub(super) flags: [bool; 2],
    pub(super) word: u8,
}

/// A random step.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let verbs: Vec<_> =
        VERBS.iter().flat_map(|(times, verb)| std::iter::repeat_n(*verb, *times)).collect();
    let parts = (
        who(),
        select(verbs),
        any::<[u8; 3]>(),
        of(access()),
        of(budgets()),
        limits(),
        any::<bool>(),
        any::<[bool; 2]>(),
        any::<u8>(),
    );
    parts.prop_map(|(who, verb, picks, access, budgets, limits, clamp, flags, word)| Step {
        who,
        verb,
        picks,
        access,
        budgets,
        limits,
        clamp,
        flags,
        word,
    })
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        5 => Just(Who::Admin),
        4 => any::<u8>().prop_map(Who::Person),
        2 => any::<u8>().prop_map(Who::Key),
    ]
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        2 => Just(Access::All),
        1 => Just(Access::None),
        5 => (any::<u8>(), 0..4_u8).prop_map(|(models, groups)| Access::List { models, groups }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = || of(any::<u8>());
    let rest = (rate(), rate(), rate(), any::<u8>());
    let all = (proptest::option::weighted(0.8, any::<u8>()), any::<bool>(), any::<u8>(), rest);
    all.prop_map(|(max, soft, period, (requests, tokens, parallel, pattern))| Limits {
        max,
        soft,
        period,
        requests,
        tokens,
        parallel,
        pattern,
    })
}

fn budgets() -> impl Strategy<Value = Budgets> {
    let entry = prop_oneof![
        5 => limits().prop_map(Entry::Create),
        3 => (any::<u8>(), of(any::<bool>())).prop_map(|(pick, shared)| Entry::Attach { pick, shared }),
        3 => (any::<u8>(), limits()).prop_map(|(pick, limits)| Entry::Edit { pick, limits }),
    ];
    (any::<bool>(), vec(entry, 0..3)).prop_map(|(keep, entries)| Budgets { keep, entries })
}
