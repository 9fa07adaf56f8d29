//! Writers that number what they write and remember what they were told of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::postgres_session::connect;

/// How long one transaction may take before the writer calls it lost: far more than a write pause.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Where a writer writes.
#[derive(Clone, Debug)]
pub(crate) enum Path {
    /// Through this address, whatever it is: every error is a client's error.
    Through(String),
    /// To the first address until it refuses, then to the other, and back if that refuses too: an
    /// application without a gate whose addresses are two.
    Either(String, String),
}

/// What a writer was told of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Committed.
    Acknowledged,
    /// An error, so it is not there.
    Refused(String),
    /// The answer was lost: it may be there.
    Indeterminate(String),
}

/// What all writers were told, by writer and number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// By `(writer, seq)`.
    pub(crate) fates: BTreeMap<(i32, i32), Fate>,
    /// The longest time to an acknowledgement.
    pub(crate) longest: Duration,
}

impl Ledger {
    /// How many were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.fates.values().filter(|fate| **fate == Fate::Acknowledged).count()
    }

    /// Those that were not acknowledged.
    pub(crate) fn errors(&self) -> Vec<(&(i32, i32), &Fate)> {
        self.fates.iter().filter(|(_, fate)| **fate != Fate::Acknowledged).collect()
    }
}

/// Several writers, each with a connection of its own.
#[derive(Debug)]
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    ledger: Arc<Mutex<Ledger>>,
    thread: Option<JoinHandle<()>>,
}

