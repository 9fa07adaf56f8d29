//! Who comes in: the client's first packets, its proof, and cancel requests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use changeover_pgwire::frame::Phase;
use changeover_pgwire::frontend::{self, PROTOCOL_3_0};
use changeover_pgwire::request::{self, FirstPacket, Startup};
use changeover_pgwire::scram::{MECHANISM, ServerFirst};
use changeover_pgwire::{Frame, ServerError, reply};

use super::config::{ClientAuth, PostgresGateConfig};
use super::registry::CancelKey;
use super::wire::{Wire, WireFault};

/// A cancel request is given so long to reach the server.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// More encryption requests than any client has reason to make.
const MAX_ENCRYPTION_REQUESTS: usize = 2;

/// What became of a connection.
#[derive(Debug)]
pub(super) enum Admission {
    /// A session of a client that has proven itself; it was told so.
    Session(Startup),
    /// A cancel request.
    Cancel(CancelKey),
}

/// Why a connection goes no further.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdmitted {
    /// The client is told this.
    #[error("the client was refused")]
    Refused(#[from] Box<ServerError>),
    /// There is nobody to tell.
    #[error(transparent)]
    Wire(#[from] WireFault),
}

pub(super) fn fatal(sqlstate: &str, message: impl Into<String>) -> Box<ServerError> {
    Box::new(ServerError::new("FATAL", sqlstate, message))
}

/// Speaks with a new connection until it is a session, a cancel request, or refused.
pub(super) async fn admit(
    client: &mut Wire,
    config: &PostgresGateConfig,
) -> Result<Admission, NotAdmitted> {
    let startup = match first_packets(client).await? {
        Admission::Session(startup) => startup,
        cancel => return Ok(cancel),
    };
    let Some(user) = startup.user().map(str::to_owned) else {
        return Err(fatal("28000", "no PostgreSQL user name specified in startup packet").into());
    };
    if startup.is_replication() {
        let why = "replication connections cannot go through the gate, for they cannot be moved; \
                   connect to the server itself";
        return Err(fatal("0A000", why).into());
    }
    negotiate(client, &startup).await?;
    let proven = match config.auth {
        ClientAuth::Trust => true,
        ClientAuth::Password => cleartext(client, config, &user).await?,
        ClientAuth::Scram => scram(client, config, &user).await?,
    };
    if !proven {
        let why = format!("password authentication failed for user \"{user}\"");
        return Err(fatal("28P01", why).into());
    }
    // As a server does, after the proof: a client that means another database must not work on this.
    let asked = startup.database().unwrap_or_default();
    if !config.leads_to(asked) {
        let why = format!(
            "database \"{asked}\" does not exist behind this gate, which leads to \"{}\"",
            config.databases().join("\", \"")
        );
        return Err(fatal("3D000", why).into());
    }
    let mut out = BytesMut::new();
    reply::authentication_ok(&mut out);
    client.send(&out).await?;
    Ok(Admission::Session(startup))
}

async fn first_packets(client: &mut Wire) -> Result<Admission, NotAdmitted> {
    for _ in 0..=MAX_ENCRYPTION_REQUESTS {
        match client.first_packet().await? {
            FirstPacket::SslRequest | FirstPacket::GssEncRequest => {
                if !client.rx.is_empty() {
                    // Sent before our answer: an attempt to be read as encrypted later.
                    return Err(fatal("08P01", "data after an encryption request").into());
                }
                let mut out = BytesMut::new();
                reply::encryption_answer(&mut out, false);
                client.send(&out).await?;
            }
            FirstPacket::Cancel { pid, key } => {
                // Ours always have four bytes; another length names no session.
                let key = key.first_chunk::<4>().filter(|_| key.len() == 4);
                return Ok(Admission::Cancel((pid, key.copied().unwrap_or_default())));
            }
            FirstPacket::Startup(startup) => return Ok(Admission::Session(startup)),
        }
    }
    Err(fatal("08P01", "too many encryption requests").into())
}

/// A newer minor protocol version, or protocol options: we speak 3.0 without any, for both sides.
async fn negotiate(client: &mut Wire, startup: &Startup) -> Result<(), NotAdmitted> {
    let options: Vec<&str> = startup
        .parameters
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with("_pq_."))
        .collect();
    if startup.protocol > PROTOCOL_3_0 || !options.is_empty() {
        let mut out = BytesMut::new();
        reply::negotiate_protocol_version(&mut out, PROTOCOL_3_0, &options);
        client.send(&out).await?;
    }
    Ok(())
}

