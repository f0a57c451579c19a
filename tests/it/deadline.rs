//! Work that does not end in time: what was committed before is answered, and nothing else is kept.

use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::json;

use crate::harness::client::text;
use crate::harness::database::Kind;
use crate::harness::world::World;
use crate::harness::{TestApp, on_each_database_with};

/// A deadline that comes while a lock is waited for.
const SETTINGS: &[(&str, &str)] =
    &[("TOLLKEEP__HTTP__REQUEST_TIMEOUT", "1s"), ("TOLLKEEP__DATABASE__LOCK_TIMEOUT", "5s")];

/// Begins a transaction past the API, which is in the way of others until it ends.
pub(crate) async fn hold(app: &TestApp, postgres: &str) -> DatabaseConnection {
    let database = app.database().await;
    let begin = match app.kind {
        Kind::Sqlite => "BEGIN IMMEDIATE".to_owned(),
        Kind::Postgres => format!("BEGIN; {postgres}"),
    };
    database.execute_unprepared(&begin).await.unwrap();
    database
}

pub(crate) async fn release(held: DatabaseConnection) {
    held.execute_unprepared("ROLLBACK").await.unwrap();
    held.close().await.unwrap();
}

/// SECURITY F7: a deadline is the error of the mutation that it meets, which then keeps nothing.
#[tokio::test]
async fn a_mutation_that_is_late_is_rolled_back_and_says_so() {
    on_each_database_with(SETTINGS, async |app| {
        let world = World::new(app).await;
        let admin = app.admin();
        let held = hold(app, "SELECT 1 FROM teams FOR UPDATE").await;
        let query = "mutation($id: ID!) {
            late: teamUpdate(input: { id: $id, name: \"Late\" }) { team { name } }
            later: teamCreate(input: { name: \"Later\" }) { team { name } }
        }";
        let answer = admin.run_with(query, json!({ "id": world.a1 })).await;
        release(held).await;
        assert_eq!(answer.body["data"], json!({ "late": null, "later": null }));
        assert_eq!(answer.codes(), ["TIMEOUT", "TIMEOUT"], "{:#}", answer.body);
        assert_eq!(answer.body["errors"][0]["path"], json!(["late"]));
        assert!(answer.message().contains("nothing of it was kept"), "{}", answer.message());
        let after = "query($id: ID!) { team(id: $id) { name version }
            teams(filter: { search: \"late\" }) { totalCount } }";
        let data = admin.run_with(after, json!({ "id": world.a1 })).await.data();
        assert_eq!(data["team"], json!({ "name": "A1", "version": 1 }));
        assert_eq!(data["teams"]["totalCount"], 0);
        // The connection that was given up is of use again.
        let answer = admin.run_with(query, json!({ "id": world.a1 })).await;
        assert_eq!(answer.data()["late"]["team"]["name"], "Late");
    })
    .await;
}

/// The same after a mutation that was committed and shows its secret once. One row is locked; a
/// SQLite file has one lock, which the first mutation needs too.
#[tokio::test]
async fn the_secrets_of_what_was_committed_are_delivered() {
    on_each_database_with(SETTINGS, async |app| {
        if app.kind == Kind::Sqlite {
            return;
        }
        let world = World::new(app).await;
        let admin = app.admin();
        let held = hold(app, "SELECT 1 FROM teams FOR UPDATE").await;
        let query = "mutation($id: ID!) {
            made: apiKeyCreate(input: { kind: ADMIN, name: \"made\" }) { secret }
            late: teamUpdate(input: { id: $id, name: \"Late\" }) { team { name } }
            later: apiKeyCreate(input: { kind: ADMIN, name: \"later\" }) { secret }
        }";
        let answer = admin.run_with(query, json!({ "id": world.a1 })).await;
        release(held).await;
        assert_eq!(answer.codes(), ["TIMEOUT", "TIMEOUT"], "{:#}", answer.body);
        let secret = text(&answer.body["data"], "/made/secret");
        let made = app.with_key(Some(&secret));
        assert_eq!(made.data("{ viewer { kind } }").await["viewer"]["kind"], "ADMIN");
        let keys = "{ apiKeys(filter: { kinds: [ADMIN] }) { nodes { name } } }";
        let data = admin.data(keys).await;
        assert_eq!(data["apiKeys"]["nodes"], json!([{ "name": "made" }]));
    })
    .await;
}

/// What a payload reads may be late too: its own field fails, and the secret is delivered. Readers
/// of a SQLite file wait for nobody.
#[tokio::test]
async fn a_payload_that_reads_too_long_still_shows_its_secret() {
    on_each_database_with(SETTINGS, async |app| {
        if app.kind == Kind::Sqlite {
            return;
        }
        let world = World::new(app).await;
        let admin = app.admin();
        let held = hold(app, "LOCK TABLE team_memberships").await;
        let query = "mutation($id: ID!) { apiKeyCreate(input: { userId: $id }) {
            secret apiKey { user { name teamMemberships { nodes { id } } } }
        } }";
        let answer = admin.run_with(query, json!({ "id": world.users["outsider"] })).await;
        release(held).await;
        assert_eq!(answer.codes(), ["TIMEOUT"], "{:#}", answer.body);
        let path = json!(["apiKeyCreate", "apiKey", "user", "teamMemberships"]);
        assert_eq!(answer.body["errors"][0]["path"], path);
        assert!(!answer.message().contains("kept"), "{}", answer.message());
        let data = &answer.body["data"]["apiKeyCreate"];
        assert_eq!(data["apiKey"]["user"], json!({ "name": "outsider", "teamMemberships": null }));
        let made = app.with_key(Some(&text(data, "/secret")));
        made.data("{ viewer { kind } }").await;
    })
    .await;
}

/// A query that is late answers nothing.
#[tokio::test]
async fn a_query_that_is_late_has_no_data() {
    on_each_database_with(SETTINGS, async |app| {
        if app.kind == Kind::Sqlite {
            return;
        }
        let held = hold(app, "LOCK TABLE teams").await;
        let answer = app.admin().run("{ viewer { kind } teams { nodes { id } } }").await;
        release(held).await;
        assert_eq!(answer.codes(), ["TIMEOUT"], "{:#}", answer.body);
        assert_eq!(answer.body["data"], json!(null));
    })
    .await;
}
