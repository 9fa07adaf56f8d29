//! The gates against real servers.

mod control;
mod harness;
mod http;
mod postgres;
