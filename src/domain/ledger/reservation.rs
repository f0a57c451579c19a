//! The rows of reservations: made, found, and taken away when their calls are settled, given up or
//! out of time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::id::{
    ApiKeyId, BudgetWindowId, EndUserId, Id, OrganizationId, ProjectId, ReservationId, TagId,
    TeamId, TeamMembershipId, UserId,
};
use entity::value::{Ids, Usd};
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use uuid::Uuid;

use super::attribution::Attribution;
use crate::db::bulk::{Bulk, locking, locking_free};
use crate::error::Result;

/// What names a call: the gateway's key, and the gateway's id of it.
pub(super) type CallName = (ApiKeyId, String);

/// What was held for a call.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) attribution: Attribution,
    pub(super) amount: Usd,
    pub(super) windows: Vec<BudgetWindowId>,
    /// The tokens that the call was counted with, and when.
    pub(super) tokens: (i64, DateTime<Utc>),
}

/// A reservation that is to be made.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) id: ReservationId,
    pub(super) name: CallName,
    pub(super) hash: Uuid,
    pub(super) attribution: Attribution,
    pub(super) amount: Usd,
    pub(super) windows: Vec<BudgetWindowId>,
    pub(super) tokens: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
}

/// A reservation that there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) id: ReservationId,
    pub(super) hash: Uuid,
    pub(super) expires_at: DateTime<Utc>,
}

/// The calls as rows of a statement.
pub(super) fn named<'a>(names: impl Iterator<Item = &'a CallName> + Clone) -> Bulk {
    Bulk::new()
        .uuid("gateway", names.clone().map(|name| name.0.uuid()))
        .text("request", names.map(|name| name.1.clone()))
}

/// The name of a call in a row with its two columns.
pub(super) fn name_of(row: &QueryResult) -> Result<CallName> {
    let gateway = ApiKeyId::from_uuid(row.try_get("", "gateway_id")?);
    Ok((gateway, row.try_get("", "request_id")?))
}

/// Takes away the reservations of calls, where a key is given only those of that key, and tells what
/// they held.
pub(super) async fn take<'a>(
    db: &impl ConnectionTrait,
    calls: impl Iterator<Item = (&'a CallName, Option<ApiKeyId>)> + Clone,
) -> Result<HashMap<CallName, Taken>> {
    let backend = db.get_database_backend();
    let rest = format!(
        "DELETE FROM reservations WHERE id IN (SELECT r.id FROM v JOIN reservations r \
         ON r.gateway_id = v.gateway AND r.request_id = v.request \
         AND (v.caller IS NULL OR r.api_key_id = v.caller) ORDER BY r.id {}) RETURNING *",
        locking(backend, "r")
    );
    let named = named(calls.clone().map(|(name, _)| name))
        .uuid_or_null("caller", calls.map(|(_, key)| key.map(Id::uuid)));
    taken(db, named.statement(backend, &rest)).await
}

/// Takes away reservations that are out of time, at most so many; those that somebody settles at
/// this moment are left to that.
pub(super) async fn take_expired(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
    most: u64,
) -> Result<HashMap<CallName, Taken>> {
    let backend = db.get_database_backend();
    let rest = format!(
        "DELETE FROM reservations WHERE id IN (SELECT r.id FROM v JOIN reservations r \
         ON r.expires_at <= v.now ORDER BY r.id LIMIT {most} {}) RETURNING *",
        locking_free(backend, "r")
    );
    let now = Bulk::new().instant("now", std::iter::once(now));
    taken(db, now.statement(backend, &rest)).await
}

/// Whether any reservation is out of time.
pub(super) async fn any_expired(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<bool> {
    let rest = "SELECT r.id FROM v JOIN reservations r ON r.expires_at <= v.now LIMIT 1";
    let now = Bulk::new().instant("now", std::iter::once(now));
    Ok(db.query_one_raw(now.statement(db.get_database_backend(), rest)).await?.is_some())
}

async fn taken(
    db: &impl ConnectionTrait,
    statement: Statement,
) -> Result<HashMap<CallName, Taken>> {
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok((name_of(row)?, Taken::read(row)?))).collect()
}

