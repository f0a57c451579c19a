//! Budget periods, the windows they cut time into, and plain durations (REFERENCE F4).
//!
//! A legacy text (`1d`, `7d`, `30d`, `12h`) follows the calendar of a zone; an ISO 8601 text
//! (`P1D`, `P1M`, `PT1H`) rolls from an anchor. A window is worked out from period, zone, anchor
//! and instant alone, so there is no reset date to store, miss or postpone (C-A11, C-T22).
//!
//! Everything here is pure: instants are arguments and no clock is read.

use std::{cmp::Ordering, fmt, str::FromStr};

use chrono::{
    DateTime, Datelike, MappedLocalTime, Months, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{GapInfo, Tz};
use thiserror::Error;

const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
const WEEK_DAYS: u32 = 7;
/// The length of a month where two lengths are compared; the reference equates `30d` and `1mo` too.
const NOMINAL_MONTH_DAYS: u32 = 30;
const MAX_MONTHS: u32 = 120;
/// Ten years with the most leap days they can have.
const MAX_DAYS: u32 = 3_653;

/// The first instant with ordinary windows: 0001-01-01T00:00:00Z.
const EARLIEST: DateTime<Utc> =
    DateTime::from_timestamp(-62_135_596_800, 0).expect("chrono reaches 262,000 years back");
/// The first instant without ordinary windows: 10000-01-01T00:00:00Z.
const LATEST: DateTime<Utc> =
    DateTime::from_timestamp(253_402_300_800, 0).expect("chrono reaches 262,000 years ahead");

/// How often a budget starts anew, at most ten years (REFERENCE F4, T-NEW-14).
///
/// | Text | Windows |
/// |---|---|
/// | `1d`, `24h`, `daily` | calendar days |
/// | `7d`, `1w`, `weekly` | weeks that start on Monday |
/// | `30d`, `1mo`, `monthly` | calendar months |
/// | other `Nd`, `Nw` | N calendar days each, counted from the anchor's day |
/// | `Nmo`, N > 1 | N calendar months each, counted from the anchor's month |
/// | `Nh`, `Nm`, `Ns` that divide a day, `hourly` | multiples of N counted from local midnight |
/// | `Nh`, `Nm`, `Ns` that are whole days | N calendar days each, counted from the anchor's day |
/// | other `Nh`, `Nm`, `Ns` | elapsed time, rolling from the anchor |
/// | `PnY`, `PnM` | rolling months from the anchor's local time, clamped to the month's end |
/// | `PnW`, `PnD` | rolling days from the anchor's local time |
/// | `PTnH`, `PTnM`, `PTnS` | elapsed time, rolling from the anchor |
///
/// `168h` and `720h` count from the anchor's day; only `7d` and `30d` have the older meaning of a
/// week and a month. Calendar windows start at midnight in the zone.
///
/// The order is by [`Period::nominal_seconds`]; periods of one nominal length and different
/// meaning are not equal and have a fixed, otherwise meaningless order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period(Kind);

/// What a period means; each number is at least 1 and within the ten-year bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// Seconds that divide a day, counted from local midnight.
    Clock(u32),
    /// Calendar days, counted from the anchor's day.
    Days(u32),
    /// A calendar week.
    Week,
    /// Calendar months, counted from the anchor's month.
    Months(u32),
    /// Elapsed seconds from the anchor.
    RollingSeconds(u32),
    /// Days at the anchor's local time.
    RollingDays(u32),
    /// Months at the anchor's local day and time.
    RollingMonths(u32),
}

/// One run of a period: from `starts_at` up to, and without, `ends_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first instant of the window; it names the window.
    pub starts_at: DateTime<Utc>,
    /// The first instant after the window, and the start of the next one.
    pub ends_at: DateTime<Utc>,
}

