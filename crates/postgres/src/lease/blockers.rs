//! Who is in the way, in words for the operator: never a statement, for it may hold values.

use std::fmt;
use std::time::Duration;

use changeover_types::TableName;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::objects::{regclasses, rows};
use crate::session::Session;

/// A server process (or prepared transaction) that holds what a lease needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The server process; 0 for a prepared transaction.
    pub pid: u32,
    /// The role.
    pub user: String,
    /// `application_name`, or the prepared transaction's identifier.
    pub application: String,
    /// `active`, `idle in transaction`, `prepared`, …
    pub state: String,
    /// When its statement began, by the server's clock.
    pub query_start: String,
    /// For how long its transaction has been open, in milliseconds.
    pub open_ms: u64,
    /// `client backend`, `autovacuum worker`, `walsender`, …
    pub backend_type: String,
    /// What kind of statement: `VACUUM`, `CREATE INDEX CONCURRENTLY`, `UPDATE`, … For autovacuum,
    /// what it says of itself.
    pub command: String,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blocker { pid, user, application, state, query_start, backend_type, command, .. } =
            self;
        write!(f, "{backend_type} {pid} ({user}")?;
        if !application.is_empty() {
            write!(f, ", {application}")?;
        }
        write!(f, "), {state}, {command} since {query_start}")
    }
}

const COLUMNS: &str = "coalesce(a.pid, 0), coalesce(a.usename, ''), coalesce(a.application_name, ''), \
     coalesce(a.state, 'active'), coalesce(a.query_start::text, ''), \
     greatest(0, floor(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000))::bigint, \
     coalesce(a.backend_type, ''), coalesce(a.query, '')";

/// Who the session with this pid waits for now.
pub(super) async fn blocking(watch: &mut Session, pid: u32) -> Result<Vec<Blocker>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT DISTINCT unnest(pg_catalog.pg_blocking_pids({pid})) AS pid) b \
         JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid ORDER BY a.xact_start"
    );
    let mut found = read(watch, &sql).await?;
    // pg_blocking_pids says 0 for a prepared transaction.
    let sql = format!(
        "SELECT 0, owner, gid, 'prepared', prepared::text, \
         floor(extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint, \
         'prepared transaction', '' FROM pg_catalog.pg_prepared_xacts \
         WHERE database = current_database() AND 0 = ANY (pg_catalog.pg_blocking_pids({pid}))"
    );
    found.extend(read(watch, &sql).await?);
    Ok(found)
}

/// Who holds a lock on one of these relations that a lease would wait for.
pub(super) async fn holding<'a>(
    session: &mut Session,
    names: impl IntoIterator<Item = &'a TableName>,
) -> Result<Vec<Blocker>, Error> {
    let held = format!(
        "SELECT DISTINCT l.pid, l.virtualtransaction FROM pg_catalog.pg_locks l \
         WHERE l.locktype = 'relation' AND l.granted \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
         AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', \
           'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') \
         AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() \
         AND l.relation IN (SELECT pg_catalog.to_regclass(u.name)::oid FROM unnest({}) AS u(name))",
        regclasses(names)
    );
    let sql = format!(
        "SELECT {COLUMNS} FROM ({held}) h JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid \
         UNION ALL SELECT 0, p.owner, p.gid, 'prepared', p.prepared::text, \
           floor(extract(epoch FROM clock_timestamp() - p.prepared) * 1000)::bigint, \
           'prepared transaction', '' FROM ({held}) h JOIN pg_catalog.pg_prepared_xacts p \
           ON h.pid IS NULL AND h.virtualtransaction = '-1/' || p.transaction::text"
    );
    read(session, &sql).await
}

async fn read(session: &mut Session, sql: &str) -> Result<Vec<Blocker>, Error> {
    let found = rows(session, sql).await?;
    Ok(found.into_iter().filter_map(|row| blocker(&row)).collect())
}

fn blocker(row: &[Option<String>]) -> Option<Blocker> {
    let text = |at: usize| row.get(at)?.clone();
    let backend_type = text(6)?;
    let query = text(7)?;
    Some(Blocker {
        pid: text(0)?.parse().ok()?,
        user: text(1)?,
        application: text(2)?,
        state: text(3)?,
        query_start: text(4)?,
        open_ms: text(5).and_then(|ms| ms.parse().ok()).unwrap_or(0),
        command: if backend_type == "autovacuum worker" { query } else { command(&query) },
        backend_type,
    })
}

/// The leading keywords of a statement, and nothing that could be a name or a value.
fn command(query: &str) -> String {
    const KEYWORDS: [&str; 32] = [
        "VACUUM",
        "FULL",
        "ANALYZE",
        "CREATE",
        "UNIQUE",
        "INDEX",
        "CONCURRENTLY",
        "REINDEX",
        "TABLE",
        "CLUSTER",
        "ALTER",
        "DROP",
        "TRUNCATE",
        "INSERT",
        "INTO",
        "UPDATE",
        "DELETE",
        "FROM",
        "MERGE",
        "COPY",
        "SELECT",
        "WITH",
        "BEGIN",
        "START",
        "TRANSACTION",
        "COMMIT",
        "REFRESH",
        "MATERIALIZED",
        "VIEW",
        "LOCK",
        "CALL",
        "DO",
    ];
    let words: Vec<String> = query
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
        .take_while(|word| KEYWORDS.contains(&word.as_str()))
        .take(5)
        .collect();
    if words.is_empty() { "a statement".to_owned() } else { words.join(" ") }
}

/// The blockers in one sentence, for an error message.
pub(super) fn named(blockers: &[Blocker], waited: Duration) -> String {
    if blockers.is_empty() {
        return format!("nobody in the way could be named in {} ms", waited.as_millis());
    }
    let list: Vec<String> = blockers.iter().map(Blocker::to_string).collect();
    format!("in the way for {} ms: {}", waited.as_millis(), list.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_without_names_or_values() {
        assert_eq!(
            command("create unique index concurrently i on t (x)"),
            "CREATE UNIQUE INDEX CONCURRENTLY"
        );
        assert_eq!(command(" VACUUM (verbose) secret"), "VACUUM");
        assert_eq!(command("update accounts set x = 'hunter2'"), "UPDATE");
        assert_eq!(command("<insufficient privilege>"), "a statement");
    }
}
