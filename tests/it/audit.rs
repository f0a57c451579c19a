//! The audit trail: every mutation records exactly its events, and no query records any.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollkeep::graphql::engine::{Engine, EngineLimits};

use crate::harness::client::text;
use crate::harness::{Client, TestApp, on_each_database};

async fn count(admin: &Client) -> i64 {
    admin.data("{ auditEvents(first: 1) { totalCount } }").await["auditEvents"]["totalCount"]
        .as_i64()
        .unwrap()
}

/// The newest actions, sorted.
async fn newest(admin: &Client, count: i64) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let query = "query($n: Int!) { auditEvents(first: $n) { nodes { action } } }";
    let data = admin.run_with(query, json!({ "n": count })).await.data();
    let nodes = data["auditEvents"]["nodes"].as_array().unwrap().clone();
    let mut actions: Vec<_> =
        nodes.iter().map(|node| node["action"].as_str().unwrap().to_owned()).collect();
    actions.sort();
    actions
}

/// Runs a mutation, and returns its data and the actions that it recorded.
async fn run(admin: &Client, query: &str, input: Value) -> (Value, Vec<String>) {
    let before = count(admin).await;
    let data = admin.run_with(query, json!({ "input": input })).await.data();
    let recorded = count(admin).await - before;
    (data, newest(admin, recorded).await)
}

