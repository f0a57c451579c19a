//! The bounds that the settings set to keys: by the role of who makes, widens or takes over a key.

use serde_json::{Value, json};

use crate::harness::client::text;
use crate::harness::world::{World, api_key};
use crate::harness::{Client, TestApp, on_each_database};
use crate::steps::{change, done, read, rows};

const KEY: &str =
    "apiKey { id expiresAt modelAccess { mode models accessGroups } budgets { counting
    budget { maxSpend period timeZone requestsPerMinute tokensPerMinute maxParallelRequests
        modelPattern isStandalone } } }";

const BOUNDS: &str = "settings { version apiKeyBounds { teamAdmin { kinds maxLifetime maxSpend period
    timeZone requestsPerMinute tokensPerMinute maxParallelRequests modelAccess { mode models } } } }";

async fn bound(app: &TestApp, bounds: Value) -> Value {
    let input = json!({ "apiKeyBounds": bounds });
    done(&app.admin(), "settingsUpdate", input, BOUNDS).await["settings"].clone()
}

#[expect(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
fn cap(limits: Value) -> Value {
    json!([{ "create": limits }])
}

/// The budgets of a key: spend, period, and requests in a minute.
fn caps(key: &Value) -> Vec<(Value, Value, Value)> {
    let list = key["budgets"].as_array().unwrap();
    let caps = list.iter().map(|held| &held["budget"]);
    caps.map(|cap| {
        (cap["maxSpend"].clone(), cap["period"].clone(), cap["requestsPerMinute"].clone())
    })
    .collect()
}

async fn made(client: &Client, input: Value) -> Value {
    done(client, "apiKeyCreate", input, KEY).await["apiKey"].clone()
}

/// D19; SECURITY cases 7 and 9: a limit that is left out is the bound of the caller's role, and one that
/// is more is refused; admins of the platform are free.
#[tokio::test]
async fn what_a_maker_leaves_out_is_the_bound_of_its_role() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let grant = json!({ "id": world.a1, "memberPermissions": ["API_KEY_CREATE"] });
        done(&app.admin(), "teamUpdate", grant, "team { id }").await;
        let of = |spend: &str| json!({ "maxSpend": spend, "period": "1mo" });
        bound(
            app,
            json!({
                "organizationAdmin": of("400"), "teamAdmin": of("300"), "teamMember": of("200"),
                "user": of("100"),
            }),
        )
        .await;
        let service = json!({ "kind": "SERVICE", "teamId": world.a1 });
        let in_team = json!({ "teamId": world.a1 });
        let cases = [
            ("organization_admin", service.clone(), "400"),
            ("team_admin", service.clone(), "300"),
            ("team_admin", in_team.clone(), "300"),
            ("member", in_team.clone(), "200"),
            ("member", json!({}), "100"),
            ("team_admin", json!({}), "100"),
            ("organization_admin", json!({}), "100"),
            ("outsider", json!({}), "100"),
        ];
        for (who, input, most) in &cases {
            let person = world.person(who);
            let key = made(person, input.clone()).await;
            assert_eq!(caps(&key), [(json!(most), json!("1mo"), Value::Null)], "{who} {input}");
            assert_eq!(key["budgets"][0]["budget"]["isStandalone"], false);
            // An empty list is no way around it.
            let mut none = input.clone();
            none["budgets"] = json!([]);
            assert_eq!(caps(&made(person, none).await), caps(&key), "{who} {input}");
            let mut more = input.clone();
            more["budgets"] =
                cap(json!({ "maxSpend": format!("{most}.000000001"), "period": "1mo" }));
            let answer = change(person, "apiKeyCreate", more, KEY).await;
            answer.refused("LIMIT_EXCEEDED", "input.budgets.maxSpend");
            assert_eq!(answer.message(), format!("the settings allow you at most {most} for 1mo"));
            let mut less = input.clone();
            less["budgets"] = cap(json!({ "maxSpend": "1", "period": "1mo" }));
            let key = made(person, less).await;
            assert_eq!(caps(&key), [(json!("1"), json!("1mo"), Value::Null)], "{who} {input}");
        }
        for (input, who) in [(in_team, "member"), (json!({}), "platform_admin")] {
            let mut input = input;
            input["userId"] = json!(world.users[who]);
            let key = made(world.person("platform_admin"), input).await;
            assert_eq!(key["budgets"], json!([]));
        }
        // A platform admin's key that belongs to a team is a member's.
        let input = json!({ "userId": world.users["member"], "teamId": world.a1 });
        let (_, secret) = api_key(&app.admin(), input).await;
        let key = made(&app.with_key(Some(&secret)), json!({ "teamId": world.a1 })).await;
        assert_eq!(caps(&key)[0].0, "200");
        let made = "audit_events WHERE action = 'BUDGET_CREATED'";
        assert_eq!(rows(app, made).await, rows(app, "budgets").await, "all of it is audited");
    })
    .await;
}

