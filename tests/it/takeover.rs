//! Nobody gets at another person, nor past an own limit, by way of a team, an organization, an
//! address or a key.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollkeep::authn::Credential;

use crate::harness::client::text;
use crate::harness::world::{World, api_key, user, user_of};
use crate::harness::{Client, TestApp, on_each_database, on_each_database_with};
use crate::steps::{change, done, is_known, read, rows};

async fn add_address(who: &Client, team: &str, address: &str) -> Value {
    let members = json!([{ "user": { "email": address } }]);
    let input = json!({ "teamId": team, "members": members });
    let selection = "memberships { user { id name platformRole metadata modelAccess { mode } } }";
    done(who, "teamMemberAdd", input, selection).await["memberships"][0]["user"].clone()
}

/// SECURITY cases 1, 7, 9: a team admin who has a key made for a member, whoever that is, acts with
/// it as a member of the team, and never as the person.
#[tokio::test]
async fn a_team_admin_gets_no_person_by_a_key_in_the_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        let root = &world.users["platform_admin"];
        let budgets = json!([{ "create": { "maxSpend": "5" } }]);
        let input = json!({ "id": root, "budgets": budgets, "metadata": { "desk": 1 } });
        done(&app.admin(), "userUpdate", input, "user { id }").await;
        let stranger = add_address(chief, &world.a1, "platform_admin@example.com").await;
        assert_eq!(stranger["id"], *root);
        for field in ["platformRole", "metadata", "modelAccess"] {
            assert_eq!(stranger[field], Value::Null, "{field}");
        }
        let input = json!({ "userId": root, "teamId": world.a1 });
        let made = done(chief, "apiKeyCreate", input, "apiKey { id } secret").await;
        let held = app.with_key(Some(&text(&made, "/secret")));

        let query = "{ viewer { platformRole user { id name email platformRole metadata
            budgets { id } } } }";
        let viewer = read(&held, query).await;
        assert_eq!(viewer["platformRole"], "USER");
        let expected = json!({
            "id": root, "name": "platform_admin", "email": null, "platformRole": null,
            "metadata": null, "budgets": null,
        });
        assert_eq!(viewer["user"], expected);
        assert_eq!(read(&held, "{ budgets { totalCount } }").await["totalCount"], 0);
        let before = rows(app, "users").await + rows(app, "teams").await;
        for (field, input, selection) in [
            ("userUpdate", json!({ "id": root, "email": "evil@example.com" }), "user { id }"),
            ("userUpdate", json!({ "id": root, "name": "Evil" }), "user { id }"),
            ("userBlock", json!({ "id": world.users["member"] }), "user { id }"),
            ("userDelete", json!({ "ids": [world.users["member"]] }), "deletedIds"),
            ("userCreate", json!({ "name": "N" }), "user { id }"),
            ("teamCreate", json!({ "name": "T" }), "team { id }"),
            ("teamUpdate", json!({ "id": world.a1, "name": "T" }), "team { id }"),
            ("apiKeyCreate", json!({ "name": "personal" }), "secret"),
            ("apiKeyCreate", json!({ "kind": "ADMIN" }), "secret"),
        ] {
            change(&held, field, input, selection).await.refused("FORBIDDEN", "-");
        }
        assert_eq!(rows(app, "users").await + rows(app, "teams").await, before);
        let personal = json!({ "id": world.keys["platform_admin"] });
        let answer = change(&held, "apiKeyRotate", personal, "secret").await;
        answer.refused("NOT_FOUND", "input.id");
        // The person itself, with a key of its own, may do what it may.
        let input = json!({ "id": root, "name": "Root" });
        done(world.person("platform_admin"), "userUpdate", input, "user { id }").await;
    })
    .await;
}

