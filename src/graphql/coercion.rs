//! The values of our own scalars, checked before anything runs.
//!
//! The library parses them while it executes, and an argument that does not parse there fails its
//! field beyond the reach of `Option<Result<…>>`: the whole answer would be null, and with it the
//! secrets that earlier mutations of the same document have shown once. Here they are walked along
//! the types of the schema, for literals and for variables alike, and each fault has its path.

use apollo_compiler::Schema;
use apollo_compiler::ast::{Type, Value};
use apollo_compiler::collections::HashSet;
use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{ExecutableDocument, Node};
use async_graphql::{InputType, Value as Input};

use super::scalar::{BigInt, Duration, Instant, Usd};
use crate::error::Fault;

/// The faults in the literals of a document.
pub(super) fn of_document(schema: &Schema, document: &ExecutableDocument) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = HashSet::default();
    for operation in document.operations.iter() {
        of_selections(schema, document, &operation.selection_set, &mut seen, &mut faults);
        for variable in &operation.variables {
            if let Some(default) = &variable.default_value {
                of_literal(schema, &variable.ty, default, &variable.name, &mut faults);
            }
        }
    }
    faults
}

/// The faults in the variables of an operation.
pub(super) fn of_variables(schema: &Schema, operation: &Operation, values: &JsonMap) -> Vec<Fault> {
    let mut faults = Vec::new();
    for variable in &operation.variables {
        if let Some(value) = values.get(variable.name.as_str()) {
            of_json(schema, &variable.ty, value, &variable.name, &mut faults);
        }
    }
    faults
}

/// Fragments are walked once, whoever spreads them; the guard bounds how deep they go.
fn of_selections<'doc>(
    schema: &Schema,
    document: &'doc ExecutableDocument,
    set: &'doc SelectionSet,
    seen: &mut HashSet<&'doc str>,
    faults: &mut Vec<Fault>,
) {
    for selection in &set.selections {
        match selection {
            Selection::Field(field) => {
                for argument in &field.arguments {
                    let definition = field
                        .definition
                        .arguments
                        .iter()
                        .find(|definition| definition.name == argument.name);
                    if let Some(definition) = definition {
                        let path = argument.name.as_str();
                        of_literal(schema, &definition.ty, &argument.value, path, faults);
                    }
                }
                if let Some(below) = &field.selection_set {
                    of_selections(schema, document, below, seen, faults);
                }
            }
            Selection::InlineFragment(inline) => {
                of_selections(schema, document, &inline.selection_set, seen, faults);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = spread.fragment_def(document)
                    && seen.insert(spread.fragment_name.as_str())
                {
                    of_selections(schema, document, &fragment.selection_set, seen, faults);
                }
            }
        }
    }
}

fn of_literal(
    schema: &Schema,
    ty: &Type,
    value: &Node<Value>,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    match value.as_ref() {
        Value::Null | Value::Variable(_) => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                of_literal(schema, ty.item_type(), item, &format!("{path}.{index}"), faults);
            }
        }
        Value::Object(members) if !is_scalar(schema, ty) => {
            let Some(ExtendedType::InputObject(input)) = schema.types.get(ty.inner_named_type())
            else {
                return;
            };
            for (name, member) in members {
                if let Some(definition) = input.fields.get(name) {
                    of_literal(schema, &definition.ty, member, &format!("{path}.{name}"), faults);
                }
            }
        }
        scalar => check(ty, input_of(scalar), path, faults),
    }
}

fn of_json(schema: &Schema, ty: &Type, value: &JsonValue, path: &str, faults: &mut Vec<Fault>) {
    match value {
        JsonValue::Null => {}
        JsonValue::Array(items) if !is_scalar(schema, ty) || ty.is_list() => {
            for (index, item) in items.iter().enumerate() {
                of_json(schema, ty.item_type(), item, &format!("{path}.{index}"), faults);
            }
        }
        JsonValue::Object(members) if !is_scalar(schema, ty) => {
            let Some(ExtendedType::InputObject(input)) = schema.types.get(ty.inner_named_type())
            else {
                return;
            };
            for (name, member) in members {
                if let Some(definition) = input.fields.get(name.as_str()) {
                    let path = format!("{path}.{}", name.as_str());
                    of_json(schema, &definition.ty, member, &path, faults);
                }
            }
        }
        scalar => {
            let value = serde_json::to_value(scalar).unwrap_or_default();
            check(ty, Input::from_json(value).ok(), path, faults);
        }
    }
}

fn is_scalar(schema: &Schema, ty: &Type) -> bool {
    matches!(schema.types.get(ty.inner_named_type()), Some(ExtendedType::Scalar(_)))
}

/// A literal as the library takes it; none for what is no scalar.
fn input_of(value: &Value) -> Option<Input> {
    Some(match value {
        Value::String(text) => Input::String(text.clone()),
        Value::Boolean(value) => Input::Boolean(*value),
        Value::Int(number) => Input::Number(number.as_str().parse().ok()?),
        Value::Float(number) => Input::Number(number.as_str().parse().ok()?),
        Value::Enum(name) => Input::Enum(async_graphql::Name::new(name.as_str())),
        Value::Null | Value::Variable(_) | Value::List(_) | Value::Object(_) => return None,
    })
}

/// Every scalar of the schema that does not take all values of its kind.
fn check(ty: &Type, value: Option<Input>, path: &str, faults: &mut Vec<Fault>) {
    let message = match ty.inner_named_type().as_str() {
        "Usd" => refusal::<Usd>(value),
        "Duration" => refusal::<Duration>(value),
        "BigInt" => refusal::<BigInt>(value),
        "DateTime" => refusal::<Instant>(value),
        _ => None,
    };
    if let Some(message) = message {
        faults.push(Fault { field: path.to_owned(), message });
    }
}

fn refusal<T: InputType>(value: Option<Input>) -> Option<String> {
    let error = T::parse(value).err()?;
    let shown = error.into_server_error(async_graphql::Pos::default()).message;
    // The library says "Failed to parse "Usd": reason".
    Some(shown.split_once("\": ").map_or(shown.clone(), |(_, reason)| reason.to_owned()))
}
