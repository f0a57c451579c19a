//! The loaders: one batch for all objects of an answer that ask for the same thing.
//!
//! They are made for each request with the caller inside, and forget with it. Keys say what is
//! wanted; nested lists carry their page in the key.

mod organization_edges;

pub(super) use organization_edges::{
    OrganizationMemberCountOf, OrganizationMembersOf, TeamCountOf, TeamsOf,
};

use std::collections::HashMap;
use std::sync::Arc;

use entity::id::{
    AccessGroupId, ApiKeyId, AuditEventId, CredentialId, EndUserId, Id, ModelId, OrganizationId,
    OrganizationMembershipId, ProjectId, TagId, TeamId, TeamMembershipId, UsageEventId, UserId,
};
use entity::{
    access_group, access_group_model, api_key, api_key_secret, audit_event, credential,
    credential_value, end_user, llm_model, model_alias, organization, organization_membership,
    project, spend_total, tag, team, team_membership, usage_event, user,
};

use super::batch::{Loaded, Loader};
use crate::authz::Placement;
use crate::db::page::Rows;
use crate::db::{Page, Reader};
use crate::domain::budget::InForce;
use crate::domain::scope::Scope;
use crate::domain::{
    self, access, audit_event as audit, budget, membership, model_alias as alias,
    organization as org,
};

/// The members of a team.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MembersOf(pub TeamId, pub Arc<Page>);
/// The number of members of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MemberCountOf(pub TeamId);
/// The memberships of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MembershipsOf(pub UserId, pub Arc<Page>);
/// The number of memberships of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MembershipCountOf(pub UserId);
/// The keys of a team.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeysOfTeam(pub TeamId, pub Arc<Page>);
/// The number of keys of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyCountOfTeam(pub TeamId);
/// The projects of a team.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProjectsOf(pub TeamId, pub Arc<Page>);
/// The number of projects of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProjectCountOf(pub TeamId);
/// The keys of a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeysOfProject(pub ProjectId, pub Arc<Page>);
/// The number of keys of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyCountOfProject(pub ProjectId);
/// The keys of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeysOfUser(pub UserId, pub Arc<Page>);
/// The number of keys of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyCountOfUser(pub UserId);
/// The secrets of a key, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SecretsOf(pub ApiKeyId);
/// The budgets in force on a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BudgetsOf(pub Scope);
/// What was ever spent in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SpendOf(pub Scope);
/// The model aliases of a team or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AliasesOf(pub Scope);
/// The models that a scope may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EffectiveModelsOf(pub Scope);
/// The budgets that every call of a key is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EffectiveBudgetsOf(pub ApiKeyId);
/// The values of a credential, without what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ValuesOf(pub CredentialId);
/// The names of models in an access group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ModelsIn(pub AccessGroupId);
/// The names of the access groups with a model of this name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupsWith(pub String);
/// Where a user stands, as far as the caller has a part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlacementOf(pub UserId);

macro_rules! by_id {
    ($($id:ty => $model:ty, $load:path;)*) => {$(
        impl Loader<$id> for Reader {
            type Value = $model;

            async fn load(&self, keys: &[$id]) -> Loaded<$id, $model> {
                let rows = $load(self, keys).await.map_err(Arc::new)?;
                Ok(rows.into_iter().map(|row| (row.id, row)).collect())
            }
        }
    )*};
}

by_id! {
    AccessGroupId => access_group::Model, domain::access_group::by_ids;
    CredentialId => credential::Model, domain::credential::by_ids;
    ModelId => llm_model::Model, domain::llm_model::by_ids;
    OrganizationId => organization::Model, org::by_ids;
    OrganizationMembershipId => organization_membership::Model, domain::organization_membership::by_ids;
    ProjectId => project::Model, domain::project::by_ids;
    TeamId => team::Model, domain::team::by_ids;
    TeamMembershipId => team_membership::Model, membership::by_ids;
    UserId => user::Model, domain::user::by_ids;
    ApiKeyId => api_key::Model, domain::api_key::by_ids;
    EndUserId => end_user::Model, domain::end_user::by_ids;
    TagId => tag::Model, domain::tag::by_ids;
    AuditEventId => audit_event::Model, audit::by_ids;
    UsageEventId => usage_event::Model, domain::usage::by_ids;
}

/// Parents by the page that they ask for: aliases of one field may ask for different pages.
fn by_page<K: Copy>(keys: impl Iterator<Item = (K, Arc<Page>)>) -> HashMap<Arc<Page>, Vec<K>> {
    let mut pages: HashMap<Arc<Page>, Vec<K>> = HashMap::new();
    for (key, page) in keys {
        pages.entry(page).or_default().push(key);
    }
    pages
}

impl Loader<MembersOf> for Reader {
    type Value = Rows<team_membership::Model>;

    async fn load(&self, keys: &[MembersOf]) -> Loaded<MembersOf, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, teams) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let groups = membership::of_teams(self, &teams, &page).await.map_err(Arc::new)?;
            let keyed =
                groups.into_iter().map(|(team, rows)| (MembersOf(team, Arc::clone(&page)), rows));
            loaded.extend(keyed);
        }
        Ok(loaded)
    }
}

