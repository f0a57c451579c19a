//! GraphQL over HTTP: the audits of the protocol, and the attacks that must not get through.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollkeep::db::{Direction, Page, PageRequest, SortField};
use tollkeep::domain::team::Filter;

use crate::harness::world::World;
use crate::harness::{ADMIN_KEY, Answer, TestApp, on_each_database, on_each_database_with};

const GRAPHQL: (&str, &str) = ("accept", "application/graphql-response+json");

/// The 61 audits of the npm package `graphql-http`, against the running server.
#[tokio::test]
async fn all_audits_of_graphql_over_http_pass() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");
    if !std::path::Path::new(folder).join("node_modules").exists() {
        let installed = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--silent"])
            .current_dir(folder)
            .status();
        let installed =
            installed.expect("the audits need Node.js 20 or later with npm: install it");
        assert!(installed.success(), "npm ci failed in tests/conformance");
    }
    on_each_database(async |app| {
        let url = format!("http://{}/graphql", app.address());
        let audits = tokio::process::Command::new("node")
            .args(["audits.mjs", &url])
            .env("TOLLKEEP_KEY", ADMIN_KEY)
            .current_dir(folder)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&audits.stdout);
        assert!(audits.status.success(), "{text}{}", String::from_utf8_lossy(&audits.stderr));
    })
    .await;
}

