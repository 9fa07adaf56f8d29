//! Steps out: from transactions to batches.

use changeover_types::{Epoch, Lsn, Marker};

use super::{Relay, Step, Work};

/// What a transaction's progress row will say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) position: Lsn,
    pub(super) epoch: Epoch,
    pub(super) open: bool,
}

/// What is known once a transaction is complete.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) end_lsn: Lsn,
    pub(super) commit_time_us: i64,
    pub(super) markers: Vec<Marker>,
    pub(super) changes: u64,
}

/// What waits to be handed out, in commit order.
#[derive(Debug)]
pub(super) enum Entry {
    /// A transaction held whole.
    Whole { head: Head, work: Vec<Work>, bytes: usize, tail: Tail },
    /// A transaction too big to hold begins.
    Begin(Head),
    /// Some of its changes.
    Part { work: Vec<Work>, bytes: usize },
    /// It is complete.
    End { position: Lsn, tail: Tail },
    /// Something to tell at this place.
    Note(Step),
}

impl Relay {
    /// What to do next; `None` if the stream must be read first.
    pub fn poll(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.outbox.pop_front() {
                return Some(step);
            }
            if self.held() {
                return self.reached();
            }
            match self.ready.pop_front()? {
                Entry::Note(step) => return Some(step),
                Entry::Begin(head) => {
                    self.in_flight.push_back((head.position, None));
                    return Some(self.open(head));
                }
                Entry::Part { work, bytes } => {
                    self.buffered -= bytes;
                    return Some(Step::Changes(work));
                }
                Entry::End { position, tail } => {
                    return Some(self.close(position, tail, 1));
                }
                Entry::Whole { head, work, bytes, tail } => self.gather(head, work, bytes, tail),
            }
        }
    }

    /// Whether what comes next is at or behind the limit, or not known to be before it.
    fn held(&self) -> bool {
        let Some(hold) = self.hold else { return false };
        match self.ready.front() {
            Some(Entry::Whole { head, .. } | Entry::Begin(head)) => head.position >= hold.limit,
            Some(Entry::Part { .. } | Entry::End { .. } | Entry::Note(_)) => false,
            None => true,
        }
    }

    fn reached(&mut self) -> Option<Step> {
        let waiting = !self.ready.is_empty() || self.newest >= hold_limit(self.hold);
        let hold = self.hold.as_mut()?;
        // Transactions come in commit order, so one that begins at or behind the limit proves
        // that all before it were received; nothing else does.
        if hold.told || !waiting || !self.in_flight.is_empty() {
            return None;
        }
        hold.told = true;
        Some(Step::Reached { limit: hold.limit, position: self.opened })
    }

    fn open(&mut self, head: Head) -> Step {
        let predecessor = self.opened;
        self.opened = head.position;
        Step::Open { predecessor, position: head.position, epoch: head.epoch, open: head.open }
    }

    fn close(&mut self, position: Lsn, tail: Tail, transactions: u64) -> Step {
        match self.in_flight.back_mut() {
            Some((at, end @ None)) if *at == position => *end = Some(tail.end_lsn),
            _ => self.in_flight.push_back((position, Some(tail.end_lsn))),
        }
        self.counters.transactions += transactions;
        self.counters.changes += tail.changes;
        Step::Close {
            position,
            end_lsn: tail.end_lsn,
            commit_time_us: tail.commit_time_us,
            markers: tail.markers,
            transactions,
            changes: tail.changes,
        }
    }

    /// Makes one batch of this transaction and those after it. One that carries a marker is the
    /// last of its batch, so that its being applied can be observed at once.
    fn gather(&mut self, mut head: Head, mut work: Vec<Work>, mut bytes: usize, mut tail: Tail) {
        let mut transactions = 1;
        let limits = self.config.limits;
        while tail.markers.is_empty()
            && work.len() < limits.max_batch_changes
            && bytes < limits.max_batch_bytes
            && !self.held()
        {
            match self.ready.pop_front() {
                Some(Entry::Whole { head: h, work: w, bytes: b, tail: t }) => {
                    head = h;
                    work.extend(w);
                    bytes += b;
                    tail = Tail { changes: tail.changes + t.changes, ..t };
                    transactions += 1;
                }
                Some(other) => {
                    self.ready.push_front(other);
                    break;
                }
                None => break,
            }
        }
        self.buffered -= bytes;
        let open = self.open(head);
        self.outbox.push_back(open);
        if !work.is_empty() {
            self.outbox.push_back(Step::Changes(work));
        }
        let close = self.close(head.position, tail, transactions);
        self.outbox.push_back(close);
    }
}

fn hold_limit(hold: Option<super::Hold>) -> Lsn {
    hold.map_or(Lsn::ZERO, |hold| hold.limit)
}
