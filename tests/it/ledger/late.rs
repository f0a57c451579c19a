//! Usage that comes after its key is gone: recorded, and charged where the key stood.

use serde_json::{Value, json};

use super::{codes, event, record, spend};
use crate::harness::client::text;
use crate::harness::world::{World, api_key};
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::{done, project, read};

/// A key of a member with a project, and budgets on everything above it.
struct Scene {
    world: World,
    project: String,
    membership: String,
    tags: Vec<String>,
    admin: Client,
}

impl Scene {
    async fn new(app: &TestApp) -> Self {
        let world = World::new(app).await;
        let admin = app.admin();
        let limits = json!([{ "create": { "maxSpend": "100", "period": "1mo" } }]);
        let mut tags = Vec::new();
        for name in ["of key", "of project", "of team"] {
            let input = json!({ "name": name, "organizationId": world.a, "budgets": limits });
            let tag = done(&admin, "tagCreate", input, "tag { id }").await;
            tags.push(text(&tag, "/tag/id"));
        }
        let input = json!({ "name": "P", "budgets": limits, "tags": ["of project"] });
        let project = project(&admin, &world.a1, input).await;
        let input = json!({ "id": world.a1, "budgets": limits, "tags": ["of team"] });
        done(&admin, "teamUpdate", input, "__typename").await;
        let input = json!({ "id": world.a, "budgets": limits });
        done(&admin, "organizationUpdate", input, "__typename").await;
        let member = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "budgets": limits });
        let member = done(&admin, "teamMemberUpdate", member, "membership { id }").await;
        let membership = text(&member, "/membership/id");
        Self { world, project, membership, tags, admin }
    }

    /// Makes a key in the project, which was let through a moment ago.
    async fn checked_key(&self) -> String {
        let input = json!({ "userId": self.world.users["member"], "teamId": self.world.a1,
            "name": "k", "projectId": self.project, "tags": ["of key"],
            "budgets": [{ "create": { "maxSpend": "100" } }] });
        let (key, _) = api_key(&self.admin, input).await;
        let call = json!({ "keyId": key, "model": "gpt-4o" });
        let answer = self.world.person("gateway").check(call).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        key
    }

    /// Reports a call of a key that costs a dollar.
    async fn report(&self, key: &str) {
        let verdicts = record(self.world.person("gateway"), json!([event(key, key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"], "{verdicts:?}");
    }

    /// What was spent in a scope in all, and what its budget counted.
    async fn spent(&self, field: &str, id: &str) -> (String, String) {
        let found = match field {
            "membership" => {
                let fields = "spend { lifetime } budgets { spent }";
                let node =
                    format!("{{ node(id: \"{id}\") {{ ... on TeamMembership {{ {fields} }} }} }}");
                read(&self.admin, &node).await
            }
            field => spend(&self.admin, field, id).await,
        };
        (text(&found, "/spend/lifetime"), text(&found, "/budgets/0/spent"))
    }

    /// The same must have been spent, and counted by the budget, in several scopes.
    async fn all_spent(&self, scopes: &[(&str, &str)], dollars: &str) {
        for (field, id) in scopes {
            let expected = (dollars.to_owned(), dollars.to_owned());
            assert_eq!(self.spent(field, id).await, expected, "{field} {id}");
        }
    }

    fn tags(&self) -> [(&'static str, &str); 3] {
        [("tag", &self.tags[0]), ("tag", &self.tags[1]), ("tag", &self.tags[2])]
    }

    async fn delete(&self, field: &str, id: &str) {
        done(&self.admin, field, json!({ "ids": [id] }), "deletedIds").await;
    }

    async fn user_lifetime(&self) -> Value {
        spend(&self.admin, "user", &self.world.users["member"]).await["spend"]["lifetime"].clone()
    }
}

/// DESIGN 5, E 28: a key that is deleted between its call and the first report of it is charged in every
/// scope that it stood in, with the labels of the key, its project and its team; also when its project,
/// its membership and its team go after it.
#[tokio::test]
async fn a_call_is_charged_where_its_deleted_key_stood() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let world = &scene.world;
        let (organization, team) = (world.a.as_str(), world.a1.as_str());
        let (project, membership) = (scene.project.as_str(), scene.membership.as_str());
        let mut keys = Vec::new();
        for _ in 0..5 {
            keys.push(scene.checked_key().await);
        }
        scene.delete("apiKeyDelete", &keys[0]).await;
        scene.report(&keys[0]).await;
        let [of_key, of_project, of_team] = scene.tags();
        let above = [("organization", organization), ("team", team), of_key, of_project, of_team];
        let own = [("project", project), ("membership", membership)];
        scene.all_spent(&above, "1").await;
        scene.all_spent(&own, "1").await;
        assert_eq!(scene.user_lifetime().await, "1");
        // With other labels of its own, and in the windows of its time.
        let mut call = event("again", &keys[0], "1");
        call["occurredAt"] = json!("2026-10-31T23:59:59Z");
        let verdicts = record(world.person("gateway"), json!([call])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        assert_eq!(scene.spent("team", team).await, ("2".to_owned(), "1".to_owned()));

        // The project has to lose its keys before it can go.
        for key in &keys[1..] {
            scene.delete("apiKeyDelete", key).await;
        }
        scene.delete("projectDelete", project).await;
        scene.report(&keys[1]).await;
        for (field, id) in above {
            assert_eq!(scene.spent(field, id).await, ("3".to_owned(), "2".to_owned()), "{field}");
        }
        let expected = ("3".to_owned(), "2".to_owned());
        assert_eq!(scene.spent("membership", membership).await, expected);

        let member = json!({ "teamId": team, "user": { "id": world.users["member"] } });
        done(&scene.admin, "teamMemberRemove", member, "deletedId").await;
        scene.report(&keys[2]).await;
        assert_eq!(scene.spent("team", team).await, ("4".to_owned(), "3".to_owned()));
        assert_eq!(scene.user_lifetime().await, "4");

        // Who comes back is another member, and has not made the calls of the one that left.
        app.clock.set("2026-11-21T12:30:00Z".parse().unwrap());
        let members = json!([{ "user": { "id": world.users["member"] } }]);
        let input = json!({ "teamId": team, "members": members });
        done(&scene.admin, "teamMemberAdd", input, "team { id }").await;
        scene.report(&keys[3]).await;
        assert_eq!(scene.spent("team", team).await, ("5".to_owned(), "4".to_owned()));
        let query = format!(
            "{{ team(id: \"{team}\") {{ members(first: 100) {{ nodes {{ user {{ id }}
            spend {{ lifetime }} }} }} }} }}"
        );
        let members = read(&scene.admin, &query).await["members"]["nodes"].clone();
        assert!(
            members.as_array().unwrap().iter().all(|member| member["spend"]["lifetime"] == "0"),
            "{members}"
        );

        scene.delete("teamDelete", team).await;
        scene.report(&keys[4]).await;
        let expected = ("6".to_owned(), "5".to_owned());
        assert_eq!(scene.spent("organization", organization).await, expected);
        for (field, id) in scene.tags() {
            assert_eq!(scene.spent(field, id).await, expected, "{field}");
        }
        let query = "{ usageEvents(first: 1) { nodes { apiKeyId organizationId teamId projectId
            userId tags } } }";
        let last = read(&scene.admin, query).await["nodes"][0].clone();
        let labels = ["of key", "of project", "of team"];
        assert_eq!(
            last,
            json!({ "apiKeyId": keys[4], "organizationId": organization, "teamId": team,
                "projectId": project, "userId": world.users["member"], "tags": labels })
        );
    })
    .await;
}

