//! Real PostgreSQL clusters on free ports, for tests, benchmarks and the demo.
//!
//! A [`Cluster`] is a temporary data directory and a server child that dies with us. The server
//! never runs as root: when we are root it runs as the user `postgres` (or `nobody`). An existing
//! PostgreSQL on the machine is left alone.

mod cluster;
mod proxy;

pub use cluster::{Cluster, ClusterConfig, StartError, client_program, server_program};
pub use proxy::Proxy;
