//! How far a caller reaches: the conditions that `visible_to` of the nouns are made of.
//!
//! What a caller belongs to is a list of ids in the statement while it is short: both databases then
//! begin with the right index. A long list would be bound anew for each parent of a nested page, and
//! a statement takes 32,766 values on SQLite and 65,535 on PostgreSQL; so the database looks up the
//! memberships of a caller who has many itself. What roles allow is decided in
//! [`crate::authz::policy`], not here.

use entity::id::UserId;
use entity::role::{OrganizationRole, TeamRole};
use sea_orm::Value;
use sea_orm::sea_query::{
    Expr, ExprTrait, IntoColumnRef, Query, SelectStatement, SimpleExpr, UnionType,
};

use crate::authz::Actor;

/// The most ids of a list. A nested page has at most 200 parents, and a condition for each of them
/// at most three lists.
const FEW: usize = 50;

/// Whether a column holds a team that the caller belongs to.
pub(super) fn in_teams(actor: &Actor, column: impl IntoColumnRef) -> SimpleExpr {
    let ids: Vec<_> = actor.teams().keys().copied().collect();
    among(actor, column, ids, teams_of)
}

/// Whether a column holds a team that the caller looks after.
pub(super) fn in_administered_teams(actor: &Actor, column: impl IntoColumnRef) -> SimpleExpr {
    among(actor, column, actor.administered_teams(), |user| {
        let admin = Expr::col(("team_memberships", "role")).eq(TeamRole::Admin);
        teams_of(user).and_where(admin).to_owned()
    })
}

/// Whether a column holds an organization that the caller runs.
pub(super) fn in_administered_organizations(
    actor: &Actor,
    column: impl IntoColumnRef,
) -> SimpleExpr {
    among(actor, column, actor.administered_organizations(), |user| {
        let admin = Expr::col(("organization_memberships", "role")).eq(OrganizationRole::Admin);
        organizations_of(user).and_where(admin).to_owned()
    })
}

/// Whether a column holds an organization that the caller belongs to, by itself or through a team.
pub(super) fn in_known_organizations(actor: &Actor, column: impl IntoColumnRef) -> SimpleExpr {
    among(actor, column, actor.known_organizations(), |user| {
        let through_teams = Query::select()
            .column("organization_id")
            .from("teams")
            .and_where(Expr::col(("teams", "id")).in_subquery(teams_of(user)))
            .to_owned();
        organizations_of(user).union(UnionType::Distinct, through_teams).to_owned()
    })
}

/// The ids of the teams of organizations that the caller runs.
pub(super) fn teams_of_administered_organizations(actor: &Actor) -> SelectStatement {
    Query::select()
        .column(("teams", "id"))
        .from("teams")
        .and_where(in_administered_organizations(actor, ("teams", "organization_id")))
        .to_owned()
}

/// Whether a column holds one of the ids, which the query finds too. A key that belongs to a team
/// reaches that team alone, so that a long list always is all that its owner belongs to.
fn among<T: Into<Value>>(
    actor: &Actor,
    column: impl IntoColumnRef,
    ids: Vec<T>,
    query: impl FnOnce(UserId) -> SelectStatement,
) -> SimpleExpr {
    match actor.user_id() {
        Some(user) if ids.len() > FEW => Expr::col(column).in_subquery(query(user)),
        _ => Expr::col(column).is_in(ids),
    }
}

fn teams_of(user: UserId) -> SelectStatement {
    Query::select()
        .column("team_id")
        .from("team_memberships")
        .and_where(Expr::col(("team_memberships", "user_id")).eq(user))
        .to_owned()
}

fn organizations_of(user: UserId) -> SelectStatement {
    Query::select()
        .column("organization_id")
        .from("organization_memberships")
        .and_where(Expr::col(("organization_memberships", "user_id")).eq(user))
        .to_owned()
}
