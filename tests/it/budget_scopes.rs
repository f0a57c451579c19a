//! Budgets on scopes: tiers and pots, forks, and limits within limits.

use entity::budget_window;
use entity::id::{BudgetId, Id};
use entity::value::Usd;
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{self, World, api_key, insert};
use crate::harness::{Client, TestApp};
use crate::steps::{assert_no_orphans, change, done, read, rows};

const HELD: &str = "user { budgets { id counting spent resetsAt
    budget { id name maxSpend softSpend period isStandalone version } } }";

async fn standalone(client: &Client, name: &str, limits: Value) -> String {
    let input = json!({ "name": name, "limits": limits });
    text(&done(client, "budgetCreate", input, "budget { id }").await, "/budget/id")
}

async fn assign(admin: &Client, user: &str, budgets: Value) -> Value {
    let input = json!({ "id": user, "budgets": budgets });
    done(admin, "userUpdate", input, HELD).await["user"]["budgets"].clone()
}

async fn held(admin: &Client, user: &str) -> Value {
    let query = format!("{{ user(id: \"{user}\") {} }}", HELD.strip_prefix("user ").unwrap());
    read(admin, &query).await["budgets"].clone()
}

/// Writes what was spent in a window without end, which no caller of the management API can.
async fn spend(app: &TestApp, budget: &str, scope: &str, dollars: i64) {
    let uuid = |id: &str| uuid::Uuid::try_parse(id.rsplit('_').next().unwrap()).unwrap();
    let row = budget_window::Model {
        id: app.clock.id(),
        budget_id: BudgetId::from_uuid(uuid(budget)),
        scope_id: uuid(scope),
        starts_at: app.clock.now(),
        ends_at: None,
        spent: Usd::from_nanos(dollars * 1_000_000_000),
        reserved: Usd::from_nanos(0),
    };
    insert(app, row).await;
}

/// DESIGN 3: a tier counts for each scope by itself, a pot for all of them together.
#[tokio::test]
async fn a_tier_counts_for_each_and_a_pot_for_all() {
    on_each_database(async |app| {
        let admin = app.admin();
        let (one, two) =
            (world::user(&admin, "one", "USER").await, world::user(&admin, "two", "USER").await);
        let tier = standalone(&admin, "tier", json!({ "maxSpend": "10" })).await;
        let pot = standalone(&admin, "pot", json!({ "maxSpend": "10" })).await;
        let both = json!([
            { "attach": { "budgetId": tier } },
            { "attach": { "budgetId": pot, "counting": "SHARED" } },
        ]);
        for user in [&one, &two] {
            let held = assign(&admin, user, both.clone()).await;
            assert_eq!(
                (&held[0]["counting"], &held[1]["counting"]),
                (&json!("EACH"), &json!("SHARED"))
            );
        }
        spend(app, &tier, &one, 4).await;
        spend(app, &tier, &two, 5).await;
        spend(app, &pot, &pot, 9).await;
        for (user, spent) in [(&one, "4"), (&two, "5")] {
            let held = held(&admin, user).await;
            assert_eq!((&held[0]["spent"], &held[1]["spent"]), (&json!(spent), &json!("9")));
        }
        // A budget that the scope has stays as it is, with its counters, unless one says otherwise.
        let before = held(&admin, &one).await;
        let same = json!([{ "attach": { "budgetId": pot } }, { "attach": { "budgetId": tier } }]);
        assert_eq!(assign(&admin, &one, same).await, before);
        let split = json!([
            { "attach": { "budgetId": tier } },
            { "attach": { "budgetId": pot, "counting": "EACH" } },
        ]);
        assign(&admin, &one, split).await;
        assert_eq!(held(&admin, &one).await.to_string().matches("SHARED").count(), 0);
        assert_eq!(held(&admin, &two).await[1]["counting"], "SHARED");
        // Taking one off leaves the budget to the others.
        let less = assign(&admin, &one, json!([{ "attach": { "budgetId": pot } }])).await;
        assert_eq!(less.as_array().unwrap().len(), 1);
        assert_eq!(held(&admin, &two).await.as_array().unwrap().len(), 2);
        assert_eq!(assign(&admin, &one, Value::Null).await, json!([]));
        assert_eq!(rows(app, "budgets").await, 2);
        assert_no_orphans(app).await;
    })
    .await;
}

