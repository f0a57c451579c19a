//! Corrections: entries that make up for events, and change nothing that was recorded.

use serde_json::{Value, json};

use super::{event, gateway, record, spend, team_with_key};
use crate::harness::on_each_database;
use crate::steps::{change, done, read, rows};

/// SECURITY 3, "spend correct": a compensating entry in the same day, scopes and windows, audited.
#[tokio::test]
async fn a_correction_is_an_entry_of_its_own() {
    on_each_database(async |app| {
        let limits = json!([{ "maxSpend": "10", "period": "1d" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (gateway, admin) = (gateway(app).await, app.admin());
        let input = json!({ "name": "blue" });
        let tag = done(&admin, "tagCreate", input, "tag { id }").await["tag"]["id"].clone();
        let mut call = event("1", &key, "4");
        call["tags"] = json!(["blue"]);
        let made = record(&gateway, json!([call])).await;
        let id = made[0]["usageEventId"].clone();
        app.clock.set("2026-11-22T09:00:00Z".parse().unwrap());
        record(&gateway, json!([event("2", &key, "1")])).await;
        let correct = async |amount: &str, request: Value| {
            let input = json!({ "usageEventId": id, "amount": amount, "reason": "wrong price",
                "requestId": request });
            change(
                &admin,
                "spendCorrect",
                input,
                "usageEvent { id kind cost correctsId reason
                costSource occurredAt requestId teamId inputTokens }",
            )
            .await
        };
        let entry = correct("-1.5", json!("c1")).await.data()["spendCorrect"]["usageEvent"].clone();
        assert_eq!(
            entry,
            json!({ "id": entry["id"], "kind": "CORRECTION", "cost": "-1.5",
            "correctsId": id, "reason": "wrong price", "costSource": "CORRECTION",
            "occurredAt": "2026-11-21T12:00:00+00:00", "requestId": "correction:c1",
            "teamId": team, "inputTokens": "0" })
        );
        let again = correct("-1.5", json!("c1")).await.data()["spendCorrect"]["usageEvent"].clone();
        assert_eq!(again, entry);
        assert_eq!(correct("-1", json!("c1")).await.code(), "CONFLICT");
        correct("0", Value::Null).await.refused("BAD_USER_INPUT", "input.amount");
        assert_eq!(correct("-2.500000001", Value::Null).await.code(), "CONFLICT");
        correct("-2.5", Value::Null).await.data();
        correct("7", Value::Null).await.data();
        correct("9000000000", Value::Null).await.data();
        correct("9000000000", Value::Null).await.refused("BAD_USER_INPUT", "input.amount");
        correct("-9000000000", Value::Null).await.data();
        let of_correction = json!({ "usageEventId": entry["id"], "amount": "1", "reason": "r" });
        let answer = change(&admin, "spendCorrect", of_correction, "usageEvent { id }").await;
        answer.refused("BAD_USER_INPUT", "input.usageEventId");
        for (field, id) in [("team", &team), ("apiKey", &key)] {
            assert_eq!(spend(&admin, field, id).await["spend"]["lifetime"], "8");
        }
        let tag = spend(&admin, "tag", tag.as_str().unwrap()).await;
        assert_eq!(
            (&tag["spend"]["lifetime"], &tag["spend"]["requests"]),
            (&json!("7"), &json!("1"))
        );
        // The window of the day after has nothing of it.
        assert_eq!(spend(&admin, "team", &team).await["budgets"][0]["spent"], "1");
        let window = "budget_windows WHERE spent = 7000000000";
        assert_eq!(rows(app, window).await, 1);
        let query = "{ usage(from: \"2026-11-21\", to: \"2026-11-22\") {
            days { totals { spend requests } } } }";
        let days = read(&admin, query).await["days"].clone();
        assert_eq!(
            days,
            json!([{ "totals": { "spend": "7", "requests": "1" } },
            { "totals": { "spend": "1", "requests": "1" } }])
        );
        let query = "{ usageEvents(filter: { kinds: [CORRECTION] }) { totalCount } }";
        assert_eq!(read(&admin, query).await["totalCount"], 5);
        assert_eq!(rows(app, "audit_events WHERE action = 'SPEND_CORRECTED'").await, 5);
    })
    .await;
}

/// Two that take the same money back at once: one of them finds nothing left.
#[tokio::test]
async fn two_corrections_do_not_take_the_same_twice() {
    on_each_database(async |app| {
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, admin) = (gateway(app).await, app.admin());
        let made = record(&gateway, json!([event("1", &key, "4")])).await;
        let input =
            json!({ "usageEventId": made[0]["usageEventId"], "amount": "-3", "reason": "r" });
        let calls =
            (0..8).map(|_| change(&admin, "spendCorrect", input.clone(), "usageEvent { id }"));
        let answers = futures_util::future::join_all(calls).await;
        assert_eq!(answers.iter().filter(|answer| answer.code().is_empty()).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.code() == "CONFLICT").count(), 7);
        let found = spend(&admin, "team", &team).await;
        assert_eq!(
            (&found["spend"]["lifetime"], &found["budgets"][0]["spent"]),
            (&json!("1"), &json!("1"))
        );
    })
    .await;
}
