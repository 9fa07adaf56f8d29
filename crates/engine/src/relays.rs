//! Keeps the two relays running as the run wants them, and remembers which markers they applied.

mod stopped;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changeover_postgres::barrier;
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::error::{Error, Result as PgResult};
use changeover_postgres::follow::{
    FollowConfig, FollowEvent, FollowHandle, FollowState, FollowStatus, Follower,
};
use changeover_postgres::session::Session;
use changeover_relay::Stream;
use changeover_run::{Input, Next, Relays as Wanted};
use changeover_types::{AttemptId, Epoch, EpochKind, Marker, MigrationName, Side, SignalKind};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, timeout};

use crate::board::Board;
use crate::config::Config;
use crate::databases::Databases;
use crate::owned::{self, Owned};
use crate::protocol::{EventKind, RelayStatus};
use crate::report::{Report, chain};
use crate::words::Words;

/// A heartbeat lets positions move, and slots let go of the log, while the moved tables are idle.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// A heartbeat that takes longer is written again.
const HEARTBEAT_WITHIN: Duration = Duration::from_secs(10);

/// How often the board shows where a relay is.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// How long a relay that is told to stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Both relays. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Relays(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    migration: MigrationName,
    databases: Option<Databases>,
    board: Arc<Board>,
    words: Words,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    forward: Option<Line>,
    reverse: Option<Line>,
}

/// One relay that was started.
#[derive(Debug)]
struct Line {
    handle: FollowHandle,
    seen: watch::Receiver<Seen>,
    running: Owned,
    pumping: Owned,
    _shown: [Owned; 2],
}

/// The newest markers that are durable on the receiving side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    barrier: Option<AttemptId>,
    heartbeat: Option<u64>,
    sealed: Option<Epoch>,
}

impl Relays {
    pub(crate) fn new(config: &Config, board: Arc<Board>, words: Words) -> Result<Relays, Report> {
        let databases = Databases::of_plan(&config.plan, &config.plan_path)?;
        let migration = config.plan.name.clone();
        let lines = Mutex::default();
        Ok(Relays(Arc::new(Inner { migration, databases, board, words, lines })))
    }

    /// Starts and stops relays until they are as wanted. One that gave up stays down while the run
    /// is paused, and is started again when it goes on.
    pub(crate) async fn keep(&self, wanted: Wanted, paused: bool) {
        for (stream, want) in [(Stream::Forward, wanted.forward), (Stream::Reverse, wanted.reverse)]
        {
            let running = self.lines().of(stream).as_ref().map(|line| !line.is_over());
            match (want, running) {
                (true, None) => self.start(stream),
                (true, Some(false)) if !paused => self.start(stream),
                (false, Some(_)) => self.stop_one(stream).await,
                _ => {}
            }
        }
    }

    /// Stops both at a boundary.
    pub(crate) async fn stop(&self) {
        self.keep(Wanted::default(), false).await;
    }

    /// Whether the relay into `into` is following.
    pub(crate) fn is_live(&self, into: Side) -> bool {
        let lines = self.lines();
        let line = lines.get(stream_into(into));
        line.is_some_and(|line| line.handle.status().state == FollowState::Following)
    }

    /// Steers the relay into `into`.
    pub(crate) fn handle(&self, into: Side) -> PgResult<FollowHandle> {
        let lines = self.lines();
        let line = lines.get(stream_into(into));
        line.map(|line| line.handle.clone())
            .ok_or_else(|| Error::local(into, format!("the relay into the {into} is not running")))
    }

    /// Waits until this very barrier is durable on `into`.
    pub(crate) async fn barrier(
        &self,
        into: Side,
        id: AttemptId,
        within: Duration,
    ) -> PgResult<()> {
        let what = format!("the barrier of epoch {} was applied", id.epoch);
        self.wait(into, within, &what, move |seen| seen.barrier == Some(id)).await
    }