/// Why a text is not a period or duration; each message says what to write instead (T-NEW-15).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// The text is not of a known form.
    #[error(
        "write one number and one unit of s, m, h, d, w or mo, such as `30d`, \
         or an ISO 8601 duration, such as `P1M`"
    )]
    Unreadable,
    /// The text is a number alone.
    #[error("add a unit of s, m, h, d, w or mo, such as `{number}d`")]
    MissingUnit {
        /// The number that was read.
        number: u32,
    },
    /// Something follows the unit; the reference ignores it, so `10days` meant `10d`.
    #[error("write `{instead}`, with nothing after the unit")]
    TextAfterUnit {
        /// The part that was understood.
        instead: String,
    },
    /// The text starts with `P` and is not an ISO 8601 duration in whole numbers.
    #[error(
        "write an ISO 8601 duration in whole numbers and capital letters, largest unit first, \
         such as `P1M`, `P7D` or `PT12H`"
    )]
    UnreadableIso,
    /// A period mixes units that have no fixed ratio.
    #[error(
        "use only years and months, only weeks and days, or only hours, minutes and seconds, \
         such as `P1M`, `P7D` or `PT36H`"
    )]
    MixedUnits,
    /// The length is zero or negative.
    #[error("write a length above zero, such as `1d`")]
    NotPositive,
    /// The length is above ten years.
    #[error("write a length of at most ten years, which is `{MAX_MONTHS}mo` or `{MAX_DAYS}d`")]
    TooLong,
}

impl Period {
    /// The window that holds `at`: `starts_at <= at < ends_at`, also for `at` before `anchor`.
    ///
    /// All windows of one period, zone and anchor tile time without gap or overlap. Each boundary
    /// is counted from the anchor and never from the boundary before, so that a month anchored on
    /// the 31st comes back to the 31st (SECURITY 6, "Windows").
    ///
    /// A boundary is the first instant at which the clocks of `zone` have reached its local time:
    /// one that is skipped moves to the end of the gap, and one that occurs twice takes the
    /// earlier. Hence a calendar day may last 23, 23.5, 24 or 25 hours. Periods up to one hour
    /// count elapsed time from local midnight instead, because a minute must not last an hour when
    /// the clocks go back; the next midnight cuts their last window.
    ///
    /// Instants before year 1 share one window, and so do those after year 9999; only for
    /// [`DateTime::<Utc>::MAX_UTC`] itself is `at` equal to `ends_at`.
    pub fn window_at(&self, zone: Tz, anchor: DateTime<Utc>, at: DateTime<Utc>) -> Window {
        if at < EARLIEST {
            return Window { starts_at: DateTime::<Utc>::MIN_UTC, ends_at: EARLIEST };
        }
        if at >= LATEST {
            return Window { starts_at: LATEST, ends_at: DateTime::<Utc>::MAX_UTC };
        }
        let anchor = anchor.clamp(EARLIEST, LATEST);
        let window = match self.0 {
            Kind::Clock(seconds) if seconds <= HOUR => {
                let day = Grid::new(Kind::Days(1), zone, anchor).window_at(at);
                elapsed_part(day, seconds, at)
            }
            kind => Grid::new(kind, zone, anchor).window_at(at),
        };
        Window { starts_at: window.starts_at.max(EARLIEST), ends_at: window.ends_at.min(LATEST) }
    }

    /// The length in seconds with every day at 86,400 seconds and every month at 30 days.
    pub fn nominal_seconds(&self) -> u64 {
        let seconds = match self.0 {
            Kind::Clock(seconds) | Kind::RollingSeconds(seconds) => seconds,
            Kind::Days(days) | Kind::RollingDays(days) => days * DAY,
            Kind::Week => WEEK_DAYS * DAY,
            Kind::Months(months) | Kind::RollingMonths(months) => months * NOMINAL_MONTH_DAYS * DAY,
        };
        u64::from(seconds)
    }

    /// Whether the nominal length is that of `other` or above, whatever the two are aligned to.
    ///
    /// This is how the period of a child's cap is compared with its parent's.
    pub fn is_at_least_as_long_as(&self, other: &Self) -> bool {
        self.nominal_seconds() >= other.nominal_seconds()
    }
}

impl Ord for Period {
    fn cmp(&self, other: &Self) -> Ordering {
        // The second key keeps the order consistent with equality: `1d` is not `P1D`.
        self.nominal_seconds().cmp(&other.nominal_seconds()).then(self.0.cmp(&other.0))
    }
}

impl PartialOrd for Period {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let (notation, length) = read(text)?;
        let kind = match (notation, length.months, length.days, length.seconds) {
            (Notation::Legacy, months, 0, 0) => Kind::Months(months),
            (Notation::Legacy, 0, NOMINAL_MONTH_DAYS, 0) => Kind::Months(1),
            (Notation::Legacy, 0, WEEK_DAYS, 0) => Kind::Week,
            (Notation::Legacy, 0, days, 0) => Kind::Days(days),
            (Notation::Legacy, 0, 0, seconds) if seconds.is_multiple_of(DAY) => {
                Kind::Days(seconds / DAY)
            }
            (Notation::Legacy, 0, 0, seconds) if DAY.is_multiple_of(seconds) => {
                Kind::Clock(seconds)
            }
            (Notation::Iso, months, 0, 0) => Kind::RollingMonths(months),
            (Notation::Iso, 0, days, 0) => Kind::RollingDays(days),
            (_, 0, 0, seconds) => Kind::RollingSeconds(seconds),
            _ => return Err(PeriodError::MixedUnits),
        };
        Ok(Self(kind))
    }
}