/// A scope may say how its own budget counts; the budget and its limits stay.
#[tokio::test]
async fn the_counting_of_a_scopes_own_budget_can_change() {
    on_each_database(async |app| {
        let admin = app.admin();
        let user = world::user(&admin, "ada", "USER").await;
        let before = assign(&admin, &user, json!([{ "create": { "maxSpend": "3" } }])).await;
        let id = text(&before[0], "/budget/id");
        for counting in ["SHARED", "EACH"] {
            let attach = json!([{ "attach": { "budgetId": id, "counting": counting } }]);
            let after = assign(&admin, &user, attach).await;
            assert_eq!(after[0]["counting"], counting);
            assert_eq!(after[0]["budget"], before[0]["budget"]);
        }
        assert_no_orphans(app).await;
    })
    .await;
}

/// SECURITY case 6; E 10: editing a tier through one scope forks it for that scope: the anchor, the
/// counters and the others' limits stay.
#[tokio::test]
async fn editing_a_shared_budget_through_one_scope_forks_it() {
    on_each_database(async |app| {
        let admin = app.admin();
        let (one, two) =
            (world::user(&admin, "one", "USER").await, world::user(&admin, "two", "USER").await);
        let limits = json!({ "maxSpend": "10", "softSpend": "5", "period": "P30D" });
        let tier = standalone(&admin, "tier", limits).await;
        for user in [&one, &two] {
            assign(&admin, user, json!([{ "attach": { "budgetId": tier } }])).await;
        }
        spend(app, &tier, &one, 4).await;
        spend(app, &tier, &two, 3).await;
        app.clock.set("2026-12-01T08:00:00Z".parse().unwrap());
        let edit =
            |id: &str, limits: Value| json!([{ "edit": { "budgetId": id, "limits": limits } }]);
        let theirs = held(&admin, &two).await;
        let mine = held(&admin, &one).await;
        assert_eq!(assign(&admin, &one, edit(&tier, json!({ "maxSpend": "10" }))).await, mine);
        let forked = assign(&admin, &one, edit(&tier, json!({ "maxSpend": "20" }))).await;
        let fork = text(&forked[0], "/budget/id");
        assert_ne!(fork, tier);
        assert_eq!(forked[0]["id"], mine[0]["id"]);
        assert_eq!(forked[0]["resetsAt"], "2026-12-21T12:00:00+00:00");
        assert_eq!(forked[0]["spent"], "4");
        let wanted = ("20", "5", "P30D", false);
        let budget = &forked[0]["budget"];
        let found = (
            budget["maxSpend"].as_str().unwrap(),
            budget["softSpend"].as_str().unwrap(),
            budget["period"].as_str().unwrap(),
            budget["isStandalone"].as_bool().unwrap(),
        );
        assert_eq!(found, wanted);
        assert_eq!(held(&admin, &two).await, theirs);
        // The fork is the scope's own: the next edit changes it in place.
        let again =
            assign(&admin, &one, edit(&fork, json!({ "softSpend": null, "maxSpend": "0" }))).await;
        assert_eq!(again[0]["budget"]["id"], fork);
        assert_eq!(again[0]["budget"]["maxSpend"], "0");
        assert_eq!(again[0]["budget"]["softSpend"], Value::Null);
        assert_eq!(again[0]["resetsAt"], "2026-12-21T12:00:00+00:00");
        let input = json!({ "id": one, "budgets": edit(&tier, json!({ "maxSpend": "1" })) });
        let answer = change(&admin, "userUpdate", input, "user { id }").await;
        answer.refused("NOT_FOUND", "input.budgets.0.edit.budgetId");
        let input = json!({ "id": two, "budgets": edit(&tier, json!({ "tokensPerMinute": -1 })) });
        let answer = change(&admin, "userUpdate", input, "user { id }").await;
        answer.refused("BAD_USER_INPUT", "input.budgets.0.edit.limits.tokensPerMinute");
        // What belongs to one scope is changed and taken off through that scope.
        for (field, input, payload) in [
            ("budgetUpdate", json!({ "id": fork, "limits": { "maxSpend": "2" } }), "budget { id }"),
            ("budgetDelete", json!({ "id": fork }), "deletedId"),
        ] {
            change(&admin, field, input, payload).await.refused("CONFLICT", "-");
        }
        assign(&admin, &one, json!([])).await;
        assert_eq!(rows(app, "budgets").await, 1);
        assert_no_orphans(app).await;
    })
    .await;
}

