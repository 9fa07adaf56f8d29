//! The scenery: clusters, the shop's data, the shops.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use changeover_testkit::{Cluster, ClusterConfig, client_program};

use crate::children;
use crate::reaper::Reaper;

/// The application's database.
pub(crate) const DATABASE: &str = "shop";

/// The role the shop logs in as. It owns nothing and is no superuser, like a real service's.
pub(crate) const ROLE: &str = "shop_app";

/// Starts a cluster that flushes to disk like a real one.
///
/// # Errors
/// If it does not come up.
pub(crate) fn cluster(name: &str, reaper: &Reaper) -> Result<Cluster, String> {
    let mut config = ClusterConfig::new(name)
        .with("max_wal_size", "2GB")
        .with("max_locks_per_transaction", "256");
    config.fsync = true;
    config.parent = Some(reaper.folder().to_owned());
    Cluster::start(config).map_err(|e| format!("starting the cluster `{name}`: {e}"))
}

/// The service's role and its empty database: what `pg_dump` does not carry.
///
/// # Errors
/// What `psql` said.
pub(crate) fn role_and_database(cluster: &Cluster, reaper: &Reaper) -> Result<(), String> {
    sql(cluster, "postgres", &format!("CREATE ROLE {ROLE} LOGIN"), reaper)?;
    sql(cluster, "postgres", &format!("CREATE DATABASE {DATABASE}"), reaper)
}

/// Runs SQL with `psql`, stopping at the first error.
///
/// # Errors
/// What `psql` said.
pub(crate) fn sql(
    cluster: &Cluster,
    database: &str,
    text: &str,
    reaper: &Reaper,
) -> Result<(), String> {
    let psql = client_program("psql").map_err(|e| e.to_string())?;
    let mut command = children::command(&psql, reaper.folder());
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", text, &cluster.url(database)]);
    ran(&mut command, "psql").map(|_| ())
}

/// Waits for a command and gives back what it printed.
///
/// # Errors
/// What it said, if it failed.
pub(crate) fn ran(command: &mut Command, name: &str) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("running {name}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} ended with {}: {}", output.status, said.trim()))
}

/// Makes the shop's schema and rows.
///
/// # Errors
/// What the loader said.
pub(crate) fn load_shop(cluster: &Cluster, reaper: &Reaper) -> Result<String, String> {
    let mut command = children::command(&children::beside("changeover-shop")?, reaper.folder());
    command.arg("--load").env("SHOP_DATABASE_URL", cluster.url(DATABASE));
    ran(&mut command, "changeover-shop --load")
}

/// Starts one shop.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn shop(
    version: &str,
    listen: SocketAddr,
    database: &str,
    fault: Option<&str>,
    out: &Path,
    reaper: &Reaper,
) -> Result<Child, String> {
    let mut command = children::command(&children::beside("changeover-shop")?, reaper.folder());
    command
        .args(["--listen", &listen.to_string(), "--version", version])
        .env("SHOP_DATABASE_URL", database)
        .args(fault.map(|fault| format!("--fault={fault}")));
    children::start(command, &out.join(format!("shop-{version}.log")))
}

/// The URL a shop uses, as the application's role.
#[must_use]
pub(crate) fn shop_url(at: SocketAddr) -> String {
    format!("postgresql://{ROLE}@{at}/{DATABASE}")
}

/// Free addresses on loopback, all different.
///
/// # Errors
/// If there are none.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], String> {
    let said = |e: std::io::Error| format!("looking for a free port: {e}");
    // Held together until all are known, or the same one could come twice.
    let mut held = Vec::with_capacity(N);
    let mut found = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for slot in &mut found {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(said)?;
        *slot = listener.local_addr().map_err(said)?;
        held.push(listener);
    }
    Ok(found)
}

/// Waits until something accepts connections, and the child that should is alive.
///
/// # Errors
/// If the child ends or the time is over; with the end of its log.
pub(crate) fn wait_for_port(
    at: SocketAddr,
    child: &mut Child,
    name: &str,
    log: &Path,
) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if TcpStream::connect_timeout(&at, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        let ended = child.try_wait().map_err(|e| format!("watching {name}: {e}"))?;
        if ended.is_some() || Instant::now() > deadline {
            let how = ended.map_or("does not listen".to_owned(), |s| format!("ended with {s}"));
            return Err(format!("{name} {how} at {at}; its log says:\n{}", tail(log)));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a shop answers 200 to its health check, which asks its database.
///
/// # Errors
/// If it does not within 20 s; with the last answer.
pub(crate) fn wait_for_health(at: SocketAddr, name: &str) -> Result<(), String> {
    use std::io::{Read, Write};
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let asked = (|| -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })();
        let last = match asked {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => return Ok(()),
            Ok(answer) => answer,
            Err(e) => e.to_string(),
        };
        if Instant::now() > deadline {
            return Err(format!("{name} at {at} is not healthy; it last said:\n{last}"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The last lines of a log.
#[must_use]
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Copies a database with `pg_dump` and `psql`, while nobody writes.
///
/// # Errors
/// What either said.
pub(crate) fn dump_and_restore(
    from: &Cluster,
    to: &Cluster,
    reaper: &Reaper,
) -> Result<(), String> {
    let program =
        |name: &str| -> Result<PathBuf, String> { client_program(name).map_err(|e| e.to_string()) };
    let said = |e: std::io::Error| format!("pg_dump | psql: {e}");
    let mut dump = children::command(&program("pg_dump")?, reaper.folder());
    let mut dumping = dump.arg(from.url(DATABASE)).stdout(Stdio::piped()).spawn().map_err(said)?;
    let pipe = dumping.stdout.take().ok_or("pg_dump has no output")?;
    let mut restore = children::command(&program("psql")?, reaper.folder());
    restore.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &to.url(DATABASE)]).stdin(pipe);
    ran(&mut restore, "psql")?;
    let status = dumping.wait().map_err(said)?;
    if status.success() { Ok(()) } else { Err(format!("pg_dump ended with {status}")) }
}
