//! Removing and changing members: who may, what goes with them, and what stays.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::team_calls::{
    actions, call, create, done, events, forbidden, members, membership, nobody, number, read,
    refused, rows, same_as_missing,
};

/// The input that names a member.
fn of(team: &str, user: &str) -> Value {
    json!({ "teamId": team, "user": { "id": user } })
}

/// M-DEL-1, M-DEL-2, M-DEL-4, M-DEL-5, M-DEL-6, C-T8: a member is removed by id, by external id or
/// by address whatever its case, never by two of them; who is no member is not found.
#[tokio::test]
async fn a_member_is_removed_by_one_name() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "id": world.users["member"], "externalId": "emp-1" });
        done(&admin, "userUpdate", input, "").await;
        for reference in [
            json!({ "id": world.users["member"] }),
            json!({ "id": "emp-1" }),
            json!({ "email": "MemBer@example.com" }),
        ] {
            let input = json!({ "teamId": world.a1, "user": reference });
            let id = membership(&admin, &world.a1, &world.users["member"], "id").await;
            let removed = done(&admin, "teamMemberRemove", input.clone(), "deletedId").await;
            assert_eq!(removed["deletedId"], id["id"]);
            assert_eq!(members(&admin, &world.a1).await.len(), 2);
            refused(&admin, "teamMemberRemove", input, "NOT_FOUND", "input.user").await;
            let again = json!({ "teamId": world.a1, "members": [{ "user": reference }] });
            done(&admin, "teamMemberAdd", again, "").await;
        }
        let before = rows(app).await;
        for input in [
            json!({ "teamId": world.a1, "user": {} }),
            json!({ "teamId": world.a1 }),
            json!({ "teamId": world.a1, "user": { "id": world.users["member"],
                "email": "viewer@example.com" } }),
            json!({ "teamId": null, "user": { "id": world.users["member"] } }),
        ] {
            assert!(!call(&admin, "teamMemberRemove", input, "").await.code().is_empty());
        }
        for user in [&world.users["outsider"], &nobody("user"), &"emp-2".to_owned()] {
            let input = of(&world.a1, user);
            refused(&admin, "teamMemberRemove", input, "NOT_FOUND", "input.user").await;
        }
        let input = of(&nobody("team"), &world.users["member"]);
        refused(&admin, "teamMemberRemove", input, "NOT_FOUND", "input.teamId").await;
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// M-DEL-7, M-DEL-8, C-T6, C-T7, M-ADD-14: with a member go its budgets and its keys in the team,
/// and nothing else of it; it can be added again, with a budget.
#[tokio::test]
async fn a_removed_member_leaves_nothing_behind() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let user = &world.users["outsider"];
        let before = rows(app).await;
        let input = json!({ "teamId": world.a2, "members": [{ "user": { "id": user },
            "budgets": [{ "create": { "maxSpend": "1" } }] }] });
        for _ in 0..2 {
            done(&admin, "teamMemberAdd", input.clone(), "").await;
            let key = json!({ "userId": user, "teamId": world.a2, "name": "k",
                "budgets": [{ "create": { "maxSpend": "1" } }] });
            let (_, secret) = api_key(&admin, key).await;
            let removed = of(&world.a2, user);
            let removed = done(&admin, "teamMemberRemove", removed, "deletedApiKeyCount").await;
            assert_eq!(removed["deletedApiKeyCount"], 1);
            assert_eq!(app.with_key(Some(&secret)).run("{ viewer { kind } }").await.status, 401);
            assert_eq!(rows(app).await, before);
            let gone = [
                "TEAM_MEMBER_REMOVED",
                "BUDGET_DELETED",
                "BUDGET_UNASSIGNED",
                "API_KEY_DELETED",
                "BUDGET_DELETED",
                "BUDGET_UNASSIGNED",
            ];
            assert_eq!(actions(app, gone.len()).await, gone);
            let event = events(app, 1).await.remove(0);
            assert_eq!(event["before"]["user_id"], *user);
            assert_eq!(event["teamId"], world.a2);
        }
        // Its personal key still works, and it is in the team no longer.
        let own = "{ viewer { user { teamMemberships { totalCount } } } }";
        let own = world.person("outsider").data(own).await;
        assert_eq!(own["viewer"]["user"]["teamMemberships"]["totalCount"], 0);
    })
    .await;
}

