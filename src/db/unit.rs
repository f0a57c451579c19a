//! A write without a caller: a transaction of the money path, which moves counters and records
//! usage. Nothing that people manage is written here, and nothing is audited: the ledger's own rows
//! are the record (`docs/adr/0031-the-ledger-has-a-write-path-of-its-own.md`).

use std::time::Duration;

use sea_orm::{DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::{Counted, Database, StatementCount};
use crate::clock::fill_random;
use crate::error::Result;

/// How often a transaction that met a transient error is tried again.
pub(crate) const RETRIES: u32 = 5;

/// A transaction of the money path. Dropped, it is rolled back.
#[derive(Debug)]
pub(crate) struct Unit(Counted<DatabaseTransaction>);

impl Unit {
    /// Begins a transaction; on SQLite, as the one writer.
    #[expect(clippy::disallowed_methods, reason = "the one place where the money path begins")]
    pub(crate) async fn begin(database: &Database) -> Result<Self> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = database.accounting().begin_with_options(options).await?;
        Ok(Self(Counted::new(transaction, StatementCount::default())))
    }

    /// The transaction's connection.
    pub(crate) fn db(&self) -> &Counted<DatabaseTransaction> {
        &self.0
    }

    /// Keeps what was written.
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.0.into_inner().commit().await?)
    }

    /// Takes back what was written.
    pub(crate) async fn rollback(self) {
        // A failed rollback leaves nothing to do: the connection drops the transaction.
        let _ = self.0.into_inner().rollback().await;
    }
}

/// How long to wait before a transaction is tried again: up to 5, 10, 20 … milliseconds.
pub(crate) fn jitter(attempt: u32) -> Duration {
    let mut random = [0; 2];
    fill_random(&mut random);
    let most = 5_000_u64 << attempt.min(6);
    Duration::from_micros(u64::from(u16::from_le_bytes(random)) * most / u64::from(u16::MAX))
}
