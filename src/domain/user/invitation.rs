//! Finding users by reference, and inviting addresses that nobody has yet.

use entity::id::{OrganizationId, UserId};
use entity::role::{EmailConfirmation, PlatformRole, ScopeKind};
use entity::user;
use entity::value::ModelAccess;
use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use super::{UserReference, visible_to};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Resource;
use crate::db::Tx;
use crate::domain::field::Faults;
use crate::domain::scope::{Place, Scope};
use crate::domain::{budget, visible_ids};
use crate::error::{Error, Result};

/// Finds the users of references; addresses that nobody is known to have become pending users,
/// managed by the organization into which they are invited. Into a team without an organization, only
/// platform admins invite addresses that nobody has.
///
/// # Errors
/// [`Error::NotFound`] for an id that names nobody whom the caller may see; faults in addresses.
pub(crate) async fn resolve_or_invite(
    tx: &mut Tx,
    references: &[UserReference],
    organization: Option<OrganizationId>,
    field: &str,
) -> Result<Vec<user::Model>> {
    let (users, new) = find_or_invite(tx, references, organization, field).await?;
    super::join_organization(tx, &new).await?;
    Ok(users)
}

/// As [`resolve_or_invite`], without making the new users members of the organization. Returns all
/// users, and the new ones among them.
///
/// # Errors
/// Those of [`resolve_or_invite`].
pub(crate) async fn find_or_invite(
    tx: &mut Tx,
    references: &[UserReference],
    organization: Option<OrganizationId>,
    field: &str,
) -> Result<(Vec<user::Model>, Vec<user::Model>)> {
    let mut faults = Faults::default();
    for (index, reference) in references.iter().enumerate() {
        if let UserReference::Email(email) = reference {
            faults.email(&format!("{field}.{index}.user.email"), email);
        }
    }
    faults.finish()?;
    let known = known_users(tx, references, organization).await?;
    let mut users: Vec<user::Model> = Vec::with_capacity(references.len());
    let mut invited: Vec<user::Model> = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        let found = match reference {
            UserReference::Id(reference) => {
                let hit = known.iter().find(|user| match reference.id::<UserId>() {
                    Some(id) => user.id == id,
                    None => {
                        reference.external().is_some()
                            && user.external_id.as_deref() == reference.external()
                    }
                });
                hit.cloned().ok_or_else(|| Error::NotFound {
                    noun: user::Model::NOUN,
                    field: Some(format!("{field}.{index}.user.id")),
                })?
            }
            UserReference::Email(email) => {
                let key = email.to_lowercase();
                let all = known.iter().chain(&invited);
                // The organization knows its own people best.
                let at = all.into_iter().filter(|user| is_at(user, &key, organization));
                if let Some(user) = at.min_by_key(|user| user.email_confirmed_by) {
                    user.clone()
                } else {
                    let user = pending(tx, email, organization);
                    invited.push(user.clone());
                    user
                }
            }
        };
        users.push(found);
    }
    // Two calls that invite the same addresses insert them in the same order.
    invited.sort_unstable_by(|one, other| one.email_key.cmp(&other.email_key));
    if organization.is_none() && !invited.is_empty() && !tx.actor().is_platform_admin() {
        let first = references.iter().position(|reference| {
            let UserReference::Email(email) = reference else { return false };
            invited.iter().any(|user| user.email_key.as_deref() == Some(&email.to_lowercase()))
        });
        return Err(Error::NotFound {
            noun: user::Model::NOUN,
            field: Some(format!("{field}.{}.user.email", first.unwrap_or_default())),
        });
    }
    let (stored, new) = invite(tx, &invited, organization).await?;
    give_defaults(tx, &new, field).await?;
    for user in users.iter_mut().filter(|user| invited.iter().any(|new| new.id == user.id)) {
        let found = stored.iter().find(|stored| stored.email_key == user.email_key);
        *user = found.cloned().ok_or_else(|| Error::conflict("a user has gone; try again"))?;
    }
    Ok((users, new))
}

/// Inserts pending users, and returns who has their addresses now, and who is new: somebody else
/// may have invited one of them at the same moment.
#[expect(clippy::disallowed_methods, reason = "whoever knows an address may invite it")]
async fn invite(
    tx: &mut Tx,
    invited: &[user::Model],
    organization: Option<OrganizationId>,
) -> Result<(Vec<user::Model>, Vec<user::Model>)> {
    let made = tx.insert_new(invited).await?;
    let stored = if made == invited.len() as u64 {
        invited.to_vec()
    } else {
        let keys = invited.iter().filter_map(|user| user.email_key.clone());
        let select = user::Entity::find()
            .filter(confirmed(organization))
            .filter(user::Column::EmailKey.is_in(keys));
        select.order_by_asc(user::Column::Id).lock(LockType::Share).all(tx.db()).await?
    };
    let new: Vec<_> =
        stored.iter().filter(|user| invited.iter().any(|new| new.id == user.id)).cloned().collect();
    for user in &new {
        tx.record(Event::made(AuditAction::UserCreated, Subject::user(user), user));
    }
    Ok((stored, new))
}

