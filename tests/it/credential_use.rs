//! Where credentials are sent: hosts, owners, and who decides.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{change, done, read, rows};

const MODEL: &str = "model { id apiBase params credential { id } }";

fn credential(name: &str, team: Option<&String>, hosts: &[&str]) -> Value {
    json!({ "name": name, "externalId": name, "teamId": team, "allowedHosts": hosts,
        "values": [{ "name": "api_key", "value": "sk-4f9a0c2e7b1d8365" }] })
}

/// SECURITY case 16: a credential goes to its hosts alone, however an address is written.
#[tokio::test]
async fn a_credential_is_sent_to_its_hosts_alone() {
    on_each_database(async |app| {
        let admin = app.admin();
        let hosts = ["api.openai.com", "*.openai.azure.com"];
        done(&admin, "credentialCreate", credential("shared", None, &hosts), "credential { id }").await;
        let input = json!({ "name": "m", "externalId": "m", "provider": "openai", "credentialId": "shared" });
        done(&admin, "modelCreate", input.clone(), MODEL).await;
        for base in ["https://api.openai.com/v1", "https://a.openai.azure.com", "https://API.OpenAI.com:8443/"] {
            done(&admin, "modelUpdate", json!({ "id": "m", "apiBase": base }), MODEL).await;
        }
        for base in [
            "https://evil.example",
            "https://api.openai.com.evil.example/v1",
            "https://api.openai.com@evil.example/v1",
            "https://openai.azure.com",
            "http://api.openai.com/v1",
            "http://169.254.169.254/latest/meta-data",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://metadata.google.internal/",
            "https://127.0.0.1",
            "https://localhost:8080",
            "https://10.0.0.7",
            "https://[fd00::1]",
            "https://api.openai.com/v1?x=1",
            "file:///etc/passwd",
            "//evil.example",
            "api.openai.com",
            "",
        ] {
            let answer = change(&admin, "modelUpdate", json!({ "id": "m", "apiBase": base }), MODEL).await;
            answer.refused("BAD_USER_INPUT", "input.apiBase");
            let mut new = input.clone();
            new["externalId"] = Value::Null;
            new["apiBase"] = json!(base);
            change(&admin, "modelCreate", new, MODEL).await.refused("BAD_USER_INPUT", "input.apiBase");
        }
        for (params, field) in [
            (json!({ "api_base": "https://api.openai.com" }), "input.params.api_base"),
            (json!({ "azure": { "endpoint": "https://evil.example" } }), "input.params.azure.endpoint"),
            (json!({ "aws_sts_endpoint": "evil.example" }), "input.params.aws_sts_endpoint"),
            (json!({ "fallbacks": ["https://evil.example"] }), "input.params.fallbacks.0"),
        ] {
            let answer = change(&admin, "modelUpdate", json!({ "id": "m", "params": params }), MODEL).await;
            answer.refused("BAD_USER_INPUT", field);
        }
        let model = read(&admin, "{ model(id: \"m\") { apiBase } }").await;
        assert_eq!(model["apiBase"], "https://API.OpenAI.com:8443/");
        // Narrowing the hosts names the models that would be cut off.
        let narrow = json!({ "id": "shared", "allowedHosts": ["*.openai.azure.com"] });
        let answer = change(&admin, "credentialUpdate", narrow.clone(), "credential { id }").await;
        assert_eq!(answer.code(), "CONFLICT");
        done(&admin, "modelUpdate", json!({ "id": "m", "apiBase": null }), MODEL).await;
        done(&admin, "credentialUpdate", narrow, "credential { id }").await;
        // Without a list there is no host but the provider's own.
        done(&admin, "credentialUpdate", json!({ "id": "shared", "allowedHosts": null }), "credential { id }").await;
        let base = json!({ "id": "m", "apiBase": "https://api.openai.com" });
        change(&admin, "modelUpdate", base, MODEL).await.refused("BAD_USER_INPUT", "input.apiBase");
        for hosts in ["*", "*.com", "https://x.example", "x.example:443", "10.0.0.1", "localhost", "169.254.169.254", "a b"] {
            let answer = change(&admin, "credentialCreate", credential("x", None, &[hosts]), "credential { id }").await;
            answer.refused("BAD_USER_INPUT", "input.allowedHosts.0");
        }
    })
    .await;
}

