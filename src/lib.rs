//! Tollkeep: the open, single-binary control plane for LLM gateways.

pub mod app;
pub mod audit;
pub mod authn;
pub mod authz;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod domain;
pub mod enforcement;
pub mod error;
pub mod graphql;
pub mod http;
pub mod rate_limit;
pub mod rules;
pub mod sealing;
pub mod secret;
pub mod secrets_file;
pub mod session;
pub mod telemetry;
