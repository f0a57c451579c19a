//! Models: what they hold, who changes them, and what gateways get of them.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::on_each_database;
use crate::harness::world::World;
use crate::steps::{change, done, read, rows};

const MODEL: &str = "model { id name externalId provider providerModel apiBase region requestsPerMinute \
    tokensPerMinute inputPrice outputPrice params info isBlocked version createdBy updatedBy }";

/// MD-NEW-4, MD-NEW-5, MD-NEW-6, MD-NEW-9, MD-PATCH-2, MD-PATCH-3, MD-UPD-1, MD-UPD-2, MD-UPD-3, C-M5,
/// C-M6, C-M8: the id is ours, nulls are dropped, and an update merges and keeps what it does not name.
#[tokio::test]
async fn a_model_keeps_what_an_update_does_not_name() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = world.person("platform_admin");
        let input = json!({ "name": "gpt-4o", "externalId": "m", "provider": "openai",
            "providerModel": "gpt-4o-2024-08-06", "apiBase": "https://api.openai.com/v1", "region": "eu",
            "requestsPerMinute": "600", "tokensPerMinute": 90000, "inputPrice": "2.5", "outputPrice": "10",
            "params": { "timeout": 30, "azure_ad": null, "tier": { "a": [1] } },
            "info": { "mode": "chat", "base_model": "gpt-4o" } });
        let made = done(admin, "modelCreate", input.clone(), MODEL).await["model"].clone();
        assert!(text(&made, "/id").starts_with("model_"));
        assert_eq!(made["params"], json!({ "timeout": 30, "tier": { "a": [1] } }));
        assert_eq!(made["createdBy"], json!(world.users["platform_admin"]));
        let update = json!({ "id": "m", "params": { "timeout": null, "top_k": 5 },
            "info": { "mode": "embedding" }, "region": null });
        let changed = done(&app.admin(), "modelUpdate", update, MODEL).await["model"].clone();
        let mut expected = made.clone();
        expected["params"] = json!({ "tier": { "a": [1] }, "top_k": 5 });
        expected["info"] = json!({ "mode": "embedding", "base_model": "gpt-4o" });
        expected["region"] = Value::Null;
        expected["version"] = json!(2);
        expected["updatedBy"] = json!("bootstrap");
        assert_eq!(changed, expected);
        let renamed = json!({ "id": "m", "name": "gpt-4o-eu", "params": null, "expectedVersion": 2 });
        let renamed = done(admin, "modelUpdate", renamed, MODEL).await["model"].clone();
        assert_eq!((&renamed["name"], &renamed["params"]), (&json!("gpt-4o-eu"), &json!({})));
        let stale = json!({ "id": "m", "name": "x", "expectedVersion": 2 });
        assert_eq!(change(admin, "modelUpdate", stale, MODEL).await.code(), "CONFLICT");
        let events = read(admin, "{ auditEvents(first: 1, filter: { actions: [MODEL_UPDATED] }) { nodes { before after } } }");
        let events = events.await;
        let event = &events["nodes"][0];
        assert_eq!((&event["before"]["name"], &event["after"]["name"]), (&json!("gpt-4o"), &json!("gpt-4o-eu")));
        change(admin, "modelCreate", input, MODEL).await.refused("ALREADY_EXISTS", "input.externalId");
    })
    .await;
}

