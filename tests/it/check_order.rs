//! `POST /v1/check`: which of several refusals is told, and for how long a call waits for budgets.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::world::{World, api_key};
use crate::harness::{Answer, Client, TestApp, noon, on_each_database};
use crate::ledger::{codes, event, gateway, team_with_key};
use crate::steps::{done, execute, project, sql_id};

/// The tags of the key and of the call.
const TAGS: [&str; 2] = ["of-the-key", "of-the-call"];

/// A call against which every rule speaks.
struct Scene<'a> {
    app: &'a TestApp,
    admin: Client,
    world: World,
    gateway: Client,
    person: String,
    project: String,
    model: String,
    end_user: String,
    tags: Vec<String>,
    key: String,
    secret: String,
}

impl<'a> Scene<'a> {
    /// Everything that a call of a key meets, and nothing that refuses it.
    async fn new(app: &'a TestApp) -> Self {
        let world = World::new(app).await;
        let admin = app.admin();
        let person = world.users["member"].clone();
        let project = project(&admin, &world.a1, json!({ "name": "P" })).await;
        let input = json!({ "name": "gpt-4o", "provider": "openai" });
        let model = done(&admin, "modelCreate", input, "model { id }").await;
        let input = json!({ "externalId": "ada" });
        let end_user = done(&admin, "endUserCreate", input, "endUser { id }").await;
        let mut tags = Vec::new();
        for name in TAGS {
            let made = done(&admin, "tagCreate", json!({ "name": name }), "tag { id }").await;
            tags.push(made["tag"]["id"].as_str().unwrap().to_owned());
        }
        let input = json!({ "userId": person, "teamId": world.a1, "projectId": project,
            "tags": [TAGS[0]] });
        let (key, secret) = api_key(&admin, input).await;
        let id = |made: &Value, noun: &str| made[noun]["id"].as_str().unwrap().to_owned();
        Self {
            gateway: world.person("gateway").clone(),
            model: id(&model, "model"),
            end_user: id(&end_user, "endUser"),
            app,
            admin,
            world,
            person,
            project,
            tags,
            key,
            secret,
        }
    }

    async fn change(&self, field: &str, input: Value) {
        done(&self.admin, field, input, "__typename").await;
    }

    /// Changes what a scope has, by a member of its input.
    async fn set(&self, kind: &str, member: &str, value: Value) {
        let (field, mut input) = match kind {
            "API_KEY" => ("apiKeyUpdate", json!({ "id": self.key })),
            "TEAM_MEMBERSHIP" => {
                let user = json!({ "id": self.person });
                ("teamMemberUpdate", json!({ "teamId": self.world.a1, "user": user }))
            }
            "PROJECT" => ("projectUpdate", json!({ "id": self.project })),
            "TEAM" => ("teamUpdate", json!({ "id": self.world.a1 })),
            "ORGANIZATION" => ("organizationUpdate", json!({ "id": self.world.a })),
            "USER" => ("userUpdate", json!({ "id": self.person })),
            "OWN_TAG" => ("tagUpdate", json!({ "id": self.tags[0] })),
            "END_USER" => ("endUserUpdate", json!({ "id": self.end_user })),
            "TAG" => ("tagUpdate", json!({ "id": self.tags[1] })),
            "PLATFORM" => ("settingsUpdate", json!({})),
            kind => panic!("{kind}"),
        };
        input[member] = value;
        self.change(field, input).await;
    }

    /// The id of a thing that can be blocked, with its mutations.
    fn blockable(&self, kind: &str) -> (&'static str, &str) {
        match kind {
            "API_KEY" => ("apiKey", &self.key),
            "USER" => ("user", &self.person),
            "TEAM" => ("team", &self.world.a1),
            "PROJECT" => ("project", &self.project),
            "END_USER" => ("endUser", &self.end_user),
            "MODEL" => ("model", &self.model),
            kind => panic!("{kind}"),
        }
    }

    /// Gives the key's place in the team to somebody else, or back.
    async fn put_in_team(&self, there: &str, wanted: &str) {
        let (team, there) = (sql_id(self.app, &self.world.a1), sql_id(self.app, there));
        let wanted = sql_id(self.app, wanted);
        let place = format!("team_id = {team} AND user_id = {there}");
        let change = format!("UPDATE team_memberships SET user_id = {wanted} WHERE {place}");
        execute(self.app, &change).await;
        // What is changed past the API is noticed with the next change of the key.
        self.set("API_KEY", "metadata", json!({ "owner": wanted })).await;
    }

