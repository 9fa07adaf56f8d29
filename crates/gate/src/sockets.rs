//! What every TCP connection of a gate is given, on both legs of both gates.
//!
//! **Keepalive**: a peer whose host vanished (power, a lost NAT entry) sends no FIN. Without probes
//! its session, its locks and its pins would stand for ever, and a cutover would wait for nobody.
//! With them it is noticed within two minutes of silence.
//!
//! **No TCP_USER_TIMEOUT**: Linux also ends by it connections whose peer is alive and merely does not
//! read (a `psql` in its pager). What was sent and never acknowledged is given up by the system
//! (`net.ipv4.tcp_retries2`, a quarter of an hour); the HTTP gate's own times are shorter.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Silence after which the first probe is sent.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// The time between probes.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// So many probes without an answer end the connection.
pub const KEEPALIVE_PROBES: u32 = 6;

/// Sets the options. A connection without them still works, so a refusal is told and no more.
pub(crate) fn prepare(stream: &TcpStream) {
    // Small messages do not wait for acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
        tracing::debug!(%error, "TCP keepalive was refused");
    }
}