/// SECURITY case 16: who may not decide over a shared credential does not turn its models around.
#[tokio::test]
async fn a_team_admin_does_not_redirect_a_shared_credential() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, own) = (app.admin(), world.person("team_admin"));
        done(&admin, "credentialCreate", credential("shared", None, &["*.example.com"]), "credential { id }").await;
        let input = json!({ "name": "m", "externalId": "m", "provider": "p", "teamId": world.a1,
            "credentialId": "shared" });
        done(&admin, "modelCreate", input, MODEL).await;
        for change_of in [
            json!({ "apiBase": "https://a.example.com" }),
            json!({ "provider": "q" }),
            json!({ "providerModel": "dearer" }),
            json!({ "region": "eu" }),
            json!({ "params": { "x": 1 } }),
        ] {
            let mut input = change_of;
            input["id"] = json!("m");
            let answer = change(own, "modelUpdate", input, MODEL).await;
            assert_eq!(answer.code(), "FORBIDDEN");
            assert_eq!(answer.body["errors"][0]["extensions"]["permission"], "CREDENTIAL_UPDATE");
        }
        // What says nothing of the way is the team's own.
        done(own, "modelUpdate", json!({ "id": "m", "info": { "owner": "us" } }), MODEL).await;
        let take = json!({ "name": "n", "provider": "p", "teamId": world.a1, "credentialId": "shared" });
        change(own, "modelCreate", take, MODEL).await.refused("NOT_FOUND", "input.credentialId");
        // Its own credential goes where the team wants, but not into private networks.
        done(own, "credentialCreate", credential("own", Some(&world.a1), &["llm.example.org"]), "credential { id }").await;
        let mine = json!({ "name": "n", "externalId": "n", "provider": "p", "teamId": world.a1,
            "credentialId": "own", "apiBase": "https://llm.example.org" });
        done(own, "modelCreate", mine, MODEL).await;
        let private = credential("private", Some(&world.a1), &["10.0.0.7"]);
        let answer = change(own, "credentialCreate", private.clone(), "credential { id }").await;
        answer.refused("BAD_USER_INPUT", "input.allowedHosts.0");
        let bare = json!({ "name": "p", "provider": "p", "teamId": world.a1, "apiBase": "http://10.0.0.7" });
        change(own, "modelCreate", bare.clone(), MODEL).await.refused("BAD_USER_INPUT", "input.apiBase");
        done(&admin, "modelCreate", bare, MODEL).await;
        done(&admin, "credentialCreate", private, "credential { id }").await;
        // A credential of one team is not sent by models of another, or of the platform.
        for team in [None, Some(&world.a2)] {
            let input = json!({ "name": "x", "provider": "p", "teamId": team, "credentialId": "own" });
            change(&admin, "modelCreate", input, MODEL).await.refused("BAD_USER_INPUT", "input.credentialId");
        }
    })
    .await;
}

/// Attaching and deleting at a time: either the model is refused, or the credential stays.
#[tokio::test]
async fn a_credential_is_not_deleted_under_a_model_that_takes_it() {
    on_each_database(async |app| {
        let admin = app.admin();
        for round in 0..10 {
            let name = format!("c{round}");
            done(&admin, "credentialCreate", credential(&name, None, &[]), "credential { id }").await;
            let input = json!({ "name": "m", "provider": "p", "credentialId": name });
            let attach = change(&admin, "modelCreate", input, MODEL);
            let delete = change(&admin, "credentialDelete", json!({ "ids": [name] }), "deletedIds");
            let (attached, deleted) = tokio::join!(attach, delete);
            let codes = (attached.code(), deleted.code());
            let one = [(String::new(), "CONFLICT".into()), ("NOT_FOUND".into(), String::new())];
            assert!(one.contains(&codes), "{codes:?}");
        }
        let lost = "models WHERE credential_id IS NOT NULL AND credential_id NOT IN (SELECT id FROM credentials)";
        assert_eq!(rows(app, lost).await, 0);
    })
    .await;
}

/// Changing hosts and moving a model at a time: the model never ends beyond the hosts.
#[tokio::test]
async fn hosts_and_addresses_that_change_together_fit_afterwards() {
    on_each_database(async |app| {
        let admin = app.admin();
        let hosts = ["a.example.com", "b.example.com"];
        done(&admin, "credentialCreate", credential("c", None, &hosts), "credential { id }").await;
        let input = json!({ "name": "m", "externalId": "m", "provider": "p", "credentialId": "c" });
        done(&admin, "modelCreate", input, MODEL).await;
        for _ in 0..10 {
            let reset = json!({ "id": "m", "apiBase": "https://a.example.com" });
            done(
                &admin,
                "credentialUpdate",
                json!({ "id": "c", "allowedHosts": hosts }),
                "credential { id }",
            )
            .await;
            done(&admin, "modelUpdate", reset, MODEL).await;
            let narrow = json!({ "id": "c", "allowedHosts": ["a.example.com"] });
            let moved = json!({ "id": "m", "apiBase": "https://b.example.com" });
            let narrow = change(&admin, "credentialUpdate", narrow, "credential { allowedHosts }");
            let moved = change(&admin, "modelUpdate", moved, MODEL);
            let (narrowed, moved) = tokio::join!(narrow, moved);
            assert!(narrowed.code().is_empty() != moved.code().is_empty());
            let now =
                read(&admin, "{ model(id: \"m\") { apiBase credential { allowedHosts } } }").await;
            let host = text(&now, "/apiBase").replace("https://", "");
            assert!(now["credential"]["allowedHosts"].as_array().unwrap().contains(&json!(host)));
        }
    })
    .await;
}
