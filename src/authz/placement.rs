//! Where an object stands in the tree platform ⊃ organization ⊃ team ⊃ key, and whom it concerns.

use entity::id::{ApiKeyId, OrganizationId, TeamId, UserId};

/// The place of an object. An empty place is the platform itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The organizations in which it stands; several only for users.
    pub organizations: Vec<OrganizationId>,
    /// The teams in which it stands; several only for users and budgets.
    pub teams: Vec<TeamId>,
    /// The person whom it concerns.
    pub owner: Option<UserId>,
    /// The key that it is, or belongs to.
    pub key: Option<ApiKeyId>,
}

impl Placement {
    /// The platform itself.
    pub fn platform() -> Self {
        Self::default()
    }

    /// Within an organization, if there is one.
    pub fn organization(organization: Option<OrganizationId>) -> Self {
        Self { organizations: organization.into_iter().collect(), ..Self::default() }
    }

    /// Within a team.
    pub fn team(organization: Option<OrganizationId>, team: TeamId) -> Self {
        Self { teams: vec![team], ..Self::organization(organization) }
    }

    /// What concerns one person.
    #[must_use]
    pub fn owned_by(self, owner: Option<UserId>) -> Self {
        Self { owner, ..self }
    }

    /// A person, within the organization that manages it, if one does.
    pub fn person(user: UserId, organization: Option<OrganizationId>) -> Self {
        Self::organization(organization).owned_by(Some(user))
    }
}
