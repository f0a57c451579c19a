//! What can be refused: one permission per thing that somebody may or may not do.

use async_graphql::Enum;
use sea_orm::EnumIter;

/// One thing that a caller may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enum, EnumIter)]
pub enum Permission {
    /// Ask who one is.
    ViewerRead,
    /// Read the schema through introspection.
    SchemaRead,
    /// Make organizations.
    OrganizationCreate,
    /// See organizations.
    OrganizationRead,
    /// See what people in an organization's teams do not: its metadata and its budgets.
    OrganizationDetailRead,
    /// Change an organization's name and metadata.
    OrganizationUpdate,
    /// Change an organization's budgets, model access and external id.
    OrganizationLimitUpdate,
    /// Delete organizations with everything in them.
    OrganizationDelete,
    /// Make users members and admins of an organization.
    OrganizationMemberAdd,
    /// Make members of an organization admins, and admins members.
    OrganizationMemberUpdate,
    /// Remove members from an organization and from its teams.
    OrganizationMemberRemove,
    /// Make teams.
    TeamCreate,
    /// See teams.
    TeamRead,
    /// See what a team's ordinary members do not: its budgets, its metadata, its members' limits.
    TeamDetailRead,
    /// Change a team's name, external id, metadata, tags, aliases and settings.
    TeamUpdate,
    /// Change a team's budgets and model access.
    TeamLimitUpdate,
    /// Delete teams.
    TeamDelete,
    /// Move teams into an organization, or out of it.
    TeamMove,
    /// Block and unblock teams.
    TeamBlock,
    /// Join a team that anybody may join.
    TeamJoin,
    /// Add members to a team.
    TeamMemberAdd,
    /// Remove members from a team; everybody may remove themselves.
    TeamMemberRemove,
    /// Change the budgets and the model access of a team's members.
    TeamMemberLimitUpdate,
    /// Make members team admins, and admins members.
    TeamMemberRoleUpdate,
    /// Make projects.
    ProjectCreate,
    /// See projects.
    ProjectRead,
    /// See what ordinary members do not see of a project: its metadata and object permissions.
    ProjectDetailRead,
    /// Change projects, with their budgets and model access.
    ProjectUpdate,
    /// Block and unblock projects.
    ProjectBlock,
    /// Move projects to another team.
    ProjectMove,
    /// Delete projects.
    ProjectDelete,
    /// Make users.
    UserCreate,
    /// See users.
    UserRead,
    /// See users' e-mail addresses.
    UserContactRead,
    /// See users' platform roles, model access and metadata.
    UserDetailRead,
    /// Change users' names, e-mail addresses and metadata.
    UserUpdate,
    /// Change users' platform roles, budgets, model access and external ids.
    UserLimitUpdate,
    /// Block and unblock users.
    UserBlock,
    /// Delete users.
    UserDelete,
    /// Make budgets that stand alone.
    BudgetCreate,
    /// See budgets.
    BudgetRead,
    /// Change budgets that stand alone.
    BudgetUpdate,
    /// Delete budgets that stand alone.
    BudgetDelete,
    /// Make keys of some kind.
    ApiKeyCreate,
    /// Make personal keys, outside of any team.
    PersonalKeyCreate,
    /// Make keys for people in a team.
    TeamApiKeyCreate,
    /// Make keys for a team as such.
    ServiceKeyCreate,
    /// Make keys for gateways.
    GatewayKeyCreate,
    /// Make keys with the platform's own rights.
    AdminKeyCreate,
    /// See keys.
    ApiKeyRead,
    /// Change keys; owners may only narrow them.
    ApiKeyUpdate,
    /// Raise a key's budgets, widen its models and routes, lengthen its life.
    ApiKeyLimitUpdate,
    /// Give a key a new secret.
    ApiKeyRotate,
    /// Block and unblock keys.
    ApiKeyBlock,
    /// Delete keys.
    ApiKeyDelete,
    /// See end users.
    EndUserRead,
    /// Make end users.
    EndUserCreate,
    /// Change end users and their budgets.
    EndUserUpdate,
    /// Block and unblock end users.
    EndUserBlock,
    /// Delete end users.
    EndUserDelete,
    /// See tags.
    TagRead,
    /// Make tags.
    TagCreate,
    /// Change tags and their budgets.
    TagUpdate,
    /// Delete tags.
    TagDelete,
    /// See the settings of the platform.
    SettingsRead,
    /// Change the settings of the platform.
    SettingsUpdate,
    /// Make models, and so give a team models of its own.
    ModelCreate,
    /// See models: names, providers, prices.
    ModelRead,
    /// See where models are reached and with what parameters.
    ModelDetailRead,
    /// Change models.
    ModelUpdate,
    /// Block and unblock models.
    ModelBlock,
    /// Delete models.
    ModelDelete,
    /// Get the deployments behind a model's name with their opened credentials.
    ModelResolve,
    /// Store credentials of providers.
    CredentialCreate,
    /// See credentials without their secrets.
    CredentialRead,
    /// Change credentials, and decide where models send them.
    CredentialUpdate,
    /// Delete credentials.
    CredentialDelete,
    /// Make access groups.
    AccessGroupCreate,
    /// See access groups.
    AccessGroupRead,
    /// Change access groups.
    AccessGroupUpdate,
    /// Delete access groups.
    AccessGroupDelete,
    /// Ask whether a call may be made.
    AccessCheck,
    /// Ask why a call may be made or not, with every rule.
    AccessExplain,
    /// See what calls used and cost.
    SpendRead,
    /// Record what calls used and cost, and hold what they will cost.
    UsageRecord,
    /// Correct what an event of the ledger cost.
    SpendCorrect,
    /// Read the audit trail.
    AuditRead,
}

impl Permission {
    /// Whether using it changes nothing.
    pub fn is_read(self) -> bool {
        use Permission as P;
        matches!(
            self,
            P::ViewerRead
                | P::SchemaRead
                | P::OrganizationRead
                | P::OrganizationDetailRead
                | P::TeamRead
                | P::TeamDetailRead
                | P::ProjectRead
                | P::ProjectDetailRead
                | P::UserRead
                | P::UserContactRead
                | P::UserDetailRead
                | P::BudgetRead
                | P::ApiKeyRead
                | P::EndUserRead
                | P::TagRead
                | P::SettingsRead
                | P::ModelRead
                | P::ModelDetailRead
                | P::ModelResolve
                | P::CredentialRead
                | P::AccessGroupRead
                | P::AccessCheck
                | P::AccessExplain
                | P::SpendRead
                | P::AuditRead
        )
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(async_graphql::resolver_utils::enum_value(*self).to_string().as_str())
    }
}
