//! The schema is the policy: every root field says what it requires, and the gate enforces it
//! before anything runs.
//!
//! The rules are read from the printed schema itself, so that what people read is what is enforced.
//! A root field without a rule stops the server from starting; should one be lost on the way, the
//! gate denies it (DESIGN D7).

use std::collections::BTreeMap;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::Schema;
use apollo_compiler::ast::Value;
use apollo_compiler::executable::{DirectiveList, Field, Operation, Selection, SelectionSet};
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::Valid;
use async_graphql::TypeDirective;
use sea_orm::Iterable;

use crate::authz::{Actor, Permission, policy};

/// The field is refused to callers who do not hold the permission anywhere. Whether a caller holds
/// it over a certain object is decided when the object is read.
#[TypeDirective(location = "FieldDefinition")]
pub fn requires(permission: Permission) {}

/// The field is open to every caller, for the reason given.
#[TypeDirective(location = "FieldDefinition")]
pub fn public(reason: String) {}

/// What a root field asks of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The caller holds the permission somewhere.
    Requires(Permission),
    /// Nothing.
    Public,
}

/// The rules of all root fields, by type and field.
#[derive(Clone, Debug)]
pub struct Rules(BTreeMap<(String, String), Rule>);

/// A root field that the gate denies.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The name under which the field would have stood in the answer.
    pub response_name: String,
    /// The field.
    pub field: String,
    /// The permission that is missing; none when the field has no rule.
    pub permission: Option<Permission>,
}

impl Rules {
    /// Reads the rules of a schema.
    ///
    /// # Errors
    /// The root fields that have none.
    pub fn read(schema: &Schema) -> Result<Self, Vec<String>> {
        let permissions: BTreeMap<String, Permission> =
            Permission::iter().map(|permission| (permission.to_string(), permission)).collect();
        let mut rules = BTreeMap::new();
        let mut missing = Vec::new();
        let definition = &schema.schema_definition;
        let roots = [&definition.query, &definition.mutation, &definition.subscription];
        for root in roots.into_iter().flatten() {
            let Some(object) = schema.get_object(root) else { continue };
            for (name, field) in &object.fields {
                let rule = rule_of(&field.directives, &permissions);
                match rule {
                    Some(rule) => {
                        rules.insert((root.to_string(), name.to_string()), rule);
                    }
                    None => missing.push(format!("{root}.{name}")),
                }
            }
        }
        if missing.is_empty() { Ok(Self(rules)) } else { Err(missing) }
    }

    /// All rules, by type and field.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Rule)> {
        self.0.iter().map(|((root, field), rule)| (root.as_str(), field.as_str(), *rule))
    }

    /// The root fields of an operation that a caller may not use. The fields that `@skip` and
    /// `@include` leave out do not count.
    pub fn denials(
        &self,
        actor: &Actor,
        document: &Valid<ExecutableDocument>,
        operation: &Operation,
        variables: &JsonMap,
    ) -> Vec<Denial> {
        let root = operation.object_type().as_str();
        let mut fields = Vec::new();
        collect(document, &operation.selection_set, variables, &mut fields, 0);
        fields
            .into_iter()
            .filter_map(|field| {
                let name = field.name.as_str();
                let permission = match name {
                    "__typename" => return None,
                    "__schema" | "__type" => Some(Permission::SchemaRead),
                    _ => match self.0.get(&(root.to_owned(), name.to_owned())) {
                        Some(Rule::Public) => return None,
                        Some(Rule::Requires(permission)) => Some(*permission),
                        None => None,
                    },
                };
                if permission.is_some_and(|needed| policy::allows_anywhere(actor, needed)) {
                    return None;
                }
                Some(Denial {
                    response_name: field.response_name().to_string(),
                    field: name.to_owned(),
                    permission,
                })
            })
            .collect()
    }
}

fn rule_of(directives: &DirectiveList, permissions: &BTreeMap<String, Permission>) -> Option<Rule> {
    if let Some(directive) = directives.get("requires") {
        let value = directive.specified_argument_by_name("permission")?;
        let Value::Enum(name) = value.as_ref() else { return None };
        return permissions.get(name.as_str()).copied().map(Rule::Requires);
    }
    let directive = directives.get("public")?;
    let reason = directive.specified_argument_by_name("reason")?;
    reason.as_str().filter(|reason| !reason.is_empty()).map(|_| Rule::Public)
}

/// The depth of fragments that the guard lets through, with room to spare.
const DEEPEST: usize = 300;

fn collect<'doc>(
    document: &'doc ExecutableDocument,
    set: &'doc SelectionSet,
    variables: &JsonMap,
    fields: &mut Vec<&'doc Field>,
    depth: usize,
) {
    if depth > DEEPEST {
        return;
    }
    for selection in &set.selections {
        if is_left_out(selection.directives(), variables) {
            continue;
        }
        match selection {
            Selection::Field(field) => fields.push(field),
            Selection::InlineFragment(inline) => {
                collect(document, &inline.selection_set, variables, fields, depth + 1);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = spread.fragment_def(document) {
                    collect(document, &fragment.selection_set, variables, fields, depth + 1);
                }
            }
        }
    }
}

fn is_left_out(directives: &DirectiveList, variables: &JsonMap) -> bool {
    let condition = |directive: &str| -> Option<bool> {
        let value = directives.get(directive)?.specified_argument_by_name("if")?;
        match value.as_ref() {
            Value::Boolean(value) => Some(*value),
            Value::Variable(name) => variables.get(name.as_str())?.as_bool(),
            _ => None,
        }
    };
    condition("skip") == Some(true) || condition("include") == Some(false)
}
