//! The samples of the root fields of projects.

use serde_json::json;

use super::cases::{Case, STALE, case};
use crate::harness::TestApp;
use crate::harness::world::World;
use crate::steps::project;

/// One case for each of them, in every team.
pub(super) async fn project_cases(app: &TestApp, world: &World) -> Vec<Case> {
    let admin = app.admin();
    let none = "00000000000000000000000000000000";
    let mut projects = vec![("missing", format!("project_{none}"))];
    for (name, team) in
        [("of A1", &world.a1), ("of A2, same org.", &world.a2), ("of B1, foreign", &world.b1)]
    {
        projects.push((name, project(&admin, team, json!({ "name": name })).await));
    }
    let by_id = || {
        let object = |(name, id): &(&'static str, String)| (*name, id.clone(), json!({ "id": id }));
        projects.iter().map(object).collect::<Vec<_>>()
    };
    let missing_team = format!("team_{none}");
    let in_teams = [
        ("missing", &missing_team),
        ("in A1", &world.a1),
        ("in A2, same org.", &world.a2),
        ("in B1, foreign", &world.b1),
    ]
    .map(|(name, team)| (name, team.clone(), json!({ "t": team })));
    let to_a2 = projects
        .iter()
        .filter(|(_, id)| *id != projects[2].1)
        .map(|(name, id)| (*name, id.clone(), json!({ "id": id, "t": world.a2 })));
    let to_teams = [
        ("missing", &missing_team),
        ("of A1, to A2", &world.a2),
        ("of A1, to B1, foreign", &world.b1),
    ]
    .map(|(name, team)| (name, team.clone(), json!({ "id": projects[1].1, "t": team })));
    let moves = "mutation($id: ID!, $t: ID!) { projectMove(input: { id: $id, teamId: $t, expectedVersion: -1 }) { project { id } } }";
    let key = "mutation($id: ID!) { apiKeyCreate(input: { kind: SERVICE, projectId: $id, name: \"\" }) { apiKey { id } } }";
    let nodes = by_id().split_off(1).into_iter();
    let nodes = nodes.map(|(name, id, variables)| match name {
        "of A1" => ("project of A1", id, variables),
        "of B1, foreign" => ("project of B1", id, variables),
        _ => ("project of A2", id, variables),
    });
    vec![
        case(
            "projects",
            "{ projects { nodes { id } } }",
            vec![("-", String::new(), json!({}))],
            &[],
        ),
        case("project", "query($id: ID!) { project(id: $id) { id } }", by_id(), &[]),
        case("node", "query($id: ID!) { node(id: $id) { id } }", nodes.collect(), &[]),
        case(
            "projectCreate",
            "mutation($t: ID!) { projectCreate(input: { teamId: $t, name: \"\" }) { project { id } } }",
            in_teams.to_vec(),
            &[("BAD_USER_INPUT", "input.name")],
        ),
        case(
            "projectUpdate",
            "mutation($id: ID!) { projectUpdate(input: { id: $id, budgets: null, expectedVersion: -1 }) { project { id } } }",
            by_id(),
            STALE,
        ),
        Case {
            undo: Some(
                "mutation($id: ID!) { projectUnblock(input: { id: $id }) { project { id } } }",
            ),
            ..case(
                "projectBlock",
                "mutation($id: ID!) { projectBlock(input: { id: $id }) { project { id } } }",
                by_id(),
                &[],
            )
        },
        case(
            "projectUnblock",
            "mutation($id: ID!) { projectUnblock(input: { id: $id }) { project { id } } }",
            by_id(),
            &[],
        ),
        case("projectMove", moves, to_a2.collect(), STALE),
        case("projectMove", moves, to_teams.to_vec(), STALE),
        case(
            "projectDelete",
            "mutation($id: ID!) { projectDelete(input: { ids: [$id], expectedVersion: -1 }) { deletedIds } }",
            by_id(),
            STALE,
        ),
        case("apiKeyCreate", key, in_projects(by_id()), &[("BAD_USER_INPUT", "input.name")]),
    ]
}

type Object = (&'static str, String, serde_json::Value);

fn in_projects(objects: Vec<Object>) -> Vec<Object> {
    let name = |name| match name {
        "of A1" => "in project of A1",
        "of A2, same org." => "in project of A2",
        "of B1, foreign" => "in project of B1",
        other => other,
    };
    objects.into_iter().map(|(label, id, variables)| (name(label), id, variables)).collect()
}
