//! A world with something in every table, all of it made by the API, but for two windows.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::id::{BudgetId, BudgetWindowId, Id, TeamId};
use entity::role::ScopeKind;
use entity::value::Usd;
use entity::{budget_assignment, budget_window, credential_value, model_alias, usage_day};
use sea_orm::{ActiveEnum, DatabaseConnection, EntityTrait};
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, insert, team};
use crate::harness::{Client, TestApp, noon};
use crate::steps::{done, project, read};

/// The rows.
pub(super) struct Grown {
    pub(super) world: World,
    /// A team of nobody's organization.
    pub(super) free_team: String,
    /// A project of A1, and one of A2.
    pub(super) project: String,
    pub(super) other_project: String,
    /// A key of the member in A1, in the project, with budgets; and the member's membership.
    pub(super) key: String,
    pub(super) membership: String,
    /// A key of the team's admin in A1, who has no budget there.
    pub(super) plain_key: String,
    /// A tier of organization A, in force on the team A1 and, as a pot, on A2.
    pub(super) tier: String,
    pub(super) window: String,
    /// The row of the roll-up of a call of the key.
    pub(super) day: String,
    /// Credentials: of the platform, of A1, of A2.
    pub(super) credential: String,
    pub(super) team_credential: String,
    pub(super) other_credential: String,
    /// A model of the platform that sends one to a host; one of A1 that sends none.
    pub(super) model: String,
    pub(super) team_model: String,
    /// A model of the free team, which lists it.
    pub(super) granted: String,
    pub(super) group: String,
    pub(super) end_user: String,
    pub(super) tag: String,
    pub(super) budgets: Budgets,
    /// For each kind of scope, one assignment with its budget.
    pub(super) assignments: BTreeMap<String, (String, String)>,
    /// An alias of A1, and one of the key.
    pub(super) aliases: (String, String),
    /// A value of the platform's credential, and one of A1's.
    pub(super) values: (String, String),
    /// The membership of somebody in A1 who has no keys there.
    pub(super) plain_membership: String,
}

/// The budgets that scopes own.
pub(super) struct Budgets {
    pub(super) organization: String,
    pub(super) team: String,
    pub(super) project: String,
    pub(super) membership: String,
    pub(super) key: String,
    pub(super) user: String,
    pub(super) personal_key: String,
    pub(super) member_default: String,
}

fn list(models: &[&str]) -> Value {
    json!({ "mode": "LIST", "models": models })
}

fn spend(amount: &str) -> Value {
    json!([{ "create": { "maxSpend": amount, "period": "1mo" } }])
}

const BUDGET: &str = "{ budgets { budget { id } } }";

async fn made(client: &Client, field: &str, noun: &str, input: Value) -> String {
    let payload = done(client, field, input, &format!("{noun} {{ id }}")).await;
    text(&payload, &format!("/{noun}/id"))
}

