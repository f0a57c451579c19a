//! The measure: what an operation asks for once its fragments are expanded, in linear time.
//!
//! Fragments let a small text ask for much: one that spreads another twice, 24 levels deep, makes
//! any walk that follows each spread run for seconds (`SECURITY.md` 0, F2), and validators walk
//! like that too. So every fragment is weighed once, the ones it spreads before itself, and a
//! spread adds the finished sum. Nothing here recurses: selections are kept on a heap stack and
//! fragments are taken in the order of their dependencies, so neither deep nesting nor a long
//! chain of fragments can overflow the stack. All sums saturate.
//!
//! It is safe to measure a document that was not validated: unknown fragments weigh nothing, and
//! validation refuses them later.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::executable::{Field, FragmentMap, Operation, Selection, SelectionSet};
use apollo_compiler::response::JsonMap;

use super::Refusal;

mod page;

use page::Pages;

/// What one operation may ask for. The defaults are those of `SECURITY.md` 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasureLimits {
    /// Fields after expansion, `__typename` included (F2, F3).
    pub fields: u64,
    /// Fields inside each other.
    pub depth: u64,
    /// As `depth`, for an operation that only asks for the schema: the standard query of the
    /// tools is 13 to 15 deep (F11).
    pub introspection_depth: u64,
    /// As `fields`, for an operation that only asks for the schema.
    pub introspection_fields: u64,
    /// `fields`, `interfaces`, `possibleTypes` and `inputFields` of the schema inside each other.
    /// Each level multiplies the answer by the size of the schema; the standard query needs one,
    /// reference servers refuse the third (`API.md` 2.3).
    pub introspection_lists: u64,
    /// Renamed fields after expansion (F3).
    pub aliases: u64,
    /// Operations in the document, whether they run or not.
    pub operations: u64,
    /// Variable definitions, over all operations of the document (F5).
    pub variables: u64,
    /// Fields at the root of an operation: each is a database query or a write.
    pub root_fields: u64,
    /// The cost of the operation that runs; see [`Measure::cost`].
    pub cost: u64,
}

impl Default for MeasureLimits {
    fn default() -> Self {
        Self {
            fields: 2_000,
            depth: 16,
            introspection_depth: 20,
            introspection_fields: 500,
            introspection_lists: 2,
            aliases: 60,
            operations: 10,
            variables: 200,
            root_fields: 20,
            cost: 50_000,
        }
    }
}

/// The weight of the operation that is about to run. All numbers are after expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measure {
    /// Fields, `__typename` included.
    pub fields: u64,
    /// Levels of fields inside each other; a lone root field is 1 deep.
    pub depth: u64,
    /// Fields with an alias.
    pub aliases: u64,
    /// Fields at the root.
    pub root_fields: u64,
    /// One per field; below a field with `first` or `last`, multiplied by that page size. A
    /// connection without either counts as a page of 20 (`API.md` 3, pagination).
    pub cost: u64,
    /// Whether a query selects only `__schema` and `__type` (and `__typename`) at its root.
    pub introspection: bool,
}

