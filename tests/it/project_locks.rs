//! Two writers at once, where projects are concerned.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key};
use crate::harness::{Kind, on_each_database};
use crate::locks::meet;
use crate::steps::{assert_no_orphans, done, project, read, rows};

fn cap(amount: &str) -> Value {
    json!([{ "create": { "maxSpend": amount } }])
}

/// C-P13, SECURITY case 20: a project that is deleted while a key comes to it: either the key finds
/// no project, or the project is kept; no key loses its project.
#[tokio::test]
async fn a_key_and_a_deletion_do_not_pass_each_other() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for number in 0..4 {
            let id = project(&admin, &world.a1, json!({ "name": "P" })).await;
            let attach = if number < 2 {
                ("apiKeyCreate", json!({ "kind": "SERVICE", "projectId": id }))
            } else {
                let (key, _) =
                    api_key(&admin, json!({ "kind": "SERVICE", "teamId": world.a1 })).await;
                ("apiKeyUpdate", json!({ "id": key, "projectId": id }))
            };
            let delete = ("projectDelete", json!({ "ids": [id] }));
            let (attached, deleted) = if number % 2 == 0 {
                meet(app, attach, delete).await
            } else {
                let (deleted, attached) = meet(app, delete, attach).await;
                (attached, deleted)
            };
            let codes = (attached.code(), deleted.code());
            let kept = [("", "CONFLICT"), ("NOT_FOUND", "")];
            assert!(kept.contains(&(codes.0.as_str(), codes.1.as_str())), "{number}: {codes:?}");
            if app.kind == Kind::Postgres {
                let first = if number % 2 == 0 { &codes.0 } else { &codes.1 };
                assert_eq!(first, "", "{number}");
            }
            assert_no_orphans(app).await;
        }
    })
    .await;
}

/// C-P7, SECURITY case 20: a limit of a project that is lowered while that of a key is raised, a
/// key that comes while its project is lowered, a project that is raised while its team is lowered:
/// one of the two is refused.
#[tokio::test]
async fn limits_around_a_project_do_not_pass_each_other() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for number in 0..8 {
            let input = json!({ "name": "T", "organizationId": world.a, "budgets": cap("100") });
            let team = done(&admin, "teamCreate", input, "team { id }").await;
            let team = text(&team, "/team/id");
            let id = project(&admin, &team, json!({ "name": "P" })).await;
            let (key, _) = api_key(&admin, json!({ "kind": "SERVICE", "projectId": id })).await;
            let (loose, _) = api_key(
                &admin,
                json!({ "kind": "SERVICE", "teamId": team,
                "budgets": cap("90") }),
            )
            .await;
            let lowered = ("projectUpdate", json!({ "id": id, "budgets": cap("60") }));
            let (above, below) = match number / 2 {
                0 => (lowered, ("apiKeyUpdate", json!({ "id": key, "budgets": cap("90") }))),
                1 => {
                    let input = json!({ "kind": "SERVICE", "projectId": id, "budgets": cap("90") });
                    (lowered, ("apiKeyCreate", input))
                }
                2 => (lowered, ("apiKeyUpdate", json!({ "id": loose, "projectId": id }))),
                _ => {
                    done(&admin, "apiKeyDelete", json!({ "ids": [loose] }), "deletedIds").await;
                    let raised = json!({ "id": id, "budgets": cap("90") });
                    let lowered = json!({ "id": team, "budgets": cap("60") });
                    (("teamUpdate", lowered), ("projectUpdate", raised))
                }
            };
            let label = format!("{number} {} {}", above.0, below.0);
            let (first, second) = if number % 2 == 0 {
                meet(app, above, below).await
            } else {
                meet(app, below, above).await
            };
            if app.kind == Kind::Postgres {
                assert_eq!(first.code(), "", "{label}: {:#}", first.body);
            }
            let mut codes = [first.code(), second.code()];
            codes.sort();
            assert_eq!(codes[0], "", "{label}");
            let refused = ["CONFLICT", "LIMIT_EXCEEDED"].contains(&codes[1].as_str());
            assert!(refused, "{label}: {codes:?}");
        }
    })
    .await;
}

/// C-P7, SECURITY case 20: a key that is changed while its project moves ends in the project's team,
/// whichever comes first; a key that comes while it moves is carried, stops it, or finds the team
/// that it names without the project. No key is in a project of another team.
#[tokio::test]
async fn a_move_and_its_keys_do_not_pass_each_other() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for number in 0..6 {
            let id = project(&admin, &world.a1, json!({ "name": "P" })).await;
            let (key, _) = api_key(&admin, json!({ "kind": "SERVICE", "projectId": id })).await;
            let carry = json!({ "id": id, "teamId": world.a2, "apiKeys": "CARRY" });
            let other = match number / 2 {
                0 => ("apiKeyUpdate", json!({ "id": key, "budgets": cap("1") })),
                1 => ("apiKeyCreate", json!({ "kind": "SERVICE", "projectId": id })),
                _ => ("projectUpdate", json!({ "id": id, "budgets": cap("1") })),
            };
            let carry = ("projectMove", carry);
            let (one, two) = if number % 2 == 0 {
                meet(app, carry, other).await
            } else {
                meet(app, other, carry).await
            };
            for answer in [&one, &two] {
                assert_eq!(answer.code(), "", "{number}: {:#}", answer.body);
            }
            let query = format!("{{ project(id: \"{id}\") {{ team {{ id }} }} }}");
            assert_eq!(read(&admin, &query).await["team"]["id"], world.a2);
            let astray = "api_keys JOIN projects ON projects.id = api_keys.project_id \
                          WHERE api_keys.team_id <> projects.team_id";
            assert_eq!(rows(app, astray).await, 0, "{number}");
        }
    })
    .await;
}
