//! Limits within limits: team, member and key, from above and from below; shared tiers.

use entity::budget_window;
use entity::id::Id;
use entity::value::Usd;
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, insert};
use crate::harness::{
    Answer, Client, ROOM, TestApp, noon, on_each_database, on_each_database_with,
};
use crate::team_calls::{
    actions, call, create, done, members, membership, nobody, number, read, refused, rows,
    same_as_missing,
};

/// Gives an organization a budget.
async fn limit_organization(app: &TestApp, organization: &str, max_spend: i64, requests: i64) {
    let limits = json!({ "maxSpend": max_spend.to_string(), "requestsPerMinute": requests });
    let input = json!({ "id": organization, "budgets": [{ "create": limits }] });
    done(&app.admin(), "organizationUpdate", input, "").await;
}

fn capped(max_spend: &str) -> Value {
    json!([{ "create": { "maxSpend": max_spend } }])
}

async fn set(client: &Client, team: &str, change: Value) -> Answer {
    let mut input = json!({ "id": team });
    input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    call(client, "teamUpdate", input, "team { id }").await
}

/// T-NEW-23, T-UPD-12, C-T16: an organization's budget binds its teams, at creation and later, for
/// organization admins and platform admins alike.
#[tokio::test]
async fn a_team_stays_within_its_organization() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        limit_organization(app, &world.a, 100, 10).await;
        for person in ["organization_admin", "platform_admin"] {
            let client = world.person(person);
            let input = |budgets: Value| {
                json!({ "name": "T", "organizationId": world.a, "budgets": budgets })
            };
            let before = rows(app).await;
            let high = input(capped("100.000000001"));
            let field = "input.budgets.maxSpend";
            refused(client, "teamCreate", high, "LIMIT_EXCEEDED", field).await;
            let fast = input(json!([{ "create": { "requestsPerMinute": 11 } }]));
            let field = "input.budgets.requestsPerMinute";
            refused(client, "teamCreate", fast, "LIMIT_EXCEEDED", field).await;
            assert_eq!(rows(app).await, before);
            let team = create(client, input(capped("100"))).await;
            let answer = set(client, &team, json!({ "budgets": capped("101") })).await;
            answer.refused("LIMIT_EXCEEDED", "input.budgets.maxSpend");
            let held = read(client, &team, "budgets { budget { maxSpend } } version").await;
            let expected = json!({ "budgets": [{ "budget": { "maxSpend": "100" } }], "version": 1 });
            assert_eq!(held, expected);
        }
    })
    .await;
}

/// M-ADD-9, M-UPD-5, M-UPD-8, T-UPD-12: the budgets of a member and of a key stay within those of
/// the team, of the same or a longer period, for spend, rates and concurrency.
#[tokio::test]
async fn members_and_keys_stay_within_the_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let own = json!({ "maxSpend": "10", "period": "1mo", "requestsPerMinute": 10,
            "tokensPerMinute": 100, "maxParallelRequests": 2 });
        set(&admin, &world.a1, json!({ "budgets": [{ "create": own }] })).await.data();
        for (limits, excess) in [
            (json!({ "maxSpend": "10", "period": "1d" }), None),
            (json!({ "maxSpend": "10", "period": "1mo" }), None),
            (json!({ "maxSpend": "11" }), None),
            (json!({ "maxSpend": "10.000000001", "period": "1d" }), Some("maxSpend")),
            (json!({ "requestsPerMinute": 10, "tokensPerMinute": 100 }), None),
            (json!({ "requestsPerMinute": 11 }), Some("requestsPerMinute")),
            (json!({ "tokensPerMinute": 101 }), Some("tokensPerMinute")),
            (json!({ "maxParallelRequests": 3 }), Some("maxParallelRequests")),
        ] {
            let budgets = json!([{ "create": limits }]);
            let user = json!({ "id": world.users["member"] });
            let update = json!({ "teamId": world.a1, "user": user, "budgets": budgets });
            let add = json!({ "teamId": world.a1, "members": [{ "user":
                { "email": format!("{}@example.com", nobody("user")) }, "budgets": budgets }] });
            let key = json!({ "kind": "SERVICE", "teamId": world.a1, "name": "k",
                "budgets": budgets });
            for (mutation, input, prefix) in [
                ("teamMemberUpdate", update, "input"),
                ("teamMemberAdd", add, "input.members.0"),
                ("apiKeyCreate", key, "input"),
            ] {
                let answer = call(&admin, mutation, input, "").await;
                match excess {
                    Some(field) => {
                        let field = format!("{prefix}.budgets.{field}");
                        answer.refused("LIMIT_EXCEEDED", &field);
                    }
                    None => assert_eq!(answer.code(), "", "{mutation} {limits}"),
                }
            }
            let removed = json!({ "teamId": world.a1,
                "user": { "email": format!("{}@example.com", nobody("user")) } });
            call(&admin, "teamMemberRemove", removed, "").await;
        }
    })
    .await;
}

