//! Budgets: the limits themselves, the windows they count in, and who sees them.

use entity::budget_window;
use entity::id::{BudgetId, Id};
use entity::value::Usd;
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{self, World, insert};
use crate::harness::{Client, TestApp};
use crate::steps::{assert_no_orphans, change, done, read, rows};

const ALL: &str = "id externalId name isStandalone maxSpend softSpend period timeZone \
                   requestsPerMinute tokensPerMinute maxParallelRequests modelPattern version \
                   createdBy organization { name }";

async fn standalone(client: &Client, limits: Value) -> String {
    let input = json!({ "name": "tier", "limits": limits });
    text(&done(client, "budgetCreate", input, "budget { id }").await, "/budget/id")
}

/// Gives a user these budgets, and returns them as they are in force.
async fn assign(admin: &Client, user: &str, budgets: Value) -> Value {
    let input = json!({ "id": user, "budgets": budgets });
    let selection = "user { budgets { counting spent remaining windowStartedAt resetsAt
        budget { id maxSpend softSpend period timeZone version isStandalone } } }";
    done(admin, "userUpdate", input, selection).await["user"]["budgets"].clone()
}

/// Writes what was spent in a window, which no caller of the management API can.
async fn spend(
    app: &TestApp,
    budget: &str,
    scope: &str,
    starts_at: &str,
    ends_at: &str,
    nanos: i64,
) {
    let uuid = |id: &str| uuid::Uuid::try_parse(id.rsplit('_').next().unwrap()).unwrap();
    let row = budget_window::Model {
        id: app.clock.id(),
        budget_id: BudgetId::from_uuid(uuid(budget)),
        scope_id: uuid(scope),
        starts_at: starts_at.parse().unwrap(),
        ends_at: Some(ends_at.parse().unwrap()),
        spent: Usd::from_nanos(nanos),
        reserved: Usd::from_nanos(500_000_000),
        raised: 0,
        updated_at: app.clock.now(),
    };
    insert(app, row).await;
}

/// E 7, E 17: every limit reads back; 0 stays 0, and null is null.
#[tokio::test]
async fn a_budget_reads_back_as_it_was_made() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({
            "name": "Gold", "externalId": "gold", "organizationId": world.a, "limits": {
                "maxSpend": "9223372036.854775807", "softSpend": "0.000000001", "period": "30d",
                "timeZone": "Europe/Berlin", "requestsPerMinute": "9223372036854775807",
                "tokensPerMinute": 5_000_000_000_u64, "maxParallelRequests": 3,
                "modelPattern": "gpt-*",
            },
        });
        let payload = format!("budget {{ {ALL} }}");
        let made = done(&admin, "budgetCreate", input, &payload).await["budget"].clone();
        let id = text(&made, "/id");
        let wanted = json!({
            "id": id, "externalId": "gold", "name": "Gold", "isStandalone": true,
            "maxSpend": "9223372036.854775807", "softSpend": "0.000000001", "period": "1mo",
            "timeZone": "Europe/Berlin", "requestsPerMinute": "9223372036854775807",
            "tokensPerMinute": "5000000000", "maxParallelRequests": "3", "modelPattern": "gpt-*",
            "version": 1, "createdBy": "bootstrap", "organization": { "name": "Alpha" },
        });
        assert_eq!(made, wanted);
        assert_eq!(read(&admin, &format!("{{ budget(id: \"gold\") {{ {ALL} }} }}")).await, wanted);
        let zero = json!({ "name": "Zero", "limits": { "maxSpend": 0, "requestsPerMinute": 0 } });
        let made = done(&admin, "budgetCreate", zero, &payload).await["budget"].clone();
        assert_eq!((&made["maxSpend"], &made["requestsPerMinute"]), (&json!("0"), &json!("0")));
        for field in
            ["softSpend", "period", "tokensPerMinute", "maxParallelRequests", "modelPattern"]
        {
            assert_eq!(made[field], Value::Null, "{field}");
        }
        let input = json!({ "id": made["id"], "limits": { "maxSpend": null } });
        let made = done(&admin, "budgetUpdate", input, &payload).await["budget"].clone();
        assert_eq!((&made["maxSpend"], &made["requestsPerMinute"]), (&Value::Null, &json!("0")));
    })
    .await;
}

