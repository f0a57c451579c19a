//! The scalars of the API beyond GraphQL's own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, NaiveDate, Utc};
use entity::value::Usd as Amount;

/// An amount of US dollars as a decimal string such as `"12.5"`, with at most 9 digits after the
/// point; exact, never a floating-point number. At most 9223372036.854775807.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usd(pub Amount);

/// An amount of US dollars as a decimal string such as `"12.5"`, with at most 9 digits after the
/// point; exact, never a floating-point number. At most 9223372036.854775807.
#[Scalar(name = "Usd", specified_by_url = "https://en.wikipedia.org/wiki/Decimal")]
impl ScalarType for Usd {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text.parse().map(Self).map_err(InputValueError::custom),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                number.to_string().parse().map(Self).map_err(InputValueError::custom)
            }
            _ => Err(InputValueError::custom("write dollars as a string such as \"12.50\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// A length of time: an ISO 8601 duration such as `"P30D"` or `"PT1H"`, or a number with a unit
/// such as `"30d"`, `"12h"`, `"15m"`, `"90s"`, `"2w"` or `"1mo"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duration(pub String);

/// A length of time: an ISO 8601 duration such as `"P30D"` or `"PT1H"`, or a number with a unit
/// such as `"30d"`, `"12h"`, `"15m"`, `"90s"`, `"2w"` or `"1mo"`.
#[Scalar(name = "Duration", specified_by_url = "https://en.wikipedia.org/wiki/ISO_8601#Durations")]
impl ScalarType for Duration {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) if text.len() <= 64 => Ok(Self(text)),
            _ => Err(InputValueError::custom("write a duration as a string such as \"P30D\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A whole number beyond 32 bits, as a decimal string; numbers are accepted too. At most
/// 9223372036854775807.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BigInt(pub i64);

/// A whole number beyond 32 bits, as a decimal string; numbers are accepted too. At most
/// 9223372036854775807.
#[Scalar(name = "BigInt", specified_by_url = "https://en.wikipedia.org/wiki/Integer")]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        text.parse().map(Self).map_err(|_: std::num::ParseIntError| {
            InputValueError::custom("write a whole number such as \"1000\"")
        })
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An instant as RFC 3339 writes it, such as `"2026-12-31T23:59:59Z"`, with any offset; answered in
/// UTC. It has microseconds: finer digits are cut off, and a leap second (`:60`) is the second after
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub DateTime<Utc>);

/// An instant as RFC 3339 writes it, such as `"2026-12-31T23:59:59Z"`, with any offset; answered in
/// UTC. It has microseconds: finer digits are cut off, and a leap second (`:60`) is the second after
/// it.
#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for Instant {
    fn parse(value: Value) -> InputValueResult<Self> {
        let refusal = "write an instant such as 2026-12-31T23:59:59Z";
        let Value::String(text) = value else { return Err(InputValueError::custom(refusal)) };
        let parsed: Option<DateTime<Utc>> = text.parse().ok();
        // The databases would round and compare what is finer each in its own way.
        parsed
            .and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()))
            .map(Self)
            .ok_or_else(|| InputValueError::custom(refusal))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339())
    }
}

/// A day as ISO 8601 writes it, such as `"2026-12-31"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub NaiveDate);

/// A day as ISO 8601 writes it, such as `"2026-12-31"`.
#[Scalar(name = "Date", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        let day = match &value {
            Value::String(text) if text.len() == 10 => text.parse().ok(),
            _ => None,
        };
        day.map(Self).ok_or_else(|| InputValueError::custom("write a day such as 2026-12-31"))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

impl From<Instant> for DateTime<Utc> {
    fn from(at: Instant) -> Self {
        at.0
    }
}