/// C-T23, T-UPD-12: lowering a team's budget below that of a member or a key is refused with their
/// names, or lowers them in the same transaction, each with an event.
#[tokio::test]
async fn lowering_a_team_refuses_or_lowers_what_is_below() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let selection = "id version budgets { budget { maxSpend softSpend } }";
        let input = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "budgets": [{ "create": { "maxSpend": "5", "softSpend": "4" } }] });
        done(&admin, "teamMemberUpdate", input, "").await;
        let input = json!({ "kind": "SERVICE", "teamId": world.a1, "name": "k",
            "budgets": capped("6") });
        let (key, _) = api_key(&admin, input).await;
        let input = json!({ "kind": "SERVICE", "teamId": world.a1, "name": "small",
            "budgets": capped("1") });
        let (small, _) = api_key(&admin, input).await;
        let member = membership(&admin, &world.a1, &world.users["member"], "id").await;

        let answer = set(&admin, &world.a1, json!({ "budgets": capped("3") })).await;
        assert_eq!(answer.code(), "CONFLICT", "{:#}", answer.body);
        let mut ids = vec![text(&member, "/id"), key.clone()];
        ids.sort();
        assert_eq!(answer.body["errors"][0]["extensions"]["ids"], json!(ids));
        assert_eq!(read(&admin, &world.a1, "budgets { spent }").await["budgets"], json!([]));

        let change = json!({ "budgets": capped("3"), "cascade": "CLAMP" });
        set(&admin, &world.a1, change).await.data();
        let held = membership(&admin, &world.a1, &world.users["member"], selection).await;
        let expected = json!([{ "budget": { "maxSpend": "3", "softSpend": null } }]);
        assert_eq!(held["budgets"], expected);
        let caps = "query($id: ID!) { apiKey(id: $id) { budgets { budget { maxSpend } } } }";
        for (id, cap) in [(&key, "3"), (&small, "1")] {
            let found = admin.run_with(caps, json!({ "id": id })).await.data();
            assert_eq!(found["apiKey"]["budgets"][0]["budget"]["maxSpend"], cap);
        }
        let done = actions(app, 5).await;
        assert_eq!(done.iter().filter(|action| *action == "BUDGET_UPDATED").count(), 2, "{done:?}");
        set(&admin, &world.a1, json!({ "budgets": null })).await.data();
    })
    .await;
}

