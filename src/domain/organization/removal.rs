//! Deleting organizations with everything in them, and letting go of the people whom they manage.

use entity::id::OrganizationId;
use entity::role::{EmailConfirmation, ScopeKind};
use entity::{
    api_key, budget, budget_assignment, end_user as end_user_row, organization,
    organization_membership, project as project_row, team, team_membership, user,
};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Reference, authorize};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::{end_user, limit, membership, project, tag, team as teams};
use crate::error::Result;

/// What went with deleted organizations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The organizations.
    pub ids: Vec<OrganizationId>,
    /// Their teams, with what went with those.
    pub teams: teams::Deleted,
    /// Their end users, beside those of their teams.
    pub end_users: u64,
    /// Their tags.
    pub tags: u64,
    /// The users that the platform manages now.
    pub released_users: u64,
}

/// Deletes organizations with their teams, memberships, keys, end users, tags and budgets: all, or none. The users
/// whom they managed are the platform's from then on.
///
/// # Errors
/// `NotFound` for the first organization that the caller may not see, and nothing is deleted.
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
    let mut organizations: Vec<organization::Model> = Vec::new();
    lock_named(tx, references).await?;
    for (index, reference) in references.iter().enumerate() {
        let (permission, field) = (Permission::OrganizationDelete, format!("input.ids.{index}"));
        let row = authorize::<organization::Model>(tx, permission, reference, &field).await?;
        field::expect_version(expected_version, row.version)?;
        if organizations.iter().all(|known| known.id != row.id) {
            organizations.push(row.into_inner());
        }
    }
    let ids: Vec<_> = organizations.iter().map(|row| row.id).collect();
    let (teams, users) = lock_within(tx, &ids).await?;
    let mut deleted = Deleted::default();
    for team in teams {
        teams::remove(tx, team, &mut deleted.teams).await?;
    }
    deleted.released_users = users.len() as u64;
    for user in users {
        release(tx, user).await?;
    }
    for organization in organizations {
        delete_one(tx, organization, &mut deleted).await?;
    }
    Ok(deleted)
}

/// Lets go of a user whom an organization manages: the platform does so from now on. What the user
/// is, has and may do stays as it is.
pub(crate) async fn release(tx: &mut Tx, before: user::Model) -> Result<()> {
    let mut after = before.clone();
    after.organization_id = None;
    // What the organization said of the address held within it.
    after.email_confirmed_by =
        after.email_confirmed_by.filter(|by| *by == EmailConfirmation::Platform);
    after.version += 1;
    after.updated_at = tx.now();
    after.updated_by = tx.by();
    tx.update(&after).await?;
    // The event belongs to the organization that had the user.
    let subject = Subject::user(&before);
    tx.record(Event::changed(AuditAction::UserUpdated, subject, &before, &after));
    Ok(())
}

/// Locks organizations that the caller names and may see, in the order of their ids.
async fn lock_named(tx: &Tx, references: &[Reference]) -> Result<()> {
    let ids = references.iter().filter_map(Reference::id::<OrganizationId>);
    let external = references.iter().filter_map(Reference::external);
    let named = Condition::any()
        .add(organization::Column::Id.is_in(ids))
        .add(organization::Column::ExternalId.is_in(external));
    let select = super::visible_to(tx.actor()).filter(named).order_by_asc(organization::Column::Id);
    select.lock(LockType::Update).all(tx.db()).await?;
    Ok(())
}

