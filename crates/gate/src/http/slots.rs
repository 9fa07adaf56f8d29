//! How many connections to each instance may be open, over all cores, and who waits for one.
//!
//! A connection holds its place from before it is opened until it is closed, idle ones included.
//! Where none is free, an idle one of another core gives way; where all are in use, requests wait in
//! their order, for the next that is given back on their core or closed anywhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pool::Pool;

/// See the module.
#[derive(Debug)]
pub(crate) struct Slots {
    each: Vec<Slot>,
    pools: Mutex<Vec<Weak<Pool>>>,
}

#[derive(Debug)]
struct Slot {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place, while this lives.
pub(super) type Place = OwnedSemaphorePermit;

/// Somebody waits, while this lives.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(super) fn begins(count: &'a AtomicUsize) -> Waiting<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    /// So many connections to each of so many instances.
    pub(crate) fn new(instances: usize, most: usize) -> Arc<Slots> {
        let slot = || Slot {
            free: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        };
        let each = (0..instances).map(|_| slot()).collect();
        Arc::new(Slots { each, pools: Mutex::default() })
    }

    /// The idle connections of another core.
    pub(super) fn add(&self, pool: &Arc<Pool>) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(pool));
    }

    /// A place, if one is free or can be made free at once.
    pub(super) fn try_take(&self, instance: usize) -> Option<Place> {
        let free = || Arc::clone(&self.each[instance].free).try_acquire_owned().ok();
        free().or_else(|| {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).find(|pool| pool.drop_one(instance))?;
            free()
        })
    }

    /// Waits for a place.
    pub(super) async fn take(&self, instance: usize) -> Option<Place> {
        let slot = &self.each[instance];
        let _waiting = Waiting::begins(&slot.waiting);
        Arc::clone(&slot.free).acquire_owned().await.ok()
    }

    /// Whether anybody on any core waits for a place.
    pub(super) fn is_waited_for(&self, instance: usize) -> bool {
        self.each[instance].waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether a request would have to wait.
    pub(super) fn is_full(&self, instance: usize) -> bool {
        self.each[instance].free.available_permits() == 0
    }
}
