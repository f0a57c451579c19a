//! The number of SQL statements: the same for one parent and for fifty, on every nested edge.

use serde_json::json;

use crate::harness::world::{api_key, join_organization, organization, team, user};
use crate::harness::{TestApp, on_each_database};
use crate::steps::project;

/// The dashboard's question: fifty teams, each with members, users, budgets, projects and keys.
const DASHBOARD: &str = "query($first: Int!) { teams(first: $first) { nodes {
    id name
    members(first: 10) { nodes { role user { name email } budgets { spent remaining } } }
    apiKeys(first: 5) { nodes { name hint } }
    projects(first: 5) { nodes { name budgets { spent remaining } } }
    budgets { spent remaining resetsAt budget { maxSpend period } }
} } }";

async fn many_teams(app: &TestApp) {
    let admin = app.admin();
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(user(&admin, &format!("person-{number}"), "USER").await);
    }
    let query = "mutation($input: TeamCreateInput!) { teamCreate(input: $input) { team { id } } }";
    for number in 0..50 {
        let member = |id: &String| {
            json!({
                "user": { "id": id },
                "budgets": [{ "create": { "maxSpend": "1", "period": "1d" } }],
            })
        };
        let members: Vec<_> = users.iter().map(member).collect();
        let input = json!({
            "name": format!("Team {number:02}"),
            "externalId": format!("team-{number:02}"),
            "members": members,
            "modelAliases": [{ "alias": "fast", "target": "gpt-4o-mini" }],
            "budgets": [{ "create": { "maxSpend": "10", "period": "1mo" } }],
        });
        admin.run_with(query, json!({ "input": input })).await.data();
        let id = format!("team-{number:02}");
        api_key(&admin, json!({ "kind": "SERVICE", "teamId": id, "name": "ci" })).await;
        api_key(&admin, json!({ "userId": users[0], "teamId": id, "name": "own" })).await;
        for name in ["one", "two"] {
            let budgets = json!([{ "create": { "maxSpend": "2" } }]);
            let own = project(&admin, &id, json!({ "name": name, "budgets": budgets })).await;
            api_key(&admin, json!({ "kind": "SERVICE", "projectId": own, "name": name })).await;
        }
    }
    let _ = team;
}

#[tokio::test]
async fn an_edge_costs_the_same_for_one_parent_and_for_fifty() {
    on_each_database(async |app| {
        many_teams(app).await;
        let admin = app.admin();
        for edge in [
            "organization { name }",
            "modelAliases { alias }",
            "budgets { spent budget { organization { name } } }",
            "members(first: 3) { nodes { role } }",
            "members(first: 3) { totalCount nodes { user { name email metadata } } }",
            "members(first: 3) { nodes { budgets { spent } team { name } } }",
            "members { nodes { user { teamMemberships(first: 2) { totalCount nodes { id } } } } }",
            "members { nodes { user { apiKeys(first: 2) { totalCount nodes { id } } budgets { spent } } } }",
            "projects(first: 2) { nodes { name metadata team { name } } }",
            "projects { totalCount nodes { budgets { spent } } }",
            "projects { nodes { apiKeys(first: 1) { totalCount nodes { project { name } hint } } } }",
            "apiKeys(first: 2) { nodes { name } }",
            "apiKeys(first: 2) { totalCount nodes { hint previousSecretValidUntil } }",
            "apiKeys(first: 2) { nodes { user { name } team { name } budgets { spent } } }",
        ] {
            let query = format!("query($first: Int!) {{ teams(first: $first) {{ nodes {{ id {edge} }} }} }}");
            let mut costs = Vec::new();
            for first in [1, 50] {
                let answer = admin.run_with(&query, json!({ "first": first })).await;
                costs.push(answer.statements());
                answer.data();
            }
            assert_eq!(costs[0], costs[1], "{edge}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_dashboard_costs_at_most_eight_statements() {
    on_each_database(async |app| {
        many_teams(app).await;
        let mut costs = Vec::new();
        for first in [1, 50] {
            let answer = app.admin().run_with(DASHBOARD, json!({ "first": first })).await;
            costs.push(answer.statements());
            let data = answer.data();
            assert_eq!(data["teams"]["nodes"].as_array().unwrap().len(), first);
            assert_eq!(data["teams"]["nodes"][0]["members"]["nodes"].as_array().unwrap().len(), 5);
        }
        assert_eq!(costs[0], costs[1]);
        assert!(costs[1] <= 8, "{costs:?}");
    })
    .await;
}

/// Organizations, each with its teams, members and budgets.
#[tokio::test]
async fn an_edge_of_an_organization_costs_the_same_for_one_and_for_fifty() {
    on_each_database(async |app| {
        let admin = app.admin();
        let person = user(&admin, "everywhere", "USER").await;
        for number in 0..50 {
            let id = organization(app, &format!("Tenant {number:02}")).await;
            join_organization(app, &id, &person, "MEMBER").await;
            team(&admin, "Team", &id, &[]).await;
        }
        for edge in [
            "budgets { spent }",
            "teams(first: 2) { nodes { name } }",
            "teams(first: 2) { totalCount nodes { organization { name } } }",
            "members(first: 2) { nodes { role } }",
            "members(first: 2) { totalCount nodes { user { name email } organization { name } } }",
        ] {
            let query = format!(
                "query($first: Int!) {{ organizations(first: $first) {{ nodes {{ id {edge} }} }} }}"
            );
            let mut costs = Vec::new();
            for first in [1, 50] {
                let answer = admin.run_with(&query, json!({ "first": first })).await;
                costs.push(answer.statements());
                answer.data();
            }
            assert_eq!(costs[0], costs[1], "{edge}");
        }
    })
    .await;
}

/// A person is asked who it is, in what teams and organizations: three statements before anything.
#[tokio::test]
async fn a_person_pays_three_statements_for_its_rights() {
    on_each_database(async |app| {
        many_teams(app).await;
        let (_, secret) = api_key(&app.admin(), json!({ "userId": person(app).await })).await;
        let client = app.with_key(Some(&secret));
        let answer = client.run("{ viewer { kind } }").await;
        assert_eq!(answer.statements(), 3);
        let mut costs = Vec::new();
        for first in [1, 50] {
            let answer = client.run_with(DASHBOARD, json!({ "first": first })).await;
            costs.push(answer.statements());
            answer.data();
        }
        assert_eq!(costs[0], costs[1]);
    })
    .await;
}

async fn person(app: &TestApp) -> String {
    let query = "{ users(filter: { search: \"person-1\" }) { nodes { id } } }";
    crate::harness::client::text(&app.admin().data(query).await, "/users/nodes/0/id")
}
