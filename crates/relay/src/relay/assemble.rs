//! Events in: from messages to transactions, and what becomes of each.

use std::sync::Arc;

use changeover_types::{
    Change, Lsn, Marker, OldRow, RelationId, StreamEvent, TableName, TableShape, Tuple, Value,
};

use super::batch::{Entry, Head, Tail};
use super::{Known, Relay, RelayError, Step, Work};
use crate::marker::{self, MarkerTable};

/// What a [`Work`] weighs besides its values' bytes.
const WORK_BYTES: usize = 160;

/// What a value weighs besides its bytes.
const VALUE_BYTES: usize = 40;

/// What becomes of the transaction that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Held until its commit.
    Gather,
    /// Too big to hold: its changes are handed out as they come.
    Through,
    /// In a closed segment.
    Discard,
    /// Written by our own applier.
    Ours,
    /// In the receiving database already.
    Known,
}

/// The transaction that is being read.
#[derive(Debug)]
pub(super) struct Incoming {
    commit_lsn: Lsn,
    commit_time_us: i64,
    xid: u32,
    fate: Fate,
    first: bool,
    /// Whether it opened or closed the segment: then it is recorded whatever it holds.
    turned: bool,
    work: Vec<Work>,
    bytes: usize,
    changes: u64,
    markers: Vec<Marker>,
    foreign: Option<TableName>,
}

impl Relay {
    /// Takes one message of the stream.
    ///
    /// # Errors
    /// If the stream breaks its own rules or somebody else wrote our tables; the relay must not
    /// be used afterwards.
    pub fn handle(&mut self, event: StreamEvent) -> Result<(), RelayError> {
        match event {
            StreamEvent::Begin { commit_lsn, commit_time_us, xid } => {
                self.begin(commit_lsn, commit_time_us, xid)
            }
            StreamEvent::Commit { commit_lsn, end_lsn } => self.commit(commit_lsn, end_lsn),
            StreamEvent::Relation(shape) => {
                self.announce(shape);
                Ok(())
            }
            StreamEvent::Change(change) => self.change(change),
            StreamEvent::Type { .. } | StreamEvent::Origin { .. } | StreamEvent::Message { .. } => {
                Ok(())
            }
        }
    }

    fn announce(&mut self, shape: TableShape) {
        // A table is announced again after any change to it, often without a difference; the same
        // `Arc` then keeps the statements prepared for it.
        if self.relations.get(&shape.id).is_some_and(|known| *known.shape == shape) {
            return;
        }
        let marker = MarkerTable::of(&shape.name);
        self.relations.insert(shape.id, Known { shape: Arc::new(shape), marker });
    }

    fn begin(&mut self, commit_lsn: Lsn, commit_time_us: i64, xid: u32) -> Result<(), RelayError> {
        if self.incoming.is_some() {
            return Err(RelayError::Framing { what: "BEGIN", place: "inside" });
        }
        if commit_lsn <= self.newest {
            return Err(RelayError::Order { last: self.newest, next: commit_lsn });
        }
        self.newest = commit_lsn;
        let fate = match (commit_lsn <= self.resumed, self.segment.open) {
            (true, _) => Fate::Known,
            (false, true) => Fate::Gather,
            (false, false) => Fate::Discard,
        };
        self.incoming = Some(Incoming {
            commit_lsn,
            commit_time_us,
            xid,
            fate,
            first: true,
            turned: false,
            work: Vec::new(),
            bytes: 0,
            changes: 0,
            markers: Vec::new(),
            foreign: None,
        });
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), RelayError> {
        let Some(mut incoming) = self.incoming.take() else {
            return Err(RelayError::Framing { what: "a change", place: "outside" });
        };
        let outcome = match change {
            Change::Truncate { relations, cascade, restart_identity } => self
                .truncation(&relations, cascade, restart_identity)
                .map(|work| self.work(&mut incoming, work)),
            Change::Insert { relation, .. }
            | Change::Update { relation, .. }
            | Change::Delete { relation, .. } => self.row(&mut incoming, relation, change),
        };
        incoming.first = false;
        self.incoming = Some(incoming);
        outcome
    }

