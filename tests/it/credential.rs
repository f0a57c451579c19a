//! Credentials: what goes in does not come out, and what is sealed stays as it is.

use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::World;
use crate::harness::{TestApp, on_each_database};
use crate::steps::{assert_no_orphans, change, done, read, rows};

const CANARY: &str = "canary-9d41c07be2f85a36-provider-secret-7QzX";
const CREDENTIAL: &str =
    "credential { id name version allowedHosts values { name isSet hint reference } }";

/// The sealed texts, in the order of the names of the values.
async fn sealed(app: &TestApp) -> Vec<Option<String>> {
    let database = app.database().await;
    let sql = "SELECT sealed FROM credential_values ORDER BY name";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "sealed").unwrap()).collect()
}

fn values(name: &str, value: &Value) -> Value {
    json!([{ "name": name, "value": value }])
}

/// SECURITY case 15; MD-NEW-9, C-M9: a canary in every secret field is in no answer, no error and no
/// audit row, and in no column of the database.
#[tokio::test]
async fn a_secret_goes_in_and_never_comes_out() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let mut seen = String::new();
        let mut keep = |answer: &crate::harness::Answer| {
            let body = answer.body.to_string();
            assert!(!body.contains(CANARY), "{body}");
            seen.push_str(&body);
        };
        let input = json!({ "name": "OpenAI", "externalId": "c1", "teamId": world.a1,
            "allowedHosts": ["api.openai.com"], "values": values("api_key", &json!(CANARY)) });
        let made = change(&admin, "credentialCreate", input.clone(), CREDENTIAL).await;
        keep(&made);
        let made = made.data()["credentialCreate"]["credential"].clone();
        let shown = json!([{ "name": "api_key", "isSet": true, "hint": "7QzX", "reference": null }]);
        assert_eq!(made["values"], shown);
        let model = json!({ "name": "m", "provider": "openai", "teamId": world.a1, "credentialId": "c1" });
        keep(&change(&admin, "modelCreate", model, "model { params credential { values { hint } } }").await);
        // Faults of every kind beside the secret, in the credential and in a model.
        for (field, input) in [
            ("credentialCreate", input),
            ("credentialUpdate", json!({ "id": "c1", "name": "", "values": values("api_key", &json!(CANARY)) })),
            ("credentialUpdate", json!({ "id": "c1", "values": values("", &json!(CANARY)) })),
            ("credentialUpdate", json!({ "id": "c1", "values": values("k", &json!({ "x": CANARY })) })),
            ("credentialUpdate", json!({ "id": "c1", "values": values("k", &json!([CANARY])) })),
            ("credentialUpdate", json!({ "id": "c1", "values": values("k", &json!(format!("{CANARY}***"))) })),
            ("credentialUpdate", json!({ "id": "c1", "values": values("k", &json!(format!("os.environ/{CANARY}"))) })),
            ("credentialUpdate", json!({ "id": "c1", "valuez": CANARY })),
            ("credentialUpdate", json!({ "id": "none", "values": values("k", &json!(CANARY)) })),
            ("modelCreate", json!({ "name": "m", "provider": "p", "params": { "api_key": CANARY } })),
            ("modelCreate", json!({ "name": "m", "provider": "p", "params": { "x": format!("Bearer {CANARY}") } })),
            ("modelCreate", json!({ "name": "m", "provider": "p", "apiBase": format!("https://u:{CANARY}@api.openai.com") })),
            ("modelUpdate", json!({ "id": "none", "info": { "token": CANARY } })),
        ] {
            let answer = change(&admin, field, input, "__typename").await;
            assert!(!answer.codes().is_empty(), "{field}");
            keep(&answer);
        }
        let inline = format!("mutation {{ credentialUpdate(input: {{ id: \"c1\", values: [{{ name: \"k\", value: \"{CANARY}\" }} }}) }}");
        keep(&admin.run(&inline).await);
        for wrong in [
            format!("values: \"{CANARY}\""),
            format!("values: [\"{CANARY}\"]"),
            format!("values: [{{ name: \"k\", value: [\"{CANARY}\"] }}]"),
            format!("name: {{ x: \"{CANARY}\" }}"),
            format!("expectedVersion: \"{CANARY}\""),
        ] {
            let document = format!(
                "mutation {{ credentialUpdate(input: {{ id: \"c1\", {wrong} }}) {{ __typename }} }}"
            );
            let answer = admin.run(&document).await;
            assert!(!answer.codes().is_empty(), "{wrong}");
            keep(&answer);
        }
        let everything = "{ credentials { nodes { id name allowedHosts values { name isSet hint reference } } }
            models { nodes { name params info apiBase credential { id values { name hint } } } }
            auditEvents(first: 100) { nodes { action before after } } }";
        for person in ["platform_admin", "platform_viewer", "organization_admin", "team_admin"] {
            let answer = world.person(person).run(everything).await;
            assert!(answer.codes().is_empty(), "{person}: {:#}", answer.body);
            assert!(answer.body.to_string().contains("api_key"), "{person} sees that there is one");
            keep(&answer);
        }
        for person in ["member", "viewer", "outsider", "service", "gateway", "other_team_admin"] {
            keep(&world.person(person).run("{ models { nodes { name params credential { id } } } }").await);
            keep(&world.person(person).run("{ credential(id: \"c1\") { name } }").await);
        }
        assert!(seen.contains("7QzX"), "the hint is shown");
        let text = sealed(app).await[0].clone().unwrap();
        assert!(text.starts_with("v1.") && !text.contains(CANARY));
        for column in ["before", "after"] {
            let sql = format!("audit_events WHERE CAST({column} AS TEXT) LIKE '%{CANARY}%'");
            assert_eq!(rows(app, &sql).await, 0);
        }
    })
    .await;
}

