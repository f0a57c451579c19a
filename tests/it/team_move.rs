//! Moving teams between organizations: who may, what goes along, and what is in the way.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, join_organization, organization, user};
use crate::harness::{Answer, Client, Kind, TestApp, on_each_database};
use crate::locks::meet;
use crate::steps::{assert_no_orphans, change, done, is_known, project, read, rows};
use crate::team_calls::{create, events, nobody};

fn capped(max_spend: &str) -> Value {
    json!([{ "create": { "maxSpend": max_spend } }])
}

async fn relocate(client: &Client, team: &str, organization: Value) -> Answer {
    let input = json!({ "id": team, "organizationId": organization });
    change(client, "teamMove", input, "team { organization { id } version }").await
}

async fn limit(app: &TestApp, organization: &str, with: Value) {
    let mut input = json!({ "id": organization });
    input.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    done(&app.admin(), "organizationUpdate", input, "__typename").await;
}

fn ids(answer: &Answer) -> Vec<String> {
    let ids = answer.body["errors"][0]["extensions"]["ids"].as_array().cloned().unwrap_or_default();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Somebody who belongs to both organizations, and a team in A with it, its key and budgets.
struct Crew {
    team: String,
    person: String,
    member: String,
    key: String,
    client: Client,
}

impl Crew {
    async fn new(app: &TestApp, (a, b): (&String, &String), name: &str, cap: &str) -> Self {
        let admin = app.admin();
        let person = user(&admin, name, "USER").await;
        for organization in [a, b] {
            join_organization(app, organization, &person, "MEMBER").await;
        }
        let access = json!({ "mode": "LIST", "models": ["gpt-4o", "o3"] });
        let member = json!({ "user": { "id": person }, "role": "ADMIN", "budgets": capped(cap),
            "modelAccess": access });
        let input = json!({ "name": name, "externalId": name, "organizationId": a,
            "budgets": capped(cap), "modelAccess": access, "members": [member] });
        let team = create(&admin, input).await;
        let input = json!({ "userId": person, "teamId": team, "name": "k", "budgets": capped(cap),
            "modelAccess": access });
        let (key, secret) = api_key(&admin, input).await;
        let query = format!("{{ team(id: \"{team}\") {{ members {{ nodes {{ id }} }} }} }}");
        let member = text(&read(&admin, &query).await, "/members/nodes/0/id");
        Self { team, person, member, key, client: app.with_key(Some(&secret)) }
    }
}

/// T-UPD-12, C-T16, SECURITY 3, "team move", D3: the platform's admins move teams; the new organization
/// must be said; to go where one is changes nothing.
#[tokio::test]
async fn the_platforms_admins_alone_move_teams() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        for name in ["organization_admin", "team_admin", "platform_viewer", "outsider"] {
            let answer = relocate(world.person(name), &world.a2, json!(world.b)).await;
            answer.refused("FORBIDDEN", "-");
        }
        relocate(root, &world.a2, json!(nobody("org")))
            .await
            .refused("NOT_FOUND", "input.organizationId");
        relocate(root, &nobody("team"), json!(world.b)).await.refused("NOT_FOUND", "input.id");
        let unsaid = json!({ "id": world.a2 });
        let answer = change(root, "teamMove", unsaid, "__typename").await;
        answer.refused("BAD_USER_INPUT", "input.organizationId");
        let stale = json!({ "id": world.a2, "organizationId": world.b, "expectedVersion": 7 });
        change(root, "teamMove", stale, "__typename").await.refused("CONFLICT", "-");
        let same = relocate(root, &world.a2, json!("alpha")).await.data();
        assert_eq!(same["teamMove"]["team"]["version"], 1);
        let moved = relocate(root, &world.a2, json!(world.b)).await.data();
        let there = json!({ "organization": { "id": world.b }, "version": 2 });
        assert_eq!(moved["teamMove"]["team"], there);
        let moved = relocate(root, &world.a2, Value::Null).await.data();
        assert_eq!(moved["teamMove"]["team"]["organization"], Value::Null);
    })
    .await;
}

