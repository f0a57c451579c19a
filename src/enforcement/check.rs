//! One check: whose credential it is, what is known of it, and the judgement.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use entity::id::ApiKeyId;
use entity::role::ApiKeyKind;
use entity::{end_user, tag};

use super::Enforcement;
use super::call::Call;
use super::counters::CallCounters;
use super::snapshot::{EndUserKey, Globals, KeyFacts, TagEntry, TagKey};
use super::verdict::{Code, Model, Principal, Verdict};
use crate::db::StatementCount;
use crate::domain::access::{Decision, Depth, Request, TagFacts, World, decide};
use crate::error::Result;
use crate::secret::{LONGEST, Secret, digest_bytes};

/// The longest time for which an answer may be kept.
pub const LASTS: TimeDelta = TimeDelta::seconds(1);

/// A key that somebody presented, or named.
#[derive(Clone, Debug)]
pub struct Presented {
    /// What is known of it.
    pub key: Arc<KeyFacts>,
    /// When the secret ends that was presented, because the key was rotated.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Presented {
    /// The id of the key.
    pub fn id(&self) -> Option<ApiKeyId> {
        self.key.id()
    }

    /// Whether it is a gateway's that is in force and may ask about the keys of others.
    pub fn may_ask(&self, now: DateTime<Utc>) -> bool {
        self.key.may_ask && self.is_in_force(now)
    }

    /// Whether it may hold what calls will cost, too.
    pub fn may_hold(&self) -> bool {
        self.key.may_hold
    }

    /// Whether the key is neither blocked nor expired.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.key
            .facts
            .chain
            .key
            .as_ref()
            .is_some_and(|key| key.blocked_by.is_none() && key.expires_at.is_none_or(|at| now < at))
    }

    /// Whether it is one of a gateway or of the administration.
    pub fn calls_no_models(&self) -> bool {
        let kind = self.key.facts.chain.key.as_ref().map(|key| key.kind);
        matches!(kind, Some(ApiKeyKind::Gateway | ApiKeyKind::Admin))
    }
}

impl Enforcement {
    /// The time of the platform.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] while what is kept is not to be believed.
    pub fn now(&self) -> Result<DateTime<Utc>> {
        self.moment()
    }

    /// The key of a secret that somebody presents; none for every secret that is not in force.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] when that cannot be told.
    pub async fn by_secret(
        &self,
        presented: &str,
        count: &StatementCount,
    ) -> Result<Option<Presented>> {
        let now = self.moment()?;
        // Junk never reaches the database.
        if presented.len() > LONGEST || Secret::presented(presented).is_none() {
            return Ok(None);
        }
        let digest = digest_bytes(presented, &self.0.pepper);
        let Some(secret) = self.0.secrets.get(&digest, now, count).await? else {
            return Ok(None);
        };
        if secret.ends_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let key = self.0.keys.get(&secret.key, now, count).await?;
        Ok(key.map(|key| Presented { key, ends_at: secret.ends_at }))
    }

    /// The key of an id.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] when that cannot be told.
    pub async fn by_id(&self, id: ApiKeyId, count: &StatementCount) -> Result<Option<Presented>> {
        let now = self.moment()?;
        let key = self.0.keys.get(&id, now, count).await?;
        Ok(key.map(|key| Presented { key, ends_at: None }))
    }

    /// Judges a call of a key, or of nobody. Nothing is counted.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] when that cannot be told.
    pub async fn check(
        &self,
        presented: Option<&Presented>,
        call: &Call,
        depth: Depth,
        count: &StatementCount,
    ) -> Result<Verdict> {
        let now = self.moment()?;
        match presented {
            Some(presented) => Ok(self.judge(presented, call, depth, count).await?.0),
            None => Ok(self.verdict(now)),
        }
    }

    /// Judges a call that is about to be made, and counts its request against the rates.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] when that cannot be told.
    pub async fn pass(
        &self,
        presented: &Presented,
        call: &Call,
        count: &StatementCount,
    ) -> Result<Verdict> {
        let now = self.moment()?;
        let mut request = call.request();
        let around = self.around(presented, &request, now, count).await?;
        let mut decision = around.within(presented, now, |world| {
            request.estimate = call.estimate(world);
            decide(world, &request, Depth::Answer)
        });
        if decision.is_allowed() {
            self.rates().take(&mut decision, call, None, now).await;
        } else if decision.comes_to_rates() {
            self.rates().look(&mut decision, call, now).await;
        }
        Ok(self.verdict_on(presented, &request, &around, decision, now))
    }

    /// The answer to a check of a secret that nobody has.
    fn verdict(&self, now: DateTime<Utc>) -> Verdict {
        Verdict {
            id: self.0.clock.id(),
            decision: None,
            code: Some(Code::InvalidCredential),
            principal: Principal::default(),
            model: None,
            held: None,
            lasts: LASTS,
            revision: self.revision(),
            at: now,
        }
    }

    /// Judges a call of a key, and returns what the judgement was made from beside the key.
    pub(super) async fn judge(
        &self,
        presented: &Presented,
        call: &Call,
        depth: Depth,
        count: &StatementCount,
    ) -> Result<(Verdict, Around)> {
        let now = self.moment()?;
        let mut request = call.request();
        let around = self.around(presented, &request, now, count).await?;
        let mut decision = around.within(presented, now, |world| {
            request.estimate = call.estimate(world);
            decide(world, &request, depth)
        });
        if depth == Depth::Explanation || decision.comes_to_rates() {
            self.rates().look(&mut decision, call, now).await;
        }
        Ok((self.verdict_on(presented, &request, &around, decision, now), around))
    }

