//! The HTTP gate against real upstreams.

mod bodies;
mod deciding;
mod failing;
mod holding;
mod mirror;
mod routes;
mod smuggling;
mod splitting;
