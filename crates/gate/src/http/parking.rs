//! Where a core's requests wait while a hold lasts, and how they leave: oldest first, in small
//! batches, so that a release is not a stampede.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use changeover_routing::HoldView;
use tokio::sync::{Notify, oneshot};

use crate::state::Shared;

/// More than this on one core are answered with 503 at once.
pub(super) const MOST_PARKED: usize = 8192;

/// Nobody waits longer than this, whatever the run says.
pub(super) const LONGEST_PARK: Duration = Duration::from_secs(60);

/// This many leave together, then a millisecond passes: up to 32 000 requests a second and core,
/// about what a core can forward.
const BATCH: usize = 32;

/// Why a request was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Too many wait already.
    Full,
    /// It waited for [`LONGEST_PARK`].
    TooLong,
    /// Its client has closed, at least its sending half.
    Left,
}

/// One core's queue.
#[derive(Debug)]
pub(super) struct Parking {
    shared: Arc<Shared>,
    queue: Mutex<VecDeque<oneshot::Sender<()>>>,
    arrived: Notify,
}

impl Parking {
    pub(super) fn new(shared: Arc<Shared>) -> Parking {
        Parking { shared, queue: Mutex::default(), arrived: Notify::new() }
    }

    /// Whether a request may go on now: nothing is held, and nobody older still waits.
    pub(super) fn is_open(&self) -> bool {
        self.shared.hold_view() == HoldView::Open && self.queue().is_empty()
    }

    /// Waits for its turn. Leaving is dropping the future.
    pub(super) async fn wait(&self) -> Result<(), Turned> {
        let turn = {
            let mut queue = self.queue();
            if queue.len() >= MOST_PARKED {
                // Those who left keep their place until they come up; they do not count here.
                queue.retain(|waiter| !waiter.is_closed());
            }
            if queue.len() >= MOST_PARKED {
                return Err(Turned::Full);
            }
            let (waiter, turn) = oneshot::channel();
            queue.push_back(waiter);
            turn
        };
        self.arrived.notify_one();
        let _parked = self.shared.park();
        match tokio::time::timeout(LONGEST_PARK, turn).await {
            Ok(Ok(())) => Ok(()),
            // The queue outlives its waiters; were it gone, the core is going down.
            Ok(Err(_)) | Err(_) => Err(Turned::TooLong),
        }
    }

    /// Lets waiters go whenever nothing is held, for ever.
    pub(super) async fn release(&self) {
        let mut hold = self.shared.hold();
        loop {
            if hold.wait_for(|view| *view == HoldView::Open).await.is_err() {
                return;
            }
            let more = self.release_batch();
            if more {
                tokio::time::sleep(Duration::from_millis(1)).await;
            } else {
                self.arrived.notified().await;
            }
        }
    }

    fn release_batch(&self) -> bool {
        let mut queue = self.queue();
        let mut released = 0;
        while released < BATCH
            && let Some(waiter) = queue.pop_front()
        {
            // Who left meanwhile takes no turn.
            released += usize::from(waiter.send(()).is_ok());
        }
        !queue.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<()>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
