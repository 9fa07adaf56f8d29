//! Reads what is written about a running system, and what can be seen of it (L2).
//!
//! Nothing here changes anything: files are read inside the given roots, `/proc` and Prometheus
//! are asked. What cannot be read becomes an [`Unread`](changeover_assess::map::Unread) with file,
//! line and reason, and the rest goes on. Values of configuration are reduced to host, port,
//! database and the name of their key as soon as they are seen (`values`); no secret leaves this
//! crate. Reading order: [`files`](from_files()) (walking and bounds), `detect` (what a file is),
//! then a module for each kind.

mod activity;
mod compose;
mod detect;
mod files;
mod haproxy;
mod kubernetes;
mod nginx;
mod notes;
mod processes;
mod prometheus;
mod resolve;
mod systemd;
mod terraform;
mod tree;
mod values;

pub use activity::{DatabaseClients, from_activity};
pub use files::{Limits, from_files};
pub use processes::from_processes;
pub use prometheus::{PrometheusError, from_prometheus};
pub use resolve::{ResolveError, from_resolver, system_servers};
