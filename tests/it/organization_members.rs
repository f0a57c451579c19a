//! Who belongs to an organization and who runs it: adding, changing and removing members.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, join_organization, user};
use crate::harness::{Answer, Client, Kind, TestApp, on_each_database};
use crate::locks::meet;
use crate::steps::{assert_no_orphans, change, done, is_known, read, rows};
use crate::team_calls::{actions, create, events, nobody};

/// The members of an organization with their roles, oldest first, as `name role`.
async fn members(client: &Client, organization: &str) -> Vec<String> {
    let query = "query($id: ID!) { organization(id: $id) {
        members(first: 100) { nodes { role user { name email } } } } }";
    let data = client.run_with(query, json!({ "id": organization })).await.data();
    let nodes = data["organization"]["members"]["nodes"].as_array().unwrap();
    let name = |node: &Value| {
        let user = &node["user"];
        let name = user["name"].as_str().or(user["email"].as_str()).unwrap();
        format!("{name} {}", text(node, "/role"))
    };
    nodes.iter().map(name).collect()
}

async fn add(client: &Client, organization: &str, members: Value) -> Answer {
    let input = json!({ "organizationId": organization, "members": members });
    let selection = "memberships { role user { id } }";
    change(client, "organizationMemberAdd", input, selection).await
}

fn of(organization: &str, user: &str) -> Value {
    json!({ "organizationId": organization, "user": { "id": user } })
}

fn promoted(organization: &str, user: &str, role: &str) -> Value {
    json!({ "organizationId": organization, "user": { "id": user }, "role": role })
}

async fn tables(app: &TestApp) -> i64 {
    rows(app, "organization_memberships").await + rows(app, "users").await
}

/// SECURITY 3, "organization member add", ADR 0019, M-ADD-1: members are added by id, by external id
/// or by address, in the order of the input; an address that nobody has becomes a pending user of
/// the organization; all are added, or none.
#[tokio::test]
async fn members_are_added_all_or_none() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, own) = (world.person("platform_admin"), world.person("organization_admin"));
        let named = user(root, "named", "USER").await;
        let input = json!({ "id": named, "externalId": "emp-7" });
        done(root, "userUpdate", input, "user { id }").await;
        let list = json!([
            { "user": { "email": "New@example.com" }, "role": "ADMIN" },
            { "user": { "id": world.users["outsider"] } },
            { "user": { "id": "emp-7" }, "role": "ADMIN" },
            { "user": { "email": "Other_team_admin@EXAMPLE.com" } },
        ]);
        let added = add(root, &world.a, list).await.data();
        let added = added["organizationMemberAdd"]["memberships"].as_array().unwrap().clone();
        let roles: Vec<_> = added.iter().map(|row| text(row, "/role")).collect();
        assert_eq!(roles, ["ADMIN", "MEMBER", "ADMIN", "MEMBER"]);
        let ids: Vec<_> = added[1..].iter().map(|row| text(row, "/user/id")).collect();
        let expected = [&world.users["outsider"], &named, &world.users["other_team_admin"]];
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected);
        let invited = text(&added[0], "/user/id");
        let query = format!(
            "{{ user(id: \"{invited}\") {{ email isPending emailConfirmedBy organization {{ id }} }} }}"
        );
        let shown = json!({ "email": "New@example.com", "isPending": true,
            "emailConfirmedBy": "PLATFORM", "organization": { "id": world.a } });
        assert_eq!(read(own, &query).await, shown);
        // Whom the organization did not make, it does not manage.
        let rename = json!({ "id": world.users["outsider"], "name": "N" });
        change(own, "userUpdate", rename, "user { id }").await.refused("FORBIDDEN", "-");
        let rename = json!({ "id": invited, "name": "Nina" });
        done(own, "userUpdate", rename, "user { id }").await;

        let before = tables(app).await;
        let fresh = json!({ "user": { "email": "fresh@example.com" } });
        let hidden = world.users["platform_viewer"].clone();
        for (list, code, field) in [
            (json!([]), "BAD_USER_INPUT", "input.members"),
            (json!([fresh, { "user": { "email": "no" } }]), "BAD_USER_INPUT", "input.members.1.user.email"),
            (json!([fresh, fresh]), "BAD_USER_INPUT", "input.members.1.user"),
            (json!([fresh, { "user": { "id": named } }]), "ALREADY_EXISTS", "input.members.1.user"),
            (json!([fresh, { "user": { "id": hidden } }]), "NOT_FOUND", "input.members.1.user.id"),
            (json!([fresh, { "user": { "id": nobody("user") } }]), "NOT_FOUND", "input.members.1.user.id"),
        ] {
            add(own, &world.a, list).await.refused(code, field);
        }
        let many: Vec<_> = (0..501)
            .map(|number| json!({ "user": { "email": format!("p{number}@example.com") } }))
            .collect();
        add(own, &world.a, json!(many)).await.refused("BAD_USER_INPUT", "input.members");
        add(own, &world.b, json!([fresh])).await.refused("NOT_FOUND", "input.organizationId");
        for name in ["team_admin", "member", "platform_viewer"] {
            add(world.person(name), &world.a, json!([fresh])).await.refused("FORBIDDEN", "-");
        }
        assert_eq!(tables(app).await, before);
        add(own, &world.a, json!(many[..500])).await.data();
        assert_eq!(tables(app).await, before + 1_000);
    })
    .await;
}