/// M-DEL-3, M-UPD-2, C-T1, C-T12: team admins remove and change plain members; admins are removed
/// and demoted by those above; strangers find nothing.
#[tokio::test]
async fn a_team_admin_touches_plain_members_only() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (chief, root) = (world.person("team_admin"), world.person("organization_admin"));
        let second = &world.users["outsider"];
        let input = json!({ "teamId": world.a1,
            "members": [{ "user": { "email": "outsider@example.com" }, "role": "ADMIN" }] });
        done(root, "teamMemberAdd", input, "").await;
        let budgets = json!([{ "create": { "maxSpend": "1" } }]);
        let change = |user: &str, field: &str, value: Value| {
            let mut input = of(&world.a1, user);
            input[field] = value;
            input
        };
        let before = members(root, &world.a1).await;
        forbidden(chief, "teamMemberRemove", of(&world.a1, second)).await;
        for user in [second, &world.users["team_admin"]] {
            forbidden(chief, "teamMemberUpdate", change(user, "budgets", budgets.clone())).await;
            forbidden(chief, "teamMemberUpdate", change(user, "role", json!("MEMBER"))).await;
            let access = json!({ "mode": "NONE" });
            forbidden(chief, "teamMemberUpdate", change(user, "modelAccess", access)).await;
        }
        let member = &world.users["member"];
        forbidden(chief, "teamMemberUpdate", change(member, "role", json!("ADMIN"))).await;
        assert_eq!(members(root, &world.a1).await, before);

        done(chief, "teamMemberUpdate", change(member, "budgets", budgets), "").await;
        done(chief, "teamMemberUpdate", change(member, "role", json!("MEMBER")), "").await;
        done(chief, "teamMemberRemove", of(&world.a1, member), "").await;
        done(root, "teamMemberUpdate", change(second, "role", json!("MEMBER")), "").await;
        done(chief, "teamMemberRemove", of(&world.a1, second), "").await;
        for mutation in ["teamMemberRemove", "teamMemberUpdate"] {
            let stranger = world.person("other_team_admin");
            same_as_missing(stranger, mutation, &world.a1, |id| of(id, &world.users["viewer"]))
                .await;
        }
        for person in ["service", "gateway", "platform_viewer"] {
            let input = of(&world.a1, &world.users["viewer"]);
            forbidden(world.person(person), "teamMemberRemove", input).await;
        }
    })
    .await;
}

/// M-DEL-3, C-T12: everybody may leave a team, also those who only read; the last admin of a team
/// that has other members is neither removed nor demoted, and does not leave.
#[tokio::test]
async fn the_last_admin_stays_and_everybody_else_may_leave() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, chief) = (world.person("platform_admin"), world.person("team_admin"));
        let boss = &world.users["team_admin"];
        let demoted = json!({ "teamId": world.a1, "user": { "id": boss }, "role": "MEMBER" });
        for (client, mutation, input) in [
            (root, "teamMemberRemove", of(&world.a1, boss)),
            (chief, "teamMemberRemove", of(&world.a1, boss)),
            (root, "teamMemberUpdate", demoted.clone()),
        ] {
            let answer = call(client, mutation, input, "").await;
            assert_eq!(answer.code(), "CONFLICT", "{:#}", answer.body);
        }
        for person in ["viewer", "member"] {
            let client = world.person(person);
            done(client, "teamMemberRemove", of(&world.a1, &world.users[person]), "").await;
            assert_eq!(read(client, &world.a1, "id").await, Value::Null);
        }
        assert_eq!(members(root, &world.a1).await, [format!("{boss} ADMIN")]);
        done(chief, "teamMemberRemove", of(&world.a1, boss), "").await;
        assert!(members(root, &world.a1).await.is_empty());

        // With a second admin the first may go; and a team without admins is not bound.
        let input = json!({ "name": "T", "organizationId": world.a, "members": [
            { "user": { "id": boss }, "role": "ADMIN" },
            { "user": { "id": world.users["member"] }, "role": "ADMIN" },
            { "user": { "id": world.users["viewer"] } }] });
        let team = create(&app.admin(), input).await;
        done(chief, "teamMemberRemove", of(&team, boss), "").await;
        let second = of(&team, &world.users["member"]);
        let answer = call(&app.admin(), "teamMemberRemove", second, "").await;
        assert_eq!(answer.code(), "CONFLICT");
    })
    .await;
}

/// C-T12, SECURITY case 20: two admins who leave at once do not both succeed.
#[tokio::test]
async fn two_admins_do_not_leave_at_once() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let pair = ["member", "team_admin"];
        for round in 0..8 {
            let admin =
                |person: &str| json!({ "user": { "id": world.users[person] }, "role": "ADMIN" });
            let input = json!({ "name": format!("T{round}"), "organizationId": world.a,
                "members": [admin(pair[0]), admin(pair[1]),
                    { "user": { "id": world.users["viewer"] } }] });
            let team = create(&app.admin(), input).await;
            let [one, two] = pair.map(|person| {
                let client = world.person(person).clone();
                let input = of(&team, &world.users[person]);
                tokio::spawn(async move { call(&client, "teamMemberRemove", input, "").await })
            });
            let mut codes = [one.await.unwrap().code(), two.await.unwrap().code()];
            codes.sort();
            assert_eq!(codes, ["", "CONFLICT"]);
        }
    })
    .await;
}

/// M-UPD-1, M-UPD-3, C-T9, C-T32: only a member is changed; a stranger gets no membership from an
/// update.
#[tokio::test]
async fn an_update_makes_no_membership() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let before = rows(app).await;
        let budgets = json!([{ "create": { "maxSpend": "1" } }]);
        for user in [
            json!({ "id": world.users["outsider"] }),
            json!({ "id": nobody("user") }),
            json!({ "email": "outsider@example.com" }),
            json!({ "email": "nobody@example.com" }),
        ] {
            let input = json!({ "teamId": world.a1, "user": user, "budgets": budgets });
            refused(&admin, "teamMemberUpdate", input, "NOT_FOUND", "input.user").await;
        }
        assert_eq!(rows(app).await, before);
        for input in [json!({ "teamId": world.a1 }), json!({ "teamId": world.a1, "user": {} })] {
            assert!(!call(&admin, "teamMemberUpdate", input, "").await.code().is_empty());
        }
    })
    .await;
}

