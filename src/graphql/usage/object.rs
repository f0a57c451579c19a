//! The object `UsageEvent`.

use async_graphql::{ID, Object, TypeName};
use entity::usage_event;

use crate::graphql::scalar::{BigInt, Instant, Usd};
use crate::graphql::value::{CostSource, UsageKind};

/// An entry of the ledger: what one call used and cost, or a correction of that. Entries never
/// change, and keep what they were charged to, whatever becomes of it.
#[derive(Clone, Debug)]
pub struct UsageEvent(pub(crate) usage_event::Model);

impl From<usage_event::Model> for UsageEvent {
    fn from(row: usage_event::Model) -> Self {
        Self(row)
    }
}

impl TypeName for UsageEvent {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "UsageEvent".into()
    }
}

fn shown(id: Option<impl std::fmt::Display>) -> Option<ID> {
    id.map(|id| ID(id.to_string()))
}

/// An entry of the ledger: what one call used and cost, or a correction of that. Entries never
/// change, and keep what they were charged to, whatever becomes of it.
#[Object]
impl UsageEvent {
    /// The event's id, `usage_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// What kind of entry it is.
    async fn kind(&self) -> UsageKind {
        self.0.kind.into()
    }

    /// The gateway's id of the call; unique for the gateway. Of a correction, its own.
    async fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The id of the gateway's key.
    async fn gateway_api_key_id(&self) -> ID {
        ID(self.0.gateway_id.to_string())
    }

    /// The id of the key that called; it may be gone.
    async fn api_key_id(&self) -> ID {
        ID(self.0.api_key_id.to_string())
    }

    /// The id of the organization that was charged; null for none.
    async fn organization_id(&self) -> Option<ID> {
        shown(self.0.organization_id)
    }

    /// The id of the team that was charged; null for none.
    async fn team_id(&self) -> Option<ID> {
        shown(self.0.team_id)
    }

    /// The id of the membership that was charged; null for none.
    async fn team_membership_id(&self) -> Option<ID> {
        shown(self.0.team_membership_id)
    }

    /// The id of the project that was charged; null for none.
    async fn project_id(&self) -> Option<ID> {
        shown(self.0.project_id)
    }

    /// The id of the user that was charged; null for none.
    async fn user_id(&self) -> Option<ID> {
        shown(self.0.user_id)
    }

    /// The id of the end user that was charged; null for one that nobody made.
    async fn end_user_id(&self) -> Option<ID> {
        shown(self.0.end_user_id)
    }

    /// The end user as the call named it; null for none.
    async fn end_user(&self) -> Option<&str> {
        self.0.end_user.as_deref()
    }

    /// The labels of the call, its key, its project and its team, in the order of the alphabet.
    async fn tags(&self) -> &[String] {
        &self.0.tags.0
    }

    /// The public name of the model; null for a call of a route without a model.
    async fn model(&self) -> Option<&str> {
        self.0.model_name()
    }

    /// The provider; null when nobody named it.
    async fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// All tokens in, those from and to a cache included.
    async fn input_tokens(&self) -> BigInt {
        BigInt(self.0.input_tokens)
    }

    /// The tokens read from a cache.
    async fn cache_read_tokens(&self) -> BigInt {
        BigInt(self.0.cache_read_tokens)
    }

    /// The tokens written to a cache.
    async fn cache_write_tokens(&self) -> BigInt {
        BigInt(self.0.cache_write_tokens)
    }

    /// All tokens out, those of reasoning included.
    async fn output_tokens(&self) -> BigInt {
        BigInt(self.0.output_tokens)
    }

    /// The tokens of reasoning.
    async fn reasoning_tokens(&self) -> BigInt {
        BigInt(self.0.reasoning_tokens)
    }

    /// What the call cost, exact; below zero only for a correction.
    async fn cost(&self) -> Usd {
        Usd(self.0.cost)
    }

    /// Where the cost comes from.
    async fn cost_source(&self) -> CostSource {
        self.0.cost_source.into()
    }

    /// The price that was used: a model's id, or an entry of the table of public prices. Null for a
    /// cost that was reported, and for none.
    async fn price_reference(&self) -> Option<&str> {
        self.0.price_ref.as_deref()
    }

    /// When the call was let through: it is charged to the windows of this instant.
    async fn authorized_at(&self) -> Instant {
        self.0.authorized_at.into()
    }

    /// When the call was made.
    async fn occurred_at(&self) -> Instant {
        self.0.occurred_at.into()
    }

    /// When the event was recorded.
    async fn recorded_at(&self) -> Instant {
        self.0.recorded_at.into()
    }

    /// The id of the event that this one corrects; null for no correction.
    async fn corrects_id(&self) -> Option<ID> {
        shown(self.0.corrects_id)
    }

    /// Why it was corrected; null for no correction.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}