/// What the audits leave open: a document that is well formed and does not fit the schema, and a
/// variable that does not fit its type.
#[tokio::test]
async fn refused_requests_have_no_data_and_the_right_status() {
    on_each_database(async |app| {
        let admin = app.admin();
        for (body, code) in [
            (json!({ "query": "{ nope }" }), "GRAPHQL_VALIDATION_FAILED"),
            (json!({ "query": "{ teams( }" }), "GRAPHQL_PARSE_FAILED"),
            (json!({ "query": "query A { viewer { kind } } query B { viewer { kind } }" }), "OPERATION_RESOLUTION_FAILURE"),
            (json!({ "query": "query($n: Int!) { teams(first: $n) { nodes { id } } }" }), "BAD_USER_INPUT"),
            (json!({ "query": "query($n: Int) { teams(first: $n) { nodes { id } } }", "variables": { "n": "x" } }), "BAD_USER_INPUT"),
            (json!({ "query": "{ teams(first: \"x\") { nodes { id } } }" }), "GRAPHQL_VALIDATION_FAILED"),
        ] {
            let plain = admin.post(body.clone(), &[]).await;
            let strict = admin.post(body.clone(), &[GRAPHQL]).await;
            assert_eq!((plain.status, strict.status), (200, 400), "{body}");
            for answer in [plain, strict] {
                assert_eq!(answer.code(), code, "{body}: {:#}", answer.body);
                assert!(answer.body.get("data").is_none(), "{body}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_draft_profile_answers_with_its_own_statuses() {
    on_each_database_with(&[("TOLLKEEP__HTTP__STATUS_PROFILE", "draft")], async |app| {
        let admin = app.admin();
        let refused = admin.post(json!({ "query": "{ nope }" }), &[GRAPHQL]).await;
        assert_eq!(refused.status, 422);
        let partial = admin.post(
            json!({ "query": "{ viewer { kind } teams(first: 0) { totalCount } }" }),
            &[GRAPHQL],
        );
        let partial = partial.await;
        assert_eq!(partial.status, 294);
        assert_eq!(partial.body["data"]["viewer"]["kind"], "BOOTSTRAP");
    })
    .await;
}

/// A scalar that does not parse stops the document before anything runs, with the field's path, so
/// that no secret of an earlier mutation is lost.
#[tokio::test]
async fn a_bad_scalar_stops_the_document_before_anything_runs() {
    on_each_database(async |app| {
        let admin = app.admin();
        let literal = "mutation {
            first: apiKeyCreate(input: { kind: GATEWAY }) { secret }
            teamCreate(input: { name: \"T\", budgets: [{ create: { maxSpend: \"1e30\" } }] }) { team { id } }
        }";
        let answer = admin.run(literal).await;
        answer.refused("BAD_USER_INPUT", "input.budgets.0.create.maxSpend");
        let query = "mutation($input: BudgetCreateInput!) { budgetCreate(input: $input) { budget { id } } }";
        for bad in [json!("-"), json!(1.5), json!("0.0000000001"), json!("9".repeat(40)), json!(true)] {
            let input = json!({ "input": { "name": "B", "limits": { "maxSpend": bad } } });
            let answer = admin.run_with(query, input).await;
            answer.refused("BAD_USER_INPUT", "input.limits.maxSpend");
        }
        let data = admin.data("{ apiKeys { totalCount } budgets { totalCount } }").await;
        assert_eq!(data, json!({ "apiKeys": { "totalCount": 0 }, "budgets": { "totalCount": 0 } }));
    })
    .await;
}

/// SECURITY F1, F2, F3, F4, F5: each is refused quickly, and the process lives.
#[tokio::test]
async fn documents_that_break_parsers_are_refused() {
    on_each_database(async |app| {
        let deep = 2_000;
        let doubling: String = (0..24)
            .map(|n| format!("fragment F{n} on Query {{ ...F{0} ...F{0} }} ", n + 1))
            .collect();
        let aliases: String = (0..10_000).map(|n| format!("a{n}:__typename ")).collect();
        for query in [
            format!("{{ node(id: {}{}) {{ id }} }}", "[".repeat(deep), "]".repeat(deep)),
            format!("{{ node(id: {}1{}) {{ id }} }}", "{a:".repeat(deep), "}".repeat(deep)),
            format!("{}viewer{}", "{ viewer ".repeat(deep), "}".repeat(deep)),
            format!("{{ ...F0 }} {doubling} fragment F24 on Query {{ __typename }}"),
            format!("{{ {aliases} }}"),
            format!("{{ viewer {} {{ kind }} }}", "@skip(if: false) ".repeat(5_000)),
            format!(
                "query({}) {{ viewer {{ kind }} }}",
                (0..500).map(|n| format!("$v{n}: Int ")).collect::<String>()
            ),
            format!("{{ {} }}", "n".repeat(60_000)),
            format!("{{ viewer {{ kind }} }} # {}", "x".repeat(100_000)),
            "query A { ...B } fragment B on Query { ...C } fragment C on Query { ...B }".to_owned(),
        ] {
            let answer = app.admin().post(json!({ "query": query }), &[GRAPHQL]).await;
            assert_eq!(answer.status, 400, "{}", &query[..60]);
            let size = answer.body.to_string().len();
            assert!(size < 8_000, "{size} bytes for {}", &query[..60]);
        }
        app.admin().data("{ viewer { kind } }").await;
    })
    .await;
}

async fn raw(app: &TestApp, request: String) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: tollkeep\r\nconnection: close\r\n\
         authorization: Bearer {ADMIN_KEY}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// SECURITY F6, F7: no mutation by GET or by a form, and no large or encoded body.
#[tokio::test]
async fn other_methods_types_and_sizes_are_refused() {
    on_each_database(async |app| {
        let mutation =
            "{\"query\":\"mutation { teamCreate(input: { name: \\\"T\\\" }) { team { id } } }\"}";
        let json = "content-type: application/json\r\n";
        for (request, status) in [
            (request("GET", "/graphql?query=mutation%7B__typename%7D", "", ""), "405"),
            (request("PUT", "/graphql", json, mutation), "405"),
            (request("DELETE", "/graphql", json, mutation), "405"),
            (request("POST", "/graphql", "content-type: text/plain\r\n", mutation), "415"),
            (
                request(
                    "POST",
                    "/graphql",
                    "content-type: application/x-www-form-urlencoded\r\n",
                    mutation,
                ),
                "415",
            ),
            (
                request(
                    "POST",
                    "/graphql",
                    "content-type: multipart/form-data; boundary=x\r\n",
                    mutation,
                ),
                "415",
            ),
            (request("POST", "/graphql", "", mutation), "415"),
            (
                request("POST", "/graphql", &format!("{json}content-encoding: gzip\r\n"), mutation),
                "415",
            ),
            (request("POST", "/graphql", &format!("{json}accept: text/html\r\n"), mutation), "406"),
            (request("POST", "/graphql", json, &" ".repeat(300_000)), "413"),
            (request("POST", "/graphql", json, "[{\"query\":\"{__typename}\"}]"), "400"),
            (request("POST", "/graphql", json, "{"), "400"),
            (request("GET", &format!("/graphql?query={}", "x".repeat(9_000)), "", ""), "414"),
            (request("POST", "//graphql", json, mutation), "404"),
            (request("POST", "/graphql%2f", json, mutation), "404"),
            (request("GET", "/", "", ""), "404"),
        ] {
            let answer = raw(app, request.clone()).await;
            let line = answer.lines().next().unwrap_or_default();
            assert!(line.contains(status), "{line} for {}", &request[..60]);
        }
        assert_eq!(app.admin().data("{ teams { totalCount } }").await["teams"]["totalCount"], 0);
    })
    .await;
}

/// SECURITY case 13: nothing but the credential decides who asks.
#[tokio::test]
async fn forged_headers_change_nothing() {
    on_each_database(async |app| {
        let nobody = app.with_key(None);
        for header in [
            ("host", "localhost"),
            ("x-original-url", "/livez"),
            ("x-rewrite-url", "/livez"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "localhost"),
            ("forwarded", "for=127.0.0.1"),
            ("x-user-id", "admin"),
        ] {
            let answer = nobody.post(json!({ "query": "{ viewer { kind } }" }), &[header]).await;
            assert_eq!(answer.status, 401, "{header:?}");
        }
    })
    .await;
}

/// Introspection fits into the limits, for those who may ask.
#[tokio::test]
async fn the_standard_introspection_query_is_answered() {
    const QUERY: &str = "query IntrospectionQuery { __schema { description queryType { name kind } mutationType { name kind }
        subscriptionType { name kind } types { ...FullType } directives { name description isRepeatable locations
        args(includeDeprecated: true) { ...InputValue } } } }
        fragment FullType on __Type { kind name description specifiedByURL isOneOf
        fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef }
        isDeprecated deprecationReason } inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
        enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
        fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
        fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
        ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }";
    on_each_database(async |app| {
        let world = World::new(app).await;
        let data = world.person("outsider").data(QUERY).await;
        assert!(data["__schema"]["types"].as_array().unwrap().len() > 60);
        for name in ["service", "gateway"] {
            assert_eq!(world.person(name).run(QUERY).await.code(), "FORBIDDEN", "{name}");
        }
    })
    .await;
    on_each_database_with(&[("TOLLKEEP__HTTP__INTROSPECTION", "off")], async |app| {
        let answer = app.admin().run("{ __schema { queryType { name } } }").await;
        assert!(answer.body["data"]["__schema"].is_null(), "{:#}", answer.body);
    })
    .await;
}

/// One nullable field that fails leaves its siblings alone.
#[tokio::test]
async fn a_failing_field_leaves_its_siblings_alone() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let query = "{ before: viewer { kind } teams(first: 0) { totalCount } users(first: 0) { totalCount }
            apiKeys(first: 0) { totalCount } budgets(first: 0) { totalCount } auditEvents(first: 0) { totalCount }
            joinableTeams(first: 0) { totalCount } nodes(ids: []) { id } after: viewer { kind }
            some: teams { nodes { name members(first: 0) { totalCount } apiKeys(last: 0) { totalCount } isBlocked } } }";
        let answer = world.person("platform_admin").run(query).await;
        assert_eq!(answer.body["data"]["before"]["kind"], "USER");
        assert_eq!(answer.body["data"]["after"]["kind"], "USER");
        let some = answer.body["data"]["some"]["nodes"].as_array().unwrap();
        assert_eq!(some.len(), 3);
        assert!(some.iter().all(|team| team["isBlocked"] == json!(false) && team["members"] == Value::Null));
        assert!(answer.codes().iter().all(|code| code == "BAD_USER_INPUT"));
    })
    .await;
}