/// T-NEW-23, T-UPD-12, C-T23: lists of models lie within the parent's: a member's and a key's in
/// the team's; narrowing the team names them or narrows them.
#[tokio::test]
async fn lists_of_models_lie_within_the_teams() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let list = |models: &[&str]| json!({ "mode": "LIST", "models": models });
        let user = json!({ "id": world.users["member"] });
        set(&admin, &world.a1, json!({ "modelAccess": list(&["gpt-*", "o3"]) })).await.data();
        let member = |access: Value| {
            json!({ "teamId": world.a1, "user": user, "modelAccess": access })
        };
        let key = |access: Value| {
            json!({ "kind": "SERVICE", "teamId": world.a1, "name": "k", "modelAccess": access })
        };
        for (models, fits) in
            [(vec!["gpt-4o"], true), (vec!["gpt-*", "o3"], true), (vec!["o3", "o4"], false),
                (vec!["*"], false)]
        {
            for (mutation, input) in [
                ("teamMemberUpdate", member(list(&models))),
                ("apiKeyCreate", key(list(&models))),
            ] {
                let answer = call(&admin, mutation, input, "").await;
                if fits {
                    assert_eq!(answer.code(), "", "{mutation} {models:?}");
                } else {
                    answer.refused("LIMIT_EXCEEDED", "input.modelAccess");
                }
            }
        }
        let input = json!({ "teamId": world.a1, "members": [{
            "user": { "email": "n@example.com" }, "modelAccess": list(&["o4"]) }] });
        let field = "input.members.0.modelAccess";
        refused(&admin, "teamMemberAdd", input, "LIMIT_EXCEEDED", field).await;

        let held = async || {
            let held = membership(&admin, &world.a1, &world.users["member"],
                "modelAccess { mode models }").await;
            held["modelAccess"].clone()
        };
        let removal = json!({ "teamId": world.a1, "models": ["o3"] });
        for (mutation, input) in [
            ("teamModelRemove", removal.clone()),
            ("teamUpdate", json!({ "id": world.a1, "modelAccess": list(&["gpt-*"]) })),
            ("teamUpdate", json!({ "id": world.a1, "modelAccess": { "mode": "NONE" } })),
        ] {
            let answer = call(&admin, mutation, input, "").await;
            assert_eq!(answer.code(), "CONFLICT", "{mutation}");
            let ids = &answer.body["errors"][0]["extensions"]["ids"];
            assert!(ids.to_string().contains("member_"), "{ids}");
        }
        assert_eq!(held().await, list(&["gpt-*", "o3"]));
        let mut clamped = removal;
        clamped["cascade"] = json!("CLAMP");
        done(&admin, "teamModelRemove", clamped, "").await;
        assert_eq!(held().await, list(&["gpt-*"]));
        let none = json!({ "modelAccess": { "mode": "NONE" }, "cascade": "CLAMP" });
        set(&admin, &world.a1, none).await.data();
        assert_eq!(held().await, json!({ "mode": "NONE", "models": [] }));
    })
    .await;
}

/// M-UPD-8, C-T12, C-T10: a member that edits a shared tier gets a copy of its own with its own
/// counters; the tier, and everybody else who has it, stays as it is.
#[tokio::test]
async fn editing_a_shared_tier_forks_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let tier = json!({ "name": "Tier", "organizationId": world.a, "externalId": "tier",
            "limits": { "maxSpend": "5", "requestsPerMinute": 9 } });
        let tier = done(&app.admin(), "budgetCreate", tier, "budget { id }").await;
        let tier = text(&tier, "/budget/id");
        for person in ["member", "viewer"] {
            let input = json!({ "teamId": world.a1, "user": { "id": world.users[person] },
                "budgets": [{ "attach": { "budgetId": tier } }] });
            done(&app.admin(), "teamMemberUpdate", input, "").await;
        }
        let selection = "id budgets { spent budget { id name maxSpend requestsPerMinute
            isStandalone } }";
        let held = async |person: &str| {
            let id = &world.users[person];
            membership(&app.admin(), &world.a1, id, selection).await
        };
        let scope: entity::id::TeamMembershipId =
            text(&held("member").await, "/id").parse().unwrap();
        let window = budget_window::Model {
            id: app.clock.id(),
            budget_id: tier.parse().unwrap(),
            scope_id: scope.uuid(),
            starts_at: noon(),
            ends_at: None,
            spent: Usd::from_nanos(1_500_000_000),
            reserved: Usd::ZERO,
            raised: 0,
            updated_at: app.clock.now(),
        };
        insert(app, window).await;
        let other = held("viewer").await;
        let edit = json!({ "edit": { "budgetId": tier, "limits": { "maxSpend": "2" } } });
        let input = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "budgets": [edit] });
        done(chief, "teamMemberUpdate", input, "").await;
        let own = held("member").await["budgets"][0].clone();
        assert_ne!(own["budget"]["id"], tier);
        assert_eq!(own["budget"]["maxSpend"], "2");
        assert_eq!(own["budget"]["requestsPerMinute"], "9");
        assert_eq!(own["budget"]["isStandalone"], false);
        assert_eq!(own["spent"], "1.5");
        assert_eq!(held("viewer").await, other);
        let query = "{ budget(id: \"tier\") { maxSpend version } }";
        let kept = app.admin().data(query).await;
        assert_eq!(kept["budget"], json!({ "maxSpend": "5", "version": 1 }));
    })
    .await;
}

