//! Credentials in, [`Actor`] out. Every failure is the same [`Error::Unauthenticated`]; a database
//! that does not answer is [`Error::Unavailable`], never an identity.

pub mod last_used;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use entity::id::{OrganizationId, ProjectId, TeamId, UserId};
use entity::role::{OrganizationRole, TeamRole};
use entity::value::Digest;
use entity::{
    api_key, api_key_secret, organization_membership, project, team, team_membership, user,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::authz::{Actor, TeamGrant};
use crate::clock::Clock;
use crate::db::{Counted, Database, Deployment, StatementCount};
use crate::error::{Error, Result};
use crate::secret::{LONGEST, Pepper, Secret, digest_of, same};
use last_used::LastUsed;

/// Checks credentials.
#[derive(Clone, Debug)]
pub struct Authenticator {
    database: Database,
    clock: Clock,
    pepper: Arc<Pepper>,
    bootstrap: Option<Digest>,
    self_serve_teams: bool,
    last_used: LastUsed,
    is_for_gateways: bool,
}

impl Authenticator {
    /// An authenticator; `bootstrap` is the digest of the bootstrap admin key.
    pub fn new(deployment: &Deployment, bootstrap: Option<Digest>, last_used: LastUsed) -> Self {
        Self {
            database: deployment.database.clone(),
            clock: deployment.clock.clone(),
            pepper: Arc::clone(&deployment.pepper),
            bootstrap,
            self_serve_teams: deployment.rules.self_serve_teams,
            last_used,
            is_for_gateways: false,
        }
    }

    /// The same on the connections of checks, which no query of people uses up.
    #[must_use]
    pub fn for_gateways(&self) -> Self {
        Self { is_for_gateways: true, ..self.clone() }
    }

    /// Whom a presented secret stands for, with the rights of its owner as they are now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for every secret that is not in force, whatever the reason;
    /// database errors as they are.
    pub async fn authenticate(&self, presented: &str, count: &StatementCount) -> Result<Actor> {
        if presented.len() > LONGEST {
            return Err(Error::Unauthenticated);
        }
        let digest = digest_of(presented, &self.pepper);
        if !self.is_bootstrap(&digest) && Secret::presented(presented).is_none() {
            return Err(Error::Unauthenticated);
        }
        self.check(&digest, count).await
    }

    /// A credential that was checked, to be checked again while its request lasts.
    pub fn credential(&self, presented: &str) -> Credential {
        let digest = digest_of(presented, &self.pepper);
        Credential { authenticator: self.clone(), digest }
    }

    /// Whether a presented secret is the bootstrap admin key.
    pub fn is_bootstrap_key(&self, presented: &str) -> bool {
        presented.len() <= LONGEST && self.is_bootstrap(&digest_of(presented, &self.pepper))
    }

    fn is_bootstrap(&self, digest: &Digest) -> bool {
        self.bootstrap.as_ref().is_some_and(|own| same(own, digest))
    }

    async fn check(&self, digest: &Digest, count: &StatementCount) -> Result<Actor> {
        if self.is_bootstrap(digest) {
            return Ok(Actor::bootstrap());
        }
        let connections =
            if self.is_for_gateways { self.database.checking() } else { self.database.reading() };
        let db = Counted::new(connections.clone(), count.clone());
        let now = self.clock.now();
        let (stored, key) = find(&db, digest).await?.ok_or(Error::Unauthenticated)?;
        let expired = |at: Option<chrono::DateTime<chrono::Utc>>| at.is_some_and(|at| at <= now);
        if !same(&stored.digest, digest)
            || expired(stored.not_after)
            || expired(key.expires_at)
            || key.blocked_by.is_some()
        {
            return Err(Error::Unauthenticated);
        }
        let owner = match key.user_id {
            Some(id) => Some(Owner::find(&db, id).await?.ok_or(Error::Unauthenticated)?),
            None => None,
        };
        if owner.as_ref().is_some_and(|owner| owner.user.blocked_by.is_some()) {
            return Err(Error::Unauthenticated);
        }
        if let Some(id) = key.team_id {
            let team = match &owner {
                // Whoever has left the team cannot use a key in it.
                Some(owner) => owner.teams.get(&id).map(|(_, team)| team.clone()),
                None => team_of(&db, id).await?,
            };
            if team.is_none_or(|team| team.blocked_by.is_some()) {
                return Err(Error::Unauthenticated);
            }
        }
        if let Some(id) = key.project_id
            && project_of(&db, id).await?.is_none_or(|project| project.blocked_by.is_some())
        {
            return Err(Error::Unauthenticated);
        }
        self.last_used.note(key.id, now);
        let (user, organizations, teams) = match owner {
            Some(owner) => {
                let grant = |(role, team): (_, team::Model)| TeamGrant::new(role, &team);
                let teams = owner.teams.into_iter().map(|(id, row)| (id, grant(row))).collect();
                (Some(owner.user), owner.organizations, teams)
            }
            None => (None, BTreeMap::new(), BTreeMap::new()),
        };
        let ends_at = stored.not_after;
        Ok(Actor::with_key(key, ends_at, user, organizations, teams, self.self_serve_teams))
    }
}

/// The credential of a request. A request may last: its body may come slowly, and a document may
/// have many mutations; what its caller may do is looked up again before each of them.
#[derive(Clone, Debug)]
pub struct Credential {
    authenticator: Authenticator,
    digest: Digest,
}

impl Credential {
    /// How long a check holds within a request.
    pub const HOLDS: Duration = Duration::from_millis(50);

    /// Whom the credential stands for now.
    ///
    /// # Errors
    /// Those of [`Authenticator::authenticate`].
    pub async fn check(&self, count: &StatementCount) -> Result<Actor> {
        self.authenticator.check(&self.digest, count).await
    }
}

#[expect(clippy::disallowed_methods, reason = "a credential is looked up before there is an actor")]
async fn find(
    db: &Connection,
    digest: &Digest,
) -> Result<Option<(api_key_secret::Model, api_key::Model)>> {
    let select = api_key_secret::Entity::find()
        .filter(api_key_secret::Column::Digest.eq(digest.clone()))
        .find_also_related(api_key::Entity);
    let found = select.one(db).await?;
    Ok(found.and_then(|(secret, key)| Some((secret, key?))))
}

#[expect(clippy::disallowed_methods, reason = "a credential is looked up before there is an actor")]
async fn team_of(db: &Connection, id: TeamId) -> Result<Option<team::Model>> {
    Ok(team::Entity::find_by_id(id).one(db).await?)
}

#[expect(clippy::disallowed_methods, reason = "a credential is looked up before there is an actor")]
async fn project_of(db: &Connection, id: ProjectId) -> Result<Option<project::Model>> {
    Ok(project::Entity::find_by_id(id).one(db).await?)
}

type Connection = Counted<sea_orm::DatabaseConnection>;

/// The person behind a key, with everything that gives rights.
struct Owner {
    user: user::Model,
    organizations: BTreeMap<OrganizationId, OrganizationRole>,
    teams: BTreeMap<TeamId, (TeamRole, team::Model)>,
}

impl Owner {
    #[expect(clippy::disallowed_methods, reason = "rights are looked up before there is an actor")]
    async fn find(db: &Connection, id: UserId) -> Result<Option<Self>> {
        let user = user::Entity::find_by_id(id).find_with_related(organization_membership::Entity);
        let teams = team_membership::Entity::find()
            .filter(team_membership::Column::UserId.eq(id))
            .find_also_related(team::Entity);
        let (users, teams) = tokio::try_join!(user.all(db), teams.all(db))?;
        let Some((user, organizations)) = users.into_iter().next() else { return Ok(None) };
        let organizations =
            organizations.into_iter().map(|row| (row.organization_id, row.role)).collect();
        let teams = teams
            .into_iter()
            .filter_map(|(member, team)| Some((member.team_id, (member.role, team?))))
            .collect();
        Ok(Some(Self { user, organizations, teams }))
    }
}
