//! The invariants of DESIGN 3 in the plainest words, by nothing of what enforces them.

use entity::budget;
use entity::role::ScopeKind;
use entity::value::{ModelAccess, ModelAccessMode};
use uuid::Uuid;

use super::state::{State, uuid};

type Scope = (ScopeKind, Uuid);

/// What does not hold.
pub(super) fn breaches(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    for (scope, access, above) in scopes(state) {
        for parent in &above {
            if let (Some(access), Some(allowed)) = (access, access_of(state, *parent))
                && !lies_within(access, allowed)
            {
                found.push(format!("{scope:?} lists more models than {parent:?}"));
            }
            for own in state.held(scope.0, scope.1) {
                for limit in state.held(parent.0, parent.1) {
                    if exceeds(own, limit) {
                        let (own, limit) = (own.id, limit.id);
                        found.push(format!("{own} of {scope:?} exceeds {limit} of {parent:?}"));
                    }
                }
            }
        }
    }
    for budget in &state.budgets {
        let amounts =
            [budget.max_spend, budget.soft_spend].map(|usd| usd.map(entity::value::Usd::nanos));
        let rates =
            [budget.requests_per_minute, budget.tokens_per_minute, budget.max_parallel_requests];
        if amounts.into_iter().chain(rates).flatten().any(|number| number < 0) {
            found.push(format!("{} has a negative limit", budget.id));
        }
        if let [Some(max), Some(soft)] = amounts
            && soft >= max
        {
            found.push(format!("the soft limit of {} is not below the hard one", budget.id));
        }
    }
    for key in &state.keys {
        if let (Some(team), Some(user)) = (key.team_id, key.user_id)
            && !state.members.iter().any(|row| row.team_id == team && row.user_id == user)
        {
            found.push(format!("the owner of {} is not a member of its team", key.id));
        }
        let project = state.projects.iter().find(|row| Some(row.id) == key.project_id);
        if project.is_some_and(|project| Some(project.team_id) != key.team_id) {
            found.push(format!("the project of {} belongs to another team", key.id));
        }
    }
    found
}

/// Every scope that has something above it, with its list of models.
fn scopes(state: &State) -> Vec<(Scope, Option<&ModelAccess>, Vec<Scope>)> {
    let mut all = Vec::new();
    let team = |id: Uuid| {
        let row = state.teams.iter().find(|row| uuid(row.id) == id);
        let organization = row.and_then(|row| row.organization_id);
        let mut above = vec![(ScopeKind::Team, id)];
        above.extend(organization.map(|id| (ScopeKind::Organization, uuid(id))));
        above
    };
    for row in &state.teams {
        let id = uuid(row.id);
        let above = team(id)[1..].to_vec();
        all.push(((ScopeKind::Team, id), Some(&row.model_access), above));
        all.push(((ScopeKind::TeamMemberDefault, id), None, team(id)));
    }
    for row in &state.projects {
        let scope = (ScopeKind::Project, uuid(row.id));
        all.push((scope, Some(&row.model_access), team(uuid(row.team_id))));
    }
    for row in &state.members {
        let scope = (ScopeKind::TeamMembership, uuid(row.id));
        all.push((scope, Some(&row.model_access), team(uuid(row.team_id))));
    }
    for row in &state.keys {
        let scope = (ScopeKind::ApiKey, uuid(row.id));
        let above = match (row.team_id, row.user_id) {
            (Some(id), user) => {
                let is_owner = |member: &&entity::team_membership::Model| {
                    member.team_id == id && Some(member.user_id) == user
                };
                let member = state.members.iter().find(is_owner);
                let mut above = team(uuid(id));
                above.extend(member.map(|member| (ScopeKind::TeamMembership, uuid(member.id))));
                above.extend(row.project_id.map(|project| (ScopeKind::Project, uuid(project))));
                above
            }
            (None, Some(user)) => vec![(ScopeKind::User, uuid(user))],
            (None, None) => Vec::new(),
        };
        all.push((scope, Some(&row.model_access), above));
    }
    all
}

fn access_of(state: &State, (kind, id): Scope) -> Option<&ModelAccess> {
    macro_rules! access {
        ($rows:ident) => {
            state.$rows.iter().find(|row| uuid(row.id) == id).map(|row| &row.model_access)
        };
    }
    match kind {
        ScopeKind::Organization => access!(organizations),
        ScopeKind::Team => access!(teams),
        ScopeKind::Project => access!(projects),
        ScopeKind::TeamMembership => access!(members),
        ScopeKind::User => access!(users),
        _ => None,
    }
}

fn lies_within(own: &ModelAccess, allowed: &ModelAccess) -> bool {
    let listed = |model: &String| {
        allowed.mode == ModelAccessMode::List
            && allowed.models.iter().any(|pattern| matches(pattern.as_bytes(), model.as_bytes()))
    };
    own.mode != ModelAccessMode::List
        || allowed.mode == ModelAccessMode::All
        || (own.models.iter().all(listed)
            && own.access_groups.iter().all(|group| allowed.access_groups.contains(group)))
}

/// Whether a text is one for which a pattern stands: `*` for any text, all else for itself.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        Some((first, rest)) => {
            text.split_first().is_some_and(|(own, text)| own == first && matches(rest, text))
        }
    }
}

fn exceeds(own: &budget::Model, limit: &budget::Model) -> bool {
    if limit.model_pattern.is_some() && limit.model_pattern != own.model_pattern {
        return false;
    }
    let more = |own: Option<i64>, limit: Option<i64>| {
        own.zip(limit).is_some_and(|(own, limit)| own > limit)
    };
    let spend = |budget: &budget::Model| budget.max_spend.map(entity::value::Usd::nanos);
    (days(limit) >= days(own) && more(spend(own), spend(limit)))
        || more(own.requests_per_minute, limit.requests_per_minute)
        || more(own.tokens_per_minute, limit.tokens_per_minute)
        || more(own.max_parallel_requests, limit.max_parallel_requests)
}

/// The length of a period in days; one without end is the longest.
fn days(budget: &budget::Model) -> u32 {
    match budget.period.as_deref() {
        None => u32::MAX,
        Some("1d" | "P1D") => 1,
        Some("7d" | "P7D") => 7,
        Some("1mo" | "30d" | "P1M") => 30,
        Some(other) => panic!("no step asks for a period of {other}"),
    }
}
