//! From an abstract step to a mutation: what its numbers stand for, given what there is.

mod outer;

use entity::id::UserId;
use entity::role::ScopeKind;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::state::{State, pick, uuid};
use super::step::{Access, Budgets, Entry, Limits, Step, Verb};

/// A mutation to be sent.
pub(super) struct Mutation {
    pub(super) field: &'static str,
    pub(super) input: Value,
    pub(super) selection: &'static str,
}

/// The names of models that lists may hold, and of groups.
const MODELS: &[&str] = &["gpt-4o", "gpt-*", "o3", "own-1", "own-*", "*"];
const GROUPS: &[&str] = &["fast", "slow"];
/// The names of teams' own models.
const OWN: &[&str] = &["own-1", "own-2", "gpt-own"];
/// Periods that the oracle knows; the last is none.
const PERIODS: &[&str] = &["1d", "7d", "30d", "P1M", "P7D", "1mo", ""];
const PATTERNS: &[&str] = &["", "", "", "gpt-*", "o3"];
/// Numbers for limits, for each depth: those below mostly are within those above.
const AMOUNTS: &[&[u32]] =
    &[&[100, 50, 20], &[50, 20, 10, 100], &[20, 10, 5, 50], &[10, 5, 1, 20, 0]];

const ORGANIZATION: usize = 0;
const TEAM: usize = 1;
const MEMBER: usize = 2;
const KEY: usize = 3;

/// What a list of models is in an input.
fn list(access: Access) -> Value {
    let chosen = |names: &[&'static str], bits: u8| -> Vec<&'static str> {
        names
            .iter()
            .enumerate()
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    };
    match access {
        Access::All => json!({ "mode": "ALL" }),
        Access::None => json!({ "mode": "NONE" }),
        Access::List { models, groups } => {
            let (mut models, groups) = (chosen(MODELS, models), chosen(GROUPS, groups));
            if models.is_empty() && groups.is_empty() {
                models.push("gpt-4o");
            }
            json!({ "mode": "LIST", "models": models, "accessGroups": groups })
        }
    }
}

fn limits(limits: &Limits, depth: usize, is_change: bool) -> Value {
    let amount = |place: u8| AMOUNTS[depth][usize::from(place) % AMOUNTS[depth].len()];
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if let Some(place) = limits.max {
        let max = amount(place);
        set("maxSpend", json!(max.to_string()));
        if limits.soft {
            set("softSpend", json!((max / 2).to_string()));
        }
    }
    let rates = [
        ("requestsPerMinute", limits.requests),
        ("tokensPerMinute", limits.tokens),
        ("maxParallelRequests", limits.parallel),
    ];
    for (name, rate) in rates {
        if let Some(place) = rate {
            set(name, json!(amount(place).to_string()));
        }
    }
    // A change leaves out most of what it does not mean to change.
    if !is_change || limits.period.is_multiple_of(4) {
        let period = PERIODS[usize::from(limits.period) % PERIODS.len()];
        set("period", if period.is_empty() { Value::Null } else { json!(period) });
    }
    if !is_change || limits.pattern.is_multiple_of(4) {
        let pattern = PATTERNS[usize::from(limits.pattern) % PATTERNS.len()];
        set("modelPattern", if pattern.is_empty() { Value::Null } else { json!(pattern) });
    }
    Value::Object(fields)
}

/// A list of budgets for a scope; none is there yet for a new one.
fn budgets(
    state: &State,
    budgets: &Budgets,
    scope: Option<(ScopeKind, Uuid)>,
    depth: usize,
) -> Value {
    let held = scope.map(|(kind, id)| state.held(kind, id)).unwrap_or_default();
    let mut edited = Vec::new();
    let mut entries = Vec::new();
    for entry in &budgets.entries {
        match entry {
            Entry::Create(new) => entries.push(json!({ "create": limits(new, depth, false) })),
            Entry::Attach { pick: number, shared } => {
                let counting = shared.map(|shared| if shared { "SHARED" } else { "EACH" });
                if let Some(budget) = pick(&state.budgets, *number) {
                    edited.push(budget.id);
                    let id = budget.id.to_string();
                    entries.push(json!({ "attach": { "budgetId": id, "counting": counting } }));
                }
            }
            Entry::Edit { pick: number, limits: change } => {
                if let Some(budget) = pick(&held, *number) {
                    edited.push(budget.id);
                    let change = limits(change, depth, true);
                    entries.push(
                        json!({ "edit": { "budgetId": budget.id.to_string(), "limits": change } }),
                    );
                }
            }
        }
    }
    if budgets.keep {
        let kept = held.iter().filter(|budget| !edited.contains(&budget.id));
        entries
            .extend(kept.map(|budget| json!({ "attach": { "budgetId": budget.id.to_string() } })));
    }
    Value::Array(entries)
}

/// Collects the fields of an input.
struct Input<'a> {
    step: &'a Step,
    state: &'a State,
    fields: Map<String, Value>,
}

