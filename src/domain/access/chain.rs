//! The scopes from an organization down to a key, as the judgement of a call needs them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use entity::id::{ApiKeyId, Id, ProjectId, TeamId, TeamMembershipId, UserId};
use entity::role::ScopeKind;
use entity::value::ModelAccess;
use entity::{api_key, model_alias, organization, project, team, team_membership, user};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter};

use crate::domain::scope::{Scope, by_kind};
use crate::error::Result;

/// A scope, and what is above it.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The organization.
    pub organization: Option<Arc<organization::Model>>,
    /// The team.
    pub team: Option<Arc<team::Model>>,
    /// The project.
    pub project: Option<Arc<project::Model>>,
    /// The member of the team.
    pub membership: Option<Arc<team_membership::Model>>,
    /// The person.
    pub user: Option<Arc<user::Model>>,
    /// The key.
    pub key: Option<Arc<api_key::Model>>,
    /// The aliases of the team and of the key.
    pub aliases: Arc<[model_alias::Model]>,
}

impl Chain {
    /// The scopes whose lists of models hold, outermost first. A person's own list holds for keys
    /// outside of any team; in a team it is the member's (REFERENCE F2).
    pub fn levels(&self) -> impl Iterator<Item = (Scope, &ModelAccess)> {
        let user = self.user.as_ref().filter(|_| self.team.is_none());
        [
            self.organization.as_ref().map(|row| (Scope::organization(row.id), &row.model_access)),
            self.team.as_ref().map(|row| (Scope::team(row.id), &row.model_access)),
            self.project.as_ref().map(|row| (Scope::project(row.id), &row.model_access)),
            self.membership.as_ref().map(|row| (Scope::membership(row.id), &row.model_access)),
            user.map(|row| (Scope::user(row.id), &row.model_access)),
            self.key.as_ref().map(|row| (Scope::api_key(row.id), &row.model_access)),
        ]
        .into_iter()
        .flatten()
    }

    /// The team.
    pub fn team_id(&self) -> Option<TeamId> {
        self.team.as_ref().map(|row| row.id)
    }

    /// The team, as a scope.
    pub fn team_scope(&self) -> Option<Scope> {
        self.team_id().map(Scope::team)
    }

    /// The key, as a scope.
    pub fn key_scope(&self) -> Option<Scope> {
        self.key.as_ref().map(|row| Scope::api_key(row.id))
    }

    /// What a name stands for in a scope.
    pub fn alias(&self, scope: Scope, name: &str) -> Option<&str> {
        let of_scope = |row: &&model_alias::Model| {
            row.scope_kind == scope.kind && row.scope_id == scope.id && row.alias == name
        };
        self.aliases.iter().find(of_scope).map(|row| row.target.as_str())
    }
}

/// Rows of a table by their ids; no statement for no ids.
macro_rules! rows {
    ($db:expr, $table:ident, $column:ident, $ids:expr) => {{
        let ids = $ids;
        if ids.is_empty() {
            HashMap::new()
        } else {
            let select = $table::Entity::find().filter($table::Column::$column.is_in(ids));
            let rows = select.all($db).await?.into_iter();
            rows.map(|row| (row.id, Arc::new(row))).collect::<HashMap<_, _>>()
        }
    }};
}

