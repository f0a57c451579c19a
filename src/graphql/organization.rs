//! Organizations in the API, as far as teams and budgets name them.

use async_graphql::{ID, Object};
use entity::organization;

/// A tenant under which teams stand.
#[derive(Clone, Debug)]
pub struct Organization(pub(crate) organization::Model);

impl From<organization::Model> for Organization {
    fn from(row: organization::Model) -> Self {
        Self(row)
    }
}

/// A tenant under which teams stand.
#[Object]
impl Organization {
    /// The organization's id, `org_` and 32 hexadecimal digits.
    pub(crate) async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// The id that the caller chose. Null when none was chosen.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// The display name; not unique.
    async fn name(&self) -> &str {
        &self.0.name
    }
}
