//! From the name of a unique constraint to the input field whose value is taken.
//!
//! The database is the judge of uniqueness: rows are inserted without asking first, so that of two
//! writers one gets [`Error::AlreadyExists`] and neither gets the other's row.

use sea_orm::DbErr;

use crate::error::{Error, unique_violation};

/// Constraints, by the columns that SQLite names and the name that PostgreSQL gives.
const CONSTRAINTS: &[(&str, &str, &str, &str)] = &[
    (
        "organizations.external_id",
        "organizations_external_id_key",
        "externalId",
        "this external id is taken by another organization",
    ),
    (
        "teams.external_id",
        "teams_organization_id_external_id_key",
        "externalId",
        "this external id is taken by another team",
    ),
    (
        "teams.external_id",
        "teams_external_id_key",
        "externalId",
        "this external id is taken by another team",
    ),
    (
        "projects.external_id",
        "projects_organization_id_external_id_key",
        "externalId",
        "this external id is taken by another project",
    ),
    (
        "projects.external_id",
        "projects_external_id_key",
        "externalId",
        "this external id is taken by another project",
    ),
    (
        "users.external_id",
        "users_external_id_key",
        "externalId",
        "this external id is taken by another user",
    ),
    (
        "users.email_key",
        "users_email_key_key",
        "email",
        "this e-mail address is taken by another user",
    ),
    (
        "users.email_key",
        "users_organization_id_email_key_key",
        "email",
        "this e-mail address is taken by another user",
    ),
    (
        "budgets.external_id",
        "budgets_organization_id_external_id_key",
        "externalId",
        "this external id is taken by another budget",
    ),
    (
        "budgets.external_id",
        "budgets_external_id_key",
        "externalId",
        "this external id is taken by another budget",
    ),
    (
        "api_keys.external_id",
        "api_keys_team_id_external_id_key",
        "externalId",
        "this external id is taken by another key",
    ),
    (
        "api_keys.external_id",
        "api_keys_user_id_external_id_key",
        "externalId",
        "this external id is taken by another key",
    ),
    (
        "api_keys.external_id",
        "api_keys_external_id_key",
        "externalId",
        "this external id is taken by another key",
    ),
    (
        "end_users.external_id",
        "end_users_team_id_external_id_key",
        "externalId",
        "this external id is taken by another end user",
    ),
    (
        "end_users.external_id",
        "end_users_organization_id_external_id_key",
        "externalId",
        "this external id is taken by another end user",
    ),
    (
        "end_users.external_id",
        "end_users_external_id_key",
        "externalId",
        "this external id is taken by another end user",
    ),
    ("tags.name", "tags_organization_id_name_key", "name", "there is a tag of this name"),
    ("tags.name", "tags_name_key", "name", "there is a tag of this name"),
    ("api_key_secrets.digest", "api_key_secrets_digest_key", "secret", "this secret is in use"),
    (
        "team_memberships.user_id",
        "team_memberships_team_id_user_id_key",
        "members",
        "a user is a member already",
    ),
    (
        "organization_memberships.user_id",
        "organization_memberships_organization_id_user_id_key",
        "members",
        "a user is a member already",
    ),
    (
        "budget_assignments.scope_id",
        "budget_assignments_budget_id_scope_kind_scope_id_key",
        "budgets",
        "a budget is assigned to the scope already",
    ),
    (
        "models.external_id",
        "models_team_id_external_id_key",
        "externalId",
        "this external id is taken by another model",
    ),
    (
        "models.external_id",
        "models_external_id_key",
        "externalId",
        "this external id is taken by another model",
    ),
    (
        "credentials.external_id",
        "credentials_team_id_external_id_key",
        "externalId",
        "this external id is taken by another credential",
    ),
    (
        "credentials.external_id",
        "credentials_external_id_key",
        "externalId",
        "this external id is taken by another credential",
    ),
    (
        "credential_values.name",
        "credential_values_credential_id_name_key",
        "values",
        "a value of this name is stored already",
    ),
    (
        "access_groups.name",
        "access_groups_name_key",
        "name",
        "this name is taken by another access group",
    ),
    (
        "access_groups.external_id",
        "access_groups_external_id_key",
        "externalId",
        "this external id is taken by another access group",
    ),
    (
        "access_group_models.model_name",
        "access_group_models_access_group_id_model_name_key",
        "models",
        "a model is in the group already",
    ),
    (
        "model_aliases.alias",
        "model_aliases_scope_kind_scope_id_alias_key",
        "alias",
        "this alias is taken",
    ),
];

/// Turns a unique violation into an error about an input field; every other error stays what it is.
pub(crate) fn unique_to_input(error: DbErr) -> Error {
    let Some(text) = unique_violation(&error) else { return Error::Database(error) };
    let hit = CONSTRAINTS.iter().find(|(column, name, _, _)| {
        text == *name || text.ends_with(column) || text.contains(name)
    });
    match hit {
        Some((_, _, field, message)) => {
            Error::AlreadyExists { field: format!("input.{field}"), message: (*message).to_owned() }
        }
        None => Error::Database(error),
    }
}
