//! After every mutation, what is kept in memory answers as the database does.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollkeep::db::StatementCount;
use tollkeep::domain::access::Depth;
use tollkeep::enforcement::call::Call;
use tollkeep::enforcement::{Enforcement, Settings};
use tollkeep::graphql::engine::{Engine, EngineLimits};

use crate::harness::client::text;
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::done;

/// A secret that a key comes to have in the middle of the walk.
const CHOSEN: &str = "sk-4f9a0c2e7b1d8365aa00bb11cc22dd33";

/// Whether a step changes the answer to any of the calls that are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Changes,
    Nothing,
}

use Effect::{Changes, Nothing};

struct Walk<'a> {
    app: &'a TestApp,
    secrets: Vec<String>,
    seen: BTreeSet<String>,
}

/// Calls of every key: models of each kind, end users and tags that somebody made and that nobody did.
fn calls() -> Vec<Call> {
    let call = |model: &str, end_user: Option<&str>, tags: &[&str]| Call {
        model: Some(model.to_owned()),
        end_user: end_user.map(str::to_owned),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Call::default()
    };
    vec![
        call("m-a", None, &[]),
        call("alias", Some("stranger"), &[]),
        call("own", Some("customer"), &["extra"]),
        call("grouped", None, &["extra", "other"]),
    ]
}

/// Everything that is answered, with every rule and its numbers.
async fn answers(enforcement: &Enforcement, secrets: &[String]) -> Vec<String> {
    let count = StatementCount::default();
    let mut answers = Vec::new();
    for secret in secrets {
        let presented = enforcement.by_secret(secret, &count).await.unwrap();
        for call in calls() {
            let depth = Depth::Explanation;
            let verdict =
                enforcement.check(presented.as_ref(), &call, depth, &count).await.unwrap();
            answers.push(format!(
                "{:?} {:?} {:?} {:#?}",
                verdict.code, verdict.principal, verdict.model, verdict.decision
            ));
        }
    }
    answers
}

impl Walk<'_> {
    /// Runs a mutation between two looks at the answers.
    async fn step(&mut self, field: &str, selection: &str, input: Value, effect: Effect) -> Value {
        let before = answers(self.app.app.enforcement(), &self.secrets).await;
        let made = done(&self.app.admin(), field, input.clone(), selection).await;
        self.compare(&before, effect, &format!("{field} {input}")).await;
        self.seen.insert(field.to_owned());
        made
    }

    /// Runs a mutation of the ledger, and what it counted is known after the next poll.
    async fn count(&mut self, who: &Client, field: &str, selection: &str, input: Value) -> Value {
        let kept = self.app.app.enforcement();
        let before = answers(kept, &self.secrets).await;
        let made = done(who, field, input, selection).await;
        kept.poll().await.unwrap();
        self.compare(&before, Changes, field).await;
        self.seen.insert(field.to_owned());
        made
    }

    /// Compares what is kept with what stands in the database, and with what was answered before.
    async fn compare(&self, before: &[String], effect: Effect, step: &str) {
        let settings = Settings {
            keys: 100,
            unknown: 100,
            end_users: 100,
            tags: 100,
            poll_interval: std::time::Duration::from_millis(250),
            change_log: std::time::Duration::from_hours(1),
        };
        let after = answers(self.app.app.enforcement(), &self.secrets).await;
        let rates = self.app.app.enforcement().rates().clone();
        let fresh = Enforcement::start(self.app.app.deployment(), settings, rates).await.unwrap();
        let told = answers(&fresh, &self.secrets).await;
        for (kept, told) in after.iter().zip(&told) {
            assert_eq!(kept, told, "after {step}");
        }
        assert_eq!(*before != after, effect == Changes, "{step}");
    }

    async fn key(&mut self, input: Value) -> String {
        let selection = "apiKey { id } secret";
        let made = self.step("apiKeyCreate", selection, input, Nothing).await;
        self.secrets.push(text(&made, "/secret"));
        text(&made, "/apiKey/id")
    }
}

fn cap(amount: &str) -> Value {
    json!([{ "create": { "maxSpend": amount } }])
}

fn list(models: &[&str], groups: &[&str]) -> Value {
    json!({ "mode": "LIST", "models": models, "accessGroups": groups })
}