/// Gives new users the budgets that new users start with (REFERENCE M-ADD-7).
async fn give_defaults(tx: &mut Tx, new: &[user::Model], field: &str) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let defaults = budget::defaults(tx, Scope::platform_default(ScopeKind::UserDefault)).await?;
    if defaults.is_empty() {
        return Ok(());
    }
    if new.len() * defaults.len() > budget::BUDGETS_PER_CALL {
        let message = format!(
            "new users start with {} budget(s) each, and one call gives at most {}: add fewer",
            defaults.len(),
            budget::BUDGETS_PER_CALL
        );
        return Err(Error::input(field, message));
    }
    let wanted = |user: &user::Model| budget::Wanted {
        place: Place::user(user),
        entries: defaults.clone(),
        field: field.to_owned(),
    };
    budget::assign_all(tx, new.iter().map(wanted).collect()).await
}

/// Whether a user is known by an address, given in lower case, to everybody or within an
/// organization.
pub(crate) fn is_at(
    user: &user::Model,
    address: &str,
    organization: Option<OrganizationId>,
) -> bool {
    let known = match user.email_confirmed_by {
        Some(EmailConfirmation::Platform) => true,
        Some(EmailConfirmation::Organization) => {
            organization.is_some() && user.organization_id == organization
        }
        None => false,
    };
    known && user.email_key.as_deref() == Some(address)
}

/// The condition of [`is_at`], without the address.
pub(crate) fn confirmed(organization: Option<OrganizationId>) -> Condition {
    let by = |confirmation| user::Column::EmailConfirmedBy.eq(confirmation);
    let within = organization.map(|organization| {
        Condition::all()
            .add(by(EmailConfirmation::Organization))
            .add(user::Column::OrganizationId.eq(organization))
    });
    Condition::any().add(by(EmailConfirmation::Platform)).add_option(within)
}

/// Ids and external ids are found among the users whom the caller may see, addresses among all:
/// whoever knows an address may invite it, and learns nothing from doing so.
#[expect(clippy::disallowed_methods, reason = "whoever knows an address may invite it")]
async fn known_users(
    tx: &Tx,
    references: &[UserReference],
    organization: Option<OrganizationId>,
) -> Result<Vec<user::Model>> {
    let (mut ids, mut external, mut emails) = (Vec::new(), Vec::new(), Vec::new());
    for reference in references {
        match reference {
            UserReference::Id(reference) => {
                ids.extend(reference.id::<UserId>());
                external.extend(reference.external().map(str::to_owned));
            }
            UserReference::Email(email) => emails.push(email.to_lowercase()),
        }
    }
    let mut known = Vec::new();
    // The caller itself is always known to itself.
    known.extend(tx.actor().user().cloned());
    let mut wanted = Condition::any();
    if !ids.is_empty() || !external.is_empty() {
        let named = Condition::any()
            .add(user::Column::Id.is_in(ids))
            .add(user::Column::ExternalId.is_in(external));
        let visible = visible_ids(visible_to(tx.actor()).filter(named), "users");
        wanted = wanted.add(Expr::col(("users", "id")).in_subquery(visible));
    }
    if !emails.is_empty() {
        let at = Condition::all().add(user::Column::EmailKey.is_in(emails));
        wanted = wanted.add(at.add(confirmed(organization)));
    }
    if !wanted.is_empty() {
        // One statement, so that all of them are locked in the order of their ids.
        let select = user::Entity::find().filter(wanted).order_by_asc(user::Column::Id);
        known.extend(select.lock(LockType::Share).all(tx.db()).await?);
    }
    Ok(known)
}

fn pending(tx: &Tx, email: &str, organization: Option<OrganizationId>) -> user::Model {
    user::Model {
        id: tx.id(),
        external_id: None,
        organization_id: organization,
        email: Some(email.to_owned()),
        email_key: Some(email.to_lowercase()),
        email_confirmed_by: Some(match organization {
            Some(_) if !tx.actor().is_platform_admin() => EmailConfirmation::Organization,
            _ => EmailConfirmation::Platform,
        }),
        name: None,
        search_text: String::new(),
        platform_role: PlatformRole::User,
        model_access: ModelAccess::default(),
        blocked_by: None,
        metadata: Value::Object(serde_json::Map::new()),
        version: 1,
        created_at: tx.now(),
        created_by: tx.by(),
        updated_at: tx.now(),
        updated_by: tx.by(),
    }
}