/// Pages of other origins may call when a setting names them, and not otherwise.
#[tokio::test]
async fn cors_is_off_unless_a_setting_names_origins() {
    let query = json!({ "query": "{ viewer { kind } }" });
    let origin = ("origin", "https://dash.example.com");
    let allowed = |answer: &Answer| answer.headers.get("access-control-allow-origin").cloned();
    on_each_database(async |app| {
        assert!(allowed(&app.admin().post(query.clone(), &[origin]).await).is_none());
    })
    .await;
    let setting = [("TOLLKEEP__HTTP__CORS_ORIGINS", "https://dash.example.com")];
    on_each_database_with(&setting, async |app| {
        let answer = app.admin().post(query.clone(), &[origin]).await;
        assert_eq!(allowed(&answer).unwrap(), "https://dash.example.com");
        let other = app.admin().post(query.clone(), &[("origin", "https://evil.example")]).await;
        assert!(allowed(&other).is_none());
    })
    .await;
}

#[tokio::test]
async fn health_needs_no_key_and_tells_nothing() {
    on_each_database(async |app| {
        for path in ["/livez", "/readyz", "/health/liveliness", "/health/readiness"] {
            let answer = reqwest::get(format!("http://{}{path}", app.address())).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.text().await.unwrap(), "{\"status\":\"ok\"}");
        }
        app.app.drain();
        let ready = reqwest::get(format!("http://{}/readyz", app.address())).await.unwrap();
        assert_eq!(ready.status(), 503);
        app.admin().data("{ viewer { kind } }").await;
    })
    .await;
}

