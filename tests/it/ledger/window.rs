//! Windows: made on first use, named by their start, in zones and across changes; warnings once in each.

use chrono::{DateTime, TimeDelta, Utc};
use entity::budget_window;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tollkeep::domain::ledger::Reserved;

use super::reserve::reserve;
use super::{budget, codes, event, gateway_with_id, record, spend, team_with_key};
use crate::harness::{ROOM, TestApp, on_each_database, on_each_database_with};
use crate::steps::{done, read, rows};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The windows of all budgets: start, end, spent.
async fn windows(app: &TestApp) -> Vec<(String, String, String)> {
    let mut rows = budget_window::Entity::find().all(&app.database().await).await.unwrap();
    rows.sort_by_key(|row| row.starts_at);
    let text = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M").to_string();
    rows.into_iter()
        .map(|row| {
            (text(row.starts_at), row.ends_at.map_or("-".to_owned(), text), row.spent.to_string())
        })
        .collect()
}

/// SECURITY 6: days of 23, 23.5, 24, 24.5 and 25 hours, and one that a zone left out.
#[tokio::test]
async fn days_are_those_of_the_zone() {
    on_each_database(async |app| {
        let (gateway, _) = gateway_with_id(app).await;
        let cases = [
            ("UTC", "2026-03-29T12:00:00Z", "2026-03-29T00:00", "2026-03-30T00:00"),
            ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00", "2026-03-29T22:00"),
            ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00", "2026-10-25T23:00"),
            ("America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00", "2026-03-09T04:00"),
            ("Australia/Lord_Howe", "2026-10-04T00:00:00Z", "2026-10-03T13:30", "2026-10-04T13:00"),
            ("Australia/Lord_Howe", "2026-04-05T00:00:00Z", "2026-04-04T13:00", "2026-04-05T13:30"),
            ("Asia/Kolkata", "2026-06-01T12:00:00Z", "2026-05-31T18:30", "2026-06-01T18:30"),
            ("Pacific/Apia", "2011-12-30T10:30:00Z", "2011-12-30T10:00", "2011-12-31T10:00"),
        ];
        for (index, (zone, now, starts, ends)) in cases.into_iter().enumerate() {
            app.clock.set(at(now));
            let limits = json!([{ "maxSpend": "10", "period": "1d", "timeZone": zone }]);
            let (team, key) = team_with_key(app, zone, limits).await;
            let verdicts = record(&gateway, json!([event(&index.to_string(), &key, "1")])).await;
            assert_eq!(codes(&verdicts), ["RECORDED"]);
            let found = budget(&app.admin(), "team", &team).await;
            assert_eq!(found["resetsAt"], format!("{ends}:00+00:00"), "{zone}");
            let last = windows(app).await.into_iter().find(|(start, ..)| start == starts);
            assert_eq!(last, Some((starts.to_owned(), ends.to_owned(), "1".to_owned())), "{zone}");
            crate::steps::execute(app, "DELETE FROM budget_windows").await;
        }
    })
    .await;
}

