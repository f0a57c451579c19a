//! Which role holds which permission: the rows of the authorization matrix.
//!
//! A row names the roles that hold a permission; over which objects a role is held is the business
//! of [`super::policy`]. A permission without a row does not compile.

use super::Permission;

/// A role that somebody holds over some object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Runs the platform.
    PlatformAdmin,
    /// Sees the whole platform.
    PlatformViewer,
    /// Runs the organization in which the object stands.
    OrganizationAdmin,
    /// Belongs to that organization.
    OrganizationMember,
    /// Looks after the team in which the object stands.
    TeamAdmin,
    /// Belongs to that team.
    TeamMember,
    /// Belongs to that team, which grants its members keys of their own.
    TeamMemberWithKeys,
    /// Is the person whom the object concerns.
    Oneself,
    /// Is that person, and may only read.
    OneselfReading,
    /// Is that person, behind a key that belongs to a team: what the person has in that team is all
    /// that such a key sees, and the person's other affairs are not its business.
    OneselfInTeam,
    /// Is a person on a platform that lets people make teams.
    SelfServe,
    /// Is a key of the team in which the object stands.
    ServiceKey,
    /// Is the very key that the object is.
    OwnKey,
    /// Is a gateway, which asks for what calls need and manages nothing.
    Gateway,
}