/// Every mutation once, with the events that it must record, in the order of the alphabet.
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_mutation(app: &TestApp) -> BTreeSet<String> {
    let admin = app.admin();
    let mut seen = BTreeSet::new();
    let mut step = async |field: &str, selection: &str, input: Value, expected: &[&str]| -> Value {
        let mut title = field.to_owned();
        title[..1].make_ascii_uppercase();
        let query = format!(
            "mutation($input: {title}Input!) {{ {field}(input: $input) {{ {selection} }} }}"
        );
        let query = query
            .replace("TeamBlockInput", "TeamRefInput")
            .replace("TeamUnblockInput", "TeamRefInput")
            .replace("EndUserBlockInput", "EndUserIdInput")
            .replace("EndUserUnblockInput", "EndUserIdInput")
            .replace("UserBlockInput", "UserIdInput")
            .replace("UserUnblockInput", "UserIdInput")
            .replace("ApiKeyBlockInput", "ApiKeyIdInput")
            .replace("ApiKeyUnblockInput", "ApiKeyIdInput")
            .replace("ModelBlockInput", "ModelIdInput")
            .replace("ModelUnblockInput", "ModelIdInput")
            .replace("TeamModelAddInput", "TeamModelInput")
            .replace("TeamModelRemoveInput", "TeamModelInput");
        let (data, recorded) = run(&admin, &query, input).await;
        assert_eq!(recorded, expected, "{field}");
        seen.insert(field.to_owned());
        data[field].clone()
    };
    let ada = step("userCreate", "user { id }", json!({ "name": "Ada" }), &["USER_CREATED"]).await;
    let ada = text(&ada, "/user/id");
    step(
        "userUpdate",
        "user { id }",
        json!({ "id": ada, "email": "ada@example.com" }),
        &["USER_UPDATED"],
    )
    .await;
    step("userBlock", "user { id }", json!({ "id": ada }), &["USER_BLOCKED"]).await;
    step("userUnblock", "user { id }", json!({ "id": ada }), &["USER_UNBLOCKED"]).await;
    let tier = json!({ "name": "tier", "limits": { "maxSpend": "9" } });
    let tier = step("budgetCreate", "budget { id }", tier, &["BUDGET_CREATED"]).await;
    let tier = text(&tier, "/budget/id");
    let change = json!({ "id": tier, "limits": { "maxSpend": "8" } });
    step("budgetUpdate", "budget { id }", change, &["BUDGET_UPDATED"]).await;
    let team = json!({
        "name": "Team",
        "isJoinable": true,
        "modelAccess": { "mode": "LIST", "models": ["a", "b"] },
        "modelAliases": [{ "alias": "fast", "target": "a" }],
        "budgets": [{ "create": { "maxSpend": "5" } }, { "attach": { "budgetId": tier } }],
        "members": [{ "user": { "email": "new@example.com" } }],
    });
    let team = step(
        "teamCreate",
        "team { id }",
        team,
        &[
            "BUDGET_ASSIGNED",
            "BUDGET_ASSIGNED",
            "BUDGET_CREATED",
            "TEAM_CREATED",
            "TEAM_MEMBER_ADDED",
            "TEAM_MODEL_ALIAS_SET",
            "USER_CREATED",
        ],
    )
    .await;
    let team = text(&team, "/team/id");
    step("teamUpdate", "team { id }", json!({ "id": team, "name": "Renamed" }), &["TEAM_UPDATED"])
        .await;
    step("teamUpdate", "team { id }", json!({ "id": team, "name": "Renamed" }), &[]).await;
    step(
        "teamUpdate",
        "team { id }",
        json!({ "id": team, "budgets": [{ "attach": { "budgetId": tier } }] }),
        &["BUDGET_DELETED", "BUDGET_UNASSIGNED", "TEAM_UPDATED"],
    )
    .await;
    step("teamBlock", "team { id }", json!({ "id": team }), &["TEAM_BLOCKED"]).await;
    step("teamBlock", "team { id }", json!({ "id": team }), &[]).await;
    step("teamUnblock", "team { id }", json!({ "id": team }), &["TEAM_UNBLOCKED"]).await;
    step(
        "teamModelAdd",
        "team { id }",
        json!({ "teamId": team, "models": ["c"] }),
        &["TEAM_UPDATED"],
    )
    .await;
    step(
        "teamModelRemove",
        "team { id }",
        json!({ "teamId": team, "models": ["c"] }),
        &["TEAM_UPDATED"],
    )
    .await;
    step(
        "teamModelAliasSet",
        "team { id }",
        json!({ "teamId": team, "alias": "slow", "target": "b" }),
        &["TEAM_MODEL_ALIAS_SET"],
    )
    .await;
    step(
        "teamModelAliasRemove",
        "team { id }",
        json!({ "teamId": team, "alias": "slow" }),
        &["TEAM_MODEL_ALIAS_REMOVED"],
    )
    .await;
    let project =
        json!({ "teamId": team, "name": "P", "budgets": [{ "create": { "maxSpend": "1" } }] });
    let project = step(
        "projectCreate",
        "project { id }",
        project,
        &["BUDGET_ASSIGNED", "BUDGET_CREATED", "PROJECT_CREATED"],
    )
    .await;
    let project = text(&project, "/project/id");
    let renamed = json!({ "id": project, "name": "Q" });
    step("projectUpdate", "project { id }", renamed.clone(), &["PROJECT_UPDATED"]).await;
    step("projectUpdate", "project { id }", renamed, &[]).await;
    let this = json!({ "id": project });
    step("projectBlock", "project { id }", this.clone(), &["PROJECT_BLOCKED"]).await;
    step("projectBlock", "project { id }", this.clone(), &[]).await;
    step("projectUnblock", "project { id }", this, &["PROJECT_UNBLOCKED"]).await;
    let other =
        step("teamCreate", "team { id }", json!({ "name": "Other" }), &["TEAM_CREATED"]).await;
    let other = text(&other, "/team/id");
    let away = json!({ "id": project, "teamId": other });
    let moved = ["PROJECT_MOVED", "PROJECT_MOVED"];
    step("projectMove", "project { id }", away.clone(), &moved).await;
    step("projectMove", "project { id }", away, &[]).await;
    step(
        "projectDelete",
        "deletedIds",
        json!({ "ids": [project] }),
        &["BUDGET_DELETED", "BUDGET_UNASSIGNED", "PROJECT_DELETED"],
    )
    .await;
    step("teamDelete", "deletedIds", json!({ "ids": [other] }), &["TEAM_DELETED"]).await;
    let member = json!({ "user": { "id": ada }, "role": "ADMIN", "budgets": [{ "create": { "maxSpend": "1" } }] });
    step(
        "teamMemberAdd",
        "team { id }",
        json!({ "teamId": team, "members": [member] }),
        &["BUDGET_ASSIGNED", "BUDGET_CREATED", "TEAM_MEMBER_ADDED"],
    )
    .await;
    let change = json!({ "teamId": team, "user": { "id": ada }, "role": "MEMBER" });
    // The last admin of a team with members stays.
    let refused = admin
        .run_with(
            "mutation($input: TeamMemberUpdateInput!) { teamMemberUpdate(input: $input) { membership { id } } }",
            json!({ "input": change }),
        )
        .await;
    assert_eq!(refused.code(), "CONFLICT");
    let change = json!({ "teamId": team, "user": { "id": ada }, "budgets": null });
    step(
        "teamMemberUpdate",
        "membership { id }",
        change,
        &["BUDGET_DELETED", "BUDGET_UNASSIGNED", "TEAM_MEMBER_UPDATED"],
    )
    .await;
    let key =
        json!({ "userId": ada, "teamId": team, "budgets": [{ "create": { "maxSpend": "1" } }] });
    let key = step(
        "apiKeyCreate",
        "apiKey { id }",
        key,
        &["API_KEY_CREATED", "BUDGET_ASSIGNED", "BUDGET_CREATED"],
    )
    .await;
    let key = text(&key, "/apiKey/id");
    let (many, role) =
        (json!([{ "id": key, "name": "many" }]), json!({ "email": "new@example.com" }));
    step("apiKeyBulkUpdate", "apiKeys { id }", json!({ "keys": many }), &["API_KEY_UPDATED"]).await;
    let access = json!({ "mode": "LIST", "models": ["a"] });
    let many = json!({ "teamId": team, "members": [{ "user": role, "modelAccess": access }] });
    step("teamMemberBulkUpdate", "memberships { id }", many, &["TEAM_MEMBER_UPDATED"]).await;
    step("apiKeyUpdate", "apiKey { id }", json!({ "id": key, "name": "k" }), &["API_KEY_UPDATED"])
        .await;
    step(
        "apiKeyModelAliasSet",
        "apiKey { id }",
        json!({ "apiKeyId": key, "alias": "slow", "target": "b" }),
        &["API_KEY_MODEL_ALIAS_SET"],
    )
    .await;
    step(
        "apiKeyModelAliasRemove",
        "apiKey { id }",
        json!({ "apiKeyId": key, "alias": "slow" }),
        &["API_KEY_MODEL_ALIAS_REMOVED"],
    )
    .await;
    step("apiKeyRotate", "apiKey { id }", json!({ "id": key }), &["API_KEY_ROTATED"]).await;
    step("apiKeyBlock", "apiKey { id }", json!({ "id": key }), &["API_KEY_BLOCKED"]).await;
    step("apiKeyUnblock", "apiKey { id }", json!({ "id": key }), &["API_KEY_UNBLOCKED"]).await;
    step(
        "apiKeyDelete",
        "deletedIds",
        json!({ "ids": [key] }),
        &["API_KEY_DELETED", "BUDGET_DELETED", "BUDGET_UNASSIGNED"],
    )
    .await;
    let joiner =
        step("userCreate", "user { id }", json!({ "name": "Joiner" }), &["USER_CREATED"]).await;
    let joiner = text(&joiner, "/user/id");
    let (_, secret) =
        crate::harness::world::api_key(&app.admin(), json!({ "userId": joiner })).await;
    let before = count(&app.admin()).await;
    let query = "mutation($t: ID!) { teamJoin(input: { teamId: $t }) { membership { id } } }";
    app.with_key(Some(&secret)).run_with(query, json!({ "t": team })).await.data();
    let recorded = count(&app.admin()).await - before;
    assert_eq!(newest(&app.admin(), recorded).await, ["TEAM_MEMBER_ADDED"]);
    let remove = json!({ "teamId": team, "user": { "id": joiner } });
    step("teamMemberRemove", "deletedId", remove, &["TEAM_MEMBER_REMOVED"]).await;
    let invited = json!({ "email": "new@example.com" });
    step(
        "teamMemberUpdate",
        "membership { id }",
        json!({ "teamId": team, "user": invited, "role": "ADMIN" }),
        &["TEAM_MEMBER_UPDATED"],
    )
    .await;
    step(
        "userDelete",
        "deletedIds",
        json!({ "ids": [ada] }),
        &["TEAM_MEMBER_REMOVED", "USER_DELETED"],
    )
    .await;
    step(
        "teamDelete",
        "deletedIds",
        json!({ "ids": [team] }),
        &["BUDGET_UNASSIGNED", "TEAM_DELETED", "TEAM_MEMBER_REMOVED"],
    )
    .await;
    let customer = json!({ "externalId": "u1", "budgets": [{ "create": { "maxSpend": "1" } }] });
    let customer = step(
        "endUserCreate",
        "endUser { id }",
        customer,
        &["BUDGET_ASSIGNED", "BUDGET_CREATED", "END_USER_CREATED"],
    )
    .await;
    let customer = text(&customer, "/endUser/id");
    let change = json!({ "id": customer, "name": "Customer" });
    step("endUserUpdate", "endUser { id }", change.clone(), &["END_USER_UPDATED"]).await;
    step("endUserUpdate", "endUser { id }", change, &[]).await;
    let it = json!({ "id": customer });
    step("endUserBlock", "endUser { id }", it.clone(), &["END_USER_BLOCKED"]).await;
    step("endUserUnblock", "endUser { id }", it, &["END_USER_UNBLOCKED"]).await;
    step(
        "endUserDelete",
        "deletedIds",
        json!({ "ids": [customer] }),
        &["BUDGET_DELETED", "BUDGET_UNASSIGNED", "END_USER_DELETED"],
    )
    .await;
    let settings = json!({ "teamsAreJoinable": true });
    let events = &["SETTINGS_UPDATED"];
    step("settingsUpdate", "settings { version }", settings.clone(), events).await;
    step("settingsUpdate", "settings { version }", settings, &[]).await;
    let tag = json!({ "name": "batch", "budgets": [{ "attach": { "budgetId": tier } }] });
    let tag = step("tagCreate", "tag { id }", tag, &["BUDGET_ASSIGNED", "TAG_CREATED"]).await;
    let tag = text(&tag, "/tag/id");
    let change = json!({ "id": tag, "description": "Nightly work" });
    step("tagUpdate", "tag { id }", change, &["TAG_UPDATED"]).await;
    let events = &["BUDGET_UNASSIGNED", "TAG_DELETED"];
    step("tagDelete", "deletedIds", json!({ "ids": [tag] }), events).await;
    let values = json!([{ "name": "api_key", "value": "sk-4f9a0c2e7b1d8365" }]);
    let credential = json!({ "name": "OpenAI", "values": values });
    let credential =
        step("credentialCreate", "credential { id }", credential, &["CREDENTIAL_CREATED"]).await;
    let credential = text(&credential, "/credential/id");
    for (values, events) in
        [(json!([]), &[][..]), (json!([{ "name": "org", "value": "o" }]), &["CREDENTIAL_UPDATED"])]
    {
        let change = json!({ "id": credential, "values": values });
        step("credentialUpdate", "credential { id }", change, events).await;
    }
    let model = json!({ "name": "gpt-4o", "provider": "openai", "credentialId": credential });
    let model = step("modelCreate", "model { id }", model, &["MODEL_CREATED"]).await;
    let model = text(&model, "/model/id");
    let change = json!({ "id": model, "region": "eu" });
    step("modelUpdate", "model { id }", change.clone(), &["MODEL_UPDATED"]).await;
    step("modelUpdate", "model { id }", change, &[]).await;
    step("modelBlock", "model { id }", json!({ "id": model }), &["MODEL_BLOCKED"]).await;
    step("modelUnblock", "model { id }", json!({ "id": model }), &["MODEL_UNBLOCKED"]).await;
    step("modelDelete", "deletedIds", json!({ "ids": [model] }), &["MODEL_DELETED"]).await;
    let gone = json!({ "ids": [credential] });
    step("credentialDelete", "deletedIds", gone, &["CREDENTIAL_DELETED"]).await;
    let group = json!({ "name": "fast", "models": ["gpt-4o"] });
    let group =
        step("accessGroupCreate", "accessGroup { id }", group, &["ACCESS_GROUP_CREATED"]).await;
    let group = text(&group, "/accessGroup/id");
    let change = json!({ "id": group, "models": ["o3"] });
    step("accessGroupUpdate", "accessGroup { id }", change, &["ACCESS_GROUP_UPDATED"]).await;
    let gone = json!({ "ids": [group] });
    step("accessGroupDelete", "deletedIds", gone, &["ACCESS_GROUP_DELETED"]).await;
    step("budgetDelete", "deletedId", json!({ "id": tier }), &["BUDGET_DELETED"]).await;
    let tenant = json!({ "name": "Tenant", "budgets": [{ "create": { "maxSpend": "9" } }] });
    let tenant = step(
        "organizationCreate",
        "organization { id }",
        tenant,
        &["BUDGET_ASSIGNED", "BUDGET_CREATED", "ORGANIZATION_CREATED"],
    )
    .await;
    let tenant = text(&tenant, "/organization/id");
    let change = json!({ "id": tenant, "name": "Renamed" });
    let selection = "organization { id }";
    step("organizationUpdate", selection, change.clone(), &["ORGANIZATION_UPDATED"]).await;
    step("organizationUpdate", selection, change, &[]).await;
    let invited = json!({ "email": "tenant@example.com" });
    let added = json!({ "organizationId": tenant, "members": [{ "user": invited }] });
    let expected = ["ORGANIZATION_MEMBER_ADDED", "USER_CREATED"];
    step("organizationMemberAdd", selection, added, &expected).await;
    let change = json!({ "organizationId": tenant, "user": invited, "role": "ADMIN" });
    let (selection, expected) = ("membership { id }", ["ORGANIZATION_MEMBER_UPDATED"]);
    step("organizationMemberUpdate", selection, change.clone(), &expected).await;
    step("organizationMemberUpdate", selection, change, &[]).await;
    let moved = json!({ "name": "Moved", "members": [],
        "budgets": [{ "create": { "maxSpend": "5" } }] });
    let expected = ["BUDGET_ASSIGNED", "BUDGET_CREATED", "TEAM_CREATED"];
    let moved = step("teamCreate", "team { id }", moved, &expected).await;
    let there = json!({ "id": moved["team"]["id"], "organizationId": tenant });
    step("teamMove", "team { id }", there.clone(), &["BUDGET_UPDATED", "TEAM_MOVED"]).await;
    step("teamMove", "team { id }", there, &[]).await;
    let removed = json!({ "organizationId": tenant, "user": invited });
    let expected = ["ORGANIZATION_MEMBER_REMOVED", "USER_UPDATED"];
    step("organizationMemberRemove", "deletedId", removed, &expected).await;
    let expected = [
        "BUDGET_DELETED",
        "BUDGET_DELETED",
        "BUDGET_UNASSIGNED",
        "BUDGET_UNASSIGNED",
        "ORGANIZATION_DELETED",
        "TEAM_DELETED",
    ];
    step("organizationDelete", "deletedIds", json!({ "ids": [tenant] }), &expected).await;
    let input = json!({ "kind": "GATEWAY", "name": "gateway" });
    let key = step("apiKeyCreate", "apiKey { id } secret", input, &["API_KEY_CREATED"]).await;
    let gateway = app.with_key(key["secret"].as_str());
    let event = json!({ "requestId": "1", "apiKeyId": key["apiKey"]["id"], "model": "m",
        "cost": "1" });
    let record = "mutation($input: UsageRecordInput!) { usageRecord(input: $input) {
        verdicts { usageEventId } } }";
    let before = count(&admin).await;
    let input = json!({ "input": { "events": [event] } });
    let recorded = gateway.run_with(record, input).await.data();
    // The ledger is its own record.
    assert_eq!(count(&admin).await, before);
    let id = text(&recorded, "/usageRecord/verdicts/0/usageEventId");
    let input = json!({ "usageEventId": id, "amount": "-0.5", "reason": "r", "requestId": "c" });
    step("spendCorrect", "usageEvent { id }", input.clone(), &["SPEND_CORRECTED"]).await;
    step("spendCorrect", "usageEvent { id }", input, &[]).await;
    seen.insert("usageRecord".to_owned());
    seen.insert("teamJoin".to_owned());
    seen
}