/// C-T12, C-T5: one list names a budget once: a budget that is edited or attached twice is refused
/// and leaves no copy behind.
#[tokio::test]
async fn a_budget_is_named_once_in_a_list() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let tier = json!({ "name": "Tier", "externalId": "tier", "limits": { "maxSpend": "5" } });
        let tier = done(&admin, "budgetCreate", tier, "budget { id }").await;
        let tier = text(&tier, "/budget/id");
        let attach = |id: &str| json!({ "attach": { "budgetId": id } });
        let edit = |id: &str, cap: &str| {
            json!({ "edit": { "budgetId": id, "limits": { "maxSpend": cap } } })
        };
        let twice = [attach(&tier), attach("tier")];
        let answer = set(&admin, &world.a1, json!({ "budgets": twice })).await;
        answer.refused("BAD_USER_INPUT", "input.budgets.1");
        set(&admin, &world.a1, json!({ "budgets": [attach(&tier)] })).await.data();
        let before = rows(app).await;
        for twice in [
            [edit(&tier, "1"), edit(&tier, "2")],
            [edit("tier", "1"), attach(&tier)],
            [attach(&tier), edit(&tier, "1")],
            [attach(&tier), attach("tier")],
        ] {
            let answer = set(&admin, &world.a1, json!({ "budgets": twice })).await;
            answer.refused("BAD_USER_INPUT", "input.budgets.1");
        }
        assert_eq!(rows(app).await, before);
        let held = read(&admin, &world.a1, "budgets { budget { id maxSpend } }").await;
        let expected = json!([{ "budget": { "id": tier, "maxSpend": "5" } }]);
        assert_eq!(held["budgets"], expected);
    })
    .await;
}

