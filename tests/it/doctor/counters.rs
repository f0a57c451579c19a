//! Counters against what they count: equal after a busy day, and named with both numbers when they are
//! bent past the API.

use chrono::TimeDelta;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tollkeep::app::Kind as BreachKind;

use super::{bent, look, unguarded};
use crate::harness::client::text;
use crate::harness::world::api_key;
use crate::harness::{Client, ROOM, TestApp, on_each_database, on_each_database_with};
use crate::ledger::{event, gateway, record};
use crate::steps::{done, rows, sql_id};

/// A team with budgets of its own and of others, a key with a budget and tags, and a gateway.
struct Place {
    gateway: Client,
    team: String,
    key: String,
    tier: String,
}

impl Place {
    async fn new(app: &TestApp) -> Self {
        let admin = app.admin();
        let limits = json!({ "maxSpend": "1000", "period": "1d" });
        let input = json!({ "name": "tier", "limits": limits });
        let tier = done(&admin, "budgetCreate", input, "budget { id }").await;
        let tier = text(&tier, "/budget/id");
        let attach =
            |counting: &str| json!({ "attach": { "budgetId": tier, "counting": counting } });
        let own = json!({ "create": { "maxSpend": "900", "period": "1mo" } });
        let input = json!({ "name": "O", "budgets": [attach("SHARED")] });
        let made = done(&admin, "organizationCreate", input, "organization { id }").await;
        let input = json!({ "name": "T", "organizationId": made["organization"]["id"],
            "budgets": [attach("EACH"), own], "tags": ["red"] });
        let team = text(&done(&admin, "teamCreate", input, "team { id }").await, "/team/id");
        let never = json!([{ "create": { "maxSpend": "800" } }]);
        done(&admin, "tagCreate", json!({ "name": "red", "budgets": never }), "tag { id }").await;
        let defaults = json!({ "budgets": [{ "create": { "maxSpend": "700", "period": "1d" } }] });
        let input = json!({ "endUserDefaults": defaults });
        done(&admin, "settingsUpdate", input, "settings { version }").await;
        let input = json!({ "kind": "SERVICE", "teamId": team, "name": "k", "budgets": never });
        let (key, _) = api_key(&admin, input).await;
        Self { gateway: gateway(app).await, team, key, tier }
    }

    async fn hold(&self, name: &str) {
        let body = json!({ "keyId": self.key, "model": "gpt-4o", "mode": "reserve",
            "requestId": name, "endUser": "ada", "estimate": { "costUsd": "0.25" } });
        let answer = self.gateway.check(body).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
    }

    fn used(&self, name: &str, cost: &str) -> Value {
        let mut call = event(name, &self.key, cost);
        call["endUser"] = json!("ada");
        call["tags"] = json!(["red", "nightly"]);
        for (field, tokens) in [("inputTokens", 9), ("outputTokens", 7), ("cacheReadTokens", 3)] {
            call[field] = json!(tokens.to_string());
        }
        call
    }

    /// Holds, settles, gives up, repeats and corrects, many at a time.
    async fn be_busy(&self, app: &TestApp, day: &str) {
        let names: Vec<_> = (0..40).map(|number| format!("{day}-{number}")).collect();
        futures_util::future::join_all(names.iter().map(|name| self.hold(name))).await;
        let settle = names[..25].chunks(5).map(|names| {
            let events: Vec<_> = names.iter().map(|name| self.used(name, "0.3")).collect();
            record(&self.gateway, json!(events))
        });
        let unheld = (0..25).map(|number| {
            let event = self.used(&format!("{day}-u{}", number % 20), "0.001");
            record(&self.gateway, json!([event]))
        });
        let release = self.gateway.at("/v1/release");
        let released = release.post(json!({ "requestIds": names[25..32] }), &[]);
        let (settled, _, answer) = tokio::join!(
            futures_util::future::join_all(settle),
            futures_util::future::join_all(unheld),
            released
        );
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let corrected = &settled[0][0]["usageEventId"];
        for amount in ["-0.1", "5"] {
            let input = json!({ "usageEventId": corrected, "amount": amount, "reason": "r" });
            done(&app.admin(), "spendCorrect", input, "usageEvent { id }").await;
        }
    }
}

