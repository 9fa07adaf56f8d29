//! The HTTP/1.1 gate: hyper's connection APIs on both sides, our own pool between them.
//!
//! A request's life: refuse what could be read two ways ([`head`], [`framing`]) · register as open
//! work, or park while a hold lasts ([`parking`]) · *then* read the route and throw the coin
//! ([`sticky`]) · forward ([`forward`], [`pool`], [`upstream`]) · pass the answer on ([`body`]).
//! Bodies stream both ways, pushed back by whoever is slower, and are never read while held.

mod body;
mod client_io;
mod decided;
mod forward;
mod framing;
mod head;
pub(crate) mod mirror;
mod parking;
mod pool;
mod service;
mod sticky;
mod stream;
mod upstream;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::state::{HttpGateConfig, Shared};
use client_io::ClientIo;
use service::{Core, Peer};
use stream::SharedStream;

/// On drain an idle client gets this long to send one more request, which is answered with
/// `Connection: close`: a request that is already on the wire must not meet a closed socket.
const DRAIN_LINGER: Duration = Duration::from_secs(1);

/// A request's head may be this large.
const HEAD_BYTES: usize = 64 * 1024;

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(2);

/// Carries the clients of one core until `drain`; then finishes what is in flight and returns. The
/// caller sets the deadline by dropping the future.
pub async fn serve(
    listener: TcpListener,
    config: Arc<HttpGateConfig>,
    shared: Arc<Shared>,
    drain: CancellationToken,
) {
    let core = Arc::new(Core::new(&config, Arc::clone(&shared), drain.clone()));
    let mut connections = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP);
    let mut release = pin!(core.parking.release());
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => break,
            () = &mut release => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = sweep.tick() => core.forwarder.pool.sweep(),
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => {
                    connections.spawn(converse(stream, client, Arc::clone(&core)));
                }
                Err(error) => {
                    // Out of descriptors, most likely: accepting again at once would spin.
                    tracing::warn!(%error, "cannot accept an HTTP client");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    // Whoever was already queued at the listener got through the handshake: they are served too.
    while let Ok(Ok((stream, client))) =
        tokio::time::timeout(Duration::from_millis(1), listener.accept()).await
    {
        connections.spawn(converse(stream, client, Arc::clone(&core)));
    }
    drop(listener);
    while !connections.is_empty() {
        tokio::select! {
            () = &mut release => return,
            _ = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, client: SocketAddr, core: Arc<Core>) {
    let _counted = core.count_client();
    crate::sockets::prepare(&stream);
    let stream = SharedStream::new(stream);
    let (io, ambiguity) = ClientIo::new(stream.clone());
    let peer = Arc::new(Peer::new(client, stream, ambiguity));
    let drain = core.drain.clone();
    let service =
        service_fn(move |request| service::answer(Arc::clone(&core), Arc::clone(&peer), request));
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(io), service)
    );
    let lingered = async {
        drain.cancelled().await;
        tokio::time::sleep(DRAIN_LINGER).await;
    };
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = lingered => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %client, "a client's connection ended");
    }
}
