//! People, clocks and guards: what they say holds, in whichever process it is heard.

mod clocks;
mod data;
mod guards;
mod people;
mod prometheus;
pub(crate) mod service;
