//! Rows that travel in the stream to say "up to here".
//!
//! The barrier must be a transaction of its own, committed by a *second* session with
//! `synchronous_commit = on`: a lease silences the commits that would flush the log's last page,
//! and a walsender sends flushed log only. An unflushed message waited for seconds; this one takes
//! one or two milliseconds (finding 22).

use changeover_types::{Epoch, MigrationName, SignalKind, quote_literal};

use crate::error::Error;
use crate::objects::{BEGIN, run};
use crate::session::Session;

/// Writes this attempt's barrier and returns when it is flushed. Must not be the lease's session.
///
/// # Errors
/// If our schema is not there, or the connection breaks: then draw another nonce and write again.
pub async fn write(
    session: &mut Session,
    migration: &MigrationName,
    epoch: Epoch,
    nonce: u64,
) -> Result<(), Error> {
    signal(session, migration, SignalKind::Barrier, epoch, nonce).await
}

/// Writes a heartbeat: it lets positions move while the moved tables are idle.
///
/// # Errors
/// As [`write`].
pub async fn heartbeat(
    session: &mut Session,
    migration: &MigrationName,
    nonce: u64,
) -> Result<(), Error> {
    signal(session, migration, SignalKind::Heartbeat, Epoch(0), nonce).await
}

async fn signal(
    session: &mut Session,
    migration: &MigrationName,
    kind: SignalKind,
    epoch: Epoch,
    nonce: u64,
) -> Result<(), Error> {
    let sql = format!(
        "{BEGIN} SET LOCAL synchronous_commit = on; \
         INSERT INTO changeover.signal AS s (migration, kind, epoch, nonce) \
           VALUES ({}, '{}', {epoch}, {nonce}) ON CONFLICT (migration, kind) DO UPDATE \
           SET epoch = excluded.epoch, nonce = excluded.nonce, at = clock_timestamp(); COMMIT",
        quote_literal(migration.as_str()),
        kind.as_str(),
    );
    run(session, &sql).await
}