impl Input<'_> {
    fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    fn set_if(self, condition: bool, name: &str, value: impl Into<Value>) -> Self {
        if condition { self.set(name, value) } else { self }
    }

    fn access(self) -> Self {
        match self.step.access {
            Some(access) => self.set("modelAccess", list(access)),
            None => self,
        }
    }

    fn budgets(self, scope: Option<(ScopeKind, Uuid)>, depth: usize) -> Self {
        match &self.step.budgets {
            Some(wanted) => {
                let value = budgets(self.state, wanted, scope, depth);
                self.set("budgets", value)
            }
            None => self,
        }
    }

    fn cascade(self) -> Self {
        let word = if self.step.clamp { "CLAMP" } else { "REFUSE" };
        self.set("cascade", word)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last link where something may be missing")]
    fn done(self, field: &'static str, selection: &'static str) -> Option<Mutation> {
        Some(Mutation { field, input: Value::Object(self.fields), selection })
    }

    fn value(self) -> Value {
        Value::Object(self.fields)
    }
}

fn user_ref(id: UserId) -> Value {
    json!({ "id": id.to_string() })
}

/// The mutation that a step stands for; none when there is nothing that it could be about.
pub(super) fn plan(step: &Step, state: &State, number: usize) -> Option<Mutation> {
    let input = || Input { step, state, fields: Map::new() };
    let name = format!("n{number}");
    match step.verb {
        Verb::OrganizationCreate
        | Verb::OrganizationUpdate
        | Verb::OrganizationDelete
        | Verb::OrganizationMemberAdd
        | Verb::OrganizationMemberUpdate
        | Verb::OrganizationMemberRemove => outer::organization(step, state, input, name),
        Verb::TeamCreate
        | Verb::TeamUpdate
        | Verb::TeamMemberDefaults
        | Verb::TeamMove
        | Verb::TeamDelete
        | Verb::TeamModelAdd
        | Verb::TeamModelRemove
        | Verb::TeamModelAliasSet
        | Verb::TeamJoin => team(step, state, input, name),
        Verb::TeamMemberAdd
        | Verb::TeamMemberUpdate
        | Verb::TeamMemberBulkUpdate
        | Verb::TeamMemberRemove => member(step, state, input),
        Verb::ProjectCreate | Verb::ProjectUpdate | Verb::ProjectMove | Verb::ProjectDelete => {
            project(step, state, input, name)
        }
        Verb::ApiKeyCreate => new_key(step, state, input, name),
        Verb::ApiKeyUpdate
        | Verb::ApiKeyBulkUpdate
        | Verb::ApiKeyRotate
        | Verb::ApiKeyModelAliasSet
        | Verb::ApiKeyDelete => key(step, state, input),
        Verb::UserCreate | Verb::UserUpdate | Verb::UserDelete => {
            outer::user(step, state, input, name)
        }
        Verb::BudgetCreate | Verb::BudgetUpdate | Verb::BudgetDelete => {
            outer::budget(step, state, input, name)
        }
        Verb::SettingsUpdate => outer::settings(step, input),
        Verb::ModelCreate
        | Verb::ModelUpdate
        | Verb::ModelDelete
        | Verb::CredentialCreate
        | Verb::CredentialDelete
        | Verb::AccessGroupCreate
        | Verb::AccessGroupUpdate
        | Verb::AccessGroupDelete => model(step, state, input, name),
        Verb::TagCreate
        | Verb::TagUpdate
        | Verb::TagDelete
        | Verb::EndUserCreate
        | Verb::EndUserUpdate
        | Verb::EndUserDelete => beside(step, state, input, name),
    }
}

