//! Opening a session.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use changeover_pgwire::ServerError;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frame::Phase;
use changeover_pgwire::login::{Credential, LoggedIn, Login, LoginError, Progress};
use rustix::net::sockopt;
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};

use super::wire::{Socket, Wire, WireFault};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};

/// What every session of ours is set to, whatever the role or the database says: texts that mean
/// the same on both sides and are read as they were written, statements that mean the same, no
/// timeout that ends a copy or a lease behind our back, commits that are durable, row security
/// that refuses instead of filtering in silence, no compilation of catalogue queries (which would
/// take fifty times as long as running them), and a server that notices in two minutes when our
/// host is gone. What depends on the server follows the login ([`after_login`]).
const SETTINGS: [(&str, &str); 24] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
    ("array_nulls", "on"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("synchronous_commit", "on"),
    ("row_security", "off"),
    ("jit", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "6"),
];

/// What is set once the server has told what it is: its encoding, and what older ones do not know.
/// The path is not in the startup packet, so that `pg_settings.reset_val` shows what it is for a
/// session that asks for none ([`super::SearchPath`]).
///
/// A database in SQL_ASCII has bytes and no characters: asked for UTF-8, it would refuse to give
/// those that are none.
pub(super) fn after_login(version: u32, encoding: &str) -> String {
    let mut sql = "SET search_path = pg_catalog".to_owned();
    if encoding == "SQL_ASCII" {
        sql.push_str("; SET client_encoding = 'SQL_ASCII'");
    }
    if version >= 14 {
        sql.push_str("; SET idle_session_timeout = 0");
    }
    if version >= 17 {
        sql.push_str("; SET transaction_timeout = 0");
    }
    // What a session of ours runs ends soon after the session; other systems may not know how.
    if version >= 14 {
        sql.push_str(
            "; SELECT pg_catalog.set_config('client_connection_check_interval', '2s', false) \
             WHERE pg_catalog.version() LIKE '%linux%'",
        );
    }
    sql
}

/// An idle connection is known to be dead within a minute, and no firewall forgets a living one:
/// the first look, the time between two, and how many there are.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// What is sent and not acknowledged by the other host for this long, in milliseconds, shows that
/// the connection is dead (the system's own patience is a quarter of an hour).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MS: u32 = 30_000;

/// Connects and logs in within the configured time.
pub(super) async fn open(
    config: &ConnectConfig,
    application: &str,
    replication: bool,
) -> Result<(Wire, LoggedIn)> {
    let place = config.redacted();
    let opening = async {
        let socket = dial(config).await.map_err(|error| {
            Error::connect(
                config.side,
                format!("connecting to {place}: is the server running and the address right?"),
            )
            .with_source(error)
        })?;
        let mut wire = Wire::new(socket);
        let told = log_in(&mut wire, config, application, replication).await?;
        wire.phase = Phase::ServerReady;
        Ok((wire, told))
    };
    match tokio::time::timeout(config.connect_timeout, opening).await {
        Ok(result) => result,
        Err(_) => Err(Error::connect(
            config.side,
            format!("connecting to {place}: no session within {:?}", config.connect_timeout),
        )),
    }
}

/// Opens the connection alone.
pub(super) async fn dial(config: &ConnectConfig) -> io::Result<Socket> {
    if config.host.starts_with('/') {
        let path = Path::new(&config.host).join(format!(".s.PGSQL.{}", config.port));
        return UnixStream::connect(path).await.map(Socket::Unix);
    }
    let mut fault = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in lookup_host((config.host.as_str(), config.port)).await? {
        match dial_address(address).await {
            Ok(stream) => return Ok(Socket::Tcp(stream)),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

async fn dial_address(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    notice_death(&stream)?;
    Ok(stream)
}

fn notice_death(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE.0)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE.1)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE.2)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS)?;
    Ok(())
}

async fn log_in(
    wire: &mut Wire,
    config: &ConnectConfig,
    application: &str,
    replication: bool,
) -> Result<LoggedIn> {
    let mut out = BytesMut::new();
    let credential = match &config.password {
        Some(password) => Credential::Password(password.expose().to_owned()),
        None => Credential::None,
    };
    let parameters = parameters(config, application, replication);
    let mut login = Login::start(parameters, credential, &nonce(), &mut out);
    loop {
        wire.queue(out.split().freeze());
        let message = match wire.frame().await {
            Ok(frame) => BackendMessage::decode(&frame)
                .map_err(|fault| login_failed(config, LoginError::Wire(fault)))?,
            Err(WireFault::Bytes(fault)) => {
                return Err(login_failed(config, LoginError::Wire(fault)));
            }
            Err(WireFault::Io(error)) => {
                return Err(Error::connect(
                    config.side,
                    format!("logging in to {}: the connection broke", config.redacted()),
                )
                .with_source(error));
            }
        };
        match login.handle(message, &mut out).map_err(|fault| login_failed(config, fault))? {
            Progress::Continue(next) => login = next,
            Progress::Done(told) => return Ok(told),
        }
    }
}

fn parameters<'a>(
    config: &'a ConnectConfig,
    application: &'a str,
    replication: bool,
) -> Vec<(&'a str, &'a str)> {
    let mut parameters = vec![
        ("user", config.user.as_str()),
        ("database", config.database.as_str()),
        ("application_name", application),
    ];
    if replication {
        parameters.push(("replication", "database"));
    }
    parameters.extend(SETTINGS);
    parameters.extend(config.options.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    parameters
}

/// 24 random bytes as hexadecimal text.
fn nonce() -> String {
    rand::random::<[u8; 24]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a login that was refused so will be refused again.
fn lasts(sqlstate: &str) -> bool {
    sqlstate.starts_with("28") || sqlstate == "3D000" || sqlstate == "42501"
}

/// Whether `pg_hba.conf` has an entry for encrypted connections alone, as far as the message is in
/// English.
fn wants_tls(error: &ServerError) -> bool {
    error.sqlstate == "28000" && error.message.contains("no encryption")
}

fn login_failed(config: &ConnectConfig, fault: LoginError) -> Error {
    let side = config.side;
    let doing = format!("logging in to {}", config.redacted());
    match fault {
        LoginError::Server(error) if wants_tls(&error) => Error::auth(
            side,
            format!(
                "{doing}: the server wants TLS, and TLS to databases is not built yet: use a private \
                 network or a tunnel that encrypts, with sslmode=disable"
            ),
        )
        .with_server(*error),
        // A wrong password, no entry for us, no such database: waiting mends none of them.
        LoginError::Server(error) if lasts(&error.sqlstate) => {
            Error::auth(side, doing).with_server(*error)
        }
        LoginError::Server(error) => Error::connect(side, doing).with_server(*error),
        LoginError::NoPassword | LoginError::Method(_) => {
            Error::auth(side, format!("{doing}: {fault}"))
        }
        LoginError::Scram(_) | LoginError::Unproven => {
            Error::auth(side, format!("{doing}: {fault}; check the password"))
        }
        LoginError::Unexpected(_) | LoginError::Wire(_) => Error::protocol(
            side,
            format!("{doing}: {fault}; is this a PostgreSQL server, reached without a pooler?"),
        ),
    }
}
