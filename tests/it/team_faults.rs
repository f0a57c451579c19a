//! Teams when something is in the way: no database, a broken one, many changes at once.

use serde_json::json;

use crate::harness::on_each_database;
use crate::harness::world::{World, team};
use crate::team_calls::{call, done, members, number, read, rows};

/// T-NEW-2, T-LIST-2, T-UPD-1, T-DEL-1, T-INFO-1, T-BLK-2, M-ADD-1, M-DEL-1, M-UPD-1, C-T30, C-T32,
/// P-NEW-2, P-UPD-1, P-DEL-1: without a database every field has one answer, and none pretends that there are no teams.
#[tokio::test]
async fn without_a_database_every_answer_says_so() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        app.app.close().await;
        let admin = app.admin();
        let user = json!({ "id": world.users["member"] });
        for (mutation, input) in [
            ("teamCreate", json!({ "name": "T" })),
            ("teamUpdate", json!({ "id": world.a1, "name": "T" })),
            ("teamDelete", json!({ "ids": [world.a1] })),
            ("teamBlock", json!({ "id": world.a1 })),
            ("projectCreate", json!({ "teamId": world.a1, "name": "P" })),
            ("projectUpdate", json!({ "id": "p", "name": "P" })),
            ("projectBlock", json!({ "id": "p" })),
            ("projectMove", json!({ "id": "p", "teamId": world.a2 })),
            ("projectDelete", json!({ "ids": ["p"] })),
            ("teamMemberAdd", json!({ "teamId": world.a1, "members": [{ "user": user }] })),
            ("teamMemberUpdate", json!({ "teamId": world.a1, "user": user })),
            ("teamMemberRemove", json!({ "teamId": world.a1, "user": user })),
        ] {
            let answer = call(&admin, mutation, input, "").await;
            assert_eq!(answer.code(), "SERVICE_UNAVAILABLE", "{mutation}: {:#}", answer.body);
        }
        for query in [
            "{ teams { nodes { id } } }",
            "{ teams { totalCount } }",
            "{ joinableTeams { nodes { id } } }",
            "{ projects { totalCount } }",
            "{ project(id: \"x\") { id } }",
            "{ team(id: \"x\") { id } }",
        ] {
            let answer = admin.run(query).await;
            assert_eq!(answer.code(), "SERVICE_UNAVAILABLE", "{query}: {:#}", answer.body);
        }
        let answer = world.person("member").run("{ teams { nodes { id } } }").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
    })
    .await;
}

/// T-NEW-21, C-T5, C-T18, C-T29: a fault of the database is reported as such, without a word of
/// SQL, and nothing of the change is kept.
#[tokio::test]
async fn a_fault_of_the_database_shows_nothing_and_keeps_nothing() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let before = number(app, "SELECT count(*) AS n FROM teams").await;
        let database = app.database().await;
        let sql = "DROP TABLE model_aliases";
        sea_orm::ConnectionTrait::execute_unprepared(&database, sql).await.unwrap();
        let input = json!({ "name": "T", "organizationId": world.a,
            "members": [{ "user": { "id": world.users["member"] } }],
            "modelAliases": [{ "alias": "a", "target": "b" }] });
        let answer = call(&app.admin(), "teamCreate", input, "").await;
        assert_eq!(answer.code(), "INTERNAL_SERVER_ERROR");
        let shown = answer.body.to_string().to_lowercase();
        for word in ["model_aliases", "sql", "relation", "table", "select"] {
            assert!(!shown.contains(word), "{word} in {shown}");
        }
        assert_eq!(number(app, "SELECT count(*) AS n FROM teams").await, before);
    })
    .await;
}

/// C-T25, C-T3, SECURITY case 20: a team that is deleted while members and keys are added leaves
/// none of them behind.
#[tokio::test]
async fn a_deletion_meets_additions_and_leaves_nothing_behind() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let people: Vec<_> = world.users.values().cloned().collect();
        let before = rows(app).await;
        for round in 0..4 {
            let team = team(&admin, &format!("T{round}"), &world.a, &[]).await;
            let mut calls = vec![("teamDelete", json!({ "ids": [team] }))];
            for (number, user) in people.iter().enumerate() {
                let members = json!([{ "user": { "id": user },
                    "budgets": [{ "create": { "maxSpend": "1" } }] }]);
                let add = json!({ "teamId": team, "members": members });
                let key = json!({ "kind": "SERVICE", "teamId": team, "name": "k",
                    "budgets": [{ "create": { "maxSpend": "1" } }] });
                calls.insert(if number < 4 { 0 } else { calls.len() }, ("teamMemberAdd", add));
                calls.push(("apiKeyCreate", key));
            }
            let tasks: Vec<_> = calls
                .into_iter()
                .map(|(mutation, input)| {
                    let client = app.admin();
                    tokio::spawn(async move { call(&client, mutation, input, "").await })
                })
                .collect();
            for task in tasks {
                let answer = task.await.unwrap();
                let code = answer.code();
                assert!(["", "NOT_FOUND"].contains(&code.as_str()), "{:#}", answer.body);
            }
            assert!(read(&admin, &team, "id").await.is_null());
        }
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// M-ADD-8, C-T19, SECURITY case 20: one new address that is added to many teams at once becomes
/// one pending user, who is a member of all of them.
#[tokio::test]
async fn a_new_address_in_many_teams_at_once_is_one_user() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let mut teams = Vec::new();
        for number in 0..16 {
            teams.push(team(&admin, &format!("T{number}"), &world.a, &[]).await);
        }
        let tasks: Vec<_> = teams
            .iter()
            .map(|team| {
                let client = app.admin();
                let members = json!([{ "user": { "email": "new@example.com" } }]);
                let input = json!({ "teamId": team, "members": members });
                tokio::spawn(async move { call(&client, "teamMemberAdd", input, "").await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().data();
        }
        let expected = members(&admin, &teams[0]).await;
        for team in &teams {
            assert_eq!(members(&admin, team).await, expected);
        }
        let made = "SELECT count(*) AS n FROM audit_events WHERE action = 'USER_CREATED'";
        assert_eq!(number(app, made).await, 9);
        let again = json!({ "teamId": teams[0], "user": { "email": "NEW@example.com" } });
        done(&admin, "teamMemberRemove", again, "").await;
    })
    .await;
}
