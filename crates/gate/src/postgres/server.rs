//! A session's own connection to one side's server.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use changeover_pgwire::backend::{BackendMessage, TransactionStatus};
use changeover_pgwire::frame::Phase;
use changeover_pgwire::login::{Credential, Login, LoginError, Progress};
use changeover_pgwire::{ServerError, frontend};
use changeover_types::Side;

use super::admit::{fatal, nonce};
use super::config::{Password, PostgresGateConfig};
use super::types::Numbers;
use super::wire::{Wire, WireFault};
use crate::state::CoreCounters;

/// Connecting and logging in may take so long.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Why there is no connection to the server, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerFault {
    /// It refused or failed us, in its own words.
    #[error("the server said: {0}")]
    Said(Box<ServerError>),
    /// It could not be reached.
    #[error("no connection to {side} at {host}:{port}")]
    Unreachable {
        /// Which side.
        side: Side,
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Logging in failed on our side of it.
    #[error("cannot log in to {0}")]
    Login(Side, #[source] LoginError),
    /// The connection broke.
    #[error("the connection to {0} failed")]
    Wire(Side, #[source] WireFault),
    /// What its type numbers stand for is not known.
    #[error("it is not known yet which types the numbers of {0} stand for")]
    Numbers(Side),
    /// It took too long.
    #[error("{0} did not answer within {1:?}")]
    Late(Side, Duration),
}

impl ServerFault {
    /// What the client is told.
    pub(crate) fn for_client(&self) -> Box<ServerError> {
        match self {
            ServerFault::Said(error) => error.clone(),
            ServerFault::Unreachable { source, .. } => fatal("08006", format!("{self}: {source}")),
            ServerFault::Login(_, source) => fatal("08006", format!("{self}: {source}")),
            ServerFault::Wire(_, source) => fatal("08006", format!("{self}: {source}")),
            ServerFault::Late(..) | ServerFault::Numbers(_) => fatal("08006", self.to_string()),
        }
    }

    /// Whether trying again may help: the server is starting, stopping, full or away.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            ServerFault::Said(error) => {
                error.sqlstate.starts_with("57P")
                    || matches!(error.sqlstate.as_str(), "53300" | "53400")
            }
            ServerFault::Login(..) => false,
            _ => true,
        }
    }
}

/// See the module. Counted in the metrics while it lives, if it serves a client.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) side: Side,
    pub(crate) wire: Wire,
    pub(crate) pid: u32,
    pub(crate) key: Bytes,
    /// The settings reported at start-up, and later by hidden statements.
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) notices: Vec<ServerError>,
    /// What type numbers are translated by, for a client that knows others.
    pub(crate) numbers: Option<Numbers>,
    counters: Option<Arc<CoreCounters>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(counters) = &self.counters {
            counters.postgres(self.side).servers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Server {
    /// Connects to `side` with the client's start-up parameters but that side's database.
    pub(crate) async fn connect(
        config: &PostgresGateConfig,
        side: Side,
        parameters: &[(String, String)],
        password: Option<&Password>,
        counters: Option<&Arc<CoreCounters>>,
    ) -> Result<Server, ServerFault> {
        let server = config.server(side);
        let attempt = async {
            let wire = Wire::connect(&server.host, server.port).await.map_err(|source| {
                ServerFault::Unreachable {
                    side,
                    host: server.host.clone(),
                    port: server.port,
                    source,
                }
            })?;
            let mut parameters: Vec<(&str, &str)> = parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .filter(|(name, _)| {
                    // A false `replication` and protocol options stay between us and the client.
                    !matches!(*name, "database" | "replication") && !name.starts_with("_pq_.")
                })
                .collect();
            parameters.push(("database", &server.database));
            log_in(wire, side, &parameters, password).await
        };
        let (wire, told) = tokio::time::timeout(CONNECT_TIME, attempt)
            .await
            .map_err(|_| ServerFault::Late(side, CONNECT_TIME))??;
        if let Some(counters) = counters {
            counters.postgres(side).servers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Server {
            side,
            wire,
            pid: told.pid,
            key: told.key,
            parameters: told.parameters,
            notices: told.notices,
            numbers: None,
            counters: counters.cloned(),
        })
    }

    /// Ends the session in good order. Only where no message is half sent: the bytes would become
    /// part of it.
    pub(crate) fn say_farewell(&mut self) {
        // The buffer of a connection at rest has room; if not, closing the socket says the same.
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        self.wire.stream.try_write(&out).unwrap_or_default();
    }

    /// Sends messages that end in Sync or a simple query, `syncs` of them, and collects what the
    /// server answers up to its last ReadyForQuery. What is not an answer to us (notices,
    /// notifications, changed settings, a late ReadyForQuery of the client's) is appended to
    /// `aside` as it came.
    pub(crate) async fn ask(
        &mut self,
        request: &[u8],
        syncs: usize,
        aside: &mut BytesMut,
    ) -> Result<Vec<BackendMessage>, ServerFault> {
        let side = self.side;
        let fault = |fault| ServerFault::Wire(side, fault);
        self.wire.send(request).await.map_err(fault)?;
        let mut answers = Vec::new();
        let mut ready = 0;
        while ready < syncs {
            let frame = self.wire.frame(Phase::ServerReady).await.map_err(fault)?;
            let message = BackendMessage::decode(&frame).map_err(|e| fault(e.into()))?;
            match message {
                BackendMessage::ParameterStatus { name, value } => {
                    aside.extend_from_slice(frame.raw());
                    self.parameters.insert(name, value);
                }
                message if message.is_asynchronous() => aside.extend_from_slice(frame.raw()),
                BackendMessage::ReadyForQuery(status) => {
                    if answers.is_empty() {
                        aside.extend_from_slice(frame.raw());
                        continue;
                    }
                    ready += 1;
                    if status != TransactionStatus::Idle {
                        let why = "a question of the gate left a transaction open";
                        return Err(ServerFault::Said(fatal("XX000", why)));
                    }
                    answers.push(BackendMessage::ReadyForQuery(status));
                }
                BackendMessage::ErrorResponse(error) if error.is_fatal() => {
                    return Err(ServerFault::Said(Box::new(error)));
                }
                other => answers.push(other),
            }
        }
        Ok(answers)
    }
}

async fn log_in(
    mut wire: Wire,
    side: Side,
    parameters: &[(&str, &str)],
    password: Option<&Password>,
) -> Result<(Wire, changeover_pgwire::login::LoggedIn), ServerFault> {
    let credential = password
        .map_or(Credential::None, |password| Credential::Password(password.reveal().to_owned()));
    let fault = |fault| ServerFault::Wire(side, fault);
    let mut out = BytesMut::new();
    let mut login = Login::start(parameters.iter().copied(), credential, &nonce(), &mut out);
    loop {
        if !out.is_empty() {
            wire.send(&out).await.map_err(fault)?;
            out.clear();
        }
        let frame = wire.frame(Phase::ServerLogin).await.map_err(fault)?;
        let message = BackendMessage::decode(&frame).map_err(|e| fault(e.into()))?;
        match login.handle(message, &mut out) {
            Ok(Progress::Continue(next)) => login = next,
            Ok(Progress::Done(told)) => return Ok((wire, told)),
            Err(LoginError::Server(error)) => return Err(ServerFault::Said(error)),
            Err(error) => return Err(ServerFault::Login(side, error)),
        }
    }
}
