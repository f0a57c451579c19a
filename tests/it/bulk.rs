//! Changing many members or keys in one call: all, or none.

use serde_json::{Value, json};

use crate::harness::on_each_database;
use crate::harness::world::{World, api_key};
use crate::steps::{change, done, read, rows};
use crate::team_calls::nobody;

/// T-UPD-1, M-UPD-1, SECURITY case 21: members are changed in the order of the input, each as alone; an
/// error names its member, and then none is changed.
#[tokio::test]
async fn members_are_changed_all_or_none() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let own = world.person("organization_admin");
        let who = |name: &str| json!({ "id": world.users[name] });
        let budgets = json!([{ "create": { "maxSpend": "1" } }]);
        let none = json!({ "mode": "NONE" });
        let input = |members: Value| json!({ "teamId": world.a1, "members": members });
        let selection = "memberships { role user { name } modelAccess { mode }
            budgets { budget { maxSpend } } version }";
        let members = json!([
            { "user": { "email": "viewer@example.com" }, "budgets": budgets },
            // The only admin steps down while another one steps up.
            { "user": who("team_admin"), "role": "MEMBER" },
            { "user": who("member"), "role": "ADMIN", "modelAccess": none },
        ]);
        let made = done(own, "teamMemberBulkUpdate", input(members), selection).await;
        let expected = json!([
            { "role": "MEMBER", "user": { "name": "viewer" }, "modelAccess": { "mode": "ALL" },
                "budgets": [{ "budget": { "maxSpend": "1" } }], "version": 2 },
            { "role": "MEMBER", "user": { "name": "team_admin" }, "modelAccess": { "mode": "ALL" },
                "budgets": [], "version": 2 },
            { "role": "ADMIN", "user": { "name": "member" }, "modelAccess": { "mode": "NONE" },
                "budgets": [], "version": 2 },
        ]);
        assert_eq!(made["memberships"], expected);
        let good = json!({ "user": who("viewer"), "budgets": null });
        let before = rows(app, "budgets").await + rows(app, "audit_events").await;
        let nobody = json!({ "id": nobody("user") });
        let empty = json!({ "mode": "LIST" });
        let many = vec![good.clone(); 101];
        for (members, code, field) in [
            (json!([]), "BAD_USER_INPUT", "input.members"),
            (json!(many), "BAD_USER_INPUT", "input.members"),
            (json!([good, { "user": nobody }]), "NOT_FOUND", "input.members.1.user"),
            (
                json!([good, { "user": { "email": "viewer@example.com" } }]),
                "BAD_USER_INPUT",
                "input.members.1.user",
            ),
            (
                json!([good, { "user": who("team_admin"), "modelAccess": empty }]),
                "BAD_USER_INPUT",
                "input.members.1.modelAccess",
            ),
            (json!([good, { "user": who("member"), "role": "MEMBER" }]), "CONFLICT", "-"),
            (json!([good, { "user": who("member"), "expectedVersion": 1 }]), "CONFLICT", "-"),
        ] {
            let answer = change(own, "teamMemberBulkUpdate", input(members), "__typename").await;
            answer.refused(code, field);
        }
        assert_eq!(rows(app, "budgets").await + rows(app, "audit_events").await, before);
        // A team's admin changes plain members alone, in bulk as one by one.
        let chief = world.person("member");
        done(chief, "teamMemberBulkUpdate", input(json!([good])), "__typename").await;
        let members = json!([{ "user": who("viewer"), "role": "ADMIN" }]);
        let answer = change(chief, "teamMemberBulkUpdate", input(members), "__typename").await;
        answer.refused("FORBIDDEN", "-");
    })
    .await;
}

/// D18, SECURITY cases 9, 21: keys are changed in the order of the input, each by the rules for it alone; an
/// error names its key, and then none is changed.
#[tokio::test]
async fn keys_are_changed_all_or_none() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let me = world.person("member");
        let id = &world.users["member"];
        let input = json!({ "userId": id, "teamId": world.a1, "externalId": "mine", "name": "t" });
        let (in_team, _) = api_key(&app.admin(), input).await;
        let personal = &world.keys["member"];
        let keys = json!([
            { "id": "mine", "name": "first", "tags": ["x"] },
            { "id": personal, "name": "second", "modelAccess": { "mode": "NONE" } },
        ]);
        let selection = "apiKeys { id name tags modelAccess { mode } }";
        let made = done(me, "apiKeyBulkUpdate", json!({ "keys": keys }), selection).await;
        let expected = json!([
            { "id": in_team, "name": "first", "tags": ["x"], "modelAccess": { "mode": "ALL" } },
            { "id": personal, "name": "second", "tags": [], "modelAccess": { "mode": "NONE" } },
        ]);
        assert_eq!(made["apiKeys"], expected);
        let good = json!({ "id": in_team, "name": "third" });
        let many = vec![good.clone(); 101];
        for (keys, code, field) in [
            (json!([]), "BAD_USER_INPUT", "input.keys"),
            (json!(many), "BAD_USER_INPUT", "input.keys"),
            (json!([good, { "id": nobody("key") }]), "NOT_FOUND", "input.keys.1.id"),
            (json!([good, { "id": world.keys["service"] }]), "NOT_FOUND", "input.keys.1.id"),
            (json!([good, { "id": "mine" }]), "BAD_USER_INPUT", "input.keys.1.id"),
            (json!([good, { "id": personal, "name": "" }]), "BAD_USER_INPUT", "input.keys.1.name"),
            // An owner only narrows.
            (json!([good, { "id": personal, "modelAccess": null }]), "FORBIDDEN", "-"),
            (json!([good, { "id": personal, "expectedVersion": 1 }]), "CONFLICT", "-"),
        ] {
            let input = json!({ "keys": keys });
            change(me, "apiKeyBulkUpdate", input, "__typename").await.refused(code, field);
        }
        let query = format!("{{ apiKey(id: \"{in_team}\") {{ name }} }}");
        assert_eq!(read(me, &query).await["name"], "first");
    })
    .await;
}
