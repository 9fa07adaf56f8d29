//! One client's session: its loop, and what it does at a safe boundary.
//!
//! A session is one task. Between boundaries it only forwards ([`forward`]); at a boundary it may
//! be parked, have its state read, or be moved to the other side's server ([`boundary`]). The
//! rules are those of [`super::tracker`].

mod ahead;
mod boundary;
mod editing;
mod forward;
mod translating;

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use changeover_pgwire::backend::TransactionStatus;
use changeover_pgwire::{ServerError, WireError, reply};
use changeover_routing::{HoldView, PINNED};
use changeover_types::Side;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::admit::fatal;
use super::capture::Captured;
use super::config::PostgresGateConfig;
use super::registry::{Backend, CancelKey, Peer};
use super::server::{Server, ServerFault};
use super::tracker::SessionTracker;
use crate::state::{CoreCounters, ParkGuard, Part, ServedGuard, Shared, WorkGuard, WorkLabel};
use forward::Lane;
use translating::Results;

/// A client whose session has ended is given so long to read why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the sessions of one core share.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) config: Arc<PostgresGateConfig>,
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<CoreCounters>,
    pub(super) drain: CancellationToken,
}

/// Who the client is.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) user: String,
    /// The start-up parameters as sent.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) label: WorkLabel,
    pub(super) key: CancelKey,
    pub(super) peer: Arc<Peer>,
}

/// Why a session is over.
#[derive(Debug)]
pub(super) enum End {
    /// The client left or cannot be reached.
    Client,
    /// The server left; the client has its last words.
    Server,
    /// The client is told this.
    Tell(Box<ServerError>),
}

impl From<ServerFault> for End {
    fn from(fault: ServerFault) -> End {
        End::Tell(fault.for_client())
    }
}

impl From<WireError> for End {
    fn from(error: WireError) -> End {
        End::Tell(fatal("08P01", error.to_string()))
    }
}

/// What is to be done at a boundary.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The hold, the route, a cancel request or the drain changed: look again.
    Look,
    /// Read the session's state.
    Capture,
    /// Read the types of its server again.
    Learn,
    /// Go to this side's server.
    Move(Side),
    /// The client said good bye, or hung up.
    Leave,
    /// The gate closes.
    Drain,
}

/// With the place in the queue of those that ask the servers.
type Opening = Pin<Box<dyn Future<Output = Opened> + Send>>;
type Opened = (Result<Server, ServerFault>, Option<OwnedSemaphorePermit>);

/// See the module.
pub(super) struct Session {
    gate: Gate,
    client: Client,
    stream: TcpStream,
    server: Server,
    tracker: SessionTracker,
    /// From the client to the server.
    up: Lane,
    /// From the server to the client.
    down: Lane,
    /// Whole messages of our own for the client; written where no message is half forwarded.
    inject: BytesMut,
    /// Wakes us when the world outside the two sockets changes.
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    view: HoldView,
    authority: Option<Side>,
    /// Since when a hold is on, as far as this session has seen.
    held_since: Option<Instant>,
    /// Counted among the sessions whose state is not read.
    unread: bool,
    captured: Captured,
    pinned: bool,
    /// Of a server whose type numbers are translated.
    results: Results,
    /// The names of custom settings in the database's code by which its state was read, unless it
    /// has spoken since.
    read_by: Option<Arc<BTreeSet<String>>>,
    /// The hold that is announced.
    part: Option<Part>,
    /// A connection to the other side, opened when a hold is announced or a seal under way.
    warm: Option<Server>,
    warming: Option<Opening>,
    /// It may ask its server now, ahead of the hold.
    turn_to_ask: Option<OwnedSemaphorePermit>,
    work: Option<WorkGuard>,
    served: Option<ServedGuard>,
    park: Option<ParkGuard>,
    /// Parked messages are being dropped, since their cancel was asked for.
    dropping: Option<forward::Dropping>,
    said_bye: bool,
    busy: bool,
    /// The server's last message was an error, so its end needs no explanation.
    last_was_error: bool,
}