/// C-A11, E 13, E 14, E 15: no job resets anything; a new window is there when its time has come, and an
/// event that comes late is counted in the one in which its call was let through.
#[tokio::test]
async fn an_event_is_counted_in_the_window_of_its_call() {
    on_each_database(async |app| {
        let limits = json!([{ "maxSpend": "10", "period": "1d" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (gateway, id) = gateway_with_id(app).await;
        record(&gateway, json!([event("1", &key, "10")])).await;
        assert!(matches!(reserve(app, &id, "r", &key, "1").await, Reserved::Refused(_)));
        app.clock.set(at("2026-11-22T00:00:00Z"));
        assert_eq!(budget(&app.admin(), "team", &team).await["remaining"], "10");
        assert!(matches!(reserve(app, &id, "r", &key, "1").await, Reserved::Granted { .. }));
        let mut late = event("late", &key, "0.5");
        late["authorizedAt"] = json!("2026-11-21T23:59:59.999999Z");
        late["occurredAt"] = json!("2026-11-22T00:00:00Z");
        let mut older = event("older", &key, "0.25");
        older["occurredAt"] = json!("2026-11-20T05:00:00+02:00");
        let mut ahead = event("ahead", &key, "2");
        ahead["occurredAt"] = json!("2026-11-22T00:04:59Z");
        let verdicts = record(&gateway, json!([late, older, ahead])).await;
        assert_eq!(codes(&verdicts), ["RECORDED"; 3]);
        let window = |start: &str, end: &str, spent: &str| {
            (format!("{start}T00:00"), format!("{end}T00:00"), spent.to_owned())
        };
        let expected = [
            window("2026-11-20", "2026-11-21", "0.25"),
            window("2026-11-21", "2026-11-22", "10.5"),
            window("2026-11-22", "2026-11-23", "2"),
        ];
        assert_eq!(windows(app).await, expected);
        let query = "{ usage(from: \"2026-11-20\", to: \"2026-11-22\") { days { date totals { spend } } } }";
        let days = read(&app.admin(), query).await["days"].clone();
        let spent: Vec<_> =
            days.as_array().unwrap().iter().map(|day| &day["totals"]["spend"]).collect();
        assert_eq!(spent, ["0.25", "10", "2.5"]);
    })
    .await;
}

/// SECURITY 6 and R11: a clock that is set back opens no window that was left, and what was spent stays
/// spent.
#[tokio::test]
async fn a_clock_that_is_set_back_opens_no_window_again() {
    on_each_database(async |app| {
        let limits = json!([{ "maxSpend": "10", "period": "1h" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (gateway, id) = gateway_with_id(app).await;
        record(&gateway, json!([event("1", &key, "3")])).await;
        app.clock.set(at("2026-11-21T13:00:00Z"));
        record(&gateway, json!([event("2", &key, "9")])).await;
        for back in ["2026-11-21T12:30:00Z", "2026-11-20T13:00:00Z", "2026-11-21T12:59:59Z"] {
            app.clock.set(at(back));
            let found = budget(&app.admin(), "team", &team).await;
            assert_eq!(
                (&found["spent"], &found["resetsAt"]),
                (&json!("9"), &json!("2026-11-21T14:00:00+00:00")),
                "{back}"
            );
            assert!(matches!(reserve(app, &id, back, &key, "2").await, Reserved::Refused(_)));
        }
        assert!(matches!(reserve(app, &id, "r", &key, "0.5").await, Reserved::Granted { .. }));
        record(&gateway, json!([event("r", &key, "0.25"), event("3", &key, "0.125")])).await;
        let found = budget(&app.admin(), "team", &team).await;
        assert_eq!((&found["spent"], &found["reserved"]), (&json!("9.375"), &json!("0")));
        app.clock.set(at("2026-11-21T14:00:00Z"));
        assert_eq!(budget(&app.admin(), "team", &team).await["spent"], "0");
        assert!(matches!(reserve(app, &id, "n", &key, "10").await, Reserved::Granted { .. }));
        let spent: i64 = rows(app, "budget_windows WHERE spent > 0").await;
        assert_eq!(spent, 2);
    })
    .await;
}

/// SECURITY 6: a period that is changed begins at the end of the running window; a first one at once. What
/// was counted before stays where it was.
#[tokio::test]
async fn a_changed_period_counts_from_the_next_boundary() {
    on_each_database(async |app| {
        let admin = app.admin();
        let (team, key) = team_with_key(app, "T", json!([{ "maxSpend": "10" }])).await;
        let (gateway, id) = gateway_with_id(app).await;
        record(&gateway, json!([event("1", &key, "8")])).await;
        let own = budget(&admin, "team", &team).await["budget"]["id"].clone();
        let change = async |limits: Value| {
            let budgets = json!([{ "edit": { "budgetId": own, "limits": limits } }]);
            let input = json!({ "id": team, "budgets": budgets });
            done(&admin, "teamUpdate", input, "team { id }").await;
        };
        app.clock.set(at("2026-11-21T12:00:01Z"));
        change(json!({ "period": "1mo" })).await;
        let found = budget(&admin, "team", &team).await;
        assert_eq!(
            (&found["spent"], &found["resetsAt"]),
            (&json!("0"), &json!("2026-12-01T00:00:00+00:00"))
        );
        assert!(matches!(reserve(app, &id, "a", &key, "9").await, Reserved::Granted { .. }));
        record(&gateway, json!([event("a", &key, "9")])).await;
        for (day, period) in [("22", "1d"), ("23", "P7D"), ("24", "1d")] {
            app.clock.set(at(&format!("2026-11-{day}T00:00:00Z")));
            change(json!({ "period": period })).await;
            let found = budget(&admin, "team", &team).await;
            assert_eq!(
                (&found["spent"], &found["resetsAt"]),
                (&json!("9"), &json!("2026-12-01T00:00:00+00:00")),
                "{period}"
            );
            assert!(matches!(reserve(app, &id, day, &key, "2").await, Reserved::Refused(_)));
        }
        app.clock.set(at("2026-12-01T00:00:00Z"));
        let found = budget(&admin, "team", &team).await;
        assert_eq!(
            (&found["spent"], &found["resetsAt"]),
            (&json!("0"), &json!("2026-12-02T00:00:00+00:00"))
        );
        assert_eq!(spend(&admin, "team", &team).await["spend"]["lifetime"], "17");
    })
    .await;
}

/// SECURITY 6: a budget that is split off in the middle of a window goes on with that window, for calls that
/// say when they were made too.
#[tokio::test]
async fn a_fork_goes_on_with_the_running_window() {
    on_each_database(async |app| {
        let admin = app.admin();
        let input = json!({ "name": "tier", "limits": { "maxSpend": "100", "period": "1d" } });
        let tier =
            done(&admin, "budgetCreate", input, "budget { id }").await["budget"]["id"].clone();
        let (team, key) = team_with_key(app, "T", json!([])).await;
        let (other, _) = team_with_key(app, "U", json!([])).await;
        let attach = json!([{ "attach": { "budgetId": tier } }]);
        for team in [&team, &other] {
            let input = json!({ "id": team, "budgets": attach });
            done(&admin, "teamUpdate", input, "team { id }").await;
        }
        let (gateway, _) = gateway_with_id(app).await;
        record(&gateway, json!([event("1", &key, "1")])).await;
        let input = json!({ "id": tier, "limits": { "period": "1mo" } });
        done(&admin, "budgetUpdate", input, "budget { id }").await;
        app.clock.set(at("2026-11-25T12:00:00Z"));
        record(&gateway, json!([event("2", &key, "2")])).await;
        let edit = json!([{ "edit": { "budgetId": tier, "limits": { "maxSpend": "50" } } }]);
        let input = json!({ "id": team, "budgets": edit });
        done(&admin, "teamUpdate", input, "team { id }").await;
        let mut dated = event("3", &key, "4");
        dated["occurredAt"] = json!("2026-11-25T11:00:00Z");
        assert_eq!(codes(&record(&gateway, json!([dated])).await), ["RECORDED"]);
        let found = budget(&admin, "team", &team).await;
        assert_eq!(
            (&found["spent"], &found["remaining"], &found["resetsAt"]),
            (&json!("6"), &json!("44"), &json!("2026-12-01T00:00:00+00:00"))
        );
        assert_ne!(found["budget"]["id"], tier);
    })
    .await;
}

/// F5 (8), E 12: each threshold is raised once in a window, and told to those who follow the change log.
#[tokio::test]
async fn each_threshold_is_raised_once_in_a_window() {
    on_each_database_with(ROOM, async |app| {
        let limits = json!([{ "maxSpend": "10", "softSpend": "2", "period": "1d" }]);
        let (team, key) = team_with_key(app, "T", limits).await;
        let (gateway, _) = gateway_with_id(app).await;
        let alerts = || rows(app, "budget_alerts");
        let raised =
            async || budget(&app.admin(), "team", &team).await["reachedThresholds"].clone();
        let mut number = 0;
        let mut spend = async |cost: &str| {
            number += 1;
            record(&gateway, json!([event(&number.to_string(), &key, cost)])).await;
        };
        spend("1.999999999").await;
        assert_eq!((alerts().await, raised().await), (0, json!([])));
        spend("0.000000001").await;
        assert_eq!((alerts().await, raised().await), (1, json!(["SOFT_SPEND"])));
        spend("5.999999999").await;
        assert_eq!(alerts().await, 1);
        spend("0.000000001").await;
        assert_eq!((alerts().await, raised().await), (2, json!(["SOFT_SPEND", "NEAR_MAX_SPEND"])));
        let calls = (0..20).map(|n| {
            let (gateway, key) = (&gateway, &key);
            async move { record(gateway, json!([event(&format!("p{n}"), key, "1")])).await }
        });
        futures_util::future::join_all(calls).await;
        let all = json!(["SOFT_SPEND", "NEAR_MAX_SPEND", "MAX_SPEND"]);
        assert_eq!((alerts().await, raised().await), (3, all.clone()));
        app.clock.set(app.clock.now() + TimeDelta::days(1));
        assert_eq!(raised().await, json!([]));
        spend("50").await;
        assert_eq!((alerts().await, raised().await), (6, all));
        assert_eq!(rows(app, "change_log WHERE entity_kind = 'BUDGET_ALERT'").await, 6);
    })
    .await;
}
