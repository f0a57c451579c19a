//! A canary in every field that takes a secret: afterwards it is in no answer, no error, no log, no
//! audit row, no column and no file. Which fields those are, the schema decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use apollo_compiler::Schema;
use apollo_compiler::schema::{ExtendedType, FieldDefinition};
use apollo_compiler::validation::Valid;
use sea_orm::ConnectOptions;
use serde_json::{Value, json};

use crate::crash::Program;
use crate::harness::catalogue::dump;
use crate::harness::client::text;
use crate::harness::database::{TestDatabase, kinds};
use crate::harness::world::{api_key, user};
use crate::harness::{ADMIN_KEY, Answer, Client, KEK};
use crate::schema::types;
use crate::steps::{change, done};

const PEPPER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The fields that take a secret, and whether it is stored there or refused.
const PLACES: [(&str, bool); 9] = [
    ("ApiKeyCreateInput.secret", true),
    ("CredentialCreateInput.values.value", true),
    ("CredentialUpdateInput.values.value", true),
    ("ModelCreateInput.apiBase", false),
    ("ModelCreateInput.info", false),
    ("ModelCreateInput.params", false),
    ("ModelUpdateInput.apiBase", false),
    ("ModelUpdateInput.info", false),
    ("ModelUpdateInput.params", false),
];

/// What somebody would take for a place of a secret and is none: free data, which says that it is
/// shown to all who see the object.
const FREE: [&str; 3] = ["metadata", "objectPermissions", "routerSettings"];

/// A secret that is in no other place. Its last four characters may be shown.
fn canary(number: usize) -> String {
    let letters = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(letters[(state >> 33) as usize % letters.len()])
    };
    "sk-".chars().chain((0..45).map(letter)).collect()
}

/// What of a canary must not be seen: a good part of it is as bad as the whole.
fn traces(canary: &str) -> Vec<String> {
    let starts = (0..canary.len() - 4 - 16).step_by(2);
    let mut traces: Vec<_> = starts.map(|start| canary[start..start + 16].to_owned()).collect();
    // The same in a database's dump of binary values.
    traces.push(canary.bytes().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    }));
    traces
}

/// Every leaf of an input object whose name or type can mean a secret.
fn suspicious(schema: &Valid<Schema>, input: &str, path: &str, found: &mut BTreeSet<String>) {
    for (name, field) in &schema.get_input_object(input).unwrap().fields {
        let inner = field.ty.inner_named_type().as_str();
        let path = format!("{path}.{name}");
        if schema.get_input_object(inner).is_some() {
            if path.matches('.').count() < 4 {
                suspicious(schema, inner, &path, found);
            }
            continue;
        }
        let words = ["secret", "password", "token", "value", "apibase", "authorization"];
        let lower = name.to_lowercase();
        let named = inner == "String" && words.iter().any(|word| lower.contains(word));
        if (named || inner == "JSON") && !FREE.contains(&name.as_str()) {
            found.insert(path);
        }
    }
}

/// A new field that takes a secret needs a canary here.
#[test]
fn every_field_that_takes_a_secret_has_a_canary() {
    let schema = types();
    let mut found = BTreeSet::new();
    for field in schema.get_object("Mutation").unwrap().fields.values() {
        let input = field.arguments[0].ty.inner_named_type().as_str();
        suspicious(&schema, input, input, &mut found);
    }
    let known: BTreeSet<_> = PLACES.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(found, known);
}

/// A mutation with a value at a place that takes a secret.
fn plant(place: &str, value: &Value) -> (&'static str, Value) {
    let values = json!([{ "name": "api_key", "value": value }]);
    match place {
        "ApiKeyCreateInput.secret" => {
            ("apiKeyCreate", json!({ "kind": "GATEWAY", "name": "chosen", "secret": value }))
        }
        "CredentialCreateInput.values.value" => {
            ("credentialCreate", json!({ "name": "made", "externalId": "made", "values": values }))
        }
        "CredentialUpdateInput.values.value" => {
            ("credentialUpdate", json!({ "id": "c", "values": values }))
        }
        _ => {
            let (input, field) = place.split_once('.').unwrap();
            let value = match (field, value.as_str()) {
                ("apiBase", Some(secret)) => json!(format!("https://u:{secret}@api.openai.com")),
                ("apiBase", None) => value.clone(),
                (_, _) => json!({ "api_key": value }),
            };
            match input {
                "ModelCreateInput" => {
                    ("modelCreate", json!({ "name": "x", "provider": "p", field: value }))
                }
                "ModelUpdateInput" => ("modelUpdate", json!({ "id": "m", field: value })),
                other => panic!("{other} needs a step here"),
            }
        }
    }
}

