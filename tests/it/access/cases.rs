//! One sample operation for every root field, and the objects that it is tried on.
//!
//! Objects are listed with the missing one first, so that hidden ones can be compared with it.

use serde_json::{Value, json};

use crate::harness::TestApp;
use crate::harness::client::text;
use crate::harness::world::{World, api_key, join_organization};

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

impl Case {
    /// The same, with answers that only somebody gets who may do it.
    fn allowing(self, allowed: &'static [(&'static str, &'static str)]) -> Self {
        Self { allowed, ..self }
    }
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
    let mut end_users = vec![("missing", format!("enduser_{none}"))];
    for (name, team, organization) in [
        ("of A1", Some(&world.a1), None),
        ("of A2", Some(&world.a2), None),
        ("of A", None, Some(&world.a)),
        ("of B1", Some(&world.b1), None),
        ("of the platform", None, None),
    ] {
        let input = json!({ "externalId": "u", "teamId": team, "organizationId": organization });
        let query =
            "mutation($i: EndUserCreateInput!) { endUserCreate(input: $i) { endUser { id } } }";
        let data = admin.run_with(query, json!({ "i": input })).await.data();
        end_users.push((name, text(&data, "/endUserCreate/endUser/id")));
    }
    let mut tags = vec![("missing", format!("tag_{none}"))];
    for (name, organization) in
        [("of A", Some(&world.a)), ("of B", Some(&world.b)), ("of the platform", None)]
    {
        let input = json!({ "name": "t", "organizationId": organization });
        let query = "mutation($i: TagCreateInput!) { tagCreate(input: $i) { tag { id } } }";
        let data = admin.run_with(query, json!({ "i": input })).await.data();
        tags.push((name, text(&data, "/tagCreate/tag/id")));
    }
    let organizations = [
        ("on the platform", Value::Null),
        ("in a missing one", json!(format!("org_{none}"))),
        ("in A", json!(world.a)),
        ("in B, foreign", json!(world.b)),
    ];
    let tenants = [
        ("missing", format!("org_{none}")),
        ("A", world.a.clone()),
        ("B, foreign", world.b.clone()),
    ];
    let belonging: Vec<_> = [
        ("nobody in A", &world.a, format!("user_{none}")),
        ("member of A", &world.a, world.users["member"].clone()),
        ("admin of A", &world.a, world.users["organization_admin"].clone()),
        ("platform viewer in A", &world.a, world.users["platform_viewer"].clone()),
        ("member of B, foreign", &world.b, world.users["other_team_admin"].clone()),
    ]
    .into_iter()
    .map(|(name, o, user)| (name, String::new(), json!({ "o": o, "u": { "id": user } })))
    .collect();
    for (organization, user) in [(&world.a, "platform_viewer"), (&world.b, "other_team_admin")] {
        join_organization(app, organization, &world.users[user], "MEMBER").await;
    }
    let joinable =
        "mutation($id: ID!) { teamUpdate(input: { id: $id, isJoinable: true }) { team { id } } }";
    admin.run_with(joinable, json!({ "id": world.a2 })).await.data();

