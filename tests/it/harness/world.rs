//! Two organizations, three teams, and one person for every role.
//!
//! Organization A has the teams A1 and A2, organization B has B1. The people are named after what
//! they are. Organization A manages the viewer, the member, the team admin of A1 and its own admin;
//! the platform manages the others.

use std::collections::BTreeMap;

use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use super::client::text;
use super::{Client, TestApp};

/// The personas, in the order of the access matrix.
pub(crate) const PERSONAS: &[&str] = &[
    "anonymous",
    "gateway",
    "service",
    "team_key",
    "outsider",
    "viewer",
    "member",
    "team_admin",
    "other_team_admin",
    "organization_admin",
    "platform_viewer",
    "platform_admin",
];

/// The rows and the people.
pub(crate) struct World {
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) a1: String,
    pub(crate) a2: String,
    pub(crate) b1: String,
    pub(crate) users: BTreeMap<&'static str, String>,
    pub(crate) keys: BTreeMap<&'static str, String>,
    people: BTreeMap<&'static str, Client>,
}

/// Makes an organization, whose external id is its name, and returns its id.
pub(crate) async fn organization(app: &TestApp, name: &str) -> String {
    let query = "mutation($input: OrganizationCreateInput!) {
        organizationCreate(input: $input) { organization { id } }
    }";
    let input = json!({ "name": name, "externalId": name.to_lowercase().replace(' ', "-") });
    let data = app.admin().run_with(query, json!({ "input": input })).await.data();
    text(&data, "/organizationCreate/organization/id")
}

/// Makes a user a member of an organization.
pub(crate) async fn join_organization(app: &TestApp, organization: &str, user: &str, role: &str) {
    let query = "mutation($input: OrganizationMemberAddInput!) {
        organizationMemberAdd(input: $input) { organization { id } }
    }";
    let members = json!([{ "user": { "id": user }, "role": role }]);
    let input = json!({ "organizationId": organization, "members": members });
    app.admin().run_with(query, json!({ "input": input })).await.data();
}

/// Inserts a row past the API.
pub(crate) async fn insert<M>(app: &TestApp, row: M)
where
    M: sea_orm::ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    M::Entity: EntityTrait<Model = M>,
    <M::Entity as EntityTrait>::ActiveModel: sea_orm::ActiveModelBehavior + Send,
{
    let database = app.database().await;
    let row = row.into_active_model().reset_all();
    <M::Entity as EntityTrait>::insert(row).exec_without_returning(&database).await.unwrap();
}

impl World {
    /// Makes the world.
    pub(crate) async fn new(app: &TestApp) -> Self {
        let admin = app.admin();
        let a = organization(app, "Alpha").await;
        let b = organization(app, "Beta").await;
        let mut users = BTreeMap::new();
        let mut people = BTreeMap::new();
        let mut keys = BTreeMap::new();
        for (name, role) in [
            ("outsider", "USER"),
            ("viewer", "USER_VIEWER"),
            ("member", "USER"),
            ("team_admin", "USER"),
            ("other_team_admin", "USER"),
            ("organization_admin", "USER"),
            ("platform_viewer", "VIEWER"),
            ("platform_admin", "ADMIN"),
        ] {
            let managed = ["viewer", "member", "team_admin", "organization_admin"].contains(&name);
            let organization = managed.then_some(&a);
            users.insert(name, user_of(&admin, name, role, organization).await);
        }
        let query = "mutation($input: OrganizationMemberUpdateInput!) {
            organizationMemberUpdate(input: $input) { membership { id } }
        }";
        let runs = json!({ "id": users["organization_admin"] });
        let input = json!({ "organizationId": a, "user": runs, "role": "ADMIN" });
        admin.run_with(query, json!({ "input": input })).await.data();
        let a1 = team(
            &admin,
            "A1",
            &a,
            &[
                (&users["team_admin"], "ADMIN"),
                (&users["member"], "MEMBER"),
                (&users["viewer"], "MEMBER"),
            ],
        )
        .await;
        let a2 = team(&admin, "A2", &a, &[]).await;
        let b1 = team(&admin, "B1", &b, &[(&users["other_team_admin"], "ADMIN")]).await;
        for (name, id) in &users {
            let input = json!({ "userId": id, "name": format!("{name} key") });
            let (key, secret) = api_key(&admin, input).await;
            people.insert(*name, app.with_key(Some(&secret)));
            keys.insert(*name, key);
        }
        for (name, input) in [
            ("service", json!({ "kind": "SERVICE", "teamId": a1, "name": "service key" })),
            ("gateway", json!({ "kind": "GATEWAY", "name": "gateway key" })),
        ] {
            let (key, secret) = api_key(&admin, input).await;
            people.insert(name, app.with_key(Some(&secret)));
            keys.insert(name, key);
        }
        people.insert("anonymous", app.with_key(None));
        Self { a, b, a1, a2, b1, users, keys, people }
    }

    /// Makes the platform's admin a member of A1, and gives it a key that belongs to that team.
    pub(crate) async fn bind_a_platform_admin(&mut self, app: &TestApp) {
        let admin = app.admin();
        let id = &self.users["platform_admin"];
        let query = "mutation($input: TeamMemberAddInput!) {
            teamMemberAdd(input: $input) { team { id } }
        }";
        let members = json!([{ "user": { "id": id } }]);
        let input = json!({ "teamId": self.a1, "members": members });
        admin.run_with(query, json!({ "input": input })).await.data();
        let input = json!({ "userId": id, "teamId": self.a1, "name": "team key" });
        let (key, secret) = api_key(&admin, input).await;
        self.people.insert("team_key", app.with_key(Some(&secret)));
        self.keys.insert("team_key", key);
    }

    /// One of the people.
    #[track_caller]
    pub(crate) fn person(&self, name: &str) -> &Client {
        &self.people[name]
    }
}

/// Makes a user whom the platform manages, and returns its id.
pub(crate) async fn user(admin: &Client, name: &str, role: &str) -> String {
    user_of(admin, name, role, None).await
}

/// Makes a user whom an organization manages, and returns its id.
pub(crate) async fn user_of(
    admin: &Client,
    name: &str,
    role: &str,
    organization: Option<&String>,
) -> String {
    let query = "mutation($input: UserCreateInput!) { userCreate(input: $input) { user { id } } }";
    let email = format!("{name}@example.com");
    let input = json!({
        "name": name, "email": email, "platformRole": role, "organizationId": organization,
    });
    let data = admin.run_with(query, json!({ "input": input })).await.data();
    text(&data, "/userCreate/user/id")
}

/// Makes a team with members, and returns its id.
pub(crate) async fn team(
    admin: &Client,
    name: &str,
    organization: &str,
    members: &[(&String, &str)],
) -> String {
    let query = "mutation($input: TeamCreateInput!) { teamCreate(input: $input) { team { id } } }";
    let member = |(id, role): &(&String, &str)| json!({ "user": { "id": id }, "role": role });
    let members: Vec<Value> = members.iter().map(member).collect();
    let input = json!({ "name": name, "organizationId": organization, "members": members });
    let data = admin.run_with(query, json!({ "input": input })).await.data();
    text(&data, "/teamCreate/team/id")
}

/// Makes a key, and returns its id and secret.
pub(crate) async fn api_key(admin: &Client, input: Value) -> (String, String) {
    let query = "mutation($input: ApiKeyCreateInput!) {
        apiKeyCreate(input: $input) { apiKey { id } secret }
    }";
    let data = admin.run_with(query, json!({ "input": input })).await.data();
    (text(&data, "/apiKeyCreate/apiKey/id"), text(&data, "/apiKeyCreate/secret"))
}