/// T-UPD-12, SECURITY case 2, 18: with a team go its members, keys and own budgets; who runs what it
/// left does not see it any more, who runs the new organization does, and both see the event.
#[tokio::test]
async fn a_team_takes_its_members_keys_and_budgets_along() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        join_organization(app, &world.b, &world.users["other_team_admin"], "ADMIN").await;
        let (old, new) = (world.person("organization_admin"), world.person("other_team_admin"));
        let crew = Crew::new(app, (&world.a, &world.b), "crew", "5").await;
        relocate(root, &crew.team, json!(world.b)).await.data();
        let query = format!(
            "{{ team(id: \"{}\") {{ externalId organization {{ name }}
                budgets {{ budget {{ version organization {{ name }} }} }}
                members {{ nodes {{ user {{ id }} budgets {{ budget {{ organization {{ name }} }} }} }} }}
                apiKeys {{ nodes {{ id budgets {{ budget {{ organization {{ name }} }} }} }} }} }} }}",
            crew.team
        );
        let beta = json!({ "name": "Beta" });
        let owned = json!([{ "budget": { "organization": beta } }]);
        let expected = json!({
            "externalId": "crew", "organization": beta,
            "budgets": [{ "budget": { "version": 2, "organization": beta } }],
            "members": { "nodes": [{ "user": { "id": crew.person }, "budgets": owned }] },
            "apiKeys": { "nodes": [{ "id": crew.key, "budgets": owned }] },
        });
        assert_eq!(read(new, &query).await, expected);
        assert_eq!(read(old, &query).await, Value::Null);
        let rename = json!({ "id": crew.team, "name": "N" });
        let answer = change(old, "teamUpdate", rename.clone(), "__typename").await;
        answer.refused("NOT_FOUND", "input.id");
        done(new, "teamUpdate", rename, "__typename").await;
        assert!(is_known(&crew.client).await);
        assert_no_orphans(app).await;
        for person in [old, new] {
            let query = "{ auditEvents(filter: { actions: [TEAM_MOVED] }) { nodes { subjectId before after } } }";
            let nodes = read(person, query).await["nodes"].as_array().unwrap().clone();
            assert_eq!(nodes.len(), 1);
            assert_eq!(nodes[0]["subjectId"], *crew.team);
            assert_eq!(nodes[0]["before"]["organization_id"], *world.a);
            assert_eq!(nodes[0]["after"]["organization_id"], *world.b);
        }
        let moved = events(app, 10).await;
        let moved = moved.iter().filter(|event| event["action"] == "TEAM_MOVED").count();
        assert_eq!(moved, 2);
    })
    .await;
}

/// T-UPD-12: members who do not belong to the new organization are named; the platform itself asks
/// for nothing.
#[tokio::test]
async fn members_belong_to_the_new_organization_or_are_named() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let answer = relocate(root, &world.a1, json!(world.b)).await;
        answer.refused("CONFLICT", "-");
        let mut expected: Vec<_> =
            ["member", "team_admin", "viewer"].map(|name| world.users[name].clone()).to_vec();
        expected.sort();
        assert_eq!(ids(&answer), expected);
        for name in ["member", "team_admin"] {
            join_organization(app, &world.b, &world.users[name], "MEMBER").await;
        }
        let answer = relocate(root, &world.a1, json!(world.b)).await;
        assert_eq!(ids(&answer), vec![world.users["viewer"].clone()]);
        let query = format!("{{ team(id: \"{}\") {{ version organization {{ id }} }} }}", world.a1);
        let expected = json!({ "version": 1, "organization": { "id": world.a } });
        assert_eq!(read(root, &query).await, expected);
        join_organization(app, &world.b, &world.users["viewer"], "MEMBER").await;
        relocate(root, &world.a1, json!(world.b)).await.data();
        relocate(root, &world.a1, Value::Null).await.data();
    })
    .await;
}

/// T-UPD-12, C-T16, DESIGN 3: the limits of the new organization hold for the team and all below it: what
/// exceeds them is named, or lowered.
#[tokio::test]
async fn limits_of_the_new_organization_hold_for_all_that_comes() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let crew = Crew::new(app, (&world.a, &world.b), "crew", "8").await;
        let mut all = vec![crew.team.clone(), crew.member.clone(), crew.key.clone()];
        all.sort();
        for with in [
            json!({ "budgets": capped("5") }),
            json!({ "budgets": null, "modelAccess": { "mode": "LIST", "models": ["gpt-*"] } }),
        ] {
            limit(app, &world.b, with).await;
            let before = rows(app, "audit_events").await;
            let answer = relocate(root, &crew.team, json!(world.b)).await;
            answer.refused("CONFLICT", "-");
            assert_eq!(ids(&answer), all);
            assert_eq!(rows(app, "audit_events").await, before);
        }
        limit(app, &world.b, json!({ "budgets": capped("5") })).await;
        let input = json!({ "id": crew.team, "organizationId": world.b, "cascade": "CLAMP" });
        let selection = "modelAccess { models } budgets { budget { maxSpend } }";
        let selection = format!(
            "team {{ {selection} organization {{ id }} members {{ nodes {{ {selection} }} }}
                apiKeys {{ nodes {{ {selection} }} }} }}"
        );
        let moved = done(root, "teamMove", input, &selection).await["team"].clone();
        assert_eq!(moved["organization"]["id"], world.b);
        for at in ["", "/members/nodes/0", "/apiKeys/nodes/0"] {
            let lowered = moved.pointer(at).unwrap();
            assert_eq!(lowered["modelAccess"]["models"], json!(["gpt-4o"]), "{at}");
            assert_eq!(lowered["budgets"], json!([{ "budget": { "maxSpend": "5" } }]), "{at}");
        }
        // What fits moves as it is; a limit that the new organization lacks is none.
        limit(app, &world.b, json!({ "budgets": capped("5"), "modelAccess": null })).await;
        relocate(root, &crew.team, json!(world.a)).await.data();
        relocate(root, &crew.team, json!(world.b)).await.data();
    })
    .await;
}

