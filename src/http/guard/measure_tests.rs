//! Tests of the measure: the attacks of `SECURITY.md` 0, sums by table, the introspection query.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use apollo_compiler::Schema;
use apollo_compiler::response::serde_json_bytes::{Value, json};
use apollo_compiler::validation::Valid;

use super::*;

const SDL: &str = "
type Query { me: User, users(first: Int, last: Int): UserConnection!, top(first: Int): [User!]! }
type Mutation { rename(id: ID): User }
type User { id: ID!, name: String, boss: User, fields: User, friends(first: Int, last: Int): UserConnection! }
type UserConnection { nodes: [User!]!, totalCount: Int! }
";

/// Parses without validating; build errors still leave a document, as the caller may have one.
fn parse(text: &str) -> ExecutableDocument {
    let schema: Valid<Schema> = Schema::parse_and_validate(SDL, "schema.graphql").unwrap();
    ExecutableDocument::parse(&schema, text, "test.graphql").unwrap_or_else(|bad| bad.partial)
}

fn weigh_with(text: &str, variables: Value) -> Result<Measure, Refusal> {
    let document = parse(text);
    let operation = document.operations.iter().next().expect("the text has an operation");
    let Value::Object(variables) = variables else { panic!("variables are an object") };
    measure(&document, operation, &variables, &MeasureLimits::default())
}

fn weigh(text: &str) -> Result<Measure, Refusal> {
    weigh_with(text, json!({}))
}

