//! Two writers at once: who waits for whom, in what order rows are locked, and that nothing passes
//! between a check and its write.
//!
//! A connection past the API holds locks, so that commands stop where the test wants them. SQLite
//! has one writer: there the same commands run at once, without being stopped.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, QueryResult, Statement,
    TransactionTrait,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tollkeep::db::DatabaseSettings;

use crate::harness::client::text;
use crate::harness::world::{World, api_key, join_organization, organization, user};
use crate::harness::{Answer, Kind, TestApp, on_each_database, on_each_database_with};
use crate::steps::{assert_no_orphans, change, done, project, read, rows, sql_id};

async fn query(database: &impl ConnectionTrait, sql: &str) -> Vec<QueryResult> {
    database.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap()
}

/// Starts a transaction past the API that runs one statement and keeps its locks.
async fn hold(database: &DatabaseConnection, sql: &str) -> DatabaseTransaction {
    let holder = database.begin().await.unwrap();
    query(&holder, sql).await;
    holder
}

/// A mutation that runs while the test does something else.
fn start(app: &TestApp, mutation: &str, input: Value) -> JoinHandle<Answer> {
    let (client, mutation) = (app.admin(), mutation.to_owned());
    tokio::spawn(async move { change(&client, &mutation, input, "__typename").await })
}

/// Returns when so many of the server's transactions wait for locks.
async fn until_waiting(watch: &DatabaseConnection, count: usize, tasks: &[&JoinHandle<Answer>]) {
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'tollkeep' AND wait_event_type = 'Lock'";
    while query(watch, waiting).await.len() < count {
        assert!(tasks.iter().all(|task| !task.is_finished()), "a command did not wait");
    }
}

/// A team with a member, each key of whom, and everything above, has a budget of its own.
struct Tree {
    organization: String,
    beyond: String,
    team: String,
    other_team: String,
    project: String,
    user: String,
    stranger: String,
    key: String,
    personal: String,
    tier: String,
}

const CAP: &str = "100";

fn cap(amount: &str) -> Value {
    json!([{ "create": { "maxSpend": amount } }])
}

impl Tree {
    async fn grow(app: &TestApp, number: usize) -> Self {
        let admin = app.admin();
        let person = user(&admin, &format!("tree-{number}"), "USER").await;
        let stranger = user(&admin, &format!("stranger-{number}"), "USER").await;
        let input = json!({ "id": person, "budgets": cap(CAP) });
        done(&admin, "userUpdate", input, "user { id }").await;
        let member = json!({ "user": { "id": person }, "budgets": cap(CAP) });
        let beyond = organization(app, &format!("Field {number}")).await;
        let organization = organization(app, &format!("Wood {number}")).await;
        let input = json!({ "name": "Tree", "organizationId": organization, "budgets": cap(CAP),
            "members": [member] });
        let team = text(&done(&admin, "teamCreate", input, "team { id }").await, "/team/id");
        let member = json!({ "user": { "id": person } });
        let input = json!({ "name": "Other", "organizationId": organization, "members": [member] });
        let other = done(&admin, "teamCreate", input, "team { id }").await;
        let other_team = text(&other, "/team/id");
        let project = project(&admin, &team, json!({ "name": "P", "budgets": cap(CAP) })).await;
        let input = json!({ "userId": person, "projectId": project, "budgets": cap("1") });
        let (key, _) = api_key(&admin, input).await;
        let (personal, _) = api_key(&admin, json!({ "userId": person, "budgets": cap("1") })).await;
        let input = json!({ "name": "tier", "limits": { "maxSpend": CAP } });
        let tier = done(&admin, "budgetCreate", input, "budget { id }").await;
        let tier = text(&tier, "/budget/id");
        join_organization(app, &organization, &person, "MEMBER").await;
        join_organization(app, &beyond, &person, "MEMBER").await;
        let access = json!({ "mode": "LIST", "models": ["gpt-4o"] });
        let input = json!({ "id": beyond, "budgets": cap(CAP), "modelAccess": access });
        done(&admin, "organizationUpdate", input, "__typename").await;
        Self {
            organization,
            beyond,
            team,
            other_team,
            project,
            user: person,
            stranger,
            key,
            personal,
            tier,
        }
    }