impl Session {
    /// A session whose server has just become ready; tells the client so.
    pub(super) fn new(
        gate: Gate,
        client: Client,
        stream: TcpStream,
        rx: BytesMut,
        server: Server,
    ) -> Self {
        let mut inject = BytesMut::new();
        for notice in &server.notices {
            reply::notice_response(&mut inject, notice);
        }
        for (name, value) in &server.parameters {
            reply::parameter_status(&mut inject, name, value);
        }
        reply::backend_key_data(&mut inject, client.key.0, &client.key.1);
        reply::ready_for_query(&mut inject, TransactionStatus::Idle);
        let signal = signal(&gate, &client.peer);
        let mut session = Session {
            tracker: SessionTracker::new(server.parameters.clone()),
            view: gate.shared.hold_view(),
            authority: gate.shared.authority(),
            up: Lane::new(rx),
            down: Lane::new(BytesMut::new()),
            held_since: None,
            captured: Captured::default(),
            results: Results::default(),
            unread: false,
            pinned: false,
            read_by: None,
            part: None,
            warm: None,
            warming: None,
            turn_to_ask: None,
            work: None,
            served: None,
            park: None,
            dropping: None,
            said_bye: false,
            busy: false,
            last_was_error: false,
            gate,
            client,
            stream,
            server,
            inject,
            signal,
        };
        session.adopt_backend();
        session
    }

