//! Who may do what: the only module that can make an [`Authorized`].
//!
//! Two questions, two places. The gate of [`crate::graphql`] asks whether a caller holds a
//! permission anywhere; [`authorize`] asks whether it holds it over one row. A row that the caller
//! may not see is reported as missing; one that it may see and not touch is `FORBIDDEN`.

pub mod actor;
pub mod permission;
pub mod placement;
pub mod policy;
pub mod reference;
pub mod role;

pub use actor::{Actor, ROUTE_GROUPS, TeamGrant};
pub use permission::Permission;
pub use placement::Placement;
pub use reference::Reference;
pub use role::Role;

use crate::db::Tx;
use crate::error::{Error, Result};

/// A row together with the proof that the caller may do something to it.
///
/// Commands take it instead of a row or an id, so that a command without a check does not compile.
#[derive(Debug)]
pub struct Authorized<T> {
    row: T,
    roles: Vec<Role>,
}

impl<T> Authorized<T> {
    /// The row.
    pub fn into_inner(self) -> T {
        self.row
    }

    /// The roles that the caller holds over the row.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }
}

impl<T> std::ops::Deref for Authorized<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.row
    }
}

/// A row that callers name and act upon.
#[expect(async_fn_in_trait, reason = "implemented in this crate alone, for a handful of rows")]
pub trait Resource: Sized {
    /// What people call it.
    const NOUN: &'static str;

    /// Finds the row and locks it against other writers, provided that the caller may see it.
    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>>;

    /// Where the row stands.
    async fn placement(&self, tx: &Tx) -> Result<Placement>;
}

/// Finds a row, locks it, and proves that the caller may do this to it.
///
/// # Errors
/// [`Error::NotFound`] when there is no such row or the caller may not see it, with the input field
/// that named it; [`Error::Forbidden`] when the caller may see it only.
pub async fn authorize<T: Resource>(
    tx: &Tx,
    permission: Permission,
    reference: &Reference,
    field: &str,
) -> Result<Authorized<T>> {
    let row = T::find_for_update(tx, reference).await?;
    let row = row.ok_or(Error::NotFound { noun: T::NOUN, field: Some(field.to_owned()) })?;
    let place = row.placement(tx).await?;
    require(tx.actor(), permission, &place)?;
    Ok(Authorized { roles: policy::roles_over(tx.actor(), &place), row })
}

/// Proves a further permission over a row that was authorized before.
///
/// # Errors
/// [`Error::Forbidden`].
pub async fn also<T: Resource>(tx: &Tx, row: &Authorized<T>, permission: Permission) -> Result<()> {
    require(tx.actor(), permission, &row.placement(tx).await?)
}

/// Proves that the caller may make something at a place.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn authorize_at(
    tx: &Tx,
    permission: Permission,
    place: Placement,
) -> Result<Authorized<Placement>> {
    require(tx.actor(), permission, &place)?;
    Ok(Authorized { roles: policy::roles_over(tx.actor(), &place), row: place })
}

fn require(actor: &Actor, permission: Permission, place: &Placement) -> Result<()> {
    if policy::allows(actor, permission, place) {
        Ok(())
    } else {
        Err(Error::Forbidden { permission })
    }
}
