//! The first copy: raw COPY frames from the source's sockets into the target's.
//!
//! Each table is one transaction on the target. It checks the fence before its first row and
//! records itself in `changeover.copied` with its last, so a table is either whole and recorded or
//! not there. Dropping the future of [`run`] closes all sessions, and the servers roll back what
//! was under way.

mod format;
mod join;
mod meter;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use changeover_types::{MigrationName, TableName, quote_literal};

pub(crate) use format::query;
pub use format::{CopyFormat, Sides, TextReason};
pub use meter::{CopyMeter, CopyTotals, TableProgress, TableState};

use crate::catalog::{Catalog, Table, TableKind, json};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::session::Session;
pub(crate) use join::all;
use worker::Worker;

/// On whose authority a copy writes.
#[derive(Clone, Debug)]
pub struct CopyTicket {
    /// The migration.
    pub migration: MigrationName,
    /// The incarnation that the target's `forward` fence must have; see [`claim`].
    pub incarnation: u64,
    /// What passes the target's seal ([`changeover_types::seal_token`]).
    pub token: String,
}

/// One table and how it travels.
#[derive(Clone, Debug)]
pub struct CopyJob {
    /// The table.
    pub table: Table,
    /// Its form.
    pub format: CopyFormat,
}

/// How a copy is run.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// Tables at a time.
    pub parallel: usize,
    /// How long a worker may wait for ACCESS SHARE on the tables, before it reads the first.
    pub lock_wait: Duration,
}

impl Default for CopyOptions {
    fn default() -> Self {
        CopyOptions { parallel: 4, lock_wait: Duration::from_secs(60) }
    }
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopySummary {
    /// Tables loaded now.
    pub tables: u64,
    /// Tables found loaded already by the same incarnation.
    pub already: u64,
    /// Rows loaded now.
    pub rows: u64,
    /// Bytes sent now.
    pub bytes: u64,
}

/// Every table that holds rows, biggest first, so that the longest one does not come last.
#[must_use]
pub fn jobs(sides: &Sides<'_>) -> Vec<CopyJob> {
    let mut jobs: Vec<CopyJob> = sides
        .source
        .leaves()
        .map(|table| CopyJob { table: table.clone(), format: sides.format(table) })
        .collect();
    jobs.sort_by(|a, b| b.table.bytes.cmp(&a.table.bytes).then(a.table.name.cmp(&b.table.name)));
    jobs
}

/// Counters for [`run`], in the order of `jobs`.
#[must_use]
pub fn meter(jobs: &[CopyJob]) -> CopyMeter {
    CopyMeter::new(jobs.iter().map(|job| &job.table))
}

/// How the copy's sessions on the target call themselves.
fn application(migration: &MigrationName) -> String {
    format!("changeover copy {migration}")
}

/// Ends what a copy of this migration has under way on the target. Its client is gone; the server
/// would notice only when it asks for more rows.
///
/// # Errors
/// If the session fails.
pub async fn end_former(target: &mut Session, migration: &MigrationName) -> Result<()> {
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE application_name = left({}, 63) AND datname = pg_catalog.current_database() \
         AND usename = session_user AND pid <> pg_catalog.pg_backend_pid()",
        quote_literal(&application(migration))
    );
    target.query(&sql).await.map(drop)
}

/// Takes the target's `forward` fence for a new incarnation: whoever held it before can write
/// nothing any more, and what it has under way is ended.
///
/// # Errors
/// If there is no open fence (genesis has not run, or authority has moved).
pub async fn claim(target: &mut Session, migration: &MigrationName) -> Result<u64> {
    end_former(target, migration).await?;
    let sql = format!(
        "UPDATE changeover.fence SET incarnation=incarnation+1 \
         WHERE migration={} AND stream='forward' AND open RETURNING incarnation",
        quote_literal(migration.as_str())
    );
    let row = target.query_opt(&sql).await?.ok_or_else(|| {
        Error::refused(
            target.side(),
            format!("the fence of {migration} is not open for the forward stream"),
        )
    })?;
    row.parse(0)
}

