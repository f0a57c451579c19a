//! What a decision needs to know, as it was at a moment: of a key, of an end user, of tags.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, Id, OrganizationId};
use entity::role::{Counting, ScopeKind};
use entity::value::{PlatformSettings, Usd};
use entity::{budget, budget_assignment, end_user, tag};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::catalogue::Catalogue;
use super::chain::{Chain, chains};
use super::room::Account;
use crate::domain::scope::{Scope, by_kind};
use crate::error::Result;

/// A budget in force on a scope.
#[derive(Clone, Debug)]
pub struct BoundBudget {
    /// The scope.
    pub scope: Scope,
    /// Whose counters count: the scope, or the budget itself for a common pot.
    pub counter: Uuid,
    /// The budget.
    pub budget: Arc<budget::Model>,
}

/// What is known of a key.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The key, and what is above it.
    pub chain: Chain,
    /// The budgets that every call of the key is held against, innermost scope first: of the key, the
    /// member, the project, the team, the organization, the person, the tags that the key, its project
    /// and its team carry, and the platform.
    pub budgets: Vec<BoundBudget>,
    /// The tags that every call of the key carries.
    pub tags: BTreeSet<String>,
    /// Those of them that have a row.
    pub tag_rows: Vec<tag::Model>,
}

/// What is known of an end user.
#[derive(Clone, Debug)]
pub struct EndUserFacts {
    /// The id by which the call names it.
    pub external_id: String,
    /// The row; none for one that nobody made.
    pub row: Option<end_user::Model>,
    /// Its budgets; for one that nobody made, those that the settings give to such.
    pub budgets: Vec<BoundBudget>,
}

/// What is known of the tags that a call brings beside those of its key.
#[derive(Clone, Debug, Default)]
pub struct TagFacts {
    /// The rows of those that have one.
    pub rows: Vec<tag::Model>,
    /// Their budgets.
    pub budgets: Vec<BoundBudget>,
}

/// What was spent and held of a budget in its current window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What was spent.
    pub spent: Usd,
    /// What is held for calls under way.
    pub reserved: Usd,
    /// When the window ends; none for a window without end.
    pub resets_at: Option<DateTime<Utc>>,
}

/// Tells the counters of budgets.
pub trait Counters {
    /// The counters of a budget in the window in which an instant lies.
    fn of(&self, budget: &BoundBudget, at: DateTime<Utc>) -> Counted;
}

/// Everything that a decision is made from.
pub struct World<'a> {
    /// The key.
    pub facts: &'a Facts,
    /// The end user that the call names.
    pub end_user: Option<&'a EndUserFacts>,
    /// The tags that the call brings.
    pub tags: &'a TagFacts,
    /// The models.
    pub catalogue: &'a Catalogue,
    /// The settings of the platform.
    pub settings: &'a PlatformSettings,
    /// The counters.
    pub counters: &'a dyn Counters,
    /// The time.
    pub now: DateTime<Utc>,
}

impl World<'_> {
    /// The budgets that a call is held against, in the order of judgement.
    pub fn budgets(&self) -> impl Iterator<Item = &BoundBudget> {
        let end_user = self.end_user.into_iter().flat_map(|end_user| &end_user.budgets);
        let (own, platform) = self.facts.held(self.settings);
        own.into_iter().chain(end_user).chain(&self.tags.budgets).chain(platform)
    }

    /// A budget, with what it counts now.
    pub fn account<'a>(&self, bound: &'a BoundBudget) -> Account<'a> {
        Account { budget: &bound.budget, counted: self.counters.of(bound, self.now) }
    }
}

impl Facts {
    /// The budgets that every call of the key is held against, in the order of judgement: what is its
    /// own, and those of the platform, before which those come that only the call knows. Those of the
    /// person hold in a team where the settings say so.
    pub fn held(&self, settings: &PlatformSettings) -> (Vec<&BoundBudget>, Vec<&BoundBudget>) {
        let binds_person = self.chain.team.is_none() || settings.user_budgets_hold_in_teams;
        let binds = |bound: &&BoundBudget| bound.scope.kind != ScopeKind::User || binds_person;
        let is_own = |bound: &&BoundBudget| bound.scope.kind != ScopeKind::Platform;
        self.budgets.iter().filter(binds).partition(is_own)
    }
}

