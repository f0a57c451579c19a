//! Values with rules of their own: money, model access, lists of words.

use std::fmt;
use std::str::FromStr;

use sea_orm::entity::prelude::*;
use sea_orm::{FromJsonQueryResult, TryGetError, TryGetable};
use serde::{Deserialize, Serialize};

use crate::key_bounds::KeyBounds;

/// An amount of US dollars in units of 10⁻⁹ dollar, exact; at most 9.2 billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, DeriveValueType)]
pub struct Usd(i64);

/// Why a text is not an amount of US dollars.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UsdError {
    /// The text is not a plain decimal number.
    #[error("write dollars as a plain decimal such as \"12.50\"")]
    NotADecimal,
    /// More digits after the point than a nano-dollar can hold.
    #[error("at most 9 digits may follow the decimal point")]
    TooPrecise,
    /// Larger than can be stored.
    #[error("the amount is larger than 9223372036.854775807")]
    TooLarge,
}

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    const NANOS: i64 = 1_000_000_000;

    /// An amount in nano-dollars.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// `self - other`, never below zero.
    #[must_use]
    pub fn remaining_after(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// The difference, or `None` when it cannot be stored.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum, or `None` when it cannot be stored.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, nanos) =
            (magnitude / Self::NANOS.unsigned_abs(), magnitude % Self::NANOS.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if nanos == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{nanos:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl FromStr for Usd {
    type Err = UsdError;

    fn from_str(text: &str) -> Result<Self, UsdError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let decimal = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !decimal(whole) || !decimal(fraction) || text.len() > 64 {
            return Err(UsdError::NotADecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(UsdError::TooPrecise);
        }
        let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| UsdError::TooLarge)?;
        let whole: i64 = whole.parse().map_err(|_| UsdError::TooLarge)?;
        let total = whole
            .checked_mul(Self::NANOS)
            .and_then(|total| total.checked_add(nanos))
            .ok_or(UsdError::TooLarge)?;
        Ok(Self(if negative { -total } else { total }))
    }
}

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What people choose for the whole platform at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "settings that are switched one by one")]
#[serde(default)]
pub struct PlatformSettings {
    /// Whether anybody may join a new team, unless the team says otherwise.
    pub teams_are_joinable: bool,
    /// Whether admins of the platform may choose the secrets of new keys.
    pub chosen_secrets_are_allowed: bool,
    /// The most that keys may have which others than admins of the platform make or widen.
    pub key_bounds: KeyBounds,
    /// Whether every call has to name an end user.
    pub end_user_is_required: bool,
    /// Whether the budgets of a person hold for the person's keys in teams too.
    pub user_budgets_hold_in_teams: bool,
    /// Whether checks go on answering from memory when changes have not been heard of for 5 seconds.
    pub serve_stale_checks: bool,
    /// Grows by one with every change.
    pub version: i32,
}

impl Default for PlatformSettings {
    fn default() -> Self {
        Self {
            teams_are_joinable: false,
            chosen_secrets_are_allowed: true,
            key_bounds: KeyBounds::default(),
            end_user_is_required: false,
            user_budgets_hold_in_teams: true,
            serve_stale_checks: false,
            version: 1,
        }
    }
}

/// Which models a scope may call, of those that its parents allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ModelAccessMode {
    /// Every model that the parents allow.
    #[default]
    All,
    /// No model.
    None,
    /// The models and access groups that are listed.
    List,
}

/// An allow-list of models; nothing empty ever means "all".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct ModelAccess {
    /// How the lists are to be read.
    pub mode: ModelAccessMode,
    /// Model names; `*` stands for any text.
    #[serde(default)]
    pub models: Vec<String>,
    /// Names of access groups.
    #[serde(default)]
    pub access_groups: Vec<String>,
}

/// A list of words, stored as a JSON array.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Words(pub Vec<String>);

/// What a team grants to its plain members, stored as a JSON array.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct MemberPermissions(pub Vec<super::role::TeamMemberPermission>);

/// Ids of one noun, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(pub Vec<Uuid>);

impl Ids {
    /// The form in which they are stored: 16 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|id| *id.as_bytes()).collect()
    }

    /// Reads the stored form; what is left of an id that was cut off is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.as_chunks::<16>().0.iter().map(|chunk| Uuid::from_bytes(*chunk)).collect())
    }
}

impl From<Ids> for Value {
    fn from(ids: Ids) -> Self {
        ids.to_bytes().into()
    }
}

impl TryGetable for Ids {
    fn try_get_by<I: sea_orm::ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        <Vec<u8> as TryGetable>::try_get_by(row, index).map(|bytes| Self::from_bytes(&bytes))
    }
}

impl sea_orm::sea_query::ValueType for Ids {
    fn try_from(value: Value) -> Result<Self, sea_orm::sea_query::ValueTypeErr> {
        <Vec<u8> as sea_orm::sea_query::ValueType>::try_from(value)
            .map(|bytes| Self::from_bytes(&bytes))
    }

    fn type_name() -> String {
        "Ids".to_owned()
    }

    fn array_type() -> sea_orm::sea_query::ArrayType {
        <Vec<u8> as sea_orm::sea_query::ValueType>::array_type()
    }

    fn column_type() -> ColumnType {
        ColumnType::Blob
    }
}

impl Serialize for Ids {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|id| id.simple().to_string()))
    }
}

/// The keyed digest of a secret; never shown, never serialised.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Digest(pub Vec<u8>);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(***)")
    }
}

/// A secret of somebody else's, sealed; never shown, never serialised.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Sealed(pub String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_in_both_directions() {
        for (text, nanos, canonical) in [
            ("0.000000001", 1, "0.000000001"),
            ("12.50", 12_500_000_000, "12.5"),
            ("-3", -3_000_000_000, "-3"),
            ("007", 7_000_000_000, "7"),
            ("9223372036.854775807", i64::MAX, "9223372036.854775807"),
            ("1.0000000000", 1_000_000_000, "1"),
        ] {
            let usd: Usd = text.parse().unwrap();
            assert_eq!((usd.nanos(), usd.to_string().as_str()), (nanos, canonical));
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for (text, error) in [
            ("", UsdError::NotADecimal),
            (".5", UsdError::NotADecimal),
            ("5.", UsdError::NotADecimal),
            ("1e3", UsdError::NotADecimal),
            ("NaN", UsdError::NotADecimal),
            ("+1", UsdError::NotADecimal),
            ("١", UsdError::NotADecimal),
            ("0.0000000001", UsdError::TooPrecise),
            ("9223372036.854775808", UsdError::TooLarge),
            ("99999999999999999999999999999999999999", UsdError::TooLarge),
        ] {
            assert_eq!(text.parse::<Usd>(), Err(error), "{text}");
        }
    }
}
