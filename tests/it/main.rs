//! Behaviour, through the front door, on SQLite and on PostgreSQL; and walks over the schema, the
//! policy, the source tree and the migrations.

mod api_key;
mod api_key_rights;
mod authentication;
mod budget;
mod budget_scopes;
mod harness;
mod smoke;
mod steps;
mod user;
mod user_search;