    let by_id = |objects: &[(&'static str, String)]| -> Vec<(&'static str, String, Value)> {
        objects.iter().map(|(name, id)| (*name, id.clone(), json!({ "id": id }))).collect()
    };
    let ours = |field: &'static str, query: &'static str| {
        case(field, query, vec![("-", String::new(), json!({}))], &[])
    };
    let anything: Vec<_> = [&teams[..], &tenants[..], &users[..2], &keys[..2], &budgets[..2]]
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
        ours("organizations", "{ organizations { nodes { id } } }"),
        ours("teams", "{ teams { nodes { id } } }"),
        ours("users", "{ users { nodes { id } } }"),
        ours("apiKeys", "{ apiKeys { nodes { id } } }"),
        ours("budgets", "{ budgets { nodes { id } } }"),
        ours("auditEvents", "{ auditEvents { nodes { id } } }"),
        ours("joinableTeams", "{ joinableTeams { nodes { id } } }"),
        case("node", "query($id: ID!) { node(id: $id) { id } }", by_id(&anything), &[]),
        case("nodes", "query($id: ID!) { nodes(ids: [$id]) { id } }", by_id(&anything), &[]),
        case(
            "organization",
            "query($id: ID!) { organization(id: $id) { id } }",
            by_id(&tenants),
            &[],
        ),
        ours(
            "organizationCreate",
            "mutation { organizationCreate(input: { name: \"\" }) { organization { id } } }",
        )
        .allowing(&[("BAD_USER_INPUT", "input.name")]),
        case(
            "organizationUpdate",
            "mutation($id: ID!) { organizationUpdate(input: { id: $id, name: \"x\", expectedVersion: -1 }) { organization { id } } }",
            by_id(&tenants),
            STALE,
        ),
        case(
            "organizationUpdate",
            "mutation($id: ID!) { organizationUpdate(input: { id: $id, budgets: null, expectedVersion: -1 }) { organization { id } } }",
            by_id(&tenants)
                .into_iter()
                .map(|(name, id, value)| (limited(name), id, value))
                .collect(),
            STALE,
        ),
        case(
            "organizationDelete",
            "mutation($id: ID!) { organizationDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&tenants),
            STALE,
        ),
        case(
            "organizationMemberAdd",
            "mutation($id: ID!) { organizationMemberAdd(input: { organizationId: $id, members: [] }) { organization { id } } }",
            by_id(&tenants),
            &[("BAD_USER_INPUT", "input.members")],
        ),
        case(
            "organizationMemberUpdate",
            "mutation($o: ID!, $u: UserRefInput!) { organizationMemberUpdate(input: { organizationId: $o, user: $u, role: MEMBER, expectedVersion: -1 }) { membership { id } } }",
            belonging.clone(),
            STALE,
        ),
        case(
            "organizationMemberRemove",
            "mutation($o: ID!, $u: UserRefInput!) { organizationMemberRemove(input: { organizationId: $o, user: $u, expectedVersion: -1 }) { deletedId } }",
            belonging,
            STALE,
        ),
        case(
            "teamMove",
            "mutation($id: ID!) { teamMove(input: { id: $id, organizationId: null, expectedVersion: -1 }) { team { id } } }",
            by_id(&teams),
            STALE,
        ),
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
            "teamMemberBulkUpdate",
            "mutation($t: ID!, $u: UserRefInput!) { teamMemberBulkUpdate(input: { teamId: $t, members: [{ user: $u, expectedVersion: -1 }] }) { memberships { id } } }",
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
        case("endUser", "query($id: ID!) { endUser(id: $id) { id } }", by_id(&end_users), &[]),
        ours("endUsers", "{ endUsers { nodes { id } } }"),
        case(
            "endUserCreate",
            "mutation($id: ID!) { endUserCreate(input: { externalId: \"\", teamId: $id }) { endUser { id } } }",
            by_id(&teams),
            &[("BAD_USER_INPUT", "input.externalId")],
        ),
        case(
            "endUserCreate",
            "mutation($o: ID) { endUserCreate(input: { externalId: \"\", organizationId: $o }) { endUser { id } } }",
            in_organization(Value::Null),
            &[("BAD_USER_INPUT", "input.externalId")],
        ),
        case(
            "endUserUpdate",
            "mutation($id: ID!) { endUserUpdate(input: { id: $id, expectedVersion: -1 }) { endUser { id } } }",
            by_id(&end_users),
            STALE,
        ),
        Case {
            undo: Some(
                "mutation($id: ID!) { endUserUnblock(input: { id: $id }) { endUser { id } } }",
            ),
            ..case(
                "endUserBlock",
                "mutation($id: ID!) { endUserBlock(input: { id: $id }) { endUser { id } } }",
                by_id(&end_users),
                &[],
            )
        },
        case(
            "endUserUnblock",
            "mutation($id: ID!) { endUserUnblock(input: { id: $id }) { endUser { id } } }",
            by_id(&end_users),
            &[],
        ),
        case(
            "endUserDelete",
            "mutation($id: ID!) { endUserDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&end_users),
            STALE,
        ),
        ours("settings", "{ settings { version } }"),
        case(
            "settingsUpdate",
            "mutation { settingsUpdate(input: { expectedVersion: -1 }) { settings { version } } }",
            vec![("-", String::new(), json!({}))],
            STALE,
        ),
        case("tag", "query($id: ID!) { tag(id: $id) { id } }", by_id(&tags), &[]),
        ours("tags", "{ tags { nodes { id } } }"),
        case(
            "tagCreate",
            "mutation($o: ID) { tagCreate(input: { name: \"\", organizationId: $o }) { tag { id } } }",
            in_organization(Value::Null),
            &[("BAD_USER_INPUT", "input.name")],
        ),
        case(
            "tagUpdate",
            "mutation($id: ID!) { tagUpdate(input: { id: $id, expectedVersion: -1 }) { tag { id } } }",
            by_id(&tags),
            STALE,
        ),
        case(
            "tagDelete",
            "mutation($id: ID!) { tagDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&tags),
            STALE,
        ),
        case(
            "apiKeyUpdate",
            "mutation($id: ID!) { apiKeyUpdate(input: { id: $id, expectedVersion: -1 }) { apiKey { id } } }",
            by_id(&keys),
            STALE,
        ),
        case(
            "apiKeyBulkUpdate",
            "mutation($id: ID!) { apiKeyBulkUpdate(input: { keys: [{ id: $id, expectedVersion: -1 }] }) { apiKeys { id } } }",
            by_id(&keys),
            STALE,
        ),
        case(
            "apiKeyModelAliasSet",
            "mutation($id: ID!) { apiKeyModelAliasSet(input: { apiKeyId: $id, alias: \"a\", target: \"a\" }) { apiKey { id } } }",
            by_id(&keys),
            &[("BAD_USER_INPUT", "input.target")],
        ),
        case(
            "apiKeyModelAliasRemove",
            "mutation($id: ID!) { apiKeyModelAliasRemove(input: { apiKeyId: $id, alias: \"none\" }) { apiKey { id } } }",
            by_id(&keys),
            &[("NOT_FOUND", "input.alias")],
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
    cases.extend(super::check_cases::cases(&keys));
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
    cases.extend(super::projects::project_cases(app, world).await);
    cases.extend(super::usage_cases::cases(app, world).await);
    cases
}

/// The name of a case that changes limits.
fn limited(name: &'static str) -> &'static str {
    match name {
        "missing" => "missing",
        "A1" => "A1, limits",
        "A2, same organization" => "A2, limits",
        "B1, foreign" => "B1, limits",
        "A" => "A, limits",
        "B, foreign" => "B, limits",
        "member of A1" => "member, limits",
        "admin of A1" => "admin of A1, limits",
        "admin of organization A" => "admin of A, limits",
        "admin of B1, foreign" => "admin of B1, limits",
        "outsider, foreign" => "outsider, limits",
        _ => "platform admin, limits",
    }
}
