//! The PostgreSQL gate between real clients and two real servers.

mod ahead;
mod bench;
mod forwarding;
mod holding;
mod login;
mod moving;
mod numbers;
mod unsure;
