//! Windows, and what a change of the period does to them.

use chrono::TimeDelta;
use entity::id::{BudgetId, Id};

use super::*;

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn budget(period: Option<&str>, zone: &str) -> budget::Model {
    let made = at("2026-01-10T12:00:00Z");
    budget::Model {
        id: BudgetId::from_uuid(uuid::Uuid::nil()),
        organization_id: None,
        external_id: None,
        name: None,
        search_text: String::new(),
        owner_kind: None,
        owner_id: None,
        max_spend: Some(Usd::from_nanos(100)),
        soft_spend: None,
        period: period.map(str::to_owned),
        time_zone: zone.to_owned(),
        anchor_at: made,
        former_period: None,
        former_time_zone: None,
        former_anchor_at: None,
        period_changes_at: None,
        temporary_increase: None,
        temporary_increase_ends_at: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        max_parallel_requests: None,
        model_pattern: None,
        version: 1,
        created_at: made,
        created_by: String::new(),
        updated_at: made,
        updated_by: String::new(),
    }
}

/// A budget whose period was changed at an instant.
fn changed(before: &budget::Model, period: Option<&str>, zone: &str, now: &str) -> budget::Model {
    let mut after = before.clone();
    after.period = period.map(str::to_owned);
    zone.clone_into(&mut after.time_zone);
    schedule(before, &mut after, at(now));
    after
}

fn window(budget: &budget::Model, now: &str) -> (String, String) {
    let window = window_at(budget, at(now));
    let end = window.ends_at.map_or("-".to_owned(), |end| end.to_rfc3339());
    (window.starts_at.to_rfc3339().replace("+00:00", "Z"), end.replace("+00:00", "Z"))
}

/// SECURITY 6, "Windows": a new period begins at the end of the current window, whichever is longer.
#[test]
fn a_changed_period_begins_at_the_next_boundary() {
    let month = budget(Some("1mo"), "UTC");
    let daily = changed(&month, Some("1d"), "UTC", "2026-02-10T09:00:00Z");
    assert_eq!(window(&daily, "2026-02-10T09:00:00Z").1, "2026-03-01T00:00:00Z");
    assert_eq!(window(&daily, "2026-02-28T23:59:59Z").0, "2026-02-01T00:00:00Z");
    let first = ("2026-03-01T00:00:00Z".to_owned(), "2026-03-02T00:00:00Z".to_owned());
    assert_eq!(window(&daily, "2026-03-01T00:00:00Z"), first);
    // The other way: the first month is short.
    let monthly = changed(&budget(Some("1d"), "UTC"), Some("1mo"), "UTC", "2026-02-10T09:00:00Z");
    let today = ("2026-02-10T00:00:00Z".to_owned(), "2026-02-11T00:00:00Z".to_owned());
    assert_eq!(window(&monthly, "2026-02-10T23:00:00Z"), today);
    let rest = ("2026-02-11T00:00:00Z".to_owned(), "2026-03-01T00:00:00Z".to_owned());
    assert_eq!(window(&monthly, "2026-02-11T00:00:00Z"), rest);
    // A call of before the period began, which comes late, has a window that ended then.
    let hourly = changed(&budget(None, "UTC"), Some("1h"), "UTC", "2026-02-10T11:05:00Z");
    let again = changed(&hourly, Some("1d"), "UTC", "2026-02-10T11:06:00Z");
    for budget in [&hourly, &again] {
        let late = ("2026-02-10T10:00:00Z".to_owned(), "2026-02-10T11:00:00Z".to_owned());
        assert_eq!(window(&again, "2026-02-10T10:59:00Z"), late);
        let late = ("2026-02-10T11:00:00Z".to_owned(), "2026-02-10T11:05:00Z".to_owned());
        assert_eq!(window(&again, "2026-02-10T11:04:59Z"), late);
        let current = ("2026-02-10T11:05:00Z".to_owned(), "2026-02-10T12:00:00Z".to_owned());
        assert_eq!(window(budget, "2026-02-10T11:30:00Z"), current);
    }
    // A rolling period is whole from its first window on.
    let rolling = changed(&budget(Some("1d"), "UTC"), Some("P30D"), "UTC", "2026-02-10T09:00:00Z");
    let whole = ("2026-02-11T00:00:00Z".to_owned(), "2026-03-13T00:00:00Z".to_owned());
    assert_eq!(window(&rolling, "2026-02-20T00:00:00Z"), whole);
}

