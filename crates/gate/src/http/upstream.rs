//! The instances of both sides, and connections to them.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use changeover_types::Side;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::pool::Connection;
use super::slots::Place;
use super::stream::SharedStream;
use super::upstream_io::{Heard, UpstreamIo};
use crate::state::{HttpGateConfig, Upstream};

/// Connecting may take this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An instance that could not be connected to is not asked again for this long.
const EJECTED: Duration = Duration::from_secs(1);

/// Headers of an answer may be this large, buffers too.
const BUFFER_BYTES: usize = 64 * 1024;

/// All instances as one core sees them, numbered through: first the source's, then the target's.
#[derive(Debug)]
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    sources: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: [usize; 2],
    failed: Vec<Option<Instant>>,
}

impl Upstreams {
    pub(super) fn new(config: &HttpGateConfig) -> Upstreams {
        let all: Vec<Upstream> = config.source.iter().chain(&config.target).cloned().collect();
        let state = State { next: [0, 0], failed: vec![None; all.len()] };
        Upstreams { sources: config.source.len(), all, state: Mutex::new(state) }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, upstream: usize) -> &Upstream {
        &self.all[upstream]
    }

    /// The side's instances in the order to try: in turn, those that are full behind them, those that
    /// lately failed last.
    pub(super) fn in_turn(&self, side: Side, is_full: impl Fn(usize) -> bool) -> Vec<usize> {
        let (first, count) = match side {
            Side::Source => (0, self.sources),
            Side::Target => (self.sources, self.all.len() - self.sources),
        };
        let mut state = self.state();
        let turn = &mut state.next[usize::from(side == Side::Target)];
        let start = *turn;
        *turn = turn.wrapping_add(1);
        let mut order: Vec<usize> =
            (0..count).map(|n| first + start.wrapping_add(n) % count.max(1)).collect();
        if count > 1 {
            let now = Instant::now();
            order.sort_by_key(|upstream| {
                let failed =
                    state.failed[*upstream].is_some_and(|at| now.duration_since(at) < EJECTED);
                (failed, is_full(*upstream))
            });
        }
        order
    }

    /// Opens a connection and starts the task that drives it.
    pub(super) async fn connect(&self, upstream: usize, place: Place) -> io::Result<Connection> {
        let opened = self.open(upstream, place).await;
        self.state().failed[upstream] = opened.is_err().then(Instant::now);
        opened
    }

    async fn open(&self, upstream: usize, place: Place) -> io::Result<Connection> {
        let Upstream { host, port } = &self.all[upstream];
        let connecting = TcpStream::connect((host.as_str(), *port));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        crate::sockets::prepare(&stream);
        let (stream, heard) = (SharedStream::new(stream), Heard::default());
        let io = UpstreamIo::new(stream.clone(), heard.clone());
        let (sender, driver) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(io))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        Ok(Connection { sender, stream, heard, _place: place })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
