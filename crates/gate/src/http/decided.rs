//! A request's fate, for the counters and for the canary's decision.
//!
//! Each request whose side was drawn comes to exactly one end: the side answered or failed, the client
//! failed, or the gate's own limit stood in the way. Only the first says anything of the side. One
//! that is dropped without an end was left by its client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use changeover_types::{Share, Side};

use crate::state::{CoreCounters, CoreDecisions, Shared, Ticket};

/// A request whose side was drawn.
#[derive(Debug)]
pub(super) struct Decided {
    shared: Arc<Shared>,
    counters: Arc<CoreCounters>,
    decisions: Arc<CoreDecisions>,
    /// Of the request's route.
    place: usize,
    side: Side,
    share: Share,
    key: u64,
    arrived: Instant,
    /// From when on the side owes an answer. `None` when too many were under way to look at it.
    ticket: OnceLock<Option<Ticket>>,
    settled: AtomicBool,
}

impl Decided {
    /// The side is drawn now; what the request waited before, in a hold, is no one's fault.
    pub(super) fn drawn(
        (shared, counters, decisions): (&Arc<Shared>, &Arc<CoreCounters>, &Arc<CoreDecisions>),
        place: usize,
        side: Side,
        (share, key): (Share, u64),
        arrived: Instant,
    ) -> Decided {
        let (shared, counters) = (Arc::clone(shared), Arc::clone(counters));
        let decisions = Arc::clone(decisions);
        let (ticket, settled) = Default::default();
        Decided { shared, counters, decisions, place, side, share, key, arrived, ticket, settled }
    }

    /// The request has arrived whole: its age, for the canary, is counted from here on.
    pub(super) fn owed(&self) {
        self.ticket.get_or_init(|| {
            self.decisions.drawn(self.shared.now(), self.side, self.share, self.key)
        });
    }

    /// The head of an answer is there, or the side failed to give one. For `waited` of the time it
    /// was the client's turn.
    pub(super) fn answered(&self, error: bool, waited: Duration) {
        self.owed();
        self.settled.store(true, Ordering::Relaxed);
        let latency = self.arrived.elapsed().saturating_sub(waited);
        self.counters.http_request(self.place, self.side, latency, error);
        if let Some(ticket) = self.ticket.get().copied().flatten() {
            self.decisions.answered(ticket, self.shared.now(), !error);
        }
    }

    /// The side refused to be connected: its failure, for the canary and the counters alike. Who
    /// answers instead is counted, but its answer says nothing of the side that was drawn.
    pub(super) fn refused(&mut self, instead: Side) {
        self.answered(true, Duration::ZERO);
        self.side = instead;
        self.ticket = OnceLock::from(None);
        self.settled = AtomicBool::new(false);
    }

    /// The side broke off an answer that it had begun.
    pub(super) fn broken_off(&self) {
        self.counters.http_broken_off(self.place, self.side);
        if let Some(ticket) = self.ticket.get().copied().flatten() {
            self.decisions.broken_off(ticket, self.shared.now());
        }
    }

    /// The client broke its request off, left it unfinished, or left: nothing is known of the side.
    pub(super) fn client_failed(&self) {
        self.settled.store(true, Ordering::Relaxed);
        self.counters.http_client_failed(self.side);
        self.withdraw();
    }

    /// No connection to the side was to be had within the gate's own limit.
    pub(super) fn limited(&self) {
        self.settled.store(true, Ordering::Relaxed);
        self.counters.http_limited(self.side);
        self.withdraw();
    }

    fn withdraw(&self) {
        if let Some(ticket) = self.ticket.get().copied().flatten() {
            self.decisions.withdrawn(ticket, self.shared.now());
        }
    }
}

impl Drop for Decided {
    fn drop(&mut self) {
        if !self.settled.load(Ordering::Relaxed) {
            self.client_failed();
        }
    }
}
