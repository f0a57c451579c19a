//! Rows that name rows: what is named exists. Foreign keys are looked at too, because tools that
//! open a SQLite file do not keep them unless they are told to.

use std::collections::BTreeSet;

use entity::id::{
    AccessGroupId, AccessGroupModelId, ApiKeyId, ApiKeySecretId, BudgetAssignmentId, BudgetId,
    BudgetWindowId, CredentialId, CredentialValueId, EndUserId, Id, ModelAliasId, ModelId,
    OrganizationId, OrganizationMembershipId, ProjectId, TagId, TeamId, TeamMembershipId, UserId,
};
use entity::role::ScopeKind;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, IntoCondition, Order, Query, SimpleExpr};
use sea_orm::{ActiveEnum, ConnectionTrait, DbBackend, Iterable, QueryResult};
use uuid::Uuid;

use super::rows::ROWS;
use super::{Examination, Kind};
use crate::domain::scope::Scope;
use crate::error::Result;

/// How a column names an object.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// By the id of a known kind.
    Id(&'static str, fn(Uuid) -> String),
    /// By the kind of a scope, and its id.
    Scope(&'static str, &'static str),
}

impl Name {
    fn read(self, row: &QueryResult) -> Result<String> {
        Ok(match self {
            Self::Id(column, text) => text(row.try_get("", column)?),
            Self::Scope(kind, id) => {
                let (kind, id): (String, Uuid) = (row.try_get("", kind)?, row.try_get("", id)?);
                match ScopeKind::try_from_value(&kind) {
                    Ok(kind) => Scope { kind, id }.to_string(),
                    Err(_) => id.simple().to_string(),
                }
            }
        })
    }

    fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Id(column, _) => vec![column],
            Self::Scope(kind, id) => vec![kind, id],
        }
    }
}

/// The text of an id.
pub(super) fn text<T: Id>(id: Uuid) -> String {
    T::from_uuid(id).to_string()
}

/// A question to the database: the rows of a table that are wrong.
pub(super) struct Question<'a> {
    pub(super) kind: Kind,
    pub(super) message: &'a str,
    pub(super) table: &'static str,
    /// The columns that name what it is about; the first is the id.
    pub(super) names: &'a [Name],
    /// When a row is wrong.
    pub(super) condition: Condition,
}

impl<C: ConnectionTrait> Examination<'_, C> {
    /// Reports the rows that a question finds.
    pub(super) async fn ask(&mut self, question: Question<'_>) -> Result<()> {
        let Question { kind, message, table, names, condition } = question;
        let mut last: Option<Uuid> = None;
        loop {
            let mut select = Query::select();
            select.columns(names.iter().flat_map(|name| name.columns()).map(|name| (table, name)));
            select.from(table).cond_where(condition.clone());
            if let Some(last) = last {
                select.and_where(Expr::col((table, "id")).gt(last));
            }
            select.order_by((table, "id"), Order::Asc).limit(ROWS);
            let rows = self.db.query_all(&select).await?;
            for row in &rows {
                last = Some(row.try_get("", "id")?);
                let ids = names.iter().map(|name| name.read(row)).collect::<Result<_>>()?;
                self.found(kind, message, ids);
            }
            if (rows.len() as u64) < ROWS {
                return Ok(());
            }
        }
    }

    /// Looks whether all that is named exists.
    pub(super) async fn references(&mut self) -> Result<()> {
        for reference in REFERENCES {
            let column = (reference.table, reference.column);
            let condition = Expr::col(column).is_not_null().and(lacks(column, reference.parent));
            let message = format!(
                "{} of a row of {} names none of the {}",
                reference.column, reference.table, reference.parent
            );
            self.ask(Question {
                kind: Kind::ReferenceGone,
                message: &message,
                table: reference.table,
                names: &[
                    Name::Id("id", reference.id),
                    Name::Id(reference.column, reference.parent_id),
                ],
                condition: condition.into_condition(),
            })
            .await?;
        }
        self.ask(Question {
            kind: Kind::AssignmentScopeGone,
            message: "a budget is assigned to what does not exist",
            table: "budget_assignments",
            names: &[
                Name::Id("id", text::<BudgetAssignmentId>),
                Name::Scope("scope_kind", "scope_id"),
                Name::Id("budget_id", text::<BudgetId>),
            ],
            condition: scope_is_gone("budget_assignments", ScopeKind::iter()),
        })
        .await?;
        let with_aliases = [ScopeKind::Team, ScopeKind::ApiKey];
        let is_known = Expr::col(("model_aliases", "scope_kind"))
            .is_in(with_aliases.iter().map(ActiveEnum::to_value));
        self.ask(Question {
            kind: Kind::AliasScopeGone,
            message: "a model alias belongs to no team and no key",
            table: "model_aliases",
            names: &[Name::Id("id", text::<ModelAliasId>), Name::Scope("scope_kind", "scope_id")],
            condition: scope_is_gone("model_aliases", with_aliases.into_iter()).add(is_known.not()),
        })
        .await?;
        // Counters name a scope without its kind, the budget itself, the platform, or an end user that
        // nobody made.
        let counter = ("budget_windows", "scope_id");
        let of_nothing = Condition::all()
            .add(Expr::cust(version_of(self.db.get_database_backend())).ne("8"))
            .add(Expr::col(counter).not_equals(("budget_windows", "budget_id")))
            .add(Expr::col(counter).ne(Uuid::nil()));
        let parents: BTreeSet<_> = ScopeKind::iter().filter_map(table_of).collect();
        let of_nothing =
            parents.into_iter().fold(of_nothing, |all, parent| all.add(lacks(counter, parent)));
        self.ask(Question {
            kind: Kind::WindowScopeGone,
            message: "counters belong to what does not exist",
            table: "budget_windows",
            names: &[
                Name::Id("id", text::<BudgetWindowId>),
                Name::Id("budget_id", text::<BudgetId>),
            ],
            condition: of_nothing,
        })
        .await
    }
}

