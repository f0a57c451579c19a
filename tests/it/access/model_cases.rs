//! The samples for models, credentials and access groups.

use serde_json::{Value, json};

use super::cases::{Case, STALE, case};
use crate::harness::TestApp;
use crate::harness::client::text;
use crate::harness::world::World;
use crate::steps::done;

type Objects = Vec<(&'static str, String, Value)>;

fn by_id(objects: &[(&'static str, String)]) -> Objects {
    objects.iter().map(|(name, id)| (*name, id.clone(), json!({ "id": id }))).collect()
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) async fn cases(app: &TestApp, world: &World) -> Vec<Case> {
    let admin = app.admin();
    let none = "00000000000000000000000000000000";
    let mut models = vec![("missing", format!("model_{none}"))];
    let mut credentials = vec![("missing", format!("credential_{none}"))];
    for (name, team) in
        [("of the platform", None), ("of A1", Some(&world.a1)), ("of B1", Some(&world.b1))]
    {
        let input = json!({ "name": "gpt-4o", "provider": "openai", "teamId": team });
        let made = done(&admin, "modelCreate", input, "model { id }").await;
        models.push((name, text(&made, "/model/id")));
        let values = json!([{ "name": "api_key", "value": "sk-4f9a0c2e7b1d8365" }]);
        let input = json!({ "name": "key", "values": values, "teamId": team });
        let made = done(&admin, "credentialCreate", input, "credential { id }").await;
        credentials.push((name, text(&made, "/credential/id")));
    }
    let group = done(&admin, "accessGroupCreate", json!({ "name": "fast" }), "accessGroup { id }");
    let groups = [
        ("missing", format!("group_{none}")),
        ("of the platform", text(&group.await, "/accessGroup/id")),
    ];
    let places: Objects = [
        ("in a missing one", json!(format!("team_{none}"))),
        ("on the platform", Value::Null),
        ("in A1", json!(world.a1)),
        ("in A2", json!(world.a2)),
        ("in B1, foreign", json!(world.b1)),
    ]
    .into_iter()
    .map(|(name, id)| (name, String::new(), json!({ "t": id })))
    .collect();
    let ours = |field: &'static str, query: &'static str| {
        case(field, query, vec![("-", String::new(), json!({}))], &[])
    };
    vec![
        ours("models", "{ models { nodes { id } } }"),
        ours("credentials", "{ credentials { nodes { id } } }"),
        ours("accessGroups", "{ accessGroups { nodes { id } } }"),
        case(
            "modelResolve",
            "query($id: ID!) { modelResolve(name: \"gpt-4o\", apiKeyId: $id) { model { id } } }",
            vec![("for a key of A1", String::new(), json!({ "id": world.keys["service"] }))],
            &[],
        ),
        case("model", "query($id: ID!) { model(id: $id) { id } }", by_id(&models), &[]),
        case(
            "credential",
            "query($id: ID!) { credential(id: $id) { id } }",
            by_id(&credentials),
            &[],
        ),
        case("accessGroup", "query($id: ID!) { accessGroup(id: $id) { id } }", by_id(&groups), &[]),
        case(
            "modelCreate",
            "mutation($t: ID) { modelCreate(input: { name: \"\", provider: \"p\", teamId: $t }) { model { id } } }",
            places.clone(),
            &[("BAD_USER_INPUT", "input.name"), ("BAD_USER_INPUT", "input.providerModel")],
        ),
        case(
            "modelUpdate",
            "mutation($id: ID!) { modelUpdate(input: { id: $id, name: \"x\", expectedVersion: -1 }) { model { id } } }",
            by_id(&models),
            STALE,
        ),
        case(
            "modelDelete",
            "mutation($id: ID!) { modelDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&models),
            STALE,
        ),
        Case {
            undo: Some("mutation($id: ID!) { modelUnblock(input: { id: $id }) { model { id } } }"),
            ..case(
                "modelBlock",
                "mutation($id: ID!) { modelBlock(input: { id: $id }) { model { id } } }",
                by_id(&models),
                &[],
            )
        },
        case(
            "modelUnblock",
            "mutation($id: ID!) { modelUnblock(input: { id: $id }) { model { id } } }",
            by_id(&models),
            &[],
        ),
        case(
            "credentialCreate",
            "mutation($t: ID) { credentialCreate(input: { name: \"\", teamId: $t, values: [{ name: \"k\", value: \"v\" }] }) { credential { id } } }",
            places,
            &[("BAD_USER_INPUT", "input.name")],
        ),
        case(
            "credentialUpdate",
            "mutation($id: ID!) { credentialUpdate(input: { id: $id, expectedVersion: -1 }) { credential { id } } }",
            by_id(&credentials),
            STALE,
        ),
        case(
            "credentialDelete",
            "mutation($id: ID!) { credentialDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&credentials),
            STALE,
        ),
        case(
            "accessGroupCreate",
            "mutation { accessGroupCreate(input: { name: \"\" }) { accessGroup { id } } }",
            vec![("-", String::new(), json!({}))],
            &[("BAD_USER_INPUT", "input.name")],
        ),
        case(
            "accessGroupUpdate",
            "mutation($id: ID!) { accessGroupUpdate(input: { id: $id, expectedVersion: -1 }) { accessGroup { id } } }",
            by_id(&groups),
            STALE,
        ),
        case(
            "accessGroupDelete",
            "mutation($id: ID!) { accessGroupDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(&groups),
            STALE,
        ),
    ]
}
