//! The same decision, written down as a person would tell it: slow, plain, and by itself.

use entity::role::{ApiKeyKind, ScopeKind};
use tollkeep::domain::access::Check;
use tollkeep::domain::scope::Scope;

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

/// Which rule of which scope refuses the call; none when it may be made.
#[expect(clippy::too_many_lines, reason = "one rule after the other, to be read in one go")]
pub(crate) fn verdict(spec: &Spec) -> Option<(Check, Scope)> {
    let no = |check: Check, kind: ScopeKind| Some((check, Spec::scope(kind)));
    if !spec.known {
        return no(Check::Kind, ScopeKind::Platform);
    }
    if matches!(spec.kind, ApiKeyKind::Gateway | ApiKeyKind::Admin) {
        return no(Check::Kind, ScopeKind::ApiKey);
    }
    if spec.expires_in.is_some_and(|seconds| seconds <= 0) {
        return no(Check::Expiry, ScopeKind::ApiKey);
    }
    if spec.blocked["key"] {
        return no(Check::Block, ScopeKind::ApiKey);
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
    let looks = path == Some("/v1/models");
    let is_named = spec.named.is_some_and(|named| !named.is_empty());
    if spec.end_user_is_required && !looks && !is_named {
        return no(Check::EndUser, ScopeKind::Platform);
    }
    if is_named && spec.end_user == Some(true) {
        return no(Check::Block, ScopeKind::EndUser);
    }

    let default = if is_named && spec.end_user.is_some() { spec.default_model } else { None };
    let asked = spec.model.or(default);
    let mut free = false;
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
        free = !usable.is_empty() && usable.iter().all(|(_, free)| *free);
        meant = Some(name);
    }
    if looks || free {
        return None;
    }
    for kind in [
        ScopeKind::ApiKey,
        ScopeKind::TeamMembership,
        ScopeKind::Project,
        ScopeKind::Team,
        ScopeKind::Organization,
        ScopeKind::User,
        ScopeKind::EndUser,
        ScopeKind::Tag,
        ScopeKind::Platform,
    ] {
        let there = match kind {
            ScopeKind::TeamMembership => spec.member,
            ScopeKind::Project => spec.project,
            ScopeKind::Team => spec.team,
            ScopeKind::Organization => spec.organization,
            ScopeKind::User => spec.user && (!spec.team || spec.personal),
            ScopeKind::EndUser => is_named && spec.end_user.is_some(),
            _ => true,
        };
        for budget in spec.budgets.iter().filter(|budget| there && budget.kind == kind) {
            let concerned = match (budget.pattern, meant) {
                (None, _) => true,
                (Some(pattern), Some(name)) => matches(pattern, name),
                (Some(_), None) => false,
            };
            let Some(max) = budget.max.filter(|_| concerned) else { continue };
            let used = budget.spent + budget.reserved;
            if used >= max || used + spec.estimate > max {
                return no(Check::Budget, kind);
            }
        }
    }
    None
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
