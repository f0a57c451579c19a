//! Answers to checks of calls, and their reasons.

use async_graphql::{Enum, ID, SimpleObject};
use entity::role::ScopeKind as Kind;
use entity::value::Usd as Amount;

use crate::authz::{Actor, Permission, policy};
use crate::domain::access::{Change, Check, Numbers, Remedy, Rule};
use crate::domain::scope::Scope;
use crate::enforcement::explain::Explanation;
use crate::enforcement::verdict::{Code, Verdict};
use crate::graphql::scalar::{BigInt, Instant, Usd};
use crate::graphql::value::ScopeKind;

/// A place that has rules for calls.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessScope {
    /// Its kind.
    kind: ScopeKind,
    /// Its id; `platform` for the platform itself.
    id: ID,
}

impl From<Scope> for AccessScope {
    fn from(scope: Scope) -> Self {
        Self { kind: scope.kind.into(), id: ID(scope.to_string()) }
    }
}

/// Whom a call is made by, and what it is charged to.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessPrincipal {
    /// The key; null for a secret that nobody has.
    api_key_id: Option<ID>,
    /// The organization of the key's team; null for none.
    organization_id: Option<ID>,
    /// The key's team; null for a personal key.
    team_id: Option<ID>,
    /// The key's project; null for none.
    project_id: Option<ID>,
    /// The key's owner; null for a key without a person.
    user_id: Option<ID>,
    /// The end user, as the call names it; null for none.
    end_user: Option<String>,
    /// The tags of the key, its project and its team, and those of the call.
    tags: Vec<String>,
}

/// The model of a call.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessModel {
    /// The name that was asked for.
    requested: String,
    /// The name that is meant, after aliases.
    resolved: String,
}

/// The answer to a check.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessDecision {
    /// The answer's id, `decision_` and 32 hexadecimal digits. It is kept nowhere.
    id: ID,
    /// Whether the call may be made.
    is_allowed: bool,
    /// Why it may not; null when it may.
    code: Option<Code>,
    /// The same in a sentence: with names and numbers for those who may see them.
    message: Option<String>,
    /// The place whose rule says no; null when none does, or you may not know.
    scope: Option<AccessScope>,
    /// When to ask again: when all budgets have room, or all rates, if nothing else is spent until
    /// then. Null where waiting does not help.
    retry_at: Option<Instant>,
    /// Whom the call is made by.
    principal: AccessPrincipal,
    /// The model; null for a call without one, and for one that was refused before.
    model: Option<AccessModel>,
    /// The least that is left of any budget; null without a cap, or when you may not know.
    remaining: Option<Usd>,
    /// When the answer was given.
    decided_at: Instant,
    /// The instant from which the answer is not to be used any more.
    valid_until: Instant,
    /// The revision of the change log up to which the answer knows all changes.
    revision: BigInt,
}

/// How much somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Names and numbers.
    All,
    /// Whether, and not whose rule stands in the way.
    Little,
}

impl AccessDecision {
    pub(super) fn new(verdict: &Verdict, told: Told) -> Self {
        let all = told == Told::All;
        let id = |id: Option<String>| id.map(ID);
        let principal = &verdict.principal;
        Self {
            id: ID(verdict.id.to_string()),
            is_allowed: verdict.is_allowed(),
            code: verdict.code,
            message: verdict
                .code
                .map(|code| if all { verdict.message() } else { code.told().to_owned() }),
            scope: verdict.refused_by().filter(|_| all).map(|rule| rule.scope.into()),
            retry_at: verdict.retry_after().map(|wait| Instant(verdict.at + wait)),
            principal: AccessPrincipal {
                api_key_id: id(principal.api_key.map(|id| id.to_string())),
                organization_id: id(principal.organization.map(|id| id.to_string())),
                team_id: id(principal.team.map(|id| id.to_string())),
                project_id: id(principal.project.map(|id| id.to_string())),
                user_id: id(principal.user.map(|id| id.to_string())),
                end_user: principal.end_user.clone(),
                tags: principal.tags.clone(),
            },
            model: verdict.model.as_ref().map(|model| AccessModel {
                requested: model.requested.clone(),
                resolved: model.resolved.clone(),
            }),
            remaining: verdict.remaining().filter(|_| all).map(Usd),
            decided_at: verdict.at.into(),
            valid_until: (verdict.at + verdict.lasts).into(),
            revision: BigInt(verdict.revision),
        }
    }
}

