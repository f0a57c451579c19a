//! May this key make this call? The one judgement behind checks, explanations and lists.

pub mod catalogue;
pub mod chain;
pub mod decision;
pub mod explain;
pub mod facts;
pub mod models;
pub mod room;
pub mod route;

use std::collections::{BTreeSet, HashMap};

use entity::id::ApiKeyId;

pub use catalogue::{Catalogue, Presence, Prices, Provided};
pub use chain::Chain;
pub use decision::{Check, Decision, Depth, Numbers, Request, Rule, decide};
pub use explain::{Change, Remedy, remedies};
pub use facts::{BoundBudget, Counted, Counters, EndUserFacts, Facts, TagFacts, World};
pub use models::{EffectiveModel, Resolution, effective, resolve};

use super::budget::{InForce, in_force};
use super::scope::Scope;
use super::settings;
use crate::db::page::Rows;
use crate::db::{Page, Reader};
use crate::error::Result;

/// The models that scopes may call: scopes that the caller was shown, for what is above them is
/// judged whoever asks.
///
/// # Errors
/// What the database answers.
pub async fn effective_models(
    reader: &Reader,
    scopes: &[Scope],
) -> Result<HashMap<Scope, Vec<EffectiveModel>>> {
    let db = reader.db();
    let (chains, catalogue) =
        tokio::try_join!(chain::chains(db, scopes), catalogue::catalogue(db))?;
    Ok(chains.into_iter().map(|(scope, chain)| (scope, effective(&chain, &catalogue))).collect())
}

/// The budgets that every call of keys is held against, in the order of judgement. Of scopes that the
/// caller may not look into there are none.
///
/// # Errors
/// What the database answers.
pub async fn effective_budgets(
    reader: &Reader,
    keys: &[ApiKeyId],
) -> Result<HashMap<ApiKeyId, Vec<InForce>>> {
    let db = reader.db();
    let (facts, settings) = tokio::try_join!(facts::load(db, keys), settings::find(db))?;
    let judged = |facts: &Facts| -> Vec<Scope> {
        let (own, platform) = facts.held(&settings);
        let mut scopes: Vec<_> = own.iter().chain(&platform).map(|bound| bound.scope).collect();
        scopes.dedup();
        scopes
    };
    let judged: Vec<_> = facts.iter().map(|(key, facts)| (*key, judged(facts))).collect();
    let all: BTreeSet<_> = judged.iter().flat_map(|(_, scopes)| scopes).copied().collect();
    let all: Vec<_> = all.into_iter().collect();
    let mut found: HashMap<Scope, Vec<InForce>> = HashMap::new();
    for row in in_force(reader, &all).await? {
        found.entry(row.scope).or_default().push(row);
    }
    let of = |scope: &Scope| found.get(scope).cloned().unwrap_or_default();
    Ok(judged
        .into_iter()
        .map(|(key, scopes)| (key, scopes.iter().flat_map(of).collect()))
        .collect())
}

/// A page of the models that a scope may call.
pub fn page_of(models: &[EffectiveModel], page: &Page) -> Rows<EffectiveModel> {
    let cursor = page.cursor.as_ref().map(|cursor| cursor.name.as_str());
    let limit = page.limit as usize;
    if page.backward {
        let end = cursor.map_or(models.len(), |name| {
            models.partition_point(|model| model.name.as_str() < name)
        });
        let start = end.saturating_sub(limit);
        let rows = models[start..end].to_vec();
        return Rows { rows, has_previous: start > 0, has_next: end < models.len() };
    }
    let start =
        cursor.map_or(0, |name| models.partition_point(|model| model.name.as_str() <= name));
    let end = models.len().min(start + limit);
    Rows {
        rows: models[start..end].to_vec(),
        has_previous: start > 0,
        has_next: end < models.len(),
    }
}
