//! A hold that was announced: what the sessions of the PostgreSQL gate do while clients are served.
//!
//! Each announcement is a round of its own, so that what became of an earlier one is not taken for
//! an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use changeover_routing::AheadStatus;
use tokio::sync::watch;
use tokio::time::Instant;

/// No announcement lasts longer than this.
const LONGEST: Duration = Duration::from_secs(600);

/// One announcement.
#[derive(Debug)]
pub(crate) struct Round {
    until: Instant,
    connected: AtomicU64,
    refused: AtomicU64,
    why: Mutex<Option<String>>,
}

/// The newest announcement.
#[derive(Debug)]
pub(crate) struct Ahead(watch::Sender<Option<Arc<Round>>>);

impl Default for Ahead {
    fn default() -> Self {
        Ahead(watch::Sender::new(None))
    }
}

impl Round {
    /// When it lapses.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }
}

impl Ahead {
    /// A hold may come within this.
    pub(super) fn announce(&self, within: Duration) {
        let (connected, refused, why) = Default::default();
        let until = Instant::now() + within.min(LONGEST);
        self.0.send_replace(Some(Arc::new(Round { until, connected, refused, why })));
    }

    /// Authority has moved: what was announced is over.
    pub(super) fn end(&self) {
        self.0.send_replace(None);
    }

    /// The announcement in force.
    pub(crate) fn round(&self) -> Option<Arc<Round>> {
        self.0.borrow().clone().filter(|round| round.until > Instant::now())
    }

    /// Tells of new announcements.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Round>>> {
        self.0.subscribe()
    }

    /// How far it is with so many sessions.
    pub(super) fn status(&self, sessions: u64) -> Option<AheadStatus> {
        let round = self.round()?;
        Some(AheadStatus {
            sessions,
            connected: round.connected.load(Ordering::Relaxed),
            refused: round.refused.load(Ordering::Relaxed),
            why: round.why.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

/// A session's part in a round, while this lives.
#[derive(Debug)]
pub(crate) struct Part {
    round: Arc<Round>,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Waits,
    Connected,
    Refused,
}

impl Part {
    /// Takes part.
    pub(crate) fn new(round: Arc<Round>) -> Part {
        Part { round, stands: Stands::Waits }
    }

    /// Whether it is a part in this round.
    pub(crate) fn is_in(&self, round: &Arc<Round>) -> bool {
        Arc::ptr_eq(&self.round, round)
    }

    /// It has a connection to the other side.
    pub(crate) fn connected(&mut self) {
        self.stand(Stands::Connected);
    }

    /// It cannot have one.
    pub(crate) fn refused(&mut self, why: String) {
        self.stand(Stands::Refused);
        *self.round.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    fn stand(&mut self, stands: Stands) {
        let count = |stands| match stands {
            Stands::Waits => None,
            Stands::Connected => Some(&self.round.connected),
            Stands::Refused => Some(&self.round.refused),
        };
        if stands == self.stands {
            return;
        }
        if let Some(before) = count(self.stands) {
            before.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(now) = count(stands) {
            now.fetch_add(1, Ordering::Relaxed);
        }
        self.stands = stands;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stand(Stands::Waits);
    }
}