/// D19: only a budget for all models, for the same period or a longer one, holds the bound; what
/// none sets is added, lowered to what the scopes above allow.
#[tokio::test]
async fn the_bound_is_completed_where_budgets_leave_it_open() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        bound(app, json!({ "teamAdmin": { "maxSpend": "100", "period": "1mo", "timeZone": "Europe/Berlin",
            "requestsPerMinute": "60", "tokensPerMinute": "5000", "maxParallelRequests": "4" } }))
        .await;
        let service = |budgets: Value| {
            json!({ "kind": "SERVICE", "teamId": world.a1, "budgets": budgets })
        };
        let plain = made(chief, service(Value::Null)).await;
        assert_eq!(plain["budgets"], json!([{ "counting": "EACH", "budget": {
            "maxSpend": "100", "period": "1mo", "timeZone": "Europe/Berlin",
            "requestsPerMinute": "60", "tokensPerMinute": "5000", "maxParallelRequests": "4",
            "modelPattern": null, "isStandalone": false } }]));
        let full = json!({ "maxSpend": "99", "requestsPerMinute": "60", "tokensPerMinute": "1",
            "maxParallelRequests": "0" });
        let text = |text: &str| json!(text);
        for (given, expected) in [
            // A window without end, and one of a year, are longer than a month.
            (vec![full.clone()], vec![(text("99"), Value::Null, text("60"))]),
            (vec![json!({ "maxSpend": "99", "period": "1d" })], vec![
                (text("99"), text("1d"), Value::Null), (text("100"), text("1mo"), text("60")),
            ]),
            // More, for a longer time, holds nothing in a month.
            (vec![json!({ "maxSpend": "900", "period": "P1Y" })], vec![
                (text("900"), text("P1Y"), Value::Null), (text("100"), text("1mo"), text("60")),
            ]),
            (vec![json!({ "maxSpend": "9", "modelPattern": "gpt-*" })], vec![
                (text("9"), Value::Null, Value::Null), (text("100"), text("1mo"), text("60")),
            ]),
            (vec![json!({ "maxSpend": "9" }), json!({ "requestsPerMinute": "9" })], vec![
                (text("9"), Value::Null, Value::Null), (Value::Null, Value::Null, text("9")),
                (Value::Null, Value::Null, Value::Null),
            ]),
        ] {
            let budgets: Vec<_> = given.iter().map(|limits| json!({ "create": limits })).collect();
            let key = made(chief, service(json!(budgets))).await;
            assert_eq!(caps(&key), expected, "{given:?}");
        }
        for (field, limits) in [
            ("requestsPerMinute", json!({ "requestsPerMinute": "61" })),
            ("tokensPerMinute", json!({ "maxSpend": "1", "tokensPerMinute": "5001" })),
            ("maxParallelRequests", json!({ "maxParallelRequests": "5" })),
            ("maxSpend", json!({ "maxSpend": "101", "period": "1mo", "modelPattern": "o3" })),
        ] {
            let answer = change(chief, "apiKeyCreate", service(cap(limits)), KEY).await;
            answer.refused("LIMIT_EXCEEDED", &format!("input.budgets.{field}"));
        }
        let many: Vec<_> = (0..20).map(|_| json!({ "create": { "softSpend": "1" } })).collect();
        let answer = change(chief, "apiKeyCreate", service(json!(many)), KEY).await;
        answer.refused("LIMIT_EXCEEDED", "input.budgets");
        // The team has less than the bound: what is left out is the team's.
        let input = json!({ "id": world.a1, "budgets": cap(json!({ "maxSpend": "40" })), "cascade": "CLAMP" });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
        let key = made(chief, service(Value::Null)).await;
        assert_eq!(caps(&key), [(text("40"), text("1mo"), text("60"))]);
    })
    .await;
}