/// The same budget twice, or one that is edited and attached, is a mistake of the caller.
#[tokio::test]
async fn a_budget_is_listed_once() {
    on_each_database(async |app| {
        let admin = app.admin();
        let user = world::user(&admin, "ada", "USER").await;
        let tier = standalone(&admin, "tier", json!({ "maxSpend": "10" })).await;
        let attach = json!({ "attach": { "budgetId": tier } });
        let edit = json!({ "edit": { "budgetId": tier, "limits": { "maxSpend": "1" } } });
        for round in 0..2 {
            for twice in [json!([attach, attach]), json!([attach, edit]), json!([edit, attach])] {
                let input = json!({ "id": user, "budgets": twice });
                let answer = change(&admin, "userUpdate", input, "user { id }").await;
                assert!(!answer.code().is_empty(), "{round} {twice}: {:#}", answer.body);
                assert_ne!(answer.code(), "INTERNAL_SERVER_ERROR", "{round} {twice}");
                assert_eq!(rows(app, "budget_assignments").await, round, "{round} {twice}");
            }
            assign(&admin, &user, json!([attach])).await;
        }
    })
    .await;
}

/// DESIGN 3, invariants: a budget is not raised above the scopes above those that use it, and not
/// lowered below the scopes below them, unless they are to be lowered too.
#[tokio::test]
async fn a_change_of_a_budget_is_checked_in_both_directions() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let team =
            standalone(&admin, "team", json!({ "maxSpend": "100", "requestsPerMinute": 100 }))
                .await;
        let tier = standalone(&admin, "tier", json!({ "maxSpend": "80" })).await;
        let attach = |id: &str| json!([{ "attach": { "budgetId": id } }]);
        let input = json!({ "id": world.a1, "budgets": attach(&team) });
        done(&admin, "teamUpdate", input, "team { id }").await;
        let service =
            |budgets: Value| json!({ "kind": "SERVICE", "teamId": world.a1, "budgets": budgets });
        let (on_tier, _) = api_key(&admin, service(attach(&tier))).await;
        let own =
            json!([{ "create": { "maxSpend": "70", "softSpend": "60", "requestsPerMinute": 90 } }]);
        let (inline, _) = api_key(&admin, service(own)).await;
        assign(&admin, &world.users["outsider"], attach(&tier)).await;
        let update = async |id: &str, limits: Value, cascade: &str| {
            let input = json!({ "id": id, "limits": limits, "cascade": cascade });
            change(&admin, "budgetUpdate", input, "budget { maxSpend version }").await
        };
        let limits_of = async |key: &str| {
            let query = format!(
                "{{ apiKey(id: \"{key}\") {{ budgets {{ budget {{
                maxSpend softSpend requestsPerMinute isStandalone }} }} }} }}"
            );
            read(&admin, &query).await["budgets"][0]["budget"].clone()
        };
        let raised = update(&tier, json!({ "maxSpend": "100.01" }), "CLAMP").await;
        raised.refused("LIMIT_EXCEEDED", "input.limits.maxSpend");
        update(&tier, json!({ "maxSpend": "100" }), "REFUSE").await.data();
        for limits in
            [json!({ "maxSpend": "65" }), json!({ "maxSpend": "65", "requestsPerMinute": 9 })]
        {
            let lowered = update(&team, limits, "REFUSE").await;
            lowered.refused("CONFLICT", "-");
            let mut ids = vec![on_tier.clone(), inline.clone()];
            ids.sort();
            assert_eq!(lowered.body["errors"][0]["extensions"]["ids"], json!(ids));
        }
        let query = format!("{{ budget(id: \"{team}\") {{ maxSpend version }} }}");
        assert_eq!(read(&admin, &query).await, json!({ "maxSpend": "100", "version": 1 }));
        update(&team, json!({ "maxSpend": "55", "requestsPerMinute": 9 }), "CLAMP").await.data();
        let wanted = json!({
            "maxSpend": "55", "softSpend": null, "requestsPerMinute": "9", "isStandalone": false,
        });
        assert_eq!(limits_of(&inline).await, wanted);
        let wanted = json!({
            "maxSpend": "55", "softSpend": null, "requestsPerMinute": null, "isStandalone": false,
        });
        assert_eq!(limits_of(&on_tier).await, wanted);
        let query = format!("{{ budget(id: \"{tier}\") {{ maxSpend }} }}");
        assert_eq!(read(&admin, &query).await["maxSpend"], "100", "the tier itself is the others'");
        assert_eq!(held(&admin, &world.users["outsider"]).await[0]["budget"]["id"], tier);
        update(&team, json!({ "maxSpend": "1000" }), "REFUSE").await.data();
        assert_no_orphans(app).await;
    })
    .await;
}

