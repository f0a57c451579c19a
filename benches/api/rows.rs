//! The rows under load: the same in every run, put in past the API.

use std::ops::Range;

use chrono::{DateTime, Utc};
use entity::id::{ApiKeyId, Id, ProjectId, TeamId, TeamMembershipId, UserId};
use entity::role::{ApiKeyKind, Counting, PlatformRole, ScopeKind, TeamRole};
use entity::value::{MemberPermissions, ModelAccess, Usd, Words};
use entity::{
    api_key, api_key_secret, budget, budget_assignment, budget_window, llm_model, project, team,
    team_membership, user,
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend,
    EntityTrait, IntoActiveModel, ModelTrait, TransactionTrait,
};
use serde_json::json;
use tollkeep::secret::{Pepper, digest_of};
use uuid::Uuid;

use crate::database::Place;
use crate::program::PEPPER;

const MEMBERS_OF_TEAM: u64 = 10;
const KEYS_OF_TEAM: u64 = 5;
const PROJECTS_OF_TEAM: u64 = 3;
/// The deployments that share a name.
const DEPLOYMENTS_OF_MODEL: u64 = 5;
/// The teams among which all keys above those are shared out: the first page of the dashboard.
const CROWDED_TEAMS: u64 = 50;
const ROWS_PER_INSERT: usize = 500;
const ROWS_PER_STEP: u64 = 10_000;

/// The search text in the middle of all keys.
pub(crate) const MIDDLE_NAME: &str = "key 80000000";

/// What is there so far, and the connection for more.
pub(crate) struct Seed {
    connection: DatabaseConnection,
    pub(crate) teams: u64,
    pub(crate) keys: u64,
}

impl Seed {
    pub(crate) async fn connect(place: &Place) -> Self {
        Self { connection: place.connect().await, teams: 0, keys: 0 }
    }

    pub(crate) async fn close(self) {
        self.connection.close().await.unwrap();
    }

    /// Makes teams, each with ten members, five keys, three projects, and budgets with spend for
    /// itself, each member and each project, until there are so many; and as many users.
    pub(crate) async fn teams(&mut self, wanted: u64) {
        let tx = self.connection.begin().await.unwrap();
        for step in steps(self.teams..wanted) {
            insert(&tx, step.clone().map(user)).await;
            insert(&tx, step.clone().map(team)).await;
            let members = step.start * MEMBERS_OF_TEAM..step.end * MEMBERS_OF_TEAM;
            for part in steps(members) {
                insert(&tx, part.map(|number| membership(number, step.end))).await;
            }
            for part in steps(step.start * PROJECTS_OF_TEAM..step.end * PROJECTS_OF_TEAM) {
                insert(&tx, part.map(project)).await;
            }
            for (kind, base, each) in [
                (ScopeKind::Team, 0, 1),
                (ScopeKind::TeamMembership, 1 << 40, MEMBERS_OF_TEAM),
                (ScopeKind::Project, 1 << 41, PROJECTS_OF_TEAM),
            ] {
                for part in steps(step.start * each..step.end * each) {
                    insert(&tx, part.clone().map(|number| limit(kind, base, number))).await;
                    insert(&tx, part.clone().map(|number| assignment(kind, base, number))).await;
                    insert(&tx, part.map(|number| window(kind, base, number))).await;
                }
            }
            for part in steps(step.start * KEYS_OF_TEAM..step.end * KEYS_OF_TEAM) {
                insert(&tx, part.clone().map(|number| key(number, number / KEYS_OF_TEAM))).await;
                insert(&tx, part.map(secret)).await;
            }
        }
        self.teams = wanted;
        self.keys = wanted * KEYS_OF_TEAM;
        self.settle(tx).await;
    }

    /// Makes keys until there are so many.
    pub(crate) async fn keys(&mut self, wanted: u64) {
        let tx = self.connection.begin().await.unwrap();
        for step in steps(self.keys..wanted) {
            insert(&tx, step.clone().map(|number| key(number, number % CROWDED_TEAMS))).await;
            insert(&tx, step.map(secret)).await;
        }
        self.keys = self.keys.max(wanted);
        self.settle(tx).await;
    }

    /// Makes models: five deployments of each name. One in 1,000 has the word amber in its name.
    pub(crate) async fn models(&mut self, wanted: u64) {
        let tx = self.connection.begin().await.unwrap();
        insert(&tx, (0..wanted).map(deployment)).await;
        self.settle(tx).await;
    }