/// T-UPD-4, C-T22: changing a budget, also with the same period again, neither resets what was
/// spent nor puts the reset off; clearing the period clears the reset.
#[tokio::test]
async fn changing_a_budget_resets_nothing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let created = json!([{ "create": { "maxSpend": "5", "period": "1d" } }]);
        set(&admin, &world.a1, json!({ "budgets": created })).await.data();
        let selection = "id budgets { spent remaining resetsAt budget { id version } }";
        let team = read(&admin, &world.a1, selection).await;
        let budget = text(&team, "/budgets/0/budget/id");
        let scope: entity::id::TeamId = world.a1.parse().unwrap();
        let window = budget_window::Model {
            id: app.clock.id(),
            budget_id: budget.parse().unwrap(),
            scope_id: scope.uuid(),
            starts_at: "2026-11-21T00:00:00Z".parse().unwrap(),
            ends_at: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            spent: Usd::from_nanos(4_000_000_000),
            reserved: Usd::ZERO,
            raised: 0,
            updated_at: app.clock.now(),
        };
        insert(app, window).await;
        app.clock.set("2026-11-21T18:00:00Z".parse().unwrap());
        let edit = |limits: Value| {
            json!({ "budgets": [{ "edit": { "budgetId": budget, "limits": limits } }] })
        };
        for limits in [json!({ "period": "1d" }), json!({ "maxSpend": "6", "period": "1d" })] {
            set(&admin, &world.a1, edit(limits)).await.data();
            let held = read(&admin, &world.a1, selection).await["budgets"][0].clone();
            assert_eq!(held["spent"], "4");
            assert_eq!(held["resetsAt"], team["budgets"][0]["resetsAt"]);
        }
        set(&admin, &world.a1, json!({ "name": "Renamed" })).await.data();
        set(&admin, &world.a1, edit(json!({ "period": null }))).await.data();
        let held = read(&admin, &world.a1, selection).await["budgets"][0].clone();
        assert_eq!(held["spent"], "4");
        assert_eq!(held["resetsAt"], team["budgets"][0]["resetsAt"]);
        app.clock.set("2026-11-22T00:00:00Z".parse().unwrap());
        let held = read(&admin, &world.a1, selection).await["budgets"][0].clone();
        assert_eq!((&held["spent"], &held["resetsAt"]), (&json!("0"), &Value::Null));

        let bad = edit(json!({ "softSpend": "6" }));
        let answer = set(&admin, &world.a1, bad).await;
        answer.refused("BAD_USER_INPUT", "input.budgets.0.edit.limits.softSpend");
    })
    .await;
}

/// SECURITY case 6: the budget of another team cannot be attached or edited by its id, and is the
/// same as missing; one side of a shared budget never rewrites it.
#[tokio::test]
async fn a_budget_of_another_team_is_the_same_as_a_missing_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let mut hidden = Vec::new();
        for team in [&world.a2, &world.b1] {
            set(&admin, team, json!({ "budgets": capped("7") })).await.data();
            let held = read(&admin, team, "budgets { budget { id } }").await;
            hidden.push(text(&held, "/budgets/0/budget/id"));
        }
        let (chief, member) = (world.person("team_admin"), &world.users["member"]);
        let before = rows(app).await;
        for id in &hidden {
            same_as_missing(chief, "teamMemberUpdate", id, |id| {
                json!({ "teamId": world.a1, "user": { "id": member },
                    "budgets": [{ "attach": { "budgetId": id } }] })
            })
            .await;
            same_as_missing(chief, "teamMemberUpdate", id, |id| {
                json!({ "teamId": world.a1, "user": { "id": member }, "budgets": [
                    { "edit": { "budgetId": id, "limits": { "maxSpend": "1" } } }] })
            })
            .await;
            same_as_missing(chief, "teamMemberAdd", id, |id| {
                json!({ "teamId": world.a1, "members": [{ "user": { "email": "n@example.com" },
                    "budgets": [{ "attach": { "budgetId": id } }] }] })
            })
            .await;
        }
        let foreign = &hidden[1];
        let boss = world.person("organization_admin");
        same_as_missing(boss, "teamCreate", foreign, |id| {
            json!({ "name": "T", "organizationId": world.a,
                "budgets": [{ "attach": { "budgetId": id } }] })
        })
        .await;
        same_as_missing(
            boss,
            "teamUpdate",
            foreign,
            |id| json!({ "id": world.a1, "budgets": [{ "attach": { "budgetId": id } }] }),
        )
        .await;
        // Not even the platform puts a budget of one organization on a team of another.
        let across = json!({ "budgets": [{ "attach": { "budgetId": foreign } }] });
        let answer = set(world.person("platform_admin"), &world.a1, across).await;
        answer.refused("NOT_FOUND", "input.budgets.0.attach.budgetId");
        assert_eq!(rows(app).await, before);

        // Who shares a budget and edits it gets a copy.
        let shared = json!({ "budgets": [{ "attach": { "budgetId": hidden[0] } }] });
        set(boss, &world.a1, shared).await.data();
        let edit = json!({ "edit": { "budgetId": hidden[0], "limits": { "maxSpend": "1" } } });
        set(boss, &world.a1, json!({ "budgets": [edit] })).await.data();
        let kept = read(&admin, &world.a2, "budgets { budget { id maxSpend } }").await;
        let expected = json!([{ "budget": { "id": hidden[0], "maxSpend": "7" } }]);
        assert_eq!(kept["budgets"], expected);
        done(boss, "teamDelete", json!({ "ids": [world.a1] }), "").await;
        let kept = read(&admin, &world.a2, "budgets { budget { id maxSpend } }").await;
        assert_eq!(kept["budgets"], expected);
    })
    .await;
}

