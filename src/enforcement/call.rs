//! A call that is asked about: what callers write, and what of it is taken.

use std::collections::BTreeSet;

use entity::id::ApiKeyId;
use entity::value::Usd;
use uuid::Uuid;

use crate::domain::access::{Request, World, resolve};
use crate::domain::call::{MOST, Names, is_text};
use crate::domain::field::Faults;
use crate::domain::ledger::{Tokens, cost, digest};

/// The most characters of a path.
const ROUTE_LENGTH: usize = 2_048;
/// The most tokens of one call.
const TOKENS: u64 = 1_000_000_000;

/// A call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// The model that it asks for; none for a route without a model.
    pub model: Option<String>,
    /// The path that it calls; none for a call of a model.
    pub route: Option<String>,
    /// The end user that it names.
    pub end_user: Option<String>,
    /// The tags that it brings.
    pub tags: Vec<String>,
    /// What it is expected to cost.
    pub cost: Option<Usd>,
    /// How many tokens it sends.
    pub input_tokens: Option<u64>,
    /// How many tokens it takes at most.
    pub max_output_tokens: Option<u64>,
}

impl Call {
    /// Notes what is wrong with it; `within` is the path of its members, and `cost` the name of the one
    /// that says what it costs.
    pub fn check(&self, within: &str, cost: &str, faults: &mut Faults) {
        let (model, end_user) = (self.model.as_deref(), self.end_user.as_deref());
        Names { model, end_user, tags: &self.tags }.check(within, faults);
        let mut wrong =
            |field: &str, message: &str| faults.add(format!("{within}{field}"), message);
        if let Some(route) = &self.route
            && (!route.starts_with('/') || !is_text(route, ROUTE_LENGTH))
        {
            wrong("route", "write the path that is called, such as /v1/chat/completions");
        }
        for (field, count) in
            [("inputTokens", self.input_tokens), ("maxOutputTokens", self.max_output_tokens)]
        {
            if count.is_some_and(|count| count > TOKENS) {
                wrong(&format!("estimate.{field}"), "write at most 1000000000");
            }
        }
        if self.cost.is_some_and(|amount| !(Usd::ZERO..=MOST).contains(&amount)) {
            wrong(&format!("estimate.{cost}"), "write 0 to 1000000 dollars");
        }
    }

    /// What tells it from another call of a key under the same request id: every member as it was
    /// written, whatever it stands for by now. Only the order of tags, and how often one is given, say
    /// nothing.
    pub fn digest(&self, key: ApiKeyId) -> Uuid {
        let count = |tokens: Option<u64>| tokens.map(|tokens| tokens.to_string());
        let fields = [
            Some(key.to_string()),
            self.model.clone(),
            self.route.clone(),
            self.end_user.clone().filter(|name| !name.is_empty()),
            self.cost.map(|cost| cost.nanos().to_string()),
            count(self.input_tokens),
            count(self.max_output_tokens),
        ];
        let tags: BTreeSet<_> = self.tags.iter().map(|tag| Some(tag.as_str())).collect();
        digest("reserve", fields.iter().map(Option::as_deref).chain(tags))
    }

    /// The most tokens that it is expected to use, in and out.
    pub(super) fn tokens(&self) -> u64 {
        self.input_tokens
            .unwrap_or_default()
            .saturating_add(self.max_output_tokens.unwrap_or_default())
    }

    /// What is judged.
    pub(super) fn request(&self) -> Request {
        Request {
            model: self.model.clone(),
            route: self.route.clone(),
            end_user: self.end_user.clone().filter(|text| !text.is_empty()),
            tags: self.tags.clone(),
            estimate: self.cost.unwrap_or_default(),
        }
    }

    /// What it is expected to cost: as it says, else by the prices of the tokens that it says, as far
    /// as prices are known.
    pub(super) fn estimate(&self, world: &World<'_>) -> Usd {
        let default =
            world.end_user.and_then(|end_user| end_user.row.as_ref()?.default_model.as_ref());
        let tokens = self.input_tokens.or(self.max_output_tokens);
        let model = self.model.as_ref().or(default).filter(|_| tokens.is_some());
        let (None, Some(model)) = (self.cost, model) else { return self.cost.unwrap_or_default() };
        let chain = &world.facts.chain;
        let model = resolve(chain, world.catalogue, model).target;
        let count = |tokens: Option<u64>| i64::try_from(tokens.unwrap_or(0)).unwrap_or(i64::MAX);
        let tokens = Tokens {
            input: count(self.input_tokens),
            output: count(self.max_output_tokens),
            ..Tokens::default()
        };
        let (prices, unpriced) = world.catalogue.prices(chain.team_id(), &model);
        let call = cost::Call { model: Some(&model), provider: None, tokens, at: world.now };
        cost::estimate(&call, prices, &unpriced)
    }
}