impl Grown {
    /// Makes the world.
    #[expect(clippy::too_many_lines, reason = "one of everything")]
    pub(super) async fn new(app: &TestApp) -> Self {
        let admin = app.admin();
        let world = World::new(app).await;
        let (a1, member) = (world.a1.clone(), world.users["member"].clone());
        let group = made(
            &admin,
            "accessGroupCreate",
            "accessGroup",
            json!({ "name": "fast", "models": ["gpt-*"] }),
        )
        .await;
        let input = json!({ "id": world.a, "budgets": spend("100"), "modelAccess": list(&["gpt-*", "o3"]) });
        let payload =
            done(&admin, "organizationUpdate", input, &format!("organization {BUDGET}")).await;
        let organization = text(&payload, "/organization/budgets/0/budget/id");
        let limits = json!({ "maxSpend": "80", "period": "1mo", "requestsPerMinute": "90" });
        let input = json!({ "name": "Tier", "externalId": "tier", "organizationId": world.a, "limits": limits });
        let tier = made(&admin, "budgetCreate", "budget", input).await;
        let attach =
            |counting: &str| json!({ "attach": { "budgetId": tier, "counting": counting } });
        let limits = json!({ "maxSpend": "50", "softSpend": "40", "period": "1mo", "timeZone": "Europe/Berlin",
            "requestsPerMinute": "60", "tokensPerMinute": "6000", "maxParallelRequests": "6" });
        let defaults = json!({ "budgets": spend("5"), "modelAccess": list(&["gpt-4o"]) });
        let input = json!({ "id": a1, "budgets": [{ "create": limits }, attach("EACH")], "memberDefaults": defaults,
            "memberPermissions": ["API_KEY_CREATE"], "tags": ["red"], "modelAccess": list(&["gpt-*", "o3"]) });
        let selection =
            "team { budgets { budget { id name } } memberDefaults { budgets { budget { id } } } }";
        let payload = done(&admin, "teamUpdate", input, selection).await;
        let own = payload["team"]["budgets"].as_array().unwrap();
        let own = own.iter().find(|entry| entry["budget"]["name"].is_null()).unwrap();
        let team_budget = text(own, "/budget/id");
        let member_default = text(&payload, "/team/memberDefaults/budgets/0/budget/id");
        let input = json!({ "id": world.a2, "budgets": [attach("SHARED")] });
        done(&admin, "teamUpdate", input, "team { id }").await;
        done(
            &admin,
            "teamModelAliasSet",
            json!({ "teamId": a1, "alias": "small", "target": "gpt-4o-mini" }),
            "team { id }",
        )
        .await;
        let (free_team, granted) = free_team(&admin, &world).await;
        let input =
            json!({ "name": "App", "budgets": spend("20"), "modelAccess": list(&["gpt-*"]) });
        let project_id = project(&admin, &a1, input).await;
        let other_project = project(&admin, &world.a2, json!({ "name": "Other" })).await;
        let limits = json!({ "maxSpend": "10", "period": "1mo", "requestsPerMinute": "10" });
        let input = json!({ "teamId": a1, "user": { "id": member }, "budgets": [{ "create": limits }], "modelAccess": list(&["gpt-4o*"]) });
        let selection = "membership { id budgets { budget { id } } }";
        let payload = done(&admin, "teamMemberUpdate", input, selection).await;
        let (membership, member_budget) =
            (text(&payload, "/membership/id"), text(&payload, "/membership/budgets/0/budget/id"));
        let limits = json!({ "maxSpend": "2", "period": "1d", "requestsPerMinute": "5", "tokensPerMinute": "50", "maxParallelRequests": "2" });
        let input = json!({ "userId": member, "projectId": project_id, "name": "app", "budgets": [{ "create": limits }],
            "modelAccess": list(&["gpt-4o"]), "allowedRoutes": ["llm"], "modelAliases": [{ "alias": "x", "target": "gpt-4o" }] });
        let (key, _) = api_key(&admin, input).await;
        let input = json!({ "userId": world.users["team_admin"], "teamId": a1, "name": "plain" });
        let (plain_key, _) = api_key(&admin, input).await;
        let input =
            json!({ "id": member, "budgets": spend("30"), "modelAccess": list(&["gpt-*"]) });
        let payload = done(&admin, "userUpdate", input, &format!("user {BUDGET}")).await;
        let user_budget = text(&payload, "/user/budgets/0/budget/id");
        let input = json!({ "id": world.keys["member"], "budgets": spend("3"), "modelAccess": list(&["gpt-4o"]) });
        let payload = done(&admin, "apiKeyUpdate", input, &format!("apiKey {BUDGET}")).await;
        let personal_key = text(&payload, "/apiKey/budgets/0/budget/id");
        let input = json!({ "name": "cost-1", "organizationId": world.a, "budgets": spend("7") });
        let tag = made(&admin, "tagCreate", "tag", input).await;
        let input = json!({ "externalId": "customer", "teamId": a1, "name": "Customer", "budgets": spend("1") });
        let end_user = made(&admin, "endUserCreate", "endUser", input).await;
        let input = json!({ "externalId": "customer", "organizationId": world.a });
        made(&admin, "endUserCreate", "endUser", input).await;
        let new_teams = json!({ "budgets": spend("500") });
        let fast = json!({ "mode": "LIST", "accessGroups": ["fast"] });
        let bounds = json!({ "teamMember": { "maxLifetime": "P1Y", "modelAccess": fast } });
        let input =
            json!({ "apiKeyBounds": bounds, "teamDefaults": new_teams, "budgets": spend("9000") });
        done(&admin, "settingsUpdate", input, "settings { version }").await;
        let credential = credential(&admin, None, "shared").await;
        let team_credential = self::credential(&admin, Some(&a1), "of A1").await;
        let other_credential = self::credential(&admin, Some(&world.a2), "of A2").await;
        let input = json!({ "name": "gpt-4o", "provider": "openai", "apiBase": "https://api.example.com/v1",
            "credentialId": credential, "requestsPerMinute": "10" });
        let model = made(&admin, "modelCreate", "model", input).await;
        let input = json!({ "name": "gpt-own", "provider": "p", "teamId": a1, "credentialId": team_credential });
        let team_model = made(&admin, "modelCreate", "model", input).await;
        let window = count(app, &tier, &a1).await;
        call(&world, &key).await;
        let database = app.database().await;
        let day = usage_day::Entity::find().one(&database).await.unwrap().unwrap().id.to_string();
        let aliases = model_alias::Entity::find().all(&database).await.unwrap();
        let of = |kind: ScopeKind| {
            aliases.iter().find(|row| row.scope_kind == kind).unwrap().id.to_string()
        };
        let aliases = (of(ScopeKind::Team), of(ScopeKind::ApiKey));
        let stored = credential_value::Entity::find().all(&database).await.unwrap();
        let of = |owner: &String| {
            let of_owner = |row: &&credential_value::Model| row.credential_id.to_string() == *owner;
            stored.iter().find(of_owner).unwrap().id.to_string()
        };
        let values = (of(&credential), of(&team_credential));
        let viewer = format!(
            "{{ user(id: \"{}\") {{ teamMemberships {{ nodes {{ id }} }} }} }}",
            world.users["viewer"]
        );
        let plain_membership = text(&read(&admin, &viewer).await, "/teamMemberships/nodes/0/id");
        let budgets = Budgets {
            organization,
            team: team_budget,
            project: first_budget(&admin, &format!("project(id: \"{project_id}\")")).await,
            membership: member_budget,
            key: first_budget(&admin, &format!("apiKey(id: \"{key}\")")).await,
            user: user_budget,
            personal_key,
            member_default,
        };
        Self {
            world,
            free_team,
            project: project_id,
            other_project,
            key,
            membership,
            plain_key,
            tier,
            window,
            day,
            credential,
            team_credential,
            other_credential,
            model,
            team_model,
            granted,
            group,
            end_user,
            tag,
            budgets,
            assignments: assignments(&database).await,
            aliases,
            values,
            plain_membership,
        }
    }
}

