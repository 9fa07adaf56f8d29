//! The gates against real servers.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod control;
mod harness;
mod http;
mod keepalive;
mod postgres;
