//! Asks upstreams how they are: health, latency, clock, certificate (L2).
//!
//! A few GET requests on one connection, each with a deadline; nothing is changed and nothing is
//! believed: what does not answer is a fact that says why. Reading order: [`ask`], `address`,
//! `connection`, `answer`, `certificate`.

mod address;
mod answer;
mod ask;
mod certificate;
mod connection;

pub use ask::{Asking, ask};