fn team<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, c] = step.picks;
    let organization = pick(&state.organizations, b).map(|row| row.id.to_string());
    if step.verb == Verb::TeamCreate {
        let user = pick(&state.users, c).map(|row| json!({ "user": user_ref(row.id) }));
        let defaults = step.access.map(|access| json!({ "modelAccess": list(access) }));
        return input()
            .set("name", name)
            .set_if(step.flags[0], "organizationId", organization)
            .set_if(step.flags[1] && defaults.is_some(), "memberDefaults", defaults)
            .set("members", user.into_iter().collect::<Vec<_>>())
            .set_if(step.word.is_multiple_of(2), "isJoinable", true)
            .access()
            .budgets(None, TEAM)
            .done("teamCreate", "team { id }");
    }
    let row = pick(&state.teams, a)?;
    let id = row.id.to_string();
    let word = MODELS[usize::from(step.word) % MODELS.len()];
    match step.verb {
        Verb::TeamUpdate => input()
            .set("id", id)
            .access()
            .budgets(Some((ScopeKind::Team, uuid(row.id))), TEAM)
            .cascade()
            .done("teamUpdate", "team { id }"),
        Verb::TeamMemberDefaults => {
            let scope = (ScopeKind::TeamMemberDefault, uuid(row.id));
            let defaults = input().access().budgets(Some(scope), MEMBER).value();
            input().set("id", id).set("memberDefaults", defaults).done("teamUpdate", "team { id }")
        }
        Verb::TeamMove => {
            let to = if step.flags[0] { None } else { organization };
            input()
                .set("id", id)
                .set("organizationId", to)
                .cascade()
                .done("teamMove", "team { id }")
        }
        Verb::TeamDelete => {
            let mut ids = vec![id];
            ids.extend(
                pick(&state.teams, b).filter(|_| step.flags[0]).map(|row| row.id.to_string()),
            );
            input().set("ids", ids).done("teamDelete", "deletedIds")
        }
        Verb::TeamModelAdd => input()
            .set("teamId", id)
            .set("models", json!([word]))
            .done("teamModelAdd", "team { id }"),
        Verb::TeamModelRemove => {
            let word = pick(&row.model_access.models, b).map_or(word, String::as_str);
            let input = input().set("teamId", id).set("models", json!([word])).cascade();
            input.done("teamModelRemove", "team { id }")
        }
        Verb::TeamModelAliasSet => {
            let input = input().set("teamId", id).set("alias", "small").set("target", word);
            input.done("teamModelAliasSet", "team { id }")
        }
        _ => input().set("teamId", id).done("teamJoin", "membership { id }"),
    }
}

fn member<'a>(step: &'a Step, state: &'a State, input: impl Fn() -> Input<'a>) -> Option<Mutation> {
    let [a, b, c] = step.picks;
    if step.verb == Verb::TeamMemberAdd {
        let team = pick(&state.teams, a)?.id.to_string();
        let role = if step.flags[0] { "ADMIN" } else { "MEMBER" };
        let new = |number: u8| {
            let user = pick(&state.users, number)?;
            let input = input().set("user", user_ref(user.id)).set("role", role).access();
            Some(input.budgets(None, MEMBER).value())
        };
        let mut members = vec![new(b)?];
        members.extend(new(c).filter(|_| step.flags[1]));
        return input()
            .set("teamId", team)
            .set("members", members)
            .done("teamMemberAdd", "team { id }");
    }
    let row = pick(&state.members, a)?;
    let team = row.team_id.to_string();
    let change = |row: &entity::team_membership::Model| {
        let scope = (ScopeKind::TeamMembership, uuid(row.id));
        let role = if step.flags[0] { "ADMIN" } else { "MEMBER" };
        input()
            .set("user", user_ref(row.user_id))
            .set_if(step.flags[1], "role", role)
            .access()
            .budgets(Some(scope), MEMBER)
            .cascade()
    };
    match step.verb {
        Verb::TeamMemberUpdate => {
            change(row).set("teamId", team).done("teamMemberUpdate", "membership { id }")
        }
        Verb::TeamMemberBulkUpdate => {
            let all = state.members.iter().filter(|other| other.team_id == row.team_id);
            let members: Vec<_> = all.take(4).map(|row| change(row).value()).collect();
            let input = input().set("teamId", team).set("members", members);
            input.done("teamMemberBulkUpdate", "memberships { id }")
        }
        _ => input()
            .set("teamId", team)
            .set("user", user_ref(row.user_id))
            .done("teamMemberRemove", "deletedId"),
    }
}