/// SECURITY 3, "user update": an organization's admin has power over the users that the
/// organization manages, wherever else they belong, and gets none over a stranger by adding it.
#[tokio::test]
async fn an_organization_admin_gets_no_person_by_adding_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let stranger = user(&app.admin(), "stranger", "USER").await;
        let found = add_address(own, &world.a1, "Stranger@example.com").await;
        assert_eq!(found["id"], *stranger);
        assert_eq!(found["platformRole"], Value::Null);
        for (field, input, selection) in [
            ("userUpdate", json!({ "id": stranger, "name": "Taken over" }), "user { id }"),
            ("userBlock", json!({ "id": stranger }), "user { id }"),
            ("userDelete", json!({ "ids": [stranger] }), "deletedIds"),
        ] {
            change(own, field, input, selection).await.refused("FORBIDDEN", "-");
        }
        // Whom the organization invited, it manages.
        let invited = add_address(own, &world.a1, "invited@example.com").await;
        assert_eq!(invited["platformRole"], "USER");
        let query = format!(
            "{{ user(id: {}) {{ isPending emailConfirmedBy organization {{ id }} }} }}",
            invited["id"]
        );
        let shown = json!({
            "isPending": true, "emailConfirmedBy": "ORGANIZATION", "organization": { "id": world.a },
        });
        assert_eq!(read(own, &query).await, shown);
        // Nobody else takes that away by adding the person elsewhere.
        let members = json!([{ "user": { "id": invited["id"] } }]);
        let input = json!({ "teamId": world.b1, "members": members });
        done(&app.admin(), "teamMemberAdd", input, "team { id }").await;
        let id = &invited["id"];
        done(own, "userUpdate", json!({ "id": id, "name": "Ivy" }), "user { id }").await;
        done(own, "userBlock", json!({ "id": id }), "user { id }").await;
        let delete = json!({ "ids": [id] });
        change(own, "userDelete", delete.clone(), "deletedIds").await.refused("CONFLICT", "-");
        done(&app.admin(), "userDelete", delete, "deletedIds").await;
        let mine = "{ auditEvents(filter: { actions: [USER_CREATED] }) { nodes { subjectId } } }";
        let events = read(own, mine).await["nodes"].as_array().unwrap().clone();
        assert!(events.contains(&json!({ "subjectId": invited["id"] })), "{events:?}");
        assert!(!events.contains(&json!({ "subjectId": stranger })), "{events:?}");
    })
    .await;
}

/// C-T, M-ADD: an address that a user gave itself names nobody, and one that an organization gave
/// names its people within that organization alone.
#[tokio::test]
async fn an_address_that_one_gives_oneself_catches_no_invitation() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (me, root) = (world.person("member"), world.person("platform_admin"));
        let id = &world.users["member"];
        let shown = "user { email emailConfirmedBy }";
        let set = async |who: &Client, id: &str, address: &str| {
            let input = json!({ "id": id, "email": address });
            done(who, "userUpdate", input, shown).await["user"].clone()
        };
        let user = set(me, id, "MEMBER@example.com").await;
        assert_eq!(user, json!({ "email": "MEMBER@example.com", "emailConfirmedBy": "PLATFORM" }));
        let user = set(me, id, "boss@example.com").await;
        assert_eq!(user, json!({ "email": "boss@example.com", "emailConfirmedBy": null }));
        let chief_of_b = world.person("other_team_admin");
        let invited = add_address(chief_of_b, &world.b1, "Boss@example.com").await;
        assert_ne!(invited["id"], *id);
        let again = json!({ "teamId": world.b1,
            "members": [{ "user": { "email": "boss@EXAMPLE.com" } }] });
        let answer = change(chief_of_b, "teamMemberAdd", again, "team { id }").await;
        answer.refused("ALREADY_EXISTS", "input.members.0.user");
        // Nor does it name the member to those who change memberships, whoever the true one is.
        let own = world.person("organization_admin");
        let promote = json!({ "teamId": world.a1, "user": { "email": "boss@example.com" },
            "role": "ADMIN" });
        let answer = change(own, "teamMemberUpdate", promote, "membership { id }").await;
        answer.refused("NOT_FOUND", "input.user");
        // An organization's admin says whose an address is for that organization, and not of itself.
        let user = set(own, id, "cfo@b.example").await;
        assert_eq!(user["emailConfirmedBy"], "ORGANIZATION");
        let found = add_address(own, &world.a2, "CFO@b.example").await;
        assert_eq!(found["id"], *id);
        let found = add_address(chief_of_b, &world.b1, "cfo@b.example").await;
        assert_ne!(found["id"], *id);
        let itself = &world.users["organization_admin"];
        assert_eq!(set(own, itself, "ceo@b.example").await["emailConfirmedBy"], Value::Null);
        // The platform says it for everybody.
        let user = set(root, id, "other@example.com").await;
        assert_eq!(user, json!({ "email": "other@example.com", "emailConfirmedBy": "PLATFORM" }));
        let found = add_address(chief_of_b, &world.b1, "other@example.com").await;
        assert_eq!(found["id"], *id);
        let input = json!({ "id": itself, "email": "other@example.com" });
        let answer = change(root, "userUpdate", input, shown).await;
        answer.refused("ALREADY_EXISTS", "input.email");
        // Two users may claim one address; neither has it.
        set(me, id, "claimed@example.com").await;
        let outsider = world.person("outsider");
        let other = set(outsider, &world.users["outsider"], "claimed@example.com").await;
        assert_eq!(other["emailConfirmedBy"], Value::Null);
        let search = "{ users(filter: { search: \"claimed@\" }) { totalCount } }";
        assert_eq!(read(root, search).await["totalCount"], 2);
        assert_eq!(read(me, search).await["totalCount"], 0);
    })
    .await;
}

