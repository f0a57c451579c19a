//! The bounds of keys by role, as the settings show and take them.

use async_graphql::{InputObject, MaybeUndefined, SimpleObject};
use entity::key_bounds;

use crate::domain::Change;
use crate::domain::settings as domain;
use crate::graphql::scalar::{BigInt, Duration, Usd};
use crate::graphql::value::{ApiKeyKind, ModelAccess, ModelAccessInput, change, same};

/// The most that keys may have which others than platform admins make, widen or rotate for somebody
/// else: for each role the strongest that the caller has over the key decides. Keys that exist keep
/// what they have.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyRoleBounds {
    /// For admins of the organization of the key's team.
    organization_admin: ApiKeyBounds,
    /// For admins of the key's team.
    team_admin: ApiKeyBounds,
    /// For plain members of the key's team, who make keys for themselves alone.
    team_member: ApiKeyBounds,
    /// For people with personal keys, outside of any team.
    user: ApiKeyBounds,
}

impl From<key_bounds::KeyBounds> for ApiKeyRoleBounds {
    fn from(bounds: key_bounds::KeyBounds) -> Self {
        Self {
            organization_admin: bounds.organization_admin.into(),
            team_admin: bounds.team_admin.into(),
            team_member: bounds.team_member.into(),
            user: bounds.user.into(),
        }
    }
}

/// The most that a key may have. Null is no bound. A limit that the caller leaves out is the bound,
/// or what the scopes above allow, whichever is less; one that exceeds it is `LIMIT_EXCEEDED`.
#[derive(Clone, Debug, SimpleObject)]
pub struct ApiKeyBounds {
    /// The kinds of keys that the role makes, `USER` and `SERVICE`; an empty list for none; null for
    /// all that its permissions allow.
    kinds: Option<Vec<ApiKeyKind>>,
    /// The longest time until `expiresAt`, from the moment in which somebody sets it.
    max_lifetime: Option<Duration>,
    /// The most that a key may spend in a window of `period`. Each key has a budget for all models of
    /// at most this, for the same period or a longer one.
    max_spend: Option<Usd>,
    /// The length of a window of `maxSpend`; null for one window without end.
    period: Option<Duration>,
    /// The IANA time zone of those windows; null for `UTC`.
    time_zone: Option<String>,
    /// The most requests of a key in a minute.
    requests_per_minute: Option<BigInt>,
    /// The most tokens of a key in a minute.
    tokens_per_minute: Option<BigInt>,
    /// The most requests of a key at once.
    max_parallel_requests: Option<BigInt>,
    /// The models of a key; within it, keys list what they may call.
    model_access: Option<ModelAccess>,
}

impl From<key_bounds::KeyBound> for ApiKeyBounds {
    fn from(bound: key_bounds::KeyBound) -> Self {
        Self {
            kinds: bound.kinds.map(|kinds| kinds.into_iter().map(Into::into).collect()),
            max_lifetime: bound.max_lifetime.map(Duration),
            max_spend: bound.max_spend.map(Usd),
            period: bound.period.map(Duration),
            time_zone: bound.time_zone,
            requests_per_minute: bound.requests_per_minute.map(BigInt),
            tokens_per_minute: bound.tokens_per_minute.map(BigInt),
            max_parallel_requests: bound.max_parallel_requests.map(BigInt),
            model_access: bound.model_access.map(Into::into),
        }
    }
}

/// A change of the bounds of keys. What is left out stays; null takes all bounds of a role away.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ApiKeyRoleBoundsInput {
    /// For admins of the organization of the key's team.
    organization_admin: MaybeUndefined<ApiKeyBoundsInput>,
    /// For admins of the key's team.
    team_admin: MaybeUndefined<ApiKeyBoundsInput>,
    /// For plain members of the key's team.
    team_member: MaybeUndefined<ApiKeyBoundsInput>,
    /// For people with personal keys, outside of any team.
    user: MaybeUndefined<ApiKeyBoundsInput>,
}

impl From<ApiKeyRoleBoundsInput> for [Change<domain::BoundUpdate>; 4] {
    fn from(input: ApiKeyRoleBoundsInput) -> Self {
        let roles = [input.organization_admin, input.team_admin, input.team_member, input.user];
        roles.map(|role| change(role, Into::into))
    }
}

/// A change of the bounds of one role. What is left out stays; null is no bound.
#[derive(Clone, Debug, InputObject)]
pub struct ApiKeyBoundsInput {
    /// The kinds of keys that the role makes, of `USER` and `SERVICE`; an empty list for none; null
    /// for all that its permissions allow.
    kinds: MaybeUndefined<Vec<ApiKeyKind>>,
    /// The longest time until `expiresAt`, such as `P90D`.
    max_lifetime: MaybeUndefined<Duration>,
    /// The most that a key may spend in a window of `period`.
    max_spend: MaybeUndefined<Usd>,
    /// The length of a window of `maxSpend`; null for one window without end.
    period: MaybeUndefined<Duration>,
    /// The IANA time zone of those windows; null for `UTC`.
    time_zone: MaybeUndefined<String>,
    /// The most requests of a key in a minute.
    requests_per_minute: MaybeUndefined<BigInt>,
    /// The most tokens of a key in a minute.
    tokens_per_minute: MaybeUndefined<BigInt>,
    /// The most requests of a key at once.
    max_parallel_requests: MaybeUndefined<BigInt>,
    /// The models of a key.
    model_access: MaybeUndefined<ModelAccessInput>,
}

impl From<ApiKeyBoundsInput> for domain::BoundUpdate {
    fn from(input: ApiKeyBoundsInput) -> Self {
        Self {
            kinds: change(input.kinds, |kinds| kinds.into_iter().map(Into::into).collect()),
            max_lifetime: change(input.max_lifetime, |duration| duration.0),
            max_spend: change(input.max_spend, |usd| usd.0),
            period: change(input.period, |duration| duration.0),
            time_zone: same(input.time_zone),
            requests_per_minute: change(input.requests_per_minute, |number| number.0),
            tokens_per_minute: change(input.tokens_per_minute, |number| number.0),
            max_parallel_requests: change(input.max_parallel_requests, |number| number.0),
            model_access: change(input.model_access, Into::into),
        }
    }
}
