//! Assembles the stream's transactions and hands them out as batches of whole transactions.
//!
//! The shell's loop: [`Relay::handle`] what was received; [`Relay::poll`] until `None`, performing
//! each [`Step`]; after the target's COMMIT of a batch, [`Relay::handle_durable`]; acknowledge
//! [`Relay::acknowledgeable`] to the sender and nothing else; [`Relay::handle_keepalive`] what the
//! sender says between transactions. While [`Relay::buffered_bytes`] is above what the shell wants to
//! hold, it does not read.

mod assemble;
mod batch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use changeover_types::{
    Change, Epoch, Lsn, Marker, MarkerError, MigrationName, RelationId, TableName, TableShape,
};

use crate::marker::MarkerTable;
use crate::segment::Segment;
use crate::stream::Stream;
use assemble::Incoming;
use batch::Entry;

/// How much a relay puts into one target transaction, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A batch of several transactions ends when it has this many changes.
    pub max_batch_changes: usize,
    /// A batch of several transactions ends when it has this many bytes.
    pub max_batch_bytes: usize,
    /// A transaction that has more bytes than this is alone in its batch and streams through.
    pub max_open_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_batch_changes: 5_000, max_batch_bytes: 4 << 20, max_open_bytes: 8 << 20 }
    }
}

/// What a relay is for.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Whose marker rows it reads.
    pub migration: MigrationName,
    /// Which way it goes.
    pub stream: Stream,
    /// Its bounds.
    pub limits: Limits,
}

/// What the receiving side's newest progress row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Commit LSN of the last transaction that is in the receiving database; zero if none.
    pub position: Lsn,
    /// Whether the segment is open there.
    pub open: bool,
    /// The epoch of the segment.
    pub epoch: Epoch,
}

/// One thing to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// An insert, update or delete of one row.
    Row {
        /// Where, as announced when the change was read.
        table: Arc<TableShape>,
        /// What. Never [`Change::Truncate`].
        change: Change,
    },
    /// A truncation of several tables at once.
    Truncate {
        /// Which.
        tables: Vec<Arc<TableShape>>,
        /// `CASCADE` was given on the sender.
        cascade: bool,
        /// `RESTART IDENTITY` was given on the sender.
        restart_identity: bool,
    },
}

/// What the shell does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Begin a transaction; its first row is this progress row.
    Open {
        /// The position of the progress row before this one.
        predecessor: Lsn,
        /// Commit LSN of the last source transaction that this one will hold.
        position: Lsn,
        /// The segment's epoch afterwards.
        epoch: Epoch,
        /// Whether the segment is open afterwards.
        open: bool,
    },
    /// Apply these, in order.
    Changes(Vec<Work>),
    /// Commit; then [`Relay::handle_durable`] with `position`.
    Close {
        /// As in `Open`.
        position: Lsn,
        /// Just behind the last source transaction's commit record.
        end_lsn: Lsn,
        /// When the last source transaction committed, microseconds since 2000-01-01 UTC.
        commit_time_us: i64,
        /// Rows of ours that are applied once this is durable.
        markers: Vec<Marker>,
        /// How many source transactions it holds.
        transactions: u64,
        /// How many changes it holds.
        changes: u64,
    },
    /// Rows of ours seen in a transaction that is not applied: proof that the stream is live.
    Discarded {
        /// The transaction's commit LSN.
        commit_lsn: Lsn,
        /// The rows.
        markers: Vec<Marker>,
    },
    /// Rows of ours in a transaction that was durable before this relay was made: whoever died
    /// in between may not have told of them.
    Known {
        /// The transaction's commit LSN.
        commit_lsn: Lsn,
        /// The rows.
        markers: Vec<Marker>,
    },
    /// Somebody else than our applier wrote while the sender had no authority. Not applied.
    Foreign {
        /// The transaction's commit LSN.
        commit_lsn: Lsn,
        /// Its id on the sender.
        xid: u32,
        /// The first table it changed.
        table: TableName,
        /// Whether a seal was in force (otherwise: before any grant).
        after_seal: bool,
    },
    /// Everything before the limit of [`Relay::hold_before`] is durable, and nothing of the rest
    /// was handed out.
    Reached {
        /// The limit.
        limit: Lsn,
        /// Commit LSN of the last transaction handed out.
        position: Lsn,
    },
}

/// What passed, since the relay was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Source transactions handed out.
    pub transactions: u64,
    /// Changes handed out.
    pub changes: u64,
    /// Transactions not applied, because already applied, our own, or in a closed segment.
    pub discarded: u64,
    /// Foreign transactions in a closed segment.
    pub foreign: u64,
}

