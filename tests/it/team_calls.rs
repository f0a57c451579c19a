//! The calls that the tests of teams and memberships share.

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::{Answer, Client, TestApp};

/// The type of a mutation's input.
fn input_type(mutation: &str) -> String {
    match mutation {
        "teamBlock" | "teamUnblock" => "TeamRefInput".to_owned(),
        "teamModelAdd" | "teamModelRemove" => "TeamModelInput".to_owned(),
        other => format!("{}{}Input", other[..1].to_uppercase(), &other[1..]),
    }
}

/// The document of a mutation.
pub(crate) fn document(mutation: &str, selection: &str) -> String {
    let input = input_type(mutation);
    format!(
        "mutation($input: {input}!) {{ {mutation}(input: $input) {{ __typename {selection} }} }}"
    )
}

/// Runs a mutation.
pub(crate) async fn call(client: &Client, mutation: &str, input: Value, selection: &str) -> Answer {
    client.run_with(&document(mutation, selection), json!({ "input": input })).await
}

/// Runs a mutation that must succeed, and returns its payload.
pub(crate) async fn done(client: &Client, mutation: &str, input: Value, selection: &str) -> Value {
    let answer = call(client, mutation, input, selection).await;
    answer.data()[mutation].clone()
}

/// Runs a mutation that must be refused with a code and an input field.
pub(crate) async fn refused(
    client: &Client,
    mutation: &str,
    input: Value,
    code: &str,
    field: &str,
) -> Answer {
    let answer = call(client, mutation, input, "").await;
    answer.refused(code, field);
    assert!(answer.body["data"].is_null() || answer.body["data"][mutation].is_null());
    answer
}

/// Runs a mutation that must be forbidden.
pub(crate) async fn forbidden(client: &Client, mutation: &str, input: Value) {
    let answer = call(client, mutation, input, "").await;
    assert_eq!(answer.code(), "FORBIDDEN", "{:#}", answer.body);
}

/// Makes a team, and returns its id.
pub(crate) async fn create(client: &Client, input: Value) -> String {
    text(&done(client, "teamCreate", input, "team { id }").await, "/team/id")
}

/// Adds one plain member.
pub(crate) async fn add(client: &Client, team: &str, user: &str) {
    let input = json!({ "teamId": team, "members": [{ "user": { "id": user } }] });
    done(client, "teamMemberAdd", input, "").await;
}

/// Reads fields of a team; null when the caller does not see it.
pub(crate) async fn read(client: &Client, team: &str, selection: &str) -> Value {
    let query = format!("query($id: ID!) {{ team(id: $id) {{ {selection} }} }}");
    client.run_with(&query, json!({ "id": team })).await.data()["team"].clone()
}

/// The members of a team with their roles, oldest first, as `user role`.
pub(crate) async fn members(client: &Client, team: &str) -> Vec<String> {
    let selection = "members(first: 100) { nodes { user { id } role } }";
    let team = read(client, team, selection).await;
    let nodes = team["members"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| format!("{} {}", text(node, "/user/id"), text(node, "/role"))).collect()
}

/// One membership of a team.
pub(crate) async fn membership(client: &Client, team: &str, user: &str, selection: &str) -> Value {
    let selection = format!("members(first: 100) {{ nodes {{ user {{ id }} {selection} }} }}");
    let team = read(client, team, &selection).await;
    let nodes = team["members"]["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["user"]["id"] == user).cloned().unwrap_or(Value::Null)
}

/// The latest audit events, latest first.
pub(crate) async fn events(app: &TestApp, count: usize) -> Vec<Value> {
    let query = format!(
        "{{ auditEvents(first: {count}) {{ nodes {{
            action actorId actorKind actorApiKeyId onBehalfOf requestId occurredAt
            subjectKind subjectId teamId organizationId before after
        }} }} }}"
    );
    let data = app.admin().data(&query).await;
    data["auditEvents"]["nodes"].as_array().unwrap().clone()
}

/// What the latest events did, latest first.
pub(crate) async fn actions(app: &TestApp, count: usize) -> Vec<String> {
    events(app, count).await.iter().map(|event| text(event, "/action")).collect()
}

/// The number of rows of each table that has to do with teams.
pub(crate) async fn rows(app: &TestApp) -> Vec<(&'static str, i64)> {
    let mut counts = Vec::new();
    for table in [
        "teams",
        "team_memberships",
        "projects",
        "model_aliases",
        "budgets",
        "budget_assignments",
        "api_keys",
        "users",
    ] {
        counts.push((table, number(app, &format!("SELECT count(*) AS n FROM {table}")).await));
    }
    counts
}

/// The number that a statement past the API counts, as `n`.
pub(crate) async fn number(app: &TestApp, sql: &str) -> i64 {
    let database = app.database().await;
    let backend: DbBackend = database.get_database_backend();
    let row = database.query_one_raw(Statement::from_string(backend, sql)).await.unwrap().unwrap();
    row.try_get("", "n").unwrap()
}

/// An id of a noun that names nothing.
pub(crate) fn nobody(prefix: &str) -> String {
    format!("{prefix}_{:032x}", 0x0190_dead_beef_7000_8000_0000_0000_0001_u128)
}

/// An answer as text, without its request id and without an id.
pub(crate) fn masked(answer: &Answer, id: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(entries) => {
                entries.remove("requestId");
                entries.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut body = answer.body.clone();
    strip(&mut body);
    format!("{} {}", answer.status, body.to_string().replace(id, "ID"))
}

/// Fails unless a mutation of a hidden object is answered like one of a missing object.
pub(crate) async fn same_as_missing(
    client: &Client,
    mutation: &str,
    hidden: &str,
    input: impl Fn(&str) -> Value,
) {
    let prefix = hidden.split('_').next().unwrap();
    let missing = nobody(prefix);
    let one = call(client, mutation, input(hidden), "").await;
    let other = call(client, mutation, input(&missing), "").await;
    assert_ne!(one.code(), "", "{mutation} was done to what is hidden");
    assert_eq!(masked(&one, hidden), masked(&other, &missing), "{mutation}");
}
