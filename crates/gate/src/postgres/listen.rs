//! The accept loop, and a connection's way from its first byte to its session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use changeover_pgwire::request::Startup;
use changeover_pgwire::{ServerError, reply};
use changeover_routing::HoldView;
use changeover_types::Side;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admit::{Admission, NotAdmitted, admit, cancel, fatal};
use super::config::PostgresGateConfig;
use super::server::Server;
use super::session::{Client, Gate, Session};
use super::types::numbers_for;
use super::wire::{Wire, WireFault};
use crate::state::{Shared, WorkLabel};

/// After a failed accept (out of file descriptors, say) there is no point in trying at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A new session whose server's type numbers are not known by then is refused.
const NUMBERS_TIME: Duration = Duration::from_secs(10);

/// Serves clients that connect to `listener`, on the runtime it is called on, until `drain` is
/// cancelled; then sessions end at their next safe boundary, and it returns when all have.
///
/// Each core calls it with a listener of its own and the same `config`.
pub async fn serve(
    listener: TcpListener,
    config: Arc<PostgresGateConfig>,
    shared: Arc<Shared>,
    drain: CancellationToken,
) {
    config.registry.prepare(&config.users);
    let gate = Gate { counters: shared.core_counters(), config, shared, drain: drain.clone() };
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                sessions.spawn(attend(gate.clone(), stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "the PostgreSQL gate cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    sessions.close();
    sessions.wait().await;
}

/// Counts a client while it lives.
struct Counted(Gate);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.config.registry.leave();
        self.0.shared.client_left();
    }
}

async fn attend(gate: Gate, stream: TcpStream, peer: SocketAddr) {
    let mut client = Wire::new(stream);
    let stranger = gate.config.registry.stranger();
    let admitted = tokio::select! {
        admitted = admit(&mut client, &gate.config) => admitted,
        () = stranger.displaced() => {
            let why = "too many connections are logging in, and this one has been at it the longest";
            Err(fatal("53300", why).into())
        }
        () = tokio::time::sleep(gate.config.login_timeout) => {
            Err(NotAdmitted::Wire(WireFault::Io(io::ErrorKind::TimedOut.into())))
        }
    };
    drop(stranger);
    let outcome = match admitted {
        Ok(Admission::Cancel(key)) => {
            cancel(key, &gate.config).await;
            return;
        }
        Ok(Admission::Session(startup)) => {
            if !gate.config.registry.admit(gate.config.max_clients) {
                Err(fatal("53300", "sorry, too many clients already: the gate is full"))
            } else {
                gate.shared.client_came();
                let _counted = Counted(gate.clone());
                let began = begin(&gate, &mut client, startup, peer).await;
                match began {
                    Ok((who, server)) => {
                        let session = Session::new(gate, who, client.stream, client.rx, server);
                        return session.run().await;
                    }
                    Err(error) => Err(error),
                }
            }
        }
        Err(NotAdmitted::Refused(error)) => Err(error),
        Err(NotAdmitted::Wire(WireFault::Protocol(error))) => {
            Err(fatal("08P01", error.to_string()))
        }
        Err(NotAdmitted::Wire(error)) => {
            tracing::debug!(%peer, %error, "a client left before it was admitted");
            return;
        }
    };
    refuse(client, peer, outcome).await;
}

async fn refuse(mut client: Wire, peer: SocketAddr, outcome: Result<(), Box<ServerError>>) {
    let Err(error) = outcome else { return };
    tracing::debug!(%peer, %error, "a client was refused");
    let mut out = BytesMut::new();
    reply::error_response(&mut out, &error);
    if let Err(error) = client.send(&out).await {
        tracing::debug!(%peer, %error, "and left before it was told");
    }
}

/// From an admitted client to its own server connection; parks it first while a hold is on.
async fn begin(
    gate: &Gate,
    client: &mut Wire,
    startup: Startup,
    peer: SocketAddr,
) -> Result<(Client, Server), Box<ServerError>> {
    let user = startup.user().unwrap_or_default().to_owned();
    let password = gate.config.password_of(&user);
    let parameters = startup.parameters;
    let counters = Some(&gate.counters);
    let deadline = Instant::now() + NUMBERS_TIME;
    let server = loop {
        let side = wait_for_side(gate, client).await?;
        let mut server = Server::connect(&gate.config, side, &parameters, password, counters)
            .await
            .map_err(|fault| fault.for_client())?;
        match numbers_for(&gate.config, side).await {
            Ok(numbers) => {
                server.numbers = numbers;
                break server;
            }
            // Authority may have gone on in the meantime.
            Err(fault) if Instant::now() > deadline => return Err(fault.for_client()),
            Err(_) => server.say_farewell(),
        }
    };
    let application = parameters
        .iter()
        .rev()
        .find(|(name, value)| name == "application_name" && !value.is_empty())
        .map_or("-", |(_, value)| value.as_str());
    let what: Arc<str> = Arc::from(format!("{user} ({application})"));
    let (key, cancel) = gate.config.registry.mint();
    let label = WorkLabel::Postgres { client: peer, what, server_pid: None };
    Ok((Client { user, parameters, label, key, peer: cancel }, server))
}

async fn wait_for_side(gate: &Gate, client: &mut Wire) -> Result<Side, Box<ServerError>> {
    let mut hold = gate.shared.hold();
    let mut parked = None;
    loop {
        if *hold.borrow_and_update() == HoldView::Open
            && let Some(side) = gate.shared.authority()
        {
            return Ok(side);
        }
        parked.get_or_insert_with(|| gate.shared.park());
        let closing = || fatal("57P01", "the gate is closing");
        tokio::select! {
            changed = hold.changed() => changed.map_err(|_| closing())?,
            () = gate.drain.cancelled() => return Err(closing()),
            left = client.left() => {
                return Err(fatal("08006", format!("the client left while it waited: {left}")));
            }
        }
    }
}