async fn assignments(database: &DatabaseConnection) -> BTreeMap<String, (String, String)> {
    let rows = budget_assignment::Entity::find().all(database).await.unwrap();
    let of_kind = |row: &budget_assignment::Model| {
        (row.scope_kind.to_value(), (row.id.to_string(), row.budget_id.to_string()))
    };
    rows.iter().map(of_kind).collect()
}

async fn first_budget(admin: &Client, of: &str) -> String {
    text(&read(admin, &format!("{{ {of} {BUDGET} }}")).await, "/budgets/0/budget/id")
}

/// A team of no organization with a list, and a model of its own that was granted to it.
async fn free_team(admin: &Client, world: &World) -> (String, String) {
    let lead = (&world.users["outsider"], "ADMIN");
    let input = json!({ "name": "Free", "modelAccess": list(&["o3"]), "members": [{ "user": { "id": lead.0 }, "role": lead.1 }] });
    let id = made(admin, "teamCreate", "team", input).await;
    let input = json!({ "name": "mine", "provider": "p", "teamId": id });
    let model = made(admin, "modelCreate", "model", input).await;
    // A second team, so that external ids and names repeat in different places.
    team(admin, "Free", &world.b, &[]).await;
    (id, model)
}

async fn credential(admin: &Client, team: Option<&String>, name: &str) -> String {
    let value = json!({ "name": "api_key", "value": "sk-4f9a0c2e7b1d8365" });
    let input = json!({ "name": name, "teamId": team, "allowedHosts": ["api.example.com"], "values": [value] });
    made(admin, "credentialCreate", "credential", input).await
}

/// Two calls of a key: one that is over, and one for which something is held.
async fn call(world: &World, key: &str) {
    let gateway = world.person("gateway");
    let held = json!({ "keyId": key, "model": "gpt-4o", "mode": "reserve", "requestId": "held",
        "estimate": { "costUsd": "0.25" } });
    let answer = gateway.check(held).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let event = json!({ "requestId": "over", "apiKeyId": key, "model": "gpt-4o", "cost": "0.5" });
    let answer = gateway.at("/v1/usage").post(json!({ "events": [event] }), &[]).await;
    assert_eq!(answer.body["verdicts"][0]["code"], "RECORDED", "{:#}", answer.body);
}

/// Counters of a tier for a team, and of its pot.
async fn count(app: &TestApp, budget: &str, team: &str) -> String {
    let (budget, team): (BudgetId, TeamId) = (budget.parse().unwrap(), team.parse().unwrap());
    let mut last = String::new();
    for scope_id in [budget.uuid(), team.uuid()] {
        let id: BudgetWindowId = app.clock.id();
        let row = budget_window::Model {
            id,
            budget_id: budget,
            scope_id,
            starts_at: noon(),
            ends_at: Some(noon() + TimeDelta::days(30)),
            spent: Usd::ZERO,
            reserved: Usd::ZERO,
            raised: 0,
            updated_at: app.clock.now(),
        };
        insert(app, row).await;
        last = id.to_string();
    }
    last
}
