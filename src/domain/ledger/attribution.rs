//! Whom a call is charged to: the scopes of its key, its end user and its labels, and the budgets in
//! force on them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use entity::id::{
    ApiKeyId, EndUserId, Id, OrganizationId, ProjectId, TagId, TeamId, TeamMembershipId, UserId,
};
use entity::role::{Counting, ScopeKind};
use entity::value::Words;
use entity::{budget, usage_event};
use sea_orm::{ActiveEnum, ConnectionTrait, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::former::former;
use crate::db::bulk::Bulk;
use crate::domain::access::facts::{
    BoundBudget, EndUserFacts, Facts, TagFacts, is_unknown_end_user, unknown_end_user,
};
use crate::domain::scope::Scope;
use crate::domain::settings;
use crate::error::Result;

/// Whom a call is charged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The key.
    pub api_key: ApiKeyId,
    /// The organization of its team.
    pub organization: Option<OrganizationId>,
    /// Its team.
    pub team: Option<TeamId>,
    /// Its owner, as a member of the team.
    pub membership: Option<TeamMembershipId>,
    /// Its project.
    pub project: Option<ProjectId>,
    /// Its owner.
    pub user: Option<UserId>,
    /// The end user, if somebody made it.
    pub end_user: Option<EndUserId>,
    /// The tags of its labels, of those that somebody made.
    pub tags: Vec<TagId>,
}

impl Attribution {
    /// A key by itself.
    pub fn of_key(api_key: ApiKeyId) -> Self {
        Self {
            api_key,
            organization: None,
            team: None,
            membership: None,
            project: None,
            user: None,
            end_user: None,
            tags: Vec::new(),
        }
    }

    /// Whom an event was charged to.
    pub fn of_event(event: &usage_event::Model) -> Self {
        Self {
            organization: event.organization_id,
            team: event.team_id,
            membership: event.team_membership_id,
            project: event.project_id,
            user: event.user_id,
            end_user: event.end_user_id,
            tags: event.tag_ids.0.iter().map(|id| TagId::from_uuid(*id)).collect(),
            ..Self::of_key(event.api_key_id)
        }
    }

    /// A call of a key, on behalf of an end user if it names one, with the tags that it brings.
    pub fn of_call(
        facts: &Facts,
        end_user: Option<&EndUserFacts>,
        tags: &TagFacts,
    ) -> Option<Self> {
        let chain = &facts.chain;
        let tags = facts.tag_rows.iter().chain(&tags.rows).map(|row| row.id);
        Some(Self {
            organization: chain.organization.as_ref().map(|row| row.id),
            team: chain.team_id(),
            membership: chain.membership.as_ref().map(|row| row.id),
            project: chain.project.as_ref().map(|row| row.id),
            user: chain.user.as_ref().map(|row| row.id),
            end_user: end_user.and_then(|end_user| end_user.row.as_ref()).map(|row| row.id),
            tags: tags.collect(),
            ..Self::of_key(chain.key.as_ref()?.id)
        })
    }

    /// The scopes that are charged, outermost first.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        [
            self.organization.map(Scope::organization),
            self.team.map(Scope::team),
            self.membership.map(Scope::membership),
            self.project.map(Scope::project),
            self.user.map(Scope::user),
            Some(Scope::api_key(self.api_key)),
            self.end_user.map(Scope::end_user),
        ]
        .into_iter()
        .flatten()
        .chain(self.tags.iter().copied().map(Scope::tag))
    }
}

/// A call whose charges are looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    pub(super) key: ApiKeyId,
    pub(super) end_user: Option<&'a str>,
    pub(super) tags: &'a [String],
}

/// What was found of a call.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) attribution: Attribution,
    /// The call's labels and those of its key, project and team, in the order of the alphabet.
    pub(super) labels: Words,
    /// Where budgets in force are looked for: the scopes, and what holds for end users that nobody
    /// made.
    pub(super) bound: Vec<Scope>,
}

/// A key with all that is above it.
pub(super) struct Key {
    pub(super) attribution: Attribution,
    /// The labels of the key, its project and its team.
    pub(super) labels: BTreeSet<String>,
}