    /// Serves the client until one of the three is gone.
    pub(super) async fn run(mut self) {
        self.look();
        let end = loop {
            let turn = match poll_fn(|cx| self.poll(cx)).await {
                Ok(turn) => turn,
                Err(end) => break end,
            };
            let done = match turn {
                Turn::Look => {
                    self.look();
                    Ok(())
                }
                Turn::Capture => self.read_state().await,
                Turn::Learn => self.learn_types().await,
                Turn::Move(side) => self.relocate(side).await,
                Turn::Leave => Err(End::Client),
                Turn::Drain => {
                    let why = "terminating connection due to administrator command: \
                               the gate is closing";
                    Err(End::Tell(fatal("57P01", why)))
                }
            };
            if let Err(end) = done {
                break end;
            }
        };
        self.close(end).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, End>> {
        loop {
            let mut progress = self.poll_up(cx)?;
            progress |= self.poll_down(cx)?;
            if let Some(turn) = self.turn() {
                return Poll::Ready(Ok(turn));
            }
            if !progress {
                break;
            }
        }
        self.show();
        if let Some(opening) = &mut self.warming
            && let Poll::Ready(opened) = opening.as_mut().poll(cx)
        {
            self.warming = None;
            self.take_warm(opened);
            if let Some(turn) = self.turn() {
                return Poll::Ready(Ok(turn));
            }
            self.turn_to_ask = None;
        }
        if self.signal.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(Turn::Look));
        }
        Poll::Pending
    }

    /// What is due, now that the sockets have nothing more for us.
    fn turn(&self) -> Option<Turn> {
        if !self.results.strange.is_empty() {
            return Some(Turn::Learn);
        }
        if !self.at_boundary() {
            // A client that hung up in the middle of something takes its server session along; one
            // that has only stopped to send, and is owed a reply, gets it, as from a server.
            let owed = self.tracker.awaits_reply();
            let gone = self.up.closed && self.up.released == 0 && !owed;
            return gone.then_some(Turn::Leave);
        }
        if self.said_bye || (self.up.closed && self.park.is_none()) {
            return Some(Turn::Leave);
        }
        if self.gate.drain.is_cancelled() {
            return Some(Turn::Drain);
        }
        if self.view == HoldView::Open && self.authority == Some(self.server.side) {
            let may_ask = self.unread && self.turn_to_ask.is_some() && self.up.rx.is_empty();
            return may_ask.then_some(Turn::Capture);
        }
        if self.dropping.is_some() {
            return None;
        }
        if self.unread {
            return Some(Turn::Capture);
        }
        match self.authority {
            Some(side) if side != self.server.side && self.view != HoldView::Unsure => {
                Some(Turn::Move(side))
            }
            _ => None,
        }
    }

    /// Nothing under way, nothing half forwarded, nothing of ours unsent.
    fn at_boundary(&self) -> bool {
        self.tracker.at_boundary()
            && self.up.is_whole()
            && self.down.is_whole()
            && self.down.rx.is_empty()
            && self.inject.is_empty()
    }

    /// Takes in what the signal was about.
    fn look(&mut self) {
        self.signal = signal(&self.gate, &self.client.peer);
        self.refresh();
        self.join_round();
        // Of a session that has not spoken since it was read in this hold, that still holds.
        let known = self.view != HoldView::Open && !self.unread;
        self.pinned = known && !self.captured.pins.is_empty();
        match self.view {
            HoldView::Open => self.held_since = None,
            _ => drop(self.held_since.get_or_insert_with(Instant::now)),
        }
        if self.view == HoldView::Open {
            self.work = None;
            // The next hold must not be complete before this one is looked at again.
            if (self.read_by.is_some() || !self.captured.pins.is_empty()) && !self.unread {
                self.unread = true;
                self.gate.config.registry.spoke(&self.gate.shared, self.gate.config.listen);
            }
            if self.authority == Some(self.server.side) {
                if self.part.is_some() {
                    self.warm_up();
                } else {
                    self.cool_down();
                }
            }
        } else if let HoldView::Held { sealing: Some(_), .. } = self.view {
            self.warm_up();
        }
    }

    fn refresh(&mut self) {
        self.view = self.gate.shared.hold_view();
        self.authority = self.gate.shared.authority();
    }

    /// During a hold, lists this session as open work while it is not at a boundary.
    fn show(&mut self) {
        if self.view == HoldView::Open {
            return;
        }
        let at_boundary = self.at_boundary();
        if at_boundary && !self.pinned {
            self.work = None;
        } else {
            let label = &self.client.label;
            let shared = &self.gate.shared;
            let work = self.work.get_or_insert_with(|| shared.begin_work(label.clone()));
            if at_boundary {
                let pins: Vec<&str> = self.captured.pins.iter().map(String::as_str).collect();
                work.set_state(format!("{PINNED}{}", pins.join(", ")));
            } else {
                work.set_state(self.tracker.describe());
            }
        }
    }

    /// The session has a new server: cancel requests go there.
    fn adopt_backend(&mut self) {
        let backend =
            Backend { side: self.server.side, pid: self.server.pid, key: self.server.key.clone() };
        self.client.peer.set_backend(Some(backend));
        self.served = Some(self.gate.shared.serve(self.server.side, self.server.pid));
        if let WorkLabel::Postgres { server_pid, .. } = &mut self.client.label {
            *server_pid = i32::try_from(self.server.pid).ok();
        }
    }

    async fn close(mut self, end: End) {
        self.client.peer.busy.store(false, Ordering::Release);
        let clean = self.up.is_whole();
        if let End::Tell(error) = end {
            tracing::debug!(client = ?self.client.label, %error, "session ended");
            if self.down.is_whole() {
                reply::error_response(&mut self.inject, &error);
                // The client may be gone; it is only told.
                self.stream.write_all(&self.inject).await.unwrap_or_default();
            }
        }
        self.stream.shutdown().await.unwrap_or_default();
        self.cool_down();
        if clean {
            self.server.say_farewell();
        }
        // Closing with bytes unread would reset the connection, and the last words be lost.
        let rest = async {
            while matches!(self.stream.read_buf(&mut self.up.rx).await, Ok(n) if n > 0) {
                self.up.rx.clear();
            }
        };
        if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
            tracing::debug!("a client did not close its connection after its last words");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let registry = &self.gate.config.registry;
        registry.forget(self.client.key);
        if std::mem::take(&mut self.unread) {
            registry.was_read();
        }
    }
}

/// Resolves when the hold or the route changes, a hold is announced or its announcement lapses, a
/// cancel request comes, or the gate drains.
fn signal(gate: &Gate, peer: &Arc<Peer>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut hold = gate.shared.hold();
    // What changed before this moment is seen by whoever looks next.
    hold.mark_unchanged();
    let mut announced = gate.shared.ahead().watch();
    announced.mark_unchanged();
    let lapses: Pin<Box<dyn Future<Output = ()> + Send>> = match gate.shared.ahead().round() {
        Some(round) => Box::pin(tokio::time::sleep_until(round.until())),
        None => Box::pin(std::future::pending()),
    };
    let drain = gate.drain.clone();
    let drained = gate.drain.is_cancelled();
    let peer = Arc::clone(peer);
    Box::pin(async move {
        tokio::select! {
            _ = hold.changed() => {}
            _ = announced.changed() => {}
            () = lapses => {}
            () = drain.cancelled(), if !drained => {}
            () = peer.wake.notified() => {}
        }
    })
}