    /// A row, as SQL finds it.
    fn row(&self, app: &TestApp, name: &str) -> String {
        let id = |id: &str| sql_id(app, id);
        let members = format!("team_memberships WHERE team_id = {}", id(&self.team));
        match name {
            "organization" => format!("organizations WHERE id = {}", id(&self.organization)),
            "beyond" => format!("organizations WHERE id = {}", id(&self.beyond)),
            "beyond's budget" => format!("budgets WHERE owner_id = {}", id(&self.beyond)),
            "organization member" => {
                let organization = id(&self.organization);
                let user = id(&self.user);
                format!(
                    "organization_memberships WHERE user_id = {user} AND organization_id = {organization}"
                )
            }
            "team" => format!("teams WHERE id = {}", id(&self.team)),
            "other team" => format!("teams WHERE id = {}", id(&self.other_team)),
            "project" => format!("projects WHERE id = {}", id(&self.project)),
            "user" => format!("users WHERE id = {}", id(&self.user)),
            "stranger" => format!("users WHERE id = {}", id(&self.stranger)),
            "member" => members,
            "other member" => {
                format!("team_memberships WHERE team_id = {}", id(&self.other_team))
            }
            "key" => format!("api_keys WHERE id = {}", id(&self.key)),
            "personal key" => format!("api_keys WHERE id = {}", id(&self.personal)),
            "tier" => format!("budgets WHERE id = {}", id(&self.tier)),
            "team's budget" => format!("budgets WHERE owner_id = {}", id(&self.team)),
            "project's budget" => format!("budgets WHERE owner_id = {}", id(&self.project)),
            "user's budget" => format!("budgets WHERE owner_id = {}", id(&self.user)),
            "key's budget" => format!("budgets WHERE owner_id = {}", id(&self.key)),
            "personal key's budget" => format!("budgets WHERE owner_id = {}", id(&self.personal)),
            "member's budget" => format!("budgets WHERE owner_id IN (SELECT id FROM {members})"),
            other => panic!("{other}"),
        }
    }

