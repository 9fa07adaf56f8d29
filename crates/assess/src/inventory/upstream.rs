//! What is known of an HTTP upstream.

use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::fact::Fact;

/// An HTTP upstream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Upstream {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// What its health endpoint says.
    pub health: Fact<Health>,
    /// How far its clock is ahead of ours, in milliseconds, as far as a `Date` header tells:
    /// the least deviation that explains what was seen.
    pub clock_skew_ms: Fact<i64>,
    /// Its certificate; `None` if it is asked without TLS.
    pub tls: Option<Fact<Certificate>>,
    /// What it calls its version, in a header or in the health endpoint's answer.
    pub version: Fact<String>,
}

/// What a health endpoint says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The path that was asked.
    pub path: String,
    /// The status code.
    pub status: u16,
    /// The protocol, `HTTP/1.1`.
    pub http: String,
    /// Whether the connection was kept for the next request.
    pub keep_alive: bool,
    /// The median over a few requests, in milliseconds.
    pub latency_ms: f64,
    /// The slowest of them.
    pub latency_max_ms: f64,
    /// Whether its answer speaks of a database.
    pub names_database: bool,
}

/// A TLS certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its end.
    pub not_after: WallMs,
    /// The names it is for.
    pub names: Vec<String>,
    /// Whether they include the host that was asked.
    pub names_host: bool,
    /// Why this machine does not trust it; `None` if it does.
    pub untrusted: Option<String>,
}
