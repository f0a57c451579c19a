//! The settings of the platform in the API.

mod bounds;

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use entity::role::ScopeKind;
use entity::value::PlatformSettings;

use super::access::requires;
use super::budget::{BudgetAssignment, ScopeBudgetInput, entries};
use super::context::{ContextExt, mutate};
use super::error::{ApiError, ApiResult};
use super::loader::BudgetsOf;
use super::value::change;
use crate::authz::Permission;
use crate::domain::Change;
use crate::domain::scope::Scope;
use crate::domain::settings as domain;
pub use bounds::{ApiKeyBounds, ApiKeyBoundsInput, ApiKeyRoleBounds, ApiKeyRoleBoundsInput};

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

    /// Whether platform admins may choose the secrets of new keys; true at first. Nobody else may.
    async fn chosen_secrets_are_allowed(&self) -> bool {
        self.0.chosen_secrets_are_allowed
    }

    /// The most that keys may have which others than platform admins make or widen, by the role of the
    /// caller; no bounds at first.
    async fn api_key_bounds(&self) -> ApiKeyRoleBounds {
        self.0.key_bounds.clone().into()
    }

    /// What new keys of the kinds `USER` and `SERVICE` start with, when their creator gives no budgets.
    /// A default that is more than the scopes above or the bounds allow is lowered to that.
    async fn api_key_defaults(&self) -> Defaults {
        Defaults(ScopeKind::ApiKeyDefault)
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

    /// Whether checks of calls go on answering from memory while a server has not heard of changes for
    /// 5 seconds, because the database is away; false at first: checks answer 503 then. What was
    /// blocked or deleted meanwhile goes on working as long.
    async fn serve_stale_checks(&self) -> bool {
        self.0.serve_stale_checks
    }

    /// The budgets of the platform: every call is held against them; at most 20.
    async fn budgets(&self, ctx: &Context<'_>) -> Option<ApiResult<Vec<BudgetAssignment>>> {
        Some(budgets_of(ctx, ScopeKind::Platform).await)
    }

    /// What new teams start with, when their creator gives no budgets. A default that is more than the
    /// organization allows is lowered to that.
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
    /// Whether every call has to name an end user.
    end_user_is_required: Option<bool>,
    /// Whether the budgets of a person hold for the person's keys in teams too.
    user_budgets_hold_in_teams: Option<bool>,
    /// Whether checks of calls go on answering from memory while a server has not heard of changes for
    /// 5 seconds.
    serve_stale_checks: Option<bool>,
    /// The budgets of the platform, against which every call is held, all of them, at most 20; null for
    /// none. They are not compared with the budgets below.
    budgets: MaybeUndefined<Vec<ScopeBudgetInput>>,
    /// Whether platform admins may choose the secrets of new keys.
    chosen_secrets_are_allowed: Option<bool>,
    /// The most that keys may have which others than platform admins make or widen.
    api_key_bounds: Option<ApiKeyRoleBoundsInput>,
    /// What new keys of the kinds `USER` and `SERVICE` start with.
    api_key_defaults: Option<DefaultsInput>,
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
            end_user_is_required: input.end_user_is_required,
            user_budgets_hold_in_teams: input.user_budgets_hold_in_teams,
            serve_stale_checks: input.serve_stale_checks,
            budgets: change(input.budgets, entries),
            chosen_secrets_are_allowed: input.chosen_secrets_are_allowed,
            key_bounds: input.api_key_bounds.unwrap_or_default().into(),
            api_key_budgets: budgets(input.api_key_defaults),
            team_budgets: budgets(input.team_defaults),
            user_budgets: budgets(input.user_defaults),
            end_user_budgets: budgets(input.end_user_defaults),
            expected_version: input.expected_version,
        };
        Box::pin(mutate(ctx, input, |tx, input| {
            Box::pin(async move {
                Ok(SettingsUpdatePayload { settings: Settings(domain::update(tx, input).await?) })
            })
        }))
        .await
    }
}