/// Texts that a database cannot hold, and instants that it cannot compare, are refused or name
/// nothing; none is a fault of the server.
#[tokio::test]
async fn texts_and_instants_that_no_database_holds_are_refused() {
    on_each_database(async |app| {
        let admin = app.admin();
        for query in [
            "{ team(id: \"\\u0000\") { id } }".to_owned(),
            format!("{{ user(id: \"{}\") {{ id }} }}", "x".repeat(5_000)),
        ] {
            let answer = admin.run(&query).await;
            assert!(answer.codes().is_empty(), "{:#}", answer.body);
        }
        for (query, field) in [
            ("{ teams(filter: { search: \"a\\u0000\" }) { nodes { id } } }", "filter.search"),
            ("{ auditEvents(filter: { since: \"-9999-01-01T00:00:00Z\" }) { nodes { id } } }", "filter.since"),
            ("{ auditEvents(filter: { until: \"+10000-01-01T00:00:00Z\" }) { nodes { id } } }", "filter.until"),
            ("mutation { teamCreate(input: { name: \"a\\u0000\" }) { team { id } } }", "input.name"),
            ("mutation { teamCreate(input: { name: \"a\", metadata: { a: [\"\\u0000\"] } }) { team { id } } }", "input.metadata"),
            ("mutation { teamCreate(input: { name: \"a\", tags: [\"\\u0000\"] }) { team { id } } }", "input.tags.0"),
            ("mutation { teamCreate(input: { name: \"a\", externalId: \"\\u0000\" }) { team { id } } }", "input.externalId"),
            ("mutation { userCreate(input: { email: \"a\\u0000@example.com\" }) { user { id } } }", "input.email"),
            ("mutation { apiKeyCreate(input: { kind: ADMIN, expiresAt: \"+20000-01-01T00:00:00Z\" }) { secret } }", "input.expiresAt"),
        ] {
            admin.run(query).await.refused("BAD_USER_INPUT", field);
        }
        let remove = "mutation { teamMemberRemove(input: { teamId: \"none\", user: { email: \"\\u0000\" } }) { deletedId } }";
        assert_eq!(admin.run(remove).await.code(), "NOT_FOUND");
    })
    .await;
}

/// Both databases hold microseconds and know no leap second, so instants are brought to that before
/// either sees them.
#[tokio::test]
async fn instants_are_the_same_on_both_databases() {
    on_each_database(async |app| {
        let admin = app.admin();
        for (given, kept) in [
            ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00+00:00"),
            ("2026-12-31T23:59:60.5Z", "2027-01-01T00:00:00.500+00:00"),
            ("2026-12-31T23:59:59.999999999Z", "2026-12-31T23:59:59.999999+00:00"),
            ("2026-12-31T23:59:59.123456789+01:00", "2026-12-31T22:59:59.123456+00:00"),
        ] {
            let input = format!("kind: ADMIN, expiresAt: \"{given}\"");
            let literal = format!(
                "mutation {{ apiKeyCreate(input: {{ {input} }}) {{ apiKey {{ id expiresAt }} }} }}"
            );
            let variable = "mutation($at: DateTime) {
                apiKeyCreate(input: { kind: ADMIN, expiresAt: $at }) { apiKey { id expiresAt } } }";
            for answer in
                [admin.run(&literal).await, admin.run_with(variable, json!({ "at": given })).await]
            {
                let made = answer.data()["apiKeyCreate"]["apiKey"].clone();
                assert_eq!(made["expiresAt"], kept, "{given}");
                let query = format!("{{ apiKey(id: {}) {{ id expiresAt }} }}", made["id"]);
                assert_eq!(admin.data(&query).await["apiKey"], made, "{given}");
            }
        }
        let events = async |bound: &str| {
            let query = format!("{{ auditEvents(filter: {{ {bound} }}) {{ totalCount }} }}");
            admin.data(&query).await["auditEvents"]["totalCount"].as_u64().unwrap()
        };
        assert_eq!(events("until: \"2026-11-21T11:59:60Z\"").await, 0);
        assert_eq!(events("since: \"2026-11-21T11:59:60Z\"").await, 8);
        assert_eq!(events("since: \"2026-11-21T12:00:00.000000999Z\"").await, 8);
        let answer =
            admin.run("{ auditEvents(filter: { since: \"today\" }) { totalCount } }").await;
        answer.refused("BAD_USER_INPUT", "filter.since");
    })
    .await;
}

/// A cursor is text from outside, whoever signed it: no database takes one with a NUL.
#[tokio::test]
async fn a_made_up_cursor_is_refused_like_any_other() {
    on_each_database(async |app| {
        let order = (SortField::Name, Direction::Ascending);
        let page = Page::new(&PageRequest::default(), order, &Filter::default()).unwrap();
        let cursor = |name: &str| page.cursor_of(name, uuid::Uuid::from_u128(7));
        let query = "query($after: String) { teams(after: $after) { nodes { id } } }";
        let ask =
            async |cursor: String| app.admin().run_with(query, json!({ "after": cursor })).await;
        ask(cursor("a")).await.data();
        ask(cursor("a\0b")).await.refused("BAD_USER_INPUT", "after");
    })
    .await;
}
