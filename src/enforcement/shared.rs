//! Rows that many entries hold: one copy of each in memory.
//!
//! A hundred thousand keys of one organization are read in batches, and each batch brings the
//! organization, its teams and their budgets again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use entity::id::Id;
use entity::{budget, organization, project, team, team_membership, user};
use uuid::Uuid;

use crate::domain::access::{BoundBudget, Facts};

/// The fewest rows at which those that nobody holds are looked for.
const CROWD: usize = 1_000;

/// The rows of one table that somebody holds.
#[derive(Debug)]
struct Rows<T>(Mutex<(HashMap<Uuid, Weak<T>>, usize)>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Mutex::new((HashMap::new(), CROWD)))
    }
}

impl<T: PartialEq> Rows<T> {
    /// Puts the copy that others hold in the place of an equal one.
    fn share(&self, id: Uuid, row: &mut Arc<T>) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, crowded) = &mut *guard;
        match rows.get(&id).and_then(Weak::upgrade) {
            Some(held) if held == *row => *row = held,
            _ => {
                if rows.len() >= *crowded {
                    rows.retain(|_, row| row.strong_count() > 0);
                    *crowded = CROWD.max(rows.len() * 2);
                }
                rows.insert(id, Arc::downgrade(row));
            }
        }
    }
}

/// The rows of all tables.
#[derive(Debug, Default)]
pub(super) struct Shared {
    organizations: Rows<organization::Model>,
    teams: Rows<team::Model>,
    projects: Rows<project::Model>,
    memberships: Rows<team_membership::Model>,
    users: Rows<user::Model>,
    budgets: Rows<budget::Model>,
}

impl Shared {
    /// Lets facts hold what others hold already.
    pub(super) fn share(&self, facts: &mut Facts) {
        let chain = &mut facts.chain;
        macro_rules! share {
            ($($row:ident in $rows:ident),*) => {
                $(if let Some(row) = &mut chain.$row {
                    self.$rows.share(row.id.uuid(), row);
                })*
            };
        }
        share!(
            organization in organizations, team in teams, project in projects,
            membership in memberships, user in users
        );
        self.share_budgets(&mut facts.budgets);
        facts.budgets.shrink_to_fit();
    }

    /// The same for budgets.
    pub(super) fn share_budgets(&self, budgets: &mut [BoundBudget]) {
        for bound in budgets {
            self.budgets.share(bound.budget.id.uuid(), &mut bound.budget);
        }
    }
}
