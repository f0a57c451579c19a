//! Objects by their ids alone, after the Relay specification.

use async_graphql::{Context, ID, Interface, Object};
use entity::id::{
    AccessGroupId, ApiKeyId, AuditEventId, BudgetId, CredentialId, EndUserId, Id, ModelId,
    OrganizationId, OrganizationMembershipId, ProjectId, TagId, TeamId, TeamMembershipId,
    UsageEventId, UserId, split,
};

use super::access::requires;
use super::access_group::AccessGroup;
use super::api_key::ApiKey;
use super::audit_event::AuditEvent;
use super::budget::Budget;
use super::context::ContextExt;
use super::credential::Credential;
use super::end_user::EndUser;
use super::error::ApiResult;
use super::llm_model::Model;
use super::organization::{Organization, OrganizationMembership};
use super::project::Project;
use super::tag::Tag;
use super::team::{Team, TeamMembership};
use super::usage::UsageEvent;
use super::user::User;
use crate::authz::{Permission, Reference};
use crate::domain::field::Faults;

/// An object with an id that is unique on the whole platform.
#[derive(Clone, Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's id."))]
pub enum Node {
    /// An access group.
    AccessGroup(AccessGroup),
    /// A key.
    ApiKey(ApiKey),
    /// An audit event.
    AuditEvent(AuditEvent),
    /// A budget.
    Budget(Budget),
    /// An end user.
    EndUser(EndUser),
    /// A credential.
    Credential(Credential),
    /// A model.
    Model(Model),
    /// An organization.
    Organization(Organization),
    /// A membership in an organization.
    OrganizationMembership(OrganizationMembership),
    /// A project.
    Project(Project),
    /// A tag.
    Tag(Tag),
    /// A team.
    Team(Team),
    /// A membership in a team.
    TeamMembership(TeamMembership),
    /// An entry of the ledger.
    UsageEvent(UsageEvent),
    /// A user.
    User(User),
}

/// Reads objects by their ids alone.
#[derive(Default)]
pub struct NodeQuery;

/// Reads objects by their ids alone.
#[Object]
impl NodeQuery {
    /// The object with an id. Null when there is none, or you may not see it.
    #[graphql(directive = requires::apply(Permission::ViewerRead))]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The object's id; external ids are not taken here.")] id: ID,
    ) -> Option<ApiResult<Node>> {
        match find(ctx, &id).await {
            Ok(found) => found.map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// The objects with these ids, in their order; null in the place of one that does not exist or
    /// that you may not see.
    #[graphql(directive = requires::apply(Permission::ViewerRead))]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The objects' ids; 1 to 100.")] ids: Vec<ID>,
    ) -> Option<ApiResult<Vec<Option<ApiResult<Node>>>>> {
        let mut faults = Faults::default();
        faults.ids("ids", ids.len());
        if let Err(error) = faults.finish() {
            return Some(Err(error.into()));
        }
        let found = futures_util::future::join_all(ids.iter().map(|id| find(ctx, id))).await;
        Some(Ok(found.into_iter().map(Result::transpose).collect()))
    }
}

/// Finds by the prefix of the id; every branch reads as the caller.
async fn find(ctx: &Context<'_>, id: &ID) -> ApiResult<Option<Node>> {
    let Some((prefix, uuid)) = split(id) else { return Ok(None) };
    let loader = ctx.loader();
    Ok(match prefix {
        AccessGroupId::PREFIX => loader
            .load_one(AccessGroupId::from_uuid(uuid))
            .await?
            .map(|row| Node::AccessGroup(row.into())),
        CredentialId::PREFIX => loader
            .load_one(CredentialId::from_uuid(uuid))
            .await?
            .map(|row| Node::Credential(row.into())),
        ModelId::PREFIX => {
            loader.load_one(ModelId::from_uuid(uuid)).await?.map(|row| Node::Model(row.into()))
        }
        ApiKeyId::PREFIX => {
            loader.load_one(ApiKeyId::from_uuid(uuid)).await?.map(|row| Node::ApiKey(row.into()))
        }
        AuditEventId::PREFIX => loader
            .load_one(AuditEventId::from_uuid(uuid))
            .await?
            .map(|row| Node::AuditEvent(row.into())),
        BudgetId::PREFIX => {
            let found = crate::domain::budget::find(ctx.reader(), &Reference::parse(id)).await?;
            found.map(|row| Node::Budget(row.into()))
        }
        EndUserId::PREFIX => {
            loader.load_one(EndUserId::from_uuid(uuid)).await?.map(|row| Node::EndUser(row.into()))
        }
        TagId::PREFIX => {
            loader.load_one(TagId::from_uuid(uuid)).await?.map(|row| Node::Tag(row.into()))
        }
        OrganizationId::PREFIX => loader
            .load_one(OrganizationId::from_uuid(uuid))
            .await?
            .map(|row| Node::Organization(row.into())),
        OrganizationMembershipId::PREFIX => loader
            .load_one(OrganizationMembershipId::from_uuid(uuid))
            .await?
            .map(|row| Node::OrganizationMembership(row.into())),
        ProjectId::PREFIX => {
            loader.load_one(ProjectId::from_uuid(uuid)).await?.map(|row| Node::Project(row.into()))
        }
        TeamId::PREFIX => {
            loader.load_one(TeamId::from_uuid(uuid)).await?.map(|row| Node::Team(row.into()))
        }
        TeamMembershipId::PREFIX => loader
            .load_one(TeamMembershipId::from_uuid(uuid))
            .await?
            .map(|row| Node::TeamMembership(row.into())),
        UsageEventId::PREFIX => loader
            .load_one(UsageEventId::from_uuid(uuid))
            .await?
            .map(|row| Node::UsageEvent(row.into())),
        UserId::PREFIX => {
            loader.load_one(UserId::from_uuid(uuid)).await?.map(|row| Node::User(row.into()))
        }
        _ => None,
    })
}
