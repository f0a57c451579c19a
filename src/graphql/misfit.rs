//! Where in an input the value stands that a scalar does not take.
//!
//! The library says that some value does not fit, and not which one. Callers need its path, as they
//! get it for every other fault of an input (SECURITY 2, case 28).

use apollo_compiler::Schema;
use apollo_compiler::ast::{Type, Value as Written};
use apollo_compiler::executable::{Operation, Selection};
use apollo_compiler::response::JsonMap;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{ExecutableDocument, validation::Valid};
use async_graphql::{InputType, ScalarType, Value};
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use super::scalar::{BigInt, Duration, Usd};

/// The path of the first value that its scalar does not take, in the arguments of a root field.
pub(super) fn path(
    types: &Schema,
    document: &Valid<ExecutableDocument>,
    operation: &Operation,
    variables: &JsonMap,
    response_name: &str,
) -> Option<String> {
    let mut sets = vec![&operation.selection_set];
    while let Some(set) = sets.pop() {
        for selection in &set.selections {
            match selection {
                Selection::InlineFragment(inline) => sets.push(&inline.selection_set),
                Selection::FragmentSpread(spread) => {
                    sets.extend(spread.fragment_def(document).map(|found| &found.selection_set));
                }
                Selection::Field(field) if field.response_name().as_str() == response_name => {
                    return field.arguments.iter().find_map(|argument| {
                        let definition = field.definition.argument_by_name(&argument.name)?;
                        let value = written(&argument.value, variables);
                        within(types, &definition.ty, &value, argument.name.as_str())
                    });
                }
                Selection::Field(_) => {}
            }
        }
    }
    None
}

fn within(types: &Schema, ty: &Type, value: &Json, path: &str) -> Option<String> {
    match (ty, value) {
        (_, Json::Null) => None,
        (Type::List(item) | Type::NonNullList(item), Json::Array(values)) => values
            .iter()
            .enumerate()
            .find_map(|(index, value)| within(types, item, value, &format!("{path}.{index}"))),
        (Type::List(item) | Type::NonNullList(item), value) => within(types, item, value, path),
        (Type::Named(name) | Type::NonNullNamed(name), value) => match types.types.get(name)? {
            ExtendedType::InputObject(object) => object.fields.iter().find_map(|(name, field)| {
                within(types, &field.ty, value.get(name.as_str())?, &format!("{path}.{name}"))
            }),
            ExtendedType::Scalar(_) if !fits(name.as_str(), value) => Some(path.to_owned()),
            _ => None,
        },
    }
}

/// Whether a scalar takes a value.
fn fits(scalar: &str, value: &Json) -> bool {
    let Ok(value) = Value::from_json(value.clone()) else { return false };
    match scalar {
        "Usd" => <Usd as ScalarType>::parse(value).is_ok(),
        "BigInt" => <BigInt as ScalarType>::parse(value).is_ok(),
        "Duration" => <Duration as ScalarType>::parse(value).is_ok(),
        "DateTime" => <DateTime<Utc> as InputType>::parse(Some(value)).is_ok(),
        _ => true,
    }
}

/// A value of a document as JSON, with the variables put in.
fn written(value: &Written, variables: &JsonMap) -> Json {
    match value {
        Written::Null => Json::Null,
        Written::Enum(name) => Json::String(name.to_string()),
        Written::String(text) => Json::String(text.clone()),
        Written::Boolean(value) => Json::Bool(*value),
        Written::Int(number) => serde_json::from_str(number.as_str()).unwrap_or_default(),
        Written::Float(number) => serde_json::from_str(number.as_str()).unwrap_or_default(),
        Written::Variable(name) => variables
            .get(name.as_str())
            .and_then(|value| serde_json::to_value(value).ok())
            .unwrap_or_default(),
        Written::List(items) => {
            Json::Array(items.iter().map(|item| written(item, variables)).collect())
        }
        Written::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.to_string(), written(value, variables)))
            .collect(),
    }
}
