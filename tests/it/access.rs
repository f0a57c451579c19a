//! The access matrix: every root field, as every persona, against objects near and far.
//!
//! The inputs are the least valid ones: whoever may do a thing is stopped by a rule that comes after
//! permission (a stale version, an empty name), so that nothing changes and every cell stands for
//! itself. That also shows that permission is judged before input.

mod cases;
mod check_cases;
mod model_cases;
mod projects;
mod usage_cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tollkeep::graphql::engine::{Engine, EngineLimits};

use crate::harness::snapshot::assert_committed;
use crate::harness::world::{PERSONAS, World};
use crate::harness::{Answer, on_each_database};
use cases::{Case, cases};

/// The columns' heads, in the order of [`PERSONAS`].
const HEADS: &str = "an gw sk tk ou iv tm ta tb oa pv pa";

const LEGEND: &str = "\
The access matrix: every root field, as every persona, against objects near and far.

an anonymous · gw gateway key · sk service key of A1 · tk key of a platform admin that belongs to A1
ou outsider · iv internal viewer, member of A1
tm member of A1 · ta admin of A1 · tb admin of B1 · oa admin of organization A · pv platform viewer
pa platform admin.  Organization A has the teams A1 and A2, organization B has B1.

+ allowed · x FORBIDDEN · ? not found, or null · 0 an empty list · ! UNAUTHENTICATED

";

/// What a cell shows.
fn verdict(case: &Case, answer: &Answer) -> char {
    if answer.status == 401 {
        assert_eq!(answer.code(), "UNAUTHENTICATED");
        return '!';
    }
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    if let Some(code) = answer.codes().first() {
        let field = answer.fields()[0].clone();
        return match code.as_str() {
            "FORBIDDEN" => 'x',
            code if case.allowed.contains(&(code, field.as_str())) => '+',
            "NOT_FOUND" => '?',
            _ => panic!("{}: {:#}", case.field, answer.body),
        };
    }
    match &answer.body["data"][case.field] {
        Value::Null => '?',
        Value::Array(list) if list.iter().all(Value::is_null) => '?',
        Value::Object(object) if object.get("nodes").is_some_and(|nodes| nodes == &json!([])) => {
            '0'
        }
        _ => '+',
    }
}

/// An answer without what differs by chance.
fn masked(answer: &Answer, id: &str) -> String {
    let mut body = answer.body.clone();
    for error in body["errors"].as_array_mut().into_iter().flatten() {
        error["extensions"]["requestId"] = Value::Null;
    }
    body.to_string().replace(id, "ID")
}

#[tokio::test]
async fn every_root_field_answers_every_persona_as_the_matrix_says() {
    let engine = Engine::new(EngineLimits::default()).unwrap();
    on_each_database(async |app| {
        let mut world = World::new(app).await;
        world.bind_a_platform_admin(app).await;
        let cases = cases(app, &world).await;
        let mut table = String::from(LEGEND);
        let _ = writeln!(table, "{:<24} {:<22} {HEADS}", "field", "object");
        for (_, field, _) in engine.rules().iter() {
            let own: Vec<_> = cases.iter().filter(|case| case.field == field).collect();
            assert!(!own.is_empty(), "{field} has no case in tests/it/access/cases.rs");
            for case in own {
                let mut missing: BTreeMap<&str, String> = BTreeMap::new();
                for (object, id, variables) in &case.objects {
                    let mut row = format!("{field:<24} {object:<22}");
                    for persona in PERSONAS {
                        let person = world.person(persona);
                        let answer = person.run_with(case.query, variables.clone()).await;
                        let verdict = verdict(case, &answer);
                        row.push(' ');
                        row.push(' ');
                        row.push(verdict);
                        if let ('+', Some(undo)) = (verdict, case.undo)
                            && answer.codes().is_empty()
                        {
                            let mut variables = variables.clone();
                            let joined = answer.body.pointer("/data/teamJoin/membership/user/id");
                            variables["u"] = joined.cloned().unwrap_or_default();
                            app.admin().run_with(undo, variables).await.data();
                        }
                        // What is hidden answers as what does not exist, to the letter.
                        if *object == "missing" {
                            missing.insert(persona, masked(&answer, id));
                        } else if verdict == '?' && missing.contains_key(persona) {
                            assert_eq!(masked(&answer, id), missing[persona], "{field} {persona}");
                        }
                    }
                    let _ = writeln!(table, "{}", row.replacen("  ", " ", 0));
                }
            }
        }
        for case in &cases {
            let known = engine.rules().iter().any(|(_, field, _)| field == case.field);
            assert!(known, "{} is no root field any more", case.field);
        }
        assert_committed("tests/it/snapshots/access_matrix.txt", &table);
    })
    .await;
}
