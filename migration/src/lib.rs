//! The steps that bring a database to the schema of this version of Tollkeep, one per file.
//!
//! Every step runs in a transaction, forwards and backwards, on SQLite and on PostgreSQL, from one
//! text. A step that has been released never changes; a later step corrects it.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod columns;
mod m20261121_000001_create_organizations;
mod m20261121_000002_create_users;
mod m20261121_000003_create_organization_memberships;
mod m20261121_000004_create_teams;
mod m20261121_000005_create_team_memberships;
mod m20261121_000006_create_budgets;
mod m20261121_000007_create_api_keys;
mod m20261121_000008_create_model_aliases;
mod m20261121_000009_create_audit_events;
mod m20261121_000010_create_change_log;
mod m20261121_000011_create_settings;
mod m20261121_000013_create_projects;
mod m20261121_000014_add_project_to_api_keys;
mod m20261121_000015_create_credentials;
mod m20261121_000016_create_models;
mod m20261121_000017_create_access_groups;
mod m20261121_000018_create_end_users;
mod m20261121_000019_create_tags;
mod m20261125_000020_find_windows_by_scope;
mod m20261125_000060_index_external_ids;
mod m20261126_000070_create_usage_events;
mod m20261126_000071_create_reservations;
mod m20261126_000072_create_usage_daily;
mod m20261126_000073_create_spend_totals;
mod m20261126_000074_add_marks_to_budget_windows;
mod m20261126_000075_create_budget_alerts;
mod m20261126_000076_add_changes_to_budgets;
mod m20261126_000080_create_rate_limits;
mod m20261126_000090_add_transaction_to_change_log;

/// All steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_organizations::Migration),
            Box::new(m20261121_000002_create_users::Migration),
            Box::new(m20261121_000003_create_organization_memberships::Migration),
            Box::new(m20261121_000004_create_teams::Migration),
            Box::new(m20261121_000005_create_team_memberships::Migration),
            Box::new(m20261121_000006_create_budgets::Migration),
            Box::new(m20261121_000007_create_api_keys::Migration),
            Box::new(m20261121_000008_create_model_aliases::Migration),
            Box::new(m20261121_000009_create_audit_events::Migration),
            Box::new(m20261121_000010_create_change_log::Migration),
            Box::new(m20261121_000011_create_settings::Migration),
            Box::new(m20261121_000013_create_projects::Migration),
            Box::new(m20261121_000014_add_project_to_api_keys::Migration),
            Box::new(m20261121_000018_create_end_users::Migration),
            Box::new(m20261121_000019_create_tags::Migration),
            Box::new(m20261121_000015_create_credentials::Migration),
            Box::new(m20261121_000016_create_models::Migration),
            Box::new(m20261121_000017_create_access_groups::Migration),
            Box::new(m20261125_000020_find_windows_by_scope::Migration),
            Box::new(m20261125_000060_index_external_ids::Migration),
            Box::new(m20261126_000070_create_usage_events::Migration),
            Box::new(m20261126_000071_create_reservations::Migration),
            Box::new(m20261126_000072_create_usage_daily::Migration),
            Box::new(m20261126_000073_create_spend_totals::Migration),
            Box::new(m20261126_000074_add_marks_to_budget_windows::Migration),
            Box::new(m20261126_000075_create_budget_alerts::Migration),
            Box::new(m20261126_000076_add_changes_to_budgets::Migration),
            Box::new(m20261126_000080_create_rate_limits::Migration),
            Box::new(m20261126_000090_add_transaction_to_change_log::Migration),
        ]
    }
}
