//! Adding models to a team's list, and removing them.

use entity::team;
use entity::value::ModelAccessMode;

use super::stamp;
use crate::audit::{AuditAction, Event, Subject};
use crate::authz::Authorized;
use crate::db::Tx;
use crate::domain::field::{self, Faults, distinct};
use crate::domain::model_access::covers;
use crate::domain::scope::Place;
use crate::domain::{Cascade, limit, llm_model};
use crate::error::{Error, Result};

/// Adds models to a team's list.
///
/// # Errors
/// [`Error::Conflict`] when the team may call all models, for adding one would take the others.
pub async fn add_models(
    tx: &mut Tx,
    team: Authorized<team::Model>,
    models: Vec<String>,
) -> Result<team::Model> {
    let mut faults = Faults::default();
    check_models(&mut faults, &models);
    faults.finish()?;
    let before = team.into_inner();
    if before.model_access.mode == ModelAccessMode::All {
        return Err(Error::conflict(
            "the team may call every model already: to narrow it, set modelAccess to a list",
        ));
    }
    let mut after = before.clone();
    after.model_access.mode = ModelAccessMode::List;
    after.model_access.models.extend(models);
    after.model_access.models = distinct(after.model_access.models).0;
    finish_models(tx, &before, after, Cascade::Refuse).await
}

/// Takes models off a team's list. The list that is left empty becomes NONE.
///
/// # Errors
/// [`Error::Conflict`] when the team has no list, and for members and keys that list the models.
pub async fn remove_models(
    tx: &mut Tx,
    team: Authorized<team::Model>,
    models: Vec<String>,
    cascade: Cascade,
) -> Result<team::Model> {
    let mut faults = Faults::default();
    check_models(&mut faults, &models);
    faults.finish()?;
    let before = team.into_inner();
    if before.model_access.mode == ModelAccessMode::All {
        return Err(Error::conflict(
            "the team may call every model: to narrow it, set modelAccess to a list",
        ));
    }
    let mut after = before.clone();
    after.model_access.models.retain(|model| !models.contains(model));
    if after.model_access.models.is_empty() && after.model_access.access_groups.is_empty() {
        after.model_access.mode = ModelAccessMode::None;
    }
    finish_models(tx, &before, after, cascade).await
}

/// Puts the name of a team's own model on its list, unless the list covers it; returns whether it did.
///
/// # Errors
/// [`Error::LimitExceeded`] when the organization does not allow the name.
pub(crate) async fn grant_model(tx: &mut Tx, team: &team::Model, name: &str) -> Result<bool> {
    let access = &team.model_access;
    let covered = access.models.iter().any(|model| covers(model, name));
    if access.mode == ModelAccessMode::All || covered {
        return Ok(false);
    }
    let mut after = team.clone();
    after.model_access.mode = ModelAccessMode::List;
    after.model_access.models.push(name.to_owned());
    finish_models(tx, team, after, Cascade::Refuse).await?;
    Ok(true)
}

/// Takes names of a team's own models off its list, and off the lists of members and keys.
///
/// # Errors
/// What the database answers.
pub(crate) async fn withdraw_models(
    tx: &mut Tx,
    team: team::Model,
    names: &[String],
) -> Result<team::Model> {
    if !team.model_access.models.iter().any(|model| names.contains(model)) {
        return Ok(team);
    }
    let mut after = team.clone();
    after.model_access.models.retain(|model| !names.contains(model));
    if after.model_access.models.is_empty() && after.model_access.access_groups.is_empty() {
        after.model_access.mode = ModelAccessMode::None;
    }
    finish_models(tx, &team, after, Cascade::Clamp).await
}

fn check_models(faults: &mut Faults, models: &[String]) {
    if models.is_empty() || models.len() > field::MODELS {
        faults.add("input.models", format!("give 1 to {} models", field::MODELS));
    }
    for (index, model) in models.iter().enumerate().take(field::MODELS) {
        faults.word(&format!("input.models.{index}"), model);
    }
}

async fn finish_models(
    tx: &mut Tx,
    before: &team::Model,
    mut after: team::Model,
    cascade: Cascade,
) -> Result<team::Model> {
    let mut faults = Faults::default();
    faults.model_access("input.models", &after.model_access);
    faults.finish()?;
    if after == *before {
        tx.nothing_changed();
        return Ok(after);
    }
    stamp(tx, &mut after);
    tx.update(&after).await?;
    let subject = Subject::team(&after);
    tx.record(Event::changed(AuditAction::TeamUpdated, subject, before, &after));
    let place = Place::team(&after);
    limit::lock_below(tx, &place, &after.model_access).await?;
    llm_model::forget_grants(tx, &after).await?;
    limit::check_above(tx, &place, &after.model_access, "input").await?;
    limit::check_below(tx, &place, &after.model_access, cascade).await?;
    Ok(after)
}