/// SECURITY cases 16 and 17: what came out masked or sealed is not taken in, and a refused or repeated
/// update leaves the sealed column as it was, byte for byte.
#[tokio::test]
async fn masked_and_sealed_texts_are_refused_and_the_sealed_column_stays() {
    on_each_database(async |app| {
        let admin = app.admin();
        let input =
            json!({ "name": "c", "externalId": "c", "values": values("api_key", &json!(CANARY)) });
        done(&admin, "credentialCreate", input, CREDENTIAL).await;
        let before = sealed(app).await;
        let stored = before[0].clone().unwrap();
        for masked in [
            stored.as_str(),
            "***",
            "sk-****7QzX",
            "•••••••7QzX",
            "...7QzX",
            "7QzX",
            "canary-…7QzX",
            "[REDACTED]",
            "xxxxxxxx",
            "v2:gcm:AAAA",
            "v3:gcm:AAAA",
            "",
            "a\u{0}b",
        ] {
            let values = values("api_key", &json!(masked));
            let input = json!({ "id": "c", "name": "new", "values": values });
            let answer = change(&admin, "credentialUpdate", input, CREDENTIAL).await;
            answer.refused("BAD_USER_INPUT", "input.values.0.value");
        }
        let same =
            json!({ "id": "c", "name": "renamed", "values": values("api_key", &json!(CANARY)) });
        done(&admin, "credentialUpdate", same, CREDENTIAL).await;
        done(&admin, "credentialUpdate", json!({ "id": "c", "name": "again" }), CREDENTIAL).await;
        assert_eq!(sealed(app).await, before);
        let other = json!({ "id": "c", "values": values("api_key", &json!(format!("{CANARY}2"))) });
        done(&admin, "credentialUpdate", other, CREDENTIAL).await;
        assert_ne!(sealed(app).await, before);
    })
    .await;
}

/// F3, MD-NEW-5: values are set and removed one by one; references stay references; a nested or
/// short secret is sealed like any other.
#[tokio::test]
async fn values_are_merged_and_references_stay_references() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "name": "c", "externalId": "c", "values": [
            { "name": "api_key", "value": "short" },
            { "name": "org", "value": "os.environ/OPENAI_ORG" },
        ] });
        let made = done(&admin, "credentialCreate", input, CREDENTIAL).await;
        assert_eq!(made["credential"]["values"], json!([
            { "name": "api_key", "isSet": true, "hint": null, "reference": null },
            { "name": "org", "isSet": false, "hint": null, "reference": "os.environ/OPENAI_ORG" },
        ]));
        assert_eq!(sealed(app).await[1], None);
        let input = json!({ "id": "c", "values": [
            { "name": "org", "value": null }, { "name": "base", "value": "x" },
        ] });
        let changed = done(&admin, "credentialUpdate", input, CREDENTIAL).await;
        let names = |value: &Value| -> Vec<String> {
            let list = value["credential"]["values"].as_array().unwrap();
            list.iter().map(|value| text(value, "/name")).collect()
        };
        assert_eq!(names(&changed), ["api_key", "base"]);
        for (values, field) in [
            (json!([{ "name": "none", "value": null }]), "input.values"),
            (json!([{ "name": "api_key", "value": null }, { "name": "base", "value": null }]), "input.values"),
            (json!([{ "name": "a b", "value": "x" }]), "input.values.0.name"),
            (json!([{ "name": "a", "value": "x" }, { "name": "a", "value": "y" }]), "input.values.1.name"),
            (json!([{ "name": "a", "value": "os.environ/" }]), "input.values.0.value"),
            (json!([{ "name": "a", "value": "x".repeat(16_385) }]), "input.values.0.value"),
        ] {
            let answer = change(&admin, "credentialUpdate", json!({ "id": "c", "values": values }), CREDENTIAL);
            answer.await.refused("BAD_USER_INPUT", field);
        }
        // A team's admin may not have a gateway look up the platform's own secrets.
        let input = json!({ "name": "c", "teamId": world.a1,
            "values": values("api_key", &json!("os.environ/OPENAI_API_KEY")) });
        let answer = change(world.person("team_admin"), "credentialCreate", input, CREDENTIAL).await;
        answer.refused("BAD_USER_INPUT", "input.values.0.value");
    })
    .await;
}

