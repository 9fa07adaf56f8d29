//! The relay against a reference model: any delivery, any crash, any restart.
#![allow(clippy::unwrap_used)]

mod holding;
mod model;
mod world;