/// The canonical text: parsing it gives the same period, and equal periods have equal texts.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Clock(seconds) if seconds.is_multiple_of(HOUR) => {
                write!(f, "{}h", seconds / HOUR)
            }
            Kind::Clock(seconds) if seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            Kind::Clock(seconds) => write!(f, "{seconds}s"),
            // As days, these two would read as a week and a month.
            Kind::Days(days @ (WEEK_DAYS | NOMINAL_MONTH_DAYS)) => write!(f, "{}h", days * 24),
            Kind::Days(days) => write!(f, "{days}d"),
            Kind::Week => write!(f, "{WEEK_DAYS}d"),
            Kind::Months(months) => write!(f, "{months}mo"),
            Kind::RollingSeconds(seconds) => Length { seconds, ..Length::default() }.fmt(f),
            Kind::RollingDays(days) => Length { days, ..Length::default() }.fmt(f),
            Kind::RollingMonths(months) => Length { months, ..Length::default() }.fmt(f),
        }
    }
}

/// The window of `seconds` elapsed seconds inside `day` that holds `at`.
fn elapsed_part(day: Window, seconds: u32, at: DateTime<Utc>) -> Window {
    let since_midnight = at.timestamp() - day.starts_at.timestamp();
    let into_window = since_midnight.rem_euclid(i64::from(seconds));
    let starts_at = day.starts_at + TimeDelta::seconds(since_midnight - into_window);
    let ends_at = starts_at + TimeDelta::seconds(i64::from(seconds));
    Window { starts_at, ends_at: ends_at.min(day.ends_at) }
}

/// Window boundaries as equal steps of local time from an origin.
///
/// Boundaries never decrease with their index; two are equal where a zone skips a whole step, as
/// Pacific/Apia skipped 2011-12-30. Instants and anchors lie in the years 1 to 9999, so nothing
/// computed from them here comes near the limits of chrono.
struct Grid {
    zone: Tz,
    origin: NaiveDateTime,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Seconds(u32),
    Months(u32),
}

impl Grid {
    fn new(kind: Kind, zone: Tz, anchor: DateTime<Utc>) -> Self {
        let local = anchor.with_timezone(&zone).naive_local();
        let midnight = local.date().and_time(NaiveTime::MIN);
        let days_before = |days: u32| midnight - TimeDelta::days(i64::from(days));
        let (zone, origin, step) = match kind {
            // The local 1970-01-01 serves as well as any midnight: the step divides a day.
            Kind::Clock(seconds) => {
                (zone, DateTime::UNIX_EPOCH.naive_utc(), Step::Seconds(seconds))
            }
            Kind::Days(days) => (zone, midnight, Step::Seconds(days * DAY)),
            Kind::Week => {
                let monday = days_before(local.weekday().num_days_from_monday());
                (zone, monday, Step::Seconds(WEEK_DAYS * DAY))
            }
            Kind::Months(months) => (zone, days_before(local.day0()), Step::Months(months)),
            // Elapsed time is local time where the clocks never change.
            Kind::RollingSeconds(seconds) => (Tz::UTC, anchor.naive_utc(), Step::Seconds(seconds)),
            Kind::RollingDays(days) => (zone, local, Step::Seconds(days * DAY)),
            Kind::RollingMonths(months) => (zone, local, Step::Months(months)),
        };
        Self { zone, origin, step }
    }

    fn window_at(&self, at: DateTime<Utc>) -> Window {
        // The guess is a few steps off at most: clock changes and short months move boundaries.
        let mut index = self.guess(at);
        let mut starts_at = self.boundary(index);
        while starts_at > at {
            index -= 1;
            starts_at = self.boundary(index);
        }
        let mut ends_at = self.boundary(index + 1);
        while ends_at <= at {
            index += 1;
            starts_at = ends_at;
            ends_at = self.boundary(index + 1);
        }
        Window { starts_at, ends_at }
    }

