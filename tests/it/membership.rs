//! Adding members: whom, by whom, how many, and all at once.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, user};
use crate::harness::{ROOM, on_each_database, on_each_database_with};
use crate::team_calls::{
    actions, call, create, done, events, forbidden, masked, members, membership, nobody, number,
    read, refused, rows, same_as_missing,
};

/// The input of an addition.
fn adding(team: &str, members: &[Value]) -> Value {
    json!({ "teamId": team, "members": members })
}

/// A plain member by id.
fn plain(user: &str) -> Value {
    json!({ "user": { "id": user } })
}

/// M-ADD-2, M-ADD-12, M-ADD-13, M-ADD-14, C-T31: members are added in the order of the input, with
/// their roles; the answer has the team and the memberships; every one is audited.
#[tokio::test]
async fn members_are_added_in_the_order_of_the_input() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let input = adding(
            &world.a2,
            &[
                json!({ "user": { "id": world.users["viewer"] }, "role": "ADMIN" }),
                plain(&world.users["member"]),
                json!({ "user": { "email": "NEW@example.com" } }),
            ],
        );
        let selection = "team { name members { totalCount } }
            memberships { id role user { id email isPending } budgets { spent } createdBy }";
        let added = done(root, "teamMemberAdd", input, selection).await;
        assert_eq!(added["team"], json!({ "name": "A2", "members": { "totalCount": 3 } }));
        let made = added["memberships"].as_array().unwrap();
        let roles: Vec<_> = made.iter().map(|row| text(row, "/role")).collect();
        assert_eq!(roles, ["ADMIN", "MEMBER", "MEMBER"]);
        assert_eq!(made[0]["user"]["id"], world.users["viewer"]);
        assert_eq!(made[2]["user"]["email"], "NEW@example.com");
        assert_eq!(made[2]["user"]["isPending"], true);
        assert_eq!(made[1]["budgets"], json!([]));
        assert_eq!(made[1]["createdBy"], world.users["platform_admin"]);
        let found = members(root, &world.a2).await;
        assert_eq!(found[0], format!("{} ADMIN", world.users["viewer"]));
        assert_eq!(found[1], format!("{} MEMBER", world.users["member"]));

        let mut done = actions(app, 5).await;
        done.sort();
        let added = "TEAM_MEMBER_ADDED";
        assert_eq!(done, ["ORGANIZATION_MEMBER_ADDED", added, added, added, "USER_CREATED"]);
        for event in events(app, 5).await {
            assert_eq!(event["organizationId"], world.a);
            if event["action"] == added {
                assert_eq!(event["teamId"], world.a2);
            }
            assert_eq!(event["actorId"], world.users["platform_admin"]);
            assert_eq!(event["before"], Value::Null);
        }
    })
    .await;
}

/// M-ADD-1, M-ADD-2, M-ADD-4: a team and 1 to 500 members are needed, each named in exactly one
/// way, with a role that exists.
#[tokio::test]
async fn a_member_is_named_in_exactly_one_way() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let before = rows(app).await;
        for input in [
            json!({ "members": [plain("x")] }),
            json!({ "teamId": null, "members": [plain("x")] }),
            json!({ "teamId": world.a1 }),
            json!({ "teamId": world.a1, "members": null }),
            json!({ "teamId": world.a1, "members": [null] }),
            adding(&world.a1, &[json!({ "role": "MEMBER" })]),
            adding(&world.a1, &[json!({ "user": {} })]),
            adding(&world.a1, &[json!({ "user": { "id": null } })]),
            adding(&world.a1, &[json!({ "user": { "id": "x", "email": "x@example.com" } })]),
            adding(&world.a1, &[json!({ "user": { "id": "x" }, "role": "OWNER" })]),
        ] {
            let answer = call(&admin, "teamMemberAdd", input.clone(), "").await;
            assert!(!answer.code().is_empty(), "{input}");
            assert_ne!(answer.code(), "INTERNAL_SERVER_ERROR", "{input}");
        }
        let none = adding(&world.a1, &[]);
        refused(&admin, "teamMemberAdd", none, "BAD_USER_INPUT", "input.members").await;
        let email = |text: &str| adding(&world.a1, &[json!({ "user": { "email": text } })]);
        for text in ["", "x", "@", "a@", "@b", "a b@c", "a@b@c"] {
            let field = "input.members.0.user.email";
            refused(&admin, "teamMemberAdd", email(text), "BAD_USER_INPUT", field).await;
        }
        let unknown = adding(&nobody("team"), &[plain(&world.users["member"])]);
        refused(&admin, "teamMemberAdd", unknown, "NOT_FOUND", "input.teamId").await;
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// M-ADD-5, M-ADD-11, C-T5, C-T13, C-T19: one member too many and none is added: somebody who is a
/// member already, by id or by address, somebody named twice, somebody unknown.
#[tokio::test]
async fn one_member_who_cannot_be_added_keeps_out_all() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let new = plain(&world.users["outsider"]);
        let pending = json!({ "user": { "email": "new@example.com" } });
        let before = (rows(app).await, read(&admin, &world.a1, "version").await);
        let audited = number(app, "SELECT count(*) AS n FROM audit_events").await;
        for (member, code, field) in [
            (plain(&world.users["member"]), "ALREADY_EXISTS", "input.members.2.user"),
            (
                json!({ "user": { "email": "MEMBER@example.com" } }),
                "ALREADY_EXISTS",
                "input.members.2.user",
            ),
            (new.clone(), "BAD_USER_INPUT", "input.members.2.user"),
            (
                json!({ "user": { "email": "Outsider@Example.com" } }),
                "BAD_USER_INPUT",
                "input.members.2.user",
            ),
            (
                json!({ "user": { "email": "NEW@example.com" } }),
                "BAD_USER_INPUT",
                "input.members.2.user",
            ),
            (plain(&nobody("user")), "NOT_FOUND", "input.members.2.user.id"),
            (plain(&world.a1), "NOT_FOUND", "input.members.2.user.id"),
            (
                json!({ "user": { "id": world.users["platform_viewer"] },
                    "modelAccess": { "mode": "LIST" } }),
                "BAD_USER_INPUT",
                "input.members.2.modelAccess",
            ),
        ] {
            let input = adding(&world.a1, &[new.clone(), pending.clone(), member]);
            let answer = refused(&admin, "teamMemberAdd", input, code, field).await;
            let shown = answer.body.to_string();
            assert!(!shown.contains(&world.users["team_admin"]), "{shown}");
        }
        assert_eq!((rows(app).await, read(&admin, &world.a1, "version").await), before);
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, audited);
    })
    .await;
}