fn project<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, _] = step.picks;
    let team = pick(&state.teams, b)?.id.to_string();
    if step.verb == Verb::ProjectCreate {
        return input()
            .set("name", name)
            .set("teamId", team)
            .access()
            .budgets(None, MEMBER)
            .done("projectCreate", "project { id }");
    }
    let row = pick(&state.projects, a)?;
    let id = row.id.to_string();
    match step.verb {
        Verb::ProjectUpdate => input()
            .set("id", id)
            .access()
            .budgets(Some((ScopeKind::Project, uuid(row.id))), MEMBER)
            .cascade()
            .done("projectUpdate", "project { id }"),
        Verb::ProjectMove => {
            let keys = if step.clamp { "CARRY" } else { "REFUSE" };
            let input = input().set("id", id).set("teamId", team).set("apiKeys", keys);
            input.done("projectMove", "project { id }")
        }
        _ => input().set("ids", json!([id])).done("projectDelete", "deletedIds"),
    }
}

fn new_key<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, _] = step.picks;
    let in_project = |team: entity::id::TeamId| {
        let of_team: Vec<_> = state.projects.iter().filter(|row| row.team_id == team).collect();
        pick(&of_team, b).filter(|_| step.flags[0]).map(|row| row.id.to_string())
    };
    let input = match step.word % 5 {
        0..=2 => {
            let member = pick(&state.members, a)?;
            let project = in_project(member.team_id);
            input()
                .set("userId", member.user_id.to_string())
                .set("teamId", member.team_id.to_string())
                .set_if(project.is_some(), "projectId", project)
        }
        3 => {
            let team = pick(&state.teams, a)?.id;
            let project = in_project(team);
            input().set("kind", "SERVICE").set("teamId", team.to_string()).set_if(
                project.is_some(),
                "projectId",
                project,
            )
        }
        _ => input().set("userId", pick(&state.users, a)?.id.to_string()),
    };
    input
        .set("name", name)
        .set_if(step.flags[1], "tags", json!(["red"]))
        .access()
        .budgets(None, KEY)
        .done("apiKeyCreate", "apiKey { id } secret")
}

fn key<'a>(step: &'a Step, state: &'a State, input: impl Fn() -> Input<'a>) -> Option<Mutation> {
    let [a, b, c] = step.picks;
    let row = pick(&state.keys, a)?;
    let change = |row: &entity::api_key::Model| {
        let of_team: Vec<_> =
            state.projects.iter().filter(|other| Some(other.team_id) == row.team_id).collect();
        let project = pick(&of_team, c).map(|row| row.id.to_string());
        input()
            .set("id", row.id.to_string())
            .set_if(step.flags[0], "projectId", project.filter(|_| step.flags[1]))
            .access()
            .budgets(Some((ScopeKind::ApiKey, uuid(row.id))), KEY)
    };
    match step.verb {
        Verb::ApiKeyUpdate => change(row).done("apiKeyUpdate", "apiKey { id }"),
        Verb::ApiKeyBulkUpdate => {
            let mut keys = vec![change(row).value()];
            keys.extend(pick(&state.keys, b).map(|row| change(row).value()));
            input().set("keys", keys).done("apiKeyBulkUpdate", "apiKeys { id }")
        }
        Verb::ApiKeyRotate => {
            input().set("id", row.id.to_string()).done("apiKeyRotate", "apiKey { id } secret")
        }
        Verb::ApiKeyModelAliasSet => {
            let word = MODELS[usize::from(step.word) % MODELS.len()];
            let input = input().set("apiKeyId", row.id.to_string()).set("alias", "small");
            input.set("target", word).done("apiKeyModelAliasSet", "apiKey { id }")
        }
        _ => input().set("ids", json!([row.id.to_string()])).done("apiKeyDelete", "deletedIds"),
    }
}

