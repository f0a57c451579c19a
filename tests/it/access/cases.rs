//! One sample operation for every root field, and the objects that it is tried on.
//!
//! Objects are listed with the missing one first, so that hidden ones can be compared with it.

use serde_json::{Value, json};

use crate::harness::TestApp;
use crate::harness::client::text;
use crate::harness::world::{World, api_key};

/// A sample operation.
pub(super) struct Case {
    /// The root field.
    pub(super) field: &'static str,
    /// The document.
    pub(super) query: &'static str,
    /// Name, id and variables for every object.
    pub(super) objects: Vec<(&'static str, String, Value)>,
    /// Codes, with their fields, that only somebody gets who may do it.
    pub(super) allowed: &'static [(&'static str, &'static str)],
    /// What takes back what the operation does.
    pub(super) undo: Option<&'static str>,
}

pub(super) const STALE: &[(&str, &str)] = &[("CONFLICT", "-")];

pub(super) fn case(
    field: &'static str,
    query: &'static str,
    objects: Vec<(&'static str, String, Value)>,
    allowed: &'static [(&'static str, &'static str)],
) -> Case {
    Case { field, query, objects, allowed, undo: None }
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) async fn cases(app: &TestApp, world: &World) -> Vec<Case> {
    let admin = app.admin();
    let none = "00000000000000000000000000000000";
    let missing_team = format!("team_{none}");
    let teams = [
        ("missing", missing_team.clone()),
        ("A1", world.a1.clone()),
        ("A2, same organization", world.a2.clone()),
        ("B1, foreign", world.b1.clone()),
    ];
    let users = [
        ("missing", format!("user_{none}")),
        ("member of A1", world.users["member"].clone()),
        ("admin of A1", world.users["team_admin"].clone()),
        ("admin of organization A", world.users["organization_admin"].clone()),
        ("admin of B1, foreign", world.users["other_team_admin"].clone()),
        ("outsider, foreign", world.users["outsider"].clone()),
        ("platform admin", world.users["platform_admin"].clone()),
    ];
    let (team_key, _) = api_key(
        &admin,
        json!({ "userId": world.users["member"], "teamId": world.a1, "name": "in A1" }),
    )
    .await;
    let (foreign_key, _) =
        api_key(&admin, json!({ "kind": "SERVICE", "teamId": world.b1, "name": "in B1" })).await;
    let keys = [
        ("missing", format!("key_{none}")),
        ("member's, personal", world.keys["member"].clone()),
        ("member's, in A1", team_key),
        ("service key of A1", world.keys["service"].clone()),
        ("service key of B1", foreign_key),
        ("gateway's", world.keys["gateway"].clone()),
    ];
    let mut budgets = vec![("missing", format!("budget_{none}"))];
    for (name, organization) in
        [("of A", Some(&world.a)), ("of B", Some(&world.b)), ("of the platform", None)]
    {
        let query = "mutation($o: ID) { budgetCreate(input: { name: \"tier\", organizationId: $o,
            limits: { maxSpend: \"5\" } }) { budget { id } } }";
        let data = admin.run_with(query, json!({ "o": organization })).await.data();
        budgets.push((name, text(&data, "/budgetCreate/budget/id")));
    }
    let member = json!({ "id": world.users["member"] });
    let query = "mutation($t: ID!, $u: UserRefInput!) { teamMemberUpdate(input: { teamId: $t, user: $u,
        budgets: [{ create: { maxSpend: \"1\" } }] }) { membership { budgets { budget { id } } } } }";
    let data = admin.run_with(query, json!({ "t": world.a1, "u": member })).await.data();
    let own = text(&data, "/teamMemberUpdate/membership/budgets/0/budget/id");
    budgets.push(("of the member in A1", own));
    let organizations = [
        ("on the platform", Value::Null),
        ("in a missing one", json!(format!("org_{none}"))),
        ("in A", json!(world.a)),
        ("in B, foreign", json!(world.b)),
    ];
    let joinable =
        "mutation($id: ID!) { teamUpdate(input: { id: $id, isJoinable: true }) { team { id } } }";
    admin.run_with(joinable, json!({ "id": world.a2 })).await.data();

    let by_id = |objects: &[(&'static str, String)]| -> Vec<(&'static str, String, Value)> {
        objects.iter().map(|(name, id)| (*name, id.clone(), json!({ "id": id }))).collect()
    };
    let ours = |field: &'static str, query: &'static str| {
        case(field, query, vec![("-", String::new(), json!({}))], &[])
    };
    let anything: Vec<_> = [&teams[..], &users[..2], &keys[..2], &budgets[..2]]
        .concat()
        .into_iter()
        .filter(|(name, id)| *name != "missing" || *id == missing_team)
        .collect();
    let members: Vec<_> = [
        ("nobody in A1", &world.a1, format!("user_{none}")),
        ("member of A1", &world.a1, world.users["member"].clone()),
        ("viewer of A1", &world.a1, world.users["viewer"].clone()),
        ("admin of A1", &world.a1, world.users["team_admin"].clone()),
        ("admin of B1, foreign", &world.b1, world.users["other_team_admin"].clone()),
    ]
    .into_iter()
    .map(|(name, team, user)| (name, String::new(), json!({ "t": team, "u": { "id": user } })))
    .collect();
    let in_organization = |extra: Value| -> Vec<(&'static str, String, Value)> {
        organizations
            .iter()
            .map(|(name, id)| (*name, String::new(), json!({ "o": id, "extra": extra })))
            .collect()
    };
    let mut cases = vec![
        ours("viewer", "{ viewer { kind } }"),
        ours("teams", "{ teams { nodes { id } } }"),
        ours("users", "{ users { nodes { id } } }"),
        ours("apiKeys", "{ apiKeys { nodes { id } } }"),
        ours("budgets", "{ budgets { nodes { id } } }"),
        ours("auditEvents", "{ auditEvents { nodes { id } } }"),
        ours("joinableTeams", "{ joinableTeams { nodes { id } } }"),
        case("node", "query($id: ID!) { node(id: $id) { id } }", by_id(&anything), &[]),
        case("nodes", "query($id: ID!) { nodes(ids: [$id]) { id } }", by_id(&anything), &[]),
        case("team", "query($id: ID!) { team(id: $id) { id } }", by_id(&teams), &[]),
        case("user", "query($id: ID!) { user(id: $id) { id } }", by_id(&users), &[]),
        case("apiKey", "query($id: ID!) { apiKey(id: $id) { id } }", by_id(&keys), &[]),
        case("budget", "query($id: ID!) { budget(id: $id) { id } }", by_id(&budgets), &[]),
        case(
            "teamCreate",
            "mutation($o: ID) { teamCreate(input: { name: \"\", organizationId: $o }) { team { id } } }",
            in_organization(Value::Null),
            &[("BAD_USER_INPUT", "input.name")],
        ),
        case(
            "teamUpdate",
            "mutation($id: ID!) { teamUpdate(input: { id: $id, name: \"x\", expectedVersion: -1 }) { team { id } } }",
            by_id(&teams),
            STALE,
        ),
        case(
            "teamUpdate",
            "mutation($id: ID!) { teamUpdate(input: { id: $id, budgets: null, expectedVersion: -1 }) { team { id } } }",
            by_id(&teams).into_iter().map(|(name, id, value)| (limited(name), id, value)).collect(),
            STALE,
        ),
        case(
            "teamDelete",
            "mutation($id: ID!) { teamDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&teams),
            STALE,
        ),
        Case {
            undo: Some("mutation($id: ID!) { teamUnblock(input: { id: $id }) { team { id } } }"),
            ..case(
                "teamBlock",
                "mutation($id: ID!) { teamBlock(input: { id: $id }) { team { id } } }",
                by_id(&teams),
                &[],
            )
        },
        case(
            "teamUnblock",
            "mutation($id: ID!) { teamUnblock(input: { id: $id }) { team { id } } }",
            by_id(&teams),
            &[],
        ),
        case(
            "teamMemberAdd",
            "mutation($id: ID!) { teamMemberAdd(input: { teamId: $id, members: [] }) { team { id } } }",
            by_id(&teams),
            &[("BAD_USER_INPUT", "input.members")],
        ),
        case(
            "teamMemberUpdate",
            "mutation($t: ID!, $u: UserRefInput!) { teamMemberUpdate(input: { teamId: $t, user: $u, expectedVersion: -1 }) { membership { id } } }",
            members.clone(),
            STALE,
        ),
        case(
            "teamMemberRemove",
            "mutation($t: ID!, $u: UserRefInput!) { teamMemberRemove(input: { teamId: $t, user: $u, expectedVersion: -1 }) { deletedId } }",
            members,
            STALE,
        ),
        case(
            "teamModelAdd",
            "mutation($id: ID!) { teamModelAdd(input: { teamId: $id, models: [] }) { team { id } } }",
            by_id(&teams),
            &[("BAD_USER_INPUT", "input.models")],
        ),
        case(
            "teamModelRemove",
            "mutation($id: ID!) { teamModelRemove(input: { teamId: $id, models: [] }) { team { id } } }",
            by_id(&teams),
            &[("BAD_USER_INPUT", "input.models")],
        ),
        case(
            "teamModelAliasSet",
            "mutation($id: ID!) { teamModelAliasSet(input: { teamId: $id, alias: \"\", target: \"x\" }) { team { id } } }",
            by_id(&teams),
            &[("BAD_USER_INPUT", "input.alias")],
        ),
        case(
            "teamModelAliasRemove",
            "mutation($id: ID!) { teamModelAliasRemove(input: { teamId: $id, alias: \"none\" }) { team { id } } }",
            by_id(&teams),
            &[("NOT_FOUND", "input.alias")],
        ),
        case(
            "userCreate",
            "mutation($o: ID) { userCreate(input: { organizationId: $o }) { user { id } } }",
            in_organization(Value::Null),
            &[("BAD_USER_INPUT", "input")],
        ),
        case(
            "userUpdate",
            "mutation($id: ID!) { userUpdate(input: { id: $id, name: \"x\", expectedVersion: -1 }) { user { id } } }",
            by_id(&users),
            STALE,
        ),
        case(
            "userUpdate",
            "mutation($id: ID!) { userUpdate(input: { id: $id, platformRole: VIEWER, budgets: null, expectedVersion: -1 }) { user { id } } }",
            by_id(&users).into_iter().map(|(name, id, value)| (limited(name), id, value)).collect(),
            STALE,
        ),
        case(
            "userDelete",
            "mutation($id: ID!) { userDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&users),
            STALE,
        ),
        Case {
            undo: Some("mutation($id: ID!) { userUnblock(input: { id: $id }) { user { id } } }"),
            ..case(
                "userBlock",
                "mutation($id: ID!) { userBlock(input: { id: $id }) { user { id } } }",
                by_id(&users),
                STALE,
            )
        },
        case(
            "userUnblock",
            "mutation($id: ID!) { userUnblock(input: { id: $id }) { user { id } } }",
            by_id(&users),
            &[],
        ),
        case(
            "budgetCreate",
            "mutation($o: ID) { budgetCreate(input: { name: \"\", organizationId: $o, limits: { maxSpend: \"1\" } }) { budget { id } } }",
            in_organization(Value::Null),
            &[("BAD_USER_INPUT", "input.name")],
        ),
        case(
            "budgetUpdate",
            "mutation($id: ID!) { budgetUpdate(input: { id: $id, expectedVersion: -1 }) { budget { id } } }",
            by_id(&budgets),
            STALE,
        ),
        case(
            "budgetDelete",
            "mutation($id: ID!) { budgetDelete(input: { id: $id, expectedVersion: -1 }) { deletedId } }",
            by_id(&budgets),
            STALE,
        ),
        case(
            "apiKeyUpdate",
            "mutation($id: ID!) { apiKeyUpdate(input: { id: $id, expectedVersion: -1 }) { apiKey { id } } }",
            by_id(&keys),
            STALE,
        ),
        case(
            "apiKeyRotate",
            "mutation($id: ID!) { apiKeyRotate(input: { id: $id, expectedVersion: -1 }) { apiKey { id } } }",
            by_id(&keys),
            STALE,
        ),
        case(
            "apiKeyDelete",
            "mutation($id: ID!) { apiKeyDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&keys),
            STALE,
        ),
        Case {
            undo: Some(
                "mutation($id: ID!) { apiKeyUnblock(input: { id: $id }) { apiKey { id } } }",
            ),
            ..case(
                "apiKeyBlock",
                "mutation($id: ID!) { apiKeyBlock(input: { id: $id }) { apiKey { id } } }",
                by_id(&keys),
                &[],
            )
        },
        case(
            "apiKeyUnblock",
            "mutation($id: ID!) { apiKeyUnblock(input: { id: $id }) { apiKey { id } } }",
            by_id(&keys),
            &[],
        ),
        Case {
            undo: Some(
                "mutation($id: ID!, $u: ID!) { teamMemberRemove(input: { teamId: $id, user: { id: $u } }) { deletedId } }",
            ),
            ..case(
                "teamJoin",
                "mutation($id: ID!) { teamJoin(input: { teamId: $id }) { membership { user { id } } } }",
                by_id(&teams),
                &[("CONFLICT", "-"), ("ALREADY_EXISTS", "input.0.user")],
            )
        },
    ];
    cases.extend(super::model_cases::cases(app, world).await);
    let key_inputs = [
        ("for itself", json!({})),
        ("for the member of A1", json!({ "userId": world.users["member"] })),
        ("for itself in A1", json!({ "teamId": world.a1 })),
        ("for the member in A1", json!({ "userId": world.users["member"], "teamId": world.a1 })),
        (
            "for B1's admin in B1",
            json!({ "userId": world.users["other_team_admin"], "teamId": world.b1 }),
        ),
        ("service key of A1", json!({ "kind": "SERVICE", "teamId": world.a1 })),
        ("service key of B1", json!({ "kind": "SERVICE", "teamId": world.b1 })),
        ("gateway key", json!({ "kind": "GATEWAY" })),
        ("admin key", json!({ "kind": "ADMIN" })),
    ];
    let objects = key_inputs
        .into_iter()
        .map(|(name, mut input)| {
            input["name"] = json!("");
            (name, String::new(), json!({ "input": input }))
        })
        .collect();
    cases.push(case(
        "apiKeyCreate",
        "mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { apiKey { id } } }",
        objects,
        &[("BAD_USER_INPUT", "input.name"), ("BAD_USER_INPUT", "input.userId")],
    ));
    cases
}

/// The name of a case that changes limits.
fn limited(name: &'static str) -> &'static str {
    match name {
        "missing" => "missing",
        "A1" => "A1, limits",
        "A2, same organization" => "A2, limits",
        "B1, foreign" => "B1, limits",
        "member of A1" => "member, limits",
        "admin of A1" => "admin of A1, limits",
        "admin of organization A" => "admin of A, limits",
        "admin of B1, foreign" => "admin of B1, limits",
        "outsider, foreign" => "outsider, limits",
        _ => "platform admin, limits",
    }
}
