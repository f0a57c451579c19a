//! What checks keep in memory when nobody followed the change log for a while, and the process could
//! not tell: it was stopped, or its machine suspended. Its own clock stands still here all the time.

use sea_orm::{ConnectOptions, ConnectionTrait};
use serde_json::json;

use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::harness::world::{World, api_key};
use crate::harness::{Answer, Client, TestApp, on_each_database};
use crate::ledger::{event, record};
use crate::steps::{done, execute, sql_id};

/// A server that follows changes when it is told to, a gateway, and a key to ask about.
struct Scene<'a> {
    app: &'a TestApp,
    gateway: Client,
    world: World,
    key: String,
    secret: String,
}

impl<'a> Scene<'a> {
    async fn new(app: &'a TestApp) -> Self {
        let world = World::new(app).await;
        let input = json!({ "userId": world.users["member"], "teamId": world.a1 });
        let (key, secret) = api_key(&app.admin(), input).await;
        let gateway = world.person("gateway").clone();
        app.app.enforcement().stop();
        let scene = Self { app, gateway, world, key, secret };
        scene.follow().await;
        assert_eq!(scene.ask().await.status, 200);
        scene
    }

    async fn follow(&self) {
        self.app.app.enforcement().poll().await.unwrap();
    }

    async fn ask(&self) -> Answer {
        self.gateway.check(json!({ "credential": self.secret, "model": "m" })).await
    }

    /// Blocks the key, and leaves no row in the change log: as if that had been pruned.
    async fn block_unseen(&self) {
        let row = sql_id(self.app, &self.key);
        let block = format!("UPDATE api_keys SET blocked_by = 'PLATFORM' WHERE id = {row}");
        execute(self.app, &block).await;
        self.follow().await;
        assert_eq!(self.ask().await.status, 200);
    }

    /// Changes something else.
    async fn change(&self) {
        let input = json!({ "userId": self.world.users["outsider"] });
        api_key(&self.app.admin(), input).await;
    }
}

/// A PostgreSQL database whose clock a test can set forward.
async fn with_a_clock() -> TestDatabase {
    let database = TestDatabase::create(Kind::Postgres).await;
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    for sql in [
        "CREATE TABLE slept AS SELECT interval '0' AS span",
        "CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE \
         AS 'SELECT pg_catalog.statement_timestamp() + span FROM public.slept'",
        "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
         AS 'SELECT pg_catalog.clock_timestamp() + span FROM public.slept'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', \
         current_database()); END $$",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    connection.close().await.unwrap();
    database
}

/// Lets so much time have passed for the database since the server started.
async fn slept(app: &TestApp, span: &str) {
    execute(app, &format!("UPDATE slept SET span = interval '{span}'")).await;
}

/// SECURITY 2, case 22: a machine that slept for half of the time for which changes are kept learns of
/// it from the database, and reads everything anew.
#[tokio::test]
async fn a_machine_that_slept_too_long_reads_everything_anew() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = with_a_clock().await;
    let app = TestApp::start(&database, &[]).await;
    let scene = Scene::new(&app).await;
    scene.block_unseen().await;
    slept(&app, "29 minutes").await;
    scene.follow().await;
    assert_eq!(scene.ask().await.status, 200);
    slept(&app, "60 minutes").await;
    scene.follow().await;
    assert_eq!(scene.ask().await.body["code"], "BLOCKED");
    app.stop().await;
    database.drop().await;
}

/// SECURITY 6: what others spent while a machine slept is known after its first look.
#[tokio::test]
async fn a_machine_that_slept_learns_what_was_spent() {
    if !kinds().contains(&Kind::Postgres) {
        return;
    }
    let database = with_a_clock().await;
    let (app, other) = (TestApp::start(&database, &[]).await, TestApp::start(&database, &[]).await);
    let scene = Scene::new(&app).await;
    let input = json!({ "id": scene.key, "budgets": [{ "create": { "maxSpend": "10" } }] });
    done(&app.admin(), "apiKeyUpdate", input, "apiKey { id }").await;
    scene.follow().await;
    assert_eq!(scene.ask().await.body["remaining"]["usd"], "10");
    let reporter = other.with_key(scene.gateway.key.as_deref());
    record(&reporter, json!([event("x", &scene.key, "4")])).await;
    slept(&app, "20 minutes").await;
    scene.follow().await;
    assert_eq!(scene.ask().await.body["remaining"]["usd"], "6");
    app.stop().await;
    other.stop().await;
    database.drop().await;
}

/// SECURITY 2, case 22: when rows of the change log have gone that were not read, everything is read
/// anew, however little time has passed. That old ones go is no reason.
#[tokio::test]
async fn changes_that_were_pruned_unread_are_noticed() {
    on_each_database(async |app| {
        let scene = Scene::new(app).await;
        scene.follow().await;
        execute(app, "DELETE FROM change_log").await;
        scene.change().await;
        scene.follow().await;
        assert_eq!(scene.ask().await.statements(), 0, "what is kept was let go of");
        scene.block_unseen().await;
        let unread = "INSERT INTO change_log (entity_kind, entity_id, occurred_at) \
                      SELECT entity_kind, entity_id, occurred_at FROM change_log";
        execute(app, unread).await;
        execute(app, "DELETE FROM change_log").await;
        scene.change().await;
        scene.follow().await;
        assert_eq!(scene.ask().await.body["code"], "BLOCKED");
    })
    .await;
}