/// Whom calls are charged to, whoever asks, in a number of statements that does not grow with
/// theirs. A key that is no more is charged where it stood; one that never was has nothing.
pub(super) async fn find(
    db: &impl ConnectionTrait,
    callers: &[Caller<'_>],
) -> Result<Vec<Option<Found>>> {
    let ids: BTreeSet<_> = callers.iter().map(|caller| caller.key).collect();
    let mut keys = keys(db, &ids).await?;
    let gone: BTreeSet<_> = ids.into_iter().filter(|id| !keys.contains_key(id)).collect();
    if !gone.is_empty() {
        keys.extend(former(db, &gone).await?);
    }
    let names: BTreeSet<_> = callers.iter().filter_map(|caller| caller.end_user).collect();
    let end_users = end_users(db, &names).await?;
    let labels: BTreeSet<&str> = keys
        .values()
        .flat_map(|key| key.labels.iter().map(String::as_str))
        .chain(callers.iter().flat_map(|caller| caller.tags.iter().map(String::as_str)))
        .collect();
    let tags = tags(db, &labels).await?;
    let settings = settings::find(db).await?;
    let found = callers.iter().map(|caller| {
        let key = keys.get(&caller.key)?;
        let mut attribution = key.attribution.clone();
        let mut labels = key.labels.clone();
        labels.extend(caller.tags.iter().cloned());
        let at = |place: &(Option<OrganizationId>, Option<TeamId>)| match place {
            (_, Some(team)) => attribution.team == Some(*team),
            (Some(organization), None) => attribution.organization == Some(*organization),
            (None, None) => true,
        };
        let nearest = caller.end_user.and_then(|name| end_users.get(name)).and_then(|rows| {
            let near = rows.iter().filter(|(_, place)| at(place));
            near.max_by_key(|(_, (organization, team))| (team.is_some(), organization.is_some()))
        });
        let mine = |organization: &Option<OrganizationId>| {
            organization.is_none() || *organization == attribution.organization
        };
        let of_label = |label: &String| {
            let rows = tags.get(label.as_str()).map(Vec::as_slice).unwrap_or_default();
            rows.iter().filter(|(_, organization)| mine(organization)).map(|(id, _)| *id)
        };
        let tags: Vec<_> = labels.iter().flat_map(of_label).collect();
        attribution.end_user = nearest.map(|(id, _)| *id);
        attribution.tags = tags;
        let binds_person = attribution.team.is_none() || settings.user_budgets_hold_in_teams;
        let binds = |scope: &Scope| scope.kind != ScopeKind::User || binds_person;
        let mut bound: Vec<_> = attribution.scopes().filter(binds).collect();
        bound.push(Scope::platform());
        if let (Some(name), None) = (caller.end_user, attribution.end_user) {
            bound.push(unmade(&attribution, name));
        }
        Some(Found { attribution, labels: Words(labels.into_iter().collect()), bound })
    });
    Ok(found.collect())
}

/// What counts for an end user that nobody made: a scope of the platform's defaults for end users,
/// with an id that the name has where it is called.
fn unmade(attribution: &Attribution, name: &str) -> Scope {
    let organization = attribution.organization.map(Id::uuid);
    let place = attribution.team.map(Id::uuid).or(organization).unwrap_or_default();
    Scope { kind: ScopeKind::EndUserDefault, id: unknown_end_user(place, name) }
}

pub(super) fn optional<T: Id>(row: &QueryResult, column: &str) -> Result<Option<T>> {
    Ok(row.try_get::<Option<Uuid>>("", column)?.map(T::from_uuid))
}

async fn keys(
    db: &impl ConnectionTrait,
    ids: &BTreeSet<ApiKeyId>,
) -> Result<HashMap<ApiKeyId, Key>> {
    let statement = Bulk::new().uuid("id", ids.iter().map(|id| id.uuid())).statement(
        db.get_database_backend(),
        "SELECT k.id, k.team_id, k.project_id, k.user_id, k.tags, t.organization_id, \
         t.tags AS team_tags, p.tags AS project_tags, m.id AS membership_id \
         FROM v JOIN api_keys k ON k.id = v.id \
         LEFT JOIN teams t ON t.id = k.team_id \
         LEFT JOIN projects p ON p.id = k.project_id \
         LEFT JOIN team_memberships m ON m.team_id = k.team_id AND m.user_id = k.user_id",
    );
    let rows = db.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| {
            let id = ApiKeyId::from_uuid(row.try_get("", "id")?);
            let attribution = Attribution {
                organization: optional(row, "organization_id")?,
                team: optional(row, "team_id")?,
                membership: optional(row, "membership_id")?,
                project: optional(row, "project_id")?,
                user: optional(row, "user_id")?,
                ..Attribution::of_key(id)
            };
            let mut labels = BTreeSet::new();
            for column in ["tags", "team_tags", "project_tags"] {
                labels.extend(row.try_get::<Option<Words>>("", column)?.unwrap_or_default().0);
            }
            Ok((id, Key { attribution, labels }))
        })
        .collect()
}

