//! What a follower shows and tells.

use std::fmt;
use std::time::{Duration, SystemTime};

use changeover_relay::{Relay, Resume};
use changeover_types::{Epoch, Lsn, Marker, TableName};
use tokio::time::Instant;

/// 2000-01-01 UTC, where PostgreSQL's time begins.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// What a follower is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FollowState {
    /// It has not connected yet.
    #[default]
    Connecting,
    /// It reads and applies.
    Following,
    /// A connection broke, for this reason; it tries again.
    Retrying(String),
    /// It gave up, for this reason.
    Failed(String),
    /// It was told to stop.
    Stopped,
}

impl fmt::Display for FollowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowState::Connecting => f.write_str("connecting"),
            FollowState::Following => f.write_str("following"),
            FollowState::Retrying(why) => write!(f, "trying again after: {why}"),
            FollowState::Failed(why) => write!(f, "stopped by: {why}"),
            FollowState::Stopped => f.write_str("stopped"),
        }
    }
}

/// A hold that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Nothing at or behind this is applied.
    pub limit: Lsn,
    /// Commit LSN of the last transaction applied.
    pub position: Lsn,
    pub(super) ticket: u64,
}

/// Where a follower is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FollowStatus {
    /// What it is doing.
    pub state: FollowState,
    /// Commit LSN of the last source transaction that is durable on the receiving side.
    pub position: Lsn,
    /// Commit LSN of the last source transaction whose beginning was read.
    pub received: Lsn,
    /// What the sender was told.
    pub acknowledged: Lsn,
    /// The end of the log as the sender told it.
    pub sender_end: Lsn,
    /// From what is durable to the sender's end, in bytes of its log, unpublished changes
    /// included. A heartbeat brings it near zero.
    pub lag_bytes: u64,
    /// How old the last applied commit is while others wait; zero if nothing waits here.
    pub lag: Duration,
    /// Changes applied a second, smoothed.
    pub changes_per_second: f64,
    /// Whether the segment is open: transactions are applied, not discarded.
    pub open: bool,
    /// The segment's epoch.
    pub epoch: Epoch,
    /// Source transactions applied since the follower was made.
    pub transactions: u64,
    /// Changes applied since the follower was made.
    pub changes: u64,
    /// Transactions passed over: applied before, our own, or in a closed segment.
    pub discarded: u64,
    /// Foreign transactions in a closed segment.
    pub foreign: u64,
    /// When the sender was heard last, while there is a stream.
    pub heard: Option<Instant>,
    /// The hold that was reached, until it ends.
    pub held: Option<Held>,
}

impl FollowStatus {
    pub(super) fn resumed(&mut self, resume: Resume) {
        self.state = FollowState::Following;
        self.position = resume.position;
        self.open = resume.open;
        self.epoch = resume.epoch;
    }
}

/// What a follower tells, in the order of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowEvent {
    /// New sessions; this is where the receiving side stood.
    Resumed(Resume),
    /// A row of ours, and everything before it, is durable on the receiving side. May be told
    /// again after a reconnection.
    Applied {
        /// The row.
        marker: Marker,
        /// Its transaction's commit LSN.
        commit_lsn: Lsn,
    },
    /// A row of ours in a transaction of a closed segment.
    Discarded {
        /// The row.
        marker: Marker,
        /// Its transaction's commit LSN.
        commit_lsn: Lsn,
    },
    /// Each change of a row of this table reads the whole table on the receiving side. Told once
    /// for each table and connection, before the first change.
    Scans {
        /// The table.
        table: TableName,
        /// Its rows, as the planner last knew.
        rows: u64,
    },
    /// Somebody wrote to the sending side while it had no authority: an alarm. Not applied.
    Foreign {
        /// The transaction's commit LSN.
        commit_lsn: Lsn,
        /// Its id on the sending server.
        xid: u32,
        /// The first table it changed.
        table: TableName,
        /// Whether a seal was in force.
        after_seal: bool,
    },
}

/// Keeps what the status is computed from.
#[derive(Debug, Default)]
pub(super) struct Meter {
    sender_end: Lsn,
    position: Lsn,
    commit_time_us: Option<i64>,
    /// What the batch under way will say, and what the last durable one said.
    opened: Option<(Epoch, bool)>,
    segment: Option<(Epoch, bool)>,
    /// The counters of relays that are gone.
    before: (u64, u64, u64, u64),
    /// The present relay's at the last look.
    now: (u64, u64, u64, u64),
    rate: f64,
    looked: Option<(Instant, u64)>,
}

impl Meter {
    pub(super) fn sender_at(&mut self, end: Lsn) {
        self.sender_end = self.sender_end.max(end);
    }

    pub(super) fn opened(&mut self, epoch: Epoch, open: bool) {
        self.opened = Some((epoch, open));
    }

    pub(super) fn closed(&mut self, position: Lsn, commit_time_us: i64) {
        self.position = position;
        self.commit_time_us = Some(commit_time_us);
        self.segment = self.opened.take();
    }

    pub(super) fn resumed(&mut self, relay: &Relay) {
        let (b, n) = (&mut self.before, self.now);
        *b = (b.0 + n.0, b.1 + n.1, b.2 + n.2, b.3 + n.3);
        (self.opened, self.segment) = (None, None);
        self.position = Lsn::ZERO;
        self.look(relay);
    }

    fn look(&mut self, relay: &Relay) {
        let c = relay.counters();
        self.now = (c.transactions, c.changes, c.discarded, c.foreign);
    }

    pub(super) fn show(&mut self, relay: &Relay, status: &mut FollowStatus) {
        self.look(relay);
        let (b, n) = (self.before, self.now);
        status.transactions = b.0 + n.0;
        status.changes = b.1 + n.1;
        status.discarded = b.2 + n.2;
        status.foreign = b.3 + n.3;
        status.position = status.position.max(self.position);
        status.received = relay.received();
        status.sender_end = self.sender_end;
        let durable = relay.acknowledgeable();
        status.lag_bytes = self.sender_end.0.saturating_sub(durable.0);
        let waits = relay.buffered_bytes() > 0 || relay.received() > status.position;
        let applied = self.commit_time_us.map(since);
        status.lag = applied.filter(|_| waits && status.open).unwrap_or_default();
        if let Some((epoch, open)) = self.segment {
            (status.epoch, status.open) = (epoch, open);
        }
        self.measure(status);
    }

    fn measure(&mut self, status: &mut FollowStatus) {
        let now = Instant::now();
        let Some((before, changes)) = self.looked else {
            self.looked = Some((now, status.changes));
            return;
        };
        let seconds = now.duration_since(before).as_secs_f64();
        if seconds < 0.1 {
            return;
        }
        // Exact for any count that a migration can reach.
        #[expect(clippy::cast_precision_loss)]
        let rate = status.changes.saturating_sub(changes) as f64 / seconds;
        let weight = (seconds / 2.0).min(1.0);
        self.rate += (rate - self.rate) * weight;
        status.changes_per_second = self.rate;
        self.looked = Some((now, status.changes));
    }
}

/// How long ago a PostgreSQL time was, by this host's clock.
fn since(postgres_us: i64) -> Duration {
    let then = POSTGRES_EPOCH + Duration::from_micros(u64::try_from(postgres_us).unwrap_or(0));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(then)
}
