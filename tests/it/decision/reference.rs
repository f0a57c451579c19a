//! The same decision, written down as a person would tell it: slow, plain, and by itself.

use entity::role::{ApiKeyKind, ScopeKind};
use tollkeep::domain::access::Check;
use tollkeep::domain::scope::Scope;

use super::budgets::{Budget, LONGEST};
use super::spec::{List, Spec};

/// Whether a pattern matches a text; `*` is any text.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            glob(&pattern[1..], text) || (!text.is_empty() && glob(pattern, &text[1..]))
        }
        (Some(left), Some(right)) if left == right => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

/// What a person says of a call.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Which rule of which scope refuses it; none when it may be made.
    pub(crate) refused: Option<(Check, Scope)>,
    /// Whether budgets were looked at.
    pub(crate) is_counted: bool,
    /// What was seen of those that have a cap.
    pub(crate) seen: Vec<Seen>,
    /// The least that is left.
    pub(crate) remaining: Option<i64>,
    /// In how many seconds all of them have room, if one has none now.
    pub(crate) room_in: Option<i64>,
    /// The scopes and budgets with rates.
    pub(crate) rates: Vec<(Scope, usize)>,
    /// Whether the call spends anything.
    pub(crate) spends: bool,
}

/// What was seen of a budget.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) scope: Scope,
    pub(crate) budget: usize,
    pub(crate) max: i64,
    pub(crate) increase: i64,
    pub(crate) spent: i64,
    pub(crate) reserved: i64,
    pub(crate) resets_in: Option<i64>,
    /// In how many seconds it has room, all by itself, if it has none now or when its window ends.
    pub(crate) room_in: Option<i64>,
    pub(crate) passed: bool,
}

/// Which rule of which scope refuses the call; none when it may be made.
pub(crate) fn verdict(spec: &Spec) -> Option<(Check, Scope)> {
    judge(spec).refused
}

/// Judges a call.
pub(crate) fn judge(spec: &Spec) -> Judged {
    let mut judged = Judged::default();
    let call = match before_budgets(spec) {
        Ok(call) => call,
        Err(refused) => return Judged { refused: Some(refused), ..judged },
    };
    if call.looks {
        return judged;
    }
    judged.is_counted = true;
    judged.spends = !call.is_free;
    let mut concerned = Vec::new();
    for scope in places(spec) {
        for (at, budget) in spec.budgets.iter().enumerate() {
            let is_meant = match (budget.pattern, call.meant) {
                (None, _) => true,
                (Some(pattern), Some(name)) => matches(pattern, name),
                (Some(_), None) => false,
            };
            if !is_meant || !budget.on.contains(&scope) {
                continue;
            }
            if budget.rates.iter().any(Option::is_some) {
                judged.rates.push((scope, at));
            }
            if !call.is_free {
                concerned.push((scope, at));
            }
        }
    }
    for (scope, at) in &concerned {
        judged.seen.extend(see(spec, *scope, *at));
    }
    judged.remaining =
        judged.seen.iter().map(|seen| (seen.max - seen.spent - seen.reserved).max(0)).min();
    if let Some(short) = judged.seen.iter().find(|seen| !seen.passed) {
        judged.refused = Some((Check::Budget, short.scope));
        let all = |seconds: &i64| {
            concerned.iter().all(|(scope, at)| has_room(spec, *scope, *at, *seconds))
        };
        judged.room_in = (1..=LONGEST).find(all);
    } else if spec.end_user_is_required && !is_named(spec) {
        judged.refused = Some((Check::EndUser, Scope::platform()));
    }
    judged
}

/// The scopes that may have budgets, in the order in which these are looked at.
fn places(spec: &Spec) -> Vec<Scope> {
    let of = |kind: ScopeKind| Spec::scope(kind);
    [
        (of(ScopeKind::ApiKey), true),
        (of(ScopeKind::TeamMembership), spec.member),
        (of(ScopeKind::Project), spec.project),
        (of(ScopeKind::Team), spec.team),
        (of(ScopeKind::Organization), spec.organization),
        (of(ScopeKind::User), spec.user && (!spec.team || spec.personal)),
        (Spec::own_tag(), true),
        (of(ScopeKind::EndUser), is_named(spec) && spec.end_user.is_some()),
        (of(ScopeKind::Tag), true),
        (of(ScopeKind::Platform), true),
    ]
    .into_iter()
    .filter_map(|(scope, is_there)| is_there.then_some(scope))
    .collect()
}

fn see(spec: &Spec, scope: Scope, at: usize) -> Option<Seen> {
    let budget = &spec.budgets[at];
    let (spent, reserved) = budget.counted(scope);
    let increase = increase(budget, 0);
    let ends = resets_in(budget);
    Some(Seen {
        scope,
        budget: at,
        max: budget.max? + increase,
        increase,
        spent,
        reserved,
        resets_in: ends,
        room_in: ends.filter(|end| has_room(spec, scope, at, *end)),
        passed: has_room(spec, scope, at, 0),
    })
}

/// What may be spent beyond the cap in so many seconds.
fn increase(budget: &Budget, seconds: i64) -> i64 {
    match budget.increase {
        Some((more, ends_in)) if seconds < ends_in => more,
        _ => 0,
    }
}