/// SECURITY 3, "budget create/update/delete": the platform's admins, and an organization's admins
/// within it.
#[tokio::test]
async fn budgets_are_made_changed_and_deleted_by_those_who_run_things() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let limits = json!({ "maxSpend": "1" });
        let input = |organization: Value| {
            json!({ "name": "B", "organizationId": organization, "limits": limits })
        };
        let own = world.person("organization_admin");
        let made = done(own, "budgetCreate", input(json!(world.a)), "budget { id }").await;
        let id = text(&made, "/budget/id");
        let update = json!({ "id": id, "name": "C", "expectedVersion": 1 });
        done(own, "budgetUpdate", update, "budget { id }").await;
        let platform = standalone(world.person("platform_admin"), limits.clone()).await;
        let before = rows(app, "budgets").await;
        change(own, "budgetCreate", input(Value::Null), "budget { id }").await.refused("FORBIDDEN", "-");
        let other = change(own, "budgetCreate", input(json!(world.b)), "budget { id }").await;
        other.refused("NOT_FOUND", "input.organizationId");
        for name in ["service", "gateway", "outsider", "viewer", "member", "team_admin", "platform_viewer"] {
            let person = world.person(name);
            for (field, input, payload) in [
                ("budgetCreate", input(json!(world.a)), "budget { id }"),
                ("budgetCreate", input(Value::Null), "budget { id }"),
                ("budgetUpdate", json!({ "id": id, "name": "D" }), "budget { id }"),
                ("budgetDelete", json!({ "id": id }), "deletedId"),
            ] {
                let answer = change(person, field, input, payload).await;
                assert_eq!(answer.code(), "FORBIDDEN", "{field} {name}");
            }
        }
        for (field, input, payload) in [
            ("budgetUpdate", json!({ "id": platform, "name": "D" }), "budget { id }"),
            ("budgetDelete", json!({ "id": platform }), "deletedId"),
        ] {
            change(own, field, input, payload).await.refused("NOT_FOUND", "input.id");
        }
        assert_eq!(rows(app, "budgets").await, before);
        assert_eq!(rows(app, "budgets WHERE name = 'D'").await, 0);
        let stale = json!({ "id": id, "expectedVersion": 1 });
        change(own, "budgetDelete", stale, "deletedId").await.refused("CONFLICT", "-");
        done(own, "budgetDelete", json!({ "id": id }), "deletedId").await;
    })
    .await;
}

