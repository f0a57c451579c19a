//! One server on which tree after tree is played: each begins with the same world.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use serde_json::json;

use super::digest::{Digest, Tables};
use super::oracle;
use super::plan::{Mutation, plan};
use super::state::{State, pick};
use super::step::{Step, Verb, Who, verbs};
use crate::harness::world::{World, api_key};
use crate::harness::{Answer, Client, TestApp};
use crate::steps::{change, done, project};

/// Those who ask, beside the keys that steps make.
const PEOPLE: &[&str] = &[
    "organization_admin",
    "team_admin",
    "other_team_admin",
    "member",
    "viewer",
    "outsider",
    "platform_admin",
    "platform_viewer",
    "service",
];

/// What became of the steps.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    accepted: BTreeMap<Verb, u32>,
    refused: BTreeMap<Verb, u32>,
    /// Refusals by their code.
    codes: BTreeMap<String, u32>,
    /// Accepted steps by who asked.
    askers: BTreeMap<String, u32>,
}

impl Outcomes {
    /// How many steps were sent.
    pub(super) fn steps(&self) -> u32 {
        self.accepted.values().chain(self.refused.values()).sum()
    }

    /// Fails unless every verb was accepted and refused, and everybody did something.
    #[track_caller]
    pub(super) fn assert_that_all_was_tried(&self) {
        for verb in verbs() {
            assert!(self.accepted.contains_key(&verb), "{verb:?} was never accepted");
            assert!(self.refused.contains_key(&verb), "{verb:?} was never refused");
        }
        for who in
            ["admin", "platform_admin", "organization_admin", "team_admin", "member", "a key"]
        {
            assert!(self.askers.contains_key(who), "{who} did nothing");
        }
    }
}

/// The server, and how to begin again.
pub(super) struct Stage {
    app: TestApp,
    database: DatabaseConnection,
    tables: Tables,
    people: Vec<(&'static str, Client)>,
    outcomes: Outcomes,
}

/// A tree that is being played.
struct Tree {
    state: State,
    digest: Digest,
    /// The secrets of keys that steps made, by id.
    secrets: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    log: Vec<String>,
}

impl Stage {
    /// Makes the world, and remembers it.
    pub(super) async fn new(app: TestApp) -> Self {
        let world = World::new(&app).await;
        let admin = app.admin();
        for (name, models) in [("fast", json!(["gpt-4o"])), ("slow", json!(["o3"]))] {
            let input = json!({ "name": name, "models": models });
            done(&admin, "accessGroupCreate", input, "accessGroup { id }").await;
        }
        for (name, organization) in [("tier", None), ("tier of A", Some(&world.a))] {
            let limits = json!({ "maxSpend": "20", "period": "1mo", "requestsPerMinute": "50" });
            let input = json!({ "name": name, "organizationId": organization, "limits": limits });
            done(&admin, "budgetCreate", input, "budget { id }").await;
        }
        let app_project = project(&admin, &world.a1, json!({ "name": "app" })).await;
        let input =
            json!({ "userId": world.users["member"], "projectId": app_project, "name": "app" });
        api_key(&admin, input).await;
        let people = PEOPLE.iter().map(|name| (*name, world.person(name).clone())).collect();
        let database = app.database().await;
        let tables = Tables::read(&database).await;
        for table in &tables.ordered {
            let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}");
            database.execute_unprepared(&keep).await.unwrap();
        }
        Self { app, database, tables, people, outcomes: Outcomes::default() }
    }

    /// Ends the server.
    pub(super) async fn end(self) -> Outcomes {
        self.database.close().await.unwrap();
        self.app.stop().await;
        self.outcomes
    }

    /// Makes everything as it was in the beginning.
    async fn begin(&self) {
        let again = self.database.begin().await.unwrap();
        for table in self.tables.ordered.iter().rev() {
            again.execute_unprepared(&format!("DELETE FROM {table}")).await.unwrap();
        }
        for table in &self.tables.ordered {
            let fill = format!("INSERT INTO {table} SELECT * FROM kept_{table}");
            again.execute_unprepared(&fill).await.unwrap();
        }
        again.commit().await.unwrap();
    }