/// E 9: a deleted budget is taken off every scope, and the answer counts them.
#[tokio::test]
async fn deleting_a_budget_takes_it_off_every_scope() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let tier = standalone(&admin, "tier", json!({ "maxSpend": "10" })).await;
        let attach = json!([{ "attach": { "budgetId": tier } }, { "create": { "maxSpend": "1" } }]);
        for name in ["member", "viewer"] {
            assign(&admin, &world.users[name], attach.clone()).await;
        }
        let input = json!({ "id": world.a1, "budgets": attach });
        done(&admin, "teamUpdate", input, "team { id }").await;
        spend(app, &tier, &world.users["member"], 4).await;
        let payload = "deletedId unassignedScopeCount";
        let gone = done(&admin, "budgetDelete", json!({ "id": tier }), payload).await;
        assert_eq!(gone, json!({ "deletedId": tier, "unassignedScopeCount": 3 }));
        assert_eq!(held(&admin, &world.users["member"]).await.as_array().unwrap().len(), 1);
        assert_eq!(rows(app, "budget_windows").await, 0);
        assert_no_orphans(app).await;
        let again = change(&admin, "budgetDelete", json!({ "id": tier }), payload).await;
        again.refused("NOT_FOUND", "input.id");
        let query = format!(
            "{{ auditEvents(filter: {{ subjectId: \"{tier}\", actions: [BUDGET_DELETED] }}) {{
                nodes {{ before after }} }} }}"
        );
        let event = read(&admin, &query).await["nodes"][0].clone();
        assert_eq!((&event["before"]["name"], &event["after"]), (&json!("tier"), &Value::Null));
        let query = format!(
            "{{ auditEvents(filter: {{ subjectId: \"{tier}\", actions: [BUDGET_UNASSIGNED] }}) {{
                nodes {{ before after teamId }} }} }}"
        );
        let events = read(&admin, &query).await["nodes"].as_array().unwrap().clone();
        let scope = |event: &Value| (event["teamId"].clone(), event["before"]["scope_id"].clone());
        let mut scopes: Vec<_> = events.iter().map(scope).collect();
        scopes.sort_by_key(|(_, scope)| scope.to_string());
        let uuid = |id: &str| {
            json!(uuid::Uuid::try_parse(id.rsplit('_').next().unwrap()).unwrap().to_string())
        };
        let mut expected = vec![
            (Value::Null, uuid(&world.users["member"])),
            (Value::Null, uuid(&world.users["viewer"])),
            (json!(world.a1), uuid(&world.a1)),
        ];
        expected.sort_by_key(|(_, scope)| scope.to_string());
        assert_eq!(scopes, expected);
        assert!(events.iter().all(|event| event["after"].is_null()));
    })
    .await;
}

/// E 10: an edit touches neither the period nor the day on which it began; a change of the period
/// is told apart.
#[tokio::test]
async fn a_change_of_limits_does_not_move_the_window() {
    on_each_database(async |app| {
        let admin = app.admin();
        let user = world::user(&admin, "ada", "USER").await;
        let tier = standalone(&admin, "tier", json!({ "maxSpend": "10", "period": "P7D" })).await;
        assign(&admin, &user, json!([{ "attach": { "budgetId": tier } }])).await;
        app.clock.set("2026-11-25T09:00:00Z".parse().unwrap());
        let input = json!({ "id": tier, "limits": { "maxSpend": "20" } });
        done(&admin, "budgetUpdate", input, "budget { id }").await;
        assert_eq!(held(&admin, &user).await[0]["resetsAt"], "2026-11-28T12:00:00+00:00");
        let input = json!({ "id": tier, "limits": { "period": null } });
        done(&admin, "budgetUpdate", input, "budget { id }").await;
        let held = held(&admin, &user).await;
        assert_eq!(held[0]["resetsAt"], Value::Null);
        assert_eq!(held[0]["budget"]["maxSpend"], "20");
        let events = rows(app, "audit_events").await;
        let input = json!({ "id": tier, "limits": { "maxSpend": "20.0" }, "name": "tier" });
        let same = done(&admin, "budgetUpdate", input, "budget { version }").await;
        assert_eq!(same["budget"]["version"], 3);
        assert_eq!(rows(app, "audit_events").await, events);
    })
    .await;
}

