//! Who else is there: roles, upstreams, gates, sessions around the gate.

mod application;
mod gate;
mod refusing;
mod requests;
mod roles;
