//! Compares the two sides, row by row, without stopping anybody.
//!
//! [`compare`] works on two open snapshots: per table a count and two sums of row hashes,
//! computed in the databases; only where these differ, it narrows down to buckets of keys and
//! then to rows. [`aligned`] gets two snapshots that hold the same transactions, with the
//! follower stopped for a moment only.

mod aligned;
mod sql;
mod tables;

use changeover_types::TableName;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::session::{SearchPath, Session};

pub use aligned::{AlignedConfig, aligned};

/// The most differences that are listed one by one.
pub const MOST_LISTED: usize = 1_000;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Each table, in the order given.
    pub tables: Vec<TableReport>,
    /// Rows of the source that were compared.
    pub rows_compared: u64,
    /// How many rows differ: exact.
    pub rows_different: u64,
    /// The first [`MOST_LISTED`] of them.
    pub differences: Vec<RowDifference>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// Its name.
    pub name: TableName,
    /// Its rows on the source.
    pub rows: u64,
    /// Whether both sides hold the same.
    pub equal: bool,
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// Its table.
    pub table: TableName,
    /// Its key, such as `(id) = (7)`; a row without a key is shown by a hash.
    pub key: String,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// How a row differs, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The source has it (or more of it) and the target has not.
    Missing,
    /// The target has it (or more of it) and the source has not.
    Extra,
    /// Both have it, with other values.
    Different,
}

impl VerifyReport {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.rows_different == 0 && self.tables.iter().all(|table| table.equal)
    }
}

/// Two sessions, each inside a transaction whose snapshot is to be compared.
#[derive(Debug)]
pub struct Pair<'a> {
    /// On the source.
    pub source: &'a mut Session,
    /// On the target.
    pub target: &'a mut Session,
}

impl Pair<'_> {
    /// Runs the same on both sides, side by side.
    async fn both(&mut self, sql: &str) -> Result<(crate::session::Rows, crate::session::Rows)> {
        let (source, target) = tokio::join!(self.source.query(sql), self.target.query(sql));
        Ok((source?, target?))
    }
}

/// Compares `tables` (leaf tables, no partitioned roots) in the snapshots the two sessions are
/// in, and calls `progress` after each. Generated columns are left out; sequences are not
/// tables.
///
/// # Errors
/// `Divergence` if a table or its columns are not the same on both sides; otherwise what the
/// servers or connections say.
pub async fn compare(
    mut pair: Pair<'_>,
    tables: &[TableName],
    mut progress: impl FnMut(&TableReport),
) -> Result<VerifyReport> {
    let path = SearchPath::read(pair.source).await?;
    pair.both(&path.set_local()).await?;
    let mut report = VerifyReport::default();
    for name in tables {
        let subject = tables::subject(&mut pair, name).await?;
        let table = tables::compare(&mut pair, &subject, &mut report).await?;
        progress(&table);
        report.rows_compared += table.rows;
        report.tables.push(table);
    }
    Ok(report)
}

impl DifferenceKind {
    /// Judges by how many rows with the key each side has.
    fn of(source: u64, target: u64) -> DifferenceKind {
        match source.cmp(&target) {
            std::cmp::Ordering::Greater => DifferenceKind::Missing,
            std::cmp::Ordering::Less => DifferenceKind::Extra,
            std::cmp::Ordering::Equal => DifferenceKind::Different,
        }
    }
}
