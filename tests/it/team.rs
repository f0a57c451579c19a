//! Making teams: what a team has, who may make one, and whose limits bind it.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key, user};
use crate::harness::{ROOM, on_each_database, on_each_database_with};
use crate::team_calls::{
    actions, call, create, done, events, forbidden, masked, members, nobody, number, read, refused,
    rows,
};

const EVERYTHING: &str = "id externalId name organization { id } metadata tags
    modelAccess { mode models accessGroups } modelAliases { alias target }
    isBlocked blockedBy isJoinable memberPermissions routerSettings guardrails
    budgets { budget { maxSpend softSpend requestsPerMinute tokensPerMinute
        maxParallelRequests modelPattern isStandalone } counting spent }
    version createdAt createdBy updatedAt updatedBy";

/// T-NEW-16, T-NEW-20, T-NEW-22, T-NEW-11, T-NEW-12, T-NEW-13: a team has what its creator gave
/// it, every field under its own name, and the answer is the stored team with its aliases.
#[tokio::test]
async fn a_team_has_what_its_creator_gave_it() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let group = json!({ "name": "beta" });
        done(&app.admin(), "accessGroupCreate", group, "accessGroup { id }").await;
        let input = json!({
            "name": "Vision", "externalId": "vision-1", "organizationId": world.a,
            "metadata": { "cost centre": 7 }, "tags": ["gpu", "eu"],
            "modelAccess": { "mode": "LIST", "models": ["gpt-*"], "accessGroups": ["beta"] },
            "modelAliases": [{ "alias": "small", "target": "gpt-4o-mini" },
                { "alias": "big", "target": "gpt-4o" }],
            "budgets": [{ "create": { "maxSpend": "10.5", "softSpend": "8",
                "requestsPerMinute": 60, "tokensPerMinute": 9000, "maxParallelRequests": 4,
                "modelPattern": "gpt-*" } }],
            "members": [{ "user": { "id": world.users["member"] } }],
            "isJoinable": true, "memberPermissions": ["API_KEY_CREATE"],
            "routerSettings": { "retries": 2 }, "guardrails": ["pii"],
        });
        let selection = format!("team {{ {EVERYTHING} }}");
        let made = done(&app.admin(), "teamCreate", input, &selection).await["team"].clone();
        let id = text(&made, "/id");
        assert_eq!(made, read(&app.admin(), &id, EVERYTHING).await);
        let budget = &made["budgets"][0];
        assert_eq!(budget["budget"]["maxSpend"], "10.5");
        assert_eq!(budget["budget"]["softSpend"], "8");
        assert_eq!(budget["budget"]["modelPattern"], "gpt-*");
        assert_eq!(budget["budget"]["isStandalone"], false);
        assert_eq!(budget["counting"], "EACH");
        assert_eq!(budget["spent"], "0");
        for (field, value) in [
            ("externalId", json!("vision-1")),
            ("organization", json!({ "id": world.a })),
            ("metadata", json!({ "cost centre": 7 })),
            ("tags", json!(["gpu", "eu"])),
            (
                "modelAccess",
                json!({ "mode": "LIST", "models": ["gpt-*"], "accessGroups": ["beta"] }),
            ),
            (
                "modelAliases",
                json!([{ "alias": "big", "target": "gpt-4o" },
                    { "alias": "small", "target": "gpt-4o-mini" }]),
            ),
            ("isBlocked", json!(false)),
            ("isJoinable", json!(true)),
            ("memberPermissions", json!(["API_KEY_CREATE"])),
            ("routerSettings", json!({ "retries": 2 })),
            ("guardrails", json!(["pii"])),
            ("createdBy", json!("bootstrap")),
        ] {
            assert_eq!(made[field], value, "{field}");
        }
        let member = format!("{} MEMBER", world.users["member"]);
        assert_eq!(members(&app.admin(), &id).await, [member]);
    })
    .await;
}

