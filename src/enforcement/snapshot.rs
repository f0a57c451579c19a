//! What checks of calls know, as it was read from the database: of secrets, keys, end users and tags,
//! of the catalogue and the settings, and what each of these depends on.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, OrganizationId, TeamId};
use entity::role::{ApiKeyKind, EntityKind};
use entity::value::{Digest, PlatformSettings};
use entity::{api_key_secret, end_user, tag};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};

use super::cache::{Keep, Read, Source};
use super::counters::{Counter, Counters};
use super::marks::{ACCESS_GROUPS, MODELS, NEW_KEY};
use super::shared::Shared;
use crate::audit::Touched;
use crate::audit::touched::{self, SETTINGS, object};
use crate::clock::Clock;
use crate::db::{Counted, Database, StatementCount};
use crate::domain::access::{
    BoundBudget, Catalogue, EndUserFacts, Facts, TagFacts, catalogue, facts,
};
use crate::domain::model_access::covers;
use crate::domain::settings;
use crate::error::Result;

/// The path under which gateways ask.
pub const PATH: &str = "/v1/check";

/// The path at which gateways report what calls used.
pub const USAGE_PATH: &str = "/v1/usage";

/// What all sources read with.
#[derive(Clone)]
pub(super) struct Reads {
    pub(super) database: Database,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) shared: Arc<Shared>,
}

impl Reads {
    fn db(&self, count: &StatementCount) -> Counted<DatabaseConnection> {
        Counted::new(self.database.checking().clone(), count.clone())
    }
}

/// Whose secret it is, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecretFacts {
    pub(super) key: ApiKeyId,
    pub(super) ends_at: Option<DateTime<Utc>>,
}

/// Secrets, by their digests.
pub(super) struct Secrets(pub(super) Reads);

impl Source for Secrets {
    type Key = [u8; 32];
    type Value = Option<SecretFacts>;

    #[expect(
        clippy::disallowed_methods,
        reason = "a credential is looked up before there is an actor"
    )]
    async fn read(
        &self,
        keys: &[[u8; 32]],
        count: &StatementCount,
    ) -> Result<Vec<Read<Self::Value>>> {
        let digests = keys.iter().map(|key| Digest(key.to_vec()));
        let select =
            api_key_secret::Entity::find().filter(api_key_secret::Column::Digest.is_in(digests));
        let rows = select.all(&self.0.db(count)).await?;
        let found = |key: &[u8; 32]| {
            let Some(row) = rows.iter().find(|row| row.digest.0 == key) else {
                return Read { value: None, objects: [NEW_KEY].into(), keep: Keep::Briefly };
            };
            let value = SecretFacts { key: row.api_key_id, ends_at: row.not_after };
            let objects = [object(EntityKind::ApiKey, row.api_key_id)].into();
            Read { value: Some(value), objects, keep: Keep::UntilItChanges }
        };
        Ok(keys.iter().map(found).collect())
    }
}

/// What is known of a key.
#[derive(Debug)]
pub struct KeyFacts {
    /// The key, what is above it, and the budgets of all that.
    pub facts: Facts,
    /// The counters of the budgets.
    pub(super) counters: Box<[Arc<Counter>]>,
    /// Whether it is a gateway's, and its routes let it ask.
    pub may_ask: bool,
    /// Whether they let it report what calls used, which whoever holds something has to do.
    pub may_hold: bool,
}

impl KeyFacts {
    /// The id of the key.
    pub fn id(&self) -> Option<ApiKeyId> {
        self.facts.chain.key.as_ref().map(|key| key.id)
    }
}

/// Keys, by their ids.
pub(super) struct Keys(pub(super) Reads);

impl Source for Keys {
    type Key = ApiKeyId;
    type Value = Option<Arc<KeyFacts>>;