/// D19: kinds, lifetime, models and chosen secrets are bounded as budgets are.
#[tokio::test]
async fn kinds_lifetimes_models_and_secrets_are_bounded() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let root = world.person("platform_admin");
        let (chief, own) = (world.person("team_admin"), world.person("organization_admin"));
        let settings = bound(
            app,
            json!({
                "user": { "kinds": [] },
                "teamAdmin": { "kinds": ["USER"], "maxLifetime": "P30D",
                    "modelAccess": { "mode": "LIST", "models": ["gpt-*", "o3"] } },
            }),
        )
        .await;
        assert_eq!(settings["apiKeyBounds"]["teamAdmin"]["kinds"], json!(["USER"]));
        let service = json!({ "kind": "SERVICE", "teamId": world.a1 });
        let personal = change(chief, "apiKeyCreate", json!({}), KEY).await;
        personal.refused("LIMIT_EXCEEDED", "input.teamId");
        let refused = change(chief, "apiKeyCreate", service.clone(), KEY).await;
        refused.refused("LIMIT_EXCEEDED", "input.kind");
        assert_eq!(made(own, service).await["expiresAt"], Value::Null);
        let input = |more: Value| {
            let mut input = json!({ "teamId": world.a1 });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        for (field, more) in [
            ("input.expiresAt", json!({ "expiresIn": "P31D" })),
            ("input.expiresAt", json!({ "expiresAt": "2026-12-21T12:00:01Z" })),
            ("input.modelAccess", json!({ "modelAccess": { "mode": "ALL" } })),
            (
                "input.modelAccess",
                json!({ "modelAccess": { "mode": "LIST", "models": ["claude"] } }),
            ),
        ] {
            let answer = change(chief, "apiKeyCreate", input(more), KEY).await;
            answer.refused("LIMIT_EXCEEDED", field);
        }
        let key = made(chief, input(json!({}))).await;
        assert_eq!(key["expiresAt"], "2026-12-21T12:00:00+00:00");
        assert_eq!(key["modelAccess"]["models"], json!(["gpt-*", "o3"]));
        // The team allows less, in other words: what both allow is left.
        let access = json!({ "mode": "LIST", "models": ["gpt-4o", "o*"] });
        let limits = json!({ "id": world.a1, "modelAccess": access, "cascade": "CLAMP" });
        done(root, "teamUpdate", limits, "team { id }").await;
        let key = made(chief, input(json!({ "expiresAt": "2026-12-01T00:00:00Z" }))).await;
        assert_eq!(key["expiresAt"], "2026-12-01T00:00:00+00:00");
        assert_eq!(key["modelAccess"]["models"], json!(["o3", "gpt-4o"]));
        let free = made(root, json!({})).await;
        assert_eq!((&free["expiresAt"], &free["budgets"]), (&Value::Null, &json!([])));

        let secret = json!({ "secret": "sk-0123456789abcdefghijklmnopqrstuv" });
        made(root, secret).await;
        let input = json!({ "chosenSecretsAreAllowed": false });
        done(root, "settingsUpdate", input, BOUNDS).await;
        let secret = json!({ "kind": "ADMIN", "secret": "sk-abcdefghijklmnopqrstuv0123456789" });
        for client in [root, &app.admin()] {
            let answer = change(client, "apiKeyCreate", secret.clone(), KEY).await;
            answer.refused("LIMIT_EXCEEDED", "input.secret");
        }
        assert_eq!(change(own, "apiKeyCreate", secret, KEY).await.code(), "FORBIDDEN");
    })
    .await;
}