/// The same for keys that go with what they hang on: a member, a user, a team, an organization.
#[tokio::test]
async fn a_call_is_charged_when_its_key_goes_with_what_it_hung_on() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let world = &scene.world;
        let (organization, team) = (world.a.as_str(), world.a1.as_str());
        let user = world.users["member"].as_str();
        let [of_key, of_project, of_team] = scene.tags();
        let above = [("organization", organization), of_key, of_project, of_team];

        let key = scene.checked_key().await;
        let member = json!({ "teamId": team, "user": { "id": user } });
        done(&scene.admin, "teamMemberRemove", member, "deletedId").await;
        scene.report(&key).await;
        scene.all_spent(&above, "1").await;
        scene.all_spent(&[("team", team), ("project", &scene.project)], "1").await;
        assert_eq!(scene.user_lifetime().await, "1");

        // A key of a person alone.
        let (own, _) = api_key(&scene.admin, json!({ "userId": user, "name": "own" })).await;
        scene.delete("apiKeyDelete", &own).await;
        scene.report(&own).await;
        assert_eq!(scene.user_lifetime().await, "2");
        scene.all_spent(&above, "1").await;

        let members = json!([{ "user": { "id": user } }]);
        let input = json!({ "teamId": team, "members": members });
        done(&scene.admin, "teamMemberAdd", input, "team { id }").await;
        let (key, other) = (scene.checked_key().await, scene.checked_key().await);
        scene.delete("userDelete", user).await;
        scene.report(&key).await;
        scene.all_spent(&above, "2").await;
        scene.all_spent(&[("team", team), ("project", &scene.project)], "2").await;

        let input = json!({ "kind": "SERVICE", "teamId": team, "name": "s",
            "projectId": scene.project, "tags": ["of key"] });
        let (service, _) = api_key(&scene.admin, input).await;
        scene.delete("teamDelete", team).await;
        scene.report(&service).await;
        scene.report(&other).await;
        scene.all_spent(&above, "4").await;

        let input = json!({ "kind": "SERVICE", "teamId": world.a2, "name": "s" });
        let (last, _) = api_key(&scene.admin, input).await;
        scene.delete("organizationDelete", organization).await;
        scene.report(&last).await;
        let query = format!(
            "{{ usage(from: \"2026-11-21\", to: \"2026-11-21\",
            filter: {{ organizationIds: [\"{organization}\"] }}) {{ totals {{ spend requests }} }} }}"
        );
        let report = read(&scene.admin, &query).await;
        assert_eq!(report["totals"], json!({ "spend": "5", "requests": "5" }));
    })
    .await;
}

/// What is held for a call of a key that is gone is let go of by its report, and counted where it was
/// held; an id that never was one of a key is not known.
#[tokio::test]
async fn a_call_that_is_held_outlives_its_key() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        let (team, gateway) = (scene.world.a1.as_str(), scene.world.person("gateway"));
        let key = scene.checked_key().await;
        let call = json!({ "keyId": key, "model": "gpt-4o", "mode": "reserve", "requestId": key,
            "estimate": { "costUsd": "3" } });
        assert_eq!(gateway.check(call).await.status, 200);
        scene.delete("apiKeyDelete", &key).await;
        assert_eq!(spend(&scene.admin, "team", team).await["budgets"][0]["reserved"], "3");
        scene.report(&key).await;
        let found = spend(&scene.admin, "team", team).await["budgets"][0].clone();
        assert_eq!((&found["spent"], &found["reserved"]), (&json!("1"), &json!("0")));
        let never = format!("key_{}", "0".repeat(32));
        for id in [never.as_str(), &team.replace("team_", "key_"), team] {
            let verdicts = record(gateway, json!([event("never", id, "1")])).await;
            assert_eq!(codes(&verdicts), ["NOT_FOUND"], "{id}");
        }
    })
    .await;
}