fn subject(text: &str) -> &'static str {
    match weigh(text) {
        Err(Refusal::TooComplex { subject, .. }) => subject,
        Err(Refusal::FragmentCycle) => "cycle",
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn sums_are_taken_after_expansion() {
    let cases = [
        ("{me{id}}", (2, 2, 0, 1)),
        ("{__typename me{__typename a:id}}", (4, 2, 1, 2)),
        (
            "{...q ...q} fragment q on Query{me{...u}} fragment u on User{x:id boss{id}}",
            (8, 3, 2, 2),
        ),
        ("{... on Query{...{me{... on User{id}}}}}", (2, 2, 0, 1)),
        ("{me{...missing}}", (1, 1, 0, 1)),
        ("mutation{a:rename{id} b:rename{id}}", (4, 2, 2, 2)),
    ];
    for (text, expected) in cases {
        let Measure { fields, depth, aliases, root_fields, introspection, .. } =
            weigh(text).unwrap();
        assert_eq!((fields, depth, aliases, root_fields), expected, "{text}");
        assert!(!introspection, "{text}");
    }
}

#[test]
fn cost_is_fields_times_page_sizes() {
    let cases = [
        ("{me{id name}}", json!({}), 3),
        ("{users{totalCount}}", json!({}), 1 + 20),
        ("{users(first:5){nodes{id}}}", json!({}), 1 + 5 * 2),
        ("{users(first:5,last:7){nodes{id}}}", json!({}), 1 + 7 * 2),
        ("{users(first:0){totalCount}}", json!({}), 1 + 1),
        ("{users(first:-3){totalCount}}", json!({}), 1 + 1),
        ("{users(first:null){totalCount}}", json!({}), 1 + 20),
        ("{top{id}}", json!({}), 1 + 1),
        ("{top(first:9){id}}", json!({}), 1 + 9),
        ("{users(first:5){nodes{friends(first:3){nodes{id}}}}}", json!({}), 1 + 5 * (2 + 3 * 2)),
        ("query($n:Int){users(first:$n){totalCount}}", json!({"n": 50}), 1 + 50),
        ("query($n:Int){users(first:$n){totalCount}}", json!({"n": 50.0}), 1 + 50),
        ("query($n:Int){users(first:$n){totalCount}}", json!({"n": null}), 1 + 20),
        ("query($n:Int){users(first:$n){totalCount}}", json!({}), 1 + 20),
        ("query($n:Int=8){users(first:$n){totalCount}}", json!({}), 1 + 8),
        ("query($n:Int=8){users(first:$n){totalCount}}", json!({"n": 2}), 1 + 2),
        ("{users(first:2){...c}} fragment c on UserConnection{nodes{id}}", json!({}), 1 + 2 * 2),
        (
            "query($n:Int){me{...f}} fragment f on User{friends(first:$n){nodes{id}}}",
            json!({"n": 4}),
            1 + 1 + 4 * 2,
        ),
    ];
    for (text, variables, cost) in cases {
        assert_eq!(weigh_with(text, variables).unwrap().cost, cost, "{text}");
    }
}

#[test]
fn a_page_size_that_cannot_be_read_is_dear_and_sums_saturate() {
    let text = "query($n:Int){users(first:$n){nodes{friends(first:$n){totalCount}}}}";
    for n in [json!(1e30), json!(u64::MAX), json!(2.5), json!(1_000)] {
        let refusal = weigh_with(text, json!({ "n": n })).unwrap_err();
        assert_eq!(refusal.kind(), super::super::RefusalKind::TooComplex, "{n}");
    }
    for n in [json!("5"), json!([1])] {
        assert_eq!(
            weigh_with("query($n:Int){users(first:$n){totalCount}}", json!({ "n": n }))
                .unwrap()
                .cost,
            21
        );
    }
    assert!(subject("{users(first:99999999999999999999999){totalCount}}").starts_with("points"));
}

#[test]
fn attacks_of_the_threat_model_are_refused() {
    // F2: 24 doublings; F2 at its worst has `__typename` as the leaf. Then 90, past any integer.
    for (levels, leaf) in [(24, "id"), (24, "__typename"), (90, "__typename")] {
        let mut text = format!("{{me{{...f{levels}}}}} fragment f0 on User{{{leaf}}}");
        for level in 1..=levels {
            let below = level - 1;
            write!(text, " fragment f{level} on User{{...f{below} ...f{below}}}").unwrap();
        }
        let began = Instant::now();
        assert_eq!(subject(&text), FIELDS);
        // Parsing the schema is the most of it; the walk that is avoided takes seconds to for ever.
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    }
    // F2: cycles, direct, through another, behind a field, and one that nobody spreads.
    for text in [
        "{me{...a}} fragment a on User{...a}",
        "{me{...a}} fragment a on User{id ...b} fragment b on User{boss{... on User{...a}}}",
        "{me{id}} fragment a on User{boss{...a}}",
    ] {
        assert_eq!(subject(text), "cycle", "{text}");
    }
    // F3: aliases, also of `__typename`, also through a fragment.
    let aliases = |n| (0..n).fold(String::new(), |text, i| text + &format!("a{i}:__typename "));
    assert_eq!(subject(&format!("{{me{{{}}}}}", aliases(61))), "aliases (fragments expanded)");
    assert!(weigh(&format!("{{me{{{}}}}}", aliases(60))).is_ok());
    let split = format!("{{me{{...a ...a}}}} fragment a on User{{{}}}", aliases(31));
    assert_eq!(subject(&split), "aliases (fragments expanded)");
}

#[test]
fn each_limit_is_the_last_value_accepted() {
    let boss = |n| format!("{{me{}id{}}}", "{boss".repeat(n) + "{", "}".repeat(n + 1));
    let many = |item: &str, n: usize| item.repeat(n);
    let operations =
        |n| (0..n).fold(String::new(), |text, i| text + &format!("query q{i}{{me{{id}}}}"));
    let variables = |n| (0..n).fold(String::new(), |text, i| text + &format!("$v{i}:Int "));
    let cases = [
        (boss(14), boss(15), "levels of fields"),
        (
            format!("{{me{{{}}}}}", many("id ", 1_999)),
            format!("{{me{{{}}}}}", many("id ", 2_000)),
            FIELDS,
        ),
        (
            format!("{{{}}}", many("me{id}", 20)),
            format!("{{{}}}", many("me{id}", 21)),
            "fields at the root",
        ),
        (operations(10), operations(11), "operations in a document"),
        (
            format!("query({}){{me{{id}}}}", variables(200)),
            format!("query({}){{me{{id}}}}", variables(201)),
            "variables in a document",
        ),
    ];
    for (good, bad, expected) in cases {
        assert!(weigh(&good).is_ok(), "{good}");
        assert_eq!(subject(&bad), expected);
    }
}

#[test]
fn what_does_not_run_must_keep_the_limits_too() {
    let wide = "id ".repeat(2_000);
    assert_eq!(subject(&format!("query a{{me{{id}}}} query b{{me{{{wide}}}}}")), FIELDS);
    assert_eq!(subject(&format!("{{me{{id}}}} fragment f on User{{{wide} id}}")), FIELDS);
    // Its cost is nobody's: the values are those of the operation that runs.
    let text = "query a{me{id}} query b($n:Int){users(first:100000){totalCount}}";
    assert!(weigh(text).is_ok());
}

#[test]
fn a_chain_of_fragments_does_not_use_the_stack() {
    // 20,000 links, a hundred times what the scan lets through, in both orders of definition.
    let link = |i: u32| format!(" fragment f{i} on User{{...f{}}}", i + 1);
    let forward: String = (0..20_000).map(link).collect();
    let backward: String = (0..20_000).rev().map(link).collect();
    for chain in [forward, backward] {
        let text = format!("{{me{{...f0}}}} fragment f20000 on User{{id}}{chain}");
        assert_eq!(weigh(&text).unwrap().fields, 2);
    }
}

#[test]
fn what_passes_the_guard_can_be_validated_without_harm() {
    use crate::http::guard::scan::{ScanLimits, scan};

    let schema = Schema::parse_and_validate(SDL, "schema.graphql").unwrap();
    // As long a chain, and as deep a nesting of sets and of values, as the scan lets through.
    let link = |i: u32| format!(" fragment f{i} on User{{...f{}}}", i + 1);
    let chain = (0..198).map(link).collect::<String>();
    let inline = format!("{{me{}{{id}}{}}}", "{...".repeat(46), "}".repeat(46));
    let value = format!("{{users(first:{}{}){{totalCount}}}}", "[".repeat(46), "]".repeat(46));
    for (text, valid) in [
        (format!("{{me{{...f0}}}} fragment f198 on User{{id}}{chain}"), None),
        (inline, Some(true)),
        (value, Some(false)),
    ] {
        assert_eq!(scan(&text, &ScanLimits::default()), Ok(()));
        let weight = weigh(&text);
        let outcome = parse(&text).validate(&schema).is_ok();
        // The validator has limits of its own; what counts here is that it comes back.
        assert!(valid.is_none_or(|valid| valid == outcome), "{weight:?} {outcome}: {text}");
    }
}

#[test]
fn the_standard_introspection_query_passes_and_abuse_of_it_does_not() {
    let type_ref = "kind name ".to_owned() + &"ofType{kind name ".repeat(9) + &"}".repeat(9);
    let standard = format!(
        "query IntrospectionQuery{{__schema{{description queryType{{name kind}}
        mutationType{{name kind}} subscriptionType{{name kind}} types{{...FullType}}
        directives{{name description isRepeatable locations args(includeDeprecated:true)
        {{...InputValue}}}}}}}}
        fragment FullType on __Type{{kind name description specifiedByURL isOneOf
        fields(includeDeprecated:true){{name description args(includeDeprecated:true)
        {{...InputValue}} type{{...TypeRef}} isDeprecated deprecationReason}}
        inputFields(includeDeprecated:true){{...InputValue}} interfaces{{...TypeRef}}
        enumValues(includeDeprecated:true){{name description isDeprecated deprecationReason}}
        possibleTypes{{...TypeRef}}}}
        fragment InputValue on __InputValue{{name description type{{...TypeRef}} defaultValue
        isDeprecated deprecationReason}}
        fragment TypeRef on __Type{{{type_ref}}}"
    );
    let found = weigh(&standard).unwrap();
    assert!(found.introspection);
    assert!((13..=20).contains(&found.depth) && found.fields <= 400, "{found:?}");

    let deep = |inner: &str| format!("{{__schema{{types{{{inner}}}}}}}");
    assert!(weigh(&deep("fields{type{fields{name}}}")).is_ok());
    for text in [
        deep("fields{type{fields{type{fields{name}}}}}"),
        deep("fields{type{...t}}") + "fragment t on __Type{interfaces{possibleTypes{name}}}",
    ] {
        assert_eq!(subject(&text), "nested lists of the schema", "{text}");
    }
    // The same names in our own schema are plain fields.
    assert!(weigh("{me{fields{fields{fields{fields{id}}}}}}").is_ok());

    let wide = "name ".repeat(500);
    assert_eq!(subject(&format!("{{__typename __type(name:\"A\"){{{wide}}}}}")), FIELDS);
    // One ordinary root field, and the ordinary limits apply.
    let of_type = "ofType{".repeat(16) + "name" + &"}".repeat(16);
    assert!(
        weigh(&format!("{{...q}} fragment q on Query{{__type(name:\"A\"){{{of_type}}}}}")).is_ok()
    );
    assert_eq!(
        subject(&format!("{{me{{id}} __type(name:\"A\"){{{of_type}}}}}")),
        "levels of fields"
    );
    assert!(!weigh("{__typename}").unwrap().introspection);
}