    /// Commands, and rows that each locks, in the order in which it must.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn commands(&self) -> Vec<(&'static str, Value, Vec<&'static str>)> {
        let Self { organization, beyond, team, other_team, project, .. } = self;
        let Self { user, stranger, key, personal, tier, .. } = self;
        let (budgets, models) = (cap(CAP), json!({ "mode": "LIST", "models": ["gpt-4o"] }));
        let member = json!({ "id": user });
        let added = json!([{ "user": { "id": stranger }, "budgets": budgets }]);
        vec![
            (
                "apiKeyUpdate",
                json!({ "id": key, "budgets": budgets, "modelAccess": models }),
                vec!["organization", "team", "project", "member", "key", "key's budget"],
            ),
            (
                "apiKeyUpdate",
                json!({ "id": personal, "budgets": budgets }),
                vec!["user", "personal key", "personal key's budget"],
            ),
            (
                "apiKeyCreate",
                json!({ "userId": user, "projectId": project, "budgets": budgets }),
                vec!["organization", "team", "project", "user", "member", "team's budget"],
            ),
            (
                "apiKeyCreate",
                json!({ "userId": user, "budgets": budgets }),
                vec!["user", "user's budget"],
            ),
            (
                "teamCreate",
                json!({ "name": "T", "organizationId": organization, "members": added,
                    "budgets": [{ "attach": { "budgetId": tier } }] }),
                vec!["organization", "stranger", "tier"],
            ),
            (
                "teamUpdate",
                json!({ "id": team, "budgets": budgets, "modelAccess": models }),
                vec!["organization", "team", "project", "member", "key", "team's budget"],
            ),
            (
                "projectCreate",
                json!({ "teamId": team, "name": "P", "budgets": budgets }),
                vec!["organization", "team", "team's budget"],
            ),
            (
                "projectUpdate",
                json!({ "id": project, "budgets": budgets, "modelAccess": models }),
                vec!["organization", "team", "project", "key", "project's budget"],
            ),
            (
                "projectMove",
                json!({ "id": project, "teamId": other_team, "apiKeys": "CARRY" }),
                vec![
                    "organization",
                    "team",
                    "other team",
                    "project",
                    "other member",
                    "key",
                    "project's budget",
                ],
            ),
            (
                "teamMemberAdd",
                json!({ "teamId": team, "members": added }),
                vec!["organization", "team", "stranger", "team's budget"],
            ),
            (
                "teamMemberUpdate",
                json!({ "teamId": team, "user": member, "budgets": budgets,
                    "modelAccess": models }),
                vec!["organization", "team", "member", "key", "member's budget"],
            ),
            (
                "teamMemberRemove",
                json!({ "teamId": team, "user": member }),
                vec!["organization", "team", "member", "key", "key's budget"],
            ),
            (
                "teamDelete",
                json!({ "ids": [team] }),
                vec!["team", "project", "member", "key", "key's budget"],
            ),
            (
                "userUpdate",
                json!({ "id": user, "budgets": budgets, "modelAccess": models }),
                vec!["user", "personal key", "user's budget"],
            ),
            ("userDelete", json!({ "ids": [user] }), vec!["user", "member", "key", "key's budget"]),
            (
                "apiKeyBulkUpdate",
                json!({ "keys": [{ "id": personal, "budgets": budgets },
                    { "id": key, "budgets": budgets }] }),
                vec!["organization", "team", "user", "member", "key", "personal key"],
            ),
            (
                "teamMemberBulkUpdate",
                json!({ "teamId": team, "members": [{ "user": member, "budgets": budgets,
                    "modelAccess": models }] }),
                vec!["organization", "team", "member", "key", "member's budget"],
            ),
            ("apiKeyDelete", json!({ "ids": [key] }), vec!["key", "key's budget"]),
            (
                "organizationUpdate",
                json!({ "id": organization, "budgets": budgets, "modelAccess": models }),
                vec!["organization", "team", "member", "key", "team's budget"],
            ),
            (
                "organizationMemberAdd",
                json!({ "organizationId": organization, "members": [{ "user": { "id": stranger } }] }),
                vec!["organization", "stranger"],
            ),
            (
                "organizationMemberUpdate",
                json!({ "organizationId": organization, "user": member, "role": "ADMIN" }),
                vec!["organization", "user", "organization member"],
            ),
            (
                "organizationMemberRemove",
                json!({ "organizationId": organization, "user": member }),
                vec![
                    "organization",
                    "team",
                    "user",
                    "organization member",
                    "member",
                    "key",
                    "key's budget",
                ],
            ),
            (
                "organizationDelete",
                json!({ "ids": [organization] }),
                vec![
                    "organization",
                    "team",
                    "organization member",
                    "member",
                    "key",
                    "key's budget",
                ],
            ),
            (
                "teamMove",
                json!({ "id": team, "organizationId": beyond, "cascade": "CLAMP" }),
                vec![
                    "beyond",
                    "organization",
                    "team",
                    "member",
                    "key",
                    "beyond's budget",
                    "team's budget",
                    "key's budget",
                ],
            ),
        ]
    }
}

/// SECURITY case 20: every command locks rows in one order: organization, team, project, user,
/// membership, key, budget. A command that waits for one of them has locked none that comes later.
#[tokio::test]
async fn every_command_locks_in_one_order() {
    on_each_database(async |app| {
        let mut number = 0;
        let first = Tree::grow(app, number).await;
        let (holding, watch) = (app.database().await, app.database().await);
        for (at, (mutation, _, order)) in first.commands().into_iter().enumerate() {
            for held in 0..order.len() {
                number += 1;
                let tree = Tree::grow(app, number).await;
                let input = tree.commands().remove(at).1;
                if app.kind == Kind::Sqlite {
                    start(app, mutation, input).await.unwrap().data();
                    break;
                }
                let row = tree.row(app, order[held]);
                let holder = hold(&holding, &format!("SELECT 1 FROM {row} FOR UPDATE")).await;
                let task = start(app, mutation, input);
                until_waiting(&watch, 1, &[&task]).await;
                for later in &order[held + 1..] {
                    let sql = format!("SELECT 1 FROM {} FOR UPDATE NOWAIT", tree.row(app, later));
                    let statement = Statement::from_string(DbBackend::Postgres, sql);
                    let free = watch.query_all_raw(statement).await;
                    let free = free.map(|rows| rows.len());
                    let order = format!("{mutation}: {later} before {}", order[held]);
                    assert!(free.as_ref().is_ok_and(|rows| *rows > 0), "{order}: {free:?}");
                }
                holder.rollback().await.unwrap();
                task.await.unwrap().data();
            }
        }
    })
    .await;
}