/// What a rule looks at, in the order of judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Check")]
pub enum AccessRuleKind {
    /// The key is of a kind that calls models.
    Kind,
    /// The scope is not blocked.
    Block,
    /// The key has not expired.
    Expiry,
    /// The key may use the route.
    Route,
    /// The owner of a team's key is a member of the team.
    Membership,
    /// The scope's list of models has the model.
    Model,
    /// A deployment of the model is not blocked.
    Deployment,
    /// The budget has room.
    Budget,
    /// The limit of requests in a minute has room.
    RequestRate,
    /// The limit of tokens in a minute has room.
    TokenRate,
    /// The limit of requests at once has room.
    Parallel,
    /// The call names an end user where the settings ask for one.
    EndUser,
}

/// The numbers of a budget in its current window.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessBudget {
    /// The budget.
    budget_id: ID,
    /// The most that may be spent.
    max_spend: Usd,
    /// What was spent.
    spent: Usd,
    /// What is held for calls under way.
    reserved: Usd,
    /// What the call is expected to cost.
    estimate: Usd,
    /// When the window ends; null for a window without end.
    resets_at: Option<Instant>,
}

/// The numbers of a limit in a minute, or at once.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessRate {
    /// The budget that has the limit.
    budget_id: ID,
    /// The most in a minute, or at once.
    limit: BigInt,
    /// What is left of it.
    remaining: BigInt,
}

/// One rule that was judged.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessRule {
    /// What it looks at.
    kind: AccessRuleKind,
    /// The place whose rule it is; the platform for one of all calls.
    scope: AccessScope,
    /// Whether it lets the call pass.
    is_passed: bool,
    /// The model that was looked for in a list; null for other rules.
    model: Option<String>,
    /// When the key expires; null for other rules.
    expires_at: Option<Instant>,
    /// The numbers of a budget; null for other rules, and when you may not see the budget.
    budget: Option<AccessBudget>,
    /// The numbers of a limit in a minute or at once; null for other rules, and when you may not see
    /// the budget that has it.
    rate: Option<AccessRate>,
}

/// What would have to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum AccessChangeKind {
    /// Ask with a key that calls models.
    AnotherKey,
    /// Let the key live longer.
    LaterExpiry,
    /// Unblock the scope.
    Unblock,
    /// Make the owner of the key a member of its team.
    Membership,
    /// Open the route to the key.
    Route,
    /// Name an end user.
    EndUser,
    /// Put the model on the scope's list.
    Model,
    /// Unblock a deployment of the model.
    Deployment,
    /// Let more be spent of the budget.
    Spend,
    /// Wait.
    Wait,
    /// Let the budget admit more in a minute, or at once: waiting does not help.
    Rate,
    /// Spend more of the budget: of a call that is allowed, this is how far it is from a denial.
    Exhaust,
}

/// One change that would help to turn an answer around, no larger than it must be.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessRemedy {
    /// What would have to change.
    change: AccessChangeKind,
    /// The place where.
    scope: AccessScope,
    /// `LATER_EXPIRY`: the expiry that is there, which is too early.
    expires_at: Option<Instant>,
    /// `ROUTE`: the path; null for a call of a model without one.
    route: Option<String>,
    /// `MODEL` and `DEPLOYMENT`: the model.
    model: Option<String>,
    /// `SPEND`, `RATE` and `EXHAUST`: the budget; null when you may not see it.
    budget_id: Option<ID>,
    /// `SPEND`: the least `maxSpend`, beside a temporary increase, with which the call passes; null when you may not see the budget.
    max_spend: Option<Usd>,
    /// `SPEND` and `WAIT`: the instant from which the call passes as it is; null when it would never.
    wait_until: Option<Instant>,
    /// `EXHAUST`: how much more; null when you may not see the budget.
    spend: Option<Usd>,
    /// `RATE`: the least limit with which the call passes; null when you may not see the budget.
    limit: Option<BigInt>,
}

/// An answer with its reasons.
#[derive(Clone, Debug, SimpleObject)]
pub struct AccessExplanation {
    /// The answer.
    decision: AccessDecision,
    /// Every rule that was judged, in order. The first that does not pass gives the answer.
    rules: Vec<AccessRule>,
    /// The smallest changes that would turn the answer around: all of them together for a denial, and
    /// the nearest one for a call that is allowed.
    remedies: Vec<AccessRemedy>,
}

