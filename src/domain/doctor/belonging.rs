//! What belongs together, in so far as two columns or two rows have to agree.

use entity::id::{
    ApiKeyId, BudgetId, CredentialId, ModelId, OrganizationId, ProjectId, TeamId, UserId,
};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{
    Condition, Expr, ExprTrait, IntoCondition, Query, SelectStatement, SimpleExpr,
};

use super::references::{Name, Question, lacks_row, text};
use super::{Examination, Kind};
use crate::error::Result;

impl<C: ConnectionTrait> Examination<'_, C> {
    /// Looks whether what belongs together does.
    pub(super) async fn belonging(&mut self) -> Result<()> {
        self.keys().await?;
        self.places().await?;
        self.ask(Question {
            kind: Kind::BudgetUnused,
            message: "a budget that a scope made for itself is in force nowhere",
            table: "budgets",
            names: &[Name::Id("id", text::<BudgetId>), Name::Scope("owner_kind", "owner_id")],
            condition: Condition::all()
                .add(Expr::col(("budgets", "owner_kind")).is_not_null())
                .add(Expr::col(("budgets", "owner_id")).is_not_null())
                .add(lacks_row("budget_assignments", [("budget_id", ("budgets", "id"))])),
        })
        .await?;
        self.ask(Question {
            kind: Kind::CredentialElsewhere,
            message: "the model sends a credential of a team that does not own the model",
            table: "models",
            names: &[
                Name::Id("id", text::<ModelId>),
                Name::Id("credential_id", text::<CredentialId>),
            ],
            condition: elsewhere("models", "team_id", "credentials", "credential_id"),
        })
        .await?;
        self.ask(Question {
            kind: Kind::CredentialEmpty,
            message: "the credential has no value",
            table: "credentials",
            names: &[Name::Id("id", text::<CredentialId>)],
            condition: lacks_row("credential_values", [("credential_id", ("credentials", "id"))])
                .into_condition(),
        })
        .await
    }

    async fn keys(&mut self) -> Result<()> {
        let key = |column: &'static str| Expr::col(("api_keys", column));
        self.ask(Question {
            kind: Kind::KeyOwnerNotMember,
            message: "the owner of the key is not a member of its team",
            table: "api_keys",
            names: &[
                Name::Id("id", text::<ApiKeyId>),
                Name::Id("user_id", text::<UserId>),
                Name::Id("team_id", text::<TeamId>),
            ],
            condition: Condition::all()
                .add(key("team_id").is_not_null())
                .add(key("user_id").is_not_null())
                .add(lacks_row(
                    "team_memberships",
                    [("team_id", ("api_keys", "team_id")), ("user_id", ("api_keys", "user_id"))],
                )),
        })
        .await?;
        self.ask(Question {
            kind: Kind::KeyProjectElsewhere,
            message: "the project of the key belongs to another team than the key",
            table: "api_keys",
            names: &[Name::Id("id", text::<ApiKeyId>), Name::Id("project_id", text::<ProjectId>)],
            condition: elsewhere("api_keys", "team_id", "projects", "project_id"),
        })
        .await?;
        let current = Query::select()
            .expr(Expr::col(("api_key_secrets", "id")).count())
            .from("api_key_secrets")
            .and_where(Expr::col(("api_key_secrets", "api_key_id")).equals(("api_keys", "id")))
            .and_where(Expr::col(("api_key_secrets", "not_after")).is_null())
            .to_owned();
        self.ask(Question {
            kind: Kind::KeySecretsWrong,
            message: "the key has not one current secret, but none or several",
            table: "api_keys",
            names: &[Name::Id("id", text::<ApiKeyId>)],
            condition: SimpleExpr::from(current).ne(1).into_condition(),
        })
        .await
    }

    async fn places(&mut self) -> Result<()> {
        self.ask(Question {
            kind: Kind::ProjectOrganizationDiffers,
            message: "the project names another organization than its team",
            table: "projects",
            names: &[Name::Id("id", text::<ProjectId>), Name::Id("team_id", text::<TeamId>)],
            condition: Expr::exists(team_elsewhere()).into_condition(),
        })
        .await?;
        self.ask(Question {
            kind: Kind::ManagedUserNotMember,
            message: "the user is not a member of the organization that manages it",
            table: "users",
            names: &[
                Name::Id("id", text::<UserId>),
                Name::Id("organization_id", text::<OrganizationId>),
            ],
            condition: Condition::all()
                .add(Expr::col(("users", "organization_id")).is_not_null())
                .add(lacks_row(
                    "organization_memberships",
                    [
                        ("user_id", ("users", "id")),
                        ("organization_id", ("users", "organization_id")),
                    ],
                )),
        })
        .await
    }
}

/// When the row that a column names belongs to a team, and to another than the row itself.
fn elsewhere(
    table: &'static str,
    team: &'static str,
    other: &'static str,
    column: &'static str,
) -> Condition {
    let own = Expr::col((table, team));
    let there = Query::select()
        .expr(Expr::val(1))
        .from(other)
        .and_where(Expr::col((other, "id")).equals((table, column)))
        .and_where(Expr::col((other, "team_id")).is_not_null())
        .cond_where(
            Condition::any()
                .add(own.clone().is_null())
                .add(Expr::col((other, "team_id")).not_equals((table, team))),
        )
        .to_owned();
    Expr::exists(there).into_condition()
}

/// The team of a project, when the two do not name the same organization.
fn team_elsewhere() -> SelectStatement {
    let own = ("projects", "organization_id");
    let theirs = || Expr::col(("teams", "organization_id"));
    Query::select()
        .expr(Expr::val(1))
        .from("teams")
        .and_where(Expr::col(("teams", "id")).equals(("projects", "team_id")))
        .cond_where(
            Condition::any()
                .add(theirs().not_equals(own))
                .add(theirs().is_null().and(Expr::col(own).is_not_null()))
                .add(theirs().is_not_null().and(Expr::col(own).is_null())),
        )
        .to_owned()
}