/// D19; SECURITY case 9: who may widen a key widens it to the bound and no further, one by one or
/// many at once; who may not is told that first.
#[tokio::test]
async fn a_key_is_widened_to_the_bound_and_no_further() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, chief, me) = (app.admin(), world.person("team_admin"), world.person("member"));
        let small = json!({ "teamId": world.a1, "userId": world.users["member"], "name": "small",
            "expiresIn": "P1D", "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] },
            "budgets": cap(json!({ "maxSpend": "1", "period": "1mo" })) });
        let id = text(&done(&root, "apiKeyCreate", small.clone(), KEY).await, "/apiKey/id");
        let other = text(&done(&root, "apiKeyCreate", small, KEY).await, "/apiKey/id");
        let limits = json!({ "maxSpend": "10", "period": "1mo", "maxLifetime": "P30D",
            "modelAccess": { "mode": "LIST", "models": ["gpt-*"] } });
        bound(app, json!({ "teamAdmin": limits, "teamMember": limits })).await;
        let update = |id: &str, more: &Value| {
            let mut input = json!({ "id": id });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        let too_much = [
            ("expiresAt", json!({ "expiresAt": "2026-12-22T00:00:00Z" })),
            ("modelAccess", json!({ "modelAccess": { "mode": "ALL" } })),
            ("modelAccess", json!({ "modelAccess": { "mode": "LIST", "models": ["o3"] } })),
            (
                "budgets.maxSpend",
                json!({ "budgets": cap(json!({ "maxSpend": "11", "period": "1mo" })) }),
            ),
        ];
        for (field, more) in &too_much {
            let answer = change(chief, "apiKeyUpdate", update(&id, more), KEY).await;
            answer.refused("LIMIT_EXCEEDED", &format!("input.{field}"));
            let keys =
                json!({ "keys": [update(&other, &json!({ "name": "x" })), update(&id, more)] });
            let answer = change(chief, "apiKeyBulkUpdate", keys, "apiKeys { id }").await;
            answer.refused("LIMIT_EXCEEDED", &format!("input.keys.1.{field}"));
            let answer = change(me, "apiKeyUpdate", update(&id, more), KEY).await;
            assert_eq!(answer.message(), "this needs the permission API_KEY_LIMIT_UPDATE");
        }
        assert_eq!(rows(app, "api_keys WHERE name = 'x'").await, 0);
        // Null asks for all that there is: that is the bound.
        let all = json!({ "expiresAt": null, "modelAccess": null, "budgets": null });
        let key = done(chief, "apiKeyUpdate", update(&id, &all), KEY).await["apiKey"].clone();
        assert_eq!(key["expiresAt"], "2026-12-21T12:00:00+00:00");
        assert_eq!(key["modelAccess"]["models"], json!(["gpt-*"]));
        assert_eq!(caps(&key), [(json!("10"), json!("1mo"), Value::Null)]);
        let keys = json!({ "keys": [update(&other, &all)] });
        let keys =
            done(chief, "apiKeyBulkUpdate", keys, &KEY.replacen("apiKey", "apiKeys", 1)).await;
        assert_eq!(caps(&keys["apiKeys"][0]), caps(&key));
        // What it has beyond the bound stays until somebody touches it, and may be lowered.
        let free = json!({ "id": id, "expiresAt": null, "modelAccess": null,
            "budgets": cap(json!({ "maxSpend": "500", "period": "1mo" })) });
        let key = done(&root, "apiKeyUpdate", free, KEY).await["apiKey"].clone();
        assert_eq!((&key["expiresAt"], caps(&key)[0].0.as_str()), (&Value::Null, Some("500")));
        let name = json!({ "name": "still free" });
        let key = done(chief, "apiKeyUpdate", update(&id, &name), KEY).await["apiKey"].clone();
        assert_eq!((&key["expiresAt"], caps(&key)[0].0.as_str()), (&Value::Null, Some("500")));
        let lower = json!({ "expiresAt": "2027-06-01T00:00:00Z",
            "modelAccess": { "mode": "LIST", "models": ["o3", "claude"] } });
        for person in [chief, me] {
            let key =
                done(person, "apiKeyUpdate", update(&id, &lower), KEY).await["apiKey"].clone();
            assert_eq!(key["modelAccess"]["models"], json!(["o3", "claude"]));
        }
    })
    .await;
}

