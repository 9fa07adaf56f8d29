//! The kernel's socket tables.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Largest table.
const TABLE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A socket that listens or is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) state: State,
    pub(super) inode: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Listen,
    Established,
}

/// The sockets of a network and the host's own addresses in it, loopback left out.
pub(super) fn read(folder: &Path) -> io::Result<(Vec<Socket>, BTreeSet<String>)> {
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        match std::fs::File::open(folder.join(table)) {
            Ok(file) => {
                for line in BufReader::new(file.take(TABLE_MAX_BYTES)).lines() {
                    sockets.extend(socket(&line?));
                }
            }
            // A kernel without IPv6.
            Err(error) if table == "tcp6" && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut addresses: BTreeSet<String> = BTreeSet::new();
    let trie = std::fs::read_to_string(folder.join("fib_trie")).unwrap_or_default();
    addresses.extend(local_addresses(&trie));
    let six = std::fs::read_to_string(folder.join("if_inet6")).unwrap_or_default();
    addresses.extend(six.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let ip = Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
        (!ip.is_loopback() && !ip.is_unicast_link_local()).then(|| ip.to_string())
    }));
    Ok((sockets, addresses))
}

/// A line of the table; `None` for the heading and for other states.
pub(super) fn socket(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let local = address(words.next()?)?;
    let peer = address(words.next()?)?;
    let state = match words.next()? {
        "01" => State::Established,
        "0A" => State::Listen,
        _ => return None,
    };
    let inode = words.nth(5)?.parse().ok()?;
    Some(Socket { local, peer, state, inode })
}

/// `0100007F:1F90`: the address in the kernel's memory order, word by word.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Local addresses out of the routing table: a `/32 host LOCAL` follows its address.
fn local_addresses(trie: &str) -> Vec<String> {
    let (mut last, mut found) = (None, Vec::new());
    for line in trie.lines() {
        if let Some(ip) = line.trim().strip_prefix("|-- ") {
            last = ip.parse::<Ipv4Addr>().ok();
        } else if line.contains("/32 host LOCAL")
            && let Some(ip) = last.filter(|ip| !ip.is_loopback())
        {
            found.push(ip.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let line = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   107        0 18251 1 0000000000000000 100 0 0 10 0";
        let read = socket(line).unwrap();
        assert_eq!(
            (read.local.to_string().as_str(), read.state, read.inode),
            ("127.0.0.1:5432", State::Listen, 18251)
        );
        let six = "   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 99 1 0 20 4 30 10 -1";
        let read = socket(six).unwrap();
        assert_eq!(read.local.ip().to_canonical().to_string(), "127.0.0.1");
        assert_eq!(read.peer.port(), 54321);
        assert_eq!(socket("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn own_addresses_come_from_the_routing_table() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 10.0.0.5\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(trie), ["10.0.0.5", "10.0.0.5"]);
    }
}
