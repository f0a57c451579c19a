//! Reservations that are out of time: what they held is let go of. They are met when something is
//! refused for want of room, and swept from time to time, so that nobody has to wait for a sweep.

use std::collections::BTreeSet;

use super::counters::{Counters, Meanwhile};
use super::post::raise;
use super::reservation::take_expired;
use crate::db::Deployment;
use crate::db::unit::Unit;
use crate::error::Result;

/// The most reservations that one transaction lets go of.
const SWEEP: u64 = 500;

/// Lets go of what is out of time, and returns the number of reservations that were.
pub(super) async fn expire(deployment: &Deployment) -> Result<u64> {
    let mut all = 0;
    loop {
        let unit = Unit::begin(&deployment.database).await?;
        let now = deployment.clock.now();
        let taken = take_expired(unit.db(), now, SWEEP).await?;
        if taken.is_empty() {
            unit.rollback().await;
            return Ok(all);
        }
        let windows: BTreeSet<_> =
            taken.values().flat_map(|held| held.windows.iter().copied()).collect();
        let mut counters = Counters::lock(unit.db(), windows.into_iter(), now).await?;
        for held in taken.values() {
            for window in &held.windows {
                counters.let_go(*window, held.amount);
            }
        }
        let alerts = counters.write(unit.db(), &Meanwhile::default()).await?;
        raise(unit.db(), || deployment.clock.id(), &alerts, now).await?;
        unit.commit().await?;
        all += taken.len() as u64;
    }
}