/// SECURITY case 18: outside of organizations only the platform invites addresses that nobody has,
/// and nobody is found by what the caller may not read of them.
#[tokio::test]
async fn nobody_is_found_by_a_hidden_address_or_role() {
    let settings = [("TOLLKEEP__TEAMS__SELF_SERVE", "true")];
    on_each_database_with(&settings, async |app| {
        let world = World::new(app).await;
        let me = world.person("outsider");
        let team = done(me, "teamCreate", json!({ "name": "Mine" }), "team { id }").await;
        let input = json!({ "teamId": team["team"]["id"],
            "members": [{ "user": { "email": "newhire@b.example" } }] });
        let answer = change(me, "teamMemberAdd", input, "team { id }").await;
        answer.refused("NOT_FOUND", "input.members.0.user.email");
        assert_eq!(rows(app, "users WHERE email_key = 'newhire@b.example'").await, 0);

        let guess = |address: &str| json!({ "teamId": world.a1, "user": { "email": address } });
        let mut answers = Vec::new();
        for address in ["viewer@example.com", "nobody@example.com"] {
            let answer =
                change(world.person("member"), "teamMemberRemove", guess(address), "deletedId");
            answers.push((answer.await.code(), address));
        }
        assert_eq!(answers[0].0, "NOT_FOUND");
        assert_eq!(answers[1].0, "NOT_FOUND");
        let query = "{ users(filter: { platformRoles: [USER_VIEWER] }) { totalCount } }";
        for (name, count) in [("member", 0), ("organization_admin", 1), ("platform_viewer", 1)] {
            assert_eq!(read(world.person(name), query).await["totalCount"], count, "{name}");
        }
        let open = json!({ "name": "Open", "externalId": "hr-0042", "isJoinable": true });
        done(&app.admin(), "teamCreate", open, "team { id }").await;
        for (search, count) in [("open", 1), ("hr-00", 0), ("n\u{1f}h", 0)] {
            let query = "query($s: String) { joinableTeams(search: $s) { totalCount } }";
            let found = me.run_with(query, json!({ "s": search })).await.data();
            assert_eq!(found["joinableTeams"]["totalCount"], count, "{search}");
        }
        // A platform viewer watches, and makes nothing, teams of its own included.
        let watcher = world.person("platform_viewer");
        change(watcher, "teamCreate", json!({ "name": "T" }), "team { id }")
            .await
            .refused("FORBIDDEN", "-");
    })
    .await;
}

