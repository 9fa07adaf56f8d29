//! Reads the address out of a URL or connection string, and nothing else: user, password, path
//! and parameters are dropped here, so that later code cannot show them.

use std::net::Ipv6Addr;

use super::Kind;

/// Where a configuration value leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `postgres`, `https`, … in lower case.
    pub scheme: String,
    /// The host as written.
    pub host: String,
    /// The port as written, or the scheme's own.
    pub port: Option<u16>,
    /// The database's name, for database schemes.
    pub database: Option<String>,
    /// Whether the value held a password. Only that it did.
    pub has_password: bool,
}

/// Schemes, the engine they speak to, its kind and its usual port.
const SCHEMES: [(&str, &str, Kind, u16); 24] = [
    ("postgres", "postgres", Kind::Database, 5432),
    ("postgresql", "postgres", Kind::Database, 5432),
    ("mysql", "mysql", Kind::Database, 3306),
    ("mariadb", "mysql", Kind::Database, 3306),
    ("mongodb", "mongodb", Kind::Database, 27017),
    ("sqlserver", "sqlserver", Kind::Database, 1433),
    ("clickhouse", "clickhouse", Kind::Database, 9000),
    ("redis", "redis", Kind::Cache, 6379),
    ("rediss", "redis", Kind::Cache, 6379),
    ("valkey", "redis", Kind::Cache, 6379),
    ("memcached", "memcached", Kind::Cache, 11211),
    ("amqp", "rabbitmq", Kind::Queue, 5672),
    ("amqps", "rabbitmq", Kind::Queue, 5671),
    ("nats", "nats", Kind::Queue, 4222),
    ("kafka", "kafka", Kind::Queue, 9092),
    ("mqtt", "mqtt", Kind::Queue, 1883),
    ("mqtts", "mqtt", Kind::Queue, 8883),
    ("http", "", Kind::Service, 80),
    ("https", "", Kind::Service, 443),
    ("ws", "", Kind::Service, 80),
    ("wss", "", Kind::Service, 443),
    ("grpc", "", Kind::Service, 443),
    ("smtp", "smtp", Kind::Service, 25),
    ("smtps", "smtp", Kind::Service, 465),
];

impl Endpoint {
    /// Reads a URL (`scheme://…`), a `jdbc:` URL or a libpq connection string; `None` for any
    /// other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Endpoint> {
        let text = text.trim();
        let text = text.strip_prefix("jdbc:").unwrap_or(text);
        match text.split_once("://") {
            Some((scheme, rest)) => url(scheme, rest),
            None => keywords(text),
        }
    }

    /// What the scheme speaks to: engine and kind.
    #[must_use]
    pub fn meaning(&self) -> Option<(&'static str, Kind)> {
        SCHEMES
            .iter()
            .find(|(scheme, ..)| *scheme == self.scheme)
            .map(|(_, engine, kind, _)| (*engine, *kind))
    }

    /// What usually listens on a port: engine and kind.
    #[must_use]
    pub fn usual_on(port: u16) -> Option<(&'static str, Kind)> {
        SCHEMES
            .iter()
            .find(|(_, engine, kind, usual)| {
                *usual == port && (*kind != Kind::Service || *engine == "smtp")
            })
            .map(|(_, engine, kind, _)| (*engine, *kind))
    }

    /// Where an engine usually listens.
    #[must_use]
    pub fn usual_port(engine: &str) -> Option<u16> {
        let found = SCHEMES.iter().find(|(_, known, ..)| !known.is_empty() && *known == engine);
        found.map(|(.., port)| *port)
    }

    /// `host:port`, without anything that could be secret.
    #[must_use]
    pub fn address(&self) -> String {
        match self.port {
            Some(port) if self.host.contains(':') => format!("[{}]:{port}", self.host),
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

fn url(scheme: &str, rest: &str) -> Option<Endpoint> {
    let scheme = scheme.to_ascii_lowercase();
    // `postgresql+asyncpg`, `mongodb+srv`: the part before `+` says what it is.
    let scheme = scheme.split('+').next().unwrap_or_default().to_owned();
    let word = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    if !word || rest.contains(char::is_whitespace) {
        return None;
    }
    let http = matches!(scheme.as_str(), "http" | "https" | "ws" | "wss");
    // A password may hold an unescaped `/` or `?`, so the last `@` of all ends it; in HTTP URLs
    // an `@` also stands in paths, and counts there only if what comes before is no plain host.
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = match rest[..end].rfind('@') {
        None if http && host_port(&rest[..end]).is_some() => None,
        Some(at) if http => Some(at),
        _ => rest.rfind('@'),
    };
    let (user, rest) = match at {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Several hosts: the first one stands for all.
    let first = authority.split(',').next().unwrap_or_default();
    let (host, port) = host_port(first)?;
    let database_scheme = SCHEMES
        .iter()
        .find(|(s, ..)| *s == scheme)
        .is_some_and(|(_, _, k, _)| *k == Kind::Database);
    let database = path
        .strip_prefix('/')
        .map(|path| path.split(['?', '#', '/']).next().unwrap_or_default())
        .filter(|name| database_scheme && !name.is_empty())
        .map(str::to_owned);
    let usual = SCHEMES.iter().find(|(s, ..)| *s == scheme).map(|(.., port)| *port);
    let has_password = user.is_some_and(|user| user.split_once(':').is_some_and(|p| literal(p.1)));
    Some(Endpoint { scheme, host, port: port.or(usual), database, has_password })
}

/// `host=… port=… dbname=…`.
fn keywords(text: &str) -> Option<Endpoint> {
    let value = |key: &str| {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim_matches('\''))
    };
    let host = value("host").or_else(|| value("hostaddr"))?;
    if value("dbname").is_none() && value("user").is_none() {
        return None;
    }
    let (host, _) = host_port(host.split(',').next().unwrap_or_default())?;
    let port = value("port").and_then(|port| port.parse().ok()).or(Some(5432));
    Some(Endpoint {
        scheme: "postgres".to_owned(),
        host,
        port,
        database: value("dbname").map(str::to_owned),
        has_password: value("password").is_some_and(literal),
    })
}

/// A host with or without a port; `None` if it is not a host.
fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || "-._%:".contains(c);
    if host.is_empty() || !host.chars().all(fine) {
        return None;
    }
    match port {
        None | Some("") => Some((host.to_owned(), None)),
        // A variable as a port still names the host.
        Some(port) if port.starts_with("${") => Some((host.to_owned(), None)),
        Some(port) => Some((host.to_owned(), Some(port.parse().ok()?))),
    }
}

/// Whether a password is written out rather than filled in from elsewhere.
fn literal(password: &str) -> bool {
    !password.is_empty() && !password.starts_with("${") && !password.starts_with("$(")
}

#[cfg(test)]
mod tests;