/// T-NEW-16, T-NEW-3: what is left out has a plain default, and the id is made by the server.
#[tokio::test]
async fn a_team_that_only_has_a_name_has_plain_defaults() {
    on_each_database(async |app| {
        let selection = format!("team {{ {EVERYTHING} }}");
        let input = json!({ "name": "Bare" });
        let made = done(&app.admin(), "teamCreate", input, &selection).await["team"].clone();
        let id = text(&made, "/id");
        assert!(id.starts_with("team_") && id.len() == 37, "{id}");
        for (field, value) in [
            ("externalId", Value::Null),
            ("organization", Value::Null),
            ("metadata", json!({})),
            ("tags", json!([])),
            ("modelAccess", json!({ "mode": "ALL", "models": [], "accessGroups": [] })),
            ("modelAliases", json!([])),
            ("isBlocked", json!(false)),
            ("blockedBy", Value::Null),
            ("isJoinable", json!(false)),
            ("memberPermissions", json!([])),
            ("routerSettings", Value::Null),
            ("guardrails", json!([])),
            ("budgets", json!([])),
            ("version", json!(1)),
        ] {
            assert_eq!(made[field], value, "{field}");
        }
    })
    .await;
}

/// T-NEW-9, T-NEW-10, C-T19: a creator with a user becomes admin, also a platform admin; listed
/// by id or by address it keeps the role it asked for; a key without a user adds nobody.
#[tokio::test]
async fn a_creator_with_a_user_becomes_an_admin_of_its_team() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("organization_admin");
        let me = &world.users["organization_admin"];
        let made = create(chief, json!({ "name": "One", "organizationId": world.a })).await;
        assert_eq!(members(chief, &made).await, [format!("{me} ADMIN")]);

        for reference in [json!({ "id": me }), json!({ "email": "Organization_ADMIN@example.com" })]
        {
            let listed = json!([{ "user": reference, "role": "MEMBER" },
                { "user": { "id": world.users["member"] }, "role": "ADMIN" }]);
            let input = json!({ "name": "Two", "organizationId": world.a, "members": listed });
            let made = create(chief, input).await;
            let expected = [format!("{me} MEMBER"), format!("{} ADMIN", world.users["member"])];
            assert_eq!(members(chief, &made).await, expected);
        }

        let root = world.person("platform_admin");
        let made = create(root, json!({ "name": "Three" })).await;
        let expected = [format!("{} ADMIN", world.users["platform_admin"])];
        assert_eq!(members(root, &made).await, expected);

        let made = create(&app.admin(), json!({ "name": "Four" })).await;
        assert!(members(&app.admin(), &made).await.is_empty());
        assert_eq!(number(app, "SELECT count(*) AS n FROM users").await, 8);
    })
    .await;
}

/// T-NEW-1, C-T16: platform admins make teams anywhere, organization admins in their own
/// organization; another organization is the same as a missing one.
#[tokio::test]
async fn teams_are_made_by_platform_and_organization_admins() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        create(world.person("platform_admin"), json!({ "name": "P" })).await;
        let chief = world.person("organization_admin");
        create(chief, json!({ "name": "O", "organizationId": "alpha" })).await;
        forbidden(chief, "teamCreate", json!({ "name": "O" })).await;
        let input = |organization: &str| json!({ "name": "O", "organizationId": organization });
        let hidden = call(chief, "teamCreate", input(&world.b), "").await;
        hidden.refused("NOT_FOUND", "input.organizationId");
        let missing = nobody("org");
        let other = call(chief, "teamCreate", input(&missing), "").await;
        assert_eq!(masked(&hidden, &world.b), masked(&other, &missing));
        let before = rows(app).await;
        for person in
            ["gateway", "service", "outsider", "viewer", "member", "team_admin", "platform_viewer"]
        {
            forbidden(world.person(person), "teamCreate", input(&world.a)).await;
        }
        let answer = call(world.person("anonymous"), "teamCreate", input(&world.a), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"));
        assert_eq!(rows(app).await, before);
        let denied = vec!["ACCESS_DENIED"; 7];
        assert_eq!(actions(app, 7).await, denied);
    })
    .await;
}

