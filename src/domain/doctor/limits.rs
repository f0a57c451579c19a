//! Limits within limits: every child against everything above it.

use std::collections::{BTreeMap, BTreeSet};

use entity::id::Id;
use entity::value::{ModelAccess, ModelAccessMode};
use entity::{budget, budget_assignment};
use sea_orm::ConnectionTrait;

use super::rows::{Pages, readable, readable_by_id};
use super::tree::Tree;
use super::{Examination, Kind};
use crate::domain::limit::{self, scope_of};
use crate::domain::model_access;
use crate::domain::scope::Scope;
use crate::error::Result;

/// The most scopes above others of which one statement speaks.
const SCOPES: usize = 1_000;

impl<C: ConnectionTrait> Examination<'_, C> {
    /// Compares lists of models with those of the scopes above.
    pub(super) async fn models_within(&mut self, lists: &[(Scope, &ModelAccess)]) -> Result<()> {
        // Nothing else can exceed a list.
        let lists = lists.iter().filter(|(_, access)| access.mode == ModelAccessMode::List);
        let lists: Vec<_> = lists.collect();
        let scopes: Vec<_> = lists.iter().map(|(scope, _)| *scope).collect();
        let tree = Tree::around(self.db, &scopes).await?;
        for (scope, access) in lists {
            let Some(place) = tree.place(*scope) else { continue };
            for above in place.ancestors {
                let Some(allowed) = tree.access(above) else { continue };
                let beyond = model_access::excess(access, allowed);
                if !beyond.is_empty() {
                    let message = format!(
                        "models that the scope above does not allow: {}",
                        beyond.join(", ")
                    );
                    let ids = vec![scope.to_string(), above.to_string()];
                    self.found(Kind::ModelsExceeded, message, ids);
                }
            }
        }
        Ok(())
    }

    /// Looks at all budgets in force, and compares them with those of the scopes above.
    pub(super) async fn limits(&mut self) -> Result<()> {
        let mut pages = Pages::<budget_assignment::Entity>::new();
        while let Some(page) = pages.next(self).await? {
            let scopes: Vec<_> = page.iter().map(scope_of).collect();
            let tree = Tree::around(self.db, &scopes).await?;
            let places: BTreeMap<_, _> =
                scopes.iter().filter_map(|scope| Some((*scope, tree.place(*scope)?))).collect();
            let above: BTreeSet<_> =
                places.values().flat_map(|place| place.ancestors.iter().copied()).collect();
            let mut above = self.assignments_on(above.into_iter().collect()).await?;
            above.sort_unstable_by_key(|row| row.id);
            let ids = page.iter().chain(&above).map(|row| row.budget_id.uuid()).collect();
            let budgets = readable_by_id::<budget::Entity, C>(self.db, ids).await?;
            let budgets: BTreeMap<_, _> = budgets.into_iter().map(|row| (row.id, row)).collect();
            for own in &page {
                let (scope, budget) = (scope_of(own), budgets.get(&own.budget_id));
                let (Some(place), Some(budget)) = (places.get(&scope), budget) else { continue };
                let elsewhere =
                    budget.organization_id.is_some_and(|id| place.organization != Some(id));
                if elsewhere {
                    let message =
                        "a budget is in force on what does not belong to its organization";
                    let ids = vec![budget.id.to_string(), scope.to_string()];
                    self.found(Kind::BudgetElsewhere, message, ids);
                }
                let parents = above.iter().filter(|row| place.ancestors.contains(&scope_of(row)));
                for parent in parents {
                    if let Some(limits) = budgets.get(&parent.budget_id) {
                        self.within(scope, budget, scope_of(parent), limits);
                    }
                }
            }
        }
        Ok(())
    }

    async fn assignments_on(&self, scopes: Vec<Scope>) -> Result<Vec<budget_assignment::Model>> {
        let mut found = Vec::new();
        for chunk in scopes.chunks(SCOPES) {
            let on = limit::on(chunk);
            found.extend(readable::<budget_assignment::Entity, C>(self.db, on).await?);
        }
        Ok(found)
    }

    fn within(&mut self, own: Scope, budget: &budget::Model, above: Scope, parent: &budget::Model) {
        for excess in limit::excess(budget, parent) {
            let kind =
                if excess.field == "maxSpend" { Kind::CapExceeded } else { Kind::RateExceeded };
            let ids = [own.to_string(), budget.id.to_string()];
            let ids = ids.into_iter().chain([above.to_string(), parent.id.to_string()]);
            self.found(kind, format!("{}: {}", excess.field, excess.message), ids.collect());
        }
    }
}
