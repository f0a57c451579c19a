//! Deleting users, with all that hangs on them.

use entity::id::{Id, TeamId, UserId};
use entity::role::{ScopeKind, TeamRole};
use entity::{api_key, organization_membership, team_membership, user};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{belongs_elsewhere, visible_to};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, Role, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::{limit, membership};
use crate::error::{Error, Result};

/// What went with deleted users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The users.
    pub ids: Vec<UserId>,
    /// Their memberships.
    pub memberships: u64,
    /// Their keys.
    pub api_keys: u64,
    /// The teams that lost an admin with them.
    left_without_admin: Vec<TeamId>,
}

/// Deletes users with their memberships and keys: all, or none.
///
/// # Errors
/// [`Error::NotFound`] for the first user that the caller may not see; [`Error::Conflict`] for the
/// caller itself, for the last admin of a team with other members, and, unless the platform asks,
/// for a user that belongs elsewhere too.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    expected_version: Option<i32>,
) -> Result<Deleted> {
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let mut users: Vec<user::Model> = Vec::new();
    lock_named(tx, references).await?;
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let user = authorize::<user::Model>(tx, Permission::UserDelete, reference, &field).await?;
        field::expect_version(expected_version, user.version)?;
        if tx.actor().user_id() == Some(user.id) {
            return Err(Error::conflict("you cannot delete yourself"));
        }
        if !user.roles().contains(&Role::PlatformAdmin)
            && let Some(organization) = user.organization_id
            && belongs_elsewhere(tx, user.id, organization).await?
        {
            return Err(Error::Conflict {
                message: "this user belongs elsewhere too: block it, or ask the platform"
                    .to_owned(),
                ids: vec![user.id.to_string()],
            });
        }
        if users.iter().all(|known| known.id != user.id) {
            users.push(user.into_inner());
        }
    }
    let ids: Vec<_> = users.iter().map(|user| user.id).collect();
    membership::lock(tx, team_membership::Column::UserId.is_in(ids.iter().copied())).await?;
    crate::domain::api_key::lock(tx, api_key::Column::UserId.is_in(ids)).await?;
    let mut deleted = Deleted::default();
    for user in users {
        delete_one(tx, user, &mut deleted).await?;
    }
    membership::keep_admins(tx, &deleted.left_without_admin).await?;
    Ok(deleted)
}

/// Locks users that the caller names and may see, in the order of their ids.
async fn lock_named(tx: &Tx, references: &[Reference]) -> Result<()> {
    let named = Condition::any()
        .add(user::Column::Id.is_in(references.iter().filter_map(Reference::id::<UserId>)))
        .add(user::Column::ExternalId.is_in(references.iter().filter_map(Reference::external)));
    let select = visible_to(tx.actor()).filter(named).order_by_asc(user::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "of a user that the caller may delete")]
async fn delete_one(tx: &mut Tx, user: user::Model, deleted: &mut Deleted) -> Result<()> {
    let keys = crate::domain::api_key::of_user(tx, user.id).await?;
    deleted.api_keys += crate::domain::api_key::remove_each(tx, keys).await?;
    let members = team_membership::Entity::find()
        .find_also_related(entity::team::Entity)
        .filter(team_membership::Column::UserId.eq(user.id))
        .order_by_asc(team_membership::Column::TeamId);
    for (member, team) in members.all(tx.db()).await? {
        if member.role == TeamRole::Admin {
            deleted.left_without_admin.push(member.team_id);
        }
        membership::remove_row(tx, &member).await?;
        let kind = entity::role::EntityKind::TeamMembership;
        let organization = team.and_then(|team| team.organization_id);
        let subject = Subject::new(kind, member.id, organization, Some(member.team_id));
        tx.record(Event::gone(AuditAction::TeamMemberRemoved, subject, &member));
        deleted.memberships += 1;
    }
    let organizations = organization_membership::Entity::find()
        .filter(organization_membership::Column::UserId.eq(user.id))
        .all(tx.db())
        .await?;
    organization_membership::Entity::delete_many()
        .filter(organization_membership::Column::UserId.eq(user.id))
        .exec(tx.db())
        .await?;
    for member in organizations {
        let subject = Subject::organization_membership(&member);
        tx.record(Event::gone(AuditAction::OrganizationMemberRemoved, subject, &member));
    }
    limit::forget_scopes(tx, ScopeKind::User, &[user.id.uuid()], None).await?;
    user::Entity::delete_many().filter(user::Column::Id.eq(user.id)).exec(tx.db()).await?;
    tx.record(Event::gone(AuditAction::UserDeleted, Subject::user(&user), &user));
    deleted.ids.push(user.id);
    Ok(())
}
