//! Corrections: entries that make up for an event that was recorded wrongly. Nothing that was
//! recorded changes; what the entry says is added to it, in the same day, scopes and windows.

use std::collections::BTreeSet;

use entity::id::{BudgetWindowId, Id, UsageEventId};
use entity::role::{CostSource, UsageKind};
use entity::usage_event;
use entity::value::Usd;
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::attribution::Attribution;
use super::counters::{Counters, Meanwhile};
use super::post::{insert, is_overflow, raise};
use super::report::digest;
use super::sums::Sums;
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::{Authorized, Placement, Reference, Resource};
use crate::db::Tx;
use crate::domain::field::Faults;
use crate::domain::usage;
use crate::error::{Error, Result};

/// The most characters of a reason.
const REASON: usize = 500;

/// A correction.
#[derive(Clone, Debug)]
pub struct Correction {
    /// What is added to the event's cost; below zero to take away.
    pub amount: Usd,
    /// Why.
    pub reason: String,
    /// The caller's id for it: a repeated correction changes nothing.
    pub request_id: Option<String>,
}

impl Resource for usage_event::Model {
    const NOUN: &'static str = "usage event";

    async fn find_for_update(tx: &Tx, reference: &Reference) -> Result<Option<Self>> {
        let Some(id) = reference.id::<UsageEventId>() else { return Ok(None) };
        let select = usage::visible_to(tx.actor()).filter(usage_event::Column::Id.eq(id));
        Ok(select.lock(LockType::Update).one(tx.db()).await?)
    }

    async fn placement(&self, _: &Tx) -> Result<Placement> {
        Ok(usage::placement(self))
    }
}

/// Corrects an event; returns the entry that does.
///
/// # Errors
/// Faults in the input; [`Error::Conflict`] when another correction has the request id, and for
/// more than the event still costs.
pub async fn correct(
    tx: &mut Tx,
    event: Authorized<usage_event::Model>,
    correction: Correction,
) -> Result<usage_event::Model> {
    let event = event.into_inner();
    let mut faults = Faults::default();
    if correction.amount == Usd::ZERO {
        faults.add("input.amount", "write an amount other than zero");
    }
    if correction.reason.trim().is_empty() {
        faults.add("input.reason", "say why");
    }
    faults.text("input.reason", &correction.reason, REASON);
    if let Some(request_id) = &correction.request_id {
        faults.word("input.requestId", request_id);
    }
    if event.kind == UsageKind::Correction {
        faults.add("input.usageEventId", "this is a correction: correct the event itself");
    }
    faults.finish()?;
    let entry = entry(tx, &event, correction);
    if let Some(known) = known(tx, &entry).await? {
        if known.payload_hash != entry.payload_hash {
            return Err(Error::conflict("another correction has this request id"));
        }
        tx.nothing_changed();
        return Ok(known);
    }
    let earlier = corrections(tx, event.id).await?;
    let left = earlier.iter().try_fold(event.cost, |sum, row| sum.checked_add(row.cost));
    let left = left.and_then(|left| left.checked_add(entry.cost));
    let Some(left) = left else { return Err(too_large()) };
    if left < Usd::ZERO {
        return Err(Error::conflict(
            "with this and earlier corrections the event would cost less than nothing",
        ));
    }
    post(tx, &event, &entry)
        .await
        .map_err(|error| if is_overflow(&error) { too_large() } else { error })?;
    let subject = Subject::usage_event(&entry);
    tx.record(Event::made(AuditAction::SpendCorrected, subject, &entry));
    Ok(entry)
}

fn too_large() -> Error {
    Error::input("input.amount", "together with what is counted this is too large")
}

/// The entry of a correction: it has the event's dimensions, times and windows.
fn entry(tx: &Tx, event: &usage_event::Model, correction: Correction) -> usage_event::Model {
    let id: UsageEventId = tx.id();
    let request_id = correction.request_id.unwrap_or_else(|| id.to_string());
    let (target, amount) = (event.id.to_string(), correction.amount.nanos().to_string());
    let fields = [target.as_str(), amount.as_str(), correction.reason.as_str()];
    usage_event::Model {
        id,
        kind: UsageKind::Correction,
        request_id: format!("correction:{request_id}"),
        payload_hash: digest("correction", fields.into_iter().map(Some)),
        input_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 0,
        reasoning_tokens: 0,
        cost: correction.amount,
        cost_source: CostSource::Correction,
        price_ref: None,
        recorded_at: tx.now(),
        corrects_id: Some(event.id),
        reason: Some(correction.reason),
        ..event.clone()
    }
}

/// The entry that has the same request id.
#[expect(clippy::disallowed_methods, reason = "its event was authorized")]
async fn known(tx: &Tx, entry: &usage_event::Model) -> Result<Option<usage_event::Model>> {
    let select = usage_event::Entity::find()
        .filter(usage_event::Column::GatewayId.eq(entry.gateway_id))
        .filter(usage_event::Column::RequestId.eq(entry.request_id.as_str()));
    Ok(select.one(tx.db()).await?)
}

/// The corrections of an event, which is locked.
#[expect(clippy::disallowed_methods, reason = "their event was authorized")]
async fn corrections(tx: &Tx, event: UsageEventId) -> Result<Vec<usage_event::Model>> {
    let select = usage_event::Entity::find().filter(usage_event::Column::CorrectsId.eq(event));
    Ok(select.all(tx.db()).await?)
}

async fn post(tx: &Tx, event: &usage_event::Model, entry: &usage_event::Model) -> Result<()> {
    let db = tx.db();
    if insert(db, &[entry]).await?.is_empty() {
        return Err(Error::Moved);
    }
    let mut sums = Sums::default();
    sums.add(entry, 0, Attribution::of_event(event).scopes())?;
    sums.correct(db).await?;
    let windows: BTreeSet<_> =
        event.window_ids.0.iter().map(|id| BudgetWindowId::from_uuid(*id)).collect();
    let mut counters = Counters::lock(db, windows.iter().copied(), tx.now()).await?;
    for window in windows {
        counters.spend(window, entry.cost)?;
    }
    let alerts = counters.write(db, &Meanwhile::default()).await?;
    raise(db, || tx.id(), &alerts, tx.now()).await
}