/// Why a stream cannot be followed any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Commit positions must grow.
    #[error("the stream sent commit {next} after {last}: it is not in commit order")]
    Order {
        /// The one before.
        last: Lsn,
        /// The offender.
        next: Lsn,
    },
    /// BEGIN within a transaction, COMMIT or a change outside of one.
    #[error("the stream sent {what} {place} a transaction")]
    Framing {
        /// The message.
        what: &'static str,
        /// `inside` or `outside`.
        place: &'static str,
    },
    /// A COMMIT that belongs to another BEGIN.
    #[error("the stream ended transaction {begun} with the commit of {committed}")]
    Mismatch {
        /// BEGIN's.
        begun: Lsn,
        /// COMMIT's.
        committed: Lsn,
    },
    /// A change of a relation that was never announced.
    #[error("the stream changed relation {0} without announcing it")]
    UnknownRelation(u32),
    /// A row with another number of values than its relation has columns.
    #[error("the stream sent {values} values for the {columns} columns of {table}")]
    Width {
        /// The table.
        table: TableName,
        /// How many came.
        values: usize,
        /// How many it has.
        columns: usize,
    },
    /// A row of ours that cannot be read.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// A progress row that is not the first change of its transaction.
    #[error(
        "transaction {0} holds a progress row that is not its first change: somebody else writes \
         into our schema"
    )]
    LateProgress(Lsn),
    /// An epoch row that is not newer than the one before.
    #[error("epoch {next} came after {last}: somebody else writes into our schema")]
    StaleEpoch {
        /// The one before.
        last: Epoch,
        /// The offender.
        next: Epoch,
    },
    /// Authority changed in the middle of a transaction too big to hold.
    #[error("transaction {0} moves authority and carries more changes than fit in memory")]
    LargeTurn(Lsn),
}

/// A relation of the stream.
#[derive(Debug)]
struct Known {
    shape: Arc<TableShape>,
    marker: Option<MarkerTable>,
}

/// The pure part of following a stream. See the module's text for how it is driven.
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    relations: BTreeMap<RelationId, Known>,
    /// The segment as of the last change read.
    segment: Segment,
    /// Where the receiving database stood when we began.
    resumed: Lsn,
    /// The newest BEGIN's commit LSN.
    newest: Lsn,
    incoming: Option<Incoming>,
    ready: VecDeque<Entry>,
    outbox: VecDeque<Step>,
    /// Positions handed out with `Close`, or open, and not yet durable; with their end.
    in_flight: VecDeque<(Lsn, Option<Lsn>)>,
    /// The position of the newest `Open`.
    opened: Lsn,
    buffered: usize,
    durable_end: Lsn,
    /// The end of what was received and is not applied, or of the log behind it that holds
    /// nothing for us.
    passed_end: Lsn,
    hold: Option<Hold>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    limit: Lsn,
    told: bool,
}

impl Relay {
    /// A relay that goes on behind `resume`.
    #[must_use]
    pub fn new(config: RelayConfig, resume: Resume) -> Relay {
        Relay {
            config,
            relations: BTreeMap::new(),
            segment: Segment {
                open: resume.open,
                epoch: resume.epoch,
                // Without a progress row it was closed by genesis, not by a seal.
                after_seal: !resume.open && resume.position > Lsn::ZERO,
            },
            resumed: resume.position,
            newest: Lsn::ZERO,
            incoming: None,
            ready: VecDeque::new(),
            outbox: VecDeque::new(),
            in_flight: VecDeque::new(),
            opened: resume.position,
            buffered: 0,
            durable_end: Lsn::ZERO,
            passed_end: Lsn::ZERO,
            hold: None,
            counters: Counters::default(),
        }
    }

    /// Bytes of changes that were read and not yet handed out.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// What passed so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The segment as of the last change read.
    #[must_use]
    pub fn segment(&self) -> Segment {
        self.segment
    }

    /// The commit LSN of the newest transaction whose beginning was read.
    #[must_use]
    pub fn received(&self) -> Lsn {
        self.newest
    }

    /// Everything up to and including the batch at `position` is durable in the receiving
    /// database.
    pub fn handle_durable(&mut self, position: Lsn) {
        while let Some((at, Some(end))) = self.in_flight.front().copied()
            && at <= position
        {
            self.durable_end = self.durable_end.max(end);
            self.in_flight.pop_front();
        }
    }

    /// The sender has read its log up to `wal_end`, and sent all that there is before it. Nothing in
    /// the middle of a transaction.
    pub fn handle_keepalive(&mut self, wal_end: Lsn) {
        if self.incoming.is_none() {
            self.passed_end = self.passed_end.max(wal_end);
        }
    }

    /// Whether something that was received is not durable yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !(self.ready.is_empty() && self.outbox.is_empty() && self.in_flight.is_empty())
    }

    /// What may be told to the sender as flushed: the end of what is durable. While nothing is
    /// pending there is nothing to be durable between that and the end of what was received
    /// (transactions that are not applied, and a keepalive's position), so that counts, too: a
    /// server that is shut down waits until the whole of its log is confirmed.
    #[must_use]
    pub fn acknowledgeable(&self) -> Lsn {
        if self.is_pending() { self.durable_end } else { self.durable_end.max(self.passed_end) }
    }

    /// Hands out nothing with a commit LSN at or above `limit` until told otherwise, and says
    /// [`Step::Reached`] once all before it is durable. [`Lsn::ZERO`] pauses at the next boundary;
    /// `None` goes on. A transaction that already streams is finished first.
    pub fn hold_before(&mut self, limit: Option<Lsn>) {
        self.hold = limit.map(|limit| Hold { limit, told: false });
    }
}
