//! People who belong to thousands of teams: every list answers them.

use entity::role::TeamRole;
use entity::team_membership;
use entity::value::{MemberPermissions, ModelAccess, Words};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use serde_json::json;

use crate::harness::world::{World, api_key, join_organization, organization, team};
use crate::harness::{Client, TestApp, noon, on_each_database};

const TEAMS: usize = 2_000;

/// Makes the user an admin of two thousand teams, half of them in an organization.
async fn found_teams(app: &TestApp, user: &str, organization: &str) {
    let database = app.database().await;
    let user_id = user.parse().unwrap();
    let mut teams = Vec::new();
    let mut members = Vec::new();
    for number in 0..TEAMS {
        let team = entity::team::Model {
            id: app.clock.id(),
            organization_id: (number % 2 == 0).then(|| organization.parse().unwrap()),
            external_id: None,
            name: format!("Team {number:04}"),
            search_text: format!("team {number:04}"),
            metadata: json!({}),
            tags: Words::default(),
            model_access: ModelAccess::default(),
            member_model_access: ModelAccess::default(),
            blocked_by: None,
            is_joinable: false,
            member_permissions: MemberPermissions::default(),
            router_settings: None,
            guardrails: Words::default(),
            version: 1,
            created_at: noon(),
            created_by: "test".to_owned(),
            updated_at: noon(),
            updated_by: "test".to_owned(),
        };
        let member = team_membership::Model {
            id: app.clock.id(),
            team_id: team.id,
            user_id,
            role: TeamRole::Admin,
            model_access: ModelAccess::default(),
            version: 1,
            created_at: noon(),
            created_by: "test".to_owned(),
            updated_at: noon(),
            updated_by: "test".to_owned(),
        };
        teams.push(team.into_active_model().reset_all());
        members.push(member.into_active_model().reset_all());
    }
    for chunk in teams.chunks(500) {
        let insert = entity::team::Entity::insert_many(chunk.to_vec());
        insert.exec_without_returning(&database).await.unwrap();
    }
    for chunk in members.chunks(500) {
        let insert = team_membership::Entity::insert_many(chunk.to_vec());
        insert.exec_without_returning(&database).await.unwrap();
    }
}

/// SECURITY 4: what a caller belongs to is looked up where rows are chosen, and is no list in the
/// statement, of which one per parent would be more than a statement takes.
#[tokio::test]
async fn an_admin_of_two_thousand_teams_can_use_every_list() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let user = &world.users["outsider"];
        found_teams(app, user, &world.a).await;
        let person = world.person("outsider");
        for query in [
            "{ teams(first: 100) { totalCount nodes { organization { name } modelAliases { alias } budgets { spent } } } }",
            "{ teams(first: 100) { nodes { members(first: 2) { totalCount nodes { user { name } } } } } }",
            "{ teams(first: 100) { nodes { apiKeys(first: 2) { totalCount nodes { name } } } } }",
            "{ teams(first: 50) { nodes { members(first: 1) { nodes { budgets { spent } user { metadata budgets { spent } apiKeys(first: 1) { totalCount nodes { id } } teamMemberships(first: 2) { totalCount nodes { id } } } } } } } }",
            "{ users(first: 100) { totalCount nodes { name email teamMemberships(first: 2) { totalCount nodes { id } } apiKeys(first: 2) { totalCount nodes { id } } } } }",
            "{ apiKeys(first: 100) { totalCount nodes { name user { name } team { name } budgets { spent } } } }",
            "{ budgets(first: 100) { totalCount nodes { name } } }",
            "{ auditEvents(first: 100) { totalCount nodes { action } } }",
            "{ joinableTeams(first: 100) { totalCount nodes { name } } }",
            "{ viewer { kind permissions user { name } } }",
        ] {
            let answer = person.run(query).await;
            assert!(answer.codes().is_empty(), "{query}: {:#}", answer.body);
        }
        let one = "{ teams(first: 1) { totalCount nodes { id members(first: 1) { totalCount } } } }";
        let data = person.data(one).await;
        assert_eq!(data["teams"]["totalCount"], TEAMS);
        assert_eq!(data["teams"]["nodes"][0]["members"]["totalCount"], 1);
        let update = "mutation($id: ID!) { teamUpdate(input: { id: $id, tags: [\"a\"] }) { team { tags } } }";
        let id = data["teams"]["nodes"][0]["id"].clone();
        person.run_with(update, json!({ "id": id })).await.data();
    })
    .await;
}