    /// Waits until this very heartbeat is durable on `into`.
    pub(crate) async fn heartbeat(&self, into: Side, nonce: u64, within: Duration) -> PgResult<()> {
        self.wait(into, within, "a heartbeat was applied", move |seen| {
            seen.heartbeat == Some(nonce)
        })
        .await
    }

    /// Waits until the seal row of `epoch`, and everything before it, is durable on `into`.
    pub(crate) async fn sealed(&self, into: Side, epoch: Epoch, within: Duration) -> PgResult<()> {
        let what = format!("the seal of epoch {epoch} was applied");
        self.wait(into, within, &what, move |seen| seen.sealed == Some(epoch)).await
    }

    async fn wait(
        &self,
        into: Side,
        within: Duration,
        what: &str,
        is_so: impl FnMut(&Seen) -> bool,
    ) -> PgResult<()> {
        let line = {
            let lines = self.lines();
            lines.get(stream_into(into)).map(|line| (line.seen.clone(), line.handle.clone()))
        };
        let Some((mut seen, handle)) = line else {
            return Err(Error::local(into, format!("the relay into the {into} is not running")));
        };
        let _hurried = handle.hurry();
        match timeout(within, seen.wait_for(is_so)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => {
                Err(Error::local(into, format!("the relay into the {into} ended before {what}")))
            }
            Err(_) => {
                let silent = handle.silence().map_or(String::new(), |silent| {
                    let (from, seconds) = (into.other(), silent.as_secs());
                    format!("; the relay has heard nothing from the {from} for {seconds} s")
                });
                let within = within.as_millis();
                let text = format!("not within {within} ms on the {into}: {what}{silent}");
                Err(Error::timeout(into, text))
            }
        }
    }

    fn start(&self, stream: Stream) {
        let Some(databases) = &self.0.databases else { return };
        let config = FollowConfig::new(
            databases.of(stream.from()).clone(),
            databases.of(stream.into()).clone(),
            &self.0.migration,
            stream,
        );
        let (follower, handle, events) = Follower::new(config);
        let (seen, watched) = watch::channel(Seen::default());
        let (words, board) = (&self.0.words, &self.0.board);
        let sender = (databases.of(stream.from()).clone(), self.0.migration.clone());
        let running = run(follower, stream, sender.clone(), words.clone());
        let pumping = pump(events, seen, Arc::clone(board), stream);
        let showing = {
            let (handle, board) = (handle.clone(), Arc::clone(board));
            move || show(handle.clone(), Arc::clone(&board), stream)
        };
        let beating = move || beat(sender.0.clone(), sender.1.clone());
        let name = format!("the {stream} relay");
        let line = Line {
            handle,
            seen: watched,
            running: owned::once(name.clone(), running, alarmed(words)),
            pumping: owned::once(format!("{name}'s reader of markers"), pumping, alarmed(words)),
            _shown: [
                owned::lasting(format!("the look at {name}"), showing, owned::told_on(board)),
                owned::lasting(format!("the heartbeat of {name}"), beating, owned::told_on(board)),
            ],
        };
        self.lines().of(stream).replace(line);
    }

