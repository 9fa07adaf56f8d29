//! The HTTP/1.1 gate: hyper's connection APIs on both sides, our own pool between them.
//!
//! A request's life: refuse what could be read two ways ([`head`], [`framing`]) · register as open
//! work, or park while a hold lasts ([`parking`]) · *then* read the route and throw the coin
//! ([`sticky`]) · forward ([`forward`], [`pool`], [`upstream`]) · pass the answer on ([`body`]).
//! Bodies stream both ways, pushed back by whoever is slower, and are never read while held.

mod answer;
mod body;
mod client_io;
mod decided;
pub(crate) mod door;
mod forward;
mod framing;
mod head;
pub(crate) mod mirror;
mod parking;
mod pool;
mod service;
pub(crate) mod slots;
mod sticky;
mod stream;
mod upload;
mod upstream;
mod upstream_io;
mod watched;

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
use door::Entered;
use service::{Core, Peer};
use stream::SharedStream;
use watched::ClientFault;

/// On drain an idle client gets this long to send one more request, which is answered with
/// `Connection: close`: a request that is already on the wire must not meet a closed socket.
const DRAIN_LINGER: Duration = Duration::from_secs(1);

/// A client whose connection we close may still be sending: so long it is read, that our answer is not
/// lost in a reset.
const LINGER: Duration = Duration::from_secs(2);

/// After a failed accept there is no point in trying at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

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
            _ = sweep.tick() => core.forwarder.sweep(),
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => admit(&mut connections, stream, client, &core),
                Err(error) => {
                    // Out of descriptors, most likely.
                    tracing::warn!(%error, "cannot accept an HTTP client");
                    shared.door().evict_longest_silent();
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    // Whoever was already queued at the listener got through the handshake: they are served too.
    while let Ok(Ok((stream, client))) =
        tokio::time::timeout(Duration::from_millis(1), listener.accept()).await
    {
        admit(&mut connections, stream, client, &core);
    }
    drop(listener);
    while !connections.is_empty() {
        tokio::select! {
            () = &mut release => return,
            _ = connections.join_next() => {}
        }
    }
}

fn admit(connections: &mut JoinSet<()>, stream: TcpStream, client: SocketAddr, core: &Arc<Core>) {
    crate::sockets::prepare(&stream);
    let stream = SharedStream::new(stream);
    match core.shared.door().enter(core.limits.connections) {
        Some(entered) => {
            connections.spawn(converse(stream, client, entered, Arc::clone(core)));
        }
        None => {
            tracing::warn!(%client, most = core.limits.connections, "every place is taken");
            stream.say(FULL);
        }
    }
}

/// To a client that finds every place taken by requests.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// To a client that did not finish its request's head in time.
const HEAD_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

async fn converse(stream: SharedStream, client: SocketAddr, entered: Entered, core: Arc<Core>) {
    let _counted = core.count_client();
    let watched = Arc::clone(&entered.watched);
    let io = ClientIo::new(stream.clone(), Arc::clone(&watched), core.limits);
    let peer = Peer { client, stream: stream.clone(), watched: Arc::clone(&watched) };
    let peer = Arc::new(peer);
    let drain = core.drain.clone();
    let service =
        service_fn(move |request| service::answer(Arc::clone(&core), Arc::clone(&peer), request));
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            // Times are kept by `ClientIo`; who has left, is seen by the service.
            .header_read_timeout(None)
            .half_close(true)
            .serve_connection(TokioIo::new(io), service)
    );
    let lingered = async {
        drain.cancelled().await;
        tokio::time::sleep(DRAIN_LINGER).await;
    };
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = watched.evicted() => {
            if watched.stayed_quiet() {
                tracing::debug!(%client, "a silent client gave its place to another");
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = lingered => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        let fault = watched.fault();
        tracing::debug!(%error, ?fault, %client, "a client's connection ended");
    }
    match watched.fault() {
        Some(ClientFault::Gone | ClientFault::Silent | ClientFault::AnswerUnread) => return,
        Some(ClientFault::HeadLate) => stream.say(HEAD_LATE),
        _ => {}
    }
    // Its place is not kept for that.
    drop(entered);
    stream.linger(LINGER).await;
}
