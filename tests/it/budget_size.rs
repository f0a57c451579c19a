//! How much one call may ask of budgets, and what it costs: as many statements for fifty members or
//! scopes as for one.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, team};
use crate::harness::{TestApp, on_each_database};
use crate::steps::{change, done, rows};

/// Members who are known by an address only, each with the same budgets.
fn crowd(prefix: &str, count: usize, budgets: &Value) -> Vec<Value> {
    let member = |number: usize| {
        let email = format!("{prefix}-{number}@example.com");
        json!({ "user": { "email": email }, "budgets": budgets })
    };
    (0..count).map(member).collect()
}

fn budgets(count: usize) -> Value {
    json!(vec![json!({ "create": { "maxSpend": "1", "period": "1d" } }); count])
}

async fn tier(app: &TestApp, max_spend: &str) -> String {
    let input = json!({ "name": "tier", "limits": { "maxSpend": max_spend } });
    text(&done(&app.admin(), "budgetCreate", input, "budget { id }").await, "/budget/id")
}

/// M-ADD-2, SECURITY 4: one call gives at most 1,000 budgets to those whom it adds.
#[tokio::test]
async fn one_call_gives_at_most_a_thousand_budgets() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let mut members = crowd("many", 50, &budgets(20));
        members.extend(crowd("more", 1, &budgets(1)));
        let before = rows(app, "users").await;
        let input = json!({ "teamId": world.a1, "members": members });
        let answer = change(&admin, "teamMemberAdd", input, "team { id }").await;
        answer.refused("BAD_USER_INPUT", "input.members");
        let input = json!({ "name": "T", "members": members });
        let answer = change(&admin, "teamCreate", input, "team { id }").await;
        answer.refused("BAD_USER_INPUT", "input.members");
        assert_eq!(rows(app, "users").await, before);
        assert_eq!(rows(app, "budgets").await, 0);
        members.pop();
        let input = json!({ "teamId": world.a1, "members": members });
        done(&admin, "teamMemberAdd", input, "team { id }").await;
        assert_eq!(rows(app, "budgets").await, 1_000);
        assert_eq!(rows(app, "budget_assignments").await, 1_000);
        let events = "audit_events WHERE action IN ('BUDGET_CREATED', 'BUDGET_ASSIGNED')";
        assert_eq!(rows(app, events).await, 2_000);
    })
    .await;
}

/// M-ADD-12: members are added with their budgets, new ones and tiers, in as many statements for
/// fifty as for one; for 500 members, in a few more.
#[tokio::test]
async fn budgets_of_many_members_cost_what_those_of_one_cost() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let tier = tier(app, "2").await;
        let mut budgets = budgets(1);
        budgets.as_array_mut().unwrap().push(json!({ "attach": { "budgetId": tier } }));
        let limit = json!({ "id": world.a1, "budgets": [{ "create": { "maxSpend": "10" } }] });
        done(&app.admin(), "teamUpdate", limit, "team { id }").await;
        let mut costs = Vec::new();
        for count in [1, 50, 449] {
            let members = crowd(&format!("of-{count}"), count, &budgets);
            let input = json!({ "teamId": world.a1, "members": members });
            let answer = change(&app.admin(), "teamMemberAdd", input, "team { id }").await;
            costs.push(answer.statements());
            answer.data();
        }
        assert_eq!(costs[0], costs[1], "{costs:?}");
        assert!(costs[2] <= costs[0] + 10, "{costs:?}");
        assert_eq!(rows(app, "budget_assignments").await, 1_001);
    })
    .await;
}

/// DESIGN 3: a tier is changed and deleted in as many statements when fifty scopes use it as when
/// one does.
#[tokio::test]
async fn a_tier_of_many_scopes_costs_what_that_of_one_costs() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let mut costs = Vec::new();
        for count in [1, 50] {
            let tier = tier(app, "100").await;
            let attach = json!([{ "attach": { "budgetId": tier } }]);
            for number in 0..count {
                let team = team(&admin, &format!("T{number}"), &world.a, &[]).await;
                let input = json!({ "id": team, "budgets": attach });
                done(&admin, "teamUpdate", input, "team { id }").await;
                let input = json!({ "teamId": team, "members": crowd("p", 1, &attach) });
                done(&admin, "teamMemberAdd", input, "team { id }").await;
                let key = json!({ "kind": "SERVICE", "teamId": team, "budgets": attach });
                done(&admin, "apiKeyCreate", key, "apiKey { id }").await;
            }
            let input = json!({ "id": tier, "limits": { "maxSpend": "50" } });
            let updated = change(&admin, "budgetUpdate", input, "budget { id }").await;
            let input = json!({ "id": tier });
            let deleted = change(&admin, "budgetDelete", input, "unassignedScopeCount").await;
            costs.push((updated.statements(), deleted.statements()));
            updated.data();
            let gone = deleted.data()["budgetDelete"]["unassignedScopeCount"].clone();
            assert_eq!(gone, 3 * count);
        }
        assert_eq!(costs[0], costs[1]);
    })
    .await;
}
