//! Model aliases in the API: what teams and keys have of them.

use async_graphql::{InputObject, SimpleObject};
use entity::model_alias;

/// Another name for a model, within a team or for a key.
#[derive(Clone, Debug, SimpleObject)]
pub struct ModelAlias {
    /// The name that callers use.
    alias: String,
    /// The name of the model that is meant.
    target: String,
}

impl From<model_alias::Model> for ModelAlias {
    fn from(row: model_alias::Model) -> Self {
        Self { alias: row.alias, target: row.target }
    }
}

/// Another name for a model.
#[derive(Clone, Debug, InputObject)]
pub struct ModelAliasInput {
    /// The name that callers use; 1 to 128 characters.
    alias: String,
    /// The name of the model that is meant; 1 to 128 characters.
    target: String,
}

/// The pairs of alias and target.
pub(super) fn pairs(aliases: Vec<ModelAliasInput>) -> Vec<(String, String)> {
    aliases.into_iter().map(|input| (input.alias, input.target)).collect()
}