/// Weighs `operation`, and refuses it or its document if a limit is passed.
///
/// `variables` are the values sent with the request, coerced or not; they only set page sizes.
/// Every operation and fragment of the document must keep the structural limits, also those that
/// will not run, since validation walks them all; the cost limit applies to `operation` alone.
/// Time and memory are linear in the document. Source: `SECURITY.md` 0, F2, F3, F11.
pub fn measure(
    document: &ExecutableDocument,
    operation: &Operation,
    variables: &JsonMap,
    limits: &MeasureLimits,
) -> Result<Measure, Refusal> {
    let operations = &document.operations;
    within(to_u64(operations.len()), limits.operations, "operations in a document")?;
    let declared = operations.iter().map(|each| to_u64(each.variables.len()));
    within(declared.fold(0, u64::saturating_add), limits.variables, "variables in a document")?;

    let order = fragment_order(&document.fragments).ok_or(Refusal::FragmentCycle)?;
    let mut weigher = Weigher {
        fragments: &document.fragments,
        weights: vec![Weight::default(); document.fragments.len()],
        pages: Pages::new(&operation.variables, variables),
    };
    // The indices come from the map itself, so they are in range.
    for index in order {
        let weight = weigher.weigh(&document.fragments[index].selection_set);
        // A fragment that nobody spreads still has to be validated.
        within(weight.fields, limits.fields, FIELDS)?;
        weigher.weights[index] = weight;
    }
    for each in operations.iter() {
        check_shape(each, &weigher.weigh(&each.selection_set), limits)?;
    }

    let weight = weigher.weigh(&operation.selection_set);
    let introspection = check_shape(operation, &weight, limits)?;
    within(weight.cost, limits.cost, "points of cost (fields times page sizes)")?;
    Ok(Measure {
        fields: weight.fields,
        depth: weight.depth,
        aliases: weight.aliases,
        root_fields: weight.top_fields,
        cost: weight.cost,
        introspection,
    })
}

const FIELDS: &str = "fields (fragments expanded)";

/// Checks all limits that do not depend on variables; tells whether it is pure introspection.
fn check_shape(
    operation: &Operation,
    weight: &Weight,
    limits: &MeasureLimits,
) -> Result<bool, Refusal> {
    let introspection = operation.is_query() && weight.schema_only && weight.asks_schema;
    let (depth, fields) = if introspection {
        (limits.introspection_depth, limits.introspection_fields)
    } else {
        (limits.depth, limits.fields)
    };
    within(weight.fields, fields, FIELDS)?;
    within(weight.depth, depth, "levels of fields")?;
    within(weight.schema_lists, limits.introspection_lists, "nested lists of the schema")?;
    within(weight.aliases, limits.aliases, "aliases (fragments expanded)")?;
    within(weight.top_fields, limits.root_fields, "fields at the root")?;
    Ok(introspection)
}

/// The sums of one selection set, its fragments expanded.
#[derive(Clone, Copy)]
struct Weight {
    fields: u64,
    depth: u64,
    aliases: u64,
    cost: u64,
    /// Fields of the set itself, not of what is below them.
    top_fields: u64,
    /// Of these, none but `__schema`, `__type` and `__typename`.
    schema_only: bool,
    /// Of these, at least one `__schema` or `__type`.
    asks_schema: bool,
    /// See [`MeasureLimits::introspection_lists`].
    schema_lists: u64,
}

impl Default for Weight {
    fn default() -> Self {
        Self {
            fields: 0,
            depth: 0,
            aliases: 0,
            cost: 0,
            top_fields: 0,
            schema_only: true,
            asks_schema: false,
            schema_lists: 0,
        }
    }
}

impl Weight {
    fn add_field(&mut self, field: &Field, place: &Place<'_>) {
        self.fields = self.fields.saturating_add(1);
        self.cost = self.cost.saturating_add(place.factor);
        self.depth = self.depth.max(place.depth.saturating_add(1));
        if field.alias.is_some() {
            self.aliases = self.aliases.saturating_add(1);
        }
        if place.depth == 0 {
            self.top_fields = self.top_fields.saturating_add(1);
            match field.name.as_str() {
                "__schema" | "__type" => self.asks_schema = true,
                "__typename" => {}
                _ => self.schema_only = false,
            }
        }
    }

    /// Adds the finished sums of a fragment that is spread at `place`.
    fn add_fragment(&mut self, fragment: &Self, place: &Place<'_>) {
        self.fields = self.fields.saturating_add(fragment.fields);
        self.aliases = self.aliases.saturating_add(fragment.aliases);
        let cost = fragment.cost.saturating_mul(place.factor);
        self.cost = self.cost.saturating_add(cost);
        self.depth = self.depth.max(place.depth.saturating_add(fragment.depth));
        let lists = place.schema_lists.saturating_add(fragment.schema_lists);
        self.schema_lists = self.schema_lists.max(lists);
        if place.depth == 0 {
            self.top_fields = self.top_fields.saturating_add(fragment.top_fields);
            self.schema_only &= fragment.schema_only;
            self.asks_schema |= fragment.asks_schema;
        }
    }
}

