//! Sessions of clients that work on a database without going through the gate.

use std::fmt;

use crate::error::Result;
use crate::session::Session;

/// Sessions of one role, program and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypassing {
    /// The role.
    pub user: String,
    /// What the program calls itself; `-` if it does not, or our role may not see it.
    pub application: String,
    /// Where it comes from: an address, `-` for a socket or if our role may not see it.
    pub address: String,
    /// How many sessions it has.
    pub sessions: u64,
}

impl fmt::Display for Bypassing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bypassing { user, application, address, sessions } = self;
        write!(f, "{user} ({application}) from {address}: {sessions}")
    }
}

/// The clients' sessions in this database, without those that the gate's server processes serve and
/// without ours.
///
/// # Errors
/// If the connection breaks.
pub async fn look(session: &mut Session, served: &[u32]) -> Result<Vec<Bypassing>> {
    let served: Vec<String> = served.iter().map(u32::to_string).collect();
    let rows = session
        .query(&format!(
            "SELECT coalesce(usename, ''), coalesce(nullif(application_name, ''), '-'), \
               coalesce(pg_catalog.host(client_addr), '-'), pg_catalog.count(*) \
             FROM pg_catalog.pg_stat_activity \
             WHERE datname=pg_catalog.current_database() AND pid<>pg_catalog.pg_backend_pid() \
               AND coalesce(backend_type, 'client backend')='client backend' \
               AND application_name NOT LIKE 'changeover%' \
               AND pid<>ALL ('{{{}}}'::int4[]) \
             GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3",
            served.join(",")
        ))
        .await?;
    let text = |row: &crate::session::Row, at| row.get(at).unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| {
            Ok(Bypassing {
                user: text(row, 0),
                application: text(row, 1),
                address: text(row, 2),
                sessions: row.parse(3)?,
            })
        })
        .collect()
}
