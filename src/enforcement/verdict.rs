//! The answer to a check, in words: a code for programs, a detailed sentence for gateways, and one for
//! end clients that tells nothing of budgets, lists and people.

use async_graphql::Enum;
use chrono::{DateTime, TimeDelta, Utc};
use entity::id::{ApiKeyId, DecisionId, OrganizationId, ProjectId, ReservationId, TeamId, UserId};
use entity::value::Usd;

use crate::domain::access::{Check, Decision, Numbers, Rule};
use crate::domain::scope::Scope;

/// Why a call may not be made. New codes may be added: treat an unknown one as a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enum)]
#[graphql(name = "AccessDenialCode")]
pub enum Code {
    /// Nobody has the secret, or it has ended.
    InvalidCredential,
    /// The key is one of a gateway or of the administration, which call no models.
    WrongKind,
    /// The key has expired.
    Expired,
    /// The key, its owner, team or project, or the end user is blocked.
    Blocked,
    /// The owner of a team's key is not a member of the team.
    NotAMember,
    /// The key may not use the route.
    RouteNotAllowed,
    /// The settings ask for an end user, and the call names none.
    EndUserRequired,
    /// A list between the organization and the key does not allow the model.
    ModelNotAllowed,
    /// Every deployment of the model is blocked.
    ModelBlocked,
    /// A budget has no room.
    BudgetExceeded,
    /// There were too many requests in a minute.
    RequestRateExceeded,
    /// There were too many tokens in a minute.
    TokenRateExceeded,
    /// There are too many requests at once.
    ParallelRequestsExceeded,
    /// Something else is held under the request id, or its call is over.
    RequestIdUsed,
}

impl Code {
    /// The word that is sent.
    pub fn word(self) -> &'static str {
        match self {
            Self::InvalidCredential => "INVALID_CREDENTIAL",
            Self::WrongKind => "WRONG_KIND",
            Self::Expired => "EXPIRED",
            Self::Blocked => "BLOCKED",
            Self::NotAMember => "NOT_A_MEMBER",
            Self::RouteNotAllowed => "ROUTE_NOT_ALLOWED",
            Self::EndUserRequired => "END_USER_REQUIRED",
            Self::ModelNotAllowed => "MODEL_NOT_ALLOWED",
            Self::ModelBlocked => "MODEL_BLOCKED",
            Self::BudgetExceeded => "BUDGET_EXCEEDED",
            Self::RequestRateExceeded => "REQUEST_RATE_EXCEEDED",
            Self::TokenRateExceeded => "TOKEN_RATE_EXCEEDED",
            Self::ParallelRequestsExceeded => "PARALLEL_REQUESTS_EXCEEDED",
            Self::RequestIdUsed => "REQUEST_ID_USED",
        }
    }

    /// What an end client is told: nothing of budgets, lists, people or other places.
    pub fn told(self) -> &'static str {
        match self {
            Self::InvalidCredential | Self::WrongKind | Self::Expired => {
                "a valid API key is required"
            }
            Self::Blocked | Self::NotAMember => "this API key is not allowed to make calls",
            Self::RouteNotAllowed => "this API key is not allowed to use this route",
            Self::EndUserRequired => "the call has to name its end user in the field user",
            Self::ModelNotAllowed | Self::ModelBlocked => {
                "this API key is not allowed to call this model"
            }
            Self::BudgetExceeded => "the budget for this call is used up",
            Self::RequestRateExceeded => "too many requests: try again later",
            Self::TokenRateExceeded => "too many tokens: try again later",
            Self::ParallelRequestsExceeded => "too many requests at once: try again later",
            Self::RequestIdUsed => "the request id is one of another call, or of one that is over",
        }
    }
}

impl From<Check> for Code {
    fn from(check: Check) -> Self {
        match check {
            Check::Kind => Self::WrongKind,
            Check::Expiry => Self::Expired,
            Check::Block => Self::Blocked,
            Check::Membership => Self::NotAMember,
            Check::Route => Self::RouteNotAllowed,
            Check::EndUser => Self::EndUserRequired,
            Check::Model => Self::ModelNotAllowed,
            Check::Deployment => Self::ModelBlocked,
            Check::Budget => Self::BudgetExceeded,
            Check::RequestRate => Self::RequestRateExceeded,
            Check::TokenRate => Self::TokenRateExceeded,
            Check::Parallel => Self::ParallelRequestsExceeded,
        }
    }
}

/// Whom a call is made by, and what it is charged to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub api_key: Option<ApiKeyId>,
    /// The organization of its team.
    pub organization: Option<OrganizationId>,
    /// Its team.
    pub team: Option<TeamId>,
    /// Its project.
    pub project: Option<ProjectId>,
    /// Its owner.
    pub user: Option<UserId>,
    /// The end user, as the call names it.
    pub end_user: Option<String>,
    /// The tags that the call carries, those of its key first.
    pub tags: Vec<String>,
}

