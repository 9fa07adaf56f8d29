//! Checks against real servers.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "in a test a panic is the report")]

mod load;
