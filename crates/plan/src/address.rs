//! Addresses: where gates listen, where upstreams and databases are.

use std::net::{Ipv6Addr, SocketAddr};

use crate::model::SecretRef;

/// Why a text is not an upstream.
pub(crate) enum BadUpstream {
    /// `https://`: gates do not speak TLS to upstreams yet.
    Tls,
    /// It carries a user or a password.
    Credentials,
    /// Anything else.
    Shape,
}

/// `http://host:port` (port 80 if left out), normalised to have a port and no slash.
pub(crate) fn upstream(text: &str) -> Result<String, BadUpstream> {
    let rest = match text.strip_prefix("http://") {
        Some(rest) => rest,
        None if text.starts_with("https://") => return Err(BadUpstream::Tls),
        None => return Err(BadUpstream::Shape),
    };
    if rest.contains('@') {
        return Err(BadUpstream::Credentials);
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = host_port(rest).ok_or(BadUpstream::Shape)?;
    Ok(format!("http://{}:{}", host.to_ascii_lowercase(), port.unwrap_or(80)))
}

/// Host and, if given, port.
fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let close = inner.find(']')?;
        inner[..close].parse::<Ipv6Addr>().ok()?;
        let rest = &inner[close + 1..];
        (&text[..close + 2], if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_';
        if host.is_empty() || !host.bytes().all(word) {
            return None;
        }
        (host, port)
    };
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().ok().filter(|p| *p != 0).map(|p| (host, Some(p)))
        }
        Some(_) => None,
    }
}

/// Whether it is `host:port`, the port not 0.
pub(crate) fn connectable(text: &str) -> bool {
    matches!(host_port(text), Some((_, Some(_))))
}

/// `address:port` with a numeric address and a port other than 0.
pub(crate) fn listen(text: &str) -> Option<SocketAddr> {
    text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0)
}

/// What a database URL written in the plan is.
pub(crate) enum InlineUrl {
    /// Fit to be written there.
    Fine,
    /// It holds a password.
    Password,
    /// Not a database URL.
    Shape,
}

/// Judges a database URL written in the plan.
pub(crate) fn database_url(text: &str) -> InlineUrl {
    let Some(rest) =
        text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
    else {
        let keyword = text.to_ascii_lowercase().contains("password=");
        return if keyword { InlineUrl::Password } else { InlineUrl::Shape };
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return InlineUrl::Shape;
    }
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = before.rfind('@').map_or("", |at| &before[..at]);
    let named = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or("").to_ascii_lowercase();
        name == "password" || name == "sslpassword" || name.contains('%')
    });
    if user.contains(':') || named {
        return InlineUrl::Password;
    }
    let authority = before.rfind('@').map_or(before, |at| &before[at + 1..]);
    if authority.is_empty() { InlineUrl::Shape } else { InlineUrl::Fine }
}

/// A database URL as a plan may hold it; `None` if it is none or may hold a password.
#[must_use]
pub fn inline_url(text: &str) -> Option<SecretRef> {
    matches!(database_url(text), InlineUrl::Fine).then(|| SecretRef::Inline(text.to_owned()))
}

/// Whether connecting to `upstream` (as [`upstream`] gives it) meets a listener on `listen`, as far
/// as the text tells.
pub(crate) fn reaches(upstream: &str, listen: SocketAddr) -> bool {
    let Some((host, Some(port))) = upstream.strip_prefix("http://").and_then(host_port) else {
        return false;
    };
    let host = if host == "localhost" { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    let Ok(ip) = host.parse::<std::net::IpAddr>() else { return false };
    let any_local = listen.ip().is_unspecified() && ip.is_loopback();
    port == listen.port() && (ip == listen.ip() || any_local)
}
