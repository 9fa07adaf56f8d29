//! `http://host:port` or `https://host:port`.

/// An upstream's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads an upstream's URL; a path is not taken.
    pub(crate) fn parse(url: &str) -> Result<Address, String> {
        let fault = || "it is not http://host:port or https://host:port".to_owned();
        let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(fault()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['@', '/', '?', '#']) || rest.is_empty() {
            return Err(fault());
        }
        let default = if tls { 443 } else { 80 };
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(fault)?;
                (host, port.strip_prefix(':'))
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(default), |port| port.parse().ok().filter(|port| *port != 0));
        match port {
            Some(port) if !host.is_empty() => Ok(Address { tls, host: host.to_owned(), port }),
            _ => Err(fault()),
        }
    }

    /// As a `Host` header.
    pub(crate) fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nothing_else() {
        let read = |url| Address::parse(url).map(|it| (it.tls, it.authority()));
        assert_eq!(read("http://shop:8080/"), Ok((false, "shop:8080".into())));
        assert_eq!(read("https://shop.example"), Ok((true, "shop.example:443".into())));
        assert_eq!(read("http://[::1]:80"), Ok((false, "[::1]:80".into())));
        for bad in
            ["", "ftp://a", "http://", "http://a:0", "http://u:p@a", "http://a/b", "http://a:x"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
