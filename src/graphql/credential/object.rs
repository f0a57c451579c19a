//! The object `Credential`.

use async_graphql::{Context, ID, Object, SimpleObject, TypeName};
use entity::{credential, credential_value};

use crate::graphql::context::ContextExt;
use crate::graphql::error::{ApiError, ApiResult};
use crate::graphql::loader::ValuesOf;
use crate::graphql::scalar::Instant;
use crate::graphql::team::Team;

/// Secrets of a provider, which models send. They are stored sealed, and only gateways get them.
#[derive(Clone, Debug)]
pub struct Credential(pub(crate) credential::Model);

impl From<credential::Model> for Credential {
    fn from(row: credential::Model) -> Self {
        Self(row)
    }
}

impl TypeName for Credential {
    fn type_name() -> std::borrow::Cow<'static, str> {
        "Credential".into()
    }
}

/// What is known of a value of a credential without the value.
#[derive(Clone, Debug, SimpleObject)]
pub struct CredentialValue {
    /// The name of the value, such as `api_key`.
    name: String,
    /// Whether a secret is stored under the name; false for a reference.
    is_set: bool,
    /// The last four characters of a secret of 16 or more; null for others.
    hint: Option<String>,
    /// What a gateway looks up in its own environment, such as `os.environ/OPENAI_API_KEY`; null for
    /// a stored secret.
    reference: Option<String>,
    /// When the value was set.
    updated_at: Instant,
}

impl From<credential_value::Model> for CredentialValue {
    fn from(row: credential_value::Model) -> Self {
        Self {
            is_set: row.sealed.is_some(),
            name: row.name,
            hint: row.hint,
            reference: row.reference,
            updated_at: row.updated_at.into(),
        }
    }
}

/// Secrets of a provider, which models send. They are stored sealed, and only gateways get them.
#[Object]
impl Credential {
    /// The credential's id, `credential_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose; unique within the team or the platform. Null when none was
    /// chosen.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The display name; not unique.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The team that it belongs to; null for a credential of the platform.
    async fn team(&self, ctx: &Context<'_>) -> Option<ApiResult<Team>> {
        match ctx.loader().load_one(self.0.team_id?).await {
            Ok(found) => found.map(|row| Ok(row.into())),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The hosts to which models may send it by an `apiBase`; a `*.` stands for what comes before a
    /// name. When empty, it goes to the provider's own hosts alone.
    async fn allowed_hosts(&self) -> &[String] {
        &self.0.allowed_hosts.0
    }

    /// The names of its values, and whether they are set; at most 20.
    async fn values(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<CredentialValue>>> {
        let rows = ctx.loader().load_one(ValuesOf(self.0.id)).await;
        Some(
            rows.map_err(ApiError::from)
                .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect()),
        )
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it was made.
    async fn created_at(&self) -> Instant {
        self.0.created_at.into()
    }

    /// Who made it: the id of a user or key, or `bootstrap`.
    async fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was last changed.
    async fn updated_at(&self) -> Instant {
        self.0.updated_at.into()
    }

    /// Who changed it last.
    async fn updated_by(&self) -> &str {
        &self.0.updated_by
    }
}
