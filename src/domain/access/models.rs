//! Which models may be called: one function for the check of a call, its explanation and lists.
//!
//! A name is first replaced by what an alias of the team, then one of the key, says it stands for
//! (REFERENCE F2). What is then meant must be allowed by every scope of the chain, so that an alias
//! never opens what a list keeps shut. Names that the catalogue does not know are judged by the lists
//! alone: a gateway may have models that nobody told the platform of.

use std::collections::BTreeSet;

use entity::value::ModelAccessMode;

use super::catalogue::{Catalogue, Presence};
use super::chain::Chain;
use crate::domain::scope::Scope;

/// What became of a name that a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The aliases that were followed, and what each stands for.
    pub aliases: Vec<(Scope, String)>,
    /// The name that is meant.
    pub target: String,
    /// What each scope of the chain says, outermost first.
    pub levels: Vec<(Scope, bool)>,
    /// Whether the name can be called.
    pub presence: Presence,
}

impl Resolution {
    /// The outermost scope that does not allow the model.
    pub fn refused_by(&self) -> Option<Scope> {
        self.levels.iter().find(|(_, allowed)| !allowed).map(|(scope, _)| *scope)
    }

    /// Whether the model may be called.
    pub fn is_allowed(&self) -> bool {
        self.refused_by().is_none() && self.presence != Presence::Blocked
    }
}

/// Judges a name along a chain.
pub fn resolve(chain: &Chain, catalogue: &Catalogue, requested: &str) -> Resolution {
    let mut target = requested;
    let mut aliases = Vec::new();
    let scopes = [chain.team_scope(), chain.key_scope()];
    for scope in scopes.into_iter().flatten() {
        if let Some(meant) = chain.alias(scope, target) {
            aliases.push((scope, meant.to_owned()));
            target = meant;
        }
    }
    let levels = chain.levels();
    let judged = levels.map(|(scope, access)| (scope, catalogue.allows(access, target)));
    Resolution {
        levels: judged.collect(),
        presence: catalogue.presence(chain.team_id(), target),
        target: target.to_owned(),
        aliases,
    }
}

/// A name that may be called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectiveModel {
    /// The name that a call asks for; `*` stands for any text.
    pub name: String,
    /// The name that is meant after aliases.
    pub target: String,
}

/// The names that a chain may call, of those that the catalogue has, in the order of the alphabet:
/// what [`resolve`] allows, no more and no less. What a list narrows of a name with a `*` stands
/// beside it as the list has it.
pub fn effective(chain: &Chain, catalogue: &Catalogue) -> Vec<EffectiveModel> {
    let mut names: BTreeSet<&str> = catalogue.names(chain.team_id()).collect();
    for (_, access) in chain.levels().filter(|(_, access)| access.mode == ModelAccessMode::List) {
        names.extend(catalogue.entries(access));
    }
    names.extend(chain.aliases.iter().map(|alias| alias.alias.as_str()));
    let judge = |name: &str| {
        let found = resolve(chain, catalogue, name);
        let callable = found.is_allowed() && found.presence != Presence::Unknown;
        callable.then(|| EffectiveModel { name: name.to_owned(), target: found.target })
    };
    names.into_iter().filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, Utc};
    use entity::id::Id;
    use entity::organization;
    use entity::value::ModelAccess;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::access::catalogue::Listed;

    fn word() -> impl Strategy<Value = String> {
        let parts = prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "/"]), 1..4);
        parts.prop_map(|parts| parts.concat())
    }

    fn access() -> impl Strategy<Value = ModelAccess> {
        let mode = prop::sample::select(vec![
            ModelAccessMode::All,
            ModelAccessMode::List,
            ModelAccessMode::List,
            ModelAccessMode::None,
        ]);
        let groups = prop::collection::vec(prop::sample::select(vec!["g".to_owned()]), 0..2);
        (mode, prop::collection::vec(word(), 0..4), groups)
            .prop_map(|(mode, models, access_groups)| ModelAccess { mode, models, access_groups })
    }

    fn chain(access: ModelAccess) -> Chain {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let organization = organization::Model {
            id: Id::from_uuid(Uuid::from_u128(1)),
            external_id: None,
            name: String::new(),
            search_text: String::new(),
            metadata: serde_json::json!({}),
            model_access: access,
            version: 1,
            created_at: now,
            created_by: String::new(),
            updated_at: now,
            updated_by: String::new(),
        };
        Chain { organization: Some(Arc::new(organization)), ..Chain::default() }
    }

    proptest! {
        /// DESIGN D12: what is listed may be called, and a name of the catalogue that may be called is
        /// listed.
        #[test]
        fn what_is_listed_is_what_is_judged(
            names in prop::collection::vec((word(), any::<bool>()), 0..6),
            group in prop::collection::vec(word(), 0..3),
            organization in access(),
        ) {
            let listed = |(name, is_blocked): &(String, bool)| Listed {
                provided: None,
                name: name.clone(), team: None, is_blocked: *is_blocked, is_free: false, prices: None,
            };
            let groups = group.into_iter().map(|name| ("g".to_owned(), name));
            let catalogue = Catalogue::new(names.iter().map(listed), groups);
            let chain = chain(organization);
            let found = effective(&chain, &catalogue);
            for model in &found {
                let judged = resolve(&chain, &catalogue, &model.name);
                prop_assert!(judged.is_allowed() && judged.presence != Presence::Unknown);
            }
            for (name, _) in &names {
                let judged = resolve(&chain, &catalogue, name).is_allowed();
                prop_assert_eq!(judged, found.iter().any(|model| model.name == *name));
            }
        }
    }
}