/// Makes reservations whose calls have none yet, and returns the ids of those that it made.
pub(super) async fn make(db: &impl ConnectionTrait, rows: &[&New]) -> Result<Vec<ReservationId>> {
    let of =
        |id: fn(&Attribution) -> Option<Uuid>| rows.iter().map(move |row| id(&row.attribution));
    let statement = Bulk::new()
        .uuid("id", rows.iter().map(|row| row.id.uuid()))
        .uuid("gateway_id", rows.iter().map(|row| row.name.0.uuid()))
        .text("request_id", rows.iter().map(|row| row.name.1.clone()))
        .uuid("payload_hash", rows.iter().map(|row| row.hash))
        .uuid("api_key_id", rows.iter().map(|row| row.attribution.api_key.uuid()))
        .uuid_or_null("organization_id", of(|who| who.organization.map(Id::uuid)))
        .uuid_or_null("team_id", of(|who| who.team.map(Id::uuid)))
        .uuid_or_null("team_membership_id", of(|who| who.membership.map(Id::uuid)))
        .uuid_or_null("project_id", of(|who| who.project.map(Id::uuid)))
        .uuid_or_null("user_id", of(|who| who.user.map(Id::uuid)))
        .uuid_or_null("end_user_id", of(|who| who.end_user.map(Id::uuid)))
        .bytes("tag_ids", rows.iter().map(|row| bytes(&row.attribution.tags)))
        .big_int("amount", rows.iter().map(|row| row.amount.nanos()))
        .bytes("window_ids", rows.iter().map(|row| bytes(&row.windows)))
        .big_int("tokens", rows.iter().map(|row| row.tokens))
        .instant("created_at", rows.iter().map(|row| row.created_at))
        .instant("expires_at", rows.iter().map(|row| row.expires_at))
        .statement(
            db.get_database_backend(),
            "INSERT INTO reservations (id, gateway_id, request_id, payload_hash, api_key_id, \
             organization_id, team_id, team_membership_id, project_id, user_id, end_user_id, \
             tag_ids, amount, window_ids, tokens, created_at, expires_at) \
             SELECT id, gateway_id, request_id, payload_hash, api_key_id, \
             organization_id, team_id, team_membership_id, project_id, user_id, end_user_id, \
             tag_ids, amount, window_ids, tokens, created_at, expires_at FROM v WHERE true \
             ON CONFLICT (gateway_id, request_id) DO NOTHING RETURNING id",
        );
    let made = db.query_all_raw(statement).await?;
    made.iter().map(|row| Ok(ReservationId::from_uuid(row.try_get("", "id")?))).collect()
}

/// Takes back reservations that this transaction made.
pub(super) async fn unmake(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = ReservationId>,
) -> Result<()> {
    let statement = Bulk::new().uuid("id", ids.map(Id::uuid)).statement(
        db.get_database_backend(),
        "DELETE FROM reservations WHERE id IN (SELECT id FROM v)",
    );
    db.execute_raw(statement).await?;
    Ok(())
}

/// The reservations of calls.
pub(super) async fn present(
    db: &impl ConnectionTrait,
    names: impl Iterator<Item = &CallName> + Clone,
) -> Result<HashMap<CallName, Present>> {
    let statement = named(names).statement(
        db.get_database_backend(),
        "SELECT r.id, r.gateway_id, r.request_id, r.payload_hash, r.expires_at FROM v \
         JOIN reservations r ON r.gateway_id = v.gateway AND r.request_id = v.request",
    );
    let rows = db.query_all_raw(statement).await?;
    let present = rows.iter().map(|row| {
        let id = ReservationId::from_uuid(row.try_get("", "id")?);
        let (hash, expires_at) = (row.try_get("", "payload_hash")?, row.try_get("", "expires_at")?);
        Ok((name_of(row)?, Present { id, hash, expires_at }))
    });
    present.collect()
}

/// The calls, of those named, whose usage is recorded.
pub(super) async fn settled(
    db: &impl ConnectionTrait,
    names: impl Iterator<Item = &CallName> + Clone,
) -> Result<Vec<CallName>> {
    let statement = named(names).statement(
        db.get_database_backend(),
        "SELECT e.gateway_id, e.request_id FROM v \
         JOIN usage_events e ON e.gateway_id = v.gateway AND e.request_id = v.request",
    );
    db.query_all_raw(statement).await?.iter().map(name_of).collect()
}

/// Ids in the form in which they are stored.
pub(super) fn bytes<T: Id>(ids: &[T]) -> Vec<u8> {
    Ids(ids.iter().map(|id| id.uuid()).collect()).to_bytes()
}

impl Taken {
    fn read(row: &QueryResult) -> Result<Self> {
        fn optional<T: Id>(row: &QueryResult, column: &str) -> Result<Option<T>> {
            Ok(row.try_get::<Option<Uuid>>("", column)?.map(T::from_uuid))
        }
        fn list<T: Id>(row: &QueryResult, column: &str) -> Result<Vec<T>> {
            Ok(row.try_get::<Ids>("", column)?.0.into_iter().map(T::from_uuid).collect())
        }
        let attribution = Attribution {
            organization: optional::<OrganizationId>(row, "organization_id")?,
            team: optional::<TeamId>(row, "team_id")?,
            membership: optional::<TeamMembershipId>(row, "team_membership_id")?,
            project: optional::<ProjectId>(row, "project_id")?,
            user: optional::<UserId>(row, "user_id")?,
            end_user: optional::<EndUserId>(row, "end_user_id")?,
            tags: list::<TagId>(row, "tag_ids")?,
            ..Attribution::of_key(ApiKeyId::from_uuid(row.try_get("", "api_key_id")?))
        };
        let (amount, windows) = (row.try_get("", "amount")?, list(row, "window_ids")?);
        let tokens = (row.try_get("", "tokens")?, row.try_get("", "created_at")?);
        Ok(Self { attribution, amount, windows, tokens })
    }
}
