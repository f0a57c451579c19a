//! Reading what was spent: by whom it concerns, without gaps, at a cost that does not grow.

use serde_json::{Value, json};

use super::{codes, event, record};
use crate::harness::world::{World, api_key};
use crate::harness::{TestApp, on_each_database};
use crate::steps::{change, done, read};

/// Usage of a member in A1, of the service key of A1, of the member's own key, and of B1.
async fn used(app: &TestApp) -> (World, [String; 4]) {
    let world = World::new(app).await;
    let admin = app.admin();
    let input = json!({ "userId": world.users["member"], "teamId": world.a1, "name": "in A1" });
    let (in_team, _) = api_key(&admin, input).await;
    let input = json!({ "kind": "SERVICE", "teamId": world.b1, "name": "in B1" });
    let (foreign, _) = api_key(&admin, input).await;
    let keys = [in_team, world.keys["service"].clone(), world.keys["member"].clone(), foreign];
    let mut events = Vec::new();
    for (index, (key, cost)) in keys.iter().zip(["1", "2", "4", "8"]).enumerate() {
        let mut event = event(&index.to_string(), key, cost);
        event["occurredAt"] = json!(format!("2026-11-{:02}T10:00:00Z", 18 + index % 2 * 2));
        event["model"] = json!(["gpt-4o", "claude"][index % 2]);
        event["tags"] = json!(if index == 0 { vec!["red", "blue"] } else { vec![] });
        events.push(event);
    }
    assert_eq!(codes(&record(world.person("gateway"), json!(events)).await), ["RECORDED"; 4]);
    (world, keys)
}

/// SECURITY 3, "spend read, aggregate"; case 18: events, reports, counts and nodes show the same to each.
#[tokio::test]
async fn usage_is_seen_by_those_whom_it_concerns() {
    on_each_database(async |app| {
        let (world, _) = used(app).await;
        let all = read(&app.admin(), "{ usageEvents(first: 100) { nodes { id cost } } }").await;
        for (person, expected) in [
            ("outsider", &[][..]),
            ("viewer", &[]),
            ("member", &["1", "4"]),
            ("team_admin", &["1", "2"]),
            ("other_team_admin", &["8"]),
            ("organization_admin", &["1", "2"]),
            ("service", &["2"]),
            ("platform_viewer", &["1", "2", "4", "8"]),
            ("platform_admin", &["1", "2", "4", "8"]),
        ] {
            let client = world.person(person);
            let events = read(client, "{ usageEvents { totalCount nodes { id cost } } }").await;
            let mut costs: Vec<_> = events["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|node| node["cost"].as_str().unwrap())
                .collect();
            costs.sort_unstable();
            assert_eq!(costs, expected, "{person}");
            assert_eq!(events["totalCount"], expected.len(), "{person}");
            let query = "{ usage(from: \"2026-11-01\", to: \"2026-11-30\", groupBy: API_KEY) {
                totals { spend requests } groups { totals { spend } } } }";
            let report = read(client, query).await;
            let sum: i64 = expected.iter().map(|cost| cost.parse::<i64>().unwrap()).sum();
            let totals =
                json!({ "spend": sum.to_string(), "requests": expected.len().to_string() });
            assert_eq!(report["totals"], totals, "{person}");
            assert_eq!(report["groups"].as_array().unwrap().len(), expected.len(), "{person}");
            for node in all["nodes"].as_array().unwrap() {
                let query = format!("{{ node(id: {}) {{ id }} }}", node["id"]);
                let seen = !read(client, &query).await.is_null();
                let cost = node["cost"].as_str().unwrap();
                assert_eq!(seen, expected.contains(&cost), "{person} {cost}");
            }
        }
    })
    .await;
}

/// SECURITY 3, "Field law": what was spent in a scope is for those who may read its budgets.
#[tokio::test]
async fn spend_of_a_scope_is_for_those_who_run_it() {
    on_each_database(async |app| {
        let (world, keys) = used(app).await;
        let team = format!(
            "{{ team(id: \"{}\") {{ spend {{ lifetime }}
            members {{ nodes {{ user {{ name }} spend {{ lifetime }} }} }} }} }}",
            world.a1
        );
        for (person, own, members) in [
            ("team_admin", json!("3"), 3),
            ("organization_admin", json!("3"), 3),
            ("platform_viewer", json!("3"), 3),
            ("member", Value::Null, 1),
            ("viewer", Value::Null, 1),
        ] {
            let found = read(world.person(person), &team).await;
            assert_eq!(found["spend"]["lifetime"], own, "{person}");
            let nodes = found["members"]["nodes"].as_array().unwrap();
            let shown = nodes.iter().filter(|node| !node["spend"].is_null()).count();
            assert_eq!(shown, members, "{person}");
        }
        let own = format!("{{ apiKey(id: \"{}\") {{ spend {{ lifetime requests }} }} }}", keys[0]);
        let shown = json!({ "lifetime": "1", "requests": "1" });
        assert_eq!(read(world.person("member"), &own).await["spend"], shown);
        let user =
            format!("{{ user(id: \"{}\") {{ spend {{ lifetime }} }} }}", world.users["member"]);
        assert_eq!(read(world.person("member"), &user).await["spend"]["lifetime"], "5");
        assert_eq!(read(world.person("team_admin"), &user).await["spend"], Value::Null);
        let organization =
            format!("{{ organization(id: \"{}\") {{ spend {{ lifetime }} }} }}", world.a);
        assert_eq!(read(world.person("team_admin"), &organization).await["spend"], Value::Null);
        let found = read(world.person("organization_admin"), &organization).await;
        assert_eq!(found["spend"]["lifetime"], "3");
    })
    .await;
}