#[expect(
    clippy::too_many_lines,
    clippy::many_single_char_names,
    reason = "a table of steps on objects that are named as in its comments"
)]
async fn walk(app: &TestApp) -> BTreeSet<String> {
    let secrets = vec![CHOSEN.to_owned()];
    let mut walk = Walk { app, secrets, seen: BTreeSet::new() };
    let org = "organization { id }";
    let a = walk.step("organizationCreate", org, json!({ "name": "A" }), Nothing).await;
    let a = text(&a, "/organization/id");
    let b = walk.step("organizationCreate", org, json!({ "name": "B" }), Nothing).await;
    let b = text(&b, "/organization/id");
    let mut people = Vec::new();
    for name in ["ada", "bob"] {
        let made = walk.step("userCreate", "user { id }", json!({ "name": name }), Nothing).await;
        people.push(text(&made, "/user/id"));
    }
    let [ada, bob] = <[String; 2]>::try_from(people).unwrap();
    for organization in [&a, &b] {
        let members = json!([{ "user": { "id": ada } }, { "user": { "id": bob } }]);
        let input = json!({ "organizationId": organization, "members": members });
        walk.step("organizationMemberAdd", org, input, Nothing).await;
    }
    let mut teams = Vec::new();
    for name in ["T", "U"] {
        let members = json!([{ "user": { "id": ada }, "role": "ADMIN" }]);
        let input =
            json!({ "name": name, "organizationId": a, "members": members, "isJoinable": true });
        let made = walk.step("teamCreate", "team { id }", input, Nothing).await;
        teams.push(text(&made, "/team/id"));
    }
    let [t, u] = <[String; 2]>::try_from(teams).unwrap();
    let input = json!({ "teamId": t, "name": "P" });
    let p = walk.step("projectCreate", "project { id }", input, Nothing).await;
    let p = text(&p, "/project/id");
    let k =
        walk.key(json!({ "userId": ada, "teamId": t, "projectId": p, "tags": ["night"] })).await;
    let s = walk.key(json!({ "kind": "SERVICE", "teamId": t })).await;
    let l = walk.key(json!({ "userId": ada })).await;
    let input = json!({ "userId": bob, "secret": CHOSEN });
    walk.step("apiKeyCreate", "apiKey { id }", input, Changes).await;

    // Budgets of every scope, given by what has them.
    let input = json!({ "name": "tier", "limits": { "maxSpend": "7" } });
    let tier = walk.step("budgetCreate", "budget { id }", input, Nothing).await;
    let tier = text(&tier, "/budget/id");
    let attach = json!([{ "attach": { "budgetId": tier } }]);
    let input = json!({ "id": a, "budgets": attach });
    walk.step("organizationUpdate", org, input, Changes).await;
    let input = json!({ "id": tier, "limits": { "maxSpend": "6" } });
    walk.step("budgetUpdate", "budget { id }", input, Changes).await;
    let input = json!({ "id": t, "budgets": attach });
    walk.step("teamUpdate", "team { id }", input, Changes).await;
    // Nothing was spent yet, so that another counter tells the same.
    let count = json!([{ "attach": { "budgetId": tier, "counting": "SHARED" } }]);
    let input = json!({ "id": t, "budgets": count });
    walk.step("teamUpdate", "team { id }", input, Nothing).await;
    let edit = json!([{ "edit": { "budgetId": tier, "limits": { "maxSpend": "5" } } }]);
    let input = json!({ "id": t, "budgets": edit });
    walk.step("teamUpdate", "team { id }", input, Changes).await;
    let input = json!({ "id": p, "budgets": cap("4") });
    walk.step("projectUpdate", "project { id }", input, Changes).await;
    let member = json!({ "teamId": t, "user": { "id": ada }, "budgets": cap("3") });
    walk.step("teamMemberUpdate", "membership { id }", member, Changes).await;
    let input = json!({ "id": k, "budgets": cap("2") });
    walk.step("apiKeyUpdate", "apiKey { id }", input, Changes).await;
    let input = json!({ "id": ada, "budgets": cap("9") });
    walk.step("userUpdate", "user { id }", input, Changes).await;
    let settings = "settings { version }";
    walk.step("settingsUpdate", settings, json!({ "budgets": cap("100") }), Changes).await;
    let defaults = json!({ "endUserDefaults": { "budgets": cap("1") } });
    walk.step("settingsUpdate", settings, defaults, Changes).await;
    walk.step("settingsUpdate", settings, json!({ "endUserIsRequired": true }), Changes).await;
    walk.step("settingsUpdate", settings, json!({ "endUserIsRequired": false }), Changes).await;
    walk.step("settingsUpdate", settings, json!({ "userBudgetsHoldInTeams": false }), Changes)
        .await;
    walk.step("settingsUpdate", settings, json!({ "teamsAreJoinable": true }), Nothing).await;
    walk.step("budgetDelete", "deletedId", json!({ "id": tier }), Changes).await;

    // Lists of models, aliases and groups; models of the platform and of a team.
    let input = json!({ "name": "g", "models": ["x"] });
    let g = walk.step("accessGroupCreate", "accessGroup { id }", input, Nothing).await;
    let g = text(&g, "/accessGroup/id");
    let input = json!({ "id": a, "modelAccess": list(&["m-*", "own"], &["g"]) });
    walk.step("organizationUpdate", org, input, Changes).await;
    let input = json!({ "id": g, "models": ["x", "grouped"] });
    walk.step("accessGroupUpdate", "accessGroup { id }", input, Changes).await;
    let input = json!({ "id": t, "modelAccess": list(&["m-a"], &[]) });
    walk.step("teamUpdate", "team { id }", input, Changes).await;
    let input = json!({ "teamId": t, "models": ["own"] });
    walk.step("teamModelAdd", "team { id }", input.clone(), Changes).await;
    walk.step("teamModelRemove", "team { id }", input, Changes).await;
    let input = json!({ "name": "own", "provider": "openai", "teamId": t });
    let own = walk.step("modelCreate", "model { id }", input, Changes).await;
    let own = json!({ "id": own["model"]["id"] });
    walk.step("modelBlock", "model { id }", own.clone(), Changes).await;
    walk.step("modelUnblock", "model { id }", own.clone(), Changes).await;
    let free = json!({ "id": own["id"], "inputPrice": "0", "outputPrice": "0" });
    walk.step("modelUpdate", "model { id }", free, Changes).await;
    walk.step("modelDelete", "deletedIds", json!({ "ids": [own["id"]] }), Changes).await;
    let alias = json!({ "teamId": t, "alias": "alias", "target": "m-a" });
    walk.step("teamModelAliasSet", "team { id }", alias, Changes).await;
    let alias = json!({ "apiKeyId": k, "alias": "m-a", "target": "m-b" });
    walk.step("apiKeyModelAliasSet", "apiKey { id }", alias, Changes).await;
    let alias = json!({ "apiKeyId": k, "alias": "m-a" });
    walk.step("apiKeyModelAliasRemove", "apiKey { id }", alias, Changes).await;
    let alias = json!({ "teamId": t, "alias": "alias" });
    walk.step("teamModelAliasRemove", "team { id }", alias, Changes).await;
    let members = json!([{ "user": { "id": ada }, "modelAccess": { "mode": "NONE" } }]);
    let input = json!({ "teamId": t, "members": members });
    walk.step("teamMemberBulkUpdate", "memberships { id }", input, Changes).await;
    let members = json!([{ "user": { "id": ada }, "modelAccess": { "mode": "ALL" } }]);
    let input = json!({ "teamId": t, "members": members });
    walk.step("teamMemberBulkUpdate", "memberships { id }", input, Changes).await;
    let keys = json!([{ "id": s, "modelAccess": { "mode": "NONE" } }]);
    walk.step("apiKeyBulkUpdate", "apiKeys { id }", json!({ "keys": keys }), Changes).await;
    let values = json!([{ "name": "api_key", "value": "sk-4f9a0c2e7b1d8365" }]);
    let input = json!({ "name": "OpenAI", "values": values });
    let c = walk.step("credentialCreate", "credential { id }", input, Nothing).await;
    let c = json!(c["credential"]["id"]);
    let input = json!({ "id": c, "name": "Other" });
    walk.step("credentialUpdate", "credential { id }", input, Nothing).await;
    walk.step("credentialDelete", "deletedIds", json!({ "ids": [c] }), Nothing).await;

    // Blocks and secrets.
    for (noun, id) in [("apiKey", &k), ("project", &p), ("team", &t), ("user", &ada)] {
        for verb in ["Block", "Unblock"] {
            let selection = format!("{noun} {{ id }}");
            walk.step(&format!("{noun}{verb}"), &selection, json!({ "id": id }), Changes).await;
        }
    }
    let input = json!({ "id": l, "gracePeriod": "1h" });
    walk.step("apiKeyRotate", "apiKey { id }", input, Nothing).await;
    walk.step("apiKeyRotate", "apiKey { id }", json!({ "id": s }), Changes).await;
    let input = json!({ "id": l, "expiresAt": "2026-11-22T12:00:00Z" });
    walk.step("apiKeyUpdate", "apiKey { id }", input, Changes).await;

    // End users and tags that calls name before and after somebody made them.
    let end_user = "endUser { id }";
    let input = json!({ "externalId": "customer", "budgets": cap("8") });
    let platforms = walk.step("endUserCreate", end_user, input, Changes).await;
    let input = json!({ "externalId": "customer", "organizationId": a, "budgets": cap("7") });
    walk.step("endUserCreate", end_user, input, Changes).await;
    let input = json!({ "externalId": "other", "teamId": t, "defaultModel": "m-a" });
    let teams = walk.step("endUserCreate", end_user, input, Nothing).await;
    let teams = json!({ "id": teams["endUser"]["id"] });
    let input = json!({ "id": teams["id"], "externalId": "customer" });
    walk.step("endUserUpdate", end_user, input, Changes).await;
    walk.step("endUserBlock", end_user, teams.clone(), Changes).await;
    walk.step("endUserUnblock", end_user, teams.clone(), Changes).await;
    let input = json!({ "id": teams["id"], "budgets": cap("3") });
    walk.step("endUserUpdate", end_user, input, Changes).await;
    walk.step("endUserDelete", "deletedIds", json!({ "ids": [teams["id"]] }), Changes).await;
    let gone = json!({ "ids": [platforms["endUser"]["id"]] });
    walk.step("endUserDelete", "deletedIds", gone, Changes).await;
    for name in ["night", "extra"] {
        for organization in [Value::Null, json!(a)] {
            let input =
                json!({ "name": name, "organizationId": organization, "budgets": cap("5") });
            let made = walk.step("tagCreate", "tag { id }", input, Changes).await;
            let input = json!({ "id": made["tag"]["id"], "budgets": cap("4") });
            walk.step("tagUpdate", "tag { id }", input, Changes).await;
            if organization.is_null() {
                let gone = json!({ "ids": [made["tag"]["id"]] });
                walk.step("tagDelete", "deletedIds", gone, Changes).await;
            }
        }
    }

    // What is counted; gateways are not asked about.
    let gateway = json!({ "kind": "GATEWAY", "name": "gateway" });
    let made = walk.step("apiKeyCreate", "apiKey { id } secret", gateway, Nothing).await;
    let gateway = app.with_key(Some(&text(&made, "/secret")));
    let events =
        json!({ "events": [{ "requestId": "1", "apiKeyId": k, "model": "m-a", "cost": "1.5" }] });
    let verdicts = "verdicts { usageEventId }";
    let made = walk.count(&gateway, "usageRecord", verdicts, events).await;
    let event = text(&made, "/verdicts/0/usageEventId");
    let input = json!({ "usageEventId": event, "amount": "-1", "reason": "a test" });
    walk.count(&app.admin(), "spendCorrect", "usageEvent { id }", input).await;

    // What moves and what goes, with all that hangs on it.
    let input = json!({ "id": p, "teamId": u, "apiKeys": "CARRY" });
    walk.step("projectMove", "project { id }", input, Changes).await;
    let input = json!({ "id": u, "organizationId": b });
    walk.step("teamMove", "team { id }", input, Changes).await;
    let input = json!({ "id": a, "modelAccess": { "mode": "ALL" } });
    walk.step("organizationUpdate", org, input, Nothing).await;
    walk.step("accessGroupDelete", "deletedIds", json!({ "ids": [g] }), Nothing).await;
    let input = json!({ "organizationId": b, "user": { "id": ada }, "role": "ADMIN" });
    walk.step("organizationMemberUpdate", "membership { id }", input, Nothing).await;
    let members = json!([{ "user": { "id": bob }, "role": "ADMIN" }]);
    let input = json!({ "teamId": u, "members": members });
    walk.step("teamMemberAdd", "team { id }", input, Nothing).await;
    let input = json!({ "teamId": u, "user": { "id": ada } });
    walk.step("teamMemberRemove", "deletedId", input, Changes).await;
    walk.step("projectDelete", "deletedIds", json!({ "ids": [p] }), Nothing).await;
    let again = walk.key(json!({ "userId": bob, "teamId": u })).await;
    let input = json!({ "organizationId": a, "user": { "id": bob } });
    walk.step("organizationMemberRemove", "deletedId", input, Nothing).await;
    walk.step("apiKeyDelete", "deletedIds", json!({ "ids": [again] }), Changes).await;
    walk.key(json!({ "kind": "SERVICE", "teamId": t })).await;
    walk.step("teamDelete", "deletedIds", json!({ "ids": [t] }), Changes).await;
    walk.step("userDelete", "deletedIds", json!({ "ids": [ada] }), Changes).await;
    walk.key(json!({ "kind": "SERVICE", "teamId": u })).await;
    walk.step("organizationDelete", "deletedIds", json!({ "ids": [b] }), Changes).await;
    walk.seen
}

/// SECURITY 6, C-A9: every write that changes what a decision sees is told to those who keep it, and a
/// write that changes nothing of it is no reason to answer otherwise.
#[tokio::test]
async fn after_every_mutation_memory_answers_as_the_database_does() {
    let engine = Engine::new(EngineLimits::default()).unwrap();
    let mutations: BTreeSet<_> = engine
        .rules()
        .iter()
        .filter(|(root, _, _)| *root == "Mutation")
        .map(|(_, field, _)| field.to_owned())
        .collect();
    on_each_database(async |app| {
        let mut seen = walk(app).await;
        // A person joins for itself: what it changes is a membership, as `teamMemberAdd` does.
        seen.insert("teamJoin".to_owned());
        assert_eq!(seen, mutations, "a mutation without a step here");
    })
    .await;
}