/// D19, D16; SECURITY case 9: a new secret of somebody else's key is shown to those alone who may make
/// such a key; owners rotate theirs whatever it has.
#[tokio::test]
async fn nobody_takes_over_a_key_beyond_the_bound() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (chief, own) = (world.person("team_admin"), world.person("organization_admin"));
        let input = json!({ "kind": "SERVICE", "teamId": world.a1,
            "budgets": cap(json!({ "maxSpend": "50", "period": "1mo" })),
            "modelAccess": { "mode": "LIST", "models": ["gpt-4o"] }, "expiresIn": "P10D" });
        let (service, _) = api_key(&app.admin(), input).await;
        let input = json!({ "teamId": world.a1, "userId": world.users["member"] });
        let (member, _) = api_key(&app.admin(), input).await;
        let rotate = |id: &str| json!({ "id": id, "gracePeriod": "1h" });
        for too_little in [
            json!({ "maxSpend": "49", "period": "1mo" }),
            json!({ "maxSpend": "50", "period": "P1Y" }),
            json!({ "requestsPerMinute": "1" }),
            json!({ "maxLifetime": "P9D" }),
            json!({ "modelAccess": { "mode": "LIST", "models": ["o3"] } }),
            json!({ "kinds": ["USER"] }),
        ] {
            bound(app, json!({ "teamAdmin": too_little })).await;
            let answer = change(chief, "apiKeyRotate", rotate(&service), "secret").await;
            answer.refused("LIMIT_EXCEEDED", "input.id");
            bound(app, json!({ "teamAdmin": null })).await;
        }
        let enough = json!({ "maxSpend": "50", "period": "1mo", "maxLifetime": "P10D",
            "kinds": ["SERVICE"], "modelAccess": { "mode": "LIST", "models": ["gpt-*"] } });
        bound(app, json!({ "teamAdmin": enough, "teamMember": enough })).await;
        let rotated = done(chief, "apiKeyRotate", rotate(&service), "secret").await;
        // The member's key has no limits at all.
        let answer = change(chief, "apiKeyRotate", rotate(&member), "secret").await;
        answer.refused("LIMIT_EXCEEDED", "input.id");
        for client in [world.person("member"), own, &app.admin()] {
            done(client, "apiKeyRotate", rotate(&member), "secret").await;
        }
        bound(app, json!({ "teamMember": { "maxSpend": "1" } })).await;
        let itself = app.with_key(Some(&text(&rotated, "/secret")));
        done(&itself, "apiKeyRotate", rotate(&service), "__typename").await;
    })
    .await;
}

/// D19: a tier that keys use is raised and taken away within the bounds of whoever does it.
#[tokio::test]
async fn a_tier_is_no_way_around_the_bound() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (own, chief) = (world.person("organization_admin"), world.person("team_admin"));
        bound(app, json!({ "organizationAdmin": { "maxSpend": "100", "period": "1mo" } })).await;
        let tier = json!({ "name": "tier", "externalId": "tier", "organizationId": world.a,
            "limits": { "maxSpend": "50", "period": "1mo" } });
        done(own, "budgetCreate", tier, "budget { id }").await;
        let attach = json!([{ "attach": { "budgetId": "tier" } }]);
        let input = json!({ "kind": "SERVICE", "teamId": world.a1, "budgets": attach });
        let key = made(own, input).await;
        assert_eq!(caps(&key), [(json!("50"), json!("1mo"), Value::Null)]);
        let limits = |limits: Value| json!({ "id": "tier", "limits": limits });
        for more in [
            json!({ "maxSpend": "101" }),
            json!({ "maxSpend": null, "requestsPerMinute": "1" }),
            json!({ "period": "1d" }),
            json!({ "modelPattern": "gpt-*" }),
        ] {
            let answer = change(own, "budgetUpdate", limits(more.clone()), "budget { id }").await;
            assert_eq!(answer.code(), "CONFLICT", "{more}: {:#}", answer.body);
            assert_eq!(answer.body["errors"][0]["extensions"]["ids"], json!([key["id"]]));
        }
        done(own, "budgetUpdate", limits(json!({ "maxSpend": "100" })), "budget { id }").await;
        done(own, "budgetUpdate", limits(json!({ "maxSpend": "10" })), "budget { id }").await;
        let answer = change(own, "budgetDelete", json!({ "id": "tier" }), "deletedId").await;
        assert_eq!(answer.code(), "CONFLICT", "{:#}", answer.body);
        assert_eq!(rows(app, "budgets WHERE external_id = 'tier'").await, 1);
        done(&app.admin(), "budgetUpdate", limits(json!({ "maxSpend": "101" })), "budget { id }")
            .await;
        done(&app.admin(), "budgetDelete", json!({ "id": "tier" }), "deletedId").await;
        assert_eq!(
            change(chief, "budgetDelete", json!({ "id": "tier" }), "deletedId").await.code(),
            "FORBIDDEN"
        );
    })
    .await;
}