    fn known(&self, relation: RelationId) -> Result<&Known, RelayError> {
        self.relations.get(&relation).ok_or(RelayError::UnknownRelation(relation.0))
    }

    fn row(
        &mut self,
        incoming: &mut Incoming,
        relation: RelationId,
        change: Change,
    ) -> Result<(), RelayError> {
        let known = self.known(relation)?;
        check_width(&known.shape, &change)?;
        let table = known.shape.clone();
        if let Some(kind) = known.marker {
            let found = marker::read(kind, &table, &change, &self.config.migration)?;
            return found.map_or(Ok(()), |marker| self.marker(incoming, marker));
        }
        self.work(incoming, Some(Work::Row { table, change }));
        Ok(())
    }

    fn truncation(
        &self,
        relations: &[RelationId],
        cascade: bool,
        restart_identity: bool,
    ) -> Result<Option<Work>, RelayError> {
        let mut tables = Vec::with_capacity(relations.len());
        for relation in relations {
            let known = self.known(*relation)?;
            if known.marker.is_none() {
                tables.push(known.shape.clone());
            }
        }
        let any = !tables.is_empty();
        Ok(any.then_some(Work::Truncate { tables, cascade, restart_identity }))
    }

    fn marker(&mut self, incoming: &mut Incoming, marker: Marker) -> Result<(), RelayError> {
        if incoming.fate == Fate::Known && marker != Marker::Progress {
            incoming.markers.push(marker);
            return Ok(());
        }
        if matches!(incoming.fate, Fate::Known | Fate::Ours) {
            return Ok(());
        }
        match marker {
            Marker::Progress if incoming.first => incoming.fate = Fate::Ours,
            Marker::Progress => return Err(RelayError::LateProgress(incoming.commit_lsn)),
            Marker::Epoch { epoch, kind, authority } => {
                let sender = self.config.stream.from();
                let turn = self
                    .segment
                    .take(sender, epoch, kind, authority)
                    .map_err(|last| RelayError::StaleEpoch { last, next: epoch })?;
                if turn.is_some() {
                    if incoming.fate == Fate::Through {
                        return Err(RelayError::LargeTurn(incoming.commit_lsn));
                    }
                    incoming.turned = true;
                    incoming.fate = if self.segment.open { Fate::Gather } else { Fate::Discard };
                }
                incoming.markers.push(marker);
            }
            Marker::Signal { .. } => incoming.markers.push(marker),
        }
        Ok(())
    }

    fn work(&mut self, incoming: &mut Incoming, work: Option<Work>) {
        let Some(work) = work else { return };
        match incoming.fate {
            Fate::Known | Fate::Ours => {}
            Fate::Discard => {
                incoming.foreign.get_or_insert_with(|| first_table(&work));
            }
            Fate::Gather => {
                let bytes = weight(&work);
                incoming.bytes += bytes;
                incoming.changes += 1;
                incoming.work.push(work);
                self.buffered += bytes;
                // One that moves authority is never let through before its commit.
                if incoming.bytes > self.config.limits.max_open_bytes && !incoming.turned {
                    self.let_through(incoming);
                }
            }
            Fate::Through => {
                let bytes = weight(&work);
                incoming.changes += 1;
                self.buffered += bytes;
                self.stream_on(work, bytes);
            }
        }
    }

    fn let_through(&mut self, incoming: &mut Incoming) {
        incoming.fate = Fate::Through;
        self.ready.push_back(Entry::Begin(Head {
            position: incoming.commit_lsn,
            epoch: self.segment.epoch,
            open: self.segment.open,
        }));
        let work = std::mem::take(&mut incoming.work);
        self.ready.push_back(Entry::Part { work, bytes: incoming.bytes });
    }

    fn stream_on(&mut self, work: Work, bytes: usize) {
        let limits = &self.config.limits;
        if let Some(Entry::Part { work: part, bytes: held }) = self.ready.back_mut()
            && part.len() < limits.max_batch_changes
            && *held < limits.max_batch_bytes
        {
            part.push(work);
            *held += bytes;
            return;
        }
        self.ready.push_back(Entry::Part { work: vec![work], bytes });
    }