impl AccessExplanation {
    pub(super) fn new(explanation: &Explanation, actor: &Actor) -> Self {
        let sees = |scope: Scope| sees(explanation, actor, scope);
        let verdict = &explanation.verdict;
        let rules = verdict.decision.iter().flat_map(|decision| &decision.rules);
        // What is left of all budgets tells something of each.
        let budgets = rules.clone().filter(|rule| matches!(rule.numbers, Numbers::Budget { .. }));
        let sees_all = budgets.clone().all(|rule| sees(rule.scope));
        let mut decision = AccessDecision::new(verdict, Told::All);
        if !sees_all {
            decision.remaining = None;
        }
        if let (Some(rule), Some(code)) = (verdict.refused_by(), verdict.code)
            && is_numbered(rule)
            && !sees(rule.scope)
        {
            decision.message = Some(code.told().to_owned());
        }
        let remedy = |remedy: &Remedy| AccessRemedy::new(remedy, verdict, sees(remedy.scope));
        Self {
            decision,
            rules: rules.map(|rule| AccessRule::new(rule, sees(rule.scope))).collect(),
            remedies: explanation.remedies.iter().map(remedy).collect(),
        }
    }
}

fn is_numbered(rule: &Rule) -> bool {
    matches!(rule.numbers, Numbers::Budget { .. } | Numbers::Rate { .. })
}

/// Whether somebody may see the budgets of a scope. A key that belongs to a team sees nothing of its
/// owner elsewhere.
fn sees(explanation: &Explanation, actor: &Actor, scope: Scope) -> bool {
    let elsewhere = scope.kind == Kind::User && actor.bound_to().is_some();
    !elsewhere && policy::allows(actor, Permission::BudgetRead, &explanation.placement(scope))
}

impl AccessRule {
    fn new(rule: &Rule, sees: bool) -> Self {
        let (mut model, mut expires_at, mut budget, mut rate) = (None, None, None, None);
        match &rule.numbers {
            Numbers::None => {}
            Numbers::Expiry(at) => expires_at = Some(Instant(*at)),
            Numbers::Model(name) => model = Some(name.clone()),
            Numbers::Budget { budget: id, max, spent, reserved, estimate, resets_at, .. } => {
                budget = Some(AccessBudget {
                    budget_id: ID(id.to_string()),
                    max_spend: Usd(*max),
                    spent: Usd(*spent),
                    reserved: Usd(*reserved),
                    estimate: Usd(*estimate),
                    resets_at: resets_at.map(Instant),
                });
            }
            Numbers::Rate { budget: id, limit, remaining, .. } => {
                rate = Some(AccessRate {
                    budget_id: ID(id.to_string()),
                    limit: big(*limit),
                    remaining: big(*remaining),
                });
            }
        }
        Self {
            kind: rule.check.into(),
            scope: rule.scope.into(),
            is_passed: rule.passed,
            model,
            expires_at,
            budget: budget.filter(|_| sees),
            rate: rate.filter(|_| sees),
        }
    }
}

fn big(count: u64) -> BigInt {
    BigInt(i64::try_from(count).unwrap_or(i64::MAX))
}

impl AccessRemedy {
    fn new(remedy: &Remedy, verdict: &Verdict, sees: bool) -> Self {
        use AccessChangeKind as K;
        let mut shown = Self {
            change: K::AnotherKey,
            scope: remedy.scope.into(),
            expires_at: None,
            route: None,
            model: None,
            budget_id: None,
            max_spend: None,
            wait_until: None,
            spend: None,
            limit: None,
        };
        let of_budget = |shown: &mut Self, budget: &entity::id::BudgetId| {
            shown.budget_id = sees.then(|| ID(budget.to_string()));
        };
        let amount = |amount: &Amount| sees.then_some(Usd(*amount));
        shown.change = match &remedy.change {
            Change::AnotherKey => K::AnotherKey,
            Change::LaterExpiry(at) => {
                shown.expires_at = Some(Instant(*at));
                K::LaterExpiry
            }
            Change::Unblock => K::Unblock,
            Change::Membership => K::Membership,
            Change::Route(route) => {
                shown.route.clone_from(route);
                K::Route
            }
            Change::EndUser => K::EndUser,
            Change::Model(model) => {
                shown.model = Some(model.clone());
                K::Model
            }
            Change::Deployment(model) => {
                shown.model = Some(model.clone());
                K::Deployment
            }
            Change::Spend { budget, max, or_wait_until } => {
                of_budget(&mut shown, budget);
                shown.max_spend = amount(max);
                shown.wait_until = or_wait_until.map(Instant);
                K::Spend
            }
            Change::Wait(millis) => {
                let wait =
                    i64::try_from(*millis).ok().and_then(chrono::TimeDelta::try_milliseconds);
                shown.wait_until = wait.map(|wait| Instant(verdict.at + wait));
                K::Wait
            }
            Change::Rate { budget, limit } => {
                of_budget(&mut shown, budget);
                shown.limit = sees.then(|| big(*limit));
                K::Rate
            }
            Change::Exhaust { budget, more } => {
                of_budget(&mut shown, budget);
                shown.spend = amount(more);
                K::Exhaust
            }
        };
        shown
    }
}
