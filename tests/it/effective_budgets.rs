//! `effectiveBudgets` of keys: what their calls are held against, for those who may see it.

use serde_json::{Value, json};

use crate::harness::world::{World, api_key};
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::{done, read};

/// A key of the member in a project of team A1, with a budget in every place that its calls count.
struct Scene {
    world: World,
    key: String,
}

impl Scene {
    async fn new(app: &TestApp) -> Self {
        let world = World::new(app).await;
        let admin = app.admin();
        let budget = |max: &str| json!([{ "create": { "maxSpend": max, "period": "1mo" } }]);
        let member = &world.users["member"];
        let input = json!({ "teamId": world.a1, "name": "P", "budgets": budget("3") });
        let project = done(&admin, "projectCreate", input, "project { id }").await;
        for (field, input, selection) in [
            ("settingsUpdate", json!({ "budgets": budget("9") }), "settings { version }"),
            (
                "organizationUpdate",
                json!({ "id": world.a, "budgets": budget("5") }),
                "organization { id }",
            ),
            (
                "teamUpdate",
                json!({ "id": world.a1, "tags": ["blue"], "budgets": budget("4") }),
                "team { id }",
            ),
            (
                "teamMemberUpdate",
                json!({ "teamId": world.a1, "user": { "id": member }, "budgets": budget("2") }),
                "membership { id }",
            ),
            ("userUpdate", json!({ "id": member, "budgets": budget("6") }), "user { id }"),
            (
                "tagCreate",
                json!({ "name": "blue", "organizationId": world.a, "budgets": budget("7") }),
                "tag { id }",
            ),
            ("tagCreate", json!({ "name": "red", "budgets": budget("8") }), "tag { id }"),
        ] {
            done(&admin, field, input, selection).await;
        }
        let input = json!({
            "userId": member, "teamId": world.a1, "projectId": project["project"]["id"],
            "tags": ["red"], "budgets": budget("1"),
        });
        let (key, _) = api_key(&admin, input).await;
        Self { world, key }
    }

    /// The budgets of the key, as somebody sees them: kinds of scopes, and caps.
    async fn seen(&self, client: &Client) -> Value {
        let query = format!(
            "{{ apiKey(id: \"{}\") {{ effectiveBudgets {{ scopeKind budget {{ maxSpend }} spent }} }} }}",
            self.key
        );
        let found = read(client, &query).await;
        let Some(rows) = found["effectiveBudgets"].as_array() else { return Value::Null };
        let row = |row: &Value| json!([row["scopeKind"], row["budget"]["maxSpend"]]);
        rows.iter().map(row).collect()
    }
}

/// DESIGN 5: the budgets that a call of the key is held against, in the order in which it is judged; each
/// as far as its scope's budgets may be seen (SECURITY 3, "Field law").
#[tokio::test]
async fn they_are_those_that_calls_are_held_against() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let all = json!([
            ["API_KEY", "1"],
            ["TEAM_MEMBERSHIP", "2"],
            ["PROJECT", "3"],
            ["TEAM", "4"],
            ["ORGANIZATION", "5"],
            ["USER", "6"],
            ["TAG", "7"],
            ["TAG", "8"],
            ["PLATFORM", "9"],
        ]);
        let of = |kinds: &[&str]| -> Value {
            let rows = all.as_array().unwrap().iter();
            rows.filter(|row| kinds.contains(&row[0].as_str().unwrap())).cloned().collect()
        };
        assert_eq!(scene.seen(&app.admin()).await, all);
        assert_eq!(scene.seen(scene.world.person("platform_viewer")).await, all);
        let in_team = ["API_KEY", "TEAM_MEMBERSHIP", "PROJECT", "TEAM"];
        assert_eq!(scene.seen(scene.world.person("team_admin")).await, of(&in_team));
        let own = ["API_KEY", "TEAM_MEMBERSHIP", "USER"];
        assert_eq!(scene.seen(scene.world.person("member")).await, of(&own));
        assert_eq!(scene.seen(scene.world.person("outsider")).await, Value::Null);
        // The same that a call is judged by.
        let query =
            "query($id: ID) { accessExplain(input: { apiKeyId: $id, call: { model: \"m\" } }) {
            rules { kind scope { kind } budget { maxSpend } } } }";
        let explained = app.admin().run_with(query, json!({ "id": scene.key })).await.data();
        let rules = explained["accessExplain"]["rules"].as_array().unwrap().iter();
        let judged: Value = rules
            .filter(|rule| rule["kind"] == "BUDGET")
            .map(|rule| json!([rule["scope"]["kind"], rule["budget"]["maxSpend"]]))
            .collect();
        assert_eq!(judged, all);
        let input = json!({ "userBudgetsHoldInTeams": false });
        done(&app.admin(), "settingsUpdate", input, "settings { version }").await;
        assert!(
            !scene.seen(&app.admin()).await.as_array().unwrap().contains(&json!(["USER", "6"]))
        );
    })
    .await;
}

/// DESIGN 3: a page of keys costs as many statements as one.
#[tokio::test]
async fn a_page_of_keys_costs_no_more_statements_than_one() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        for name in ["a", "b", "c"] {
            let input = json!({ "kind": "SERVICE", "teamId": scene.world.a1, "name": name });
            api_key(&app.admin(), input).await;
        }
        let query = "query($n: Int, $t: ID!) { apiKeys(first: $n, filter: { teamIds: [$t] }) {
            nodes { effectiveBudgets { scopeKind spent remaining } } } }";
        let cost = async |count: i32| {
            let variables = json!({ "n": count, "t": scene.world.a1 });
            let answer = app.admin().run_with(query, variables).await;
            let first = &answer.body["data"]["apiKeys"]["nodes"][0];
            assert!(first["effectiveBudgets"].is_array(), "{:#}", answer.body);
            answer.statements()
        };
        assert_eq!(cost(1).await, cost(10).await);
    })
    .await;
}
