//! How far a copy is, as counters that anyone may read at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use changeover_types::TableName;

use crate::catalog::Table;

/// Where a table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableState {
    /// Not begun.
    Waiting,
    /// On its way.
    Copying,
    /// Loaded and committed on the target.
    Done,
}

/// Counters of one copy; cheap to clone, written by the copy, read by whoever shows progress.
/// Rates and times left are the reader's business: the copy knows no clock.
#[derive(Clone, Debug)]
pub struct CopyMeter {
    tables: Arc<[TableMeter]>,
}

#[derive(Debug)]
struct TableMeter {
    name: TableName,
    rows_estimated: Option<u64>,
    bytes_estimated: u64,
    state: AtomicU8,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// One table's counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProgress {
    /// The table.
    pub name: TableName,
    /// Where it stands.
    pub state: TableState,
    /// Rows sent so far; all of them once [`TableState::Done`].
    pub rows: u64,
    /// The planner's estimate of all rows, if it has one.
    pub rows_estimated: Option<u64>,
    /// Bytes sent so far.
    pub bytes: u64,
    /// The table's size on the source's disk: an estimate of what will be sent.
    pub bytes_estimated: u64,
}

/// The sums over all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyTotals {
    /// Tables in all.
    pub tables: u64,
    /// Tables done.
    pub tables_done: u64,
    /// Rows sent.
    pub rows: u64,
    /// Rows expected; what was sent counts where there is no estimate.
    pub rows_estimated: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Work done, in the unit of [`CopyTotals::work_estimated`]: sizes on disk, where a finished
    /// table counts in full. The ratio of the two never exceeds 1 and ends there.
    pub work: u64,
    /// Work in all.
    pub work_estimated: u64,
}

impl CopyMeter {
    /// Counters for these tables.
    pub fn new<'a>(tables: impl IntoIterator<Item = &'a Table>) -> CopyMeter {
        let meters = tables.into_iter().map(|table| TableMeter {
            name: table.name.clone(),
            rows_estimated: table.rows,
            bytes_estimated: table.bytes,
            state: AtomicU8::new(0),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        CopyMeter { tables: meters.collect() }
    }

    /// Every table's counters, in the order in which they are copied.
    #[must_use]
    pub fn tables(&self) -> Vec<TableProgress> {
        self.tables.iter().map(TableMeter::read).collect()
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> CopyTotals {
        let mut sum = CopyTotals::default();
        for table in self.tables.iter().map(TableMeter::read) {
            let done = table.state == TableState::Done;
            sum.tables += 1;
            sum.tables_done += u64::from(done);
            sum.rows += table.rows;
            let expected = table.rows_estimated.unwrap_or(table.rows).max(table.rows);
            sum.rows_estimated += if done { table.rows } else { expected };
            sum.bytes += table.bytes;
            sum.work_estimated += table.bytes_estimated;
            sum.work += if done { table.bytes_estimated } else { table.work() };
        }
        sum
    }

    pub(super) fn set_state(&self, index: usize, state: TableState) {
        if let Some(table) = self.tables.get(index) {
            table.state.store(state as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn set(&self, index: usize, rows: u64, bytes: u64) {
        if let Some(table) = self.tables.get(index) {
            table.rows.store(rows, Ordering::Relaxed);
            table.bytes.store(bytes, Ordering::Relaxed);
        }
    }
}

impl TableMeter {
    fn read(&self) -> TableProgress {
        TableProgress {
            name: self.name.clone(),
            state: match self.state.load(Ordering::Relaxed) {
                0 => TableState::Waiting,
                1 => TableState::Copying,
                _ => TableState::Done,
            },
            rows: self.rows.load(Ordering::Relaxed),
            rows_estimated: self.rows_estimated,
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_estimated: self.bytes_estimated,
        }
    }
}

impl TableProgress {
    /// The part of `bytes_estimated` that is done, by rows if they are estimated, else by bytes.
    fn work(&self) -> u64 {
        let (done, all) = match self.rows_estimated {
            Some(rows) if rows > 0 => (self.rows, rows),
            _ => (self.bytes, self.bytes_estimated),
        };
        let part = u128::from(self.bytes_estimated) * u128::from(done.min(all));
        u64::try_from(part / u128::from(all.max(1))).unwrap_or(self.bytes_estimated)
    }
}
