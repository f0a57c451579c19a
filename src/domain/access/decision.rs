//! The decision: every rule that was evaluated, in one order, and what it said.
//!
//! The order (REFERENCE AC-8 and F5, with their defects mended): the key is in force; the person, the
//! member, the team and the project are; the route is open to the key; the call names an end user if
//! it must, who is not blocked; the model is allowed along the chain and not blocked; every budget has
//! room; every rate has. The first rule that says no gives the answer.

use chrono::{DateTime, Utc};
use entity::id::BudgetId;
use entity::role::ApiKeyKind;
use entity::value::Usd;

use super::catalogue::Presence;
use super::facts::{BoundBudget, World};
use super::models::{Resolution, resolve};
use super::route;
use crate::domain::budget::window::max_spend_at;
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

/// What a rule looks at, in the order of judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// The key is of a kind that calls models.
    Kind,
    /// The key has not expired.
    Expiry,
    /// Neither the key, nor its owner, team or project is blocked.
    Block,
    /// The owner of a team's key is a member of the team.
    Membership,
    /// The key may use the route.
    Route,
    /// The call names an end user where the settings ask for one.
    EndUser,
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
        /// What was spent.
        spent: Usd,
        /// What is held.
        reserved: Usd,
        /// What the call is expected to cost.
        estimate: Usd,
        /// When the window ends.
        resets_at: Option<DateTime<Utc>>,
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
    /// The rules that were evaluated, in order; without an explanation only the one that says no, and
    /// the rates.
    pub rules: Vec<Rule>,
    /// The first that says no, by its place in the list.
    pub refusal: Option<usize>,
    /// What became of the model.
    pub model: Option<Resolution>,
    /// The least that is left of any budget; none without a cap.
    pub remaining: Option<Usd>,
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

    /// Adds a rule that others evaluate: whether a rate admitted the call.
    pub fn add(&mut self, rule: Rule) {
        if !rule.passed && self.refusal.is_none() {
            self.refusal = Some(self.rules.len());
        }
        self.rules.push(rule);
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
    in_force(world, rules)?;
    let chain = &world.facts.chain;
    let Some(key) = &chain.key else { return Ok(()) };
    let own = Scope::api_key(key.id);
    let route = route::Route::of(request.route.as_deref());
    let open = route.is_open(key.allowed_routes.as_ref());
    rules.say(Check::Route, own, open, Numbers::None)?;
    end_user(world, request, route, rules)?;
    let target = model(world, request, rules, decision)?;
    if route.is_free() {
        return Ok(());
    }
    let is_free = matches!(
        decision.model.as_ref().map(|model| model.presence),
        Some(Presence::Available { is_free: true })
    );
    decision.spends = !is_free;
    for bound in world.budgets() {
        if !is_bound(bound, target.as_deref()) {
            continue;
        }
        // A model that costs nothing spends nothing (REFERENCE F5), and still takes its time.
        if !is_free {
            spend(world, request, bound, rules, decision)?;
        }
        let budget = &bound.budget;
        let rates =
            [budget.requests_per_minute, budget.tokens_per_minute, budget.max_parallel_requests];
        if rates.iter().any(Option::is_some) {
            decision.rates.push(bound.clone());
        }
    }
    Ok(())
}

/// Whether a budget concerns calls of a model: one with a pattern concerns those that it covers alone.
pub fn is_bound(bound: &BoundBudget, model: Option<&str>) -> bool {
    match (&bound.budget.model_pattern, model) {
        (None, _) => true,
        (Some(pattern), Some(model)) => covers(pattern, model),
        (Some(_), None) => false,
    }
}

fn in_force(world: &World<'_>, rules: &mut Rules) -> Wanted {
    let chain = &world.facts.chain;
    let Some(key) = &chain.key else {
        return rules.say(Check::Kind, Scope::platform(), false, Numbers::None);
    };
    let own = Scope::api_key(key.id);
    let calls = matches!(key.kind, ApiKeyKind::User | ApiKeyKind::Service);
    rules.say(Check::Kind, own, calls, Numbers::None)?;
    if let Some(at) = key.expires_at {
        rules.say(Check::Expiry, own, world.now < at, Numbers::Expiry(at))?;
    }
    rules.say(Check::Block, own, key.blocked_by.is_none(), Numbers::None)?;
    if let Some(user) = &chain.user {
        let passed = user.blocked_by.is_none();
        rules.say(Check::Block, Scope::user(user.id), passed, Numbers::None)?;
    }
    // A key whose owner, team or project is no more would have gone with it; should a row survive, it
    // opens nothing.
    let whole = key.user_id.is_some() == chain.user.is_some()
        && key.team_id.is_some() == chain.team.is_some()
        && key.project_id.is_some() == chain.project.is_some();
    let is_member = key.user_id.is_none() || key.team_id.is_none() || chain.membership.is_some();
    rules.say(Check::Membership, own, whole && is_member, Numbers::None)?;
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

fn end_user(
    world: &World<'_>,
    request: &Request,
    route: route::Route<'_>,
    rules: &mut Rules,
) -> Wanted {
    if world.settings.end_user_is_required && !route.is_free() {
        let given = request.end_user.as_ref().is_some_and(|id| !id.is_empty());
        rules.say(Check::EndUser, Scope::platform(), given, Numbers::None)?;
    }
    let row = world.end_user.and_then(|end_user| end_user.row.as_ref());
    match row {
        None => Ok(()),
        Some(row) => {
            let passed = row.blocked_by.is_none();
            rules.say(Check::Block, Scope::end_user(row.id), passed, Numbers::None)
        }
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

/// A budget has room while less than its cap is spent and held (REFERENCE C-A2: spend that has reached
/// the cap is refused, a cap of 0 means nothing), and the estimate fits into the rest (SECURITY 6).
pub fn has_room(max: Usd, spent: Usd, reserved: Usd, estimate: Usd) -> bool {
    let used = spent.nanos().saturating_add(reserved.nanos());
    used < max.nanos() && used.saturating_add(estimate.nanos()) <= max.nanos()
}

fn spend(
    world: &World<'_>,
    request: &Request,
    bound: &BoundBudget,
    rules: &mut Rules,
    decision: &mut Decision,
) -> Wanted {
    let Some(max) = max_spend_at(&bound.budget, world.now) else { return Ok(()) };
    let counted = world.counters.of(bound, world.now);
    let passed = has_room(max, counted.spent, counted.reserved, request.estimate);
    let used = counted.spent.checked_add(counted.reserved).unwrap_or(Usd::from_nanos(i64::MAX));
    let left = max.remaining_after(used);
    decision.remaining = Some(decision.remaining.map_or(left, |least| least.min(left)));
    let numbers = Numbers::Budget {
        budget: bound.budget.id,
        max,
        spent: counted.spent,
        reserved: counted.reserved,
        estimate: request.estimate,
        resets_at: counted.resets_at,
    };
    rules.say(Check::Budget, bound.scope, passed, numbers)
}
