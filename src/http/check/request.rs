//! What a check asks: one call, or up to a hundred. Nothing is passed over: a member that is not known
//! is a fault, for it may be one that was meant to narrow.

use std::net::IpAddr;

use chrono::TimeDelta;
use entity::id::{ApiKeyId, IdError};
use entity::value::Usd;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

use crate::domain::call::{REQUEST_ID, is_text};
use crate::domain::field::Faults;
use crate::domain::ledger::HOLDS_AT_MOST;
use crate::enforcement::call::Call;
use crate::error::{Error, Result};

/// The most checks in one request.
pub(super) const CHECKS: usize = 100;
/// The most characters of the name of a member that is shown.
const MEMBER: usize = 32;

/// The body, as it is sent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body {
    /// Several checks at once, in place of everything else.
    checks: Option<Vec<Self>>,
    credential: Option<String>,
    key_id: Option<String>,
    model: Option<String>,
    route: Option<String>,
    end_user: Option<String>,
    tags: Option<Vec<String>>,
    estimate: Option<Estimate>,
    mode: Option<Mode>,
    /// For how long something is held.
    lease_ttl_ms: Option<i64>,
    idempotency_key: Option<String>,
    request_id: Option<String>,
    /// The address of the client: taken, and of no use yet.
    ip: Option<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Estimate {
    #[serde(deserialize_with = "dollars")]
    cost_usd: Option<Usd>,
    input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
}

/// Whether anything is held for the call.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    Check,
    Reserve,
}

fn dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usd>, D::Error> {
    let text: Option<String> = Deserialize::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// What is asked.
pub(super) struct AllAsked {
    pub(super) checks: Vec<Asked>,
    pub(super) is_batch: bool,
}

/// One check.
pub(super) struct Asked {
    pub(super) who: Who,
    pub(super) call: Call,
    /// What is to be held under the gateway's id of the call; none for a mere check.
    pub(super) hold: Option<Holding>,
}

/// What is to be held.
pub(super) struct Holding {
    pub(super) request_id: String,
    pub(super) lasts: Option<TimeDelta>,
}

/// Whose call it is.
pub(super) enum Who {
    /// Whoever asks.
    Itself,
    /// Whoever has this secret.
    Secret(String),
    /// This key.
    Key(ApiKeyId),
}

impl Body {
    /// Reads a body.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        // The path of a fault is worked out when there is one.
        serde_json::from_slice(bytes).map_err(|error| {
            let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
            let field = match serde_path_to_error::deserialize::<_, Self>(deserializer) {
                Err(error) => field_of(error.path()),
                Ok(_) => String::new(),
            };
            Error::input(field, message_of(&error))
        })
    }

    /// What is asked, checked. A gateway says whose call it is; others ask about themselves.
    pub(super) fn into_asked(self, gateway: bool) -> Result<AllAsked> {
        let mut faults = Faults::default();
        let asked = match self {
            Self { checks: Some(checks), .. } if checks.is_empty() || checks.len() > CHECKS => {
                faults.add("checks", format!("give 1 to {CHECKS} checks"));
                AllAsked { checks: Vec::new(), is_batch: true }
            }
            Self { checks: Some(checks), credential, key_id, model, .. } => {
                if credential.is_some() || key_id.is_some() || model.is_some() {
                    faults.add("checks", "give either checks, or the members of one");
                }
                let checks = checks.into_iter().enumerate().map(|(index, one)| {
                    one.into_one(gateway, &format!("checks.{index}."), &mut faults)
                });
                AllAsked { checks: checks.collect(), is_batch: true }
            }
            one => {
                let one = one.into_one(gateway, "", &mut faults);
                AllAsked { checks: vec![one], is_batch: false }
            }
        };
        faults.finish()?;
        Ok(asked)
    }

    fn into_one(self, gateway: bool, within: &str, faults: &mut Faults) -> Asked {
        let mut wrong = |field: &str, message: &str| {
            faults.add(format!("{within}{field}"), message);
        };
        if self.checks.is_some() {
            wrong("checks", "a check has no checks of its own");
        }
        let who = match (self.credential, self.key_id, gateway) {
            (Some(_), Some(_), _) => {
                wrong("keyId", "give either a credential or a keyId");
                Who::Itself
            }
            (Some(_), None, false) => {
                wrong("credential", "only gateways ask about the keys of others");
                Who::Itself
            }
            (Some(secret), None, true) => Who::Secret(secret),
            (None, Some(id), _) => match id.parse::<ApiKeyId>() {
                Ok(id) => Who::Key(id),
                Err(IdError::OtherNoun | IdError::NotAnId) => {
                    wrong("keyId", "write the id of a key, such as key_0190…");
                    Who::Itself
                }
            },
            (None, None, true) => {
                wrong("credential", "say whose call it is: give a credential or a keyId");
                Who::Itself
            }
            (None, None, false) => Who::Itself,
        };
        if self.idempotency_key.is_some() && self.request_id.is_some() {
            wrong("idempotencyKey", "this is another name of requestId: give one of them");
        }
        let request_id = self.request_id.or(self.idempotency_key);
        if request_id.as_deref().is_some_and(|id| !is_text(id, REQUEST_ID)) {
            wrong("requestId", "write 1 to 128 characters, none of them a control character");
        }
        let millis = |count| TimeDelta::try_milliseconds(count).unwrap_or(TimeDelta::MIN);
        let lasts = self.lease_ttl_ms.map(millis);
        if lasts.is_some_and(|lasts| lasts <= TimeDelta::zero() || lasts > HOLDS_AT_MOST) {
            wrong("leaseTtlMs", "write 1 to 86400000 milliseconds");
        }
        let reserves = self.mode == Some(Mode::Reserve);
        if reserves && !gateway {
            wrong("mode", "only gateways hold what calls will cost");
        }
        if reserves && request_id.is_none() {
            wrong("requestId", "name the call under whose id its usage will be reported");
        }
        let hold = request_id.filter(|_| reserves);
        let hold = hold.map(|request_id| Holding { request_id, lasts });
        let estimate = self.estimate.unwrap_or_default();
        let call = Call {
            model: self.model,
            route: self.route,
            end_user: self.end_user,
            tags: self.tags.unwrap_or_default(),
            cost: estimate.cost_usd,
            input_tokens: estimate.input_tokens,
            max_output_tokens: estimate.max_output_tokens,
        };
        call.check(within, "costUsd", faults);
        Asked { who, call, hold }
    }
}

/// The place of a fault. Members are named by the sender, who may have put a secret in the place of a
/// name: a place that does not look like a name ends it.
fn field_of(path: &Path) -> String {
    let is_name = |key: &str| {
        key.len() <= MEMBER && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut field = String::new();
    for segment in path {
        let segment = match segment {
            Segment::Map { key } if is_name(key) => key.clone(),
            Segment::Seq { index } => index.to_string(),
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => break,
        };
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(&segment);
    }
    field
}

/// What is wrong, in words of ours: those of the parser quote values, which may be secrets.
fn message_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let ours = if !error.is_data() {
        "the body is not JSON"
    } else if message.starts_with("unknown field") {
        "a check has no such member"
    } else if message.starts_with("duplicate field") {
        "give this once"
    } else if message.starts_with("unknown variant") {
        "write one of the words that the documentation names"
    } else if message.starts_with("invalid") && !message.starts_with("invalid IP address") {
        "this is not of the type that it should be"
    } else {
        message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message)
    };
    ours.to_owned()
}