/// SECURITY case 28, F4: what makes no sense is refused with the path of its field, and nothing is
/// written.
#[tokio::test]
async fn limits_without_sense_are_refused() {
    on_each_database(async |app| {
        let admin = app.admin();
        let good = standalone(&admin, json!({ "maxSpend": "5" })).await;
        let user = world::user(&admin, "ada", "USER").await;
        let before = async || {
            rows(app, "budgets").await
                + rows(app, "budget_assignments").await * 100
                + rows(app, "audit_events").await * 10_000
        };
        let unchanged = before().await;
        let long = "1".repeat(40);
        for (field, limits) in [
            ("maxSpend", json!({ "maxSpend": "-1" })),
            ("maxSpend", json!({ "maxSpend": "-0.000000001" })),
            ("maxSpend", json!({ "maxSpend": "NaN" })),
            ("maxSpend", json!({ "maxSpend": "Infinity" })),
            ("maxSpend", json!({ "maxSpend": "1e30" })),
            ("maxSpend", json!({ "maxSpend": 1e30 })),
            ("maxSpend", json!({ "maxSpend": 0.1 })),
            ("maxSpend", json!({ "maxSpend": long })),
            ("maxSpend", json!({ "maxSpend": "9223372036.854775808" })),
            ("maxSpend", json!({ "maxSpend": "0.0000000001" })),
            ("maxSpend", json!({ "maxSpend": "" })),
            ("softSpend", json!({ "softSpend": "-1" })),
            ("softSpend", json!({ "maxSpend": "5", "softSpend": "5" })),
            ("softSpend", json!({ "maxSpend": "0", "softSpend": "0" })),
            ("requestsPerMinute", json!({ "requestsPerMinute": -1 })),
            ("tokensPerMinute", json!({ "tokensPerMinute": "-9" })),
            ("maxParallelRequests", json!({ "maxParallelRequests": -1 })),
            ("requestsPerMinute", json!({ "requestsPerMinute": long })),
            ("requestsPerMinute", json!({ "requestsPerMinute": 1.5 })),
            ("period", json!({ "maxSpend": "1", "period": "1hr" })),
            ("period", json!({ "maxSpend": "1", "period": "10days" })),
            ("period", json!({ "maxSpend": "1", "period": "0d" })),
            ("period", json!({ "maxSpend": "1", "period": "-1d" })),
            ("period", json!({ "maxSpend": "1", "period": "30" })),
            ("period", json!({ "maxSpend": "1", "period": "" })),
            ("period", json!({ "maxSpend": "1", "period": "9".repeat(65) })),
            ("timeZone", json!({ "maxSpend": "1", "timeZone": "Mars/Base" })),
            ("timeZone", json!({ "maxSpend": "1", "timeZone": "" })),
            ("modelPattern", json!({ "maxSpend": "1", "modelPattern": " x" })),
            ("", json!({})),
            ("", json!({ "period": "1d" })),
        ] {
            let dot = if field.is_empty() { "" } else { "." };
            let create = json!({ "name": "B", "limits": limits });
            let answer = change(&admin, "budgetCreate", create, "budget { id }").await;
            answer.refused("BAD_USER_INPUT", &format!("input.limits{dot}{field}"));
            let inline = json!({ "id": user, "budgets": [{ "create": limits }] });
            let answer = change(&admin, "userUpdate", inline, "user { id }").await;
            answer.refused("BAD_USER_INPUT", &format!("input.budgets.0.create{dot}{field}"));
            if !field.is_empty() {
                let update = json!({ "id": good, "limits": limits });
                let answer = change(&admin, "budgetUpdate", update, "budget { id }").await;
                answer.refused("BAD_USER_INPUT", &format!("input.limits.{field}"));
            }
            assert_eq!(before().await, unchanged, "{limits}");
        }
        let nothing_left = json!({ "id": good, "limits": { "maxSpend": null } });
        let answer = change(&admin, "budgetUpdate", nothing_left, "budget { id }").await;
        answer.refused("BAD_USER_INPUT", "input.limits");
        let answer =
            change(&admin, "budgetUpdate", json!({ "id": good, "name": null }), "budget { id }");
        answer.await.refused("BAD_USER_INPUT", "input.name");
        let none = json!({ "name": " ", "limits": { "maxSpend": "1" } });
        let answer = change(&admin, "budgetCreate", none, "budget { id }").await;
        answer.refused("BAD_USER_INPUT", "input.name");
        let many =
            json!({ "id": user, "budgets": vec![json!({ "create": { "maxSpend": "1" } }); 21] });
        let answer = change(&admin, "userUpdate", many, "user { id }").await;
        answer.refused("BAD_USER_INPUT", "input.budgets");
        assert_eq!(before().await, unchanged);
    })
    .await;
}