    /// Breaks a rule, or mends it.
    async fn turn(&self, rule: &Rule, is_broken: bool) {
        let Rule { code, kind, .. } = *rule;
        let or_null = |value: Value| if is_broken { value } else { Value::Null };
        match code {
            "BLOCKED" | "MODEL_BLOCKED" => {
                let (noun, id) = self.blockable(if code == "BLOCKED" { kind } else { "MODEL" });
                let verb = if is_broken { "Block" } else { "Unblock" };
                self.change(&format!("{noun}{verb}"), json!({ "id": id })).await;
            }
            "EXPIRED" => self.set(kind, "expiresAt", or_null(json!("2026-11-21T12:00:01Z"))).await,
            "ROUTE_NOT_ALLOWED" => {
                self.set(kind, "allowedRoutes", or_null(json!(["/v1/embeddings"]))).await;
            }
            "NOT_A_MEMBER" => {
                let stranger = &self.world.users["outsider"];
                let (from, to) =
                    if is_broken { (&self.person, stranger) } else { (stranger, &self.person) };
                self.put_in_team(from, to).await;
            }
            "MODEL_NOT_ALLOWED" => {
                let list = json!({ "mode": "LIST", "models": ["o3"] });
                let value = if is_broken { list } else { json!({ "mode": "ALL" }) };
                self.set(kind, "modelAccess", value).await;
            }
            "BUDGET_EXCEEDED" => {
                // The rates of the platform stay when its cap goes.
                let (cap, rates) = (create(&json!({ "maxSpend": "1" })), rates(0));
                let budgets = match (kind, is_broken) {
                    ("PLATFORM", true) => json!([cap, rates]),
                    ("PLATFORM", false) => json!([rates]),
                    (_, true) => json!([cap]),
                    (_, false) => Value::Null,
                };
                self.set(kind, "budgets", budgets).await;
            }
            // These come with the cap of the platform.
            _ if is_broken && code != "END_USER_REQUIRED" => {}
            "REQUEST_RATE_EXCEEDED" => self.set(kind, "budgets", json!([rates(1)])).await,
            "TOKEN_RATE_EXCEEDED" => self.set(kind, "budgets", json!([rates(2)])).await,
            "PARALLEL_REQUESTS_EXCEEDED" => self.set(kind, "budgets", Value::Null).await,
            "END_USER_REQUIRED" => {
                self.set(kind, "endUserIsRequired", json!(is_broken)).await;
            }
            code => panic!("{code}"),
        }
    }

    /// What a gateway is told of the call, in both modes.
    async fn ask(&self, end_user: Option<&str>) -> [Answer; 2] {
        let body = |mode: &str| {
            json!({ "credential": self.secret, "model": "gpt-4o", "mode": mode,
                "route": "/v1/chat/completions", "endUser": end_user, "tags": [TAGS[1]],
                "requestId": format!("call-{end_user:?}"),
                "estimate": { "costUsd": "0.5", "inputTokens": 1 } })
        };
        [self.gateway.check(body("check")).await, self.gateway.check(body("reserve")).await]
    }
}

fn create(limits: &Value) -> Value {
    json!({ "create": limits })
}

/// Rates that admit nothing, but for the first so many.
fn rates(admitting: usize) -> Value {
    let names = ["requestsPerMinute", "tokensPerMinute", "maxParallelRequests"];
    let limit = |(at, name): (usize, &str)| {
        (name.to_owned(), json!(if at < admitting { 1_000 } else { 0 }))
    };
    let limits: serde_json::Map<_, _> = names.into_iter().enumerate().map(limit).collect();
    create(&limits.into())
}

/// A rule: the code and the status that tell of it, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Rule {
    code: &'static str,
    status: u16,
    kind: &'static str,
    /// Whether it concerns calls that name an end user alone, or those that name none alone.
    named: Option<bool>,
}

const fn rule(code: &'static str, status: u16, kind: &'static str) -> Rule {
    Rule { code, status, kind, named: None }
}

