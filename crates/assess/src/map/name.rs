//! How components are called, and which names mean the same thing.
//!
//! The rule:
//! 1. A public address means the same everywhere: an IP address that is neither loopback nor
//!    unspecified, and a host name with a dot. Such names are [`Scope::Anywhere`].
//! 2. A short name (`db`) and a loopback address mean something only where they were read: in
//!    their Compose project, Kubernetes namespace or machine. They carry that [`Scope::In`].
//! 3. All loopback addresses, `localhost` and the unspecified address of one scope are the same
//!    host, called `localhost`.
//! 4. Case, a trailing dot and the brackets of IPv6 do not distinguish names.

use std::fmt;
use std::net::IpAddr;

/// Where a name means something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The same thing everywhere.
    Anywhere,
    /// Only in this Compose project, namespace or machine.
    In(String),
}

/// A name of a component: a host with or without a port, or a component's name in its scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Where it means something.
    pub scope: Scope,
    /// Host or component, in its one spelling.
    pub host: String,
    /// The port, if the name has one.
    pub port: Option<u16>,
}

impl Name {
    /// A component's name in its scope.
    #[must_use]
    pub fn component(scope: &str, name: &str) -> Name {
        Name { scope: Scope::In(scope.to_owned()), host: name.to_ascii_lowercase(), port: None }
    }

    /// A host and port as written in a place of this scope.
    #[must_use]
    pub fn address(scope: &str, host: &str, port: Option<u16>) -> Name {
        let host = plain(host);
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() || ip.is_unspecified() => {
                Name { scope: Scope::In(scope.to_owned()), host: "localhost".to_owned(), port }
            }
            Ok(ip) => Name { scope: Scope::Anywhere, host: unmapped(ip), port },
            Err(_) if host.contains('.') => Name { scope: Scope::Anywhere, host, port },
            Err(_) => Name { scope: Scope::In(scope.to_owned()), host, port },
        }
    }

    /// The same host without the port.
    #[must_use]
    pub fn without_port(&self) -> Name {
        Name { port: None, ..self.clone() }
    }

    /// Whether the host is an IP address.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// Whether the host is a name of the public Internet, as far as its form tells.
    #[must_use]
    pub fn looks_public(&self) -> bool {
        const PRIVATE: [&str; 7] =
            [".local", ".internal", ".lan", ".localdomain", ".home.arpa", ".test", ".svc"];
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => !(ip.is_private() || ip.is_link_local() || ip.is_loopback()),
            Ok(IpAddr::V6(ip)) => !(ip.is_unique_local() || ip.is_unicast_link_local()),
            Err(_) => {
                self.scope == Scope::Anywhere && !PRIVATE.iter().any(|end| self.host.ends_with(end))
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// A host in its one spelling.
fn plain(host: &str) -> String {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let host = host.to_ascii_lowercase();
    if matches!(host.as_str(), "" | "*") {
        return "0.0.0.0".to_owned();
    }
    if host == "localhost" { "127.0.0.1".to_owned() } else { host }
}

/// An IPv6 address that only wraps an IPv4 one is that one.
fn unmapped(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_localhost_are_one_host_in_their_scope() {
        let name = Name::address("box", "localhost", Some(80));
        for other in ["127.0.0.1", "127.0.0.53", "::1", "[::1]", "0.0.0.0", "*", "LocalHost."] {
            assert_eq!(Name::address("box", other, Some(80)), name, "{other}");
        }
        assert_ne!(Name::address("other box", "localhost", Some(80)), name);
    }

    #[test]
    fn dotted_names_and_addresses_mean_the_same_everywhere() {
        for host in ["10.0.0.5", "DB.example.com.", "::ffff:10.0.0.5", "2001:db8::1"] {
            assert_eq!(Name::address("a", host, None), Name::address("b", host, None), "{host}");
        }
        assert_eq!(Name::address("a", "::ffff:10.0.0.5", None).host, "10.0.0.5");
        assert_ne!(Name::address("a", "db", None), Name::address("b", "db", None));
        assert_eq!(Name::address("a", "db", None), Name::component("a", "DB"));
    }

    #[test]
    fn public_names_are_told_from_private_ones() {
        for public in ["api.stripe.com", "8.8.8.8", "2001:db8::1"] {
            assert!(Name::address("a", public, None).looks_public(), "{public}");
        }
        for private in ["db", "10.1.2.3", "db.internal", "localhost", "fd00::1", "x.cluster.local"]
        {
            assert!(!Name::address("a", private, None).looks_public(), "{private}");
        }
    }
}
