//! Changing many keys at once: all, or none.

use std::collections::BTreeMap;

use entity::id::ApiKeyId;
use entity::{api_key, team, team_membership, user};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Update, authorize_limits, update, visible_to};
use crate::authz::{Permission, Reference};
use crate::db::Tx;
use crate::domain::field::{Faults, IDS};
use crate::error::{Error, Result};

/// Changes keys: all, or none.
///
/// # Errors
/// Those of [`update`], at the key that they are about.
pub async fn update_many(
    tx: &mut Tx,
    items: Vec<(Reference, Update)>,
) -> Result<Vec<api_key::Model>> {
    let mut faults = Faults::default();
    if items.is_empty() || items.len() > IDS {
        faults.add("input.keys", format!("give 1 to {IDS} keys"));
    }
    faults.finish()?;
    lock(tx, &items).await?;
    let mut seen: BTreeMap<ApiKeyId, usize> = BTreeMap::new();
    let mut changed = Vec::with_capacity(items.len());
    for (index, (reference, change)) in items.into_iter().enumerate() {
        let at = |error: Error| error.in_item("keys", index);
        let permission = Permission::ApiKeyUpdate;
        let project = change.project.value();
        let key = authorize_limits(tx, permission, &reference, project, "input.id");
        let key = key.await.map_err(at)?;
        if let Some(other) = seen.insert(key.id, index) {
            let message = format!("this is the same key as key {other}");
            return Err(Error::input(format!("input.keys.{index}.id"), message));
        }
        changed.push(update(tx, key, change).await.map_err(at)?);
    }
    Ok(changed)
}

/// Locks the keys that the caller names and may see, after all that is above them: each kind of row
/// in the order of the ids. What belongs where is checked again when each key is authorized.
#[expect(clippy::disallowed_methods, reason = "above keys that the caller may see")]
async fn lock(tx: &Tx, items: &[(Reference, Update)]) -> Result<()> {
    let references = || items.iter().map(|(reference, _)| reference);
    let named = Condition::any()
        .add(api_key::Column::Id.is_in(references().filter_map(Reference::id::<ApiKeyId>)))
        .add(api_key::Column::ExternalId.is_in(references().filter_map(Reference::external)));
    let select = visible_to(tx.actor()).filter(named).order_by_asc(api_key::Column::Id);
    let keys = select.clone().all(tx.db()).await?;
    let teams = || keys.iter().filter_map(|key| key.team_id);
    let above = team::Entity::find().filter(team::Column::Id.is_in(teams()));
    crate::domain::organization::lock_of_teams(tx, above.clone()).await?;
    above.order_by_asc(team::Column::Id).lock(LockType::Share).all(tx.db()).await?;
    let projects = keys.iter().filter_map(|key| key.project_id);
    crate::domain::project::lock_shared(tx, projects).await?;
    let owners = keys.iter().filter(|key| key.team_id.is_none()).filter_map(|key| key.user_id);
    let owners = user::Entity::find().filter(user::Column::Id.is_in(owners));
    owners.order_by_asc(user::Column::Id).lock(LockType::Share).all(tx.db()).await?;
    let members = keys.iter().filter_map(|key| key.team_id.zip(key.user_id));
    let members = members.fold(Condition::any(), |any, (team, user)| {
        any.add(
            Condition::all()
                .add(team_membership::Column::TeamId.eq(team))
                .add(team_membership::Column::UserId.eq(user)),
        )
    });
    if !members.is_empty() {
        let members = team_membership::Entity::find().filter(members);
        let members = members.order_by_asc(team_membership::Column::Id);
        members.lock(LockType::Share).all(tx.db()).await?;
    }
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}
