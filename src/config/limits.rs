//! The section `limits`: the most that one request may ask for. The size of a request body is
//! `http.body_limit`; bounds that protect the parser's stack are fixed and are not settings.

use serde::{Deserialize, Serialize};

use super::faults::Faults;

/// Bounds on what one request may ask for. A request beyond one of them is refused as a whole.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest GraphQL document, in bytes. Default 65536, from 1024 to 1048576, and never
    /// more than `http.body_limit`.
    pub document_bytes: usize,
    /// The most tokens in a document. Default 4000, from 100 to 100000.
    pub tokens: usize,
    /// The deepest nesting of fields, with fragments expanded. Default 16, from 4 to 40: documents
    /// with more than 48 open brackets are refused in any case.
    pub depth: usize,
    /// The most fields, with fragments expanded. Default 2000, from 10 to 100000.
    pub fields: usize,
    /// The most aliases, with fragments expanded. Default 60, from 0 to 10000.
    pub aliases: usize,
    /// The highest cost, which counts the objects that the lists of a document may hold. Default
    /// 50000, from 100 to 10000000.
    pub cost: u64,
    /// How many parsed documents are kept for reuse. Default 1000, from 0 (none) to 100000.
    pub document_cache: usize,
    /// The most GraphQL requests that are worked on at a time; others wait for
    /// `database.acquire_timeout`, and are told to come back then. Default 16, from 1 to 100000.
    pub concurrent_requests: usize,
    /// The largest `metadata` of an object, in bytes of JSON. Default 16384, from 0 to 1048576.
    pub metadata_bytes: usize,
}

impl Limits {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.range("limits.document_bytes", self.document_bytes, 1024..=1_048_576);
        faults.range("limits.tokens", self.tokens, 100..=100_000);
        faults.range("limits.depth", self.depth, 4..=40);
        faults.range("limits.fields", self.fields, 10..=100_000);
        faults.range("limits.aliases", self.aliases, 0..=10_000);
        faults.range("limits.cost", self.cost, 100..=10_000_000);
        faults.range("limits.document_cache", self.document_cache, 0..=100_000);
        faults.range("limits.concurrent_requests", self.concurrent_requests, 1..=100_000);
        faults.range("limits.metadata_bytes", self.metadata_bytes, 0..=1_048_576);
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes: 65_536,
            tokens: 4000,
            depth: 16,
            fields: 2000,
            aliases: 60,
            cost: 50_000,
            document_cache: 1000,
            concurrent_requests: 16,
            metadata_bytes: 16_384,
        }
    }
}