/// Many memberships reach as far as few: no team, user or organization more, and none less.
#[tokio::test]
async fn many_memberships_show_what_each_of_them_shows() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let user = &world.users["outsider"];
        found_teams(app, user, &world.a).await;
        for number in 0..51 {
            let id = organization(app, &format!("Organization {number}")).await;
            join_organization(app, &id, user, "ADMIN").await;
        }
        let last = organization(app, "Last").await;
        join_organization(app, &last, user, "ADMIN").await;
        team(&admin, "Run", &last, &[(&world.users["viewer"], "MEMBER")]).await;
        let open = "mutation($id: ID!) { teamUpdate(input: { id: $id, isJoinable: true }) { team { name } } }";
        for id in [&world.a2, &world.b1] {
            admin.run_with(open, json!({ "id": id })).await.data();
        }
        let person = world.person("outsider");
        let data = person
            .data("{ teams(first: 1) { totalCount nodes { name organization { name } } }
                     users { nodes { name } } joinableTeams { nodes { name } } budgets { totalCount }
                     apiKeys { nodes { name } } organizations { totalCount }
                     auditEvents(filter: { actions: [TEAM_CREATED, TEAM_MEMBER_ADDED] }) {
                     nodes { action } } }")
            .await;
        assert_eq!(
            data,
            json!({
                "teams": { "totalCount": TEAMS + 1,
                    "nodes": [{ "name": "Run", "organization": { "name": "Last" } }] },
                "users": { "nodes": [{ "name": "outsider" }, { "name": "viewer" }] },
                "joinableTeams": { "nodes": [{ "name": "A2" }] },
                "budgets": { "totalCount": 0 },
                "apiKeys": { "nodes": [{ "name": "outsider key" }] },
                "organizations": { "totalCount": 53 },
                "auditEvents": { "nodes": [
                    { "action": "TEAM_MEMBER_ADDED" }, { "action": "TEAM_CREATED" }] },
            })
        );
        let first = "{ teams(first: 1, filter: { search: \"team 0000\" }) { nodes { id organization { name } } } }";
        let data = person.data(first).await;
        assert_eq!(data["teams"]["nodes"][0]["organization"]["name"], "Alpha");
        let id = data["teams"]["nodes"][0]["id"].clone();
        let (_, secret) = api_key(&admin, json!({ "userId": user, "teamId": id })).await;
        let bound = app.with_key(Some(&secret));
        let data = bound.data("{ teams { totalCount } users { totalCount } }").await;
        assert_eq!(data, json!({ "teams": { "totalCount": 1 }, "users": { "totalCount": 1 } }));
        let hidden = format!(
            "{{ team(id: \"{}\") {{ name }} user(id: \"{}\") {{ name }} }}",
            world.a1, world.users["member"]
        );
        assert_eq!(person.data(&hidden).await, json!({ "team": null, "user": null }));
    })
    .await;
}

/// What the conditions let through is what the lists of ids did: a key that belongs to a team sees
/// that team alone, a member sees its teams, and who runs an organization sees all in it.
#[tokio::test]
async fn memberships_and_keys_reach_as_far_as_they_say() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let c = organization(app, "Gamma").await;
        let user = &world.users["team_admin"];
        join_organization(app, &c, user, "ADMIN").await;
        let c1 = team(&admin, "C1", &c, &[]).await;
        let person = world.person("team_admin");
        let (_, secret) = api_key(&admin, json!({ "userId": user, "teamId": world.a1 })).await;
        let bound = app.with_key(Some(&secret));
        let names = async |client: &Client, list: &str| {
            let data = client.data(&format!("{{ {list} {{ nodes {{ name }} }} }}")).await;
            let nodes = data[list].as_object().unwrap()["nodes"].as_array().unwrap().clone();
            nodes
                .iter()
                .map(|node| node["name"].as_str().unwrap_or("-").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(person, "teams").await, ["A1", "C1"]);
        assert_eq!(names(&bound, "teams").await, ["A1"]);
        assert_eq!(names(world.person("member"), "teams").await, ["A1"]);
        assert_eq!(names(world.person("outsider"), "teams").await, Vec::<String>::new());
        assert_eq!(names(world.person("organization_admin"), "teams").await, ["A1", "A2"]);
        assert_eq!(names(world.person("service"), "teams").await, ["A1"]);
        assert_eq!(names(person, "users").await, ["member", "team_admin", "viewer"]);
        let query =
            format!("{{ team(id: \"{c1}\") {{ name }} node(id: \"{}\") {{ id }} }}", world.b1);
        let data = person.data(&query).await;
        assert_eq!(data, json!({ "team": { "name": "C1" }, "node": null }));
        assert_eq!(bound.data(&query).await, json!({ "team": null, "node": null }));
    })
    .await;
}