/// C-M4, C-M10, MD-DEL-1: each fault is named at its field, and an id that is not there is not found.
#[tokio::test]
async fn every_fault_is_named_at_its_field() {
    on_each_database(async |app| {
        let admin = app.admin();
        let bad = json!({ "name": " x", "provider": "", "requestsPerMinute": -1, "inputPrice": "-1",
            "params": { "model": "x", "api_key": "y", "extra": [{ "password": "z" }] }, "info": { "token": "t" } });
        let answer = change(&admin, "modelCreate", bad, MODEL).await;
        let mut fields = answer.fields();
        fields.sort();
        assert_eq!(
            fields,
            [
                "input.info.token", "input.inputPrice", "input.name", "input.params.api_key",
                "input.params.extra.0.password", "input.params.model", "input.provider",
                "input.providerModel", "input.requestsPerMinute",
            ]
        );
        assert!(answer.codes().iter().all(|code| code == "BAD_USER_INPUT"));
        let large = json!({ "name": "x", "provider": "p", "params": { "x": "y".repeat(17_000) } });
        change(&admin, "modelCreate", large, MODEL).await.refused("BAD_USER_INPUT", "input.params");
        let list = json!({ "name": "x", "provider": "p", "params": [1] });
        change(&admin, "modelCreate", list, MODEL).await.refused("BAD_USER_INPUT", "input.params");
        done(&admin, "modelCreate", json!({ "name": "m", "externalId": "m", "provider": "p" }), MODEL).await;
        for field in ["name", "provider", "providerModel"] {
            let mut input = json!({ "id": "m" });
            input[field] = Value::Null;
            let path = format!("input.{field}");
            change(&admin, "modelUpdate", input, MODEL).await.refused("BAD_USER_INPUT", &path);
        }
        change(&admin, "modelUpdate", json!({ "id": "none" }), MODEL).await.refused("NOT_FOUND", "input.id");
        let both = json!({ "ids": ["m", "none"] });
        change(&admin, "modelDelete", both, "deletedIds").await.refused("NOT_FOUND", "input.ids.1");
        assert_eq!(rows(app, "models").await, 1);
        let gone = done(&admin, "modelDelete", json!({ "ids": ["m", "m"] }), "deletedIds").await;
        assert_eq!(gone["deletedIds"].as_array().unwrap().len(), 1);
        assert_eq!(rows(app, "models").await, 0);
    })
    .await;
}

/// SECURITY case 3; MD-NEW-3, MD-DEL-3, C-M1: the platform's models are the platform's, and a team's
/// are its admins'.
#[tokio::test]
async fn models_are_changed_by_those_who_look_after_them() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for (name, team) in
            [("shared", None), ("own", Some(&world.a1)), ("foreign", Some(&world.b1))]
        {
            let input = json!({ "name": name, "externalId": name, "provider": "p", "teamId": team,
                "params": { "x": 1 }, "apiBase": "https://x.example" });
            done(&admin, "modelCreate", input, MODEL).await;
        }
        let none = "team_00000000000000000000000000000000";
        for (person, teams) in [
            ("team_admin", [("own", ""), ("foreign", "NOT_FOUND"), ("shared", "FORBIDDEN")]),
            (
                "organization_admin",
                [("own", ""), ("foreign", "NOT_FOUND"), ("shared", "FORBIDDEN")],
            ),
            ("other_team_admin", [("own", "NOT_FOUND"), ("foreign", ""), ("shared", "FORBIDDEN")]),
            ("member", [("own", "FORBIDDEN"), ("foreign", "FORBIDDEN"), ("shared", "FORBIDDEN")]),
            ("service", [("own", "FORBIDDEN"), ("foreign", "FORBIDDEN"), ("shared", "FORBIDDEN")]),
            ("gateway", [("own", "FORBIDDEN"), ("foreign", "FORBIDDEN"), ("shared", "FORBIDDEN")]),
        ] {
            let client = world.person(person);
            for (model, code) in teams {
                let input = json!({ "id": model, "info": { "by": person } });
                assert_eq!(
                    change(client, "modelUpdate", input, "model { id }").await.code(),
                    code,
                    "{person} {model}"
                );
                let block =
                    change(client, "modelBlock", json!({ "id": model }), "model { isBlocked }")
                        .await;
                assert_eq!(block.code(), code, "{person} {model}");
                if code.is_empty() {
                    done(client, "modelUnblock", json!({ "id": model }), "model { id }").await;
                } else {
                    let delete =
                        change(client, "modelDelete", json!({ "ids": [model] }), "deletedIds")
                            .await;
                    assert_eq!(delete.code(), code, "{person} {model}");
                }
            }
            let input = json!({ "name": "x", "provider": "p" });
            assert_eq!(
                change(client, "modelCreate", input, "model { id }").await.code(),
                "FORBIDDEN",
                "{person}"
            );
            let input = json!({ "name": "x", "provider": "p", "teamId": none });
            let code = change(client, "modelCreate", input, "model { id }").await.code();
            assert!(["NOT_FOUND", "FORBIDDEN"].contains(&code.as_str()), "{person}");
        }
        // What a higher level blocked, a lower one does not unblock.
        done(&admin, "modelBlock", json!({ "id": "own" }), "model { id }").await;
        let answer = change(
            world.person("team_admin"),
            "modelUnblock",
            json!({ "id": "own" }),
            "model { id }",
        );
        assert_eq!(answer.await.code(), "CONFLICT");
        // Members see names and not the way.
        let query = "{ models { nodes { name apiBase params } } }";
        let seen = read(world.person("member"), query).await;
        assert_eq!(
            seen["nodes"],
            json!([
                { "name": "own", "apiBase": null, "params": null },
                { "name": "shared", "apiBase": null, "params": null },
            ])
        );
        let seen = read(world.person("team_admin"), query).await;
        assert_eq!(seen["nodes"][0]["apiBase"], "https://x.example");
        assert_eq!(seen["nodes"][1]["apiBase"], Value::Null);
        let seen = read(world.person("service"), query).await;
        assert_eq!(seen["nodes"].as_array().unwrap().len(), 2);
    })
    .await;
}

