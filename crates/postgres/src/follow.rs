//! Follows one stream: reads it, applies it, acknowledges what is durable, reconnects.
//!
//! All order and all bookkeeping is the [`Relay`]'s; this shell only moves bytes. It may be
//! dropped or killed at any instant: where to go on is read from the receiving database's rows.

mod handle;
mod leaving;
mod silence;
mod status;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use changeover_relay::{Limits, Relay, RelayConfig, Resume, Step, Stream};
use changeover_types::{Lsn, MigrationName, Side};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::apply::{Applier, Head, Scan, is_passing};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::replication::{Incoming, ReplicationStream};
use crate::session::{SearchPath, Session};
pub use handle::{FollowHandle, Hold, Hurry};
use handle::{HoldOrder, Stop, Waiters};
use leaving::Leaving;
use silence::{Patience, Silence};
use status::Meter;
pub use status::{FollowEvent, FollowState, FollowStatus};

/// How often positions are acknowledged at most.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(100);

/// How often something is said to the sender at least.
const SPEAK_EVERY: Duration = Duration::from_secs(1);

/// How long both ends may take to be opened: the new applier may have to wait for the old one's
/// process, and the stream for the old walsender's.
const START_WITHIN: Duration = Duration::from_secs(60);

/// The waits between attempts to reconnect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What to follow.
#[derive(Clone, Debug)]
pub struct FollowConfig {
    /// The sending server.
    pub from: ConnectConfig,
    /// The receiving server.
    pub into: ConnectConfig,
    /// The migration.
    pub migration: MigrationName,
    /// Which stream.
    pub stream: Stream,
    /// The slot on the sending server.
    pub slot: String,
    /// The publication on the sending server.
    pub publication: String,
    /// The bounds of batches.
    pub limits: Limits,
    /// With so many bytes read and not applied, the stream is not read further.
    pub max_buffer_bytes: usize,
}

/// How a follower ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Stopped,
}

/// The follower of one stream.
#[derive(Debug)]
pub struct Follower {
    config: FollowConfig,
    stops: mpsc::Receiver<Stop>,
    holds: watch::Receiver<Option<HoldOrder>>,
    events: mpsc::Sender<FollowEvent>,
    status: watch::Sender<FollowStatus>,
    meter: Meter,
    patience: Patience,
    waiters: Waiters,
}

/// What lives as long as the two connections.
struct Line {
    relay: Relay,
    stream: ReplicationStream,
    ticker: Interval,
    spoken: Instant,
    leaving: Leaving,
    silence: Silence,
    hold: Option<HoldOrder>,
}

impl Follower {
    /// A follower, what steers it, and what it tells. The receiver of events must be read:
    /// when 1024 of them wait, the follower waits too.
    #[must_use]
    pub fn new(config: FollowConfig) -> (Follower, FollowHandle, mpsc::Receiver<FollowEvent>) {
        let (stop, stops) = mpsc::channel(1);
        let (hold, holds) = watch::channel(None);
        let (events, told) = mpsc::channel(1_024);
        let (status, watched) = watch::channel(FollowStatus::default());
        let waiters = Waiters::default();
        let handle = FollowHandle::new(stop, hold, watched, waiters.clone(), config.stream);
        let (meter, patience) = (Meter::default(), Patience::default());
        (Follower { config, stops, holds, events, status, meter, patience, waiters }, handle, told)
    }

