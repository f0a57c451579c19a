//! Upper bounds for keys, by what the people are who make or widen them. A part of the settings.

use serde::{Deserialize, Serialize};

use crate::role::ApiKeyKind;
use crate::value::{ModelAccess, Usd};

/// The bounds for everybody who makes keys and is not an admin of the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyBounds {
    /// For admins of the organization of the key's team.
    pub organization_admin: KeyBound,
    /// For admins of the key's team.
    pub team_admin: KeyBound,
    /// For plain members of the key's team.
    pub team_member: KeyBound,
    /// For people with keys outside of any team.
    pub user: KeyBound,
}

impl KeyBounds {
    /// Every bound, to be changed.
    pub fn each_mut(&mut self) -> [&mut KeyBound; 4] {
        [&mut self.organization_admin, &mut self.team_admin, &mut self.team_member, &mut self.user]
    }
}

/// The most that a key may have; none for no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyBound {
    /// The kinds of keys; none for all that the role makes.
    pub kinds: Option<Vec<ApiKeyKind>>,
    /// The longest time from a change to the end that it sets.
    pub max_lifetime: Option<String>,
    /// The most that may be spent in a window.
    pub max_spend: Option<Usd>,
    /// The length of that window; none for one without end.
    pub period: Option<String>,
    /// The IANA time zone in which windows begin; none for UTC.
    pub time_zone: Option<String>,
    /// The most requests in a minute.
    pub requests_per_minute: Option<i64>,
    /// The most tokens in a minute.
    pub tokens_per_minute: Option<i64>,
    /// The most requests at once.
    pub max_parallel_requests: Option<i64>,
    /// The models.
    pub model_access: Option<ModelAccess>,
}