/// A selection set that waits to be weighed, and where it stands.
struct Place<'a> {
    set: &'a SelectionSet,
    /// Fields above.
    depth: u64,
    /// The product of the page sizes above.
    factor: u64,
    /// Lists of the schema above.
    schema_lists: u64,
}

struct Weigher<'a> {
    fragments: &'a FragmentMap,
    /// By position in `fragments`; a fragment's weight is set before anything that spreads it.
    weights: Vec<Weight>,
    pages: Pages<'a>,
}

impl Weigher<'_> {
    fn weigh(&self, set: &SelectionSet) -> Weight {
        let mut weight = Weight::default();
        let mut waiting = vec![Place { set, depth: 0, factor: 1, schema_lists: 0 }];
        while let Some(place) = waiting.pop() {
            for selection in &place.set.selections {
                match selection {
                    Selection::Field(field) => {
                        weight.add_field(field, &place);
                        let lists =
                            place.schema_lists + u64::from(is_schema_list(place.set, field));
                        weight.schema_lists = weight.schema_lists.max(lists);
                        if let Some(below) = &field.selection_set {
                            waiting.push(Place {
                                set: below,
                                depth: place.depth.saturating_add(1),
                                factor: place.factor.saturating_mul(self.pages.size(field)),
                                schema_lists: lists,
                            });
                        }
                    }
                    Selection::InlineFragment(inline) => {
                        waiting.push(Place { set: &inline.selection_set, ..place });
                    }
                    Selection::FragmentSpread(spread) => {
                        let index = self.fragments.get_index_of(&spread.fragment_name);
                        if let Some(fragment) = index.and_then(|index| self.weights.get(index)) {
                            weight.add_fragment(fragment, &place);
                        }
                    }
                }
            }
        }
        weight
    }
}

/// Whether the field lists parts of the schema, each of which can list further parts.
fn is_schema_list(parent: &SelectionSet, field: &Field) -> bool {
    // The parent's type keeps a field of our own schema with such a name out of it.
    parent.ty.starts_with("__")
        && matches!(field.name.as_str(), "fields" | "interfaces" | "possibleTypes" | "inputFields")
}

/// The positions of all fragments, each after those it spreads; `None` if there is a cycle.
///
/// Kahn's algorithm: linear, and without the recursion a depth-first search would need.
fn fragment_order(fragments: &FragmentMap) -> Option<Vec<usize>> {
    let mut spread_by = vec![Vec::new(); fragments.len()];
    let mut unfinished = vec![0_usize; fragments.len()];
    for (index, fragment) in fragments.values().enumerate() {
        let mut waiting = vec![&fragment.selection_set];
        while let Some(set) = waiting.pop() {
            for selection in &set.selections {
                match selection {
                    Selection::Field(field) => waiting.extend(field.selection_set.as_ref()),
                    Selection::InlineFragment(inline) => waiting.push(&inline.selection_set),
                    Selection::FragmentSpread(spread) => {
                        if let Some(target) = fragments.get_index_of(&spread.fragment_name) {
                            spread_by[target].push(index);
                            unfinished[index] += 1;
                        }
                    }
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..fragments.len()).filter(|&i| unfinished[i] == 0).collect();
    let mut next = 0;
    while let Some(&finished) = order.get(next) {
        next += 1;
        for &index in &spread_by[finished] {
            unfinished[index] -= 1;
            if unfinished[index] == 0 {
                order.push(index);
            }
        }
    }
    (order.len() == fragments.len()).then_some(order)
}

fn within(value: u64, limit: u64, subject: &'static str) -> Result<(), Refusal> {
    if value <= limit { Ok(()) } else { Err(Refusal::TooComplex { subject, limit }) }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
