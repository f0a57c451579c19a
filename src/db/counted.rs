//! A connection that counts the statements it passes on, so that a request knows its cost, and that
//! passes none on after its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::time::{Instant, timeout_at};

use crate::error::LATE;

/// How many statements a request has run. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct StatementCount(Arc<AtomicU32>);

impl StatementCount {
    /// The count so far.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts statements that were run for this request and for others.
    pub(crate) fn add(&self, statements: u32) {
        self.0.fetch_add(statements, Ordering::Relaxed);
    }
}

/// A connection or transaction whose statements are counted.
#[derive(Clone, Debug)]
pub struct Counted<C> {
    inner: C,
    count: StatementCount,
    deadline: Option<Instant>,
}

impl<C> Counted<C> {
    pub(crate) fn new(inner: C, count: StatementCount) -> Self {
        Self { inner, count, deadline: None }
    }

    /// The same, for statements that are answered before an instant.
    pub(crate) fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    pub(crate) fn into_inner(self) -> C {
        self.inner
    }

    async fn run<T>(
        &self,
        statement: impl Future<Output = Result<T, DbErr>> + Send,
    ) -> Result<T, DbErr> {
        self.count.add(1);
        let Some(deadline) = self.deadline else { return statement.await };
        let late = |_| Err(DbErr::Custom(LATE.to_owned()));
        timeout_at(deadline, statement).await.unwrap_or_else(late)
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait + Send> ConnectionTrait for Counted<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(self.inner.query_all_raw(statement)).await
    }
}