    /// The answer that a decision is.
    pub(super) fn verdict_on(
        &self,
        presented: &Presented,
        request: &Request,
        around: &Around,
        decision: Decision,
        now: DateTime<Utc>,
    ) -> Verdict {
        let mut verdict = self.verdict(now);
        verdict.code = decision.refused_by().map(|rule| Code::from(rule.check));
        verdict.lasts = lasts(presented, &decision, now);
        verdict.principal = principal(&presented.key, request);
        verdict.model = decision.model.as_ref().map(|model| {
            let requested = request.model.clone().or_else(|| around.default_model().cloned());
            let resolved = model.target.clone();
            Model { requested: requested.unwrap_or_else(|| resolved.clone()), resolved }
        });
        verdict.decision = Some(decision);
        verdict
    }

    /// What is known of everything but the key.
    pub(super) async fn around(
        &self,
        presented: &Presented,
        call: &Request,
        now: DateTime<Utc>,
        count: &StatementCount,
    ) -> Result<Around> {
        let parts = &*self.0;
        let globals = parts.everywhere.get(&(), now, count).await?;
        let end_user = match call.end_user.as_deref() {
            None | Some("") => None,
            Some(external_id) => {
                let (key, external_id) = (Arc::clone(&presented.key), external_id.to_owned());
                Some(parts.end_users.get(&EndUserKey { key, external_id }, now, count).await?)
            }
        };
        let mut tags: Vec<Arc<TagEntry>> = Vec::new();
        let own = &presented.key.facts.tags;
        for (index, name) in call.tags.iter().enumerate() {
            if own.contains(name) || call.tags[..index].contains(name) {
                continue;
            }
            let key = TagKey { key: Arc::clone(&presented.key), name: name.clone() };
            tags.push(parts.tags.get(&key, now, count).await?);
        }
        Ok(Around { globals, end_user, tags })
    }
}

/// What a decision is made from, beside the key.
pub(super) struct Around {
    globals: Arc<Globals>,
    end_user: Option<Arc<super::snapshot::EndUserEntry>>,
    tags: Vec<Arc<TagEntry>>,
}

impl Around {
    /// The end user, if somebody made it.
    pub(super) fn end_user_row(&self) -> Option<&end_user::Model> {
        self.end_user.as_ref()?.facts.row.as_ref()
    }

    /// The tags of the call that somebody made.
    pub(super) fn tag_rows(&self) -> impl Iterator<Item = &tag::Model> {
        self.tags.iter().flat_map(|tag| &tag.facts.rows)
    }

    /// The model of calls that name none.
    fn default_model(&self) -> Option<&String> {
        self.end_user_row()?.default_model.as_ref()
    }

    /// Looks at everything that a decision is made from.
    pub(super) fn within<T>(
        &self,
        presented: &Presented,
        now: DateTime<Utc>,
        look: impl FnOnce(&World<'_>) -> T,
    ) -> T {
        let mut counters = CallCounters::default();
        counters.add(&presented.key.counters);
        let end_user = self.end_user.as_deref();
        if let Some(end_user) = end_user {
            counters.add(&end_user.counters);
        }
        let mut tags = TagFacts::default();
        for tag in &self.tags {
            counters.add(&tag.counters);
            tags.rows.extend(tag.facts.rows.iter().cloned());
            tags.budgets.extend(tag.facts.budgets.iter().cloned());
        }
        // The order in which they were made, as of tags that are read together.
        tags.rows.sort_by_key(|row| row.id);
        tags.budgets.sort_by_key(|bound| bound.scope.id);
        look(&World {
            facts: &presented.key.facts,
            end_user: end_user.map(|entry| &entry.facts),
            tags: &tags,
            catalogue: &self.globals.catalogue,
            settings: &self.globals.settings,
            counters: &counters,
            now,
        })
    }
}

/// For how long an answer may be kept: never beyond the end of the key or of its secret, and not at
/// all where each call has to be counted.
fn lasts(presented: &Presented, decision: &Decision, now: DateTime<Utc>) -> TimeDelta {
    if !decision.rates.is_empty() {
        return TimeDelta::zero();
    }
    let key = presented.key.facts.chain.key.as_ref();
    let ends = key.and_then(|key| key.expires_at).into_iter().chain(presented.ends_at);
    let ends = ends.map(|at| at - now).filter(|rest| *rest > TimeDelta::zero());
    ends.min().map_or(LASTS, |rest| rest.min(LASTS))
}

fn principal(key: &KeyFacts, call: &Request) -> Principal {
    let chain = &key.facts.chain;
    let mut tags: Vec<String> = key.facts.tags.iter().cloned().collect();
    for tag in &call.tags {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    Principal {
        api_key: key.id(),
        organization: chain.organization.as_ref().map(|row| row.id),
        team: chain.team_id(),
        project: chain.project.as_ref().map(|row| row.id),
        user: chain.user.as_ref().map(|row| row.id),
        end_user: call.end_user.clone().filter(|id| !id.is_empty()),
        tags,
    }
}