/// SECURITY 4, R18: whatever is reserved, reported, repeated, given up and corrected, on several days and
/// across a fork, the counters are the sums of the rows.
#[tokio::test]
async fn counters_agree_after_a_busy_day() {
    on_each_database_with(ROOM, async |app| {
        let place = Place::new(app).await;
        place.be_busy(app, "first").await;
        app.clock.set(app.clock.now() + TimeDelta::hours(13));
        app.app.enforcement().poll().await.unwrap();
        place.be_busy(app, "second").await;
        let edit = json!([{ "edit": { "budgetId": place.tier, "limits": { "maxSpend": "999" } } }]);
        let input = json!({ "id": place.team, "budgets": edit });
        done(&app.admin(), "teamUpdate", input, "team { id }").await;
        app.app.enforcement().poll().await.unwrap();
        place.be_busy(app, "third").await;
        done(&app.admin(), "apiKeyDelete", json!({ "ids": [place.key] }), "deletedIds").await;
        assert!(rows(app, "budget_windows WHERE reserved > 0").await > 3);
        let (breaches, summary) = look(&app.database().await).await;
        assert_eq!(breaches, []);
        assert_eq!(summary.rows["usage_events"], 3 * (25 + 20 + 2));
        assert!(summary.rows["reservations"] > 0 && summary.rows["usage_daily"] >= 2);
    })
    .await;
}

/// Each counter that was bent is told with what it counts and with what it should.
#[tokio::test]
async fn a_counter_that_was_bent_is_told_with_both_numbers() {
    on_each_database(async |app| {
        let place = Place::new(app).await;
        place.hold("held").await;
        record(&place.gateway, json!([place.used("used", "2")])).await;
        let (key, team) = (sql_id(app, &place.key), sql_id(app, &place.team));
        let tier = sql_id(app, &place.tier);
        let window = format!("scope_id = {team} AND budget_id = {tier}");
        let cases = [
            (
                format!("UPDATE budget_windows SET spent = 3000000000 WHERE {window}"),
                BreachKind::WindowSpentDiffers,
                "3 is counted as spent, and the events of the window cost 2",
                &place.tier,
            ),
            (
                format!("UPDATE budget_windows SET reserved = 0 WHERE {window}"),
                BreachKind::WindowReservedDiffers,
                "0 is counted as held, and the reservations of the window hold 0.25",
                &place.tier,
            ),
            (
                format!("UPDATE spend_totals SET spent = 0, requests = 4 WHERE scope_id = {key}"),
                BreachKind::SpendTotalDiffers,
                "requests: 4 is counted, and the events make 1; \
                 spend: 0 is counted, and the events make 2",
                &place.key,
            ),
            (
                format!("DELETE FROM spend_totals WHERE scope_id = {key}"),
                BreachKind::SpendTotalDiffers,
                "there is no total, and the events make requests: 1, inputTokens: 9, \
                 outputTokens: 7, spend: 2",
                &place.key,
            ),
            (
                "UPDATE usage_daily SET cache_read_tokens = 4".to_owned(),
                BreachKind::UsageDayDiffers,
                "cacheReadTokens: 4 is counted, and the events make 3",
                &place.key,
            ),
        ];
        let database = unguarded(app).await;
        for (bend, kind, message, last) in cases {
            let bent = bent(&database).await;
            assert_eq!(bent.execute_unprepared(&bend).await.unwrap().rows_affected(), 1, "{bend}");
            let (breaches, _) = look(&bent).await;
            let [breach] = breaches.as_slice() else { panic!("{bend}: {breaches:#?}") };
            assert_eq!((breach.kind, breach.message.as_str()), (kind, message));
            assert_eq!(breach.ids.last(), Some(last));
            bent.rollback().await.unwrap();
        }
        // An event that is gone is missed wherever it was counted.
        let bent = bent(&database).await;
        bent.execute_unprepared("DELETE FROM usage_events").await.unwrap();
        let (breaches, _) = look(&bent).await;
        let of = |kind| breaches.iter().filter(|breach| breach.kind == kind).count();
        // The tier as pot and for the team, the team's own, the key's, the tag's, the end user's.
        assert_eq!(of(BreachKind::WindowSpentDiffers), 6);
        // Organization, team, key and tag.
        assert_eq!(of(BreachKind::SpendTotalDiffers), 4);
        assert_eq!((of(BreachKind::UsageDayDiffers), breaches.len()), (1, 11));
        bent.rollback().await.unwrap();
    })
    .await;
}
