//! Tables and sequences: how large they are and how fast they change.

use changeover_types::TableName;
use serde::{Deserialize, Serialize};

/// Where a table stands in a partition tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table.
    Plain,
    /// The top of a partition tree, or a partition that is itself partitioned: no rows of its own.
    Partitioned,
    /// A partition that holds rows.
    Partition,
}

/// A table that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// Its name.
    pub name: TableName,
    /// Its place in a partition tree.
    pub kind: RelationKind,
    /// How it is partitioned, as PostgreSQL writes it: `RANGE (created_at)`.
    pub partitioned_by: Option<String>,
    /// Tables it inherits from without being a partition.
    pub inherits: Vec<TableName>,
    /// Whether it is unlogged.
    pub unlogged: bool,
    /// The planner's estimate; `None` if it was never analysed.
    pub rows: Option<u64>,
    /// The rows on disk, without TOAST and indexes.
    pub heap_bytes: u64,
    /// Large values kept apart.
    pub toast_bytes: u64,
    /// All indexes.
    pub index_bytes: u64,
    /// Average width of a row by the planner's statistics; `None` if it was never analysed.
    pub row_bytes: Option<u64>,
    /// Rows inserted since the statistics began.
    pub inserts: u64,
    /// Rows updated and deleted since the statistics began.
    pub changes: u64,
    /// Why old rows cannot be identified in a change stream; `None` if they can.
    pub no_identity: Option<String>,
    /// Columns of the primary key with their types and average widths: `token text (64)`.
    pub wide_key: Vec<String>,
    /// Columns that are `GENERATED … STORED` or `GENERATED ALWAYS AS IDENTITY`.
    pub generated: Vec<String>,
    /// Columns of types that cannot be moved as they are, with the type.
    pub bound_columns: Vec<String>,
    /// Whether row security is enabled.
    pub row_security: bool,
    /// Foreign keys to tables that do not move, in words.
    pub leaving: Vec<String>,
    /// The application's triggers that fire for applied rows too.
    pub replica_triggers: Vec<String>,
}

impl Relation {
    /// Everything on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.heap_bytes.saturating_add(self.toast_bytes).saturating_add(self.index_bytes)
    }
}

/// A sequence that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: TableName,
    /// `bigint`, `integer` or `smallint`.
    pub type_name: String,
    /// How much of its range is used, in tenths of a per cent; `None` if it may not be read.
    pub used_permille: Option<u16>,
    /// Why it could not be carried over at a change of authority; `None` if it can.
    pub uncarried: Option<String>,
}

/// How fast a database changes, from two samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Time between the samples.
    pub over_ms: u64,
    /// Write-ahead log, in bytes per second.
    pub wal_bytes_s: u64,
    /// Commits per second.
    pub commits_s: u64,
    /// Tables that changed, the busiest first.
    pub tables: Vec<TableRate>,
}

/// How fast a table changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRate {
    /// Its name.
    pub name: TableName,
    /// Rows inserted, updated and deleted between the samples.
    pub changes: u64,
}