    fn guess(&self, at: DateTime<Utc>) -> i64 {
        let local = at.with_timezone(&self.zone).naive_local();
        match self.step {
            Step::Seconds(seconds) => {
                (local - self.origin).num_seconds().div_euclid(i64::from(seconds))
            }
            Step::Months(months) => {
                let month =
                    |date: NaiveDateTime| i64::from(date.year()) * 12 + i64::from(date.month0());
                (month(local) - month(self.origin)).div_euclid(i64::from(months))
            }
        }
    }

    fn boundary(&self, index: i64) -> DateTime<Utc> {
        let local = match self.step {
            Step::Seconds(seconds) => TimeDelta::try_seconds(index * i64::from(seconds))
                .and_then(|distance| self.origin.checked_add_signed(distance)),
            Step::Months(months) => {
                let distance = index * i64::from(months);
                u32::try_from(distance.unsigned_abs()).ok().map(Months::new).and_then(|months| {
                    if distance < 0 {
                        self.origin.checked_sub_months(months)
                    } else {
                        self.origin.checked_add_months(months)
                    }
                })
            }
        };
        first_instant(self.zone, local.expect("a step from a year in 1 to 9999 is in range"))
    }
}

/// The first instant at which the clocks of `zone` read `local` or later.
fn first_instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) => instant.to_utc(),
        MappedLocalTime::Ambiguous(one, other) => one.min(other).to_utc(),
        // The time zone database knows both ends of every gap, so UTC stands in for nothing real.
        MappedLocalTime::None => GapInfo::new(&local, &zone)
            .and_then(|gap| gap.end)
            .map_or_else(|| local.and_utc(), |end| end.to_utc()),
    }
}

/// A plain duration for expiry and grace, counted from the instant it is applied to (REFERENCE F4).
///
/// Weeks and days are 604,800 and 86,400 elapsed seconds, as in the reference; months are months
/// of the calendar in UTC. A span is above zero and at most ten years long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    months: u32,
    seconds: u32,
}

impl Span {
    /// The whole length in seconds, or `None` when it has months, which have no fixed length.
    pub fn total_seconds(&self) -> Option<u64> {
        (self.months == 0).then_some(u64::from(self.seconds))
    }

    /// The instant this span after `at`, or `None` beyond the last one chrono can hold.
    ///
    /// Months come first and keep the day of the month, clipped to the month's end; the seconds
    /// are added to that.
    pub fn after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        at.checked_add_months(Months::new(self.months))?
            .checked_add_signed(TimeDelta::seconds(i64::from(self.seconds)))
    }
}

/// The canonical ISO 8601 text: parsing it gives the same span.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.seconds / DAY, self.seconds % DAY);
        Length { months: self.months, days, seconds }.fmt(f)
    }
}

/// Reads a plain duration: `30s`, `5m`, `12h`, `10d`, `2w`, `3mo`, `monthly` (which is `30d`), or
/// ISO 8601 with any mix of units, such as `P1DT2H` or `PT90S` (REFERENCE F4).
pub fn parse_duration(text: &str) -> Result<Span, PeriodError> {
    let (_, Length { months, days, seconds }) = read(text)?;
    Ok(Span { months, seconds: days * DAY + seconds })
}

#[derive(Clone, Copy)]
enum Notation {
    Legacy,
    Iso,
}

/// A length as written, above zero and at most ten years in all.
#[derive(Clone, Copy, Default)]
struct Length {
    months: u32,
    days: u32,
    seconds: u32,
}

impl Length {
    /// Sums `parts`, each a count and the months, days and seconds of its unit.
    fn sum(parts: impl IntoIterator<Item = (u32, Self)>) -> Result<Self, PeriodError> {
        let (mut months, mut days, mut seconds) = (0_u64, 0_u64, 0_u64);
        // At most seven products of two `u32`, each unit below 2^20: far below the end of `u64`.
        for (count, unit) in parts {
            months += u64::from(count) * u64::from(unit.months);
            days += u64::from(count) * u64::from(unit.days);
            seconds += u64::from(count) * u64::from(unit.seconds);
        }
        let nominal_days = months * u64::from(NOMINAL_MONTH_DAYS) + days;
        let nominal = nominal_days * u64::from(DAY) + seconds;
        if nominal == 0 {
            return Err(PeriodError::NotPositive);
        }
        if months > u64::from(MAX_MONTHS) || nominal > u64::from(MAX_DAYS) * u64::from(DAY) {
            return Err(PeriodError::TooLong);
        }
        let small = |value: u64| u32::try_from(value).map_err(|_| PeriodError::TooLong);
        Ok(Self { months: small(months)?, days: small(days)?, seconds: small(seconds)? })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>, count: u32, letter: char| match count {
            0 => Ok(()),
            _ => write!(f, "{count}{letter}"),
        };
        f.write_str("P")?;
        write(f, self.months / 12, 'Y')?;
        write(f, self.months % 12, 'M')?;
        write(f, self.days, 'D')?;
        if self.seconds > 0 {
            f.write_str("T")?;
            write(f, self.seconds / HOUR, 'H')?;
            write(f, self.seconds % HOUR / 60, 'M')?;
            write(f, self.seconds % 60, 'S')?;
        }
        Ok(())
    }
}

