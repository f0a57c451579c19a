//! Model aliases of teams: other names for models, each a row, so that setting one leaves the
//! others alone (REFERENCE C-T23, C-M2).

use entity::id::{Id, TeamId};
use entity::role::ScopeKind;
use entity::{model_alias, team};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::field::Faults;
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Authorized;
use crate::db::{Reader, Tx};
use crate::error::{Error, Result};

/// The most aliases of one team.
pub const ALIASES: usize = 200;

/// Checks pairs of alias and target.
pub fn check(faults: &mut Faults, field: &str, aliases: &[(String, String)]) {
    if aliases.len() > ALIASES {
        faults.add(field, format!("give at most {ALIASES} aliases"));
    }
    for (index, (alias, target)) in aliases.iter().enumerate().take(ALIASES) {
        faults.word(&format!("{field}.{index}.alias"), alias);
        faults.word(&format!("{field}.{index}.target"), target);
        if alias == target {
            faults.add(format!("{field}.{index}.target"), "an alias may not name itself");
        }
        if aliases[..index].iter().any(|(earlier, _)| earlier == alias) {
            faults.add(format!("{field}.{index}.alias"), "this is listed twice");
        }
    }
}

/// Sets an alias that a caller asked for.
///
/// # Errors
/// Faults in the input; [`Error::LimitExceeded`] beyond 200 aliases.
pub async fn set_one(
    tx: &mut Tx,
    team: &Authorized<team::Model>,
    alias: String,
    target: String,
) -> Result<()> {
    let mut faults = Faults::default();
    faults.word("input.alias", &alias);
    faults.word("input.target", &target);
    if alias == target {
        faults.add("input.target", "an alias may not name itself");
    }
    faults.finish()?;
    set(tx, team, alias, target).await
}

/// Sets an alias of a team; the others stay.
pub(crate) async fn set(
    tx: &mut Tx,
    team: &team::Model,
    alias: String,
    target: String,
) -> Result<()> {
    let own = rows_for_update(tx, team.id).await?;
    let (by, now) = (tx.by(), tx.now());
    if let Some(before) = own.iter().find(|row| row.alias == alias) {
        if before.target == target {
            tx.nothing_changed();
            return Ok(());
        }
        let mut after = before.clone();
        after.target = target;
        after.version += 1;
        after.updated_at = now;
        after.updated_by = by;
        tx.update(&after).await?;
        let subject = Subject::team(team);
        tx.record(Event::changed(AuditAction::TeamModelAliasSet, subject, before, &after));
        return Ok(());
    }
    if own.len() >= ALIASES {
        let message = format!("a team has at most {ALIASES} aliases");
        return Err(Error::limit("input.alias", message));
    }
    let row = model_alias::Model {
        id: tx.id(),
        scope_kind: ScopeKind::Team,
        scope_id: team.id.uuid(),
        alias,
        target,
        version: 1,
        created_at: now,
        created_by: by.clone(),
        updated_at: now,
        updated_by: by,
    };
    tx.insert(&row).await?;
    tx.record(Event::made(AuditAction::TeamModelAliasSet, Subject::team(team), &row));
    Ok(())
}

/// Removes an alias of a team.
///
/// # Errors
/// [`Error::NotFound`] when the team has no such alias.
pub async fn remove(tx: &mut Tx, team: &Authorized<team::Model>, alias: &str) -> Result<()> {
    let own = rows_for_update(tx, team.id).await?;
    let row = own.iter().find(|row| row.alias == alias).ok_or_else(|| Error::NotFound {
        noun: "model alias",
        field: Some("input.alias".to_owned()),
    })?;
    model_alias::Entity::delete_many()
        .filter(model_alias::Column::Id.eq(row.id))
        .exec(tx.db())
        .await?;
    tx.record(Event::gone(AuditAction::TeamModelAliasRemoved, Subject::team(team), row));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "of a team that the caller may change")]
async fn rows_for_update(tx: &Tx, team: TeamId) -> Result<Vec<model_alias::Model>> {
    let rows = model_alias::Entity::find()
        .filter(model_alias::Column::ScopeKind.eq(ScopeKind::Team))
        .filter(model_alias::Column::ScopeId.eq(team.uuid()))
        .lock(LockType::Update);
    Ok(rows.all(tx.db()).await?)
}

/// The aliases of teams that the caller may see, in the order of the alphabet.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "narrowed to the teams that the caller may see")]
pub async fn of_teams(reader: &Reader, teams: &[TeamId]) -> Result<Vec<model_alias::Model>> {
    // One list of ids, not two: SQLite would begin with all teams of the deployment.
    let teams = super::team::visible_to(reader.actor())
        .filter(team::Column::Id.is_in(teams.iter().copied()));
    let visible = super::visible_ids(teams, "teams");
    let rows = model_alias::Entity::find()
        .filter(model_alias::Column::ScopeKind.eq(ScopeKind::Team))
        .filter(model_alias::Column::ScopeId.in_subquery(visible))
        .order_by_asc(model_alias::Column::Alias);
    Ok(rows.all(reader.db()).await?)
}
