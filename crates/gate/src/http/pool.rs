//! One core's idle upstream connections: per instance a bounded stack, the last returned on top.
//!
//! A server may close a kept connection at the very moment a request is written to it. A request
//! that may be repeated is then sent again; one that may not would fail. So an instance that was
//! seen to close connections unannounced is *restless*: for a while such requests get a fresh
//! connection, which no server closes before its first request. Others reuse freely.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use tokio::sync::Notify;

use super::slots::{Place, Slots, Waiting};
use super::stream::SharedStream;
use super::upload::RequestBody;
use super::upstream_io::Heard;

/// So many idle connections are kept per instance and core.
const MOST_IDLE: usize = 256;

/// An idle connection is not used after this: many servers close at 5 s.
const OLDEST_IDLE: Duration = Duration::from_secs(4);

/// A request that must not be sent twice takes only a connection that was in use this recently.
const OLDEST_IDLE_ONCE: Duration = Duration::from_secs(1);

/// How long an instance stays restless after it was last seen to close unannounced.
const RESTLESS: Duration = Duration::from_secs(60);

/// A connection to an upstream.
pub(super) struct Connection {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) stream: SharedStream,
    pub(super) heard: Heard,
    /// Among all connections to the instance.
    pub(super) _place: Place,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug, Default)]
struct Stack {
    idle: Vec<Idle>,
    /// When it was last seen to close unannounced.
    restless: Option<Instant>,
}

/// One core's idle connections, by the upstream's number.
#[derive(Debug)]
pub(super) struct Pool {
    stacks: Vec<Mutex<Stack>>,
    queues: Vec<Queue>,
    slots: Arc<Slots>,
}

/// Requests of this core that wait for a connection to one instance.
#[derive(Debug, Default)]
struct Queue {
    waiting: AtomicUsize,
    given_back: Notify,
}

/// What a request that waited gets.
pub(super) enum Turn {
    /// A connection that another request is done with.
    Kept(Connection),
    /// A place for a new one.
    Place(Place),
}

impl Pool {
    pub(super) fn new(upstreams: usize, slots: Arc<Slots>) -> Arc<Pool> {
        let stacks = (0..upstreams).map(|_| Mutex::default()).collect();
        let queues = (0..upstreams).map(|_| Queue::default()).collect();
        let pool = Arc::new(Pool { stacks, queues, slots });
        pool.slots.add(&pool);
        pool
    }

    /// Whether requests already wait here, behind whom others stand in line.
    pub(super) fn has_queue(&self, upstream: usize) -> bool {
        self.queues[upstream].waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether a request would have to wait.
    pub(super) fn is_full(&self, upstream: usize) -> bool {
        self.slots.is_full(upstream) && self.stack(upstream).idle.is_empty()
    }

    /// A place for a new connection at once, unless others wait.
    pub(super) fn place(&self, upstream: usize) -> Option<Place> {
        if self.has_queue(upstream) { None } else { self.slots.try_take(upstream) }
    }

    /// Waits in line for a connection, or a place for one. Nothing only if the gate goes down.
    pub(super) async fn wait(&self, upstream: usize, once: bool) -> Option<Turn> {
        let queue = &self.queues[upstream];
        let _waiting = Waiting::begins(&queue.waiting);
        let place = self.slots.take(upstream);
        tokio::pin!(place);
        loop {
            tokio::select! {
                place = &mut place => return place.map(Turn::Place),
                () = queue.given_back.notified() => {
                    if let Some(connection) = self.take(upstream, once) {
                        return Some(Turn::Kept(connection));
                    }
                }
            }
        }
    }

    /// Closes the connection that is idle longest; false if there is none.
    pub(super) fn drop_one(&self, upstream: usize) -> bool {
        let mut stack = self.stack(upstream);
        let some = !stack.idle.is_empty();
        if some {
            drop(stack.idle.remove(0));
        }
        some
    }

    /// The most recently used connection that is still fit. With `once` the request cannot be sent
    /// again if the connection turns out to be closing, so the kernel is asked first.
    pub(super) fn take(&self, upstream: usize, once: bool) -> Option<Connection> {
        let mut stack = self.stack(upstream);
        let now = Instant::now();
        let oldest = if once { OLDEST_IDLE_ONCE } else { OLDEST_IDLE };
        if once && stack.restless.is_some_and(|seen| now.duration_since(seen) < RESTLESS) {
            return None;
        }
        while let Some(idle) = stack.idle.pop_if(|i| now.duration_since(i.since) <= oldest) {
            let sender = &idle.connection.sender;
            if sender.is_closed() || (once && !idle.connection.stream.is_quiet()) {
                stack.restless = Some(now);
                if once {
                    return None;
                }
            } else if sender.is_ready() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// A kept connection was closed without a word.
    pub(super) fn closed_unannounced(&self, upstream: usize) {
        self.stack(upstream).restless = Some(Instant::now());
    }

    fn put(&self, upstream: usize, connection: Connection) {
        let mut stack = self.stack(upstream);
        if connection.sender.is_closed() {
            stack.restless = Some(Instant::now());
        } else if self.has_queue(upstream) {
            stack.idle.push(Idle { connection, since: Instant::now() });
            drop(stack);
            self.queues[upstream].given_back.notify_one();
        } else if stack.idle.len() < MOST_IDLE && !self.slots.is_waited_for(upstream) {
            stack.idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Drops what has been idle too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for upstream in 0..self.stacks.len() {
            self.stack(upstream).idle.retain(|idle| {
                now.duration_since(idle.since) <= OLDEST_IDLE && !idle.connection.sender.is_closed()
            });
        }
    }

    fn stack(&self, upstream: usize) -> MutexGuard<'_, Stack> {
        self.stacks[upstream].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. Dropped, it is closed; given back, it is kept.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) pool: Arc<Pool>,
    pub(super) upstream: usize,
    pub(super) connection: Connection,
    /// The server said that it would close it.
    pub(super) last: bool,
}

impl Lease {
    /// Its answer has been read whole.
    pub(super) fn give_back(self) {
        if !self.last {
            self.pool.put(self.upstream, self.connection);
        }
    }
}