    /// Commits, and does what a database in service does by itself: PostgreSQL looks at its tables
    /// (a private server has that switched off), SQLite empties its log.
    async fn settle(&self, tx: DatabaseTransaction) {
        tx.commit().await.unwrap();
        let sql = match self.connection.get_database_backend() {
            DbBackend::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE)",
            _ => "VACUUM ANALYZE",
        };
        self.connection.execute_unprepared(sql).await.unwrap();
    }
}

/// A range in parts that fit into memory.
fn steps(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let Range { start, end } = range;
    (start..end).step_by(10_000).map(move |at| at..end.min(at + ROWS_PER_STEP))
}

async fn insert<M>(tx: &DatabaseTransaction, rows: impl Iterator<Item = M>)
where
    M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    M::Entity: EntityTrait<Model = M>,
    <M::Entity as EntityTrait>::ActiveModel: sea_orm::ActiveModelBehavior + Send,
{
    let rows: Vec<_> = rows.map(|row| row.into_active_model().reset_all()).collect();
    for chunk in rows.chunks(ROWS_PER_INSERT) {
        let insert = <M::Entity as EntityTrait>::insert_many(chunk.to_vec());
        insert.exec_without_returning(tx).await.unwrap();
    }
}

/// The n-th id of a table: in the order of creation, as real ones are.
fn id<T: Id>(number: u64) -> T {
    let (milliseconds, table) = (u128::from(created_millis(number)), T::PREFIX.len() as u128);
    let bits = milliseconds << 80 | 7 << 76 | table << 64 | 2 << 62 | u128::from(number);
    T::from_uuid(Uuid::from_u128(bits))
}

fn created_millis(number: u64) -> u64 {
    1_780_000_000_000 + number % (1 << 40)
}

fn created(number: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(created_millis(number).cast_signed()).unwrap()
}

/// The n-th key's id.
pub(crate) fn key_id(number: u64) -> Uuid {
    id::<ApiKeyId>(number).uuid()
}

/// The n-th team's id.
pub(crate) fn team_id(number: u64) -> TeamId {
    id(number)
}

/// The public name of the n-th deployment.
pub(crate) fn model_name(number: u64) -> String {
    format!("model-{:05}", number / DEPLOYMENTS_OF_MODEL)
}

/// The n-th team's external id, and in capitals its name.
pub(crate) fn team_name(number: u64) -> String {
    format!("team-{number:05}")
}

