//! Changes of what is outermost: organizations, users, budgets that stand alone, the settings.

use entity::role::ScopeKind;
use serde_json::json;
use uuid::Uuid;

use super::{AMOUNTS, Input, MEMBER, Mutation, ORGANIZATION, TEAM, limits, list, user_ref};
use crate::property::state::{State, pick, uuid};
use crate::property::step::{Step, Verb};

pub(super) fn organization<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, _] = step.picks;
    let organization = || pick(&state.organizations, b).map(|row| row.id.to_string());
    let flags = step.flags;
    match step.verb {
        Verb::OrganizationCreate => input()
            .set("name", name)
            .access()
            .budgets(None, ORGANIZATION)
            .done("organizationCreate", "organization { id }"),
        Verb::OrganizationUpdate => {
            let row = pick(&state.organizations, a)?;
            let scope = (ScopeKind::Organization, uuid(row.id));
            let input = input().set("id", row.id.to_string()).access().cascade();
            input
                .budgets(Some(scope), ORGANIZATION)
                .done("organizationUpdate", "organization { id }")
        }
        Verb::OrganizationDelete => {
            let row = pick(&state.organizations, a)?;
            input().set("ids", json!([row.id.to_string()])).done("organizationDelete", "deletedIds")
        }
        Verb::OrganizationMemberAdd => {
            let role = if flags[0] { "ADMIN" } else { "MEMBER" };
            let member = json!({ "user": user_ref(pick(&state.users, a)?.id), "role": role });
            input()
                .set("organizationId", organization()?)
                .set("members", json!([member]))
                .done("organizationMemberAdd", "organization { id }")
        }
        _ => {
            let row = pick(&state.organization_members, a)?;
            let input = input()
                .set("organizationId", row.organization_id.to_string())
                .set("user", user_ref(row.user_id));
            if step.verb == Verb::OrganizationMemberRemove {
                return input.done("organizationMemberRemove", "deletedId");
            }
            let role = if flags[0] { "ADMIN" } else { "MEMBER" };
            input.set("role", role).done("organizationMemberUpdate", "membership { id }")
        }
    }
}

pub(super) fn user<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, _] = step.picks;
    let organization = || pick(&state.organizations, b).map(|row| row.id.to_string());
    let flags = step.flags;
    match step.verb {
        Verb::UserCreate => input()
            .set("email", format!("{name}@example.com"))
            .set("name", name)
            .set_if(flags[0], "organizationId", organization())
            .access()
            .budgets(None, ORGANIZATION)
            .done("userCreate", "user { id }"),
        Verb::UserUpdate => {
            let row = pick(&state.users, a)?;
            let scope = (ScopeKind::User, uuid(row.id));
            let input = input().set("id", row.id.to_string()).access().cascade();
            input.budgets(Some(scope), TEAM).done("userUpdate", "user { id }")
        }
        _ => {
            let row = pick(&state.users, a)?;
            input().set("ids", json!([row.id.to_string()])).done("userDelete", "deletedIds")
        }
    }
}

pub(super) fn budget<'a>(
    step: &'a Step,
    state: &'a State,
    input: impl Fn() -> Input<'a>,
    name: String,
) -> Option<Mutation> {
    let [a, b, _] = step.picks;
    let flags = step.flags;
    if step.verb == Verb::BudgetCreate {
        let organization = pick(&state.organizations, b).map(|row| row.id.to_string());
        return input()
            .set("name", name)
            .set_if(flags[0], "organizationId", organization)
            .set("limits", limits(&step.limits, TEAM, false))
            .done("budgetCreate", "budget { id }");
    }
    let alone: Vec<_> =
        state.budgets.iter().filter(|row| row.owner_kind.is_none() || flags[1]).collect();
    let input = input().set("id", pick(&alone, a)?.id.to_string());
    if step.verb == Verb::BudgetDelete {
        return input.done("budgetDelete", "deletedId");
    }
    let change = limits(&step.limits, usize::from(b) % AMOUNTS.len(), true);
    input.set("limits", change).cascade().done("budgetUpdate", "budget { id }")
}

pub(super) fn settings<'a>(step: &'a Step, input: impl Fn() -> Input<'a>) -> Option<Mutation> {
    let [a, _, _] = step.picks;
    let flags = step.flags;
    let kinds = [
        (ScopeKind::TeamDefault, "teamDefaults"),
        (ScopeKind::UserDefault, "userDefaults"),
        (ScopeKind::EndUserDefault, "endUserDefaults"),
        (ScopeKind::ApiKeyDefault, "apiKeyDefaults"),
    ];
    if a % 6 == 5 {
        let bound = step.access.map(|access| json!({ "modelAccess": list(access) }));
        let bounds = json!({ "teamAdmin": bound, "teamMember": bound });
        return input().set("apiKeyBounds", bounds).done("settingsUpdate", "settings { version }");
    }
    let Some((kind, field)) = kinds.get(usize::from(a) % 6) else {
        return input()
            .set("teamsAreJoinable", flags[0])
            .done("settingsUpdate", "settings { version }");
    };
    let defaults = input().budgets(Some((*kind, Uuid::nil())), MEMBER).value();
    input().set(field, defaults).done("settingsUpdate", "settings { version }")
}