/// SECURITY 3, footnote 1, D24: an organization's admins make and unmake their equals, and do not
/// touch those who run or watch the platform.
#[tokio::test]
async fn an_organizations_admin_touches_nobody_above_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, own) = (world.person("platform_admin"), world.person("organization_admin"));
        let second = &world.users["team_admin"];
        done(own, "organizationMemberUpdate", promoted(&world.a, second, "ADMIN"), "__typename")
            .await;
        let listed = members(world.person("team_admin"), &world.a).await;
        assert!(listed.contains(&"team_admin ADMIN".to_owned()));
        // What one is holds for the next request.
        create(world.person("team_admin"), json!({ "name": "T", "organizationId": world.a })).await;
        let input = promoted(&world.a, second, "MEMBER");
        done(own, "organizationMemberUpdate", input, "membership { role version }").await;
        let input = json!({ "name": "T", "organizationId": world.a });
        let answer = change(world.person("team_admin"), "teamCreate", input, "team { id }").await;
        answer.refused("FORBIDDEN", "-");

        for name in ["platform_admin", "platform_viewer"] {
            let id = &world.users[name];
            let before = tables(app).await;
            let list = json!([{ "user": { "email": format!("{name}@example.com") } }]);
            add(own, &world.a, list).await.refused("FORBIDDEN", "-");
            assert_eq!(tables(app).await, before);
            join_organization(app, &world.a, id, "ADMIN").await;
            let input = promoted(&world.a, id, "MEMBER");
            let answer = change(own, "organizationMemberUpdate", input, "__typename").await;
            answer.refused("FORBIDDEN", "-");
            let answer = change(own, "organizationMemberRemove", of(&world.a, id), "__typename");
            answer.await.refused("FORBIDDEN", "-");
            let denied = events(app, 1).await.remove(0);
            assert_eq!(denied["action"], "ACCESS_DENIED");
            assert!(members(own, &world.a).await.contains(&format!("{name} ADMIN")));
        }
        let id = &world.users["platform_viewer"];
        done(root, "organizationMemberRemove", of(&world.a, id), "deletedId").await;
        for (mutation, input) in [
            ("organizationMemberUpdate", promoted(&world.a, second, "ADMIN")),
            ("organizationMemberRemove", of(&world.a, second)),
        ] {
            for (name, code, field) in [
                ("member", "FORBIDDEN", "-"),
                ("team_admin", "FORBIDDEN", "-"),
                ("platform_viewer", "FORBIDDEN", "-"),
            ] {
                let answer = change(world.person(name), mutation, input.clone(), "__typename");
                answer.await.refused(code, field);
            }
        }
        let missing = of(&world.a, &world.users["outsider"]);
        let answer = change(own, "organizationMemberRemove", missing, "deletedId").await;
        answer.refused("NOT_FOUND", "input.user");
        let stale = json!({ "organizationId": world.a, "user": { "id": second }, "role": "ADMIN",
            "expectedVersion": 1 });
        let answer = change(own, "organizationMemberUpdate", stale, "__typename").await;
        answer.refused("CONFLICT", "-");
    })
    .await;
}