/// D19, D6: new keys start with the default budgets of the settings, lowered to what holds above.
#[tokio::test]
async fn new_keys_start_with_what_the_settings_say() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let (root, chief) = (world.person("platform_admin"), world.person("team_admin"));
        let defaults = json!({ "budgets": cap(json!({ "maxSpend": "30", "period": "1mo" })) });
        let shown = "settings { apiKeyDefaults { budgets { scopeKind budget { maxSpend } } } }";
        let input = json!({ "apiKeyDefaults": defaults });
        let settings = done(root, "settingsUpdate", input, shown).await["settings"].clone();
        assert_eq!(settings["apiKeyDefaults"]["budgets"][0]["scopeKind"], "API_KEY_DEFAULT");
        let service = json!({ "kind": "SERVICE", "teamId": world.a1 });
        let thirty = [(json!("30"), json!("1mo"), Value::Null)];
        for (client, input) in [(root, json!({})), (chief, json!({})), (chief, service.clone())] {
            assert_eq!(caps(&made(client, input.clone()).await), thirty, "{input}");
            let mut none = input.clone();
            none["budgets"] = json!([]);
            assert_eq!(made(client, none).await["budgets"], json!([]));
            let mut other = input;
            other["budgets"] = cap(json!({ "maxSpend": "70" }));
            assert_eq!(caps(&made(client, other).await)[0].0, "70");
        }
        for kind in ["GATEWAY", "ADMIN"] {
            assert_eq!(made(root, json!({ "kind": kind })).await["budgets"], json!([]));
        }
        bound(app, json!({ "teamAdmin": { "maxSpend": "20", "period": "1mo" } })).await;
        assert_eq!(caps(&made(chief, service.clone()).await)[0].0, "20");
        let input = json!({ "id": world.a1, "budgets": cap(json!({ "maxSpend": "5" })), "cascade": "CLAMP" });
        done(root, "teamUpdate", input, "team { id }").await;
        assert_eq!(caps(&made(chief, service.clone()).await), [(json!("5"), json!("1mo"), Value::Null)]);
        // The default itself is as it was, and goes without taking it from keys.
        let read_back = read(root, &format!("{{ {shown} }}")).await;
        assert_eq!(read_back, settings);
        let none = json!({ "apiKeyDefaults": { "budgets": null } });
        done(root, "settingsUpdate", none, shown).await;
        assert_eq!(made(root, service).await["budgets"], json!([]));
        assert_eq!(rows(app, "budget_assignments WHERE scope_kind = 'API_KEY_DEFAULT'").await, 0);
    })
    .await;
}

