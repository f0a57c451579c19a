//! Tables of REFERENCE F4, and properties of windows.

use chrono_tz::{
    Africa::Casablanca,
    America::{New_York, Santiago},
    Antarctica::Troll,
    Asia::Kolkata,
    Australia::Lord_Howe,
    Europe::Berlin,
    Pacific::Apia,
    Tz,
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Zones with clock changes of an hour, half an hour and two hours, at midnight and at other
/// times, with none, and one that skipped a day.
const ZONES: [Tz; 9] =
    [Tz::UTC, Berlin, New_York, Lord_Howe, Kolkata, Apia, Santiago, Casablanca, Troll];

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn period(text: &str) -> Period {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Checks rows of period, instant, and the window's start and end in local time.
fn check_windows(zone: Tz, anchor: &str, rows: &[&str]) {
    for row in rows {
        let (text, rest) = row.split_once(' ').unwrap();
        let (at, expected) = rest.split_once(' ').unwrap();
        let window = period(text).window_at(zone, utc(anchor), utc(at));
        let local = |at: DateTime<Utc>| at.with_timezone(&zone).format("%FT%R%:z");
        let found = format!("{} {}", local(window.starts_at), local(window.ends_at));
        assert_eq!(found, expected, "{text} in {zone} from {anchor} at {at}");
    }
}

/// F4, C-A11: the window follows from the instant alone. 2026-03-18 is a Wednesday.
#[test]
fn legacy_periods_follow_the_calendar() {
    const ANCHOR: &str = "2026-02-10T09:30:00Z";
    const AT: &str = "2026-03-18T14:47:33.5Z";
    let rows = [
        ["1d", "2026-03-18T00:00:00", "2026-03-19T00:00:00"],
        ["24h", "2026-03-18T00:00:00", "2026-03-19T00:00:00"],
        ["daily", "2026-03-18T00:00:00", "2026-03-19T00:00:00"],
        ["7d", "2026-03-16T00:00:00", "2026-03-23T00:00:00"],
        ["1w", "2026-03-16T00:00:00", "2026-03-23T00:00:00"],
        ["weekly", "2026-03-16T00:00:00", "2026-03-23T00:00:00"],
        ["30d", "2026-03-01T00:00:00", "2026-04-01T00:00:00"],
        ["1mo", "2026-03-01T00:00:00", "2026-04-01T00:00:00"],
        ["monthly", "2026-03-01T00:00:00", "2026-04-01T00:00:00"],
        ["hourly", "2026-03-18T14:00:00", "2026-03-18T15:00:00"],
        ["1h", "2026-03-18T14:00:00", "2026-03-18T15:00:00"],
        ["2h", "2026-03-18T14:00:00", "2026-03-18T16:00:00"],
        ["3h", "2026-03-18T12:00:00", "2026-03-18T15:00:00"],
        ["4h", "2026-03-18T12:00:00", "2026-03-18T16:00:00"],
        ["6h", "2026-03-18T12:00:00", "2026-03-18T18:00:00"],
        ["8h", "2026-03-18T08:00:00", "2026-03-18T16:00:00"],
        ["12h", "2026-03-18T12:00:00", "2026-03-19T00:00:00"],
        ["15m", "2026-03-18T14:45:00", "2026-03-18T15:00:00"],
        ["1m", "2026-03-18T14:47:00", "2026-03-18T14:48:00"],
        ["30s", "2026-03-18T14:47:30", "2026-03-18T14:48:00"],
        // Beyond the parent unit the reference wraps; ours count on from midnight.
        ["90m", "2026-03-18T13:30:00", "2026-03-18T15:00:00"],
        ["45m", "2026-03-18T14:15:00", "2026-03-18T15:00:00"],
        // From the anchor's day, 36 days before.
        ["10d", "2026-03-12T00:00:00", "2026-03-22T00:00:00"],
        ["2w", "2026-03-10T00:00:00", "2026-03-24T00:00:00"],
        ["48h", "2026-03-18T00:00:00", "2026-03-20T00:00:00"],
        ["72h", "2026-03-18T00:00:00", "2026-03-21T00:00:00"],
        ["168h", "2026-03-17T00:00:00", "2026-03-24T00:00:00"],
        ["720h", "2026-03-12T00:00:00", "2026-04-11T00:00:00"],
        ["3mo", "2026-02-01T00:00:00", "2026-05-01T00:00:00"],
        // From the anchor, 869 h 17 min before.
        ["30h", "2026-03-17T09:30:00", "2026-03-18T15:30:00"],
        ["5h", "2026-03-18T10:30:00", "2026-03-18T15:30:00"],
    ];
    for [text, starts_at, ends_at] in rows {
        let window = period(text).window_at(Tz::UTC, utc(ANCHOR), utc(AT));
        let [starts_at, ends_at] = [starts_at, ends_at].map(|text| utc(&format!("{text}Z")));
        assert_eq!(window, Window { starts_at, ends_at }, "{text}");
    }
}

/// F4: also where the instant lies before the anchor, or on a boundary.
#[test]
fn windows_extend_to_both_sides_of_the_anchor() {
    check_windows(
        Tz::UTC,
        "2026-03-31T10:00:00Z",
        &[
            "10d 2026-03-30T23:00:00Z 2026-03-21T00:00+00:00 2026-03-31T00:00+00:00",
            "2mo 2026-02-28T23:00:00Z 2026-01-01T00:00+00:00 2026-03-01T00:00+00:00",
            "P1W 2026-04-07T10:00:00Z 2026-04-07T10:00+00:00 2026-04-14T10:00+00:00",
            "PT3H 2026-03-31T09:59:59Z 2026-03-31T07:00+00:00 2026-03-31T10:00+00:00",
            "P1M 2026-02-28T09:59:59Z 2026-01-31T10:00+00:00 2026-02-28T10:00+00:00",
            "P1M 2026-02-28T10:00:00Z 2026-02-28T10:00+00:00 2026-03-31T10:00+00:00",
            "P1M 2026-05-30T10:00:00Z 2026-04-30T10:00+00:00 2026-05-31T10:00+00:00",
        ],
    );
    check_windows(
        Tz::UTC,
        "2024-02-29T00:00:00Z",
        &["P1Y 2028-02-29T00:00:00Z 2028-02-29T00:00+00:00 2029-02-28T00:00+00:00"],
    );
}

/// SECURITY 6, "Windows": zones whose days have 23, 23.5, 24.5 and 25 hours.
#[test]
fn windows_survive_clock_changes() {
    let anchor = "2026-01-01T01:15:00Z";
    check_windows(
        Berlin,
        anchor,
        &[
            "1d 2026-03-29T12:00:00Z 2026-03-29T00:00+01:00 2026-03-30T00:00+02:00",
            "1d 2026-10-25T12:00:00Z 2026-10-25T00:00+02:00 2026-10-26T00:00+01:00",
            "12h 2026-10-25T12:00:00Z 2026-10-25T12:00+01:00 2026-10-26T00:00+01:00",
            // In March the clocks skip 02:00 to 03:00, in October they show it twice.
            "2h 2026-03-29T00:30:00Z 2026-03-29T00:00+01:00 2026-03-29T03:00+02:00",
            "2h 2026-10-25T01:30:00Z 2026-10-25T02:00+02:00 2026-10-25T04:00+01:00",
            "1h 2026-10-25T00:30:00Z 2026-10-25T02:00+02:00 2026-10-25T02:00+01:00",
            "1h 2026-10-25T01:30:00Z 2026-10-25T02:00+01:00 2026-10-25T03:00+01:00",
            "1m 2026-10-25T01:30:30Z 2026-10-25T02:30+01:00 2026-10-25T02:31+01:00",
            "P1D 2026-03-29T00:30:00Z 2026-03-28T02:15+01:00 2026-03-29T03:00+02:00",
            "P1D 2026-03-29T01:00:00Z 2026-03-29T03:00+02:00 2026-03-30T02:15+02:00",
            "P1D 2026-10-25T00:15:00Z 2026-10-25T02:15+02:00 2026-10-26T02:15+01:00",
            "PT24H 2026-03-29T12:00:00Z 2026-03-29T03:15+02:00 2026-03-30T03:15+02:00",
        ],
    );
    check_windows(
        New_York,
        anchor,
        &[
            "7d 2026-03-08T12:00:00Z 2026-03-02T00:00-05:00 2026-03-09T00:00-04:00",
            "30d 2026-11-15T12:00:00Z 2026-11-01T00:00-04:00 2026-12-01T00:00-05:00",
        ],
    );
    check_windows(
        Lord_Howe,
        anchor,
        &[
            "1d 2026-04-05T03:00:00Z 2026-04-05T00:00+11:00 2026-04-06T00:00+10:30",
            "1d 2026-10-04T03:00:00Z 2026-10-04T00:00+10:30 2026-10-05T00:00+11:00",
            "30m 2026-04-04T15:10:00Z 2026-04-05T01:30+10:30 2026-04-05T02:00+10:30",
            // Elapsed hours are off the full hour until midnight, which cuts the last one.
            "1h 2026-04-05T13:15:00Z 2026-04-05T23:30+10:30 2026-04-06T00:00+10:30",
        ],
    );
    check_windows(
        Kolkata,
        anchor,
        &["1h 2026-05-01T03:40:00Z 2026-05-01T09:00+05:30 2026-05-01T10:00+05:30"],
    );
    // In September the clocks skip midnight, in April they show the hour before it twice.
    check_windows(
        Santiago,
        anchor,
        &[
            "1d 2025-09-07T12:00:00Z 2025-09-07T01:00-03:00 2025-09-08T00:00-03:00",
            "1d 2025-04-06T03:30:00Z 2025-04-05T00:00-03:00 2025-04-06T00:00-04:00",
        ],
    );
}

/// SECURITY 6, "Windows": Apia went from 2011-12-29 straight to 2011-12-31.
#[test]
fn a_skipped_day_has_no_window() {
    check_windows(
        Apia,
        "2011-12-29T20:00:00Z",
        &[
            "1d 2011-12-30T09:59:59Z 2011-12-29T00:00-10:00 2011-12-31T00:00+14:00",
            "1d 2011-12-30T10:00:00Z 2011-12-31T00:00+14:00 2012-01-01T00:00+14:00",
            "P1D 2011-12-30T10:00:00Z 2011-12-31T00:00+14:00 2011-12-31T10:00+14:00",
            "7d 2011-12-30T10:00:00Z 2011-12-26T00:00-10:00 2012-01-02T00:00+14:00",
        ],
    );
}

/// SECURITY 6, "Windows": the 31st clamps and does not drift.
#[test]
fn a_month_anchored_on_the_31st_comes_back_to_it() {
    let anchor = utc("2024-01-31T08:00:00Z");
    let mut at = anchor;
    let mut days = Vec::new();
    for _ in 0..14 {
        days.push(at.day());
        at = period("P1M").window_at(Tz::UTC, anchor, at).ends_at;
    }
    assert_eq!(days, [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28]);
}

#[test]
fn extreme_instants_have_a_window() {
    let (min, max) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let tick = TimeDelta::nanoseconds(1);
    for text in ["7s", "1m", "12h", "1d", "7d", "3653d", "120mo", "P1D", "P10Y", "PT5H"] {
        for zone in ZONES {
            for anchor in [min, EARLIEST, LATEST, max] {
                let window = |at| period(text).window_at(zone, anchor, at);
                assert_eq!(window(min), Window { starts_at: min, ends_at: EARLIEST });
                assert_eq!(window(max), Window { starts_at: LATEST, ends_at: max });
                assert_eq!(window(EARLIEST).starts_at, EARLIEST);
                assert_eq!(window(LATEST - tick).ends_at, LATEST);
            }
        }
    }
}

#[test]
fn a_leap_second_belongs_to_the_window_it_ends() {
    let leap = utc("2016-12-31T23:59:60.5Z");
    for text in ["1s", "7s", "1m", "1h", "1d", "1mo", "PT1S", "P1D", "P1M"] {
        for anchor in [leap, utc("2016-01-01T00:00:00Z")] {
            let window = period(text).window_at(Tz::UTC, anchor, leap);
            assert!(window.starts_at <= leap && leap < window.ends_at, "{text}: {window:?}");
        }
    }
}

/// F4: equal texts are equal periods, and the text that is shown.
#[test]
fn periods_have_one_canonical_text() {
    let rows = [
        ("1d", "1d"),
        ("daily", "1d"),
        ("24h", "1d"),
        ("1440m", "1d"),
        ("86400s", "1d"),
        ("007d", "7d"),
        ("1w", "7d"),
        ("weekly", "7d"),
        ("168h", "168h"),
        ("30d", "1mo"),
        ("monthly", "1mo"),
        ("720h", "720h"),
        ("12mo", "12mo"),
        ("2w", "14d"),
        ("48h", "2d"),
        ("60m", "1h"),
        ("hourly", "1h"),
        ("90m", "90m"),
        ("45s", "45s"),
        ("30h", "PT30H"),
        ("7s", "PT7S"),
        ("PT90M", "PT1H30M"),
        ("PT24H", "PT24H"),
        ("P1W", "P7D"),
        ("P1W1D", "P8D"),
        ("P1Y6M", "P1Y6M"),
        ("P18M", "P1Y6M"),
        ("P1D", "P1D"),
    ];
    for (text, canonical) in rows {
        assert_eq!(period(text).to_string(), canonical, "{text}");
        assert_eq!(period(canonical), period(text), "{text}");
    }
}

/// F4, T-NEW-15: what the reference misreads is refused with a hint.
#[test]
fn unknown_texts_are_refused() {
    use PeriodError::{
        MissingUnit, MixedUnits, NotPositive, TextAfterUnit, TooLong, Unreadable, UnreadableIso,
    };
    let after = |text: &str| TextAfterUnit { instead: text.to_owned() };
    let rows = [
        ("", Unreadable),
        ("d", Unreadable),
        ("1y", Unreadable),
        ("1D", Unreadable),
        ("+1d", Unreadable),
        (" 1d", Unreadable),
        ("1 d", Unreadable),
        ("1.5h", Unreadable),
        ("1d12h", Unreadable),
        ("yearly", Unreadable),
        ("Daily", Unreadable),
        ("١d", Unreadable),
        ("30", MissingUnit { number: 30 }),
        ("1hr", after("1h")),
        ("10days", after("10d")),
        ("1month", after("1mo")),
        ("5min", after("5m")),
        ("1d ", after("1d")),
        ("0d", NotPositive),
        ("0mo", NotPositive),
        ("-1d", NotPositive),
        ("P0D", NotPositive),
        ("PT0H0S", NotPositive),
        ("3654d", TooLong),
        ("121mo", TooLong),
        ("P11Y", TooLong),
        ("P3653DT1S", TooLong),
        ("99999999999999999999s", TooLong),
        ("4294967295mo", TooLong),
        ("P", UnreadableIso),
        ("PT", UnreadableIso),
        ("P1DT", UnreadableIso),
        ("P1H", UnreadableIso),
        ("PT1D", UnreadableIso),
        ("P1D1W", UnreadableIso),
        ("P1D1D", UnreadableIso),
        ("PT1.5H", UnreadableIso),
        ("P-1D", UnreadableIso),
        ("P1d", UnreadableIso),
        ("P1", UnreadableIso),
        ("P1MT1H", MixedUnits),
        ("P1M1D", MixedUnits),
        ("P1DT12H", MixedUnits),
    ];
    for (text, error) in rows {
        assert_eq!(text.parse::<Period>(), Err(error.clone()), "{text}");
        assert!(!error.to_string().ends_with('.'), "{error}");
        if error != MixedUnits {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }
    assert_eq!(after("1h").to_string(), "write `1h`, with nothing after the unit");
    assert_eq!(
        TooLong.to_string(),
        "write a length of at most ten years, which is `120mo` or `3653d`"
    );
}

#[test]
fn periods_compare_by_nominal_length() {
    let sorted = ["1s", "59m", "1h", "30h", "2d", "7d", "8d", "1mo", "31d", "P1Y", "365d"];
    for pair in sorted.windows(2) {
        let [short, long] = [period(pair[0]), period(pair[1])];
        assert!(short < long, "{short} {long}");
        assert!(long.is_at_least_as_long_as(&short) && !short.is_at_least_as_long_as(&long));
    }
    for (one, other) in [("7d", "P7D"), ("7d", "168h"), ("30d", "P1M"), ("1d", "PT24H")] {
        let [one, other] = [period(one), period(other)];
        assert!(one.is_at_least_as_long_as(&other) && other.is_at_least_as_long_as(&one));
        assert_ne!(one.cmp(&other), Ordering::Equal, "{one} is not {other}");
    }
    assert_eq!(period("1w"), period("7d"));
}

/// F4: plain expiry rolls, and months clip to the month's end, also across December.
#[test]
fn spans_roll_from_the_instant() {
    let rows = [
        ("30s", "PT30S", "2025-11-30T12:00:30Z"),
        ("5m", "PT5M", "2025-11-30T12:05:00Z"),
        ("12h", "PT12H", "2025-12-01T00:00:00Z"),
        ("10d", "P10D", "2025-12-10T12:00:00Z"),
        ("2w", "P14D", "2025-12-14T12:00:00Z"),
        ("30d", "P30D", "2025-12-30T12:00:00Z"),
        ("monthly", "P30D", "2025-12-30T12:00:00Z"),
        ("3mo", "P3M", "2026-02-28T12:00:00Z"),
        ("14mo", "P1Y2M", "2027-01-30T12:00:00Z"),
        ("P1DT2H", "P1DT2H", "2025-12-01T14:00:00Z"),
        ("PT90S", "PT1M30S", "2025-11-30T12:01:30Z"),
        ("PT36H", "P1DT12H", "2025-12-02T00:00:00Z"),
        ("P1Y1M1W1DT1H1M1S", "P1Y1M8DT1H1M1S", "2027-01-07T13:01:01Z"),
    ];
    for (text, canonical, then) in rows {
        let span = parse_duration(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(span.to_string(), canonical, "{text}");
        assert_eq!(parse_duration(canonical), Ok(span), "{text}");
        assert_eq!(span.after(utc("2025-11-30T12:00:00Z")), Some(utc(then)), "{text}");
    }
    assert_eq!(parse_duration("P1DT2H").unwrap().total_seconds(), Some(93_600));
    assert_eq!(parse_duration("P1MT2H").unwrap().total_seconds(), None);
    assert_eq!(parse_duration("1s").unwrap().after(DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(parse_duration("1mo").unwrap().after(DateTime::<Utc>::MAX_UTC), None);
}

fn any_period() -> impl Strategy<Value = Period> {
    let legacy = (1_u32..4_000, select(vec!["s", "m", "h", "d", "w", "mo"]))
        .prop_map(|(count, unit)| format!("{count}{unit}"));
    let iso = (
        1_u32..4_000,
        select(vec![
            ("P", 'Y'),
            ("P", 'M'),
            ("P", 'W'),
            ("P", 'D'),
            ("PT", 'H'),
            ("PT", 'M'),
            ("PT", 'S'),
        ]),
    )
        .prop_map(|(count, (prefix, unit))| format!("{prefix}{count}{unit}"));
    let common = select(vec![
        "1s", "10s", "1m", "15m", "30m", "45m", "1h", "90m", "2h", "5h", "6h", "12h", "30h", "1d",
        "7d", "10d", "30d", "48h", "168h", "3mo", "P1D", "P7D", "P1M", "P1Y", "PT1H",
    ])
    .prop_map(str::to_owned);
    prop_oneof![legacy, iso, common].prop_filter_map("above ten years", |text| text.parse().ok())
}

/// Instants of 1970 to 2100, half of them within three hours of a clock change.
fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    let changes = [
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2026-04-04T15:00:00Z",
        "2026-10-03T15:30:00Z",
        "2011-12-30T10:00:00Z",
        "2025-04-06T03:00:00Z",
        "2025-09-07T04:00:00Z",
    ]
    .map(|text| utc(text).timestamp());
    let near = (select(changes.to_vec()), -10_800_i64..10_800).prop_map(|(at, by)| at + by);
    (prop_oneof![near, 0_i64..4_102_444_800], prop_oneof![Just(0_u32), 0_u32..1_000_000_000])
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// SECURITY 6, "Windows": each instant has one window, and windows meet.
    #[test]
    fn windows_tile_time(
        period in any_period(), zone in select(&ZONES),
        anchor in any_instant(), at in any_instant(),
    ) {
        let window = |at| period.window_at(zone, anchor, at);
        let here = window(at);
        prop_assert!(here.starts_at <= at && at < here.ends_at);
        prop_assert_eq!(window(here.starts_at), here);
        let tick = TimeDelta::nanoseconds(1);
        prop_assert_eq!(window(here.ends_at - tick), here);
        prop_assert_eq!(window(here.ends_at).starts_at, here.ends_at);
        prop_assert_eq!(window(here.starts_at - tick).ends_at, here.starts_at);
    }

    /// SECURITY 6, "Windows": a later instant never has an earlier window.
    #[test]
    fn windows_never_go_back(
        period in any_period(), zone in select(&ZONES), anchor in any_instant(),
        mut instants in vec(any_instant(), 2..6),
    ) {
        instants.sort_unstable();
        let windows: Vec<_> =
            instants.iter().map(|at| period.window_at(zone, anchor, *at)).collect();
        for pair in windows.windows(2) {
            prop_assert!(pair[0] == pair[1] || pair[0].ends_at <= pair[1].starts_at);
        }
    }

    /// SECURITY 6, "Windows": a boundary keeps the anchor's day or the month's last one.
    #[test]
    fn months_clamp_without_drift(
        months in 1_u32..=12, anchor in any_instant(), at in any_instant(),
    ) {
        let period = period(&format!("P{months}M"));
        let starts_at = period.window_at(Tz::UTC, anchor, at).starts_at;
        let last_day = u32::from(starts_at.num_days_in_month());
        prop_assert_eq!(starts_at.day(), anchor.day().min(last_day));
        prop_assert_eq!(starts_at.time(), anchor.time());
    }

    /// F4: a boundary is where the local clock first reaches it.
    #[test]
    fn calendar_boundaries_are_the_first_instant(
        text in select(vec!["2h", "12h", "1d", "7d", "30d", "10d"]),
        zone in select(&ZONES), anchor in any_instant(), at in any_instant(),
    ) {
        let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
        let starts_at = period(text).window_at(zone, anchor, at).starts_at;
        let before = local(starts_at - TimeDelta::seconds(1));
        let skipped = local(starts_at) - before != TimeDelta::seconds(1);
        prop_assert!(skipped || local(starts_at).time().format("%M:%S").to_string() == "00:00");
        prop_assert!(before < local(starts_at));
    }

    #[test]
    fn period_texts_round_trip(period in any_period()) {
        prop_assert_eq!(period.to_string().parse(), Ok(period));
    }

    #[test]
    fn span_texts_round_trip(months in 0_u32..=60, seconds in 1_u32..=60_000_000) {
        let span = Span { months, seconds };
        prop_assert_eq!(parse_duration(&span.to_string()), Ok(span));
    }

    #[test]
    fn the_order_agrees_with_the_nominal_length(one in any_period(), other in any_period()) {
        prop_assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
        prop_assert_eq!(one.cmp(&other) == Ordering::Equal, one == other);
        if one > other {
            prop_assert!(one.is_at_least_as_long_as(&other));
        }
    }

    #[test]
    fn no_text_panics(
        text in prop_oneof![any::<String>(), "[P0-9]{0,12}[PTYMWDHSsmhdwo0-9 .-]{0,12}"],
    ) {
        if let Ok(period) = text.parse::<Period>() {
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
        if let Ok(span) = parse_duration(&text) {
            prop_assert_eq!(parse_duration(&span.to_string()), Ok(span));
        }
    }
}
