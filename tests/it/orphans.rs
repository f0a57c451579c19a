//! Deleting anything leaves nothing behind that speaks of it, but history.
//!
//! What holds an id is read off the catalogue of the database: its own key, a foreign key, a scope,
//! or history. A column that is none of these fails here until somebody decides what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollkeep::graphql::engine::{Engine, EngineLimits};

use crate::harness::catalogue::{Column, Dump, columns, digits, dump, foreign_keys};
use crate::harness::client::text;
use crate::harness::world::{api_key, join_organization, organization, user};
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::{change, done, execute, is_known, project, read, rows, sql_id};

/// Columns that hold the id of a scope, whose kind stands beside it or is any.
const SCOPES: &[(&str, &str, Option<&str>)] = &[
    ("budget_assignments", "scope_id", Some("scope_kind")),
    ("budget_windows", "scope_id", None),
    ("budgets", "owner_id", Some("owner_kind")),
    ("model_aliases", "scope_id", Some("scope_kind")),
];

/// The kinds of scopes, and the tables in which they are; none for the settings.
const KINDS: &[(&str, Option<&str>)] = &[
    ("ORGANIZATION", Some("organizations")),
    ("TEAM", Some("teams")),
    ("TEAM_MEMBERSHIP", Some("team_memberships")),
    ("TEAM_MEMBER_DEFAULT", Some("teams")),
    ("PROJECT", Some("projects")),
    ("USER", Some("users")),
    ("API_KEY", Some("api_keys")),
    ("END_USER", Some("end_users")),
    ("TAG", Some("tags")),
    ("PLATFORM", None),
    ("TEAM_DEFAULT", None),
    ("USER_DEFAULT", None),
    ("END_USER_DEFAULT", None),
    ("API_KEY_DEFAULT", None),
];

/// Columns that remember what may be gone: the list may only shrink, or grow with a reason.
const HISTORY: &[(&str, &str)] = &[
    ("audit_events", "actor_id"),
    ("audit_events", "actor_key_id"),
    ("audit_events", "after"),
    ("audit_events", "before"),
    ("audit_events", "organization_id"),
    ("audit_events", "subject_id"),
    ("audit_events", "team_id"),
    ("budget_alerts", "budget_id"),
    ("budget_alerts", "budget_window_id"),
    ("budget_alerts", "scope_id"),
    ("change_log", "entity_id"),
    // The ledger keeps its own dimensions: what was spent stays spent, whoever is gone.
    ("reservations", "api_key_id"),
    ("reservations", "end_user_id"),
    ("reservations", "gateway_id"),
    ("reservations", "organization_id"),
    ("reservations", "project_id"),
    ("reservations", "tag_ids"),
    ("reservations", "team_id"),
    ("reservations", "team_membership_id"),
    ("reservations", "user_id"),
    ("reservations", "window_ids"),
    ("spend_totals", "scope_id"),
    ("usage_daily", "api_key_id"),
    ("usage_daily", "end_user_id"),
    ("usage_daily", "organization_id"),
    ("usage_daily", "project_id"),
    ("usage_daily", "team_id"),
    ("usage_daily", "user_id"),
    ("usage_events", "api_key_id"),
    ("usage_events", "corrects_id"),
    ("usage_events", "end_user_id"),
    ("usage_events", "gateway_id"),
    ("usage_events", "organization_id"),
    ("usage_events", "project_id"),
    ("usage_events", "tag_ids"),
    ("usage_events", "team_id"),
    ("usage_events", "team_membership_id"),
    ("usage_events", "user_id"),
    ("usage_events", "window_ids"),
];

/// Who made and changed a row, in any table.
const STAMPS: &[&str] = &["created_by", "updated_by"];

/// Names that look like those of ids and are words of others, or of closed sets.
const WORDS: &[&str] = &[
    "blocked_by",
    "email_confirmed_by",
    "external_id",
    "kek_id",
    // Digests: of a call, and of a counter.
    "lease_id",
    "limit_id",
    "payload_hash",
    "pepper_id",
    "request_id",
    "transaction_id",
];

/// The tables whose rows have events of their own.
const AUDITED: &[&str] = &[
    "access_groups",
    "api_keys",
    "budgets",
    "credentials",
    "end_users",
    "models",
    "organization_memberships",
    "organizations",
    "projects",
    "tags",
    "team_memberships",
    "teams",
    "users",
];