/// SECURITY case 20, 21: two deletions of the same teams or users, named by external ids in different
/// orders, lock them in the same order.
#[tokio::test]
async fn deletions_lock_in_one_order_however_they_name() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for (mutation, selection, table, ids) in [
            ("teamUpdate", "team { id }", "teams", [&world.a1, &world.a2]),
            (
                "userUpdate",
                "user { id }",
                "users",
                [&world.users["viewer"], &world.users["member"]],
            ),
        ] {
            for (id, name) in ids.iter().zip(["first", "last"]) {
                let input = json!({ "id": id, "externalId": name });
                done(&admin, mutation, input, selection).await;
            }
            let delete = mutation.replace("Update", "Delete");
            let input = json!({ "ids": ["last", "first"] });
            if app.kind == Kind::Sqlite {
                start(app, &delete, input).await.unwrap().data();
                continue;
            }
            let (holding, watch) = (app.database().await, app.database().await);
            let lock =
                |name| format!("SELECT 1 FROM {table} WHERE external_id = '{name}' FOR UPDATE");
            let holder = hold(&holding, &lock("first")).await;
            let task = start(app, &delete, input);
            until_waiting(&watch, 1, &[&task]).await;
            assert_eq!(query(&watch, &(lock("last") + " NOWAIT")).await.len(), 1);
            holder.rollback().await.unwrap();
            task.await.unwrap().data();
        }
    })
    .await;
}

/// Runs two commands of which the first stops before it commits, while the second begins; on
/// SQLite, both at once.
pub(crate) async fn meet(
    app: &TestApp,
    first: (&str, Value),
    second: (&str, Value),
) -> (Answer, Answer) {
    if app.kind == Kind::Sqlite {
        let (first, second) = (start(app, first.0, first.1), start(app, second.0, second.1));
        return (first.await.unwrap(), second.await.unwrap());
    }
    let (holding, watch) = (app.database().await, app.database().await);
    let holder = holding.begin().await.unwrap();
    // Every command stores its events last.
    holder.execute_unprepared("LOCK TABLE audit_events IN SHARE MODE").await.unwrap();
    let first = start(app, first.0, first.1);
    until_waiting(&watch, 1, &[&first]).await;
    let second = start(app, second.0, second.1);
    until_waiting(&watch, 2, &[&first, &second]).await;
    holder.rollback().await.unwrap();
    (first.await.unwrap(), second.await.unwrap())
}

