//! The schema as a contract: it equals the committed file, everything in it is documented, and its
//! conventions hold everywhere.

use std::collections::BTreeSet;

use apollo_compiler::Schema;
use apollo_compiler::schema::ExtendedType;
use sea_orm::Iterable;
use tollkeep::authz::Permission;
use tollkeep::graphql;
use tollkeep::graphql::engine::{Engine, EngineLimits};

pub(crate) fn types() -> apollo_compiler::validation::Valid<Schema> {
    Schema::parse_and_validate(graphql::sdl(), "schema.graphql").unwrap()
}

/// The names that the specification and the library bring along.
fn is_builtin(name: &str) -> bool {
    name.starts_with("__") || ["Int", "Float", "String", "Boolean", "ID"].contains(&name)
}

#[test]
fn the_committed_schema_is_the_servers() {
    let committed = include_str!("../../schema.graphql");
    assert!(
        committed == graphql::sdl(),
        "schema.graphql is out of date: cargo run -- schema > schema.graphql"
    );
}

#[test]
fn everything_is_documented() {
    let mut bare = Vec::new();
    for (name, definition) in &types().types {
        if is_builtin(name) {
            continue;
        }
        if definition.description().is_none() {
            bare.push(name.to_string());
        }
        match definition {
            ExtendedType::Object(object) => {
                for (field, definition) in &object.fields {
                    if definition.description.is_none() {
                        bare.push(format!("{name}.{field}"));
                    }
                    for argument in &definition.arguments {
                        if argument.description.is_none() {
                            bare.push(format!("{name}.{field}({}:)", argument.name));
                        }
                    }
                }
            }
            ExtendedType::InputObject(input) => {
                for (field, definition) in &input.fields {
                    if definition.description.is_none() {
                        bare.push(format!("{name}.{field}"));
                    }
                }
            }
            ExtendedType::Enum(values) => {
                for (value, definition) in &values.values {
                    if definition.description.is_none() {
                        bare.push(format!("{name}.{value}"));
                    }
                }
            }
            _ => {}
        }
    }
    assert!(bare.is_empty(), "without a description: {bare:#?}");
}

#[test]
fn every_mutation_takes_one_input_and_gives_a_nullable_payload() {
    let types = types();
    let mutation = types.get_object("Mutation").unwrap();
    for (name, field) in &mutation.fields {
        let mut title = name.to_string();
        title[..1].make_ascii_uppercase();
        assert_eq!(field.arguments.len(), 1, "{name}");
        let input = &field.arguments[0];
        assert_eq!(input.name, "input", "{name}");
        assert!(input.ty.is_non_null(), "{name}");
        assert!(!field.ty.is_non_null(), "{name}: a failing mutation must not null its siblings");
        assert_eq!(field.ty.inner_named_type().as_str(), format!("{title}Payload"));
    }
}

#[test]
fn a_list_that_can_grow_is_a_connection() {
    let types = types();
    for (name, definition) in &types.types {
        let ExtendedType::Object(object) = definition else { continue };
        for (field, definition) in &object.fields {
            if !definition.ty.inner_named_type().ends_with("Connection") {
                continue;
            }
            let arguments: BTreeSet<_> =
                definition.arguments.iter().map(|argument| argument.name.as_str()).collect();
            for wanted in ["first", "after", "last", "before"] {
                assert!(arguments.contains(wanted), "{name}.{field} lacks {wanted}");
            }
            assert!(!definition.ty.is_non_null(), "{name}.{field} can fail, so it can be null");
        }
    }
}

/// No names that the library spells by itself: versions of it differ in how they spell digits.
#[test]
fn no_name_has_a_digit() {
    let digits = |name: &str| name.bytes().any(|byte| byte.is_ascii_digit());
    for (name, definition) in &types().types {
        if is_builtin(name) {
            continue;
        }
        assert!(!digits(name), "{name}");
        if let ExtendedType::Object(object) = definition {
            assert!(object.fields.keys().all(|field| !digits(field)), "{name}");
        }
    }
}

#[test]
fn every_root_field_has_a_rule() {
    let engine = Engine::new(EngineLimits::default()).unwrap();
    let types = types();
    let roots = ["Query", "Mutation"].map(|root| types.get_object(root).unwrap().fields.len());
    assert_eq!(engine.rules().iter().count(), roots.iter().sum::<usize>());
}

#[test]
fn every_permission_has_a_holder_and_a_name_that_survives() {
    let names: BTreeSet<_> = Permission::iter().map(|permission| permission.to_string()).collect();
    assert_eq!(names.len(), Permission::iter().count());
    assert!(Permission::iter().all(|permission| !permission.holders().is_empty()));
}

/// Secrets have no output: the two mutations that make one show it, once, and a gateway gets those of others.
#[test]
fn no_field_gives_a_secret_but_those_that_make_one() {
    let mut found = Vec::new();
    for (name, definition) in &types().types {
        let ExtendedType::Object(object) = definition else { continue };
        for field in object.fields.keys() {
            let lower = field.to_lowercase();
            if ["secret", "digest", "hash", "token", "pepper"].iter().any(|word| lower == *word) {
                found.push(format!("{name}.{field}"));
            }
        }
    }
    // The third opens credentials of providers, for gateways alone.
    let expected =
        ["ApiKeyCreatePayload.secret", "ApiKeyRotatePayload.secret", "ResolvedValue.secret"];
    assert_eq!(found, expected);
}