fn is_history((table, name): &Column) -> bool {
    STAMPS.contains(&name.as_str()) || HISTORY.contains(&(table.as_str(), name.as_str()))
}

/// DESIGN 3, E9: somebody has decided of every column that holds an id what becomes of it.
#[tokio::test]
async fn every_column_that_holds_an_id_is_decided() {
    on_each_database(async |app| {
        let database = app.database().await;
        let columns = columns(&database).await;
        let references: BTreeSet<_> =
            foreign_keys(&database).await.into_iter().map(|key| key.column).collect();
        let scopes: BTreeSet<_> = SCOPES.iter().map(|(table, name, _)| (*table, *name)).collect();
        let mut open = Vec::new();
        for (column, kind) in &columns {
            let (table, name) = (column.0.as_str(), column.1.as_str());
            let named =
                name == "id" || ["_id", "_ids", "_by"].iter().any(|end| name.ends_with(end));
            if !named && !kind.contains("uuid") {
                continue;
            }
            let decisions = [
                name == "id",
                references.contains(column),
                scopes.contains(&(table, name)),
                is_history(column),
                WORDS.contains(&name),
            ];
            if decisions.iter().filter(|decision| **decision).count() != 1 {
                open.push(format!("{table}.{name}"));
            }
        }
        assert!(open.is_empty(), "what is in these columns when it is gone? {open:#?}");
        let listed = scopes.iter().chain(HISTORY);
        let stale: Vec<_> = listed
            .filter(|(table, name)| {
                !columns.contains_key(&((*table).to_owned(), (*name).to_owned()))
            })
            .collect();
        assert!(stale.is_empty(), "there are no such columns: {stale:?}");
    })
    .await;
}

/// An organization with everything hanging on everything.
struct Everything {
    organization: String,
    team: String,
    project: String,
    member: String,
    manager: String,
    customer: String,
    tag: String,
    tier: String,
    model: String,
    credential: String,
    group: String,
    keys: BTreeMap<&'static str, (String, Client)>,
}

/// A mutation that deletes, the mutations that come before it, its input, and the keys that it stops.
type Deletion = (&'static str, Vec<(&'static str, Value)>, Value, Vec<&'static str>);