/// C-T7, C-T25, T-DEL-6: a budget that teams share lives as long as one of them, whichever made it,
/// and no longer.
#[tokio::test]
async fn a_shared_budget_goes_with_the_last_team_that_has_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for maker_leaves in [false, true] {
            let before = rows(app).await;
            let team = |name: &str, budgets: Value| {
                json!({ "name": name, "organizationId": world.a, "budgets": budgets })
            };
            let maker = create(&admin, team("Maker", capped("7"))).await;
            let held = read(&admin, &maker, "budgets { budget { id } }").await;
            let budget = text(&held, "/budgets/0/budget/id");
            let attach = json!([{ "attach": { "budgetId": budget } }]);
            let sharer = create(&admin, team("Sharer", attach)).await;
            if maker_leaves {
                set(&admin, &maker, json!({ "budgets": null })).await.data();
            }
            done(&admin, "teamDelete", json!({ "ids": [maker] }), "").await;
            let held = read(&admin, &sharer, "budgets { budget { id maxSpend } }").await;
            let expected = json!([{ "budget": { "id": budget, "maxSpend": "7" } }]);
            assert_eq!(held["budgets"], expected);
            done(&admin, "teamDelete", json!({ "ids": [sharer] }), "").await;
            assert_eq!(rows(app).await, before);
        }
    })
    .await;
}

/// T-NEW-5, T-NEW-6, T-NEW-7, C-T3, SECURITY case 20: budgets and members that are set at once on
/// one team never end above each other, and no answer is a fault of the server.
#[tokio::test]
async fn limits_hold_when_both_sides_change_at_once() {
    on_each_database_with(ROOM, async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let tasks: Vec<_> = (0..24)
            .map(|round| {
                let client = app.admin();
                let cap = json!([{ "create": { "maxSpend": (round / 2 + 1).to_string() } }]);
                let (mutation, input) = if round % 2 == 0 {
                    ("teamUpdate", json!({ "id": world.a1, "budgets": cap }))
                } else {
                    let user = json!({ "id": world.users["member"] });
                    let input = json!({ "teamId": world.a1, "user": user, "budgets": cap });
                    ("teamMemberUpdate", input)
                };
                tokio::spawn(async move { call(&client, mutation, input, "").await.code() })
            })
            .collect();
        for task in tasks {
            let code = task.await.unwrap();
            assert!(["", "CONFLICT", "LIMIT_EXCEEDED"].contains(&code.as_str()), "{code}");
        }
        let team = read(&admin, &world.a1, "budgets { budget { maxSpend } }").await;
        let member = membership(
            &admin,
            &world.a1,
            &world.users["member"],
            "budgets { budget { maxSpend } }",
        )
        .await;
        let cap = |held: &Value| {
            let text = held["budgets"][0]["budget"]["maxSpend"].as_str();
            text.map(|text| text.parse::<u32>().unwrap())
        };
        if let (Some(team), Some(member)) = (cap(&team), cap(&member)) {
            assert!(member <= team, "{member} {team}");
        }
        let scopes = number(app, "SELECT count(*) AS n FROM budget_assignments").await;
        assert_eq!(number(app, "SELECT count(*) AS n FROM budgets").await, scopes);
        assert_eq!(members(&admin, &world.a1).await.len(), 3);
    })
    .await;
}