    fn commit(&mut self, commit_lsn: Lsn, end_lsn: Lsn) -> Result<(), RelayError> {
        let Some(incoming) = self.incoming.take() else {
            return Err(RelayError::Framing { what: "COMMIT", place: "outside" });
        };
        if incoming.commit_lsn != commit_lsn {
            return Err(RelayError::Mismatch { begun: incoming.commit_lsn, committed: commit_lsn });
        }
        if let Some(table) = incoming.foreign {
            self.counters.foreign += 1;
            let (xid, after_seal) = (incoming.xid, self.segment.after_seal);
            self.note(Step::Foreign { commit_lsn, xid, table, after_seal });
        }
        let tail = Tail {
            end_lsn,
            commit_time_us: incoming.commit_time_us,
            markers: incoming.markers,
            changes: incoming.changes,
        };
        let head =
            Head { position: commit_lsn, epoch: self.segment.epoch, open: self.segment.open };
        let empty = incoming.work.is_empty() && tail.markers.is_empty() && !incoming.turned;
        match incoming.fate {
            Fate::Through => self.ready.push_back(Entry::End { position: commit_lsn, tail }),
            // Nothing to record: it only moves what may be acknowledged once all before is safe.
            Fate::Gather if empty => self.passed_end = end_lsn,
            Fate::Gather => self.whole(head, incoming.work, incoming.bytes, tail),
            Fate::Discard if incoming.turned => {
                self.whole(head, incoming.work, incoming.bytes, tail);
            }
            Fate::Discard | Fate::Ours | Fate::Known => {
                self.counters.discarded += 1;
                self.passed_end = end_lsn;
                let markers = tail.markers;
                match incoming.fate {
                    _ if markers.is_empty() => {}
                    Fate::Known => self.note(Step::Known { commit_lsn, markers }),
                    Fate::Discard => self.note(Step::Discarded { commit_lsn, markers }),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, step: Step) {
        self.ready.push_back(Entry::Note(step));
    }

    fn whole(&mut self, head: Head, work: Vec<Work>, bytes: usize, tail: Tail) {
        self.ready.push_back(Entry::Whole { head, work, bytes, tail });
    }
}

fn check_width(shape: &TableShape, change: &Change) -> Result<(), RelayError> {
    let columns = shape.columns.len();
    let fits = |row: &Tuple| {
        if row.len() == columns {
            return Ok(());
        }
        Err(RelayError::Width { table: shape.name.clone(), values: row.len(), columns })
    };
    let (old, new) = match change {
        Change::Insert { new, .. } => (None, Some(new)),
        Change::Update { old, new, .. } => (old.as_ref(), Some(new)),
        Change::Delete { old, .. } => (Some(old), None),
        Change::Truncate { .. } => (None, None),
    };
    if let Some(OldRow::Key(row) | OldRow::Full(row)) = old {
        fits(row)?;
    }
    new.map_or(Ok(()), fits)
}

fn first_table(work: &Work) -> TableName {
    match work {
        Work::Row { table, .. } => table.name.clone(),
        Work::Truncate { tables, .. } => {
            tables.first().map_or_else(|| TableName::new("", ""), |table| table.name.clone())
        }
    }
}

fn weight(work: &Work) -> usize {
    let row = |row: &Tuple| {
        let held = |value: &Value| match value {
            Value::Text(bytes) => VALUE_BYTES + bytes.len(),
            Value::Null | Value::Unchanged => VALUE_BYTES,
        };
        row.iter().map(held).sum::<usize>()
    };
    let old = |old: &OldRow| match old {
        OldRow::Key(tuple) | OldRow::Full(tuple) => row(tuple),
    };
    WORK_BYTES
        + match work {
            Work::Row { change: Change::Insert { new, .. }, .. } => row(new),
            Work::Row { change: Change::Update { old: o, new, .. }, .. } => {
                row(new) + o.as_ref().map_or(0, old)
            }
            Work::Row { change: Change::Delete { old: o, .. }, .. } => old(o),
            Work::Row { change: Change::Truncate { .. }, .. } | Work::Truncate { .. } => 0,
        }
}
