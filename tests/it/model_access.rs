//! Which models may be called: lists along the chain, access groups, aliases, own models; and that
//! what is listed is what is resolved.

use serde_json::{Value, json};

use crate::harness::world::World;
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::{change, done, execute, project, read, rows};

const KEY: &str = "apiKey { id }";
const MODEL: &str = "model { id }";

async fn models(admin: &Client, names: &[&str]) {
    for name in names {
        done(admin, "modelCreate", json!({ "name": name, "provider": "p" }), MODEL).await;
    }
}

fn list(models: &[&str]) -> Value {
    json!({ "mode": "LIST", "models": models })
}

/// The names that a key may call, each with what it stands for where that differs.
async fn effective(client: &Client, object: &str, id: &str) -> Vec<String> {
    let query = format!(
        "query($id: ID!) {{ {object}(id: $id) {{ effectiveModels(first: 100) {{ totalCount nodes {{ name target }} }} }} }}"
    );
    let data = client.run_with(&query, json!({ "id": id })).await.data();
    let found = &data[object]["effectiveModels"];
    let nodes = found["nodes"].as_array().unwrap();
    assert_eq!(found["totalCount"], nodes.len());
    let shown = |node: &Value| {
        let (name, target) = (node["name"].as_str().unwrap(), node["target"].as_str().unwrap());
        if name == target { name.to_owned() } else { format!("{name} = {target}") }
    };
    nodes.iter().map(shown).collect()
}

/// Whether a gateway is given deployments for a name that a key asks for: their names, or the code.
async fn resolved(gateway: &Client, key: &str, name: &str) -> Result<Vec<String>, String> {
    let query =
        "query($n: String!, $k: ID!) { modelResolve(name: $n, apiKeyId: $k) { model { name } } }";
    let answer = gateway.run_with(query, json!({ "n": name, "k": key })).await;
    if answer.body.get("errors").is_some() {
        assert_eq!(answer.fields(), ["name"]);
        return Err(answer.code());
    }
    let list = answer.data()["modelResolve"].as_array().unwrap().clone();
    Ok(list.iter().map(|found| found["model"]["name"].as_str().unwrap().to_owned()).collect())
}

/// Organization A allows `gpt-*`, `o3` and the group `open`, the team A1 less; a key of it is made.
async fn tree(app: &TestApp, world: &World) {
    let admin = app.admin();
    models(&admin, &["gpt-4o", "gpt-4o-mini", "o3", "llama", "qwen", "claude", "openai/*"]).await;
    let group = json!({ "name": "open", "models": ["llama", "qwen"] });
    done(&admin, "accessGroupCreate", group, "accessGroup { id }").await;
    let access = json!({ "mode": "LIST", "models": ["gpt-*", "o3"], "accessGroups": ["open"] });
    let input = json!({ "id": world.a, "modelAccess": access });
    done(&admin, "organizationUpdate", input, "organization { id }").await;
    let access = json!({ "mode": "LIST", "models": ["gpt-*"], "accessGroups": ["open"] });
    let input = json!({ "id": world.a1, "modelAccess": access });
    done(&admin, "teamUpdate", input, "team { id }").await;
    let input = json!({ "kind": "SERVICE", "teamId": world.a1, "externalId": "caller" });
    done(&admin, "apiKeyCreate", input, KEY).await;
}

