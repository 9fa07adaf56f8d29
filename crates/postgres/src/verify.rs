//! Compares the two sides, row by row, without stopping anybody.
//!
//! [`compare`] works on two open snapshots: per table a count and two sums of row hashes,
//! computed in the databases; only where these differ, it narrows down to buckets of keys and
//! then to rows. [`aligned`] gets two snapshots that hold the same transactions, with the
//! follower stopped for a moment only.

mod aligned;
mod sql;
mod tables;

use std::fmt;

use changeover_types::{TableName, quote_ident};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::session::{SearchPath, Session};

pub use aligned::{AlignedConfig, aligned};
use sql::{Column, Subject};
pub(crate) use tables::digest_of;

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
    /// The first [`MOST_LISTED`] of them that differ in what was written to them.
    pub differences: Vec<RowDifference>,
    /// The generated columns with other values in rows that were written alike.
    #[serde(default)]
    pub generated: Vec<GeneratedDifference>,
}

/// A stored generated column that the two sides computed differently: the stream does not carry
/// it, and its function is not what it was, or not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedDifference {
    /// Its table.
    pub table: TableName,
    /// The column.
    pub column: String,
    /// What it is generated from, as the source has it.
    pub expression: String,
    /// A column of the expression that can be set.
    pub by: Option<String>,
    /// How many rows differ in it.
    pub rows: u64,
}

impl fmt::Display for GeneratedDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GeneratedDifference { table, column, expression, by, rows } = self;
        let anew = match by.as_ref().map(|by| quote_ident(by)) {
            Some(by) => format!("UPDATE {} SET {by} = {by}", table.quoted()),
            None => "write the rows again".to_owned(),
        };
        write!(
            f,
            "generated column {column} of {table} differs in {rows} rows: {expression} gives other \
             values on the target than are stored on the source. If the source's are out of date, \
             compute them anew there: {anew}; otherwise make its functions the same on both sides \
             and do that then"
        )
    }
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

    fn list(&mut self, subject: &Subject, key: &str, source: u64, target: u64) {
        // Rows without a key are counted: two of one sort too few are two differences.
        self.rows_different += source.abs_diff(target).max(1);
        if self.differences.len() < MOST_LISTED {
            self.differences.push(RowDifference {
                table: subject.name.clone(),
                key: subject.show(key),
                kind: DifferenceKind::of(source, target),
            });
        }
    }

    fn list_generated(&mut self, table: &TableName, column: &Column, rows: u64) {
        if rows > 0
            && let Some(generated) = &column.generated
        {
            self.rows_different += rows;
            self.generated.push(GeneratedDifference {
                table: table.clone(),
                column: column.name.clone(),
                expression: generated.expression.clone(),
                by: generated.by.clone(),
                rows,
            });
        }
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
/// in, and calls `progress` after each. A table without columns is compared by the number of its
/// rows; sequences are not tables.
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
        let doing = |error: Error| error.with_context(format!("comparing {name}"));
        let subject = tables::subject(&mut pair, name).await.map_err(doing)?;
        let table = tables::compare(&mut pair, &subject, &mut report).await.map_err(doing)?;
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
