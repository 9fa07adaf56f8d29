//! Clients of a database, as `pg_stat_activity` shows them.

use changeover_assess::inventory::Client;
use changeover_assess::map::{Discovery, Kind, Name, Relation, SourceKind};
use changeover_types::WallMs;

use crate::notes::Notes;

/// A database and who is connected to it.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseClients<'a> {
    /// The server's host, as it is reached.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// Who is connected.
    pub clients: &'a [Client],
    /// When they were.
    pub at: WallMs,
}

/// Names that say nothing about who calls.
const GENERIC: [&str; 7] =
    ["", "psql", "PostgreSQL JDBC Driver", "pgAdmin 4", "DBeaver", "node-postgres", "asyncpg"];

/// Observed edges from the clients to the database.
#[must_use]
pub fn from_activity(database: &DatabaseClients<'_>, now: WallMs) -> Discovery {
    let mut found = Discovery::default();
    let source = format!("pg_stat_activity of {}:{}", database.host, database.port);
    found.read.insert(source.clone(), SourceKind::Activity);
    let mut notes = Notes { source: &source, machine: "machine", now, found: &mut found };
    let server = Name::address("machine", database.host, Some(database.port));
    let evidence =
        notes.observed(database.at, format!("the database {} answers", database.database));
    let mut component = notes.component(&server.to_string(), server.clone(), evidence);
    component.kind = Some(Kind::Database);
    component.engine = Some("postgres".to_owned());
    component.databases.insert(database.database.to_owned());
    notes.add(component);
    for client in database.clients {
        let place = client.address.as_deref().unwrap_or("localhost");
        let name = if GENERIC.contains(&client.application.as_str()) {
            Name::address("machine", place, None)
        } else {
            Name::component("clients of databases", &client.application)
        };
        let who = if client.application.is_empty() { "a client" } else { &client.application };
        let says = format!(
            "{who} at {place} uses {} as {} in {} sessions",
            database.database, client.user, client.sessions
        );
        let evidence = notes.observed(database.at, says);
        notes.link(
            &name,
            server.clone(),
            Relation::Uses,
            evidence,
            Some(("postgres", Kind::Database)),
        );
        if let Some(link) = notes.found.links.last_mut() {
            link.database = Some(database.database.to_owned());
        }
    }
    found
}