/// F2, C-A12, C-P11, E-46: lists are intersected along the chain, with wildcards and access groups;
/// nothing empty means everything.
#[tokio::test]
async fn lists_are_intersected_along_the_chain() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        tree(app, &world).await;
        let team = ["gpt-4o", "gpt-4o-mini", "llama", "qwen"];
        assert_eq!(effective(&admin, "team", &world.a1).await, team);
        assert_eq!(effective(&admin, "team", &world.a2).await, ["gpt-4o", "gpt-4o-mini", "llama", "o3", "qwen"]);
        assert_eq!(effective(&admin, "apiKey", "caller").await, team);
        let everything = ["claude", "gpt-4o", "gpt-4o-mini", "llama", "o3", "openai/*", "qwen"];
        assert_eq!(effective(&admin, "team", &world.b1).await, everything);
        // A key outside of any team is within its owner's list.
        let input = json!({ "id": world.users["outsider"], "modelAccess": list(&["openai/o*"]) });
        done(&admin, "userUpdate", input, "user { id }").await;
        let personal = &world.keys["outsider"];
        assert_eq!(effective(&admin, "apiKey", personal).await, ["openai/o*"]);
        // A project narrows, and its key.
        let input = json!({ "name": "P", "externalId": "p", "modelAccess": list(&["gpt-4o*"]) });
        project(&admin, &world.a1, input).await;
        assert_eq!(effective(&admin, "project", "p").await, ["gpt-4o", "gpt-4o-mini"]);
        let input = json!({ "kind": "SERVICE", "projectId": "p", "externalId": "in-p",
            "modelAccess": list(&["gpt-4o"]) });
        done(&admin, "apiKeyCreate", input, KEY).await;
        assert_eq!(effective(&admin, "apiKey", "in-p").await, ["gpt-4o"]);
        // So does a member, for its keys in the team.
        let input = json!({ "teamId": world.a1, "user": { "id": world.users["member"] },
            "modelAccess": { "mode": "LIST", "accessGroups": ["open"] } });
        done(&admin, "teamMemberUpdate", input, "membership { id }").await;
        let input = json!({ "teamId": world.a1, "userId": world.users["member"], "externalId": "of-member" });
        done(&admin, "apiKeyCreate", input, KEY).await;
        assert_eq!(effective(&admin, "apiKey", "of-member").await, ["llama", "qwen"]);
        let query = "query($t: ID!) { team(id: $t) { members { nodes { user { id } effectiveModels { nodes { name } } } } } }";
        let data = admin.run_with(query, json!({ "t": world.a1 })).await.data();
        let members = data["team"]["members"]["nodes"].as_array().unwrap();
        let member = members.iter().find(|node| node["user"]["id"] == world.users["member"].as_str());
        assert_eq!(member.unwrap()["effectiveModels"]["nodes"], json!([{ "name": "llama" }, { "name": "qwen" }]));
        // NONE is nothing, and an access group that has nothing gives nothing.
        let input = json!({ "id": "caller", "modelAccess": { "mode": "NONE" } });
        done(&admin, "apiKeyUpdate", input, KEY).await;
        assert_eq!(effective(&admin, "apiKey", "caller").await, Vec::<String>::new());
        done(&admin, "accessGroupUpdate", json!({ "id": group(&admin).await, "models": [] }), "accessGroup { id }").await;
        assert_eq!(effective(&admin, "apiKey", "of-member").await, Vec::<String>::new());
    })
    .await;
}

async fn group(admin: &Client) -> String {
    let found = read(admin, "{ accessGroups { nodes { id } } }").await;
    found["nodes"][0]["id"].as_str().unwrap().to_owned()
}