/// The version of the id of the scope that a window names, as a digit: that of an end user whom nobody
/// made is 8.
fn version_of(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "substr(hex(budget_windows.scope_id), 13, 1)",
        _ => "substr(budget_windows.scope_id::text, 15, 1)",
    }
}

/// When no row of a table has the id that a column holds.
fn lacks(column: (&'static str, &'static str), parent: &'static str) -> SimpleExpr {
    lacks_row(parent, [("id", column)])
}

/// When no row of a table has what columns of the row in question hold.
pub(super) fn lacks_row<const N: usize>(
    table: &'static str,
    columns: [(&'static str, (&'static str, &'static str)); N],
) -> SimpleExpr {
    let mut there = Query::select();
    there.expr(Expr::val(1)).from(table);
    for (column, outer) in columns {
        there.and_where(Expr::col((table, column)).equals(outer));
    }
    Expr::exists(there).not()
}

/// When a row belongs to a scope of one of these kinds that does not exist.
fn scope_is_gone(table: &'static str, kinds: impl Iterator<Item = ScopeKind>) -> Condition {
    kinds.fold(Condition::any(), |any, kind| {
        let id = (table, "scope_id");
        let gone = match table_of(kind) {
            Some(parent) => lacks(id, parent),
            None => Expr::col(id).ne(Uuid::nil()),
        };
        any.add(Expr::col((table, "scope_kind")).eq(kind.to_value()).and(gone))
    })
}

/// The table whose rows are the scopes of a kind; none for the one of the platform, whose id is nil.
fn table_of(kind: ScopeKind) -> Option<&'static str> {
    match kind {
        ScopeKind::Organization => Some("organizations"),
        ScopeKind::Team | ScopeKind::TeamMemberDefault => Some("teams"),
        ScopeKind::TeamMembership => Some("team_memberships"),
        ScopeKind::Project => Some("projects"),
        ScopeKind::User => Some("users"),
        ScopeKind::ApiKey => Some("api_keys"),
        ScopeKind::EndUser => Some("end_users"),
        ScopeKind::Tag => Some("tags"),
        ScopeKind::Platform
        | ScopeKind::TeamDefault
        | ScopeKind::UserDefault
        | ScopeKind::EndUserDefault
        | ScopeKind::ApiKeyDefault => None,
    }
}

/// A column that names a row of another table.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The other table.
    pub parent: &'static str,
    id: fn(Uuid) -> String,
    parent_id: fn(Uuid) -> String,
}

const fn reference<T: Id, P: Id>(
    table: &'static str,
    column: &'static str,
    parent: &'static str,
) -> Reference {
    Reference { table, column, parent, id: text::<T>, parent_id: text::<P> }
}

/// All foreign keys.
pub const REFERENCES: &[Reference] = &[
    reference::<OrganizationMembershipId, OrganizationId>(
        "organization_memberships",
        "organization_id",
        "organizations",
    ),
    reference::<OrganizationMembershipId, UserId>("organization_memberships", "user_id", "users"),
    reference::<TeamId, OrganizationId>("teams", "organization_id", "organizations"),
    reference::<TeamMembershipId, TeamId>("team_memberships", "team_id", "teams"),
    reference::<TeamMembershipId, UserId>("team_memberships", "user_id", "users"),
    reference::<UserId, OrganizationId>("users", "organization_id", "organizations"),
    reference::<ProjectId, TeamId>("projects", "team_id", "teams"),
    reference::<ProjectId, OrganizationId>("projects", "organization_id", "organizations"),
    reference::<ApiKeyId, UserId>("api_keys", "user_id", "users"),
    reference::<ApiKeyId, TeamId>("api_keys", "team_id", "teams"),
    reference::<ApiKeyId, ProjectId>("api_keys", "project_id", "projects"),
    reference::<ApiKeySecretId, ApiKeyId>("api_key_secrets", "api_key_id", "api_keys"),
    reference::<BudgetId, OrganizationId>("budgets", "organization_id", "organizations"),
    reference::<BudgetAssignmentId, BudgetId>("budget_assignments", "budget_id", "budgets"),
    reference::<BudgetWindowId, BudgetId>("budget_windows", "budget_id", "budgets"),
    reference::<ModelId, TeamId>("models", "team_id", "teams"),
    reference::<ModelId, CredentialId>("models", "credential_id", "credentials"),
    reference::<CredentialId, TeamId>("credentials", "team_id", "teams"),
    reference::<CredentialValueId, CredentialId>(
        "credential_values",
        "credential_id",
        "credentials",
    ),
    reference::<AccessGroupModelId, AccessGroupId>(
        "access_group_models",
        "access_group_id",
        "access_groups",
    ),
    reference::<EndUserId, OrganizationId>("end_users", "organization_id", "organizations"),
    reference::<EndUserId, TeamId>("end_users", "team_id", "teams"),
    reference::<TagId, OrganizationId>("tags", "organization_id", "organizations"),
];
