//! The roles that people hold, and the closed sets of words that rows store.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, DeriveActiveEnum,
            Serialize, Deserialize,
        )]
        #[sea_orm(rs_type = "String", db_type = "Text")]
        pub enum $name {
            $(
                $(#[$vdoc])*
                #[sea_orm(string_value = $text)]
                #[serde(rename = $text)]
                $variant,
            )*
        }
    )*};
}

words! {
    /// What a user may do on the whole platform.
    PlatformRole {
        /// Everything.
        Admin = "ADMIN",
        /// Reads everything, changes nothing.
        Viewer = "VIEWER",
        /// An ordinary person: own keys, own teams.
        User = "USER",
        /// An ordinary person who only reads.
        UserViewer = "USER_VIEWER",
    }

    /// What a user is in an organization.
    OrganizationRole {
        /// Manages the organization's teams, people and keys.
        Admin = "ADMIN",
        /// Belongs to the organization.
        Member = "MEMBER",
    }

    /// What a user is in a team.
    TeamRole {
        /// Looks after the team's people and keys.
        Admin = "ADMIN",
        /// Belongs to the team.
        Member = "MEMBER",
    }

    /// What a team may grant to its plain members.
    TeamMemberPermission {
        /// Make keys for themselves in the team.
        ApiKeyCreate = "API_KEY_CREATE",
    }

    /// Who an API key stands for.
    ApiKeyKind {
        /// A person.
        User = "USER",
        /// A team, whoever its members are.
        Service = "SERVICE",
        /// A gateway, which asks and reports.
        Gateway = "GATEWAY",
        /// The platform's administration.
        Admin = "ADMIN",
    }

    /// The level at which something was blocked; the same level or a higher one may unblock it.
    BlockLevel {
        /// By the owner.
        Owner = "OWNER",
        /// By a team admin.
        Team = "TEAM",
        /// By an organization admin.
        Organization = "ORGANIZATION",
        /// By a platform admin.
        Platform = "PLATFORM",
    }

    /// A kind of place to which budgets are assigned.
    ScopeKind {
        /// The platform: all calls.
        Platform = "PLATFORM",
        /// An organization.
        Organization = "ORGANIZATION",
        /// A team.
        Team = "TEAM",
        /// One user within one team.
        TeamMembership = "TEAM_MEMBERSHIP",
        /// A project of a team.
        Project = "PROJECT",
        /// A user, in every place.
        User = "USER",
        /// An API key.
        ApiKey = "API_KEY",
        /// An end user.
        EndUser = "END_USER",
        /// A tag.
        Tag = "TAG",
        /// What new members of a team start with; nothing counts here.
        TeamMemberDefault = "TEAM_MEMBER_DEFAULT",
        /// What new teams start with; nothing counts here.
        TeamDefault = "TEAM_DEFAULT",
        /// What new users start with; nothing counts here.
        UserDefault = "USER_DEFAULT",
        /// What end users start with, and what holds for those that nobody made.
        EndUserDefault = "END_USER_DEFAULT",
        /// What new keys of people and teams start with; nothing counts here.
        ApiKeyDefault = "API_KEY_DEFAULT",
    }

    /// Who says that an e-mail address is a user's.
    EmailConfirmation {
        /// The organization that manages the user, for itself.
        Organization = "ORGANIZATION",
        /// The platform, for everybody.
        Platform = "PLATFORM",
    }

    /// Where calls on behalf of an end user may be answered.
    EndUserRegion {
        /// In the European Union.
        Eu = "EU",
        /// In the United States of America.
        Us = "US",
    }

    /// How a budget that serves several scopes counts.
    Counting {
        /// Each scope has counters of its own: a tier.
        Each = "EACH",
        /// All scopes draw on the same counters: a pot.
        Shared = "SHARED",
    }

    /// What an entry of the ledger is.
    UsageKind {
        /// What a call used.
        Usage = "USAGE",
        /// A correction of that.
        Correction = "CORRECTION",
    }

    /// Where the cost of a call comes from.
    CostSource {
        /// The gateway reported it.
        Reported = "REPORTED",
        /// It was worked out from the prices of a model.
        ModelPrice = "MODEL_PRICE",
        /// It was worked out from the table of public prices.
        PriceTable = "PRICE_TABLE",
        /// Nobody knows a price: the call is recorded without a cost.
        Unpriced = "UNPRICED",
        /// A platform admin corrected it.
        Correction = "CORRECTION",
    }

    /// How much of a budget was spent when a warning is due.
    BudgetThreshold {
        /// The budget's own soft limit.
        SoftSpend = "SOFT_SPEND",
        /// Four fifths of the most that may be spent.
        NearMaxSpend = "NEAR_MAX_SPEND",
        /// All that may be spent.
        MaxSpend = "MAX_SPEND",
    }

    /// Who acted.
    ActorKind {
        /// The bootstrap admin key.
        Bootstrap = "BOOTSTRAP",
        /// A user, by a key.
        User = "USER",
        /// A team's service key.
        Service = "SERVICE",
        /// A gateway's key.
        Gateway = "GATEWAY",
        /// An admin key without a user.
        Admin = "ADMIN",
    }

    /// A kind of object that changes.
    EntityKind {
        /// An organization.
        Organization = "ORGANIZATION",
        /// A membership in an organization.
        OrganizationMembership = "ORGANIZATION_MEMBERSHIP",
        /// A team.
        Team = "TEAM",
        /// A membership in a team.
        TeamMembership = "TEAM_MEMBERSHIP",
        /// A project.
        Project = "PROJECT",
        /// A user.
        User = "USER",
        /// A budget.
        Budget = "BUDGET",
        /// An API key.
        ApiKey = "API_KEY",
        /// An end user.
        EndUser = "END_USER",
        /// A tag.
        Tag = "TAG",
        /// The settings of the platform.
        Settings = "SETTINGS",
        /// A model.
        Model = "MODEL",
        /// A credential of a provider.
        Credential = "CREDENTIAL",
        /// An access group.
        AccessGroup = "ACCESS_GROUP",
        /// An entry of the ledger.
        UsageEvent = "USAGE_EVENT",
        /// A warning that a budget raised.
        BudgetAlert = "BUDGET_ALERT",
        /// The platform as a whole.
        Platform = "PLATFORM",
    }
}

impl PlatformRole {
    /// Whether it gives no power over the platform, nor sight of all of it.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Self::User | Self::UserViewer)
    }
}