impl Loader<MembershipsOf> for Reader {
    type Value = Rows<team_membership::Model>;

    async fn load(&self, keys: &[MembershipsOf]) -> Loaded<MembershipsOf, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, users) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let groups = membership::of_users(self, &users, &page).await.map_err(Arc::new)?;
            let keyed = groups
                .into_iter()
                .map(|(user, rows)| (MembershipsOf(user, Arc::clone(&page)), rows));
            loaded.extend(keyed);
        }
        Ok(loaded)
    }
}

impl Loader<MemberCountOf> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[MemberCountOf]) -> Loaded<MemberCountOf, u64> {
        let teams: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = membership::count_of_teams(self, &teams).await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(team, count)| (MemberCountOf(team), count)).collect())
    }
}

impl Loader<MembershipCountOf> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[MembershipCountOf]) -> Loaded<MembershipCountOf, u64> {
        let users: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = membership::count_of_users(self, &users).await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(user, count)| (MembershipCountOf(user), count)).collect())
    }
}

impl Loader<KeysOfTeam> for Reader {
    type Value = Rows<api_key::Model>;

    async fn load(&self, keys: &[KeysOfTeam]) -> Loaded<KeysOfTeam, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, teams) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let ids: Vec<_> = teams.iter().map(|team| team.uuid()).collect();
            let column = api_key::Column::TeamId;
            let rows = domain::api_key::of_parents(self, column, &ids, &page);
            let rows = rows.await.map_err(Arc::new)?;
            for (team, rows) in crate::db::page::group(rows, &page, |row| row.team_id) {
                if let Some(team) = team {
                    loaded.insert(KeysOfTeam(team, Arc::clone(&page)), rows);
                }
            }
        }
        Ok(loaded)
    }
}

impl Loader<ProjectsOf> for Reader {
    type Value = Rows<project::Model>;

    async fn load(&self, keys: &[ProjectsOf]) -> Loaded<ProjectsOf, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, teams) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let groups = domain::project::of_teams(self, &teams, &page).await.map_err(Arc::new)?;
            let keyed =
                groups.into_iter().map(|(team, rows)| (ProjectsOf(team, Arc::clone(&page)), rows));
            loaded.extend(keyed);
        }
        Ok(loaded)
    }
}

impl Loader<ProjectCountOf> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[ProjectCountOf]) -> Loaded<ProjectCountOf, u64> {
        let teams: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = domain::project::count_of_teams(self, &teams).await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(team, count)| (ProjectCountOf(team), count)).collect())
    }
}

impl Loader<KeysOfProject> for Reader {
    type Value = Rows<api_key::Model>;

    async fn load(&self, keys: &[KeysOfProject]) -> Loaded<KeysOfProject, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, projects) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let ids: Vec<_> = projects.iter().map(|project| project.uuid()).collect();
            let column = api_key::Column::ProjectId;
            let rows = domain::api_key::of_parents(self, column, &ids, &page);
            let rows = rows.await.map_err(Arc::new)?;
            for (project, rows) in crate::db::page::group(rows, &page, |row| row.project_id) {
                if let Some(project) = project {
                    loaded.insert(KeysOfProject(project, Arc::clone(&page)), rows);
                }
            }
        }
        Ok(loaded)
    }
}

impl Loader<KeyCountOfProject> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[KeyCountOfProject]) -> Loaded<KeyCountOfProject, u64> {
        let ids: Vec<_> = keys.iter().map(|key| key.0.uuid()).collect();
        let column = api_key::Column::ProjectId;
        let counts = domain::api_key::count_of_parents::<ProjectId>(self, column, &ids);
        let counts = counts.await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(project, count)| (KeyCountOfProject(project), count)).collect())
    }
}

impl Loader<KeysOfUser> for Reader {
    type Value = Rows<api_key::Model>;

    async fn load(&self, keys: &[KeysOfUser]) -> Loaded<KeysOfUser, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, users) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let ids: Vec<_> = users.iter().map(|user| user.uuid()).collect();
            let column = api_key::Column::UserId;
            let rows = domain::api_key::of_parents(self, column, &ids, &page);
            let rows = rows.await.map_err(Arc::new)?;
            for (user, rows) in crate::db::page::group(rows, &page, |row| row.user_id) {
                if let Some(user) = user {
                    loaded.insert(KeysOfUser(user, Arc::clone(&page)), rows);
                }
            }
        }
        Ok(loaded)
    }
}

impl Loader<KeyCountOfTeam> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[KeyCountOfTeam]) -> Loaded<KeyCountOfTeam, u64> {
        let ids: Vec<_> = keys.iter().map(|key| key.0.uuid()).collect();
        let column = api_key::Column::TeamId;
        let counts = domain::api_key::count_of_parents::<TeamId>(self, column, &ids);
        let counts = counts.await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(team, count)| (KeyCountOfTeam(team), count)).collect())
    }
}

