//! The scalars of the API beyond GraphQL's own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
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