/// Copies all tables, several at a time, with sessions of its own. Tables that the same
/// incarnation has loaded already are skipped, so after a broken connection it may be run again
/// for as long as the snapshot lives.
///
/// # Errors
/// The first failure, with its table; everything else under way is rolled back.
pub async fn run(
    source: &ConnectConfig,
    target: &ConnectConfig,
    snapshot: &str,
    ticket: &CopyTicket,
    jobs: &[CopyJob],
    options: CopyOptions,
    meter: &CopyMeter,
) -> Result<CopySummary> {
    let mut control = Session::connect(target, &application(&ticket.migration)).await?;
    let done = copied(&mut control, &ticket.migration).await?;
    control.close().await;
    let mut summary = CopySummary::default();
    let mut open = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        match done.iter().find(|c| c.relation == job.table.name.quoted()) {
            Some(c) if c.incarnation == ticket.incarnation => {
                meter.set(index, c.rows, c.bytes);
                meter.set_state(index, TableState::Done);
                summary.already += 1;
            }
            _ => open.push((index, job)),
        }
    }
    let names: Vec<TableName> = open.iter().map(|(_, job)| job.table.name.clone()).collect();
    let next = AtomicUsize::new(0);
    let workers = (0..options.parallel.clamp(1, open.len().max(1))).map(|_| async {
        let mut sum = CopySummary::default();
        if open.is_empty() {
            return Ok(sum);
        }
        let mut worker = Worker::open(source, target, snapshot, ticket).await?;
        // All of them now: a rewrite that queues up behind the holder would otherwise keep the
        // worker from a table that it has yet to open, for ever.
        worker.hold(&names, options.lock_wait).await?;
        while let Some((index, job)) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            meter.set_state(*index, TableState::Copying);
            let report = |rows, bytes| meter.set(*index, rows, bytes);
            let (rows, bytes) = worker
                .copy(job, &report)
                .await
                .map_err(|e| e.with_context(format!("copying {}", job.table.name)))?;
            meter.set(*index, rows, bytes);
            meter.set_state(*index, TableState::Done);
            sum.tables += 1;
            sum.rows += rows;
            sum.bytes += bytes;
        }
        worker.close().await;
        Ok(sum)
    });
    for sum in all(workers).await? {
        summary.tables += sum.tables;
        summary.rows += sum.rows;
        summary.bytes += sum.bytes;
    }
    Ok(summary)
}

/// A row of `changeover.copied`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Copied {
    /// The table as SQL names it, [`TableName::quoted`].
    pub relation: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes that were sent for it.
    pub bytes: u64,
    /// Who loaded it.
    pub incarnation: u64,
}

/// What this migration has loaded into the target.
///
/// # Errors
/// If our schema is not there or the query fails.
pub async fn copied(target: &mut Session, migration: &MigrationName) -> Result<Vec<Copied>> {
    json(
        target,
        &format!(
            "SELECT coalesce(json_agg(json_build_object('relation', relation, 'rows', rows, \
             'bytes', bytes, 'incarnation', incarnation) ORDER BY relation), '[]')::text \
             FROM changeover.copied WHERE migration={}",
            quote_literal(migration.as_str())
        ),
    )
    .await
}

/// Empties every moved table on the target again, in one transaction under the fence: for a copy
/// whose snapshot died. Tables that are not there yet are passed over.
///
/// # Errors
/// If the fence is not ours, or somebody uses the tables for longer than `lock_timeout`.
pub async fn undo(
    target: &mut Session,
    ticket: &CopyTicket,
    catalog: &Catalog,
    lock_timeout: Duration,
) -> Result<()> {
    let present = present(target, catalog).await?;
    // A partitioned table is emptied through its root, so that foreign keys between roots see
    // both ends in one statement.
    let list: Vec<String> = catalog
        .tables
        .iter()
        .filter(|table| present.contains(&table.name))
        .filter_map(|table| match table.kind {
            TableKind::Root => Some(table.name.quoted()),
            TableKind::Plain => Some(format!("ONLY {}", table.name.quoted())),
            TableKind::Branch | TableKind::Leaf => None,
        })
        .collect();
    worker::begin(target, ticket).await?;
    let mut sql = format!("SET LOCAL lock_timeout={};", lock_timeout.as_millis().max(1));
    if !list.is_empty() {
        sql.push_str(&format!("TRUNCATE {};", list.join(",")));
    }
    sql.push_str(&format!(
        "DELETE FROM changeover.copied WHERE migration={}; COMMIT",
        quote_literal(ticket.migration.as_str())
    ));
    if let Err(e) = target.execute(&sql).await {
        if target.is_usable() {
            target.execute("ROLLBACK").await?;
        }
        return Err(e.with_context("emptying the tables that were copied"));
    }
    Ok(())
}

async fn present(target: &mut Session, catalog: &Catalog) -> Result<Vec<TableName>> {
    let names: Vec<String> =
        catalog.tables.iter().map(|table| quote_literal(&table.name.quoted())).collect();
    let found: Vec<bool> = json(
        target,
        &format!(
            "SELECT coalesce(json_agg(pg_catalog.to_regclass(n) IS NOT NULL ORDER BY i),'[]')::text \
             FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY x(n,i)",
            names.join(",")
        ),
    )
    .await?;
    let tables = catalog.tables.iter().zip(found);
    Ok(tables.filter(|(_, there)| *there).map(|(table, _)| table.name.clone()).collect())
}