/// SECURITY 3, model credential write: by those who look after the team, and never read back.
#[tokio::test]
async fn a_team_keeps_its_own_credentials_from_others() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("team_admin");
        let input = json!({ "name": "c", "externalId": "c", "teamId": world.a1,
            "values": values("api_key", &json!(CANARY)) });
        let made = done(own, "credentialCreate", input.clone(), CREDENTIAL).await;
        let id = text(&made, "/credential/id");
        for person in ["team_admin", "organization_admin"] {
            let input = json!({ "id": id, "name": person });
            done(world.person(person), "credentialUpdate", input, CREDENTIAL).await;
        }
        for person in ["other_team_admin", "member", "outsider"] {
            let seen = world.person(person).run(&format!("{{ credential(id: \"{id}\") {{ id }} }}")).await;
            assert!(seen.body.pointer("/data/credential").is_none_or(Value::is_null), "{person}");
            let code = change(world.person(person), "credentialUpdate", json!({ "id": id }), CREDENTIAL).await;
            assert!(["NOT_FOUND", "FORBIDDEN"].contains(&code.code().as_str()), "{person}");
        }
        let mut foreign = input;
        foreign["teamId"] = json!(world.b1);
        let answer = change(own, "credentialCreate", foreign, CREDENTIAL).await;
        answer.refused("NOT_FOUND", "input.teamId");
        let list = read(own, "{ credentials(filter: { search: \"ORGANIZATION\" }) { totalCount nodes { id team { id } } } }");
        let list = list.await;
        assert_eq!(list["nodes"], json!([{ "id": id, "team": { "id": world.a1 } }]));
        done(&app.admin(), "teamDelete", json!({ "ids": [world.a1] }), "deletedIds").await;
        assert_eq!(rows(app, "credentials").await, 0);
        assert_no_orphans(app).await;
    })
    .await;
}

/// SECURITY case 17, DESIGN 3: while a model sends it, a credential stays; all or nothing.
#[tokio::test]
async fn a_credential_in_use_is_not_deleted() {
    on_each_database(async |app| {
        let admin = app.admin();
        for name in ["used", "free"] {
            let input =
                json!({ "name": name, "externalId": name, "values": values("k", &json!("v")) });
            done(&admin, "credentialCreate", input, CREDENTIAL).await;
        }
        let input =
            json!({ "name": "m", "externalId": "m", "provider": "p", "credentialId": "used" });
        let model = done(&admin, "modelCreate", input, "model { id }").await;
        let both = json!({ "ids": ["free", "used"] });
        let answer = change(&admin, "credentialDelete", both.clone(), "deletedIds").await;
        assert_eq!(answer.code(), "CONFLICT");
        assert_eq!(
            answer.body["errors"][0]["extensions"]["ids"],
            json!([text(&model, "/model/id")])
        );
        assert_eq!(rows(app, "credentials").await, 2);
        done(&admin, "modelUpdate", json!({ "id": "m", "credentialId": null }), "model { id }")
            .await;
        done(&admin, "credentialDelete", both, "deletedIds").await;
        assert_eq!((rows(app, "credentials").await, rows(app, "credential_values").await), (0, 0));
    })
    .await;
}

/// SECURITY 5: a row or column swap in the database does not open, and is an error, not a secret.
#[tokio::test]
async fn a_sealed_text_that_was_moved_does_not_open() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let input = json!({ "name": "c", "externalId": "c", "values": [
            { "name": "a", "value": CANARY }, { "name": "b", "value": "other" },
        ] });
        done(&admin, "credentialCreate", input, CREDENTIAL).await;
        let input = json!({ "name": "m", "provider": "p", "credentialId": "c" });
        done(&admin, "modelCreate", input, "model { id }").await;
        let ask = &format!(
            "{{ modelResolve(name: \"m\", apiKeyId: \"{}\") {{ values {{ name secret }} }} }}",
            world.keys["member"]
        );
        let opened = read(world.person("gateway"), ask).await;
        assert_eq!(text(&opened, "/0/values/0/secret"), CANARY);
        let swap = "UPDATE credential_values SET sealed = (SELECT other.sealed FROM credential_values \
                    other WHERE other.name = 'a') WHERE name = 'b'";
        crate::steps::execute(app, swap).await;
        let answer = world.person("gateway").run(ask).await;
        assert_eq!(answer.code(), "INTERNAL_SERVER_ERROR");
        assert!(!answer.body.to_string().contains(CANARY));
    })
    .await;
}
