//! A budget that stands alone, against what is above and below all scopes that use it: in as many
//! statements for fifty scopes as for one.

use std::collections::BTreeSet;

use entity::id::BudgetId;
use entity::role::ScopeKind;
use entity::{budget, budget_assignment};
use sea_orm::{ColumnTrait, QueryFilter};

use super::{Held, SCOPES, below, clamp, excess, held_below, held_by, refuse, scope_of};
use crate::db::Tx;
use crate::domain::Cascade;
use crate::domain::scope::{Place, Scope, places};
use crate::error::{Error, Result};

/// Locks the budgets above the scopes that use a budget, before the budget itself is locked.
///
/// # Errors
/// What the database answers.
pub(crate) async fn lock_above_tier(tx: &Tx, budget: BudgetId) -> Result<()> {
    let above = above(tx, &users_of(tx, budget).await?).await?;
    held_by(tx, &above).await?;
    Ok(())
}

/// Checks a budget whose limits were changed against the scopes above those that use it, and the
/// scopes below against it.
///
/// # Errors
/// [`Error::LimitExceeded`] and [`Error::Conflict`], as for the budgets of one scope.
pub(crate) async fn check_tier(
    tx: &mut Tx,
    budget: &budget::Model,
    cascade: Cascade,
) -> Result<()> {
    let users = users_of(tx, budget.id).await?;
    let above = above(tx, &users).await?;
    for parent in held_by(tx, &above).await? {
        if let Some(excess) = excess(budget, &parent.budget).into_iter().next() {
            return Err(Error::limit(format!("input.limits.{}", excess.field), excess.message));
        }
    }
    let mut breaches = Vec::new();
    for chunk in users.chunks(SCOPES) {
        let children = held_below(tx, below(chunk), cascade).await?;
        let beyond: Vec<_> = children
            .into_iter()
            .filter(|child| !excess(&child.budget, budget).is_empty())
            .collect();
        match cascade {
            Cascade::Refuse => {
                breaches.extend(beyond.iter().map(|child| child.scope().to_string()));
            }
            Cascade::Clamp => lower(tx, budget, &beyond).await?,
        }
    }
    refuse(breaches)
}

async fn lower(tx: &mut Tx, budget: &budget::Model, children: &[Held]) -> Result<()> {
    let scopes: Vec<_> = children.iter().map(Held::scope).collect();
    let places = places(tx, &scopes).await?;
    for child in children {
        let Some(place) = places.get(&child.scope()) else { continue };
        let mut lowered = child.budget.clone();
        clamp(&mut lowered, budget);
        crate::domain::budget::replace_limits(tx, place, child, lowered).await?;
    }
    Ok(())
}

/// The scopes that use a budget.
async fn users_of(tx: &Tx, budget: BudgetId) -> Result<Vec<Scope>> {
    let users = crate::domain::budget::assignments_of_all()
        .filter(budget_assignment::Column::BudgetId.eq(budget));
    Ok(users.all(tx.db()).await?.iter().map(|(row, _)| scope_of(row)).collect())
}

/// All scopes above scopes.
async fn above(tx: &Tx, scopes: &[Scope]) -> Result<Vec<Scope>> {
    // Nothing is above the other kinds.
    let is_below = |scope: &&Scope| {
        matches!(
            scope.kind,
            ScopeKind::Team
                | ScopeKind::Project
                | ScopeKind::TeamMembership
                | ScopeKind::TeamMemberDefault
                | ScopeKind::ApiKey
        )
    };
    let scopes: Vec<_> = scopes.iter().filter(is_below).copied().collect();
    let places = places(tx, &scopes).await?;
    let above: BTreeSet<Scope> =
        places.into_values().flat_map(|Place { ancestors, .. }| ancestors).collect();
    Ok(above.into_iter().collect())
}
