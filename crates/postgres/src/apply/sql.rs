//! The applier's own statements.

use changeover_relay::{Resume, Stream};
use changeover_types::{Epoch, Lsn, MigrationName, quote_literal};

use crate::error::{Error, Result};
use crate::session::Session;

/// The role is set for the whole session, because each change of it makes the server plan every
/// prepared statement anew, and by `SET`, because managed services allow nothing else. Plans must not depend on how many rows a table had when it was first
/// met: a sequential scan chosen for an empty table would stay while it grows.
pub(crate) const SETTINGS: &str = "SET session_replication_role = replica; \
    SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET lock_timeout = '10s'";

/// The first statement of each batch: fails with a division by zero unless this incarnation
/// holds an open fence; then shows the token of the newest seal of this side.
pub(super) const FENCE: (&str, &str) = (
    "changeover_fence",
    "SELECT 1 / count(*)::int4, \
       pg_catalog.set_config('changeover.token', $1::text || '/' || \
         (SELECT max(e.epoch) FROM changeover.epoch e WHERE e.migration = $1::text \
          AND e.kind IN ('genesis', 'seal'))::text || '/' || $4::text, true) \
     FROM (SELECT FROM changeover.fence f WHERE f.migration = $1::text AND f.stream = $2::text \
       AND f.incarnation = $3::int8 AND f.open FOR SHARE) held",
);

/// The second: the compare-and-set.
pub(super) const PROGRESS: (&str, &str) = (
    "changeover_progress",
    "INSERT INTO changeover.progress \
       (migration, stream, predecessor, position, incarnation, epoch, open) \
     VALUES ($1::text, $2::text, $3::pg_lsn, $4::pg_lsn, $5::int8, $6::int8, $7::bool)",
);

/// Keeps the newest thousand progress rows.
pub(super) const PRUNE: &str = "DELETE FROM changeover.progress \
     WHERE migration = $1::text AND stream = $2::text AND position < \
       (SELECT p.position FROM changeover.progress p \
        WHERE p.migration = $1::text AND p.stream = $2::text \
        ORDER BY p.position DESC OFFSET 999 LIMIT 1)";

/// How the applier's session calls itself.
pub(super) fn application(migration: &MigrationName, stream: Stream) -> String {
    format!("changeover apply {migration} {stream}")
}

/// Locks the fence, takes the next incarnation, reads where to go on.
///
/// Another session of ours that holds the fence and does not let go within two seconds is one
/// whose controller is gone: it is ended, and its transaction is then either in or not.
pub(super) async fn take_over(
    session: &mut Session,
    migration: &MigrationName,
    stream: Stream,
    application: &str,
) -> Result<(i64, Resume)> {
    session.query("SET lock_timeout = '2s'").await?;
    let first = take(session, migration, stream).await;
    session.query("SET lock_timeout = '10s'").await?;
    match first {
        Err(error) if error.sqlstate() == Some("55P03") => {
            let sql = format!(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                 WHERE application_name = {} AND datname = pg_catalog.current_database() \
                 AND pid <> pg_catalog.pg_backend_pid()",
                quote_literal(application)
            );
            session.query(&sql).await?;
            take(session, migration, stream).await
        }
        outcome => outcome,
    }
}

async fn take(
    session: &mut Session,
    migration: &MigrationName,
    stream: Stream,
) -> Result<(i64, Resume)> {
    session.query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    let taken = taken(session, migration, stream).await;
    let end = if taken.is_ok() { "COMMIT" } else { "ROLLBACK" };
    match session.query(end).await {
        Ok(_) => taken,
        // The first failure says more.
        Err(error) => taken.and(Err(error)),
    }
}

async fn taken(
    session: &mut Session,
    migration: &MigrationName,
    stream: Stream,
) -> Result<(i64, Resume)> {
    let name = quote_literal(migration.as_str());
    let of = format!("migration = {name} AND stream = '{stream}'");
    // One statement locks and counts; the next one sees everything committed before the lock.
    let fence = session
        .query(&format!(
            "SET LOCAL synchronous_commit = on; UPDATE changeover.fence \
             SET incarnation = incarnation + 1 WHERE {of} RETURNING incarnation"
        ))
        .await?;
    let Some(fence) = fence.first() else {
        return Err(Error::refused(
            stream.into(),
            format!(
                "taking over the {stream} stream of {migration}: there is no fence row; \
                 install our objects and write genesis first"
            ),
        ));
    };
    let incarnation = fence.parse(0)?;
    let newest = session
        .query(&format!(
            "SELECT position, epoch, open FROM changeover.progress WHERE {of} \
             ORDER BY position DESC LIMIT 1"
        ))
        .await?;
    if let Some(row) = newest.first() {
        let position = row.parse::<Lsn>(0)?;
        let resume = Resume { position, epoch: Epoch(row.parse(1)?), open: row.text(2)? == "t" };
        return Ok((incarnation, resume));
    }
    let genesis = session
        .query(&format!(
            "SELECT epoch, authority FROM changeover.epoch \
             WHERE migration = {name} AND kind = 'genesis'"
        ))
        .await?;
    let Some(genesis) = genesis.first() else {
        return Err(Error::refused(
            stream.into(),
            format!("taking over the {stream} stream of {migration}: there is no genesis row"),
        ));
    };
    let open = genesis.text(1)? == stream.from().as_str();
    let resume = Resume { position: Lsn::ZERO, epoch: Epoch(genesis.parse(0)?), open };
    Ok((incarnation, resume))
}
