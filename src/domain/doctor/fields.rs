//! Rows by themselves: each is what an input could have made of it, by the rules that inputs are
//! held to. Sizes that a deployment chooses are not looked at, because they may have been others.

use std::fmt::Display;

use entity::id::Id;
use entity::role::{ApiKeyKind, EmailConfirmation};
use entity::value::ModelAccess;
use entity::{
    access_group, access_group_model, api_key, api_key_secret, budget, budget_window, credential,
    credential_value, end_user, model_alias, organization, organization_membership, project,
    setting, tag, team, team_membership, user,
};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, QueryTrait, TryGetable};
use serde_json::Value;

use super::rows::{Key, Pages, readable_by_id};
use super::{Examination, Kind};
use crate::domain::destination::read_hosts;
use crate::domain::field::{Faults, search_text};
use crate::domain::scope::Scope;
use crate::domain::{api_key as keys, budget as budgets, credential as credentials};
use crate::domain::{project as projects, settings, tag as tags};
use crate::error::Result;

impl<C: ConnectionTrait> Examination<'_, C> {
    /// Looks at the rows of all tables but assignments, which are looked at with what is above them.
    pub(super) async fn fields(&mut self) -> Result<()> {
        self.each::<organization::Entity>(Self::organization).await?;
        self.each::<organization_membership::Entity>(|_, _| {}).await?;
        self.each::<user::Entity>(Self::user).await?;
        self.each_list::<team::Entity>(Self::team, |row| Scope::team(row.id)).await?;
        self.each_list::<team_membership::Entity>(
            |this, row| this.list(row.id, "modelAccess", &row.model_access),
            |row| Scope::membership(row.id),
        )
        .await?;
        self.each_list::<project::Entity>(Self::project, |row| Scope::project(row.id)).await?;
        self.each_list::<api_key::Entity>(Self::api_key, |row| Scope::api_key(row.id)).await?;
        self.each::<api_key_secret::Entity>(|_, _| {}).await?;
        self.each::<credential::Entity>(Self::credential).await?;
        self.credential_values().await?;
        self.models().await?;
        self.each::<model_alias::Entity>(Self::model_alias).await?;
        self.each::<access_group::Entity>(Self::access_group).await?;
        self.each::<access_group_model::Entity>(|this, row| {
            this.check(row.id, |faults| faults.word("modelName", &row.model_name));
        })
        .await?;
        self.each::<end_user::Entity>(Self::end_user).await?;
        self.each::<tag::Entity>(Self::tag).await?;
        self.each::<budget::Entity>(Self::budget).await?;
        self.each::<budget_window::Entity>(Self::budget_window).await?;
        self.settings().await
    }

    async fn each<E>(&mut self, look: fn(&mut Self, &E::Model)) -> Result<()>
    where
        E: EntityTrait,
        Key<E>: Id + TryGetable,
    {
        let mut pages = Pages::<E>::new();
        while let Some(page) = pages.next(self).await? {
            for row in &page {
                look(self, row);
            }
        }
        Ok(())
    }

    /// The same for scopes that list models, which the scopes above them allow.
    async fn each_list<E>(
        &mut self,
        look: fn(&mut Self, &E::Model),
        scope: fn(&E::Model) -> Scope,
    ) -> Result<()>
    where
        E: EntityTrait,
        E::Model: Lists,
        Key<E>: Id + TryGetable,
    {
        let mut pages = Pages::<E>::new();
        while let Some(page) = pages.next(self).await? {
            for row in &page {
                look(self, row);
            }
            let lists = page.iter().map(|row| (scope(row), row.model_access()));
            self.models_within(&lists.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    fn check(&mut self, id: impl Display, check: impl FnOnce(&mut Faults)) {
        self.check_as(Kind::FieldInvalid, id, check);
    }

    pub(super) fn check_as(
        &mut self,
        kind: Kind,
        id: impl Display,
        check: impl FnOnce(&mut Faults),
    ) {
        let mut faults = Faults::default();
        check(&mut faults);
        self.found_faults(kind, id, faults);
    }

    fn list(&mut self, id: impl Display + Copy, field: &str, access: &ModelAccess) {
        self.check_as(Kind::ModelAccessInvalid, id, |faults| faults.model_access(field, access));
        self.groups_exist(id, field, access);
    }

    fn groups_exist(&mut self, id: impl Display, field: &str, access: &ModelAccess) {
        let gone = access.access_groups.iter().filter(|name| !self.groups.contains(*name));
        let gone: Vec<_> = gone.cloned().collect();
        if !gone.is_empty() {
            let message =
                format!("{field} lists access groups that do not exist: {}", gone.join(", "));
            self.found(Kind::AccessGroupGone, message, vec![id.to_string()]);
        }
    }

    pub(super) fn searched(&mut self, id: impl Display, stored: &str, parts: &[Option<&str>]) {
        if stored != search_text(parts) {
            let message = "searches look at another name or external id than the row has";
            self.found(Kind::SearchTextStale, message, vec![id.to_string()]);
        }
    }

    fn organization(&mut self, row: &organization::Model) {
        self.check(row.id, |faults| {
            faults.name("name", &row.name);
            external_id(faults, row.external_id.as_deref());
            object(faults, "metadata", &row.metadata);
        });
        self.list(row.id, "modelAccess", &row.model_access);
        self.searched(row.id, &row.search_text, &[Some(&row.name), row.external_id.as_deref()]);
    }

    fn user(&mut self, row: &user::Model) {
        self.check(row.id, |faults| {
            if row.email.is_none() && row.name.is_none() && row.external_id.is_none() {
                faults.add("name", "a user has an e-mail address, a name or an external id");
            }
            external_id(faults, row.external_id.as_deref());
            if let Some(name) = &row.name {
                faults.name("name", name);
            }
            if let Some(email) = &row.email {
                faults.email("email", email);
            }
            object(faults, "metadata", &row.metadata);
        });
        self.list(row.id, "modelAccess", &row.model_access);
        let parts = [row.name.as_deref(), row.external_id.as_deref()];
        self.searched(row.id, &row.search_text, &parts);
        let confirmed = match row.email_confirmed_by {
            None => true,
            Some(EmailConfirmation::Platform) => row.email.is_some(),
            Some(EmailConfirmation::Organization) => {
                row.email.is_some() && row.organization_id.is_some()
            }
        };
        if row.email_key != row.email.as_deref().map(str::to_lowercase) {
            let message = "the address by which the user is found is not the user's address";
            self.found(Kind::EmailInconsistent, message, vec![row.id.to_string()]);
        } else if !confirmed {
            let message = "an address is confirmed that is not there, or by nobody";
            self.found(Kind::EmailInconsistent, message, vec![row.id.to_string()]);
        }
    }

    fn team(&mut self, row: &team::Model) {
        self.check(row.id, |faults| {
            faults.name("name", &row.name);
            external_id(faults, row.external_id.as_deref());
            object(faults, "metadata", &row.metadata);
            if let Some(settings) = &row.router_settings {
                object(faults, "routerSettings", settings);
            }
            faults.words("tags", &row.tags.0);
            faults.words("guardrails", &row.guardrails.0);
        });
        self.list(row.id, "modelAccess", &row.model_access);
        self.list(row.id, "memberDefaults.modelAccess", &row.member_model_access);
        self.searched(row.id, &row.search_text, &[Some(&row.name), row.external_id.as_deref()]);
    }

    fn project(&mut self, row: &project::Model) {
        self.check(row.id, |faults| {
            faults.name("name", &row.name);
            external_id(faults, row.external_id.as_deref());
            if let Some(description) = &row.description {
                projects::check_description(faults, description);
            }
            object(faults, "metadata", &row.metadata);
            if let Some(permissions) = &row.object_permissions {
                object(faults, "objectPermissions", permissions);
            }
            faults.words("tags", &row.tags.0);
        });
        self.list(row.id, "modelAccess", &row.model_access);
        self.searched(row.id, &row.search_text, &[Some(&row.name), row.external_id.as_deref()]);
    }

    fn api_key(&mut self, row: &api_key::Model) {
        self.check(row.id, |faults| {
            let has_place = match row.kind {
                ApiKeyKind::User => row.user_id.is_some(),
                ApiKeyKind::Service => row.user_id.is_none() && row.team_id.is_some(),
                ApiKeyKind::Gateway | ApiKeyKind::Admin => {
                    row.user_id.is_none() && row.team_id.is_none()
                }
            };
            if !has_place || (row.project_id.is_some() && row.team_id.is_none()) {
                faults.add("kind", "owner, team and project do not go with the kind of the key");
            }
            if let Some(name) = &row.name {
                faults.name("name", name);
            }
            external_id(faults, row.external_id.as_deref());
            object(faults, "metadata", &row.metadata);
            faults.words("tags", &row.tags.0);
            if let Some(routes) = &row.allowed_routes {
                keys::check_routes(faults, &routes.0);
            }
            if let Some(at) = row.expires_at {
                faults.instant("expiresAt", at);
            }
        });
        self.list(row.id, "modelAccess", &row.model_access);
        let parts = [row.name.as_deref(), row.external_id.as_deref()];
        self.searched(row.id, &row.search_text, &parts);
    }

    fn credential(&mut self, row: &credential::Model) {
        self.check(row.id, |faults| {
            faults.name("name", &row.name);
            external_id(faults, row.external_id.as_deref());
            read_hosts(faults, "allowedHosts", &row.allowed_hosts.0, row.team_id.is_some());
        });
        self.searched(row.id, &row.search_text, &[Some(&row.name), row.external_id.as_deref()]);
    }

    async fn credential_values(&mut self) -> Result<()> {
        let mut pages = Pages::<credential_value::Entity>::new();
        while let Some(page) = pages.next(self).await? {
            let ids = page.iter().map(|row| row.credential_id.uuid()).collect();
            let owners = readable_by_id::<credential::Entity, C>(self.db, ids).await?;
            for row in &page {
                let owner = owners.iter().find(|owner| owner.id == row.credential_id);
                let of_platform = owner.is_none_or(|owner| owner.team_id.is_none());
                self.check(row.id, |faults| credentials::check_stored(faults, row, of_platform));
            }
        }
        Ok(())
    }

    fn model_alias(&mut self, row: &model_alias::Model) {
        self.check(row.id, |faults| {
            faults.word("alias", &row.alias);
            faults.word("target", &row.target);
            if row.alias == row.target {
                faults.add("target", "an alias may not name itself");
            }
        });
    }

    fn access_group(&mut self, row: &access_group::Model) {
        self.check(row.id, |faults| {
            faults.word("name", &row.name);
            external_id(faults, row.external_id.as_deref());
        });
        self.searched(row.id, &row.search_text, &[Some(&row.name), row.external_id.as_deref()]);
    }

    fn end_user(&mut self, row: &end_user::Model) {
        self.check(row.id, |faults| {
            faults.external_id("externalId", &row.external_id);
            if let Some(name) = &row.name {
                faults.name("name", name);
            }
            if let Some(model) = &row.default_model {
                faults.word("defaultModel", model);
            }
            if row.team_id.is_some() && row.organization_id.is_some() {
                faults.add("organizationId", "an end user has a team or an organization, not both");
            }
        });
        let parts = [row.name.as_deref(), Some(row.external_id.as_str())];
        self.searched(row.id, &row.search_text, &parts);
    }

    fn tag(&mut self, row: &tag::Model) {
        self.check(row.id, |faults| tags::check_name(faults, "name", &row.name));
        self.searched(row.id, &row.search_text, &[Some(&row.name)]);
    }

    fn budget(&mut self, row: &budget::Model) {
        self.check_as(Kind::BudgetInvalid, row.id, |faults| {
            budgets::check_limits(faults, "limits", &budgets::Limits::from(row));
        });
        self.check(row.id, |faults| {
            match &row.name {
                Some(name) => faults.name("name", name),
                None if row.owner_kind.is_none() => {
                    faults.add("name", "a budget that stands alone needs a name");
                }
                None => {}
            }
            external_id(faults, row.external_id.as_deref());
            if row.owner_kind.is_some() != row.owner_id.is_some() {
                faults.add("ownerId", "the owner has a kind and an id, or the budget stands alone");
            }
        });
        let parts = [row.name.as_deref(), row.external_id.as_deref()];
        self.searched(row.id, &row.search_text, &parts);
    }

    fn budget_window(&mut self, row: &budget_window::Model) {
        self.check_as(Kind::WindowInvalid, row.id, |faults| {
            for (field, amount) in [("spent", row.spent), ("reserved", row.reserved)] {
                if amount.nanos() < 0 {
                    faults.add(field, "this may not be negative");
                }
            }
            if row.ends_at.is_some_and(|end| end <= row.starts_at) {
                faults.add("endsAt", "the window ends before it begins");
            }
        });
    }

    #[expect(clippy::disallowed_methods, reason = "the examination looks at everything")]
    async fn settings(&mut self) -> Result<()> {
        let select = setting::Entity::find();
        for row in self.db.query_all(select.as_query()).await? {
            *self.summary.rows.entry("settings".to_owned()).or_default() += 1;
            let name: String = row.try_get("", "name")?;
            match setting::Model::from_query_result(&row, "") {
                Ok(row) => {
                    let mut faults = Faults::default();
                    let settings = settings::check_stored(&mut faults, row);
                    self.found_faults(Kind::FieldInvalid, &name, faults);
                    let mut bounds = settings.map(|settings| settings.key_bounds);
                    let bounds =
                        bounds.iter_mut().flat_map(entity::key_bounds::KeyBounds::each_mut);
                    for access in bounds.filter_map(|bound| bound.model_access.as_ref()) {
                        self.groups_exist(&name, "apiKeyBounds.modelAccess", access);
                    }
                }
                Err(error) => {
                    let message = format!("a row of settings cannot be read: {error}");
                    self.found(Kind::RowUnreadable, message, vec![name]);
                }
            }
        }
        Ok(())
    }
}

/// A scope that lists models.
pub(super) trait Lists {
    /// Its list.
    fn model_access(&self) -> &ModelAccess;
}

macro_rules! lists {
    ($($table:ident),*) => {$(
        impl Lists for $table::Model {
            fn model_access(&self) -> &ModelAccess {
                &self.model_access
            }
        }
    )*};
}

lists!(team, team_membership, project, api_key);

fn external_id(faults: &mut Faults, text: Option<&str>) {
    if let Some(text) = text {
        faults.external_id("externalId", text);
    }
}

fn object(faults: &mut Faults, field: &str, value: &Value) {
    faults.metadata(field, value, usize::MAX);
}