/// A window without end has no boundary: the first period begins at once, and does not begin again.
#[test]
fn a_first_period_begins_at_once() {
    let endless = budget(None, "UTC");
    assert_eq!(window(&endless, "2030-01-01T00:00:00Z").1, "-");
    let monthly = changed(&endless, Some("1mo"), "UTC", "2026-02-10T09:00:00Z");
    let before = ("2026-01-10T12:00:00Z".to_owned(), "2026-02-10T09:00:00Z".to_owned());
    assert_eq!(window(&monthly, "2026-02-10T08:59:59Z"), before);
    let first = ("2026-02-10T09:00:00Z".to_owned(), "2026-03-01T00:00:00Z".to_owned());
    assert_eq!(window(&monthly, "2026-02-10T09:00:00Z"), first);
    let again = changed(&monthly, None, "UTC", "2026-02-12T00:00:00Z");
    assert_eq!(window(&again, "2026-02-20T00:00:00Z"), first);
    assert_eq!(
        window(&again, "2026-04-20T00:00:00Z"),
        ("2026-03-01T00:00:00Z".to_owned(), "-".to_owned())
    );
}

/// The reference puts the reset off with each update: here the boundary stays where it is, however
/// often the period is changed before it, and a change that is taken back leaves no trace.
#[test]
fn no_number_of_changes_moves_the_boundary() {
    let month = budget(Some("1mo"), "UTC");
    let mut changing = month.clone();
    for (day, period) in [(2, "1d"), (5, "7d"), (9, "P30D"), (20, "1h")] {
        let now = format!("2026-02-{day:02}T09:00:00Z");
        changing = changed(&changing, Some(period), "Europe/Berlin", &now);
        assert_eq!(window(&changing, &now).1, "2026-03-01T00:00:00Z", "{period}");
        assert_eq!(pending_change(&changing, at(&now)), Some(at("2026-03-01T00:00:00Z")));
    }
    let back = changed(&changing, Some("1mo"), "UTC", "2026-02-27T00:00:00Z");
    assert_eq!(back, month);
    assert_eq!(pending_change(&changing, at("2026-03-01T00:00:00Z")), None);
    // Once it holds, the next change is held against it.
    let next = changed(&changing, Some("1mo"), "UTC", "2026-03-01T09:30:00Z");
    assert_eq!(window(&next, "2026-03-01T09:30:00Z").1, "2026-03-01T10:00:00Z");
}

/// SECURITY 6: whatever is changed when, windows tile time: each begins where the one before ends.
#[test]
fn windows_tile_time_across_changes() {
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];
    let periods =
        [Some("1d"), Some("7d"), Some("1mo"), Some("P1M"), Some("12h"), Some("PT36H"), None];
    for zone in zones {
        for from in periods {
            for to in periods {
                // A week before and after the end of daylight saving time.
                let before = budget(from, zone);
                let after = changed(&before, to, "Europe/Berlin", "2026-03-26T13:00:00Z");
                let mut now = at("2026-03-01T00:00:00Z");
                for _ in 0..400 {
                    let window = window_at(&after, now);
                    assert!(window.ends_at.is_none_or(|end| now < end), "{zone} {from:?} {to:?}");
                    let Some(end) = window.ends_at else { break };
                    let next = window_at(&after, end);
                    assert_eq!(next.starts_at, end, "{zone} {from:?} {to:?} {now}");
                    assert_eq!(window_at(&after, end - TimeDelta::microseconds(1)), window);
                    now = end;
                }
            }
        }
    }
}

#[test]
fn more_may_be_spent_until_it_is_over() {
    let mut row = budget(Some("1d"), "UTC");
    row.temporary_increase = Some(Usd::from_nanos(50));
    row.temporary_increase_ends_at = Some(at("2026-02-01T00:00:00Z"));
    let max = |now: &str| max_spend_at(&row, at(now)).map(Usd::nanos);
    assert_eq!(max("2026-01-31T23:59:59Z"), Some(150));
    assert_eq!(max("2026-02-01T00:00:00Z"), Some(100));
    let endless = budget::Model { max_spend: None, ..row.clone() };
    assert_eq!(max_spend_at(&endless, at("2026-01-31T00:00:00Z")), None);
}