impl Everything {
    #[expect(clippy::too_many_lines, reason = "everything")]
    async fn make(app: &TestApp, number: usize) -> Self {
        let admin = app.admin();
        let id = |value: &Value, noun: &str| text(value, &format!("/{noun}/id"));
        let named = |name: &str| format!("{name}-{number}");
        let a = organization(app, &named("Org")).await;
        let tier = json!({ "name": named("tier"), "organizationId": a,
            "limits": { "maxSpend": "50", "period": "1d" } });
        let tier = id(&done(&admin, "budgetCreate", tier, "budget { id }").await, "budget");
        let pot = json!({ "name": named("pot"), "limits": { "maxSpend": "50", "period": "1d" } });
        let pot = id(&done(&admin, "budgetCreate", pot, "budget { id }").await, "budget");
        let group = named("group");
        let input = json!({ "name": group, "externalId": group, "models": ["o3"] });
        done(&admin, "accessGroupCreate", input, "accessGroup { id }").await;
        // Each scope has a budget of its own, a tier with counters of its own, and a pot.
        let budgets = json!([
            { "create": { "maxSpend": "50", "period": "1d" } },
            { "attach": { "budgetId": tier, "counting": "EACH" } },
            { "attach": { "budgetId": pot, "counting": "SHARED" } },
        ]);
        let global = json!([{ "create": { "maxSpend": "50", "period": "1d" } },
            { "attach": { "budgetId": pot } }]);
        let access = json!({ "mode": "LIST", "models": ["gpt-*"], "accessGroups": [group] });
        let limits = |mut input: Value| {
            input["budgets"] = budgets.clone();
            input["modelAccess"] = access.clone();
            input
        };
        let input = limits(json!({ "id": a }));
        done(&admin, "organizationUpdate", input, "__typename").await;
        let settings = json!({
            "budgets": global, "teamDefaults": { "budgets": global }, "userDefaults": { "budgets": global },
            "endUserDefaults": { "budgets": global }, "apiKeyDefaults": { "budgets": global },
            "apiKeyBounds": { "teamMember": { "modelAccess": access } },
        });
        done(&admin, "settingsUpdate", settings, "__typename").await;

        let member = user(&admin, &named("member"), "USER").await;
        let manager = user(&admin, &named("manager"), "USER").await;
        for (person, role) in [(&member, "MEMBER"), (&manager, "ADMIN")] {
            join_organization(app, &a, person, role).await;
            let input = json!({ "id": person, "budgets": global, "modelAccess": access });
            done(&admin, "userUpdate", input, "__typename").await;
        }
        let people = json!([
            limits(json!({ "user": { "id": member } })),
            limits(json!({ "user": { "id": manager }, "role": "ADMIN" })),
        ]);
        let input = limits(json!({ "name": named("Team"), "organizationId": a, "members": people,
            "memberDefaults": { "budgets": budgets, "modelAccess": access },
            "modelAliases": [{ "alias": "fast", "target": "gpt-4o" }] }));
        let team = id(&done(&admin, "teamCreate", input, "team { id }").await, "team");
        let project = project(&admin, &team, limits(json!({ "name": "P" }))).await;
        let mut keys = BTreeMap::new();
        for (name, input) in [
            ("in project", json!({ "userId": member, "projectId": project })),
            ("in team", json!({ "userId": member, "teamId": team })),
            ("service", json!({ "kind": "SERVICE", "teamId": team })),
            ("personal", json!({ "userId": member })),
            ("manager", json!({ "userId": manager, "teamId": team })),
        ] {
            let mut input = if name == "personal" {
                json!({ "userId": member, "budgets": global, "modelAccess": access })
            } else {
                limits(input)
            };
            input["modelAliases"] = json!([{ "alias": "quick", "target": "gpt-4o" }]);
            let (key, secret) = api_key(&admin, input).await;
            done(&admin, "apiKeyRotate", json!({ "id": key, "gracePeriod": "P1D" }), "secret")
                .await;
            keys.insert(name, (key, app.with_key(Some(&secret))));
        }
        let place = |name: &str| match name {
            "team" => json!({ "teamId": team }),
            "organization" => json!({ "organizationId": a }),
            _ => json!({}),
        };
        let mut customers = Vec::new();
        for name in ["team", "organization", "platform"] {
            let mut input = place(name);
            input["externalId"] = json!(named(name));
            input["budgets"] = if name == "platform" { global.clone() } else { budgets.clone() };
            let made = done(&admin, "endUserCreate", input, "endUser { id }").await;
            customers.push(id(&made, "endUser"));
        }
        let mut tags = Vec::new();
        for name in ["organization", "platform"] {
            let mut input = place(name);
            input["name"] = json!(named("tag"));
            input["budgets"] = if name == "platform" { global.clone() } else { budgets.clone() };
            tags.push(id(&done(&admin, "tagCreate", input, "tag { id }").await, "tag"));
        }
        let (mut models, mut credentials) = (Vec::new(), Vec::new());
        for name in ["team", "platform"] {
            let values = json!([{ "name": "api_key", "value": "sk-of-somebody-else-0123456789" }]);
            let mut input = place(name);
            input["name"] = json!("c");
            input["values"] = values;
            let made = done(&admin, "credentialCreate", input, "credential { id }").await;
            let credential = id(&made, "credential");
            let mut input = place(name);
            input["name"] = json!("gpt-own");
            input["provider"] = json!("openai");
            input["credentialId"] = json!(credential);
            models.push(id(&done(&admin, "modelCreate", input, "model { id }").await, "model"));
            credentials.push(credential);
        }
        // The manager's key uses budgets that others own.
        let mut shared = Vec::new();
        for (root, id) in [
            ("organization", &a),
            ("team", &team),
            ("project", &project),
            ("user", &member),
            ("apiKey", &keys["in project"].0),
            ("endUser", &customers[0]),
            ("tag", &tags[0]),
        ] {
            let query = format!(
                "{{ {root}(id: \"{id}\") {{ budgets {{ budget {{ id isStandalone }} }} }} }}"
            );
            let held = read(&admin, &query).await["budgets"].as_array().unwrap().clone();
            let own = held.iter().find(|held| held["budget"]["isStandalone"] == false).unwrap();
            shared.push(json!({ "attach": { "budgetId": own["budget"]["id"] } }));
        }
        let input = json!({ "id": keys["manager"].0, "budgets": shared });
        done(&admin, "apiKeyUpdate", input, "__typename").await;
        // What calls leave behind: a window of every budget in force.
        let hexadecimal = match app.kind {
            crate::harness::Kind::Sqlite => "randomblob(16)",
            crate::harness::Kind::Postgres => "gen_random_uuid()",
        };
        let scope = "CASE counting WHEN 'SHARED' THEN budget_id ELSE scope_id END";
        let windows = format!(
            "INSERT INTO budget_windows (id, budget_id, scope_id, starts_at, spent, reserved) \
             SELECT {hexadecimal}, budget_id, scope, at, 1, 0 FROM (SELECT DISTINCT budget_id, {scope} \
             AS scope, created_at AS at FROM budget_assignments) AS made \
             WHERE NOT EXISTS (SELECT 1 FROM budget_windows w WHERE w.budget_id = made.budget_id \
             AND w.scope_id = made.scope)"
        );
        execute(app, &windows).await;
        Self {
            organization: a,
            team,
            project,
            member,
            manager,
            customer: customers.swap_remove(0),
            tag: tags.swap_remove(0),
            tier,
            model: models.swap_remove(0),
            credential: credentials.swap_remove(0),
            group,
            keys,
        }
    }

