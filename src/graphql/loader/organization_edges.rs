//! The loaders of what hangs on organizations: their teams and their members.

use std::collections::HashMap;
use std::sync::Arc;

use entity::id::{Id, OrganizationId};
use entity::{organization_membership, team};

use super::by_page;
use crate::db::page::Rows;
use crate::db::{Page, Reader};
use crate::domain::{organization_membership as membership, team as teams};
use crate::graphql::batch::{Loaded, Loader};

/// The teams of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct TeamsOf(pub OrganizationId, pub Arc<Page>);
/// The number of teams of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct TeamCountOf(pub OrganizationId);
/// The members of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct OrganizationMembersOf(pub OrganizationId, pub Arc<Page>);
/// The number of members of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct OrganizationMemberCountOf(pub OrganizationId);

impl Loader<TeamsOf> for Reader {
    type Value = Rows<team::Model>;

    async fn load(&self, keys: &[TeamsOf]) -> Loaded<TeamsOf, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, parents) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let ids: Vec<_> = parents.iter().map(|id| id.uuid()).collect();
            let rows = teams::of_organizations(self, &ids, &page).await.map_err(Arc::new)?;
            for (id, rows) in crate::db::page::group(rows, &page, |row| row.organization_id) {
                if let Some(id) = id {
                    loaded.insert(TeamsOf(id, Arc::clone(&page)), rows);
                }
            }
        }
        Ok(loaded)
    }
}

impl Loader<TeamCountOf> for Reader {
    type Value = u64;

    async fn load(&self, keys: &[TeamCountOf]) -> Loaded<TeamCountOf, u64> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = teams::count_of_organizations(self, &ids).await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(id, count)| (TeamCountOf(id), count)).collect())
    }
}

impl Loader<OrganizationMembersOf> for Reader {
    type Value = Rows<organization_membership::Model>;

    async fn load(
        &self,
        keys: &[OrganizationMembersOf],
    ) -> Loaded<OrganizationMembersOf, Self::Value> {
        let mut loaded = HashMap::new();
        for (page, ids) in by_page(keys.iter().map(|key| (key.0, Arc::clone(&key.1)))) {
            let groups = membership::of_organizations(self, &ids, &page).await.map_err(Arc::new)?;
            let keyed = groups
                .into_iter()
                .map(|(id, rows)| (OrganizationMembersOf(id, Arc::clone(&page)), rows));
            loaded.extend(keyed);
        }
        Ok(loaded)
    }
}

impl Loader<OrganizationMemberCountOf> for Reader {
    type Value = u64;

    async fn load(
        &self,
        keys: &[OrganizationMemberCountOf],
    ) -> Loaded<OrganizationMemberCountOf, u64> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = membership::count_of_organizations(self, &ids).await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(id, count)| (OrganizationMemberCountOf(id), count)).collect())
    }
}
