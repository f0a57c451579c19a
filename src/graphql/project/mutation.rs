//! The root fields that change projects.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::project;
use serde_json::Value;

use super::Project;
use crate::authz::{Permission, Reference, authorize};
use crate::domain::project as domain;
use crate::graphql::access::requires;
use crate::graphql::budget::{ScopeBudgetInput, entries};
use crate::graphql::context::mutate;
use crate::graphql::error::ApiResult;
use crate::graphql::team::count;
use crate::graphql::value::{Cascade, ModelAccessInput, change, same};

/// A new project.
#[derive(Clone, Debug, InputObject)]
pub struct ProjectCreateInput {
    /// The team to which the project is to belong, by id or external id.
    team_id: ID,
    /// The display name; 1 to 200 characters.
    name: String,
    /// An id of your own, unique within the organization; 1 to 128 characters without spaces.
    external_id: Option<String>,
    /// What the project is about; at most 2,000 characters.
    description: Option<String>,
    /// Which models the project may call; all that its team allows by default.
    model_access: Option<ModelAccessInput>,
    /// Free data, a JSON object; empty by default.
    metadata: Option<Value>,
    /// Labels, at most 50.
    #[graphql(default)]
    tags: Vec<String>,
    /// What a gateway lets the project's calls reach, a JSON object that is kept as it is. An empty
    /// one says nothing, like none.
    object_permissions: Option<Value>,
    /// Budgets of the project, at most 20.
    #[graphql(default)]
    budgets: Vec<ScopeBudgetInput>,
}

/// A change of a project. What is left out stays; null clears. To give it to another team, use
/// `projectMove`.
#[derive(Clone, Debug, InputObject)]
pub struct ProjectUpdateInput {
    /// The project, by id or external id.
    id: ID,
    /// The new external id; null for none.
    external_id: MaybeUndefined<String>,
    /// The new display name; null is refused.
    name: MaybeUndefined<String>,
    /// What the project is about; null for nothing said.
    description: MaybeUndefined<String>,
    /// Which models the project may call; null for all that its team allows.
    model_access: MaybeUndefined<ModelAccessInput>,
    /// Keys to merge into the metadata: a key with null is deleted. Null clears all.
    metadata: MaybeUndefined<Value>,
    /// The new labels; null for none.
    tags: MaybeUndefined<Vec<String>>,
    /// What a gateway lets the project's calls reach, replaced as a whole; null for nothing said.
    object_permissions: MaybeUndefined<Value>,
    /// The budgets that the project is to have, all of them: those that are not listed are taken
    /// off. Null for none.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// What happens to keys that would exceed the new limits; refused by default.
    #[graphql(default)]
    cascade: Cascade,
    /// The version that you saw; `CONFLICT` when the project has changed since.
    expected_version: Option<i32>,
}

/// A project to be blocked.
#[derive(Clone, Debug, InputObject)]
pub struct ProjectBlockInput {
    /// The project, by id or external id.
    id: ID,
}

/// A project to be unblocked.
#[derive(Clone, Debug, InputObject)]
pub struct ProjectUnblockInput {
    /// The project, by id or external id.
    id: ID,
}

/// What happens to the keys of a project that moves to another team.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum ProjectMoveKeys {
    /// The move is refused while there are any; the error tells their number.
    #[default]
    Refuse,
    /// They move along, at most 1,000. Their owners must be members of the other team.
    Carry,
}

impl From<ProjectMoveKeys> for domain::KeysOnMove {
    fn from(keys: ProjectMoveKeys) -> Self {
        match keys {
            ProjectMoveKeys::Refuse => Self::Refuse,
            ProjectMoveKeys::Carry => Self::Carry,
        }
    }
}

/// A project to be moved to another team.
#[derive(Clone, Debug, InputObject)]
pub struct ProjectMoveInput {
    /// The project, by id or external id.
    id: ID,
    /// The other team, by id or external id.
    team_id: ID,
    /// What happens to the keys of the project; refused by default.
    #[graphql(default)]
    api_keys: ProjectMoveKeys,
    /// The version that you saw; `CONFLICT` when the project has changed since.
    expected_version: Option<i32>,
}

/// Projects to be deleted.
#[derive(Clone, Debug, InputObject)]
pub struct ProjectDeleteInput {
    /// The projects, by id or external id; 1 to 100. All are deleted, or none.
    ids: Vec<ID>,
    /// The version that you saw, when you delete one project.
    expected_version: Option<i32>,
}

/// The project that was made.
#[derive(Clone, Debug, SimpleObject)]
pub struct ProjectCreatePayload {
    /// The project.
    project: Project,
}

/// The project as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ProjectUpdatePayload {
    /// The project.
    project: Project,
}

/// The project as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ProjectBlockPayload {
    /// The project.
    project: Project,
}

/// The project as it is now.
#[derive(Clone, Debug, SimpleObject)]
pub struct ProjectUnblockPayload {
    /// The project.
    project: Project,
}

/// The project in its team.
#[derive(Clone, Debug, SimpleObject)]
pub struct ProjectMovePayload {
    /// The project.
    project: Project,
    /// The number of keys that moved along.
    moved_api_key_count: i32,
}

