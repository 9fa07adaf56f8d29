//! The demo's own honesty: its load counts exactly, its checks can fail, its end is clean.

mod counting;
mod leaving;
mod program;