    /// Plays a tree to its end, or to the first step after which something does not hold.
    pub(super) async fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        self.begin().await;
        let state = State::read(&self.database).await;
        let mut tree = Tree {
            digest: self.tables.digest(&self.database).await,
            names: state.names(),
            state,
            secrets: BTreeMap::new(),
            log: Vec::new(),
        };
        for (number, step) in steps.iter().enumerate() {
            if let Err(problem) = self.play(&mut tree, step, number + 1).await {
                let steps = tree.log.join("\n");
                return Err(format!("{}\nafter these steps:\n{steps}", tree.named(&problem)));
            }
        }
        Ok(())
    }

    async fn play(&mut self, tree: &mut Tree, step: &Step, number: usize) -> Result<(), String> {
        let Some(mutation) = plan(step, &tree.state, number) else { return Ok(()) };
        let (who, client) = self.asker(tree, step.who);
        let Mutation { field, input, selection } = mutation;
        let answer = change(&client, field, input.clone(), selection).await;
        let code = answer.code();
        let outcome = if code.is_empty() {
            "accepted".to_owned()
        } else {
            format!("refused: {code} {}: {}", answer.fields()[0], answer.message())
        };
        let line = format!("{number:>3}. {who}: {field} {input} → {outcome}");
        let line = tree.named(&line);
        tree.log.push(line);
        if code.is_empty() {
            *self.outcomes.accepted.entry(step.verb).or_default() += 1;
            let kind = if who.starts_with("key") { "a key".to_owned() } else { who };
            *self.outcomes.askers.entry(kind).or_default() += 1;
            self.accepted(tree, field, &answer).await
        } else {
            *self.outcomes.refused.entry(step.verb).or_default() += 1;
            *self.outcomes.codes.entry(code.clone()).or_default() += 1;
            self.refused(tree, &code).await
        }
    }

    fn asker(&self, tree: &Tree, who: Who) -> (String, Client) {
        let admin = || ("admin".to_owned(), self.app.admin());
        match who {
            Who::Admin => admin(),
            Who::Person(number) => pick(&self.people, number)
                .map_or_else(admin, |(name, key)| ((*name).to_owned(), key.clone())),
            Who::Key(number) => {
                let made: Vec<_> = tree.state.keys.iter().map(|key| key.id.to_string()).collect();
                let made: Vec<_> =
                    made.iter().filter_map(|id| Some((id, tree.secrets.get(id)?))).collect();
                pick(&made, number).map_or_else(admin, |(id, secret)| {
                    let name = tree.names.get(*id).cloned().unwrap_or_default();
                    (name, self.app.with_key(Some(secret)))
                })
            }
        }
    }

    /// After a step that was accepted all invariants hold, and the doctor says the same.
    async fn accepted(&self, tree: &mut Tree, field: &str, answer: &Answer) -> Result<(), String> {
        if let Some(secret) = answer.body["data"][field]["secret"].as_str() {
            let id = answer.body["data"][field]["apiKey"]["id"].as_str().unwrap();
            tree.secrets.insert(id.to_owned(), secret.to_owned());
        }
        tree.state = State::read(&self.database).await;
        tree.names.extend(tree.state.names());
        tree.digest = self.tables.digest(&self.database).await;
        let breaches = oracle::breaches(&tree.state);
        if !breaches.is_empty() {
            return Err(format!("an invariant does not hold: {breaches:#?}"));
        }
        let mut found = Vec::new();
        let database = &self.app.app.deployment().database;
        let examined = tollkeep::app::examine(database, &mut |breach| found.push(breach)).await;
        match examined {
            Ok(_) if found.is_empty() => Ok(()),
            outcome => Err(format!("the doctor found {found:#?} ({outcome:?})")),
        }
    }

    /// After a step that was refused nothing has changed, but that a denial is in the audit trail.
    async fn refused(&self, tree: &mut Tree, code: &str) -> Result<(), String> {
        let known = [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "NOT_FOUND",
            "BAD_USER_INPUT",
            "ALREADY_EXISTS",
            "CONFLICT",
            "LIMIT_EXCEEDED",
        ];
        if !known.contains(&code) {
            return Err(format!("a refusal with the code {code}"));
        }
        let after = self.tables.digest(&self.database).await;
        let before = std::mem::replace(&mut tree.digest, after);
        let after = &tree.digest;
        if before.rows != after.rows || before.changes != after.changes {
            return Err(format!("a refusal changed something:\n{}", before.difference(after)));
        }
        let denials = u64::from(code == "FORBIDDEN");
        let count = |digest: &Digest| digest.events.parse::<u64>().unwrap();
        if count(after) - count(&before) > denials {
            return Err("a refusal left events in the audit trail".to_owned());
        }
        Ok(())
    }
}

impl Tree {
    /// A text with the names of things in the place of their ids.
    fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (id, name) in &self.names {
            if text.contains(id.as_str()) {
                text = text.replace(&format!("\"{id}\""), id).replace(id, &format!("<{name}>"));
            }
        }
        text
    }
}