/// SECURITY cases 7, 9: a limited key of a platform admin gives nobody a platform role.
#[tokio::test]
async fn a_limited_key_gives_the_platform_to_nobody() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = &world.users["platform_admin"];
        for limit in [
            json!({ "expiresIn": "1h" }),
            json!({ "tags": ["ci"] }),
            json!({ "allowedRoutes": ["management"] }),
            json!({ "budgets": [{ "create": { "maxSpend": "1" } }] }),
            json!({ "modelAccess": { "mode": "NONE" } }),
        ] {
            let mut input = json!({ "userId": root });
            input.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
            let (_, secret) = api_key(&app.admin(), input).await;
            let limited = app.with_key(Some(&secret));
            let input = json!({ "id": world.users["member"], "platformRole": "ADMIN" });
            let answer = change(&limited, "userUpdate", input, "user { id }").await;
            answer.refused("LIMIT_EXCEEDED", "input.platformRole");
            let input = json!({ "name": "Second", "platformRole": "VIEWER" });
            let answer = change(&limited, "userCreate", input, "user { id }").await;
            answer.refused("LIMIT_EXCEEDED", "input.platformRole");
            done(&limited, "userCreate", json!({ "name": "Third" }), "user { id }").await;
        }
    })
    .await;
}

/// SECURITY 5, rotation: a secret that was rotated out lives for its grace, and gives nothing that
/// lives longer.
#[tokio::test]
async fn a_secret_in_its_grace_gives_nothing_that_outlives_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (id, old) = api_key(&app.admin(), json!({ "userId": world.users["member"] })).await;
        let old = app.with_key(Some(&old));
        let input = json!({ "id": id, "gracePeriod": "1h" });
        let new = done(&old, "apiKeyRotate", input, "secret").await;
        let new = app.with_key(Some(&text(&new, "/secret")));
        let answer = change(&old, "apiKeyRotate", json!({ "id": id }), "secret").await;
        answer.refused("CONFLICT", "-");
        let answer = change(&old, "apiKeyCreate", json!({}), "secret").await;
        answer.refused("LIMIT_EXCEEDED", "input.expiresAt");
        done(&old, "apiKeyCreate", json!({ "expiresIn": "30m" }), "secret").await;
        assert!(is_known(&new).await);
        done(&new, "apiKeyCreate", json!({}), "secret").await;
    })
    .await;
}

/// C-T14: limits that an admin set on a member of a joinable team are not shed by leaving it.
#[tokio::test]
async fn nobody_sheds_limits_by_leaving_and_joining_again() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (chief, me) = (world.person("team_admin"), world.person("member"));
        let input = json!({ "id": world.a1, "isJoinable": true,
            "memberDefaults": { "budgets": [{ "create": { "maxSpend": "9" } }] } });
        done(chief, "teamUpdate", input, "team { id }").await;
        let user = json!({ "id": world.users["member"] });
        let leave = json!({ "teamId": world.a1, "user": user });
        done(me, "teamMemberRemove", leave.clone(), "deletedId").await;
        done(me, "teamJoin", json!({ "teamId": world.a1 }), "membership { id }").await;
        done(me, "teamMemberRemove", leave.clone(), "deletedId").await;
        done(me, "teamJoin", json!({ "teamId": world.a1 }), "membership { id }").await;
        for limits in [
            json!({ "budgets": [{ "create": { "maxSpend": "1" } }] }),
            json!({ "budgets": [], "modelAccess": { "mode": "LIST", "models": ["cheap"] } }),
        ] {
            let mut input = json!({ "teamId": world.a1, "user": user });
            input.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
            done(chief, "teamMemberUpdate", input, "membership { id }").await;
            let answer = change(me, "teamMemberRemove", leave.clone(), "deletedId").await;
            answer.refused("CONFLICT", "-");
        }
        done(chief, "teamMemberRemove", leave, "deletedId").await;
    })
    .await;
}

