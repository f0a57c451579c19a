//! Typed identifiers: a UUIDv7 inside, `team_0190…` outside.
//!
//! The text form is the prefix of the noun, an underscore and 32 lower-case hexadecimal digits. It
//! is the same everywhere an id appears: on the wire, in audit images and in logs.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Why a text is not an id of the noun that was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdError {
    /// The text has the form of an id, but of another noun.
    #[error("the id belongs to another kind of object")]
    OtherNoun,
    /// The text does not have the form of an id at all.
    #[error("the text is not an id")]
    NotAnId,
}

/// What every typed id can do.
pub trait Id: Copy + Eq + std::hash::Hash + fmt::Display + Send + Sync + 'static {
    /// The prefix of the text form, without the underscore.
    const PREFIX: &'static str;
    /// Wraps a UUID.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The UUID inside.
    fn uuid(self) -> Uuid;
}

/// Splits a text of the form `prefix_` + 32 hexadecimal digits.
///
/// Returns `None` for every other text, so that a caller can tell an id of ours from an id that
/// somebody else chose.
pub fn split(text: &str) -> Option<(&str, Uuid)> {
    let (prefix, digits) = text.rsplit_once('_')?;
    let lower = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digits.len() != 32 || !lower || !PREFIXES.contains(&prefix) {
        return None;
    }
    Uuid::try_parse(digits).ok().map(|uuid| (prefix, uuid))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),* $(,)?) => {
        /// The prefixes of all ids.
        pub const PREFIXES: &[&str] = &[$($prefix),*];
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sea_orm::DeriveValueType)]
            pub struct $name(Uuid);

            impl Id for $name {
                const PREFIX: &'static str = $prefix;
                fn from_uuid(uuid: Uuid) -> Self {
                    Self(uuid)
                }
                fn uuid(self) -> Uuid {
                    self.0
                }
            }

            impl sea_orm::TryFromU64 for $name {
                fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                    Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!($prefix, "_{}"), self.0.simple())
                }
            }

            impl FromStr for $name {
                type Err = IdError;
                fn from_str(text: &str) -> Result<Self, IdError> {
                    match split(text) {
                        Some(($prefix, uuid)) => Ok(Self(uuid)),
                        Some(_) => Err(IdError::OtherNoun),
                        None => Err(IdError::NotAnId),
                    }
                }
            }

            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }
        )*
    };
}

ids! {
    /// Identifies an organization.
    OrganizationId = "org",
    /// Identifies a membership of a user in an organization.
    OrganizationMembershipId = "orgmember",
    /// Identifies a team.
    TeamId = "team",
    /// Identifies a membership of a user in a team.
    TeamMembershipId = "member",
    /// Identifies a project.
    ProjectId = "project",
    /// Identifies a user.
    UserId = "user",
    /// Identifies a budget.
    BudgetId = "budget",
    /// Identifies the assignment of a budget to a scope.
    BudgetAssignmentId = "assignment",
    /// Identifies one window of a budget's counters.
    BudgetWindowId = "window",
    /// Identifies an end user.
    EndUserId = "enduser",
    /// Identifies a tag.
    TagId = "tag",
    /// Identifies an API key; it never changes, whatever secrets the key has had.
    ApiKeyId = "key",
    /// Identifies one secret of an API key.
    ApiKeySecretId = "secret",
    /// Identifies a model alias.
    ModelAliasId = "alias",
    /// Identifies a model: one deployment behind a name.
    ModelId = "model",
    /// Identifies a credential of a provider.
    CredentialId = "credential",
    /// Identifies one value of a credential.
    CredentialValueId = "credvalue",
    /// Identifies an access group.
    AccessGroupId = "group",
    /// Identifies the place of a model name in an access group.
    AccessGroupModelId = "groupmodel",
    /// Identifies an audit event.
    AuditEventId = "audit",
    /// Identifies a usage event.
    UsageEventId = "usage",
    /// Identifies a row of the daily roll-up of usage.
    UsageDayId = "usageday",
    /// Identifies what is held for a call under way.
    ReservationId = "reservation",
    /// Identifies a warning that a window of a budget raised.
    BudgetAlertId = "alert",
    /// Identifies the answer to a check; it is in no table.
    DecisionId = "decision",
    /// Identifies a process that serves this deployment.
    ReplicaId = "replica",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let id = TeamId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(id.to_string(), "team_01900000000070008000000000000001");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_noun_is_told_from_a_foreign_text() {
        let team = TeamId(Uuid::from_u128(7)).to_string();
        assert_eq!(team.parse::<UserId>(), Err(IdError::OtherNoun));
        for text in ["", "team_", "team_7", "acme", "team_0000000000000000000000000000000G"] {
            assert_eq!(text.parse::<TeamId>(), Err(IdError::NotAnId), "{text}");
        }
        assert_eq!(team.to_uppercase().parse::<TeamId>(), Err(IdError::NotAnId));
    }
}
