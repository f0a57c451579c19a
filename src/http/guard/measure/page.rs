//! Page sizes: by how much a field multiplies the cost of what is below it.
//!
//! It errs on the dear side: a number that is too large to be read counts as the largest there is.
//! A value of a wrong type counts as none: validation and coercion refuse it before anything runs.

use std::collections::HashMap;

use apollo_compiler::Node;
use apollo_compiler::ast::Value;
use apollo_compiler::executable::{Field, VariableDefinition};
use apollo_compiler::response::{JsonMap, JsonValue};

/// The page size when the caller names none (`API.md` 3, pagination).
const DEFAULT_PAGE: u64 = 20;

/// Looks up page sizes, with the variables of the operation that runs.
pub(super) struct Pages<'a> {
    defaults: HashMap<&'a str, &'a Value>,
    values: &'a JsonMap,
}

impl<'a> Pages<'a> {
    /// `values` as sent; a value that is missing is taken from its definition's default.
    pub(super) fn new(definitions: &'a [Node<VariableDefinition>], values: &'a JsonMap) -> Self {
        // A map, because a look-up by search would make the measure quadratic.
        let defaults = definitions.iter().filter_map(|definition| {
            definition.default_value.as_ref().map(|value| (definition.name.as_str(), &**value))
        });
        Self { defaults: defaults.collect(), values }
    }

    /// The factor for what is below `field`: the larger of `first` and `last`, at least 1.
    pub(super) fn size(&self, field: &Field) -> u64 {
        let asked = field
            .arguments
            .iter()
            .filter(|argument| matches!(argument.name.as_str(), "first" | "last"));
        let size = asked.filter_map(|argument| self.number(&argument.value)).max();
        // A page of 0 still costs the query that finds nothing.
        size.unwrap_or_else(|| default_size(field)).max(1)
    }

    /// The number a value stands for; `None` if it is null or not given.
    fn number(&self, value: &Value) -> Option<u64> {
        let Value::Variable(name) = value else { return literal(value) };
        match self.values.get(name.as_str()) {
            Some(JsonValue::Null) => None,
            Some(JsonValue::Number(number)) => Some(parse(&number.to_string())),
            Some(_) => None,
            None => self.defaults.get(name.as_str()).and_then(|value| literal(value)),
        }
    }
}

fn default_size(field: &Field) -> u64 {
    let name = field.definition.ty.inner_named_type();
    if name.ends_with("Connection") { DEFAULT_PAGE } else { 1 }
}

fn literal(value: &Value) -> Option<u64> {
    match value {
        Value::Null => None,
        Value::Int(int) => Some(parse(int.as_str())),
        _ => None,
    }
}

/// Reads a decimal number; a negative one is 0, since the engine refuses it before any work.
fn parse(text: &str) -> u64 {
    if text.starts_with('-') {
        return 0;
    }
    // JSON writes an integer as `20.0` too, and coercion to Int accepts that.
    text.strip_suffix(".0").unwrap_or(text).parse().unwrap_or(u64::MAX)
}