/// SECURITY cases 22, 23: whoever is blocked while its request comes in slowly changes nothing.
#[tokio::test]
async fn rights_are_those_of_the_moment_of_the_write() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let input = json!({ "userId": world.users["team_admin"] });
        let (_, secret) = api_key(&app.admin(), input).await;
        let query =
            "mutation($t: ID!) { apiKeyCreate(input: { kind: SERVICE, teamId: $t }) { secret } }";
        let body = json!({ "query": query, "variables": { "t": world.a1 } }).to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..10]).await.unwrap();
        let began = std::time::Instant::now();
        let keys = rows(app, "api_keys").await;
        let it = json!({ "id": world.users["team_admin"] });
        done(&app.admin(), "userBlock", it, "user { id }").await;
        // A check holds for a moment: let it pass, however fast this machine is.
        while began.elapsed() < Credential::HOLDS * 3 {
            read(&app.admin(), "{ viewer { kind } }").await;
        }
        stream.write_all(&body.as_bytes()[10..]).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert_eq!(rows(app, "api_keys").await, keys);
    })
    .await;
}

async fn tier(app: &TestApp, limits: Value) -> String {
    let input = json!({ "name": "tier", "limits": limits });
    text(&done(&app.admin(), "budgetCreate", input, "budget { id }").await, "/budget/id")
}

/// SECURITY 3, footnote 5: an owner keeps the very budgets of a key, which have counted so far.
#[tokio::test]
async fn an_owner_does_not_begin_a_budget_anew() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let me = world.person("member");
        let limits = json!({ "maxSpend": "10", "period": "1d" });
        let pot = tier(app, limits.clone()).await;
        let shared = json!({ "attach": { "budgetId": pot, "counting": "SHARED" } });
        let budgets = json!([{ "create": limits }, shared]);
        let input = json!({ "userId": world.users["member"], "name": "k", "budgets": budgets });
        let (id, _) = api_key(&app.admin(), input).await;
        let query = format!("{{ apiKey(id: \"{id}\") {{ budgets {{ budget {{ id }} }} }} }}");
        let own = read(me, &query).await["budgets"][0]["budget"]["id"].clone();
        let keep = json!({ "attach": { "budgetId": own } });
        let lowered = json!({ "maxSpend": "9" });
        for budgets in [
            json!([{ "create": limits }, shared]),
            json!([keep, { "create": limits }]),
            json!([keep, { "attach": { "budgetId": pot, "counting": "EACH" } }]),
            json!([keep, { "edit": { "budgetId": pot, "limits": lowered } }]),
        ] {
            let input = json!({ "id": id, "budgets": budgets });
            let answer = change(me, "apiKeyUpdate", input, "apiKey { id }").await;
            answer.refused("FORBIDDEN", "-");
        }
        let budgets = json!([{ "edit": { "budgetId": own, "limits": lowered } }, shared,
            { "create": { "requestsPerMinute": 9 } }]);
        done(me, "apiKeyUpdate", json!({ "id": id, "budgets": budgets }), "apiKey { id }").await;
        assert_eq!(rows(app, "budgets").await, 3);
    })
    .await;
}

/// SECURITY cases 7, 9: the key of a platform admin that ends makes no key that gives the platform
/// away for longer, and keys for others as it likes (T-NEW-4).
#[tokio::test]
async fn a_limited_key_of_a_platform_admin_makes_no_unlimited_one_of_its_kind() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = &world.users["platform_admin"];
        let input = json!({ "userId": root, "name": "short", "expiresIn": "1h" });
        let (id, secret) = api_key(&app.admin(), input).await;
        let short = app.with_key(Some(&secret));
        let other = user(&app.admin(), "second", "ADMIN").await;
        for input in [
            json!({ "kind": "ADMIN" }),
            json!({ "kind": "GATEWAY" }),
            json!({ "userId": root }),
            json!({ "userId": other }),
        ] {
            let answer = change(&short, "apiKeyCreate", input, "secret").await;
            answer.refused("LIMIT_EXCEEDED", "input.expiresAt");
        }
        let input = json!({ "id": world.keys["platform_admin"] });
        change(&short, "apiKeyRotate", input, "secret").await.refused("LIMIT_EXCEEDED", "input.id");
        let longer = json!({ "id": id, "expiresAt": null });
        let answer = change(&short, "apiKeyUpdate", longer, "apiKey { id }").await;
        answer.refused("LIMIT_EXCEEDED", "input.expiresAt");
        for input in [
            json!({ "kind": "ADMIN", "expiresIn": "30m" }),
            json!({ "userId": world.users["member"] }),
            json!({ "kind": "SERVICE", "teamId": world.a1 }),
        ] {
            done(&short, "apiKeyCreate", input, "secret").await;
        }
        assert!(is_known(world.person("platform_admin")).await);
    })
    .await;
}