/// T-NEW-3, C-T17: a taken external id is refused, and nobody joins the team that has it; an
/// external id never looks like an id of ours.
#[tokio::test]
async fn a_taken_external_id_is_refused() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for organization in [json!(world.a), Value::Null] {
            let input = json!({ "name": "First", "externalId": "x",
                "organizationId": organization });
            let first = create(&admin, input).await;
            let before = rows(app).await;
            let input = json!({ "name": "Second", "externalId": "x",
                "organizationId": organization,
                "members": [{ "user": { "id": world.users["outsider"] } }] });
            refused(&admin, "teamCreate", input, "ALREADY_EXISTS", "input.externalId").await;
            assert!(members(&admin, &first).await.is_empty());
            assert_eq!(rows(app).await, before);
        }
        for (external, field) in [
            (world.a1.clone(), "input.externalId"),
            (String::new(), "input.externalId"),
            ("a b".to_owned(), "input.externalId"),
            ("x".repeat(129), "input.externalId"),
        ] {
            let input = json!({ "name": "Third", "externalId": external });
            refused(&admin, "teamCreate", input, "BAD_USER_INPUT", field).await;
        }
    })
    .await;
}

/// SECURITY case 19, T-NEW-3: external ids are unique within an organization, so that one in
/// another organization neither hinders nor tells anything.
#[tokio::test]
async fn an_external_id_of_another_organization_is_free() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let chief = world.person("organization_admin");
        let input = |organization: &Value| {
            json!({ "name": "Same", "externalId": "same", "organizationId": organization })
        };
        let foreign = create(&admin, input(&json!(world.b))).await;
        let platform = create(&admin, input(&Value::Null)).await;
        assert_eq!(read(chief, "same", "id").await, Value::Null);
        let own = create(chief, input(&json!(world.a))).await;
        assert_eq!(read(chief, "same", "id").await["id"], own);
        let taken = input(&json!(world.a));
        refused(chief, "teamCreate", taken, "ALREADY_EXISTS", "input.externalId").await;
        let other = json!({ "id": world.a2, "externalId": "same" });
        refused(chief, "teamUpdate", other, "ALREADY_EXISTS", "input.externalId").await;

        let answer = admin.run("{ team(id: \"same\") { id } }").await;
        assert_eq!(answer.code(), "CONFLICT");
        for id in [foreign, platform] {
            assert_eq!(read(&admin, &id, "externalId").await["externalId"], "same");
        }
    })
    .await;
}

/// SECURITY case 20, C-T17: of 64 creates of one external id at once, one makes the team and all
/// others learn that it exists.
#[tokio::test]
async fn of_many_creates_with_one_external_id_one_succeeds() {
    on_each_database_with(ROOM, async |app| {
        let world = World::new(app).await;
        let tasks: Vec<_> = (0..64)
            .map(|number| {
                let client = world.person("platform_admin").clone();
                let input = json!({ "name": format!("T{number}"), "externalId": "race",
                    "organizationId": world.a });
                tokio::spawn(async move { call(&client, "teamCreate", input, "team { id }").await })
            })
            .collect();
        let mut made = Vec::new();
        for task in tasks {
            let answer = task.await.unwrap();
            if answer.code().is_empty() {
                made.push(text(&answer.data(), "/teamCreate/team/id"));
            } else {
                answer.refused("ALREADY_EXISTS", "input.externalId");
            }
        }
        assert_eq!(made.len(), 1);
        assert_eq!(read(&app.admin(), "race", "id").await["id"], made[0]);
        let sql = "SELECT count(*) AS n FROM teams WHERE external_id = 'race'";
        assert_eq!(number(app, sql).await, 1);
        let expected = [format!("{} ADMIN", world.users["platform_admin"])];
        assert_eq!(members(&app.admin(), &made[0]).await, expected);
    })
    .await;
}

