//! Values that several nouns share: model access, words for roles and blocks.

use async_graphql::{Enum, InputObject, SimpleObject};
use entity::role;
use entity::value;

use crate::domain::{Cascade as DomainCascade, Change};

/// What a user may do on the whole platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::PlatformRole")]
pub enum PlatformRole {
    /// Everything.
    Admin,
    /// Reads everything, changes nothing.
    Viewer,
    /// An ordinary person: own keys, own teams.
    User,
    /// An ordinary person who only reads.
    UserViewer,
}

/// What a user is in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::OrganizationRole")]
pub enum OrganizationRole {
    /// Looks after the organization's teams, people and keys.
    Admin,
    /// Belongs to the organization.
    Member,
}

/// What a user is in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::TeamRole")]
pub enum TeamRole {
    /// Looks after the team's people and keys.
    Admin,
    /// Belongs to the team.
    Member,
}

/// What a team may grant to its plain members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::TeamMemberPermission")]
pub enum TeamMemberPermission {
    /// Make keys for themselves in the team.
    ApiKeyCreate,
}

/// The level at which something was blocked; the same level or a higher one may unblock it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::BlockLevel")]
pub enum BlockLevel {
    /// By the owner.
    Owner,
    /// By a team admin.
    Team,
    /// By an organization admin.
    Organization,
    /// By a platform admin.
    Platform,
}

/// Who an API key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::ApiKeyKind")]
pub enum ApiKeyKind {
    /// A person.
    User,
    /// A team, whoever its members are.
    Service,
    /// A gateway, which asks and reports.
    Gateway,
    /// The platform's administration.
    Admin,
}

/// How a budget that serves several scopes counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::Counting")]
pub enum Counting {
    /// Each scope has counters of its own: a tier.
    Each,
    /// All scopes draw on the same counters: a pot.
    Shared,
}

/// A kind of place to which budgets are assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::ScopeKind")]
pub enum ScopeKind {
    /// The platform: all calls.
    Platform,
    /// An organization.
    Organization,
    /// A team.
    Team,
    /// One user within one team.
    TeamMembership,
    /// A project of a team.
    Project,
    /// A user, in every place.
    User,
    /// An API key.
    ApiKey,
    /// An end user.
    EndUser,
    /// A tag.
    Tag,
    /// What new members of a team start with; nothing counts here.
    TeamMemberDefault,
    /// What new teams start with; nothing counts here.
    TeamDefault,
    /// What new users start with; nothing counts here.
    UserDefault,
    /// What end users start with, and what holds for those that nobody made.
    EndUserDefault,
    /// What new keys of people and teams start with; nothing counts here.
    ApiKeyDefault,
}

/// How much of a budget was spent when a warning is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::BudgetThreshold")]
pub enum BudgetThreshold {
    /// The budget's `softSpend`.
    SoftSpend,
    /// Four fifths of what may be spent.
    NearMaxSpend,
    /// All that may be spent.
    MaxSpend,
}

/// What an entry of the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::UsageKind")]
pub enum UsageKind {
    /// What a call used.
    Usage,
    /// A correction of that.
    Correction,
}

/// Where the cost of a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::CostSource")]
pub enum CostSource {
    /// The gateway reported it.
    Reported,
    /// It was worked out from the prices of a model.
    ModelPrice,
    /// It was worked out from the table of public prices.
    PriceTable,
    /// Nobody knows a price: the call is recorded without a cost.
    Unpriced,
    /// A platform admin corrected it.
    Correction,
}

/// Who says that an e-mail address is a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::EmailConfirmation")]
pub enum EmailConfirmation {
    /// The organization that manages the user, for itself: its teams find the user by the address.
    Organization,
    /// The platform: everybody finds the user by the address.
    Platform,
}

/// Where calls on behalf of an end user may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::EndUserRegion")]
pub enum EndUserRegion {
    /// In the European Union.
    Eu,
    /// In the United States of America.
    Us,
}

