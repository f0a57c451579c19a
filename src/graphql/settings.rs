//! The settings of the platform in the API.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::role::ScopeKind;
use entity::value::PlatformSettings;

use super::access::requires;
use super::budget::{BudgetAssignment, ScopeBudgetInput, entries};
use super::context::{ContextExt, mutate};
use super::error::{ApiError, ApiResult};
use super::loader::BudgetsOf;
use super::scalar::Duration;
use super::value::{change, same};
use crate::authz::Permission;
use crate::domain::Change;
use crate::domain::scope::Scope;
use crate::domain::settings as domain;

/// What the admins of the platform decide at run time.
#[derive(Clone, Debug)]
pub struct Settings(PlatformSettings);

/// What the admins of the platform decide at run time.
#[Object]
impl Settings {
    /// Whether anybody may join a new team that does not say; false at first.
    async fn teams_are_joinable(&self) -> bool {
        self.0.teams_are_joinable
    }

    /// Whether people may make personal keys, outside of any team; true at first. Platform admins may
    /// always.
    async fn personal_keys_are_allowed(&self) -> bool {
        self.0.personal_keys_are_allowed
    }

    /// Whether team admins may make service keys; true at first. Those above may always.
    async fn team_admins_make_service_keys(&self) -> bool {
        self.0.team_admins_make_service_keys
    }

    /// The longest life of a new key that somebody else than a platform admin makes; a key without an
    /// end gets this one. Null for no bound.
    async fn max_key_lifetime(&self) -> Option<Duration> {
        self.0.max_key_lifetime.clone().map(Duration)
    }

    /// Whether every call has to name an end user; false at first.
    async fn end_user_is_required(&self) -> bool {
        self.0.end_user_is_required
    }

    /// Whether the budgets of a person hold for the person's keys in teams too; true at first. Spend
    /// counts there anyhow.
    async fn user_budgets_hold_in_teams(&self) -> bool {
        self.0.user_budgets_hold_in_teams
    }

    /// The budgets of the platform: every call is held against them; at most 20.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        Some(budgets_of(ctx, ScopeKind::Platform).await)
    }

    /// What new teams start with, when their creator gives no budgets.
    async fn team_defaults(&self) -> Defaults {
        Defaults(ScopeKind::TeamDefault)
    }

    /// What new users start with, when their creator gives no budgets.
    async fn user_defaults(&self) -> Defaults {
        Defaults(ScopeKind::UserDefault)
    }

    /// What new end users start with when their creator gives no budgets, and what holds for end users
    /// that nobody has made.
    async fn end_user_defaults(&self) -> Defaults {
        Defaults(ScopeKind::EndUserDefault)
    }

    /// Grows by one with every change; give it as `expectedVersion` to change what you have seen.
    async fn version(&self) -> i32 {
        self.0.version
    }
}

/// What new things of a kind start with.
#[derive(Clone, Copy, Debug)]
pub struct Defaults(ScopeKind);

/// What new things of a kind start with.
#[Object]
impl Defaults {
    /// Budgets that each of them has, with counters of its own; at most 20.
    async fn budgets(&self, ctx: &Context<'_>) -> ApiResult<Vec<BudgetAssignment>> {
        budgets_of(ctx, self.0).await
    }
}

async fn budgets_of(ctx: &Context<'_>, kind: ScopeKind) -> ApiResult<Vec<BudgetAssignment>> {
    let rows = ctx.loader().load_one(BudgetsOf(Scope::platform_default(kind))).await;
    rows.map_err(ApiError::from)
        .map(|rows| rows.unwrap_or_default().into_iter().map(Into::into).collect())
}

/// What new things of a kind start with. What is left out stays; null clears.
#[derive(Clone, Debug, InputObject)]
pub struct DefaultsInput {
    /// The budgets, all of them, at most 20; null for none. What was made before keeps its own.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
}

/// A change of the settings. What is left out stays.
#[derive(Clone, Debug, InputObject)]
pub struct SettingsUpdateInput {
    /// Whether anybody may join a new team that does not say.
    teams_are_joinable: Option<bool>,
    /// Whether people may make personal keys, outside of any team. Keys that exist stay.
    personal_keys_are_allowed: Option<bool>,
    /// Whether team admins may make service keys. Keys that exist stay.
    team_admins_make_service_keys: Option<bool>,
    /// The longest life of a new key that somebody else than a platform admin makes, such as `P90D`;
    /// null for no bound.
    max_key_lifetime: MaybeUndefined<Duration>,
    /// Whether every call has to name an end user.
    end_user_is_required: Option<bool>,
    /// Whether the budgets of a person hold for the person's keys in teams too.
    user_budgets_hold_in_teams: Option<bool>,
    /// The budgets of the platform, against which every call is held, all of them, at most 20; null for
    /// none. They are not compared with the budgets below.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// What new teams start with.
    team_defaults: Option<DefaultsInput>,
    /// What new users start with.
    user_defaults: Option<DefaultsInput>,
    /// What new end users start with, and what holds for those that nobody has made.
    end_user_defaults: Option<DefaultsInput>,
    /// The version that you saw; `CONFLICT` when the settings have changed since.
    expected_version: Option<i32>,
}

/// The settings as they are now.
#[derive(Clone, Debug, SimpleObject)]
pub struct SettingsUpdatePayload {
    /// The settings.
    settings: Settings,
}

/// Reads the settings.
#[derive(Default)]
pub struct SettingsQuery;

/// Reads the settings.
#[Object]
impl SettingsQuery {
    /// The settings of the platform.
    #[graphql(directive = requires::apply(Permission::SettingsRead))]
    async fn settings(&self, ctx: &Context<'_>) -> Option<ApiResult<Settings>> {
        let found = domain::read(ctx.reader()).await;
        Some(found.map(Settings).map_err(Into::into))
    }
}

/// Changes the settings.
#[derive(Default)]
pub struct SettingsMutation;

/// Changes the settings.
#[Object]
impl SettingsMutation {
    /// Updates the settings of the platform. Fields left out keep their value.
    #[graphql(directive = requires::apply(Permission::SettingsUpdate))]
    async fn settings_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: SettingsUpdateInput,
    ) -> Option<ApiResult<SettingsUpdatePayload>> {
        let budgets = |defaults: Option<DefaultsInput>| {
            defaults.map_or(Change::Keep, |defaults| change(defaults.budgets, entries))
        };
        let input = domain::Update {
            teams_are_joinable: input.teams_are_joinable,
            personal_keys_are_allowed: input.personal_keys_are_allowed,
            team_admins_make_service_keys: input.team_admins_make_service_keys,
            max_key_lifetime: match same(input.max_key_lifetime) {
                Change::Keep => Change::Keep,
                Change::Clear => Change::Clear,
                Change::Set(Duration(text)) => Change::Set(text),
            },
            end_user_is_required: input.end_user_is_required,
            user_budgets_hold_in_teams: input.user_budgets_hold_in_teams,
            budgets: change(input.budgets, entries),
            team_budgets: budgets(input.team_defaults),
            user_budgets: budgets(input.user_defaults),
            end_user_budgets: budgets(input.end_user_defaults),
            expected_version: input.expected_version,
        };
        mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                Ok(SettingsUpdatePayload { settings: Settings(domain::update(tx, input).await?) })
            })
        })
        .await
    }
}