/// Labels are scopes like others: reports and lists are filtered by them.
#[tokio::test]
async fn usage_is_filtered_by_labels() {
    on_each_database(async |app| {
        let (_, keys) = used(app).await;
        let admin = app.admin();
        for (tags, groups, labels) in [
            ("\"red\"", json!([[keys[0], "1"]]), json!([["blue", "1"], ["red", "1"]])),
            ("\"none\", \"blue\"", json!([[keys[0], "1"]]), json!([["blue", "1"], ["red", "1"]])),
            ("\"none\"", json!([]), json!([])),
        ] {
            let filter = format!("filter: {{ tags: [{tags}] }}");
            for (by, expected) in [("API_KEY", &groups), ("TAG", &labels)] {
                let query = format!(
                    "{{ usage(from: \"2026-11-17\", to: \"2026-11-21\", groupBy: {by}, {filter}) {{
                        groups {{ key totals {{ spend }} }} }} }}"
                );
                let found = read(&admin, &query).await["groups"].clone();
                let row = |group: &Value| json!([group["key"], group["totals"]["spend"]]);
                let found: Value = found.as_array().unwrap().iter().map(row).collect();
                assert_eq!(found, *expected, "{tags} {by}");
            }
            let query = format!("{{ usageEvents({filter}) {{ totalCount nodes {{ cost }} }} }}");
            let events = read(&admin, &query).await;
            assert_eq!(events["totalCount"], groups.as_array().unwrap().len(), "{tags}");
        }
    })
    .await;
}

/// Every day of a report is there, and every group has all of them; the largest come first.
#[tokio::test]
async fn a_report_has_no_gaps() {
    on_each_database(async |app| {
        let (world, keys) = used(app).await;
        let admin = app.admin();
        let report = async |arguments: &str| {
            let totals = "totals { spend requests inputTokens }";
            read(
                &admin,
                &format!(
                    "{{ usage({arguments}) {{ {totals} days {{ date {totals} }}
                groups {{ key {totals} days {{ date totals {{ spend }} }} }} }} }}"
                ),
            )
            .await
        };
        let range = "from: \"2026-11-17\", to: \"2026-11-21\"";
        let whole = report(range).await;
        let days: Vec<_> = whole["days"]
            .as_array()
            .unwrap()
            .iter()
            .map(|day| (day["date"].as_str().unwrap(), day["totals"]["spend"].as_str().unwrap()))
            .collect();
        assert_eq!(
            days,
            [
                ("2026-11-17", "0"),
                ("2026-11-18", "5"),
                ("2026-11-19", "0"),
                ("2026-11-20", "10"),
                ("2026-11-21", "0")
            ]
        );
        assert_eq!((&whole["totals"]["spend"], &whole["groups"]), (&json!("15"), &json!([])));
        let groups = async |by: &str, more: &str| {
            let found = report(&format!("{range}, groupBy: {by}{more}")).await["groups"].clone();
            let groups = found.as_array().unwrap();
            assert!(groups.iter().all(|group| group["days"].as_array().unwrap().len() == 5));
            let row = |group: &Value| (group["key"].clone(), group["totals"]["spend"].clone());
            json!(groups.iter().map(row).collect::<Vec<_>>())
        };
        let user = &world.users["member"];
        for (by, more, expected) in [
            ("MODEL", "", json!([["claude", "10"], ["gpt-4o", "5"]])),
            ("MODEL", ", first: 1", json!([["claude", "10"]])),
            ("TEAM", "", json!([[world.b1, "8"], [null, "4"], [world.a1, "3"]])),
            ("ORGANIZATION", "", json!([[world.b, "8"], [null, "4"], [world.a, "3"]])),
            ("USER", "", json!([[null, "10"], [user, "5"]])),
            (
                "API_KEY",
                "",
                json!([[keys[3], "8"], [keys[2], "4"], [keys[1], "2"], [keys[0], "1"]]),
            ),
            ("PROJECT", "", json!([[null, "15"]])),
            ("END_USER", "", json!([[null, "15"]])),
            ("PROVIDER", "", json!([[null, "15"]])),
        ] {
            assert_eq!(groups(by, more).await, expected, "{by}");
        }
        let tags = groups("TAG", "").await;
        assert_eq!(tags, json!([[null, "14"], ["blue", "1"], ["red", "1"]]));
        assert_eq!(groups("TAG", ", first: 2").await, json!([[null, "14"], ["blue", "1"]]));
        let filter = format!(", filter: {{ teamIds: [\"{}\"], models: [\"gpt-4o\"] }}", world.a1);
        assert_eq!(groups("API_KEY", &filter).await, json!([[keys[0], "1"]]));
        for (arguments, field) in [
            ("from: \"2026-11-02\", to: \"2026-11-01\"", "to"),
            ("from: \"2025-11-01\", to: \"2026-11-02\"", "to"),
            ("from: \"1969-12-31\", to: \"1970-01-01\"", "from"),
            ("from: \"2026-11-01\", to: \"2026-11-01\", first: 0", "first"),
            ("from: \"2026-11-01\", to: \"2026-11-01\", first: 101", "first"),
            ("from: \"2026-11-01\", to: \"2026-11-01\", filter: { teamIds: [] }", "filter.teamIds"),
            (
                "from: \"2026-11-01\", to: \"2026-11-01\", filter: { teamIds: [\"x\"] }",
                "filter.teamIds.0",
            ),
        ] {
            let answer =
                admin.run(&format!("{{ usage({arguments}) {{ totals {{ spend }} }} }}")).await;
            answer.refused("BAD_USER_INPUT", field);
        }
        for day in ["2026-13-01", "2026-02-29", "yesterday", "20261101"] {
            let query = format!(
                "{{ usage(from: \"{day}\", to: \"2026-11-01\") {{ totals {{ spend }} }} }}"
            );
            assert_eq!(admin.run(&query).await.code(), "BAD_USER_INPUT", "{day}");
        }
    })
    .await;
}