fn user(number: u64) -> user::Model {
    let email = format!("person-{number:05}@example.com");
    user::Model {
        id: id(number),
        external_id: None,
        organization_id: None,
        email_confirmed_by: Some(entity::role::EmailConfirmation::Platform),
        email: Some(email.clone()),
        email_key: Some(email),
        name: Some(format!("Person {number:05}")),
        search_text: format!("person {number:05}"),
        platform_role: PlatformRole::User,
        model_access: ModelAccess::default(),
        blocked_by: None,
        metadata: json!({}),
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

fn team(number: u64) -> team::Model {
    let name = team_name(number);
    team::Model {
        id: id(number),
        organization_id: None,
        external_id: Some(name.clone()),
        name: name.to_uppercase(),
        search_text: format!("{name}\u{1f}{name}"),
        metadata: json!({ "cost_center": number % 100 }),
        tags: Words(vec!["bench".to_owned()]),
        model_access: ModelAccess::default(),
        member_model_access: ModelAccess::default(),
        blocked_by: None,
        is_joinable: false,
        member_permissions: MemberPermissions::default(),
        router_settings: None,
        guardrails: Words::default(),
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

/// The members of a team are ten of the users so far, which lie apart.
fn membership(number: u64, users: u64) -> team_membership::Model {
    let (team, seat) = (number / MEMBERS_OF_TEAM, number % MEMBERS_OF_TEAM);
    let role = if seat == 0 { TeamRole::Admin } else { TeamRole::Member };
    team_membership::Model {
        id: id::<TeamMembershipId>(number),
        team_id: id::<TeamId>(team),
        user_id: id::<UserId>((team + seat * users / MEMBERS_OF_TEAM) % users),
        role,
        model_access: ModelAccess::default(),
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

fn project(number: u64) -> project::Model {
    let name = format!("Project {number:05}");
    project::Model {
        id: id(number),
        team_id: id(number / PROJECTS_OF_TEAM),
        organization_id: None,
        external_id: None,
        search_text: name.to_lowercase(),
        name,
        description: None,
        model_access: ModelAccess::default(),
        metadata: json!({}),
        tags: Words::default(),
        blocked_by: None,
        object_permissions: None,
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

fn scope(kind: ScopeKind, number: u64) -> Uuid {
    match kind {
        ScopeKind::Team => id::<TeamId>(number).uuid(),
        ScopeKind::Project => id::<ProjectId>(number).uuid(),
        _ => id::<TeamMembershipId>(number).uuid(),
    }
}

fn limit(kind: ScopeKind, base: u64, number: u64) -> budget::Model {
    budget::Model {
        id: id(base + number),
        organization_id: None,
        external_id: None,
        name: None,
        search_text: String::new(),
        owner_kind: Some(kind),
        owner_id: Some(scope(kind, number)),
        max_spend: Some(Usd::from_nanos(100_000_000_000)),
        soft_spend: None,
        period: Some("1mo".to_owned()),
        time_zone: "UTC".to_owned(),
        anchor_at: created(0),
        former_period: None,
        former_time_zone: None,
        former_anchor_at: None,
        period_changes_at: None,
        temporary_increase: None,
        temporary_increase_ends_at: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        max_parallel_requests: None,
        model_pattern: None,
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

fn assignment(kind: ScopeKind, base: u64, number: u64) -> budget_assignment::Model {
    budget_assignment::Model {
        id: id(base + number),
        budget_id: id(base + number),
        scope_kind: kind,
        scope_id: scope(kind, number),
        counting: Counting::Each,
        created_at: created(number),
        created_by: "bench".to_owned(),
    }
}

/// The counters of a budget, in a window that is open in every run.
fn window(kind: ScopeKind, base: u64, number: u64) -> budget_window::Model {
    budget_window::Model {
        id: id(base + number),
        budget_id: id(base + number),
        scope_id: scope(kind, number),
        starts_at: created(0),
        ends_at: None,
        spent: Usd::from_nanos(12_345_678_900),
        reserved: Usd::from_nanos(5_000_000),
        raised: 0,
        updated_at: created(0),
    }
}

fn deployment(number: u64) -> llm_model::Model {
    let name = model_name(number);
    let word = if number.is_multiple_of(1_000) { "amber" } else { "grey" };
    let provider_model = format!("{word}-{number:05}");
    llm_model::Model {
        id: id(number),
        team_id: None,
        credential_id: None,
        external_id: None,
        search_text: format!("{name}\u{1f}{provider_model}"),
        name,
        provider: "openai".to_owned(),
        provider_model,
        api_base: Some("https://api.example.com/v1".to_owned()),
        region: None,
        requests_per_minute: Some(1_000),
        tokens_per_minute: None,
        input_price: Some(Usd::from_nanos(2_500_000_000)),
        output_price: Some(Usd::from_nanos(10_000_000_000)),
        params: json!({ "timeout": 30 }),
        info: json!({ "max_input_tokens": 128_000 }),
        is_granted: false,
        blocked_by: None,
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

/// One key in 1,000 has the word amber in its name. Names are in another order than ids.
fn key(number: u64, team: u64) -> api_key::Model {
    let mixed = number.wrapping_mul(0x9e37_79b1) & 0xffff_ffff;
    let word = if number.is_multiple_of(1_000) { "amber" } else { "grey" };
    let name = format!("key {mixed:08x} {word} nightly job");
    api_key::Model {
        id: id::<ApiKeyId>(number),
        kind: ApiKeyKind::Service,
        user_id: None,
        team_id: Some(id(team)),
        project_id: None,
        external_id: None,
        search_text: name.clone(),
        name: Some(name),
        model_access: ModelAccess::default(),
        allowed_routes: None,
        tags: Words(vec!["bench".to_owned()]),
        metadata: json!({ "owner": "nobody" }),
        blocked_by: None,
        expires_at: None,
        last_used_at: None,
        version: 1,
        created_at: created(number),
        created_by: "bench".to_owned(),
        updated_at: created(number),
        updated_by: "bench".to_owned(),
    }
}

/// The n-th key's secret.
pub(crate) fn key_secret(number: u64) -> String {
    format!("sk-bench-key-0123456789-{number:012}")
}

/// The pepper of the server as bytes.
fn pepper() -> Pepper {
    let byte = |place: usize| u8::from_str_radix(&PEPPER[2 * place..2 * place + 2], 16).unwrap();
    Pepper::new(std::array::from_fn(byte))
}

fn secret(number: u64) -> api_key_secret::Model {
    api_key_secret::Model {
        id: id(number),
        api_key_id: id(number),
        digest: digest_of(&key_secret(number), &pepper()),
        pepper_id: 1,
        hint: format!("{:04}", number % 10_000),
        not_after: None,
        created_at: created(number),
    }
}
