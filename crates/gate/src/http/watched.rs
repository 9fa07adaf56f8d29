//! What is known of one client's connection beside its requests: shared by hyper's IO, which sees the
//! bytes, the service, which answers, and the door, which closes the longest silent one when all
//! places are taken.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ClientFault {
    /// It sent nothing at all in time.
    Silent = 1,
    /// It began a request's head and did not finish it in time.
    HeadLate,
    /// It stopped in the middle of a body.
    BodyLate,
    /// It closed its half in the middle of a body.
    CutShort,
    /// Its body breaks the rules.
    Malformed,
    /// It does not read its answer.
    AnswerUnread,
    /// Its connection is gone.
    Gone,
}

const FAULTS: [ClientFault; 7] = [
    ClientFault::Silent,
    ClientFault::HeadLate,
    ClientFault::BodyLate,
    ClientFault::CutShort,
    ClientFault::Malformed,
    ClientFault::AnswerUnread,
    ClientFault::Gone,
];

const BUSY: u64 = u64::MAX;
const NONE: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Watched {
    began: Instant,
    /// The first request, from 0, that could be read two ways.
    ambiguous: AtomicU64,
    requests: AtomicU64,
    fault: AtomicU8,
    /// Microseconds of the gate's life since when no request is under way.
    quiet_since: AtomicU64,
    /// Requests there had been when its place was wanted.
    evicted_after: AtomicU64,
    evicted: Notify,
}

impl Watched {
    /// A connection that has said nothing yet; `began` is the beginning of the gate's time.
    pub(super) fn new(began: Instant) -> Watched {
        let watched = Watched {
            began,
            ambiguous: AtomicU64::new(NONE),
            requests: AtomicU64::new(0),
            fault: AtomicU8::new(0),
            quiet_since: AtomicU64::new(BUSY),
            evicted_after: AtomicU64::new(NONE),
            evicted: Notify::new(),
        };
        watched.fell_quiet();
        watched
    }

    /// A request is under way from here on; its number, from 0.
    pub(super) fn request(&self) -> u64 {
        self.quiet_since.store(BUSY, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether no request has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// The next request is awaited from here on.
    pub(super) fn fell_quiet(&self) {
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(BUSY - 1);
        self.quiet_since.store(now, Ordering::Relaxed);
    }

    /// Since when it is silent or idle; `None` while a request is under way.
    pub(super) fn quiet_since(&self) -> Option<u64> {
        Some(self.quiet_since.load(Ordering::Relaxed)).filter(|since| *since != BUSY)
    }

    pub(super) fn ambiguous_from(&self, request: u64) {
        self.ambiguous.store(request, Ordering::Relaxed);
    }

    /// Whether the request with this number could be read two ways.
    pub(super) fn is_ambiguous(&self, request: u64) -> bool {
        request >= self.ambiguous.load(Ordering::Relaxed)
    }

    /// The first fault is the cause of all others.
    pub(super) fn fail(&self, fault: ClientFault) {
        let (new, order) = (fault as u8, Ordering::Relaxed);
        if self.fault.compare_exchange(0, new, order, order).is_err() {
            tracing::trace!(?fault, "and so it went on");
        }
    }

    pub(super) fn fault(&self) -> Option<ClientFault> {
        let fault = self.fault.load(Ordering::Relaxed);
        FAULTS.into_iter().find(|known| *known as u8 == fault)
    }

    /// Its place is wanted.
    pub(super) fn evict(&self) {
        self.evicted_after.store(self.requests.load(Ordering::Relaxed), Ordering::Relaxed);
        self.quiet_since.store(BUSY, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Whether no request has begun since its place was wanted.
    pub(super) fn stayed_quiet(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == self.evicted_after.load(Ordering::Relaxed)
    }

    /// Resolves when its place is wanted.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}