    async fn stop_one(&self, stream: Stream) {
        let Some(mut line) = self.lines().of(stream).take() else { return };
        line.handle.stop().await;
        if timeout(STOP_WITHIN, line.running.ended()).await.is_err() {
            tracing::warn!(%stream, "the relay does not stop; it is dropped");
        }
        drop(line);
        self.0.board.show_relay(stream.into(), None);
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn of(&mut self, stream: Stream) -> &mut Option<Line> {
        match stream {
            Stream::Forward => &mut self.forward,
            Stream::Reverse => &mut self.reverse,
        }
    }

    fn get(&self, stream: Stream) -> Option<&Line> {
        match stream {
            Stream::Forward => self.forward.as_ref(),
            Stream::Reverse => self.reverse.as_ref(),
        }
    }
}

impl Line {
    /// Whether the follower has ended, by itself or not, or nobody hears what it applies.
    fn is_over(&self) -> bool {
        self.running.is_over() || self.pumping.is_over()
    }
}

fn stream_into(side: Side) -> Stream {
    match side {
        Side::Target => Stream::Forward,
        Side::Source => Stream::Reverse,
    }
}

/// A relay that dies stops the run, as one does that gives up.
fn alarmed(words: &Words) -> impl FnOnce(String) -> BoxFuture + Send + 'static {
    let words = words.clone();
    move |why| {
        let next = Next::Apply;
        Box::pin(async move { words.say(Input::Alarm { why, next }).await })
    }
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn run(
    follower: Follower,
    stream: Stream,
    (sender, migration): (ConnectConfig, MigrationName),
    words: Words,
) {
    if let Err(e) = follower.run().await {
        let (remedy, next) = stopped::remedy(&sender, &migration, stream).await;
        let why = format!("the {stream} relay stopped: {}{remedy}", chain(&e));
        words.say(Input::Alarm { why, next }).await;
    }
}

/// Remembers markers; raises the alarm when somebody wrote past a seal.
async fn pump(
    mut events: mpsc::Receiver<FollowEvent>,
    seen: watch::Sender<Seen>,
    board: Arc<Board>,
    stream: Stream,
) {
    while let Some(event) = events.recv().await {
        match event {
            FollowEvent::Applied { marker, .. } => seen.send_modify(|seen| note(seen, &marker)),
            FollowEvent::Foreign { table, xid, after_seal: true, .. } => board.say(
                EventKind::Warning,
                format!(
                    "somebody wrote past the seal of the {}: transaction {xid} changed {table}; \
                     it is not carried over",
                    stream.from()
                ),
            ),
            FollowEvent::Scans { table, rows } => board.say(
                EventKind::Warning,
                format!(
                    "relay_scans: each change of {table} reads all of its {rows} rows on the {}, \
                     because no index finds one; the relay may fall behind while the application \
                     changes it often. Next time give it a primary key, or an index on its columns",
                    stream.into()
                ),
            ),
            FollowEvent::Foreign { .. }
            | FollowEvent::Resumed(_)
            | FollowEvent::Discarded { .. } => {}
        }
    }
}

fn note(seen: &mut Seen, marker: &Marker) {
    match marker {
        Marker::Signal { kind: SignalKind::Barrier, epoch, nonce } => {
            seen.barrier = Some(AttemptId { epoch: *epoch, nonce: *nonce });
        }
        Marker::Signal { kind: SignalKind::Heartbeat, nonce, .. } => seen.heartbeat = Some(*nonce),
        Marker::Epoch { epoch, kind: EpochKind::Seal, .. } => seen.sealed = Some(*epoch),
        Marker::Epoch { .. } | Marker::Progress => {}
    }
}

async fn show(handle: FollowHandle, board: Arc<Board>, stream: Stream) {
    let mut tick = interval(SHOW_EVERY);
    loop {
        tick.tick().await;
        board.show_relay(stream.into(), Some(shown(&handle.status())));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
fn shown(status: &FollowStatus) -> RelayStatus {
    RelayStatus {
        lag_bytes: status.lag_bytes,
        lag_ms: Some(u64::try_from(status.lag.as_millis()).unwrap_or(u64::MAX)),
        applied_tx: status.transactions,
        changes_per_s: status.changes_per_second as u64,
        segment_open: status.open,
    }
}

/// Writes heartbeats on the sending side; one that fails is made up for by the next. No session is
/// kept: a server that is shut down smartly waits for each.
async fn beat(config: ConnectConfig, migration: MigrationName) {
    let mut tick = interval(HEARTBEAT_EVERY);
    loop {
        tick.tick().await;
        let written = async {
            let mut session = Session::connect(&config, "changeover heartbeat").await?;
            barrier::heartbeat(&mut session, &migration, rand::random()).await?;
            session.close().await;
            Ok::<(), Error>(())
        };
        match timeout(HEARTBEAT_WITHIN, written).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::debug!("no heartbeat on the {}: {e}", config.side),
            Err(_) => tracing::debug!("no heartbeat on the {}: no answer", config.side),
        }
    }
}
