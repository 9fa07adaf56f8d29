//! Against real PostgreSQL servers that each test starts itself.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod assessing;
mod copying;
mod definitions;
mod following;
mod sealing;
mod sessions;