/// M-ADD-7, M-ADD-8, T-NEW-17, C-T19: an address finds the one user who has it, whatever its case,
/// or makes a pending user; an id of a user whom the caller does not see is as missing as any.
#[tokio::test]
async fn an_address_finds_one_user_or_makes_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let email = |text: &str| adding(&world.a1, &[json!({ "user": { "email": text } })]);
        let selection = "memberships { user { id platformRole isPending } }";
        // What the stranger is on the platform is not shown to whoever knows the address.
        let found = done(chief, "teamMemberAdd", email("OutSider@example.COM"), selection).await;
        let found = &found["memberships"][0]["user"];
        assert_eq!(found["id"], world.users["outsider"]);
        assert_eq!(found["platformRole"], Value::Null);
        let made = done(chief, "teamMemberAdd", email("New@example.com"), selection).await;
        let made = &made["memberships"][0]["user"];
        assert_eq!((&made["platformRole"], &made["isPending"]), (&Value::Null, &json!(true)));

        let admin = app.admin();
        let other = create(
            &admin,
            json!({ "name": "T", "organizationId": world.a,
            "members": [{ "user": { "email": "nEW@example.com" } }] }),
        )
        .await;
        assert_eq!(members(&admin, &other).await, [format!("{} MEMBER", text(made, "/id"))]);
        let sql = "SELECT count(*) AS n FROM users WHERE email_key = 'new@example.com'";
        assert_eq!(number(app, sql).await, 1);

        let hidden = &world.users["other_team_admin"];
        let one = call(chief, "teamMemberAdd", adding(&world.a1, &[plain(hidden)]), "").await;
        one.refused("NOT_FOUND", "input.members.0.user.id");
        let missing = nobody("user");
        let two = call(chief, "teamMemberAdd", adding(&world.a1, &[plain(&missing)]), "").await;
        assert_eq!(masked(&one, hidden), masked(&two, &missing));
    })
    .await;
}