/// SECURITY case 5: an error tells the numbers of a scope above to those who may read its budgets.
#[tokio::test]
async fn an_error_tells_no_numbers_of_a_hidden_budget() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let budgets = json!([{ "create": { "maxSpend": "73" } }]);
        let input = json!({ "id": world.a1, "budgets": budgets,
            "memberPermissions": ["API_KEY_CREATE"] });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
        let budgets = json!([{ "create": { "maxSpend": "100" } }]);
        let input = json!({ "teamId": world.a1, "budgets": budgets });
        for (name, message) in [
            ("member", "this is more than the scope above allows"),
            ("team_admin", "100 is more than the 73 of the scope above"),
        ] {
            let answer = change(world.person(name), "apiKeyCreate", input.clone(), "secret").await;
            answer.refused("LIMIT_EXCEEDED", "input.budgets.maxSpend");
            assert_eq!(answer.message(), message, "{name}");
        }
    })
    .await;
}

/// SECURITY case 18: a filter finds nobody by a team or an organization that one does not see.
#[tokio::test]
async fn a_filter_finds_nothing_by_what_is_hidden() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let members = json!([{ "user": { "id": world.users["member"] } }]);
        let input = json!({ "teamId": world.b1, "members": members });
        done(&app.admin(), "teamMemberAdd", input, "team { id }").await;
        let query = "query($t: [ID!]) { users(filter: { teamIds: $t }) { totalCount } }";
        for (team, name, count) in [
            (&world.b1, "viewer", 0),
            (&world.b1, "member", 2),
            (&world.a1, "viewer", 3),
            (&world.b1, "platform_viewer", 2),
        ] {
            let found = world.person(name).run_with(query, json!({ "t": [team] })).await.data();
            assert_eq!(found["users"]["totalCount"], count, "{name}");
        }
    })
    .await;
}

/// SECURITY 3, "team update": what guards a team's calls is not for its own admins to take away.
#[tokio::test]
async fn a_team_admin_does_not_lift_guardrails() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let guards = json!({ "id": world.a1, "guardrails": ["pii"], "routerSettings": {} });
        let own = world.person("organization_admin");
        done(own, "teamUpdate", guards, "team { id }").await;
        for change_of in [json!({ "guardrails": [] }), json!({ "routerSettings": null })] {
            let mut input = json!({ "id": world.a1 });
            input.as_object_mut().unwrap().extend(change_of.as_object().unwrap().clone());
            let answer = change(world.person("team_admin"), "teamUpdate", input, "team { id }");
            answer.await.refused("FORBIDDEN", "-");
        }
    })
    .await;
}

/// E 30: the organization that manages a user is in the audit trail of that organization, and the
/// memberships that come and go with the user are events.
#[tokio::test]
async fn memberships_of_an_organization_are_audited() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let id = user_of(own, "new", "USER", Some(&world.a)).await;
        done(own, "userDelete", json!({ "ids": [id] }), "deletedIds").await;
        let query = "{ auditEvents(first: 4) { nodes { action organizationId } } }";
        let nodes = read(own, query).await["nodes"].as_array().unwrap().clone();
        let mut found: Vec<_> = nodes.iter().map(|node| text(node, "/action")).collect();
        found.sort();
        let expected = [
            "ORGANIZATION_MEMBER_ADDED",
            "ORGANIZATION_MEMBER_REMOVED",
            "USER_CREATED",
            "USER_DELETED",
        ];
        assert_eq!(found, expected);
        assert!(nodes.iter().all(|node| node["organizationId"] == *world.a));
    })
    .await;
}
