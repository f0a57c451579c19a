//! The unit of work: rows, audit events and change-log rows commit together or not at all.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::id::{AuditEventId, Id};
use entity::role::EntityKind;
use entity::{audit_event, change_log};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ActiveValue, ColumnTrait, DatabaseTransaction, DbErr,
    EntityTrait, IntoActiveModel, Iterable, ModelTrait, PrimaryKeyToColumn, QueryFilter,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use uuid::Uuid;

use super::constraint::unique_to_input;
use super::{Counted, Database, StatementCount};
use crate::audit::Event;
use crate::authz::Actor;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::rules::Rules;
use crate::sealing::Keyring;
use crate::secret::Pepper;

/// What is known of a request beside its credential.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    /// The request's id: the caller's `x-request-id`, else one of ours.
    pub id: String,
    /// The address that the request came from.
    pub address: Option<IpAddr>,
    /// On whose behalf an admin or a gateway says it acts; recorded, never believed.
    pub on_behalf_of: Option<String>,
}

/// What all requests to one server share.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The database.
    pub database: Database,
    /// The time.
    pub clock: Clock,
    /// What the deployment chose of the rules.
    pub rules: Arc<Rules>,
    /// The key of the digests of secrets.
    pub pepper: Arc<Pepper>,
    /// The keys under which secrets of others are sealed.
    pub keyring: Arc<Keyring>,
}

/// The most rows that one INSERT carries: SQLite binds at most 32,766 values.
const ROWS_PER_INSERT: usize = 500;

/// A write transaction.
pub struct Tx {
    db: Counted<DatabaseTransaction>,
    actor: Arc<Actor>,
    request: Arc<RequestInfo>,
    rules: Arc<Rules>,
    pepper: Arc<Pepper>,
    keyring: Arc<Keyring>,
    clock: Clock,
    now: DateTime<Utc>,
    events: Vec<Event>,
    unchanged: bool,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

impl Tx {
    #[expect(clippy::disallowed_methods, reason = "the one place where a transaction begins")]
    pub(crate) async fn begin(
        deployment: &Deployment,
        actor: Arc<Actor>,
        request: Arc<RequestInfo>,
        count: StatementCount,
    ) -> Result<Self> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = deployment.database.writing().begin_with_options(options).await?;
        Ok(Self {
            db: Counted::new(transaction, count),
            actor,
            request,
            rules: Arc::clone(&deployment.rules),
            pepper: Arc::clone(&deployment.pepper),
            keyring: Arc::clone(&deployment.keyring),
            now: deployment.clock.now(),
            clock: deployment.clock.clone(),
            events: Vec::new(),
            unchanged: false,
        })
    }

    /// The transaction's connection.
    pub(crate) fn db(&self) -> &Counted<DatabaseTransaction> {
        &self.db
    }

    /// Who writes.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The time of the transaction: every row and event of it has the same.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The name under which rows remember who made them.
    pub fn by(&self) -> String {
        self.actor.reference()
    }

    /// What the deployment chose of the rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The key of the digests of secrets.
    pub(crate) fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// The keys under which secrets of others are sealed.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// A new id.
    pub fn id<T: Id>(&self) -> T {
        self.clock.id()
    }