/// What was deleted.
#[derive(Clone, Debug, SimpleObject)]
pub struct ProjectDeletePayload {
    /// The ids of the projects.
    deleted_ids: Vec<ID>,
}

/// Changes projects.
#[derive(Default)]
pub struct ProjectMutation;

/// Changes projects.
#[Object]
impl ProjectMutation {
    /// Creates a project in a team.
    #[graphql(directive = requires::apply(Permission::ProjectCreate))]
    async fn project_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new project.")] input: ProjectCreateInput,
    ) -> Option<ApiResult<ProjectCreatePayload>> {
        let input = domain::Create {
            team: Reference::parse(&input.team_id),
            external_id: input.external_id,
            name: input.name,
            description: input.description,
            model_access: input.model_access.map(Into::into),
            metadata: input.metadata,
            tags: input.tags,
            object_permissions: input.object_permissions,
            budgets: entries(input.budgets),
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                let project = domain::create(tx, input).await?;
                Ok(ProjectCreatePayload { project: project.into() })
            })
        })
        .await
    }

    /// Updates a project. Fields left out keep their value; null clears.
    #[graphql(directive = requires::apply(Permission::ProjectUpdate))]
    async fn project_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: ProjectUpdateInput,
    ) -> Option<ApiResult<ProjectUpdatePayload>> {
        let reference = Reference::parse(&input.id);
        let input = domain::Update {
            external_id: same(input.external_id),
            name: same(input.name),
            description: same(input.description),
            model_access: change(input.model_access, Into::into),
            metadata: same(input.metadata),
            tags: same(input.tags),
            object_permissions: same(input.object_permissions),
            budgets: change(input.budgets, entries),
            cascade: input.cascade.into(),
            expected_version: input.expected_version,
        };
        mutate(ctx, (reference, input), |tx, (reference, input)| {
            Box::pin(async move {
                let permission = Permission::ProjectUpdate;
                let project =
                    domain::authorize_limits(tx, permission, &reference, "input.id").await?;
                let project = domain::update(tx, project, input).await?;
                Ok(ProjectUpdatePayload { project: project.into() })
            })
        })
        .await
    }

    /// Blocks a project: every call of its keys is refused. Blocking it again changes nothing.
    #[graphql(directive = requires::apply(Permission::ProjectBlock))]
    async fn project_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project.")] input: ProjectBlockInput,
    ) -> Option<ApiResult<ProjectBlockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::ProjectBlock;
                let project =
                    authorize::<project::Model>(tx, permission, &reference, "input.id").await?;
                let project = domain::block(tx, project).await?;
                Ok(ProjectBlockPayload { project: project.into() })
            })
        })
        .await
    }

    /// Unblocks a project. What a higher level blocked, a lower level cannot unblock.
    #[graphql(directive = requires::apply(Permission::ProjectBlock))]
    async fn project_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project.")] input: ProjectUnblockInput,
    ) -> Option<ApiResult<ProjectUnblockPayload>> {
        let reference = Reference::parse(&input.id);
        mutate(ctx, reference, |tx, reference| {
            Box::pin(async move {
                let permission = Permission::ProjectBlock;
                let project =
                    authorize::<project::Model>(tx, permission, &reference, "input.id").await?;
                let project = domain::unblock(tx, project).await?;
                Ok(ProjectUnblockPayload { project: project.into() })
            })
        })
        .await
    }

    /// Moves a project to another team. Needs the right over both teams; the project, its budgets
    /// and the keys that come along must fit into the limits of the other.
    #[graphql(directive = requires::apply(Permission::ProjectMove))]
    async fn project_move(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project and the other team.")] input: ProjectMoveInput,
    ) -> Option<ApiResult<ProjectMovePayload>> {
        let (reference, team) = (Reference::parse(&input.id), Reference::parse(&input.team_id));
        mutate(ctx, (reference, team, input), |tx, (reference, team, input)| {
            Box::pin(async move {
                let keys = input.api_keys.into();
                let version = input.expected_version;
                let moved = domain::move_to(tx, &reference, &team, keys, version).await?;
                Ok(ProjectMovePayload {
                    project: moved.project.into(),
                    moved_api_key_count: count(moved.api_keys),
                })
            })
        })
        .await
    }

    /// Deletes projects with their budgets: all, or none. `CONFLICT` while keys are attached to one
    /// of them, with the number of the keys.
    #[graphql(directive = requires::apply(Permission::ProjectDelete))]
    async fn project_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The projects.")] input: ProjectDeleteInput,
    ) -> Option<ApiResult<ProjectDeletePayload>> {
        let references: Vec<_> = input.ids.iter().map(|id| Reference::parse(id)).collect();
        mutate(ctx, (references, input), |tx, (references, input)| {
            Box::pin(async move {
                let ids = domain::delete(tx, &references, input.expected_version).await?;
                let deleted_ids = ids.iter().map(|id| ID(id.to_string())).collect();
                Ok(ProjectDeletePayload { deleted_ids })
            })
        })
        .await
    }
}
