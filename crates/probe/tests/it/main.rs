//! Against servers that each test starts itself.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod clear;
mod secure;
mod server;

use std::time::Duration;

use changeover_probe::Asking;

/// Deadlines that only a fault reaches.
fn asking(health: Option<&str>) -> Asking {
    Asking { health: health.map(str::to_owned), requests: 3, limit: Duration::from_secs(5) }
}