fn model<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, c] = step.picks;
    let team = pick(&state.teams, b).map(|row| row.id.to_string());
    let own = OWN[usize::from(step.word) % OWN.len()];
    let group = *GROUPS.iter().chain(&["spare"]).cycle().nth(step.word.into())?;
    match step.verb {
        Verb::ModelCreate => {
            let credential = pick(&state.credentials, c).map(|row| row.id.to_string());
            input()
                .set("name", own)
                .set("provider", "p")
                .set_if(step.flags[0], "teamId", team)
                .set_if(step.flags[1], "credentialId", credential)
                .done("modelCreate", "model { id }")
        }
        Verb::ModelUpdate => {
            let id = pick(&state.models, a)?.id.to_string();
            input().set("id", id).set("name", own).done("modelUpdate", "model { id }")
        }
        Verb::ModelDelete => {
            let mut ids = vec![pick(&state.models, a)?.id.to_string()];
            ids.extend(
                pick(&state.models, c).filter(|_| step.flags[0]).map(|row| row.id.to_string()),
            );
            input().set("ids", ids).done("modelDelete", "deletedIds")
        }
        Verb::CredentialCreate => input()
            .set("name", name)
            .set_if(step.flags[0], "teamId", team)
            .set("values", json!([{ "name": "api_key", "value": "sk-4f9a0c2e7b1d8365" }]))
            .done("credentialCreate", "credential { id }"),
        Verb::CredentialDelete => {
            let id = pick(&state.credentials, a)?.id.to_string();
            input().set("ids", json!([id])).done("credentialDelete", "deletedIds")
        }
        Verb::AccessGroupCreate => input()
            .set("name", group)
            .set("models", json!(["gpt-4o"]))
            .done("accessGroupCreate", "accessGroup { id }"),
        Verb::AccessGroupUpdate => {
            let id = pick(&state.groups, a)?.id.to_string();
            let input = input().set("id", id).set("models", json!(["gpt-4o", own]));
            input.done("accessGroupUpdate", "accessGroup { id }")
        }
        _ => {
            let id = pick(&state.groups, a)?.id.to_string();
            input().set("ids", json!([id])).cascade().done("accessGroupDelete", "deletedIds")
        }
    }
}

fn beside<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, c] = step.picks;
    let organization = pick(&state.organizations, b).map(|row| row.id.to_string());
    let team = pick(&state.teams, c).map(|row| row.id.to_string());
    match step.verb {
        Verb::TagCreate => input()
            .set("name", name)
            .set_if(step.flags[0], "organizationId", organization)
            .budgets(None, TEAM)
            .done("tagCreate", "tag { id }"),
        Verb::TagUpdate => {
            let row = pick(&state.tags, a)?;
            let input = input().set("id", row.id.to_string());
            input
                .budgets(Some((ScopeKind::Tag, uuid(row.id))), TEAM)
                .done("tagUpdate", "tag { id }")
        }
        Verb::TagDelete => {
            let id = pick(&state.tags, a)?.id.to_string();
            input().set("ids", json!([id])).done("tagDelete", "deletedIds")
        }
        Verb::EndUserCreate => input()
            .set("externalId", name)
            .set_if(step.flags[0], "organizationId", organization)
            .set_if(!step.flags[0] && step.flags[1], "teamId", team)
            .budgets(None, TEAM)
            .done("endUserCreate", "endUser { id }"),
        Verb::EndUserUpdate => {
            let row = pick(&state.end_users, a)?;
            let scope = (ScopeKind::EndUser, uuid(row.id));
            let input = input().set("id", row.id.to_string()).budgets(Some(scope), TEAM);
            input.done("endUserUpdate", "endUser { id }")
        }
        _ => {
            let id = pick(&state.end_users, a)?.id.to_string();
            input().set("ids", json!([id])).done("endUserDelete", "deletedIds")
        }
    }
}
