//! What the PostgreSQL gate is told before it starts.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use changeover_types::Side;

use super::registry::Registry;

/// A password; `Debug` hides it and nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes the password.
    pub fn new(text: impl Into<String>) -> Self {
        Password(text.into())
    }

    /// The password itself, for the wire only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// They are believed.
    Trust,
    /// They send the password in clear text.
    Password,
    /// SCRAM-SHA-256.
    #[default]
    Scram,
}

/// A role that may come through the gate, with the password it has on both servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateUser {
    /// The role's name.
    pub name: String,
    /// Its password, towards clients and towards both servers.
    pub password: Password,
}

/// One side's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// This side's own database name. A client may ask for that of either side, and gets this one.
    pub database: String,
    /// The role the gate itself uses: to ask who has authority, and which types exist.
    pub user: String,
    /// That role's password, where the server asks for one.
    pub password: Option<Password>,
}

/// The PostgreSQL gate's configuration. Build with [`PostgresGateConfig::new`], then set fields.
#[derive(Clone, Debug)]
pub struct PostgresGateConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How clients prove who they are.
    pub auth: ClientAuth,
    /// Roles with stored passwords.
    pub users: Vec<GateUser>,
    /// The source's server.
    pub source: ServerConfig,
    /// The target's server.
    pub target: ServerConfig,
    /// Most client connections at a time; more are refused with 53300.
    pub max_clients: usize,
    /// A client must have proven itself by then.
    pub login_timeout: Duration,
    /// Custom settings (`app.tenant`) that are carried along with a session, beside those that its
    /// statements, the values bound to them, or the database's own code name: the server lists them
    /// nowhere.
    pub watch_settings: Vec<String>,
    /// What all cores that serve this gate share.
    pub(crate) registry: Arc<Registry>,
}

impl PostgresGateConfig {
    /// The names that a client may ask for: the source's database, and the target's.
    pub(crate) fn databases(&self) -> Vec<&str> {
        let (source, target) = (self.source.database.as_str(), self.target.database.as_str());
        if source == target { vec![source] } else { vec![source, target] }
    }

    /// Whether a client that asks for this database is led to the one that moves.
    pub(crate) fn leads_to(&self, database: &str) -> bool {
        self.databases().contains(&database)
    }

    /// A gate with SCRAM, no users and 1000 clients.
    #[must_use]
    pub fn new(listen: SocketAddr, source: ServerConfig, target: ServerConfig) -> Self {
        PostgresGateConfig {
            listen,
            auth: ClientAuth::default(),
            users: Vec::new(),
            source,
            target,
            max_clients: 1000,
            login_timeout: Duration::from_secs(30),
            watch_settings: Vec::new(),
            registry: Arc::default(),
        }
    }

    /// The server of `side`.
    #[must_use]
    pub fn server(&self, side: Side) -> &ServerConfig {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The stored password of a role.
    #[must_use]
    pub fn password_of(&self, user: &str) -> Option<&Password> {
        self.users.iter().find(|u| u.name == user).map(|u| &u.password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let user = GateUser { name: "shop".into(), password: Password::new("s3cret") };
        assert!(!format!("{user:?}").contains("s3cret"));
    }
}