/// T-NEW-18, T-UPD-10, T-DEL-3, M-ADD-14, C-T31, C-P13: every change of rows is in the trail, with the
/// transaction that made it.
#[tokio::test]
async fn every_mutation_records_exactly_its_events() {
    let engine = Engine::new(EngineLimits::default()).unwrap();
    let mutations: BTreeSet<_> = engine
        .rules()
        .iter()
        .filter(|(root, _, _)| *root == "Mutation")
        .map(|(_, field, _)| field.to_owned())
        .collect();
    on_each_database(async |app| {
        assert_eq!(every_mutation(app).await, mutations, "a mutation without a step here");
    })
    .await;
}

#[tokio::test]
async fn no_query_records_an_event() {
    on_each_database(async |app| {
        every_mutation(app).await;
        let admin = app.admin();
        let before = count(&admin).await;
        for query in [
            "{ viewer { kind permissions user { id } apiKey { id } } }",
            "{ organizations { totalCount nodes { id teams { totalCount } members { nodes { id } } } } }",
            "{ teams { totalCount nodes { id members { nodes { user { email } } } } } }",
            "{ users { nodes { id apiKeys { nodes { id } } } } }",
            "{ apiKeys { nodes { id hint } } }",
            "{ projects { totalCount nodes { id apiKeys { nodes { id } } } } }",
            "{ budgets { nodes { id } } }",
            "{ joinableTeams { nodes { id } } }",
            "{ settings { version teamDefaults { budgets { id } } } }",
            "{ endUsers { nodes { id budgets { id } } } tags { nodes { id budgets { id } } } }",
            "{ models { totalCount nodes { id credential { id } } } }",
            "{ credentials { totalCount nodes { id values { name } } } }",
            "{ accessGroups { totalCount nodes { id models } } }",
            "{ usageEvents { totalCount nodes { id cost } } }",
            "{ usage(from: \"2026-11-01\", to: \"2026-11-30\", groupBy: MODEL) { groups { key } } }",
            "{ auditEvents { nodes { id before after } } }",
            "{ node(id: \"team_00000000000000000000000000000000\") { id } }",
            "{ __schema { types { name } } }",
        ] {
            admin.data(query).await;
        }
        assert_eq!(count(&admin).await, before);
    })
    .await;
}

/// C-T31: the trail names the credential; a claim stands beside it.
#[tokio::test]
async fn an_event_names_actor_request_and_claim() {
    on_each_database(async |app| {
        let query = "mutation { teamCreate(input: { name: \"Team\" }) { team { id } } }";
        let body = json!({ "query": query });
        let headers = [("x-request-id", "my-request"), ("x-tollkeep-on-behalf-of", "ada")];
        app.admin().post(body, &headers).await.data();
        let query = "{ auditEvents(first: 1) { nodes { action actorKind actorId onBehalfOf requestId address
            subjectKind before after } } }";
        let data = app.admin().data(query).await;
        let event = &data["auditEvents"]["nodes"][0];
        assert_eq!(event["actorKind"], "BOOTSTRAP");
        assert_eq!(event["onBehalfOf"], "ada");
        assert_eq!(event["requestId"], "my-request");
        assert_eq!(event["address"], "127.0.0.1");
        assert_eq!(event["before"], Value::Null);
        assert_eq!(event["after"]["name"], "Team");
    })
    .await;
}
