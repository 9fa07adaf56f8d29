//! Who else is there: roles, upstreams, gates, sessions around the gate.

mod application;
mod refusing;
mod requests;
mod roles;
