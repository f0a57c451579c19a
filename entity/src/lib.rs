//! The tables of Tollkeep, one per file: columns, keys and foreign keys, and nothing else.
//!
//! Rules live in the root crate; this crate knows neither GraphQL nor HTTP. Every table has a
//! UUIDv7 primary key of its own type ([`id`]), and money, lists and modes have types of their own
//! ([`value`], [`role`]), so that a team's id cannot be passed for a user's.

pub mod access_group;
pub mod access_group_model;
pub mod api_key;
pub mod api_key_secret;
pub mod audit_event;
pub mod budget;
pub mod budget_alert;
pub mod budget_assignment;
pub mod budget_window;
pub mod change_log;
pub mod credential;
pub mod credential_value;
pub mod end_user;
pub mod id;
pub mod key_bounds;
pub mod llm_model;
pub mod model_alias;
pub mod organization;
pub mod organization_membership;
pub mod parallel_lease;
pub mod project;
pub mod rate_limit_window;
pub mod replica;
pub mod reservation;
pub mod role;
pub mod setting;
pub mod spend_total;
pub mod tag;
pub mod team;
pub mod team_membership;
pub mod usage_day;
pub mod usage_event;
pub mod user;
pub mod value;