    /// Every mutation that deletes: what comes before it, what it takes, and the keys that it stops.
    fn deletions(&self) -> Vec<Deletion> {
        let Self { organization, team, project, member, customer, tag, .. } = self;
        let Self { tier, model, credential, group, .. } = self;
        let ids = |id: &String| json!({ "ids": [id] });
        let person = json!({ "id": member });
        let key = &self.keys["in project"].0;
        let in_team = vec!["in project", "in team"];
        let all = vec!["in project", "in team", "service", "manager"];
        let plain = |mutation, input, stops| (mutation, Vec::new(), input, stops);
        let free = json!({ "id": model, "credentialId": null });
        let loose = json!({ "ids": [key] });
        vec![
            plain("accessGroupDelete", json!({ "ids": [group], "cascade": "CLAMP" }), vec![]),
            plain("apiKeyDelete", ids(key), vec!["in project"]),
            plain("apiKeyModelAliasRemove", json!({ "apiKeyId": key, "alias": "quick" }), vec![]),
            plain("budgetDelete", json!({ "id": tier }), vec![]),
            ("credentialDelete", vec![("modelUpdate", free)], ids(credential), vec![]),
            plain("endUserDelete", ids(customer), vec![]),
            plain("modelDelete", ids(model), vec![]),
            plain("organizationDelete", ids(organization), all.clone()),
            plain(
                "organizationMemberRemove",
                json!({ "organizationId": organization, "user": person }),
                in_team.clone(),
            ),
            ("projectDelete", vec![("apiKeyDelete", loose)], ids(project), vec!["in project"]),
            plain("tagDelete", ids(tag), vec![]),
            plain("teamDelete", ids(team), all),
            plain("teamMemberRemove", json!({ "teamId": team, "user": person }), in_team),
            plain("teamModelAliasRemove", json!({ "teamId": team, "alias": "fast" }), vec![]),
            plain(
                "teamModelRemove",
                json!({ "teamId": team, "models": ["gpt-*"], "cascade": "CLAMP" }),
                vec![],
            ),
            plain("userDelete", ids(member), vec!["in project", "in team", "personal"]),
        ]
    }
}

/// The ids of all rows, by table.
fn identities(dump: &Dump) -> BTreeMap<&str, BTreeSet<String>> {
    let ids = dump.iter().filter(|((_, name), _)| name == "id");
    ids.map(|((table, _), values)| {
        (table.as_str(), values.iter().map(|value| digits(value)).collect())
    })
    .collect()
}

