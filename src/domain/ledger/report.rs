//! Reports of usage: what a gateway says of a call, and whether it can be true.

use chrono::{DateTime, Utc};
use entity::id::ModelId;
use entity::value::Usd;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::cost::{Tokens, decimal, from_float};
use super::{AHEAD, Code, KEPT, Verdict};
use crate::authz::Reference;
use crate::domain::call::{MOST, Names, REQUEST_ID, is_text};
use crate::domain::field::{self, Faults};
use crate::error::Error;

/// The most tokens of one call.
const TOKENS: i64 = 1_000_000_000_000;

/// A cost as it was reported.
#[derive(Clone, Debug, PartialEq)]
pub enum Cost {
    /// An exact amount.
    Exact(Usd),
    /// A decimal number, which may have more digits than a nano-dollar.
    Text(String),
    /// A floating-point number of dollars.
    Float(f64),
}

impl Cost {
    /// The amount, rounded once to a nano-dollar.
    fn amount(&self) -> Option<Usd> {
        match self {
            Self::Exact(amount) => Some(*amount),
            Self::Text(text) => decimal(text),
            Self::Float(dollars) => from_float(*dollars),
        }
    }
}

/// What a gateway says of a call.
#[derive(Clone, Debug)]
pub struct Report {
    /// The gateway's id of the call.
    pub request_id: String,
    /// The key that called.
    pub api_key: Reference,
    /// The public name of the model, after aliases; none for a route without a model.
    pub model: Option<String>,
    /// The model that answered, where several share the name.
    pub model_id: Option<Reference>,
    /// The provider.
    pub provider: Option<String>,
    /// What the call used.
    pub tokens: Tokens,
    /// What it cost.
    pub cost: Option<Cost>,
    /// When it was let through.
    pub authorized_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The end user, as the call named it; empty is none.
    pub end_user: Option<String>,
    /// Labels of the call; one that is given twice counts once.
    pub tags: Vec<String>,
}

/// A report that can be true.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) report: Report,
    pub(super) model_id: Option<ModelId>,
    pub(super) cost: Option<Usd>,
    pub(super) hash: Uuid,
    pub(super) authorized_at: DateTime<Utc>,
    pub(super) occurred_at: DateTime<Utc>,
    /// Whether the report names no time, so that the windows of this moment are meant.
    pub(super) is_current: bool,
}

impl Report {
    /// Checks the report, as far as that needs no database.
    pub(super) fn check(mut self, now: DateTime<Utc>) -> Result<Checked, Verdict> {
        let id = self.request_id.clone();
        let shown: String = id.chars().take(REQUEST_ID).collect();
        let invalid =
            |field: &str, message: &str| Verdict::fault(&shown, Code::Invalid, field, message);
        self.check_fields().map_err(|(field, message)| invalid(&field, &message))?;
        self.end_user = self.end_user.filter(|name| !name.is_empty());
        self.tags = field::distinct(self.tags).0;
        let model_id = self.model_id.as_ref().map(Reference::id::<ModelId>);
        if model_id == Some(None) {
            return Err(invalid("modelId", "write an id such as model_ and 32 hexadecimal digits"));
        }
        let cost = self.checked_cost().map_err(|message| invalid("cost", message))?;
        let times = [("occurredAt", self.occurred_at), ("authorizedAt", self.authorized_at)];
        for (field, at) in times.iter().filter_map(|(field, at)| Some((*field, (*at)?))) {
            if at > now + AHEAD {
                return Err(invalid(field, "this is in the future"));
            }
            if at < now - KEPT {
                let message = format!("ids are kept for {} days: this is older", KEPT.num_days());
                return Err(Verdict::fault(&id, Code::TooOld, field, message));
            }
        }
        let authorized_at = self.authorized_at.or(self.occurred_at).unwrap_or(now).min(now);
        let occurred_at = self.occurred_at.or(self.authorized_at).unwrap_or(now).min(now);
        Ok(Checked {
            hash: self.hash(cost),
            is_current: self.authorized_at.is_none() && self.occurred_at.is_none(),
            model_id: model_id.flatten(),
            cost,
            authorized_at,
            occurred_at,
            report: self,
        })
    }

    fn checked_cost(&self) -> Result<Option<Usd>, &'static str> {
        let Some(cost) = &self.cost else { return Ok(None) };
        let amount = cost.amount().ok_or("write dollars as a plain decimal such as \"0.0125\"")?;
        match amount {
            amount if amount < Usd::ZERO => Err("this may not be negative"),
            amount if amount > MOST => Err("one call costs at most 1000000 dollars"),
            amount => Ok(Some(amount)),
        }
    }

    /// The first fault of the fields by themselves.
    fn check_fields(&self) -> Result<(), (String, String)> {
        let mut faults = Faults::default();
        if !is_text(&self.request_id, REQUEST_ID) {
            let message =
                format!("write 1 to {REQUEST_ID} characters, none of them a control character");
            faults.add("requestId", message);
        }
        let (model, end_user) = (self.model.as_deref(), self.end_user.as_deref());
        Names { model, end_user, tags: &self.tags }.check("", &mut faults);
        if let Some(provider) = &self.provider {
            faults.word("provider", provider);
        }
        let tokens = self.tokens;
        for (field, count) in [
            ("inputTokens", tokens.input),
            ("cacheReadTokens", tokens.cache_read),
            ("cacheWriteTokens", tokens.cache_write),
            ("outputTokens", tokens.output),
            ("reasoningTokens", tokens.reasoning),
        ] {
            if !(0..=TOKENS).contains(&count) {
                faults.add(field, format!("write a number from 0 to {TOKENS}"));
            }
        }
        if tokens.cache_read.saturating_add(tokens.cache_write) > tokens.input {
            faults.add("inputTokens", "this includes the tokens read from and written to a cache");
        }
        if tokens.reasoning > tokens.output {
            faults.add("outputTokens", "this includes the tokens of reasoning");
        }
        match faults.finish() {
            Err(Error::BadInput(faults)) => match faults.into_iter().next() {
                Some(fault) => Err((fault.field, fault.message)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What tells a repeated report from another one: every field, each with its length.
    fn hash(&self, cost: Option<Usd>) -> Uuid {
        let instant = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros().to_string());
        let tokens = self.tokens;
        let counts =
            [tokens.input, tokens.cache_read, tokens.cache_write, tokens.output, tokens.reasoning];
        let mut fields = vec![
            Some(format!("{:?}", self.api_key)),
            self.model.clone(),
            self.model_id.as_ref().map(|id| format!("{id:?}")),
            self.provider.clone(),
            cost.map(|cost| cost.nanos().to_string()),
            instant(self.authorized_at),
            instant(self.occurred_at),
            self.end_user.clone(),
        ];
        fields.extend(counts.iter().map(|count| Some(count.to_string())));
        fields.extend(self.tags.iter().map(|tag| Some(tag.clone())));
        digest("usage", fields.iter().map(Option::as_deref))
    }
}

/// The first 128 bits of the SHA-256 of fields, so that different lists of fields differ: each is
/// written with its length, and one that is missing differs from an empty one.
pub fn digest<'a>(what: &str, fields: impl Iterator<Item = Option<&'a str>>) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(what.as_bytes());
    for field in fields {
        match field {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    Uuid::from_bytes(first)
}