/// Finds the facts of keys, in a number of statements that does not grow with theirs. Keys that are no
/// more are left out.
///
/// # Errors
/// What the database answers.
pub async fn load(
    db: &impl ConnectionTrait,
    keys: &[ApiKeyId],
) -> Result<HashMap<ApiKeyId, Facts>> {
    let scopes: Vec<_> = keys.iter().map(|key| Scope::api_key(*key)).collect();
    let chains = chains(db, &scopes).await?;
    let words: BTreeSet<_> = chains.values().flat_map(labels).collect();
    let rows = tag_rows(db, &words).await?;
    let mut wanted: BTreeSet<Scope> = chains.values().flat_map(counting).collect();
    wanted.extend(rows.iter().map(|row| Scope::tag(row.id)));
    let wanted: Vec<_> = wanted.into_iter().collect();
    let bound = budgets(db, &wanted).await?;
    let of = |scope: &Scope| bound.get(scope).cloned().unwrap_or_default();
    let facts = |chain: Chain| {
        let tags: BTreeSet<_> = labels(&chain).collect();
        let organization = chain.organization.as_ref().map(|row| row.id);
        let counts = |row: &&tag::Model| {
            tags.contains(&row.name) && is_counted_in(row.organization_id, organization)
        };
        let tag_rows: Vec<_> = rows.iter().filter(counts).cloned().collect();
        let own = counting(&chain);
        let tagged = tag_rows.iter().map(|row| Scope::tag(row.id));
        let budgets = own.into_iter().chain(tagged).flat_map(|scope| of(&scope)).collect();
        Facts { chain, budgets, tags, tag_rows }
    };
    let keyed = |(scope, chain): (Scope, Chain)| (ApiKeyId::from_uuid(scope.id), facts(chain));
    Ok(chains.into_iter().map(keyed).collect())
}