/// SECURITY 3, plaintext of credentials: gateways alone, the platform's admins not; a team's own models
/// come first, and blocked ones not at all.
#[tokio::test]
async fn gateways_alone_get_deployments_with_opened_credentials() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let secret = "sk-4f9a0c2e7b1d8365-resolved";
        let credential = json!({ "name": "c", "externalId": "c", "values": [
            { "name": "api_key", "value": secret }, { "name": "org", "value": "os.environ/ORG" },
        ] });
        done(&admin, "credentialCreate", credential, "credential { id }").await;
        for (external, name, team, credential) in [
            ("one", "gpt-4o", None, Some("c")),
            ("two", "gpt-4o", None, None),
            ("star", "openai/*", None, Some("c")),
            ("own", "gpt-4o", Some(&world.a1), None),
        ] {
            let input = json!({ "name": name, "externalId": external, "provider": "openai", "teamId": team,
                "credentialId": credential });
            done(&admin, "modelCreate", input, "model { id }").await;
        }
        let query = "query($n: String!, $k: ID!) { modelResolve(name: $n, apiKeyId: $k) {
            model { externalId params } values { name secret reference } } }";
        let gateway = world.person("gateway");
        for (id, team) in [("of-a1", &world.a1), ("of-a2", &world.a2)] {
            let input = json!({ "kind": "SERVICE", "teamId": team, "externalId": id });
            done(&admin, "apiKeyCreate", input, "apiKey { id }").await;
        }
        let alone = world.keys["member"].as_str();
        let ask = async |name: &str, key: &str| -> Vec<String> {
            let data = gateway.run_with(query, json!({ "n": name, "k": key })).await.data();
            let list = data["modelResolve"].as_array().unwrap().clone();
            list.iter().map(|found| text(found, "/model/externalId")).collect()
        };
        assert_eq!(ask("gpt-4o", alone).await, ["one", "two"]);
        assert_eq!(ask("gpt-4o", "of-a2").await, ["one", "two"]);
        assert_eq!(ask("gpt-4o", "of-a1").await, ["own"]);
        assert_eq!(ask("openai/o3", alone).await, ["star"]);
        assert_eq!(ask("openai", alone).await, Vec::<String>::new());
        let data = gateway.run_with(query, json!({ "n": "gpt-4o", "k": alone })).await.data();
        assert_eq!(data["modelResolve"][0]["values"], json!([
            { "name": "api_key", "secret": secret, "reference": null },
            { "name": "org", "secret": null, "reference": "os.environ/ORG" },
        ]));
        assert_eq!(data["modelResolve"][1]["values"], json!([]));
        // A blocked model of a team does not open the platform's to it.
        for id in ["one", "own"] {
            done(&admin, "modelBlock", json!({ "id": id }), "model { id }").await;
        }
        assert_eq!(ask("gpt-4o", alone).await, ["two"]);
        assert_eq!(ask("gpt-4o", "of-a1").await, Vec::<String>::new());
        for person in ["platform_admin", "platform_viewer", "organization_admin", "team_admin", "member", "service"] {
            let answer = world.person(person).run_with(query, json!({ "n": "gpt-4o", "k": alone })).await;
            assert_eq!(answer.code(), "FORBIDDEN", "{person}");
            assert!(!answer.body.to_string().contains(secret));
        }
        assert_eq!(admin.run_with(query, json!({ "n": "gpt-4o", "k": alone })).await.code(), "FORBIDDEN");
    })
    .await;
}

