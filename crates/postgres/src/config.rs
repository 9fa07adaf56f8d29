//! Where a database is and how to get in.

use std::fmt;
use std::time::Duration;

use changeover_types::Side;

use crate::error::{Error, Result};

/// How long opening a session may take unless the URL says otherwise.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Parameters that libpq knows and we refuse: the only ones an error may name.
const LIBPQ_ONLY: [&str; 20] = [
    "channel_binding",
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "passfile",
    "replication",
    "require_auth",
    "service",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// A text that never appears in a log, an error or a command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a database is and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectConfig {
    /// Which side it is.
    pub side: Side,
    /// A host name, an address, or the folder of a Unix socket (starts with `/`).
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// How long opening a session may take, name look-up and login included.
    pub connect_timeout: Duration,
    /// Further settings for the startup packet; they win over ours.
    pub options: Vec<(String, String)>,
}

impl ConnectConfig {
    /// Reads `postgresql://user:password@host:port/database?parameters`.
    ///
    /// Parameters: `host` (also a socket's folder), `port`, `user`, `password`, `dbname`,
    /// `connect_timeout` (seconds), `application_name`, `options`, `sslmode` (`disable`,
    /// `allow`, `prefer`). Everything is percent-decoded.
    ///
    /// # Errors
    /// [`Refused`](crate::error::ErrorKind::Refused) if the text is no such URL, names several
    /// hosts, asks for TLS, or holds an unknown parameter. The text itself is never repeated.
    pub fn parse(side: Side, url: &str) -> Result<Self> {
        let refused =
            |why: String| Error::refused(side, format!("reading the database URL: {why}"));
        let config = Self::read(side, url).map_err(refused)?;
        for text in [&config.host, &config.user, &config.database]
            .into_iter()
            .chain(config.password.as_ref().map(|password| &password.0))
            .chain(config.options.iter().map(|(_, value)| value))
        {
            if text.contains('\0') {
                return Err(refused("it holds a zero byte".to_owned()));
            }
        }
        Ok(config)
    }

    fn read(side: Side, url: &str) -> std::result::Result<Self, String> {
        let rest = url
            .strip_prefix("postgresql://")
            .or_else(|| url.strip_prefix("postgres://"))
            .ok_or("it must start with postgresql://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (login, place),
            None => ("", authority),
        };
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = split_place(place)?;
        let mut config = ConnectConfig {
            side,
            host: decode(host)?,
            port,
            user: decode(user)?,
            password: password.map(decode).transpose()?.map(Secret),
            database: decode(path)?,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            options: Vec::new(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or("a parameter without a value: write name=value")?;
            config.set(&decode(name)?, decode(value)?)?;
        }
        config.finish()
    }

    fn set(&mut self, name: &str, value: String) -> std::result::Result<(), String> {
        match name {
            "host" => self.host = value,
            "port" => self.port = read_port(&value)?,
            "user" => self.user = value,
            "password" => self.password = Some(Secret(value)),
            "dbname" => self.database = value,
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
                self.connect_timeout = Duration::from_secs(
                    seconds.ok_or("`connect_timeout` must be 1 to 3600 seconds")?,
                );
            }
            "application_name" | "options" => self.options.push((name.to_owned(), value)),
            "sslmode" => match value.as_str() {
                "disable" | "allow" | "prefer" => {}
                "require" | "verify-ca" | "verify-full" => {
                    return Err(format!(
                        "`sslmode={value}` asks for TLS, and TLS to databases is not built yet: \
                         use a private network or a tunnel and sslmode=disable"
                    ));
                }
                _ => return Err("`sslmode` must be disable, allow or prefer".to_owned()),
            },
            other if LIBPQ_ONLY.contains(&other) => {
                return Err(format!("the parameter `{other}` is not supported"));
            }
            // Not named: an unescaped `?` in a password makes the rest of it look like this.
            _ => {
                return Err(
                    "it holds an unknown parameter (a `?` in a password is written %3F)".to_owned()
                );
            }
        }
        Ok(())
    }

    fn finish(mut self) -> std::result::Result<Self, String> {
        if self.host.is_empty() {
            "localhost".clone_into(&mut self.host);
        }
        if self.host.contains(',') {
            return Err("it names several hosts: name the primary alone".to_owned());
        }
        if self.user.is_empty() {
            return Err("it names no user: write postgresql://user@host/database".to_owned());
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        Ok(self)
    }

    /// `postgresql://user@host:port/database`, without the password: for people.
    #[must_use]
    pub fn redacted(&self) -> String {
        if self.host.starts_with('/') {
            format!("postgresql://{}@/{}?host={}", self.user, self.database, self.host)
        } else {
            format!("postgresql://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
        }
    }

    /// The environment for `pg_dump`, `pg_restore` and `psql`: nothing of it belongs into argv.
    #[must_use]
    pub fn libpq_env(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("PGHOST".to_owned(), self.host.clone()),
            ("PGPORT".to_owned(), self.port.to_string()),
            ("PGUSER".to_owned(), self.user.clone()),
            ("PGDATABASE".to_owned(), self.database.clone()),
            ("PGCONNECT_TIMEOUT".to_owned(), self.connect_timeout.as_secs().to_string()),
            // As our own sessions: libpq would try encryption first, which a tunnel that encrypts by
            // itself does not survive.
            ("PGSSLMODE".to_owned(), "disable".to_owned()),
            ("PGGSSENCMODE".to_owned(), "disable".to_owned()),
        ];
        if let Some(password) = &self.password {
            env.push(("PGPASSWORD".to_owned(), password.0.clone()));
        }
        env
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        ConnectConfig { database: database.to_owned(), ..self.clone() }
    }
}

/// Splits `host:port`, `[v6]:port` or `host`.
fn split_place(place: &str) -> std::result::Result<(&str, u16), String> {
    if place.contains(',') {
        return Err("it names several hosts: name the primary alone".to_owned());
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']').ok_or("`[` without `]` in the host")?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or("something stands behind `]`")?),
            };
            (host, port)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.filter(|port| !port.is_empty()).map_or(Ok(5432), read_port)?;
    Ok((host, port))
}

fn read_port(text: &str) -> std::result::Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "the port must be 1 to 65535".to_owned())
}

/// Percent-decoding. A `+` is a plus, as libpq has it.
fn decode(text: &str) -> std::result::Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or("a `%` without two hexadecimal digits (write %25 for %)")?);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 once percent-decoded".to_owned())
}

#[cfg(test)]
mod tests;