/// The kinds of scopes whose tables are such, as a list in SQL.
fn quoted(such: impl Fn(Option<&str>) -> bool) -> String {
    let words = KINDS.iter().filter(|(_, table)| such(*table));
    words.map(|(word, _)| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}

/// The references, of whatever form, that point at nothing.
pub(crate) async fn pointing_nowhere(app: &TestApp) -> Vec<String> {
    let database = app.database().await;
    let mut lost = Vec::new();
    for key in foreign_keys(&database).await {
        let ((table, column), (parent, target)) = (&key.column, &key.parent);
        lost.push(format!(
            "{table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT {target} FROM {parent})"
        ));
    }
    let scopes: BTreeSet<_> = KINDS.iter().filter_map(|(_, table)| *table).collect();
    let any: Vec<_> = scopes.iter().map(|table| format!("SELECT id FROM {table}")).collect();
    let any = any.join(" UNION ");
    for (table, column, kind) in SCOPES {
        let Some(kind) = kind else {
            let defaults =
                "SELECT scope_id FROM budget_assignments WHERE scope_kind LIKE '%_DEFAULT'";
            lost.push(format!(
                "{table} WHERE {column} NOT IN ({any} UNION {defaults} UNION SELECT id FROM budgets)"
            ));
            continue;
        };
        lost.push(format!("{table} WHERE {kind} NOT IN ({})", quoted(|_| true)));
        for (word, parent) in KINDS {
            let Some(parent) = parent else { continue };
            lost.push(format!(
                "{table} WHERE {kind} = '{word}' AND {column} NOT IN (SELECT id FROM {parent})"
            ));
        }
    }
    lost.push(
        "budgets WHERE owner_id IS NOT NULL AND id NOT IN (SELECT budget_id FROM budget_assignments)"
            .to_owned(),
    );
    lost.push(
        "budgets WHERE owner_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM budget_assignments a \
         WHERE a.budget_id = budgets.id AND a.scope_id = budgets.owner_id \
         AND a.scope_kind = budgets.owner_kind)"
            .to_owned(),
    );
    lost.push("api_keys WHERE id NOT IN (SELECT api_key_id FROM api_key_secrets)".to_owned());
    let mut found = Vec::new();
    for lost in lost {
        if rows(app, &lost).await > 0 {
            found.push(lost);
        }
    }
    found
}

/// DESIGN 3 and must-hold of deletions; T-DEL-6, C-T7, C-T25, C-P13, M-DEL-8, MD-DEL-3, C-M7, E9, E26,
/// E27, SECURITY case 23: whatever is deleted, no row and no value but history speaks of it or of what
/// went with it; the keys that hung on it stop, others go on; and each row that went has its last image.
#[tokio::test]
async fn deleting_anything_leaves_history_alone_behind() {
    let engine = Engine::new(EngineLimits::default()).unwrap();
    let deletes = |field: &str| field.ends_with("Delete") || field.ends_with("Remove");
    let expected: BTreeSet<_> = engine
        .rules()
        .iter()
        .filter(|(root, field, _)| *root == "Mutation" && deletes(field))
        .map(|(_, field, _)| field.to_owned())
        .collect();
    on_each_database(async |app| {
        let (admin, database) = (app.admin(), app.database().await);
        let count = Everything::make(app, 0).await.deletions().len();
        let (mut seen, mut wrong) = (BTreeSet::new(), BTreeSet::new());
        for number in 0..count {
            let world = Everything::make(app, number + 1).await;
            let (mutation, before, input, stops) = world.deletions().swap_remove(number);
            for (mutation, input) in before {
                done(&admin, mutation, input, "__typename").await;
            }
            let old = dump(&database).await;
            change(&admin, mutation, input, "__typename").await.data();
            let new = dump(&database).await;
            let left = identities(&new);
            let mut gone = BTreeSet::new();
            for (table, ids) in identities(&old) {
                for id in ids.difference(&left[table]) {
                    gone.insert(id.clone());
                    if AUDITED.contains(&table) {
                        let last = format!(
                            "audit_events WHERE subject_id = {} AND before IS NOT NULL AND after IS NULL",
                            sql_id(app, id)
                        );
                        if rows(app, &last).await == 0 {
                            wrong.insert(format!("{mutation} keeps no last image in {table}"));
                        }
                    }
                }
            }
            let kept = ["apiKeyModelAliasRemove", "teamModelAliasRemove", "teamModelRemove"];
            assert!(!gone.is_empty() || kept.contains(&mutation), "{mutation} deletes nothing");
            for (column, values) in new.iter().filter(|(column, _)| !is_history(column)) {
                let digits = values.iter().map(|value| value.replace('-', "").to_lowercase());
                if digits.into_iter().any(|value| gone.iter().any(|id| value.contains(id))) {
                    let (table, name) = column;
                    wrong.insert(format!("{mutation} leaves something in {table}.{name}"));
                }
            }
            for lost in pointing_nowhere(app).await {
                wrong.insert(format!("{mutation} loses {lost}"));
            }
            for (name, (_, client)) in &world.keys {
                let known = is_known(client).await;
                if known == stops.contains(name) {
                    wrong.insert(format!("{mutation}: the key {name} is known: {known}"));
                }
            }
            seen.insert(mutation.to_owned());
            let query = format!(
                "{{ auditEvents(filter: {{ subjectId: \"{}\" }}) {{ totalCount }} }}",
                world.manager
            );
            assert!(read(&admin, &query).await["totalCount"].as_i64() > Some(0));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(seen, expected, "a deletion without a step here");
    })
    .await;
}
