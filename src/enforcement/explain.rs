//! Why a call may be made or not: every rule with its numbers, the smallest changes that would turn the
//! answer around, and where the scopes of the rules stand, so that numbers are shown to those alone who
//! may see them.

use std::collections::BTreeMap;

use super::Enforcement;
use super::call::Call;
use super::check::{Around, Presented};
use super::verdict::Verdict;
use crate::authz::Placement;
use crate::db::StatementCount;
use crate::domain::access::{Depth, Facts, Remedy, remedies};
use crate::domain::scope::Scope;
use crate::error::Result;

/// An answer with its reasons.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The answer, with every rule.
    pub verdict: Verdict,
    /// The smallest changes that would turn it around.
    pub remedies: Vec<Remedy>,
    places: BTreeMap<Scope, Placement>,
}

impl Explanation {
    /// Where a scope of its rules stands.
    pub fn placement(&self, scope: Scope) -> Placement {
        self.places.get(&scope).cloned().unwrap_or_default()
    }
}

impl Enforcement {
    /// Judges a call of a key by every rule. Nothing is counted.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] when that cannot be told.
    pub async fn explain(
        &self,
        presented: &Presented,
        call: &Call,
        count: &StatementCount,
    ) -> Result<Explanation> {
        let (verdict, around) = self.judge(presented, call, Depth::Explanation, count).await?;
        let decision = verdict.decision.as_ref();
        let remedies = decision.map(|decision| remedies(&call.request(), decision));
        let places = places(&presented.key.facts, &around);
        Ok(Explanation { remedies: remedies.unwrap_or_default(), places, verdict })
    }
}

/// Where everything stands that may have rules.
fn places(facts: &Facts, around: &Around) -> BTreeMap<Scope, Placement> {
    let chain = &facts.chain;
    let organization = chain.organization.as_ref().map(|row| row.id);
    let owner = chain.user.as_ref().map(|row| row.id);
    let in_team = || match chain.team_id() {
        Some(team) => Placement::team(organization, team),
        None => Placement::platform(),
    };
    let mut places = BTreeMap::new();
    let mut put = |scope: Option<Scope>, place: Placement| {
        if let Some(scope) = scope {
            places.insert(scope, place);
        }
    };
    put(organization.map(Scope::organization), Placement::organization(organization));
    put(chain.team_scope(), in_team());
    put(chain.project.as_ref().map(|row| Scope::project(row.id)), in_team());
    let member = chain.membership.as_ref().map(|row| Scope::membership(row.id));
    put(member, in_team().owned_by(owner));
    put(owner.map(Scope::user), Placement::platform().owned_by(owner));
    let key = chain.key.as_ref().map(|row| row.id);
    put(key.map(Scope::api_key), Placement { key, ..in_team().owned_by(owner) });
    for row in facts.tag_rows.iter().chain(around.tag_rows()) {
        put(Some(Scope::tag(row.id)), Placement::organization(row.organization_id));
    }
    if let Some(row) = around.end_user_row() {
        let place = match row.team_id {
            Some(team) => Placement::team(organization, team),
            None => Placement::organization(row.organization_id),
        };
        put(Some(Scope::end_user(row.id)), place);
    }
    places
}
