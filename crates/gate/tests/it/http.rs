//! The HTTP gate against real upstreams.

mod answers;
mod blame;
mod bodies;
mod deciding;
mod failing;
mod haproxy;
mod holding;
mod limits;
mod mirror;
mod routes;
mod smuggling;
mod splitting;