/// All that can be selected of a type without arguments that are required, so deep.
fn selection(schema: &Valid<Schema>, name: &str, depth: usize) -> String {
    let fields = match &schema.types[name] {
        ExtendedType::Object(object) => &object.fields,
        ExtendedType::Interface(interface) => &interface.fields,
        _ => return "__typename".to_owned(),
    };
    let mut text = "__typename".to_owned();
    for (name, field) in fields {
        if field.arguments.iter().any(|argument| argument.is_required()) {
            continue;
        }
        let few = if field.arguments.iter().any(|argument| argument.name == "first") {
            "(first: 5)"
        } else {
            ""
        };
        match inner(schema, field) {
            None => write!(text, " {name}{few}").unwrap(),
            Some(_) if depth == 0 => {}
            Some(object) => {
                let fields = selection(schema, object, depth - 1);
                write!(text, " {name}{few} {{ {fields} }}").unwrap();
            }
        }
    }
    text
}

/// The type of a field, if something must be selected of it.
fn inner<'a>(schema: &Valid<Schema>, field: &'a FieldDefinition) -> Option<&'a str> {
    let name = field.ty.inner_named_type().as_str();
    let scalar = matches!(schema.types[name], ExtendedType::Scalar(_) | ExtendedType::Enum(_));
    (!scalar).then_some(name)
}

/// One document for each field of the query root: all that it shows. The opened values of a
/// credential are what a gateway is there to get; `accessCheck` is asked by [`present`].
fn everything(schema: &Valid<Schema>, ids: &BTreeMap<&str, String>) -> Vec<String> {
    let mut documents = Vec::new();
    for (name, field) in &schema.get_object("Query").unwrap().fields {
        if ["accessCheck", "modelResolve"].contains(&name.as_str()) {
            continue;
        }
        let arguments: Vec<_> = field
            .arguments
            .iter()
            .filter_map(|argument| match argument.name.as_str() {
                "id" if name == "node" => Some(format!("id: \"{}\"", ids["credential"])),
                "id" => Some(format!("id: \"{}\"", ids.get(name.as_str()).map_or("none", |id| id))),
                "ids" => Some(format!("ids: [{:?}, {:?}]", ids["credential"], ids["model"])),
                "first" => Some("first: 20".to_owned()),
                "input" if name == "accessExplain" => Some("input: { call: {} }".to_owned()),
                "from" => Some("from: \"2026-01-01\"".to_owned()),
                "to" => Some("to: \"2026-01-31\"".to_owned()),
                _ if argument.is_required() => panic!("{name} needs arguments here"),
                _ => None,
            })
            .collect();
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!("({})", arguments.join(", "))
        };
        if ["node", "nodes"].contains(&name.as_str()) {
            for object in &schema.implementers_map()["Node"].objects {
                let fields = selection(schema, object, 1);
                documents
                    .push(format!("{{ {name}{arguments} {{ ... on {object} {{ {fields} }} }} }}"));
            }
            continue;
        }
        let depth = if field.ty.inner_named_type().ends_with("Connection") { 2 } else { 1 };
        let fields = inner(schema, field)
            .map(|object| format!(" {{ {} }}", selection(schema, object, depth)));
        documents.push(format!("{{ {name}{arguments}{} }}", fields.unwrap_or_default()));
    }
    documents
}

/// Everything that was seen, where the traces of canaries are looked for.
#[derive(Default)]
struct Seen {
    texts: Vec<(String, String)>,
}

impl Seen {
    fn keep(&mut self, what: impl Into<String>, answer: &Answer) {
        self.texts.push((what.into(), format!("{:?} {}", answer.headers, answer.body)));
    }

    /// Where a canary shows.
    fn leaks(&self) -> BTreeSet<String> {
        let mut leaks = BTreeSet::new();
        for number in 0..=PLACES.len() {
            let traces = traces(&canary(number));
            for (what, text) in &self.texts {
                if traces.iter().any(|trace| text.contains(trace)) {
                    leaks.insert(format!("canary {number} in {what}"));
                }
            }
        }
        leaks
    }
}

