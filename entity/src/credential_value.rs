//! Values of credentials: sealed, or references to what a gateway has in its environment.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::id::{CredentialId, CredentialValueId};
use crate::value::Sealed;

/// One value of one credential.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "credential_values")]
pub struct Model {
    /// Primary key.
    #[sea_orm(primary_key, auto_increment = false)]
    #[serde(skip)]
    pub id: CredentialValueId,
    /// The credential.
    #[serde(skip)]
    pub credential_id: CredentialId,
    /// The name, such as `api_key`.
    pub name: String,
    /// The reference, such as `os.environ/NAME`; null for a sealed value.
    pub reference: Option<String>,
    /// The sealed value; null for a reference.
    #[serde(skip)]
    #[sea_orm(column_type = "Text")]
    pub sealed: Option<Sealed>,
    /// The name of the key-encryption key under which it is sealed.
    #[serde(skip)]
    pub kek_id: Option<String>,
    /// The last four characters of a value that is long enough to show them.
    pub hint: Option<String>,
    /// A keyed digest, which tells whether two values are the same.
    pub fingerprint: Option<String>,
    /// When the value was set.
    pub updated_at: DateTimeUtc,
    /// The credential.
    #[serde(skip)]
    #[sea_orm(belongs_to, from = "credential_id", to = "id", on_delete = "Cascade")]
    pub credential: BelongsTo<super::credential::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