    async fn read(
        &self,
        keys: &[ApiKeyId],
        count: &StatementCount,
    ) -> Result<Vec<Read<Self::Value>>> {
        let db = self.0.db(count);
        let mut found = facts::load(&db, keys).await?;
        let bound = found.values().flat_map(|facts| &facts.budgets);
        let counters = self.0.counters.read(&db, bound, self.0.clock.now()).await?;
        let read = |id: &ApiKeyId| {
            let Some(mut facts) = found.remove(id) else {
                let objects = [object(EntityKind::ApiKey, *id), NEW_KEY].into();
                return Read { value: None, objects, keep: Keep::Briefly };
            };
            self.0.shared.share(&mut facts);
            let objects = objects_of(&facts);
            // Of what is missing nobody could say that it has come.
            let keep = if is_whole(&facts) { Keep::UntilItChanges } else { Keep::Never };
            let counters = counters.of(&facts.budgets);
            let (may_ask, may_hold) = (may(&facts, PATH), may(&facts, USAGE_PATH));
            let value = Some(Arc::new(KeyFacts { facts, counters, may_ask, may_hold }));
            Read { value, objects, keep }
        };
        Ok(keys.iter().map(read).collect())
    }
}

/// Whether a key is a gateway's whose routes, if it has a list, open a path. To ask is to read; to
/// report is not.
fn may(facts: &Facts, path: &str) -> bool {
    facts.chain.key.as_ref().is_some_and(|key| {
        let opens = |route: &String| {
            route == "management"
                || (path == PATH && route == "management:read")
                || (route.starts_with('/') && covers(route, path))
        };
        key.kind == ApiKeyKind::Gateway
            && key.allowed_routes.as_ref().is_none_or(|routes| routes.0.iter().any(opens))
    })
}

fn is_whole(facts: &Facts) -> bool {
    let chain = &facts.chain;
    chain.key.as_ref().is_some_and(|key| {
        key.user_id.is_some() == chain.user.is_some()
            && key.team_id.is_some() == chain.team.is_some()
            && key.project_id.is_some() == chain.project.is_some()
            && (key.user_id.is_none() || key.team_id.is_none() || chain.membership.is_some())
    })
}

/// What the facts of a key depend on: its rows, the budgets of all scopes that count it, and the names
/// of its tags, of which any may come to have budgets.
fn objects_of(facts: &Facts) -> BTreeSet<Touched> {
    let chain = &facts.chain;
    let mut objects: BTreeSet<_> = facts::counting(chain)
        .into_iter()
        .map(|scope| touched::owner(scope.kind, scope.id))
        .chain(facts.tags.iter().map(|name| named(EntityKind::Tag, name)))
        .chain(facts.tag_rows.iter().map(|row| object(EntityKind::Tag, row.id)))
        .collect();
    objects.extend(budgets(&facts.budgets));
    objects
}

fn named(kind: EntityKind, name: &str) -> Touched {
    (kind, touched::named(kind, name))
}

fn budgets(bound: &[BoundBudget]) -> impl Iterator<Item = Touched> {
    bound.iter().map(|bound| object(EntityKind::Budget, bound.budget.id))
}

/// What holds for every call.
#[derive(Debug)]
pub struct Globals {
    /// The models.
    pub catalogue: Catalogue,
    /// The settings of the platform.
    pub settings: PlatformSettings,
}

/// The one entry of what holds for every call.
pub(super) struct Everywhere(pub(super) Reads);

impl Source for Everywhere {
    type Key = ();
    type Value = Arc<Globals>;

    async fn read(&self, keys: &[()], count: &StatementCount) -> Result<Vec<Read<Self::Value>>> {
        let db = self.0.db(count);
        let (catalogue, settings) =
            tokio::try_join!(catalogue::catalogue(&db), settings::find(&db))?;
        let value = Arc::new(Globals { catalogue, settings });
        let read = || Read {
            value: Arc::clone(&value),
            objects: [MODELS, ACCESS_GROUPS, SETTINGS].into(),
            keep: Keep::UntilItChanges,
        };
        Ok(keys.iter().map(|()| read()).collect())
    }
}

/// An end user as the calls of a key name it.
#[derive(Clone, Debug)]
pub(super) struct EndUserKey {
    pub(super) key: Arc<KeyFacts>,
    pub(super) external_id: String,
}

