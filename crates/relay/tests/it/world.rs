//! A sender with a log, a receiver with durable state, and the shell between them.

use bytes::Bytes;
use changeover_relay::{Limits, Relay, RelayConfig, RelayError, Resume, Step, Stream, Work};
use changeover_types::{
    Change, Column, Epoch, Lsn, MigrationName, RelationId, ReplicaIdentity, StreamEvent, TableName,
    TableShape, Value,
};

/// What a transaction of the sender holds.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// So many rows of the application.
    Data(usize),
    /// The application's rows and a heartbeat in one transaction.
    DataWithHeartbeat(usize),
    /// A row of another migration's marker table, then the application's.
    Stranger(usize),
    Heartbeat,
    Empty,
    /// Our own applier's.
    Ours(usize),
    /// Takes authority away if the sender has it, gives it otherwise.
    Turn,
}

/// What a session of the sender says.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Event(StreamEvent),
    Keepalive(Lsn),
}

/// How much of the sender's log lies between two transactions and is not sent.
pub(crate) const BETWEEN: u64 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) lsn: Lsn,
    pub(crate) end: Lsn,
    pub(crate) events: Vec<StreamEvent>,
    /// The rows the receiver must have of it.
    pub(crate) rows: Vec<u64>,
}

fn shape(id: u32, schema: &str, name: &str, columns: &[&str]) -> TableShape {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        type_oid: 25,
        type_modifier: -1,
        key: true,
    };
    TableShape {
        id: RelationId(id),
        name: TableName::new(schema, name),
        identity: ReplicaIdentity::Default,
        columns: columns.iter().map(column).collect(),
    }
}

fn insert(id: u32, values: &[&str]) -> StreamEvent {
    let text = |v: &&str| Value::Text(Bytes::copy_from_slice(v.as_bytes()));
    StreamEvent::Change(Change::Insert {
        relation: RelationId(id),
        new: values.iter().map(text).collect(),
    })
}

fn row(n: u64) -> StreamEvent {
    insert(1, &[&n.to_string()])
}

/// The announcements a sender makes in each session.
pub(crate) fn announcements() -> Vec<StreamEvent> {
    [
        shape(1, "public", "t", &["id"]),
        shape(2, "changeover", "epoch", &["migration", "epoch", "kind", "authority"]),
        shape(3, "changeover", "signal", &["migration", "kind", "epoch", "nonce"]),
        shape(4, "changeover", "progress", &["migration", "stream", "position"]),
    ]
    .into_iter()
    .map(StreamEvent::Relation)
    .collect()
}

/// Writes a history, in commit order. `sizes` of data are given by the kinds.
pub(crate) fn history(kinds: &[Kind], mut open: bool) -> Vec<Transaction> {
    let (mut epoch, mut next_row) = (1_u64, 0_u64);
    let mut history = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        let lsn = Lsn(1_000 + 10 * n as u64);
        let end = Lsn(lsn.0 + 5);
        let mut body = Vec::new();
        let mut rows = Vec::new();
        let heartbeat = insert(3, &["m", "heartbeat", "0", "0"]);
        match kind {
            Kind::Data(size) | Kind::DataWithHeartbeat(size) | Kind::Stranger(size) => {
                if matches!(kind, Kind::Stranger(_)) {
                    body.push(insert(4, &["other", "forward", "0/1"]));
                }
                for _ in 0..*size {
                    body.push(row(next_row));
                    rows.push(next_row);
                    next_row += 1;
                }
                if matches!(kind, Kind::DataWithHeartbeat(_)) {
                    body.push(heartbeat);
                }
            }
            Kind::Heartbeat => body.push(heartbeat),
            Kind::Empty => {}
            Kind::Ours(size) => {
                body.push(insert(4, &["m", "reverse", "0/1"]));
                body.extend((0..*size).map(|_| row(1_000_000)));
            }
            Kind::Turn => {
                epoch += 1;
                let (kind, authority) = if open { ("seal", "none") } else { ("grant", "source") };
                body.push(insert(2, &["m", &epoch.to_string(), kind, authority]));
                open = !open;
            }
        }
        let mut events =
            vec![StreamEvent::Begin { commit_lsn: lsn, commit_time_us: 0, xid: 500 - n as u32 }];
        events.extend(body);
        events.push(StreamEvent::Commit { commit_lsn: lsn, end_lsn: end });
        let rows = if open { rows } else { Vec::new() };
        history.push(Transaction { lsn, end, events, rows });
    }
    history
}

