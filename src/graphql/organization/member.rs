//! The object `OrganizationMembership`, and how inputs name members.

use async_graphql::{Context, ID, InputObject, Object, TypeName};
use entity::organization_membership;

use super::Organization;
use crate::domain::organization_membership as domain;
use crate::graphql::context::ContextExt;
use crate::graphql::error::ApiResult;
use crate::graphql::scalar::Instant;
use crate::graphql::team::UserRefInput;
use crate::graphql::user::User;
use crate::graphql::value::OrganizationRole;

/// One user in one organization.
#[derive(Clone, Debug)]
pub struct OrganizationMembership(pub(crate) organization_membership::Model);

impl From<organization_membership::Model> for OrganizationMembership {
    fn from(row: organization_membership::Model) -> Self {
        Self(row)
    }
}

impl TypeName for OrganizationMembership {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "OrganizationMembership".into()
    }
}

/// One user in one organization.
#[Object]
impl OrganizationMembership {
    /// The membership's id, `orgmember_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The organization.
    async fn organization(&self, ctx: &Context<'_>) -> Option<ApiResult<Organization>> {
        match ctx.loader().load_one(self.0.organization_id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The user.
    async fn user(&self, ctx: &Context<'_>) -> Option<ApiResult<User>> {
        match ctx.loader().load_one(self.0.user_id).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// What the user is in the organization.
    async fn role(&self) -> OrganizationRole {
        self.0.role.into()
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the user became a member.
    async fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who added the member: the id of a user or key, or `bootstrap`.
    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When the membership was last changed.
    async fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    async fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}

/// A member to be added to an organization.
#[derive(Clone, Debug, InputObject)]
pub struct OrganizationMemberInput {
    /// The user. An e-mail address that nobody has yet makes a pending user whom the organization
    /// manages.
    user: UserRefInput,
    /// What the user is to be; a plain member by default.
    #[graphql(default_with = "OrganizationRole::Member")]
    role: OrganizationRole,
}

impl From<OrganizationMemberInput> for domain::Add {
    fn from(input: OrganizationMemberInput) -> Self {
        Self { user: input.user.into(), role: input.role.into() }
    }
}
