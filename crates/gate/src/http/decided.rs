//! A request's fate, for the counters and for the canary's decision.

use std::sync::Arc;
use std::time::Instant;

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
    arrived: Instant,
    /// `None` when too many were under way to look at this one.
    ticket: Option<Ticket>,
}

impl Decided {
    /// The side is drawn now; what the request waited before, in a hold, is no one's fault.
    pub(super) fn drawn(
        (shared, counters, decisions): (&Arc<Shared>, &Arc<CoreCounters>, &Arc<CoreDecisions>),
        place: usize,
        side: Side,
        share: Share,
        key: u64,
        arrived: Instant,
    ) -> Decided {
        let ticket = decisions.drawn(shared.now(), side, share, key);
        let (shared, counters) = (Arc::clone(shared), Arc::clone(counters));
        let decisions = Arc::clone(decisions);
        Decided { shared, counters, decisions, place, side, arrived, ticket }
    }

    /// The head of an answer is there, or the side failed to give one.
    pub(super) fn answered(&self, error: bool) {
        self.counters.http_request(self.place, self.side, self.arrived.elapsed(), error);
        if let Some(ticket) = self.ticket {
            self.decisions.answered(ticket, self.shared.now(), !error);
        }
    }

    /// The side refused to be connected: its failure, for the canary and the counters alike. Who
    /// answers instead is counted, but its answer says nothing of the side that was drawn.
    pub(super) fn refused(self, instead: Side) -> Decided {
        self.answered(true);
        Decided { side: instead, ticket: None, ..self }
    }

    /// The side broke off an answer that it had begun.
    pub(super) fn broken_off(&self) {
        self.counters.http_broken_off(self.place, self.side);
        if let Some(ticket) = self.ticket {
            self.decisions.broken_off(ticket, self.shared.now());
        }
    }
}
