//! The guard in front of the GraphQL engine: what a document may cost before anything walks it.
//!
//! Two steps, both linear in the document and both free of unbounded recursion
//! (`SECURITY.md` 0, "The guard, in this order"):
//!
//! 1. [`scan::scan`] reads the text once, before any parser sees it;
//! 2. [`measure::measure`] weighs the parsed document, before it is validated or executed.
//!
//! Architecture invariant: a refusal is made of constants and limits only. It never holds a byte
//! of the document, so a hostile text cannot travel back in an error (F4, F5).

pub mod measure;
pub mod scan;

/// Why the guard turned a document away.
///
/// `Display` is the public message: one sentence, at most 200 characters, without any part of the
/// document. Source: `SECURITY.md` 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text itself is too big, too deep or too crowded; found by [`scan::scan`] (F1, F3-F5).
    #[error("The document is too large: at most {limit} {subject} are allowed.")]
    TooLarge {
        /// What was counted, in the plural, as the message shows it.
        subject: &'static str,
        /// The highest count that is still accepted.
        limit: u64,
    },
    /// The text is small, but what it asks for is not; found by [`measure::measure`] (F2, F3).
    #[error("The operation is too complex: at most {limit} {subject} are allowed.")]
    TooComplex {
        /// What was counted, in the plural, as the message shows it.
        subject: &'static str,
        /// The highest count that is still accepted.
        limit: u64,
    },
    /// A fragment spreads itself, directly or through others; found by [`measure::measure`] (F2).
    #[error("The document is invalid: a fragment must not spread itself.")]
    FragmentCycle,
}

/// The class of a [`Refusal`], for the caller to choose a code and a status by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Too much text: code `QUERY_TOO_COMPLEX`. Nothing was parsed.
    TooLarge,
    /// Too much work: code `QUERY_TOO_COMPLEX`.
    TooComplex,
    /// Breaks a rule of the language: code `GRAPHQL_VALIDATION_FAILED`.
    Invalid,
}

impl Refusal {
    /// The class of this refusal.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::TooLarge { .. } => RefusalKind::TooLarge,
            Self::TooComplex { .. } => RefusalKind::TooComplex,
            Self::FragmentCycle => RefusalKind::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_and_say_the_limit() {
        let large = Refusal::TooLarge { subject: "levels of nested brackets", limit: u64::MAX };
        let complex = Refusal::TooComplex { subject: "fields", limit: 2000 };
        for (refusal, kind) in [
            (large, RefusalKind::TooLarge),
            (complex, RefusalKind::TooComplex),
            (Refusal::FragmentCycle, RefusalKind::Invalid),
        ] {
            assert_eq!(refusal.kind(), kind);
            assert!(refusal.to_string().chars().count() <= 200, "{refusal}");
        }
        assert_eq!(
            complex.to_string(),
            "The operation is too complex: at most 2000 fields are allowed."
        );
    }
}
