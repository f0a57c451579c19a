//! HTTP: the server's routes, and everything that happens to a request before a resolver runs.

pub mod body;
pub mod guard;
pub mod negotiation;
pub mod serve;
