//! Deleting access groups, and taking their names off the lists that have them.

use std::collections::BTreeSet;

use entity::id::AccessGroupId;
use entity::role::EntityKind;
use entity::value::ModelAccess;
use entity::{access_group, api_key, organization, project, setting, team, team_membership, user};
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, LockType, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Image, names, visible_to};
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Permission, Placement, Reference, authorize, authorize_at};
use crate::db::Tx;
use crate::domain::field::{self, Faults};
use crate::domain::scope::{Scope, places};
use crate::domain::{Cascade, NAMED, like_pattern, model_access, settings};
use crate::error::{Error, Result};

/// Deletes groups: all, or none. While a list of models has one of their names, it is refused, or the
/// name is taken off: a later group of that name would have the old grants.
///
/// # Errors
/// `NotFound` for the first that does not exist; [`Error::Conflict`] with what lists them.
pub async fn delete(
    tx: &mut Tx,
    references: &[Reference],
    cascade: Cascade,
    expected_version: Option<i32>,
) -> Result<Vec<AccessGroupId>> {
    authorize_at(tx, Permission::AccessGroupDelete, Placement::platform())?;
    let mut faults = Faults::default();
    faults.ids("input.ids", references.len());
    if expected_version.is_some() && references.len() != 1 {
        faults.add("input.expectedVersion", "this goes with one id");
    }
    faults.finish()?;
    let wanted = Condition::any()
        .add(
            access_group::Column::Id
                .is_in(references.iter().filter_map(Reference::id::<AccessGroupId>)),
        )
        .add(
            access_group::Column::ExternalId
                .is_in(references.iter().filter_map(Reference::external)),
        );
    let select = visible_to(tx.actor()).filter(wanted).order_by_asc(access_group::Column::Id);
    let gone: Vec<_> =
        select.clone().all(tx.db()).await?.into_iter().map(|group| group.name).collect();
    // What lists the groups is locked before them, as by everybody who lists one.
    let listing = match cascade {
        Cascade::Refuse => Listing::default(),
        Cascade::Clamp => Listing::find(tx, &gone, Some(LockType::Update)).await?,
    };
    select.lock(LockType::Update).all(tx.db()).await?;
    let mut rows: Vec<access_group::Model> = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        let field = format!("input.ids.{index}");
        let row =
            authorize::<access_group::Model>(tx, Permission::AccessGroupDelete, reference, &field);
        let row = row.await?;
        field::expect_version(expected_version, row.version)?;
        if rows.iter().all(|known| known.id != row.id) {
            rows.push(row.into_inner());
        }
    }
    let now = Listing::find(tx, &gone, None).await?;
    match cascade {
        Cascade::Refuse => now.refuse()?,
        Cascade::Clamp if now != listing => return Err(Error::Moved),
        Cascade::Clamp => listing.take_off(tx, &gone).await?,
    }
    for row in &rows {
        let models = names(tx, row.id).await?;
        access_group::Entity::delete_many()
            .filter(access_group::Column::Id.eq(row.id))
            .exec(tx.db())
            .await?;
        let image = Image { group: row, models: &models };
        let subject = Subject::access_group(row);
        tx.record(Event::gone(AuditAction::AccessGroupDeleted, subject, &image));
    }
    Ok(rows.iter().map(|row| row.id).collect())
}

/// Everything that lists some of the groups.
#[derive(Debug, Default, PartialEq)]
struct Listing {
    organizations: Vec<organization::Model>,
    teams: Vec<team::Model>,
    projects: Vec<project::Model>,
    users: Vec<user::Model>,
    memberships: Vec<team_membership::Model>,
    keys: Vec<api_key::Model>,
    settings: bool,
}