/// The table of `docs/enforcement.md`, from the key's block on.
const ORDER: &[Rule] = &[
    rule("BLOCKED", 403, "API_KEY"),
    rule("EXPIRED", 401, "API_KEY"),
    rule("ROUTE_NOT_ALLOWED", 403, "API_KEY"),
    rule("BLOCKED", 403, "USER"),
    rule("NOT_A_MEMBER", 403, "API_KEY"),
    rule("BLOCKED", 403, "TEAM"),
    rule("BLOCKED", 403, "PROJECT"),
    rule("MODEL_NOT_ALLOWED", 403, "ORGANIZATION"),
    rule("MODEL_NOT_ALLOWED", 403, "TEAM"),
    rule("MODEL_NOT_ALLOWED", 403, "PROJECT"),
    rule("MODEL_NOT_ALLOWED", 403, "TEAM_MEMBERSHIP"),
    rule("MODEL_NOT_ALLOWED", 403, "API_KEY"),
    rule("MODEL_BLOCKED", 403, "API_KEY"),
    Rule { named: Some(true), ..rule("BLOCKED", 403, "END_USER") },
    rule("BUDGET_EXCEEDED", 429, "API_KEY"),
    rule("BUDGET_EXCEEDED", 429, "TEAM_MEMBERSHIP"),
    rule("BUDGET_EXCEEDED", 429, "PROJECT"),
    rule("BUDGET_EXCEEDED", 429, "TEAM"),
    rule("BUDGET_EXCEEDED", 429, "ORGANIZATION"),
    rule("BUDGET_EXCEEDED", 429, "USER"),
    rule("BUDGET_EXCEEDED", 429, "OWN_TAG"),
    Rule { named: Some(true), ..rule("BUDGET_EXCEEDED", 429, "END_USER") },
    rule("BUDGET_EXCEEDED", 429, "TAG"),
    rule("BUDGET_EXCEEDED", 429, "PLATFORM"),
    rule("REQUEST_RATE_EXCEEDED", 429, "PLATFORM"),
    rule("TOKEN_RATE_EXCEEDED", 429, "PLATFORM"),
    rule("PARALLEL_REQUESTS_EXCEEDED", 429, "PLATFORM"),
    Rule { named: Some(false), ..rule("END_USER_REQUIRED", 403, "PLATFORM") },
];

/// AC-8, F5, SECURITY 6: the order of the rules. Of a call against which a rule and all that come after
/// it speak, the answer is that rule's, in both modes: so it is for each two neighbours.
#[tokio::test]
async fn of_several_refusals_the_first_in_the_order_is_told() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        // Every budget is used up by a call that was made.
        for rule in ORDER.iter().rev().filter(|rule| rule.code == "BUDGET_EXCEEDED") {
            scene.turn(rule, true).await;
        }
        let mut used = event("used", &scene.key, "1");
        used["endUser"] = json!("ada");
        used["tags"] = json!([TAGS[1]]);
        let answer = scene.gateway.at("/v1/usage").post(json!({ "events": [used] }), &[]).await;
        assert_eq!(answer.body["verdicts"][0]["code"], "RECORDED", "{:#}", answer.body);
        for rule in ORDER.iter().rev().filter(|rule| rule.code != "BUDGET_EXCEEDED") {
            scene.turn(rule, true).await;
        }
        app.clock.set(noon() + TimeDelta::seconds(2));
        app.app.enforcement().poll().await.unwrap();
        for mended in 0..=ORDER.len() {
            if let Some(before) = mended.checked_sub(1) {
                scene.turn(&ORDER[before], false).await;
            }
            for is_named in [true, false] {
                let concerns = |rule: &&Rule| rule.named.is_none_or(|named| named == is_named);
                let expected = ORDER[mended..].iter().find(concerns);
                for answer in scene.ask(is_named.then_some("ada")).await {
                    let body = &answer.body;
                    let found =
                        (answer.status, body["code"].as_str(), body["scope"]["kind"].as_str());
                    let expected = expected.map_or((200, None, None), |rule| {
                        let kind = if rule.kind == "OWN_TAG" { "TAG" } else { rule.kind };
                        (rule.status, Some(rule.code), Some(kind))
                    });
                    assert_eq!(found, expected, "{mended}, {is_named}: {body:#}");
                    // Of the two tags, that of the key comes first.
                    if expected.2 == Some("TAG") {
                        let at =
                            usize::from(!ORDER[mended..].iter().any(|rule| rule.kind == "OWN_TAG"));
                        assert_eq!(body["scope"]["id"], scene.tags[at], "{body:#}");
                    }
                }
            }
        }
        // Before all of them: somebody has the secret, and its key is one that calls models.
        let unknown = json!({ "credential": "sk-nobody", "model": "gpt-4o" });
        let answer = scene.gateway.check(unknown).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("INVALID_CREDENTIAL")));
        let input = json!({ "kind": "GATEWAY", "name": "blocked" });
        let (other, _) = api_key(&scene.admin, input).await;
        scene.change("apiKeyBlock", json!({ "id": other })).await;
        let answer = scene.gateway.check(json!({ "keyId": other })).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("WRONG_KIND")));
    })
    .await;
}

