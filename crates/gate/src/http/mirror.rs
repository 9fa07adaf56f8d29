//! Mirroring: a sample of the requests is sent to both sides once more, and the answers compared.
//!
//! Clients come first. What a client's request does here is one look at an atomic, a coin, and a
//! message into a bounded queue; a full queue is counted and nothing more. The copies are sent and
//! compared on a thread of their own, over connections of their own, so that neither a slow target
//! nor a large document is ever in a client's way. The lease ends by the gate's own clock.

mod copy;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::state::micros;
use arc_swap::ArcSwapOption;
use changeover_routing::mirror::{MirrorOrder, MirrorStatus, Tally};
use http::{HeaderMap, Method, Request, Uri};
use hyper::body::{Body, Incoming};
use tokio::sync::{Notify, mpsc};

pub(crate) use copy::run;

/// Copies that wait; more are dropped.
const WAITING: usize = 256;
/// A run renews far more often than this.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// A request to be sent again.
#[derive(Debug)]
struct Job {
    running: Arc<Running>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    client: SocketAddr,
}

/// One mirroring, from its order to its end.
#[derive(Debug)]
struct Running {
    order: MirrorOrder,
    /// Microseconds of the gate's life.
    until_us: AtomicU64,
    seen: AtomicU64,
    copied: AtomicU64,
    dropped: AtomicU64,
    tally: Mutex<Tally>,
}

/// What all cores share of it.
#[derive(Debug)]
pub(crate) struct Mirror {
    started: Instant,
    current: ArcSwapOption<Running>,
    jobs: mpsc::Sender<Job>,
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
    stopped: Notify,
}

impl Mirror {
    pub(crate) fn new(started: Instant) -> Mirror {
        let (jobs, waiting) = mpsc::channel(WAITING);
        Mirror {
            started,
            current: ArcSwapOption::empty(),
            jobs,
            waiting: Mutex::new(Some(waiting)),
            stopped: Notify::new(),
        }
    }

    /// Begins or goes on, and says how it stands.
    ///
    /// # Errors
    /// In words, if the order makes no sense.
    pub(crate) fn obey(&self, order: &MirrorOrder) -> Result<MirrorStatus, String> {
        let lease = Duration::from_millis(order.lease_ms);
        if order.sample_of_10k == 0 || lease.is_zero() || lease > LEASE_MAX {
            return Err(format!("a mirroring of nothing, or one for longer than {LEASE_MAX:?}"));
        }
        let until_us = micros(self.started.elapsed() + lease);
        if let Some(running) = self.current.load_full().filter(|it| it.order.id == order.id) {
            running.until_us.store(until_us, Ordering::Relaxed);
            return Ok(running.status());
        }
        tracing::info!(sample_of_10k = order.sample_of_10k, "mirroring begins");
        let running = Running {
            order: order.clone(),
            until_us: AtomicU64::new(until_us),
            seen: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            tally: Mutex::new(Tally::new(&order.ignore)),
        };
        let status = running.status();
        self.current.store(Some(Arc::new(running)));
        // Copies of the one before are of no more use.
        self.stopped.notify_one();
        Ok(status)
    }

    /// Ends it, and says how it stood.
    ///
    /// # Errors
    /// In words, if there is none of this id.
    pub(crate) fn stop(&self, id: u64) -> Result<MirrorStatus, String> {
        let running = self.current.load_full().filter(|it| it.order.id == id);
        let running = running.ok_or("there is no such mirroring: the gate was restarted since")?;
        let status = running.status();
        self.current.store(None);
        self.stopped.notify_one();
        tracing::info!(compared = status.compared, "mirroring ends");
        Ok(status)
    }

    /// Takes a copy of a client's request, if one is wanted and there is room. Never waits.
    pub(super) fn offer(&self, request: &Request<Incoming>, client: SocketAddr) {
        let current = self.current.load();
        let Some(running) = current.as_ref().filter(|running| self.lives(running)) else { return };
        if !request.method().is_safe() || !request.body().is_end_stream() {
            return;
        }
        running.seen.fetch_add(1, Ordering::Relaxed);
        if rand::random_range(0..10_000) >= running.order.sample_of_10k {
            return;
        }
        let job = Job {
            running: Arc::clone(running),
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            client,
        };
        let sent = self.jobs.try_send(job).is_ok();
        let counter = if sent { &running.copied } else { &running.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn lives(&self, running: &Running) -> bool {
        micros(self.started.elapsed()) < running.until_us.load(Ordering::Relaxed)
    }

    /// Whether a copy of this mirroring is still wanted.
    fn wants(&self, running: &Arc<Running>) -> bool {
        let current = self.current.load();
        current.as_ref().is_some_and(|current| Arc::ptr_eq(current, running)) && self.lives(running)
    }

    /// Whether copies are wanted at all; ends a mirroring whose lease is over.
    fn is_on(&self) -> bool {
        let Some(running) = self.current.load_full() else { return false };
        if self.lives(&running) {
            return true;
        }
        tracing::warn!("the mirroring lapsed: nobody renewed or stopped it");
        self.current.store(None);
        false
    }
}

impl Running {
    fn status(&self) -> MirrorStatus {
        MirrorStatus {
            id: self.order.id,
            seen: self.seen.load(Ordering::Relaxed),
            copied: self.copied.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            ..self.tally().status()
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
