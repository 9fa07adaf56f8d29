//! What a gate is told at its start. Plain values; the engine fills them from the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use changeover_types::{MigrationName, RouteRule};

use crate::postgres::PostgresGateConfig;

/// A whole gate process.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// The migration it serves.
    pub migration: MigrationName,
    /// Where `route.json` lives.
    pub state_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// How many cores carry traffic; at least one is used.
    pub workers: usize,
    /// What the plan says of all this, for whoever asks which plan the gate carries. No secrets.
    pub carries: BTreeMap<String, String>,
    /// The HTTP gate, if the plan has one.
    pub http: Option<HttpGateConfig>,
    /// The PostgreSQL gate, if the plan has one.
    pub postgres: Option<PostgresGateConfig>,
}

/// The HTTP gate.
#[derive(Clone, Debug)]
pub struct HttpGateConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The cookie that keeps a client on its side; without one each request is split by itself.
    pub sticky_cookie: Option<String>,
    /// The source's instances.
    pub source: Vec<Upstream>,
    /// The target's instances.
    pub target: Vec<Upstream>,
    /// Whether a hold parks HTTP requests. False when the PostgreSQL gate holds instead: requests
    /// then wait inside the application.
    pub holds: bool,
    /// The age at which a request that no route takes is decided to be good or bad, for the canary.
    pub decide_after: Duration,
    /// Routes in the order in which they are asked; a share of requests may be given to each.
    pub routes: Vec<GateRoute>,
    /// How many, and how long.
    pub limits: HttpLimits,
    /// With a sticky cookie: so long after a canary's beginning its users are not judged.
    pub warm_up: Duration,
}

/// What the HTTP gate allows, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Clients' connections, over all cores. When all places are taken the longest silent one goes;
    /// where all are at work a new one gets 503.
    pub connections: usize,
    /// Connections to each upstream, over all cores; requests wait for one.
    pub upstream_connections: usize,
    /// From a connection's first moment, later from a head's first byte, to the head's end: then 408.
    pub head: Duration,
    /// Between two requests: then the connection is closed.
    pub idle: Duration,
    /// Without a byte of a request's body, or of an answer that the client could take: then 408, or
    /// the connection is closed.
    pub body: Duration,
    /// From the last movement of a request to the head of its answer, without the time in which the
    /// client is awaited: then 504.
    pub answer: Duration,
    /// For one of the connections to an upstream: then 503.
    pub queue: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            connections: 10_000,
            upstream_connections: 1000,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(60),
            answer: Duration::from_secs(60),
            queue: Duration::from_secs(5),
        }
    }
}

/// A route of the HTTP gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateRoute {
    /// Which requests it takes.
    pub rule: RouteRule,
    /// The age at which they are decided.
    pub decide_after: Duration,
}

/// One instance of the service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