/// SECURITY case 20, C-T3, T-NEW-5: a limit that is lowered while a limit below it is raised: one of
/// the two is refused, whichever comes first.
#[tokio::test]
async fn limits_above_and_below_do_not_pass_each_other() {
    on_each_database(async |app| {
        let admin = app.admin();
        for number in 0..14 {
            let tree = Tree::grow(app, number).await;
            let Tree { team, project, user, key, personal, tier, .. } = &tree;
            let member = json!({ "id": user });
            // What has no budget yet has no row at which two writers could meet.
            for (mutation, input, selection) in [
                ("teamUpdate", json!({ "id": team, "budgets": null }), "team { id }"),
                (
                    "teamMemberUpdate",
                    json!({ "teamId": team, "user": member, "budgets": null }),
                    "membership { id }",
                ),
                ("projectUpdate", json!({ "id": project, "budgets": null }), "project { id }"),
                ("userUpdate", json!({ "id": user, "budgets": null }), "user { id }"),
                ("apiKeyUpdate", json!({ "id": key, "budgets": null }), "apiKey { id }"),
                ("apiKeyUpdate", json!({ "id": personal, "budgets": null }), "apiKey { id }"),
            ] {
                done(&admin, mutation, input, selection).await;
            }
            let raised = ("apiKeyUpdate", json!({ "id": key, "budgets": cap("90") }));
            let personal = ("apiKeyUpdate", json!({ "id": personal, "budgets": cap("90") }));
            let input = json!({ "userId": user, "teamId": team, "budgets": cap("90") });
            let made = ("apiKeyCreate", input);
            let lowered = ("teamUpdate", json!({ "id": team, "budgets": cap("60") }));
            let (above, below) = match number / 2 {
                0 => (lowered, raised),
                1 => (lowered, made),
                2 => {
                    let input = json!({ "teamId": team, "user": member, "budgets": cap("60") });
                    (("teamMemberUpdate", input), raised)
                }
                3 => {
                    let input = json!({ "teamId": team, "user": member, "budgets": cap("90") });
                    (lowered, ("teamMemberUpdate", input))
                }
                4 => (("userUpdate", json!({ "id": user, "budgets": cap("60") })), personal),
                5 => {
                    let input = json!({ "userId": user, "budgets": cap("90") });
                    let user = ("userUpdate", json!({ "id": user, "budgets": cap("60") }));
                    (user, ("apiKeyCreate", input))
                }
                _ => {
                    let attach = json!([{ "attach": { "budgetId": tier } }]);
                    let input = json!({ "id": team, "budgets": attach });
                    done(&admin, "teamUpdate", input, "team { id }").await;
                    let limits = json!({ "maxSpend": "60" });
                    (("budgetUpdate", json!({ "id": tier, "limits": limits })), raised)
                }
            };
            let label = format!("{} {}", above.0, below.0);
            let (first, second) = if number % 2 == 0 {
                meet(app, above, below).await
            } else {
                meet(app, below, above).await
            };
            let mut codes = [first.code(), second.code()];
            if app.kind == Kind::Postgres {
                assert_eq!(codes[0], "", "{label}: {:#}", first.body);
            }
            codes.sort();
            assert_eq!(codes[0], "", "{label}");
            let refused = ["CONFLICT", "LIMIT_EXCEEDED"].contains(&codes[1].as_str());
            assert!(refused, "{label}, {number}: {codes:?}");
        }
    })
    .await;
}

/// SECURITY case 20, REFERENCE M-UPD-8: a budget that its owner takes off while somebody else
/// attaches it is either missing for the other, or stays.
#[tokio::test]
async fn a_budget_is_not_deleted_while_somebody_attaches_it() {
    on_each_database(async |app| {
        let admin = app.admin();
        for number in 0..4 {
            let tree = Tree::grow(app, number).await;
            let holder = if number < 2 { &tree.user } else { &tree.personal };
            let noun = if number < 2 { "user" } else { "apiKey" };
            let selection = "{ budgets { budget { id } } }";
            let held = read(&admin, &format!("{{ {noun}(id: \"{holder}\") {selection} }}")).await;
            let budget = text(&held, "/budgets/0/budget/id");
            let attach = json!([{ "attach": { "budgetId": budget } }]);
            let attach = ("userUpdate", json!({ "id": tree.stranger, "budgets": attach }));
            let take_off = if number < 2 {
                ("userUpdate", json!({ "id": holder, "budgets": null }))
            } else {
                ("apiKeyDelete", json!({ "ids": [holder] }))
            };
            let (attached, taken) = if number % 2 == 0 {
                meet(app, attach, take_off).await
            } else {
                let (taken, attached) = meet(app, take_off, attach).await;
                (attached, taken)
            };
            taken.data();
            let query = format!("{{ user(id: \"{}\") {selection} }}", tree.stranger);
            let held = read(&admin, &query).await["budgets"].clone();
            if attached.code().is_empty() {
                assert_eq!(held, json!([{ "budget": { "id": budget } }]), "{number}");
            } else {
                assert_eq!(attached.code(), "NOT_FOUND", "{:#}", attached.body);
                assert_eq!(held, json!([]));
            }
            assert_no_orphans(app).await;
        }
    })
    .await;
}