    /// Follows until told to stop, or until the last handle is gone. A connection that breaks on
    /// either side, or falls silent, is made anew.
    ///
    /// # Errors
    /// What trying again cannot mend: `Divergence` (a row or a definition that differs),
    /// `Refused` (the fence, or rows of ours that make no sense), `Auth`, a lost slot.
    pub async fn run(mut self) -> Result<()> {
        let mut wait = BACKOFF.0;
        loop {
            let begun = Instant::now();
            let error = match self.follow().await {
                Ok(Ended::Stopped) => {
                    self.status.send_modify(|status| status.state = FollowState::Stopped);
                    return Ok(());
                }
                Err(error) => error,
            };
            let lasting = !is_passing(&error);
            let why = error.to_string();
            tracing::warn!(stream = %self.config.stream, %why, lasting, "the stream broke");
            self.status.send_modify(|status| {
                status.state =
                    if lasting { FollowState::Failed(why) } else { FollowState::Retrying(why) };
            });
            if lasting {
                return Err(error);
            }
            if begun.elapsed() > BACKOFF.1 {
                wait = BACKOFF.0;
            }
            if self.wait_or_stop(wait).await {
                self.status.send_modify(|status| status.state = FollowState::Stopped);
                return Ok(());
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// Waits; true if told to stop.
    async fn wait_or_stop(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => false,
            _ = self.stops.recv() => true,
        }
    }

    /// Connects and follows until something breaks or somebody says stop.
    async fn follow(&mut self) -> Result<Ended> {
        let c = self.config.clone();
        let (mut applier, resume, stream) = tokio::select! {
            started = timeout(START_WITHIN, start(&c)) => match started {
                Ok(started) => started?,
                Err(_) => return Err(silence::no_start(&c)),
            },
            _ = self.stops.recv() => return Ok(Ended::Stopped),
        };
        let mut ticker = interval(ACKNOWLEDGE_EVERY);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let config =
            RelayConfig { migration: c.migration.clone(), stream: c.stream, limits: c.limits };
        let mut line = Line {
            relay: Relay::new(config, resume),
            stream,
            ticker,
            spoken: Instant::now(),
            leaving: Leaving::default(),
            silence: Silence::new(Instant::now()),
            hold: None,
        };
        self.heed(&mut line);
        self.meter.resumed(&line.relay);
        self.status.send_modify(|status| status.resumed(resume));
        self.tell(FollowEvent::Resumed(resume)).await;
        loop {
            while let Some(step) = line.relay.poll() {
                self.perform(step, &mut applier, &mut line).await?;
                if self.stops.try_recv().is_ok() {
                    return self.end(line).await;
                }
                if self.holds.has_changed().unwrap_or(false) {
                    self.heed(&mut line);
                }
            }
            let room = line.relay.buffered_bytes() < self.config.max_buffer_bytes;
            tokio::select! {
                _ = self.stops.recv() => return self.end(line).await,
                Ok(()) = self.holds.changed() => self.heed(&mut line),
                incoming = line.stream.next(), if room => {
                    let incoming = incoming?;
                    self.take(incoming, &mut line).await?;
                }
                _ = line.ticker.tick() => self.tick(&mut line).await?,
            }
        }
    }

    async fn end(&mut self, mut line: Line) -> Result<Ended> {
        let durable = line.relay.acknowledgeable();
        line.stream.acknowledge(durable).await?;
        Ok(Ended::Stopped)
    }

    /// Holds where it is wanted, or goes on.
    fn heed(&mut self, line: &mut Line) {
        line.hold = *self.holds.borrow_and_update();
        line.relay.hold_before(line.hold.map(|order| order.limit));
        if line.hold.is_none() {
            self.status.send_modify(|status| status.held = None);
        }
    }

    /// Takes a message and all that came with it, as far as there is room.
    async fn take(&mut self, incoming: Incoming, line: &mut Line) -> Result<()> {
        let mut next = Some(incoming);
        let mut asked = false;
        line.silence.heard(Instant::now());
        while let Some(incoming) = next {
            match incoming {
                Incoming::Event { wal_end, event } => {
                    self.meter.sender_at(wal_end);
                    line.relay.handle(event).map_err(|fault| {
                        Error::refused(
                            self.config.from.side,
                            format!("following the {} stream: {fault}", self.config.stream),
                        )
                    })?;
                }
                Incoming::Keepalive { wal_end, reply_requested } => {
                    self.meter.sender_at(wal_end);
                    line.relay.handle_keepalive(wal_end);
                    asked |= reply_requested;
                }
            }
            let room = line.relay.buffered_bytes() < self.config.max_buffer_bytes;
            next = if room { line.stream.try_next_buffered()? } else { None };
        }
        if asked {
            self.speak(line).await?;
            let now = Instant::now();
            if line.leaving.asked(now) && line.relay.is_pending() {
                return Err(leaving::let_go(self.config.from.side, self.config.stream));
            }
        }
        Ok(())
    }

    async fn tick(&mut self, line: &mut Line) -> Result<()> {
        let now = Instant::now();
        if line.relay.buffered_bytes() >= self.config.max_buffer_bytes {
            // Nothing is read, so that nothing can be heard.
            line.silence.heard(now);
        }
        let silent = self.patience.limit(line.hold.is_some() || self.waiters.are_there());
        if line.silence.is_dead(now, silent) {
            self.patience.used_up();
            return Err(silence::dead(self.config.from.side, self.config.stream, silent));
        }
        if line.silence.must_ask(now) {
            let durable = line.relay.acknowledgeable();
            line.stream.ask(durable).await?;
        }
        let news = line.relay.acknowledgeable() > self.status.borrow().acknowledged;
        if news || line.spoken.elapsed() >= SPEAK_EVERY {
            self.speak(line).await?;
        }
        let (meter, relay, heard) = (&mut self.meter, &line.relay, line.silence.since());
        self.status.send_modify(|status| {
            status.heard = Some(heard);
            meter.show(relay, status);
        });
        Ok(())
    }

    async fn speak(&mut self, line: &mut Line) -> Result<()> {
        let durable = line.relay.acknowledgeable();
        line.stream.acknowledge(durable).await?;
        line.spoken = Instant::now();
        self.status.send_modify(|status| status.acknowledged = status.acknowledged.max(durable));
        Ok(())
    }

    async fn perform(&mut self, step: Step, applier: &mut Applier, line: &mut Line) -> Result<()> {
        let into = self.config.into.clone();
        match step {
            Step::Open { predecessor, position, epoch, open } => {
                applier.begin(Head { predecessor, position, epoch, open });
                self.meter.opened(epoch, open);
            }
            Step::Changes(work) => {
                let scans = silence::attended(&into, applier.pid(), applier.scans(&work)).await?;
                for Scan { table, rows } in scans {
                    self.tell(FollowEvent::Scans { table, rows }).await;
                }
                let pid = applier.pid();
                let changes = silence::attended(&into, pid, applier.changes(&work));
                self.meanwhile(changes, line).await?;
            }
            Step::Close { position, commit_time_us, markers, .. } => {
                let pid = applier.pid();
                let commit = silence::attended(&into, pid, applier.commit());
                self.meanwhile(commit, line).await?;
                line.relay.handle_durable(position);
                self.patience = Patience::default();
                self.meter.closed(position, commit_time_us);
                let (meter, relay) = (&mut self.meter, &line.relay);
                self.status.send_modify(|status| meter.show(relay, status));
                for marker in markers {
                    self.tell(FollowEvent::Applied { marker, commit_lsn: position }).await;
                }
            }
            Step::Known { commit_lsn, markers } => {
                for marker in markers {
                    self.tell(FollowEvent::Applied { marker, commit_lsn }).await;
                }
            }
            Step::Discarded { commit_lsn, markers } => {
                for marker in markers {
                    self.tell(FollowEvent::Discarded { marker, commit_lsn }).await;
                }
            }
            Step::Foreign { commit_lsn, xid, table, after_seal } => {
                self.tell(FollowEvent::Foreign { commit_lsn, xid, table, after_seal }).await;
            }
            Step::Reached { limit, position } => {
                let ticket = line.hold.map(|order| order.ticket);
                self.status.send_modify(|status| {
                    status.held = ticket.map(|ticket| status::Held { limit, position, ticket });
                });
            }
        }
        Ok(())
    }

    /// Goes on reading, and speaking to the sender, while the other server works.
    async fn meanwhile(
        &mut self,
        work: impl Future<Output = Result<()>>,
        line: &mut Line,
    ) -> Result<()> {
        let mut work = pin!(work);
        loop {
            let room = line.relay.buffered_bytes() < self.config.max_buffer_bytes;
            tokio::select! {
                biased;
                done = &mut work => return done,
                incoming = line.stream.next(), if room => {
                    let incoming = incoming?;
                    self.take(incoming, line).await?;
                }
                _ = line.ticker.tick() => self.tick(line).await?,
            }
        }
    }

    async fn tell(&mut self, event: FollowEvent) {
        // Nobody listens: then nobody misses it.
        if self.events.send(event).await.is_err() {
            tracing::trace!("an event of the follower was not read");
        }
    }
}

/// Opens both ends: first the right to write, then the stream.
async fn start(c: &FollowConfig) -> Result<(Applier, Resume, ReplicationStream)> {
    let path = source_path(c).await?;
    let (applier, resume) = Applier::start(&c.into, &c.migration, c.stream, &path).await?;
    let stream = ReplicationStream::start(&c.from, &c.slot, &c.publication, Lsn::ZERO).await?;
    Ok((applier, resume, stream))
}

/// Where the application's functions look for names: asked of the source, whichever end it is.
async fn source_path(c: &FollowConfig) -> Result<SearchPath> {
    let source = if c.from.side == Side::Source { &c.from } else { &c.into };
    let mut session = Session::connect(source, "changeover apply").await?;
    let path = SearchPath::read(&mut session).await?;
    session.close().await;
    Ok(path)
}

impl FollowConfig {
    /// The usual bounds, and the names this migration's objects have.
    #[must_use]
    pub fn new(
        from: ConnectConfig,
        into: ConnectConfig,
        migration: &MigrationName,
        stream: Stream,
    ) -> Self {
        let publication = migration.object_name();
        FollowConfig {
            from,
            into,
            migration: migration.clone(),
            stream,
            slot: format!("{publication}_{stream}"),
            publication,
            limits: Limits::default(),
            max_buffer_bytes: 32 << 20,
        }
    }
}