/// SECURITY case 6, REFERENCE M-UPD-8: budgets of what a team leaves do not go with it, nor do those
/// that others use; tiers of the platform stay in force.
#[tokio::test]
async fn budgets_that_are_not_the_teams_own_are_in_the_way() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let crew = Crew::new(app, (&world.a, &world.b), "crew", "5").await;
        let tier = async |organization: Value| {
            let input = json!({ "name": "Tier", "organizationId": organization,
                "limits": { "maxSpend": "5" } });
            text(&done(root, "budgetCreate", input, "budget { id }").await, "/budget/id")
        };
        let (theirs, common) = (tier(json!(world.a)).await, tier(Value::Null).await);
        let attach = |id: &str| json!({ "attach": { "budgetId": id } });
        let member = |budgets: Value| {
            json!({ "teamId": crew.team, "user": { "id": crew.person }, "budgets": budgets })
        };
        let budgets = json!([attach(&theirs), attach(&common)]);
        done(root, "teamMemberUpdate", member(budgets), "__typename").await;
        let answer = relocate(root, &crew.team, json!(world.b)).await;
        answer.refused("CONFLICT", "-");
        assert_eq!(ids(&answer), vec![theirs.clone()]);
        let budgets = json!([attach(&common)]);
        done(root, "teamMemberUpdate", member(budgets), "__typename").await;
        let query = format!("{{ team(id: \"{}\") {{ budgets {{ budget {{ id }} }} }} }}", crew.team);
        let own = text(&read(root, &query).await, "/budgets/0/budget/id");
        let shared = json!({ "id": world.a2, "budgets": [attach(&own)] });
        done(root, "teamUpdate", shared, "__typename").await;
        let answer = relocate(root, &crew.team, Value::Null).await;
        answer.refused("CONFLICT", "-");
        assert_eq!(ids(&answer), [own]);
        let alone = json!({ "id": world.a2, "budgets": null });
        done(root, "teamUpdate", alone, "__typename").await;
        relocate(root, &crew.team, json!(world.b)).await.data();
        let query = format!(
            "{{ team(id: \"{}\") {{ members {{ nodes {{ budgets {{ budget {{ id }} }} }} }} }} }}",
            crew.team
        );
        let held = &read(root, &query).await["members"]["nodes"][0]["budgets"];
        assert_eq!(*held, json!([{ "budget": { "id": common } }]));
        assert_no_orphans(app).await;
    })
    .await;
}

/// SECURITY case 19, T-UPD-12: an external id that is taken in the new organization is in the way.
#[tokio::test]
async fn a_taken_external_id_is_in_the_way() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        for id in [&world.a2, &world.b1] {
            let input = json!({ "id": id, "externalId": "same" });
            done(root, "teamUpdate", input, "__typename").await;
        }
        let answer = relocate(root, &world.a2, json!(world.b)).await;
        answer.refused("ALREADY_EXISTS", "input.organizationId");
        relocate(root, &world.a2, Value::Null).await.data();
        relocate(root, &world.a2, json!(world.a)).await.data();
    })
    .await;
}

/// SECURITY case 20, C-T3: a move meets a change of the team, of the new organization, of its members, and
/// its deletion: whichever is first, the second sees what the first wrote.
#[tokio::test]
async fn a_move_meets_changes_of_what_it_depends_on() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        for number in 0..8 {
            let name = format!("crew-{number}");
            limit(app, &world.b, json!({ "budgets": capped("50") })).await;
            let crew = Crew::new(app, (&world.a, &world.b), &name, "1").await;
            let grown = |cap: &str| json!({ "id": crew.team, "budgets": capped(cap) });
            done(&app.admin(), "teamUpdate", grown("40"), "__typename").await;
            let input = json!({ "id": crew.team, "organizationId": world.b });
            let going = ("teamMove", input);
            let (other, refused) = match number / 2 {
                // 60 is more than the new organization allows, and less than the old one does.
                0 => (("teamUpdate", grown("60")), ["CONFLICT", "LIMIT_EXCEEDED"]),
                1 => {
                    let input = json!({ "id": world.b, "budgets": capped("30") });
                    (("organizationUpdate", input), ["CONFLICT", "CONFLICT"])
                }
                2 => {
                    let input = json!({ "organizationId": world.b, "user": { "id": crew.person } });
                    (("organizationMemberRemove", input), ["CONFLICT", ""])
                }
                _ => (("teamDelete", json!({ "ids": [crew.team] })), ["NOT_FOUND", ""]),
            };
            let is_first = number % 2 == 1;
            let (moved, met) = if is_first {
                meet(app, going, other).await
            } else {
                let (met, moved) = meet(app, other, going).await;
                (moved, met)
            };
            let codes = (moved.code(), met.code());
            let expected = if is_first {
                (String::new(), refused[1].to_owned())
            } else {
                (refused[0].to_owned(), String::new())
            };
            let either =
                [(String::new(), refused[1].to_owned()), (refused[0].to_owned(), String::new())];
            let label = format!("{number}: {codes:?} {:#} {:#}", moved.body, met.body);
            match app.kind {
                Kind::Postgres => assert_eq!(codes, expected, "{label}"),
                Kind::Sqlite => assert!(either.contains(&codes), "{label}"),
            }
            let exceeds = "budgets b JOIN teams t ON b.owner_id = t.id \
                           WHERE b.organization_id <> t.organization_id";
            assert_eq!(rows(app, exceeds).await, 0);
            // Nothing of this round is left in the way of the next.
            change(&app.admin(), "teamDelete", json!({ "ids": [crew.team] }), "__typename").await;
        }
    })
    .await;
}