#[tokio::test]
async fn events_are_filtered_and_paged() {
    on_each_database(async |app| {
        let (world, keys) = used(app).await;
        let admin = app.admin();
        let list = async |filter: &str| {
            let query = format!(
                "{{ usageEvents(filter: {{ {filter} }}) {{ totalCount nodes {{ cost }} }} }}"
            );
            let found = read(&admin, &query).await;
            let nodes = found["nodes"].as_array().unwrap();
            assert_eq!(found["totalCount"], nodes.len());
            nodes.iter().map(|node| node["cost"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list("").await, ["8", "4", "2", "1"]);
        assert_eq!(list("models: [\"claude\"]").await, ["8", "2"]);
        assert_eq!(list("kinds: [CORRECTION]").await, [""; 0]);
        assert_eq!(list("requestId: \"2\"").await, ["4"]);
        assert_eq!(list("since: \"2026-11-20T00:00:00Z\"").await, ["8", "2"]);
        assert_eq!(list("until: \"2026-11-20T00:00:00Z\"").await, ["4", "1"]);
        assert_eq!(list(&format!("teamIds: [\"{}\"]", world.a1)).await, ["2", "1"]);
        assert_eq!(list(&format!("organizationIds: [\"{}\"]", world.b)).await, ["8"]);
        assert_eq!(list(&format!("userIds: [\"{}\"]", world.users["member"])).await, ["4", "1"]);
        assert_eq!(list(&format!("apiKeyIds: [\"{}\"]", keys[1])).await, ["2"]);
        let page = "{ usageEvents(first: 3) { pageInfo { endCursor hasNextPage } } }";
        let page = read(&admin, page).await["pageInfo"].clone();
        assert_eq!(page["hasNextPage"], true);
        let query = format!(
            "{{ usageEvents(first: 3, after: {}) {{ nodes {{ cost }} }} }}",
            page["endCursor"]
        );
        assert_eq!(read(&admin, &query).await["nodes"], json!([{ "cost": "1" }]));
    })
    .await;
}

/// DESIGN 7: what was spent costs one statement for one scope or for fifty, and its window one more.
#[tokio::test]
async fn spend_costs_the_same_for_one_and_for_fifty() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let limits = json!([{ "create": { "maxSpend": "5", "period": "1d" } }]);
        for number in 0..50 {
            let input = json!({ "name": format!("T{number}"), "organizationId": world.a, "budgets": limits });
            done(&admin, "teamCreate", input, "team { id }").await;
        }
        let cost = async |count: u32, selection: &str| {
            let query = format!("query($n: Int!) {{ teams(first: $n) {{ nodes {{ id {selection} }} }} }}");
            let answer = admin.run_with(&query, json!({ "n": count })).await;
            answer.clone().data();
            answer.statements()
        };
        let plain = cost(50, "").await;
        for (selection, more) in [
            ("spend { lifetime requests }", 1),
            ("spend { lifetime currentWindow resetsAt } budgets { spent remaining resetsAt }", 2),
        ] {
            for count in [1, 50] {
                assert_eq!(cost(count, selection).await, plain + more, "{selection} {count}");
            }
        }
        let report = "{ usage(from: \"2026-01-01\", to: \"2026-12-31\", groupBy: TEAM) {
            totals { spend } days { date } groups { key days { date } } } }";
        let answer = admin.run(report).await;
        answer.clone().data();
        assert!(answer.statements() <= 3, "{}", answer.statements());
        let answer = change(&admin, "spendCorrect", json!({ "usageEventId": "usage_1", "amount": "1",
            "reason": "r" }), "usageEvent { id }").await;
        answer.refused("NOT_FOUND", "input.usageEventId");
    })
    .await;
}