/// F4, E 14, SECURITY 6 "Windows": when a window began and when it ends is there to see, and moves
/// with the clock alone.
#[tokio::test]
async fn windows_follow_the_calendar_or_roll() {
    on_each_database(async |app| {
        let admin = app.admin();
        let user = world::user(&admin, "ada", "USER").await;
        // The clock stands at noon on Saturday, 21 November 2026.
        for (period, zone, began, ends) in [
            (json!("1d"), "UTC", "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
            (json!("24h"), "UTC", "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
            (json!("1d"), "Europe/Berlin", "2026-11-20T23:00:00", "2026-11-21T23:00:00"),
            (json!("1d"), "Asia/Kolkata", "2026-11-20T18:30:00", "2026-11-21T18:30:00"),
            (json!("12h"), "UTC", "2026-11-21T12:00:00", "2026-11-22T00:00:00"),
            (json!("7d"), "UTC", "2026-11-16T00:00:00", "2026-11-23T00:00:00"),
            (json!("30d"), "UTC", "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
            (json!("1mo"), "America/New_York", "2026-11-01T04:00:00", "2026-12-01T05:00:00"),
            (json!("P30D"), "UTC", "2026-11-21T12:00:00", "2026-12-21T12:00:00"),
            (json!("PT1H"), "UTC", "2026-11-21T12:00:00", "2026-11-21T13:00:00"),
        ] {
            let limits = json!({ "maxSpend": "1", "period": period, "timeZone": zone });
            let held = assign(&admin, &user, json!([{ "create": limits }])).await;
            let window = (&held[0]["windowStartedAt"], &held[0]["resetsAt"]);
            let wanted = (&json!(format!("{began}+00:00")), &json!(format!("{ends}+00:00")));
            assert_eq!(window, wanted, "{period} {zone}");
        }
        let endless = assign(&admin, &user, json!([{ "create": { "maxSpend": "1" } }])).await;
        assert_eq!(endless[0]["resetsAt"], Value::Null);
        assert_eq!(endless[0]["windowStartedAt"], Value::Null);
        let held =
            assign(&admin, &user, json!([{ "create": { "maxSpend": "1", "period": "P1D" } }]))
                .await;
        let attach = json!([{ "attach": { "budgetId": held[0]["budget"]["id"] } }]);
        for (at, ends) in [
            ("2026-11-22T11:59:59.999999Z", "2026-11-22T12:00:00+00:00"),
            ("2026-11-22T12:00:00Z", "2026-11-23T12:00:00+00:00"),
            ("2027-03-01T00:00:00Z", "2027-03-01T12:00:00+00:00"),
        ] {
            app.clock.set(at.parse().unwrap());
            let held = assign(&admin, &user, attach.clone()).await;
            assert_eq!(held[0]["resetsAt"], ends, "{at}");
        }
    })
    .await;
}

/// E 12, E 14: what was spent and what is left of the window that runs, and of no other.
#[tokio::test]
async fn what_is_left_is_that_of_the_window_that_runs() {
    on_each_database(async |app| {
        let admin = app.admin();
        let user = world::user(&admin, "ada", "USER").await;
        let limits = json!({ "maxSpend": "10", "period": "1d" });
        let held = assign(&admin, &user, json!([{ "create": limits }])).await;
        let id = text(&held[0], "/budget/id");
        assert_eq!((&held[0]["spent"], &held[0]["remaining"]), (&json!("0"), &json!("10")));
        let (today, tomorrow, after) =
            ("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z");
        spend(app, &id, &user, today, tomorrow, 7_250_000_001).await;
        let query =
            format!("{{ user(id: \"{user}\") {{ budgets {{ spent reserved remaining }} }} }}");
        for (at, spent, reserved, remaining) in [
            ("2026-11-21T23:59:59.999999Z", "7.250000001", "0.5", "2.249999999"),
            ("2026-11-22T00:00:00Z", "11", "0.5", "0"),
            ("2026-11-23T00:00:00Z", "0", "0", "10"),
        ] {
            app.clock.set(at.parse().unwrap());
            if at == tomorrow {
                spend(app, &id, &user, tomorrow, after, 11_000_000_000).await;
            }
            let held = read(&admin, &query).await["budgets"][0].clone();
            let wanted = json!({ "spent": spent, "reserved": reserved, "remaining": remaining });
            assert_eq!(held, wanted, "{at}");
        }
    })
    .await;
}

/// SECURITY 3, "budget read"; SECURITY case 6: budgets are seen by those whom they bind and those
/// who run the scope, and others can neither see nor use them.
#[tokio::test]
async fn budgets_are_seen_by_those_whom_they_concern() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let budget = async |name: &str, organization: Value| {
            let limits = json!({ "maxSpend": "5" });
            let input = json!({ "name": name, "organizationId": organization, "limits": limits });
            text(&done(&admin, "budgetCreate", input, "budget { id }").await, "/budget/id")
        };
        let of_a = budget("of A", json!(world.a)).await;
        let of_b = budget("of B", json!(world.b)).await;
        let on_team = budget("on A1", Value::Null).await;
        let on_member = budget("on the member", Value::Null).await;
        let attach = |id: &str| json!([{ "attach": { "budgetId": id } }]);
        let input = json!({ "id": world.a1, "budgets": attach(&on_team) });
        done(&admin, "teamUpdate", input, "team { id }").await;
        let input = json!({ "id": world.users["member"], "budgets": attach(&on_member) });
        done(&admin, "userUpdate", input, "user { id }").await;
        let query = "{ budgets { totalCount nodes { name } } }";
        for (name, seen) in [
            ("outsider", &[][..]),
            ("other_team_admin", &[]),
            ("viewer", &[]),
            ("member", &["on the member"]),
            ("team_admin", &["on A1"]),
            ("organization_admin", &["of A", "on A1"]),
            ("service", &[]),
            ("platform_viewer", &["of A", "of B", "on A1", "on the member"]),
            ("platform_admin", &["of A", "of B", "on A1", "on the member"]),
        ] {
            let person = world.person(name);
            let budgets = read(person, query).await;
            let nodes = budgets["nodes"].as_array().unwrap();
            let names: Vec<_> = nodes.iter().map(|budget| budget["name"].clone()).collect();
            assert_eq!(names, seen, "{name}");
            assert_eq!(budgets["totalCount"], seen.len(), "{name}");
            for (id, label) in [
                (&of_a, "of A"),
                (&of_b, "of B"),
                (&on_team, "on A1"),
                (&on_member, "on the member"),
            ] {
                for root in ["budget", "node"] {
                    let found = read(person, &format!("{{ {root}(id: \"{id}\") {{ id }} }}")).await;
                    assert_eq!(!found.is_null(), seen.contains(&label), "{name} {root} {label}");
                }
            }
        }
        assert_eq!(world.person("gateway").run(query).await.code(), "FORBIDDEN");
        // What one may not see, or what belongs to another organization, one cannot attach.
        let own = world.person("organization_admin");
        for id in [&of_b, &on_member, &format!("budget_{}", "7".repeat(32))] {
            let input = json!({ "id": world.a1, "budgets": attach(id) });
            let answer = change(own, "teamUpdate", input, "team { id }").await;
            answer.refused("NOT_FOUND", "input.budgets.0.attach.budgetId");
        }
        let input = json!({ "id": world.b1, "budgets": attach(&of_a) });
        let answer = change(&admin, "teamUpdate", input, "team { id }").await;
        answer.refused("NOT_FOUND", "input.budgets.0.attach.budgetId");
    })
    .await;
}

