//! How fast things are here: read-only samples, bounded in time, before anything is begun.
//!
//! Each sample has a session of its own that is simply dropped when the time is over, so that no
//! sample can outlast its bound. What cannot be measured is an error of its own, not a zero.

use std::time::Duration;

use bytes::Bytes;
use changeover_types::{TableName, quote_literal};
use tokio::time::Instant;

use crate::catalog::{Catalog, Table, cell};
use crate::config::ConnectConfig;
use crate::copy::{CopyFormat, TextReason};
use crate::error::{Error, Result};
use crate::session::Session;

/// How the samples' sessions are called in `pg_stat_activity`.
const APPLICATION: &str = "changeover measure";
/// So many of the largest tables are sampled.
const TABLES_MAX: usize = 3;
/// A sample that yields less than this says nothing of a rate.
const SAMPLE_MIN_BYTES: u64 = 64 * 1024;
/// A sample of this size says enough.
const SAMPLE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How a line of the written sample looks: long enough that rows cost as they usually do.
const LINE: [u8; 512] = {
    let mut line = [b'x'; 512];
    line[511] = b'\n';
    line
};

/// Bytes and the time they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How many.
    pub bytes: u64,
    /// In how much time.
    pub took: Duration,
    /// Whether there was no more to be had: then even a little says enough.
    pub whole: bool,
}

impl Sample {
    /// Bytes in a second; `None` if there were too few to say.
    #[must_use]
    pub fn bytes_per_s(self) -> Option<u64> {
        let micros = self.took.as_micros().max(1);
        let rate = u128::from(self.bytes) * 1_000_000 / micros;
        let enough = self.bytes >= SAMPLE_MIN_BYTES || (self.whole && self.bytes > 0);
        enough.then(|| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Reads from the largest tables as the copy would, at most for `each` from one table. The tables'
/// bytes as the wire carries them are fewer than on disk; the rate is scaled to what is on disk.
///
/// # Errors
/// If no session can be had or a table cannot be read.
pub async fn read(config: &ConnectConfig, catalog: &Catalog, each: Duration) -> Result<Sample> {
    let mut largest: Vec<&Table> = catalog.leaves().filter(|table| table.readable).collect();
    largest.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let mut all = Sample { bytes: 0, took: Duration::ZERO, whole: true };
    for table in largest.into_iter().take(TABLES_MAX).filter(|table| table.bytes > 0) {
        let binary = |oid| catalog.types.get(oid).is_some_and(|traits| !traits.mute);
        let format = if table.copied_columns().all(|column| binary(&column.type_oid)) {
            CopyFormat::Binary
        } else {
            CopyFormat::Text(TextReason::Mute)
        };
        let sample = read_one(config, table, format, each).await?;
        all.bytes += sample.bytes;
        all.took += sample.took;
        all.whole &= sample.whole;
    }
    Ok(all)
}

async fn read_one(
    config: &ConnectConfig,
    table: &Table,
    format: CopyFormat,
    each: Duration,
) -> Result<Sample> {
    let mut session = Session::connect(config, APPLICATION).await?;
    session.execute("BEGIN READ ONLY").await?;
    let begun = Instant::now();
    let mut rows = session.copy_out(&format.out_command(table)).await?;
    let mut whole = false;
    while begun.elapsed() < each && rows.bytes() < SAMPLE_MAX_BYTES {
        match tokio::time::timeout(each, rows.next_frames()).await {
            Ok(frames) => {
                whole = frames?.is_none();
                if whole {
                    break;
                }
            }
            // A table behind somebody's lock: what came until then is the sample.
            Err(_) => break,
        }
    }
    let took = begun.elapsed();
    // Read to the end, the wire's bytes stand for all of the table's on disk.
    let bytes = if whole { table.bytes } else { rows.bytes() };
    Ok(Sample { bytes, took, whole })
}

/// Writes into a temporary table that ends with its session, at most for `time`. Temporary tables
/// write no log, so this is more than the copy will reach.
///
/// # Errors
/// If no session can be had, or the role may not create temporary tables.
pub async fn write(config: &ConnectConfig, time: Duration) -> Result<Sample> {
    let mut session = Session::connect(config, APPLICATION).await?;
    session.execute("CREATE TEMPORARY TABLE changeover_sample (line text)").await?;
    let chunk = Bytes::from(LINE.repeat(128));
    let begun = Instant::now();
    let mut rows = session.copy_in("COPY pg_temp.changeover_sample FROM STDIN").await?;
    let mut bytes = 0;
    while begun.elapsed() < time && bytes < SAMPLE_MAX_BYTES {
        rows.send_data(&chunk).await?;
        bytes += chunk.len() as u64;
    }
    rows.finish().await?;
    Ok(Sample { bytes, took: begun.elapsed(), whole: false })
}

/// Where the server's log ends at the moment, in bytes since its beginning.
///
/// # Errors
/// If the session fails or the server is a standby.
pub async fn log_position(session: &mut Session) -> Result<u64> {
    let sql = "SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint";
    let text = cell(session, sql).await?.unwrap_or_default();
    text.parse().map_err(|_| Error::protocol(session.side(), "the log's position is no number"))
}

/// The fastest of a few answers to the smallest question.
///
/// # Errors
/// If the session fails.
pub async fn answer(session: &mut Session) -> Result<Duration> {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let asked = Instant::now();
        session.query_one("SELECT 1").await?;
        fastest = fastest.min(asked.elapsed());
    }
    Ok(fastest)
}

/// Bytes of all indexes of these tables.
///
/// # Errors
/// If the session fails.
pub async fn index_bytes(session: &mut Session, tables: &[TableName]) -> Result<u64> {
    if tables.is_empty() {
        return Ok(0);
    }
    let names: Vec<String> = tables
        .iter()
        .map(|table| format!("{}::pg_catalog.regclass", quote_literal(&table.quoted())))
        .collect();
    let sql = format!(
        "SELECT coalesce(sum(pg_catalog.pg_indexes_size(t)),0)::bigint FROM unnest(ARRAY[{}]) t",
        names.join(",")
    );
    let text = cell(session, &sql).await?.unwrap_or_default();
    text.parse().map_err(|_| Error::protocol(session.side(), "a size is no number"))
}
