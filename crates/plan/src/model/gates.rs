//! What clients go through.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SecretRef;
use crate::routes::HttpRoute;

/// The gates of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gates {
    /// The HTTP gate.
    pub http: Option<HttpGate>,
    /// The PostgreSQL gate.
    pub postgres: Option<PostgresGate>,
}

/// The HTTP gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpGate {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The cookie that keeps a client on its side.
    pub sticky_cookie: Option<String>,
    /// A request without a good answer at this age is bad; the canary's verdict counts them.
    pub decide_after: Duration,
    /// In the order in which they are asked; what none takes is the rest.
    pub routes: Vec<HttpRoute>,
    /// How many, and how long.
    #[serde(skip_serializing_if = "HttpLimits::is_default")]
    pub limits: HttpLimits,
}

/// What the HTTP gate allows, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HttpLimits {
    /// Clients' connections.
    pub connections: u32,
    /// Connections to each upstream.
    pub upstream_connections: u32,
    /// For a request's head, the first one counted from the connection's beginning.
    pub head_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Without a byte of a body, either way.
    pub body_timeout: Duration,
    /// For the head of an answer, without the time in which the client is awaited.
    pub answer_timeout: Duration,
    /// For one of the connections to an upstream.
    pub queue_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            connections: 10_000,
            upstream_connections: 1000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(60),
            queue_timeout: Duration::from_secs(5),
        }
    }
}

impl HttpLimits {
    /// Whether the plan might as well say nothing.
    fn is_default(&self) -> bool {
        *self == HttpLimits::default()
    }
}

/// The PostgreSQL gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PostgresGate {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How clients prove who they are.
    pub auth: ClientAuth,
    /// Who may come in, and with which password the gate logs in to the servers for them.
    pub users: Vec<GateUser>,
    /// What to do with sessions whose state cannot move.
    pub unmovable: Unmovable,
    /// Custom settings (`app.tenant`) that sessions have set by code which names them nowhere.
    pub settings: Vec<String>,
    /// How many, and how long.
    #[serde(skip_serializing_if = "PostgresLimits::is_default")]
    pub limits: PostgresLimits,
}

/// What the PostgreSQL gate allows, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PostgresLimits {
    /// Clients' sessions.
    pub clients: u32,
    /// For a client to prove who it is, from the connection's beginning.
    pub login_timeout: Duration,
}

impl Default for PostgresLimits {
    fn default() -> Self {
        PostgresLimits { clients: 1000, login_timeout: Duration::from_secs(30) }
    }
}

impl PostgresLimits {
    /// Whether the plan might as well say nothing.
    fn is_default(&self) -> bool {
        *self == PostgresLimits::default()
    }
}

/// How clients of the PostgreSQL gate prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// Not at all; only on a loopback address.
    Trust,
    /// With the password in clear text.
    Password,
    /// SCRAM-SHA-256.
    Scram,
}

/// A user of the PostgreSQL gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GateUser {
    /// The role's name.
    pub name: String,
    /// Where its password is.
    pub password: SecretRef,
}

/// What to do with a session whose state cannot move (temporary tables, advisory locks, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmovable {
    /// Wait for it to end; if that takes too long, call the cutover off and name it.
    Wait,
    /// End it once authority has moved; an attempt that is called off ends nobody.
    Terminate,
}
