//! `changeover assess` and `changeover plan` on the example systems: real servers, real upstreams, goldens.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "in a test a panic is the report")]

mod clean_shop;
mod documents;
mod every_risk;
mod mask;
mod partial;
mod prometheus;
mod sarif;
mod system;
mod upstream;
