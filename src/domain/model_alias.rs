//! Model aliases of teams and keys: other names for models, each a row, so that setting one leaves
//! the others alone (REFERENCE C-T23, C-M2).

use entity::id::OrganizationId;
use entity::role::ScopeKind;
use entity::{api_key, model_alias, team};
use sea_orm::sea_query::{ExprTrait, LockType};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::field::Faults;
use super::scope::{Scope, by_kind};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Authorized;
use crate::db::{Reader, Tx};
use crate::error::{Error, Result};

/// The most aliases of one team or key.
pub const ALIASES: usize = 200;

/// What has aliases: a team or a key that the caller may change.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    scope: Scope,
    subject: Subject,
    set: AuditAction,
    removed: AuditAction,
}

impl Owner {
    /// A team.
    pub fn team(team: &Authorized<team::Model>) -> Self {
        Self::new_team(team)
    }

    /// A team that is being made.
    pub(crate) fn new_team(team: &team::Model) -> Self {
        Self {
            scope: Scope::team(team.id),
            subject: Subject::team(team),
            set: AuditAction::TeamModelAliasSet,
            removed: AuditAction::TeamModelAliasRemoved,
        }
    }

    /// A key that may be changed or is being made, with the organization of its team.
    pub(crate) fn api_key(key: &api_key::Model, organization: Option<OrganizationId>) -> Self {
        Self {
            scope: Scope::api_key(key.id),
            subject: Subject::api_key(key, organization),
            set: AuditAction::ApiKeyModelAliasSet,
            removed: AuditAction::ApiKeyModelAliasRemoved,
        }
    }
}

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
pub async fn set_one(tx: &mut Tx, owner: Owner, alias: String, target: String) -> Result<()> {
    let mut faults = Faults::default();
    faults.word("input.alias", &alias);
    faults.word("input.target", &target);
    if alias == target {
        faults.add("input.target", "an alias may not name itself");
    }
    faults.finish()?;
    set(tx, owner, alias, target).await
}

/// Sets an alias; the others stay.
pub(crate) async fn set(tx: &mut Tx, owner: Owner, alias: String, target: String) -> Result<()> {
    let own = rows_for_update(tx, owner.scope).await?;
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
        tx.record(Event::changed(owner.set, owner.subject, before, &after));
        return Ok(());
    }
    if own.len() >= ALIASES {
        let message = format!("there may be at most {ALIASES} aliases");
        return Err(Error::limit("input.alias", message));
    }
    let row = model_alias::Model {
        id: tx.id(),
        scope_kind: owner.scope.kind,
        scope_id: owner.scope.id,
        alias,
        target,
        version: 1,
        created_at: now,
        created_by: by.clone(),
        updated_at: now,
        updated_by: by,
    };
    tx.insert(&row).await?;
    tx.record(Event::made(owner.set, owner.subject, &row));
    Ok(())
}

/// Removes an alias.
///
/// # Errors
/// [`Error::NotFound`] when there is no such alias.
pub async fn remove(tx: &mut Tx, owner: Owner, alias: &str) -> Result<()> {
    let own = rows_for_update(tx, owner.scope).await?;
    let row = own.iter().find(|row| row.alias == alias).ok_or_else(|| Error::NotFound {
        noun: "model alias",
        field: Some("input.alias".to_owned()),
    })?;
    model_alias::Entity::delete_many()
        .filter(model_alias::Column::Id.eq(row.id))
        .exec(tx.db())
        .await?;
    tx.record(Event::gone(owner.removed, owner.subject, row));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "of a scope that the caller may change")]
async fn rows_for_update(tx: &Tx, scope: Scope) -> Result<Vec<model_alias::Model>> {
    let rows = model_alias::Entity::find()
        .filter(model_alias::Column::ScopeKind.eq(scope.kind))
        .filter(model_alias::Column::ScopeId.eq(scope.id))
        .lock(LockType::Update);
    Ok(rows.all(tx.db()).await?)
}

/// The aliases of teams and keys that the caller may see, in the order of the alphabet.
///
/// # Errors
/// What the database answers.
#[expect(clippy::disallowed_methods, reason = "narrowed to the scopes that the caller may see")]
pub async fn of_scopes(reader: &Reader, scopes: &[Scope]) -> Result<Vec<model_alias::Model>> {
    // One list of ids, not two: SQLite would begin with all teams of the deployment.
    let visible = |kind: ScopeKind, ids: Vec<Uuid>| match kind {
        ScopeKind::Team => {
            let teams = super::team::visible_to(reader.actor());
            Some(super::visible_ids(teams.filter(team::Column::Id.is_in(ids)), "teams"))
        }
        ScopeKind::ApiKey => {
            let keys = super::api_key::visible_to(reader.actor());
            Some(super::visible_ids(keys.filter(api_key::Column::Id.is_in(ids)), "api_keys"))
        }
        _ => None,
    };
    let any = by_kind(scopes).into_iter().fold(Condition::any(), |any, (kind, ids)| {
        let of_kind = model_alias::Column::ScopeKind.eq(kind);
        let these = visible(kind, ids).map(|ids| model_alias::Column::ScopeId.in_subquery(ids));
        any.add_option(these.map(|these| of_kind.and(these)))
    });
    if any.is_empty() {
        return Ok(Vec::new());
    }
    let rows = model_alias::Entity::find().filter(any).order_by_asc(model_alias::Column::Alias);
    Ok(rows.all(reader.db()).await?)
}

/// Removes the aliases of scopes that cease to be; what they were is in the image of what had them.
pub(crate) async fn forget(tx: &Tx, kind: ScopeKind, ids: &[Uuid]) -> Result<()> {
    let gone = model_alias::Entity::delete_many()
        .filter(model_alias::Column::ScopeKind.eq(kind))
        .filter(model_alias::Column::ScopeId.is_in(ids.iter().copied()));
    gone.exec(tx.db()).await?;
    Ok(())
}
