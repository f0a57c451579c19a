//! Behaviour, through the front door, on SQLite and on PostgreSQL; and walks over the schema, the
//! policy, the source tree and the migrations.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests look past the layers on purpose")]

mod access;
mod access_group;
mod access_group_lists;
mod api_key;
mod api_key_rights;
mod architecture;
mod audit;
mod authentication;
mod budget;
mod budget_scopes;
mod budget_size;
mod bulk;
mod canary;
mod crash;
mod credential;
mod credential_use;
mod deadline;
mod decision;
mod doctor;
mod end_user;
mod harness;
mod http;
mod key_bounds;
mod ledger;
mod llm_model;
mod llm_model_own;
mod locks;
mod membership;
mod membership_change;
mod migrations;
mod model_access;
mod narrowing;
mod organization;
mod organization_members;
mod orphans;
mod project;
mod project_limits;
mod project_locks;
mod project_move;
mod property;
mod reach;
mod reference;
mod rotation;
mod schema;
mod settings;
mod start;
mod statements;
mod steps;
mod tag;
mod takeover;
mod team;
mod team_calls;
mod team_faults;
mod team_life;
mod team_limits;
mod team_move;
mod team_read;
mod team_update;
mod user;
mod user_search;