/// Places the canary of a place, well and in every wrong shape.
async fn sing(admin: &Client, number: usize, seen: &mut Seen) {
    let (place, is_stored) = PLACES[number];
    let canary = canary(number);
    let (mutation, input) = plant(place, &json!(canary));
    let mut answer = change(admin, mutation, input, "__typename").await;
    assert_eq!(answer.codes().is_empty(), is_stored, "{place}: {:#}", answer.body);
    if mutation == "apiKeyCreate" {
        // Shown to the one who chose it, once.
        let (mutation, mut input) = plant(place, &json!(canary));
        input["name"] = json!("again");
        answer = change(admin, mutation, input, "secret apiKey { id name secrets: hint }").await;
        assert!(!answer.codes().is_empty(), "a secret that is taken: {:#}", answer.body);
    }
    seen.keep(place, &answer);
    let long = "x".repeat(20_000);
    for wrong in [
        json!([canary]),
        json!({ "x": canary }),
        json!({ canary.as_str(): 1 }),
        json!(format!("{canary}\u{0}")),
        json!(format!("{canary}****")),
        json!(format!("os.environ/{canary}")),
        json!(format!("{canary}{long}")),
    ] {
        let (mutation, input) = plant(place, &wrong);
        let answer = change(admin, mutation, input, "__typename").await;
        assert!(!answer.codes().is_empty(), "{place}: {:#}", answer.body);
        seen.keep(format!("{place} in a wrong shape"), &answer);
    }
    let title = place.split('.').next().unwrap();
    for document in [
        format!("mutation {{ {mutation}(input: {{ secret: \"{canary}\" }}) {{ __typename }} }}"),
        format!("mutation {{ {mutation}(input: \"{canary}\") {{ __typename }} }}"),
        format!("mutation {{ {mutation}(input: {{ id: \"c\", values: \"{canary}\" "),
        format!("mutation {{ {mutation}(input: {{ expectedVersion: \"{canary}\" }}) {{ id }} }}"),
        format!(
            "mutation($x: {title} = \"{canary}\") {{ {mutation}(input: $x) {{ __typename }} }}"
        ),
        format!("# {canary}\nquery \"{canary}\" {{ viewer {{ kind }} }}"),
    ] {
        let answer = admin.run(&document).await;
        assert!(answer.body.get("errors").is_some(), "{document}: {:#}", answer.body);
        seen.keep(document.replace(&canary, "CANARY"), &answer);
    }
    for input in [json!(canary), json!([canary]), json!({ "id": { "x": canary } })] {
        let answer = change(admin, mutation, input, "__typename").await;
        assert!(!answer.codes().is_empty());
        seen.keep(format!("{mutation} with a wrong input"), &answer);
    }
}

/// Somebody presents a secret that is none, wherever one may be looked for.
async fn knock(program: &Program, seen: &mut Seen) {
    let wrong = canary(PLACES.len());
    let question = json!({ "query": "{ viewer { kind } }" });
    seen.keep("a wrong key", &program.client(&wrong).run("{ viewer { kind } }").await);
    for name in ["x-api-key", "api-key", "x-litellm-api-key", "cookie", "x-request-id"] {
        let value = if name == "cookie" { format!("token={wrong}") } else { wrong.clone() };
        // The caller's own name of a request comes back by design, when it has the form of one.
        let value = if name == "x-request-id" { format!("Bearer {value}") } else { value };
        let answer = program.client(ADMIN_KEY).post(question.clone(), &[(name, &value)]).await;
        seen.keep(format!("the header {name}"), &answer);
    }
}