/// In how many seconds the window ends: second after second, until one begins a window.
fn resets_in(budget: &Budget) -> Option<i64> {
    let period = budget.period?;
    (1..=period).find(|seconds| (budget.age + seconds) % period == 0)
}

/// Whether a budget has room in so many seconds, if nothing is spent until then.
fn has_room(spec: &Spec, scope: Scope, at: usize, seconds: i64) -> bool {
    let budget = &spec.budgets[at];
    let Some(max) = budget.max else { return true };
    let is_new = resets_in(budget).is_some_and(|end| seconds >= end);
    let (spent, reserved) = if is_new { (0, 0) } else { budget.counted(scope) };
    let (max, used) = (max + increase(budget, seconds), spent + reserved);
    used < max && used + spec.estimate <= max
}

fn is_named(spec: &Spec) -> bool {
    spec.named.is_some_and(|named| !named.is_empty())
}

/// A call that nothing but budgets can refuse, and the end user that it may lack.
struct Call {
    meant: Option<&'static str>,
    is_free: bool,
    looks: bool,
}

fn before_budgets(spec: &Spec) -> Result<Call, (Check, Scope)> {
    let no = |check: Check, kind: ScopeKind| Err((check, Spec::scope(kind)));
    if !spec.known {
        return no(Check::Kind, ScopeKind::Platform);
    }
    if matches!(spec.kind, ApiKeyKind::Gateway | ApiKeyKind::Admin) {
        return no(Check::Kind, ScopeKind::ApiKey);
    }
    if spec.blocked["key"] {
        return no(Check::Block, ScopeKind::ApiKey);
    }
    if spec.expires_in.is_some_and(|seconds| seconds <= 0) {
        return no(Check::Expiry, ScopeKind::ApiKey);
    }

    let path = spec.path.map(|path| path.split('?').next().unwrap());
    if let Some(routes) = &spec.routes {
        let mut open = false;
        for route in routes {
            open |= *route == "llm";
            open |= route.starts_with('/') && path.is_some_and(|path| matches(route, path));
        }
        if !open {
            return no(Check::Route, ScopeKind::ApiKey);
        }
    }

    if spec.user && spec.blocked["user"] {
        return no(Check::Block, ScopeKind::User);
    }
    if spec.user && spec.team && !spec.member {
        return no(Check::Membership, ScopeKind::ApiKey);
    }
    if spec.team && spec.blocked["team"] {
        return no(Check::Block, ScopeKind::Team);
    }
    if spec.project && spec.blocked["project"] {
        return no(Check::Block, ScopeKind::Project);
    }

    let default = if is_named(spec) && spec.end_user.is_some() { spec.default_model } else { None };
    let asked = spec.model.or(default);
    let mut is_free = false;
    let mut meant = None;
    if let Some(mut name) = asked {
        for aliases in [&spec.team_aliases, &spec.key_aliases] {
            if let Some((_, target)) = aliases.iter().find(|(alias, _)| *alias == name) {
                name = target;
            }
        }
        for (kind, there, place) in [
            (ScopeKind::Organization, spec.organization, "organization"),
            (ScopeKind::Team, spec.team, "team"),
            (ScopeKind::Project, spec.project, "project"),
            (ScopeKind::TeamMembership, spec.member, "member"),
            (ScopeKind::User, spec.user && !spec.team, "user"),
            (ScopeKind::ApiKey, true, "key"),
        ] {
            if there && !allows(spec, &spec.lists[place], name) {
                return no(Check::Model, kind);
            }
        }
        let behind = deployments(spec, name);
        let usable: Vec<_> = behind.iter().filter(|(blocked, _)| !blocked).collect();
        if !behind.is_empty() && usable.is_empty() {
            return no(Check::Deployment, ScopeKind::ApiKey);
        }
        is_free = !usable.is_empty() && usable.iter().all(|(_, free)| *free);
        meant = Some(name);
    }
    if is_named(spec) && spec.end_user == Some(true) {
        return no(Check::Block, ScopeKind::EndUser);
    }
    Ok(Call { meant, is_free, looks: path == Some("/v1/models") })
}

fn allows(spec: &Spec, list: &List, name: &str) -> bool {
    let Some((names, group)) = list else { return true };
    let by_name = names.iter().any(|entry| matches(entry, name));
    by_name || (*group && spec.group.iter().any(|entry| matches(entry, name)))
}

/// The deployments behind a name: whether each is blocked, whether it is free.
fn deployments(spec: &Spec, name: &str) -> Vec<(bool, bool)> {
    let of = |own: bool, fits: &dyn Fn(&str) -> bool| -> Vec<(bool, bool)> {
        let those = spec.models.iter().filter(|(known, is_own, ..)| *is_own == own && fits(known));
        those.map(|(_, _, blocked, free)| (*blocked, *free)).collect()
    };
    let own = of(true, &|known| known == name);
    if spec.team && !own.is_empty() {
        return own;
    }
    let exact = of(false, &|known| known == name);
    if !exact.is_empty() {
        return exact;
    }
    of(false, &|known| known.contains('*') && matches(known, name))
}
