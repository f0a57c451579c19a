//! Lists of models that become narrower above, and what that does below.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::{World, api_key, organization};
use crate::harness::{Client, TestApp};
use crate::steps::{change, done, project, read};

fn list(models: &[&str]) -> Value {
    json!({ "mode": "LIST", "models": models })
}

fn none() -> Value {
    json!({ "mode": "NONE", "models": [] })
}

async fn models(admin: &Client, field: &str, id: &str) -> Value {
    let query = format!("{{ {field}(id: \"{id}\") {{ modelAccess {{ mode models }} }} }}");
    read(admin, &query).await["modelAccess"].clone()
}

/// What a team has that may call `gpt-*`, with something of each kind below it that lists `gpt-4o`.
struct Below {
    project: String,
    membership: String,
    key: String,
}

async fn below(app: &TestApp, world: &World) -> Below {
    let admin = app.admin();
    let input = json!({ "id": world.a1, "modelAccess": list(&["gpt-*"]) });
    done(&admin, "teamUpdate", input, "team { id }").await;
    let input = json!({ "name": "P", "modelAccess": list(&["gpt-4o"]) });
    let project = project(&admin, &world.a1, input).await;
    let user = &world.users["member"];
    let input =
        json!({ "teamId": world.a1, "user": { "id": user }, "modelAccess": list(&["gpt-4*"]) });
    let member = done(&admin, "teamMemberUpdate", input, "membership { id }").await;
    let input = json!({ "userId": user, "projectId": project, "modelAccess": list(&["gpt-4o"]) });
    let (key, _) = api_key(&admin, input).await;
    Below { project, membership: text(&member, "/membership/id"), key }
}

impl Below {
    async fn lists(&self, admin: &Client) -> Vec<Value> {
        let query = format!(
            "{{ node(id: \"{}\") {{ ... on TeamMembership {{ modelAccess {{ mode models }} }} }} }}",
            self.membership
        );
        let member = read(admin, &query).await["modelAccess"].clone();
        vec![
            models(admin, "project", &self.project).await,
            member,
            models(admin, "apiKey", &self.key).await,
        ]
    }
}

/// C-T16, C-A12: a name that the organization still allows is taken off below a team whose pattern is
/// not: what lies below lies within the team as it is then.
#[tokio::test]
async fn what_is_below_a_narrowed_team_lies_within_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let below = below(app, &world).await;
        let narrow = |cascade: &str| {
            json!({ "id": world.a, "modelAccess": list(&["gpt-4o"]), "cascade": cascade })
        };
        let refused = change(&admin, "organizationUpdate", narrow("REFUSE"), "organization { id }").await;
        assert_eq!(refused.code(), "CONFLICT");
        done(&admin, "organizationUpdate", narrow("CLAMP"), "organization { id }").await;
        assert_eq!(models(&admin, "team", &world.a1).await, none());
        assert_eq!(below.lists(&admin).await, vec![none(); 3]);
    })
    .await;
}

/// C-T16: the same when a team comes into an organization.
#[tokio::test]
async fn what_is_below_a_team_that_was_narrowed_on_the_way_lies_within_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let below = below(app, &world).await;
        let other = organization(app, "Other").await;
        for user in ["team_admin", "member", "viewer"] {
            crate::harness::world::join_organization(app, &other, &world.users[user], "MEMBER")
                .await;
        }
        let input = json!({ "id": other, "modelAccess": list(&["gpt-4o"]) });
        done(&admin, "organizationUpdate", input, "organization { id }").await;
        let input = json!({ "id": world.a1, "organizationId": other, "cascade": "CLAMP" });
        done(&admin, "teamMove", input, "team { id }").await;
        assert_eq!(models(&admin, "team", &world.a1).await, none());
        assert_eq!(below.lists(&admin).await, vec![none(); 3]);
    })
    .await;
}

/// C-T14: a team whose organization was narrowed since takes new members still.
#[tokio::test]
async fn new_members_start_with_what_is_allowed_above_the_team_too() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let defaults = json!({ "modelAccess": list(&["gpt-4o", "o3"]) });
        let input = json!({ "id": world.a2, "memberDefaults": defaults });
        done(&admin, "teamUpdate", input, "team { id }").await;
        let input = json!({ "id": world.a, "modelAccess": list(&["o3"]) });
        done(&admin, "organizationUpdate", input, "organization { id }").await;
        let input =
            json!({ "teamId": world.a2, "members": [{ "user": { "id": world.users["member"] } }] });
        let selection = "memberships { modelAccess { mode models } }";
        let added = done(&admin, "teamMemberAdd", input, selection).await;
        assert_eq!(added["memberships"][0]["modelAccess"], list(&["o3"]));
    })
    .await;
}

/// MD-DEL-3, C-M7: a name that was granted with a model, taken off the list and put there again by
/// somebody is that somebody's, and stays when the model goes.
#[tokio::test]
async fn a_name_that_was_put_back_by_hand_stays_when_its_model_goes() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, team) = (app.admin(), &world.a1);
        let set = async |access: Value| {
            let input = json!({ "id": team, "modelAccess": access });
            done(&admin, "teamUpdate", input, "team { id }").await;
        };
        set(list(&["o3"])).await;
        let input = json!({ "name": "mine", "externalId": "one", "provider": "p", "teamId": team });
        done(&admin, "modelCreate", input, "model { id }").await;
        assert_eq!(models(&admin, "team", team).await, list(&["o3", "mine"]));
        for way in ["list", "all", "removal", "organization"] {
            match way {
                "list" => set(list(&["o3"])).await,
                "all" => set(json!({ "mode": "ALL" })).await,
                "removal" => {
                    let input = json!({ "teamId": team, "models": ["mine"] });
                    done(&admin, "teamModelRemove", input, "team { id }").await;
                }
                _ => {
                    let input =
                        json!({ "id": world.a, "modelAccess": list(&["o3"]), "cascade": "CLAMP" });
                    done(&admin, "organizationUpdate", input, "organization { id }").await;
                    let input = json!({ "id": world.a, "modelAccess": { "mode": "ALL" } });
                    done(&admin, "organizationUpdate", input, "organization { id }").await;
                }
            }
            set(list(&["o3", "mine"])).await;
            done(&admin, "modelDelete", json!({ "ids": ["one"] }), "deletedIds").await;
            assert_eq!(models(&admin, "team", team).await, list(&["o3", "mine"]), "{way}");
            // And again, from a list without the name.
            set(list(&["o3"])).await;
            let input =
                json!({ "name": "mine", "externalId": "one", "provider": "p", "teamId": team });
            done(&admin, "modelCreate", input, "model { id }").await;
        }
    })
    .await;
}
