//! Transactions that SQLite ends by itself, as it does when the disk is full or broken.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::{codes, event, gateway, record, team_with_key};
use crate::harness::TestApp;
use crate::harness::database::{Kind, TestDatabase, kinds};
use crate::steps::rows;

/// What makes SQLite end a transaction in the middle of it: a trigger stands in for the disk.
const BROKEN: &str = "CREATE TRIGGER broken BEFORE INSERT ON usage_events BEGIN \
    SELECT RAISE(ROLLBACK, 'broken'); END";

/// SECURITY 4 R13: what is acknowledged after a transaction that ended by itself, and after one that was
/// rolled back since, is kept.
#[tokio::test]
async fn what_follows_a_transaction_that_ended_by_itself_is_kept() {
    if !kinds().contains(&Kind::Sqlite) {
        // PostgreSQL ends no transaction by itself and lets it go on.
        return;
    }
    let database = TestDatabase::create(Kind::Sqlite).await;
    let app = TestApp::start(&database, &[]).await;
    let (_, key) = team_with_key(&app, "team", json!([])).await;
    let gateway = gateway(&app).await;
    let beside = app.database().await;
    let input = json!({ "name": "Taken", "externalId": "taken" });

    for round in 0..3 {
        beside.execute_unprepared(BROKEN).await.unwrap();
        let events = json!([event(&format!("broken-{round}"), &key, "1")]);
        let query = "mutation($input: UsageRecordInput!) {
            usageRecord(input: $input) { verdicts { code } } }";
        let answer = gateway.run_with(query, json!({ "input": { "events": events } })).await;
        assert_eq!(answer.code(), "INTERNAL_SERVER_ERROR", "{:#}", answer.body);
        beside.execute_unprepared("DROP TRIGGER broken").await.unwrap();

        // The second one is refused in the middle of its transaction, and rolled back.
        let query = "mutation($input: TeamCreateInput!) {
            teamCreate(input: $input) { team { id } } }";
        let made = app.admin().run_with(query, json!({ "input": input })).await;
        assert_eq!(made.code(), if round == 0 { "" } else { "ALREADY_EXISTS" });
        let name = format!("kept-{round}");
        let verdicts = record(&gateway, json!([event(&name, &key, "1")])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"]);
        let kept = rows(&app, "usage_events").await;
        assert_eq!(kept, round + 1, "{name} was acknowledged, and others do not see it");
    }
    beside.close().await.unwrap();
    app.stop().await;
    database.drop().await;
}
