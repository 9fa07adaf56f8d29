//! The one kind of transaction by which authority moves, and what its answer proves.
//!
//! Check and insert travel with COMMIT in one message: the server runs COMMIT only if everything
//! before it succeeded. So an error it reports means "not committed", an answer means
//! "committed", and no answer means that nobody knows.

use std::time::Duration;

use changeover_types::{Epoch, EpochKind, Lsn, ParseLsnError, quote_literal};

use crate::error::Error;
use crate::session::Session;

use super::{Scope, do_block, foreign, lock_epochs, proves_no_commit, run, stream_into, value};

/// Raised when the row may not be inserted: the epoch is used up or authority is elsewhere.
pub(crate) const GUARDED: &str = "CO001";

/// Raised when something else that the row needs is not so.
pub(crate) const UNFIT: &str = "CO003";

/// Why an epoch row is not known to be committed.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// The guard refused; rolled back by the server's next ROLLBACK.
    Refused,
    /// Not committed.
    Failed(Error),
    /// Nobody knows.
    InDoubt(Error),
}

/// What an epoch row needs to be inserted.
pub(crate) struct Guarded<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) epoch: Epoch,
    pub(crate) kind: EpochKind,
    pub(crate) run: &'a str,
    /// A condition on `newest` (the newest row or nulls) that must hold.
    pub(crate) newest: &'a str,
    /// A condition of its own that must hold, and what it is called in the error.
    pub(crate) also: Option<(String, &'a str)>,
    /// What becomes of the fence of the stream into this side.
    pub(crate) fence_open: Option<bool>,
}

/// The DO block that locks the table, checks, and inserts.
pub(crate) fn guarded_sql(row: &Guarded<'_>) -> String {
    let Guarded { scope, epoch, kind, newest, .. } = row;
    let migration = quote_literal(scope.migration.as_str());
    let authority = match kind {
        EpochKind::Grant | EpochKind::Unseal => scope.side.as_str(),
        EpochKind::Genesis | EpochKind::Seal | EpochKind::Burn => "none",
    };
    let also = row.also.as_ref().map_or(String::new(), |(condition, name)| {
        let text = quote_literal(&format!("{name}: %"));
        format!(
            "IF ({condition}) IS NOT TRUE THEN RAISE EXCEPTION {text}, {migration} \
             USING ERRCODE = '{UNFIT}'; END IF;"
        )
    });
    let stream = stream_into(scope.side);
    let fence = row.fence_open.map_or(String::new(), |open| {
        format!(
            "UPDATE changeover.fence SET open = {open} \
             WHERE migration = {migration} AND stream = '{stream}';\n\
             IF NOT FOUND THEN RAISE EXCEPTION 'the fence of the {stream} stream is missing' \
             USING ERRCODE = '{UNFIT}'; END IF;"
        )
    });
    do_block(&format!(
        "DECLARE newest changeover.epoch%ROWTYPE;\n\
         BEGIN\n  {lock};\n\
         SELECT * INTO newest FROM changeover.epoch e WHERE e.migration = {migration} \
           ORDER BY e.epoch DESC LIMIT 1;\n\
         IF newest.epoch IS NULL OR newest.epoch >= {epoch} OR NOT ({newest}) THEN \
           RAISE EXCEPTION 'no {kind} in epoch {epoch}: the newest row is epoch % %', \
           newest.epoch, newest.kind USING ERRCODE = '{GUARDED}'; END IF;\n\
         {also}\n{fence}\n\
         INSERT INTO changeover.epoch (migration, epoch, kind, authority, run) \
           VALUES ({migration}, {epoch}, '{kind}', '{authority}', {run_id});\n\
         END",
        lock = lock_epochs(),
        run_id = quote_literal(row.run),
    ))
}

/// Sends the guarded row and COMMIT, and waits at most `patience` for the answer.
pub(crate) async fn commit(
    session: &mut Session,
    row: &Guarded<'_>,
    patience: Duration,
) -> Result<(), CommitFailure> {
    let sql = format!("{}; COMMIT", guarded_sql(row));
    match tokio::time::timeout(patience, run(session, &sql)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) if e.sqlstate() == Some(GUARDED) => Err(CommitFailure::Refused),
        Ok(Err(e)) if proves_no_commit(&e) => Err(CommitFailure::Failed(e)),
        Ok(Err(e)) => Err(CommitFailure::InDoubt(e)),
        Err(_) => {
            let what = format!("no answer to COMMIT within {} ms", patience.as_millis());
            Err(CommitFailure::InDoubt(Error::timeout(session.side(), what)))
        }
    }
}

/// The position up to which this server's log is flushed: at or behind every commit that was
/// acknowledged with `synchronous_commit = on`.
pub(crate) async fn flushed(session: &mut Session) -> Result<Lsn, Error> {
    let sql = "SELECT pg_catalog.pg_current_wal_flush_lsn()";
    let text = value(session, sql).await?.unwrap_or_default();
    text.parse().map_err(|e: ParseLsnError| {
        foreign(session.side(), "reading the server's log position").with_source(e)
    })
}