/// T-NEW-15, C-T5, C-T18: a create that fails leaves nothing behind, whatever fails last.
#[tokio::test]
async fn a_failed_create_leaves_nothing_behind() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let before = rows(app).await;
        let alias = json!([{ "alias": "small", "target": "gpt-4o-mini" }]);
        let budget = json!([{ "create": { "maxSpend": "1", "period": "1d" } }]);
        let stranger = json!({ "user": { "id": nobody("user") } });
        let pending = json!({ "user": { "email": "new@example.com" } });
        let bad = json!([{ "create": { "maxSpend": "1", "period": "soon" } }]);
        let input = json!({ "name": "T", "modelAliases": alias, "budgets": bad });
        let answer = call(&app.admin(), "teamCreate", input, "").await;
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{:#}", answer.body);

        let input = json!({ "name": "T", "modelAliases": alias, "budgets": budget,
            "members": [pending, stranger] });
        let field = "input.members.1.user.id";
        refused(&app.admin(), "teamCreate", input, "NOT_FOUND", field).await;

        let high = json!([{ "create": { "maxSpend": "2", "period": "1d" } }]);
        let input = json!({ "name": "T", "modelAliases": alias, "budgets": budget,
            "members": [{ "user": { "email": "new@example.com" }, "budgets": high }] });
        let field = "input.members.0.budgets.maxSpend";
        refused(&app.admin(), "teamCreate", input, "LIMIT_EXCEEDED", field).await;
        let _ = world;
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// T-NEW-23, C-T16: nothing negative, soft below hard, an organization that exists; all faults of
/// an input are reported at once, each with the path of its field.
#[tokio::test]
async fn limits_that_make_no_sense_are_refused() {
    on_each_database(async |app| {
        let admin = app.admin();
        let team = |limits: Value| json!({ "name": "T", "budgets": [{ "create": limits }] });
        for (limits, field) in [
            (json!({ "maxSpend": "-1" }), "maxSpend"),
            (json!({ "softSpend": "-0.000000001" }), "softSpend"),
            (json!({ "maxSpend": "5", "softSpend": "5" }), "softSpend"),
            (json!({ "maxSpend": "5", "softSpend": "6" }), "softSpend"),
            (json!({ "requestsPerMinute": -1 }), "requestsPerMinute"),
            (json!({ "tokensPerMinute": -1 }), "tokensPerMinute"),
            (json!({ "maxParallelRequests": -1 }), "maxParallelRequests"),
            (json!({ "maxSpend": "5", "timeZone": "Mars/Base" }), "timeZone"),
            (json!({ "maxSpend": "5", "modelPattern": "" }), "modelPattern"),
        ] {
            let field = format!("input.budgets.0.create.{field}");
            refused(&admin, "teamCreate", team(limits), "BAD_USER_INPUT", &field).await;
        }
        let field = "input.budgets.0.create";
        refused(&admin, "teamCreate", team(json!({})), "BAD_USER_INPUT", field).await;
        let none = team(json!({ "modelPattern": "gpt-*" }));
        refused(&admin, "teamCreate", none, "BAD_USER_INPUT", field).await;

        let many: Vec<Value> = (0..21).map(|_| json!({ "create": { "maxSpend": "1" } })).collect();
        let input = json!({ "name": "T", "budgets": many });
        refused(&admin, "teamCreate", input, "BAD_USER_INPUT", "input.budgets").await;

        let input = json!({ "name": "T", "organizationId": nobody("org") });
        refused(&admin, "teamCreate", input, "NOT_FOUND", "input.organizationId").await;

        let input = json!({ "name": " ", "tags": ["a", "a"], "metadata": [1],
            "modelAccess": { "mode": "LIST" }, "externalId": "" });
        let answer = call(&admin, "teamCreate", input, "").await;
        let fields = answer.fields();
        for field in [
            "input.name",
            "input.tags.1",
            "input.metadata",
            "input.modelAccess",
            "input.externalId",
        ] {
            assert!(fields.iter().any(|found| found == field), "{field} in {fields:?}");
        }
        assert!(answer.codes().iter().all(|code| code == "BAD_USER_INPUT"));
        assert_eq!(number(app, "SELECT count(*) AS n FROM teams").await, 0);
    })
    .await;
}

/// T-NEW-14: a budget with a calendar period resets at the next calendar boundary of its time
/// zone; one without a period never does.
#[tokio::test]
async fn a_budget_resets_at_the_end_of_its_period() {
    on_each_database(async |app| {
        let input = json!({ "name": "T", "budgets": [
            { "create": { "maxSpend": "1", "period": "1d" } },
            { "create": { "maxSpend": "2", "period": "1mo" } },
            { "create": { "maxSpend": "3", "period": "1d", "timeZone": "Europe/Berlin" } },
            { "create": { "maxSpend": "4" } },
        ] });
        let team = create(&app.admin(), input).await;
        let budgets = read(&app.admin(), &team, "budgets { budget { maxSpend } resetsAt }").await;
        let mut resets: Vec<(String, Value)> = budgets["budgets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|held| (text(held, "/budget/maxSpend"), held["resetsAt"].clone()))
            .collect();
        resets.sort_by(|one, other| one.0.cmp(&other.0));
        let at = |text: Option<&str>| {
            text.map(|text| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap())
        };
        let expected = [
            Some("2026-11-22T00:00:00Z"),
            Some("2026-12-01T00:00:00Z"),
            Some("2026-11-21T23:00:00Z"),
            None,
        ];
        for ((spend, found), expected) in resets.iter().zip(expected) {
            assert_eq!(at(found.as_str()), at(expected), "{spend}");
        }
    })
    .await;
}

/// T-NEW-18, T-NEW-19, T-NEW-17, C-T31: everything that a create made is audited in its own
/// transaction, with the real actor; on whose behalf it says to act is recorded beside it, and
/// taken from platform admins only.
#[tokio::test]
async fn a_create_is_audited_with_the_real_actor() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let input = json!({ "name": "Audited", "organizationId": world.a,
            "members": [{ "user": { "email": "new@example.com" } }],
            "modelAliases": [{ "alias": "a", "target": "b" }],
            "budgets": [{ "create": { "maxSpend": "1" } }] });
        let body = json!({
            "query": crate::team_calls::document("teamCreate", "team { id }"),
            "variables": { "input": input },
        });
        let headers = [("x-tollkeep-on-behalf-of", "ada"), ("x-request-id", "req-12345678")];
        let answer = root.post(body.clone(), &headers).await;
        let id = text(&answer.data(), "/teamCreate/team/id");
        let found = events(app, 8).await;
        let mut kinds: Vec<_> = found.iter().map(|event| text(event, "/action")).collect();
        kinds.sort();
        let expected = [
            "BUDGET_ASSIGNED",
            "BUDGET_CREATED",
            "ORGANIZATION_MEMBER_ADDED",
            "TEAM_CREATED",
            "TEAM_MEMBER_ADDED",
            "TEAM_MEMBER_ADDED",
            "TEAM_MODEL_ALIAS_SET",
            "USER_CREATED",
        ];
        assert_eq!(kinds, expected);
        for event in &found {
            assert_eq!(event["actorId"], world.users["platform_admin"]);
            assert_eq!(event["actorApiKeyId"], world.keys["platform_admin"]);
            assert_eq!(event["actorKind"], "USER");
            assert_eq!(event["onBehalfOf"], "ada");
            assert_eq!(event["requestId"], "req-12345678");
        }
        let made = found.iter().find(|event| event["action"] == "TEAM_CREATED").unwrap();
        assert_eq!(made["subjectKind"], "TEAM");
        assert_eq!(made["subjectId"], id);
        assert_eq!(made["organizationId"], world.a);
        assert_eq!(made["before"], Value::Null);
        assert_eq!(made["after"]["name"], "Audited");

        let before = rows(app).await;
        let mut body = body;
        body["variables"]["input"]["members"] = json!([]);
        let answer = world.person("organization_admin").post(body, &headers[..1]).await;
        assert_eq!(answer.code(), "BAD_USER_INPUT");
        assert_eq!(rows(app).await, before);
    })
    .await;
}

