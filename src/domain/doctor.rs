//! What must hold in the data as a whole, looked for in all of it: the invariants that every command
//! keeps and that no constraint of the database keeps for it.
//!
//! Nothing is changed, and nothing is held against a scope by a rule of its own: limits are compared
//! by [`super::limit::excess`] and [`super::model_access::excess`], fields by the functions that
//! check inputs, counters with what the ledger would count. The rows of the ledger itself keep the ids of
//! what is gone. A healthy database has no breach; whatever the API accepts leaves it so.

mod belonging;
mod counters;
mod fields;
mod limits;
mod models;
mod references;
mod rows;
mod sums;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

pub use references::{REFERENCES, Reference};
use sea_orm::{ConnectionTrait, EnumIter};
use serde::Serialize;

use super::field::Faults;
use crate::error::{Error, Result};

/// The tables that are not examined: what happened is not held against what is, and counters of a
/// minute go by themselves.
pub const HISTORY: &[&str] = &[
    "audit_events",
    "budget_alerts",
    "change_log",
    "parallel_leases",
    "rate_limit_windows",
    "replicas",
];

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal),* $(,)?) => {
        /// What may be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, Serialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $code)] $kind,)*
        }

        impl Kind {
            /// The word by which programs know it.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$kind => $code,)*
                }
            }
        }
    };
}

kinds! {
    /// A column holds what the program cannot read: an unknown word, JSON of another form.
    RowUnreadable = "ROW_UNREADABLE",
    /// A row names another that does not exist.
    ReferenceGone = "REFERENCE_GONE",
    /// A field breaks a rule that inputs are held to.
    FieldInvalid = "FIELD_INVALID",
    /// A list of models is empty, or stands beside a mode that has none.
    ModelAccessInvalid = "MODEL_ACCESS_INVALID",
    /// A budget has a negative limit, a soft one that is not below the hard one, an unknown period or
    /// time zone, or no limit at all.
    BudgetInvalid = "BUDGET_INVALID",
    /// The counters of a window are negative, or it ends before it begins.
    WindowInvalid = "WINDOW_INVALID",
    /// What a window counts as spent is not what its events cost.
    WindowSpentDiffers = "WINDOW_SPENT_DIFFERS",
    /// What a window counts as held is not what its reservations hold.
    WindowReservedDiffers = "WINDOW_RESERVED_DIFFERS",
    /// The totals of a scope are not the sums of its events.
    SpendTotalDiffers = "SPEND_TOTAL_DIFFERS",
    /// A row of the daily roll-up is not the sum of its events.
    UsageDayDiffers = "USAGE_DAY_DIFFERS",
    /// What searches look at is not what the row is called.
    SearchTextStale = "SEARCH_TEXT_STALE",
    /// A list of models names an access group that does not exist.
    AccessGroupGone = "ACCESS_GROUP_GONE",
    /// A child lists models that a parent does not allow.
    ModelsExceeded = "MODELS_EXCEEDED",
    /// A child may spend more than a parent, in the same or a shorter period.
    CapExceeded = "CAP_EXCEEDED",
    /// A child may make more requests, or use more tokens, than a parent.
    RateExceeded = "RATE_EXCEEDED",
    /// The owner of a key is not a member of the key's team.
    KeyOwnerNotMember = "KEY_OWNER_NOT_MEMBER",
    /// The project of a key belongs to another team.
    KeyProjectElsewhere = "KEY_PROJECT_ELSEWHERE",
    /// A key has no current secret, or several.
    KeySecretsWrong = "KEY_SECRETS_WRONG",
    /// A project names another organization than its team.
    ProjectOrganizationDiffers = "PROJECT_ORGANIZATION_DIFFERS",
    /// A user is not a member of the organization that manages it.
    ManagedUserNotMember = "MANAGED_USER_NOT_MEMBER",
    /// What is known of a user's address does not fit the address.
    EmailInconsistent = "EMAIL_INCONSISTENT",
    /// A budget is assigned to a scope that does not exist.
    AssignmentScopeGone = "ASSIGNMENT_SCOPE_GONE",
    /// A model alias belongs to a scope that does not exist, or that has no aliases.
    AliasScopeGone = "ALIAS_SCOPE_GONE",
    /// Counters belong to a scope that does not exist.
    WindowScopeGone = "WINDOW_SCOPE_GONE",
    /// A budget that scopes own is in force on none.
    BudgetUnused = "BUDGET_UNUSED",
    /// A budget is in force on a scope of another organization.
    BudgetElsewhere = "BUDGET_ELSEWHERE",
    /// A model sends a credential of another team.
    CredentialElsewhere = "CREDENTIAL_ELSEWHERE",
    /// A model is sent to a host that is refused, or to which its credential may not go.
    DestinationRefused = "DESTINATION_REFUSED",
    /// A credential has no value.
    CredentialEmpty = "CREDENTIAL_EMPTY",
    /// A model counts as granted, and its team does not list its name.
    GrantStale = "GRANT_STALE",
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// What is wrong.
    #[serde(rename = "code")]
    pub kind: Kind,
    /// The same in a sentence.
    pub message: String,
    /// The objects that it is about, the one that is wrong first.
    pub ids: Vec<String>,
}

/// What was examined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// The breaches of each kind.
    pub breaches: BTreeMap<Kind, u64>,
}

impl Summary {
    /// How many rows there are.
    pub fn total_rows(&self) -> u64 {
        self.rows.values().sum()
    }

    /// How many breaches there are.
    pub fn total_breaches(&self) -> u64 {
        self.breaches.values().sum()
    }
}

/// Looks at all data, and reports each breach as it is found. A consistent look needs a connection
/// with a snapshot of its own.
///
/// # Errors
/// What the database answers.
pub async fn examine<C: ConnectionTrait>(
    db: &C,
    report: &mut (dyn FnMut(Breach) + Send),
) -> Result<Summary> {
    let groups = rows::group_names(db).await?;
    let mut examination = Examination { db, report, groups, summary: Summary::default() };
    examination.references().await?;
    examination.fields().await?;
    examination.belonging().await?;
    examination.limits().await?;
    examination.counters().await?;
    Ok(examination.summary)
}

/// One look at all data.
struct Examination<'a, C> {
    db: &'a C,
    report: &'a mut (dyn FnMut(Breach) + Send),
    /// The names of all access groups.
    groups: BTreeSet<String>,
    summary: Summary,
}

impl<C: ConnectionTrait> Examination<'_, C> {
    fn found(&mut self, kind: Kind, message: impl Into<String>, ids: Vec<String>) {
        *self.summary.breaches.entry(kind).or_default() += 1;
        (self.report)(Breach { kind, message: message.into(), ids });
    }

    /// Reports what a check of input would refuse.
    fn found_faults(&mut self, kind: Kind, id: impl Display, faults: Faults) {
        if let Err(Error::BadInput(faults)) = faults.finish() {
            for fault in faults {
                // Checks of inputs name the field below the input.
                let field = fault.field.strip_prefix("input.").unwrap_or(&fault.field);
                let message = format!("{field}: {}", fault.message);
                self.found(kind, message, vec![id.to_string()]);
            }
        }
    }
}
