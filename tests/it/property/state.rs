//! What there is at a moment, read past the API: for steps to name, and for the oracle to judge.

use std::collections::BTreeMap;

use entity::id::Id;
use entity::role::ScopeKind;
use entity::{
    access_group, api_key, budget, budget_assignment, credential, end_user, llm_model,
    organization, organization_membership, project, tag, team, team_membership, user,
};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use uuid::Uuid;

/// All rows that steps speak of, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) organizations: Vec<organization::Model>,
    pub(super) organization_members: Vec<organization_membership::Model>,
    pub(super) teams: Vec<team::Model>,
    pub(super) members: Vec<team_membership::Model>,
    pub(super) projects: Vec<project::Model>,
    pub(super) keys: Vec<api_key::Model>,
    pub(super) users: Vec<user::Model>,
    pub(super) budgets: Vec<budget::Model>,
    pub(super) assignments: Vec<budget_assignment::Model>,
    pub(super) models: Vec<llm_model::Model>,
    pub(super) credentials: Vec<credential::Model>,
    pub(super) groups: Vec<access_group::Model>,
    pub(super) tags: Vec<tag::Model>,
    pub(super) end_users: Vec<end_user::Model>,
}

impl State {
    /// Reads everything.
    pub(super) async fn read(db: &impl ConnectionTrait) -> Self {
        macro_rules! all {
            ($table:ident) => {
                $table::Entity::find().order_by_asc($table::Column::Id).all(db).await.unwrap()
            };
        }
        Self {
            organizations: all!(organization),
            organization_members: all!(organization_membership),
            teams: all!(team),
            members: all!(team_membership),
            projects: all!(project),
            keys: all!(api_key),
            users: all!(user),
            budgets: all!(budget),
            assignments: all!(budget_assignment),
            models: all!(llm_model),
            credentials: all!(credential),
            groups: all!(access_group),
            tags: all!(tag),
            end_users: all!(end_user),
        }
    }

    /// The budgets in force on a scope.
    pub(super) fn held(&self, kind: ScopeKind, id: Uuid) -> Vec<&budget::Model> {
        let here = |row: &&budget_assignment::Model| row.scope_kind == kind && row.scope_id == id;
        let budget =
            |row: &budget_assignment::Model| self.budgets.iter().find(|b| b.id == row.budget_id);
        self.assignments.iter().filter(here).filter_map(budget).collect()
    }

    /// What people call things, for the report of a failure.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        let mut add = |id: String, name: String| drop(names.insert(id, name));
        let label = |name: Option<&str>, noun: &str, place: usize| {
            name.map_or_else(|| format!("{noun} {place}"), |name| format!("{noun} {name:?}"))
        };
        macro_rules! add {
            ($rows:ident, $noun:literal, $row:ident => $name:expr) => {
                for (place, $row) in self.$rows.iter().enumerate() {
                    let (row, name): (_, Option<&str>) = ($row, $name);
                    add(row.id.to_string(), label(name, $noun, place));
                }
            };
        }
        add!(organizations, "organization", row => Some(row.name.as_str()));
        add!(teams, "team", row => Some(row.name.as_str()));
        add!(projects, "project", row => Some(row.name.as_str()));
        add!(keys, "key", row => row.name.as_deref());
        add!(users, "user", row => row.name.as_deref());
        add!(budgets, "budget", row => row.name.as_deref());
        add!(models, "model", row => Some(row.name.as_str()));
        add!(credentials, "credential", row => Some(row.name.as_str()));
        add!(groups, "group", row => Some(row.name.as_str()));
        add!(tags, "tag", row => Some(row.name.as_str()));
        add!(end_users, "end user", row => Some(row.external_id.as_str()));
        for row in &self.members {
            let (team, user) = (row.team_id.to_string(), row.user_id.to_string());
            let of = |id: &String| names.get(id).cloned().unwrap_or_default();
            let name = format!("member {} of {}", of(&user), of(&team));
            names.insert(row.id.to_string(), name);
        }
        names
    }
}

/// One of some things, by a number.
pub(super) fn pick<T>(of: &[T], number: u8) -> Option<&T> {
    (!of.is_empty()).then(|| &of[usize::from(number) % of.len()])
}

/// The id of one of some things.
pub(super) fn uuid<T: Id>(id: T) -> Uuid {
    id.uuid()
}
