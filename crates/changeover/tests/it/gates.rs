//! The gates as processes of their own, and the traffic they carry, while the binary moves it.

pub(crate) mod canary;
mod clients;
mod killed;
mod outside;
mod routes;
pub(crate) mod web;