/// What is durable on the receiving side.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) resume: Resume,
    pub(crate) rows: Vec<u64>,
}

/// Everything that does not survive a crash.
pub(crate) struct Session {
    pub(crate) relay: Relay,
    pub(crate) inbox: std::vec::IntoIter<Message>,
    open: Option<(Resume, Vec<u64>)>,
    committed: Option<Lsn>,
}

pub(crate) fn config(limits: Limits) -> RelayConfig {
    let migration = MigrationName::new("m").unwrap();
    RelayConfig { migration, stream: Stream::Forward, limits }
}

impl Receiver {
    pub(crate) fn new(open: bool) -> Receiver {
        let resume = Resume { position: Lsn::ZERO, open, epoch: Epoch(1) };
        Receiver { resume, rows: Vec::new() }
    }
}

impl Session {
    /// A new session: the sender sends again all that was not acknowledged.
    pub(crate) fn start(
        history: &[Transaction],
        receiver: &Receiver,
        acknowledged: Lsn,
        limits: Limits,
    ) -> Session {
        let mut inbox: Vec<Message> = announcements().into_iter().map(Message::Event).collect();
        // A sender never goes back behind what it was told, whoever sends again.
        inbox.push(Message::Keepalive(acknowledged));
        for t in history.iter().filter(|t| t.end > acknowledged) {
            // In the middle of a transaction it is where the sender is in its log: before the end.
            inbox.extend(
                t.events
                    .iter()
                    .cloned()
                    .flat_map(|event| [Message::Event(event), Message::Keepalive(t.lsn)]),
            );
            // Behind it comes log that holds nothing for us.
            inbox.push(Message::Keepalive(Lsn(t.end.0 + BETWEEN)));
        }
        Session {
            relay: Relay::new(config(limits), receiver.resume),
            inbox: inbox.into_iter(),
            open: None,
            committed: None,
        }
    }

    pub(crate) fn feed(&mut self, events: usize) -> Result<(), RelayError> {
        self.inbox.by_ref().take(events).try_for_each(|message| match message {
            Message::Event(event) => self.relay.handle(event),
            Message::Keepalive(at) => {
                self.relay.handle_keepalive(at);
                Ok(())
            }
        })
    }

    /// Tells the relay of the last commit, as far as there was one.
    pub(crate) fn told(&mut self) {
        if let Some(position) = self.committed.take() {
            self.relay.handle_durable(position);
        }
    }

    /// Performs one step; false if there was none.
    pub(crate) fn step(&mut self, receiver: &mut Receiver) -> bool {
        self.told();
        let Some(step) = self.relay.poll() else { return false };
        match step {
            Step::Open { predecessor, position, epoch, open } => {
                assert!(self.open.is_none(), "a batch opened in a batch");
                assert_eq!(predecessor, receiver.resume.position, "compare-and-set");
                assert!(position > predecessor);
                self.open = Some((Resume { position, open, epoch }, Vec::new()));
            }
            Step::Changes(work) => {
                let (_, rows) = self.open.as_mut().unwrap();
                for work in work {
                    let Work::Row { change: Change::Insert { new, .. }, .. } = work else {
                        panic!("only inserts were sent");
                    };
                    let Value::Text(text) = &new[0] else { panic!("no value") };
                    rows.push(std::str::from_utf8(text).unwrap().parse().unwrap());
                }
            }
            Step::Close { position, .. } => {
                let (resume, rows) = self.open.take().unwrap();
                assert_eq!(position, resume.position);
                receiver.resume = resume;
                receiver.rows.extend(rows);
                self.committed = Some(position);
            }
            Step::Known { .. }
            | Step::Discarded { .. }
            | Step::Foreign { .. }
            | Step::Reached { .. } => {}
        }
        true
    }
}