/// Lists: filters, search, order, pages; statements do not grow with the list.
#[tokio::test]
async fn models_are_listed_with_constant_statements() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let credential = json!({ "name": "c", "externalId": "c", "teamId": world.a1,
            "values": [{ "name": "k", "value": "v" }] });
        done(&admin, "credentialCreate", credential, "credential { id }").await;
        done(&admin, "accessGroupCreate", json!({ "name": "g", "models": ["m-07"] }), "accessGroup { id }").await;
        for number in 0..50 {
            let input = json!({ "name": format!("m-{number:02}"), "provider": if number % 2 == 0 { "even" } else { "odd" },
                "providerModel": format!("provider-{number:02}"), "teamId": world.a1, "credentialId": "c" });
            done(&admin, "modelCreate", input, "model { id }").await;
        }
        let query = "query($n: Int!) { models(first: $n) { totalCount nodes { name apiBase params accessGroups
            team { name } credential { name values { name } } } } }";
        for person in ["platform_admin", "team_admin", "member"] {
            let client = world.person(person);
            let cost = async |n: i32| client.run_with(query, json!({ "n": n })).await.statements();
            assert_eq!(cost(1).await, cost(50).await, "{person}");
        }
        for (filter, count) in [
            ("{ providers: [\"odd\"] }", 25),
            ("{ names: [\"m-07\", \"m-08\", \"none\"] }", 2),
            ("{ search: \"IDER-0\" }", 10),
            ("{ search: \"%\" }", 0),
            ("{ isPlatformWide: true }", 0),
            ("{ credentialId: \"c\" }", 50),
            ("{ credentialId: \"none\" }", 0),
            ("{ isBlocked: true }", 0),
        ] {
            let list = read(&admin, &format!("{{ models(filter: {filter}) {{ totalCount }} }}")).await;
            assert_eq!(list["totalCount"], count, "{filter}");
        }
        let list = read(&admin, &format!("{{ models(filter: {{ teamIds: [\"{}\"] }}, orderBy: {{ field: NAME, direction: DESC }}, first: 2)
            {{ nodes {{ name accessGroups }} pageInfo {{ endCursor hasNextPage }} }} }}", world.a1)).await;
        assert_eq!(list["nodes"][0]["name"], "m-49");
        let group = read(&admin, "{ models(filter: { names: [\"m-07\"] }) { nodes { accessGroups } } }").await;
        assert_eq!(group["nodes"][0]["accessGroups"], json!(["g"]));
        // Who may not see the credential sees none by its id either.
        let list = read(world.person("member"), "{ models(filter: { credentialId: \"c\" }) { totalCount } }").await;
        assert_eq!(list["totalCount"], 0);
    })
    .await;
}