/// What kind of credential acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::ActorKind")]
pub enum ActorKind {
    /// The bootstrap admin key.
    Bootstrap,
    /// A user, by a key.
    User,
    /// A team's service key.
    Service,
    /// A gateway's key.
    Gateway,
    /// An admin key without a user.
    Admin,
}

/// A kind of object that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "role::EntityKind")]
pub enum EntityKind {
    /// An organization.
    Organization,
    /// A membership in an organization.
    OrganizationMembership,
    /// A team.
    Team,
    /// A membership in a team.
    TeamMembership,
    /// A project.
    Project,
    /// A user.
    User,
    /// A budget.
    Budget,
    /// An API key.
    ApiKey,
    /// An end user.
    EndUser,
    /// A tag.
    Tag,
    /// The settings of the platform.
    Settings,
    /// A model.
    Model,
    /// A credential of a provider.
    Credential,
    /// An access group.
    AccessGroup,
    /// An entry of the ledger.
    UsageEvent,
    /// A warning that a budget raised.
    BudgetAlert,
    /// The platform as a whole.
    Platform,
}

/// How a list of models is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "value::ModelAccessMode")]
pub enum ModelAccessMode {
    /// Every model that the scopes above allow.
    All,
    /// No model.
    None,
    /// The models and access groups that are listed.
    List,
}

/// Which models may be called, of those that the scopes above allow.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelAccess {
    /// How the lists are to be read.
    mode: ModelAccessMode,
    /// Names of models, where `*` stands for any text; empty unless the mode is `LIST`.
    models: Vec<String>,
    /// Names of access groups; empty unless the mode is `LIST`.
    access_groups: Vec<String>,
}

impl From<value::ModelAccess> for ModelAccess {
    fn from(access: value::ModelAccess) -> Self {
        Self {
            mode: access.mode.into(),
            models: access.models,
            access_groups: access.access_groups,
        }
    }
}

/// Which models may be called, of those that the scopes above allow.
#[derive(Clone, Debug, InputObject)]
pub struct ModelAccessInput {
    /// How the lists are to be read. An empty list never means "all": say `ALL`, or `NONE`.
    pub mode: ModelAccessMode,
    /// Names of models, where `*` stands for any text; with `LIST` alone, at most 500.
    #[graphql(default)]
    pub models: Vec<String>,
    /// Names of access groups, which must exist; with `LIST` alone, at most 500.
    #[graphql(default)]
    pub access_groups: Vec<String>,
}

impl From<ModelAccessInput> for value::ModelAccess {
    fn from(input: ModelAccessInput) -> Self {
        Self {
            mode: input.mode.into(),
            models: crate::domain::field::distinct(input.models).0,
            access_groups: crate::domain::field::distinct(input.access_groups).0,
        }
    }
}

/// What happens to scopes below that would exceed a lowered limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum Cascade {
    /// The change is refused, and the scopes are named in `ids` of the error.
    #[default]
    Refuse,
    /// They are lowered in the same transaction.
    Clamp,
}

impl From<Cascade> for DomainCascade {
    fn from(cascade: Cascade) -> Self {
        match cascade {
            Cascade::Refuse => Self::Refuse,
            Cascade::Clamp => Self::Clamp,
        }
    }
}

/// What an input says of a field, in the words of the domain.
pub(super) fn change<T, U>(
    value: async_graphql::MaybeUndefined<T>,
    into: impl FnOnce(T) -> U,
) -> Change<U> {
    match value {
        async_graphql::MaybeUndefined::Undefined => Change::Keep,
        async_graphql::MaybeUndefined::Null => Change::Clear,
        async_graphql::MaybeUndefined::Value(value) => Change::Set(into(value)),
    }
}

/// The same, for a value that is the same in both words.
pub(super) fn same<T>(value: async_graphql::MaybeUndefined<T>) -> Change<T> {
    change(value, |value| value)
}