    /// Records what happened. Every transaction that changes rows records at least one event.
    pub fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Says that the transaction has found nothing to change.
    pub fn nothing_changed(&mut self) {
        self.unchanged = true;
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when a unique value is taken.
    pub async fn insert<M>(&self, row: &M) -> Result<()>
    where
        M: ModelTrait + Clone + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: EntityTrait<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: ActiveModelBehavior + Send,
    {
        let row = row.clone().into_active_model().reset_all();
        let insert = <M::Entity as EntityTrait>::insert(row);
        insert.exec_without_returning(&self.db).await.map_err(unique_to_input)?;
        Ok(())
    }

    /// Inserts many rows in few statements.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when a unique value is taken.
    pub async fn insert_all<M>(&self, rows: &[M]) -> Result<()>
    where
        M: ModelTrait + Clone + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: EntityTrait<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: ActiveModelBehavior + Send,
    {
        for chunk in rows.chunks(ROWS_PER_INSERT) {
            let rows = chunk.iter().map(|row| row.clone().into_active_model().reset_all());
            let insert = <M::Entity as EntityTrait>::insert_many(rows);
            insert.exec_without_returning(&self.db).await.map_err(unique_to_input)?;
        }
        Ok(())
    }

    /// Inserts those of many rows whose unique values are not taken, and returns their number. It waits for transactions that are about to take one.
    ///
    /// # Errors
    /// What the database answers.
    pub(crate) async fn insert_new<M>(&self, rows: &[M]) -> Result<u64>
    where
        M: ModelTrait + Clone + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: EntityTrait<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: ActiveModelBehavior + Send,
    {
        let mut inserted = 0;
        for chunk in rows.chunks(ROWS_PER_INSERT) {
            let rows = chunk.iter().map(|row| row.clone().into_active_model().reset_all());
            let insert = <M::Entity as EntityTrait>::insert_many(rows)
                .on_conflict(OnConflict::new().do_nothing().to_owned());
            inserted += match insert.exec_without_returning(&self.db).await {
                Err(DbErr::RecordNotInserted) => 0,
                outcome => outcome.map_err(unique_to_input)?,
            };
        }
        Ok(inserted)
    }

    /// Writes a row that was read, locked and changed in this transaction.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when a unique value is taken.
    pub async fn update<M>(&self, row: &M) -> Result<()>
    where
        M: ModelTrait + Clone + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: EntityTrait<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: ActiveModelBehavior + Send,
    {
        let mut active = row.clone().into_active_model().reset_all();
        let mut update = <M::Entity as EntityTrait>::update_many();
        for key in <M::Entity as EntityTrait>::PrimaryKey::iter() {
            let column = key.into_column();
            let value = active.take(column).into_value();
            let value = value.ok_or_else(|| Error::internal("a row without its primary key"))?;
            update = update.filter(column.eq(value));
        }
        update.set(active).exec(&self.db).await.map_err(unique_to_input)?;
        Ok(())
    }

    /// Stores the events and the change log, and commits.
    pub(crate) async fn commit(self) -> Result<()> {
        if self.events.is_empty() && !self.unchanged {
            return Err(Error::internal("a write without an audit event"));
        }
        let rows: Vec<_> = self.events.iter().map(|event| self.row(event)).collect();
        self.insert_all(&rows).await?;
        let mut changed: Vec<(EntityKind, Uuid)> = self
            .events
            .iter()
            .filter_map(|event| Some((event.subject.kind, event.subject.id?)))
            .collect();
        changed.sort_unstable();
        changed.dedup();
        for chunk in changed.chunks(ROWS_PER_INSERT) {
            let rows = chunk.iter().map(|(kind, id)| change_log::ActiveModel {
                revision: ActiveValue::NotSet,
                entity_kind: ActiveValue::Set(*kind),
                entity_id: ActiveValue::Set(*id),
                occurred_at: ActiveValue::Set(self.now),
            });
            change_log::Entity::insert_many(rows).exec_without_returning(&self.db).await?;
        }
        self.db.into_inner().commit().await?;
        Ok(())
    }

    pub(crate) async fn rollback(self) {
        // A failed rollback leaves nothing to do: the connection drops the transaction.
        let _ = self.db.into_inner().rollback().await;
    }

    fn row(&self, event: &Event) -> audit_event::Model {
        audit_event::Model {
            id: self.id::<AuditEventId>(),
            occurred_at: self.now,
            action: event.action.word(),
            actor_kind: self.actor.kind(),
            actor_id: (self.actor.key().is_some()).then(|| self.actor.reference()),
            actor_key_id: self.actor.key_id().map(|id| id.to_string()),
            on_behalf_of: self.request.on_behalf_of.clone(),
            request_id: self.request.id.clone(),
            address: self.request.address.map(|address| address.to_string()),
            subject_kind: event.subject.kind,
            subject_id: event.subject.id,
            organization_id: event.subject.organization,
            team_id: event.subject.team,
            before: event.before.clone(),
            after: event.after.clone(),
        }
    }
}
