//! Changing many members of one team at once: all, or none.

use std::collections::BTreeMap;

use entity::id::{Id, UserId};
use entity::role::TeamRole;
use entity::{api_key, team, team_membership, user};
use sea_orm::sea_query::{ExprTrait, LockType, Query};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{Update, authorize_member, update, visible_to};
use crate::authz::{Authorized, Permission, Reference};
use crate::db::Tx;
use crate::domain::field::{Faults, IDS};
use crate::domain::user::UserReference;
use crate::error::{Error, Result};

/// A member, and how it is to change.
type Item = (UserReference, Update);

/// Changes members of a team: all, or none. Who is made admin is made so first, so that a team may
/// change its admins in one call.
///
/// # Errors
/// Those of [`update`], at the member that they are about.
pub async fn update_many(
    tx: &mut Tx,
    reference: &Reference,
    items: Vec<Item>,
) -> Result<Vec<team_membership::Model>> {
    let permission = Permission::TeamMemberLimitUpdate;
    let field = "input.teamId";
    let team = crate::domain::team::authorize_limits(tx, permission, reference, field).await?;
    let mut faults = Faults::default();
    if items.is_empty() || items.len() > IDS {
        faults.add("input.members", format!("give 1 to {IDS} members"));
    }
    faults.finish()?;
    lock(tx, &team, &items).await?;
    let reference = Reference::to(team.id);
    let mut order: Vec<_> = items.into_iter().enumerate().collect();
    order.sort_by_key(|(_, (_, change))| change.role != Some(TeamRole::Admin));
    let mut seen: BTreeMap<Uuid, usize> = BTreeMap::new();
    let mut changed = BTreeMap::new();
    for (index, (user, change)) in order {
        let at = |error: Error| error.in_item("members", index);
        let (team, member) =
            authorize_member(tx, permission, &reference, &user).await.map_err(at)?;
        if let Some(other) = seen.insert(member.id.uuid(), index) {
            let message = format!("this is the same member as member {}", other.min(index));
            let field = format!("input.members.{}.user", other.max(index));
            return Err(Error::input(field, message));
        }
        changed.insert(index, update(tx, &team, member, change).await.map_err(at)?);
    }
    Ok(changed.into_values().collect())
}

/// Locks the memberships, and their keys if models change, in the order of their ids, before the
/// first budget.
async fn lock(tx: &Tx, team: &Authorized<team::Model>, items: &[Item]) -> Result<()> {
    let mut named = Condition::any();
    for (user, _) in items {
        named = match user {
            UserReference::Id(reference) => {
                match (reference.id::<UserId>(), reference.external()) {
                    (Some(id), _) => named.add(user::Column::Id.eq(id)),
                    (None, Some(external)) => named.add(user::Column::ExternalId.eq(external)),
                    (None, None) => named,
                }
            }
            UserReference::Email(email) if email.contains('\0') => named,
            UserReference::Email(email) => {
                named.add(user::Column::EmailKey.eq(email.to_lowercase()))
            }
        };
    }
    if named.is_empty() {
        return Ok(());
    }
    let users = Query::select().column(("users", "id")).from("users").cond_where(named).to_owned();
    let select = visible_to(tx.actor())
        .filter(team_membership::Column::TeamId.eq(team.id))
        .filter(team_membership::Column::UserId.in_subquery(users))
        .order_by_asc(team_membership::Column::Id);
    let members = select.lock(LockType::Update).all(tx.db()).await?;
    if items.iter().any(|(_, change)| change.model_access.is_given()) {
        let keys = api_key::Column::TeamId
            .eq(team.id)
            .and(api_key::Column::UserId.is_in(members.iter().map(|member| member.user_id)));
        crate::domain::api_key::lock(tx, keys).await?;
    }
    Ok(())
}
