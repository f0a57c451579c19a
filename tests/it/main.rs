//! Behaviour, through the front door, on SQLite and on PostgreSQL; and walks over the schema, the
//! policy, the source tree and the migrations.

mod harness;
mod membership;
mod membership_change;
mod smoke;
mod team;
mod team_calls;
mod team_faults;
mod team_life;
mod team_limits;
mod team_read;
mod team_update;