/// F2: an alias of the team is followed, then one of the key; what is meant is judged, so that an
/// alias opens nothing. MD-NEW-7: a team's own model comes first. A blocked name stays shut though a
/// name with a star covers it.
#[tokio::test]
async fn aliases_and_own_models_are_followed_and_judged() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (admin, gateway) = (app.admin(), world.person("gateway"));
        tree(app, &world).await;
        for (alias, target) in
            [("fast", "gpt-4o-mini"), ("clever", "o3"), ("gpt-4o", "gpt-4o-mini")]
        {
            let input = json!({ "teamId": world.a1, "alias": alias, "target": target });
            done(&admin, "teamModelAliasSet", input, "team { id }").await;
        }
        for (alias, target) in
            [("fast", "llama"), ("mine", "llama"), ("shut", "claude"), ("gpt-4o-mini", "qwen")]
        {
            let input = json!({ "apiKeyId": "caller", "alias": alias, "target": target });
            done(&admin, "apiKeyModelAliasSet", input, KEY).await;
        }
        let expected =
            ["fast = qwen", "gpt-4o = qwen", "gpt-4o-mini = qwen", "llama", "mine = llama", "qwen"];
        assert_eq!(effective(&admin, "apiKey", "caller").await, expected);
        assert_eq!(
            effective(&admin, "team", &world.a1).await,
            ["fast = gpt-4o-mini", "gpt-4o = gpt-4o-mini", "gpt-4o-mini", "llama", "qwen"]
        );
        for (name, found) in [
            ("fast", Ok("qwen")),
            ("gpt-4o", Ok("qwen")),
            ("mine", Ok("llama")),
            ("shut", Err("LIMIT_EXCEEDED")),
            ("clever", Err("LIMIT_EXCEEDED")),
            ("o3", Err("LIMIT_EXCEEDED")),
            ("open", Err("LIMIT_EXCEEDED")),
        ] {
            let found = found.map(|name: &str| vec![name.to_owned()]).map_err(str::to_owned);
            assert_eq!(resolved(gateway, "caller", name).await, found, "{name}");
        }
        // The team's own model under a name that the platform has too.
        models(&admin, &["gpt-5"]).await;
        let input = json!({ "apiKeyId": "caller", "alias": "mine", "target": "gpt-5" });
        done(&admin, "apiKeyModelAliasSet", input, KEY).await;
        assert_eq!(resolved(gateway, "caller", "mine").await, Ok(vec!["gpt-5".to_owned()]));
        let input =
            json!({ "name": "gpt-5", "provider": "own", "teamId": world.a1, "externalId": "own" });
        done(&admin, "modelCreate", input, MODEL).await;
        done(&admin, "modelBlock", json!({ "id": "own" }), MODEL).await;
        assert_eq!(resolved(gateway, "caller", "mine").await, Ok(vec![]));
        let names = ["fast = qwen", "gpt-4o = qwen", "gpt-4o-mini = qwen", "llama", "qwen"];
        assert_eq!(effective(&admin, "apiKey", "caller").await, names);
        // A name that is blocked, and covered by another.
        let input = json!({ "name": "openai/o1", "provider": "p", "externalId": "o1" });
        done(&admin, "modelCreate", input, MODEL).await;
        done(&admin, "modelBlock", json!({ "id": "o1" }), MODEL).await;
        let personal = &world.keys["outsider"];
        assert_eq!(resolved(gateway, personal, "openai/o1").await, Ok(vec![]));
        assert_eq!(resolved(gateway, personal, "openai/o2").await, Ok(vec!["openai/*".to_owned()]));
        assert!(!effective(&admin, "apiKey", personal).await.contains(&"openai/o1".to_owned()));
        // What is listed is what is resolved.
        for name in
            ["gpt-4o", "gpt-4o-mini", "llama", "qwen", "o3", "claude", "fast", "mine", "shut"]
        {
            let listed = effective(&admin, "apiKey", "caller").await;
            let listed = listed.iter().any(|shown| shown.split(" = ").next() == Some(name));
            let found = resolved(gateway, "caller", name).await;
            assert_eq!(listed, found.is_ok_and(|found| !found.is_empty()), "{name}");
        }
        // Aliases go with the key, and one by one.
        let shown =
            read(&admin, "{ apiKey(id: \"caller\") { modelAliases { alias target } } }").await;
        assert_eq!(shown["modelAliases"][0], json!({ "alias": "fast", "target": "llama" }));
        let input = json!({ "apiKeyId": "caller", "alias": "fast" });
        done(&admin, "apiKeyModelAliasRemove", input.clone(), KEY).await;
        change(&admin, "apiKeyModelAliasRemove", input, KEY)
            .await
            .refused("NOT_FOUND", "input.alias");
        assert_eq!(rows(app, "model_aliases WHERE scope_kind = 'API_KEY'").await, 3);
        done(&admin, "apiKeyDelete", json!({ "ids": ["caller"] }), "deletedIds").await;
        assert_eq!(rows(app, "model_aliases WHERE scope_kind = 'API_KEY'").await, 0);
    })
    .await;
}