/// SECURITY cases 20, 23: a move into or out of an organization meets its deletion: the team is gone, or
/// elsewhere, and never without what is above it.
#[tokio::test]
async fn a_move_meets_a_deletion_of_either_organization() {
    on_each_database(async |app| {
        for number in 0..4 {
            let a = organization(app, &format!("From {number}")).await;
            let b = organization(app, &format!("To {number}")).await;
            let crew = Crew::new(app, (&a, &b), &format!("crew-{number}"), "1").await;
            let doomed = if number < 2 { &a } else { &b };
            let going = ("teamMove", json!({ "id": crew.team, "organizationId": b }));
            let delete = ("organizationDelete", json!({ "ids": [doomed] }));
            let (moved, gone) = if number % 2 == 0 {
                meet(app, going, delete).await
            } else {
                let (gone, moved) = meet(app, delete, going).await;
                (moved, gone)
            };
            gone.data();
            assert!(["", "NOT_FOUND"].contains(&moved.code().as_str()), "{:#}", moved.body);
            let query = format!("{{ team(id: \"{}\") {{ organization {{ id }} }} }}", crew.team);
            let left = read(&app.admin(), &query).await;
            if moved.code().is_empty() && number < 2 {
                assert_eq!(left["organization"]["id"], *b);
            } else if number < 2 {
                assert_eq!(left, Value::Null);
            } else if !left.is_null() {
                assert_eq!(left["organization"]["id"], *a);
            }
            assert_no_orphans(app).await;
        }
    })
    .await;
}

/// D30, D23: the projects and the end users of a team go with it, and so do their budgets; whoever
/// runs the new organization looks after them from then on.
#[tokio::test]
async fn projects_and_end_users_follow_their_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, own) = (app.admin(), world.person("organization_admin"));
        let crew = Crew::new(app, (&world.b, &world.a), "crew", "9").await;
        let input = json!({ "name": "P", "externalId": "p", "budgets": capped("3") });
        let project = project(&admin, &crew.team, input).await;
        let input = json!({ "externalId": "u", "teamId": crew.team, "budgets": capped("4") });
        let made = done(&admin, "endUserCreate", input, "endUser { id }").await;
        let end_user = text(&made, "/endUser/id");
        let rename = json!({ "id": project, "name": "Renamed" });
        let answer = change(own, "projectUpdate", rename.clone(), "project { id }").await;
        answer.refused("NOT_FOUND", "input.id");
        relocate(&admin, &crew.team, json!(world.a)).await.data();
        done(own, "projectUpdate", rename, "project { id }").await;
        done(own, "endUserBlock", json!({ "id": end_user }), "endUser { id }").await;
        let query = "query($o: [ID!]) { budgets(filter: { organizationIds: $o }) { totalCount } }";
        for (organization, count) in [(&world.a, 5), (&world.b, 0)] {
            let found = admin.run_with(query, json!({ "o": [organization] })).await.data();
            assert_eq!(found["budgets"]["totalCount"], count);
        }
        // The external id of a project is taken once in an organization.
        let other = project_in(&admin, &world.b1).await;
        let input = json!({ "id": other, "externalId": "p" });
        done(&admin, "projectUpdate", input, "project { id }").await;
        let answer = relocate(&admin, &crew.team, json!(world.b)).await;
        answer.refused("ALREADY_EXISTS", "input.organizationId");
        assert_no_orphans(app).await;
    })
    .await;
}

async fn project_in(admin: &Client, team: &str) -> String {
    project(admin, team, json!({ "name": "Q" })).await
}
