//! Which server processes work for clients of the PostgreSQL gate: whoever else works on a database
//! goes around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use changeover_types::Side;

use super::Shared;

/// The server processes of present sessions.
#[derive(Debug, Default)]
pub(super) struct Served(Mutex<BTreeSet<(Side, u32)>>);

impl Served {
    fn processes(&self) -> MutexGuard<'_, BTreeSet<(Side, u32)>> {
        // A number is inserted or removed whole, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.processes().len() as u64
    }

    /// Their process ids by side.
    pub(super) fn by_side(&self) -> BTreeMap<Side, Vec<u32>> {
        let mut sides = BTreeMap::from([(Side::Source, vec![]), (Side::Target, vec![])]);
        for (side, pid) in self.processes().iter() {
            sides.entry(*side).or_default().push(*pid);
        }
        sides
    }
}

/// A server process works for a client until this is dropped.
#[derive(Debug)]
pub struct ServedGuard {
    shared: Arc<Shared>,
    process: (Side, u32),
}

impl Drop for ServedGuard {
    fn drop(&mut self) {
        self.shared.served.processes().remove(&self.process);
    }
}

impl Shared {
    /// The server process `pid` of this side works for a client from now on.
    #[must_use]
    pub fn serve(self: &Arc<Self>, side: Side, pid: u32) -> ServedGuard {
        self.served.processes().insert((side, pid));
        ServedGuard { shared: Arc::clone(self), process: (side, pid) }
    }
}
