//! The newest row of a side, with signs of life of the run that wrote it.

use changeover_types::{MigrationName, quote_literal};

use super::{EpochRow, newest, slot_on, value};
use crate::error::Error;
use crate::session::Session;

/// This side's newest epoch row, and whether anybody reads the migration's slot on this side or
/// copies beside it; `None` without our schema or a row. Takes no lock on a table of the user's.
///
/// # Errors
/// If a row makes no sense, or the connection breaks.
pub async fn known(
    session: &mut Session,
    migration: &MigrationName,
) -> Result<Option<(EpochRow, bool)>, Error> {
    let there = "SELECT 1 WHERE pg_catalog.to_regclass('changeover.epoch') IS NOT NULL";
    if value(session, there).await?.is_none() {
        return Ok(None);
    }
    let Some(row) = newest(session, migration).await? else { return Ok(None) };
    // While it is copied from, nobody reads the slot; the session that holds the tables is there.
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_replication_slots WHERE slot_name = {} AND (active OR EXISTS \
           (SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = 'changeover holder' \
              AND datname = pg_catalog.current_database()))",
        quote_literal(&slot_on(migration, session.side()))
    );
    let in_use = value(session, &sql).await?.is_some();
    Ok(Some((row, in_use)))
}