async fn proof(client: &mut Wire) -> Result<Frame, NotAdmitted> {
    let frame = client.frame(Phase::ClientLogin).await?;
    if frame.tag() == b'p' {
        Ok(frame)
    } else {
        Err(fatal("08P01", "expected a password response").into())
    }
}

async fn cleartext(
    client: &mut Wire,
    config: &PostgresGateConfig,
    user: &str,
) -> Result<bool, NotAdmitted> {
    let mut out = BytesMut::new();
    reply::authentication_cleartext(&mut out);
    client.send(&out).await?;
    let given = request::password(proof(client).await?.body()).map_err(WireFault::from)?;
    let known = config.password_of(user).map(super::config::Password::reveal);
    // Compared without leaving early, and also when there is nothing to compare with.
    let expected = known.unwrap_or("\u{0}");
    let differs = expected.len() != given.len();
    let bits = given
        .bytes()
        .zip(expected.bytes().chain(std::iter::repeat(0)))
        .fold(0_u8, |bits, (a, b)| bits | (a ^ b));
    Ok(!differs && bits == 0 && known.is_some())
}

async fn scram(
    client: &mut Wire,
    config: &PostgresGateConfig,
    user: &str,
) -> Result<bool, NotAdmitted> {
    let mut out = BytesMut::new();
    reply::authentication_sasl(&mut out, &[MECHANISM]);
    client.send(&out).await?;
    let initial = proof(client).await?.body();
    let (mechanism, data) = request::sasl_initial(initial).map_err(WireFault::from)?;
    if mechanism != MECHANISM {
        return Err(fatal("08P01", "client selected an invalid SASL mechanism").into());
    }
    let malformed = |e: changeover_pgwire::scram::ScramError| fatal("08P01", format!("SCRAM: {e}"));
    let server = ServerFirst::new(config.registry.verifier(user), &nonce()).map_err(malformed)?;
    let (server, challenge) = server.handle(&data).map_err(malformed)?;
    out.clear();
    reply::authentication_sasl_continue(&mut out, &challenge);
    client.send(&out).await?;
    let answer = proof(client).await?.body();
    match server.handle(&answer) {
        Ok((_, last)) => {
            out.clear();
            reply::authentication_sasl_final(&mut out, &last);
            client.send(&out).await?;
            Ok(true)
        }
        Err(changeover_pgwire::scram::ScramError::WrongProof) => Ok(false),
        Err(other) => Err(malformed(other).into()),
    }
}

/// 128 random bits as printable text.
pub(super) fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Obeys a cancel request: passes it on while the session's server owes a reply, answers it
/// ourselves while the session's work is parked, and drops it otherwise, since it came too late.
pub(super) async fn cancel(key: CancelKey, config: &PostgresGateConfig) {
    let Some(peer) = config.registry.peer(key) else { return };
    if peer.parked.load(Ordering::Acquire) {
        peer.cancelled.store(true, Ordering::Release);
        peer.wake.notify_one();
        return;
    }
    let Some(backend) = peer.backend().filter(|_| peer.busy.load(Ordering::Acquire)) else {
        return;
    };
    let server = config.server(backend.side);
    let pass_on = async {
        let mut wire = Wire::connect(&server.host, server.port).await?;
        let mut out = BytesMut::new();
        frontend::cancel_request(&mut out, backend.pid, &backend.key);
        wire.send(&out).await?;
        // The server closes when the signal is sent; until then the client must wait too.
        wire.closed().await;
        Ok::<(), WireFault>(())
    };
    match tokio::time::timeout(CANCEL_TIME, pass_on).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, side = %backend.side, "cancel not passed on"),
        Err(_) => tracing::warn!(side = %backend.side, "cancel not passed on: no answer in time"),
    }
}