impl Loader<KeyCountOfUser> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[KeyCountOfUser]) -> Loaded<KeyCountOfUser, u64> {
        let ids: Vec<_> = keys.iter().map(|key| key.0.uuid()).collect();
        let column = api_key::Column::UserId;
        let counts = domain::api_key::count_of_parents::<UserId>(self, column, &ids);
        let counts = counts.await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(user, count)| (KeyCountOfUser(user), count)).collect())
    }
}

impl Loader<SecretsOf> for Reader {
    type Value = Vec<api_key_secret::Model>;

    async fn load(&self, keys: &[SecretsOf]) -> Loaded<SecretsOf, Self::Value> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut loaded: HashMap<SecretsOf, Self::Value> = HashMap::new();
        for row in domain::api_key::hints(self, &ids).await.map_err(Arc::new)? {
            loaded.entry(SecretsOf(row.api_key_id)).or_default().push(row);
        }
        Ok(loaded)
    }
}

impl Loader<BudgetsOf> for Reader {
    type Value = Vec<InForce>;

    async fn load(&self, keys: &[BudgetsOf]) -> Loaded<BudgetsOf, Self::Value> {
        let scopes: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut loaded: HashMap<BudgetsOf, Self::Value> = HashMap::new();
        for row in budget::in_force(self, &scopes).await.map_err(Arc::new)? {
            loaded.entry(BudgetsOf(row.scope)).or_default().push(row);
        }
        Ok(loaded)
    }
}

impl Loader<SpendOf> for Reader {
    type Value = spend_total::Model;

    async fn load(&self, keys: &[SpendOf]) -> Loaded<SpendOf, Self::Value> {
        let scopes: Vec<_> = keys.iter().map(|key| key.0).collect();
        let totals = domain::usage::totals(self, &scopes).await.map_err(Arc::new)?;
        Ok(totals.into_iter().map(|(scope, total)| (SpendOf(scope), total)).collect())
    }
}

impl Loader<AliasesOf> for Reader {
    type Value = Vec<model_alias::Model>;

    async fn load(&self, keys: &[AliasesOf]) -> Loaded<AliasesOf, Self::Value> {
        let scopes: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut loaded: HashMap<AliasesOf, Self::Value> = HashMap::new();
        for row in alias::of_scopes(self, &scopes).await.map_err(Arc::new)? {
            let scope = Scope { kind: row.scope_kind, id: row.scope_id };
            loaded.entry(AliasesOf(scope)).or_default().push(row);
        }
        Ok(loaded)
    }
}

impl Loader<EffectiveModelsOf> for Reader {
    type Value = Arc<[access::EffectiveModel]>;

    async fn load(&self, keys: &[EffectiveModelsOf]) -> Loaded<EffectiveModelsOf, Self::Value> {
        let scopes: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = access::effective_models(self, &scopes).await.map_err(Arc::new)?;
        let keyed = |(scope, models): (_, Vec<_>)| (EffectiveModelsOf(scope), models.into());
        Ok(found.into_iter().map(keyed).collect())
    }
}

impl Loader<EffectiveBudgetsOf> for Reader {
    type Value = Vec<InForce>;

    async fn load(&self, keys: &[EffectiveBudgetsOf]) -> Loaded<EffectiveBudgetsOf, Self::Value> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = access::effective_budgets(self, &ids).await.map_err(Arc::new)?;
        Ok(found.into_iter().map(|(id, rows)| (EffectiveBudgetsOf(id), rows)).collect())
    }
}

impl Loader<PlacementOf> for Reader {
    type Value = Placement;

    async fn load(&self, keys: &[PlacementOf]) -> Loaded<PlacementOf, Placement> {
        let users: Vec<_> = keys.iter().map(|key| key.0).collect();
        let places = domain::user::placements(self, &users).await.map_err(Arc::new)?;
        Ok(places.into_iter().map(|(user, place)| (PlacementOf(user), place)).collect())
    }
}

impl Loader<ValuesOf> for Reader {
    type Value = Vec<credential_value::Model>;

    async fn load(&self, keys: &[ValuesOf]) -> Loaded<ValuesOf, Self::Value> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut loaded: HashMap<ValuesOf, Self::Value> = HashMap::new();
        let rows = domain::credential::values_of_credentials(self, &ids).await.map_err(Arc::new)?;
        for row in rows {
            loaded.entry(ValuesOf(row.credential_id)).or_default().push(row);
        }
        Ok(loaded)
    }
}

impl Loader<ModelsIn> for Reader {
    type Value = Vec<access_group_model::Model>;

    async fn load(&self, keys: &[ModelsIn]) -> Loaded<ModelsIn, Self::Value> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut loaded: HashMap<ModelsIn, Self::Value> = HashMap::new();
        for row in domain::access_group::models_of(self, &ids).await.map_err(Arc::new)? {
            loaded.entry(ModelsIn(row.access_group_id)).or_default().push(row);
        }
        Ok(loaded)
    }
}

impl Loader<GroupsWith> for Reader {
    type Value = Vec<String>;

    async fn load(&self, keys: &[GroupsWith]) -> Loaded<GroupsWith, Self::Value> {
        let names: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = domain::access_group::of_models(self, &names).await.map_err(Arc::new)?;
        Ok(found.into_iter().map(|(name, groups)| (GroupsWith(name), groups)).collect())
    }
}