/// T-NEW-1: nobody makes a team of its own unless the platform lets people do so.
#[tokio::test]
async fn people_make_no_teams_of_their_own_by_default() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        forbidden(world.person("outsider"), "teamCreate", json!({ "name": "Mine" })).await;
    })
    .await;
}

/// T-NEW-4, T-NEW-5, T-NEW-6, T-NEW-7, T-NEW-8, C-T15, SECURITY case 7: where people make teams,
/// their own limits bind the team, and leaving a limit out is not a way around it.
#[tokio::test]
async fn a_team_never_has_more_than_the_person_who_makes_it() {
    let settings = [("TOLLKEEP__TEAMS__SELF_SERVE", "true")];
    on_each_database_with(&settings, async |app| {
        let admin = app.admin();
        let limits = json!({ "maxSpend": "10", "period": "1mo", "requestsPerMinute": 5,
            "tokensPerMinute": 100 });
        let input = json!({ "name": "Ada", "modelAccess": { "mode": "LIST", "models": ["gpt-*"] },
            "budgets": [{ "create": limits }] });
        let data = done(&admin, "userCreate", input, "user { id }").await;
        let ada = text(&data, "/user/id");
        let models = json!({ "mode": "LIST", "models": ["gpt-4o"] });
        let key = json!({ "userId": ada, "modelAccess": models });
        let key = call(&admin, "apiKeyCreate", key, "secret").await.data();
        let person = app.with_key(Some(&text(&key, "/apiKeyCreate/secret")));

        let fits = json!({ "mode": "LIST", "models": ["gpt-4o"] });
        let before = rows(app).await;
        for models in [
            Value::Null,
            json!({ "mode": "ALL" }),
            json!({ "mode": "LIST", "models": ["o3"] }),
            json!({ "mode": "LIST", "models": ["gpt-*"] }),
        ] {
            let input = json!({ "name": "T", "modelAccess": models,
                "budgets": [{ "create": limits }] });
            let field = "input.modelAccess";
            refused(&person, "teamCreate", input, "LIMIT_EXCEEDED", field).await;
        }
        let with = |name: &str, value: Value| {
            let mut changed = limits.clone();
            changed[name] = value;
            json!([{ "create": changed }])
        };
        for budgets in [
            json!([]),
            with("maxSpend", json!("10.000000001")),
            with("maxSpend", Value::Null),
            with("requestsPerMinute", json!(6)),
            with("requestsPerMinute", Value::Null),
            with("tokensPerMinute", json!(101)),
            with("tokensPerMinute", Value::Null),
            with("period", json!("1d")),
            with("modelPattern", json!("gpt-4o")),
        ] {
            let input = json!({ "name": "T", "modelAccess": fits, "budgets": budgets });
            let field = "input.budgets";
            refused(&person, "teamCreate", input, "LIMIT_EXCEEDED", field).await;
        }
        assert_eq!(rows(app).await, before);
        let input = json!({ "name": "T", "modelAccess": fits, "budgets": [{ "create": limits }] });
        let team = create(&person, input).await;
        assert_eq!(members(&person, &team).await, [format!("{ada} ADMIN")]);

        // A key with a budget would spend it anew through every team that it makes.
        let key =
            json!({ "userId": ada, "modelAccess": models, "budgets": [{ "create": limits }] });
        let (_, secret) = api_key(&admin, key).await;
        let input = json!({ "name": "T", "modelAccess": fits, "budgets": [{ "create": limits }] });
        let budgeted = app.with_key(Some(&secret));
        refused(&budgeted, "teamCreate", input, "LIMIT_EXCEEDED", "input.budgets").await;

        // A platform admin is not bound by limits of its own.
        let input = json!({ "name": "Root", "platformRole": "ADMIN",
            "modelAccess": { "mode": "NONE" }, "budgets": [{ "create": limits }] });
        let data = done(&admin, "userCreate", input, "user { id }").await;
        let input = json!({ "userId": text(&data, "/user/id"), "name": "k" });
        let (_, secret) = api_key(&admin, input).await;
        create(&app.with_key(Some(&secret)), json!({ "name": "Unlimited" })).await;

        // Those who only read make none, and nobody makes one in an organization this way.
        let reader = user(&admin, "reader", "USER_VIEWER").await;
        let (_, secret) = api_key(&admin, json!({ "userId": reader, "name": "k" })).await;
        let reader = app.with_key(Some(&secret));
        forbidden(&reader, "teamCreate", json!({ "name": "T" })).await;
    })
    .await;
}