type Place = (Option<OrganizationId>, Option<TeamId>);

async fn end_users(
    db: &impl ConnectionTrait,
    names: &BTreeSet<&str>,
) -> Result<HashMap<String, Vec<(EndUserId, Place)>>> {
    let mut found: HashMap<String, Vec<_>> = HashMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    let statement =
        Bulk::new().text("name", names.iter().map(|name| (*name).to_owned())).statement(
            db.get_database_backend(),
            "SELECT u.id, u.external_id, u.organization_id, u.team_id \
             FROM v JOIN end_users u ON u.external_id = v.name",
        );
    for row in db.query_all_raw(statement).await? {
        let place = (optional(&row, "organization_id")?, optional(&row, "team_id")?);
        let id = EndUserId::from_uuid(row.try_get("", "id")?);
        found.entry(row.try_get("", "external_id")?).or_default().push((id, place));
    }
    Ok(found)
}

async fn tags(
    db: &impl ConnectionTrait,
    labels: &BTreeSet<&str>,
) -> Result<HashMap<String, Vec<(TagId, Option<OrganizationId>)>>> {
    let mut found: HashMap<String, Vec<_>> = HashMap::new();
    if labels.is_empty() {
        return Ok(found);
    }
    let statement =
        Bulk::new().text("name", labels.iter().map(|label| (*label).to_owned())).statement(
            db.get_database_backend(),
            "SELECT t.id, t.name, t.organization_id FROM v JOIN tags t ON t.name = v.name",
        );
    for row in db.query_all_raw(statement).await? {
        let tag = (TagId::from_uuid(row.try_get("", "id")?), optional(&row, "organization_id")?);
        found.entry(row.try_get("", "name")?).or_default().push(tag);
    }
    Ok(found)
}

/// The scope as [`bound`] is asked for it, of a budget that it found.
pub(super) fn wanted(scope: Scope) -> Scope {
    match scope.kind {
        ScopeKind::EndUser if is_unknown_end_user(scope.id) => {
            Scope { kind: ScopeKind::EndUserDefault, id: scope.id }
        }
        _ => scope,
    }
}

/// Where what is in force on a scope is assigned: what holds for every end user that nobody made
/// stands in one place.
pub(super) fn stored(scope: &Scope) -> Scope {
    match scope.kind {
        ScopeKind::EndUserDefault => Scope::platform_default(ScopeKind::EndUserDefault),
        _ => *scope,
    }
}

/// The budgets in force on scopes, whoever asks.
pub(super) async fn bound(
    db: &impl ConnectionTrait,
    scopes: &BTreeSet<Scope>,
) -> Result<BTreeMap<Scope, Vec<BoundBudget>>> {
    let wanted: BTreeSet<_> = scopes.iter().map(stored).collect();
    let statement = Bulk::new()
        .text("kind", wanted.iter().map(|scope| scope.kind.to_value()))
        .uuid("scope", wanted.iter().map(|scope| scope.id))
        .statement(
            db.get_database_backend(),
            "SELECT a.scope_kind, a.scope_id, a.counting, b.* FROM v \
             JOIN budget_assignments a ON a.scope_kind = v.kind AND a.scope_id = v.scope \
             JOIN budgets b ON b.id = a.budget_id ORDER BY a.id",
        );
    let mut found: BTreeMap<Scope, Vec<(Counting, Arc<budget::Model>)>> = BTreeMap::new();
    for row in db.query_all_raw(statement).await? {
        let scope =
            Scope { kind: row.try_get("", "scope_kind")?, id: row.try_get("", "scope_id")? };
        let budget = Arc::new(budget::Model::from_query_result(&row, "")?);
        found.entry(scope).or_default().push((row.try_get("", "counting")?, budget));
    }
    let bind = |scope: &Scope| {
        let budgets = found.get(&stored(scope)).map(Vec::as_slice).unwrap_or_default();
        // One that nobody made is an end user like others, but for its row.
        let shown = match scope.kind {
            ScopeKind::EndUserDefault => Scope { kind: ScopeKind::EndUser, id: scope.id },
            _ => *scope,
        };
        let bind = |(counting, budget): &(Counting, Arc<budget::Model>)| BoundBudget {
            scope: shown,
            counter: match counting {
                Counting::Shared if shown == *scope => budget.id.uuid(),
                Counting::Each | Counting::Shared => scope.id,
            },
            budget: Arc::clone(budget),
        };
        (*scope, budgets.iter().map(bind).collect())
    };
    Ok(scopes.iter().map(bind).collect())
}
