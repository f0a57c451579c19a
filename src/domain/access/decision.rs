//! The decision: every rule that was evaluated, in one order, and what it said.
//!
//! The order (`docs/enforcement.md` has it as a table): the key is known, not blocked and not expired;
//! the route is open to it; the person, the member, the team and the project are there and not blocked;
//! the model is allowed along the chain and not blocked; the end user is not blocked; every budget has
//! room; every rate has; the call names an end user if it must. The first rule that says no gives the
//! answer.

use chrono::{DateTime, Utc};
use entity::api_key;
use entity::id::BudgetId;
use entity::role::ApiKeyKind;
use entity::value::Usd;

use super::catalogue::Presence;
use super::chain::Chain;
use super::facts::{BoundBudget, Counted, World};
use super::models::{Resolution, resolve};
use super::room::{first_room, has_room};
use super::route::Route;
use crate::domain::budget::window::{increase_at, max_spend_at};
use crate::domain::model_access::covers;
use crate::domain::scope::Scope;

/// The call that is asked about.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The model that it asks for; none for a route without a model.
    pub model: Option<String>,
    /// The path that it calls, such as `/v1/chat/completions`; none for a call of a model.
    pub route: Option<String>,
    /// The end user that it names; empty is none (REFERENCE C-A14).
    pub end_user: Option<String>,
    /// The tags that it brings.
    pub tags: Vec<String>,
    /// What it is expected to cost.
    pub estimate: Usd,
}

/// What a rule looks at, in the order of judgement; blocks of other scopes than the key come where the
/// scope does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// The key is of a kind that calls models.
    Kind,
    /// Neither the key, nor its owner, team or project, nor the end user is blocked.
    Block,
    /// The key has not expired.
    Expiry,
    /// The key may use the route.
    Route,
    /// The owner of a team's key is a member of the team.
    Membership,
    /// A list of the chain allows the model.
    Model,
    /// The model has a deployment that is not blocked.
    Deployment,
    /// A budget has room.
    Budget,
    /// A limit of requests in a minute has room.
    RequestRate,
    /// A limit of tokens in a minute has room.
    TokenRate,
    /// A limit of requests at once has room.
    Parallel,
    /// The call names an end user where the settings ask for one.
    EndUser,
}

/// Numbers behind a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// There are none.
    None,
    /// The expiry of a key.
    Expiry(DateTime<Utc>),
    /// What a list was asked for.
    Model(String),
    /// A budget and its window.
    Budget {
        /// The budget.
        budget: BudgetId,
        /// The most that may be spent.
        max: Usd,
        /// How much of that is for some time only.
        increase: Usd,
        /// What was spent.
        spent: Usd,
        /// What is held.
        reserved: Usd,
        /// What the call is expected to cost.
        estimate: Usd,
        /// When the window ends.
        resets_at: Option<DateTime<Utc>>,
        /// The same, if the next window has room for the call.
        next_room: Option<DateTime<Utc>>,
    },
    /// A rate and its state.
    Rate {
        /// The budget that has the rate.
        budget: BudgetId,
        /// The most in a minute, or at once.
        limit: u64,
        /// What is left of it.
        remaining: u64,
        /// What the call takes of it.
        needed: u64,
        /// In how many milliseconds the call would be admitted; 0 when it is, none when it never
        /// would be.
        retry_after_ms: Option<u64>,
        /// In how many milliseconds all of it is free, if nothing else is admitted.
        reset_ms: u64,
    },
}

/// One rule that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it looks at.
    pub check: Check,
    /// The scope whose rule it is; the platform for one of all calls.
    pub scope: Scope,
    /// Whether it lets the call pass.
    pub passed: bool,
    /// The numbers.
    pub numbers: Numbers,
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The rules that were evaluated, in order; without an explanation only the one that says no, all
    /// budgets that do, and the rates.
    pub rules: Vec<Rule>,
    /// The first that says no, by its place in the list.
    pub refusal: Option<usize>,
    /// What became of the model.
    pub model: Option<Resolution>,
    /// The least that is left of any budget; none without a cap, and for a call that is refused before
    /// budgets are looked at.
    pub remaining: Option<Usd>,
    /// When all budgets have room, if nothing else is spent until then, of a call for which one has
    /// none; none where waiting does not help.
    pub room_at: Option<DateTime<Utc>>,
    /// The budgets with rates that the call has to be admitted by.
    pub rates: Vec<BoundBudget>,
    /// Whether budgets count what the call costs: neither its route nor its model is free.
    pub spends: bool,
}

impl Decision {
    /// Whether the call may be made.
    pub fn is_allowed(&self) -> bool {
        self.refusal.is_none()
    }

