//! Behaviour, through the front door, on SQLite and on PostgreSQL; and walks over the schema, the
//! policy, the source tree and the migrations.

mod harness;
mod smoke;
