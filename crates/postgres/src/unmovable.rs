//! Sessions whose state cannot move to another server, as far as one session may see it of others:
//! who holds advisory locks or has temporary tables, and whose last word was LISTEN.
//!
//! It is a look from outside. Only the gate's own look at each session, in a hold, is complete.

use std::fmt;

use crate::error::Result;
use crate::session::Session;

/// A session, and what of it cannot move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmovable {
    /// The server process.
    pub pid: i32,
    /// The role.
    pub user: String,
    /// What it calls itself.
    pub application: String,
    /// What cannot move, in words.
    pub what: String,
}

impl fmt::Display for Unmovable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unmovable { pid, user, application, what } = self;
        write!(f, "{user} ({application}), server process {pid}: {what}")
    }
}

/// The sessions in this database that could not move now, ours left out.
///
/// # Errors
/// If the connection breaks.
pub async fn look(session: &mut Session) -> Result<Vec<Unmovable>> {
    let rows = session.query(LOOK).await?;
    let text = |row: &crate::session::Row, at| row.get(at).unwrap_or_default().to_owned();
    rows.iter()
        .map(|row| {
            Ok(Unmovable {
                pid: row.parse(0)?,
                user: text(row, 1),
                application: text(row, 2),
                what: text(row, 3),
            })
        })
        .collect()
}

/// The numbers in the names of temporary schemas are those of the server's own list of sessions.
const LOOK: &str = "WITH kept AS ( \
     SELECT pid, 'advisory locks' AS what FROM pg_catalog.pg_locks \
       WHERE locktype='advisory' AND granted \
         AND database=(SELECT oid FROM pg_catalog.pg_database \
           WHERE datname=pg_catalog.current_database()) \
     UNION SELECT pg_catalog.pg_stat_get_backend_pid(substr(n.nspname, 9)::int4), \
         'temporary tables' \
       FROM pg_catalog.pg_namespace n WHERE n.nspname ~ '^pg_temp_[0-9]+$' \
         AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace=n.oid) \
     UNION SELECT pid, 'listens' FROM pg_catalog.pg_stat_activity \
       WHERE state='idle' AND query ~* '^\\s*listen\\s') \
   SELECT a.pid, coalesce(a.usename, ''), coalesce(nullif(a.application_name, ''), '-'), \
     pg_catalog.string_agg(k.what, ', ' ORDER BY k.what) \
   FROM kept k JOIN pg_catalog.pg_stat_activity a ON a.pid=k.pid \
   WHERE a.datname=pg_catalog.current_database() \
     AND a.application_name NOT LIKE 'changeover%' \
     AND coalesce(a.backend_type, 'client backend')='client backend' \
   GROUP BY a.pid, a.usename, a.application_name ORDER BY a.pid";