/// GATEWAYS 1.1, E-12, E-14, SECURITY 6: a call waits until the last of the budgets that refuse it has
/// room. Where one of them never has, there is nothing to wait for, and no `Retry-After`.
#[tokio::test]
async fn a_call_waits_until_the_last_budget_has_room_for_it() {
    on_each_database(async |app| {
        let gateway = gateway(app).await;
        let limit = |max: &str, period: Option<&str>| json!({ "maxSpend": max, "period": period });
        let more = |amount: &str, ends_at: &str| {
            let increase = json!({ "amount": amount, "endsAt": ends_at });
            json!({ "maxSpend": "1", "period": "1d", "temporaryIncrease": increase })
        };
        let (day, month) = (Some("1d"), Some("1mo"));
        // It is noon of the 21st of November.
        let (midnight, december) = (Some(43_200), Some(820_800));
        for (number, (budgets, estimate, refusing, wait)) in [
            (vec![limit("1", day)], "1", 1, midnight),
            (vec![limit("1", day)], "1.000000001", 1, None),
            (vec![limit("1", None)], "0.5", 1, None),
            (vec![limit("0", month)], "0", 1, None),
            (vec![limit("1", day), limit("1", month)], "0", 2, december),
            (vec![limit("1", month), limit("1", day)], "0.5", 2, december),
            (vec![limit("1", day), limit("100", month)], "0.5", 1, midnight),
            (vec![limit("1", day), limit("1", None)], "0.5", 2, None),
            (vec![limit("1", None), limit("1", day)], "0.5", 2, None),
            (vec![limit("1", day), limit("100", None)], "0.5", 1, midnight),
            (vec![limit("1", day), limit("0", month)], "0", 2, None),
            (vec![more("0.5", "2026-11-21T13:00:00Z")], "1.2", 1, None),
            (vec![more("0.5", "2026-11-22T00:00:00Z")], "1.2", 1, None),
            (vec![more("0.5", "2026-11-22T00:00:01Z")], "1.2", 1, midnight),
        ]
        .into_iter()
        .enumerate()
        {
            let case = format!("{budgets:?} {estimate}");
            let (_, key) = team_with_key(app, &format!("T{number}"), json!(budgets)).await;
            let used = json!({ "events": [event(&format!("used-{number}"), &key, "1")] });
            let answer = gateway.at("/v1/usage").post(used, &[]).await;
            assert_eq!(codes(answer.body["verdicts"].as_array().unwrap()), ["RECORDED"], "{case}");
            app.app.enforcement().poll().await.unwrap();
            for mode in ["check", "reserve"] {
                let answer = gateway
                    .check(json!({ "keyId": key, "model": "gpt-4o", "mode": mode,
                        "requestId": format!("call-{number}"), "estimate": { "costUsd": estimate } }))
                    .await;
                let body = &answer.body;
                assert_eq!(body["code"], "BUDGET_EXCEEDED", "{case}: {body:#}");
                assert_eq!(body["limits"].as_array().unwrap().len(), refusing, "{case}: {body:#}");
                let millis = wait.map(|seconds| seconds * 1_000);
                assert_eq!(body["retryAfterMs"].as_i64(), millis, "{mode} {case}: {body:#}");
                let header = answer.headers.get("retry-after").map(|value| value.to_str().unwrap());
                let seconds = wait.map(|seconds: i64| seconds.to_string());
                assert_eq!(header, seconds.as_deref(), "{mode} {case}");
            }
        }
    })
    .await;
}