    /// The rule that says no.
    pub fn refused_by(&self) -> Option<&Rule> {
        self.refusal.map(|at| &self.rules[at])
    }

    /// Whether it is a budget that says no.
    pub fn is_short(&self) -> bool {
        self.refused_by().is_some_and(|rule| rule.check == Check::Budget)
    }

    /// Whether the rates have a say: no rule before them refuses.
    pub fn comes_to_rates(&self) -> bool {
        self.refused_by().is_none_or(|rule| rule.check == Check::EndUser)
    }

    /// Adds a rule that others evaluate: whether a budget has room, or a rate admits the call. The
    /// required end user is judged after these.
    pub fn add(&mut self, rule: Rule) {
        let last = self.rules.iter().position(|known| known.check == Check::EndUser);
        self.rules.insert(last.unwrap_or(self.rules.len()), rule);
        self.refusal = self.rules.iter().position(|rule| !rule.passed);
    }
}

/// How much of a decision is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The answer: the first rule that says no ends it.
    Answer,
    /// Every rule.
    Explanation,
}

/// Decides whether a call may be made. The rates are not judged here: they change with every call, and
/// [`Decision::rates`] says which there are.
pub fn decide(world: &World<'_>, request: &Request, depth: Depth) -> Decision {
    let mut rules = Rules { depth, list: Vec::new(), refusal: None };
    let mut decision = Decision {
        rules: Vec::new(),
        refusal: None,
        model: None,
        remaining: None,
        room_at: None,
        rates: Vec::new(),
        spends: false,
    };
    let _ = judge(world, request, &mut rules, &mut decision);
    decision.rules = rules.list;
    decision.refusal = rules.refusal;
    decision
}

/// Whether the rest of the rules is wanted.
type Wanted = Result<(), ()>;

struct Rules {
    depth: Depth,
    list: Vec<Rule>,
    refusal: Option<usize>,
}

impl Rules {
    fn say(&mut self, check: Check, scope: Scope, passed: bool, numbers: Numbers) -> Wanted {
        let explained = self.depth == Depth::Explanation;
        if passed && !explained {
            return Ok(());
        }
        if !passed && self.refusal.is_none() {
            self.refusal = Some(self.list.len());
        }
        self.list.push(Rule { check, scope, passed, numbers });
        if passed || explained { Ok(()) } else { Err(()) }
    }
}

fn judge(
    world: &World<'_>,
    request: &Request,
    rules: &mut Rules,
    decision: &mut Decision,
) -> Wanted {
    let Some(key) = &world.facts.chain.key else {
        return rules.say(Check::Kind, Scope::platform(), false, Numbers::None);
    };
    let route = Route::of(request.route.as_deref());
    in_force(key, world.now, rules)?;
    let open = route.is_open(key.allowed_routes.as_ref());
    rules.say(Check::Route, Scope::api_key(key.id), open, Numbers::None)?;
    whole(&world.facts.chain, key, rules)?;
    let target = model(world, request, rules, decision)?;
    if let Some(row) = world.end_user.and_then(|end_user| end_user.row.as_ref()) {
        let passed = row.blocked_by.is_none();
        rules.say(Check::Block, Scope::end_user(row.id), passed, Numbers::None)?;
    }
    if route.is_free() {
        return Ok(());
    }
    budgets(world, request, target.as_deref(), rules, decision)?;
    if world.settings.end_user_is_required {
        let given = request.end_user.as_ref().is_some_and(|id| !id.is_empty());
        rules.say(Check::EndUser, Scope::platform(), given, Numbers::None)?;
    }
    Ok(())
}

/// Judges the key itself.
fn in_force(key: &api_key::Model, now: DateTime<Utc>, rules: &mut Rules) -> Wanted {
    let own = Scope::api_key(key.id);
    let calls = matches!(key.kind, ApiKeyKind::User | ApiKeyKind::Service);
    rules.say(Check::Kind, own, calls, Numbers::None)?;
    rules.say(Check::Block, own, key.blocked_by.is_none(), Numbers::None)?;
    match key.expires_at {
        Some(at) => rules.say(Check::Expiry, own, now < at, Numbers::Expiry(at)),
        None => Ok(()),
    }
}

