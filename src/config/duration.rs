//! Durations as people write them: a whole number and a unit, `500ms`, `10s`, `5m`, `2h`, `7d`.
//! There are no sums (`1h30m`) and no fractions, so each duration has one obvious spelling.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads a duration; the error is the rest of a sentence that begins with the setting.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    const SHAPE: &str = "must be a whole number and a unit (ms, s, m, h or d), such as \"10s\"";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| SHAPE)?;
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(SHAPE)?;
    number.checked_mul(factor).map(Duration::from_millis).ok_or("is longer than time itself")
}

/// Writes a duration in the largest unit that holds it exactly.
pub(super) fn format(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let exact = UNITS.into_iter().find(|(_, factor)| millis != 0 && millis.is_multiple_of(*factor));
    let (unit, factor) = exact.unwrap_or(("s", 1000));
    format!("{}{unit}", millis / factor)
}

pub(super) fn serialize<S: Serializer>(value: &Duration, target: S) -> Result<S::Ok, S::Error> {
    target.serialize_str(&format(*value))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(source)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_a_round_trip() {
        for text in ["0s", "1ms", "500ms", "10s", "90s", "5m", "36h", "7d"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(parse("60s").unwrap()), "1m");
        assert_eq!(format(parse("0ms").unwrap()), "0s");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "1h30m", "10 s", "10S", "1w", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("99999999999999d").unwrap_err(), "is longer than time itself");
    }
}
