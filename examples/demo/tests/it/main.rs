//! The demo's own honesty: its load counts exactly, its checks can fail, its end is clean.

#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod counting;
mod leaving;
mod program;