/// SECURITY case 19, case 29: external ids are per organization; searches are literal.
#[tokio::test]
async fn budgets_are_found_by_name_and_external_id() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for (name, organization) in [("Gold 100%", &world.a), ("Gold_b", &world.b)] {
            let limits = json!({ "maxSpend": "5" });
            let input = json!({
                "name": name, "externalId": "gold", "organizationId": organization, "limits": limits,
            });
            done(&admin, "budgetCreate", input.clone(), "budget { id }").await;
            let again = change(&admin, "budgetCreate", input, "budget { id }").await;
            again.refused("ALREADY_EXISTS", "input.externalId");
        }
        let limits = json!([{ "create": { "maxSpend": "1" } }]);
        assign(&admin, &world.users["member"], limits).await;
        let own = world.person("organization_admin");
        let found = read(own, "{ budget(id: \"gold\") { name } }").await;
        assert_eq!(found["name"], "Gold 100%");
        assert_eq!(admin.run("{ budget(id: \"gold\") { name } }").await.code(), "CONFLICT");
        let count = async |filter: &str| {
            let query = format!("{{ budgets(filter: {{ {filter} }}) {{ totalCount }} }}");
            read(&admin, &query).await["totalCount"].clone()
        };
        for (filter, found) in [
            ("search: \"GOLD\"", 2),
            ("search: \"%\"", 1),
            ("search: \"_\"", 1),
            ("search: \"d_b\"", 1),
            ("search: \"l%b\"", 0),
            ("isStandalone: true", 2),
            ("isStandalone: false", 1),
        ] {
            assert_eq!(count(filter).await, found, "{filter}");
        }
        assert_eq!(count(&format!("organizationIds: [\"{}\"]", world.b)).await, 1);
        let query = format!("{{ budgets(filter: {{ search: \"{}\" }}) {{ totalCount }} }}", "%".repeat(10_000));
        admin.run(&query).await.refused("BAD_USER_INPUT", "filter.search");
        assert_no_orphans(app).await;
    })
    .await;
}