/// The model of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that was asked for.
    pub requested: String,
    /// The name that is meant, after aliases.
    pub resolved: String,
}

/// What is held for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What holds it.
    pub id: ReservationId,
    /// For how long.
    pub lasts: TimeDelta,
}

/// The answer to a check.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The id of this answer.
    pub id: DecisionId,
    /// The decision, with its rules; none when nobody has the credential.
    pub decision: Option<Decision>,
    /// Why the call may not be made; none when it may.
    pub code: Option<Code>,
    /// Whom the call is made by.
    pub principal: Principal,
    /// Its model.
    pub model: Option<Model>,
    /// What is held for the call.
    pub held: Option<Held>,
    /// For how long the answer may be kept.
    pub lasts: TimeDelta,
    /// The revision of the change log up to which the answer knows all changes.
    pub revision: i64,
    /// When it was given.
    pub at: DateTime<Utc>,
}

impl Verdict {
    /// Whether the call may be made.
    pub fn is_allowed(&self) -> bool {
        self.code.is_none()
    }

    /// The rule that says no.
    pub fn refused_by(&self) -> Option<&Rule> {
        self.decision.as_ref().and_then(Decision::refused_by)
    }

    /// The least that is left of any budget; none without a cap.
    pub fn remaining(&self) -> Option<Usd> {
        self.decision.as_ref().and_then(|decision| decision.remaining)
    }

    /// How long to wait before asking again, until all budgets have room, or all rates; none where
    /// waiting does not help.
    pub fn retry_after(&self) -> Option<TimeDelta> {
        match &self.refused_by()?.numbers {
            Numbers::Budget { .. } => Some(self.decision.as_ref()?.room_at? - self.at),
            Numbers::Rate { .. } => self.wait_for_rates(),
            Numbers::None | Numbers::Expiry(_) | Numbers::Model(_) => None,
        }
    }

    /// The longest wait that a rate asks for; none when one of them never admits the call.
    fn wait_for_rates(&self) -> Option<TimeDelta> {
        let rules = self.decision.iter().flat_map(|decision| &decision.rules);
        let waits = rules.filter(|rule| !rule.passed).filter_map(|rule| match rule.numbers {
            Numbers::Rate { retry_after_ms, .. } => Some(retry_after_ms),
            _ => None,
        });
        let longest = waits.collect::<Option<Vec<u64>>>()?.into_iter().max()?;
        i64::try_from(longest).ok().and_then(TimeDelta::try_milliseconds)
    }

    /// Why the call may not be made, with names and numbers, for the gateway and its log.
    pub fn message(&self) -> String {
        let Some(rule) = self.refused_by() else {
            return self.code.map(Code::told).unwrap_or_default().to_owned();
        };
        let place = place(rule.scope);
        match (&rule.numbers, rule.check) {
            (Numbers::Expiry(at), _) => format!("{place} expired at {}", instant(*at)),
            (Numbers::Model(model), Check::Deployment) => {
                format!("every deployment of the model {model:?} is blocked")
            }
            (Numbers::Model(model), _) => {
                format!("the models of {place} do not include {model:?}")
            }
            (Numbers::Budget { budget, max, spent, reserved, estimate, resets_at, .. }, _) => {
                let resets = resets_at
                    .map_or_else(|| "never".to_owned(), |at| format!("at {}", instant(at)));
                format!(
                    "the budget {budget} of {place} has no room: {spent} spent and {reserved} held \
                     of {max}, {estimate} asked for; it resets {resets}"
                )
            }
            (Numbers::Rate { budget, limit, .. }, check) => {
                let what = match check {
                    Check::TokenRate => "tokens a minute",
                    Check::Parallel => "requests at once",
                    _ => "requests a minute",
                };
                format!("the budget {budget} of {place} admits {limit} {what}")
            }
            (Numbers::None, Check::Kind) => {
                format!("{place} is one of a gateway or of the administration: it calls no models")
            }
            (Numbers::None, Check::Block) => format!("{place} is blocked"),
            (Numbers::None, Check::Membership) => {
                format!("the owner of {place} is not a member of its team")
            }
            (Numbers::None, Check::Route) => format!("{place} may not use this route"),
            (Numbers::None, _) => Code::from(rule.check).told().to_owned(),
        }
    }
}

fn place(scope: Scope) -> String {
    use entity::role::ScopeKind;
    let noun = match scope.kind {
        ScopeKind::Platform => return "the platform".to_owned(),
        ScopeKind::Organization => "organization",
        ScopeKind::Team => "team",
        ScopeKind::TeamMembership => "member",
        ScopeKind::Project => "project",
        ScopeKind::User => "user",
        ScopeKind::ApiKey => "key",
        ScopeKind::EndUser => "end user",
        ScopeKind::Tag => "tag",
        ScopeKind::TeamMemberDefault
        | ScopeKind::TeamDefault
        | ScopeKind::UserDefault
        | ScopeKind::ApiKeyDefault
        | ScopeKind::EndUserDefault => "default",
    };
    format!("the {noun} {scope}")
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