/// Locks what goes with organizations, above before below, and returns their teams and the users
/// whom they manage.
#[expect(clippy::disallowed_methods, reason = "of organizations that the caller may delete")]
async fn lock_within(
    tx: &Tx,
    ids: &[OrganizationId],
) -> Result<(Vec<team::Model>, Vec<user::Model>)> {
    let ids = || ids.iter().copied();
    let teams = team::Entity::find().filter(team::Column::OrganizationId.is_in(ids()));
    let teams = teams.order_by_asc(team::Column::Id).lock(LockType::Update).all(tx.db()).await?;
    let users = user::Entity::find().filter(user::Column::OrganizationId.is_in(ids()));
    let users = users.order_by_asc(user::Column::Id).lock(LockType::Update).all(tx.db()).await?;
    let members = organization_membership::Entity::find()
        .filter(organization_membership::Column::OrganizationId.is_in(ids()))
        .order_by_asc(organization_membership::Column::Id);
    members.lock(LockType::Update).all(tx.db()).await?;
    let in_teams = || -> SelectStatement {
        Query::select()
            .column(("teams", "id"))
            .from("teams")
            .and_where(Expr::col(("teams", "organization_id")).is_in(ids()))
            .to_owned()
    };
    project::lock(tx, project_row::Column::TeamId.in_subquery(in_teams())).await?;
    membership::lock(tx, team_membership::Column::TeamId.in_subquery(in_teams())).await?;
    crate::domain::api_key::lock(tx, api_key::Column::TeamId.in_subquery(in_teams())).await?;
    Ok((teams, users))
}

#[expect(clippy::disallowed_methods, reason = "of an organization that the caller may delete")]
async fn delete_one(tx: &mut Tx, row: organization::Model, deleted: &mut Deleted) -> Result<()> {
    let of = organization_membership::Column::OrganizationId.eq(row.id);
    let members = organization_membership::Entity::find().filter(of.clone()).all(tx.db()).await?;
    organization_membership::Entity::delete_many().filter(of).exec(tx.db()).await?;
    for member in members {
        let subject = Subject::organization_membership(&member);
        tx.record(Event::gone(AuditAction::OrganizationMemberRemoved, subject, &member));
    }
    deleted.tags += tag::remove_all(tx, row.id).await?;
    let of = end_user_row::Column::OrganizationId.eq(row.id);
    deleted.end_users += end_user::remove_all(tx, of, Some(row.id)).await?;
    let id = entity::id::Id::uuid(row.id);
    limit::forget_scopes(tx, ScopeKind::Organization, &[id], None).await?;
    forget_budgets(tx, row.id).await?;
    organization::Entity::delete_many()
        .filter(organization::Column::Id.eq(row.id))
        .exec(tx.db())
        .await?;
    let subject = Subject::organization(&row);
    tx.record(Event::gone(AuditAction::OrganizationDeleted, subject, &row));
    deleted.ids.push(row.id);
    Ok(())
}

/// Deletes the budgets of an organization that are left: those that stand alone. The scopes that
/// could use them have gone before.
#[expect(clippy::disallowed_methods, reason = "of an organization that the caller may delete")]
async fn forget_budgets(tx: &mut Tx, organization: OrganizationId) -> Result<()> {
    let of = budget::Column::OrganizationId.eq(organization);
    let used = crate::domain::budget::assignments_of_all().filter(of.clone());
    for (assignment, budget) in used.all(tx.db()).await? {
        if let Some(budget) = budget {
            let subject = Subject::budget(&budget, None);
            tx.record(Event::gone(AuditAction::BudgetUnassigned, subject, &assignment));
        }
    }
    let budgets = budget::Entity::find().filter(of.clone()).order_by_asc(budget::Column::Id);
    let budgets = budgets.lock(LockType::Update).all(tx.db()).await?;
    let ids = Query::select()
        .column(("budgets", "id"))
        .from("budgets")
        .and_where(Expr::col(("budgets", "organization_id")).eq(organization))
        .to_owned();
    budget_assignment::Entity::delete_many()
        .filter(budget_assignment::Column::BudgetId.in_subquery(ids))
        .exec(tx.db())
        .await?;
    budget::Entity::delete_many().filter(of).exec(tx.db()).await?;
    for budget in budgets {
        let subject = Subject::budget(&budget, None);
        tx.record(Event::gone(AuditAction::BudgetDeleted, subject, &budget));
    }
    Ok(())
}
