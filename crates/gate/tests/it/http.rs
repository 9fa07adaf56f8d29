//! The HTTP gate against real upstreams.

mod bodies;
mod failing;
mod holding;
mod smuggling;
mod splitting;
