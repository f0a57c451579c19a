//! Where scopes stand in the tree, by the rows that can be read: the same places that commands work
//! out, without their locks.

use std::collections::{BTreeMap, BTreeSet};

use entity::id::{Id, TeamId, UserId};
use entity::role::ScopeKind;
use entity::value::ModelAccess;
use entity::{api_key, end_user, organization, project, tag, team, team_membership, user};
use sea_orm::sea_query::Condition;
use sea_orm::{ColumnTrait, ConnectionTrait};
use uuid::Uuid;

use super::rows::{readable, readable_by_id};
use crate::domain::scope::{Place, Scope, by_kind};
use crate::error::Result;

/// The rows of scopes, and all that is above them.
#[derive(Default)]
pub(super) struct Tree {
    organizations: BTreeMap<Uuid, organization::Model>,
    teams: BTreeMap<Uuid, team::Model>,
    projects: BTreeMap<Uuid, project::Model>,
    memberships: BTreeMap<Uuid, team_membership::Model>,
    member_in: BTreeMap<(TeamId, UserId), Uuid>,
    users: BTreeMap<Uuid, user::Model>,
    keys: BTreeMap<Uuid, api_key::Model>,
    end_users: BTreeMap<Uuid, end_user::Model>,
    tags: BTreeMap<Uuid, tag::Model>,
}

macro_rules! load {
    ($tree:ident.$rows:ident, $table:ident, $db:ident, $ids:expr) => {
        let ids: BTreeSet<Uuid> = $ids;
        for row in readable_by_id::<$table::Entity, C>($db, ids).await? {
            $tree.$rows.insert(row.id.uuid(), row);
        }
    };
}

impl Tree {
    /// Reads what is needed to place scopes.
    pub(super) async fn around<C: ConnectionTrait>(db: &C, scopes: &[Scope]) -> Result<Self> {
        let mut wanted = by_kind(scopes);
        let mut take = |kind| -> BTreeSet<Uuid> {
            wanted.remove(&kind).unwrap_or_default().into_iter().collect()
        };
        let mut tree = Self::default();
        load!(tree.keys, api_key, db, take(ScopeKind::ApiKey));
        load!(tree.end_users, end_user, db, take(ScopeKind::EndUser));
        load!(tree.tags, tag, db, take(ScopeKind::Tag));
        let mut projects = take(ScopeKind::Project);
        projects.extend(tree.keys.values().filter_map(|key| Some(key.project_id?.uuid())));
        load!(tree.projects, project, db, projects);
        load!(tree.memberships, team_membership, db, take(ScopeKind::TeamMembership));
        tree.load_members(db).await?;
        let mut users = take(ScopeKind::User);
        let personal = tree.keys.values().filter(|key| key.team_id.is_none());
        users.extend(personal.filter_map(|key| Some(key.user_id?.uuid())));
        load!(tree.users, user, db, users);
        let mut teams = take(ScopeKind::Team);
        teams.extend(take(ScopeKind::TeamMemberDefault));
        teams.extend(tree.keys.values().filter_map(|row| Some(row.team_id?.uuid())));
        teams.extend(tree.projects.values().map(|row| row.team_id.uuid()));
        teams.extend(tree.memberships.values().map(|row| row.team_id.uuid()));
        teams.extend(tree.end_users.values().filter_map(|row| Some(row.team_id?.uuid())));
        load!(tree.teams, team, db, teams);
        let mut organizations = take(ScopeKind::Organization);
        organizations
            .extend(tree.teams.values().filter_map(|row| Some(row.organization_id?.uuid())));
        load!(tree.organizations, organization, db, organizations);
        Ok(tree)
    }

    /// Reads the memberships of the owners of keys in the teams of the keys.
    async fn load_members<C: ConnectionTrait>(&mut self, db: &C) -> Result<()> {
        let owners: BTreeSet<_> =
            self.keys.values().filter_map(|key| key.team_id.zip(key.user_id)).collect();
        if !owners.is_empty() {
            let (teams, users): (BTreeSet<_>, BTreeSet<_>) = owners.iter().copied().unzip();
            let condition = Condition::all()
                .add(team_membership::Column::TeamId.is_in(teams))
                .add(team_membership::Column::UserId.is_in(users));
            for row in readable::<team_membership::Entity, C>(db, condition).await? {
                if owners.contains(&(row.team_id, row.user_id)) {
                    self.memberships.insert(row.id.uuid(), row);
                }
            }
        }
        let of = |row: &team_membership::Model| ((row.team_id, row.user_id), row.id.uuid());
        self.member_in = self.memberships.values().map(of).collect();
        Ok(())
    }

    /// The place of a scope; none for one that is not there, or whose team is not.
    pub(super) fn place(&self, scope: Scope) -> Option<Place> {
        let team = |id: TeamId| self.teams.get(&id.uuid());
        let id = &scope.id;
        match scope.kind {
            ScopeKind::Organization => self.organizations.get(id).map(Place::organization),
            ScopeKind::Team => self.teams.get(id).map(Place::team),
            ScopeKind::TeamMemberDefault => self.teams.get(id).map(Place::member_default),
            ScopeKind::TeamMembership => {
                let row = self.memberships.get(id)?;
                Some(Place::membership(team(row.team_id)?, row))
            }
            ScopeKind::Project => {
                let row = self.projects.get(id)?;
                Some(Place::project(team(row.team_id)?, row))
            }
            ScopeKind::User => self.users.get(id).map(Place::user),
            ScopeKind::ApiKey => {
                let key = self.keys.get(id)?;
                let above = match key.team_id {
                    Some(id) => Some(team(id)?),
                    None => None,
                };
                let member = key.team_id.zip(key.user_id);
                let member = member.and_then(|both| self.member_in.get(&both));
                Some(Place::api_key(key, above, member.and_then(|id| self.memberships.get(id))))
            }
            ScopeKind::EndUser => {
                let row = self.end_users.get(id)?;
                Some(Place::end_user(row, row.team_id.and_then(team)))
            }
            ScopeKind::Tag => self.tags.get(id).map(Place::tag),
            ScopeKind::Platform
            | ScopeKind::TeamDefault
            | ScopeKind::UserDefault
            | ScopeKind::EndUserDefault
            | ScopeKind::ApiKeyDefault => Some(Place::platform_default(scope.kind)),
        }
    }

    /// The list of models of a scope that was read.
    pub(super) fn access(&self, scope: Scope) -> Option<&ModelAccess> {
        let id = &scope.id;
        match scope.kind {
            ScopeKind::Organization => self.organizations.get(id).map(|row| &row.model_access),
            ScopeKind::Team => self.teams.get(id).map(|row| &row.model_access),
            ScopeKind::TeamMembership => self.memberships.get(id).map(|row| &row.model_access),
            ScopeKind::Project => self.projects.get(id).map(|row| &row.model_access),
            ScopeKind::User => self.users.get(id).map(|row| &row.model_access),
            ScopeKind::ApiKey => self.keys.get(id).map(|row| &row.model_access),
            ScopeKind::EndUser
            | ScopeKind::Tag
            | ScopeKind::Platform
            | ScopeKind::TeamMemberDefault
            | ScopeKind::TeamDefault
            | ScopeKind::UserDefault
            | ScopeKind::EndUserDefault
            | ScopeKind::ApiKeyDefault => None,
        }
    }
}
