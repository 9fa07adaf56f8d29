//! The shipped binary against real PostgreSQL servers: whole migrations, killed and cut short.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "in a test a panic is the report")]

mod around;
mod attack;
mod boundaries;
mod cases;
mod checks;
mod control;
mod cutover;
mod faults;
mod gates;
mod kill;
mod planning;
mod program;
mod rehearsing;
mod rollback;
mod stage;
mod until;