/// C-T1, M-ADD-6, C-T13, SECURITY case 1: a plain member adds nobody, removes nobody and does not
/// promote itself; each attempt is audited; the refusal comes before any look at the members.
#[tokio::test]
async fn a_plain_member_changes_no_memberships() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let member = world.person("member");
        let before = (rows(app).await, members(&app.admin(), &world.a1).await);
        let count = number(app, "SELECT count(*) AS n FROM audit_events").await;
        let own = json!({ "id": world.users["member"] });
        let input = adding(&world.a1, &[plain(&world.users["outsider"])]);
        forbidden(member, "teamMemberAdd", input).await;
        let other = json!({ "id": world.users["viewer"] });
        let input = json!({ "teamId": world.a1, "user": other });
        forbidden(member, "teamMemberRemove", input).await;
        let input = json!({ "teamId": world.a1, "user": own, "role": "ADMIN" });
        forbidden(member, "teamMemberUpdate", input).await;
        assert_eq!((rows(app).await, members(&app.admin(), &world.a1).await), before);
        assert_eq!(number(app, "SELECT count(*) AS n FROM audit_events").await, count + 3);
        for event in events(app, 3).await {
            assert_eq!(event["action"], "ACCESS_DENIED");
            assert_eq!(event["actorId"], world.users["member"]);
        }
        let one = adding(&world.a1, &[plain(&world.users["viewer"])]);
        let two = adding(&world.a1, &[plain(&nobody("user"))]);
        let one = call(member, "teamMemberAdd", one, "").await;
        let two = call(member, "teamMemberAdd", two, "").await;
        assert_eq!(masked(&one, "-"), masked(&two, "-"));
        for person in ["viewer", "service", "gateway", "platform_viewer", "outsider"] {
            let input = adding(&world.a1, &[plain(&world.users["outsider"])]);
            forbidden(world.person(person), "teamMemberAdd", input).await;
            let input = json!({ "teamId": world.a1, "user": own, "budgets": [] });
            forbidden(world.person(person), "teamMemberUpdate", input).await;
        }
        same_as_missing(world.person("other_team_admin"), "teamMemberAdd", &world.a1, |id| {
            adding(id, &[plain(&world.users["other_team_admin"])])
        })
        .await;
    })
    .await;
}

/// C-T11, M-ADD-3, M-ADD-6: team admins add plain members with a personal key; admins of a team
/// are made by those above.
#[tokio::test]
async fn a_team_admin_adds_plain_members_only() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let before = rows(app).await;
        let admin = json!({ "user": { "email": "boss@example.com" }, "role": "ADMIN" });
        let input = adding(&world.a1, &[json!({ "user": { "email": "p@example.com" } }), admin]);
        forbidden(chief, "teamMemberAdd", input.clone()).await;
        assert_eq!(rows(app).await, before);
        let selection = "memberships { role budgets { budget { maxSpend } } }";
        let plain = adding(
            &world.a1,
            &[json!({ "user": { "email": "p2@example.com" },
                "budgets": [{ "create": { "maxSpend": "1" } }] })],
        );
        let added = done(chief, "teamMemberAdd", plain, selection).await;
        let expected = json!({ "role": "MEMBER", "budgets": [{ "budget": { "maxSpend": "1" } }] });
        assert_eq!(added["memberships"][0], expected);
        done(world.person("organization_admin"), "teamMemberAdd", input, "").await;
    })
    .await;
}

/// M-ADD-9, M-ADD-10, C-T7: every member of a list has its own budgets; a shared tier counts for
/// each member by itself; without one a member has none.
#[tokio::test]
async fn every_member_has_budgets_of_its_own() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let tier = json!({ "name": "Tier", "externalId": "tier", "limits": { "maxSpend": "3" } });
        done(&admin, "budgetCreate", tier, "").await;
        let input = adding(
            &world.a2,
            &[
                json!({ "user": { "id": world.users["member"] }, "budgets": [
                    { "create": { "maxSpend": "1", "period": "1d" } },
                    { "create": { "maxSpend": "9" } }] }),
                json!({ "user": { "id": world.users["viewer"] },
                    "budgets": [{ "attach": { "budgetId": "tier" } }] }),
                json!({ "user": { "id": world.users["outsider"] },
                    "budgets": [{ "attach": { "budgetId": "tier", "counting": "SHARED" } }] }),
                json!({ "user": { "id": world.users["team_admin"] } }),
            ],
        );
        done(&admin, "teamMemberAdd", input, "").await;
        let held = async |person: &str| {
            let selection = "budgets { counting scopeKind budget { id maxSpend externalId } }";
            let found = membership(&admin, &world.a2, &world.users[person], selection).await;
            found["budgets"].as_array().unwrap().clone()
        };
        let caps: Vec<_> =
            held("member").await.iter().map(|row| text(row, "/budget/maxSpend")).collect();
        assert_eq!(caps, ["1", "9"]);
        let (each, shared) = (held("viewer").await, held("outsider").await);
        assert_eq!(each[0]["counting"], "EACH");
        assert_eq!(each[0]["scopeKind"], "TEAM_MEMBERSHIP");
        assert_eq!(shared[0]["counting"], "SHARED");
        assert_eq!(each[0]["budget"], shared[0]["budget"]);
        assert!(held("team_admin").await.is_empty());
    })
    .await;
}