const fn months(months: u32) -> Length {
    Length { months, days: 0, seconds: 0 }
}

const fn days(days: u32) -> Length {
    Length { months: 0, days, seconds: 0 }
}

const fn seconds(seconds: u32) -> Length {
    Length { months: 0, days: 0, seconds }
}

/// `mo` stands before `m`, its own prefix.
const LEGACY_UNITS: [(&str, Length); 6] = [
    ("mo", months(1)),
    ("w", days(WEEK_DAYS)),
    ("d", days(1)),
    ("h", seconds(HOUR)),
    ("m", seconds(60)),
    ("s", seconds(1)),
];
const ISO_DATE_UNITS: [(char, Length); 4] =
    [('Y', months(12)), ('M', months(1)), ('W', days(WEEK_DAYS)), ('D', days(1))];
const ISO_TIME_UNITS: [(char, Length); 3] =
    [('H', seconds(HOUR)), ('M', seconds(60)), ('S', seconds(1))];

fn read(text: &str) -> Result<(Notation, Length), PeriodError> {
    let text = match text {
        "hourly" => "1h",
        "daily" => "1d",
        "weekly" => "7d",
        "monthly" => "30d",
        other => other,
    };
    match text.strip_prefix('P') {
        Some(rest) => Ok((Notation::Iso, read_iso(rest)?)),
        None => Ok((Notation::Legacy, read_legacy(text)?)),
    }
}

fn read_legacy(text: &str) -> Result<Length, PeriodError> {
    if text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(PeriodError::NotPositive);
    }
    let (number, rest) = split_number(text).ok_or(PeriodError::Unreadable)?;
    let number = number?;
    if rest.is_empty() {
        return Err(PeriodError::MissingUnit { number });
    }
    let (name, unit, tail) = LEGACY_UNITS
        .iter()
        .find_map(|&(name, unit)| rest.strip_prefix(name).map(|tail| (name, unit, tail)))
        .ok_or(PeriodError::Unreadable)?;
    let length = Length::sum([(number, unit)]);
    if tail.is_empty() {
        return length;
    }
    // Only a spelled-out unit is worth a correction: `1d12h` does not mean `1d`.
    if length.is_ok() && tail.chars().all(|c| c.is_ascii_alphabetic() || c == ' ') {
        return Err(PeriodError::TextAfterUnit { instead: format!("{number}{name}") });
    }
    Err(PeriodError::Unreadable)
}

fn read_iso(text: &str) -> Result<Length, PeriodError> {
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return Err(PeriodError::UnreadableIso),
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let mut parts = Vec::new();
    read_iso_parts(date, &ISO_DATE_UNITS, &mut parts)?;
    read_iso_parts(time, &ISO_TIME_UNITS, &mut parts)?;
    if parts.is_empty() {
        return Err(PeriodError::UnreadableIso);
    }
    Length::sum(parts)
}

/// Reads numbers with letters of `units`, in the order of `units` and each at most once.
fn read_iso_parts(
    mut text: &str,
    units: &[(char, Length)],
    parts: &mut Vec<(u32, Length)>,
) -> Result<(), PeriodError> {
    for &(letter, unit) in units {
        let Some((number, rest)) = split_number(text) else { break };
        if let Some(rest) = rest.strip_prefix(letter) {
            parts.push((number?, unit));
            text = rest;
        }
    }
    if text.is_empty() { Ok(()) } else { Err(PeriodError::UnreadableIso) }
}

/// The number that `text` starts with and the rest, or `None` when it starts with no digit.
fn split_number(text: &str) -> Option<(Result<u32, PeriodError>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    // What is left to go wrong with ASCII digits is a number too large.
    (end > 0).then(|| (digits.parse().map_err(|_| PeriodError::TooLong), rest))
}

#[cfg(test)]
mod tests;