/// A gateway asks about secrets that clients presented: one that nobody has and one that works.
async fn present(gateway: &Client, seen: &mut Seen) {
    for number in [0, PLACES.len()] {
        let secret = canary(number);
        let long = "x".repeat(20_000);
        for credential in [
            json!(secret),
            json!([secret]),
            json!({ "x": secret }),
            json!({ secret.as_str(): 1 }),
            json!(format!("{secret}\u{0}")),
            json!(format!("{secret}{long}")),
        ] {
            for body in [
                json!({ "credential": credential, "model": "m" }),
                json!({ "checks": [{ "credential": credential }] }),
                json!({ "keyId": credential }),
            ] {
                seen.keep("a check", &gateway.check(body).await);
            }
            let document = "query($credential: String) {
                accessCheck(input: { credential: $credential, call: { model: \"m\" } }) {
                    isAllowed code message
                }
            }";
            let variables = json!({ "credential": credential });
            seen.keep("accessCheck", &gateway.run_with(document, variables).await);
        }
        seen.keep("a check", &gateway.check_text(&format!("{{\"{secret}\": 1}}"), &[]).await);
        seen.keep(
            "a check",
            &gateway.check_text(&format!("{{\"credential\": {secret}"), &[]).await,
        );
    }
}

/// SECURITY case 15; MD-NEW-9, C-M9: on both databases, through the program with its log at its most
/// talkative.
#[tokio::test]
async fn canaries_in_secret_fields_are_seen_nowhere() {
    let schema = types();
    for kind in kinds() {
        let database = TestDatabase::create(kind).await;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let url = database.url();
        let environment = [
            ("TOLLKEEP_ADMIN_KEY", ADMIN_KEY),
            ("TOLLKEEP__AUTH__PEPPER", PEPPER),
            ("TOLLKEEP__AUTH__KEK", KEK),
            ("TOLLKEEP__TELEMETRY__LOG", "trace"),
            ("DATABASE_URL", &url),
        ];
        let mut program = Program::serve_logging(folder.path(), &environment, Some(&log));
        let admin = program.client(ADMIN_KEY);
        let mut seen = Seen::default();
        let values = json!([{ "name": "api_key", "value": "not-yet-a-canary-000" }]);
        let input = json!({ "name": "c", "externalId": "c", "values": values,
            "allowedHosts": ["api.openai.com"] });
        let made = done(&admin, "credentialCreate", input, "credential { id }").await;
        let mut ids = BTreeMap::from([("credential", text(&made, "/credential/id"))]);
        let input = json!({ "name": "m", "externalId": "m", "provider": "p", "credentialId": "c" });
        let made = done(&admin, "modelCreate", input, "model { id }").await;
        ids.insert("model", text(&made, "/model/id"));
        let person = user(&admin, "viewer", "VIEWER").await;
        let (key, viewer) = api_key(&admin, json!({ "userId": person })).await;
        ids.insert("user", person);
        ids.insert("apiKey", key);
        for number in 0..PLACES.len() {
            sing(&admin, number, &mut seen).await;
        }
        knock(&program, &mut seen).await;
        // The secret that was chosen is one that works.
        let chosen = program.client(&canary(0));
        let opened = "{ modelResolve(name: \"m\", apiKeyId: \"none\") { values { secret } } }";
        seen.keep("modelResolve", &chosen.run(opened).await);
        present(&chosen, &mut seen).await;
        for (who, client) in
            [("the admin", &admin), ("a viewer", &program.client(&viewer)), ("a gateway", &chosen)]
        {
            for document in everything(&schema, &ids) {
                let answer = client.run(&document).await;
                let refused = answer.codes().iter().any(|code| {
                    !["FORBIDDEN", "NOT_FOUND"].contains(&code.as_str()) || who == "the admin"
                });
                assert!(!refused, "{who}: {document}\n{:#}", answer.body);
                seen.keep(format!("{who}: {document}"), &answer);
            }
        }
        assert!(seen.texts.iter().any(|(_, text)| text.contains("CREDENTIAL_UPDATED")));
        let connection =
            sea_orm::Database::connect(ConnectOptions::new(&url).sqlx_logging(false).to_owned())
                .await
                .unwrap();
        let stored = dump(&connection).await;
        connection.close().await.unwrap();
        assert_eq!(stored[&("credential_values".to_owned(), "sealed".to_owned())].len(), 2);
        for ((table, column), values) in stored {
            seen.texts.push((format!("{table}.{column}"), values.join("\n")));
        }
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        let mut files = vec![log];
        if let Some(path) = url.strip_prefix("sqlite:") {
            let data = std::path::Path::new(path).parent().unwrap();
            files.extend(std::fs::read_dir(data).unwrap().map(|file| file.unwrap().path()));
            assert!(files.len() > 1, "{files:?}");
        }
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name != "log" || bytes.len() > 10_000, "the log is at work");
            seen.texts.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
        let leaks = seen.leaks();
        assert!(leaks.is_empty(), "on {kind:?}: {leaks:#?}");
        database.drop().await;
    }
}

/// A walk that finds nothing would pass too: a canary that is let out is found.
#[test]
fn a_canary_that_is_let_out_is_found() {
    let mut seen = Seen::default();
    seen.texts.push(("a log".to_owned(), format!("key={}...", &canary(3)[..24])));
    assert_eq!(seen.leaks().len(), 1);
    seen.texts = vec![("a hint".to_owned(), canary(3)[canary(3).len() - 4..].to_owned())];
    assert!(seen.leaks().is_empty());
}