/// A key may be made with aliases; owners alias their own keys, and nobody those of others.
#[tokio::test]
async fn aliases_of_keys_are_for_those_who_change_the_key() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let member = world.person("member");
        let aliases = json!([{ "alias": "a", "target": "b" }]);
        let input = json!({ "externalId": "mine", "modelAliases": aliases });
        let made = done(member, "apiKeyCreate", input, "apiKey { modelAliases { alias target } }").await;
        assert_eq!(made["apiKey"]["modelAliases"], aliases);
        let input = json!({ "modelAliases": [{ "alias": "a", "target": "a" }] });
        let answer = change(member, "apiKeyCreate", input, KEY).await;
        answer.refused("BAD_USER_INPUT", "input.modelAliases.0.target");
        let set = |alias: &str| json!({ "apiKeyId": world.keys["member"], "alias": alias, "target": "b" });
        done(member, "apiKeyModelAliasSet", set("x"), KEY).await;
        for person in ["team_admin", "other_team_admin", "outsider", "gateway"] {
            let answer = change(world.person(person), "apiKeyModelAliasSet", set("y"), KEY).await;
            let code = if person == "gateway" { "FORBIDDEN" } else { "NOT_FOUND" };
            assert_eq!(answer.code(), code, "{person}");
        }
        for at in 1..200 {
            done(member, "apiKeyModelAliasSet", set(&format!("x{at}")), KEY).await;
        }
        let answer = change(member, "apiKeyModelAliasSet", set("one too many"), KEY).await;
        answer.refused("LIMIT_EXCEEDED", "input.alias");
    })
    .await;
}

/// DESIGN 7: the models of many keys, teams and members cost as many statements as those of one.
#[tokio::test]
async fn effective_models_cost_constant_statements_and_are_paged() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let names: Vec<_> = (0..25).map(|number| format!("m{number:02}")).collect();
        models(&admin, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for number in 0..12 {
            let input = json!({ "kind": "SERVICE", "teamId": world.a1, "name": format!("k{number:02}") });
            done(&admin, "apiKeyCreate", input, KEY).await;
        }
        let query = "query($n: Int!, $t: ID!) { apiKeys(first: $n, filter: { teamIds: [$t] }) {
            nodes { modelAliases { alias } effectiveModels(first: 2) { nodes { name } } } } }";
        let cost = async |n: i32| {
            let answer = admin.run_with(query, json!({ "n": n, "t": world.a1 })).await;
            let nodes = answer.body["data"]["apiKeys"]["nodes"].as_array().unwrap();
            assert_eq!(i32::try_from(nodes.len()), Ok(n));
            answer.statements()
        };
        assert_eq!(cost(1).await, cost(12).await);
        let mut walked = Vec::new();
        let mut after = Value::Null;
        loop {
            let query = "query($id: ID!, $after: String) { team(id: $id) { effectiveModels(first: 10, after: $after) {
                nodes { name } pageInfo { hasNextPage endCursor } } } }";
            let data = admin.run_with(query, json!({ "id": world.a1, "after": after })).await.data();
            let page = &data["team"]["effectiveModels"];
            let nodes = page["nodes"].as_array().unwrap();
            walked.extend(nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(walked, names);
        // A cursor belongs to its list.
        let query = "query($id: ID!, $after: String) { team(id: $id) { effectiveModels(after: $after) { nodes { name } } } }";
        let answer = admin.run_with(query, json!({ "id": world.a2, "after": after })).await;
        assert_eq!(answer.code(), "BAD_USER_INPUT");
        execute(app, "DELETE FROM models").await;
        assert_eq!(effective(&admin, "team", &world.a1).await, Vec::<String>::new());
    })
    .await;
}