/// SECURITY case 20, M-ADD-8: addresses are invited in one order, however two calls list them, so
/// that neither holds one for which the other waits.
#[tokio::test]
async fn addresses_are_invited_in_one_order() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let member = |email: &str| json!({ "user": { "email": email } });
        let (first, last) = ("a@example.com", "z@example.com");
        let input = json!({ "teamId": world.a1, "members": [member(last), member(first)] });
        if app.kind == Kind::Sqlite {
            start(app, "teamMemberAdd", input).await.unwrap().data();
            return;
        }
        let (holding, watch) = (app.database().await, app.database().await);
        let holder = hold(&holding, "SET LOCAL lock_timeout = '200ms'").await;
        let invite = |email: &str| {
            format!(
                "INSERT INTO users (id, email, email_key, email_confirmed_by, search_text, platform_role, \
                 model_access, metadata, version, created_at, created_by, updated_at, updated_by) \
                 SELECT gen_random_uuid(), '{email}', '{email}', 'PLATFORM', '', platform_role, model_access, \
                 metadata, 1, created_at, created_by, updated_at, updated_by FROM users LIMIT 1"
            )
        };
        query(&holder, &invite(first)).await;
        let task = start(app, "teamMemberAdd", input);
        until_waiting(&watch, 1, &[&task]).await;
        // The call waits for the first address, and has not taken the last.
        query(&holder, &invite(last)).await;
        holder.commit().await.unwrap();
        task.await.unwrap().data();
        assert_eq!(rows(app, "users WHERE email_key LIKE '_@example.com'").await, 2);
    })
    .await;
}

/// SECURITY 4, case 20: a command that waits for a lock in vain begins again, and succeeds when the
/// lock is free.
#[tokio::test]
async fn a_wait_in_vain_is_tried_again() {
    let settings = [("TOLLKEEP__DATABASE__LOCK_TIMEOUT", "700ms")];
    on_each_database_with(&settings, async |app| {
        let world = World::new(app).await;
        let input = json!({ "id": world.a1, "name": "Later" });
        if app.kind == Kind::Sqlite {
            start(app, "teamUpdate", input).await.unwrap().data();
            return;
        }
        let (holding, watch) = (app.database().await, app.database().await);
        let row = format!("teams WHERE id = {}", sql_id(app, &world.a1));
        let holder = hold(&holding, &format!("SELECT 1 FROM {row} FOR UPDATE")).await;
        let task = start(app, "teamUpdate", input);
        let began = "SELECT xact_start::text AS began FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = 'tollkeep' \
                     AND wait_event_type = 'Lock'";
        let mut attempts = std::collections::BTreeSet::new();
        while attempts.len() < 2 {
            let waiting = query(&watch, began).await;
            attempts
                .extend(waiting.iter().filter_map(|row| row.try_get::<String>("", "began").ok()));
            assert!(!task.is_finished(), "a command gave up at once");
        }
        holder.rollback().await.unwrap();
        task.await.unwrap().data();
    })
    .await;
}

/// SECURITY 4, case 20: PostgreSQL finds a deadlock before the wait for a lock is over, and the
/// command that it chose to end begins again.
#[tokio::test]
async fn a_deadlock_is_found_and_the_command_begins_again() {
    on_each_database(async |app| {
        let tree = Tree::grow(app, 0).await;
        let input = json!({ "id": tree.personal, "name": "later" });
        if app.kind == Kind::Sqlite {
            start(app, "apiKeyUpdate", input).await.unwrap().data();
            return;
        }
        let (holding, watch) = (app.database().await, app.database().await);
        let search = "SELECT setting::int AS ms FROM pg_settings WHERE name = 'deadlock_timeout'";
        let search: i32 = query(&watch, search).await[0].try_get("", "ms").unwrap();
        let wait = DatabaseSettings::default().lock_timeout.as_millis();
        assert!(wait >= 2 * u128::try_from(search).unwrap(), "{wait} {search}");
        // The other one never looks for deadlocks, so that the server's transaction is ended.
        holding.execute_unprepared("SET deadlock_timeout = '10min'").await.unwrap();
        let lock = |row: &str| format!("SELECT 1 FROM {} FOR UPDATE", tree.row(app, row));
        let holder = hold(&holding, &lock("personal key")).await;
        let task = start(app, "apiKeyUpdate", input);
        until_waiting(&watch, 1, &[&task]).await;
        // The command has the user, and waits for the key.
        query(&holder, &lock("user")).await;
        assert!(!task.is_finished(), "a command gave up");
        holder.rollback().await.unwrap();
        task.await.unwrap().data();
    })
    .await;
}