/// The scopes that count a call of a key, innermost first.
pub fn counting(chain: &Chain) -> Vec<Scope> {
    [
        chain.key_scope(),
        chain.membership.as_ref().map(|row| Scope::membership(row.id)),
        chain.project.as_ref().map(|row| Scope::project(row.id)),
        chain.team_scope(),
        chain.organization.as_ref().map(|row| Scope::organization(row.id)),
        chain.user.as_ref().map(|row| Scope::user(row.id)),
        Some(Scope::platform()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The tags that every call of a key carries.
fn labels(chain: &Chain) -> impl Iterator<Item = String> {
    let key = chain.key.iter().flat_map(|row| &row.tags.0);
    let project = chain.project.iter().flat_map(|row| &row.tags.0);
    let team = chain.team.iter().flat_map(|row| &row.tags.0);
    key.chain(project).chain(team).cloned()
}

/// Whether a tag of an organization, or of the platform, counts calls made in an organization.
fn is_counted_in(tag: Option<OrganizationId>, organization: Option<OrganizationId>) -> bool {
    tag.is_none() || tag == organization
}

/// What is known of an end user: of the key's team, else of its organization, else of the platform
/// (`docs/adr/0024-where-end-users-and-tags-belong.md`).
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
pub async fn end_user(
    db: &impl ConnectionTrait,
    chain: &Chain,
    external_id: &str,
) -> Result<EndUserFacts> {
    use end_user::Column;
    let (team, organization) = (chain.team_id(), chain.organization.as_ref().map(|row| row.id));
    let somewhere = Condition::any()
        .add_option(team.map(|id| Column::TeamId.eq(id)))
        .add_option(organization.map(|id| Column::OrganizationId.eq(id)))
        .add(Condition::all().add(Column::TeamId.is_null()).add(Column::OrganizationId.is_null()));
    let select = end_user::Entity::find().filter(Column::ExternalId.eq(external_id));
    let rows = select.filter(somewhere).all(db).await?;
    let near = |row: &end_user::Model| (row.team_id.is_some(), row.organization_id.is_some());
    let row = rows.into_iter().max_by_key(near);
    let scope = match &row {
        Some(row) => Scope::end_user(row.id),
        None => Scope::platform_default(ScopeKind::EndUserDefault),
    };
    let mut budgets = budgets(db, &[scope]).await?.remove(&scope).unwrap_or_default();
    if row.is_none() {
        let place = team.map(Id::uuid).or(organization.map(Id::uuid)).unwrap_or_default();
        let unknown = unknown_end_user(place, external_id);
        for bound in &mut budgets {
            bound.scope = Scope { kind: ScopeKind::EndUser, id: unknown };
            bound.counter = unknown;
        }
    }
    Ok(EndUserFacts { external_id: external_id.to_owned(), row, budgets })
}

/// The id under which an end user that nobody made is counted, at the team, the organization or the
/// platform (nil) that its calls come from: a UUID of version 8 (RFC 9562, 5.8).
pub fn unknown_end_user(place: Uuid, external_id: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(b"tollkeep end user v1")
        .chain_update(place.as_bytes())
        .chain_update(external_id.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Whether an id counts an end user that nobody made: rows have ids of version 7.
pub fn is_unknown_end_user(id: Uuid) -> bool {
    id.get_version_num() == 8
}

/// What is known of tags that a call of a key brings, beside those that it carries anyhow.
///
/// # Errors
/// What the database answers.
pub async fn tags(db: &impl ConnectionTrait, facts: &Facts, words: &[String]) -> Result<TagFacts> {
    let new = words.iter().filter(|word| !facts.tags.contains(*word)).cloned().collect();
    let organization = facts.chain.organization.as_ref().map(|row| row.id);
    let mut rows = tag_rows(db, &new).await?;
    rows.retain(|row| is_counted_in(row.organization_id, organization));
    let scopes: Vec<_> = rows.iter().map(|row| Scope::tag(row.id)).collect();
    let mut bound = budgets(db, &scopes).await?;
    let budgets = scopes.iter().flat_map(|scope| bound.remove(scope).unwrap_or_default());
    Ok(TagFacts { budgets: budgets.collect(), rows })
}

#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
async fn tag_rows(db: &impl ConnectionTrait, words: &BTreeSet<String>) -> Result<Vec<tag::Model>> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let words = words.iter().map(String::as_str);
    let select = tag::Entity::find().filter(tag::Column::Name.is_in(words));
    Ok(select.order_by_asc(tag::Column::Id).all(db).await?)
}

/// The budgets in force on scopes, whoever asks, in the order in which they came into force.
#[expect(clippy::disallowed_methods, reason = "what may be called is judged whoever asks")]
async fn budgets(
    db: &impl ConnectionTrait,
    scopes: &[Scope],
) -> Result<HashMap<Scope, Vec<BoundBudget>>> {
    use budget_assignment::Column;
    let mut found: HashMap<Scope, Vec<BoundBudget>> = HashMap::new();
    if scopes.is_empty() {
        return Ok(found);
    }
    let any = by_kind(scopes).into_iter().fold(Condition::any(), |any, (kind, ids)| {
        let of_kind = Condition::all().add(Column::ScopeKind.eq(kind));
        any.add(of_kind.add(Column::ScopeId.is_in(ids)))
    });
    let select = budget_assignment::Entity::find().find_also_related(budget::Entity).filter(any);
    for (row, budget) in select.order_by_asc(Column::Id).all(db).await? {
        let Some(budget) = budget.map(Arc::new) else { continue };
        let scope = Scope { kind: row.scope_kind, id: row.scope_id };
        let counter = match row.counting {
            Counting::Each => row.scope_id,
            Counting::Shared => row.budget_id.uuid(),
        };
        found.entry(scope).or_default().push(BoundBudget { scope, counter, budget });
    }
    Ok(found)
}
