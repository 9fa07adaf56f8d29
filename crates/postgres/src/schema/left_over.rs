//! What a daemon that was killed left running: nobody restores beside it, or drops beside it.

use std::time::Duration;

use changeover_types::{MigrationName, quote_literal};
use tokio::time::{Instant, sleep};

use super::APPLICATION;
use crate::error::{Error, Result};
use crate::session::Session;

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(50);

/// A name is cut by the server behind so many bytes.
const NAME_BYTES: usize = 63;

/// What the sessions that make this migration's schema are called. Names of migrations are ASCII.
pub(super) fn application(migration: &MigrationName) -> String {
    let mut name = format!("{APPLICATION} {migration}");
    name.truncate(NAME_BYTES);
    name
}

/// Ends the sessions that still make the migration's schema in this database, and waits until they are gone: what
/// they were about to commit is then either there or not. To be called by a daemon that has none of
/// its own there.
///
/// # Errors
/// `Timeout`, naming the processes, if they do not end; or what the server says.
pub async fn end_left_over(
    session: &mut Session,
    migration: &MigrationName,
    within: Duration,
) -> Result<()> {
    let deadline = Instant::now() + within;
    let sql = format!(
        "SELECT coalesce(pg_catalog.string_agg(pid::text, ', '), ''), \
         pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) \
         FROM pg_catalog.pg_stat_activity WHERE application_name = {} \
         AND datname = pg_catalog.current_database() AND usename = session_user \
         AND pid <> pg_catalog.pg_backend_pid()",
        quote_literal(&application(migration))
    );
    loop {
        let row = session.query_one(&sql).await?;
        let pids = row.text(0)?;
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!(
                "ending what an earlier daemon left: the processes {pids} do not end within \
                 {within:?}; end them by hand"
            );
            return Err(Error::timeout(session.side(), what));
        }
        sleep(AGAIN).await;
    }
}
