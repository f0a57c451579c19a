//! Models, with the team and the credential of each.

use entity::id::Id;
use entity::value::ModelAccessMode;
use entity::{credential, llm_model, team};
use sea_orm::ConnectionTrait;

use super::rows::{Pages, readable_by_id};
use super::{Examination, Kind};
use crate::domain::destination::Rule;
use crate::domain::llm_model as models;
use crate::error::Result;

impl<C: ConnectionTrait> Examination<'_, C> {
    /// Looks at all models.
    pub(super) async fn models(&mut self) -> Result<()> {
        let mut pages = Pages::<llm_model::Entity>::new();
        while let Some(page) = pages.next(self).await? {
            let ids = page.iter().filter_map(|row| Some(row.team_id?.uuid()));
            let teams = readable_by_id::<team::Entity, C>(self.db, ids.collect()).await?;
            let ids = page.iter().filter_map(|row| Some(row.credential_id?.uuid()));
            let sent = readable_by_id::<credential::Entity, C>(self.db, ids.collect()).await?;
            for row in &page {
                self.model(row);
                let credential = sent.iter().find(|sent| Some(sent.id) == row.credential_id);
                self.destination(row, credential);
                let team = teams.iter().find(|team| Some(team.id) == row.team_id);
                if row.is_granted && (team.is_some() || row.team_id.is_none()) {
                    self.grant(row, team);
                }
            }
        }
        Ok(())
    }

    fn model(&mut self, row: &llm_model::Model) {
        self.check_as(Kind::FieldInvalid, row.id, |faults| models::check(faults, row, usize::MAX));
        let external_id = row.external_id.as_deref();
        let parts = [Some(row.name.as_str()), external_id, Some(row.provider_model.as_str())];
        self.searched(row.id, &row.search_text, &parts);
    }

    /// Who put the model there may have been an admin of the platform, who knows its networks.
    fn destination(&mut self, row: &llm_model::Model, credential: Option<&credential::Model>) {
        let rule = Rule { credential, trusted: true };
        self.check_as(Kind::DestinationRefused, row.id, |faults| {
            if let Some(base) = &row.api_base {
                rule.check_base(faults, "apiBase", base);
            }
            rule.check_params(faults, "params", &row.params);
        });
    }

    fn grant(&mut self, row: &llm_model::Model, team: Option<&team::Model>) {
        let is_listed = team.is_some_and(|team| {
            team.model_access.mode == ModelAccessMode::List
                && team.model_access.models.contains(&row.name)
        });
        if !is_listed {
            let message = "the name of the model counts as granted, and its team does not list it";
            let team = row.team_id.map(|id| id.to_string());
            let ids = [Some(row.id.to_string()), team].into_iter().flatten().collect();
            self.found(Kind::GrantStale, message, ids);
        }
    }
}
