//! The crate from outside: what one side builds, the other reads; and nothing makes it panic.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod frames;
mod login;
mod messages;
mod stream;