/// ADR 0020: an organization's admins do not leave it without one of them; the platform may.
#[tokio::test]
async fn the_last_admin_stays_unless_the_platform_says_otherwise() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, own) = (world.person("platform_admin"), world.person("organization_admin"));
        let me = &world.users["organization_admin"];
        let demotion = promoted(&world.a, me, "MEMBER");
        let answer = change(own, "organizationMemberUpdate", demotion.clone(), "__typename").await;
        answer.refused("CONFLICT", "-");
        let answer = change(own, "organizationMemberRemove", of(&world.a, me), "__typename").await;
        answer.refused("CONFLICT", "-");
        done(root, "organizationMemberUpdate", demotion.clone(), "__typename").await;
        assert!(members(root, &world.a).await.iter().all(|member| member.ends_with(" MEMBER")));
        let promotion = promoted(&world.a, me, "ADMIN");
        done(root, "organizationMemberUpdate", promotion, "__typename").await;
        let second = promoted(&world.a, &world.users["member"], "ADMIN");
        done(own, "organizationMemberUpdate", second, "__typename").await;
        done(own, "organizationMemberUpdate", demotion, "__typename").await;
        let answer = change(own, "organizationMemberRemove", of(&world.a, me), "__typename").await;
        answer.refused("FORBIDDEN", "-");
    })
    .await;
}

/// SECURITY case 20: two admins who unmake each other at once leave one.
#[tokio::test]
async fn two_admins_who_unmake_each_other_leave_one() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (one, other) = (world.person("organization_admin"), world.person("member"));
        let (first, second) = (&world.users["organization_admin"], &world.users["member"]);
        for round in 0..4 {
            for id in [first, second] {
                let input = promoted(&world.a, id, "ADMIN");
                done(&app.admin(), "organizationMemberUpdate", input, "__typename").await;
            }
            let mutation = if round % 2 == 0 {
                "organizationMemberUpdate"
            } else {
                "organizationMemberRemove"
            };
            let input = |id: &str| match round % 2 {
                0 => promoted(&world.a, id, "MEMBER"),
                _ => of(&world.a, id),
            };
            let (left, right) = tokio::join!(
                change(one, mutation, input(second), "__typename"),
                change(other, mutation, input(first), "__typename")
            );
            let mut codes = [left.code(), right.code()];
            codes.sort();
            assert_eq!(codes[0], "", "{:#} {:#}", left.body, right.body);
            assert!(
                ["CONFLICT", "FORBIDDEN", "NOT_FOUND"].contains(&codes[1].as_str()),
                "{codes:?}"
            );
            let admins = rows(app, "organization_memberships WHERE role = 'ADMIN'").await;
            assert_eq!(admins, 1);
            let known = members(&app.admin(), &world.a).await;
            for (name, id) in [("organization_admin", first), ("member", second)] {
                if !known.iter().any(|member| member.starts_with(&format!("{name} "))) {
                    join_organization(app, &world.a, id, "MEMBER").await;
                }
            }
        }
    })
    .await;
}

/// SECURITY case 23, ADR 0020, M-DEL-7: who is removed from an organization leaves its teams, with the
/// budgets and keys there; its personal keys stay, and the platform manages it.
#[tokio::test]
async fn a_removed_member_leaves_the_teams_too() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, own) = (world.person("platform_admin"), world.person("organization_admin"));
        let id = &world.users["member"];
        let budgets = json!([{ "create": { "maxSpend": "1" } }]);
        for team in [&world.a2, &world.b1] {
            let members = json!([{ "user": { "id": id }, "budgets": budgets }]);
            let input = json!({ "teamId": team, "members": members });
            done(root, "teamMemberAdd", input, "__typename").await;
        }
        let mut keys = Vec::new();
        for team in [&world.a1, &world.a2, &world.b1] {
            let input = json!({ "userId": id, "teamId": team, "name": "k", "budgets": budgets });
            let (_, secret) = api_key(root, input).await;
            keys.push(app.with_key(Some(&secret)));
        }
        let input = json!({ "organizationId": world.a, "user": { "email": "MEMBER@example.com" } });
        let selection = "deletedId deletedTeamMembershipCount deletedApiKeyCount";
        let gone = done(own, "organizationMemberRemove", input.clone(), selection).await;
        assert_eq!(gone["deletedTeamMembershipCount"], 2);
        assert_eq!(gone["deletedApiKeyCount"], 2);
        assert!(text(&gone, "/deletedId").starts_with("orgmember_"));
        let known = [is_known(&keys[0]).await, is_known(&keys[1]).await, is_known(&keys[2]).await];
        assert_eq!(known, [false, false, true]);
        let query = "{ viewer { user { organization { id } teamMemberships { nodes { team { name } } } } } }";
        let seen = read(world.person("member"), query).await;
        let expected = json!({ "organization": null,
            "teamMemberships": { "nodes": [{ "team": { "name": "B1" } }] } });
        assert_eq!(seen["user"], expected);
        assert_no_orphans(app).await;
        let expected = [
            "API_KEY_DELETED",
            "API_KEY_DELETED",
            "BUDGET_DELETED",
            "BUDGET_DELETED",
            "BUDGET_DELETED",
            "BUDGET_UNASSIGNED",
            "BUDGET_UNASSIGNED",
            "BUDGET_UNASSIGNED",
            "ORGANIZATION_MEMBER_REMOVED",
        ];
        let mut all = actions(app, 12).await;
        all.sort();
        assert_eq!(all[..9], expected);
        assert_eq!(all[9..], ["TEAM_MEMBER_REMOVED", "TEAM_MEMBER_REMOVED", "USER_UPDATED"]);
        // The organization's admin sees what happened in the organization, and the person no more.
        let query = "{ auditEvents(first: 12, filter: { actions: [USER_UPDATED] }) { totalCount } }";
        assert_eq!(read(own, query).await["totalCount"], 1);
        let hidden = format!("{{ user(id: \"{id}\") {{ id }} }}");
        assert_eq!(read(own, &hidden).await, Value::Null);
        let again = change(own, "organizationMemberRemove", input, "deletedId").await;
        again.refused("NOT_FOUND", "input.user");
    })
    .await;
}

