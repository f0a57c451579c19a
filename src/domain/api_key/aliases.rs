//! Model aliases of a key.

use entity::api_key;

use super::organization_of;
use crate::authz::Authorized;
use crate::db::Tx;
use crate::domain::model_alias::{self, Owner};
use crate::error::Result;

/// Sets an alias of a key; the others stay. What is meant is judged by every list above the key when
/// it is called, so that an alias opens nothing.
///
/// # Errors
/// Faults in the input; [`crate::error::Error::LimitExceeded`] beyond 200 aliases.
pub async fn set_alias(
    tx: &mut Tx,
    key: &Authorized<api_key::Model>,
    alias: String,
    target: String,
) -> Result<()> {
    let organization = organization_of(tx, key).await?;
    model_alias::set_one(tx, Owner::api_key(key, organization), alias, target).await
}

/// Removes an alias of a key.
///
/// # Errors
/// [`crate::error::Error::NotFound`] when the key has no such alias.
pub async fn remove_alias(
    tx: &mut Tx,
    key: &Authorized<api_key::Model>,
    alias: &str,
) -> Result<()> {
    let organization = organization_of(tx, key).await?;
    model_alias::remove(tx, Owner::api_key(key, organization), alias).await
}
