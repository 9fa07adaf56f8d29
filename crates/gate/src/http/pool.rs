//! One core's idle upstream connections: per instance a bounded stack, the last returned on top.
//!
//! A server may close a kept connection at the very moment a request is written to it. A request
//! that may be repeated is then sent again; one that may not would fail. So an instance that was
//! seen to close connections unannounced is *restless*: for a while such requests get a fresh
//! connection, which no server closes before its first request. Others reuse freely.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;

use super::body::RequestBody;
use super::stream::SharedStream;

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
}

impl Pool {
    pub(super) fn new(upstreams: usize) -> Arc<Pool> {
        Arc::new(Pool { stacks: (0..upstreams).map(|_| Mutex::default()).collect() })
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
        } else if stack.idle.len() < MOST_IDLE {
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