impl EndUserKey {
    /// What tells end users apart: the places in which one is looked for, and the name.
    fn parts(&self) -> (Option<TeamId>, Option<OrganizationId>, &str) {
        let chain = &self.key.facts.chain;
        (chain.team_id(), chain.organization.as_ref().map(|row| row.id), &self.external_id)
    }
}

impl PartialEq for EndUserKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for EndUserKey {}

impl Hash for EndUserKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// What is known of an end user.
#[derive(Debug)]
pub struct EndUserEntry {
    /// The end user and its budgets.
    pub facts: EndUserFacts,
    /// The counters of the budgets.
    pub(super) counters: Box<[Arc<Counter>]>,
}

/// End users, by the names that calls give.
pub(super) struct EndUsers(pub(super) Reads);

impl Source for EndUsers {
    type Key = EndUserKey;
    type Value = Arc<EndUserEntry>;

    async fn read(
        &self,
        keys: &[EndUserKey],
        count: &StatementCount,
    ) -> Result<Vec<Read<Self::Value>>> {
        let db = self.0.db(count);
        let now = self.0.clock.now();
        let mut read = Vec::new();
        for key in keys {
            let chain = &key.key.facts.chain;
            let mut facts = facts::end_user(&db, chain, &key.external_id).await?;
            self.0.shared.share_budgets(&mut facts.budgets);
            let counters = self.0.counters.read(&db, &facts.budgets, now).await?;
            let counters = counters.of(&facts.budgets);
            let row = facts.row.as_ref().map(|row: &end_user::Model| row.id);
            let row = row.map(|id| object(EntityKind::EndUser, id));
            let name = [named(EntityKind::EndUser, &key.external_id), SETTINGS];
            let objects = name.into_iter().chain(row).chain(budgets(&facts.budgets)).collect();
            let value = Arc::new(EndUserEntry { facts, counters });
            read.push(Read { value, objects, keep: Keep::UntilItChanges });
        }
        Ok(read)
    }
}

/// A tag as calls in an organization name it.
#[derive(Clone, Debug)]
pub(super) struct TagKey {
    pub(super) key: Arc<KeyFacts>,
    pub(super) name: String,
}

impl TagKey {
    fn parts(&self) -> (Option<OrganizationId>, &str) {
        (self.key.facts.chain.organization.as_ref().map(|row| row.id), &self.name)
    }
}

impl PartialEq for TagKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for TagKey {}

impl Hash for TagKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

/// What is known of a tag.
#[derive(Debug)]
pub struct TagEntry {
    /// The rows that have the name, and their budgets.
    pub facts: TagFacts,
    /// The counters of the budgets.
    pub(super) counters: Box<[Arc<Counter>]>,
}

/// Tags that calls bring, by their names.
pub(super) struct Tags(pub(super) Reads);

impl Source for Tags {
    type Key = TagKey;
    type Value = Arc<TagEntry>;

    async fn read(
        &self,
        keys: &[TagKey],
        count: &StatementCount,
    ) -> Result<Vec<Read<Self::Value>>> {
        let db = self.0.db(count);
        let now = self.0.clock.now();
        let mut read = Vec::new();
        for key in keys {
            let names = std::slice::from_ref(&key.name);
            let mut facts = facts::tags(&db, &key.key.facts, names).await?;
            self.0.shared.share_budgets(&mut facts.budgets);
            let counters = self.0.counters.read(&db, &facts.budgets, now).await?;
            let counters = counters.of(&facts.budgets);
            let rows = facts.rows.iter().map(|row: &tag::Model| object(EntityKind::Tag, row.id));
            let name = [named(EntityKind::Tag, &key.name)];
            let objects = name.into_iter().chain(rows).chain(budgets(&facts.budgets)).collect();
            let value = Arc::new(TagEntry { facts, counters });
            read.push(Read { value, objects, keep: Keep::UntilItChanges });
        }
        Ok(read)
    }
}