/// M-ADD-2, M-ADD-12: 500 members are added in one call, all of them at the cost of a few
/// statements; 501 are refused.
#[tokio::test]
async fn five_hundred_members_are_added_in_one_call() {
    on_each_database(async |app| {
        let admin = app.admin();
        let team = create(&admin, json!({ "name": "Crowd" })).await;
        let crowd = |count: usize| {
            let member = |n: usize| json!({ "user": { "email": format!("m{n}@example.com") } });
            adding(&team, &(0..count).map(member).collect::<Vec<_>>())
        };
        refused(&admin, "teamMemberAdd", crowd(501), "BAD_USER_INPUT", "input.members").await;
        assert_eq!(number(app, "SELECT count(*) AS n FROM users").await, 0);
        let answer = call(&admin, "teamMemberAdd", crowd(500), "memberships { id }").await;
        let statements = answer.statements();
        let added = answer.data()["teamMemberAdd"]["memberships"].as_array().unwrap().len();
        assert_eq!(added, 500);
        assert!(statements <= 25, "{statements}");
        assert_eq!(number(app, "SELECT count(*) AS n FROM team_memberships").await, 500);
        assert_eq!(number(app, "SELECT count(*) AS n FROM users").await, 500);
        let page = read(&admin, &team, "members(first: 100) { totalCount nodes { id } }").await;
        assert_eq!(page["members"]["totalCount"], 500);

        let input = json!({ "name": "Crowd 2", "members": crowd(501)["members"] });
        refused(&admin, "teamCreate", input, "BAD_USER_INPUT", "input.members").await;
    })
    .await;
}

/// SECURITY case 20, C-T3, C-T4, C-T5: of 64 additions and removals at once on one team none is
/// lost: the members are those whose last acknowledged operation added them.
#[tokio::test]
async fn many_changes_of_one_team_at_once_are_all_kept() {
    on_each_database_with(ROOM, async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let mut people = Vec::new();
        for number in 0..64 {
            people.push(user(&admin, &format!("p{number}"), "USER").await);
        }
        // The first half are members and leave, the other half come; all at once.
        let first: Vec<_> = people[..32].iter().map(|id| plain(id)).collect();
        done(&admin, "teamMemberAdd", adding(&world.a2, &first), "").await;
        let tasks: Vec<_> = people
            .iter()
            .enumerate()
            .map(|(number, id)| {
                let (client, id, team) = (app.admin(), id.clone(), world.a2.clone());
                tokio::spawn(async move {
                    if number < 32 {
                        let input = json!({ "teamId": team, "user": { "id": id } });
                        call(&client, "teamMemberRemove", input, "").await
                    } else {
                        call(&client, "teamMemberAdd", adding(&team, &[plain(&id)]), "").await
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().data();
        }
        let mut found = members(&admin, &world.a2).await;
        found.sort();
        let mut expected: Vec<_> = people[32..].iter().map(|id| format!("{id} MEMBER")).collect();
        expected.sort();
        assert_eq!(found, expected);

        // 64 additions of one user: one is acknowledged.
        let lone = &world.users["outsider"];
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (client, input) = (app.admin(), adding(&world.a2, &[plain(lone)]));
                tokio::spawn(async move { call(&client, "teamMemberAdd", input, "").await.code() })
            })
            .collect();
        let mut codes = Vec::new();
        for task in tasks {
            codes.push(task.await.unwrap());
        }
        assert_eq!(codes.iter().filter(|code| code.is_empty()).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| *code == "ALREADY_EXISTS").count(), 63, "{codes:?}");
        let sql = "SELECT count(*) AS n FROM audit_events WHERE action = 'TEAM_MEMBER_REMOVED'";
        assert_eq!(number(app, sql).await, 32);
    })
    .await;
}

/// M-ADD-6, C-T24: a new member sees the team with its next request, a removed one no longer, also
/// with a key it had before.
#[tokio::test]
async fn a_membership_holds_for_the_next_request() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let outsider = world.person("outsider");
        assert_eq!(read(outsider, &world.a2, "name").await, Value::Null);
        let input = adding(&world.a2, &[plain(&world.users["outsider"])]);
        done(&app.admin(), "teamMemberAdd", input, "").await;
        assert_eq!(read(outsider, &world.a2, "name").await["name"], "A2");
        let input = json!({ "userId": world.users["outsider"], "teamId": world.a2, "name": "k" });
        let (_, secret) = api_key(&app.admin(), input).await;
        let key = app.with_key(Some(&secret));
        assert_eq!(read(&key, &world.a2, "name").await["name"], "A2");
        let input = json!({ "teamId": world.a2, "user": { "id": world.users["outsider"] } });
        done(&app.admin(), "teamMemberRemove", input, "").await;
        assert_eq!(read(outsider, &world.a2, "name").await, Value::Null);
        assert_eq!(key.run("{ viewer { kind } }").await.status, 401);
    })
    .await;
}
