//! Nobody gets at another person, nor past an own limit, by way of a team, an organization, an
//! address or a key.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, user, user_of};
use crate::harness::{Client, TestApp, on_each_database};
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
/// organization manages, and gets none over a stranger by adding it to a team.
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
        // Whom the organization invited, it manages, until that person belongs elsewhere too.
        let invited = add_address(own, &world.a1, "invited@example.com").await;
        assert_eq!(invited["platformRole"], "USER");
        let query = format!(
            "{{ user(id: {}) {{ isPending isEmailConfirmed organization {{ id }} }} }}",
            invited["id"]
        );
        let shown = json!({
            "isPending": true, "isEmailConfirmed": true, "organization": { "id": world.a },
        });
        assert_eq!(read(own, &query).await, shown);
        let rename = json!({ "id": invited["id"], "name": "Ivy" });
        done(own, "userUpdate", rename.clone(), "user { id }").await;
        add_address(world.person("other_team_admin"), &world.b1, "invited@example.com").await;
        change(own, "userUpdate", rename, "user { id }").await.refused("FORBIDDEN", "-");
        let mine = "{ auditEvents(filter: { actions: [USER_CREATED] }) { nodes { subjectId } } }";
        let events = read(own, mine).await["nodes"].as_array().unwrap().clone();
        assert!(events.contains(&json!({ "subjectId": invited["id"] })), "{events:?}");
        assert!(!events.contains(&json!({ "subjectId": stranger })), "{events:?}");
    })
    .await;
}

/// C-T, M-ADD: an address that a user gave itself names nobody, so that invitations of the address
/// reach whoever an admin says has it.
#[tokio::test]
async fn an_address_that_one_gives_oneself_catches_no_invitation() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (me, root) = (world.person("member"), world.person("platform_admin"));
        let id = &world.users["member"];
        let shown = "user { email isEmailConfirmed }";
        let set = async |who: &Client, address: &str| {
            let input = json!({ "id": id, "email": address });
            done(who, "userUpdate", input, shown).await["user"].clone()
        };
        let user = set(me, "MEMBER@example.com").await;
        assert_eq!(user, json!({ "email": "MEMBER@example.com", "isEmailConfirmed": true }));
        let user = set(me, "boss@example.com").await;
        assert_eq!(user, json!({ "email": "boss@example.com", "isEmailConfirmed": false }));
        let invited =
            add_address(world.person("other_team_admin"), &world.b1, "Boss@example.com").await;
        assert_ne!(invited["id"], *id);
        let input = json!({ "id": id, "email": "boss@example.com" });
        let answer = change(root, "userUpdate", input, shown).await;
        answer.refused("ALREADY_EXISTS", "input.email");
        let user = set(root, "other@example.com").await;
        assert_eq!(user, json!({ "email": "other@example.com", "isEmailConfirmed": true }));
        let found = add_address(world.person("other_team_admin"), &world.b1, "other@example.com");
        assert_eq!(found.await["id"], *id);
        // Two users may claim one address; neither has it.
        set(me, "claimed@example.com").await;
        let input = json!({ "id": world.users["outsider"], "email": "claimed@example.com" });
        let other = done(world.person("outsider"), "userUpdate", input, shown).await;
        assert_eq!(other["user"]["isEmailConfirmed"], false);
        let search = "{ users(filter: { search: \"claimed@\" }) { totalCount } }";
        assert_eq!(read(root, search).await["totalCount"], 2);
        assert_eq!(read(me, search).await["totalCount"], 0);
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
