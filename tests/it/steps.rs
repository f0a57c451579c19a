//! What tests do over and over: one mutation, one read, one look into the database past the API.

use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Kind, TestApp};

/// Runs one mutation, and reads a selection of its payload.
pub(crate) async fn change(client: &Client, field: &str, input: Value, selection: &str) -> Answer {
    let kind = match field {
        "userBlock" | "userUnblock" => "UserIdInput".to_owned(),
        "endUserBlock" | "endUserUnblock" => "EndUserIdInput".to_owned(),
        "apiKeyBlock" | "apiKeyUnblock" => "ApiKeyIdInput".to_owned(),
        "modelBlock" | "modelUnblock" => "ModelIdInput".to_owned(),
        "teamBlock" | "teamUnblock" => "TeamRefInput".to_owned(),
        field => format!("{}{}Input", field[..1].to_uppercase(), &field[1..]),
    };
    let query = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} }} }}");
    client.run_with(&query, json!({ "input": input })).await
}

/// Runs one mutation that must succeed, and returns its payload.
pub(crate) async fn done(client: &Client, field: &str, input: Value, selection: &str) -> Value {
    change(client, field, input, selection).await.data()[field].clone()
}

/// The value of a query's one root field; the query must succeed.
pub(crate) async fn read(client: &Client, query: &str) -> Value {
    let data = client.data(query).await;
    data.as_object().and_then(|fields| fields.values().next()).cloned().unwrap_or_default()
}

/// Makes a project in a team, and returns its id.
pub(crate) async fn project(client: &Client, team: &str, mut input: Value) -> String {
    input["teamId"] = json!(team);
    let made = done(client, "projectCreate", input, "project { id }").await;
    crate::harness::client::text(&made, "/project/id")
}

/// Whether the server knows the caller's key.
pub(crate) async fn is_known(client: &Client) -> bool {
    match client.run("{ __typename }").await.status {
        200 => true,
        401 => false,
        status => panic!("status {status}"),
    }
}

/// The number of rows of a table, with a condition.
pub(crate) async fn rows(app: &TestApp, from: &str) -> i64 {
    let database = app.database().await;
    let sql = format!("SELECT COUNT(*) AS found FROM {from}");
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "found").unwrap()
}

/// Runs a statement past the API.
pub(crate) async fn execute(app: &TestApp, sql: &str) {
    let database = app.database().await;
    let outcome = database.execute_unprepared(sql).await.unwrap();
    assert!(outcome.rows_affected() > 0, "{sql}");
}

/// An id of the API as SQL writes it.
pub(crate) fn sql_id(app: &TestApp, id: &str) -> String {
    let digits = id.rsplit('_').next().unwrap();
    match app.kind {
        Kind::Sqlite => format!("x'{digits}'"),
        Kind::Postgres => format!("'{digits}'"),
    }
}

/// Fails if some row speaks of a user, a key, a team, a project or a budget that is no more.
pub(crate) async fn assert_no_orphans(app: &TestApp) {
    for (table, column, parent) in [
        ("api_keys", "user_id", "users"),
        ("api_keys", "team_id", "teams"),
        ("api_keys", "project_id", "projects"),
        ("projects", "team_id", "teams"),
        ("api_key_secrets", "api_key_id", "api_keys"),
        ("team_memberships", "user_id", "users"),
        ("team_memberships", "team_id", "teams"),
        ("organization_memberships", "user_id", "users"),
        ("organization_memberships", "organization_id", "organizations"),
        ("teams", "organization_id", "organizations"),
        ("users", "organization_id", "organizations"),
        ("budgets", "organization_id", "organizations"),
        ("models", "team_id", "teams"),
        ("models", "credential_id", "credentials"),
        ("credentials", "team_id", "teams"),
        ("credential_values", "credential_id", "credentials"),
        ("access_group_models", "access_group_id", "access_groups"),
        ("budget_assignments", "budget_id", "budgets"),
        ("budget_windows", "budget_id", "budgets"),
        ("end_users", "team_id", "teams"),
        ("end_users", "organization_id", "organizations"),
        ("tags", "organization_id", "organizations"),
    ] {
        let lost = format!(
            "{table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT id FROM {parent})"
        );
        assert_eq!(rows(app, &lost).await, 0, "{lost}");
    }
    let scopes = "SELECT id FROM users UNION SELECT id FROM teams UNION SELECT id FROM api_keys \
                  UNION SELECT id FROM projects UNION SELECT id FROM team_memberships \
                  UNION SELECT id FROM organizations UNION SELECT id FROM end_users \
                  UNION SELECT id FROM tags";
    let lost = format!(
        "budget_assignments WHERE scope_id NOT IN ({scopes}) \
         AND scope_kind NOT IN ('PLATFORM', 'TEAM_DEFAULT', 'USER_DEFAULT', 'END_USER_DEFAULT')"
    );
    assert_eq!(rows(app, &lost).await, 0, "{lost}");
    let lost = "budgets WHERE owner_id IS NOT NULL \
                AND id NOT IN (SELECT budget_id FROM budget_assignments)";
    assert_eq!(rows(app, lost).await, 0, "{lost}");
}
