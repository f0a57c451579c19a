//! The rules: what may be read, and the commands that change it. No GraphQL, no HTTP.
//!
//! Reads begin at a noun's `visible_to`; commands take an [`crate::authz::Authorized`] row and a
//! [`crate::db::Tx`], and record what they did.

pub mod access;
pub mod access_group;
pub mod api_key;
pub mod audit_event;
pub mod budget;
pub mod call;
pub mod credential;
pub mod destination;
pub mod doctor;
pub mod end_user;
pub mod field;
pub mod ledger;
pub mod limit;
pub mod llm_model;
pub mod membership;
pub mod model_access;
pub mod model_alias;
pub mod organization;
pub mod organization_membership;
pub mod period;
pub mod project;
mod reach;
pub mod scope;
pub mod settings;
pub mod tag;
pub mod team;
pub mod usage;
pub mod user;

/// The most objects that an error names.
const NAMED: usize = 20;

/// What an input says of a field: absent, null and a value are three different things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field was left out: keep what is there.
    #[default]
    Keep,
    /// The field was null: clear it.
    Clear,
    /// The field has a value: set it.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the field was given, as null or as a value.
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// Changes an optional field.
    pub fn apply(self, target: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *target = None,
            Self::Set(value) => *target = Some(value),
        }
    }

    /// Changes a field that cannot be null; null makes it the default.
    pub fn apply_or_default(self, target: &mut T)
    where
        T: Default,
    {
        match self {
            Self::Keep => {}
            Self::Clear => *target = T::default(),
            Self::Set(value) => *target = value,
        }
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

/// How a change of a parent treats children that it would leave above their parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cascade {
    /// The change is refused, and the children are named.
    #[default]
    Refuse,
    /// The children are lowered in the same transaction.
    Clamp,
}

use sea_orm::EntityTrait;
use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, SimpleExpr};

use crate::error::{Error, Result};

/// The condition that a row's search text has a text in it: literally, whatever the case.
pub(crate) fn field_contains(table: &'static str, text: &str) -> SimpleExpr {
    Expr::col((table, "search_text"))
        .like(LikeExpr::new(like_pattern(&text.to_lowercase())).escape('\\'))
}

/// The pattern that finds a text anywhere, every character of it standing for itself.
pub(crate) fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// The only row of several; external ids are unique within an organization, so that somebody who
/// sees several organizations may meet two.
pub(crate) fn at_most_one<M>(mut rows: Vec<M>) -> Result<Option<M>> {
    if rows.len() > 1 {
        return Err(Error::conflict(
            "several objects have this external id in different organizations: use the id",
        ));
    }
    Ok(rows.pop())
}

/// Whether a level may undo a block.
///
/// # Errors
/// [`Error::Conflict`] when a higher level blocked.
pub(crate) fn may_unblock(
    level: entity::role::BlockLevel,
    blocked_by: entity::role::BlockLevel,
) -> Result<()> {
    if level >= blocked_by {
        return Ok(());
    }
    Err(Error::conflict("this was blocked by a higher level, which alone can unblock it"))
}

/// The ids of the rows of a query, as a subquery.
pub(crate) fn visible_ids<E: EntityTrait>(
    select: sea_orm::Select<E>,
    table: &'static str,
) -> sea_orm::sea_query::SelectStatement {
    use sea_orm::{QuerySelect, QueryTrait};
    select.select_only().expr(Expr::col((table, "id"))).into_query()
}