impl Listing {
    /// Finds what lists groups, and locks it in the one order of locks.
    #[expect(clippy::disallowed_methods, reason = "lists of models, whoever asks, and not shown")]
    async fn find(tx: &Tx, gone: &[String], lock: Option<LockType>) -> Result<Self> {
        macro_rules! rows {
            ($table:ident, $name:literal, [$($column:ident),+]) => {{
                let mut any = Condition::any();
                $(any = any.add(names_one($name, stringify!($column), gone));)+
                let mut select = $table::Entity::find()
                    .filter(any)
                    .order_by_asc($table::Column::Id);
                if let Some(lock) = lock {
                    select = select.lock(lock);
                }
                let mut rows = select.all(tx.db()).await?;
                rows.retain(|row| [$(&row.$column),+].into_iter().any(|list| lists(list, gone)));
                rows
            }};
        }
        let mut found = Self {
            organizations: rows!(organization, "organizations", [model_access]),
            teams: rows!(team, "teams", [model_access, member_model_access]),
            projects: rows!(project, "projects", [model_access]),
            users: rows!(user, "users", [model_access]),
            memberships: rows!(team_membership, "team_memberships", [model_access]),
            keys: rows!(api_key, "api_keys", [model_access]),
            settings: false,
        };
        if let Some(lock) = lock {
            setting::Entity::find().lock(lock).all(tx.db()).await?;
        }
        let mut bounds = settings::current(tx).await?.key_bounds;
        let mut bounds =
            bounds.each_mut().into_iter().filter_map(|bound| bound.model_access.as_ref());
        found.settings = bounds.any(|access| lists(access, gone));
        Ok(found)
    }

    /// Refuses the deletion of what is listed.
    fn refuse(&self) -> Result<()> {
        let mut ids: Vec<String> = Vec::new();
        ids.extend(self.organizations.iter().map(|row| row.id.to_string()));
        ids.extend(self.teams.iter().map(|row| row.id.to_string()));
        ids.extend(self.projects.iter().map(|row| row.id.to_string()));
        ids.extend(self.users.iter().map(|row| row.id.to_string()));
        ids.extend(self.memberships.iter().map(|row| row.id.to_string()));
        ids.extend(self.keys.iter().map(|row| row.id.to_string()));
        ids.extend(self.settings.then(|| "settings".to_owned()));
        if ids.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} list(s) of models have these groups; take them off first, or say cascade: CLAMP",
            ids.len()
        );
        ids.truncate(NAMED);
        Err(Error::Conflict { message, ids })
    }

    /// Takes names off all lists; a list that is left empty becomes NONE.
    async fn take_off(self, tx: &mut Tx, gone: &[String]) -> Result<()> {
        let memberships = self.memberships.iter().map(|row| Scope::membership(row.id));
        let keys = self.keys.iter().map(|row| Scope::api_key(row.id));
        let places = places(tx, &memberships.chain(keys).collect::<Vec<_>>()).await?;
        let organization = |scope: Scope| places.get(&scope).and_then(|place| place.organization);
        macro_rules! take_off {
            ($rows:expr, [$($column:ident),+], $action:ident, $subject:expr) => {
                for before in $rows {
                    let mut after = before.clone();
                    $(after.$column = model_access::without_groups(&before.$column, gone);)+
                    after.version += 1;
                    after.updated_at = tx.now();
                    after.updated_by = tx.by();
                    tx.update(&after).await?;
                    let subject = $subject(&after);
                    tx.record(Event::changed(AuditAction::$action, subject, &before, &after));
                }
            };
        }
        take_off!(self.organizations, [model_access], OrganizationUpdated, Subject::organization);
        take_off!(self.teams, [model_access, member_model_access], TeamUpdated, Subject::team);
        take_off!(self.projects, [model_access], ProjectUpdated, Subject::project);
        take_off!(self.users, [model_access], UserUpdated, Subject::user);
        take_off!(
            self.memberships,
            [model_access],
            TeamMemberUpdated,
            |row: &team_membership::Model| {
                let organization = organization(Scope::membership(row.id));
                Subject::new(EntityKind::TeamMembership, row.id, organization, Some(row.team_id))
            }
        );
        take_off!(self.keys, [model_access], ApiKeyUpdated, |row: &api_key::Model| {
            Subject::api_key(row, organization(Scope::api_key(row.id)))
        });
        if self.settings {
            settings::forget_groups(tx, gone).await?;
        }
        Ok(())
    }
}

fn lists(access: &ModelAccess, groups: &[String]) -> bool {
    access.access_groups.iter().any(|group| groups.contains(group))
}

/// Whether the text of a list may have one of the names: a superset of those that list it.
fn names_one(table: &'static str, column: &'static str, groups: &[String]) -> SimpleExpr {
    let patterns: BTreeSet<_> = groups
        .iter()
        .map(|group| like_pattern(&serde_json::Value::String(group.clone()).to_string()))
        .collect();
    let text = || Expr::col((table, column)).cast_as("TEXT");
    let mut any = Condition::any();
    for pattern in patterns {
        any = any.add(text().like(LikeExpr::new(pattern).escape('\\')));
    }
    if any.is_empty() { Expr::val(1).eq(0) } else { any.into() }
}