/// C-T12: who is the last admin of a team with other members does not leave the organization before
/// somebody else is.
#[tokio::test]
async fn a_teams_last_admin_does_not_leave_the_organization() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let before = rows(app, "team_memberships").await + rows(app, "api_keys").await;
        let input = of(&world.a, &world.users["team_admin"]);
        let answer = change(own, "organizationMemberRemove", input.clone(), "deletedId").await;
        answer.refused("CONFLICT", "-");
        assert_eq!(answer.body["errors"][0]["extensions"]["ids"], json!([world.a1]));
        let after = rows(app, "team_memberships").await + rows(app, "api_keys").await;
        assert_eq!(after, before);
        let heir = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "role": "ADMIN" });
        done(own, "teamMemberUpdate", heir, "__typename").await;
        done(own, "organizationMemberRemove", input, "deletedId").await;
    })
    .await;
}

/// ADR 0019: an address that a user gave itself names no member.
#[tokio::test]
async fn an_address_that_is_not_confirmed_names_no_member() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let input = json!({ "id": world.users["member"], "email": "claimed@example.com" });
        done(world.person("member"), "userUpdate", input, "user { id }").await;
        for mutation in ["organizationMemberRemove", "organizationMemberUpdate"] {
            let mut input = json!({ "organizationId": world.a,
                "user": { "email": "claimed@example.com" } });
            if mutation == "organizationMemberUpdate" {
                input["role"] = json!("ADMIN");
            }
            let answer = change(own, mutation, input, "__typename").await;
            answer.refused("NOT_FOUND", "input.user");
        }
        let list = json!([{ "user": { "email": "claimed@example.com" } }]);
        let added = add(own, &world.a, list).await.data();
        let id = text(&added, "/organizationMemberAdd/memberships/0/user/id");
        assert_ne!(id, world.users["member"]);
    })
    .await;
}

/// SECURITY case 20: of many who add the same address at once, one does; the others are told.
#[tokio::test]
async fn an_address_is_added_once_however_many_add_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let list = json!([{ "user": { "email": "many@example.com" } }]);
        let calls: Vec<_> = (0..16)
            .map(|_| {
                let (client, organization, list) = (own.clone(), world.a.clone(), list.clone());
                tokio::spawn(async move { add(&client, &organization, list).await })
            })
            .collect();
        let mut made = 0;
        for call in calls {
            let answer = call.await.unwrap();
            match answer.code().as_str() {
                "" => made += 1,
                code => assert_eq!(code, "ALREADY_EXISTS", "{:#}", answer.body),
            }
        }
        assert_eq!(made, 1);
        assert_eq!(rows(app, "users WHERE email_key = 'many@example.com'").await, 1);
        assert_eq!(rows(app, "organization_memberships").await, 5);
    })
    .await;
}

/// SECURITY cases 20, 23: a removal that meets the deletion of the organization leaves nothing behind.
#[tokio::test]
async fn a_removal_meets_a_deletion_of_the_organization() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let remove = ("organizationMemberRemove", of(&world.a, &world.users["member"]));
        let delete = ("organizationDelete", json!({ "ids": [world.a] }));
        let (first, second) = meet(app, remove, delete).await;
        if app.kind == Kind::Postgres {
            first.data();
            second.data();
        }
        assert_no_orphans(app).await;
        assert_eq!(rows(app, "users WHERE organization_id IS NOT NULL").await, 0);
    })
    .await;
}
