//! Tollkeep: the open, single-binary control plane for LLM gateways.

pub mod audit;
pub mod authn;
pub mod authz;
pub mod clock;
pub mod db;
pub mod domain;
pub mod error;
pub mod http;
pub mod session;