impl Writers {
    /// Starts `count` writers, numbered from `first`, that pause between two transactions.
    pub(crate) fn start(path: Path, first: i32, count: i32, pause: Duration) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let thread = std::thread::spawn({
            let (stop, done, ledger) = (stop.clone(), done.clone(), ledger.clone());
            move || {
                super::postgres_session::block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for number in first..first + count {
                        let writer = Writer {
                            number,
                            path: path.clone(),
                            other: false,
                            stop: stop.clone(),
                            done: done.clone(),
                            ledger: ledger.clone(),
                            pause,
                        };
                        tasks.spawn(writer.run());
                    }
                    while tasks.join_next().await.is_some() {}
                });
            }
        });
        Writers { stop, done, ledger, thread: Some(thread) }
    }

    /// How many transactions have been acknowledged so far.
    pub(crate) fn so_far(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more were acknowledged.
    pub(crate) fn wait_for_more(&self, more: u64) {
        let from = self.so_far();
        let enough = super::until(super::PATIENCE, || (self.so_far() >= from + more).then_some(()));
        assert!(enough.is_some(), "the writers do not get on: {:?}", self.so_far());
    }

    /// What they were told so far.
    pub(crate) fn told(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }

    /// Ends them after the transactions they are in.
    pub(crate) fn stop(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.ledger.lock().unwrap().clone()
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Writer {
    number: i32,
    path: Path,
    other: bool,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    ledger: Arc<Mutex<Ledger>>,
    pause: Duration,
}

/// How far one transaction came.
enum Outcome {
    Committed,
    /// An error of the server before or at the commit.
    Error(tokio_postgres::Error),
    /// The connection broke; whether before the commit was sent.
    Broken {
        before_commit: bool,
        why: String,
    },
}

impl Writer {
    async fn run(mut self) {
        let mut client: Option<Client> = None;
        let mut seq = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let open = match client.take() {
                Some(open) => open,
                None => match connect(self.url()).await {
                    Ok(open) => open,
                    Err(e) => {
                        self.no_connection(&mut seq, &e);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            seq += 1;
            let begun = Instant::now();
            let outcome = tokio::time::timeout(ANSWER_WITHIN, self.transaction(&open, seq)).await;
            let outcome = outcome.unwrap_or(Outcome::Broken {
                before_commit: false,
                why: format!("no answer within {ANSWER_WITHIN:?}"),
            });
            let fate = match outcome {
                Outcome::Committed => Fate::Acknowledged,
                Outcome::Error(e) => {
                    self.other ^= is_closed(&e);
                    Fate::Refused(text(&e))
                }
                Outcome::Broken { before_commit: true, why } => Fate::Refused(why),
                Outcome::Broken { before_commit: false, why } => Fate::Indeterminate(why),
            };
            let stays = fate == Fate::Acknowledged || matches!(self.path, Path::Through(_));
            if stays && !open.is_closed() {
                client = Some(open);
            }
            let acknowledged = fate == Fate::Acknowledged;
            self.note(seq, fate, begun.elapsed());
            // One that was refused asks again later, as an application would.
            let pause = if acknowledged { self.pause } else { Duration::from_millis(20) };
            tokio::time::sleep(pause).await;
        }
    }

    fn url(&self) -> &str {
        match &self.path {
            Path::Through(url) => url,
            Path::Either(first, other) => {
                if self.other {
                    other
                } else {
                    first
                }
            }
        }
    }

    /// Through a gate, a refused connection is a client's error like any other.
    fn no_connection(&self, seq: &mut i32, error: &tokio_postgres::Error) {
        if matches!(self.path, Path::Through(_)) {
            *seq += 1;
            self.note(
                *seq,
                Fate::Refused(format!("no connection: {}", text(error))),
                Duration::ZERO,
            );
        }
    }

    fn note(&self, seq: i32, fate: Fate, took: Duration) {
        let mut ledger = self.ledger.lock().unwrap();
        if fate == Fate::Acknowledged {
            ledger.longest = ledger.longest.max(took);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        ledger.fates.insert((self.number, seq), fate);
    }

    /// Some transactions are one statement, others are several with a COMMIT of their own.
    async fn transaction(&self, client: &Client, seq: i32) -> Outcome {
        let statements = self.statements(seq);
        if seq % 5 == 0 {
            return match client.batch_execute(&statements.join(";")).await {
                Ok(()) => Outcome::Committed,
                Err(e) => outcome(e, false),
            };
        }
        if let Err(e) = client.batch_execute("BEGIN").await {
            return outcome(e, true);
        }
        for statement in &statements {
            if let Err(e) = client.batch_execute(statement).await {
                client.batch_execute("ROLLBACK").await.ok();
                return outcome(e, true);
            }
        }
        match client.batch_execute("COMMIT").await {
            Ok(()) => Outcome::Committed,
            Err(e) => outcome(e, false),
        }
    }

    fn statements(&self, seq: i32) -> Vec<String> {
        let (writer, kind) = (self.number, seq % 6);
        let mut statements = vec![
            format!("INSERT INTO line (writer, seq, kind) VALUES ({writer}, {seq}, {kind})"),
            format!("UPDATE counter SET n = n + 1 WHERE writer = {writer}"),
        ];
        match kind {
            0 => statements.push(format!(
                "UPDATE line SET touched = touched + 1 WHERE writer = {writer} AND seq = {seq} - 1"
            )),
            1 => statements.push(format!(
                "INSERT INTO visit VALUES ({} % 4, {writer}, {seq}, 'new')",
                seq / 6
            )),
            // Moves the row to another partition.
            2 => statements.push(format!(
                "UPDATE visit SET part = (part + 1) % 4 WHERE writer = {writer} AND seq = {seq} - 1"
            )),
            3 => statements
                .push(format!("DELETE FROM visit WHERE writer = {writer} AND seq = {seq} - 8")),
            4 => {
                statements.push(format!("INSERT INTO trail VALUES ({writer}, 2.50, NULL)"));
                statements.push(format!("INSERT INTO trail VALUES ({writer}, 2.50, NULL)"));
                statements.push(format!(
                    "INSERT INTO customer (name, mood) VALUES ('of {writer}', 'late')"
                ));
            }
            // The body is long and stored elsewhere, and does not change.
            _ => {
                statements.push(format!(
                    "UPDATE document SET version = version + 1 WHERE id = 1 + {writer} % 20"
                ));
                statements.push(format!(
                    "UPDATE trail SET note = 'seen {seq}' WHERE ctid = (SELECT min(ctid) FROM trail \
                     WHERE writer = {writer})"
                ));
            }
        }
        statements
    }
}

/// The side has moved, or has no tables yet: P0004 is PL/pgSQL's `assert_failure`.
fn is_closed(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::ASSERT_FAILURE) || code == Some(&SqlState::UNDEFINED_TABLE)
}

fn outcome(error: tokio_postgres::Error, before_commit: bool) -> Outcome {
    // A server that shuts a session down during its COMMIT may have committed.
    let by_server = error.as_db_error().is_some_and(|e| e.code() != &SqlState::ADMIN_SHUTDOWN);
    if by_server {
        Outcome::Error(error)
    } else {
        Outcome::Broken { before_commit, why: text(&error) }
    }
}

fn text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => format!("{error:?}"),
    }
}