/// D19; SECURITY case 28: bounds are checked, merged, versioned and audited like any setting.
#[tokio::test]
async fn bounds_are_checked_and_merged() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        for (bad, field) in [
            (json!({ "kinds": ["GATEWAY"] }), "kinds.0"),
            (json!({ "kinds": ["USER", "USER"] }), "kinds.1"),
            (json!({ "maxLifetime": "soon" }), "maxLifetime"),
            (json!({ "maxSpend": "-1" }), "maxSpend"),
            (json!({ "maxSpend": "1", "period": "10days" }), "period"),
            (json!({ "maxSpend": "1", "timeZone": "Mars" }), "timeZone"),
            (json!({ "period": "1d" }), "maxSpend"),
            (json!({ "tokensPerMinute": "-1" }), "tokensPerMinute"),
            (json!({ "modelAccess": { "mode": "LIST" } }), "modelAccess"),
        ] {
            let input = json!({ "apiKeyBounds": { "teamMember": bad } });
            let answer = change(&admin, "settingsUpdate", input, BOUNDS).await;
            answer.refused("BAD_USER_INPUT", &format!("input.apiKeyBounds.teamMember.{field}"));
        }
        let first =
            bound(app, json!({ "teamAdmin": { "maxSpend": "5", "requestsPerMinute": "7" } })).await;
        assert_eq!(first["version"], 2);
        let second = bound(app, json!({ "teamAdmin": { "maxSpend": null, "kinds": [] } })).await;
        let expected = json!({
            "kinds": [], "maxLifetime": null, "maxSpend": null, "period": null, "timeZone": null,
            "requestsPerMinute": "7", "tokensPerMinute": null, "maxParallelRequests": null,
            "modelAccess": null,
        });
        assert_eq!(second["apiKeyBounds"]["teamAdmin"], expected);
        assert_eq!(bound(app, json!({})).await["version"], 3, "nothing changed");
        assert_eq!(bound(app, json!({ "teamAdmin": null })).await["version"], 4);
        let stale =
            json!({ "expectedVersion": 3, "apiKeyBounds": { "teamAdmin": { "kinds": null } } });
        assert_eq!(change(&admin, "settingsUpdate", stale, BOUNDS).await.code(), "CONFLICT");
        for person in ["organization_admin", "platform_viewer"] {
            let input = json!({ "apiKeyBounds": { "teamAdmin": null } });
            let answer = change(world.person(person), "settingsUpdate", input, BOUNDS).await;
            assert_eq!(answer.code(), "FORBIDDEN");
        }
        let query =
            "{ auditEvents(filter: { actions: [SETTINGS_UPDATED] }) { nodes { before after } } }";
        let events = read(&admin, query).await;
        let spends: Vec<_> = events["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["after"]["key_bounds"]["team_admin"]["max_spend"].clone())
            .collect();
        assert_eq!(spends, [Value::Null, Value::Null, json!("5")]);
    })
    .await;
}

/// Two who widen one key at a time, and one who makes a key while the bound is lowered: nobody ends with
/// more than one of the two bounds allows.
#[tokio::test]
async fn bounds_hold_while_they_and_keys_change_together() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let chief = world.person("team_admin");
        for round in 0..5 {
            bound(app, json!({ "teamAdmin": { "maxSpend": "10" } })).await;
            let input =
                json!({ "kind": "SERVICE", "teamId": world.a1, "name": format!("k{round}") });
            let lower = json!({ "apiKeyBounds": { "teamAdmin": { "maxSpend": "5" } } });
            let root = app.admin();
            let (made, lowered) = tokio::join!(
                change(chief, "apiKeyCreate", input, KEY),
                change(&root, "settingsUpdate", lower, BOUNDS),
            );
            lowered.data();
            let key = made.data()["apiKeyCreate"]["apiKey"].clone();
            assert!(["5", "10"].contains(&caps(&key)[0].0.as_str().unwrap()), "{key:#}");
            let all = json!({ "id": key["id"], "budgets": null });
            let (one, other) = tokio::join!(
                change(chief, "apiKeyUpdate", all.clone(), KEY),
                change(chief, "apiKeyUpdate", all, KEY),
            );
            for answer in [one, other] {
                let key = answer.data()["apiKeyUpdate"]["apiKey"].clone();
                assert_eq!(caps(&key), [(json!("5"), Value::Null, Value::Null)]);
            }
        }
    })
    .await;
}