/// The chains of scopes, whoever asks, in a number of statements that does not grow with theirs.
/// Scopes that are no more, and kinds without a list of models, are left out.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
pub async fn chains(db: &impl ConnectionTrait, scopes: &[Scope]) -> Result<HashMap<Scope, Chain>> {
    let mut wanted = by_kind(scopes);
    let mut of = |kind| wanted.remove(&kind).unwrap_or_default();
    let key_ids: BTreeSet<_> = of(ScopeKind::ApiKey).into_iter().map(ApiKeyId::from_uuid).collect();
    let keys = rows!(db, api_key, Id, key_ids);

    let mut project_ids: BTreeSet<_> =
        of(ScopeKind::Project).into_iter().map(ProjectId::from_uuid).collect();
    project_ids.extend(keys.values().filter_map(|key| key.project_id));
    let projects = rows!(db, project, Id, project_ids);

    let member_ids: Vec<_> =
        of(ScopeKind::TeamMembership).into_iter().map(TeamMembershipId::from_uuid).collect();
    let members = members(db, member_ids, keys.values()).await?;
    let by_place: HashMap<_, _> =
        members.values().map(|row| ((row.team_id, row.user_id), Arc::clone(row))).collect();

    let mut team_ids: BTreeSet<_> =
        of(ScopeKind::Team).into_iter().map(TeamId::from_uuid).collect();
    team_ids.extend(keys.values().filter_map(|key| key.team_id));
    team_ids.extend(projects.values().map(|project| project.team_id));
    team_ids.extend(members.values().map(|member| member.team_id));
    let teams = rows!(db, team, Id, team_ids);

    let mut user_ids: BTreeSet<_> =
        of(ScopeKind::User).into_iter().map(UserId::from_uuid).collect();
    user_ids.extend(keys.values().filter_map(|key| key.user_id));
    let users = rows!(db, user, Id, user_ids);

    let mut organization_ids: BTreeSet<_> =
        of(ScopeKind::Organization).into_iter().map(Id::from_uuid).collect();
    organization_ids.extend(teams.values().filter_map(|team| team.organization_id));
    let organizations = rows!(db, organization, Id, organization_ids);

    let aliases = aliases(db, teams.keys().copied(), keys.keys().copied()).await?;
    let in_team = |id: TeamId| {
        let team = teams.get(&id).cloned();
        let above = team.as_ref().and_then(|team| organizations.get(&team.organization_id?));
        let aliases = aliases.get(&Scope::team(id)).cloned().unwrap_or_default();
        Chain { organization: above.cloned(), team, aliases: aliases.into(), ..Chain::default() }
    };
    let chain = |scope: &Scope| {
        Some(match scope.kind {
            ScopeKind::Organization => {
                let organization = Some(organizations.get(&Id::from_uuid(scope.id)).cloned()?);
                Chain { organization, ..Chain::default() }
            }
            ScopeKind::Team => {
                Some(in_team(Id::from_uuid(scope.id))).filter(|chain| chain.team.is_some())?
            }
            ScopeKind::Project => {
                let project = projects.get(&Id::from_uuid(scope.id))?;
                Chain { project: Some(Arc::clone(project)), ..in_team(project.team_id) }
            }
            ScopeKind::TeamMembership => {
                let member = members.get(&Id::from_uuid(scope.id))?;
                Chain { membership: Some(Arc::clone(member)), ..in_team(member.team_id) }
            }
            ScopeKind::User => {
                let user = Some(users.get(&Id::from_uuid(scope.id)).cloned()?);
                Chain { user, ..Chain::default() }
            }
            ScopeKind::ApiKey => {
                let key = keys.get(&Id::from_uuid(scope.id))?;
                let mut chain = key.team_id.map_or_else(Chain::default, in_team);
                let place = key.team_id.zip(key.user_id);
                chain.membership = place.and_then(|place| by_place.get(&place).cloned());
                chain.project = key.project_id.and_then(|id| projects.get(&id).cloned());
                chain.user = key.user_id.and_then(|id| users.get(&id).cloned());
                if let Some(own) = aliases.get(scope) {
                    chain.aliases = chain.aliases.iter().chain(own).cloned().collect();
                }
                chain.key = Some(Arc::clone(key));
                chain
            }
            ScopeKind::Platform
            | ScopeKind::EndUser
            | ScopeKind::Tag
            | ScopeKind::TeamMemberDefault
            | ScopeKind::TeamDefault
            | ScopeKind::UserDefault
            | ScopeKind::EndUserDefault => return None,
        })
    };
    Ok(scopes.iter().filter_map(|scope| Some((*scope, chain(scope)?))).collect())
}

type Members = HashMap<TeamMembershipId, Arc<team_membership::Model>>;

/// The members that are asked for, and those whose keys are.
#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
async fn members(
    db: &impl ConnectionTrait,
    ids: Vec<TeamMembershipId>,
    keys: impl Iterator<Item = &Arc<api_key::Model>>,
) -> Result<Members> {
    use team_membership::Column;
    let places: BTreeSet<_> = keys.filter_map(|key| key.team_id.zip(key.user_id)).collect();
    let mut any = Condition::any();
    if !ids.is_empty() {
        any = any.add(Column::Id.is_in(ids));
    }
    // Both columns by themselves find a few more than the pairs, and use an index.
    if !places.is_empty() {
        let teams: BTreeSet<_> = places.iter().map(|(team, _)| *team).collect();
        let users: BTreeSet<_> = places.iter().map(|(_, user)| *user).collect();
        any = any.add(
            Condition::all().add(Column::TeamId.is_in(teams)).add(Column::UserId.is_in(users)),
        );
    }
    if any.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = team_membership::Entity::find().filter(any).all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
}

#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
async fn aliases(
    db: &impl ConnectionTrait,
    teams: impl Iterator<Item = TeamId>,
    keys: impl Iterator<Item = ApiKeyId>,
) -> Result<HashMap<Scope, Vec<model_alias::Model>>> {
    let scopes: Vec<_> = teams.map(Scope::team).chain(keys.map(Scope::api_key)).collect();
    let mut found: HashMap<Scope, Vec<model_alias::Model>> = HashMap::new();
    if scopes.is_empty() {
        return Ok(found);
    }
    let any = by_kind(&scopes).into_iter().fold(Condition::any(), |any, (kind, ids)| {
        let of_kind = model_alias::Column::ScopeKind.eq(kind);
        any.add(of_kind.and(model_alias::Column::ScopeId.is_in(ids)))
    });
    for row in model_alias::Entity::find().filter(any).all(db).await? {
        let scope = Scope { kind: row.scope_kind, id: row.scope_id };
        found.entry(scope).or_default().push(row);
    }
    Ok(found)
}