impl Permission {
    /// The roles that hold the permission (SECURITY 3).
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub fn holders(self) -> &'static [Role] {
        use Role::{
            Gateway, OneselfInTeam, OneselfReading, OrganizationAdmin, OrganizationMember, OwnKey,
            PlatformAdmin, PlatformViewer, SelfServe, ServiceKey, TeamAdmin, TeamMember,
            TeamMemberWithKeys,
        };
        const ONESELF: Role = Role::Oneself;
        match self {
            Self::ViewerRead => &[
                PlatformAdmin,
                PlatformViewer,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
                ServiceKey,
                OwnKey,
            ],
            Self::SchemaRead => {
                &[PlatformAdmin, PlatformViewer, ONESELF, OneselfReading, OneselfInTeam]
            }
            Self::OrganizationCreate | Self::OrganizationDelete | Self::OrganizationLimitUpdate => {
                &[PlatformAdmin]
            }
            Self::OrganizationDetailRead => &[PlatformAdmin, PlatformViewer, OrganizationAdmin],
            Self::OrganizationUpdate
            | Self::OrganizationMemberAdd
            | Self::OrganizationMemberUpdate
            | Self::OrganizationMemberRemove => &[PlatformAdmin, OrganizationAdmin],
            Self::OrganizationRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                OrganizationMember,
                TeamAdmin,
                TeamMember,
            ],
            Self::TeamCreate => &[PlatformAdmin, OrganizationAdmin, SelfServe],
            Self::TeamRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                TeamMember,
                ServiceKey,
                ONESELF,
                OneselfReading,
            ],
            Self::TeamDetailRead => &[PlatformAdmin, PlatformViewer, OrganizationAdmin, TeamAdmin],
            Self::TeamUpdate => &[PlatformAdmin, OrganizationAdmin, TeamAdmin],
            Self::TeamLimitUpdate => &[PlatformAdmin, OrganizationAdmin],
            Self::TeamDelete | Self::TeamBlock => &[PlatformAdmin, OrganizationAdmin],
            Self::TeamJoin => &[PlatformAdmin, PlatformViewer, ONESELF],
            Self::TeamMove => &[PlatformAdmin],
            Self::TeamMemberAdd | Self::TeamMemberLimitUpdate => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin]
            }
            Self::TeamMemberRemove => &[
                PlatformAdmin,
                OrganizationAdmin,
                TeamAdmin,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
            ],
            Self::TeamMemberRoleUpdate => &[PlatformAdmin, OrganizationAdmin],
            Self::ProjectRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                TeamMember,
                ServiceKey,
                ONESELF,
                OneselfReading,
            ],
            Self::ProjectDetailRead => {
                &[PlatformAdmin, PlatformViewer, OrganizationAdmin, TeamAdmin]
            }
            Self::ProjectCreate | Self::ProjectUpdate | Self::ProjectBlock => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin]
            }
            Self::ProjectMove | Self::ProjectDelete => &[PlatformAdmin, OrganizationAdmin],
            Self::UserCreate | Self::UserDelete | Self::UserBlock => {
                &[PlatformAdmin, OrganizationAdmin]
            }
            Self::UserRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                TeamMember,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
            ],
            Self::UserContactRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                ONESELF,
                OneselfReading,
            ],
            Self::UserDetailRead => {
                &[PlatformAdmin, PlatformViewer, OrganizationAdmin, ONESELF, OneselfReading]
            }
            Self::UserUpdate => &[PlatformAdmin, OrganizationAdmin, ONESELF, OneselfReading],
            Self::UserLimitUpdate => &[PlatformAdmin],
            Self::BudgetCreate | Self::BudgetUpdate | Self::BudgetDelete => {
                &[PlatformAdmin, OrganizationAdmin]
            }
            Self::BudgetRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
                OwnKey,
            ],
            Self::ApiKeyCreate => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin, TeamMemberWithKeys, ONESELF]
            }
            Self::PersonalKeyCreate => &[PlatformAdmin, ONESELF],
            Self::TeamApiKeyCreate => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin, TeamMemberWithKeys]
            }
            Self::ServiceKeyCreate => &[PlatformAdmin, OrganizationAdmin, TeamAdmin],
            Self::GatewayKeyCreate | Self::AdminKeyCreate => &[PlatformAdmin],
            Self::ApiKeyRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
                OwnKey,
            ],
            Self::ApiKeyUpdate | Self::ApiKeyBlock | Self::ApiKeyDelete => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin, ONESELF, OneselfInTeam]
            }
            Self::ApiKeyLimitUpdate => &[PlatformAdmin, OrganizationAdmin, TeamAdmin],
            Self::ApiKeyRotate => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin, ONESELF, OneselfInTeam, OwnKey]
            }
            Self::EndUserRead => &[PlatformAdmin, PlatformViewer, OrganizationAdmin, TeamAdmin],
            Self::EndUserCreate
            | Self::EndUserUpdate
            | Self::EndUserBlock
            | Self::EndUserDelete => &[PlatformAdmin, OrganizationAdmin, TeamAdmin],
            Self::TagRead => &[PlatformAdmin, PlatformViewer, OrganizationAdmin],
            Self::TagCreate | Self::TagUpdate | Self::TagDelete => {
                &[PlatformAdmin, OrganizationAdmin]
            }
            Self::SettingsRead => &[PlatformAdmin, PlatformViewer],
            Self::SettingsUpdate => &[PlatformAdmin],
            Self::ModelCreate | Self::ModelUpdate | Self::ModelBlock | Self::ModelDelete => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin]
            }
            Self::ModelRead | Self::AccessGroupRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                TeamMember,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
                ServiceKey,
                Gateway,
            ],
            Self::ModelDetailRead => {
                &[PlatformAdmin, PlatformViewer, OrganizationAdmin, TeamAdmin, Gateway]
            }
            Self::ModelResolve => &[Gateway],
            Self::CredentialCreate | Self::CredentialUpdate | Self::CredentialDelete => {
                &[PlatformAdmin, OrganizationAdmin, TeamAdmin]
            }
            Self::CredentialRead => &[PlatformAdmin, PlatformViewer, OrganizationAdmin, TeamAdmin],
            Self::AccessGroupCreate | Self::AccessGroupUpdate | Self::AccessGroupDelete => {
                &[PlatformAdmin]
            }
            Self::AccessCheck => &[Gateway, OwnKey],
            Self::AccessExplain | Self::SpendRead => &[
                PlatformAdmin,
                PlatformViewer,
                OrganizationAdmin,
                TeamAdmin,
                ONESELF,
                OneselfReading,
                OneselfInTeam,
                OwnKey,
            ],
            Self::UsageRecord => &[Gateway],
            Self::SpendCorrect => &[PlatformAdmin],
            Self::AuditRead => &[PlatformAdmin, PlatformViewer, OrganizationAdmin, TeamAdmin],
        }
    }
}
