//! How long resolvers keep a name: asked of the system's own name servers, one question over UDP
//! for each name. Only done when the operator asks for it.

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use changeover_assess::hints::HintKind;
use changeover_assess::map::{Discovery, SourceKind};
use changeover_types::WallMs;

use crate::notes::Notes;

/// Why a name's lifetime could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The name cannot be asked for.
    #[error("`{0}` is not a name that can be asked for")]
    Name(String),
    /// No answer.
    #[error("asking the name server {server} for {name}")]
    Ask {
        /// The name.
        name: String,
        /// Whom.
        server: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An answer that does not help.
    #[error("the name server {server} answered {what} for {name}")]
    Answer {
        /// The name.
        name: String,
        /// Whom.
        server: SocketAddr,
        /// What it said.
        what: String,
    },
}

/// The name servers of `/etc/resolv.conf`.
#[must_use]
pub fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|ip| ip.trim().parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

/// Asks for the lifetimes of names; each name that cannot be had is named as unread.
#[must_use]
pub fn from_resolver(
    names: &[String],
    servers: &[SocketAddr],
    within: Duration,
    now: WallMs,
) -> Discovery {
    let mut found = Discovery::default();
    for name in names {
        let mut last = None;
        let mut seconds = None;
        for server in servers {
            match lifetime(name, *server, within) {
                Ok(ttl) => {
                    seconds = Some((ttl, server.to_string()));
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        let source = seconds.as_ref().map_or("the system's resolver", |(_, server)| server);
        let source = source.to_owned();
        found.read.insert(source.clone(), SourceKind::Resolver);
        let mut notes = Notes { source: &source, machine: "machine", now, found: &mut found };
        match (seconds, last) {
            (Some((seconds, _)), _) => {
                let evidence = notes.observed(now, format!("{name} may be kept for {seconds} s"));
                let what = HintKind::DnsTtl { name: name.clone(), seconds: u64::from(seconds) };
                notes.hint(name, what, evidence);
            }
            (None, Some(error)) => {
                let cause = std::error::Error::source(&error).map(|c| format!(": {c}"));
                let why = format!("{error}{}", cause.unwrap_or_default());
                notes.unread(0, why, format!("dig {name}"));
            }
            (None, None) => notes.unread(
                0,
                format!("no name server to ask for {name}"),
                "look at /etc/resolv.conf",
            ),
        }
    }
    found
}

/// The least lifetime of the answer's records, in seconds.
fn lifetime(name: &str, server: SocketAddr, within: Duration) -> Result<u32, ResolveError> {
    let id = std::hash::RandomState::new().build_hasher().finish().to_le_bytes();
    let question =
        question([id[0], id[1]], name).ok_or_else(|| ResolveError::Name(name.to_owned()))?;
    let ask = || -> io::Result<Vec<u8>> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(within))?;
        socket.connect(server)?;
        socket.send(&question)?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    };
    let answer =
        ask().map_err(|source| ResolveError::Ask { name: name.to_owned(), server, source })?;
    least_lifetime(&question, &answer).map_err(|what| ResolveError::Answer {
        name: name.to_owned(),
        server,
        what: what.to_owned(),
    })
}

/// A question for A records with recursion.
fn question(id: [u8; 2], name: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let name = name.trim_end_matches('.');
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if label.is_empty() || label.len() > 63 || !label.bytes().all(fine) {
            return None;
        }
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    Some(bytes)
}

/// Reads the answer to `question`.
fn least_lifetime(question: &[u8], answer: &[u8]) -> Result<u32, &'static str> {
    const SHORT: &str = "something that is cut off";
    let header = answer.get(..12).ok_or(SHORT)?;
    if header[..2] != question[..2] || header[2] & 0x80 == 0 {
        return Err("something else");
    }
    match header[3] & 0x0f {
        0 => {}
        3 => return Err("that there is no such name"),
        _ => return Err("that it failed"),
    }
    let count = u16::from_be_bytes([header[6], header[7]]);
    let mut at = question.len();
    let mut least: Option<u32> = None;
    for _ in 0..count {
        at = skip_name(answer, at).ok_or(SHORT)?;
        let fixed = answer.get(at..at + 10).ok_or(SHORT)?;
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        least = Some(least.map_or(ttl, |l| l.min(ttl)));
        at += 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    }
    least.ok_or("without an address")
}

/// The place behind a name, which may end in a pointer.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests;