/// Judges what is above the key. An organization cannot be blocked.
fn whole(chain: &Chain, key: &api_key::Model, rules: &mut Rules) -> Wanted {
    if let Some(user) = &chain.user {
        let passed = user.blocked_by.is_none();
        rules.say(Check::Block, Scope::user(user.id), passed, Numbers::None)?;
    }
    // A key whose owner, team or project is no more would have gone with it; should a row survive, it
    // opens nothing.
    let is_whole = key.user_id.is_some() == chain.user.is_some()
        && key.team_id.is_some() == chain.team.is_some()
        && key.project_id.is_some() == chain.project.is_some();
    let is_member = key.user_id.is_none() || key.team_id.is_none() || chain.membership.is_some();
    let passed = is_whole && is_member;
    rules.say(Check::Membership, Scope::api_key(key.id), passed, Numbers::None)?;
    if let Some(team) = &chain.team {
        let passed = team.blocked_by.is_none();
        rules.say(Check::Block, Scope::team(team.id), passed, Numbers::None)?;
    }
    if let Some(project) = &chain.project {
        let passed = project.blocked_by.is_none();
        rules.say(Check::Block, Scope::project(project.id), passed, Numbers::None)?;
    }
    Ok(())
}

/// Judges all budgets, also beyond one that says no: whoever waits, waits for all of them.
fn budgets(
    world: &World<'_>,
    request: &Request,
    model: Option<&str>,
    rules: &mut Rules,
    decision: &mut Decision,
) -> Wanted {
    let presence = decision.model.as_ref().map(|model| model.presence);
    let is_free = matches!(presence, Some(Presence::Available { is_free: true }));
    decision.spends = !is_free;
    let mut wanted = Ok(());
    for bound in world.budgets().filter(|bound| is_bound(bound, model)) {
        // A model that costs nothing spends nothing (REFERENCE F5), and still takes its time.
        if !is_free {
            wanted = wanted.and(spend(world, request, bound, rules, decision));
        }
        let budget = &bound.budget;
        let rates =
            [budget.requests_per_minute, budget.tokens_per_minute, budget.max_parallel_requests];
        if rates.iter().any(Option::is_some) {
            decision.rates.push(bound.clone());
        }
    }
    if rules.list.iter().any(|rule| rule.check == Check::Budget && !rule.passed) {
        decision.room_at = room_at(world, model, request.estimate);
    }
    wanted
}

/// When all budgets have room for a call that they concern, if nothing else is spent until then.
pub fn room_at(world: &World<'_>, model: Option<&str>, estimate: Usd) -> Option<DateTime<Utc>> {
    let bound = world.budgets().filter(|bound| is_bound(bound, model));
    let accounts: Vec<_> = bound.map(|bound| world.account(bound)).collect();
    first_room(&accounts, estimate)
}

/// Whether a budget concerns calls of a model: one with a pattern concerns those that it covers alone.
pub fn is_bound(bound: &BoundBudget, model: Option<&str>) -> bool {
    match (&bound.budget.model_pattern, model) {
        (None, _) => true,
        (Some(pattern), Some(model)) => covers(pattern, model),
        (Some(_), None) => false,
    }
}

/// Judges the model, and returns the name that is meant.
fn model(
    world: &World<'_>,
    request: &Request,
    rules: &mut Rules,
    decision: &mut Decision,
) -> Result<Option<String>, ()> {
    let default = world.end_user.and_then(|end_user| end_user.row.as_ref()?.default_model.as_ref());
    let Some(requested) = request.model.as_ref().or(default) else { return Ok(None) };
    let chain = &world.facts.chain;
    let found = resolve(chain, world.catalogue, requested);
    for (scope, allowed) in &found.levels {
        rules.say(Check::Model, *scope, *allowed, Numbers::Model(found.target.clone()))?;
    }
    let usable = found.presence != Presence::Blocked;
    let scope = chain.key_scope().unwrap_or_else(Scope::platform);
    rules.say(Check::Deployment, scope, usable, Numbers::Model(found.target.clone()))?;
    let target = found.target.clone();
    decision.model = Some(found);
    Ok(Some(target))
}

fn spend(
    world: &World<'_>,
    request: &Request,
    bound: &BoundBudget,
    rules: &mut Rules,
    decision: &mut Decision,
) -> Wanted {
    let Some(max) = max_spend_at(&bound.budget, world.now) else { return Ok(()) };
    let account = world.account(bound);
    let Counted { spent, reserved, resets_at } = account.counted;
    let left = max.remaining_after(spent).remaining_after(reserved);
    decision.remaining = Some(decision.remaining.map_or(left, |least| least.min(left)));
    let passed = has_room(max, spent, reserved, request.estimate);
    let numbers = Numbers::Budget {
        budget: bound.budget.id,
        max,
        increase: increase_at(&bound.budget, world.now),
        spent,
        reserved,
        estimate: request.estimate,
        resets_at,
        next_room: account.next_room(request.estimate),
    };
    rules.say(Check::Budget, bound.scope, passed, numbers)
}