/// M-UPD-3, M-UPD-4, M-UPD-5, M-UPD-6, M-UPD-7, C-T10, C-T12: what an update leaves out stays,
/// null clears, a second update changes the budget that is there; nothing is left over.
#[tokio::test]
async fn a_membership_changes_only_where_it_is_told_to() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("organization_admin");
        let user = &world.users["member"];
        let before = number(app, "SELECT count(*) AS n FROM budgets").await;
        let selection = "role modelAccess { mode models } version
            budgets { budget { id maxSpend requestsPerMinute softSpend } }";
        let change = async |change: Value| {
            let mut input = json!({ "teamId": world.a1,
                "user": { "email": "MEMBER@example.com" } });
            input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let payload = format!("membership {{ {selection} }}");
            let changed = done(chief, "teamMemberUpdate", input, &payload).await;
            let mut stored = membership(chief, &world.a1, user, selection).await;
            stored.as_object_mut().unwrap().remove("user");
            assert_eq!(changed["membership"], stored);
            stored
        };
        let set = change(json!({ "budgets": [{ "create": { "maxSpend": "2",
            "requestsPerMinute": 7 } }] }))
        .await;
        let budget = text(&set, "/budgets/0/budget/id");
        assert_eq!(set["role"], "MEMBER");
        let role = change(json!({ "role": "ADMIN" })).await;
        assert_eq!((&role["role"], &role["budgets"]), (&json!("ADMIN"), &set["budgets"]));
        let list = json!({ "mode": "LIST", "models": ["m"] });
        let models = change(json!({ "modelAccess": list })).await;
        assert_eq!((&models["modelAccess"], &models["role"]), (&list, &role["role"]));
        let edit = json!([{ "edit": { "budgetId": budget, "limits": { "maxSpend": "3" } } }]);
        let edited = change(json!({ "budgets": edit, "role": "MEMBER" })).await;
        let held = &edited["budgets"][0]["budget"];
        assert_eq!(
            *held,
            json!({ "id": budget, "maxSpend": "3", "requestsPerMinute": "7",
            "softSpend": null })
        );
        assert_eq!(number(app, "SELECT count(*) AS n FROM budgets").await, before + 1);
        let edit = json!([{ "edit": { "budgetId": budget, "limits": { "maxSpend": null } } }]);
        let cleared = change(json!({ "budgets": edit, "modelAccess": null })).await;
        assert_eq!(cleared["budgets"][0]["budget"]["maxSpend"], Value::Null);
        assert_eq!(cleared["modelAccess"], json!({ "mode": "ALL", "models": [] }));
        let kept = change(json!({ "budgets": [{ "attach": { "budgetId": budget } }] })).await;
        assert_eq!(kept["budgets"], cleared["budgets"]);
        let none = change(json!({ "budgets": null })).await;
        assert_eq!(none["budgets"], json!([]));
        assert_eq!(number(app, "SELECT count(*) AS n FROM budgets").await, before);

        let count = number(app, "SELECT count(*) AS n FROM audit_events").await;
        let same = change(json!({ "role": "MEMBER" })).await;
        assert_eq!(same["version"], none["version"]);
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, count);
    })
    .await;
}

/// M-UPD-6, M-UPD-7, T-UPD-8, C-T31: a role change is audited with both images, and a stale
/// version is a CONFLICT for a change and for a removal.
#[tokio::test]
async fn a_role_change_is_audited_and_versioned() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let mut input = of(&world.a1, &world.users["member"]);
        input["role"] = json!("ADMIN");
        input["expectedVersion"] = json!(1);
        let selection = "membership { role version updatedBy user { id } team { id } }";
        let changed = done(root, "teamMemberUpdate", input.clone(), selection).await;
        let expected = json!({ "role": "ADMIN", "version": 2,
            "updatedBy": world.users["platform_admin"],
            "user": { "id": world.users["member"] }, "team": { "id": world.a1 } });
        assert_eq!(changed["membership"], expected);
        let event = events(app, 1).await.remove(0);
        assert_eq!(event["action"], "TEAM_MEMBER_UPDATED");
        assert_eq!(event["subjectKind"], "TEAM_MEMBERSHIP");
        assert_ne!(event["before"]["role"], event["after"]["role"]);
        assert_eq!(call(root, "teamMemberUpdate", input, "").await.code(), "CONFLICT");
        let mut input = of(&world.a1, &world.users["member"]);
        input["expectedVersion"] = json!(1);
        assert_eq!(call(root, "teamMemberRemove", input.clone(), "").await.code(), "CONFLICT");
        input["expectedVersion"] = json!(2);
        done(root, "teamMemberRemove", input, "").await;
    })
    .await;
}