/// C-T12: a budget that its maker gave up is changed in place for the one scope that is left with it; a
/// fork would leave the budget to nobody.
#[tokio::test]
async fn a_budget_that_its_maker_gave_up_is_taken_over() {
    on_each_database(async |app| {
        let admin = app.admin();
        let (one, two) =
            (world::user(&admin, "one", "USER").await, world::user(&admin, "two", "USER").await);
        let made = assign(&admin, &one, json!([{ "create": { "maxSpend": "9" } }])).await;
        let budget = text(&made[0], "/budget/id");
        assign(&admin, &two, json!([{ "attach": { "budgetId": budget } }])).await;
        assign(&admin, &one, json!([])).await;
        spend(app, &budget, &two, 4).await;
        let limits = json!({ "maxSpend": "7" });
        let edit = json!([{ "edit": { "budgetId": budget, "limits": limits } }]);
        let changed = assign(&admin, &two, edit).await;
        assert_eq!(text(&changed[0], "/budget/id"), budget);
        assert_eq!(changed[0]["budget"]["maxSpend"], "7");
        assert_eq!(changed[0]["spent"], "4");
        assert_no_orphans(app).await;
        assert_eq!(rows(app, "budgets").await, 1);
        assign(&admin, &two, json!([])).await;
        assert_eq!(rows(app, "budgets").await, 0);
    })
    .await;
}

/// C-T16: two scopes below share what one of them made, and both are lowered: nothing is left over.
#[tokio::test]
async fn a_budget_that_two_scopes_share_is_lowered_for_both() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let selection = "team { budgets { budget { id maxSpend } } }";
        let input = json!({ "id": world.a1, "budgets": [{ "create": { "maxSpend": "9" } }] });
        let made = done(&admin, "teamUpdate", input, selection).await;
        let budget = text(&made, "/team/budgets/0/budget/id");
        let attach = json!([{ "attach": { "budgetId": budget } }]);
        done(&admin, "teamUpdate", json!({ "id": world.a2, "budgets": attach }), selection).await;
        let input = json!({ "id": world.a, "budgets": [{ "create": { "maxSpend": "5" } }], "cascade": "CLAMP" });
        done(&admin, "organizationUpdate", input, "organization { id }").await;
        for team in [&world.a1, &world.a2] {
            let query = format!("{{ team(id: \"{team}\") {{ budgets {{ budget {{ maxSpend }} }} }} }}");
            let budgets = read(&admin, &query).await["budgets"].clone();
            assert_eq!(budgets, json!([{ "budget": { "maxSpend": "5" } }]));
        }
        assert_no_orphans(app).await;
        assert_eq!(rows(app, "budgets").await, 3);
    })
    .await;
}

/// DESIGN 3, "Deleting": counters go with the scope that counts, and those of others stay.
#[tokio::test]
async fn counters_go_with_their_scope() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let tier = standalone(&admin, "tier", json!({ "maxSpend": "10" })).await;
        let attach = json!([{ "attach": { "budgetId": tier } }]);
        for team in [&world.a1, &world.a2] {
            done(&admin, "teamUpdate", json!({ "id": team, "budgets": attach }), "team { id }")
                .await;
            spend(app, &tier, team, 3).await;
        }
        spend(app, &tier, &tier, 3).await;
        // What counted once counts no more, whether or not it is in force still.
        done(&admin, "teamUpdate", json!({ "id": world.a2, "budgets": [] }), "team { id }").await;
        assert_eq!(rows(app, "budget_windows").await, 3);
        done(&admin, "teamDelete", json!({ "ids": [world.a2] }), "deletedIds").await;
        assert_eq!(rows(app, "budget_windows").await, 2);
        done(&admin, "teamDelete", json!({ "ids": [world.a1] }), "deletedIds").await;
        assert_eq!(rows(app, "budget_windows").await, 1);
    })
    .await;
}
