//! A few requests to one upstream.

use std::future::Future;
use std::time::Duration;

use changeover_assess::Fact;
use changeover_assess::inventory::{Certificate, Health, Upstream};
use changeover_types::WallMs;
use hyper::body::Bytes;
use hyper::http::response::Parts;
use tokio::time::Instant;

use crate::address::Address;
use crate::answer::{names_database, now_ms, skew_ms, version};
use crate::connection::Connection;

/// Where a health endpoint usually is.
const USUAL_PATHS: [&str; 6] = ["/healthz", "/health", "/readyz", "/ready", "/status", "/up"];

/// What the asking is told.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The path of the health endpoint; the usual ones are tried if it is not known.
    pub health: Option<String>,
    /// How often it is asked for its latency.
    pub requests: u32,
    /// The longest that one request may take, connecting included.
    pub limit: Duration,
}

/// What one upstream answered.
struct Told {
    health: Health,
    skew_ms: Result<i64, String>,
    version: Result<String, String>,
    certificate: Result<Certificate, String>,
}

/// Asks an upstream. One that does not answer gives facts that say why.
pub async fn ask(url: &str, asking: &Asking) -> Upstream {
    let told = match Address::parse(url) {
        Ok(address) => tell(&address, asking).await,
        Err(why) => Err(why),
    };
    let (health, skew, version, certificate) = match told {
        Ok(told) => (Ok(told.health), told.skew_ms, told.version, told.certificate),
        Err(why) => (Err(why.clone()), Err(why.clone()), Err(why.clone()), Err(why)),
    };
    Upstream {
        url: url.to_owned(),
        health: fact(health, "GET", url),
        clock_skew_ms: fact(skew, "the Date header of", url),
        tls: url.starts_with("https://").then(|| fact(certificate, "the TLS handshake with", url)),
        version: fact(version, "GET", url),
    }
}

fn fact<T>(value: Result<T, String>, how: &str, url: &str) -> Fact<T> {
    let at = WallMs(u64::try_from(now_ms()).unwrap_or_default());
    let source = format!("{how} {url}");
    match value {
        Ok(value) => Fact::known(value, source, at),
        Err(why) => Fact::unknown(why, source, at),
    }
}

async fn tell(address: &Address, asking: &Asking) -> Result<Told, String> {
    let mut connection = within(asking.limit, Connection::open(address)).await?;
    let certificate = connection.certificate.take();
    let certificate =
        certificate.ok_or_else(|| "the handshake showed none that can be read".to_owned());
    let (path, parts, body, skew_ms) = find_health(&mut connection, address, asking).await?;
    let said_close = parts
        .headers
        .get("connection")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let keep_alive = !said_close && connection.is_open().await;
    let mut took_ms = Vec::new();
    for _ in 0..asking.requests.max(1) {
        if !connection.is_open().await {
            connection = within(asking.limit, Connection::open(address)).await?;
        }
        let begun = Instant::now();
        within(asking.limit, connection.get(&path)).await?;
        took_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    took_ms.sort_by(f64::total_cmp);
    let health = Health {
        status: parts.status.as_u16(),
        http: format!("{:?}", parts.version),
        keep_alive,
        latency_ms: took_ms.get(took_ms.len() / 2).copied().unwrap_or_default(),
        latency_max_ms: took_ms.last().copied().unwrap_or_default(),
        names_database: names_database(&body),
        path,
    };
    let version = version(&parts.headers, &body)
        .ok_or_else(|| "neither a header nor the health answer names one".to_owned());
    Ok(Told { health, skew_ms, version, certificate })
}

type Found = (String, Parts, Bytes, Result<i64, String>);

/// The first path that answers with a 2xx, or else the first one that was asked.
async fn find_health(
    connection: &mut Connection,
    address: &Address,
    asking: &Asking,
) -> Result<Found, String> {
    let paths: Vec<&str> = match &asking.health {
        Some(path) => vec![path],
        None => USUAL_PATHS.to_vec(),
    };
    let mut first: Option<Found> = None;
    for path in paths {
        if !connection.is_open().await {
            *connection = within(asking.limit, Connection::open(address)).await?;
        }
        let before = now_ms();
        let (parts, body) = within(asking.limit, connection.get(path)).await?;
        let after = now_ms();
        let date = parts.headers.get("date").and_then(|date| date.to_str().ok());
        let skew = date
            .and_then(|date| skew_ms(date, before, after))
            .ok_or_else(|| "its answer has no Date header".to_owned());
        let good = parts.status.is_success();
        let found = (path.to_owned(), parts, body, skew);
        if good {
            return Ok(found);
        }
        first.get_or_insert(found);
    }
    first.ok_or_else(|| "no path to ask".to_owned())
}

async fn within<T>(
    limit: Duration,
    doing: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, doing).await {
        Ok(done) => done,
        Err(_) => Err(format!("no answer within {} s", limit.as_secs_f64())),
    }
}
