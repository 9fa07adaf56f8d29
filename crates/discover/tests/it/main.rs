//! Discovery over whole systems, this host, and servers of the real kind.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod example;
mod hostile;
mod processes;
mod prometheus;
