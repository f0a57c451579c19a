//! What the requests under load ask.

use serde_json::{Value, json};

use crate::rows;

/// A question about the parts of a team that the dashboard shows.
macro_rules! parts_of {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id name
            members(first: 10) { nodes { role user { name email }
                budgets { spent remaining budget { maxSpend } } } }
            apiKeys(first: 5) { nodes { name hint } }
            projects(first: 5) { nodes { name budgets { spent remaining budget { maxSpend } } } }
            budgets { spent remaining resetsAt budget { maxSpend period } } ",
            $after
        )
    };
}

/// The dashboard's question, the one of which `tests/it/statements.rs` counts the statements.
const DASHBOARD: &str = parts_of!("query($first: Int!) { teams(first: $first) { nodes {", "} } }");
const TEAM: &str = parts_of!("query($id: ID!) { team(id: $id) {", "}}");

/// The teams on the dashboard.
const FIRST_TEAMS: u32 = 50;

/// What a request says: one that is always the same, or the n-th of many.
pub(crate) type Body<'a> = &'a dyn Fn(u64) -> Value;

/// A query that never changes.
pub(crate) fn query(query: &str, variables: &Value) -> impl Fn(u64) -> Value + use<> {
    let body = json!({ "query": query, "variables": variables });
    move |_| body.clone()
}

/// A query whose variable `name` is one of many.
fn by_name(query: &'static str, name: impl Fn(u64) -> String) -> impl Fn(u64) -> Value {
    move |number| json!({ "query": query, "variables": { "name": name(number) } })
}

pub(crate) fn viewer() -> impl Fn(u64) -> Value {
    query("{ viewer { kind } }", &json!({}))
}

pub(crate) fn dashboard() -> impl Fn(u64) -> Value {
    query(DASHBOARD, &json!({ "first": FIRST_TEAMS }))
}

/// One of so many teams.
pub(crate) fn team(teams: u64) -> impl Fn(u64) -> Value {
    move |number| {
        let id = rows::team_id(number % teams).to_string();
        json!({ "query": TEAM, "variables": { "id": id } })
    }
}

pub(crate) fn first_models() -> impl Fn(u64) -> Value {
    let page = "{ models(first: 50) { nodes { id name provider providerModel isBlocked } } }";
    query(page, &json!({}))
}

pub(crate) fn models_with(text: &str) -> impl Fn(u64) -> Value {
    let search = "query($text: String!) {
        models(first: 50, filter: { search: $text }) { nodes { id name } } }";
    query(search, &json!({ "text": text }))
}

pub(crate) fn models_of_name(models: u64) -> impl Fn(u64) -> Value {
    let look_up = "query($name: String!) {
        models(filter: { names: [$name] }) { nodes { id provider providerModel } } }";
    by_name(look_up, move |number| rows::model_name(number % models))
}

pub(crate) fn model_resolve(models: u64) -> impl Fn(u64) -> Value {
    let resolve = "query($name: String!) {
        modelResolve(name: $name) { model { id provider providerModel } values { name } } }";
    by_name(resolve, move |number| rows::model_name(number % models))
}

pub(crate) fn team_create(number: u64) -> Value {
    let input = json!({ "name": format!("New {number}"), "externalId": format!("new-{number}") });
    let query = "mutation($input: TeamCreateInput!) { teamCreate(input: $input) { team { id } } }";
    json!({ "query": query, "variables": { "input": input } })
}

pub(crate) fn api_key_create(number: u64) -> Value {
    let team = rows::team_name(number % 1_000);
    let input = json!({ "kind": "SERVICE", "teamId": team, "name": format!("new {number}") });
    let query = "mutation($input: ApiKeyCreateInput!) {
        apiKeyCreate(input: $input) { secret apiKey { id } } }";
    json!({ "query": query, "variables": { "input": input } })
}
